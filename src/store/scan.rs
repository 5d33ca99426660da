//! Reads of all items of the table, of every kind.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::capacity_limiter::CapacityLimiter;
use super::fault::was_throttled;
use super::items;
use super::keys::{self, Item, ItemKind, Key};
use super::query::Range;
use super::records::Stored;
use super::units::Units;
use super::{MessageStore, StoreResult, UnreadableItem};
use crate::model::{Consistency, MessageGroupId};

/// Maximum number of rows of one group that are read, which bounds the memory. A
/// group should have two.
const MAX_ROWS: usize = 1_000;

/// One of the segments of a parallel scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the segment, from 0.
    pub number: u16,
    /// Total number of segments.
    pub of: u16,
}

/// A page of a segment.
#[derive(Debug)]
pub struct ScanPage {
    /// The items, in no particular order.
    pub items: Vec<ScannedItem>,
    /// The start of the next page; `None` after the last page.
    pub next: Option<ScanPosition>,
}

/// A position in a segment: the key of the last item that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScanPosition(Key);

impl ScanPosition {
    fn of(mut key: Item) -> Option<Self> {
        let [pk, sk] = ["pk", "sk"].map(|name| key.remove(name));
        let (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) = (pk, sk) else {
            return None;
        };
        Some(Self(Key { pk, sk }))
    }
}

/// An item as stored.
#[derive(Clone, Debug)]
pub struct ScannedItem(pub(super) Item);

impl ScannedItem {
    /// Returns the kind of the item.
    pub fn kind(&self) -> ItemKind {
        keys::kind(&self.0)
    }

    /// Returns the key of the item as text.
    pub fn key(&self) -> String {
        keys::key_of(&self.0)
    }

    /// Converts the item.
    pub fn read(mut self) -> Result<Stored, UnreadableItem> {
        items::stored(&mut self.0)
    }

    /// Returns the attributes as plain JSON.
    ///
    /// Numbers are JSON numbers unless that would round them, sets are arrays,
    /// and bytes are in base64.
    pub fn to_json(&self) -> Value {
        json_of_map(&self.0)
    }
}

fn json_of_map(item: &Item) -> Value {
    let attributes = item.iter();
    let attributes = attributes.map(|(name, value)| (name.clone(), json(value)));
    attributes.collect()
}

fn json(value: &AttributeValue) -> Value {
    // Stored numbers can have 38 digits. Numbers that JSON would round stay
    // strings.
    let number = |text: &String| match text.parse::<Number>() {
        Ok(number) if number.to_string() == *text => Value::Number(number),
        _ => Value::String(text.clone()),
    };
    let bytes = |blob: &Blob| Value::String(STANDARD.encode(blob));
    match value {
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::N(text) => number(text),
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::M(map) => json_of_map(map),
        AttributeValue::L(list) => list.iter().map(json).collect(),
        AttributeValue::Ss(set) => set.iter().cloned().map(Value::String).collect(),
        AttributeValue::Ns(set) => set.iter().map(number).collect(),
        AttributeValue::B(blob) => bytes(blob),
        AttributeValue::Bs(set) => set.iter().map(bytes).collect(),
        _ => Value::Null,
    }
}

impl ScanPage {
    fn of(items: Option<Vec<Item>>, next: Option<Item>) -> Self {
        let items = items.unwrap_or_default();
        Self {
            items: items.into_iter().map(ScannedItem).collect(),
            next: next.and_then(ScanPosition::of),
        }
    }
}

impl MessageStore {
    /// Returns a page of a group's messages, readable or not, oldest first.
    ///
    /// One `Query` of a megabyte, or of less if read units are limited.
    pub async fn message_items(
        &self,
        group: MessageGroupId,
        from: Option<ScanPosition>,
        consistency: Consistency,
    ) -> StoreResult<ScanPage> {
        let partition = AttributeValue::S(keys::message_partition(group));
        let query = self
            .query()
            .key_condition_expression("pk = :partition")
            .expression_attribute_values(":partition", partition)
            .consistent_read(consistency == Consistency::Strong)
            .set_limit(self.page_limit(None))
            .set_exclusive_start_key(from.map(|ScanPosition(key)| key.into_attributes()));
        let page = self.page(query).await?;
        Ok(ScanPage::of(page.items, page.last_evaluated_key))
    }

    /// Returns the rows of a group, readable or not, newest first.
    ///
    /// One `Query` on the index, which may miss the last second of writes.
    pub async fn row_items(&self, group: MessageGroupId) -> StoreResult<Vec<ScannedItem>> {
        let range = Range::of_group_rows(group);
        let as_it_is = |item: &mut _| Ok(ScannedItem(std::mem::take(item)));
        self.read(&range, MAX_ROWS, Consistency::Eventual, as_it_is)
            .await
    }

    /// Returns the maximum number of items of a page: `wanted`, or less if read
    /// units are limited.
    fn page_limit(&self, wanted: Option<usize>) -> Option<i32> {
        let wanted = wanted.and_then(|wanted| i32::try_from(wanted).ok());
        let affordable = self.limiter().and_then(CapacityLimiter::page_items);
        match (wanted, affordable) {
            (Some(wanted), Some(affordable)) => Some(wanted.min(affordable)),
            (wanted, affordable) => wanted.or(affordable),
        }
    }

    /// Returns a page of all items in a segment.
    ///
    /// One `Scan` of a megabyte or `limit` items, eventually consistent. If
    /// read units are limited, pages are smaller. A page that is throttled
    /// repeatedly becomes smaller still, because a page that costs more than
    /// the table's capacity might never succeed.
    pub async fn scan(
        &self,
        segment: Segment,
        from: Option<ScanPosition>,
        limit: Option<usize>,
    ) -> StoreResult<ScanPage> {
        // A single segment is the whole table and needs no segment parameters.
        let part = (segment.of > 1).then_some(segment);
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .set_segment(part.map(|part| part.number.into()))
            .set_total_segments(part.map(|part| part.of.into()))
            .set_exclusive_start_key(from.map(|ScanPosition(key)| key.into_attributes()));
        let Some(limiter) = self.limiter() else {
            let page = scan.set_limit(self.page_limit(limit)).send().await?;
            return Ok(ScanPage::of(page.items, page.last_evaluated_key));
        };
        let mut throttled = 0_u32;
        loop {
            // Boxed because the SDK's futures are large.
            let page = Box::pin(limiter.send_once(Units::Read, || {
                let smaller = |limit: i32| (limit >> (throttled / 4).min(30)).max(1);
                let scan = scan.clone();
                scan.set_limit(self.page_limit(limit).map(smaller)).send()
            }));
            match page.await {
                Err(error) if was_throttled(&error) => throttled += 1,
                page => {
                    let page = page?;
                    return Ok(ScanPage::of(page.items, page.last_evaluated_key));
                }
            }
        }
    }
}
