//! Cursors: opaque to clients, and valid only for their connection.
//!
//! In the code they are separate types. The schema declares them as `String`.

use std::borrow::Cow;
use std::collections::HashMap;

use async_graphql::registry::Registry;
use async_graphql::{InputType, InputValueError, InputValueResult, Value};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike};
use uuid::Uuid;

use crate::messaging::Positions;
use crate::model::{Message, MessageGroup, MessageGroupId, Position, SortKey, UserId};

/// The position of a message in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCursor {
    /// The group.
    pub group: MessageGroupId,
    /// The sequence number of the message.
    pub seq: u64,
    /// The sort key of the message.
    pub key: SortKey,
}

/// The position of a group among a user's message groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageGroupCursor {
    /// The user.
    pub owner: UserId,
    /// The sort key of the row.
    pub key: SortKey,
}

/// The positions of a subscription in a user's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// The user.
    pub owner: UserId,
    /// The position in each group.
    pub positions: Positions,
}

/// A cursor from which a subscription can resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveCursor {
    /// The cursor of a message in its group.
    Message(MessageCursor),
    /// The cursor of an event.
    Event(EventCursor),
}

/// An argument that is a cursor. An empty string counts as no cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorArgument<C>(pub Option<C>);

/// A position that can be encoded as a cursor.
pub trait Cursor: Sized + Send + Sync {
    /// Encodes the position.
    fn encode(&self) -> String;
    /// Decodes a position. Returns `None` if the text is not a cursor of this
    /// type.
    fn decode(text: &str) -> Option<Self>;
}

impl EventCursor {
    /// Maximum length of a cursor in bytes: the base64 text of the header and of
    /// the maximum number of groups, each with a key of 40 bytes.
    pub const MAX_BYTES: usize = (27 + Positions::MAX * (16 + 8 + 1 + 40)) * 4 / 3 + 2;
}

/// The first byte of a cursor identifies its connection.
const MESSAGE: u8 = b'm';
const MESSAGE_GROUP: u8 = b'g';
const EVENT: u8 = b'e';
/// Replaces the number of groups if a cursor cannot contain the positions of all
/// groups.
const TOO_MANY: u16 = u16::MAX;

impl Cursor for MessageCursor {
    fn encode(&self) -> String {
        let seq = self.seq.to_be_bytes();
        encode(&[
            &[MESSAGE],
            self.group.0.as_bytes(),
            &seq,
            self.key.as_str().as_bytes(),
        ])
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let rest = bytes.strip_prefix(&[MESSAGE])?;
        let (group, rest) = rest.split_first_chunk()?;
        let (seq, key) = rest.split_first_chunk()?;
        Some(Self {
            group: MessageGroupId(Uuid::from_bytes(*group)),
            seq: u64::from_be_bytes(*seq),
            key: sort_key(key)?,
        })
    }
}

impl Cursor for MessageGroupCursor {
    fn encode(&self) -> String {
        encode(&[
            &[MESSAGE_GROUP],
            self.owner.0.as_bytes(),
            self.key.as_str().as_bytes(),
        ])
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let rest = bytes.strip_prefix(&[MESSAGE_GROUP])?;
        let (owner, key) = rest.split_first_chunk()?;
        Some(Self {
            owner: UserId(Uuid::from_bytes(*owner)),
            key: sort_key(key)?,
        })
    }
}

