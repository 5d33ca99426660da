//! The rows that two users share, each user's read once in a run.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::model::UserId;
use crate::store::{FoundRow, MessageStore, StoreError};

/// How many rows are kept, of all users together: a few hundred bytes each.
const KEPT_ROWS: u64 = 100_000;
/// How many users' reads can wait for each other.
const USERS: u64 = 10_000;

/// Reads and keeps users' rows.
///
/// A repair has to know all rows that two users share. A walk over a user's
/// rows for each of their groups would cost the square of their number. A kept
/// row may have moved since: then its group has a head, and the transaction,
/// whose condition is that there is none, changes nothing.
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

    /// The rows of either that name the other, newest first.
    pub async fn read(
        &self,
        messages: &MessageStore,
        [one, other]: [UserId; 2],
    ) -> Result<Vec<FoundRow>, StoreError> {
        let (ones, others) = tokio::try_join!(self.of(messages, one), self.of(messages, other))?;
        let ones = ones.iter().filter(|row| row.other_user.id == other);
        let others = others.iter().filter(|row| row.other_user.id == one);
        let mut rows: Vec<FoundRow> = ones.chain(others).cloned().collect();
        rows.sort_by(|one, other| other.key.cmp(&one.key));
        Ok(rows)
    }

    /// Forgets two users' rows, so that they are read anew.
    pub fn forget(&self, users: [UserId; 2]) {
        for user in users {
            self.rows.invalidate(&user);
        }
    }

    async fn of(
        &self,
        messages: &MessageStore,
        owner: UserId,
    ) -> Result<Arc<Vec<FoundRow>>, StoreError> {
        let read = self.reads.get_with(owner, Arc::default);
        let _reading = read.lock().await;
        if let Some(rows) = self.rows.get(&owner) {
            return Ok(rows);
        }
        let mut rows = messages.rows_of_owner(owner).await?;
        for row in &mut rows {
            // Only where they stand is asked.
            row.body = String::new();
        }
        let rows = Arc::new(rows);
        self.rows.insert(owner, Arc::clone(&rows));
        Ok(rows)
    }
}
