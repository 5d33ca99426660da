//! Writes one group's messages: plans a transaction, sends it and determines its
//! outcome.
//!
//! All attempts on one version of the head exclude each other. An unknown
//! outcome is therefore resolved by reading the head. While the version is
//! unchanged, the attempt may still be applied, and the same attempt can be
//! sent again. After the version has changed, either the attempt's first
//! message is in the table, or the attempt can never be applied.

use std::time::Duration;

use tokio::time::sleep;
use tracing::Instrument;

use super::adopt::{State, headless};
use super::batch::Batch;
use super::job::{GroupSnapshot, Job, WriteResult};
use super::plan::GroupState;
use crate::clock::Clock;
use crate::messaging::MessagingError;
use crate::messaging::heads_marker::HeadsMarker;
use crate::messaging::live::{Bus, Hint};
use crate::model::{HeadRecord, MessageGroupId};
use crate::store::{
    MessageStore, MessageTransaction, RejectionReason, StoreError, StoreResult, TransactionOutcome,
    UnreadableItem,
};
use crate::telemetry::metrics;
use crate::telemetry::{RequestOrigin, work_for, write_span};

/// Number of reads, and the interval between them, that look for an attempt
/// whose outcome is still unknown. Together they cover the time by which a call
/// can be delayed.
const LATE_READS: usize = 10;
const LATE_READ_INTERVAL: Duration = Duration::from_secs(1);

/// Writes one group's messages and marks as read.
pub(super) struct GroupWriter {
    pub group: MessageGroupId,
    pub messages: MessageStore,
    pub marker: HeadsMarker,
    pub clock: Clock,
    pub bus: Bus,
    /// State of the group after the last write. It is correct unless another
    /// instance has written since.
    pub state: Option<GroupState>,
}

impl GroupWriter {
    /// Writes messages in one transaction, with the log and trace context of the
    /// waiting requests. Returns the messages that must be written one by one,
    /// because the transaction was rejected as invalid.
    pub async fn write_for_requests(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let origins: Vec<RequestOrigin> =
            jobs.iter().flat_map(|job| &job.origins).cloned().collect();
        let first = origins.first().map(RequestOrigin::id);
        let log = tracing::error_span!("write", id = first, group = %self.group);
        let trace = write_span(&self.group, &origins);
        // Boxed because it is large and lives as long as the group's task.
        let write = Box::pin(self.write(Batch::new(jobs))).instrument(trace);
        work_for(origins, write).instrument(log).await
    }

    /// Writes a batch, or replies why it could not be written. Returns the
    /// messages that must be written one by one.
    async fn write(&mut self, mut batch: Batch) -> Vec<Job> {
        let mut alone = Vec::new();
        while batch.has_work() {
            let state = match self.prepare(&mut batch).await {
                Ok(State::Known(state)) => state,
                Ok(State::Redirected(group, snapshot)) => {
                    batch.reply_to_all(&Ok(WriteResult::Redirected(group, snapshot)));
                    return alone;
                }
                Err(error) => match batch.fail_or_wait(error).await {
                    Some(retried) => {
                        batch = retried;
                        continue;
                    }
                    None => return alone,
                },
            };
            if !batch.attempt() {
                // No request waits. Unresolved attempts can be left, because
                // later writes have a condition on the version.
                break;
            }
            let Some(transaction) = batch.next_transaction(self.group, &state, self.clock.now())
            else {
                batch.reply_to_all(&Err(self.no_key_left()));
                return alone;
            };
            let outcome = self.messages.commit(&transaction).await;
            count(&outcome);
            match outcome {
                TransactionOutcome::Applied => {
                    metrics::transaction_applied(transaction.messages.len());
                    tracing::debug!(messages = transaction.messages.len(), "written");
                    self.finalize(&mut batch, &transaction).await;
                    self.state = Some(GroupState::of_head(transaction.head));
                }
                TransactionOutcome::Unknown(cause) => {
                    tracing::warn!(%cause, "the outcome of a write is unknown; resolving it");
                    batch.add_unresolved(transaction);
                    batch.backoff.wait().await;
                }
                TransactionOutcome::Rejected(reasons) => {
                    self.state = rejected(&mut batch, &mut alone, state, reasons).await;
                }
            }
        }
        self.publish_if_applied(std::mem::take(&mut batch.unresolved));
        batch.expire();
        alone
    }

