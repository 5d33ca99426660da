//! The events of subscriptions.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::{MessageEdge, MessageGroup, MessageGroupEdge};
use crate::engine::InOrder;
use crate::messaging::Arrival;
use crate::model::{self, Consistency, UserId};
use crate::schema::cursor::{Cursor, EventCursor, MessageCursor};
use crate::schema::error::ApiError;
use crate::schema::session::Session;

/// Wraps a received message, and the positions of the subscription after it.
pub struct MessageCreatedEvent {
    owner: UserId,
    /// Boxed, because the futures of an event contain it several times.
    arrival: Box<Arrival>,
}

impl MessageCreatedEvent {
    pub fn new(owner: UserId, arrival: Arrival) -> Self {
        let arrival = Box::new(arrival);
        Self { owner, arrival }
    }
}

/// Event of `messageCreated`: a message was sent.
#[Object]
impl MessageCreatedEvent {
    /// Cursor of this event. To resume after it, subscribe again with this
    /// cursor as `after`.
    async fn cursor(&self) -> String {
        let Arrival {
            message, positions, ..
        } = &*self.arrival;
        match positions.clone() {
            None => MessageCursor::of(message).encode(),
            Some(positions) => {
                let owner = self.owner;
                EventCursor { owner, positions }.encode()
            }
        }
    }

    /// Idempotency key with which the viewer sent the message. Null if another
    /// user sent it, or if it was sent without a key.
    ///
    /// The event may arrive before the response of `createMessage`. With this
    /// key, a client recognizes the message for which it waits for a response.
    async fn idempotency_key(&self) -> Option<&str> {
        let message = &self.arrival.message;
        let key = message.idempotency_key.as_deref();
        key.filter(|_| message.sender.id == self.owner)
    }

    /// Edge of the message in its message group.
    async fn message_edge(&self) -> InOrder<MessageEdge> {
        let group = Arc::clone(&self.arrival.group);
        InOrder(MessageEdge::of(self.arrival.message.clone(), Some(group)))
    }

    /// Edge of the message group in the viewer's `messageGroups`, with its new
    /// cursor. The group may already include a newer message.
    async fn message_group_edge(&self) -> InOrder<MessageGroupEdge> {
        let group = Arc::clone(&self.arrival.group);
        InOrder(MessageGroupEdge::alone(self.owner, group))
    }
}

/// Wraps a group that changed.
pub struct MessageGroupUpdatedEvent(Arc<model::MessageGroup>);

impl MessageGroupUpdatedEvent {
    pub fn new(group: model::MessageGroup) -> Self {
        Self(Arc::new(group))
    }
}

/// Event of `messageGroupUpdated`: one of the viewer's message groups changed.
#[Object]
impl MessageGroupUpdatedEvent {
    /// The `version` of the group.
    async fn version(&self) -> u64 {
        self.0.version
    }

    /// The updated group.
    async fn message_group(&self) -> InOrder<MessageGroup> {
        InOrder(MessageGroup::alone(Arc::clone(&self.0)))
    }

    /// Number of the viewer's message groups that have unread messages. The
    /// count stops at 100, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        Session::of(ctx)?
            .unread_message_group_count(Consistency::Strong)
            .await
    }
}
