//! Attempts at a repair, and what is learned from each.

use std::time::Duration;

use super::finding::Unmended;
use crate::model::{Head, Message, MessageGroupId, SortKey};
use crate::store::{Outcome, Refusal, RowKey};

/// How long it pauses at first where the store is busy, and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What earlier attempts have found out.
#[derive(Default)]
pub(super) struct Learned {
    /// Keys at which another group has a row.
    pub taken: Vec<SortKey>,
    /// Rows that are another group's.
    pub foreign: Vec<RowKey>,
    pub alias_taken: bool,
    pause: Duration,
    /// Why the store put the last attempt off.
    pub throttled: Option<String>,
}

/// How an attempt has gone.
pub(super) enum Attempt {
    /// This is written.
    Done(Box<Written>),
    /// There is more to do.
    Again,
    Failed(Unmended),
}

/// What a transaction has written, to be read back.
#[derive(Default)]
pub(super) struct Written {
    /// The head; `None` where it was deleted.
    pub head: Option<Head>,
    /// The message that the rows show.
    pub newest: Option<Message>,
    /// Rows that were deleted.
    pub gone: Vec<RowKey>,
    pub alias: Option<MessageGroupId>,
}

impl Learned {
    /// Draws the conclusions of an attempt to write something.
    pub fn learn(&mut self, outcome: Outcome, written: Written) -> Attempt {
        self.throttled = None;
        let refusals = match outcome {
            Outcome::Applied => return Attempt::Done(Box::new(written)),
            // The next attempt is planned by what is there then.
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

/// Gives up, since it would have to be guessed.
pub(super) fn guess(why: &'static str) -> Attempt {
    Attempt::Failed(Unmended::WouldBeAGuess(why))
}
