//! The keys of the table's items. No other module builds or takes apart a key.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use crate::model::{Head, MessageGroupId, SortKey, UserId};
use crate::named_enum::named_enum;

/// The name of the index on the rows of a group.
pub(super) const INDEX: &str = "message-group-sk-index";

pub(super) type Item = HashMap<String, AttributeValue>;

/// Prefix of the partition keys of users' rows.
pub(super) const GROUP_ROWS: &str = "GRP#";

/// Key of the marker item.
///
/// The marker means that the group of every row has a head, and that the UUID
/// of every pair leads to the pair's group. It has no other attributes.
const MARKER: (&str, &str) = ("TABLE#HEADS", "TABLE");

/// Primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub pk: String,
    pub sk: String,
}

impl Key {
    pub fn message(group: MessageGroupId, key: &SortKey) -> Self {
        Self::new(message_partition(group), key.as_str())
    }

    pub fn group_row(row: &RowKey) -> Self {
        let stored = row.stored.as_ref();
        let pk = stored.map_or_else(|| group_partition(row.owner), |stored| stored.pk.clone());
        Self::new(pk, row.key.as_str())
    }

    pub fn head(group: MessageGroupId) -> Self {
        Self::new(format!("HEAD#{group}"), "HEAD")
    }

    pub fn idempotency_record(key: &IdempotencyKey) -> Self {
        Self::new(
            format!("SENT#{}#{}", key.sender, key.idempotency_key),
            "SENT",
        )
    }

    /// Returns the key of the marker item, the only item about the table
    /// itself.
    pub fn heads_marker() -> Self {
        Self::new(MARKER.0.to_owned(), MARKER.1)
    }

    fn new(pk: String, sk: &str) -> Self {
        let sk = sk.to_owned();
        Self { pk, sk }
    }

    pub fn into_attributes(self) -> Item {
        let Self { pk, sk } = self;
        Item::from([
            ("pk".to_owned(), AttributeValue::S(pk)),
            ("sk".to_owned(), AttributeValue::S(sk)),
        ])
    }
}

/// Returns the partition key of a group's messages.
pub fn message_partition(group: MessageGroupId) -> String {
    format!("MSG#{group}")
}

/// Returns the key of the heads marker as text.
pub fn heads_marker_key() -> String {
    format!("{} {}", MARKER.0, MARKER.1)
}

pub(super) fn group_partition(owner: UserId) -> String {
    format!("{GROUP_ROWS}{owner}")
}

/// Returns a part of an item's key.
pub(super) fn key_part<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    let part = item.get(name)?.as_s();
    part.ok().map(String::as_str)
}

/// Returns the key of an item as text, for a log line about an unreadable item.
pub(super) fn key_of(item: &Item) -> String {
    let part = |name| key_part(item, name).unwrap_or("?");
    format!("{} {}", part("pk"), part("sk"))
}

/// Returns the key of an idempotency record as text for the log, without the
/// client's idempotency key.
pub(super) fn idempotency_key_text(key: &IdempotencyKey) -> String {
    format!("SENT#{}#…", key.sender)
}

/// The key of a participant's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// The user to whom the row belongs.
    pub owner: UserId,
    /// Key of the message that was the newest when the row was written.
    pub key: SortKey,
    /// The UUIDs of the row as stored, if they are not in canonical form.
    pub(super) stored: Option<StoredUuids>,
}

/// The UUIDs of a row as stored, in upper case or without hyphens.
///
/// DynamoDB compares texts, so such a row is found and deleted only by exactly
/// these texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredUuids {
    pub pk: String,
    pub group: String,
}

impl RowKey {
    /// Creates the key of an owner's row whose newest message has this key.
    pub fn new(owner: UserId, key: SortKey) -> Self {
        let stored = None;
        Self { owner, key, stored }
    }

    /// Returns the key of a participant's row according to the group's head.
    pub fn of_head(head: &Head, owner: UserId) -> Self {
        Self::new(owner, head.last_message_key.clone())
    }

    /// Returns whether both keys identify the same item.
    pub fn is_same_item(&self, other: &Self) -> bool {
        Key::group_row(self) == Key::group_row(other)
    }

    /// Returns whether the UUIDs are stored in canonical form, by which all
    /// queries find the row.
    pub fn is_canonical(&self) -> bool {
        self.stored.is_none()
    }

    /// Returns the value for the placeholder `:group` in [`OWN_OR_NONE`](super::transaction::OWN_OR_NONE).
    pub(super) fn own(&self, group: MessageGroupId) -> (&'static str, AttributeValue) {
        match &self.stored {
            Some(stored) => (":group", AttributeValue::S(stored.group.clone())),
            None => own(group),
        }
    }
}

/// An idempotency key. Each sender has a separate set of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The sender of the message.
    pub sender: UserId,
    /// The idempotency key in the client's input.
    pub idempotency_key: String,
}

named_enum! {
    /// The kind of an item, according to its key. The name is printed with a number of items.
    pub enum ItemKind {
        /// A message.
        Message = "messages",
        /// A participant's row of a group.
        GroupRow = "group rows",
        /// The head of a group, or an alias.
        Head = "heads",
        /// An idempotency record.
        IdempotencyRecord = "sent",
        /// The marker that every group of the table has a head.
        HeadsMarker = "markers",
        /// An item that this program does not write.
        Unknown = "unknown",
    }
}

/// Returns the kind of an item according to its partition key.
pub(super) fn kind(item: &Item) -> ItemKind {
    let (pk, sk) = (key_part(item, "pk"), key_part(item, "sk"));
    match pk.and_then(|pk| pk.split_once('#')) {
        Some(("MSG", _)) => ItemKind::Message,
        Some(("GRP", _)) => ItemKind::GroupRow,
        Some(("HEAD", _)) => ItemKind::Head,
        Some(("SENT", _)) => ItemKind::IdempotencyRecord,
        _ if pk.zip(sk) == Some(MARKER) => ItemKind::HeadsMarker,
        _ => ItemKind::Unknown,
    }
}

/// Returns the value for the placeholder `:group` in [`OWN_OR_NONE`](super::transaction::OWN_OR_NONE).
pub(super) fn own(group: MessageGroupId) -> (&'static str, AttributeValue) {
    (":group", AttributeValue::S(group.to_string()))
}
