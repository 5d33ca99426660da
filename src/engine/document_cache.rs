//! The cache of validated documents.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::operation::ValidatedDocument;
use super::request::DocumentKey;

/// Maximum total size of the cached documents in bytes. This is enough for
/// about 250 documents of 20 fields each.
pub(super) const CAPACITY: u64 = 8 * 1024 * 1024;

/// Validated documents by the hash of their text, limited by their total size
/// in bytes. The least recently used document is evicted first.
pub(super) type DocumentCache = Cache<DocumentKey, Arc<ValidatedDocument>>;

/// Creates an empty cache.
pub(super) fn document_cache() -> DocumentCache {
    Cache::builder()
        .max_capacity(CAPACITY)
        .weigher(|_, document: &Arc<ValidatedDocument>| {
            u32::try_from(document.weight()).unwrap_or(u32::MAX)
        })
        // LRU, because a document that was requested recently is likely to be
        // requested again.
        .eviction_policy(EvictionPolicy::lru())
        .build()
}
