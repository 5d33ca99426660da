//! What subscriptions tell.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::{MessageEdge, MessageGroup, MessageGroupEdge};
use crate::engine::InOrder;
use crate::messaging::{Arrival, Freshness, Update};
use crate::model::UserId;
use crate::schema::cursor::{Cursor, EventCursor, MessageCursor};
use crate::schema::error::ApiError;
use crate::schema::session::Session;

/// Wraps a message that has come, and whose groups are followed.
pub struct MessageCreatedEvent {
    owner: UserId,
    arrival: Arrival,
}

impl MessageCreatedEvent {
    pub fn new(owner: UserId, arrival: Arrival) -> Self {
        Self { owner, arrival }
    }
}

/// A message was sent.
#[Object]
impl MessageCreatedEvent {
    /// From where to go on: to be used as `after` when subscribing again.
    async fn cursor(&self) -> String {
        let Arrival {
            message, positions, ..
        } = &self.arrival;
        match positions.clone() {
            None => MessageCursor::of(message).encode(),
            Some(positions) => {
                let owner = self.owner;
                EventCursor { owner, positions }.encode()
            }
        }
    }

    /// The message, with its place in its group.
    async fn message_edge(&self) -> InOrder<MessageEdge> {
        let group = Arc::clone(&self.arrival.group);
        InOrder(MessageEdge::of(self.arrival.message.clone(), Some(group)))
    }

    /// The group, with its new place among the viewer's. It may show a newer
    /// message already.
    async fn message_group_edge(&self) -> InOrder<MessageGroupEdge> {
        let group = Arc::clone(&self.arrival.group);
        InOrder(MessageGroupEdge::alone(self.owner, group))
    }
}

/// Wraps a group that has changed.
pub struct MessageGroupUpdatedEvent {
    version: u64,
    group: Arc<crate::model::MessageGroup>,
}

impl MessageGroupUpdatedEvent {
    pub fn new(update: Update) -> Self {
        Self {
            version: update.version,
            group: Arc::new(update.group),
        }
    }
}

/// One of the viewer's groups has changed.
#[Object]
impl MessageGroupUpdatedEvent {
    /// Rises with every change of the group. Of two events of one group the
    /// one with the larger version is the newer, in whichever order they come.
    async fn version(&self) -> u64 {
        self.version
    }

    /// The group since.
    async fn message_group(&self) -> InOrder<MessageGroup> {
        InOrder(MessageGroup::alone(Arc::clone(&self.group)))
    }

    /// How many of the viewer's groups have messages that the viewer has not
    /// read: counted to 100 and no further, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        Session::of(ctx)?
            .unread_message_group_count(Freshness::Newest)
            .await
    }
}
