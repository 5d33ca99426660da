//! Creates messages in a group (pattern C) and to a receiver (pattern D), and
//! marks groups as read.
//!
//! Each group that is being written to has its own task (`registry`). The task
//! plans transactions (`plan`), sends them, determines their outcome (`write`)
//! and publishes what it committed.

mod adopt;
mod batch;
mod job;
mod mark;
mod new_message;
mod plan;
mod registry;
mod write;

use std::sync::Arc;

use tokio::time::Instant;

use super::directory::UserLoader;
use super::reader::Reader;
use super::view::group_with_other_user;
use super::{MessagingError, MessagingResult, Viewer, WriteOutcome};
use crate::model::{Head, Message, MessageGroup, MessageGroupId, User};
use crate::store::IdempotencyRecord;
pub(super) use job::{GroupSnapshot, Mark, WriteResult};
pub use new_message::{Destination, InvalidIdempotencyKey, NewMessage};
#[cfg(test)]
pub(super) use plan::IdempotentInput;
pub(super) use plan::{Draft, GroupState, MAX_MESSAGES};
pub(super) use registry::Registry;

/// A message that is in the table, and the updated group as the viewer sees it.
#[derive(Clone, Debug)]
pub struct CreatedMessage {
    /// The message.
    pub message: Message,
    /// The group, with this message or a newer one as its last message.
    pub group: MessageGroup,
}

/// Why a message was not created.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateMessageError {
    /// The group does not exist, or the viewer is not a participant.
    #[error("no such message group")]
    MessageGroupNotFound,
    /// No user has this handle.
    #[error("no such receiver")]
    ReceiverNotFound,
    /// The receiver is the viewer.
    #[error("users cannot send messages to themselves")]
    CannotMessageYourself,
    /// Any error that does not concern the input.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

/// The group and the receiver of a message.
struct Address {
    group: MessageGroupId,
    receiver: User,
    /// The group's head, if it had to be read.
    head: Option<Head>,
}

/// Result of marking a group as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkResult {
    /// Only messages after the given message are unread.
    Done,
    /// The group does not exist, or the viewer is not a participant.
    MessageGroupNotFound,
}

/// Creates messages and marks groups as read.
#[derive(Clone, Debug)]
pub struct Writer {
    reader: Reader,
    pub(super) registry: Arc<Registry>,
}

