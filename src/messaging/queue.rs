//! The queues of the groups that are being written to. Each queue has one task,
//! which ends when the queue stays empty.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::heads_marker::HeadsMarker;
use super::live::Bus;
use super::marking::{Mark, QueuedMark};
use super::plan::Draft;
use super::writer::Writer;
use super::{MessagingError, WriteOutcome};
use crate::clock::Clock;
use crate::model::{Head, Message, MessageGroupId};
use crate::store::{FoundRow, MessageStore, Sent};
use crate::telemetry::Origin;
use crate::telemetry::metrics::{self, Present, Thing};

/// Maximum number of entries in the queue of a group.
const QUEUE_LENGTH: usize = 256;

/// Result of a message in the queue of a group.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// The message is in the table.
    Created(Box<Creation>),
    /// The idempotency key was already used with the same input. This is its
    /// idempotency record.
    SentBefore(Sent),
    /// The pair's messages are in another group. The message must be sent to
    /// that group.
    KeptIn(OtherGroup),
}

/// A message that is in the table, and its group after the write.
#[derive(Clone, Debug)]
pub(super) struct Creation {
    pub message: Message,
    /// The newest message of the transaction. It may be a later message than
    /// this one.
    pub newest: Message,
    pub head: Head,
}

/// The group that contains a pair's messages, if its uuid is not the pair's
/// UUIDv5.
#[derive(Clone, Debug)]
pub(super) struct OtherGroup {
    pub id: MessageGroupId,
    /// The pair's uuid, if it is not yet an alias of the group.
    pub alias: Option<MessageGroupId>,
    /// The pair's rows, if they were read. In that case the group has no head.
    pub rows: Option<Vec<FoundRow>>,
}

pub(super) type Reply = Result<Written, MessagingError>;

/// Whether a message may have reached the table.
///
/// The waiting request and the writer task share this value, so that a request
/// whose deadline has passed can report the outcome of its write.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const WAITING: u8 = 0;
    const ATTEMPTED: u8 = 1;
    const GIVEN_UP: u8 = 2;
    /// Several requests wait for the same message.
    const SHARED: u8 = 3;

    /// Records that an attempt begins. Returns false if the request has given
    /// up.
    pub fn attempt(&self) -> bool {
        self.step(Self::WAITING, Self::ATTEMPTED) != Self::GIVEN_UP
    }

    /// Records that an attempt was rejected: it wrote nothing to the table.
    pub fn refused(&self) {
        self.step(Self::ATTEMPTED, Self::WAITING);
    }

    /// Records that several requests wait for the message, so that it may be
    /// written even if this request gives up.
    pub fn share(&self) {
        self.step(Self::WAITING, Self::SHARED);
    }

    /// Gives up, and returns the outcome of the write as known at this time.
    pub fn give_up(&self) -> WriteOutcome {
        match self.step(Self::WAITING, Self::GIVEN_UP) {
            Self::ATTEMPTED | Self::SHARED => WriteOutcome::Unknown,
            _ => WriteOutcome::NotApplied,
        }
    }

    /// Changes the state from `from` to `to`, and returns the previous state.
    /// In any other state it changes nothing.
    fn step(&self, from: u8, to: u8) -> u8 {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .unwrap_or_else(|found| found)
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
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The head, if it has just been read. The writer task then need not read
    /// it.
    pub head: Option<Head>,
    /// Uuid for which the next transaction writes an alias of the group.
    pub alias: Option<MessageGroupId>,
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
    pub known: Known,
    /// Whether the message must have its own transaction, because a shared
    /// transaction with it was rejected as invalid.
    pub alone: bool,
    /// The requests that the message is written for.
    pub origins: Vec<Origin>,
    /// Counts this message in the gauge of waiting messages.
    pub _waiting: Present,
}

impl Job {
    /// Adds the requests that wait for the same message.
    pub fn join(&mut self, other: Self) {
        self.requesters.extend(other.requesters);
        self.origins.extend(other.origins);
        for requester in &self.requesters {
            requester.progress.share();
        }
    }

