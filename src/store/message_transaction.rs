//! The transaction that writes messages.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::items;
use super::keys::{Key, RowKey};
use super::records::{GroupRow, IdempotencyRecord};
use super::transaction::{OWN_OR_NONE, Role, TransactionOutcome, named};
use super::units::Units;
use super::{MessageStore, StoreResult};
use crate::model::{Head, Message, MessageGroupId};

/// The items to write when messages are added to a group.
///
/// The transaction has 5 actions, plus one for each message and one for each
/// idempotency key. A transaction can have 100 actions.
#[derive(Clone, Debug)]
pub struct MessageTransaction {
    /// Client request token: unique for each distinct payload.
    pub token: String,
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
        let newest = &transaction.messages[transaction.messages.len() - 1];
        let group = newest.group_id;
        let head = self.update_head(group, &transaction.head);
        let mut actions = vec![(Role::Head, head)];
        for message in &transaction.messages {
            let put = self.put_new(items::message_item(message));
            actions.push((Role::Message(message.key.clone()), put));
        }
        for row in &transaction.rows {
            let put = self.put_new(items::group_row_item(row, newest));
            actions.push((Role::NewRow(newest.key.clone()), put));
        }
        for row in &transaction.old_rows {
            actions.push((Role::OldRow(row.clone()), self.delete_old(group, row)));
        }
        if let Some(alias) = transaction.alias {
            actions.push((Role::Alias, self.put_new(items::alias_item(alias, group))));
        }
        for record in &transaction.idempotency_records {
            let now = AttributeValue::N(transaction.now.to_string());
            let put = self.put_if(
                items::idempotency_item(record),
                "attribute_not_exists(pk) OR expires_at <= :now",
                Some((":now", now)),
            );
            actions.push((Role::IdempotencyRecord(record.key.clone()), put));
        }
        self.send_transaction(actions, Some(&transaction.token))
            .await
    }

    /// Deletes a row, if it belongs to the group: one `DeleteItem`.
    pub async fn delete_row(&self, group: MessageGroupId, row: &RowKey) -> StoreResult<()> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::group_row(row).into_attributes()))
            .condition_expression(OWN_OR_NONE)
            .set_expression_attribute_values(named([row.own(group)]));
        let send = DeleteItemFluentBuilder::send;
        match self.send(Units::Write, call, send).await {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            deleted => Ok(deleted.map(drop)?),
        }
    }
}
