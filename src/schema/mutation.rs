//! What can be changed.

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
use crate::messaging::{CreateMessageError, CreatedMessage, Destination, Marked, NewMessage};
use crate::model::{MessageBody, MessageGroupId, MessageId, UserId};

/// A message to be sent.
#[derive(InputObject)]
pub struct CreateMessageInput {
    /// To whom.
    to: MessageDestination,
    /// The text: 1 to 1024 Unicode characters, not all of them white space.
    /// Kept as it is sent.
    body: String,
    /// A text of your choice, 1 to 255 bytes, such as a new UUID for each
    /// message that a person writes.
    ///
    /// Sent again with the same key within 24 hours, the same input creates
    /// nothing and answers what it created before. So a client that got no
    /// answer can safely send again. Another input with the same key is
    /// `IDEMPOTENCY_KEY_REUSED`. Without a key what is sent twice is there
    /// twice.
    idempotency_key: Option<String>,
}

/// To whom a message goes: exactly one of these.
#[derive(OneofObject)]
pub enum MessageDestination {
    /// A message group that the viewer takes part in.
    MessageGroupUuid(Uuid),
    /// The handle of the receiver, without `@`. The message goes to the group
    /// that the two already have, or else to a new one.
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

/// How far the viewer has read.
#[derive(InputObject)]
pub struct MarkMessageGroupReadInput {
    /// The `uuid` of one of the viewer's message groups.
    message_group_uuid: Uuid,
    /// Cursor of the newest message that the viewer has seen, from its edge.
    /// What was marked as read before stays read. A cursor of another group is
    /// `BAD_USER_INPUT`.
    up_to: CursorArgument<MessageCursor>,
}

/// The root of all mutations.
pub struct Mutation;

/// Changes, made one after the other.
#[Object]
impl Mutation {
    /// Sends a message, to a group or to a receiver by handle. Its group moves
    /// to the top for both participants.
    ///
    /// Who sends too fast, by default more than ten in a second after the first
    /// fifty, is told `RATE_LIMITED` with `retryAfterMs`.
    async fn create_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is sent, and to whom.")] input: CreateMessageInput,
    ) -> Result<InOrder<CreateMessageResult>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        session
            .rate()
            .take(viewer.user().id)
            .map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        let body = match MessageBody::parse(input.body) {
            Ok(body) => body,
            Err(invalid) => return Ok(InOrder(InvalidMessageBody::from(invalid).into())),
        };
        let id = MessageId(uuid::Uuid::new_v4());
        let new = NewMessage::new(id, input.to.into(), body, input.idempotency_key)
            .map_err(|invalid| ApiError::BadUserInput(format!("`idempotencyKey`: {invalid}.")))?;
        let users = session.users();
        let created = session
            .messaging()
            .create_message(viewer, &users, new, session.deadline());
        let created = Box::pin(created).await;
        session.forget_groups();
        result(viewer.user().id, created).map(InOrder)
    }

    /// Counts the messages of a group as read, up to one of them. Sending a
    /// message to the group does so by itself.
    async fn mark_message_group_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group, and up to which message.")] input: MarkMessageGroupReadInput,
    ) -> Result<InOrder<MarkMessageGroupReadResult>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let group = MessageGroupId(input.message_group_uuid.0);
        let up_to = input.up_to.0.filter(|cursor| cursor.group == group);
        let up_to = up_to.ok_or_else(|| {
            let message = "`upTo` is not a cursor of a message in this group. Take one from an edge's `cursor`.";
            ApiError::BadUserInput(message.to_owned())
        })?;
        let marked = session.messaging().mark_message_group_read(
            viewer,
            group,
            up_to.seq,
            session.deadline(),
        );
        let marked = Box::pin(marked).await?;
        session.forget_groups();
        Ok(InOrder(match marked {
            Marked::Done => MarkMessageGroupReadSuccess(group).into(),
            Marked::NoSuchGroup => MessageGroupNotFound::default().into(),
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
