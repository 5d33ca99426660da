//! Transactions: their actions, how they are sent, and their results.

use std::collections::HashMap;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};

use super::capacity_limiter;
use super::fault::{Fault, fault, is_busy};
use super::items;
use super::keys::{self, IdempotencyKey, Item, Key, RowKey};
use super::records::IdempotencyRecord;
use super::units::Units;
use super::{MessageStore, StoreError};
use crate::model::{Head, HeadRecord, MessageGroupId, SortKey};

/// Condition for deleting or replacing a row: no item has the key, or the item
/// is a row of the same group.
pub(super) const OWN_OR_NONE: &str = "attribute_not_exists(pk) OR message_group_uuid = :group";

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
    /// Sends a transaction once, if its actions could be built.
    ///
    /// Without `token`, the SDK generates the client request token.
    pub(super) async fn send_made(
        &self,
        actions: Result<Vec<(Role, TransactWriteItem)>, StoreError>,
        token: Option<&str>,
    ) -> TransactionOutcome {
        let (roles, actions) = match actions {
            Ok(actions) => actions.into_iter().unzip::<_, _, Vec<_>, Vec<_>>(),
            Err(cause) => {
                return TransactionOutcome::Rejected(vec![RejectionReason::Invalid(cause)]);
            }
        };
        let call = self
            .client_without_retries
            .transact_write_items()
            .set_client_request_token(token.map(str::to_owned))
            .set_transact_items(Some(actions));
        // A throttled transaction was not applied.
        let send = TransactWriteItemsFluentBuilder::send;
        let result = self.send_unless(Units::Write, call, send, is_throttled);
        match result.await {
            Ok(_) => TransactionOutcome::Applied,
            Err(error) => outcome(error, roles),
        }
    }

    /// Builds an action that updates an existing item under a condition.
    pub(super) fn update_if<const N: usize>(
        &self,
        key: Key,
        update: &str,
        condition: &str,
        values: [(&str, AttributeValue); N],
    ) -> Result<TransactWriteItem, StoreError> {
        let values = values.map(|(name, value)| (name.to_owned(), value));
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values.into()))
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    pub(super) fn update_head(
        &self,
        group: MessageGroupId,
        head: &Head,
        expected_version: u64,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut values = items::head_values(head);
        let condition = if expected_version == 0 {
            "attribute_not_exists(pk)"
        } else {
            let expected = AttributeValue::N(expected_version.to_string());
            values.insert(":expected".to_owned(), expected);
            "#version = :expected"
        };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::head(group).into_attributes()))
            .update_expression(
                "SET #version = :version, participants = :participants, last_message_at = :last_message_at, \
                 message_count = :message_count, read_counts = :read_counts",
            )
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    pub(super) fn put_new(&self, item: Item) -> Result<TransactWriteItem, StoreError> {
        self.put_if(item, "attribute_not_exists(pk)", None)
    }

    /// Builds an action that puts an item under a condition with at most one
    /// value.
    pub(super) fn put_if(
        &self,
        item: Item,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_values(value.map(named))
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Builds an action that deletes an item under a condition with at most one
    /// value.
    pub(super) fn delete_if(
        &self,
        key: Key,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .condition_expression(condition)
            .set_expression_attribute_values(value.map(named))
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    pub(super) fn delete_old(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<TransactWriteItem, StoreError> {
        self.delete_if(Key::group_row(row), OWN_OR_NONE, Some(row.own(group)))
    }
}

pub(super) fn named((name, value): (&str, AttributeValue)) -> HashMap<String, AttributeValue> {
    [(name.to_owned(), value)].into()
}

pub(super) fn invalid(cause: impl std::fmt::Display) -> StoreError {
    StoreError::rejected(super::Service::DynamoDb, cause)
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

/// Returns whether a transaction was throttled, as a whole or for one of its
/// items.
fn is_throttled(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return capacity_limiter::by_code(error);
    };
    capacity_limiter::by_reason(cancelled.cancellation_reasons())
}

fn rejection_reason((role, reason): (Role, &CancellationReason)) -> Option<RejectionReason> {
    let code = reason.code().unwrap_or("None");
    let cause = reason.message().unwrap_or(code);
    match code {
        "None" => None,
        "ConditionalCheckFailed" => Some(condition_failed(role, reason.item.clone())),
        code if is_busy(code) => Some(RejectionReason::Busy(StoreError::unavailable(
            super::Service::DynamoDb,
            format!("{code}: {cause}"),
        ))),
        _ => Some(RejectionReason::Invalid(invalid(format!(
            "{code}: {cause}"
        )))),
    }
}

fn condition_failed(role: Role, found: Option<HashMap<String, AttributeValue>>) -> RejectionReason {
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
