//! The findings of `check`.

use std::sync::Arc;

use crate::model::{MessageGroupId, Participants};
use crate::named_enum::named_enum;
use crate::store::{ItemKind, RowKey, ScannedItem, StoreError};

named_enum! {
    /// The kinds of problems that a check reports, in the order in which the summary lists them. The
    /// name is printed.
    pub enum FindingKind {
        /// An item that cannot be read, or that this service does not write.
        UnreadableItem = "unreadable-item",
        /// A group whose newest key is ahead of the clock.
        FutureKey = "future-key",
        /// Rows and messages, but no head.
        MissingHead = "missing-head",
        /// Messages, but neither a head nor rows.
        UnreachableMessages = "unreachable-messages",
        /// A head that disagrees with the messages.
        WrongHead = "wrong-head",
        /// A head of a group without messages.
        HeadWithoutMessages = "head-without-messages",
        /// A participant without a row.
        MissingRow = "missing-row",
        /// A row that does not show the newest message, or whose unread count is
        /// wrong.
        StaleRow = "stale-row",
        /// A second row of an owner in the same group.
        DuplicateRow = "duplicate-row",
        /// A row whose owner is not a participant of the group.
        NonParticipantRow = "non-participant-row",
        /// A row whose group has no messages.
        RowWithoutMessages = "row-without-messages",
        /// An alias of a group that does not exist.
        DanglingAlias = "dangling-alias",
        /// A group whose UUID is not its pair's UUIDv5, and whose pair has no
        /// alias.
        MissingAlias = "missing-alias",
        /// Messages whose `seq`s are not 1, 2, 3, ….
        GapInSeq = "gap-in-seq",
        /// A group that was written to during every attempt to check it.
        NotChecked = "not-checked",
        /// The heads marker, in a table in which a group has no head or a pair has
        /// no alias.
        WrongMarker = "wrong-marker",
    }
}

impl FindingKind {
    /// Returns whether the detail of a finding can change while the item does
    /// not.
    pub fn detail_varies(self) -> bool {
        matches!(self, Self::FutureKey | Self::NotChecked | Self::WrongMarker)
    }
}

/// A problem found in the table.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The kind of the problem.
    pub kind: FindingKind,
    /// The affected group, if there is one.
    pub group: Option<MessageGroupId>,
    /// Description of the problem in detail.
    pub detail: String,
    pub(super) remedy: Remedy,
    /// The item at which the problem was found; `None` for a problem of the whole table.
    pub(super) item: Option<ScannedItem>,
    /// The key to report the problem under, if it is not the key of the item.
    pub(super) reported_key: Option<String>,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        group: Option<MessageGroupId>,
        detail: String,
        remedy: Remedy,
    ) -> Self {
        let (item, reported_key) = (None, None);
        Self {
            kind,
            group,
            detail,
            remedy,
            item,
            reported_key,
        }
    }

    /// Sets the item, unless the problem is one of another item of the same group.
    pub(super) fn at(mut self, item: &ScannedItem) -> Self {
        self.item.get_or_insert_with(|| item.clone());
        self
    }

    /// Returns the key under which the problem is reported.
    pub fn key(&self) -> String {
        let of_item = || self.item.as_ref().map(ScannedItem::key);
        let key = self.reported_key.clone().or_else(of_item);
        key.unwrap_or_default()
    }

    /// Returns the item at which the problem was found, if the repair deletes it.
    pub fn deletes(&self) -> Option<&ScannedItem> {
        let by_remedy = matches!(
            self.remedy,
            Remedy::Row(..) | Remedy::NonParticipantRow(..) | Remedy::Alias(..)
        );
        let by_kind = matches!(
            self.kind,
            FindingKind::HeadWithoutMessages | FindingKind::DuplicateRow
        );
        self.item.as_ref().filter(|_| by_remedy || by_kind)
    }

    /// Returns whether the finding is a head that is unreadable, so that its
    /// group may have no head.
    pub fn is_unreadable_head(&self) -> bool {
        let is_head = |item: &ScannedItem| item.kind() == ItemKind::Head;
        self.kind == FindingKind::UnreadableItem && self.item.as_ref().is_some_and(is_head)
    }

    /// Returns whether its repair repairs the whole group, which includes all
    /// other findings of the group with this repair.
    pub fn is_of_group(&self) -> bool {
        matches!(self.remedy, Remedy::Group(..))
    }
}

/// The repair of a finding.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// No repair, because the correct content cannot be determined without
    /// guessing. Contains the reason.
    Unknown(&'static str),
    /// Repair the whole group. The row, if given, is included even if the index
    /// does not contain it.
    Group(MessageGroupId, Option<RowKey>),
    /// Delete a row whose owner is not a participant.
    NonParticipantRow(MessageGroupId, RowKey),
    /// Delete a row whose group has neither a head nor messages.
    Row(MessageGroupId, RowKey),
    /// Write an alias of the pair's newest group under the pair's UUID.
    MissingAlias(MessageGroupId, Participants),
    /// Delete an alias whose group has neither a head nor messages.
    Alias(MessageGroupId, MessageGroupId),
}

/// Why neither of two groups under one UUID can be chosen.
pub(super) const AMBIGUOUS_GROUPS: &str = "it is not known which of the two groups is the pair's";

/// Why a finding was not repaired. Cheap to clone, because all findings of a
/// group share a repair.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unrepaired {
    /// The correct content cannot be determined from the table.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// The group was written to during every attempt.
    #[error("the group was written to at the same time; run the command again")]
    Conflict,
    /// The store throttled the repair.
    #[error("the table's capacity is not sufficient; run the command again ({0})")]
    Throttled(#[source] Arc<StoreError>),
    /// The store acknowledged the write, but a read afterwards does not return
    /// it.
    #[error(
        "the write was acknowledged, but a strongly consistent read afterwards does not show it"
    )]
    NotVisible,
    /// The store rejected the write as invalid; a retry cannot succeed.
    #[error("the write was rejected: {0}")]
    Rejected(#[source] Arc<StoreError>),
}
