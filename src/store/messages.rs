//! Message groups and messages: the reading side of the table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::commit::RowKey;
use super::error::StoreError;
use super::items::{self, Item, Key};
use crate::model::{
    End, HeadRecord, Message, MessageGroup, MessageGroupId, Page, PageRequest, SortKey, User,
    UserId,
};

/// What a read may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing that was acknowledged before it began.
    Strong,
    /// The last second or so; costs half.
    Eventual,
}

/// The table of message groups and messages.
#[derive(Clone, Debug)]
pub struct MessageStore {
    pub(super) client: Client,
    pub(super) table: String,
}

/// A stretch of one partition. Bounds are exclusive.
struct Range<'a> {
    partition: String,
    above: Option<&'a SortKey>,
    below: Option<&'a SortKey>,
    ascending: bool,
}

impl Range<'_> {
    fn is_empty(&self) -> bool {
        matches!((self.above, self.below), (Some(above), Some(below)) if above >= below)
    }

    /// Key condition, its values, and how many of the items that it lets
    /// through are outside all the same: `BETWEEN` includes its ends.
    fn condition(&self) -> (&'static str, Item, usize) {
        let mut values =
            Item::from([(":pk".to_owned(), AttributeValue::S(self.partition.clone()))]);
        for (name, bound) in [(":above", self.above), (":below", self.below)] {
            if let Some(key) = bound {
                values.insert(name.to_owned(), AttributeValue::S(key.as_str().to_owned()));
            }
        }
        match (self.above, self.below) {
            (None, None) => ("pk = :pk", values, 0),
            (Some(_), None) => ("pk = :pk AND sk > :above", values, 0),
            (None, Some(_)) => ("pk = :pk AND sk < :below", values, 0),
            (Some(_), Some(_)) => ("pk = :pk AND sk BETWEEN :above AND :below", values, 2),
        }
    }

    fn contains(&self, key: &str) -> bool {
        self.above.is_none_or(|above| key > above.as_str())
            && self.below.is_none_or(|below| key < below.as_str())
    }
}

impl MessageStore {
    /// The store over a client and a table's name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Pattern A: a page of one group's messages, oldest to newest.
    ///
    /// One `Query` on `MSG#<group>` by `sk`, no filter: a page costs what it
    /// shows. A `Query` is only read-committed against transactions and can
    /// show `seq` 7 without 6: a page with a hole is read once more.
    pub async fn messages(
        &self,
        group: MessageGroupId,
        request: &PageRequest,
        consistency: Consistency,
    ) -> Result<Page<Message>, StoreError> {
        let range = Range {
            partition: items::message_partition(group),
            above: request.after.as_ref(),
            below: request.before.as_ref(),
            ascending: request.end == End::First,
        };
        let read = || {
            self.read(
                &range,
                request.limit + 1,
                consistency,
                |item| items::message(group, item),
                Vec::push,
            )
        };
        let mut messages = read().await?;
        if has_hole(&messages) {
            messages = read().await?;
        }
        Ok(Page::of_read(request, messages))
    }

    /// Pattern B: a page of a user's message groups, most recently active first.
    ///
    /// One `Query` on `GRP#<owner>` by `sk` downwards. A row that moves while
    /// it is read may show twice: the newer one is kept.
    pub async fn message_groups(
        &self,
        owner: &User,
        request: &PageRequest,
        consistency: Consistency,
    ) -> Result<Page<MessageGroup>, StoreError> {
        let range = Range {
            partition: items::group_partition(owner.id),
            above: request.before.as_ref(),
            below: request.after.as_ref(),
            ascending: request.end == End::Last,
        };
        let groups = self
            .read(
                &range,
                request.limit + 1,
                consistency,
                |item| items::message_group(owner, item),
                keep_newest,
            )
            .await?;
        Ok(Page::of_read(request, groups))
    }

