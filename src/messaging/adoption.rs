//! Groups that have no head: new ones, and those that were written before
//! there were heads, which the first write adopts.

use super::plan::{Draft, GroupState};
use super::queue::OtherGroup;
use crate::model::{MessageGroupId, SortKey};
use crate::store::{Consistency, MessageStore, StoreError};

/// What is found where a group has no head.
pub(super) enum Headless {
    /// This is what the first write of the group has to know.
    State(GroupState),
    /// The pair's messages are kept in another group.
    KeptIn(OtherGroup),
}

/// Looks at both users' rows, by strongly consistent walks, newest wins.
pub(super) async fn headless(
    messages: &MessageStore,
    group: MessageGroupId,
    draft: &Draft,
) -> Result<Headless, StoreError> {
    let (sender, receiver) = (draft.sender.id, draft.receiver.id);
    let mut rows = messages.rows_of_pair(sender, receiver).await?;
    let pair = MessageGroupId::of_pair(sender, receiver);
    let Some(newest) = rows.first().map(|row| row.group_id) else {
        return Ok(Headless::State(GroupState::default()));
    };
    rows.retain(|row| row.group_id == group);
    if rows.is_empty() && group == pair {
        let (id, alias) = (newest, Some(pair));
        return Ok(Headless::KeptIn(OtherGroup { id, alias }));
    }
    let newest_message = newest_message_key(messages, group).await?;
    let keys = rows.iter().map(|row| row.key.clone());
    Ok(Headless::State(GroupState {
        head: None,
        taken: keys.chain(newest_message).collect(),
        alias: (newest == group && pair != group).then_some(pair),
        old_rows: rows.into_iter().map(|row| row.row_key()).collect(),
    }))
}

async fn newest_message_key(
    messages: &MessageStore,
    group: MessageGroupId,
) -> Result<Option<SortKey>, StoreError> {
    let newest = messages.newest_message(group, Consistency::Strong).await?;
    Ok(newest.map(|message| message.key))
}
