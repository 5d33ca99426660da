//! The results of mutations: success, or what stood in the way.

use async_graphql::{Interface, SimpleObject, Union};

use super::{MessageEdge, MessageGroupEdge};
use crate::model;

/// A refusal that a person can do something about.
#[derive(Interface)]
#[graphql(field(
    name = "message",
    ty = "&String",
    desc = "What is wrong and what would be right, in an English sentence for developers."
))]
pub(in crate::graphql) enum Problem {
    InvalidMessageBody(InvalidMessageBody),
    MessageGroupNotFound(MessageGroupNotFound),
    ReceiverNotFound(ReceiverNotFound),
    CannotMessageYourself(CannotMessageYourself),
}

/// What came of `createMessage`.
#[derive(Union)]
pub(in crate::graphql) enum CreateMessageResult {
    CreateMessageSuccess(CreateMessageSuccess),
    InvalidMessageBody(InvalidMessageBody),
    MessageGroupNotFound(MessageGroupNotFound),
    ReceiverNotFound(ReceiverNotFound),
    CannotMessageYourself(CannotMessageYourself),
}

/// The message is sent.
#[derive(SimpleObject)]
pub(in crate::graphql) struct CreateMessageSuccess {
    /// The message, with its place in its group.
    pub message_edge: MessageEdge,
    /// The group, with its new place among the viewer's.
    pub message_group_edge: MessageGroupEdge,
}

/// The body is empty, nothing but white space, or too long.
#[derive(SimpleObject)]
pub(in crate::graphql) struct InvalidMessageBody {
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
pub(in crate::graphql) struct MessageGroupNotFound {
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
pub(in crate::graphql) struct ReceiverNotFound {
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
pub(in crate::graphql) struct CannotMessageYourself {
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
