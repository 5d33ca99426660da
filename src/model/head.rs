//! The head of a message group: the item that every write of the group updates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Participants, SortKey, UserId};

/// The state of a message group as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version for optimistic locking. Every writer of the head or of the
    /// group's rows increases it by one.
    pub version: u64,
    /// The two participants.
    pub participants: Participants,
    /// Key of the newest message, and of both participants' rows.
    pub last_message_key: SortKey,
    /// Number of messages in the group, which equals the newest message's
    /// `seq`.
    pub message_count: u64,
    /// Number of messages that each participant has read.
    pub read_counts: BTreeMap<UserId, u64>,
}

impl Head {
    /// Returns the version of the stored head that this head replaces; 0 if
    /// there must be none.
    pub fn previous_version(&self) -> u64 {
        self.version - 1
    }

    /// Returns the number of messages that a participant has not read.
    pub fn unread_count(&self, owner: UserId) -> u64 {
        self.message_count.saturating_sub(self.read_count(owner))
    }

    /// Returns the version of the group for one participant.
    ///
    /// It increases with every change that this participant can see, and with
    /// no other change: the read count of the other participant is private.
    pub fn version_for(&self, owner: UserId) -> u64 {
        self.message_count.saturating_add(self.read_count(owner))
    }

    fn read_count(&self, owner: UserId) -> u64 {
        self.read_counts.get(&owner).copied().unwrap_or(0)
    }

    /// Returns the head after a participant has read up to a message's `seq`.
    ///
    /// Returns `None` if the participant had already read up to it.
    pub fn with_read(&self, reader: UserId, seq: u64) -> Option<Self> {
        let reads = seq.min(self.message_count);
        if reads <= self.read_count(reader) {
            return None;
        }
        let mut head = self.clone();
        head.version += 1;
        head.read_counts.insert(reader, reads);
        Some(head)
    }
}

/// The item at the key of a group's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadRecord {
    /// The head.
    Head(Head),
    /// The messages of the pair of users are stored under this other UUID.
    AliasOf(super::MessageGroupId),
}

impl HeadRecord {
    /// Returns the head; `None` if the item is an alias.
    pub fn into_head(self) -> Option<Head> {
        match self {
            Self::Head(head) => Some(head),
            Self::AliasOf(_) => None,
        }
    }
}
