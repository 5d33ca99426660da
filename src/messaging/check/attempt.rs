//! Attempts at a repair, and the facts learned from each attempt.

use std::time::Duration;

use super::finding::Unmended;
use crate::backoff::Backoff;
use crate::model::{Head, Message, MessageGroupId, SortKey};
use crate::store::{Outcome, Refusal, RowKey};

/// The first and the longest delay between attempts while the store is
/// throttling.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Facts that earlier attempts have established.
pub(super) struct Learned {
    /// Keys at which another group has a row.
    pub taken: Vec<SortKey>,
    /// Rows that belong to another group.
    pub foreign: Vec<RowKey>,
    pub alias_taken: bool,
    backoff: Backoff,
    /// Why the store throttled the last attempt; `None` if it did not.
    pub throttled: Option<String>,
}

/// Result of an attempt.
pub(super) enum Attempt {
    /// The transaction was applied and wrote this.
    Done(Box<Written>),
    /// Another attempt is needed.
    Again,
    Failed(Unmended),
}

/// Items that a transaction wrote or deleted, to be verified by reading them
/// back.
#[derive(Default)]
pub(super) struct Written {
    /// The head; `None` if it was deleted.
    pub head: Option<Head>,
    /// The message that the rows show.
    pub newest: Option<Message>,
    /// Rows that were deleted.
    pub gone: Vec<RowKey>,
    pub alias: Option<MessageGroupId>,
}

impl Learned {
    pub fn new() -> Self {
        Self {
            taken: Vec::new(),
            foreign: Vec::new(),
            alias_taken: false,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY, 0.5),
            throttled: None,
        }
    }

    /// Records the facts that follow from the outcome of an attempt, and
    /// returns its result.
    pub fn learn(&mut self, outcome: Outcome, written: Written) -> Attempt {
        self.throttled = None;
        let refusals = match outcome {
            Outcome::Applied => return Attempt::Done(Box::new(written)),
            // The next attempt is planned from a new read of the table.
            Outcome::Unknown(_) => Vec::new(),
            Outcome::Refused(refusals) => refusals,
        };
        for refusal in refusals {
            match refusal {
                Refusal::RowKeyTaken(key) | Refusal::MessageKeyTaken(key) => self.taken.push(key),
                Refusal::OldRowForeign(row) => self.foreign.push(row),
                Refusal::AliasTaken => self.alias_taken = true,
                Refusal::HeadMoved(_) | Refusal::KeyUsed(_) => {}
                Refusal::Busy(cause) => self.throttled = Some(cause.to_string()),
                Refusal::Invalid(cause) => {
                    return Attempt::Failed(Unmended::Refused(cause.to_string()));
                }
            }
        }
        Attempt::Again
    }

    /// Waits before the next attempt. Only throttling makes the delays longer.
    pub async fn wait(&mut self) {
        if self.throttled.is_none() {
            self.backoff.reset();
        }
        self.backoff.wait().await;
    }

    pub fn out_of_attempts(self) -> Unmended {
        self.throttled.map_or(Unmended::Busy, Unmended::Throttled)
    }
}

/// Fails the repair because the correct content cannot be determined without
/// guessing.
pub(super) fn guess(why: &'static str) -> Attempt {
    Attempt::Failed(Unmended::WouldBeAGuess(why))
}
