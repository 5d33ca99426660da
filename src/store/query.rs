//! Queries of key ranges in a partition, and reads of single items.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_get_items::builders::TransactGetItemsFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Get, TransactGetItem};

use super::items::{MESSAGE_ATTRIBUTES, ROW_ATTRIBUTES};
use super::keys::{self, INDEX, Item, Key};
use super::units::Units;
use super::{MessageStore, Service, StoreError, StoreResult, UnreadableItem};
use crate::backoff::Backoff;
use crate::model::{Consistency, End, MessageGroupId, PageRequest, Position, SortKey, UserId};

/// Maximum number of attempts to read items in one transaction while a write
/// transaction conflicts with it, and the bounds of the delays between them.
/// Together they take at most 310 ms, longer than any conflict that is not
/// followed by another one.
const READ_ATTEMPTS: u32 = 6;
const FIRST_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_millis(160);

/// A range of keys in one partition. Both bounds are exclusive.
pub(super) struct Range {
    index: Option<&'static str>,
    partition: String,
    /// The projection expression; `None` reads all attributes. It omits `pk`, which is the same in
    /// all items of the range: [`MessageStore::read`] adds it to each item.
    projection: Option<&'static str>,
    above: Option<SortKey>,
    below: Option<SortKey>,
    ascending: bool,
}

impl Range {
    /// Creates a range of the whole partition, in descending order.
    fn whole(partition: String) -> Self {
        Self {
            index: None,
            partition,
            projection: None,
            above: None,
            below: None,
            ascending: false,
        }
    }

    /// Creates a range of all messages of a group, newest first.
    pub fn of_group_messages(group: MessageGroupId) -> Self {
        Self {
            projection: Some(MESSAGE_ATTRIBUTES),
            ..Self::whole(keys::message_partition(group))
        }
    }

    /// Creates a range of all rows of a user, newest first.
    pub fn of_owner_rows(owner: UserId) -> Self {
        Self {
            projection: Some(ROW_ATTRIBUTES),
            ..Self::whole(keys::group_partition(owner))
        }
    }

    /// Creates a range of all rows of a group, from the index, newest first.
    pub fn of_group_rows(group: MessageGroupId) -> Self {
        Self {
            index: Some(INDEX),
            ..Self::whole(group.to_string())
        }
    }

    /// Creates the range of a page of a group's messages. The connection's order
    /// is the order of the keys.
    pub fn of_messages(group: MessageGroupId, request: &PageRequest) -> Self {
        Self {
            above: key_of(request.after.as_ref()),
            below: key_of(request.before.as_ref()),
            ascending: request.end == End::First,
            ..Self::of_group_messages(group)
        }
    }

    /// Creates the range of a page of a user's rows. The connection's order is
    /// the reverse of the order of the keys.
    pub fn of_rows(owner: UserId, request: &PageRequest) -> Self {
        Self {
            above: key_of(request.before.as_ref()),
            below: key_of(request.after.as_ref()),
            ascending: request.end == End::Last,
            ..Self::of_owner_rows(owner)
        }
    }

    /// Limits the range to the items after a key, in ascending order.
    pub fn above(self, key: &SortKey) -> Self {
        Self {
            above: Some(key.clone()),
            ascending: true,
            ..self
        }
    }

    /// Limits the range to the items before a key.
    pub fn below(self, key: &SortKey) -> Self {
        Self {
            below: Some(key.clone()),
            ..self
        }
    }

    /// Moves the start of the range to directly after a key, in the range's
    /// order.
    ///
    /// Without a key, the range does not change.
    pub fn begin_after(&mut self, key: Option<SortKey>) {
        let begin = if self.ascending {
            &mut self.above
        } else {
            &mut self.below
        };
        if key.is_some() {
            *begin = key;
        }
    }

    fn is_empty(&self) -> bool {
        matches!((&self.above, &self.below), (Some(above), Some(below)) if above >= below)
    }

    /// Returns the key condition, its values, and the maximum number of items
    /// that match it but are outside the range.
    ///
    /// `BETWEEN` includes its bounds, but the range excludes them.
    fn condition(&self) -> (&'static str, Item, usize) {
        let partition = AttributeValue::S(self.partition.clone());
        let mut values = Item::from([(":partition".to_owned(), partition)]);
        for (name, bound) in [(":above", &self.above), (":below", &self.below)] {
            if let Some(key) = bound {
                values.insert(name.to_owned(), AttributeValue::S(key.as_str().to_owned()));
            }
        }
        match (&self.above, &self.below) {
            (None, None) => ("#partition = :partition", values, 0),
            (Some(_), None) => ("#partition = :partition AND sk > :above", values, 0),
            (None, Some(_)) => ("#partition = :partition AND sk < :below", values, 0),
            (Some(_), Some(_)) => (
                "#partition = :partition AND sk BETWEEN :above AND :below",
                values,
                2,
            ),
        }
    }

    /// Returns the name of the attribute that is the partition key.
    fn partition_attribute(&self) -> &'static str {
        if self.index.is_some() {
            "message_group_uuid"
        } else {
            "pk"
        }
    }

    fn contains(&self, key: &str) -> bool {
        self.above.as_ref().is_none_or(|above| key > above.as_str())
            && self.below.as_ref().is_none_or(|below| key < below.as_str())
    }
}

