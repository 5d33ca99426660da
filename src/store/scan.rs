//! Everything that is in the table, whatever it is.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::items::{self, Item, Stored};
use super::{MessageStore, StoreError};
use crate::model::MessageGroupId;

/// One of several parts that a table is read in side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which one, from 0.
    pub number: u16,
    /// Of how many.
    pub of: u16,
}

/// A page of a segment.
#[derive(Debug)]
pub struct ScanPage {
    /// The items, in no order.
    pub items: Vec<ScannedItem>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<ScanPosition>,
}

/// Between two items of a segment.
#[derive(Clone, Debug)]
pub struct ScanPosition(Item);

/// An item as it is stored.
#[derive(Clone, Debug)]
pub struct ScannedItem(pub(super) Item);

/// What an item is, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// A message.
    Message,
    /// A participant's row of a group.
    GroupRow,
    /// The head of a group, or an alias.
    Head,
    /// What was sent under an idempotency key.
    Sent,
    /// The mark that each group of the table has a head.
    HeadsMarker,
    /// None of ours.
    Unknown,
}

impl ScannedItem {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ItemKind {
        items::kind(&self.0)
    }

    /// Its key, in words.
    #[must_use]
    pub fn key(&self) -> String {
        items::key_of(&self.0)
    }

    /// What it says; in words why it cannot be read.
    pub fn read(self) -> Result<Stored, String> {
        items::stored(self.0).map_err(|cause| cause.to_string())
    }

    /// Its attributes as plain JSON: numbers as numbers where they are not
    /// rounded by it, sets as lists, bytes in base64.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json_of_map(&self.0)
    }
}

fn json_of_map(item: &Item) -> Value {
    let attributes = item.iter();
    let attributes: Map<String, Value> = attributes
        .map(|(name, value)| (name.clone(), json(value)))
        .collect();
    Value::Object(attributes)
}

fn json(value: &AttributeValue) -> Value {
    // Stored numbers have 38 digits: those that would be rounded stay text.
    let number = |text: &String| match text.parse::<Number>() {
        Ok(number) if number.to_string() == *text => Value::Number(number),
        _ => Value::String(text.clone()),
    };
    match value {
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::N(text) => number(text),
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::M(map) => json_of_map(map),
        AttributeValue::L(list) => list.iter().map(json).collect(),
        AttributeValue::Ss(set) => set.iter().cloned().map(Value::String).collect(),
        AttributeValue::Ns(set) => set.iter().map(number).collect(),
        AttributeValue::B(bytes) => Value::String(STANDARD.encode(bytes)),
        AttributeValue::Bs(set) => set
            .iter()
            .map(|bytes| Value::String(STANDARD.encode(bytes)))
            .collect(),
        _ => Value::Null,
    }
}

impl ScanPage {
    fn of(items: Option<Vec<Item>>, next: Option<Item>) -> Self {
        let items = items.unwrap_or_default();
        Self {
            items: items.into_iter().map(ScannedItem).collect(),
            next: next.map(ScanPosition),
        }
    }
}

impl MessageStore {
    /// A page of a group's messages, readable or not, oldest first: one strongly
    /// consistent `Query` of a megabyte.
    pub async fn message_items(
        &self,
        group: MessageGroupId,
        from: Option<ScanPosition>,
    ) -> Result<ScanPage, StoreError> {
        let partition = AttributeValue::S(items::message_partition(group));
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :partition")
            .expression_attribute_values(":partition", partition)
            .consistent_read(true)
            .set_exclusive_start_key(from.map(|position| position.0))
            .send()
            .await?;
        Ok(ScanPage::of(page.items, page.last_evaluated_key))
    }

    /// A page of everything in a segment: one `Scan`, of a megabyte or `limit`
    /// items, eventually consistent.
    pub async fn scan(
        &self,
        segment: Segment,
        from: Option<ScanPosition>,
        limit: Option<usize>,
    ) -> Result<ScanPage, StoreError> {
        // One segment is the table: that need not be filtered.
        let part = (segment.of > 1).then_some(segment);
        let page = self
            .client
            .scan()
            .table_name(&self.table)
            .set_segment(part.map(|part| part.number.into()))
            .set_total_segments(part.map(|part| part.of.into()))
            .set_limit(limit.and_then(|limit| i32::try_from(limit).ok()))
            .set_exclusive_start_key(from.map(|position| position.0))
            .send()
            .await?;
        Ok(ScanPage::of(page.items, page.last_evaluated_key))
    }
}
