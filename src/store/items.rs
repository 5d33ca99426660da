//! Conversion between the table's items and their contents.
//!
//! Messages and group rows keep the original's attributes, byte for byte.
//! Heads, aliases, idempotency records and the marker never have the attribute
//! `message_group_uuid`, because they would then be in the index.

use std::collections::BTreeMap;
use std::mem;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::UnreadableItem;
use super::keys::{GROUP_ROWS, IdempotencyKey, Item, ItemKind, Key, RowKey, StoredUuids, kind};
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
        let value = match name.as_str() {
            "pk" | "sk" => value.clone(),
            _ => mem::replace(value, AttributeValue::Null(true)),
        };
        (name.as_str(), Attribute(value))
    });
    T::deserialize(MapDeserializer::new(attributes))
}

/// The value of an attribute.
struct Attribute(AttributeValue);

impl IntoDeserializer<'_, serde_dynamo::Error> for Attribute {
    type Deserializer = serde_dynamo::Deserializer;

    fn into_deserializer(self) -> Self::Deserializer {
        serde_dynamo::Deserializer::from_attribute_value(self.0.into())
    }
}

pub(super) fn stored(item: &mut Item) -> Result<Stored, UnreadableItem> {
    let group = |item: &Item| {
        let partition = item.get("pk").and_then(|pk| pk.as_s().ok());
        let group = partition.and_then(|partition| partition.split_once('#'));
        let (_, text) = group.ok_or(UnreadableItem::Contents(
            "the group in its key is not a uuid",
        ))?;
        let group: MessageGroupId = text
            .parse()
            .map_err(|_| UnreadableItem::Contents("the group in its key is not a uuid"))?;
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

pub(super) fn message_item(message: &Message) -> Result<Item, serde_dynamo::Error> {
    let Key { pk, sk } = Key::message(message.group_id, &message.key);
    serde_dynamo::to_item(MessageItem {
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

pub(super) fn group_row_item(
    row: &GroupRow,
    newest: &Message,
) -> Result<Item, serde_dynamo::Error> {
    let Key { pk, sk } = Key::group_row(&RowKey::new(row.owner, newest.key.clone()));
    serde_dynamo::to_item(GroupRowItem {
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

/// The attributes that are read from a row to find the group of a pair: all
/// except the preview of the newest message.
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

/// Returns whether a uuid is stored in the form in which this service writes
/// uuids.
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

/// An alias, with the key `HEAD#<group>`, `HEAD`: the id of the group that has
/// the messages of the pair.
#[derive(Serialize, Deserialize)]
struct AliasItem {
    pk: String,
    sk: String,
    alias_of: MessageGroupId,
}

pub(super) fn alias_item(
    alias: MessageGroupId,
    alias_of: MessageGroupId,
) -> Result<Item, serde_dynamo::Error> {
    let Key { pk, sk } = Key::head(alias);
    serde_dynamo::to_item(AliasItem { pk, sk, alias_of })
}

pub(super) fn head_record(item: &mut Item) -> Result<HeadRecord, UnreadableItem> {
    if item.contains_key("alias_of") {
        let alias: AliasItem = from_item(item)?;
        return Ok(HeadRecord::AliasOf(alias.alias_of));
    }
    let head: HeadItem = from_item(item)?;
    let [one, other] = head.participants[..] else {
        return Err(UnreadableItem::Contents("a group has two participants"));
    };
    if one == other {
        return Err(UnreadableItem::Contents("a group has two participants"));
    }
    Ok(HeadRecord::Head(Head {
        version: head.version,
        participants: Participants([UserId(one), UserId(other)]),
        last_message_key: SortKey::try_from(head.last_message_at)?,
        message_count: head.message_count,
        read_counts: head
            .read_counts
            .into_iter()
            .map(|(user, count)| (UserId(user), count))
            .collect(),
    }))
}

/// Returns the expression values with which a head is updated, by their
/// placeholders.
pub(super) fn head_values(head: &Head) -> Item {
    let number = |count: u64| AttributeValue::N(count.to_string());
    let read_counts = head
        .read_counts
        .iter()
        .map(|(user, count)| (user.to_string(), number(*count)));
    Item::from([
        (":version".to_owned(), number(head.version)),
        (
            ":participants".to_owned(),
            AttributeValue::Ss(head.participants.iter().map(UserId::to_string).collect()),
        ),
        (
            ":last_message_at".to_owned(),
            AttributeValue::S(head.last_message_key.as_str().to_owned()),
        ),
        (":message_count".to_owned(), number(head.message_count)),
        (
            ":read_counts".to_owned(),
            AttributeValue::M(read_counts.collect()),
        ),
    ])
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

pub(super) fn idempotency_item(record: &IdempotencyRecord) -> Result<Item, serde_dynamo::Error> {
    let Key { pk, sk } = Key::idempotency_record(&record.key);
    serde_dynamo::to_item(IdempotencyItem {
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
