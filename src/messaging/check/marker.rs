//! Checks of the heads marker. The marker states that the group of each row has
//! a head, and that each pair's UUID leads to the pair's group.

use super::finding::{Finding, FindingKind, Remedy};
use crate::model::{Consistency, Head, MessageGroupId};
use crate::store::{MessageStore, StoreResult, heads_marker_key};

impl FindingKind {
    /// Kinds of findings that contradict the heads marker.
    pub const CONTRADICT_MARKER: [Self; 2] = [Self::MissingHead, Self::MissingAlias];
}

impl Finding {
    /// Creates the finding that the table has the heads marker although `count`
    /// findings contradict it.
    pub fn wrong_marker(count: u64) -> Self {
        let detail = format!(
            "the table has the heads marker, and {count} groups have no head or are not found by their pair's uuid"
        );
        let remedy = Remedy::Unknown("the marker is removed at the end of a run");
        Self {
            reported_key: Some(heads_marker_key()),
            ..Self::new(FindingKind::WrongMarker, None, detail, remedy)
        }
    }
}

/// Reports a pair whose UUID has neither a head nor an alias although this
/// group is theirs.
///
/// For a group whose UUID is not the pair's, this costs one eventually
/// consistent `GetItem`. If that finds nothing, it costs one strongly
/// consistent `GetItem` and a read of both users' rows.
pub(super) async fn missing_alias(
    messages: &MessageStore,
    group: MessageGroupId,
    head: &Head,
) -> StoreResult<Option<Finding>> {
    let [one, other] = *head.participants;
    let pair = MessageGroupId::of_pair(one, other);
    if group == pair {
        return Ok(None);
    }
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        let found = messages.find_head_as(pair, consistency);
        if found.await?.is_some() {
            return Ok(None);
        }
    }
    // If the two users share no row, the participants in the head are
    // wrong.
    let rows = messages.rows_of_pair(head.participants, usize::MAX).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let detail = format!("the uuid {pair} of {one} and {other} resolves to no group");
    let remedy = Remedy::MissingAlias(pair, head.participants);
    let kind = FindingKind::MissingAlias;
    Ok(Some(Finding::new(kind, Some(group), detail, remedy)))
}
