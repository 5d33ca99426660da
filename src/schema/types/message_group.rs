//! `MessageGroup` and its connection.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};

use super::{Message, MessageConnection, User};
use crate::engine::{FieldCost, InOrder, List};
use crate::messaging::Freshness;
use crate::model::{self, End, Page, UserId};
use crate::schema::cursor::{Cursor, CursorArgument, MessageCursor, MessageGroupCursor};
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::paging::{PAGE, PageArgs, PageInfo};
use crate::schema::scalars::{DateTime, Uuid};
use crate::schema::session::Session;

/// Wraps a group as the viewer sees it.
pub struct MessageGroup {
    group: Arc<model::MessageGroup>,
    messages: Freshness,
}

impl MessageGroup {
    /// A group that was asked for by itself: its newest messages are all there.
    pub fn alone(group: Arc<model::MessageGroup>) -> Self {
        let messages = Freshness::Newest;
        Self { group, messages }
    }

    /// One group of a list: its messages may lag a second behind.
    fn listed(group: Arc<model::MessageGroup>) -> Self {
        let messages = Freshness::MayLag;
        Self { group, messages }
    }

    /// The sizes of its connection.
    pub const COSTS: &[FieldCost] = &[FieldCost {
        ty: "MessageGroup",
        field: "messages",
        cost: PAGE,
    }];
}

/// Two people's messages to each other, as the viewer, one of them, sees them.
#[Object]
impl MessageGroup {
    /// The group's global id.
    pub async fn id(&self) -> ID {
        GlobalId::MessageGroup(self.group.id).into()
    }

    /// The group's own uuid, which the app's URLs carry.
    async fn uuid(&self) -> Uuid {
        Uuid(self.group.id.0)
    }

    /// The participant who is not the viewer. Somebody who is gone is shown by
    /// the names they had.
    async fn other_user(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let session = Session::of(ctx)?;
        let copy = self.group.other_user.as_ref();
        if let Some(user) = session.user_or_copy(self.group.other_user_id, copy).await? {
            return Ok(InOrder(User(user)));
        }
        let kept = session
            .messaging()
            .copy_of_other_user(session.viewer()?, self.group.id);
        // Boxed, as each call of a store in a resolver: the future of every field is
        // as large as that of the largest field, and is moved.
        let kept = Box::pin(kept).await?;
        // Nothing but the uuid is left of somebody without user, row or message.
        let kept = kept.unwrap_or_else(|| nameless(self.group.other_user_id));
        Ok(InOrder(User(Arc::new(kept))))
    }

    /// The newest message.
    async fn last_message(&self) -> InOrder<Message> {
        let group = Some(Arc::clone(&self.group));
        InOrder(Message::new(self.group.last_message.clone(), group))
    }

    /// When the server accepted the newest message: the message's `createdAt`.
    ///
    /// The order of the viewer's groups can differ from these times: a group whose
    /// messages are dated ahead of the clock stays in front until the clock has reached
    /// their times.
    async fn last_message_at(&self) -> DateTime {
        DateTime(self.group.last_message.created_at())
    }

    /// How many messages the viewer has not read: those behind the last one
    /// that was marked as read, or that the viewer sent. Exact, however many
    /// they are.
    async fn unread_count(&self) -> u64 {
        self.group.unread_count
    }

    /// The messages, oldest to newest. The last 20 when nothing is given.
    ///
    /// A chat window asks for `last: 20` and scrolls back with `before`.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the oldest on: 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what is newer than this cursor.")] after: Option<
            CursorArgument<MessageCursor>,
        >,
        #[graphql(desc = "At most so many of the newest: 0 to 100. Not together with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what is older than this cursor.")] before: Option<
            CursorArgument<MessageCursor>,
        >,
    ) -> Result<InOrder<MessageConnection>, ApiError> {
        let session = Session::of(ctx)?;
        let group = self.group.id;
        let args = PageArgs {
            first,
            after,
            last,
            before,
        };
        let request =
            args.into_request(End::Last, |cursor: MessageCursor| cursor.place_in(group))?;
        let _turn = session.turn().await?;
        let page = session
            .messaging()
            .messages_of(&self.group, &request, self.messages);
        let page = Box::pin(page).await?;
        Ok(InOrder(MessageConnection::of(&page, Some(&self.group))))
    }
}

fn nameless(id: UserId) -> model::User {
    model::User {
        id,
        handle: id.to_string(),
        display_name: id.to_string(),
    }
}

/// A message group and its place among the viewer's.
#[derive(SimpleObject)]
pub struct MessageGroupEdge {
    /// The place, to be used as `after` or `before`. It changes with every
    /// message.
    cursor: String,
    /// The group.
    node: InOrder<MessageGroup>,
}

impl MessageGroupEdge {
    /// The edge of a group that was asked for by itself.
    pub fn alone(owner: UserId, group: Arc<model::MessageGroup>) -> Self {
        Self {
            cursor: MessageGroupCursor::of(owner, &group).encode(),
            node: InOrder(MessageGroup::alone(group)),
        }
    }
}

/// A page of the viewer's message groups, most recently active first.
#[derive(SimpleObject)]
pub struct MessageGroupConnection {
    /// The groups of this page, each with its place.
    edges: List<InOrder<MessageGroupEdge>>,
    /// Where this page stands.
    page_info: InOrder<PageInfo>,
}

impl MessageGroupConnection {
    pub fn of(owner: UserId, page: &Page<model::MessageGroup>) -> Self {
        let edge = |group: &model::MessageGroup| {
            InOrder(MessageGroupEdge {
                cursor: MessageGroupCursor::of(owner, group).encode(),
                node: InOrder(MessageGroup::listed(group.clone().into())),
            })
        };
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
