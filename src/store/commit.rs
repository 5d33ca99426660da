//! The transaction that writes messages, and its result.

use std::collections::HashMap;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};

use super::error::{Fault, fault, is_busy};
use super::items::{self, Item, Key};
use super::pacer::{self, Units};
use super::sdk_error::explain;
use super::{MessageStore, StoreError};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, MessageId, SortKey, User, UserId};

/// Condition for deleting or replacing a row: no item has the key, or the item
/// is a row of the same group.
pub(super) const OWN_OR_NONE: &str = "attribute_not_exists(pk) OR message_group_uuid = :group";

/// The items to write when messages are added to a group.
///
/// The transaction has 5 actions, plus one for each message and one for each
/// idempotency key. A transaction can have 100 actions.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Client request token: unique for each distinct payload.
    pub token: String,
    /// The version that the stored head must have; 0 if no head must exist.
    pub expected_version: u64,
    /// The new head.
    pub head: Head,
    /// The messages, oldest first. Never empty.
    pub messages: Vec<Message>,
    /// The idempotency records to write.
    pub sents: Vec<Sent>,
    /// The new row of each participant, which shows the newest message.
    pub rows: [GroupRow; 2],
    /// Rows to delete in the transaction.
    pub old_rows: Vec<RowKey>,
    /// More rows to delete, which do not fit into the transaction. The caller
    /// deletes them after the transaction is applied.
    pub surplus_rows: Vec<RowKey>,
    /// A second uuid under which the group can be found.
    pub alias: Option<MessageGroupId>,
    /// Current time in epoch seconds. An idempotency record that expired at or
    /// before it counts as absent.
    pub now: i64,
}

/// A participant's row of a group, without the preview of the newest message.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// The user to whom the row belongs.
    pub owner: UserId,
    /// The other participant, whose handle and display name are copied into the
    /// row.
    pub other_user: User,
    /// Number of messages that the owner has not read.
    pub unread_count: u64,
}

/// The key of a participant's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// The user to whom the row belongs.
    pub owner: UserId,
    /// Key of the message that was the newest when the row was written.
    pub key: SortKey,
    /// The uuids of the row as stored, if they are not in canonical form.
    pub(super) stored: Option<StoredUuids>,
}

/// The uuids of a row as stored, in upper case or without hyphens.
///
/// DynamoDB compares texts, so such a row is found and deleted only by exactly
/// these texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredUuids {
    pub pk: String,
    pub group: String,
}

impl RowKey {
    /// Creates the key of an owner's row whose newest message has this key.
    #[must_use]
    pub fn new(owner: UserId, key: SortKey) -> Self {
        let stored = None;
        Self { owner, key, stored }
    }

    /// Returns the key of a participant's row according to the group's head.
    #[must_use]
    pub fn of_head(head: &Head, owner: UserId) -> Self {
        Self::new(owner, head.last_message_key.clone())
    }

    /// Returns whether both keys identify the same item.
    #[must_use]
    pub fn is_same_item(&self, other: &Self) -> bool {
        Key::group_row(self) == Key::group_row(other)
    }

    /// Returns whether the uuids are stored in canonical form, by which all
    /// queries find the row.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.stored.is_none()
    }

    /// Returns the value for the placeholder `:group` in [`OWN_OR_NONE`].
    pub(super) fn own(&self, group: MessageGroupId) -> (&'static str, AttributeValue) {
        match &self.stored {
            Some(stored) => (":group", AttributeValue::S(stored.group.clone())),
            None => own(group),
        }
    }
}

/// An idempotency key. Each sender has a separate set of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SentKey {
    /// The sender of the message.
    pub sender: UserId,
    /// The idempotency key in the client's input.
    pub idempotency_key: String,
}

/// An idempotency record: the message that was sent under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The idempotency key.
    pub key: SentKey,
    /// The group of the message.
    pub group_id: MessageGroupId,
    /// The sort key of the message in the group.
    pub message_key: SortKey,
    /// The uuid of the message.
    pub message_id: MessageId,
    /// Digest of the client's input.
    pub input_digest: String,
    /// Time in epoch seconds from which the key can be used for another
    /// message.
    pub expires_at: i64,
}

