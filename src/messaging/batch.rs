//! The messages that one transaction writes, and the state of its attempts.

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

/// How long, from the start of the batch, an attempt with an unknown outcome is
/// resolved even if no request waits for it.
const SETTLE_FOR: Duration = Duration::from_secs(30);

/// Messages to be written in one transaction.
pub(super) struct Batch {
    pub jobs: Vec<Job>,
    /// Uuid for which the next transaction writes an alias of the group; `None`
    /// when no alias is needed.
    pub alias: Option<MessageGroupId>,
    /// Attempts whose outcome is unknown. At most one attempt on each version
    /// can apply.
    pub unsettled: Vec<Commit>,
    /// The pair's rows, read once if the group has no head.
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

    /// Returns whether there is work left: a request is still within its
    /// deadline, or an attempt has an unknown outcome and the time limit for
    /// resolving it has not passed.
    pub fn goes_on(&self) -> bool {
        let settling = !self.unsettled.is_empty() && self.began.elapsed() < SETTLE_FOR;
        settling || self.jobs.iter().any(in_time)
    }

    /// Takes the newest head that a request has read. Returns `None` while the
    /// outcome of an attempt is unknown, because such a head was read before
    /// the attempt.
    pub fn given_state(&mut self) -> Option<GroupState> {
        let heads = self.jobs.iter_mut().filter_map(|job| job.known.head.take());
        let newest = heads.max_by_key(|head| head.version);
        newest
            .filter(|_| self.unsettled.is_empty())
            .map(GroupState::of_head)
    }

    /// Returns the first message, and the rows of its pair if they have been
    /// read.
    pub fn draft_and_rows(&mut self) -> Option<(&Draft, &mut Option<Vec<FoundRow>>)> {
        let mut given = self.jobs.iter_mut();
        let given = given.find_map(|job| job.known.rows.take());
        self.rows = self.rows.take().or(given);
        let first = self.jobs.first()?;
        Some((&first.draft, &mut self.rows))
    }

    /// Prepares an attempt: removes requests that have given up, and requests
    /// whose deadline passed before their first attempt. Returns false if no
    /// request is within its deadline.
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

    /// Returns the transaction to send. This is the last transaction with an
    /// unknown outcome if it contains the same messages and is still valid for
    /// `state`; otherwise it is a new transaction.
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

    /// Records that a transaction was applied: all of its messages are in the
    /// table, and no other attempt on its version can be applied.
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

    /// Records that none of the remaining messages is in the table, and that no
    /// earlier attempt can still write one of them.
    pub fn not_applied(&mut self) {
        for requester in self.jobs.iter().flat_map(|job| &job.requesters) {
            requester.progress.refused();
        }
    }

    /// Replies to the requests whose idempotency key already has an idempotency
    /// record.
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

    /// Handles a failed read: waits before a retry if a retry may succeed or
    /// the outcome of an attempt is unknown; otherwise replies with the error
    /// to all requests.
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

    /// Waits for the next backoff interval before a retry.
    pub async fn pause(&mut self) {
        self.pauses.next().await;
    }

    pub fn answer_all(self, reply: &Reply) {
        for job in self.jobs {
            job.answer(reply);
        }
    }

    /// Replies to the remaining requests that their deadline has passed.
    pub fn expire(self) {
        for requester in self.jobs.into_iter().flat_map(|job| job.requesters) {
            let outcome: WriteOutcome = requester.progress.give_up();
            let error = MessagingError::unavailable(Some(outcome), "the request's time ran out");
            // The send fails if the request no longer waits for its reply.
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
