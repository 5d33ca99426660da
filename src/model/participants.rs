//! The participants of a message group.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::UserId;

/// The two participants of a message group. They never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Participants(pub [UserId; 2]);

impl Participants {
    /// Returns the participant who is not `me`; `None` if `me` is not a
    /// participant.
    pub fn other(self, me: UserId) -> Option<UserId> {
        match self.0 {
            [one, other] | [other, one] if one == me => Some(other),
            _ => None,
        }
    }
}

impl Deref for Participants {
    type Target = [UserId; 2];

    fn deref(&self) -> &[UserId; 2] {
        &self.0
    }
}
