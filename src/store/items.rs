//! Conversion between the table's items and their contents.
//!
//! Messages and group rows keep the original's attributes, byte for byte.
//! Heads, aliases, idempotency records and the marker never have the attribute
//! `message_group_uuid`, because they would then be in the index.

use std::collections::BTreeMap;
use std::mem;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use uuid::Uuid;

use super::error::UnreadableItem;
use super::keys::{
    GROUP_ROWS, IdempotencyKey, Item, ItemKind, Key, RowKey, StoredUuids, key_part, kind,
};
use super::records::{FoundRow, GroupRow, IdempotencyRecord, Preview, Stored};
use crate::model::{
    AcceptedAt, Head, HeadRecord, Message, MessageGroupId, MessageId, Participants, SortKey, User,
    UserId,
};

/// Deserializes an item. Its attributes are moved one by one, without the
/// second map that `serde_dynamo::from_item` would build of them. The item
/// keeps its key, for the log line if it is unreadable.
fn from_item<T: DeserializeOwned>(item: &mut Item) -> Result<T, serde_dynamo::Error> {
    let attributes = item.iter_mut().map(|(name, value)| {
        let is_key = matches!(name.as_str(), "pk" | "sk");
        (name.as_str(), Attribute { value, is_key })
    });
    T::deserialize(MapDeserializer::new(attributes))
}

/// An attribute of an item. Strings and numbers, which most attributes are, are
/// read in place, and `serde_dynamo` reads all other values.
struct Attribute<'a> {
    value: &'a mut AttributeValue,
    /// Whether the attribute belongs to the item's key, which is copied.
    is_key: bool,
}

impl Attribute<'_> {
    fn other(self) -> serde_dynamo::Deserializer {
        let value = mem::replace(self.value, AttributeValue::Null(true));
        serde_dynamo::Deserializer::from_attribute_value(value.into())
    }
}

