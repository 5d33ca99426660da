//! The contents of the table's items, without their representation in DynamoDB.

use super::keys::{IdempotencyKey, RowKey, StoredUuids};
use crate::model::{
    AcceptedAt, HeadRecord, Message, MessageGroup, MessageGroupId, MessageId, Participants,
    SortKey, User, UserId,
};

/// The contents of an item of any kind.
#[derive(Clone, Debug)]
pub enum Stored {
    /// A message.
    Message(Message),
    /// A participant's row.
    GroupRow(FoundRow),
    /// The head of a group, or the alias at the same key.
    Head(MessageGroupId, HeadRecord),
    /// An idempotency record.
    IdempotencyRecord,
    /// The marker that every group of the table has a head.
    HeadsMarker,
}

/// A participant's row of a group, without the preview of the newest message.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// The user to whom the row belongs.
    pub owner: UserId,
    /// The other participant, whose handle and display name are copied into the
    /// row.
    pub other_user: User,
    /// Number of messages that the owner has not read.
    pub unread_count: u64,
}

/// An idempotency record: the message that was sent under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The idempotency key.
    pub key: IdempotencyKey,
    /// The group of the message.
    pub group_id: MessageGroupId,
    /// The sort key of the message in the group.
    pub message_key: SortKey,
    /// The UUID of the message.
    pub message_id: MessageId,
    /// Digest of the client's input.
    pub input_digest: String,
    /// Time in epoch seconds from which the key can be used for another
    /// message.
    pub expires_at: i64,
}

/// A participant's row of a group.
#[derive(Clone, Debug)]
pub struct FoundRow {
    /// The user to whom the row belongs.
    pub owner: UserId,
    /// The group.
    pub group_id: MessageGroupId,
    /// The sort key of the row among the owner's rows.
    pub key: SortKey,
    /// The other participant, as of the time when the row was written.
    pub other_user: User,
    /// The text that the row shows. It should be the newest message's text.
    pub body: String,
    /// The message that the row shows.
    ///
    /// `None` for the original's rows, which do not have this data, and for
    /// rows that are read to find a pair's group, which are read without the
    /// preview and the text.
    pub preview: Option<Preview>,
    /// Number of messages that the owner has not read.
    pub unread_count: u64,
    /// The UUIDs of the row as stored, if they are not in canonical form.
    pub(super) stored: Option<StoredUuids>,
}

/// The copy of the newest message in a row.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The UUID of the message.
    pub message_id: MessageId,
    /// The sender: the owner or the other participant.
    pub sender_id: UserId,
    /// The time at which the server accepted the message, if it differs from
    /// the key's time by more than a second.
    pub accepted_at: Option<AcceptedAt>,
    /// The message's sequence number in the group.
    pub seq: u64,
}

impl FoundRow {
    /// Returns the two users that the row names.
    pub fn participants(&self) -> Participants {
        Participants([self.owner, self.other_user.id])
    }

    /// Returns the key of the row in the table.
    pub fn row_key(&self) -> RowKey {
        RowKey {
            owner: self.owner,
            key: self.key.clone(),
            stored: self.stored.clone(),
        }
    }

    /// Returns the group as the owner sees it, with the newest message
    /// according to the preview only. `owner` is the owner of the row.
    ///
    /// Returns the row unchanged if it has no preview, or if a third user sent
    /// the message, which the original allowed: the row has no copy of that
    /// user's names.
    pub(super) fn into_previewed(mut self, owner: &User) -> Result<MessageGroup, Box<Self>> {
        let sender = self.preview.as_ref().and_then(|preview| {
            let users = [&self.other_user, owner];
            let mut users = users.into_iter();
            users.find(|user| user.id == preview.sender_id).cloned()
        });
        let (Some(preview), Some(sender)) = (&self.preview, sender) else {
            return Err(Box::new(self));
        };
        let newest = Message {
            id: preview.message_id,
            group_id: self.group_id,
            key: self.key.clone(),
            accepted_at: preview.accepted_at,
            seq: preview.seq,
            sender,
            body: std::mem::take(&mut self.body),
            idempotency_key: None,
        };
        Ok(self.with_newest(newest))
    }

    /// Returns the group as the owner sees it, with its newest message.
    pub fn with_newest(self, last_message: Message) -> MessageGroup {
        MessageGroup {
            id: self.group_id,
            other_user_id: self.other_user.id,
            other_user: Some(self.other_user),
            key: self.key,
            last_message,
            unread_count: self.unread_count,
            version: self.preview.map_or(0, |preview| {
                // The message count plus the count of read messages, as in
                // `Head::version_for`.
                preview
                    .seq
                    .saturating_mul(2)
                    .saturating_sub(self.unread_count)
            }),
        }
    }
}
