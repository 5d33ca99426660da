//! The task that writes one group's messages. It collects the queued messages,
//! plans a transaction, sends it and determines its outcome.
//!
//! All attempts on one version of the head exclude each other. An unknown
//! outcome is therefore resolved by reading the head. While the version is
//! unchanged, the attempt may still be applied, and the same attempt can be
//! sent again. After the version has changed, either the attempt's first
//! message is in the table, or the attempt can never be applied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::MessagingError;
use super::adoption::{Headless, headless};
use super::batch::Batch;
use super::heads_marker::HeadsMarker;
use super::live::{Bus, Hint};
use super::marking::QueuedMark;
use super::plan::{GroupState, MOST_MESSAGES};
use super::queue::{Job, OtherGroup, Work, Writers, Written};
use crate::clock::Clock;
use crate::model::{HeadRecord, MessageGroupId};
use crate::store::{Commit, MessageStore, Outcome, Refusal, StoreError};
use crate::telemetry::metrics::{self, Present, Thing};
use crate::telemetry::{Origin, work_for, write_span};

/// How long an idle task waits for the next entry before it ends.
const IDLE: Duration = Duration::from_mins(1);

/// Number of reads, and the interval between them, that look for an attempt
/// whose outcome is still unknown. Together they cover the time by which a call
/// can be delayed.
const LOOKS_FOR_LATE: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Writes one group's messages.
pub(super) struct Writer {
    pub(super) group: MessageGroupId,
    pub(super) messages: MessageStore,
    marker: HeadsMarker,
    clock: Clock,
    pub(super) bus: Bus,
    /// State of the group after the last write. It is correct unless another
    /// instance has written since.
    pub(super) state: Option<GroupState>,
    /// Collected messages that must be written in a later transaction.
    deferred: VecDeque<Job>,
    /// Marks that were queued behind collected messages.
    marks: VecDeque<Box<QueuedMark>>,
}

/// The known state of a group before a write.
enum State {
    Known(GroupState),
    KeptIn(OtherGroup),
}

impl Writer {
    pub fn new(
        group: MessageGroupId,
        messages: MessageStore,
        marker: HeadsMarker,
        clock: Clock,
        bus: Bus,
    ) -> Self {
        Self {
            group,
            messages,
            marker,
            clock,
            bus,
            state: None,
            deferred: VecDeque::new(),
            marks: VecDeque::new(),
        }
    }

