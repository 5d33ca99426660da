//! Participants' rows, as they are found in the table.

use super::commit::RowKey;
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
    /// What it shows of the newest message. The original's rows do not say
    /// which message they show, so theirs counts as nothing; rows that are read
    /// for a pair are read without it.
    pub preview: Option<Preview>,
    /// How many messages the owner has not read.
    pub unread_count: u64,
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
    /// Its text.
    pub body: String,
}

impl FoundRow {
    /// Where it stands in the table.
    #[must_use]
    pub fn row_key(&self) -> RowKey {
        RowKey {
            owner: self.owner,
            key: self.key.clone(),
        }
    }

    /// The newest message, by the preview alone. `owner` is whose row it is.
    pub(super) fn previewed(&self, owner: &User) -> Option<Message> {
        let preview = self.preview.as_ref()?;
        let from_other = preview.sender_id == self.other_user.id;
        let sender = if from_other { &self.other_user } else { owner };
        Some(Message {
            id: preview.message_id,
            group_id: self.group_id,
            key: self.key.clone(),
            accepted_at: preview.accepted_at,
            seq: preview.seq,
            body: preview.body.clone(),
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
