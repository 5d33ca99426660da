//! Marking a group as read: head and the reader's row, in one transaction.

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

/// That a participant has read up to a message.
#[derive(Debug)]
pub(super) struct Mark {
    pub reader: UserId,
    /// The message's number.
    pub seq: u64,
    /// The head, if it has just been read.
    pub known: Option<Head>,
    pub deadline: Instant,
}

/// A mark in a queue.
#[derive(Debug)]
pub(super) struct QueuedMark {
    pub mark: Mark,
    pub reply: oneshot::Sender<Result<(), MessagingError>>,
    /// The request that it is made for.
    pub origin: Option<Origin>,
}

/// How far the attempts at a mark have come.
#[derive(Debug, Default)]
struct Trying {
    pauses: Pauses,
    /// Nobody knows what came of one of them.
    may_be_applied: bool,
    /// The version whose head says where the reader's row is, and it is not.
    row_is_missing_at: Option<u64>,
}

/// What came of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// What is unread comes behind the message.
    Done,
    /// There is no such group, or it is not the viewer's.
    NoSuchGroup,
}

impl Messaging {
    /// Counts the viewer's messages of a group as read, up to a message's
    /// `seq`. What was read before stays read.
    ///
    /// One `GetItem`, and one transaction of two items where there is something
    /// to change. Marks of one group are made behind its messages.
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
    /// Makes a mark, in the name of the request that waits for it.
    pub(super) async fn mark_for_request(&mut self, queued: QueuedMark) {
        let id = queued.origin.as_ref().map(Origin::id);
        let log = tracing::error_span!("mark", id, group = %self.group);
        let marked = Box::pin(self.mark(queued.mark)).instrument(log);
        let marked = work_for(Vec::from_iter(queued.origin.clone()), marked).await;
        // Whoever has gone needs no answer.
        let _ = queued.reply.send(marked);
    }

    /// Makes a mark. It only ever raises a number, so an attempt that nobody
    /// knows the outcome of needs no settling: the head tells whether there is
    /// still something to do.
    async fn mark(&mut self, mut mark: Mark) -> Result<(), MessagingError> {
        let mut trying = Trying::default();
        while Instant::now() < mark.deadline {
            let head = match self.head_with(mark.seq, mark.known.take()).await {
                Ok(Some(head)) => head,
                // Without a head nothing counts as unread.
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
                    // A head that has moved does not tell where the row is.
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

    /// Draws the conclusions of a refusal.
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

    /// The head, if there is one: as remembered or known where that knows the
    /// message.
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
