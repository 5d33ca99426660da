//! The schema's object types. They wrap the types of the model. Their doc
//! comments are the schema's descriptions.

mod event;
mod message;
mod message_group;
mod objects;
mod problem;
mod user;

use async_graphql::{ID, Interface};

use crate::engine::composite_type;

pub(super) use event::{MessageCreatedEvent, MessageGroupUpdatedEvent};
pub(super) use message::{MessageConnection, MessageEdge};
pub(super) use message_group::{MessageGroupConnection, MessageGroupEdge};
pub(super) use objects::{Message, MessageGroup, User};
pub(super) use problem::{
    CannotMessageYourself, CreateMessageResult, CreateMessageSuccess, InvalidMessageBody,
    MarkMessageGroupReadResult, MarkMessageGroupReadSuccess, MessageGroupNotFound, Problem,
    ReceiverNotFound,
};

/// An object with a global ID. Use `node` to fetch the object again by this ID.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The object's global ID. It is opaque, unique across all types, and never reused."
))]
pub(super) enum Node {
    User(User),
    MessageGroup(MessageGroup),
    Message(Message),
}

composite_type!(Node: User, MessageGroup, Message);
