//! Groups without a head: new groups, and groups that the original wrote, which
//! their first write adopts.

use super::job::GroupSnapshot;
use super::plan::{Draft, GroupState};
use crate::messaging::heads_marker::HeadsMarker;
use crate::model::{MessageGroupId, Participants};
use crate::store::{FoundRow, MAX_PAIR_PAGES, MessageStore, StoreResult};

/// The known state of a group before a write.
pub(super) enum State {
    /// The state on which the write is planned.
    Known(GroupState),
    /// The pair's messages are in another group, with what has been read of it.
    Redirected(MessageGroupId, GroupSnapshot),
}

/// Reads the rows of both users with strongly consistent queries; the newest
/// row determines the group.
///
/// In a table with the heads marker, this function reads nothing, because a pair
/// whose UUID has neither head nor alias has no group. It reads the rows only
/// once: rows change only together with a head, so the rows in `known` are
/// correct while the group has no head.
pub(super) async fn headless(
    messages: &MessageStore,
    marker: &HeadsMarker,
    group: MessageGroupId,
    draft: &Draft,
    known: &mut Option<Vec<FoundRow>>,
) -> StoreResult<State> {
    let users = Participants([draft.sender.id, draft.receiver.id]);
    let pair = MessageGroupId::of_pair(users[0], users[1]);
    if known.is_none() && group == pair && marker.is_present().await? {
        return Ok(State::Known(GroupState::default()));
    }
    let rows = match known {
        Some(rows) => rows,
        None => known.insert(messages.rows_of_pair(users, MAX_PAIR_PAGES).await?),
    };
    let Some(newest) = rows.first().map(|row| row.group_id) else {
        return Ok(State::Known(GroupState::default()));
    };
    let own: Vec<&FoundRow> = rows.iter().filter(|row| row.group_id == group).collect();
    if own.is_empty() && group == pair {
        let snapshot = GroupSnapshot {
            head: None,
            missing_alias: Some(pair),
            rows: Some(rows.clone()),
        };
        return Ok(State::Redirected(newest, snapshot));
    }
    let newest_message = messages.newest_message(group).await?;
    let newest_message = newest_message.map(|message| message.key);
    let keys = own.iter().map(|row| row.key.clone());
    Ok(State::Known(GroupState {
        head: None,
        taken: keys.chain(newest_message).collect(),
        alias: (newest == group && pair != group).then_some(pair),
        old_rows: own.into_iter().map(FoundRow::row_key).collect(),
    }))
}
