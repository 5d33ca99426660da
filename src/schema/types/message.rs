//! `Message` and its connection.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};

use super::{MessageGroup, User};
use crate::engine::{Cost, FieldCost, InOrder, List};
use crate::model::{self, Page};
use crate::schema::cursor::{Cursor, MessageCursor};
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::paging::PageInfo;
use crate::schema::scalars::{DateTime, Uuid};
use crate::schema::session::Session;

/// Wraps a message, with its group where that is known already.
pub struct Message {
    // In a box, since it is part of the variants of results.
    message: Box<model::Message>,
    group: Option<Arc<model::MessageGroup>>,
}

impl Message {
    pub fn new(message: model::Message, group: Option<Arc<model::MessageGroup>>) -> Self {
        let message = Box::new(message);
        Self { message, group }
    }

    /// As JSON a character of a body has up to six bytes.
    pub const COSTS: &[FieldCost] = &[FieldCost {
        ty: "Message",
        field: "body",
        cost: Cost::Bytes(6 * model::MessageBody::MAX_LENGTH),
    }];
}

/// A message in a group.
#[Object]
impl Message {
    /// The message's global id.
    pub async fn id(&self) -> ID {
        GlobalId::of_message(&self.message).into()
    }

    /// The message's own uuid.
    async fn uuid(&self) -> Uuid {
        Uuid(self.message.id.0)
    }

    /// The text, as it was sent: 1 to 1024 Unicode characters.
    async fn body(&self) -> &str {
        &self.message.body
    }

    /// When the server accepted the message.
    ///
    /// The order of the messages can differ from these times: in a group whose newest
    /// message is dated ahead of the clock, a new message still comes last.
    async fn created_at(&self) -> DateTime {
        DateTime(self.message.created_at())
    }

    /// Whoever sent it. Somebody who is gone is shown by the names they had
    /// then.
    async fn sender(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let copy = &self.message.sender;
        let found = Session::of(ctx)?.user_or_copy(copy.id, Some(copy)).await?;
        let user = found.unwrap_or_else(|| Arc::new(copy.clone()));
        Ok(InOrder(User(user)))
    }

    /// The group it was sent to.
    async fn message_group(&self, ctx: &Context<'_>) -> Result<InOrder<MessageGroup>, ApiError> {
        if let Some(group) = &self.group {
            return Ok(InOrder(MessageGroup::alone(Arc::clone(group))));
        }
        let found = Session::of(ctx)?
            .find_message_group(self.message.group_id)
            .await?;
        // Whoever sees the message takes part in its group for ever.
        let found = found.ok_or(ApiError::Internal)?;
        Ok(InOrder(MessageGroup::alone(found)))
    }
}

/// A message and its place in its group.
#[derive(SimpleObject)]
pub struct MessageEdge {
    /// The place, to be used as `after` or `before`.
    cursor: String,
    /// The message.
    node: InOrder<Message>,
}

impl MessageEdge {
    pub fn of(message: model::Message, group: Option<Arc<model::MessageGroup>>) -> Self {
        Self {
            cursor: MessageCursor::of(&message).encode(),
            node: InOrder(Message::new(message, group)),
        }
    }
}

/// A page of a group's messages, oldest to newest.
#[derive(SimpleObject)]
pub struct MessageConnection {
    /// The messages of this page, each with its place.
    edges: List<InOrder<MessageEdge>>,
    /// Where this page stands.
    page_info: InOrder<PageInfo>,
}

impl MessageConnection {
    pub fn of(page: &Page<model::Message>, group: Option<&Arc<model::MessageGroup>>) -> Self {
        let edge =
            |message: &model::Message| InOrder(MessageEdge::of(message.clone(), group.cloned()));
        let edges: Vec<_> = page.items.iter().map(edge).collect();
        Self {
            page_info: InOrder(PageInfo::of(
                page,
                edges.iter().map(|edge| edge.0.cursor.as_str()),
            )),
            edges: List(edges),
        }
    }
}
