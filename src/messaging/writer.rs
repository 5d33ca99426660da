//! The task that writes one group's messages: gathers what waits, plans a
//! transaction, sends it, and finds out what came of it.
//!
//! The head's version makes all attempts on one version exclude each other. So
//! an attempt whose outcome is unknown is settled by reading the head: as long
//! as the version is unchanged it may still apply, and the same attempt can be
//! sent again; once the version has changed, either its first message is in
//! the table or the attempt can never apply any more.

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

/// For how long a task waits for more to write.
const IDLE: Duration = Duration::from_mins(1);

/// How often, and how far apart, an attempt is looked for that was left to
/// itself: for as long as a call may be late.
const LOOKS_FOR_LATE: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Writes one group's messages.
pub(super) struct Writer {
    pub(super) group: MessageGroupId,
    pub(super) messages: MessageStore,
    marker: HeadsMarker,
    clock: Clock,
    pub(super) bus: Bus,
    /// What the last write left behind, as long as nobody else writes.
    pub(super) state: Option<GroupState>,
    /// What was gathered but has to wait for another transaction.
    deferred: VecDeque<Job>,
    /// Marks that came behind what was gathered.
    marks: VecDeque<Box<QueuedMark>>,
}

/// What is known of a group before a write.
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

    /// Runs until nothing has come for a while.
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
            // A batch whose time is out has nothing to wait for.
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

    /// The next message that waits; marks on the way stay for later.
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

    /// Takes along what waits. The same key sent twice is one message.
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

    /// Writes what was gathered, in the name of those who wait for it.
    async fn write_for_requests(&mut self, jobs: Vec<Job>) {
        let origins: Vec<Origin> = jobs.iter().flat_map(|job| &job.origins).cloned().collect();
        let first = origins.first().map(Origin::id);
        let log = tracing::error_span!("write", id = first, group = %self.group);
        let trace = write_span(&self.group, &origins);
        let write = Box::pin(self.write(Batch::new(jobs))).instrument(trace);
        work_for(origins, write).instrument(log).await;
    }

    /// Writes a batch, or answers why it could not be.
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
                // Nobody waits, and what is unsettled can be left: the version
                // guards whatever comes next.
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

    /// Attempts that nobody waits for any more may still apply: whoever follows
    /// the group is told then.
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

    /// What is known of the group; read where it is not remembered.
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

    /// What is known of a group without a head. Nothing is written for nobody.
    async fn headless(&self, batch: &mut Batch) -> Result<Headless, StoreError> {
        let Some((draft, rows)) = batch.draft_and_rows() else {
            return Ok(Headless::State(GroupState::default()));
        };
        headless(&self.messages, &self.marker, self.group, draft, rows).await
    }

    /// Finds out about the attempts that nobody knows the outcome of, once the
    /// head has moved on from the version that they were for. Head and message
    /// are read at one moment: by themselves they may be seen while a
    /// transaction is half done.
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

    /// A transaction is in the table: everybody may know.
    async fn applied(&self, batch: &mut Batch, commit: &Commit) {
        self.bus.publish(hint(self.group, commit));
        batch.applied(commit);
        self.delete_surplus(commit).await;
    }

    /// Deletes the rows that were too many to go in a transaction that is in
    /// the table.
    async fn delete_surplus(&self, commit: &Commit) {
        for row in &commit.surplus_rows {
            if let Err(cause) = self.messages.delete_row(self.group, row).await {
                tracing::warn!(%cause, "a doubled row stays");
            }
        }
    }

    /// Draws the conclusions of a refusal. Returns what is known of the group
    /// now, if anything.
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

    /// A transaction that the store will never take: what shared one is tried
    /// one by one; a single one is answered, unless an earlier attempt at it
    /// has to be settled first. True when it is to be tried again.
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

/// Counts an attempt, and each reason for which there has to be another.
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
