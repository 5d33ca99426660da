//! `Message` and its connection.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};

use super::objects::{Message, MessageGroup, User};
use crate::engine::{InOrder, List};
use crate::model::{self, Page};
use crate::schema::cursor::{Cursor, MessageCursor};
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::paging::PageInfo;
use crate::schema::scalars::{DateTime, Uuid};
use crate::schema::session::Session;

/// A message in a message group.
#[Object]
impl Message {
    /// The global ID of the message.
    pub async fn id(&self) -> ID {
        GlobalId::of_message(self.message()).into()
    }

    /// The UUID of the message.
    async fn uuid(&self) -> Uuid {
        Uuid(self.message().id.0)
    }

    /// The text of the message, exactly as sent: 1 to 1024 Unicode characters.
    async fn body(&self) -> &str {
        &self.message().body
    }

    /// The time at which the server accepted the message.
    ///
    /// Messages are not always ordered by this time: if the newest message of a
    /// group has a time ahead of the clock, a new message is still placed after
    /// it.
    async fn created_at(&self) -> DateTime {
        DateTime(self.message().created_at())
    }

    /// The user who sent the message. If the user no longer exists, the handle
    /// and display name stored with the message are returned.
    async fn sender(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let copy = &self.message().sender;
        let found = Session::of(ctx)?.user_or_copy(copy.id, Some(copy)).await?;
        let user = found.unwrap_or_else(|| Arc::new(copy.clone()));
        Ok(InOrder(User(user)))
    }

    /// The message group that contains the message.
    async fn message_group(&self, ctx: &Context<'_>) -> Result<InOrder<MessageGroup>, ApiError> {
        if let Some(group) = self.group() {
            return Ok(InOrder(MessageGroup::alone(Arc::clone(group))));
        }
        let found = Session::of(ctx)?
            .find_message_group(self.message().group_id)
            .await?;
        // A viewer who can read the message is a participant of its group, and
        // participants never change.
        let found = found.ok_or(ApiError::Internal)?;
        Ok(InOrder(MessageGroup::alone(found)))
    }
}

/// An edge of a `MessageConnection`.
pub struct MessageEdge {
    node: InOrder<Message>,
}

impl MessageEdge {
    pub fn of(message: model::Message, group: Option<Arc<model::MessageGroup>>) -> Self {
        let node = InOrder(Message::new(message, group));
        Self { node }
    }
}

/// An edge of a `MessageConnection`.
#[Object]
impl MessageEdge {
    /// Opaque cursor of this edge, for `after` or `before`.
    async fn cursor(&self) -> String {
        MessageCursor::of(self.node.0.message()).encode()
    }

    /// The message.
    async fn node(&self) -> &InOrder<Message> {
        &self.node
    }
}

/// A page of the messages of a message group, oldest first.
#[derive(SimpleObject)]
pub struct MessageConnection {
    /// The messages of this page, with their cursors.
    edges: List<InOrder<MessageEdge>>,
    /// Pagination information for this page.
    page_info: InOrder<PageInfo>,
}

impl MessageConnection {
    pub fn of(page: Page<model::Message>, group: Option<&Arc<model::MessageGroup>>) -> Self {
        let page_info = PageInfo::of(&page, |message| MessageCursor::of(message).encode());
        let edges = page.items.into_iter();
        let edges = edges.map(|message| InOrder(MessageEdge::of(message, group.cloned())));
        Self {
            edges: List(edges.collect()),
            page_info: InOrder(page_info),
        }
    }
}
