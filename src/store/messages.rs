//! Message groups and messages: the reading side of the table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::commit::RowKey;
use super::error::StoreError;
use super::holes::has_hole;
use super::items::{self, Key};
use super::meter::{Cost, Echo, Meter};
use super::pacer::{self, Pacer, Units};
use super::query::{Range, readable};
use super::rows::FoundRow;
use crate::model::{
    HeadRecord, Message, MessageGroup, MessageGroupId, Page, PageRequest, SortKey, User, UserId,
};

/// How many newest messages are read at the same time, for rows that do not
/// say what they show.
const READS_AT_ONCE: usize = 8;
/// The most rows of one group that are looked at: it should have two.
const MOST_ROWS: usize = 100;
/// The most pages of a user's rows in which unread ones are counted.
const MOST_COUNTED_PAGES: usize = 5;

/// What a read may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing that was acknowledged before it began.
    Strong,
    /// The last second or so; costs half.
    Eventual,
}

/// The newest item of a group's messages.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The newest that can be read.
    pub message: Option<Message>,
    /// Whether one that cannot be read stands behind it.
    pub unreadable_behind: bool,
}

impl Newest {
    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.message.is_none() && !self.unreadable_behind
    }
}

/// The table of message groups and messages.
#[derive(Clone, Debug)]
pub struct MessageStore {
    pub(super) client: Client,
    pub(super) table: String,
    meter: Meter,
}

