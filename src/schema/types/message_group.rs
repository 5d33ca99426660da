//! `MessageGroup` and its connection.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};

use super::message::MessageConnection;
use super::objects::{Message, MessageGroup, User};
use crate::engine::{InOrder, List};
use crate::model::{self, Page, UserId};
use crate::schema::cursor::{Cursor, CursorArgument, MessageCursor, MessageGroupCursor};
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::paging::{PageArgs, PageInfo};
use crate::schema::scalars::{DateTime, Uuid};
use crate::schema::session::Session;

/// The messages between two users, as seen by the viewer, who is one of them.
#[Object]
impl MessageGroup {
    /// The global ID of the group.
    pub async fn id(&self) -> ID {
        GlobalId::MessageGroup(self.group.id).into()
    }

    /// The UUID of the group, as in the app's URLs.
    async fn uuid(&self) -> Uuid {
        Uuid(self.group.id.0)
    }

    /// The participant who is not the viewer. If the user no longer exists, the
    /// handle and display name stored with the group are returned.
    async fn other_user(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let session = Session::of(ctx)?;
        let copy = self.group.other_user.as_ref();
        if let Some(user) = session.user_or_copy(self.group.other_user_id, copy).await? {
            return Ok(InOrder(User(user)));
        }
        let kept = session
            .messaging()
            .reader
            .copy_of_other_user(session.viewer()?, self.group.id);
        // Boxed for the reason stated in `Query::message_groups`.
        let kept = Box::pin(kept).await?;
        // If neither the user, nor a name in the row, nor a message of the user
        // exists, only the UUID is known.
        let kept = kept.unwrap_or_else(|| nameless(self.group.other_user_id));
        Ok(InOrder(User(Arc::new(kept))))
    }

    /// The newest message of the group.
    async fn last_message(&self) -> InOrder<Message> {
        InOrder(Message::newest_of(Arc::clone(&self.group)))
    }

    /// The time at which the server accepted the newest message: its
    /// `createdAt`.
    ///
    /// Groups are not always ordered by this time: a group whose messages have
    /// times ahead of the clock stays first until the clock reaches these
    /// times.
    async fn last_message_at(&self) -> DateTime {
        DateTime(self.group.last_message.created_at())
    }

    /// Number of messages that the viewer has not read: all messages after the
    /// last message that the viewer marked as read or sent. The number is exact
    /// and has no upper limit.
    async fn unread_count(&self) -> u64 {
        self.group.unread_count
    }

    /// Version of the group for the viewer. It increases with each change of
    /// the newest message or of `unreadCount`, and every field that returns the
    /// group returns it with the same version.
    ///
    /// Of two responses with the same group, the one with the larger version is
    /// newer, whatever order they arrive in. A cache keeps the newer one.
    async fn version(&self) -> u64 {
        self.group.version
    }

    /// The messages of the group, oldest first. Returns the last 20 messages if
    /// no argument is given.
    ///
    /// A chat window requests `last: 20` and loads older messages with
    /// `before`.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return at most this number of the oldest messages: 0 to 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return only messages after (newer than) this cursor.")] after: Option<
            CursorArgument<MessageCursor>,
        >,
        #[graphql(
            desc = "Return at most this number of the newest messages: 0 to 100. Cannot be combined with `first`."
        )]
        last: Option<i32>,
        #[graphql(desc = "Return only messages before (older than) this cursor.")] before: Option<
            CursorArgument<MessageCursor>,
        >,
    ) -> Result<InOrder<MessageConnection>, ApiError> {
        let session = Session::of(ctx)?;
        let request = PageArgs::new(first, after, last, before).of_messages(self.group.id)?;
        let _permit = session.read_permit().await?;
        let page = session
            .messaging()
            .reader
            .messages_of(&self.group, &request, self.consistency);
        // Boxed for the reason stated in `Query::message_groups`.
        let page = Box::pin(page).await?;
        Ok(InOrder(MessageConnection::of(page, Some(&self.group))))
    }
}

fn nameless(id: UserId) -> model::User {
    model::User {
        id,
        handle: id.to_string(),
        display_name: id.to_string(),
    }
}

/// An edge of a `MessageGroupConnection`.
pub struct MessageGroupEdge {
    owner: UserId,
    node: InOrder<MessageGroup>,
}

impl MessageGroupEdge {
    /// Creates the edge of a group that was requested on its own.
    pub fn alone(owner: UserId, group: Arc<model::MessageGroup>) -> Self {
        let node = InOrder(MessageGroup::alone(group));
        Self { owner, node }
    }
}

/// An edge of a `MessageGroupConnection`.
#[Object]
impl MessageGroupEdge {
    /// Opaque cursor of this edge, for `after` or `before`. It changes with
    /// every message in the group.
    async fn cursor(&self) -> String {
        MessageGroupCursor::of(self.owner, &self.node.0.group).encode()
    }

    /// The message group.
    async fn node(&self) -> &InOrder<MessageGroup> {
        &self.node
    }
}

/// A page of the viewer's message groups, most recently active first.
#[derive(SimpleObject)]
pub struct MessageGroupConnection {
    /// The message groups of this page, with their cursors.
    edges: List<InOrder<MessageGroupEdge>>,
    /// Pagination information for this page.
    page_info: InOrder<PageInfo>,
}

impl MessageGroupConnection {
    pub fn of(owner: UserId, page: Page<model::MessageGroup>) -> Self {
        let page_info = PageInfo::of(&page, |group| MessageGroupCursor::of(owner, group).encode());
        let edges = page.items.into_iter().map(|group| {
            let node = InOrder(MessageGroup::listed(Arc::new(group)));
            InOrder(MessageGroupEdge { owner, node })
        });
        Self {
            edges: List(edges.collect()),
            page_info: InOrder(page_info),
        }
    }
}
