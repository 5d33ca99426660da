//! The query root.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::cursor::{Cursor, CursorArgument, EventCursor, MessageCursor, MessageGroupCursor};
use super::error::ApiError;
use super::global_id::{GlobalId, IdArgument};
use super::paging::{PAGE, PageArgs};
use super::scalars::Uuid;
use super::session::Session;
use super::types::{Message, MessageConnection, MessageGroup, MessageGroupConnection, Node, User};
use crate::engine::{DeclaredCost, FieldCost, InOrder};
use crate::model::{Consistency, End, MessageGroupId};

/// The root type of queries.
pub struct Query;

impl Query {
    /// The field that is resolved before all other fields, so that these contain
    /// every message that a subscription from this cursor does not deliver.
    pub(super) const RESOLVED_FIRST: &str = "eventCursor";

    /// The page sizes of the query root's connections, and the size of `eventCursor`.
    pub(super) const COSTS: &[FieldCost] = &[
        FieldCost::new(
            "Query",
            Self::RESOLVED_FIRST,
            DeclaredCost::Bytes(EventCursor::MAX_BYTES),
        ),
        FieldCost::new("Query", "messageGroups", PAGE),
        FieldCost::new("Query", "messages", PAGE),
    ];
}

/// The root of all queries. Results depend on the signed-in user, who is called
/// the viewer.
#[Object]
impl Query {
    /// The signed-in user.
    #[expect(
        clippy::unused_async,
        reason = "async-graphql requires asynchronous resolvers"
    )]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<InOrder<User>, ApiError> {
        let viewer = Session::of(ctx)?.viewer()?;
        Ok(InOrder(User(Arc::clone(viewer.user()))))
    }

    /// The user with the given handle. Null if no user has this handle.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's handle without `@`, such as `luu`. Case-sensitive.")]
        handle: String,
    ) -> Result<Option<InOrder<User>>, ApiError> {
        let session = Session::of(ctx)?;
        session.viewer()?;
        let found = session.users().find_by_handle(&handle).await?;
        Ok(found.map(|user| InOrder(User(user))))
    }

    /// The viewer's message groups, most recently active first. Returns the
    /// first 20 groups if no argument is given. Requesting more than 100 is an
    /// error.
    async fn message_groups(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return at most this number of groups from the start: 0 to 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return only groups after this cursor.")] after: Option<
            CursorArgument<MessageGroupCursor>,
        >,
        #[graphql(
            desc = "Return at most this number of groups from the end: 0 to 100. Cannot be combined with `first`."
        )]
        last: Option<i32>,
        #[graphql(desc = "Return only groups before this cursor.")] before: Option<
            CursorArgument<MessageGroupCursor>,
        >,
    ) -> Result<InOrder<MessageGroupConnection>, ApiError> {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let owner = viewer.user().id;
        let args = PageArgs::new(first, after, last, before);
        let request = args.into_request(End::First, |cursor| cursor.position_among(owner))?;
        let page = session.messaging().reader.message_groups(viewer, &request);
        // Boxed, like each call to a store in a resolver: the futures of all
        // fields are as large as the largest one, and futures are moved.
        let page = Box::pin(page).await?;
        session
            .users()
            .expect(page.items.iter().map(|group| group.other_user_id));
        Ok(InOrder(MessageGroupConnection::of(owner, page)))
    }

    /// One of the viewer's message groups. Null if the group does not exist or
    /// the viewer is not a participant.
    async fn message_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `uuid` of the message group.")] uuid: Uuid,
    ) -> Result<Option<InOrder<MessageGroup>>, ApiError> {
        let session = Session::of(ctx)?;
        session.viewer()?;
        let found = session.find_message_group(MessageGroupId(uuid.0)).await?;
        Ok(found.map(|group| InOrder(MessageGroup::alone(group))))
    }

    /// The messages of one of the viewer's message groups, oldest first.
    /// Returns the last 20 messages if no argument is given. Null if the group
    /// does not exist or the viewer is not a participant.
    ///
    /// A chat window requests `last: 20` and loads older messages with
    /// `before`. Requesting more than 100 is an error.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `uuid` of the message group.")] message_group_uuid: Uuid,
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
    ) -> Result<Option<InOrder<MessageConnection>>, ApiError> {
        let session = Session::of(ctx)?;
        let group = MessageGroupId(message_group_uuid.0);
        let request = PageArgs::new(first, after, last, before).of_messages(group)?;
        let page = session
            .messaging()
            .reader
            .messages(session.viewer()?, group, &request);
        // Boxed for the reason stated in `message_groups`.
        let page = Box::pin(page).await?;
        Ok(page.map(|page| InOrder(MessageConnection::of(page, None))))
    }

    /// Number of the viewer's message groups that have unread messages. The
    /// count stops at 100, so 100 means 100 or more.
    async fn unread_message_group_count(&self, ctx: &Context<'_>) -> Result<u32, ApiError> {
        let session = Session::of(ctx)?;
        let count = session.unread_message_group_count(Consistency::Eventual);
        count.await
    }

    /// Cursor from which `messageCreated(after:)`, without `messageGroupUuid`,
    /// delivers every message that is committed after the server received the
    /// query. Lists can therefore be fetched in the same query or before it.
    ///
    /// The subscription also delivers the messages of the minute before the
    /// query. Clients remove duplicates by `Message.id`.
    ///
    /// A message that is committed more than 50 seconds after its `createdAt`
    /// and before this field is resolved may not be delivered. The other fields
    /// of the operation are resolved later, so that their lists contain it.
    ///
    /// If more than 256 groups have had messages in the last 15 minutes, a
    /// subscription from this cursor is rejected with `RESYNC`.
    async fn event_cursor(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let session = Session::of(ctx)?;
        let owner = session.viewer()?.user().id;
        // Boxed for the reason stated in `message_groups`.
        let positions = Box::pin(session.positions()).await?;
        Ok(EventCursor { owner, positions }.encode())
    }

    /// The object with the given global ID. Null if the object does not exist
    /// or the viewer may not see it.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of the object.")] id: IdArgument,
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
                let found = session
                    .messaging()
                    .reader
                    .find_message(viewer, group, &key, id);
                // Boxed for the reason stated in `message_groups`.
                let found = Box::pin(found).await?;
                found.map(|message| Node::Message(Message::new(message, None)))
            }
        };
        Ok(found.map(InOrder))
    }
}
