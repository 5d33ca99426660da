//! The transaction that writes messages.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};

use super::items;
use super::keys::{Item, Key, RowKey};
use super::records::{GroupRow, IdempotencyRecord};
use super::transaction::{OWN_OR_NONE, Role, TransactionOutcome, invalid, named};
use super::units::Units;
use super::{MessageStore, StoreError};
use crate::model::{Head, Message, MessageGroupId};

/// The items to write when messages are added to a group.
///
/// The transaction has 5 actions, plus one for each message and one for each
/// idempotency key. A transaction can have 100 actions.
#[derive(Clone, Debug)]
pub struct MessageTransaction {
    /// Client request token: unique for each distinct payload.
    pub token: String,
    /// The version that the stored head must have; 0 if no head must exist.
    pub expected_version: u64,
    /// The new head.
    pub head: Head,
    /// The messages, oldest first. Never empty.
    pub messages: Vec<Message>,
    /// The idempotency records to write.
    pub idempotency_records: Vec<IdempotencyRecord>,
    /// The new row of each participant, which shows the newest message.
    pub rows: [GroupRow; 2],
    /// Rows to delete in the transaction.
    pub old_rows: Vec<RowKey>,
    /// More rows to delete, which do not fit into the transaction. The caller
    /// deletes them after the transaction is applied.
    pub surplus_rows: Vec<RowKey>,
    /// A second UUID under which the group can be found.
    pub alias: Option<MessageGroupId>,
    /// Current time in epoch seconds. An idempotency record that expired at or
    /// before it counts as absent.
    pub now: i64,
}

impl MessageStore {
    /// Writes everything or nothing: one `TransactWriteItems`, sent once.
    ///
    /// The SDK's retries are disabled, because the caller decides whether an
    /// attempt may be repeated.
    pub async fn commit(&self, transaction: &MessageTransaction) -> TransactionOutcome {
        let token = Some(transaction.token.as_str());
        self.send_made(self.actions(transaction), token).await
    }

    fn actions(
        &self,
        transaction: &MessageTransaction,
    ) -> Result<Vec<(Role, TransactWriteItem)>, StoreError> {
        let newest = transaction
            .messages
            .last()
            .ok_or_else(|| invalid("a transaction without messages"))?;
        let mut actions = vec![(
            Role::Head,
            self.update_head(
                newest.group_id,
                &transaction.head,
                transaction.expected_version,
            )?,
        )];
        for message in &transaction.messages {
            let item = items::message_item(message).map_err(invalid)?;
            actions.push((Role::Message(message.key.clone()), self.put_new(item)?));
        }
        for row in &transaction.rows {
            let item = items::group_row_item(row, newest).map_err(invalid)?;
            actions.push((Role::NewRow(newest.key.clone()), self.put_new(item)?));
        }
        for row in &transaction.old_rows {
            let delete = self.delete_old(newest.group_id, row)?;
            actions.push((Role::OldRow(row.clone()), delete));
        }
        if let Some(alias) = transaction.alias {
            let item = items::alias_item(alias, newest.group_id).map_err(invalid)?;
            actions.push((Role::Alias, self.put_new(item)?));
        }
        for record in &transaction.idempotency_records {
            let item = items::idempotency_item(record).map_err(invalid)?;
            actions.push((
                Role::IdempotencyRecord(record.key.clone()),
                self.put_idempotency_record(item, transaction.now)?,
            ));
        }
        Ok(actions)
    }

    /// Deletes a row, if it belongs to the group: one `DeleteItem`.
    pub async fn delete_row(&self, group: MessageGroupId, row: &RowKey) -> Result<(), StoreError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::group_row(row).into_attributes()))
            .condition_expression(OWN_OR_NONE)
            .set_expression_attribute_values(Some(named(row.own(group))));
        match self
            .send(Units::Write, call, DeleteItemFluentBuilder::send)
            .await
        {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn put_idempotency_record(
        &self,
        item: Item,
        now: i64,
    ) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}
