//! The head of a group: the one item that every write of the group goes through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SortKey, UserId};

/// What the table knows of a group as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Raised by one by every writer of the head or of the group's rows.
    pub version: u64,
    /// The two who take part. They never change.
    pub participants: [UserId; 2],
    /// Key of the newest message, and of both participants' rows.
    pub last_message_key: SortKey,
    /// How many messages the group has, which is the newest one's `seq`.
    pub message_count: u64,
    /// How many of them each participant has read.
    pub read_counts: BTreeMap<UserId, u64>,
}

impl Head {
    /// How many messages of the group a participant has not read.
    #[must_use]
    pub fn unread_count(&self, owner: UserId) -> u64 {
        self.message_count.saturating_sub(self.read_count(owner))
    }

    /// Rises with everything that changes the group for a participant, and with
    /// nothing else: how far the other one has read is not theirs to know.
    #[must_use]
    pub fn version_for(&self, owner: UserId) -> u64 {
        self.message_count.saturating_add(self.read_count(owner))
    }

    fn read_count(&self, owner: UserId) -> u64 {
        self.read_counts.get(&owner).copied().unwrap_or(0)
    }

    /// The head once a participant has read up to a message's `seq`; `None`
    /// when they had read that far before.
    #[must_use]
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

/// What stands where a group's head is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadRecord {
    /// The head.
    Head(Head),
    /// The pair's messages are kept under another uuid.
    AliasOf(super::MessageGroupId),
}
