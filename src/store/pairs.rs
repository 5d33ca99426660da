//! The rows that two users share, and the marker of a table in which these rows
//! need not be searched.

use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::items;
use super::keys::{self, Key};
use super::query::readable;
use super::records::FoundRow;
use super::transaction::named;
use super::units::Units;
use super::{MessageStore, Service, StoreError, StoreResult};
use crate::model::{Consistency, Participants, UserId};

/// Maximum number of pages of a user's rows that a request reads, of a megabyte
/// each. They cost 8,192 read units.
pub const MAX_PAIR_PAGES: usize = 32;

impl MessageStore {
    /// Returns all rows of either user about the other one, newest first,
    /// without their previews.
    ///
    /// Strongly consistent queries of both users' rows, filtered and projected
    /// by DynamoDB. They cost the read units of all rows of both users: one
    /// `Query` for each megabyte.
    ///
    /// Returns an error if a user has more than `max_pages` megabytes of rows. A
    /// request reads at most [`MAX_PAIR_PAGES`].
    pub async fn rows_of_pair(
        &self,
        pair: Participants,
        max_pages: usize,
    ) -> StoreResult<Vec<FoundRow>> {
        let [one, other] = *pair;
        let (mut rows, others) = tokio::try_join!(
            self.rows_shared_with(one, other, max_pages),
            self.rows_shared_with(other, one, max_pages),
        )?;
        rows.extend(others);
        rows.sort_by(|one, other| other.key.cmp(&one.key));
        Ok(rows)
    }

    async fn rows_shared_with(
        &self,
        owner: UserId,
        other: UserId,
        max_pages: usize,
    ) -> StoreResult<Vec<FoundRow>> {
        let values = [
            (":partition", keys::group_partition(owner)),
            (":other", other.to_string()),
            (":capitals", other.to_string().to_uppercase()),
        ];
        let values = values.map(|(name, value)| (name, AttributeValue::S(value)));
        let mut rows = Vec::new();
        let mut from = None;
        for _ in 0..max_pages {
            let query = self
                .query()
                .key_condition_expression("#partition = :partition")
                // Another program may have written the UUID in upper case.
                .filter_expression("user_uuid IN (:other, :capitals)")
                .projection_expression(items::PAIR_ATTRIBUTES)
                .expression_attribute_names("#partition", "pk")
                .set_expression_attribute_values(named(values.clone()))
                .scan_index_forward(false)
                .consistent_read(true)
                .set_exclusive_start_key(from);
            let page = self.page(query).await?;
            let found = page.items.unwrap_or_default().into_iter();
            let found = found.filter_map(|mut item| readable(&mut item, items::found_row_of_pair));
            rows.extend(found.filter(|row| row.other_user.id == other));
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(rows);
            }
        }
        let cause = format!(
            "a user has more than {max_pages} MB of group rows, and the table {} is not marked as having a head \
             for each group: run `cruddur check --repair`",
            self.table
        );
        Err(StoreError::rejected(Service::DynamoDb, cause))
    }

    /// Returns whether the table has the marker: the group of every row has a
    /// head, and the UUID of every pair leads to the pair's group.
    ///
    /// One strongly consistent `GetItem`.
    pub async fn has_heads_marker(&self) -> StoreResult<bool> {
        Ok(self.find(Key::heads_marker()).await?.is_some())
    }

    /// Checks that the table can be read, as requests read it: one eventually
    /// consistent `GetItem` of the marker, which need not exist.
    pub async fn ping(&self) -> StoreResult<()> {
        let marker = self.find_as(Key::heads_marker(), Consistency::Eventual);
        marker.await.map(drop)
    }

    /// Writes the marker: one `PutItem`.
    pub async fn put_heads_marker(&self) -> StoreResult<()> {
        let item = Key::heads_marker().into_attributes();
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(item));
        let put = self.send(Units::Write, put, PutItemFluentBuilder::send);
        Ok(put.await.map(drop)?)
    }

    /// Deletes the marker: one `DeleteItem`.
    pub async fn delete_heads_marker(&self) -> StoreResult<()> {
        let key = Key::heads_marker().into_attributes();
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.set_key(Some(key));
        let delete = self.send(Units::Write, delete, DeleteItemFluentBuilder::send);
        Ok(delete.await.map(drop)?)
    }
}
