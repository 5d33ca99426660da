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
use tokio::time::{Instant, sleep, timeout};

use super::plan::{Draft, GroupState, MOST_MESSAGES};
use super::queue::{Job, Reply, Requester, Writers, Written};
use super::{MessagingError, WriteOutcome};
use crate::clock::Clock;
use crate::model::{
    End, HeadRecord, MessageGroup, MessageGroupId, MessageId, PageRequest, SortKey, UserId,
};
use crate::store::{Commit, Consistency, MessageStore, Outcome, Refusal, RowKey, Sent, StoreError};

/// For how long a task waits for more to write.
const IDLE: Duration = Duration::from_mins(1);
/// For how long an attempt is settled that nobody waits for any more.
const SETTLE_FOR: Duration = Duration::from_secs(30);
/// Bounds of the pause before something is tried again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Writes one group's messages.
pub(super) struct Writer {
    group: MessageGroupId,
    messages: MessageStore,
    clock: Clock,
    /// What the last write left behind, as long as nobody else writes.
    state: Option<GroupState>,
    /// What was gathered but has to wait for another transaction.
    deferred: VecDeque<Job>,
}

/// What is being written in one transaction, and how far it is.
struct Batch {
    jobs: Vec<Job>,
    /// Attempts on one version of which nobody knows what came of them.
    unsettled: Vec<Commit>,
    pauses: u32,
    began: Instant,
}

impl Writer {
    pub fn new(group: MessageGroupId, messages: MessageStore, clock: Clock) -> Self {
        Self {
            group,
            messages,
            clock,
            state: None,
            deferred: VecDeque::new(),
        }
    }

