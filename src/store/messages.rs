//! Message groups and messages: the read operations of the table.

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::gaps::has_gap;
use super::items;
use super::keys::{self, Item, Key, RowKey};
use super::query::{Range, readable};
use super::records::FoundRow;
use super::{MessageStore, StoreResult};
use crate::model::{
    Consistency, HeadRecord, Message, MessageGroup, MessageGroupId, Page, PageRequest, SortKey,
    User, UserId,
};

/// Maximum number of newest messages that one request reads concurrently, for
/// rows without a preview. Only the original's rows have none.
const CONCURRENT_READS: usize = 8;
/// Maximum number of rows of one group that are read, which bounds the cost of a
/// request. A group should have two.
const MAX_ROWS: usize = 100;
/// Maximum number of pages of a user's rows that are read to count unread
/// groups. Each page costs the read units of a megabyte.
const MAX_COUNTED_PAGES: usize = 5;

/// The newest item of a group's messages.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The newest message that is readable.
    pub message: Option<Message>,
    /// Whether an unreadable message is newer.
    pub unreadable_after: bool,
}

impl Newest {
    /// Returns whether the group has no messages, readable or not.
    pub fn is_absent(&self) -> bool {
        self.message.is_none() && !self.unreadable_after
    }
}

impl MessageStore {
    /// Pattern A: a page of one group's messages, oldest to newest.
    ///
    /// One `Query` on `MSG#<group>` by `sk`, without a filter, so the cost
    /// depends only on the page size. A `Query` is only read-committed with
    /// respect to transactions and can return `seq` 7 without 6, so a page with
    /// a gap is read a second time.
    pub async fn messages(
        &self,
        group: MessageGroupId,
        request: &PageRequest,
        consistency: Consistency,
    ) -> StoreResult<Page<Message>> {
        let range = Range::of_messages(group, request);
        let read = || {
            self.read(&range, request.limit + 1, consistency, |item| {
                items::message(group, item)
            })
        };
        let mut messages = read().await?;
        if has_gap(request, &messages) {
            messages = read().await?;
        }
        Ok(Page::of_read(request, messages))
    }

    /// Returns the newest message of a group: one strongly consistent `Query` for
    /// one item.
    pub async fn newest_message(&self, group: MessageGroupId) -> StoreResult<Option<Message>> {
        self.newest_message_as(group, Consistency::Strong).await
    }

    /// Returns the newest message of a group with the given consistency.
    pub async fn newest_message_as(
        &self,
        group: MessageGroupId,
        consistency: Consistency,
    ) -> StoreResult<Option<Message>> {
        let all = Range::of_group_messages(group);
        self.newest_in(group, &all, consistency).await
    }

    async fn newest_in(
        &self,
        group: MessageGroupId,
        range: &Range,
        consistency: Consistency,
    ) -> StoreResult<Option<Message>> {
        let read_item = |item: &mut _| items::message(group, item);
        let found = self.read(range, 1, consistency, read_item).await?;
        Ok(found.into_iter().next())
    }

    /// Returns the newest message of a group, and whether an unreadable message
    /// is newer.
    ///
    /// Strongly consistent: one `Query` for one item, and a second one if the
    /// newest message is unreadable.
    pub async fn newest(&self, group: MessageGroupId) -> StoreResult<Newest> {
        let all = Range::of_group_messages(group);
        let read_item = |item: &mut _| Ok(items::message(group, item).ok());
        let found = self.read(&all, 1, Consistency::Strong, read_item).await?;
        Ok(match found.into_iter().next() {
            None => Newest::default(),
            Some(Some(message)) => Newest {
                message: Some(message),
                unreadable_after: false,
            },
            Some(None) => Newest {
                message: self.newest_message(group).await?,
                unreadable_after: true,
            },
        })
    }