    /// Runs until the queue has been empty for the idle time.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Work>, writers: Arc<Writers>) {
        let _counted = Present::new(Thing::GroupTask);
        while let Some(work) = self.next(&mut queue, &writers).await {
            match work {
                Work::Message(first) => {
                    let jobs = self.gather(*first, &mut queue);
                    self.write_for_requests(jobs).await;
                }
                Work::Mark(mark) => self.mark_for_request(*mark).await,
            }
            // A batch whose deadline has passed does not wait for anything, so
            // the loop must yield here.
            tokio::task::yield_now().await;
        }
    }

    async fn next(&mut self, queue: &mut mpsc::Receiver<Work>, writers: &Writers) -> Option<Work> {
        if let Some(mark) = self.marks.pop_front() {
            return Some(Work::Mark(mark));
        }
        if let Some(job) = self.deferred.pop_front() {
            return Some(Work::Message(Box::new(job)));
        }
        loop {
            match timeout(IDLE, queue.recv()).await {
                Ok(work) => return work,
                Err(_) if writers.retire(self.group, queue) => return None,
                Err(_) => {}
            }
        }
    }

    /// Returns the next waiting message; marks before it in the queue are kept
    /// for later.
    fn waiting(&mut self, queue: &mut mpsc::Receiver<Work>) -> Option<Job> {
        if let Some(job) = self.deferred.pop_front() {
            return Some(job);
        }
        loop {
            match queue.try_recv().ok()? {
                Work::Message(job) => return Some(*job),
                Work::Mark(mark) => self.marks.push_back(mark),
            }
        }
    }

    /// Collects the waiting messages. Two messages with the same idempotency
    /// key and input are merged into one.
    fn gather(&mut self, first: Job, queue: &mut mpsc::Receiver<Work>) -> Vec<Job> {
        let mut jobs = vec![first];
        let mut later = VecDeque::new();
        while !jobs[0].alone && jobs.len() + later.len() < MOST_MESSAGES {
            let Some(job) = self.waiting(queue) else {
                break;
            };
            match jobs.iter_mut().find(|earlier| same_key(earlier, &job)) {
                Some(earlier) if earlier.draft.once == job.draft.once => earlier.join(job),
                Some(_) => later.push_back(job),
                None if job.alone => later.push_back(job),
                None => jobs.push(job),
            }
        }
        later.append(&mut self.deferred);
        self.deferred = later;
        jobs
    }

    /// Writes the collected messages, with the log and trace context of the
    /// waiting requests.
    async fn write_for_requests(&mut self, jobs: Vec<Job>) {
        let origins: Vec<Origin> = jobs.iter().flat_map(|job| &job.origins).cloned().collect();
        let first = origins.first().map(Origin::id);
        let log = tracing::error_span!("write", id = first, group = %self.group);
        let trace = write_span(&self.group, &origins);
        let write = Box::pin(self.write(Batch::new(jobs))).instrument(trace);
        work_for(origins, write).instrument(log).await;
    }

    /// Writes a batch, or replies why it could not be written.
    async fn write(&mut self, mut batch: Batch) {
        while batch.goes_on() {
            let state = match self.current_state(&mut batch).await {
                Ok(State::Known(state)) => state,
                Ok(State::KeptIn(group)) => return batch.answer_all(&Ok(Written::KeptIn(group))),
                Err(error) => match batch.fail_or_pause(error).await {
                    Some(goes_on) => {
                        batch = goes_on;
                        continue;
                    }
                    None => return,
                },
            };
            if let Err(error) = self.settle(&mut batch, &state).await {
                match batch.fail_or_pause(error).await {
                    Some(goes_on) => batch = goes_on,
                    None => return,
                }
                continue;
            }
            if !batch.attempt() {
                // No request waits. Unresolved attempts can be left, because
                // later writes have a condition on the version.
                break;
            }
            let Some(commit) = batch.commit(self.group, &state, self.clock.now()) else {
                return batch.answer_all(&Err(self.end_of_time()));
            };
            let outcome = self.messages.commit(&commit).await;
            count(&outcome);
            match outcome {
                Outcome::Applied => {
                    metrics::transaction_applied(commit.messages.len());
                    tracing::debug!(messages = commit.messages.len(), "written");
                    self.applied(&mut batch, &commit).await;
                    self.state = Some(GroupState::of_head(commit.head));
                }
                Outcome::Unknown(cause) => {
                    tracing::warn!(%cause, "nobody knows what came of a write: it is settled");
                    batch.unsettled(commit);
                    batch.pause().await;
                }
                Outcome::Refused(refusals) => {
                    self.state = self.refused(&mut batch, state, refusals).await;
                }
            }
        }
        self.tell_if_applied(std::mem::take(&mut batch.unsettled));
        batch.expire();
    }

    /// Watches attempts that may still be applied although no request waits for
    /// them, and publishes each one that is applied.
    fn tell_if_applied(&self, unsettled: Vec<Commit>) {
        let group = self.group;
        for commit in unsettled {
            let (messages, bus) = (self.messages.clone(), self.bus.clone());
            tokio::spawn(async move {
                for _ in 0..LOOKS_FOR_LATE {
                    sleep(BETWEEN_LOOKS).await;
                    let key = &commit.messages[0].key;
                    let Ok((version, found)) = messages.find_version_and_message(group, key).await
                    else {
                        continue;
                    };
                    if found.is_some_and(|found| found.id == commit.messages[0].id) {
                        return bus.publish(hint(group, &commit));
                    }
                    if version != commit.expected_version {
                        return;
                    }
                }
            });
        }
    }

    /// Returns the known state of the group. It is read if it is not cached.
    async fn current_state(&mut self, batch: &mut Batch) -> Result<State, StoreError> {
        let remembered = self.state.take().or_else(|| batch.given_state());
        let mut state = match remembered {
            Some(state) => state,
            None => match self.messages.find_head(self.group).await? {
                Some(HeadRecord::Head(head)) => GroupState::of_head(head),
                Some(HeadRecord::AliasOf(id)) => {
                    return Ok(State::KeptIn(OtherGroup {
                        id,
                        alias: None,
                        rows: None,
                    }));
                }
                None => match self.headless(batch).await? {
                    Headless::State(state) => state,
                    Headless::KeptIn(group) => return Ok(State::KeptIn(group)),
                },
            },
        };
        state.alias = state.alias.or(batch.alias);
        Ok(State::Known(state))
    }

    /// Returns the state of a group without a head. Without a message to write,
    /// nothing is read.
    async fn headless(&self, batch: &mut Batch) -> Result<Headless, StoreError> {
        let Some((draft, rows)) = batch.draft_and_rows() else {
            return Ok(Headless::State(GroupState::default()));
        };
        headless(&self.messages, &self.marker, self.group, draft, rows).await
    }

    /// Resolves the unknown outcomes of attempts on earlier versions of the
    /// head. Head and message are read in one transaction, because separate
    /// reads can see a half-applied transaction.
    async fn settle(&self, batch: &mut Batch, state: &GroupState) -> Result<(), StoreError> {
        while let Some(commit) = batch.unsettled.last() {
            if commit.expected_version == state.version() {
                return Ok(());
            }
            let first = &commit.messages[0];
            let found = self
                .messages
                .find_version_and_message(self.group, &first.key)
                .await?;
            let (version, message) = found;
            let applied = message.is_some_and(|message| message.id == first.id);
            if !applied && version == commit.expected_version {
                return Ok(());
            }
            if let Some(commit) = batch.unsettled.pop() {
                if applied {
                    self.applied(batch, &commit).await;
                } else if batch.unsettled.is_empty() {
                    batch.not_applied();
                }
            }
        }
        Ok(())
    }

    /// Completes an applied transaction: publishes it, replies to its requests
    /// and deletes surplus rows.
    async fn applied(&self, batch: &mut Batch, commit: &Commit) {
        self.bus.publish(hint(self.group, commit));
        batch.applied(commit);
        self.delete_surplus(commit).await;
    }

    /// Deletes the rows that exceeded the limit of an applied transaction.
    async fn delete_surplus(&self, commit: &Commit) {
        for row in &commit.surplus_rows {
            if let Err(cause) = self.messages.delete_row(self.group, row).await {
                tracing::warn!(%cause, "a doubled row stays");
            }
        }
    }

    /// Updates the batch after a rejected attempt. Returns the known state of
    /// the group, if there is one.
    async fn refused(
        &mut self,
        batch: &mut Batch,
        mut state: GroupState,
        refusals: Vec<Refusal>,
    ) -> Option<GroupState> {
        if batch.unsettled.is_empty() {
            batch.not_applied();
        }
        let mut known = true;
        let mut busy = refusals.is_empty() || !batch.unsettled.is_empty();
        for refusal in refusals {
            match refusal {
                Refusal::KeyUsed(sent) => batch.key_used(&sent),
                Refusal::HeadMoved(Some(HeadRecord::Head(head))) => {
                    state = GroupState::of_head(head);
                }
                Refusal::HeadMoved(_) => known = false,
                Refusal::AliasTaken => {
                    batch.alias = None;
                    state.alias = None;
                }
                Refusal::MessageKeyTaken(key) | Refusal::RowKeyTaken(key) => state.taken.push(key),
                Refusal::OldRowForeign(row) => state.old_rows.retain(|old| *old != row),
                Refusal::Busy(cause) => {
                    tracing::debug!(%cause, "a write was put off");
                    busy = true;
                }
                Refusal::Invalid(cause) => busy |= self.invalid(batch, cause),
            }
        }
        if busy {
            batch.pause().await;
        }
        known.then_some(state)
    }

    /// Handles a transaction that the store rejects as invalid. The messages of
    /// a shared transaction are tried one by one. A single message receives the
    /// error, unless the outcome of an earlier attempt must be resolved first.
    /// Returns true if the batch must be tried again.
    fn invalid(&mut self, batch: &mut Batch, cause: StoreError) -> bool {
        if !batch.unsettled.is_empty() {
            return true;
        }
        tracing::error!(%cause, messages = batch.jobs.len(), "a write was refused");
        let single = batch.jobs.len() == 1;
        let error = MessagingError::from(cause);
        for mut job in batch.jobs.drain(..).rev() {
            if single {
                job.answer(&Err(error.clone()));
            } else {
                job.alone = true;
                self.deferred.push_front(job);
            }
        }
        false
    }

    fn end_of_time(&self) -> MessagingError {
        let cause = StoreError::Unreadable {
            key: self.group.to_string(),
            cause: "the group's newest key is at the end of time".to_owned(),
        };
        cause.into()
    }
}

