//! What is being written in one transaction, and how far it is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::pauses::Pauses;
use super::plan::{Draft, GroupState};
use super::queue::{Creation, Job, Reply, Requester, Written};
use super::{MessagingError, WriteOutcome};
use crate::model::{MessageGroupId, MessageId};
use crate::store::{Commit, FoundRow, Sent, StoreError};
use crate::telemetry::metrics;

/// For how long an attempt is settled that nobody waits for any more.
const SETTLE_FOR: Duration = Duration::from_secs(30);

/// Messages that are to share a transaction.
pub(super) struct Batch {
    pub jobs: Vec<Job>,
    /// A uuid that is to lead to the group, until it does.
    pub alias: Option<MessageGroupId>,
    /// Attempts on one version of which nobody knows what came of them.
    pub unsettled: Vec<Commit>,
    /// The pair's rows, read once where the group has no head.
    rows: Option<Vec<FoundRow>>,
    pauses: Pauses,
    began: Instant,
}

impl Batch {
    pub fn new(mut jobs: Vec<Job>) -> Self {
        let aliases = jobs.iter_mut().filter_map(|job| job.known.alias.take());
        Self {
            alias: aliases.last(),
            jobs,
            unsettled: Vec::new(),
            rows: None,
            pauses: Pauses::default(),
            began: Instant::now(),
        }
    }

    /// Whether there is something left to do: somebody waits, or an attempt is
    /// to be settled and was not for too long.
    pub fn goes_on(&self) -> bool {
        let settling = !self.unsettled.is_empty() && self.began.elapsed() < SETTLE_FOR;
        settling || self.jobs.iter().any(in_time)
    }

    /// What a request has read. Not once an attempt has to be settled: it was
    /// read before that.
    pub fn given_state(&mut self) -> Option<GroupState> {
        let heads = self.jobs.iter_mut().filter_map(|job| job.known.head.take());
        let newest = heads.max_by_key(|head| head.version);
        newest
            .filter(|_| self.unsettled.is_empty())
            .map(GroupState::of_head)
    }

    /// The first message, and the rows of its pair as far as they were read.
    pub fn draft_and_rows(&mut self) -> Option<(&Draft, &mut Option<Vec<FoundRow>>)> {
        let mut given = self.jobs.iter_mut();
        let given = given.find_map(|job| job.known.rows.take());
        self.rows = self.rows.take().or(given);
        let first = self.jobs.first()?;
        Some((&first.draft, &mut self.rows))
    }

    /// Before an attempt: leaves out whoever has given up, or is out of time
    /// and was not attempted yet. False when nobody is left who waits.
    pub fn attempt(&mut self) -> bool {
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

    /// The transaction to send: the unsettled one again while it is of the same
    /// messages and nothing speaks against it, else a new one.
    pub fn commit(
        &self,
        group: MessageGroupId,
        state: &GroupState,
        now: DateTime<Utc>,
    ) -> Option<Commit> {
        let ids = || self.jobs.iter().map(|job| job.draft.id);
        let again = self.unsettled.last();
        let again = again.filter(|commit| ids_of(commit).eq(ids()) && state.allows(commit));
        if let Some(commit) = again {
            return Some(commit.clone());
        }
        let drafts: Vec<Draft> = self.jobs.iter().map(|job| job.draft.clone()).collect();
        state.plan(group, &drafts, now)
    }

    pub fn unsettled(&mut self, commit: Commit) {
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
    pub fn applied(&mut self, commit: &Commit) {
        self.unsettled.clear();
        let Some(newest) = commit.messages.last() else {
            return;
        };
        for message in &commit.messages {
            let reply = Ok(Written::Created(Box::new(Creation {
                message: message.clone(),
                newest: newest.clone(),
                head: commit.head.clone(),
            })));
            for job in self.jobs.extract_if(.., |job| job.draft.id == message.id) {
                job.answer(&reply);
            }
        }
        self.not_applied();
    }

    /// Nothing of what is still here is in the table, nor will get there by
    /// itself.
    pub fn not_applied(&mut self) {
        for requester in self.jobs.iter().flat_map(|job| &job.requesters) {
            requester.progress.refused();
        }
    }

    /// Answers whoever used an idempotency key that was used before.
    pub fn key_used(&mut self, sent: &Sent) {
        let uses = |job: &mut Job| {
            job.draft
                .once
                .as_ref()
                .is_some_and(|once| once.key == sent.key)
        };
        for job in self.jobs.extract_if(.., uses) {
            let once = job.draft.once.as_ref();
            let same = once.is_some_and(|once| once.input_digest == sent.input_digest);
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
    pub async fn fail_or_pause(mut self, error: StoreError) -> Option<Self> {
        let retryable = matches!(error, StoreError::Unavailable { .. });
        if retryable || !self.unsettled.is_empty() {
            metrics::write_retry("unreadable");
            tracing::warn!(%error, "a group could not be read before a write");
            self.pause().await;
            return Some(self);
        }
        self.answer_all(&Err(error.into()));
        None
    }

    /// Waits a little before something is tried again.
    pub async fn pause(&mut self) {
        self.pauses.next().await;
    }

    pub fn answer_all(self, reply: &Reply) {
        for job in self.jobs {
            job.answer(reply);
        }
    }

    /// Answers those whose time ran out, should they still listen.
    pub fn expire(self) {
        for requester in self.jobs.into_iter().flat_map(|job| job.requesters) {
            let outcome: WriteOutcome = requester.progress.give_up();
            let error = MessagingError::unavailable(Some(outcome), "the request's time ran out");
            // Whoever has gone needs no answer.
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

fn ids_of(commit: &Commit) -> impl Iterator<Item = MessageId> {
    commit.messages.iter().map(|message| message.id)
}
