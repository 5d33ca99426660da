//! The results of mutations: success or a `Problem`.

use std::sync::Arc;

use async_graphql::{Context, Interface, Object, SimpleObject, Union};

use super::{MessageEdge, MessageGroup, MessageGroupEdge};
use crate::engine::{InOrder, composite_type};
use crate::model::{self, Consistency, MessageGroupId};
use crate::schema::error::ApiError;
use crate::schema::session::Session;

/// An error of a mutation that the user can correct.
#[derive(Interface)]
#[graphql(field(
    name = "message",
    ty = "&String",
    desc = "Description of the error and its remedy, in English, for developers."
))]
pub(in crate::schema) enum Problem {
    InvalidMessageBody(InvalidMessageBody),
    MessageGroupNotFound(MessageGroupNotFound),
    ReceiverNotFound(ReceiverNotFound),
    CannotMessageYourself(CannotMessageYourself),
}

/// Result of `createMessage`.
#[derive(Union)]
pub(in crate::schema) enum CreateMessageResult {
    CreateMessageSuccess(CreateMessageSuccess),
    InvalidMessageBody(InvalidMessageBody),
    MessageGroupNotFound(MessageGroupNotFound),
    ReceiverNotFound(ReceiverNotFound),
    CannotMessageYourself(CannotMessageYourself),
}

composite_type!(
    CreateMessageResult: CreateMessageSuccess,
    InvalidMessageBody,
    MessageGroupNotFound,
    ReceiverNotFound,
    CannotMessageYourself
);

/// The message was sent.
#[derive(SimpleObject)]
pub(in crate::schema) struct CreateMessageSuccess {
    /// Edge of the message in its message group.
    pub message_edge: InOrder<MessageEdge>,
    /// Edge of the message group in the viewer's `messageGroups`, with its new
    /// cursor.
    pub message_group_edge: InOrder<MessageGroupEdge>,
}

/// Result of `markMessageGroupRead`.
#[derive(Union)]
pub(in crate::schema) enum MarkMessageGroupReadResult {
    MarkMessageGroupReadSuccess(MarkMessageGroupReadSuccess),
    MessageGroupNotFound(MessageGroupNotFound),
}

composite_type!(
    MarkMessageGroupReadResult: MarkMessageGroupReadSuccess,
    MessageGroupNotFound
);

/// Wraps the ID of the group that was marked as read.
pub(in crate::schema) struct MarkMessageGroupReadSuccess(pub MessageGroupId);

/// The messages up to the given message are marked as read.
#[Object]
impl MarkMessageGroupReadSuccess {
    /// The updated group.
    async fn message_group(&self, ctx: &Context<'_>) -> Result<InOrder<MessageGroup>, ApiError> {
        let session = Session::of(ctx)?;
        let found = session
            .messaging()
            .reader
            .find_message_group(session.viewer()?, self.0)
            .await?;
        // The viewer is a participant of the marked group, and participants
        // never change.
        let found = found.ok_or(ApiError::Internal)?;
        Ok(InOrder(MessageGroup::alone(Arc::new(found))))
    }

    /// Number of the viewer's message groups that have unread messages. The
    /// count stops at 100, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        Session::of(ctx)?
            .unread_message_group_count(Consistency::Strong)
            .await
    }
}

/// The body is empty, consists only of white space, or is too long.
#[derive(SimpleObject)]
pub(in crate::schema) struct InvalidMessageBody {
    /// Description of the error and its remedy, in English, for developers.
    message: String,
    /// Maximum length of a body in Unicode characters.
    max_length: usize,
    /// Length of the given body in Unicode characters.
    length: usize,
}

impl From<model::InvalidMessageBody> for InvalidMessageBody {
    fn from(invalid: model::InvalidMessageBody) -> Self {
        Self {
            message: invalid.to_string(),
            max_length: model::MessageBody::MAX_LENGTH,
            length: invalid.length(),
        }
    }
}

/// Declares a problem that only has a message.
macro_rules! problem {
    ($(#[$doc:meta])* $name:ident, $message:literal) => {
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub(in crate::schema) struct $name {
            /// Description of the error and its remedy, in English, for
            /// developers.
            message: String,
        }

        impl Default for $name {
            fn default() -> Self {
                let message = $message.to_owned();
                Self { message }
            }
        }
    };
}

problem!(
    /// The message group does not exist, or the viewer is not a participant.
    MessageGroupNotFound,
    "You have no message group with this `messageGroupUuid`."
);
problem!(
    /// No user has the given handle.
    ReceiverNotFound,
    "No user has this `receiverHandle`. Handles are case-sensitive and are given without `@`."
);
problem!(
    /// The receiver is the viewer.
    CannotMessageYourself,
    "This `receiverHandle` is your own. Name another user."
);