impl MessageStore {
    /// The store over a client and a table's name.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is not to be used beside the store, uncounted"
    )]
    pub fn new(client: Client, table: String) -> Self {
        Self::with_meter(&client, Meter::new(table.clone(), None, None), table)
    }

    /// The store for an operator's command: `pacer` delays its calls, and every
    /// answer is passed on to `echo`.
    #[must_use]
    pub fn paced(client: &Client, table: String, echo: Option<Echo>, pacer: Pacer) -> Self {
        let meter = Meter::new(table.clone(), echo, Some(pacer));
        Self::with_meter(client, meter, table)
    }

    fn with_meter(client: &Client, meter: Meter, table: String) -> Self {
        Self {
            client: meter.attach(client),
            table,
            meter,
        }
    }

    /// What the calls have cost so far, those of clones included.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// What delays the calls, if anything does.
    pub(super) fn pacer(&self) -> Option<&Pacer> {
        self.meter.pacer()
    }

    /// Sends a call: where there is a pacer, when it is its turn, and as often
    /// as DynamoDB throttles it.
    pub(super) async fn send<T, E, F>(
        &self,
        units: Units,
        call: impl Fn() -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        SdkError<E, HttpResponse>: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        // The SDK's futures are large, and a caller may make several calls.
        match self.pacer() {
            Some(pacer) => Box::pin(pacer.send(units, call, pacer::by_code)).await,
            None => Box::pin(call()).await,
        }
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
        let range = Range::of_messages(group, request);
        let read = || {
            self.read(&range, request.limit + 1, consistency, |item| {
                items::message(group, item)
            })
        };
        let mut messages = read().await?;
        if has_hole(request, &messages) {
            messages = read().await?;
        }
        Ok(Page::of_read(request, messages))
    }

    /// The newest message of a group: one `Query` for one item.
    pub async fn newest_message(
        &self,
        group: MessageGroupId,
        consistency: Consistency,
    ) -> Result<Option<Message>, StoreError> {
        let all = Range::whole(items::message_partition(group));
        self.newest_in(group, &all, consistency).await
    }

    async fn newest_in(
        &self,
        group: MessageGroupId,
        range: &Range,
        consistency: Consistency,
    ) -> Result<Option<Message>, StoreError> {
        let read_item = |item| items::message(group, item);
        let found = self.read(range, 1, consistency, read_item).await?;
        Ok(found.into_iter().next())
    }

    /// The newest message of a group, and whether something that cannot be read
    /// stands behind it: strongly consistent, one `Query` for one item, and
    /// another where there is.
    pub async fn newest(&self, group: MessageGroupId) -> Result<Newest, StoreError> {
        let all = Range::whole(items::message_partition(group));
        let read_item = |item| Ok(items::message(group, item).ok());
        let found = self.read(&all, 1, Consistency::Strong, read_item).await?;
        Ok(match found.into_iter().next() {
            None => Newest::default(),
            Some(Some(message)) => Newest {
                message: Some(message),
                unreadable_behind: false,
            },
            Some(None) => Newest {
                message: self.newest_message(group, Consistency::Strong).await?,
                unreadable_behind: true,
            },
        })
    }

    /// Pattern B: a page of a user's message groups, most recently active first.
    ///
    /// One `Query` on `GRP#<owner>` by `sk` downwards. A row that moves while
    /// it is read may show twice: the newer one is kept. For each row of the
    /// original's, which does not say what it shows, the newest message is
    /// read as well; one whose group has no message at all is left out.
    pub async fn message_groups(
        &self,
        owner: &User,
        request: &PageRequest,
        consistency: Consistency,
    ) -> Result<Page<MessageGroup>, StoreError> {
        let wanted = request.limit + 1;
        let mut range = Range::of_rows(owner.id, request);
        let mut groups = Vec::new();
        loop {
            let missing = wanted - groups.len();
            let rows = self
                .read(&range, missing, consistency, items::found_row)
                .await?;
            let goes_on = rows.len() == missing;
            range.begin_behind(rows.last().map(|row| row.key.clone()));
            for group in self.complete(owner, rows, consistency).await? {
                keep_newest(&mut groups, group);
            }
            if groups.len() >= wanted || !goes_on {
                return Ok(Page::of_read(request, groups));
            }
        }
    }

    /// The messages of a group behind a key, at most so many, oldest first:
    /// strongly consistent, one `Query`. `None` stands for one that cannot be
    /// read.
    pub async fn messages_behind(
        &self,
        group: MessageGroupId,
        key: &SortKey,
        limit: usize,
    ) -> Result<Vec<Option<Message>>, StoreError> {
        let range = Range::above(items::message_partition(group), key);
        self.read(&range, limit, Consistency::Strong, |item| {
            Ok(readable(item, |item| items::message(group, item)))
        })
        .await
    }

    /// The newest message of a group in front of a key: strongly consistent,
    /// one `Query` for one item.
    pub async fn newest_in_front_of(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> Result<Option<Message>, StoreError> {
        let range = Range::below(items::message_partition(group), key);
        self.newest_in(group, &range, Consistency::Strong).await
    }

    /// A user's rows behind a key: strongly consistent, one `Query` a megabyte.
    pub async fn rows_behind(
        &self,
        owner: UserId,
        key: &SortKey,
    ) -> Result<Vec<FoundRow>, StoreError> {
        let range = Range::above(items::group_partition(owner), key);
        self.read(&range, usize::MAX, Consistency::Strong, items::found_row)
            .await
    }

    /// How many of a user's rows show unread messages, counted to `most`:
    /// `Query`s of a megabyte with a filter, the newest 5 at most.
    pub async fn count_unread_rows(
        &self,
        owner: UserId,
        most: u32,
        consistency: Consistency,
    ) -> Result<u32, StoreError> {
        let mut count = 0;
        let mut from = None;
        for _ in 0..MOST_COUNTED_PAGES {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .select(Select::Count)
                .key_condition_expression("pk = :partition")
                .filter_expression("unread_count > :none")
                .expression_attribute_values(
                    ":partition",
                    AttributeValue::S(items::group_partition(owner)),
                )
                .expression_attribute_values(":none", AttributeValue::N("0".to_owned()))
                .scan_index_forward(false)
                .consistent_read(consistency == Consistency::Strong)
                .set_exclusive_start_key(from);
            let page = self.send(Units::Read, || query.clone().send()).await?;
            count += u32::try_from(page.count).unwrap_or(0);
            from = page.last_evaluated_key;
            if count >= most || from.is_none() {
                break;
            }
        }
        Ok(count.min(most))
    }

    /// All rows of a user, newest first: strongly consistent, one `Query` a
    /// megabyte.
    pub async fn rows_of_owner(&self, owner: UserId) -> Result<Vec<FoundRow>, StoreError> {
        let range = Range::of_owner(owner);
        self.read(&range, usize::MAX, Consistency::Strong, items::found_row)
            .await
    }

    /// The rows of a group that was written before there were heads: one
    /// `Query` on the index, newest first, which may miss the last second.
    pub async fn rows_of_group(&self, group: MessageGroupId) -> Result<Vec<FoundRow>, StoreError> {
        let range = Range::of_group(group);
        self.read(&range, MOST_ROWS, Consistency::Eventual, items::found_row)
            .await
    }

    /// Groups of rows: those that do not say what they show get their newest
    /// message, a few at a time.
    async fn complete(
        &self,
        owner: &User,
        rows: Vec<FoundRow>,
        consistency: Consistency,
    ) -> Result<Vec<MessageGroup>, StoreError> {
        let groups = stream::iter(rows).map(|row| async {
            if let Some(newest) = row.previewed(owner) {
                return Ok(Some(row.with_newest(newest)));
            }
            let newest = self.newest_message(row.group_id, consistency).await?;
            if newest.is_none() {
                tracing::warn!(group = %row.group_id, "a row's group has no message: it is left out");
            }
            Ok(newest.map(|newest| row.with_newest(newest)))
        });
        let groups = groups.buffered(READS_AT_ONCE);
        groups
            .try_filter_map(|group| std::future::ready(Ok(group)))
            .try_collect()
            .await
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

    /// The version of a group's head and one of its messages, as they were at
    /// one moment: one `TransactGetItems`. Version 0 is no head.
    pub async fn find_version_and_message(
        &self,
        group: MessageGroupId,
        key: &SortKey,
    ) -> Result<(u64, Option<Message>), StoreError> {
        let keys = [Key::head(group), Key::message(group, key)];
        let [head, message] = self.find_together(keys).await?;
        let version = match head {
            None => 0,
            Some(head) => {
                match items::head_record(head).map_err(|cause| cause.at(group.to_string()))? {
                    HeadRecord::Head(head) => head.version,
                    HeadRecord::AliasOf(_) => 0,
                }
            }
        };
        let message = message.and_then(|item| readable(item, |item| items::message(group, item)));
        Ok((version, message))
    }

    /// One row of a user's by its key: one strongly consistent `GetItem`.
    pub async fn find_row(
        &self,
        owner: UserId,
        key: &SortKey,
    ) -> Result<Option<FoundRow>, StoreError> {
        self.find_row_at(&RowKey::new(owner, key.clone())).await
    }

    /// The same, as its uuids are stored.
    pub async fn find_row_at(&self, row: &RowKey) -> Result<Option<FoundRow>, StoreError> {
        let found = self.find(Key::group_row(row)).await?;
        Ok(found.and_then(|item| readable(item, items::found_row)))
    }

    /// The head of a group and one row of its, at one moment: one
    /// `TransactGetItems`.
    pub async fn find_head_and_row(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<(Option<HeadRecord>, Option<FoundRow>), StoreError> {
        let keys = [Key::head(group), Key::group_row(row)];
        let [head, row] = self.find_together(keys).await?;
        let head = head.map(|head| {
            let key = items::key_of(&head);
            items::head_record(head).map_err(|cause| cause.at(key))
        });
        Ok((
            head.transpose()?,
            row.and_then(|row| readable(row, items::found_row)),
        ))
    }

    /// The head of a group, or the alias in its place: one strongly consistent
    /// `GetItem`.
    pub async fn find_head(&self, group: MessageGroupId) -> Result<Option<HeadRecord>, StoreError> {
        self.find_head_as(group, Consistency::Strong).await
    }

    /// The same, which may be of a second ago, for half the cost.
    pub async fn find_head_as(
        &self,
        group: MessageGroupId,
        consistency: Consistency,
    ) -> Result<Option<HeadRecord>, StoreError> {
        let Some(item) = self.find_as(Key::head(group), consistency).await? else {
            return Ok(None);
        };
        let key = items::key_of(&item);
        items::head_record(item)
            .map(Some)
            .map_err(|cause| cause.at(key))
    }
}

/// Adds a row, unless a newer one of its group is there; takes out an older one.
fn keep_newest(groups: &mut Vec<MessageGroup>, row: MessageGroup) {
    match groups.iter().position(|group| group.id == row.id) {
        None => groups.push(row),
        Some(place) if groups[place].key < row.key => {
            groups.remove(place);
            groups.push(row);
        }
        Some(_) => {}
    }
}
