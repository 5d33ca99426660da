//! The mutation root.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, OneofObject};

use super::cursor::{CursorArgument, MessageCursor};
use super::error::ApiError;
use super::scalars::Uuid;
use super::session::Session;
use super::types::{
    CannotMessageYourself, CreateMessageResult, CreateMessageSuccess, InvalidMessageBody,
    MarkMessageGroupReadResult, MarkMessageGroupReadSuccess, MessageEdge, MessageGroupEdge,
    MessageGroupNotFound, ReceiverNotFound,
};
use crate::engine::InOrder;
use crate::messaging::{CreateMessageError, CreatedMessage, Destination, MarkResult, NewMessage};
use crate::model::{MessageBody, MessageGroupId, MessageId, UserId};

/// Input of `createMessage`.
#[derive(InputObject)]
pub struct CreateMessageInput {
    /// The destination of the message.
    to: MessageDestination,
    /// The text of the message: 1 to 1024 Unicode characters, of which at least
    /// one is not white space. It is stored exactly as sent.
    body: String,
    /// Idempotency key: any string of 1 to 255 bytes, such as a new UUID for
    /// each message that a user writes.
    ///
    /// If the same input is sent again with the same key within 24 hours, no
    /// message is created, and the result of the first request is returned. A
    /// client that received no response can therefore retry safely. If the key
    /// is reused with a different input, the error code is
    /// `IDEMPOTENCY_KEY_REUSED`. Without a key, a retry creates a duplicate
    /// message.
    idempotency_key: Option<String>,
}

/// Destination of a message: exactly one of these fields.
#[derive(OneofObject)]
pub enum MessageDestination {
    /// The `uuid` of a message group in which the viewer is a participant.
    MessageGroupUuid(Uuid),
    /// The handle of the receiver, without `@`. The message is sent to the
    /// existing message group of the two users, or to a new one.
    ReceiverHandle(String),
}

impl From<MessageDestination> for Destination {
    fn from(destination: MessageDestination) -> Self {
        match destination {
            MessageDestination::MessageGroupUuid(uuid) => {
                Self::MessageGroup(MessageGroupId(uuid.0))
            }
            MessageDestination::ReceiverHandle(handle) => Self::Receiver(handle),
        }
    }
}

/// Input of `markMessageGroupRead`.
#[derive(InputObject)]
pub struct MarkMessageGroupReadInput {
    /// The `uuid` of one of the viewer's message groups.
    message_group_uuid: Uuid,
    /// Cursor of the newest message that the viewer has read, from the
    /// message's edge. Messages that were marked as read before stay read. A
    /// cursor of another group is an error with the code `BAD_USER_INPUT`.
    up_to: CursorArgument<MessageCursor>,
}

/// The root type of mutations.
pub struct Mutation;

/// The root of all mutations. The fields of a mutation are executed one after
/// the other.
#[Object]
impl Mutation {
    /// Sends a message to a message group, or to a receiver by handle. The
    /// group becomes the first in `messageGroups` of both participants.
    ///
    /// Sending is rate-limited: by default to 10 messages per second, after a
    /// burst of 50. Above the limit, the error code is `RATE_LIMITED`, with the
    /// extension `retryAfterMs`.
    async fn create_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message and its destination.")] input: CreateMessageInput,
    ) -> Result<InOrder<CreateMessageResult>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        session.context.rate.take(viewer.user().id)?;
        let body = match MessageBody::parse(input.body) {
            Ok(body) => body,
            Err(invalid) => return Ok(InOrder(InvalidMessageBody::from(invalid).into())),
        };
        let id = MessageId(uuid::Uuid::new_v4());
        let new = NewMessage::new(id, input.to.into(), body, input.idempotency_key)
            .map_err(|invalid| ApiError::BadUserInput(format!("`idempotencyKey`: {invalid}.")))?;
        let users = session.users();
        let created =
            session
                .messaging()
                .writer
                .create_message(viewer, &users, new, session.deadline);
        // Boxed for the reason stated in `Query::message_groups`.
        let created = Box::pin(created).await;
        session.forget_groups();
        result(viewer.user().id, created).map(InOrder)
    }

    /// Marks the messages of a message group as read, up to the given message.
    /// Sending a message to the group also marks all its messages as read.
    async fn mark_message_group_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group, and the newest message to mark as read.")]
        input: MarkMessageGroupReadInput,
    ) -> Result<InOrder<MarkMessageGroupReadResult>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let group = MessageGroupId(input.message_group_uuid.0);
        let up_to = input.up_to.0.filter(|cursor| cursor.group == group);
        let up_to = up_to.ok_or_else(|| {
            let message = "`upTo` is not a cursor of a message in this group. Take one from an edge's `cursor`.";
            ApiError::BadUserInput(message.to_owned())
        })?;
        let marked = session.messaging().writer.mark_message_group_read(
            viewer,
            group,
            up_to.seq,
            session.deadline,
        );
        // Boxed for the reason stated in `Query::message_groups`.
        let marked = Box::pin(marked).await?;
        session.forget_groups();
        Ok(InOrder(match marked {
            MarkResult::Done => MarkMessageGroupReadSuccess(group).into(),
            MarkResult::MessageGroupNotFound => MessageGroupNotFound::default().into(),
        }))
    }
}

fn result(
    owner: UserId,
    created: Result<CreatedMessage, CreateMessageError>,
) -> Result<CreateMessageResult, ApiError> {
    Ok(match created {
        Ok(CreatedMessage { message, group }) => {
            let group = Arc::new(group);
            CreateMessageSuccess {
                message_edge: InOrder(MessageEdge::of(message, Some(Arc::clone(&group)))),
                message_group_edge: InOrder(MessageGroupEdge::alone(owner, group)),
            }
            .into()
        }
        Err(CreateMessageError::MessageGroupNotFound) => MessageGroupNotFound::default().into(),
        Err(CreateMessageError::ReceiverNotFound) => ReceiverNotFound::default().into(),
        Err(CreateMessageError::CannotMessageYourself) => CannotMessageYourself::default().into(),
        Err(CreateMessageError::Messaging(error)) => return Err(error.into()),
    })
}