impl Cursor for EventCursor {
    fn encode(&self) -> String {
        let as_of = self.positions.as_of.timestamp_micros().to_be_bytes();
        let mut bytes = [&[EVENT], &self.owner.0.as_bytes()[..], &as_of].concat();
        let count = self.positions.known.as_ref().map(HashMap::len);
        let count = count.and_then(|count| u16::try_from(count).ok());
        bytes.extend(count.unwrap_or(TOO_MANY).to_be_bytes());
        for (group, position) in self.positions.known.iter().flatten() {
            let key = position.key.as_str().as_bytes();
            bytes.extend(group.0.as_bytes());
            bytes.extend(position.seq.to_be_bytes());
            // A key has at most 40 bytes.
            bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
            bytes.extend(key);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let rest = bytes.strip_prefix(&[EVENT])?;
        let (owner, rest) = rest.split_first_chunk()?;
        let (as_of, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let known = match u16::from_be_bytes(*count) {
            TOO_MANY => rest.is_empty().then_some(None)?,
            count => Some(positions(count.into(), rest)?),
        };
        Some(Self {
            owner: UserId(Uuid::from_bytes(*owner)),
            positions: Positions {
                as_of: DateTime::from_timestamp_micros(i64::from_be_bytes(*as_of))
                    .filter(|time| (2000..3000).contains(&time.year()))?,
                known,
            },
        })
    }
}

/// Decodes the positions of `count` groups. Returns `None` if bytes remain.
fn positions(count: usize, mut rest: &[u8]) -> Option<HashMap<MessageGroupId, Position>> {
    let mut known = HashMap::new();
    for _ in 0..count.min(Positions::MAX) {
        let (group, behind) = rest.split_first_chunk()?;
        let (seq, behind) = behind.split_first_chunk()?;
        let (length, behind) = behind.split_first()?;
        let (key, behind) = behind.split_at_checked(usize::from(*length))?;
        let seq = u64::from_be_bytes(*seq);
        let key = sort_key(key)?;
        known.insert(
            MessageGroupId(Uuid::from_bytes(*group)),
            Position { key, seq },
        );
        rest = behind;
    }
    (rest.is_empty() && known.len() == count).then_some(known)
}

impl Cursor for LiveCursor {
    fn encode(&self) -> String {
        match self {
            Self::Message(cursor) => cursor.encode(),
            Self::Event(cursor) => cursor.encode(),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let message = MessageCursor::decode(text).map(Self::Message);
        message.or_else(|| EventCursor::decode(text).map(Self::Event))
    }
}

fn encode(parts: &[&[u8]]) -> String {
    URL_SAFE_NO_PAD.encode(parts.concat())
}

fn sort_key(bytes: &[u8]) -> Option<SortKey> {
    SortKey::parse(std::str::from_utf8(bytes).ok()?).ok()
}

impl MessageCursor {
    /// Returns the position in the messages of `group`, if the cursor belongs
    /// to that group.
    pub fn position_in(self, group: MessageGroupId) -> Option<Position> {
        let Self { key, seq, .. } = self;
        (self.group == group).then_some(Position { key, seq })
    }

    /// Returns the cursor of a message.
    pub fn of(message: &Message) -> Self {
        Self {
            group: message.group_id,
            seq: message.seq,
            key: message.key.clone(),
        }
    }
}

impl MessageGroupCursor {
    /// Returns the position among the groups of `owner`, if the cursor belongs
    /// to that user.
    pub fn position_among(self, owner: UserId) -> Option<Position> {
        let Self { key, .. } = self;
        (self.owner == owner).then_some(Position { key, seq: 0 })
    }

    /// Returns the cursor of a group among those of `owner`.
    pub fn of(owner: UserId, group: &MessageGroup) -> Self {
        let key = group.key.clone();
        Self { owner, key }
    }
}

impl<C: Cursor> InputType for CursorArgument<C> {
    type RawValueType = C;

    fn type_name() -> Cow<'static, str> {
        <String as InputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <String as InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        match value {
            Some(Value::String(text)) if text.is_empty() => Ok(Self(None)),
            Some(Value::String(text)) => match C::decode(&text) {
                Some(cursor) => Ok(Self(Some(cursor))),
                None => Err(InputValueError::custom(format!(
                    "{text:?} is not a cursor of this connection. Use the `cursor` of an edge, or a cursor of `pageInfo`."
                ))),
            },
            other => Err(InputValueError::expected_type(other.unwrap_or_default())),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.as_ref().map(C::encode).unwrap_or_default())
    }

    fn as_raw_value(&self) -> Option<&C> {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_decodes_to_its_position_and_only_for_its_own_connection() {
        let key = SortKey::parse("2026-11-22T06:29:00").expect("a time");
        let message = MessageCursor {
            group: MessageGroupId(Uuid::from_u128(1)),
            seq: 7,
            key: key.clone(),
        };
        let group = MessageGroupCursor {
            owner: UserId(Uuid::from_u128(1)),
            key,
        };

        assert_eq!(
            MessageCursor::decode(&message.encode()),
            Some(message.clone())
        );
        assert_eq!(
            MessageGroupCursor::decode(&group.encode()),
            Some(group.clone())
        );
        assert_eq!(MessageCursor::decode(&group.encode()), None);
        assert_eq!(MessageGroupCursor::decode(&message.encode()), None);
    }
}
