//! The results of mutations: success, or what stood in the way.

use std::sync::Arc;

use async_graphql::{Context, Interface, Object, SimpleObject, Union};

use super::{MessageEdge, MessageGroup, MessageGroupEdge};
use crate::engine::{InOrder, composite_type};
use crate::messaging::Freshness;
use crate::model::{self, MessageGroupId};
use crate::schema::error::ApiError;
use crate::schema::session::Session;

/// A refusal that a person can do something about.
#[derive(Interface)]
#[graphql(field(
    name = "message",
    ty = "&String",
    desc = "What is wrong and what would be right, in an English sentence for developers."
))]
pub(in crate::schema) enum Problem {
    InvalidMessageBody(InvalidMessageBody),
    MessageGroupNotFound(MessageGroupNotFound),
    ReceiverNotFound(ReceiverNotFound),
    CannotMessageYourself(CannotMessageYourself),
}

/// What came of `createMessage`.
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

/// The message is sent.
#[derive(SimpleObject)]
pub(in crate::schema) struct CreateMessageSuccess {
    /// The message, with its place in its group.
    pub message_edge: InOrder<MessageEdge>,
    /// The group, with its new place among the viewer's.
    pub message_group_edge: InOrder<MessageGroupEdge>,
}

/// What came of `markMessageGroupRead`.
#[derive(Union)]
pub(in crate::schema) enum MarkMessageGroupReadResult {
    MarkMessageGroupReadSuccess(MarkMessageGroupReadSuccess),
    MessageGroupNotFound(MessageGroupNotFound),
}

composite_type!(
    MarkMessageGroupReadResult: MarkMessageGroupReadSuccess,
    MessageGroupNotFound
);

/// Wraps the group that was marked.
pub(in crate::schema) struct MarkMessageGroupReadSuccess(pub MessageGroupId);

/// The messages count as read, up to the one that was named.
#[Object]
impl MarkMessageGroupReadSuccess {
    /// The group since.
    async fn message_group(&self, ctx: &Context<'_>) -> Result<InOrder<MessageGroup>, ApiError> {
        let session = Session::of(ctx)?;
        let found = session
            .messaging()
            .find_message_group(session.viewer()?, self.0)
            .await?;
        // Whoever has marked it takes part in it for ever.
        let found = found.ok_or(ApiError::Internal)?;
        Ok(InOrder(MessageGroup::alone(Arc::new(found))))
    }

    /// How many of the viewer's groups have messages that the viewer has not
    /// read: counted to 100 and no further, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        Session::of(ctx)?
            .unread_message_group_count(Freshness::Newest)
            .await
    }
}

/// The body is empty, nothing but white space, or too long.
#[derive(SimpleObject)]
pub(in crate::schema) struct InvalidMessageBody {
    /// What is wrong and what would be right, in an English sentence for
    /// developers.
    message: String,
    /// The most Unicode characters that a body may have.
    max_length: usize,
    /// How many this one has.
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

/// There is no such message group, or the viewer takes no part in it.
#[derive(SimpleObject)]
pub(in crate::schema) struct MessageGroupNotFound {
    /// What is wrong and what would be right, in an English sentence for
    /// developers.
    message: String,
}

impl Default for MessageGroupNotFound {
    fn default() -> Self {
        let message = "You have no message group with this `messageGroupUuid`.".to_owned();
        Self { message }
    }
}

/// Nobody has the handle.
#[derive(SimpleObject)]
pub(in crate::schema) struct ReceiverNotFound {
    /// What is wrong and what would be right, in an English sentence for
    /// developers.
    message: String,
}

impl Default for ReceiverNotFound {
    fn default() -> Self {
        let message =
            "Nobody has this `receiverHandle`. Handles are compared exactly and have no `@`."
                .to_owned();
        Self { message }
    }
}

/// The receiver is the viewer.
#[derive(SimpleObject)]
pub(in crate::schema) struct CannotMessageYourself {
    /// What is wrong and what would be right, in an English sentence for
    /// developers.
    message: String,
}

impl Default for CannotMessageYourself {
    fn default() -> Self {
        let message = "This `receiverHandle` is your own. Name somebody else.".to_owned();
        Self { message }
    }
}
