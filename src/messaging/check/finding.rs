//! What `check` finds.

use std::fmt;

use crate::model::{MessageGroupId, UserId};
use crate::store::{RowKey, ScannedItem};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// An item that cannot be read, or is none of ours.
    UnreadableItem,
    /// A group whose newest key is ahead of the clock.
    FutureKey,
    /// Rows and messages, but no head.
    MissingHead,
    /// Messages, but neither head nor rows.
    UnreachableMessages,
    /// A head that disagrees with the messages.
    WrongHead,
    /// A head without messages.
    HeadWithoutMessages,
    /// A participant without a row.
    MissingRow,
    /// A row that does not show the newest message, or miscounts.
    StaleRow,
    /// A row beside the one that counts.
    DoubledRow,
    /// A row of somebody who does not take part.
    StrangersRow,
    /// A row whose group has no messages.
    RowWithoutMessages,
    /// An alias of a group that is not there.
    AliasToNowhere,
    /// A group of another uuid than its pair's, which leads nowhere.
    MissingAlias,
    /// Numbers of messages that are not 1, 2, 3, ….
    GapInSeq,
    /// A group that is written to all the time.
    NotChecked,
    /// A marker that each group has a head, in a table where one has none.
    WrongMarker,
}

impl FindingKind {
    /// All of them, in the order in which they are counted up.
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

    /// Its name, as it is printed.
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
    /// Whether what is found in detail changes without a change to the item.
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

/// Something that is not as it has to be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Key of the item at which it was found.
    pub key: String,
    /// Which group it concerns.
    pub group: Option<MessageGroupId>,
    /// More, in words.
    pub detail: String,
    /// The item at which it was found, where mending deletes it.
    pub deletes: Option<ScannedItem>,
    pub(super) remedy: Remedy,
}

impl Finding {
    /// Whether its repair makes the whole group right, and with it all else that
    /// has this repair.
    #[must_use]
    pub fn is_of_group(&self) -> bool {
        matches!(self.remedy, Remedy::Group(..))
    }
}

/// What was found at an item.
pub(super) struct Found {
    pub kind: FindingKind,
    pub group: Option<MessageGroupId>,
    pub detail: String,
    pub remedy: Remedy,
    /// The item that it concerns, where that is another one of the group's.
    pub item: Option<ScannedItem>,
    /// The key to report it under, where that is no item's.
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

    /// The finding, made at an item.
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

/// What mends it.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// Nothing, without guessing.
    Unknown(&'static str),
    /// The group made whole; a row of it may be known that the index lacks.
    Group(MessageGroupId, Option<RowKey>),
    /// The row of a stranger goes.
    StrangersRow(MessageGroupId, RowKey),
    /// A row goes whose group has neither head nor messages.
    Row(MessageGroupId, RowKey),
    /// The pair's uuid gets an alias of their newest group.
    MissingAlias(MessageGroupId, [UserId; 2]),
    /// An alias goes whose group has neither head nor messages.
    Alias(MessageGroupId, MessageGroupId),
}

/// Why something was not mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmended {
    /// There is nothing to conclude it from.
    #[error("{0}")]
    WouldBeAGuess(&'static str),
    /// Somebody wrote to the group all the time.
    #[error("the group was written to at the same time: run it again")]
    Busy,
    /// The store had no capacity to spare.
    #[error("the table's capacity does not suffice: run it again ({0})")]
    Throttled(String),
    /// The store acknowledged it, but does not show it.
    #[error(
        "the write was acknowledged, but a strongly consistent read afterwards does not show it"
    )]
    NotVisible,
    /// The store will never take it.
    #[error("it was refused: {0}")]
    Refused(String),
}
