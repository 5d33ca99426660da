//! Attempts at a repair, and the facts learned from each attempt.

use std::time::Duration;

use super::finding::Unmended;
use crate::model::{Head, Message, MessageGroupId, SortKey};
use crate::store::{Outcome, Refusal, RowKey};

/// The first and the longest pause between attempts while the store is
/// throttling.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Facts that earlier attempts have established.
#[derive(Default)]
pub(super) struct Learned {
    /// Keys at which another group has a row.
    pub taken: Vec<SortKey>,
    /// Rows that belong to another group.
    pub foreign: Vec<RowKey>,
    pub alias_taken: bool,
    pause: Duration,
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

    pub async fn pause(&mut self) {
        let most = (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        self.pause = if self.throttled.is_some() {
            most
        } else {
            PAUSE
        };
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
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
