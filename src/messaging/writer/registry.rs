//! The queues of the groups that are being written to. Each queue has one task,
//! which ends when the queue stays empty.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::job::{GroupSnapshot, Job, Mark, Progress, QueuedMark, Reply, Requester, Work};
use super::plan::{Draft, MAX_MESSAGES};
use super::write::GroupWriter;
use crate::clock::Clock;
use crate::lock::lock;
use crate::messaging::heads_marker::HeadsMarker;
use crate::messaging::live::Bus;
use crate::messaging::{MessagingError, MessagingResult, WriteOutcome};
use crate::model::MessageGroupId;
use crate::store::MessageStore;
use crate::telemetry::RequestOrigin;
use crate::telemetry::metrics::{GaugeGuard, METRICS};

/// Maximum number of entries in the queue of a group. At 25 messages in each
/// transaction, a full queue is written within about a second.
const QUEUE_LENGTH: usize = 256;
/// How long an idle task waits for the next entry before it ends. The task of an
/// active group keeps its cached state between two messages.
const IDLE: Duration = Duration::from_mins(1);

/// The queues of all groups.
#[derive(Debug)]
pub struct Registry {
    messages: MessageStore,
    marker: HeadsMarker,
    clock: Clock,
    bus: Bus,
    queues: Mutex<HashMap<MessageGroupId, mpsc::Sender<Work>>>,
}

impl Registry {
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
        snapshot: GroupSnapshot,
        deadline: Instant,
    ) -> Reply {
        let (reply, result) = oneshot::channel();
        let progress = Arc::<Progress>::default();
        let requester = Requester {
            progress: Arc::clone(&progress),
            deadline,
            reply,
        };
        let job = Job {
            draft,
            requesters: vec![requester],
            snapshot,
            alone: false,
            origins: RequestOrigin::current().into_iter().collect(),
            _waiting: GaugeGuard::new(&METRICS.messages_waiting),
        };
        self.enqueue(group, Work::Message(Box::new(job)))
            .inspect_err(|_full| {
                METRICS.messages_rejected.inc();
            })?;
        match tokio::time::timeout_at(deadline, result).await {
            Ok(Ok(reply)) => reply,
            ended => {
                let cause = match ended {
                    Ok(_) => "the group's task ended",
                    Err(_) => "the deadline has passed",
                };
                let outcome = progress.give_up();
                Err(MessagingError::unavailable(Some(outcome), cause))
            }
        }
    }

    /// Queues a mark as read after the entries that already wait, and waits
    /// until it is applied.
    pub async fn mark(self: &Arc<Self>, group: MessageGroupId, mark: Mark) -> MessagingResult<()> {
        let (reply, result) = oneshot::channel();
        let deadline = mark.deadline;
        let queued = QueuedMark {
            mark,
            reply,
            origin: RequestOrigin::current(),
        };
        self.enqueue(group, Work::Mark(Box::new(queued)))?;
        match tokio::time::timeout_at(deadline, result).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(MessagingError::unavailable(
                Some(WriteOutcome::Unknown),
                "the deadline passed before the mark as read was written",
            )),
        }
    }

    /// Removes the queue of a group if it is empty. Returns whether it was
    /// empty.
    fn retire(&self, group: MessageGroupId, queue: &mpsc::Receiver<Work>) -> bool {
        let mut queues = lock(&self.queues);
        let idle = queue.is_empty();
        if idle {
            queues.remove(&group);
        }
        idle
    }

    /// Adds an entry to the queue of a group, and starts the task of the group if
    /// it is not running.
    fn enqueue(self: &Arc<Self>, group: MessageGroupId, work: Work) -> MessagingResult<()> {
        let mut queues = lock(&self.queues);
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
            let cause = "the queue of the group is full";
            MessagingError::unavailable(Some(WriteOutcome::NotApplied), cause)
        })
    }

    /// Starts the task of a group, and returns the sender of its queue.
    fn start(self: &Arc<Self>, group: MessageGroupId) -> mpsc::Sender<Work> {
        let (queue, work) = mpsc::channel(QUEUE_LENGTH);
        let writer = GroupWriter {
            group,
            messages: self.messages.clone(),
            marker: self.marker.clone(),
            clock: self.clock.clone(),
            bus: self.bus.clone(),
            state: None,
        };
        let task = GroupTask {
            writer,
            queue: work,
            registry: Arc::clone(self),
            deferred: VecDeque::new(),
            marks: VecDeque::new(),
        };
        tokio::spawn(task.run());
        queue
    }
}

/// The task that writes to one group.
struct GroupTask {
    writer: GroupWriter,
    queue: mpsc::Receiver<Work>,
    registry: Arc<Registry>,
    /// Collected messages that must be written in a later transaction.
    deferred: VecDeque<Job>,
    /// Marks that were queued behind collected messages.
    marks: VecDeque<Box<QueuedMark>>,
}

impl GroupTask {
    /// Runs until the queue has been empty for the idle time.
    async fn run(mut self) {
        let _counted = GaugeGuard::new(&METRICS.group_tasks);
        while let Some(work) = self.next().await {
            match work {
                Work::Message(first) => {
                    let jobs = self.gather(*first);
                    let alone = self.writer.write_for_requests(jobs).await;
                    for job in alone.into_iter().rev() {
                        self.deferred.push_front(job);
                    }
                }
                Work::Mark(mark) => self.writer.mark_for_request(*mark).await,
            }
            // A batch whose deadline has passed does not wait for anything, so
            // the loop must let other tasks run after some batches.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Returns the next entry; `None` when the queue stays empty and was removed.
    /// Entries that were taken from the queue earlier come first.
    async fn next(&mut self) -> Option<Work> {
        if let Some(mark) = self.marks.pop_front() {
            return Some(Work::Mark(mark));
        }
        if let Some(job) = self.deferred.pop_front() {
            return Some(Work::Message(Box::new(job)));
        }
        loop {
            match timeout(IDLE, self.queue.recv()).await {
                Ok(work) => return work,
                Err(_) if self.registry.retire(self.writer.group, &self.queue) => return None,
                Err(_) => {}
            }
        }
    }

    /// Returns the next waiting message; marks before it in the queue are kept
    /// for later.
    fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.deferred.pop_front() {
            return Some(job);
        }
        loop {
            match self.queue.try_recv().ok()? {
                Work::Message(job) => return Some(*job),
                Work::Mark(mark) => self.marks.push_back(mark),
            }
        }
    }

    /// Collects the waiting messages. Two messages with the same idempotency
    /// key and input are merged into one.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut jobs = vec![first];
        let mut later = VecDeque::new();
        while !jobs[0].alone && jobs.len() + later.len() < MAX_MESSAGES {
            let Some(job) = self.next_job() else {
                break;
            };
            match jobs.iter_mut().find(|earlier| earlier.has_same_key(&job)) {
                Some(earlier) if earlier.draft.idempotency == job.draft.idempotency => {
                    earlier.join(job);
                }
                Some(_) => later.push_back(job),
                None if job.alone => later.push_back(job),
                None => jobs.push(job),
            }
        }
        later.append(&mut self.deferred);
        self.deferred = later;
        jobs
    }
}
