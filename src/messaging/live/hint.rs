//! The hints that the bus carries.

use serde::{Deserialize, Serialize};

use crate::model::{Head, Message, MessageGroupId, UserId};

/// A commit in a group: new messages, or a mark as read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hint {
    pub group: MessageGroupId,
    /// The head after the commit.
    pub head: Head,
    /// The new messages, oldest first; empty for a mark as read.
    pub messages: Vec<Message>,
    /// The participant who marked the group as read. Only this user receives
    /// the hint.
    pub reader: Option<UserId>,
}

impl Hint {
    /// Returns the users who receive the hint.
    pub fn recipients(&self) -> Vec<UserId> {
        let all = || self.head.participants.to_vec();
        self.reader.map_or_else(all, |reader| vec![reader])
    }
}
