//! Marks a group as read: updates the head and the reader's row in one
//! transaction.

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;

use super::live::Hint;
use super::pauses::Pauses;
use super::plan::GroupState;
use super::writer::{Writer, count};
use super::{Messaging, MessagingError, Viewer, WriteOutcome};
use crate::model::{Head, HeadRecord, MessageGroupId, UserId};
use crate::store::{Outcome, ReadMark, Refusal, StoreError};
use crate::telemetry::{Origin, work_for};

/// A mark as read: a participant has read the messages up to a `seq`.
#[derive(Debug)]
pub(super) struct Mark {
    pub reader: UserId,
    /// The `seq` of the message.
    pub seq: u64,
    /// The head, if the request has just read it.
    pub known: Option<Head>,
    pub deadline: Instant,
}

/// A mark in the queue of a group.
#[derive(Debug)]
pub(super) struct QueuedMark {
    pub mark: Mark,
    pub reply: oneshot::Sender<Result<(), MessagingError>>,
    /// The request that waits for the mark.
    pub origin: Option<Origin>,
}

/// State of the attempts at one mark.
#[derive(Debug, Default)]
struct Trying {
    pauses: Pauses,
    /// Whether the outcome of an attempt is unknown.
    may_be_applied: bool,
    /// The version of a head at whose key the reader's row was not found.
    row_is_missing_at: Option<u64>,
}

/// Result of marking a group as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Only messages after the given message are unread.
    Done,
    /// The group does not exist, or the viewer is not a participant.
    NoSuchGroup,
}

impl Messaging {
    /// Marks the viewer's messages in a group as read, up to a message's `seq`.
    /// Messages that are already read stay read.
    ///
    /// This costs one `GetItem`, and one transaction of two items if there is
    /// something to change. A mark is processed after the messages that are
    /// queued for the same group.
    pub async fn mark_message_group_read(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        seq: u64,
        deadline: Instant,
    ) -> Result<Marked, MessagingError> {
        let found = self.find_other_participant(viewer, group);
        let found = tokio::time::timeout_at(deadline, found).await;
        let found = found.unwrap_or_else(|_| {
            let cause = "the request's time ran out before a group was read";
            Err(MessagingError::unavailable(None, cause))
        });
        let nothing_done = |error: MessagingError| error.with_outcome(WriteOutcome::NotApplied);
        let Some((_, known)) = found.map_err(nothing_done)? else {
            return Ok(Marked::NoSuchGroup);
        };
        let reader = viewer.user().id;
        let mark = Mark {
            reader,
            seq,
            known,
            deadline,
        };
        self.writers.mark(group, mark).await?;
        Ok(Marked::Done)
    }
}

impl Writer {
    /// Processes a mark, with the log and trace context of its request.
    pub(super) async fn mark_for_request(&mut self, queued: QueuedMark) {
        let id = queued.origin.as_ref().map(Origin::id);
        let log = tracing::error_span!("mark", id, group = %self.group);
        let marked = Box::pin(self.mark(queued.mark)).instrument(log);
        let marked = work_for(Vec::from_iter(queued.origin.clone()), marked).await;
        // The send fails if the request no longer waits for its reply.
        let _ = queued.reply.send(marked);
    }

    /// Processes a mark. A mark can only increase a read count, so an attempt
    /// with an unknown outcome need not be resolved: the next read of the head
    /// shows whether there is still something to do.
    async fn mark(&mut self, mut mark: Mark) -> Result<(), MessagingError> {
        let mut trying = Trying::default();
        while Instant::now() < mark.deadline {
            let head = match self.head_with(mark.seq, mark.known.take()).await {
                Ok(Some(head)) => head,
                // In a group without a head, all messages count as read.
                Ok(None) => return Ok(()),
                Err(StoreError::Unavailable { .. }) => {
                    trying.pauses.next().await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(marked) = head.with_read(mark.reader, mark.seq) else {
                if trying.may_be_applied {
                    self.publish_mark(mark.reader, head.clone());
                }
                self.state = Some(GroupState::of_head(head));
                return Ok(());
            };
            let attempt = ReadMark {
                group: self.group,
                reader: mark.reader,
                expected_version: head.version,
                head: marked,
                has_row: trying.row_is_missing_at != Some(head.version),
            };
            let outcome = self.messages.mark_read(&attempt).await;
            count(&outcome);
            match outcome {
                Outcome::Applied => {
                    self.publish_mark(mark.reader, attempt.head.clone());
                    self.state = Some(GroupState::of_head(attempt.head));
                    return Ok(());
                }
                Outcome::Unknown(cause) => {
                    tracing::warn!(%cause, "nobody knows what came of a mark: it is made again");
                    trying.may_be_applied = true;
                    trying.pauses.next().await;
                }
                Outcome::Refused(refusals) => {
                    // If the condition on the head failed as well, the reader's
                    // row may be at another key.
                    let misses_row = matches!(refusals.as_slice(), [Refusal::OldRowForeign(_)]);
                    trying.row_is_missing_at = misses_row.then_some(head.version);
                    self.mark_refused(&mut trying, refusals).await?;
                }
            }
        }
        let outcome = if trying.may_be_applied {
            WriteOutcome::Unknown
        } else {
            WriteOutcome::NotApplied
        };
        let cause = "the request's time ran out before a mark was written";
        Err(MessagingError::unavailable(Some(outcome), cause))
    }

    /// Updates the state after a rejected attempt.
    async fn mark_refused(
        &mut self,
        trying: &mut Trying,
        refusals: Vec<Refusal>,
    ) -> Result<(), MessagingError> {
        for refusal in refusals {
            match refusal {
                Refusal::HeadMoved(Some(HeadRecord::Head(head))) => {
                    self.state = Some(GroupState::of_head(head));
                }
                Refusal::OldRowForeign(_) => {}
                Refusal::Invalid(cause) => return Err(cause.into()),
                _ => trying.pauses.next().await,
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
    async fn head_with(
        &mut self,
        seq: u64,
        known: Option<Head>,
    ) -> Result<Option<Head>, StoreError> {
        let remembered = self.state.take().and_then(|state| state.head).or(known);
        if let Some(head) = remembered.filter(|head| seq <= head.message_count) {
            return Ok(Some(head));
        }
        Ok(match self.messages.find_head(self.group).await? {
            Some(HeadRecord::Head(head)) => Some(head),
            Some(HeadRecord::AliasOf(_)) | None => None,
        })
    }
}
