//! What the messages of Cruddur are made of. No input or output happens here,
//! and nothing here knows of GraphQL, DynamoDB or Postgres.

mod accepted_at;
mod body;
mod head;
mod page;
mod sort_key;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use accepted_at::AcceptedAt;
pub use body::{InvalidMessageBody, MessageBody};
pub use head::{Head, HeadRecord};
pub use page::{End, Page, PageRequest, Place};
pub use sort_key::{SortKey, UnreadableTime};

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_newtype! {
    /// A user's uuid, as in Postgres.
    UserId
}
uuid_newtype! {
    /// A message group's uuid, as in the app's URLs.
    MessageGroupId
}
uuid_newtype! {
    /// A message's uuid.
    MessageId
}

impl MessageGroupId {
    /// Namespace of [`MessageGroupId::of_pair`]. Never to be changed: groups
    /// already written would not be found any more.
    const PAIRS: Uuid = Uuid::from_u128(0x6f1c_7d0e_9a54_5c0b_8e1a_2d4b_63c7_90f5);

    /// The group of two people, in whichever order they are named.
    ///
    /// UUIDv5 (RFC 9562, 5.5) over the 32 bytes of both uuids, the smaller
    /// first, so that both ends and every retry compute the same.
    #[must_use]
    pub fn of_pair(one: UserId, other: UserId) -> Self {
        let (first, second) = (one.min(other), one.max(other));
        let mut name = [0; 32];
        name[..16].copy_from_slice(first.0.as_bytes());
        name[16..].copy_from_slice(second.0.as_bytes());
        Self(Uuid::new_v5(&Self::PAIRS, &name))
    }
}

/// Someone who can send and receive messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The uuid, which never changes.
    pub id: UserId,
    /// The name in the app's URLs, without `@`, unique.
    pub handle: String,
    /// The name shown to people.
    pub display_name: String,
}

/// A message, as a participant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The message's own uuid.
    pub id: MessageId,
    /// The group it was sent to.
    pub group_id: MessageGroupId,
    /// Its place in the group, which is also the time at which it was created,
    /// unless `accepted_at` is set.
    pub key: SortKey,
    /// When the server accepted it, where the key is more than a second off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<AcceptedAt>,
    /// Its number in the group: 1, 2, 3, … without holes; 0 for a message of
    /// the original, which had no numbers.
    pub seq: u64,
    /// The text, as it was sent.
    pub body: String,
    /// Whoever sent it, as of then.
    pub sender: User,
}

impl Message {
    /// When the server accepted the message.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.accepted_at
            .map_or_else(|| self.key.created_at(), AcceptedAt::time)
    }

    /// Where it stands in its group.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            key: self.key.clone(),
            seq: self.seq,
        }
    }

    /// The place of whatever stands right before it.
    #[must_use]
    pub fn place_in_front(&self) -> Place {
        Place {
            key: SortKey::in_front_of(self.key.created_at()),
            seq: self.seq.saturating_sub(1),
        }
    }
}

/// Two people's messages to each other, as one of them sees the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageGroup {
    /// The group's uuid.
    pub id: MessageGroupId,
    /// The participant who is not the viewer.
    pub other_user_id: UserId,
    /// The other participant as of the newest message; `None` where the group
    /// was read without a copy of them.
    pub other_user: Option<User>,
    /// The group's place among the viewer's: the newest message's key, as far
    /// as the viewer's row knows it.
    pub key: SortKey,
    /// The newest message.
    pub last_message: Message,
    /// How many messages of the group the viewer has not read.
    pub unread_count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_group_whoever_is_named_first() {
        let one = UserId(Uuid::from_u128(1));
        let other = UserId(Uuid::from_u128(2));

        let group = MessageGroupId::of_pair(one, other);

        assert_eq!(group, MessageGroupId::of_pair(other, one));
        assert_eq!(group.to_string(), "bbbaf520-b287-5aad-917f-4840b3785ed7");
    }
}
