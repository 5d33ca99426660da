//! Transactions: their actions, how they are sent, and their results.

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};

use super::fault::{Fault, fault, is_busy};
use super::items;
use super::keys::{self, IdempotencyKey, Item, Key, RowKey};
use super::records::IdempotencyRecord;
use super::units::Units;
use super::{MessageStore, Service, StoreError};
use crate::model::{Head, HeadRecord, MessageGroupId, SortKey};

/// Condition for deleting or replacing a row: no item has the key, or the item
/// is a row of the same group.
pub(super) const OWN_OR_NONE: &str = "attribute_not_exists(pk) OR message_group_uuid = :group";
/// Condition for writing a new item: no item has the key.
pub(super) const NONE: &str = "attribute_not_exists(pk)";
/// Why an action can be built: its required fields are set.
pub(super) const COMPLETE: &str = "the action has all required fields";

/// Result of a transaction.
#[derive(Debug)]
pub enum TransactionOutcome {
    /// The transaction was applied completely.
    Applied,
    /// The transaction was not applied and never will be.
    Rejected(Vec<RejectionReason>),
    /// The result is unknown: the transaction was applied, may still be
    /// applied, or failed.
    Unknown(StoreError),
}

/// One reason for which a transaction was rejected.
#[derive(Debug)]
pub enum RejectionReason {
    /// The head does not have the expected version. Contains the stored head,
    /// if it could be read.
    HeadChanged(Option<HeadRecord>),
    /// Another message of the group has this key.
    MessageKeyTaken(SortKey),
    /// Another row of a participant has this key.
    RowKeyTaken(SortKey),
    /// The item at the key of an old row belongs to another group, or does not
    /// exist.
    OldRowNotOwn(RowKey),
    /// The alias exists already, or its UUID is the ID of a group.
    AliasTaken,
    /// The idempotency key was used for this message.
    IdempotencyKeyUsed(IdempotencyRecord),
    /// The transaction conflicted with another one or was throttled. A retry
    /// may succeed.
    Busy(StoreError),
    /// The store will never accept the transaction.
    Invalid(StoreError),
}

/// The purpose of an action in a transaction. It determines what a failed
/// condition of the action means.
pub(super) enum Role {
    Message(SortKey),
    Head,
    NewRow(SortKey),
    OldRow(RowKey),
    Alias,
    IdempotencyRecord(IdempotencyKey),
}

impl MessageStore {
    /// Sends a transaction once.
    ///
    /// Without `token`, the SDK generates the client request token.
    pub(super) async fn send_transaction(
        &self,
        actions: Vec<(Role, TransactWriteItem)>,
        token: Option<&str>,
    ) -> TransactionOutcome {
        let (roles, actions): (Vec<_>, Vec<_>) = actions.into_iter().unzip();
        let call = self
            .client_without_retries
            .transact_write_items()
            .set_client_request_token(token.map(str::to_owned))
            .set_transact_items(Some(actions));
        // A throttled transaction was not applied.
        let send = TransactWriteItemsFluentBuilder::send;
        match self.send(Units::Write, call, send).await {
            Ok(_) => TransactionOutcome::Applied,
            Err(error) => outcome(error, roles),
        }
    }

