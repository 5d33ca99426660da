//! The queues of the groups that are being written to: one task each, as long
//! as there is something to write.

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

/// How much may wait for one group.
const QUEUE_LENGTH: usize = 256;

/// What a group's task answers.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// The message is in the table.
    Created(Box<Creation>),
    /// The idempotency key came before, with the same input: for this.
    SentBefore(Sent),
    /// The pair's messages are kept in another group: send it there.
    KeptIn(OtherGroup),
}

/// A message that is in the table, and what came of its group by that.
#[derive(Clone, Debug)]
pub(super) struct Creation {
    pub message: Message,
    /// The newest message of the transaction, which may be another one.
    pub newest: Message,
    pub head: Head,
}

/// Where a pair's messages are kept, if not under the pair's own uuid.
#[derive(Clone, Debug)]
pub(super) struct OtherGroup {
    pub id: MessageGroupId,
    /// The pair's uuid, where it does not lead to the group yet.
    pub alias: Option<MessageGroupId>,
    /// The pair's rows, where they were read: the group has no head then.
    pub rows: Option<Vec<FoundRow>>,
}

pub(super) type Reply = Result<Written, MessagingError>;

/// Whether a message may have reached the table yet. Shared by the request that
/// waits and the task that writes, so that a request that runs out of time
/// knows what to say.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const WAITING: u8 = 0;
    const ATTEMPTED: u8 = 1;
    const GIVEN_UP: u8 = 2;
    /// Waits together with others for one message.
    const SHARED: u8 = 3;

    /// Before an attempt: false when the request has given up.
    pub fn attempt(&self) -> bool {
        self.step(Self::WAITING, Self::ATTEMPTED) != Self::GIVEN_UP
    }

    /// After an attempt that was refused: nothing is in the table.
    pub fn refused(&self) {
        self.step(Self::ATTEMPTED, Self::WAITING);
    }

    /// From now on the message may be written for others, should this request
    /// give up.
    pub fn share(&self) {
        self.step(Self::WAITING, Self::SHARED);
    }

    /// Gives up; says what became of the message.
    pub fn give_up(&self) -> WriteOutcome {
        match self.step(Self::WAITING, Self::GIVEN_UP) {
            Self::ATTEMPTED | Self::SHARED => WriteOutcome::Unknown,
            _ => WriteOutcome::NotApplied,
        }
    }

    /// Goes from one step to another, and says where it stood.
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

/// What a request knows of the group that it writes to.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The head, if it has just been read: spares the task a read.
    pub head: Option<Head>,
    /// A uuid that is to lead to the group.
    pub alias: Option<MessageGroupId>,
    /// The pair's rows, if they have just been read. They change only together
    /// with a head, so they are right as long as there is none.
    pub rows: Option<Vec<FoundRow>>,
}

/// A message in a queue, with those who wait for it: more than one when a
/// client repeats itself under the same key.
#[derive(Debug)]
pub(super) struct Job {
    pub draft: Draft,
    pub requesters: Vec<Requester>,
    /// What the request knows of the group.
    pub known: Known,
    /// Not to share a transaction: a shared one with it was refused.
    pub alone: bool,
    /// The requests that it is written for.
    pub origins: Vec<Origin>,
    /// Counts it among those that wait.
    pub _waiting: Present,
}

impl Job {
    /// Takes along those who wait for the same message.
    pub fn join(&mut self, other: Self) {
        self.requesters.extend(other.requesters);
        self.origins.extend(other.origins);
        for requester in &self.requesters {
            requester.progress.share();
        }
    }

    /// Answers everybody who waits.
    pub fn answer(self, reply: &Reply) {
        for requester in self.requesters {
            // Whoever has gone needs no answer.
            let _ = requester.reply.send(reply.clone());
        }
    }
}

/// What waits for a group's task.
#[derive(Debug)]
pub(super) enum Work {
    /// A message is to be written.
    Message(Box<Job>),
    /// A participant has read.
    Mark(Box<QueuedMark>),
}

/// The queues.
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

    /// Queues a message and waits for what comes of it, until the deadline.
    ///
    /// Whether or not somebody goes on waiting, a message that is queued is
    /// written, unless its time runs out before it was attempted.
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

    /// Queues that a participant has read up to a message's `seq`, behind what
    /// waits to be written, and waits until that counts.
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

    /// Takes the task out of the list when nothing waits for it.
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
            // The task ended by a fault, without having been taken out.
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