fn key_of(position: Option<&Position>) -> Option<SortKey> {
    position.map(|position| position.key.clone())
}

impl MessageStore {
    /// Returns several items in one snapshot: one `TransactGetItems`.
    ///
    /// Separate reads could see only a part of a transaction. If a write
    /// transaction conflicts with the read, the read is retried after a
    /// backoff.
    pub(super) async fn find_in_snapshot<const N: usize>(
        &self,
        keys: [Key; N],
    ) -> StoreResult<[Option<Item>; N]> {
        let gets = keys.map(|key| {
            let get = Get::builder().table_name(&self.table);
            let get = get.set_key(Some(key.into_attributes())).build();
            let get = get.expect("the table and the key are set");
            TransactGetItem::builder().get(get).build()
        });
        let call = self.client.transact_get_items();
        let call = call.set_transact_items(Some(gets.into()));
        let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY, 0.0);
        let mut retries = 1..READ_ATTEMPTS;
        let found = loop {
            let send = TransactGetItemsFluentBuilder::send;
            match self.send(Units::Read, call.clone(), send).await {
                Err(error) if is_cancelled(&error) => match retries.next() {
                    Some(_) => backoff.wait().await,
                    None => return Err(unavailable("another transaction is in progress")),
                },
                found => break found?,
            }
        };
        let found = found.responses.unwrap_or_default();
        let items: Vec<_> = found.into_iter().map(|found| found.item).collect();
        // Callers treat a missing item as proof that it does not exist, so an
        // incomplete response must be an error.
        <[Option<Item>; N]>::try_from(items).map_err(|_| unavailable("a response was incomplete"))
    }

    /// Returns an item: one strongly consistent `GetItem`.
    pub(super) async fn find(&self, key: Key) -> StoreResult<Option<Item>> {
        self.find_as(key, Consistency::Strong).await
    }

    /// Returns an item: one `GetItem`.
    pub(super) async fn find_as(
        &self,
        key: Key,
        consistency: Consistency,
    ) -> StoreResult<Option<Item>> {
        let call = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .consistent_read(consistency == Consistency::Strong);
        let found = self.send(Units::Read, call, GetItemFluentBuilder::send);
        Ok(found.await?.item)
    }

    /// Creates a `Query` of the table.
    pub(super) fn query(&self) -> QueryFluentBuilder {
        self.client.query().table_name(&self.table)
    }

    /// Sends a `Query`, which returns one page.
    pub(super) async fn page(&self, query: QueryFluentBuilder) -> StoreResult<QueryOutput> {
        let send = QueryFluentBuilder::send;
        Ok(self.send(Units::Read, query, send).await?)
    }

    /// Reads up to `wanted` readable items of a range, page by page.
    pub(super) async fn read<T>(
        &self,
        range: &Range,
        wanted: usize,
        consistency: Consistency,
        read_item: impl Fn(&mut Item) -> Result<T, UnreadableItem>,
    ) -> StoreResult<Vec<T>> {
        let mut found = Vec::new();
        if range.is_empty() {
            return Ok(found);
        }
        let (condition, values, ends) = range.condition();
        let mut from = None;
        loop {
            let missing = (wanted - found.len()).saturating_add(ends);
            let query = self
                .query()
                .set_index_name(range.index.map(str::to_owned))
                .set_projection_expression(range.projection.map(str::to_owned))
                .key_condition_expression(condition)
                .expression_attribute_names("#partition", range.partition_attribute())
                .set_expression_attribute_values(Some(values.clone()))
                .scan_index_forward(range.ascending)
                .consistent_read(consistency == Consistency::Strong)
                .set_limit(i32::try_from(missing).ok())
                .set_exclusive_start_key(from);
            let page = self.page(query).await?;
            let items = page.items.unwrap_or_default();
            found.reserve(items.len());
            let inside = items.into_iter().filter(|item| {
                let key = keys::key_part(item, "sk");
                key.is_some_and(|key| range.contains(key))
            });
            found.extend(inside.filter_map(|mut item| {
                if range.projection.is_some() {
                    let pk = AttributeValue::S(range.partition.clone());
                    item.insert("pk".to_owned(), pk);
                }
                readable(&mut item, &read_item)
            }));
            from = page.last_evaluated_key;
            if found.len() >= wanted || from.is_none() {
                found.truncate(wanted);
                return Ok(found);
            }
        }
    }
}

/// Returns whether a read was cancelled, because a write transaction was in
/// progress. A retry may succeed.
fn is_cancelled(error: &SdkError<TransactGetItemsError, HttpResponse>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(TransactGetItemsError::is_transaction_canceled_exception)
}

fn unavailable(cause: &str) -> StoreError {
    StoreError::unavailable(Service::DynamoDb, cause)
}

/// Converts an item. Returns `None` and logs one line if the item is
/// unreadable.
pub(super) fn readable<T>(
    item: &mut Item,
    read_item: impl Fn(&mut Item) -> Result<T, UnreadableItem>,
) -> Option<T> {
    read_item(item)
        .inspect_err(|cause| {
            let key = keys::key_of(item);
            tracing::warn!(key, %cause, "an item is unreadable and was skipped");
        })
        .ok()
}
