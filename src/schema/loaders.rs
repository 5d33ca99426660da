//! Loaders of users and groups. Each object is read once per request.

use std::collections::HashMap;
use std::sync::Arc;

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

/// Loaders, which cache their results.
#[derive(Clone)]
pub(super) struct Loaders {
    pub users: Arc<UserLoader>,
    /// The viewer's groups by their IDs.
    pub groups: Arc<BatchLoader<MessageGroupId, FoundGroup, GroupBatch>>,
    /// The viewer's groups with other users.
    pub pairs: Arc<BatchLoader<UserId, FoundPair, PairBatch>>,
}

impl Loaders {
    pub fn new(context: &Arc<LoaderContext>, users: Arc<UserLoader>) -> Self {
        let pairs = PairBatch {
            context: Arc::clone(context),
            row_reads: Semaphore::new(ROW_READS_AT_ONCE),
        };
        Self {
            users,
            groups: Arc::new(BatchLoader::new(GroupBatch(Arc::clone(context)))),
            pairs: Arc::new(BatchLoader::new(pairs)),
        }
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