    /// Runs until nothing has come for a while.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Job>, writers: Arc<Writers>) {
        loop {
            let first = match self.deferred.pop_front() {
                Some(job) => job,
                None => match timeout(IDLE, queue.recv()).await {
                    Ok(Some(job)) => job,
                    Ok(None) => return,
                    Err(_) if writers.retire(self.group, &queue) => return,
                    Err(_) => continue,
                },
            };
            let jobs = self.gather(first, &mut queue);
            self.write(Batch::new(jobs)).await;
        }
    }

    /// Takes along what waits. The same key sent twice is one message.
    fn gather(&mut self, first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let mut jobs = vec![first];
        let mut later = VecDeque::new();
        while !jobs[0].alone && jobs.len() < MOST_MESSAGES {
            let Some(job) = self.deferred.pop_front().or_else(|| queue.try_recv().ok()) else {
                break;
            };
            match jobs.iter_mut().find(|earlier| same_key(earlier, &job)) {
                Some(earlier) if earlier.draft.once == job.draft.once => {
                    earlier.requesters.extend(job.requesters);
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
                self.state = Some(state);
                match batch.fail_or_pause(error).await {
                    Some(goes_on) => batch = goes_on,
                    None => return,
                }
                continue;
            }
            if !batch.attempt() {
                // Nobody waits, and what is unsettled can be left: the version
                // guards whatever comes next.
                self.state = Some(state);
                return;
            }
            let Some(commit) = batch.commit(self.group, &state, self.clock.now()) else {
                let cause = StoreError::Unreadable {
                    key: self.group.to_string(),
                    cause: "the group's newest key is at the end of time".to_owned(),
                };
                return batch.answer_all(&Err(cause.into()));
            };
            match self.messages.commit(&commit).await {
                Outcome::Applied => {
                    self.state = Some(GroupState::of_head(commit.head.clone()));
                    batch.applied(&commit);
                }
                Outcome::Unknown(cause) => {
                    tracing::warn!(%cause, "nobody knows what came of a write: it is settled");
                    batch.unsettled(commit);
                    batch.pause().await;
                }
                Outcome::Refused(refusals) => {
                    self.state = self.refused(&mut batch, state, &commit, refusals).await;
                }
            }
        }
        batch.expire();
    }

    /// What is known of the group; read where it is not remembered.
    async fn current_state(&mut self, batch: &mut Batch) -> Result<State, StoreError> {
        if let Some(state) = self.state.take().or_else(|| batch.given_state()) {
            return Ok(State::Known(state));
        }
        match self.messages.find_head(self.group).await? {
            Some(HeadRecord::Head(head)) => Ok(State::Known(GroupState::of_head(head))),
            Some(HeadRecord::AliasOf(group)) => Ok(State::KeptIn(group)),
            None => match batch.jobs.first() {
                Some(job) => self.headless(&job.draft).await,
                None => Ok(State::Known(GroupState::default())),
            },
        }
    }

    /// The state of a group that has no head: it is new, or was written before
    /// there were heads. Strongly consistent walks of both users' rows.
    async fn headless(&self, draft: &Draft) -> Result<State, StoreError> {
        let (sender, receiver) = (&draft.sender, &draft.receiver);
        let (senders, receivers) = tokio::try_join!(
            self.messages.rows_shared_with(sender, receiver.id),
            self.messages.rows_shared_with(receiver, sender.id),
        )?;
        let rows = || {
            let senders = senders.iter().map(|row| (sender.id, row));
            senders.chain(receivers.iter().map(|row| (receiver.id, row)))
        };
        let newest = rows()
            .map(|(_, row)| row)
            .max_by_key(|row| &row.last_message.key);
        let Some(newest) = newest else {
            return Ok(State::Known(GroupState::default()));
        };
        let own: Vec<RowKey> = rows()
            .filter(|(_, row)| row.id == self.group)
            .map(|(owner, row)| row_key(owner, row))
            .collect();
        if own.is_empty() {
            return Ok(State::KeptIn(newest.id));
        }
        let pair = MessageGroupId::of_pair(sender.id, receiver.id);
        let row_keys = own.iter().map(|row| row.key.clone());
        Ok(State::Known(GroupState {
            head: None,
            taken: row_keys.chain(self.newest_message_key().await?).collect(),
            alias: (newest.id == self.group && pair != self.group).then_some(pair),
            old_rows: own,
        }))
    }

    async fn newest_message_key(&self) -> Result<Option<SortKey>, StoreError> {
        let newest = PageRequest {
            end: End::Last,
            limit: 1,
            after: None,
            before: None,
        };
        let page = self
            .messages
            .messages(self.group, &newest, Consistency::Strong)
            .await?;
        Ok(page.items.into_iter().next().map(|message| message.key))
    }

    /// Finds out about the attempts that nobody knows the outcome of, once the
    /// head has moved on from the version that they were for.
    async fn settle(&self, batch: &mut Batch, state: &GroupState) -> Result<(), StoreError> {
        while let Some(commit) = batch.unsettled.last() {
            if commit.expected_version == state.version() {
                return Ok(());
            }
            let first = &commit.messages[0];
            let found = self.messages.find_message(self.group, &first.key).await?;
            let applied = found.is_some_and(|message| message.id == first.id);
            if let Some(commit) = batch.unsettled.pop() {
                if applied {
                    batch.applied(&commit);
                } else if batch.unsettled.is_empty() {
                    batch.not_applied();
                }
            }
        }
        Ok(())
    }

    /// Draws the conclusions of a refusal. Returns what is known of the group
    /// now, if anything.
    async fn refused(
        &mut self,
        batch: &mut Batch,
        mut state: GroupState,
        commit: &Commit,
        refusals: Vec<Refusal>,
    ) -> Option<GroupState> {
        if batch.unsettled.is_empty() {
            batch.not_applied();
        }
        let mut known = true;
        let mut busy = refusals.is_empty();
        for refusal in refusals {
            match refusal {
                Refusal::KeyUsed(sent) => batch.key_used(&sent),
                Refusal::HeadMoved(Some(HeadRecord::Head(head))) => {
                    state = GroupState::of_head(head);
                }
                Refusal::HeadMoved(_) => known = false,
                Refusal::AliasTaken => state.alias = None,
                Refusal::MessageKeyTaken => state
                    .taken
                    .extend(commit.messages.iter().map(|message| message.key.clone())),
                Refusal::RowKeyTaken => state.taken.push(commit.head.last_message_key.clone()),
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
}

fn row_key(owner: UserId, row: &MessageGroup) -> RowKey {
    RowKey {
        owner,
        key: row.last_message.key.clone(),
    }
}

enum State {
    Known(GroupState),
    KeptIn(MessageGroupId),
}

impl Batch {
    fn new(jobs: Vec<Job>) -> Self {
        Self {
            jobs,
            unsettled: Vec::new(),
            pauses: 0,
            began: Instant::now(),
        }
    }

    /// Whether there is something left to do: somebody waits, or an attempt is
    /// to be settled and was not for too long.
    fn goes_on(&self) -> bool {
        let waiting = self.jobs.iter().any(in_time);
        waiting || !self.unsettled.is_empty() && self.began.elapsed() < SETTLE_FOR
    }

    /// What a request has read. Not once an attempt has to be settled: it was
    /// read before that.
    fn given_state(&mut self) -> Option<GroupState> {
        let heads = self.jobs.iter_mut().filter_map(|job| job.head.take());
        let newest = heads.max_by_key(|head| head.version);
        newest
            .filter(|_| self.unsettled.is_empty())
            .map(GroupState::of_head)
    }

    /// Before an attempt: leaves out whoever has given up, or is out of time
    /// and was not attempted yet. False when nobody is left who waits.
    fn attempt(&mut self) -> bool {
        let now = Instant::now();
        let attempted = |requester: &&Requester| {
            if requester.deadline <= now {
                requester.progress.give_up();
            }
            requester.progress.attempt()
        };
        self.jobs
            .retain(|job| job.requesters.iter().filter(attempted).count() > 0);
        self.jobs.iter().any(in_time)
    }

    /// The transaction to send: the unsettled one again while it is the same
    /// messages, else a new one.
    fn commit(
        &self,
        group: MessageGroupId,
        state: &GroupState,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Option<Commit> {
        let same = |commit: &&Commit| ids_of(commit).eq(self.jobs.iter().map(|job| job.draft.id));
        if let Some(commit) = self.unsettled.last().filter(same) {
            return Some(commit.clone());
        }
        let drafts: Vec<Draft> = self.jobs.iter().map(|job| job.draft.clone()).collect();
        state.plan(group, &drafts, now)
    }

    fn unsettled(&mut self, commit: Commit) {
        if self
            .unsettled
            .iter()
            .all(|earlier| earlier.token != commit.token)
        {
            self.unsettled.push(commit);
        }
    }

    /// All of a transaction's messages are in the table; all other attempts on
    /// its version never will be.
    fn applied(&mut self, commit: &Commit) {
        self.unsettled.clear();
        for message in &commit.messages {
            let reply = Ok(Written::Created(message.clone(), commit.head.clone()));
            for job in self.jobs.extract_if(.., |job| job.draft.id == message.id) {
                job.answer(&reply);
            }
        }
        self.not_applied();
    }

    fn not_applied(&mut self) {
        for requester in self.jobs.iter().flat_map(|job| &job.requesters) {
            requester.progress.refused();
        }
    }

    fn key_used(&mut self, sent: &Sent) {
        let uses = |job: &mut Job| {
            job.draft
                .once
                .as_ref()
                .is_some_and(|once| once.key == sent.key)
        };
        for job in self.jobs.extract_if(.., uses) {
            let same = job
                .draft
                .once
                .as_ref()
                .is_some_and(|once| once.input_digest == sent.input_digest);
            let reply = if same {
                Ok(Written::SentBefore(sent.clone()))
            } else {
                Err(MessagingError::IdempotencyKeyReused)
            };
            job.answer(&reply);
        }
    }

    /// After a read that failed: waits a little if trying again may help,
    /// otherwise answers everybody.
    async fn fail_or_pause(mut self, error: StoreError) -> Option<Self> {
        let retryable = matches!(error, StoreError::Unavailable { .. });
        if retryable || !self.unsettled.is_empty() {
            tracing::warn!(%error, "a group could not be read before a write");
            self.pause().await;
            return Some(self);
        }
        self.answer_all(&Err(error.into()));
        None
    }

    /// Full jitter between nothing and a bound that doubles.
    async fn pause(&mut self) {
        let bound = SHORTEST_PAUSE
            .saturating_mul(1 << self.pauses.min(10))
            .min(LONGEST_PAUSE);
        self.pauses += 1;
        sleep(bound.mul_f64(fastrand::f64())).await;
    }

    fn answer_all(self, reply: &Reply) {
        for job in self.jobs {
            job.answer(reply);
        }
    }

    /// Answers those whose time ran out, should they still listen.
    fn expire(self) {
        for requester in self.jobs.into_iter().flat_map(|job| job.requesters) {
            let outcome: WriteOutcome = requester.progress.give_up();
            let error = MessagingError::unavailable(Some(outcome), "the request's time ran out");
            let _ = requester.reply.send(Err(error));
        }
    }
}

fn in_time(job: &Job) -> bool {
    let now = Instant::now();
    job.requesters
        .iter()
        .any(|requester| now < requester.deadline)
}

fn same_key(one: &Job, other: &Job) -> bool {
    match (&one.draft.once, &other.draft.once) {
        (Some(one), Some(other)) => one.key == other.key,
        _ => false,
    }
}

fn ids_of(commit: &Commit) -> impl Iterator<Item = MessageId> {
    commit.messages.iter().map(|message| message.id)
}
