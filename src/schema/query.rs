//! What can be asked.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::cursor::{CursorArgument, MessageCursor, MessageGroupCursor};
use super::error::ApiError;
use super::global_id::{GlobalId, IdArgument};
use super::paging::{PAGE, PageArgs};
use super::scalars::Uuid;
use super::session::Session;
use super::types::{Message, MessageConnection, MessageGroup, MessageGroupConnection, Node, User};
use crate::engine::{FieldCost, InOrder};
use crate::messaging::Freshness;
use crate::model::{End, MessageGroupId};

/// The root of all queries.
pub struct Query;

impl Query {
    /// The sizes of its connections.
    pub(super) const COSTS: &[FieldCost] = &[
        FieldCost {
            ty: "Query",
            field: "messageGroups",
            cost: PAGE,
        },
        FieldCost {
            ty: "Query",
            field: "messages",
            cost: PAGE,
        },
    ];
}

/// Everything here is seen through the eyes of the signed-in user, the viewer.
#[Object]
impl Query {
    /// The signed-in user.
    #[expect(clippy::unused_async, reason = "a field of the schema")]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let viewer = Session::of(ctx)?.viewer()?;
        Ok(InOrder(User(Arc::clone(viewer.user()))))
    }

    /// The user with a handle; null when nobody has it.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Without `@`, such as `luu`. Compared exactly, so upper and lower case differ."
        )]
        handle: String,
    ) -> Result<Option<InOrder<User>>, ApiError> {
        let session = Session::of(ctx)?;
        session.viewer()?;
        let found = session.users().find_by_handle(&handle).await?;
        Ok(found.map(|user| InOrder(User(user))))
    }

    /// The viewer's message groups, most recently active first. The first 20
    /// when nothing is given; asking for more than 100 is an error.
    async fn message_groups(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the front: 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes behind this cursor.")] after: Option<
            CursorArgument<MessageGroupCursor>,
        >,
        #[graphql(desc = "At most so many from the back: 0 to 100. Not together with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes in front of this cursor.")] before: Option<
            CursorArgument<MessageGroupCursor>,
        >,
    ) -> Result<InOrder<MessageGroupConnection>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let owner = viewer.user().id;
        let args = PageArgs {
            first,
            after,
            last,
            before,
        };
        let request = args.into_request(End::First, |cursor: MessageGroupCursor| {
            cursor.place_among(owner)
        })?;
        let page = session.messaging().message_groups(viewer, &request);
        // Boxed: its future is large, and that of each field is moved.
        let page = Box::pin(page).await?;
        session
            .users()
            .expect(page.items.iter().map(|group| group.other_user_id));
        Ok(InOrder(MessageGroupConnection::of(owner, &page)))
    }

    /// One of the viewer's message groups; null when there is no such group,
    /// or it is not the viewer's.
    async fn message_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group's `uuid`.")] uuid: Uuid,
    ) -> Result<Option<InOrder<MessageGroup>>, ApiError> {
        let session = Session::of(ctx)?;
        session.viewer()?;
        let found = session.find_message_group(MessageGroupId(uuid.0)).await?;
        Ok(found.map(|group| InOrder(MessageGroup::alone(group))))
    }

    /// The messages of one of the viewer's groups, oldest to newest. The last
    /// 20 when nothing is given. Null when there is no such group, or it is
    /// not the viewer's.
    ///
    /// A chat window asks for `last: 20` and scrolls back with `before`. Asking
    /// for more than 100 is an error.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group's `uuid`.")] message_group_uuid: Uuid,
        #[graphql(desc = "At most so many from the oldest on: 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what is newer than this cursor.")] after: Option<
            CursorArgument<MessageCursor>,
        >,
        #[graphql(desc = "At most so many of the newest: 0 to 100. Not together with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what is older than this cursor.")] before: Option<
            CursorArgument<MessageCursor>,
        >,
    ) -> Result<Option<InOrder<MessageConnection>>, ApiError> {
        let session = Session::of(ctx)?;
        let group = MessageGroupId(message_group_uuid.0);
        let args = PageArgs {
            first,
            after,
            last,
            before,
        };
        let request =
            args.into_request(End::Last, |cursor: MessageCursor| cursor.place_in(group))?;
        let page = session
            .messaging()
            .messages(session.viewer()?, group, &request);
        let page = Box::pin(page).await?;
        Ok(page.map(|page| InOrder(MessageConnection::of(&page, None))))
    }

    /// How many of the viewer's groups have messages that the viewer has not
    /// read: counted to 100 and no further, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        let session = Session::of(ctx)?;
        session.unread_message_group_count(Freshness::MayLag).await
    }

    /// The object with a global id; null when there is none, or it is not the
    /// viewer's to see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The object's `id`.")] id: IdArgument,
    ) -> Result<Option<InOrder<Node>>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let found = match id.0 {
            None => None,
            Some(GlobalId::User(id)) => session
                .users()
                .find_by_id(id)
                .await?
                .map(|user| Node::User(User(user))),
            Some(GlobalId::MessageGroup(id)) => {
                let found: Option<Arc<_>> = session.find_message_group(id).await?;
                found.map(|group| Node::MessageGroup(MessageGroup::alone(group)))
            }
            Some(GlobalId::Message(group, key, id)) => {
                let found = session.messaging().find_message(viewer, group, &key, id);
                let found = Box::pin(found).await?;
                found.map(|message| Node::Message(Message::new(message, None)))
            }
        };
        Ok(found.map(InOrder))
    }
}