fn hint(group: MessageGroupId, commit: &Commit) -> Hint {
    Hint {
        group,
        head: commit.head.clone(),
        messages: commit.messages.clone(),
        reader: None,
    }
}

/// Counts an attempt, and each reason for a retry.
pub(super) fn count(outcome: &Outcome) {
    metrics::write_attempt(match outcome {
        Outcome::Applied => "applied",
        Outcome::Refused(_) => "refused",
        Outcome::Unknown(_) => "unknown",
    });
    match outcome {
        Outcome::Applied => {}
        Outcome::Refused(refusals) => refusals.iter().map(reason).for_each(metrics::write_retry),
        Outcome::Unknown(_) => metrics::write_retry("unknown"),
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::HeadMoved(_) => "head_moved",
        Refusal::MessageKeyTaken(_) => "message_key_taken",
        Refusal::RowKeyTaken(_) => "row_key_taken",
        Refusal::OldRowForeign(_) => "old_row_foreign",
        Refusal::AliasTaken => "alias_taken",
        Refusal::KeyUsed(_) => "idempotency_key_used",
        Refusal::Busy(_) => "busy",
        Refusal::Invalid(_) => "invalid",
    }
}

fn same_key(one: &Job, other: &Job) -> bool {
    match (&one.draft.once, &other.draft.once) {
        (Some(one), Some(other)) => one.key == other.key,
        _ => false,
    }
}
