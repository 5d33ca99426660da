//! The domain model: users, message groups and messages.
//!
//! This module does no input or output, and does not depend on GraphQL,
//! DynamoDB or Postgres.

mod accepted_at;
mod body;
mod head;
mod page;
mod participants;
mod sort_key;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use accepted_at::AcceptedAt;
pub use body::{InvalidMessageBody, MessageBody};
pub use head::{Head, HeadRecord};
pub use page::{Consistency, End, Page, PageRequest, Position};
pub use participants::Participants;
pub use sort_key::{SortKey, UnreadableTime};

macro_rules! uuid_newtypes {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
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
    )+};
}

uuid_newtypes! {
    /// The UUID of a user, as in Postgres.
    UserId;
    /// The UUID of a message group, as in the app's URLs.
    MessageGroupId;
    /// The UUID of a message.
    MessageId;
}

impl MessageGroupId {
    /// Namespace of [`MessageGroupId::of_pair`].
    ///
    /// It must never change: existing message groups would no longer be found.
    const PAIRS: Uuid = Uuid::from_u128(0x6f1c_7d0e_9a54_5c0b_8e1a_2d4b_63c7_90f5);

    /// Returns the group of two users, independent of their order.
    ///
    /// The ID is a UUIDv5 (RFC 9562, section 5.5) of the 32 bytes of both
    /// UUIDs, the smaller first, so that both participants and every retry
    /// compute the same ID.
    pub fn of_pair(one: UserId, other: UserId) -> Self {
        let (first, second) = (one.min(other), one.max(other));
        let mut name = [0; 32];
        name[..16].copy_from_slice(first.0.as_bytes());
        name[16..].copy_from_slice(second.0.as_bytes());
        Self(Uuid::new_v5(&Self::PAIRS, &name))
    }
}

/// A user, who can send and receive messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The UUID, which never changes.
    pub id: UserId,
    /// The unique name in the app's URLs, without `@`.
    pub handle: String,
    /// The display name.
    pub display_name: String,
}

/// A message, as a participant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The UUID of the message.
    pub id: MessageId,
    /// The group of the message.
    pub group_id: MessageGroupId,
    /// The sort key of the message in its group.
    ///
    /// It is also the time at which the message was created, unless
    /// `accepted_at` is set.
    pub key: SortKey,
    /// The time at which the server accepted the message, if it differs from
    /// the key's time by more than a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<AcceptedAt>,
    /// The sequence number in the group: 1, 2, 3, … without gaps.
    ///
    /// Messages of the original have no number; for them this is 0.
    pub seq: u64,
    /// The text, exactly as sent.
    pub body: String,
    /// The sender, as of the time of sending.
    pub sender: User,
    /// The idempotency key with which the sender sent the message.
    ///
    /// `None` if there was none, and for a message that was read from a
    /// participant's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Box<str>>,
}

impl Message {
    /// Returns the time at which the server accepted the message.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.accepted_at
            .map_or_else(|| self.key.created_at(), AcceptedAt::time)
    }

    /// Returns the position of the message in its group.
    pub fn position(&self) -> Position {
        Position::new(self.key.clone(), self.seq)
    }

    /// Returns the position directly before a message that has a `seq`.
    pub fn position_before(&self) -> Position {
        // A complete key, because cursors contain it. Keys have microseconds, so the key before
        // this one is a microsecond earlier.
        let key = SortKey::at(self.key.created_at() - TimeDelta::microseconds(1));
        Position::new(key, self.seq.saturating_sub(1))
    }
}

/// The messages between two users, as one of the participants sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageGroup {
    /// The UUID of the group.
    pub id: MessageGroupId,
    /// The participant who is not the viewer.
    pub other_user_id: UserId,
    /// The other participant, as of the newest message. `None` if the group was
    /// read without a copy of the other participant's names.
    pub other_user: Option<User>,
    /// The sort key of the group among the viewer's groups: the newest
    /// message's key that the viewer's row contains.
    pub key: SortKey,
    /// The newest message.
    pub last_message: Message,
    /// Number of messages that the viewer has not read.
    pub unread_count: u64,
    /// Version of the group for the viewer, as in [`Head::version_for`]. It is 0
    /// without a head.
    pub version: u64,
}

#[cfg(test)]
impl User {
    /// Returns a user of a unit test.
    pub fn example(number: u128) -> Self {
        Self {
            id: UserId(Uuid::from_u128(number)),
            handle: format!("user-{number}"),
            display_name: format!("User {number}"),
        }
    }
}

#[cfg(test)]
impl Message {
    /// Returns a message of a unit test, whose time and sequence number increase with `seq`.
    #[expect(clippy::missing_panics_doc, reason = "only unit tests call it")]
    pub fn example(seq: u64, sender: u128) -> Self {
        let microseconds = i64::try_from(seq).expect("a small number");
        let time = "2026-11-22T06:29:00Z".parse::<DateTime<Utc>>();
        let time = time.expect("a time") + TimeDelta::microseconds(microseconds);
        Self {
            id: MessageId(Uuid::from_u128(seq.into())),
            group_id: MessageGroupId(Uuid::nil()),
            key: SortKey::at(time),
            accepted_at: None,
            seq,
            body: "a text".to_owned(),
            sender: User::example(sender),
            idempotency_key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_of_a_pair_does_not_depend_on_the_order_of_the_users() {
        let one = UserId(Uuid::from_u128(1));
        let other = UserId(Uuid::from_u128(2));

        let group = MessageGroupId::of_pair(one, other);

        assert_eq!(group, MessageGroupId::of_pair(other, one));
        assert_eq!(group.to_string(), "bbbaf520-b287-5aad-917f-4840b3785ed7");
    }
}
