//! Global object IDs (Relay): opaque to clients, for `node` and for client
//! caches.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{ID, InputType, InputValueResult, Value};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::model::{Message, MessageGroupId, MessageId, SortKey, UserId};

/// The object that a global ID identifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalId {
    /// A user.
    User(UserId),
    /// A message group.
    MessageGroup(MessageGroupId),
    /// A message: its group, its sort key and its UUID.
    Message(MessageGroupId, SortKey, MessageId),
}

const USER: u8 = b'U';
const MESSAGE_GROUP: u8 = b'G';
const MESSAGE: u8 = b'M';

impl GlobalId {
    /// Returns the global ID of a message.
    pub fn of_message(message: &Message) -> Self {
        Self::Message(message.group_id, message.key.clone(), message.id)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (uuid, rest) = rest.split_first_chunk()?;
        let uuid = Uuid::from_bytes(*uuid);
        match *kind {
            USER if rest.is_empty() => Some(Self::User(UserId(uuid))),
            MESSAGE_GROUP if rest.is_empty() => Some(Self::MessageGroup(MessageGroupId(uuid))),
            MESSAGE => {
                let (id, key) = rest.split_first_chunk()?;
                let key = SortKey::parse(std::str::from_utf8(key).ok()?).ok()?;
                Some(Self::Message(
                    MessageGroupId(uuid),
                    key,
                    MessageId(Uuid::from_bytes(*id)),
                ))
            }
            _ => None,
        }
    }
}

impl From<GlobalId> for ID {
    fn from(id: GlobalId) -> Self {
        let bytes = match &id {
            GlobalId::User(user) => [&[USER][..], user.0.as_bytes()].concat(),
            GlobalId::MessageGroup(group) => [&[MESSAGE_GROUP][..], group.0.as_bytes()].concat(),
            GlobalId::Message(group, key, id) => [
                &[MESSAGE][..],
                group.0.as_bytes(),
                id.0.as_bytes(),
                key.as_str().as_bytes(),
            ]
            .concat(),
        };
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// An argument that is a global ID. A malformed ID identifies no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdArgument(pub Option<GlobalId>);

impl InputType for IdArgument {
    type RawValueType = Self;

    fn type_name() -> Cow<'static, str> {
        <ID as InputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <ID as InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        let id =
            <ID as InputType>::parse(value).map_err(async_graphql::InputValueError::propagate)?;
        Ok(Self(GlobalId::decode(&id)))
    }

    fn to_value(&self) -> Value {
        self.0
            .clone()
            .map_or(Value::Null, |id| Value::String(ID::from(id).0))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_id_decodes_to_its_object_and_other_text_to_none() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = SortKey::parse("2026-11-22T06:29:00").expect("a time");
        for id in [
            GlobalId::User(UserId(one)),
            GlobalId::MessageGroup(MessageGroupId(one)),
            GlobalId::Message(MessageGroupId(one), key, MessageId(two)),
        ] {
            assert_eq!(GlobalId::decode(&ID::from(id.clone())), Some(id));
        }
        for wrong in ["", "x", "VQ", "5ae290ed-55d1-47a0-bc6d-fe2bc2700399", "💥"] {
            assert_eq!(GlobalId::decode(wrong), None);
        }
    }
}