    /// Pattern B: a page of a user's message groups, most recently active
    /// first.
    ///
    /// One `Query` on `GRP#<owner>` by `sk` in descending order. A row that
    /// moves during the read may be returned twice; the newer one is kept. Rows
    /// of the original have no preview: for each of them the newest message is
    /// read, too, and a row whose group has no message is left out.
    pub async fn message_groups(
        &self,
        owner: &User,
        request: &PageRequest,
        consistency: Consistency,
    ) -> StoreResult<Page<MessageGroup>> {
        let wanted = request.limit + 1;
        let mut range = Range::of_rows(owner.id, request);
        let mut groups = Vec::with_capacity(wanted);
        loop {
            let missing = wanted - groups.len();
            let rows = self.read(&range, missing, consistency, items::found_row);
            let rows = rows.await?;
            let goes_on = rows.len() == missing;
            range.begin_after(rows.last().map(|row| row.key.clone()));
            for group in self.complete(owner, rows, consistency).await? {
                keep_newest(&mut groups, group);
            }
            if groups.len() >= wanted || !goes_on {
                return Ok(Page::of_read(request, groups));
            }
        }
    }

    /// Returns the messages of a group after a key, at most `limit`, oldest
    /// first.
    ///
    /// Strongly consistent: one `Query`. `None` represents an unreadable
    /// message.
    pub async fn messages_after(
        &self,
        group: MessageGroupId,
        key: &SortKey,
        limit: usize,
    ) -> StoreResult<Vec<Option<Message>>> {
        let range = Range::of_group_messages(group).above(key);
        self.read(&range, limit, Consistency::Strong, |item| {
            Ok(readable(item, |item| items::message(group, item)))
        })
        .await
    }

