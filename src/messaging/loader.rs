//! A loader of one request: what is asked for at the same time is read as one
//! batch, and nothing is read twice.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use dataloader::BatchFn;
use dataloader::cached::Loader;

/// How often a load begins again whose batch was dropped with another field.
const BATCHES: usize = 4;
/// How often a load yields before it reads: once is enough for the executor to
/// poll every field that is ready, and each time more wakes all of them.
const YIELDS: usize = 1;

/// Batches loads by key, and caches what they find.
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
    /// A loader that reads batches by `batch`.
    #[must_use]
    pub fn new(batch: F) -> Self {
        Self {
            loader: Loader::with_cache(batch, HashMap::new()).with_yield_count(YIELDS),
        }
    }

    /// The value of a key; `None` where every batch with it was dropped.
    ///
    /// The load that finds a batch complete reads it. It is dropped with its
    /// field, for instance when a sibling of that field fails; the loads that
    /// waited for it then begin again, and one of them reads the next batch.
    pub async fn load(&self, key: K) -> Option<V> {
        for _ in 1..BATCHES {
            if let Ok(found) = self.loader.try_load(key.clone()).await {
                return Some(found);
            }
        }
        self.loader.try_load(key).await.ok()
    }

    /// Caches a value that is known already.
    pub async fn prime(&self, key: K, value: V) {
        self.loader.prime(key, value).await;
    }
}
