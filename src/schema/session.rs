//! The request context that the resolvers of one request share.

use async_graphql::Context;
use dataloader::BatchFn;
use futures_util::future::{BoxFuture, join_all};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::ApiError;
use super::pair_loader::{PairBatch, PairLoader};
use super::rate::SendRate;
use crate::messaging::{
    BatchLoader, Freshness, Messaging, MessagingError, Positions, UserLoader, Viewer,
};
use crate::model::{MessageGroup, MessageGroupId, User, UserId};

/// Maximum number of a request's nested reads at a time.
const READS_AT_ONCE: usize = 16;

type FoundGroup = Result<Option<Arc<MessageGroup>>, MessagingError>;

/// Called before the fields of a subscription's event are resolved, for example to reserve memory
/// for its response.
pub type BeforeEvent = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The context of one request: the viewer, and loaders that cache what the
/// request has read.
pub struct Session {
    messaging: Arc<Messaging>,
    viewer: Option<Viewer>,
    loaders: Arc<Mutex<Loaders>>,
    reads: Semaphore,
    positions: OnceCell<Positions>,
    rate: SendRate,
    deadline: Instant,
    before_event: Option<BeforeEvent>,
}

/// Loaders, which cache their results.
#[derive(Clone)]
struct Loaders {
    users: Arc<UserLoader>,
    groups: Arc<BatchLoader<MessageGroupId, FoundGroup, GroupBatch>>,
    pairs: Arc<PairLoader>,
}

impl Loaders {
    fn new(
        messaging: &Arc<Messaging>,
        viewer: Option<&Viewer>,
        rate: &SendRate,
        users: Arc<UserLoader>,
    ) -> Self {
        let pairs = PairBatch::loader(messaging.clone(), viewer.cloned(), rate.clone());
        let batch = GroupBatch {
            messaging: messaging.clone(),
            viewer: viewer.cloned(),
        };
        Self {
            users,
            groups: Arc::new(BatchLoader::new(batch)),
            pairs: Arc::new(pairs),
        }
    }
}

/// Replaces the loaders of a session, so that each event of a subscription is
/// resolved with current data.
pub(super) struct Renewal {
    messaging: Arc<Messaging>,
    viewer: Option<Viewer>,
    rate: SendRate,
    loaders: Arc<Mutex<Loaders>>,
    before_event: Option<BeforeEvent>,
}

impl Renewal {
    pub async fn renew(&self) {
        if let Some(before_event) = &self.before_event {
            before_event().await;
        }
        let users = Arc::new(self.messaging.directory.loader());
        let viewer = self.viewer.as_ref();
        let loaders = Loaders::new(&self.messaging, viewer, &self.rate, users);
        *self.loaders.lock().unwrap_or_else(PoisonError::into_inner) = loaders;
    }
}

impl Session {
    /// Creates the context of a request by `viewer`, or by an anonymous caller.
    /// The response is due by `deadline`.
    #[must_use]
    pub fn new(
        messaging: Arc<Messaging>,
        users: UserLoader,
        viewer: Option<Viewer>,
        rate: SendRate,
        deadline: Instant,
    ) -> Self {
        let loaders = Loaders::new(&messaging, viewer.as_ref(), &rate, Arc::new(users));
        Self {
            messaging,
            viewer,
            loaders: Arc::new(Mutex::new(loaders)),
            reads: Semaphore::new(READS_AT_ONCE),
            positions: OnceCell::new(),
            rate,
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

    /// Returns the id of the viewer, if the caller is signed in.
    #[must_use]
    pub fn viewer_id(&self) -> Option<UserId> {
        self.viewer.as_ref().map(|viewer| viewer.user().id)
    }

    pub(super) fn viewer(&self) -> Result<&Viewer, ApiError> {
        self.viewer.as_ref().ok_or(ApiError::Unauthenticated)
    }

    pub(super) fn messaging(&self) -> &Messaging {
        &self.messaging
    }

    fn loaders(&self) -> Loaders {
        let loaders = self.loaders.lock();
        loaders.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn users(&self) -> Arc<UserLoader> {
        self.loaders().users
    }

    /// Returns a handle with which a subscription replaces the loaders.
    pub(super) fn renewal(&self) -> Renewal {
        Renewal {
            messaging: self.messaging.clone(),
            viewer: self.viewer.clone(),
            rate: self.rate.clone(),
            loaders: Arc::clone(&self.loaders),
            before_event: self.before_event.clone(),
        }
    }

    /// Replaces the loaders of groups after a write, so that groups are read
    /// again.
    pub(super) fn forget_groups(&self) {
        let users = self.users();
        let viewer = self.viewer.as_ref();
        let loaders = Loaders::new(&self.messaging, viewer, &self.rate, users);
        *self.loaders.lock().unwrap_or_else(PoisonError::into_inner) = loaders;
    }

    /// Returns the number of the viewer's groups that have unread messages,
    /// counted to 100.
    pub(super) async fn unread_message_group_count(
        &self,
        freshness: Freshness,
    ) -> Result<u32, ApiError> {
        let viewer = self.viewer()?;
        let count = self
            .messaging
            .reader
            .unread_message_group_count(viewer, freshness);
        Ok(Box::pin(count).await?)
    }

    /// The positions in the viewer's groups before the beginning of the request,
    /// read once a request.
    pub(super) async fn positions(&self) -> Result<Positions, ApiError> {
        let viewer = self.viewer()?;
        let positions = self
            .positions
            .get_or_try_init(|| self.messaging.live.positions(viewer));
        Ok(positions.await?.clone())
    }

    pub(super) fn rate(&self) -> &SendRate {
        &self.rate
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
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
        let found = Box::pin(self.loaders().groups.load(id)).await;
        Ok(found.ok_or(ApiError::Internal)??)
    }

    /// Returns the viewer's group with another user. Each is looked up once per
    /// request.
    pub(super) async fn find_message_group_with(
        &self,
        other: UserId,
    ) -> Result<Option<Arc<MessageGroup>>, ApiError> {
        let found = Box::pin(self.loaders().pairs.load(other)).await;
        found.ok_or(ApiError::Internal)?
    }

    /// Returns the current user, or the copy if the user no longer exists or
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

struct GroupBatch {
    messaging: Arc<Messaging>,
    viewer: Option<Viewer>,
}

impl BatchFn<MessageGroupId, FoundGroup> for GroupBatch {
    async fn load(&mut self, ids: &[MessageGroupId]) -> HashMap<MessageGroupId, FoundGroup> {
        let Some(viewer) = &self.viewer else {
            return ids.iter().map(|id| (*id, Ok(None))).collect();
        };
        let found = ids
            .iter()
            .map(|id| self.messaging.reader.find_message_group(viewer, *id));
        let found = join_all(found)
            .await
            .into_iter()
            .map(|found| found.map(|group| group.map(Arc::new)));
        ids.iter().copied().zip(found).collect()
    }
}
