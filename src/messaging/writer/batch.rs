//! The messages that one transaction writes, and the state of its attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::job::{Creation, Job, Reply, Requester, WriteResult};
use super::plan::{Draft, GroupState};
use crate::backoff::Backoff;
use crate::messaging::{MessagingError, WriteOutcome};
use crate::model::{MessageGroupId, MessageId};
use crate::store::{FoundRow, IdempotencyRecord, MessageTransaction, StoreError};
use crate::telemetry::metrics;

/// Bounds of the delays between attempts: the first is about the duration of a
/// transaction, and the longest leaves about 40 attempts within a request's
/// deadline.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const MAX_DELAY: Duration = Duration::from_millis(250);
/// How long after the start of the batch the task resolves an attempt with an
/// unknown outcome, even if no request waits for it. A call is delayed for less
/// than this time.
const RESOLVE_FOR: Duration = Duration::from_secs(30);

/// Messages to be written in one transaction.
pub(super) struct Batch {
    pub jobs: Vec<Job>,
    /// UUID for which the next transaction writes an alias of the group; `None`
    /// when no alias is needed.
    pub alias: Option<MessageGroupId>,
    /// Attempts whose outcome is unknown. At most one attempt on each version
    /// can apply.
    pub unresolved: Vec<MessageTransaction>,
    /// The pair's rows, read once if the group has no head.
    rows: Option<Vec<FoundRow>>,
    /// Delays before retries.
    pub backoff: Backoff,
    began: Instant,
}

impl Batch {
    pub fn new(mut jobs: Vec<Job>) -> Self {
        let aliases = jobs.iter_mut();
        let aliases = aliases.filter_map(|job| job.snapshot.missing_alias.take());
        Self {
            alias: aliases.last(),
            jobs,
            unresolved: Vec::new(),
            rows: None,
            backoff: write_backoff(),
            began: Instant::now(),
        }
    }

    /// Returns whether there is work left: a request is still within its
    /// deadline, or an attempt has an unknown outcome and the time limit for
    /// resolving it has not passed.
    pub fn has_work(&self) -> bool {
        let is_resolving = !self.unresolved.is_empty() && self.began.elapsed() < RESOLVE_FOR;
        is_resolving || self.jobs.iter().any(in_time)
    }

    /// Takes the newest head that a request has read. Returns `None` while the
    /// outcome of an attempt is unknown, because such a head was read before
    /// the attempt.
    pub fn state_of_requests(&mut self) -> Option<GroupState> {
        let jobs = self.jobs.iter_mut();
        let heads = jobs.filter_map(|job| job.snapshot.head.take());
        let newest = heads.max_by_key(|head| head.version);
        let newest = newest.filter(|_| self.unresolved.is_empty());
        newest.map(GroupState::of_head)
    }

    /// Returns the first message, and the rows of its pair if they have been
    /// read.
    pub fn draft_and_rows(&mut self) -> Option<(&Draft, &mut Option<Vec<FoundRow>>)> {
        let mut given = self.jobs.iter_mut();
        let given = given.find_map(|job| job.snapshot.rows.take());
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
    pub fn next_transaction(
        &self,
        group: MessageGroupId,
        state: &GroupState,
        now: DateTime<Utc>,
    ) -> Option<MessageTransaction> {
        let ids = || self.jobs.iter().map(|job| job.draft.id);
        let again = self.unresolved.last();
        let again =
            again.filter(|transaction| ids_of(transaction).eq(ids()) && state.allows(transaction));
        if let Some(transaction) = again {
            return Some(transaction.clone());
        }
        let drafts: Vec<Draft> = self.jobs.iter().map(|job| job.draft.clone()).collect();
        state.plan(group, &drafts, now)
    }

    pub fn add_unresolved(&mut self, transaction: MessageTransaction) {
        let mut earlier = self.unresolved.iter();
        if earlier.all(|earlier| earlier.token != transaction.token) {
            self.unresolved.push(transaction);
        }
    }

    /// Records that a transaction was applied: all of its messages are in the
    /// table, and no other attempt on its version can be applied.
    pub fn applied(&mut self, transaction: &MessageTransaction) {
        self.unresolved.clear();
        let Some(newest) = transaction.messages.last() else {
            return;
        };
        for message in &transaction.messages {
            let reply = Ok(WriteResult::Created(Box::new(Creation {
                message: message.clone(),
                newest: newest.clone(),
                head: transaction.head.clone(),
            })));
            for job in self.jobs.extract_if(.., |job| job.draft.id == message.id) {
                job.reply(&reply);
            }
        }
        self.not_applied();
    }

    /// Records that none of the remaining messages is in the table, and that no
    /// earlier attempt can still write one of them.
    pub fn not_applied(&mut self) {
        for requester in self.jobs.iter().flat_map(|job| &job.requesters) {
            requester.progress.rejected();
        }
    }

    /// Replies to the requests whose idempotency key already has an idempotency
    /// record.
    pub fn key_used(&mut self, record: &IdempotencyRecord) {
        let uses = |job: &mut Job| {
            let input = job.draft.idempotency.as_ref();
            input.is_some_and(|input| input.key == record.key)
        };
        for job in self.jobs.extract_if(.., uses) {
            let input = job.draft.idempotency.as_ref();
            let same = input.is_some_and(|input| input.input_digest == record.input_digest);
            let reply = if same {
                Ok(WriteResult::Repeated(record.clone()))
            } else {
                Err(MessagingError::IdempotencyKeyReused)
            };
            job.reply(&reply);
        }
    }

    /// Handles a failed read: waits before a retry if a retry may succeed or
    /// the outcome of an attempt is unknown; otherwise replies with the error
    /// to all requests.
    pub async fn fail_or_wait(mut self, error: StoreError) -> Option<Self> {
        let retryable = matches!(error, StoreError::Unavailable { .. });
        if retryable || !self.unresolved.is_empty() {
            metrics::write_retry("unreadable");
            tracing::warn!(%error, "the group could not be read before a write; retrying");
            self.backoff.wait().await;
            return Some(self);
        }
        self.reply_to_all(&Err(error.into()));
        None
    }

    pub fn reply_to_all(self, reply: &Reply) {
        for job in self.jobs {
            job.reply(reply);
        }
    }

    /// Replies to the remaining requests that their deadline has passed.
    pub fn expire(self) {
        for requester in self.jobs.into_iter().flat_map(|job| job.requesters) {
            let outcome: WriteOutcome = requester.progress.give_up();
            let error = MessagingError::unavailable(Some(outcome), "the deadline has passed");
            // The send fails if the request no longer waits for its reply.
            let _ = requester.reply.send(Err(error));
        }
    }
}

/// Returns the backoff between attempts at a write. It has full jitter, because
/// the instances that write to a group conflict with each other.
pub(super) fn write_backoff() -> Backoff {
    Backoff::new(FIRST_DELAY, MAX_DELAY, 0.0)
}

fn in_time(job: &Job) -> bool {
    let now = Instant::now();
    job.requesters
        .iter()
        .any(|requester| now < requester.deadline)
}

fn ids_of(transaction: &MessageTransaction) -> impl Iterator<Item = MessageId> {
    transaction.messages.iter().map(|message| message.id)
}
