//! The transaction that marks a participant's messages as read.

use aws_sdk_dynamodb::types::AttributeValue;

use super::MessageStore;
use super::keys::{Key, RowKey, own};
use super::transaction::{Role, TransactionOutcome};
use crate::model::{Head, MessageGroupId, UserId};

/// The change when a participant has read more messages of a group.
#[derive(Clone, Debug)]
pub struct ReadMark {
    /// The group.
    pub group: MessageGroupId,
    /// The participant who has read the messages.
    pub reader: UserId,
    /// The new head.
    pub head: Head,
    /// Whether the reader's row has the key in the head.
    ///
    /// If not, the row does not change: the next message replaces it.
    pub has_row: bool,
}

impl MessageStore {
    /// Writes the head and the reader's row, or neither: one
    /// `TransactWriteItems` of two items, sent once.
    pub async fn mark_read(&self, mark: &ReadMark) -> TransactionOutcome {
        let head = self.update_head(mark.group, &mark.head);
        let mut actions = vec![(Role::Head, head)];
        if mark.has_row {
            let row = RowKey::of_head(&mark.head, mark.reader);
            let unread_count = mark.head.unread_count(mark.reader);
            let update = self.update_if(
                Key::group_row(&row),
                "SET unread_count = :unread_count",
                "message_group_uuid = :group",
                [
                    own(mark.group),
                    (":unread_count", AttributeValue::N(unread_count.to_string())),
                ],
            );
            actions.push((Role::OldRow(row), update));
        }
        self.send_transaction(actions, None).await
    }
}
