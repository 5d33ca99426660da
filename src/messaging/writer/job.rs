//! The entries in the queue of a group, and the results that requests wait for.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::plan::Draft;
use crate::lock::lock;
use crate::messaging::{MessagingResult, WriteOutcome};
use crate::model::{Head, Message, MessageGroupId, UserId};
use crate::store::{FoundRow, IdempotencyRecord};
use crate::telemetry::RequestOrigin;
use crate::telemetry::metrics::GaugeGuard;

/// Result of a message in the queue of a group.
#[derive(Clone, Debug)]
pub enum WriteResult {
    /// The message is in the table.
    Created(Box<Creation>),
    /// The idempotency key was already used with the same input. This is its
    /// idempotency record.
    Repeated(IdempotencyRecord),
    /// The pair's messages are in another group, whose UUID is not the pair's
    /// UUIDv5. The message must be sent to that group, with what has been read
    /// of it.
    Redirected(MessageGroupId, GroupSnapshot),
}

/// A message that is in the table, and its group after the write.
#[derive(Clone, Debug)]
pub struct Creation {
    pub message: Message,
    /// The newest message of the transaction. It may be a later message than
    /// this one.
    pub newest: Message,
    pub head: Head,
}

pub(super) type Reply = MessagingResult<WriteResult>;

/// Whether a message may have reached the table.
///
/// The waiting request and the writer task share this value, so that a request
/// whose deadline has passed can report the outcome of its write.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Attempted>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attempted {
    #[default]
    No,
    Yes,
    /// The request has given up before the first attempt.
    GivenUp,
    /// Several requests wait for the same message.
    Shared,
}

impl Progress {
    /// Records that an attempt begins. Returns false if the request has given
    /// up.
    pub fn attempt(&self) -> bool {
        self.step(Attempted::No, Attempted::Yes) != Attempted::GivenUp
    }

    /// Records that an attempt was rejected: it wrote nothing to the table.
    pub fn rejected(&self) {
        self.step(Attempted::Yes, Attempted::No);
    }

    /// Records that several requests wait for the message, so that it may be
    /// written even if this request gives up.
    pub fn share(&self) {
        self.step(Attempted::No, Attempted::Shared);
    }

    /// Gives up, and returns the outcome of the write as known at this time.
    pub fn give_up(&self) -> WriteOutcome {
        match self.step(Attempted::No, Attempted::GivenUp) {
            Attempted::Yes | Attempted::Shared => WriteOutcome::Unknown,
            Attempted::No | Attempted::GivenUp => WriteOutcome::NotApplied,
        }
    }

    /// Changes the state from `from` to `to`, and returns the previous state.
    /// In any other state it changes nothing.
    fn step(&self, from: Attempted, to: Attempted) -> Attempted {
        let mut state = lock(&self.0);
        let previous = *state;
        if previous == from {
            *state = to;
        }
        previous
    }
}

/// A request that waits for a message to be written.
#[derive(Debug)]
pub(super) struct Requester {
    pub progress: Arc<Progress>,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Reply>,
}

/// State of a group that a request has already read.
#[derive(Clone, Debug, Default)]
pub struct GroupSnapshot {
    /// The head, if it has just been read. The writer task then need not read
    /// it.
    pub head: Option<Head>,
    /// The pair's UUID, if it is not an alias of the group yet. The next
    /// transaction writes the alias.
    pub missing_alias: Option<MessageGroupId>,
    /// The pair's rows, if they have just been read. Rows change only together
    /// with a head, so they are correct while the group has no head.
    pub rows: Option<Vec<FoundRow>>,
}

/// A message in a queue, with the requests that wait for it. There are several
/// requests if a client sends the same idempotency key again.
#[derive(Debug)]
pub(super) struct Job {
    pub draft: Draft,
    pub requesters: Vec<Requester>,
    /// State of the group that the request has already read.
    pub snapshot: GroupSnapshot,
    /// Whether the message must have its own transaction, because a shared
    /// transaction with it was rejected as invalid.
    pub alone: bool,
    /// The requests that the message is written for.
    pub origins: Vec<RequestOrigin>,
    /// Counts this message in the gauge of waiting messages.
    pub _waiting: GaugeGuard,
}

impl Job {
    /// Returns whether both messages have the same idempotency key.
    pub fn has_same_key(&self, other: &Self) -> bool {
        match (&self.draft.idempotency, &other.draft.idempotency) {
            (Some(one), Some(other)) => one.key == other.key,
            _ => false,
        }
    }

    /// Adds the requests that wait for the same message.
    pub fn join(&mut self, other: Self) {
        self.requesters.extend(other.requesters);
        self.origins.extend(other.origins);
        for requester in &self.requesters {
            requester.progress.share();
        }
    }

    /// Replies to all waiting requests.
    pub fn reply(self, reply: &Reply) {
        for requester in self.requesters {
            // The send fails if the request no longer waits for its reply.
            let _ = requester.reply.send(reply.clone());
        }
    }
}

/// A mark as read: a participant has read the messages up to a `seq`.
#[derive(Debug)]
pub struct Mark {
    pub reader: UserId,
    /// The `seq` of the message.
    pub seq: u64,
    /// The head, if the request has just read it.
    pub head: Option<Head>,
    pub deadline: Instant,
}

/// A mark in the queue of a group.
#[derive(Debug)]
pub(super) struct QueuedMark {
    pub mark: Mark,
    pub reply: oneshot::Sender<MessagingResult<()>>,
    /// The request that waits for the mark.
    pub origin: Option<RequestOrigin>,
}

/// An entry in the queue of a group.
#[derive(Debug)]
pub(super) enum Work {
    /// A message to be written.
    Message(Box<Job>),
    /// A participant has marked the group as read.
    Mark(Box<QueuedMark>),
}
