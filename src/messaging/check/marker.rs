//! What the marker of the table says: each row's group has a head, and each
//! pair's uuid leads to their group.

use super::Inspector;
use super::finding::{Finding, FindingKind, Found, Remedy};
use crate::model::{Head, MessageGroupId};
use crate::store::{Consistency, StoreError};

impl FindingKind {
    /// What must not be in a table that is marked.
    pub const CONTRADICT_MARKER: [Self; 2] = [Self::MissingHead, Self::MissingAlias];
}

impl Finding {
    /// A marker in a table that has so many findings against it.
    #[must_use]
    pub fn wrong_marker(count: u64) -> Self {
        Self {
            kind: FindingKind::WrongMarker,
            key: "TABLE#HEADS TABLE".to_owned(),
            group: None,
            detail: format!(
                "the table is marked as having a head for each group, and {count} have none or are not found by \
                 their pair's uuid"
            ),
            deletes: None,
            remedy: Remedy::Unknown("the marker is removed at the end of a run"),
        }
    }
}

impl Inspector {
    /// A pair whose uuid leads nowhere, though they have this group: one
    /// eventually consistent `GetItem` for a group of another uuid than the
    /// pair's; where that finds nothing, a strongly consistent one and the rows of
    /// both.
    pub(super) async fn missing_alias(
        &self,
        group: MessageGroupId,
        head: &Head,
    ) -> Result<Option<Found>, StoreError> {
        let [one, other] = head.participants;
        let pair = MessageGroupId::of_pair(one, other);
        if group == pair {
            return Ok(None);
        }
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            let found = self.messages.find_head_as(pair, consistency);
            if found.await?.is_some() {
                return Ok(None);
            }
        }
        // Otherwise it is the head that is wrong about who takes part.
        if self.messages.rows_of_pair(one, other).await?.is_empty() {
            return Ok(None);
        }
        let detail = format!("the uuid {pair} of {one} and {other} leads to no group");
        let remedy = Remedy::MissingAlias(pair, head.participants);
        let kind = FindingKind::MissingAlias;
        Ok(Some(Found::new(kind, Some(group), detail, remedy)))
    }
}
