//! Participants' rows, as they are found in the table.

use super::commit::{RowKey, StoredUuids};
use crate::model::{
    AcceptedAt, Message, MessageGroup, MessageGroupId, MessageId, SortKey, User, UserId,
};

/// A participant's row of a group.
#[derive(Clone, Debug)]
pub struct FoundRow {
    /// Whose row it is.
    pub owner: UserId,
    /// Of which group.
    pub group_id: MessageGroupId,
    /// Where it stands among the owner's rows.
    pub key: SortKey,
    /// The other participant, as of when it was written.
    pub other_user: User,
    /// The text that it shows, which should be the newest message's.
    pub body: String,
    /// Which message it shows. The original's rows do not say; rows that are read
    /// for a pair are read without it, and without the text.
    pub preview: Option<Preview>,
    /// How many messages the owner has not read.
    pub unread_count: u64,
    /// How its uuids are stored, where that is not the form that we write.
    pub(super) stored: Option<StoredUuids>,
}

/// The newest message, as far as a row shows it.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The message.
    pub message_id: MessageId,
    /// Who sent it: the owner, or the other participant.
    pub sender_id: UserId,
    /// When the server accepted it, where its key is more than a second off.
    pub accepted_at: Option<AcceptedAt>,
    /// Its number in the group.
    pub seq: u64,
}

impl FoundRow {
    /// Where it stands in the table.
    #[must_use]
    pub fn row_key(&self) -> RowKey {
        RowKey {
            owner: self.owner,
            key: self.key.clone(),
            stored: self.stored.clone(),
        }
    }

    /// The newest message, by the preview alone. `owner` is whose row it is.
    /// `None` where a third user sent it, as the original allowed: the row has
    /// no copy of their names.
    pub(super) fn previewed(&self, owner: &User) -> Option<Message> {
        let preview = self.preview.as_ref()?;
        let sender = [&self.other_user, owner]
            .into_iter()
            .find(|user| user.id == preview.sender_id)?;
        Some(Message {
            id: preview.message_id,
            group_id: self.group_id,
            key: self.key.clone(),
            accepted_at: preview.accepted_at,
            seq: preview.seq,
            body: self.body.clone(),
            sender: sender.clone(),
        })
    }

    /// The group as the owner sees it, with its newest message.
    #[must_use]
    pub fn with_newest(self, last_message: Message) -> MessageGroup {
        MessageGroup {
            id: self.group_id,
            other_user_id: self.other_user.id,
            other_user: Some(self.other_user),
            key: self.key,
            last_message,
            unread_count: self.unread_count,
        }
    }
}