/// Result of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// The transaction was applied completely.
    Applied,
    /// The transaction was not applied and never will be.
    Refused(Vec<Refusal>),
    /// The result is unknown: the transaction was applied, may still be
    /// applied, or failed.
    Unknown(StoreError),
}

/// One reason for which a transaction was rejected.
#[derive(Debug)]
pub enum Refusal {
    /// The head does not have the expected version. Contains the stored head,
    /// if it could be read.
    HeadMoved(Option<HeadRecord>),
    /// Another message of the group has this key.
    MessageKeyTaken(SortKey),
    /// Another row of a participant has this key.
    RowKeyTaken(SortKey),
    /// The item at the key of an old row belongs to another group, or does not
    /// exist.
    OldRowForeign(RowKey),
    /// The alias exists already, or its uuid is the id of a group.
    AliasTaken,
    /// The idempotency key was used for this message.
    KeyUsed(Sent),
    /// The transaction conflicted with another one or was throttled. A retry
    /// may succeed.
    Busy(StoreError),
    /// The store will never accept the transaction.
    Invalid(StoreError),
}

/// The purpose of an action in a transaction, from which the rejection of the
/// action is interpreted.
pub(super) enum Role {
    Message(SortKey),
    Head,
    NewRow(SortKey),
    OldRow(RowKey),
    Alias,
    Sent(SentKey),
}

impl MessageStore {
    /// Writes everything or nothing: one `TransactWriteItems`, sent once.
    ///
    /// The SDK's retries are disabled, because the caller decides whether an
    /// attempt may be repeated.
    pub async fn commit(&self, commit: &Commit) -> Outcome {
        let token = Some(commit.token.as_str());
        self.send_made(self.actions(commit), token).await
    }

    /// Sends a transaction once, if its actions could be built.
    ///
    /// Without `token`, the SDK generates the client request token.
    pub(super) async fn send_made(
        &self,
        actions: Result<Vec<(Role, TransactWriteItem)>, StoreError>,
        token: Option<&str>,
    ) -> Outcome {
        let (roles, actions) = match actions {
            Ok(actions) => actions.into_iter().unzip::<_, _, Vec<_>, Vec<_>>(),
            Err(cause) => return Outcome::Refused(vec![Refusal::Invalid(cause)]),
        };
        match self.send_once(actions, token).await {
            Ok(()) => Outcome::Applied,
            Err(error) => outcome(error, roles),
        }
    }

    /// Sends a transaction without the SDK's retries.
    async fn send_once(
        &self,
        actions: Vec<TransactWriteItem>,
        token: Option<&str>,
    ) -> Result<(), SdkError<TransactWriteItemsError, HttpResponse>> {
        let call = self
            .client_without_retries
            .transact_write_items()
            .set_client_request_token(token.map(str::to_owned))
            .set_transact_items(Some(actions));
        match self.pacer() {
            // A throttled transaction was not applied.
            Some(pacer) => {
                let send = || call.clone().send();
                Box::pin(pacer.send(Units::Write, send, is_throttled)).await?
            }
            None => Box::pin(call.send()).await?,
        };
        Ok(())
    }

