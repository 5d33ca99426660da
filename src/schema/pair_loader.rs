//! Loads the viewer's groups with other users. Each group is looked up once per
//! request.

use std::collections::HashMap;
use std::sync::Arc;

use dataloader::BatchFn;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::rate::SendRate;
use crate::messaging::{BatchLoader, Messaging, PairLookup, Viewer};
use crate::model::{MessageGroup, UserId};

/// Maximum number of concurrent lookups of a request.
const LOOKUPS_AT_ONCE: usize = 16;
/// Maximum number of concurrent lookups that read all rows of both users.
const ROW_READS_AT_ONCE: usize = 2;

type FoundPair = Result<Option<Arc<MessageGroup>>, ApiError>;

/// Loads the viewer's groups with other users.
pub(super) type PairLoader = BatchLoader<UserId, FoundPair, PairBatch>;

/// Looks up the viewer's groups with several users.
///
/// A lookup that must read all rows of two users takes a token of the caller's
/// rate limit, like a message.
pub(super) struct PairBatch {
    messaging: Arc<Messaging>,
    viewer: Option<Viewer>,
    rate: SendRate,
    row_reads: Semaphore,
}

impl PairBatch {
    pub fn loader(messaging: Arc<Messaging>, viewer: Option<Viewer>, rate: SendRate) -> PairLoader {
        BatchLoader::new(Self {
            messaging,
            viewer,
            rate,
            row_reads: Semaphore::new(ROW_READS_AT_ONCE),
        })
    }

    async fn find(&self, other: UserId) -> FoundPair {
        let viewer = self.viewer.as_ref().ok_or(ApiError::Unauthenticated)?;
        let found = match self
            .messaging
            .reader
            .find_message_group_with(viewer, other)
            .await?
        {
            PairLookup::Done(found) => found.map(Arc::from),
            PairLookup::NeedsRows => {
                self.rate
                    .take(viewer.user().id)
                    .map_err(|retry_after| ApiError::RateLimited { retry_after })?;
                let permit = self.row_reads.acquire().await;
                let _permit = permit.map_err(|_| ApiError::Internal)?;
                let found = self
                    .messaging
                    .reader
                    .find_message_group_by_rows(viewer, other);
                found.await?.map(Arc::new)
            }
        };
        Ok(found)
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