    /// Watches attempts that may still be applied although no request waits for
    /// them, and publishes each one that is applied.
    fn publish_if_applied(&self, unresolved: Vec<MessageTransaction>) {
        let group = self.group;
        for transaction in unresolved {
            let (messages, bus) = (self.messages.clone(), self.bus.clone());
            tokio::spawn(async move {
                for _ in 0..LATE_READS {
                    sleep(LATE_READ_INTERVAL).await;
                    let key = &transaction.messages[0].key;
                    let Ok((version, found)) = messages.find_version_and_message(group, key).await
                    else {
                        continue;
                    };
                    if found.is_some_and(|found| found.id == transaction.messages[0].id) {
                        return bus.publish(hint(group, &transaction));
                    }
                    if version != transaction.head.previous_version() {
                        return;
                    }
                }
            });
        }
    }

    /// Returns the known state of the group, after the unknown outcomes of earlier
    /// attempts have been resolved.
    async fn prepare(&mut self, batch: &mut Batch) -> StoreResult<State> {
        let state = self.current_state(batch).await?;
        if let State::Known(state) = &state {
            self.resolve_outcome(batch, state).await?;
        }
        Ok(state)
    }

    /// Returns the known state of the group. It is read if it is not cached.
    async fn current_state(&mut self, batch: &mut Batch) -> StoreResult<State> {
        let state = self.state.take().or_else(|| batch.state_of_requests());
        let mut state = match state {
            Some(state) => state,
            None => match self.messages.find_head(self.group).await? {
                Some(HeadRecord::Head(head)) => GroupState::of_head(head),
                Some(HeadRecord::AliasOf(group)) => {
                    return Ok(State::Redirected(group, GroupSnapshot::default()));
                }
                None => match self.headless(batch).await? {
                    State::Known(state) => state,
                    redirected @ State::Redirected(..) => return Ok(redirected),
                },
            },
        };
        state.alias = state.alias.or(batch.alias);
        Ok(State::Known(state))
    }

    /// Returns the state of a group without a head. Without a message to write,
    /// nothing is read.
    async fn headless(&self, batch: &mut Batch) -> StoreResult<State> {
        let Some((draft, rows)) = batch.draft_and_rows() else {
            return Ok(State::Known(GroupState::default()));
        };
        headless(&self.messages, &self.marker, self.group, draft, rows).await
    }

    /// Resolves the unknown outcomes of attempts on earlier versions of the
    /// head. Head and message are read in one transaction, because separate
    /// reads can see a half-applied transaction.
    async fn resolve_outcome(&self, batch: &mut Batch, state: &GroupState) -> StoreResult<()> {
        while let Some(transaction) = batch.unresolved.last() {
            if transaction.head.previous_version() == state.version() {
                return Ok(());
            }
            let first = &transaction.messages[0];
            let messages = &self.messages;
            let found = messages.find_version_and_message(self.group, &first.key);
            let (version, message) = found.await?;
            let applied = message.is_some_and(|message| message.id == first.id);
            if !applied && version == transaction.head.previous_version() {
                return Ok(());
            }
            if let Some(transaction) = batch.unresolved.pop() {
                if applied {
                    self.finalize(batch, &transaction).await;
                } else if batch.unresolved.is_empty() {
                    batch.not_applied();
                }
            }
        }
        Ok(())
    }

    /// Completes an applied transaction: publishes it, replies to its requests
    /// and deletes surplus rows.
    async fn finalize(&self, batch: &mut Batch, transaction: &MessageTransaction) {
        self.bus.publish(hint(self.group, transaction));
        batch.applied(transaction);
        for row in &transaction.surplus_rows {
            if let Err(cause) = self.messages.delete_row(self.group, row).await {
                tracing::warn!(%cause, "a duplicate row was not deleted");
            }
        }
    }

