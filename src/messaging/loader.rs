//! A loader for one request: concurrent loads are read in one batch, and no key
//! is read twice.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use dataloader::BatchFn;
use dataloader::cached::Loader;

/// Maximum number of attempts at a load. An attempt fails only if the field that
/// reads the batch is dropped, so a second failure is rare.
const MAX_ATTEMPTS: usize = 4;
/// How often a load yields before it reads its batch. One yield is enough for
/// the executor to poll every field that is ready, and each further yield wakes
/// all of them again.
const YIELDS: usize = 1;

/// Batches loads by key, and caches their results.
pub struct BatchLoader<K, V, F>
where
    K: Eq + Hash + Clone,
    V: Clone,
    F: BatchFn<K, V>,
{
    loader: Loader<K, V, F>,
}

impl<K, V, F> BatchLoader<K, V, F>
where
    K: Eq + Hash + Clone + Debug,
    V: Clone,
    F: BatchFn<K, V>,
{
    /// Creates a loader that reads batches with `batch`.
    pub fn new(batch: F) -> Self {
        Self {
            loader: Loader::with_cache(batch, HashMap::new()).with_yield_count(YIELDS),
        }
    }

    /// Returns the value of a key; `None` if each batch that contained the key
    /// was dropped.
    ///
    /// The load that finds a batch complete reads the batch. The batch is
    /// dropped together with the field of this load, for instance when a
    /// sibling of that field fails. The other loads of the batch then start
    /// again, and one of them reads the next batch.
    pub async fn load(&self, key: K) -> Option<V> {
        for _ in 1..MAX_ATTEMPTS {
            if let Ok(found) = self.loader.try_load(key.clone()).await {
                return Some(found);
            }
        }
        self.loader.try_load(key).await.ok()
    }
}
