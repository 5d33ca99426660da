//! The findings of `check`.

use std::fmt;

use crate::model::{MessageGroupId, Participants};
use crate::store::{RowKey, ScannedItem};

/// The kinds of problems that a check reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// An item that cannot be read, or that this service does not write.
    UnreadableItem,
    /// A group whose newest key is ahead of the clock.
    FutureKey,
    /// Rows and messages, but no head.
    MissingHead,
    /// Messages, but neither a head nor rows.
    UnreachableMessages,
    /// A head that disagrees with the messages.
    WrongHead,
    /// A head of a group without messages.
    HeadWithoutMessages,
    /// A participant without a row.
    MissingRow,
    /// A row that does not show the newest message, or whose unread count is
    /// wrong.
    StaleRow,
    /// A second row of an owner in the same group.
    DoubledRow,
    /// A row whose owner is not a participant of the group.
    StrangersRow,
    /// A row whose group has no messages.
    RowWithoutMessages,
    /// An alias of a group that does not exist.
    AliasToNowhere,
    /// A group whose uuid is not its pair's UUIDv5, and whose pair has no
    /// alias.
    MissingAlias,
    /// Messages whose `seq`s are not 1, 2, 3, ….
    GapInSeq,
    /// A group that was written to during every attempt to check it.
    NotChecked,
    /// The heads marker, in a table in which a group has no head or a pair has
    /// no alias.
    WrongMarker,
}

impl FindingKind {
    /// All kinds, in the order in which the summary lists them.
    pub const ALL: [Self; 16] = [
        Self::UnreadableItem,
        Self::FutureKey,
        Self::MissingHead,
        Self::UnreachableMessages,
        Self::WrongHead,
        Self::HeadWithoutMessages,
        Self::MissingRow,
        Self::StaleRow,
        Self::DoubledRow,
        Self::StrangersRow,
        Self::RowWithoutMessages,
        Self::AliasToNowhere,
        Self::MissingAlias,
        Self::GapInSeq,
        Self::NotChecked,
        Self::WrongMarker,
    ];

    /// Returns the name of the kind, as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnreadableItem => "unreadable-item",
            Self::FutureKey => "future-key",
            Self::MissingHead => "missing-head",
            Self::UnreachableMessages => "unreachable-messages",
            Self::WrongHead => "wrong-head",
            Self::HeadWithoutMessages => "head-without-messages",
            Self::MissingRow => "missing-row",
            Self::StaleRow => "stale-row",
            Self::DoubledRow => "doubled-row",
            Self::StrangersRow => "strangers-row",
            Self::RowWithoutMessages => "row-without-messages",
            Self::AliasToNowhere => "alias-to-nowhere",
            Self::MissingAlias => "missing-alias",
            Self::GapInSeq => "gap-in-seq",
            Self::NotChecked => "not-checked",
            Self::WrongMarker => "wrong-marker",
        }
    }
}

impl FindingKind {
    /// Returns whether the detail of a finding can change while the item does
    /// not.
    #[must_use]
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
    pub(super) remedy: Remedy,
}

impl Finding {
    /// Returns whether its repair repairs the whole group, which includes all
    /// other findings of the group with this repair.
    #[must_use]
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
            Remedy::Row(..) | Remedy::StrangersRow(..) | Remedy::Alias(..)
        ) || matches!(
            self.kind,
            FindingKind::HeadWithoutMessages | FindingKind::DoubledRow
        );
        Finding {
            kind: self.kind,
            key: self.key.unwrap_or_else(|| item.key()),
            group: self.group,
            detail: self.detail,
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
    StrangersRow(MessageGroupId, RowKey),
    /// Delete a row whose group has neither a head nor messages.
    Row(MessageGroupId, RowKey),
    /// Write an alias of the pair's newest group under the pair's uuid.
    MissingAlias(MessageGroupId, Participants),
    /// Delete an alias whose group has neither a head nor messages.
    Alias(MessageGroupId, MessageGroupId),
}

/// Why a finding was not repaired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmended {
    /// The correct content cannot be determined from the table.
    #[error("{0}")]
    WouldBeAGuess(&'static str),
    /// The group was written to during every attempt.
    #[error("the group was written to at the same time: run it again")]
    Busy,
    /// The store throttled the repair.
    #[error("the table's capacity does not suffice: run it again ({0})")]
    Throttled(String),
    /// The store acknowledged the write, but a read afterwards does not return
    /// it.
    #[error(
        "the write was acknowledged, but a strongly consistent read afterwards does not show it"
    )]
    NotVisible,
    /// The store rejected the write as invalid; a retry cannot succeed.
    #[error("it was refused: {0}")]
    Refused(String),
}