    /// Returns the error of a group whose newest key is the last possible key.
    fn no_key_left(&self) -> MessagingError {
        let cause = StoreError::Unreadable {
            key: self.group.to_string(),
            cause: UnreadableItem::Contents("the newest key of the group is the last possible key"),
        };
        cause.into()
    }
}

/// Updates the batch after a rejected attempt. Returns the known state of
/// the group, if there is one.
async fn rejected(
    batch: &mut Batch,
    alone: &mut Vec<Job>,
    mut state: GroupState,
    reasons: Vec<RejectionReason>,
) -> Option<GroupState> {
    if batch.unresolved.is_empty() {
        batch.not_applied();
    }
    let mut known = true;
    let mut busy = reasons.is_empty() || !batch.unresolved.is_empty();
    for reason in reasons {
        match reason {
            RejectionReason::IdempotencyKeyUsed(record) => batch.key_used(&record),
            RejectionReason::HeadChanged(Some(HeadRecord::Head(head))) => {
                state = GroupState::of_head(head);
            }
            RejectionReason::HeadChanged(_) => known = false,
            RejectionReason::AliasTaken => {
                batch.alias = None;
                state.alias = None;
            }
            RejectionReason::MessageKeyTaken(key) | RejectionReason::RowKeyTaken(key) => {
                state.taken.push(key);
            }
            RejectionReason::OldRowNotOwn(row) => state.old_rows.retain(|old| *old != row),
            RejectionReason::Busy(cause) => {
                tracing::debug!(%cause, "a write conflicted or was throttled; retrying");
                busy = true;
            }
            RejectionReason::Invalid(cause) => busy |= invalid(batch, alone, cause),
        }
    }
    if busy {
        batch.backoff.wait().await;
    }
    known.then_some(state)
}

/// Handles a transaction that the store rejects as invalid. The messages of
/// a shared transaction are added to `alone`. A single message receives the
/// error, unless the outcome of an earlier attempt must be resolved first.
/// Returns true if the batch must be tried again.
fn invalid(batch: &mut Batch, alone: &mut Vec<Job>, cause: StoreError) -> bool {
    if !batch.unresolved.is_empty() {
        return true;
    }
    tracing::error!(%cause, messages = batch.jobs.len(), "a write was rejected as invalid");
    let single = batch.jobs.len() == 1;
    let error = MessagingError::from(cause);
    for mut job in batch.jobs.drain(..) {
        if single {
            job.reply(&Err(error.clone()));
        } else {
            job.alone = true;
            alone.push(job);
        }
    }
    false
}

fn hint(group: MessageGroupId, transaction: &MessageTransaction) -> Hint {
    Hint {
        group,
        head: transaction.head.clone(),
        messages: transaction.messages.clone(),
        reader: None,
    }
}

/// Counts an attempt, and each reason for a retry.
pub(super) fn count(outcome: &TransactionOutcome) {
    metrics::write_attempt(match outcome {
        TransactionOutcome::Applied => "applied",
        TransactionOutcome::Rejected(_) => "refused",
        TransactionOutcome::Unknown(_) => "unknown",
    });
    match outcome {
        TransactionOutcome::Applied => {}
        TransactionOutcome::Rejected(reasons) => {
            reasons.iter().map(reason).for_each(metrics::write_retry);
        }
        TransactionOutcome::Unknown(_) => metrics::write_retry("unknown"),
    }
}

fn reason(reason: &RejectionReason) -> &'static str {
    match reason {
        RejectionReason::HeadChanged(_) => "head_moved",
        RejectionReason::MessageKeyTaken(_) => "message_key_taken",
        RejectionReason::RowKeyTaken(_) => "row_key_taken",
        RejectionReason::OldRowNotOwn(_) => "old_row_foreign",
        RejectionReason::AliasTaken => "alias_taken",
        RejectionReason::IdempotencyKeyUsed(_) => "idempotency_key_used",
        RejectionReason::Busy(_) => "busy",
        RejectionReason::Invalid(_) => "invalid",
    }
}