    /// Replies to all waiting requests.
    pub fn answer(self, reply: &Reply) {
        for requester in self.requesters {
            // The send fails if the request no longer waits for its reply.
            let _ = requester.reply.send(reply.clone());
        }
    }
}

/// An entry in the queue of a group.
#[derive(Debug)]
pub(super) enum Work {
    /// A message to be written.
    Message(Box<Job>),
    /// A participant has marked the group as read.
    Mark(Box<QueuedMark>),
}

/// The queues of all groups.
#[derive(Debug)]
pub(super) struct Writers {
    messages: MessageStore,
    marker: HeadsMarker,
    clock: Clock,
    bus: Bus,
    queues: Mutex<HashMap<MessageGroupId, mpsc::Sender<Work>>>,
}

impl Writers {
    pub fn new(messages: MessageStore, marker: HeadsMarker, clock: Clock, bus: Bus) -> Self {
        let queues = Mutex::default();
        Self {
            messages,
            marker,
            clock,
            bus,
            queues,
        }
    }

    /// Queues a message and waits for its result until the deadline.
    ///
    /// A queued message is written even if the request stops waiting, unless
    /// its deadline passes before the first attempt.
    pub async fn write(
        self: &Arc<Self>,
        group: MessageGroupId,
        draft: Draft,
        known: Known,
        deadline: Instant,
    ) -> Reply {
        let (reply, answer) = oneshot::channel();
        let progress = Arc::<Progress>::default();
        let requester = Requester {
            progress: Arc::clone(&progress),
            deadline,
            reply,
        };
        let job = Job {
            draft,
            requesters: vec![requester],
            known,
            alone: false,
            origins: Origin::current().into_iter().collect(),
            _waiting: Present::new(Thing::Message),
        };
        self.enqueue(group, Work::Message(Box::new(job)))
            .inspect_err(|_full| metrics::message_turned_away())?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(MessagingError::unavailable(
                Some(progress.give_up()),
                "the group's task ended",
            )),
            Err(_) => Err(MessagingError::unavailable(
                Some(progress.give_up()),
                "the request's time ran out",
            )),
        }
    }

    /// Queues a mark as read after the entries that already wait, and waits
    /// until it is applied.
    pub async fn mark(
        self: &Arc<Self>,
        group: MessageGroupId,
        mark: Mark,
    ) -> Result<(), MessagingError> {
        let (reply, answer) = oneshot::channel();
        let deadline = mark.deadline;
        let queued = QueuedMark {
            mark,
            reply,
            origin: Origin::current(),
        };
        self.enqueue(group, Work::Mark(Box::new(queued)))?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(MessagingError::unavailable(
                Some(WriteOutcome::Unknown),
                "the request's time ran out before a mark was written",
            )),
        }
    }

    /// Removes the queue of a group if it is empty. Returns whether it was
    /// empty.
    pub fn retire(&self, group: MessageGroupId, queue: &mpsc::Receiver<Work>) -> bool {
        let mut queues = self.queues();
        let idle = queue.is_empty();
        if idle {
            queues.remove(&group);
        }
        idle
    }

    fn enqueue(self: &Arc<Self>, group: MessageGroupId, work: Work) -> Result<(), MessagingError> {
        let mut queues = self.queues();
        let queue = queues.entry(group).or_insert_with(|| self.start(group));
        let sent = match queue.try_send(work) {
            // The task panicked and did not remove its queue.
            Err(TrySendError::Closed(work)) => {
                *queue = self.start(group);
                queue.try_send(work)
            }
            sent => sent,
        };
        sent.map_err(|_full| {
            let cause = "too much waits for this group";
            MessagingError::unavailable(Some(WriteOutcome::NotApplied), cause)
        })
    }

    fn start(self: &Arc<Self>, group: MessageGroupId) -> mpsc::Sender<Work> {
        let (queue, work) = mpsc::channel(QUEUE_LENGTH);
        let writer = Writer::new(
            group,
            self.messages.clone(),
            self.marker.clone(),
            self.clock.clone(),
            self.bus.clone(),
        );
        tokio::spawn(writer.run(work, Arc::clone(self)));
        queue
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<MessageGroupId, mpsc::Sender<Work>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
