//! Attempts at a repair, and the facts that each attempt establishes.

use std::sync::Arc;
use std::time::Duration;

use super::finding::Unrepaired;
use crate::backoff::Backoff;
use crate::model::{Head, Message, MessageGroupId, SortKey};
use crate::store::{RejectionReason, RowKey, StoreError, TransactionOutcome};

/// Maximum number of attempts at a repair; each attempt is planned from new
/// reads. If the group changes during all of them, the repair can succeed in a
/// later run.
pub(super) const ATTEMPTS: usize = 20;
/// The first and the longest delay between attempts while the store is
/// throttling. They are chosen so that the attempts take at least half a minute.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Why a repair was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum RepairError {
    #[error(transparent)]
    Unrepaired(#[from] Unrepaired),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Facts that earlier attempts have established.
pub(super) struct RetryState {
    /// Keys at which another group has a row.
    pub taken: Vec<SortKey>,
    /// Rows that belong to another group.
    pub foreign: Vec<RowKey>,
    pub alias_taken: bool,
    backoff: Backoff,
    /// Why the store throttled the last attempt; `None` if it did not.
    pub throttled: Option<Arc<StoreError>>,
}

/// Items that a transaction wrote or deleted, to be verified by reading them
/// back.
#[derive(Default)]
pub(super) struct RepairedItems {
    /// The head; `None` if it was deleted.
    pub head: Option<Head>,
    /// The message that the rows show.
    pub newest: Option<Message>,
    /// Rows that were deleted.
    pub deleted: Vec<RowKey>,
    pub alias: Option<MessageGroupId>,
}

impl RetryState {
    pub fn new() -> Self {
        Self {
            taken: Vec::new(),
            foreign: Vec::new(),
            alias_taken: false,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY, 0.5),
            throttled: None,
        }
    }

    /// Records the facts that follow from the outcome of an attempt. Returns
    /// what the transaction wrote; `None` if another attempt is needed.
    pub fn record(
        &mut self,
        outcome: TransactionOutcome,
        written: RepairedItems,
    ) -> Result<Option<RepairedItems>, Unrepaired> {
        self.throttled = None;
        let reasons = match outcome {
            TransactionOutcome::Applied => return Ok(Some(written)),
            // The next attempt is planned from a new read of the table.
            TransactionOutcome::Unknown(_) => Vec::new(),
            TransactionOutcome::Rejected(reasons) => reasons,
        };
        for reason in reasons {
            match reason {
                RejectionReason::RowKeyTaken(key) | RejectionReason::MessageKeyTaken(key) => {
                    self.taken.push(key);
                }
                RejectionReason::OldRowNotOwn(row) => self.foreign.push(row),
                RejectionReason::AliasTaken => self.alias_taken = true,
                RejectionReason::HeadChanged(_) | RejectionReason::IdempotencyKeyUsed(_) => {}
                RejectionReason::Busy(cause) => self.throttled = Some(Arc::new(cause)),
                RejectionReason::Invalid(cause) => {
                    return Err(Unrepaired::Rejected(Arc::new(cause)));
                }
            }
        }
        Ok(None)
    }

    /// Waits before the next attempt. The delays grow only while the store
    /// throttles the attempts.
    pub async fn wait(&mut self) {
        if self.throttled.is_none() {
            self.backoff.reset();
        }
        self.backoff.wait().await;
    }

    pub fn out_of_attempts(self) -> RepairError {
        let throttled = self.throttled.map(Unrepaired::Throttled);
        throttled.unwrap_or(Unrepaired::Conflict).into()
    }
}
