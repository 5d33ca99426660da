//! Reads back what a repair has written.

use super::attempt::{RepairError, RepairedItems};
use super::finding::Unrepaired;
use crate::model::{HeadRecord, MessageGroupId};
use crate::store::{MessageStore, RowKey, StoreResult};

/// Returns whether strongly consistent reads show the written state: deleted
/// rows are absent, and head, rows and alias are present. A head with a later
/// version also proves the write, because the writer of that version has read
/// the version written here.
pub(super) async fn is_visible(
    messages: &MessageStore,
    group: MessageGroupId,
    written: &RepairedItems,
) -> StoreResult<bool> {
    let is_overwritten = |row: &&RowKey| {
        let head = written.head.as_ref();
        head.is_some_and(|head| {
            let mut rows = head.participants.iter();
            rows.any(|owner| row.is_same_item(&RowKey::of_head(head, *owner)))
        })
    };
    let gone = written.deleted.iter().filter(|row| !is_overwritten(row));
    for row in gone {
        if messages.has_row(group, row).await? {
            return Ok(false);
        }
    }
    if let Some(alias) = written.alias {
        let found = messages.find_head(alias).await?;
        if found != Some(HeadRecord::AliasOf(group)) {
            return Ok(false);
        }
    }
    let Some((head, newest)) = written.head.as_ref().zip(written.newest.as_ref()) else {
        return Ok(messages.find_head(group).await?.is_none());
    };
    let mut rows_are_there = messages.find_message(group, &newest.key).await?.is_some();
    for owner in *head.participants {
        let row = RowKey::of_head(head, owner);
        let found = messages.find_row_at(&row).await?;
        rows_are_there &= found.is_some_and(|found| {
            let shown = found.preview.as_ref();
            shown.is_some_and(|shown| shown.message_id == newest.id)
                && found.unread_count == head.unread_count(owner)
                && found.row_key() == row
        });
    }
    // The head is read after the rows: if its version has not changed, the rows
    // have not changed either.
    Ok(match messages.find_head(group).await? {
        Some(HeadRecord::Head(found)) if found.version == head.version => rows_are_there,
        Some(HeadRecord::Head(found)) => found.version > head.version,
        Some(HeadRecord::AliasOf(_)) | None => false,
    })
}

/// Returns success if a deleted row is absent.
pub(super) async fn is_gone(
    messages: &MessageStore,
    group: MessageGroupId,
    row: &RowKey,
) -> Result<(), RepairError> {
    visible(!messages.has_row(group, row).await?)
}

/// Returns success if the written state is visible.
pub(super) fn visible(is_visible: bool) -> Result<(), RepairError> {
    let visible = is_visible.then_some(());
    visible.ok_or_else(|| Unrepaired::NotVisible.into())
}
