//! The schema's objects. They wrap the model; their docs are the schema's.

mod event;
mod message;
mod message_group;
mod problem;
mod user;

use async_graphql::{ID, Interface};

use crate::engine::composite_type;

pub(super) use event::{MessageCreatedEvent, MessageGroupUpdatedEvent};
pub(super) use message::{Message, MessageConnection, MessageEdge};
pub(super) use message_group::{MessageGroup, MessageGroupConnection, MessageGroupEdge};
pub(super) use problem::{
    CannotMessageYourself, CreateMessageResult, CreateMessageSuccess, InvalidMessageBody,
    MarkMessageGroupReadResult, MarkMessageGroupReadSuccess, MessageGroupNotFound, Problem,
    ReceiverNotFound,
};
pub(super) use user::User;

/// An object with a global id, by which `node` finds it again.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The object's global id: opaque, unique in the whole API, and never another's."
))]
pub(super) enum Node {
    User(User),
    MessageGroup(MessageGroup),
    Message(Message),
}

composite_type!(Node: User, MessageGroup, Message);
