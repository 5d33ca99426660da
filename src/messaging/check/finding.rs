//! The findings of `check`.

use std::fmt;
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

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A problem found in the table.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The kind of the problem.
    pub kind: FindingKind,
    /// Key of the item at which the problem was found.
    pub key: String,
    /// The affected group, if there is one.
    pub group: Option<MessageGroupId>,
    /// Description of the problem in detail.
    pub detail: String,
    /// The item at which the problem was found, if the repair deletes it.
    pub deletes: Option<ScannedItem>,
    pub(super) item_kind: ItemKind,
    pub(super) remedy: Remedy,
}

impl Finding {
    /// Returns whether the finding is a head that is unreadable, so that its
    /// group may have no head.
    pub fn is_unreadable_head(&self) -> bool {
        self.kind == FindingKind::UnreadableItem && self.item_kind == ItemKind::Head
    }

    /// Returns whether its repair repairs the whole group, which includes all
    /// other findings of the group with this repair.
    pub fn is_of_group(&self) -> bool {
        matches!(self.remedy, Remedy::Group(..))
    }
}

/// A problem found at an item, before the key of the item is added.
pub(super) struct Found {
    pub kind: FindingKind,
    pub group: Option<MessageGroupId>,
    pub detail: String,
    pub remedy: Remedy,
    /// The affected item, if it is another item of the same group.
    pub item: Option<ScannedItem>,
    /// The key to report the problem under, if it is not the key of an item.
    pub key: Option<String>,
}

impl Found {
    pub fn new(
        kind: FindingKind,
        group: Option<MessageGroupId>,
        detail: String,
        remedy: Remedy,
    ) -> Self {
        let (item, key) = (None, None);
        Self {
            kind,
            group,
            detail,
            remedy,
            item,
            key,
        }
    }

    /// Converts the problem to a finding at `item`.
    pub fn at(self, item: &ScannedItem) -> Finding {
        let item = self.item.as_ref().unwrap_or(item);
        let deletes = matches!(
            self.remedy,
            Remedy::Row(..) | Remedy::NonParticipantRow(..) | Remedy::Alias(..)
        ) || matches!(
            self.kind,
            FindingKind::HeadWithoutMessages | FindingKind::DuplicateRow
        );
        Finding {
            kind: self.kind,
            key: self.key.unwrap_or_else(|| item.key()),
            group: self.group,
            detail: self.detail,
            item_kind: item.kind(),
            deletes: deletes.then(|| item.clone()),
            remedy: self.remedy,
        }
    }
}

/// The repair of a finding.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// None: the correct content cannot be determined without guessing.
    /// Contains the reason.
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