    /// Builds an action that updates an existing item under a condition.
    pub(super) fn update_if(
        &self,
        key: Key,
        update: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(named(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect(COMPLETE);
        TransactWriteItem::builder().update(update).build()
    }

    /// Builds an action that writes a head, if the stored head has its previous
    /// version.
    pub(super) fn update_head(&self, group: MessageGroupId, head: &Head) -> TransactWriteItem {
        let previous_version = head.previous_version();
        let expected = AttributeValue::N(previous_version.to_string());
        let (condition, expected) = match previous_version {
            0 => (NONE, None),
            _ => ("version = :expected", Some((":expected", expected))),
        };
        self.update_if(
            Key::head(group),
            "SET version = :version, participants = :participants, last_message_at = :last_message_at, \
             message_count = :message_count, read_counts = :read_counts",
            condition,
            items::head_values(head).into_iter().chain(expected),
        )
    }

    pub(super) fn put_new(&self, item: Item) -> TransactWriteItem {
        self.put_if(item, NONE, None)
    }

    /// Builds an action that puts an item under a condition with at most one
    /// value.
    pub(super) fn put_if(
        &self,
        item: Item,
        condition: &str,
        value: Option<(&'static str, AttributeValue)>,
    ) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_values(named(value))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect(COMPLETE);
        TransactWriteItem::builder().put(put).build()
    }

    /// Builds an action that deletes an item under a condition with at most one
    /// value.
    pub(super) fn delete_if(
        &self,
        key: Key,
        condition: &str,
        value: Option<(&'static str, AttributeValue)>,
    ) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .condition_expression(condition)
            .set_expression_attribute_values(named(value))
            .build()
            .expect(COMPLETE);
        TransactWriteItem::builder().delete(delete).build()
    }

    pub(super) fn delete_old(&self, group: MessageGroupId, row: &RowKey) -> TransactWriteItem {
        self.delete_if(Key::group_row(row), OWN_OR_NONE, Some(row.own(group)))
    }
}

/// Returns the values of an expression by their placeholders; `None` without values, because
/// DynamoDB rejects an empty map.
pub(super) fn named(
    values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
) -> Option<Item> {
    let values = values.into_iter();
    let values = values.map(|(name, value)| (name.to_owned(), value));
    let values: Item = values.collect();
    Some(values).filter(|values| !values.is_empty())
}

fn outcome(
    error: SdkError<TransactWriteItemsError, HttpResponse>,
    roles: Vec<Role>,
) -> TransactionOutcome {
    let fault = fault(&error);
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    {
        let reasons = roles.into_iter().zip(cancelled.cancellation_reasons());
        return TransactionOutcome::Rejected(reasons.filter_map(rejection_reason).collect());
    }
    let error = StoreError::from(error);
    match fault {
        Fault::Busy => TransactionOutcome::Rejected(vec![RejectionReason::Busy(error)]),
        Fault::Rejected => TransactionOutcome::Rejected(vec![RejectionReason::Invalid(error)]),
        Fault::Unknown => TransactionOutcome::Unknown(error),
    }
}

fn rejection_reason((role, reason): (Role, &CancellationReason)) -> Option<RejectionReason> {
    let code = reason.code().unwrap_or("None");
    let cause = format!("{code}: {}", reason.message().unwrap_or(code));
    Some(match code {
        "None" => return None,
        "ConditionalCheckFailed" => condition_failed(role, reason.item.clone()),
        code if is_busy(code) => {
            RejectionReason::Busy(StoreError::unavailable(Service::DynamoDb, cause))
        }
        _ => RejectionReason::Invalid(StoreError::rejected(Service::DynamoDb, cause)),
    })
}

fn condition_failed(role: Role, found: Option<Item>) -> RejectionReason {
    match role {
        Role::Message(key) => RejectionReason::MessageKeyTaken(key),
        Role::NewRow(key) => RejectionReason::RowKeyTaken(key),
        Role::Alias => RejectionReason::AliasTaken,
        Role::OldRow(row) => RejectionReason::OldRowNotOwn(row),
        Role::Head => RejectionReason::HeadChanged(
            found.and_then(|mut item| items::head_record(&mut item).ok()),
        ),
        Role::IdempotencyRecord(key) => {
            let mut found = found.unwrap_or_default();
            let stored_at = keys::idempotency_key_text(&key);
            match items::idempotency_record(key, &mut found) {
                Ok(record) => RejectionReason::IdempotencyKeyUsed(record),
                Err(cause) => RejectionReason::Invalid(cause.at(stored_at)),
            }
        }
    }
}
