//! Whether every group of the table has a head.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{MessageStore, StoreError};

/// For how long a marker counts as present without being read again.
///
/// Servers never remove it; `check --repair`, `drop` and an operator by hand do.
/// All of them take effect within this time, and reading it is one unit.
const FRESH_FOR: Duration = Duration::from_mins(1);

/// The table's marker. In a marked table two users without a head under their
/// pair's uuid have no group, so that their rows need not be read.
///
/// Its presence is cached for a minute, its absence never: a table gets the
/// marker while servers run.
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

    /// Whether the table has it: at most one `GetItem`.
    pub async fn is_present(&self) -> Result<bool, StoreError> {
        if self.seen().is_some_and(|at| at.elapsed() < FRESH_FOR) {
            return Ok(true);
        }
        let read_at = Instant::now();
        let is_present = self.messages.has_heads_marker().await?;
        let seen_at = is_present.then_some(read_at);
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = seen_at;
        Ok(is_present)
    }

    fn seen(&self) -> Option<Instant> {
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
