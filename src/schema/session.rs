//! The request context that the resolvers of one request share.

use std::sync::{Arc, Mutex};

use async_graphql::Context;
use futures_util::future::BoxFuture;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::ApiError;
use super::loaders::{LoaderContext, Loaders};
use super::rate::SendRate;
use crate::lock::lock;
use crate::messaging::{Messaging, MessagingError, Positions, UserLoader, Viewer};
use crate::model::{Consistency, MessageGroup, MessageGroupId, User, UserId};

/// Maximum number of a request's nested reads at a time, which bounds the load
/// that one request causes.
const READS_AT_ONCE: usize = 16;

/// Called before the fields of a subscription's event are resolved, for example to reserve memory
/// for its response.
pub type BeforeEvent = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The context of one request: the viewer, and loaders that cache what the
/// request has read.
pub struct Session {
    pub(super) context: Arc<LoaderContext>,
    /// The loaders, unless they were dropped after the last event.
    loaders: Arc<Mutex<Option<Loaders>>>,
    reads: Semaphore,
    positions: OnceCell<Positions>,
    pub(super) deadline: Instant,
    before_event: Option<BeforeEvent>,
}

/// Drops the loaders of a session, so that each event of a subscription is
/// resolved with current data, and an idle subscription has none.
pub(super) struct Renewal {
    loaders: Arc<Mutex<Option<Loaders>>>,
    before_event: Option<BeforeEvent>,
}

impl Renewal {
    pub fn drop_loaders(&self) {
        *lock(&self.loaders) = None;
    }

    pub async fn before_event(&self) {
        if let Some(before_event) = &self.before_event {
            before_event().await;
        }
    }
}

impl Session {
    /// Creates the context of a request by `viewer`, or by an anonymous caller.
    /// The response is due by `deadline`.
    pub fn new(
        messaging: Arc<Messaging>,
        users: UserLoader,
        viewer: Option<Viewer>,
        rate: SendRate,
        deadline: Instant,
    ) -> Self {
        let context = Arc::new(LoaderContext {
            messaging,
            viewer,
            rate,
        });
        Self {
            context,
            loaders: Arc::new(Mutex::new(Some(Loaders::new(Arc::new(users))))),
            reads: Semaphore::new(READS_AT_ONCE),
            positions: OnceCell::new(),
            deadline,
            before_event: None,
        }
    }

    /// Sets a function that is called before each event of a subscription.
    #[must_use]
    pub fn before_each_event(mut self, before_event: BeforeEvent) -> Self {
        self.before_event = Some(before_event);
        self
    }

    /// Returns the session of a resolver's request.
    pub(super) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Self, ApiError> {
        ctx.data::<Self>().map_err(|_| ApiError::Internal)
    }

    /// Returns the ID of the viewer, if the caller is signed in.
    pub fn viewer_id(&self) -> Option<UserId> {
        let viewer = self.context.viewer.as_ref();
        viewer.map(|viewer| viewer.user().id)
    }

    pub(super) fn viewer(&self) -> Result<&Viewer, ApiError> {
        let viewer = self.context.viewer.as_ref();
        viewer.ok_or(ApiError::Unauthenticated)
    }

    pub(super) fn messaging(&self) -> &Messaging {
        &self.context.messaging
    }

    fn loaders(&self) -> Loaders {
        let new = || Loaders::new(Arc::new(self.messaging().directory.loader()));
        lock(&self.loaders).get_or_insert_with(new).clone()
    }

    pub(super) fn users(&self) -> Arc<UserLoader> {
        self.loaders().users
    }

    /// Returns a handle with which a subscription drops the loaders.
    pub(super) fn renewal(&self) -> Renewal {
        Renewal {
            loaders: Arc::clone(&self.loaders),
            before_event: self.before_event.clone(),
        }
    }

    /// Replaces the loaders of groups after a write, so that groups are read
    /// again.
    pub(super) fn forget_groups(&self) {
        *lock(&self.loaders) = Some(Loaders::new(self.users()));
    }

    /// Returns the number of the viewer's groups that have unread messages,
    /// counted to 100.
    pub(super) async fn unread_message_group_count(
        &self,
        consistency: Consistency,
    ) -> Result<u32, ApiError> {
        let viewer = self.viewer()?;
        let reader = &self.messaging().reader;
        let count = reader.unread_message_group_count(viewer, consistency);
        // Boxed for the reason stated in `Query::message_groups`.
        Ok(Box::pin(count).await?)
    }

    /// Returns the positions in the viewer's groups for `eventCursor`. They are
    /// read once per request.
    pub(super) async fn positions(&self) -> Result<Positions, ApiError> {
        let viewer = self.viewer()?;
        let read = || self.messaging().live.positions(viewer);
        let positions = self.positions.get_or_try_init(read);
        Ok(positions.await?.clone())
    }

    /// Waits for a permit for a nested read.
    pub(super) async fn read_permit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.reads.acquire().await.map_err(|_| ApiError::Internal)
    }

    /// Returns one of the viewer's groups. Each group is read once per request.
    pub(super) async fn find_message_group(
        &self,
        id: MessageGroupId,
    ) -> Result<Option<Arc<MessageGroup>>, ApiError> {
        // Boxed for the reason stated in `Query::message_groups`.
        let loaders = self.loaders();
        let found = Box::pin(loaders.groups(&self.context).load(id)).await;
        Ok(found.ok_or(ApiError::Internal)??)
    }

    /// Returns the viewer's group with another user. Each group is looked up once
    /// per request.
    pub(super) async fn find_message_group_with(
        &self,
        other: UserId,
    ) -> Result<Option<Arc<MessageGroup>>, ApiError> {
        // Boxed for the reason stated in `Query::message_groups`.
        let loaders = self.loaders();
        let found = Box::pin(loaders.pairs(&self.context).load(other)).await;
        found.ok_or(ApiError::Internal)?
    }

    /// Returns the user from Postgres, or `copy` if the user no longer exists or
    /// Postgres is unavailable.
    pub(super) async fn user_or_copy(
        &self,
        id: UserId,
        copy: Option<&User>,
    ) -> Result<Option<Arc<User>>, ApiError> {
        match self.users().find_by_id(id).await {
            Ok(Some(user)) => Ok(Some(user)),
            Ok(None) | Err(MessagingError::Unavailable { .. }) => Ok(copy.cloned().map(Arc::new)),
            Err(error) => Err(error.into()),
        }
    }
}
