//! The rows that two users share. Each user's rows are read once in a run.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::model::{Participants, UserId};
use crate::store::{FoundRow, MessageStore, StoreResult};

/// Maximum number of cached rows of all users together, at a few hundred bytes
/// each.
const KEPT_ROWS: u64 = 100_000;
/// Maximum number of users for which concurrent reads wait for each other.
const USERS: u64 = 10_000;

/// A cache of users' rows.
///
/// A repair needs all rows that two users share. Reading all of a user's rows
/// once for each of the user's groups would cost the square of the number of
/// groups. A cached row may have moved since it was read. If it has moved, its
/// group has a head, and the store rejects the transaction of the repair, which
/// requires that the group has no head.
#[derive(Debug)]
pub(super) struct PairRows {
    rows: Cache<UserId, Arc<Vec<FoundRow>>>,
    reads: Cache<UserId, Arc<Mutex<()>>>,
}

impl PairRows {
    pub fn new() -> Self {
        let weigh = |_: &UserId, rows: &Arc<Vec<FoundRow>>| {
            u32::try_from(rows.len()).unwrap_or(u32::MAX).max(1)
        };
        Self {
            rows: Cache::builder()
                .weigher(weigh)
                .max_capacity(KEPT_ROWS)
                .build(),
            reads: Cache::new(USERS),
        }
    }

    /// Returns the rows of each user that name the other user, newest first.
    pub async fn read(
        &self,
        messages: &MessageStore,
        participants: Participants,
    ) -> StoreResult<Vec<FoundRow>> {
        let [one, other] = *participants;
        let (ones, others) = tokio::try_join!(self.of(messages, one), self.of(messages, other))?;
        let ones = ones.iter().filter(|row| row.other_user.id == other);
        let others = others.iter().filter(|row| row.other_user.id == one);
        let mut rows: Vec<FoundRow> = ones.chain(others).cloned().collect();
        rows.sort_by(|one, other| other.key.cmp(&one.key));
        Ok(rows)
    }

    /// Removes two users' rows from the cache, so that they are read again.
    pub fn forget(&self, users: Participants) {
        for user in *users {
            self.rows.invalidate(&user);
        }
    }

    /// Returns all rows of a user. Concurrent calls for one user share the read.
    async fn of(&self, messages: &MessageStore, owner: UserId) -> StoreResult<Arc<Vec<FoundRow>>> {
        let read = self.reads.get_with(owner, Arc::default);
        let _reading = read.lock().await;
        if let Some(rows) = self.rows.get(&owner) {
            return Ok(rows);
        }
        let mut rows = messages.rows_of_owner(owner).await?;
        for row in &mut rows {
            // Only the keys and users of the rows are needed.
            row.body = String::new();
        }
        let rows = Arc::new(rows);
        self.rows.insert(owner, Arc::clone(&rows));
        Ok(rows)
    }
}
