//! Marks a group as read: updates the head and the reader's row in one
//! transaction.

use tokio::time::Instant;
use tracing::Instrument;

use super::batch::write_backoff;
use super::job::{Mark, QueuedMark};
use super::plan::GroupState;
use super::write::{GroupWriter, count};
use crate::backoff::Backoff;
use crate::messaging::live::Hint;
use crate::messaging::{MessagingError, MessagingResult, WriteOutcome};
use crate::model::{Head, HeadRecord, UserId};
use crate::store::{ReadMark, RejectionReason, StoreError, StoreResult, TransactionOutcome};
use crate::telemetry::{RequestOrigin, work_for};

impl GroupWriter {
    /// Processes a mark, with the log and trace context of its request.
    pub async fn mark_for_request(&mut self, queued: QueuedMark) {
        let id = queued.origin.as_ref().map(RequestOrigin::id);
        let log = tracing::error_span!("mark", id, group = %self.group);
        // Boxed because it is large and lives as long as the group's task.
        let marked = Box::pin(self.mark(queued.mark)).instrument(log);
        let marked = work_for(Vec::from_iter(queued.origin.clone()), marked).await;
        // The send fails if the request no longer waits for its reply.
        let _ = queued.reply.send(marked);
    }

    /// Processes a mark. A mark can only increase a read count, so an attempt
    /// with an unknown outcome need not be resolved: the next read of the head
    /// shows whether there is still something to do.
    async fn mark(&mut self, mut mark: Mark) -> MessagingResult<()> {
        let mut backoff = write_backoff();
        // Whether the outcome of an attempt is unknown.
        let mut may_be_applied = false;
        // The version of a head at whose key the reader's row was not found.
        let mut row_is_missing_at = None;
        while Instant::now() < mark.deadline {
            let head = match self.head_with(mark.seq, mark.head.take()).await {
                Ok(Some(head)) => head,
                // In a group without a head, all messages count as read.
                Ok(None) => return Ok(()),
                Err(StoreError::Unavailable { .. }) => {
                    backoff.wait().await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(marked) = head.with_read(mark.reader, mark.seq) else {
                if may_be_applied {
                    self.publish_mark(mark.reader, head.clone());
                }
                self.state = Some(GroupState::of_head(head));
                return Ok(());
            };
            let attempt = ReadMark {
                group: self.group,
                reader: mark.reader,
                head: marked,
                has_row: row_is_missing_at != Some(head.version),
            };
            let outcome = self.messages.mark_read(&attempt).await;
            count(&outcome);
            match outcome {
                TransactionOutcome::Applied => {
                    self.publish_mark(mark.reader, attempt.head.clone());
                    self.state = Some(GroupState::of_head(attempt.head));
                    return Ok(());
                }
                TransactionOutcome::Unknown(cause) => {
                    tracing::warn!(%cause, "the outcome of a mark as read is unknown; retrying");
                    may_be_applied = true;
                    backoff.wait().await;
                }
                TransactionOutcome::Rejected(reasons) => {
                    // If the condition on the head failed as well, the reader's
                    // row may be at another key.
                    let misses_row =
                        matches!(reasons.as_slice(), [RejectionReason::OldRowNotOwn(_)]);
                    row_is_missing_at = misses_row.then_some(head.version);
                    self.mark_rejected(&mut backoff, reasons).await?;
                }
            }
        }
        let outcome = if may_be_applied {
            WriteOutcome::Unknown
        } else {
            WriteOutcome::NotApplied
        };
        let cause = "the deadline passed before the mark as read was written";
        Err(MessagingError::unavailable(Some(outcome), cause))
    }

    /// Updates the state after a rejected attempt.
    async fn mark_rejected(
        &mut self,
        backoff: &mut Backoff,
        reasons: Vec<RejectionReason>,
    ) -> MessagingResult<()> {
        for reason in reasons {
            match reason {
                RejectionReason::HeadChanged(Some(HeadRecord::Head(head))) => {
                    self.state = Some(GroupState::of_head(head));
                }
                RejectionReason::OldRowNotOwn(_) => {}
                RejectionReason::Invalid(cause) => return Err(cause.into()),
                _ => backoff.wait().await,
            }
        }
        Ok(())
    }

    fn publish_mark(&self, reader: UserId, head: Head) {
        self.bus.publish(Hint {
            group: self.group,
            head,
            messages: Vec::new(),
            reader: Some(reader),
        });
    }

    /// Returns the head, if there is one. A cached head or `known` is used if
    /// it counts the message; otherwise the head is read.
    async fn head_with(&mut self, seq: u64, known: Option<Head>) -> StoreResult<Option<Head>> {
        let state = self.state.take();
        let head = state.and_then(|state| state.head).or(known);
        if let Some(head) = head.filter(|head| seq <= head.message_count) {
            return Ok(Some(head));
        }
        let found = self.messages.find_head(self.group).await?;
        Ok(found.and_then(HeadRecord::into_head))
    }
}