impl Writer {
    pub(super) fn new(reader: Reader, registry: Registry) -> Self {
        let registry = Arc::new(registry);
        Self { reader, registry }
    }

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
    ) -> MessagingResult<MarkResult> {
        let found = self.reader.find_other_participant(viewer, group);
        let found = within(deadline, WriteOutcome::NotApplied, found);
        let Some((_, head)) = found.await? else {
            return Ok(MarkResult::MessageGroupNotFound);
        };
        let mark = Mark {
            reader: viewer.user().id,
            seq,
            head,
            deadline,
        };
        self.registry.mark(group, mark).await?;
        Ok(MarkResult::Done)
    }

    /// Creates a message, or returns the message that the idempotency key
    /// created.
    ///
    /// Without contention, this costs one transaction and at most one
    /// `GetItem`. It returns by `deadline`; an error then states whether the
    /// message may still be written.
    pub async fn create_message(
        &self,
        viewer: &Viewer,
        users: &UserLoader,
        new: NewMessage,
        deadline: Instant,
    ) -> Result<CreatedMessage, CreateMessageError> {
        let address = self.address(viewer, users, &new.destination);
        let address = within(deadline, WriteOutcome::NotApplied, address).await??;
        let sender = viewer.user();
        let draft = Draft {
            id: new.id,
            idempotency: new.idempotency(sender.id),
            body: new.body,
            sender: User::clone(sender),
            receiver: address.receiver.clone(),
            at: None,
        };
        let snapshot = GroupSnapshot {
            head: address.head,
            ..GroupSnapshot::default()
        };
        match self.write(address.group, draft, snapshot, deadline).await? {
            WriteResult::Created(created) => {
                let (receiver, message) = (address.receiver, created.message);
                let (head, newest, id) = (&created.head, created.newest, receiver.id);
                let group = group_with_other_user(viewer, head, newest, id, Some(receiver));
                Ok(CreatedMessage { message, group })
            }
            WriteResult::Repeated(record) => {
                // Boxed because it is large and most messages are not repeated.
                let found = Box::pin(self.repeated(viewer, &record));
                Ok(within(deadline, WriteOutcome::Unknown, found).await?)
            }
            WriteResult::Redirected(..) => {
                let cause = "the group has another uuid since this request began";
                Err(MessagingError::unavailable(Some(WriteOutcome::NotApplied), cause).into())
            }
        }
    }

    /// Writes to a group, or to the group that contains the pair's messages.
    pub(super) async fn write(
        &self,
        group: MessageGroupId,
        draft: Draft,
        snapshot: GroupSnapshot,
        deadline: Instant,
    ) -> MessagingResult<WriteResult> {
        let registry = &self.registry;
        let first = registry.write(group, draft.clone(), snapshot, deadline);
        match first.await? {
            WriteResult::Redirected(group, snapshot) => {
                registry.write(group, draft, snapshot, deadline).await
            }
            result => Ok(result),
        }
    }

    /// Returns the group and the receiver of a destination.
    async fn address(
        &self,
        viewer: &Viewer,
        users: &UserLoader,
        destination: &Destination,
    ) -> MessagingResult<Result<Address, CreateMessageError>> {
        let me = viewer.user().id;
        Ok(match destination {
            Destination::MessageGroup(group) => {
                let address = self.address_of(viewer, users, *group).await?;
                address.ok_or(CreateMessageError::MessageGroupNotFound)
            }
            Destination::Receiver(handle) => match users.find_by_handle(handle).await? {
                None => Err(CreateMessageError::ReceiverNotFound),
                Some(receiver) if receiver.id == me => {
                    Err(CreateMessageError::CannotMessageYourself)
                }
                Some(receiver) => Ok(Address {
                    group: MessageGroupId::of_pair(me, receiver.id),
                    receiver: Arc::unwrap_or_clone(receiver),
                    head: None,
                }),
            },
        })
    }

    /// Returns one of the viewer's groups with the other participant. If the
    /// other participant is not found in Postgres, or Postgres is unavailable,
    /// the copy in the viewer's row is used.
    async fn address_of(
        &self,
        viewer: &Viewer,
        users: &UserLoader,
        group: MessageGroupId,
    ) -> MessagingResult<Option<Address>> {
        let Some((other, head)) = self.reader.find_other_participant(viewer, group).await? else {
            return Ok(None);
        };
        let receiver = match users.find_by_id(other).await {
            Ok(Some(user)) => Some(Arc::unwrap_or_clone(user)),
            Ok(None) | Err(MessagingError::Unavailable { .. }) => {
                self.reader.copy_of_other_user(viewer, group).await?
            }
            Err(error) => return Err(error),
        };
        Ok(receiver.map(|receiver| Address {
            group,
            receiver,
            head,
        }))
    }

    /// Returns the message that an idempotency key created, with the current
    /// state of its group.
    async fn repeated(
        &self,
        viewer: &Viewer,
        record: &IdempotencyRecord,
    ) -> MessagingResult<CreatedMessage> {
        let (message, group) = tokio::try_join!(
            self.reader.find_message(
                viewer,
                record.group_id,
                &record.message_key,
                record.message_id
            ),
            self.reader.find_message_group(viewer, record.group_id),
        )?;
        match (message, group) {
            (Some(message), Some(group)) => Ok(CreatedMessage { message, group }),
            _ => Err(MessagingError::unavailable(
                None,
                "the message of an idempotency record does not exist",
            )),
        }
    }
}

/// Runs a read until the deadline. `outcome` is the outcome of the write if the
/// read fails.
async fn within<T>(
    deadline: Instant,
    outcome: WriteOutcome,
    read: impl Future<Output = MessagingResult<T>>,
) -> MessagingResult<T> {
    let read = tokio::time::timeout_at(deadline, read).await;
    let passed = |_| Err(MessagingError::unavailable(None, "the deadline has passed"));
    let read = read.unwrap_or_else(passed);
    read.map_err(|error| error.with_outcome(outcome))
}