    fn actions(&self, commit: &Commit) -> Result<Vec<(Role, TransactWriteItem)>, StoreError> {
        let newest = commit
            .messages
            .last()
            .ok_or_else(|| invalid("a commit without messages"))?;
        let mut actions = vec![(
            Role::Head,
            self.update_head(newest.group_id, &commit.head, commit.expected_version)?,
        )];
        for message in &commit.messages {
            let item = items::message_item(message).map_err(invalid)?;
            actions.push((Role::Message(message.key.clone()), self.put_new(item)?));
        }
        for row in &commit.rows {
            let item = items::group_row_item(row, newest).map_err(invalid)?;
            actions.push((Role::NewRow(newest.key.clone()), self.put_new(item)?));
        }
        for row in &commit.old_rows {
            let delete = self.delete_old(newest.group_id, row)?;
            actions.push((Role::OldRow(row.clone()), delete));
        }
        if let Some(alias) = commit.alias {
            let item = items::alias_item(alias, newest.group_id).map_err(invalid)?;
            actions.push((Role::Alias, self.put_new(item)?));
        }
        for sent in &commit.sents {
            let item = items::sent_item(sent).map_err(invalid)?;
            actions.push((
                Role::Sent(sent.key.clone()),
                self.put_sent(item, commit.now)?,
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

    fn put_sent(&self, item: Item, now: i64) -> Result<TransactWriteItem, StoreError> {
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

    pub(super) fn delete_old(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<TransactWriteItem, StoreError> {
        self.delete_if(Key::group_row(row), OWN_OR_NONE, Some(row.own(group)))
    }
}

/// Returns the value for the placeholder `:group` in [`OWN_OR_NONE`].
pub(super) fn own(group: MessageGroupId) -> (&'static str, AttributeValue) {
    (":group", AttributeValue::S(group.to_string()))
}

fn named((name, value): (&str, AttributeValue)) -> HashMap<String, AttributeValue> {
    [(name.to_owned(), value)].into()
}

pub(super) fn invalid(cause: impl std::fmt::Display) -> StoreError {
    StoreError::refused(super::Service::DynamoDb, cause)
}

fn outcome(error: SdkError<TransactWriteItemsError, HttpResponse>, roles: Vec<Role>) -> Outcome {
    let fault = fault(&error);
    let (_, cause) = explain(super::Service::DynamoDb, &error);
    match error {
        SdkError::ServiceError(refusal) => match refusal.into_err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                let reasons = cancelled.cancellation_reasons.unwrap_or_default();
                Outcome::Refused(
                    roles
                        .into_iter()
                        .zip(reasons)
                        .filter_map(refusal_of)
                        .collect(),
                )
            }
            _ => by_fault(fault, cause),
        },
        _ => by_fault(fault, cause),
    }
}

/// Returns whether a transaction was throttled, as a whole or for one of its
/// items.
fn is_throttled(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return pacer::by_code(error);
    };
    pacer::by_reason(cancelled.cancellation_reasons())
}

fn by_fault(fault: Fault, cause: impl std::fmt::Display) -> Outcome {
    let service = super::Service::DynamoDb;
    match fault {
        Fault::Busy => {
            Outcome::Refused(vec![Refusal::Busy(StoreError::unavailable(service, cause))])
        }
        Fault::Refused => {
            Outcome::Refused(vec![Refusal::Invalid(StoreError::refused(service, cause))])
        }
        Fault::Unknown => Outcome::Unknown(StoreError::unavailable(service, cause)),
    }
}

fn refusal_of((role, reason): (Role, CancellationReason)) -> Option<Refusal> {
    let code = reason.code.as_deref().unwrap_or("None");
    let cause = reason.message.unwrap_or_else(|| code.to_owned());
    match code {
        "None" => None,
        "ConditionalCheckFailed" => Some(condition_failed(role, reason.item)),
        code if is_busy(code) => Some(Refusal::Busy(StoreError::unavailable(
            super::Service::DynamoDb,
            format!("{code}: {cause}"),
        ))),
        _ => Some(Refusal::Invalid(invalid(format!("{code}: {cause}")))),
    }
}

fn condition_failed(role: Role, found: Option<HashMap<String, AttributeValue>>) -> Refusal {
    match role {
        Role::Message(key) => Refusal::MessageKeyTaken(key),
        Role::NewRow(key) => Refusal::RowKeyTaken(key),
        Role::Alias => Refusal::AliasTaken,
        Role::OldRow(row) => Refusal::OldRowForeign(row),
        Role::Head => Refusal::HeadMoved(found.and_then(|item| items::head_record(item).ok())),
        Role::Sent(key) => {
            let found = found.unwrap_or_default();
            let stored_at = items::place_of_sent(&key);
            match items::sent(key, found) {
                Ok(sent) => Refusal::KeyUsed(sent),
                Err(cause) => Refusal::Invalid(cause.at(stored_at)),
            }
        }
    }
}
