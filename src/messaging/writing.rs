//! Creates messages: patterns C (in a group) and D (to a receiver).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::plan::{Draft, Once};
use super::queue::{Creation, Known, OtherGroup, Written};
use super::{Messaging, MessagingError, UserLoader, Viewer, WriteOutcome};
use crate::model::{
    Head, Message, MessageBody, MessageGroup, MessageGroupId, MessageId, User, UserId,
};
use crate::store::{Sent, SentKey};

/// The destination of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A group in which the viewer is a participant.
    MessageGroup(MessageGroupId),
    /// The user with this handle. The message is written to the group of the
    /// two users, which is created if they have none.
    Receiver(String),
}

/// A message to be sent by a viewer.
#[derive(Clone, Debug)]
pub struct NewMessage {
    id: MessageId,
    destination: Destination,
    body: MessageBody,
    idempotency_key: Option<String>,
}

/// An idempotency key of invalid length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 bytes; this one has {0}")]
pub struct InvalidIdempotencyKey(usize);

impl NewMessage {
    /// Maximum length of an idempotency key in bytes.
    pub const LONGEST_KEY: usize = 255;

    /// Creates a message. `id` is the uuid of the message if this request
    /// creates it.
    pub fn new(
        id: MessageId,
        destination: Destination,
        body: MessageBody,
        idempotency_key: Option<String>,
    ) -> Result<Self, InvalidIdempotencyKey> {
        let length = idempotency_key.as_ref().map_or(1, String::len);
        if !(1..=Self::LONGEST_KEY).contains(&length) {
            return Err(InvalidIdempotencyKey(length));
        }
        Ok(Self {
            id,
            destination,
            body,
            idempotency_key,
        })
    }

    /// Returns the digest of the input as sent. It distinguishes a repeated
    /// request from another use of the same idempotency key.
    fn digest(&self) -> String {
        let (kind, destination) = match &self.destination {
            Destination::MessageGroup(group) => ("messageGroupUuid", group.to_string()),
            Destination::Receiver(handle) => ("receiverHandle", handle.clone()),
        };
        let mut digest = Sha256::new();
        for part in [kind, &destination, self.body.as_str()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }

    fn once(&self, sender: UserId) -> Option<Once> {
        let idempotency_key = self.idempotency_key.clone()?;
        Some(Once {
            key: SentKey {
                sender,
                idempotency_key,
            },
            input_digest: self.digest(),
        })
    }
}

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
    #[error("nobody can send messages to themselves")]
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

impl Messaging {
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
        let addressed =
            tokio::time::timeout_at(deadline, self.address(viewer, users, &new.destination));
        let address = addressed.await.unwrap_or_else(|_| {
            let cause = "the request's time ran out before the message was sent";
            Err(MessagingError::unavailable(Some(WriteOutcome::NotApplied), cause).into())
        })?;
        let sender = viewer.user();
        let draft = Draft {
            id: new.id,
            once: new.once(sender.id),
            body: new.body,
            sender: User::clone(sender),
            receiver: address.receiver.clone(),
            at: None,
        };
        let known = Known {
            head: address.head,
            alias: None,
            rows: None,
        };
        match self.write(address.group, draft, known, deadline).await? {
            Written::Created(created) => Ok(as_created(viewer, address.receiver, *created)),
            Written::SentBefore(sent) => {
                let found = Box::pin(self.sent_before(viewer, &sent));
                let unknown = |error: MessagingError| error.with_outcome(WriteOutcome::Unknown);
                let found = tokio::time::timeout_at(deadline, found)
                    .await
                    .unwrap_or_else(|_| {
                        Err(MessagingError::unavailable(
                            None,
                            "the request's time ran out",
                        ))
                    });
                Ok(found.map_err(unknown)?)
            }
            Written::KeptIn(_) => {
                let outcome = Some(WriteOutcome::NotApplied);
                Err(MessagingError::unavailable(outcome, "the group moves").into())
            }
        }
    }

    /// Writes to a group, or to the group that contains the pair's messages.
    pub(super) async fn write(
        &self,
        group: MessageGroupId,
        draft: Draft,
        known: Known,
        deadline: Instant,
    ) -> Result<Written, MessagingError> {
        match self
            .writers
            .write(group, draft.clone(), known, deadline)
            .await?
        {
            Written::KeptIn(OtherGroup { id, alias, rows }) => {
                let known = Known {
                    head: None,
                    alias,
                    rows,
                };
                self.writers.write(id, draft, known, deadline).await
            }
            written => Ok(written),
        }
    }

    /// Returns the group and the receiver of a destination.
    async fn address(
        &self,
        viewer: &Viewer,
        users: &UserLoader,
        destination: &Destination,
    ) -> Result<Address, CreateMessageError> {
        let nothing_sent = |error: MessagingError| error.with_outcome(WriteOutcome::NotApplied);
        match destination {
            Destination::MessageGroup(group) => {
                let address = self.address_of(viewer, users, *group).await;
                let address = address.map_err(nothing_sent)?;
                address.ok_or(CreateMessageError::MessageGroupNotFound)
            }
            Destination::Receiver(handle) => {
                let receiver = users.find_by_handle(handle).await.map_err(nothing_sent)?;
                let receiver = receiver.ok_or(CreateMessageError::ReceiverNotFound)?;
                if receiver.id == viewer.user().id {
                    return Err(CreateMessageError::CannotMessageYourself);
                }
                Ok(Address {
                    group: MessageGroupId::of_pair(viewer.user().id, receiver.id),
                    receiver: Arc::unwrap_or_clone(receiver),
                    head: None,
                })
            }
        }
    }

    /// Returns one of the viewer's groups with the other participant. If the
    /// other participant is not found in Postgres, or Postgres is unavailable,
    /// the copy in the viewer's row is used.
    async fn address_of(
        &self,
        viewer: &Viewer,
        users: &UserLoader,
        group: MessageGroupId,
    ) -> Result<Option<Address>, MessagingError> {
        let Some((other, head)) = self.find_other_participant(viewer, group).await? else {
            return Ok(None);
        };
        let receiver = match users.find_by_id(other).await {
            Ok(Some(user)) => Some(Arc::unwrap_or_clone(user)),
            Ok(None) | Err(MessagingError::Unavailable { .. }) => {
                self.copy_of_other_user(viewer, group).await?
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
    async fn sent_before(
        &self,
        viewer: &Viewer,
        sent: &Sent,
    ) -> Result<CreatedMessage, MessagingError> {
        let (message, group) = tokio::try_join!(
            self.find_message(viewer, sent.group_id, &sent.message_key, sent.message_id),
            self.find_message_group(viewer, sent.group_id),
        )?;
        match (message, group) {
            (Some(message), Some(group)) => Ok(CreatedMessage { message, group }),
            _ => Err(MessagingError::unavailable(
                None,
                "a message that was sent is not there",
            )),
        }
    }
}

fn as_created(viewer: &Viewer, receiver: User, created: Creation) -> CreatedMessage {
    let Creation {
        message,
        newest,
        head,
    } = created;
    let group = MessageGroup {
        id: message.group_id,
        other_user_id: receiver.id,
        other_user: Some(receiver),
        key: newest.key.clone(),
        unread_count: head.unread_count(viewer.user().id),
        last_message: newest,
    };
    CreatedMessage { message, group }
}
