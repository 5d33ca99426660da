//! The heads marker: an item that states that every group of the table has a
//! head.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;
use crate::store::{MessageStore, StoreResult};

/// How long the marker counts as present without being read again.
///
/// Servers never remove the marker; `check --repair`, `drop` and operators
/// (manually) do. A removal takes effect within this time. Reading the marker
/// costs one capacity unit.
const FRESH_FOR: Duration = Duration::from_mins(1);

/// Cached access to the heads marker. In a table with the marker, two users
/// without a head under their pair's UUID have no group, so their rows need not
/// be read.
///
/// Presence is cached for one minute. Absence is never cached, because a table
/// can receive the marker while servers run.
#[derive(Clone, Debug)]
pub(super) struct HeadsMarker {
    messages: MessageStore,
    seen_at: Arc<Mutex<Option<Instant>>>,
}

impl HeadsMarker {
    pub fn new(messages: MessageStore) -> Self {
        let seen_at = Arc::default();
        Self { messages, seen_at }
    }

    /// Returns whether the table has the marker. This costs at most one
    /// `GetItem`.
    pub async fn is_present(&self) -> StoreResult<bool> {
        if lock(&self.seen_at).is_some_and(|at| at.elapsed() < FRESH_FOR) {
            return Ok(true);
        }
        let read_at = Instant::now();
        let is_present = self.messages.has_heads_marker().await?;
        let seen_at = is_present.then_some(read_at);
        *lock(&self.seen_at) = seen_at;
        Ok(is_present)
    }
}
