//! Writing what makes a damaged group whole again.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use uuid::Uuid;

use super::commit::{OWN_OR_NONE, Role, invalid, outcome};
use super::items::{self, Item, Key};
use super::query::readable;
use super::rows::FoundRow;
use super::{GroupRow, MessageStore, Outcome, RowKey, StoreError};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, SortKey};

/// A group made whole: its head and both rows, as its messages say they must
/// be.
///
/// Takes at most 6 actions and one for each old row, of the 100 that a
/// transaction may have.
#[derive(Clone, Debug)]
pub struct Repair {
    /// Which group.
    pub group: MessageGroupId,
    /// The version that the head has to have; 0 where there must be no head.
    pub expected_version: u64,
    /// The head afterwards.
    pub head: Head,
    /// The newest message, which both rows show.
    pub newest: Message,
    /// Set where the newest message has to move, because another group has a
    /// row at its key.
    pub moved: Option<Move>,
    /// Each participant's row.
    pub rows: [GroupRow; 2],
    /// Rows that go away.
    pub old_rows: Vec<RowKey>,
    /// A uuid under which the group is to be found as well.
    pub alias: Option<MessageGroupId>,
}

/// Where a message was that is put somewhere else.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its key before.
    pub from: SortKey,
}

/// A group's rows and newest message, at one moment.
#[derive(Clone, Debug)]
pub struct GroupAtOnce {
    /// Version of the head; 0 where there is none.
    pub version: u64,
    /// The row of each participant.
    pub rows: [Option<FoundRow>; 2],
    /// The message at the head's key.
    pub newest: Option<Message>,
}

impl MessageStore {
    /// What belongs to a head, at one moment: one `TransactGetItems` of four.
    pub async fn find_group_of_head(
        &self,
        group: MessageGroupId,
        head: &Head,
    ) -> Result<GroupAtOnce, StoreError> {
        let key = &head.last_message_key;
        let [one, other] = head.participants.map(|owner| {
            let key = key.clone();
            Key::group_row(&RowKey { owner, key })
        });
        let keys = [Key::head(group), one, other, Key::message(group, key)];
        let [head, one, other, newest] = self.find_together(keys).await?;
        let head = head.and_then(|item| readable(item, items::head_record));
        let row = |item: Option<Item>| item.and_then(|item| readable(item, items::found_row));
        Ok(GroupAtOnce {
            version: match head {
                Some(HeadRecord::Head(head)) => head.version,
                _ => 0,
            },
            rows: [row(one), row(other)],
            newest: newest.and_then(|item| readable(item, |item| items::message(group, item))),
        })
    }

    /// Makes a group whole, or changes nothing: one `TransactWriteItems`, sent
    /// once.
    pub async fn repair(&self, repair: &Repair) -> Outcome {
        match self.repairing(repair) {
            Ok(actions) => self.send_all(actions).await,
            Err(cause) => Outcome::Refused(vec![super::Refusal::Invalid(cause)]),
        }
    }

    fn repairing(&self, repair: &Repair) -> Result<Vec<(Role, TransactWriteItem)>, StoreError> {
        let Repair {
            group,
            newest,
            expected_version,
            ..
        } = repair;
        let head = self.update_head(*group, &repair.head, *expected_version)?;
        let mut actions = vec![(Role::Head, head)];
        for row in &repair.rows {
            let item = items::group_row_item(row, newest).map_err(invalid)?;
            actions.push((
                Role::NewRow(newest.key.clone()),
                self.put_own(*group, item)?,
            ));
        }
        for row in &repair.old_rows {
            actions.push((Role::OldRow(row.clone()), self.delete_old(*group, row)?));
        }
        if let Some(Move { from }) = &repair.moved {
            let item = items::message_item(newest).map_err(invalid)?;
            let key = Key::message(*group, from);
            let role = || Role::Message(newest.key.clone());
            actions.push((role(), self.put_new(item)?));
            actions.push((role(), self.delete(key, "attribute_exists(pk)")?));
        }
        if let Some(alias) = repair.alias {
            let item = items::alias_item(alias, *group).map_err(invalid)?;
            actions.push((Role::Alias, self.put_new(item)?));
        }
        Ok(actions)
    }

    /// Gives messages other numbers, together with a head that says so: one
    /// `TransactWriteItems` of at most 99 messages.
    pub async fn renumber(
        &self,
        group: MessageGroupId,
        expected_version: u64,
        head: &Head,
        numbers: &[(SortKey, u64)],
    ) -> Outcome {
        let actions = || {
            let mut actions = vec![(Role::Head, self.update_head(group, head, expected_version)?)];
            for (key, seq) in numbers {
                let update = Update::builder()
                    .table_name(&self.table)
                    .set_key(Some(Key::message(group, key).into_attributes()))
                    .update_expression("SET seq = :seq")
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_values(":seq", AttributeValue::N(seq.to_string()))
                    .build()
                    .map_err(invalid)?;
                let update = TransactWriteItem::builder().update(update).build();
                actions.push((Role::Message(key.clone()), update));
            }
            Ok(actions)
        };
        match actions() {
            Ok(actions) => self.send_all(actions).await,
            Err(cause) => Outcome::Refused(vec![super::Refusal::Invalid(cause)]),
        }
    }

    /// Deletes the head of a group that has no messages, and the rows at its
    /// key: one `TransactWriteItems`.
    pub async fn delete_empty(&self, group: MessageGroupId, head: &Head) -> Outcome {
        let actions = || {
            let condition = Delete::builder()
                .table_name(&self.table)
                .set_key(Some(Key::head(group).into_attributes()))
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(
                    ":version",
                    AttributeValue::N(head.version.to_string()),
                )
                .build()
                .map_err(invalid)?;
            let mut actions = vec![(
                Role::Head,
                TransactWriteItem::builder().delete(condition).build(),
            )];
            for owner in head.participants {
                let key = head.last_message_key.clone();
                let row = RowKey { owner, key };
                let delete = self.delete_old(group, &row)?;
                actions.push((Role::OldRow(row), delete));
            }
            Ok(actions)
        };
        match actions() {
            Ok(actions) => self.send_all(actions).await,
            Err(cause) => Outcome::Refused(vec![super::Refusal::Invalid(cause)]),
        }
    }

    /// Deletes an alias, if it is still one of that group: one `DeleteItem`.
    pub async fn delete_alias(
        &self,
        alias: MessageGroupId,
        alias_of: MessageGroupId,
    ) -> Result<(), StoreError> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::head(alias).into_attributes()))
            .condition_expression("alias_of = :group")
            .expression_attribute_values(":group", AttributeValue::S(alias_of.to_string()))
            .send()
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_all(&self, actions: Vec<(Role, TransactWriteItem)>) -> Outcome {
        let (roles, actions) = actions.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        match self.send_once(actions, &Uuid::new_v4().to_string()).await {
            Ok(()) => Outcome::Applied,
            Err(error) => outcome(error, roles),
        }
    }

    /// Puts a row where there is none, or one of the same group.
    fn put_own(&self, group: MessageGroupId, item: Item) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(OWN_OR_NONE)
            .expression_attribute_values(":group", AttributeValue::S(group.to_string()))
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn delete(&self, key: Key, condition: &str) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_attributes()))
            .condition_expression(condition)
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