    /// Every row of a user's that is shared with `other`, by a strongly
    /// consistent walk of `GRP#<owner>`: one `Query` a megabyte of rows.
    pub async fn rows_shared_with(
        &self,
        owner: &User,
        other: UserId,
    ) -> Result<Vec<MessageGroup>, StoreError> {
        let range = Range {
            partition: items::group_partition(owner.id),
            above: None,
            below: None,
            ascending: false,
        };
        let mut rows = self
            .read(
                &range,
                usize::MAX,
                Consistency::Strong,
                |item| items::message_group(owner, item),
                Vec::push,
            )
            .await?;
        rows.retain(|row| row.other_user_id == other);
        Ok(rows)
    }

    /// One message by its key: one strongly consistent `GetItem`.
    pub async fn find_message(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> Result<Option<Message>, StoreError> {
        let Some(item) = self.find(Key::message(group, key)).await? else {
            return Ok(None);
        };
        Ok(readable(item, |item| items::message(group, item)))
    }

    /// One row of a user's by its key: one strongly consistent `GetItem`.
    pub async fn find_message_group(
        &self,
        owner: &User,
        key: &SortKey,
    ) -> Result<Option<MessageGroup>, StoreError> {
        let row = RowKey {
            owner: owner.id,
            key: key.clone(),
        };
        let Some(item) = self.find(Key::group_row(&row)).await? else {
            return Ok(None);
        };
        Ok(readable(item, |item| items::message_group(owner, item)))
    }

    /// The head of a group, or the alias in its place: one strongly consistent
    /// `GetItem`.
    pub async fn find_head(&self, group: MessageGroupId) -> Result<Option<HeadRecord>, StoreError> {
        let Some(item) = self.find(Key::head(group)).await? else {
            return Ok(None);
        };
        let key = items::key_of(&item);
        items::head_record(item)
            .map(Some)
            .map_err(|cause| cause.at(key))
    }

    async fn find(&self, key: Key) -> Result<Option<Item>, StoreError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .consistent_read(true)
            .send()
            .await?;
        Ok(found.item)
    }

    /// Reads up to `wanted` readable items of a range, page by page.
    async fn read<T>(
        &self,
        range: &Range<'_>,
        wanted: usize,
        consistency: Consistency,
        read_item: impl Fn(Item) -> Result<T, items::Unreadable>,
        add: impl Fn(&mut Vec<T>, T),
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        if range.is_empty() {
            return Ok(found);
        }
        let (condition, values, ends) = range.condition();
        let mut from = None;
        loop {
            let missing = (wanted - found.len()).saturating_add(ends);
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression(condition)
                .set_expression_attribute_values(Some(values.clone()))
                .scan_index_forward(range.ascending)
                .consistent_read(consistency == Consistency::Strong)
                .set_limit(i32::try_from(missing).ok())
                .set_exclusive_start_key(from)
                .send()
                .await?;
            let inside = page.items.unwrap_or_default().into_iter().filter(|item| {
                let key = item.get("sk").and_then(|key| key.as_s().ok());
                key.is_some_and(|key| range.contains(key))
            });
            for item in inside.filter_map(|item| readable(item, &read_item)) {
                add(&mut found, item);
            }
            from = page.last_evaluated_key;
            if found.len() >= wanted || from.is_none() {
                found.truncate(wanted);
                return Ok(found);
            }
        }
    }
}

/// An item that cannot be read is passed over, with one log line.
fn readable<T>(item: Item, read_item: impl Fn(Item) -> Result<T, items::Unreadable>) -> Option<T> {
    let key = items::key_of(&item);
    read_item(item)
        .inspect_err(
            |cause| tracing::warn!(key, %cause, "an item cannot be read and is passed over"),
        )
        .ok()
}

/// Whether a number is missing between two neighbours. The original's messages
/// have no numbers.
fn has_hole(messages: &[Message]) -> bool {
    messages
        .windows(2)
        .any(|pair| pair[0].seq != 0 && pair[1].seq != 0 && pair[0].seq.abs_diff(pair[1].seq) != 1)
}

/// Adds a row, unless a newer one of its group is there; takes out an older one.
fn keep_newest(groups: &mut Vec<MessageGroup>, row: MessageGroup) {
    match groups.iter().position(|group| group.id == row.id) {
        None => groups.push(row),
        Some(place) if groups[place].last_message.key < row.last_message.key => {
            groups.remove(place);
            groups.push(row);
        }
        Some(_) => {}
    }
}
