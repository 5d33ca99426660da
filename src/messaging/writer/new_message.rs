//! The input of `createMessage`.

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::plan::IdempotentInput;
use crate::model::{MessageBody, MessageGroupId, MessageId, UserId};
use crate::store::IdempotencyKey;

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
    pub(super) id: MessageId,
    pub(super) destination: Destination,
    pub(super) body: MessageBody,
    idempotency_key: Option<String>,
}

/// An idempotency key of invalid length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 bytes; this one has {0}")]
pub struct InvalidIdempotencyKey(usize);

impl NewMessage {
    /// Maximum length of an idempotency key in bytes, as stated in the schema.
    /// The key is a part of a partition key, which has at most 2048 bytes.
    pub const MAX_KEY_BYTES: usize = 255;

    /// Creates a message. `id` is the UUID of the message if this request
    /// creates it.
    pub fn new(
        id: MessageId,
        destination: Destination,
        body: MessageBody,
        idempotency_key: Option<String>,
    ) -> Result<Self, InvalidIdempotencyKey> {
        let length = idempotency_key.as_ref().map_or(1, String::len);
        if !(1..=Self::MAX_KEY_BYTES).contains(&length) {
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
        let mut digest = digest::Context::new(&SHA256);
        for part in [kind, &destination, self.body.as_str()] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(digest.finish())
    }

    /// Returns the idempotency key of a sender with the digest of this input.
    pub(super) fn idempotency(&self, sender: UserId) -> Option<IdempotentInput> {
        let idempotency_key = self.idempotency_key.clone()?;
        Some(IdempotentInput {
            key: IdempotencyKey {
                sender,
                idempotency_key,
            },
            input_digest: self.digest(),
        })
    }
}
