//! Documents that were validated for earlier requests.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::operation::{GraphqlRequest, KnownDocument};

/// The most bytes that the cached documents take together.
pub(super) const CAPACITY: u64 = 8 * 1024 * 1024;

/// SHA-256 of a document and the name of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DocumentKey([u8; 32]);

impl DocumentKey {
    pub fn of(request: &GraphqlRequest) -> Self {
        let mut digest = Sha256::new();
        let name = request.operation_name.as_deref().unwrap_or_default();
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name);
        digest.update(&request.query);
        Self(digest.finalize().into())
    }
}

/// Validated documents by the hash of their text. It holds as many as have room
/// in a fixed number of bytes; the one that was not used for longest makes room.
#[derive(Clone)]
pub(super) struct DocumentCache {
    documents: Cache<DocumentKey, Arc<KnownDocument>>,
}

impl Default for DocumentCache {
    fn default() -> Self {
        let documents = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, document: &Arc<KnownDocument>| {
                u32::try_from(document.weight()).unwrap_or(u32::MAX)
            })
            // A document that is asked for now is likely to be asked for next.
            .eviction_policy(EvictionPolicy::lru());
        Self {
            documents: documents.build(),
        }
    }
}

impl DocumentCache {
    pub fn find(&self, key: &DocumentKey) -> Option<Arc<KnownDocument>> {
        self.documents.get(key)
    }

    pub fn keep(&self, key: DocumentKey, document: Arc<KnownDocument>) {
        self.documents.insert(key, document);
    }

    /// How many documents there are, and how many bytes they take.
    #[cfg(test)]
    pub fn size(&self) -> (u64, u64) {
        self.documents.run_pending_tasks();
        (self.documents.entry_count(), self.documents.weighted_size())
    }
}
