//! Loaders of users and groups. Each object is read once per request.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use dataloader::BatchFn;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::rate::SendRate;
use crate::messaging::{BatchLoader, Messaging, MessagingError, PairLookup, UserLoader, Viewer};
use crate::model::{MessageGroup, MessageGroupId, UserId};

/// Maximum number of concurrent lookups of groups of two users in a request,
/// which bounds the load that one request causes.
const LOOKUPS_AT_ONCE: usize = 16;
/// Maximum number of concurrent lookups that read all rows of both users, up to
/// 32 MB each.
const ROW_READS_AT_ONCE: usize = 2;

type FoundGroup = Result<Option<Arc<MessageGroup>>, MessagingError>;
type FoundPair = Result<Option<Arc<MessageGroup>>, ApiError>;

/// The parameters that all loaders of a request share: the viewer, the services,
/// and the limits.
pub(super) struct LoaderContext {
    pub messaging: Arc<Messaging>,
    pub viewer: Option<Viewer>,
    pub rate: SendRate,
}

type GroupLoader = BatchLoader<MessageGroupId, FoundGroup, GroupBatch>;
type PairLoader = BatchLoader<UserId, FoundPair, PairBatch>;

/// Loaders, which cache their results. The loaders of groups are created when
/// they are first used, because most requests do not use them.
#[derive(Clone)]
pub(super) struct Loaders {
    pub users: Arc<UserLoader>,
    /// The viewer's groups by their IDs.
    groups: Arc<OnceLock<GroupLoader>>,
    /// The viewer's groups with other users.
    pairs: Arc<OnceLock<PairLoader>>,
}

impl Loaders {
    pub fn new(users: Arc<UserLoader>) -> Self {
        Self {
            users,
            groups: Arc::default(),
            pairs: Arc::default(),
        }
    }

    pub fn groups(&self, context: &Arc<LoaderContext>) -> &GroupLoader {
        let new = || BatchLoader::new(GroupBatch(Arc::clone(context)));
        self.groups.get_or_init(new)
    }

    pub fn pairs(&self, context: &Arc<LoaderContext>) -> &PairLoader {
        self.pairs.get_or_init(|| {
            BatchLoader::new(PairBatch {
                context: Arc::clone(context),
                row_reads: Semaphore::new(ROW_READS_AT_ONCE),
            })
        })
    }
}

pub(super) struct GroupBatch(Arc<LoaderContext>);

impl BatchFn<MessageGroupId, FoundGroup> for GroupBatch {
    async fn load(&mut self, ids: &[MessageGroupId]) -> HashMap<MessageGroupId, FoundGroup> {
        let Some(viewer) = &self.0.viewer else {
            return ids.iter().map(|id| (*id, Ok(None))).collect();
        };
        let reader = &self.0.messaging.reader;
        let found = ids.iter().map(|id| reader.find_message_group(viewer, *id));
        let found = join_all(found).await.into_iter();
        let found = found.map(|found| found.map(|group| group.map(Arc::new)));
        ids.iter().copied().zip(found).collect()
    }
}

/// Looks up the viewer's groups with several users.
///
/// A lookup that must read all rows of two users takes a token of the caller's
/// rate limit, like a message.
pub(super) struct PairBatch {
    context: Arc<LoaderContext>,
    row_reads: Semaphore,
}

impl PairBatch {
    async fn find(&self, other: UserId) -> FoundPair {
        let LoaderContext {
            messaging,
            viewer,
            rate,
        } = &*self.context;
        let viewer = viewer.as_ref().ok_or(ApiError::Unauthenticated)?;
        let reader = &messaging.reader;
        Ok(match reader.find_message_group_with(viewer, other).await? {
            PairLookup::Done(found) => found.map(Arc::from),
            PairLookup::NeedsRows => {
                rate.take(viewer.user().id)?;
                let permit = self.row_reads.acquire().await;
                let _permit = permit.map_err(|_| ApiError::Internal)?;
                let found = reader.find_message_group_by_rows(viewer, other);
                found.await?.map(Arc::new)
            }
        })
    }
}

impl BatchFn<UserId, FoundPair> for PairBatch {
    async fn load(&mut self, others: &[UserId]) -> HashMap<UserId, FoundPair> {
        let batch = &*self;
        stream::iter(others.iter().copied())
            .map(|other| async move { (other, batch.find(other).await) })
            .buffer_unordered(LOOKUPS_AT_ONCE)
            .collect()
            .await
    }
}
