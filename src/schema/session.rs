//! What the resolvers of one request share.

use async_graphql::Context;
use dataloader::BatchFn;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::ApiError;
use super::pair_loader::{PairBatch, PairLoader};
use super::rate::SendRate;
use crate::messaging::{BatchLoader, Freshness, Messaging, MessagingError, UserLoader, Viewer};
use crate::model::{MessageGroup, MessageGroupId, User, UserId};

/// How many of a request's nested reads run at the same time.
const READS_AT_ONCE: usize = 16;

type FoundGroup = Result<Option<Arc<MessageGroup>>, MessagingError>;

/// One request: who asks, and what was found for it so far.
pub struct Session {
    messaging: Messaging,
    viewer: Option<Viewer>,
    found: Arc<Mutex<Found>>,
    reads: Semaphore,
    rate: SendRate,
    deadline: Instant,
}

/// What was found so far.
#[derive(Clone)]
struct Found {
    users: Arc<UserLoader>,
    groups: Arc<BatchLoader<MessageGroupId, FoundGroup, GroupBatch>>,
    pairs: Arc<PairLoader>,
}

impl Found {
    fn nothing(
        messaging: &Messaging,
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

/// Lets a session forget what it has found: each event of a subscription is
/// answered as of its own time.
pub(super) struct Renewal {
    messaging: Messaging,
    viewer: Option<Viewer>,
    rate: SendRate,
    found: Arc<Mutex<Found>>,
}

impl Renewal {
    pub fn renew(&self) {
        let users = Arc::new(self.messaging.user_loader());
        let viewer = self.viewer.as_ref();
        let nothing = Found::nothing(&self.messaging, viewer, &self.rate, users);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
    }
}

impl Session {
    /// A request of `viewer`, or of nobody, to be answered by `deadline`.
    #[must_use]
    pub fn new(
        messaging: Messaging,
        users: UserLoader,
        viewer: Option<Viewer>,
        rate: SendRate,
        deadline: Instant,
    ) -> Self {
        let found = Found::nothing(&messaging, viewer.as_ref(), &rate, Arc::new(users));
        Self {
            messaging,
            viewer,
            found: Arc::new(Mutex::new(found)),
            reads: Semaphore::new(READS_AT_ONCE),
            rate,
            deadline,
        }
    }

    /// The session of the request that a resolver works for.
    pub(super) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Self, ApiError> {
        ctx.data::<Self>().map_err(|_| ApiError::Internal)
    }

    /// Who is signed in, if anybody is.
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

    fn found(&self) -> Found {
        let found = self.found.lock();
        found.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn users(&self) -> Arc<UserLoader> {
        self.found().users
    }

    /// For a subscription, which outlives what it has found.
    pub(super) fn renewal(&self) -> Renewal {
        Renewal {
            messaging: self.messaging.clone(),
            viewer: self.viewer.clone(),
            rate: self.rate.clone(),
            found: Arc::clone(&self.found),
        }
    }

    /// After a write: groups that are asked for from now on are read again.
    pub(super) fn forget_groups(&self) {
        let users = self.users();
        let viewer = self.viewer.as_ref();
        let nothing = Found::nothing(&self.messaging, viewer, &self.rate, users);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
    }

    /// How many of the viewer's groups have unread messages, counted to 100.
    pub(super) async fn unread_message_group_count(
        &self,
        freshness: Freshness,
    ) -> Result<u32, ApiError> {
        let viewer = self.viewer()?;
        let count = self.messaging.unread_message_group_count(viewer, freshness);
        Ok(Box::pin(count).await?)
    }

    pub(super) fn rate(&self) -> &SendRate {
        &self.rate
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a turn to read something nested.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.reads.acquire().await.map_err(|_| ApiError::Internal)
    }

    /// One of the viewer's groups, read once a request.
    pub(super) async fn find_message_group(
        &self,
        id: MessageGroupId,
    ) -> Result<Option<Arc<MessageGroup>>, ApiError> {
        let found = Box::pin(self.found().groups.load(id)).await;
        Ok(found.ok_or(ApiError::Internal)??)
    }

    /// The viewer's group with another user, looked up once a request.
    pub(super) async fn find_message_group_with(
        &self,
        other: UserId,
    ) -> Result<Option<Arc<MessageGroup>>, ApiError> {
        let found = Box::pin(self.found().pairs.load(other)).await;
        found.ok_or(ApiError::Internal)?
    }

    /// A user as they are now, or by their copy when they are gone or Postgres
    /// does not answer.
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
    messaging: Messaging,
    viewer: Option<Viewer>,
}

impl BatchFn<MessageGroupId, FoundGroup> for GroupBatch {
    async fn load(&mut self, ids: &[MessageGroupId]) -> HashMap<MessageGroupId, FoundGroup> {
        let Some(viewer) = &self.viewer else {
            return ids.iter().map(|id| (*id, Ok(None))).collect();
        };
        let found = ids
            .iter()
            .map(|id| self.messaging.find_message_group(viewer, *id));
        let found = join_all(found)
            .await
            .into_iter()
            .map(|found| found.map(|group| group.map(Arc::new)));
        ids.iter().copied().zip(found).collect()
    }
}
