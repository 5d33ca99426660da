//! Groups that have no head: new ones, and those that were written before
//! there were heads, which the first write adopts.

use super::heads_marker::HeadsMarker;
use super::plan::{Draft, GroupState};
use super::queue::OtherGroup;
use crate::model::{MessageGroupId, SortKey};
use crate::store::{Consistency, FoundRow, MessageStore, StoreError};

/// What is found where a group has no head.
pub(super) enum Headless {
    /// This is what the first write of the group has to know.
    State(GroupState),
    /// The pair's messages are kept in another group.
    KeptIn(OtherGroup),
}

/// Looks at both users' rows, by strongly consistent walks, newest wins.
///
/// In a marked table a pair whose uuid leads nowhere has no group, and nothing is
/// read. The rows are read once: they change only together with a head, so those
/// that are `known` are right as long as there is none.
pub(super) async fn headless(
    messages: &MessageStore,
    marker: &HeadsMarker,
    group: MessageGroupId,
    draft: &Draft,
    known: &mut Option<Vec<FoundRow>>,
) -> Result<Headless, StoreError> {
    let (sender, receiver) = (draft.sender.id, draft.receiver.id);
    let pair = MessageGroupId::of_pair(sender, receiver);
    if known.is_none() && group == pair && marker.is_present().await? {
        return Ok(Headless::State(GroupState::default()));
    }
    let rows = match known {
        Some(rows) => rows,
        None => known.insert(messages.rows_of_pair_bounded(sender, receiver).await?),
    };
    let Some(newest) = rows.first().map(|row| row.group_id) else {
        return Ok(Headless::State(GroupState::default()));
    };
    let own: Vec<&FoundRow> = rows.iter().filter(|row| row.group_id == group).collect();
    if own.is_empty() && group == pair {
        return Ok(Headless::KeptIn(OtherGroup {
            id: newest,
            alias: Some(pair),
            rows: Some(rows.clone()),
        }));
    }
    let newest_message = newest_message_key(messages, group).await?;
    let keys = own.iter().map(|row| row.key.clone());
    Ok(Headless::State(GroupState {
        head: None,
        taken: keys.chain(newest_message).collect(),
        alias: (newest == group && pair != group).then_some(pair),
        old_rows: own.into_iter().map(FoundRow::row_key).collect(),
    }))
}

async fn newest_message_key(
    messages: &MessageStore,
    group: MessageGroupId,
) -> Result<Option<SortKey>, StoreError> {
    let newest = messages.newest_message(group, Consistency::Strong).await?;
    Ok(newest.map(|message| message.key))
}
