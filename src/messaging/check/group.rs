//! A group as a whole, read once for all of its items.

use super::head::{stale, wrong_head};
use super::numbers::{MessagePages, Numbers};
use crate::model::{Consistency, Head, HeadRecord, Message, MessageGroupId, SortKey, UserId};
use crate::store::{FoundRow, MessageStore, RowKey, StoreError, StoreResult, Stored};

/// State of a group according to eventually consistent reads.
///
/// These reads cost half as much as strongly consistent ones, and they are made
/// once for each group and not for each of its items. They may be about a
/// second old, or show only a part of a transaction, so a problem is never
/// concluded from them: an item that is not consistent with them is checked
/// again with strongly consistent reads. If the reads agree with each other, the
/// group was consistent.
#[derive(Debug)]
pub(super) enum CheckedGroup {
    /// Head, rows and messages agree.
    Whole(Head),
    /// Rows and messages, but no head: the original wrote the group. The rows
    /// are in no particular order.
    Headless(Vec<RowKey>),
    /// Any other state.
    Unclear,
}

impl CheckedGroup {
    /// Reads the head, the rows and all messages of a group. This costs one
    /// `GetItem`, one `Query` on the index, and one `Query` for each megabyte
    /// of messages. If the group has no head, only one message is read.
    pub async fn read(messages: &MessageStore, group: MessageGroupId) -> StoreResult<Self> {
        let head = match messages.find_head_as(group, Consistency::Eventual).await {
            Ok(Some(HeadRecord::AliasOf(_))) | Err(StoreError::Unreadable { .. }) => {
                return Ok(Self::Unclear);
            }
            Ok(Some(HeadRecord::Head(head))) => Some(head),
            Ok(None) => None,
            Err(error) => return Err(error),
        };
        let mut rows = Vec::new();
        for item in messages.row_items(group).await? {
            match item.read() {
                Ok(Stored::GroupRow(row)) => rows.push(row),
                _ => return Ok(Self::Unclear),
            }
        }
        match head {
            Some(head) => Self::with_head(messages, group, head, rows).await,
            None => Self::without_head(messages, group, &rows).await,
        }
    }

    async fn without_head(
        messages: &MessageStore,
        group: MessageGroupId,
        rows: &[FoundRow],
    ) -> StoreResult<Self> {
        let newest = messages.newest_message_as(group, Consistency::Eventual);
        if rows.is_empty() || newest.await?.is_none() {
            return Ok(Self::Unclear);
        }
        let rows = rows.iter().map(FoundRow::row_key);
        Ok(Self::Headless(rows.collect()))
    }

    /// Reads all messages of a group, and compares them with its head and rows.
    async fn with_head(
        messages: &MessageStore,
        group: MessageGroupId,
        head: Head,
        rows: Vec<FoundRow>,
    ) -> StoreResult<Self> {
        let mut numbers = Numbers::default();
        let mut newest: Option<Message> = None;
        let mut pages = MessagePages::new(group, Consistency::Eventual);
        while let Some(batch) = pages.next(messages).await? {
            if batch.unreadable {
                return Ok(Self::Unclear);
            }
            for message in batch.messages {
                numbers.take(&message);
                newest = Some(message);
            }
        }
        let fits = newest.is_some_and(|newest| {
            wrong_head(&head, &newest).is_none()
                && numbers.gap.is_none()
                && rows_fit(&head, &newest, &rows)
        });
        Ok(if fits {
            Self::Whole(head)
        } else {
            Self::Unclear
        })
    }

    /// Returns whether a row is correct.
    pub fn has_row(&self, row: &RowKey) -> bool {
        match self {
            Self::Whole(head) => {
                let mut rows = head.participants.iter();
                rows.any(|owner| *row == RowKey::of_head(head, *owner))
            }
            // The newest row is excluded, because the missing head is reported
            // at it.
            Self::Headless(rows) => {
                let newest = rows.iter().map(row_order).max();
                row.is_canonical()
                    && rows.contains(row)
                    && newest.is_some_and(|newest| row_order(row) < newest)
            }
            Self::Unclear => false,
        }
    }

    /// Returns whether a reader can find the group.
    pub fn is_reachable(&self) -> bool {
        !matches!(self, Self::Unclear)
    }
}

/// Returns the value by which the rows of a group are ordered: key, then owner.
pub(super) fn row_order(row: &RowKey) -> (SortKey, UserId) {
    (row.key.clone(), row.owner)
}

/// Returns whether each participant has exactly one row, and both rows show the
/// newest message.
fn rows_fit(head: &Head, newest: &Message, rows: &[FoundRow]) -> bool {
    let expected = head.participants.map(|owner| RowKey::of_head(head, owner));
    let found: Vec<RowKey> = rows.iter().map(FoundRow::row_key).collect();
    found.len() == expected.len()
        && expected.iter().all(|row| found.contains(row))
        && rows.iter().all(|row| stale(row, head, newest).is_none())
}