    /// Returns the newest message of a group before a key.
    ///
    /// Strongly consistent: one `Query` for one item.
    pub async fn newest_before(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> StoreResult<Option<Message>> {
        let range = Range::of_group_messages(group).below(key);
        self.newest_in(group, &range, Consistency::Strong).await
    }

    /// Returns a user's rows after a key, in ascending order of the keys.
    ///
    /// Strongly consistent: one `Query` for each megabyte.
    pub async fn rows_after(&self, owner: UserId, key: &SortKey) -> StoreResult<Vec<FoundRow>> {
        let range = Range::of_owner_rows(owner).above(key);
        self.read(&range, usize::MAX, Consistency::Strong, items::found_row)
            .await
    }

    /// Returns the number of a user's rows with unread messages, up to `max`.
    ///
    /// At most 5 `Query` calls with a filter, each of which reads a megabyte of
    /// rows, newest first.
    pub async fn count_unread_rows(
        &self,
        owner: UserId,
        max: u32,
        consistency: Consistency,
    ) -> StoreResult<u32> {
        let mut count = 0;
        let mut from = None;
        for _ in 0..MAX_COUNTED_PAGES {
            let query = self
                .query()
                .select(Select::Count)
                .key_condition_expression("pk = :partition")
                .filter_expression("unread_count > :none")
                .expression_attribute_values(
                    ":partition",
                    AttributeValue::S(keys::group_partition(owner)),
                )
                .expression_attribute_values(":none", AttributeValue::N("0".to_owned()))
                .scan_index_forward(false)
                .consistent_read(consistency == Consistency::Strong)
                .set_exclusive_start_key(from);
            let page = self.page(query).await?;
            count += u32::try_from(page.count).unwrap_or(0);
            from = page.last_evaluated_key;
            if count >= max || from.is_none() {
                break;
            }
        }
        Ok(count.min(max))
    }

    /// Returns all rows of a user, newest first.
    ///
    /// Strongly consistent: one `Query` for each megabyte.
    pub async fn rows_of_owner(&self, owner: UserId) -> StoreResult<Vec<FoundRow>> {
        let range = Range::of_owner_rows(owner);
        self.read(&range, usize::MAX, Consistency::Strong, items::found_row)
            .await
    }

    /// Returns the rows of a group that was written before heads existed,
    /// newest first.
    ///
    /// One `Query` on the index, which may miss the last second of writes.
    pub async fn rows_of_group(&self, group: MessageGroupId) -> StoreResult<Vec<FoundRow>> {
        let range = Range::of_group_rows(group);
        self.read(&range, MAX_ROWS, Consistency::Eventual, items::found_row)
            .await
    }

    /// Converts rows to groups.
    ///
    /// For rows without a preview, the newest messages are read, a few at a
    /// time.
    async fn complete(
        &self,
        owner: &User,
        rows: Vec<FoundRow>,
        consistency: Consistency,
    ) -> StoreResult<Vec<MessageGroup>> {
        let groups = rows.into_iter().map(|row| row.into_previewed(owner));
        let groups: Vec<_> = groups.collect();
        if groups.iter().all(Result::is_ok) {
            return Ok(groups.into_iter().flatten().collect());
        }
        let groups = stream::iter(groups).map(|group| async {
            let row = match group {
                Ok(group) => return Ok(Some(group)),
                Err(row) => row,
            };
            let newest = self.newest_message_as(row.group_id, consistency).await?;
            if newest.is_none() {
                tracing::warn!(group = %row.group_id, "the group of a row has no message; the row was skipped");
            }
            Ok(newest.map(|newest| row.with_newest(newest)))
        });
        let groups = groups.buffered(CONCURRENT_READS);
        groups
            .try_filter_map(|group| std::future::ready(Ok(group)))
            .try_collect()
            .await
    }

    /// Returns a message by its key: one strongly consistent `GetItem`.
    pub async fn find_message(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> StoreResult<Option<Message>> {
        let found = self.find(Key::message(group, key)).await?;
        Ok(found.and_then(|item| readable_message(group, item)))
    }

    /// Returns the version of a group's head and one of its messages in one
    /// snapshot: one `TransactGetItems`.
    ///
    /// Version 0 means that there is no head.
    pub async fn find_version_and_message(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> StoreResult<(u64, Option<Message>)> {
        let keys = [Key::head(group), Key::message(group, key)];
        let [head, message] = self.find_in_snapshot(keys).await?;
        let head = head.map(head_record).transpose()?;
        let head = head.and_then(HeadRecord::into_head);
        let version = head.map_or(0, |head| head.version);
        let message = message.and_then(|item| readable_message(group, item));
        Ok((version, message))
    }

    /// Returns a row by its key, with its UUIDs as stored: one strongly
    /// consistent `GetItem`.
    pub async fn find_row_at(&self, row: &RowKey) -> StoreResult<Option<FoundRow>> {
        let found = self.find(Key::group_row(row)).await?;
        Ok(found.and_then(readable_row))
    }

    /// Returns the head of a group and one of its rows in one snapshot: one
    /// `TransactGetItems`.
    pub async fn find_head_and_row(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> StoreResult<(Option<HeadRecord>, Option<FoundRow>)> {
        let keys = [Key::head(group), Key::group_row(row)];
        let [head, row] = self.find_in_snapshot(keys).await?;
        Ok((
            head.map(head_record).transpose()?,
            row.and_then(readable_row),
        ))
    }

    /// Returns the head of a group, or the alias at the same key: one strongly
    /// consistent `GetItem`.
    pub async fn find_head(&self, group: MessageGroupId) -> StoreResult<Option<HeadRecord>> {
        self.find_head_as(group, Consistency::Strong).await
    }

    /// Returns the head of a group, or the alias at the same key: one
    /// `GetItem`.
    ///
    /// An eventually consistent read costs half as much and may return a state
    /// that is about a second old.
    pub async fn find_head_as(
        &self,
        group: MessageGroupId,
        consistency: Consistency,
    ) -> StoreResult<Option<HeadRecord>> {
        let found = self.find_as(Key::head(group), consistency).await?;
        found.map(head_record).transpose()
    }
}

/// Converts the item at the key of a head.
fn head_record(mut item: Item) -> StoreResult<HeadRecord> {
    items::head_record(&mut item).map_err(|cause| cause.at(keys::key_of(&item)))
}

/// Converts a message. Returns `None` and logs one line if it is unreadable.
pub(super) fn readable_message(group: MessageGroupId, mut item: Item) -> Option<Message> {
    readable(&mut item, |item| items::message(group, item))
}

/// Converts a row. Returns `None` and logs one line if it is unreadable.
pub(super) fn readable_row(mut item: Item) -> Option<FoundRow> {
    readable(&mut item, items::found_row)
}

/// Adds a row, unless a newer row of its group is in the list. Removes an older
/// row of the group.
fn keep_newest(groups: &mut Vec<MessageGroup>, row: MessageGroup) {
    match groups.iter().position(|group| group.id == row.id) {
        None => groups.push(row),
        Some(index) if groups[index].key < row.key => {
            groups.remove(index);
            groups.push(row);
        }
        Some(_) => {}
    }
}