impl IntoDeserializer<'_, serde_dynamo::Error> for Attribute<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Attribute<'_> {
    type Error = serde_dynamo::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            AttributeValue::S(text) if self.is_key => visitor.visit_str(text),
            AttributeValue::S(text) => visitor.visit_string(mem::take(text)),
            _ => self.other().deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            AttributeValue::S(text) => visitor.visit_str(text),
            _ => self.other().deserialize_str(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if let AttributeValue::N(text) = &*self.value
            && let Ok(number) = text.parse()
        {
            return visitor.visit_u64(number);
        }
        self.other().deserialize_u64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            AttributeValue::Null(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 f32 f64 char string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

fn to_item(attributes: impl Serialize) -> Item {
    serde_dynamo::to_item(attributes).expect("a struct of strings and numbers")
}

pub(super) fn stored(item: &mut Item) -> Result<Stored, UnreadableItem> {
    let group = |item: &Item| {
        let partition = key_part(item, "pk").and_then(|pk| pk.split_once('#'));
        let group = partition.and_then(|(_, text)| Some((text, text.parse().ok()?)));
        let (text, group): (&str, MessageGroupId) = group.ok_or(UnreadableItem::Contents(
            "the group in its key is not a uuid",
        ))?;
        // DynamoDB compares texts, so no query reads such a partition.
        if group.to_string() != text {
            return Err(UnreadableItem::Contents(
                "the uuid in its key is not in lower case with hyphens, so no reader finds it",
            ));
        }
        Ok(group)
    };
    Ok(match kind(item) {
        ItemKind::Message => Stored::Message(message(group(item)?, item)?),
        ItemKind::GroupRow => Stored::GroupRow(found_row(item)?),
        ItemKind::Head => Stored::Head(group(item)?, head_record(item)?),
        ItemKind::IdempotencyRecord => {
            from_item::<IdempotencyItem>(item)?;
            Stored::IdempotencyRecord
        }
        ItemKind::HeadsMarker => Stored::HeadsMarker,
        ItemKind::Unknown => {
            return Err(UnreadableItem::Contents(
                "this program does not write such items",
            ));
        }
    })
}

/// A message, with the key `MSG#<group>` and the sort key of the message.
///
/// The user attributes are those of the sender.
#[derive(Serialize, Deserialize)]
struct MessageItem {
    pk: String,
    sk: String,
    message_uuid: MessageId,
    message: String,
    user_uuid: UserId,
    user_handle: String,
    user_display_name: String,
    #[serde(default)]
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<AcceptedAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<Box<str>>,
}

/// Projection expression with all attributes of a message except `pk`.
pub(super) const MESSAGE_ATTRIBUTES: &str = "sk, message_uuid, message, user_uuid, user_handle, \
    user_display_name, seq, accepted_at, idempotency_key";

pub(super) fn message_item(message: &Message) -> Item {
    let Key { pk, sk } = Key::message(message.group_id, &message.key);
    to_item(MessageItem {
        pk,
        sk,
        message_uuid: message.id,
        message: message.body.clone(),
        user_uuid: message.sender.id,
        user_handle: message.sender.handle.clone(),
        user_display_name: message.sender.display_name.clone(),
        seq: message.seq,
        accepted_at: message.accepted_at,
        idempotency_key: message.idempotency_key.clone(),
    })
}

pub(super) fn message(
    group_id: MessageGroupId,
    item: &mut Item,
) -> Result<Message, UnreadableItem> {
    let item: MessageItem = from_item(item)?;
    Ok(Message {
        id: item.message_uuid,
        group_id,
        key: SortKey::try_from(item.sk)?,
        accepted_at: item.accepted_at,
        seq: item.seq,
        body: item.message,
        sender: User {
            id: item.user_uuid,
            handle: item.user_handle,
            display_name: item.user_display_name,
        },
        idempotency_key: item.idempotency_key,
    })
}

/// A participant's row, with the key `GRP#<owner>` and the sort key of the
/// newest message.
///
/// The user attributes are those of the other participant. The original's rows
/// have no attributes after these, and their previews may be stale.
#[derive(Serialize, Deserialize)]
struct GroupRowItem {
    pk: String,
    sk: String,
    message_group_uuid: String,
    message: String,
    user_uuid: UserId,
    user_handle: String,
    user_display_name: String,
    message_uuid: Option<MessageId>,
    sender_uuid: Option<UserId>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    unread_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<AcceptedAt>,
}

pub(super) fn group_row_item(row: &GroupRow, newest: &Message) -> Item {
    let Key { pk, sk } = Key::group_row(&RowKey::new(row.owner, newest.key.clone()));
    to_item(GroupRowItem {
        pk,
        sk,
        message_group_uuid: newest.group_id.to_string(),
        message: newest.body.clone(),
        user_uuid: row.other_user.id,
        user_handle: row.other_user.handle.clone(),
        user_display_name: row.other_user.display_name.clone(),
        message_uuid: Some(newest.id),
        sender_uuid: Some(newest.sender.id),
        seq: newest.seq,
        unread_count: row.unread_count,
        accepted_at: newest.accepted_at,
    })
}

/// Projection expression with all attributes of a row except `pk`.
pub(super) const ROW_ATTRIBUTES: &str = "sk, message_group_uuid, message, user_uuid, user_handle, \
    user_display_name, message_uuid, sender_uuid, seq, unread_count, accepted_at";

/// Projection expression for rows that are read to find the group of a pair: all
/// attributes except the preview of the newest message.
pub(super) const PAIR_ATTRIBUTES: &str =
    "pk, sk, message_group_uuid, user_uuid, user_handle, user_display_name, unread_count";

/// Converts a row of which only [`PAIR_ATTRIBUTES`] were read.
pub(super) fn found_row_of_pair(item: &mut Item) -> Result<FoundRow, UnreadableItem> {
    let text = || AttributeValue::S(String::new());
    item.entry("message".to_owned()).or_insert_with(text);
    found_row(item)
}

pub(super) fn found_row(item: &mut Item) -> Result<FoundRow, UnreadableItem> {
    let row: GroupRowItem = from_item(item)?;
    let uuid = |text: &str| Uuid::try_parse(text).ok();
    let owner_text = row.pk.strip_prefix(GROUP_ROWS).unwrap_or_default();
    let owner = uuid(owner_text).ok_or(UnreadableItem::Contents(
        "the owner in its key is not a uuid",
    ))?;
    let group = uuid(&row.message_group_uuid);
    let group = group.ok_or(UnreadableItem::Contents("its group is not a uuid"))?;
    let is_canonical =
        is_canonical(owner_text, owner) && is_canonical(&row.message_group_uuid, group);
    let preview = row
        .message_uuid
        .zip(row.sender_uuid)
        .map(|(message_id, sender_id)| Preview {
            message_id,
            sender_id,
            accepted_at: row.accepted_at,
            seq: row.seq,
        });
    Ok(FoundRow {
        owner: UserId(owner),
        group_id: MessageGroupId(group),
        key: SortKey::try_from(row.sk)?,
        other_user: User {
            id: row.user_uuid,
            handle: row.user_handle,
            display_name: row.user_display_name,
        },
        body: row.message,
        preview,
        unread_count: row.unread_count,
        stored: (!is_canonical).then_some(StoredUuids {
            pk: row.pk,
            group: row.message_group_uuid,
        }),
    })
}

/// Returns whether a UUID is stored in the form in which this service writes
/// UUIDs.
fn is_canonical(text: &str, uuid: Uuid) -> bool {
    *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text
}

/// The head of a group, with the key `HEAD#<group>`, `HEAD`.
#[derive(Deserialize)]
struct HeadItem {
    version: u64,
    participants: Vec<Uuid>,
    last_message_at: String,
    message_count: u64,
    #[serde(default)]
    read_counts: BTreeMap<Uuid, u64>,
}

/// An alias, with the key `HEAD#<group>`, `HEAD`: the ID of the group that has
/// the messages of the pair.
#[derive(Serialize, Deserialize)]
struct AliasItem {
    pk: String,
    sk: String,
    alias_of: MessageGroupId,
}

pub(super) fn alias_item(alias: MessageGroupId, alias_of: MessageGroupId) -> Item {
    let Key { pk, sk } = Key::head(alias);
    to_item(AliasItem { pk, sk, alias_of })
}

pub(super) fn head_record(item: &mut Item) -> Result<HeadRecord, UnreadableItem> {
    if item.contains_key("alias_of") {
        let alias: AliasItem = from_item(item)?;
        return Ok(HeadRecord::AliasOf(alias.alias_of));
    }
    let head: HeadItem = from_item(item)?;
    let pair = <[Uuid; 2]>::try_from(head.participants).ok();
    let pair = pair.filter(|[one, other]| one != other);
    let pair = pair.ok_or(UnreadableItem::Contents("a group has two participants"))?;
    let read_counts = head.read_counts.into_iter();
    let read_counts = read_counts.map(|(user, count)| (UserId(user), count));
    Ok(HeadRecord::Head(Head {
        version: head.version,
        participants: Participants(pair.map(UserId)),
        last_message_key: SortKey::try_from(head.last_message_at)?,
        message_count: head.message_count,
        read_counts: read_counts.collect(),
    }))
}

/// Returns the expression values with which a head is updated, by their
/// placeholders.
pub(super) fn head_values(head: &Head) -> [(&'static str, AttributeValue); 5] {
    let number = |count: u64| AttributeValue::N(count.to_string());
    let participants = head.participants.iter().map(UserId::to_string).collect();
    let read_counts = head.read_counts.iter();
    let read_counts = read_counts.map(|(user, count)| (user.to_string(), number(*count)));
    let last_message_at = head.last_message_key.as_str().to_owned();
    [
        (":version", number(head.version)),
        (":participants", AttributeValue::Ss(participants)),
        (":last_message_at", AttributeValue::S(last_message_at)),
        (":message_count", number(head.message_count)),
        (":read_counts", AttributeValue::M(read_counts.collect())),
    ]
}

/// An idempotency record, with the key `SENT#<sender>#<key>`, `SENT`.
#[derive(Serialize, Deserialize)]
struct IdempotencyItem {
    pk: String,
    sk: String,
    group_uuid: MessageGroupId,
    created_at: String,
    message_uuid: MessageId,
    input_digest: String,
    expires_at: i64,
}

pub(super) fn idempotency_item(record: &IdempotencyRecord) -> Item {
    let Key { pk, sk } = Key::idempotency_record(&record.key);
    to_item(IdempotencyItem {
        pk,
        sk,
        group_uuid: record.group_id,
        created_at: record.message_key.as_str().to_owned(),
        message_uuid: record.message_id,
        input_digest: record.input_digest.clone(),
        expires_at: record.expires_at,
    })
}

pub(super) fn idempotency_record(
    key: IdempotencyKey,
    item: &mut Item,
) -> Result<IdempotencyRecord, UnreadableItem> {
    let item: IdempotencyItem = from_item(item)?;
    Ok(IdempotencyRecord {
        key,
        group_id: item.group_uuid,
        message_key: SortKey::try_from(item.created_at)?,
        message_id: item.message_uuid,
        input_digest: item.input_digest,
        expires_at: item.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::key_of;

    const TIME: &str = "2026-11-27T00:58:39.637000+00:00";

    fn text(value: impl Into<String>) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    fn number(value: &str) -> AttributeValue {
        AttributeValue::N(value.to_owned())
    }

    fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        attributes.into()
    }

    fn row() -> Item {
        let [owner, other, group] = [1, 2, 3].map(Uuid::from_u128);
        item([
            ("pk", text(format!("GRP#{owner}"))),
            ("sk", text(TIME)),
            ("message_group_uuid", text(group)),
            ("message", text("hello")),
            ("user_uuid", text(other)),
            ("user_handle", text("luu")),
            ("user_display_name", text("Luu")),
            ("message_uuid", text(Uuid::from_u128(4))),
            ("sender_uuid", text(other)),
            ("seq", number("5")),
            ("an unknown attribute", AttributeValue::Bool(true)),
        ])
    }

    #[test]
    fn row_is_read_from_its_attributes() {
        let found = found_row(&mut row()).expect("a row");
        assert_eq!(found.owner, UserId(Uuid::from_u128(1)));
        assert_eq!(found.group_id, MessageGroupId(Uuid::from_u128(3)));
        assert_eq!((found.key.as_str(), &*found.body), (TIME, "hello"));
        assert_eq!(found.other_user.handle, "luu");
        let preview = found.preview.expect("a preview");
        assert_eq!((preview.seq, preview.accepted_at), (5, None));

        let mut without_preview = row();
        without_preview.insert("message_uuid".to_owned(), AttributeValue::Null(true));
        let found = found_row(&mut without_preview).expect("a row");
        assert!(found.preview.is_none());
    }

    #[test]
    fn unreadable_row_keeps_its_key() {
        for (name, value) in [
            ("user_uuid", text("not a uuid")),
            ("user_handle", number("5")),
            ("seq", text("5")),
            ("seq", number("-1")),
            ("accepted_at", text("yesterday")),
        ] {
            let mut changed = row();
            let key = key_of(&changed);
            changed.insert(name.to_owned(), value);
            assert!(found_row(&mut changed).is_err(), "{name}");
            assert_eq!(key_of(&changed), key);
        }
        let mut incomplete = row();
        incomplete.remove("user_handle");
        assert!(found_row(&mut incomplete).is_err());
    }
}
