//! What the bus carries.

use serde::{Deserialize, Serialize};

use crate::model::{Head, Message, MessageGroupId, UserId};

/// What was committed in a group: messages, or that a participant has read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::messaging) struct Hint {
    pub group: MessageGroupId,
    /// The head since.
    pub head: Head,
    /// Oldest first; none where somebody has read.
    pub messages: Vec<Message>,
    /// Who has read, which is for nobody else.
    pub reader: Option<UserId>,
}

impl Hint {
    /// Whom it is for.
    pub fn audience(&self) -> Vec<UserId> {
        let all = || self.head.participants.to_vec();
        self.reader.map_or_else(all, |reader| vec![reader])
    }
}
