//! The transactions that repair a group.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem};

use super::items;
use super::keys::{Key, RowKey, own};
use super::messages::{readable_message, readable_row};
use super::query::readable;
use super::records::{FoundRow, GroupRow};
use super::transaction::{COMPLETE, NONE, OWN_OR_NONE, Role, TransactionOutcome};
use super::{MessageStore, StoreResult};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, SortKey};

/// Condition for changing or moving a message: the item exists.
const EXISTS: &str = "attribute_exists(pk)";

/// The repaired head and rows of a group, according to the group's messages.
///
/// The transaction has at most 6 actions, plus one for each old row. A
/// transaction can have 100 actions.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The group.
    pub group: MessageGroupId,
    /// The new head.
    pub head: Head,
    /// The newest message, which both rows show.
    pub newest: Message,
    /// The previous sort key of the newest message, if it must move because
    /// another group has a row with that key.
    pub moved_from: Option<SortKey>,
    /// The new row of each participant.
    pub rows: [GroupRow; 2],
    /// Rows to delete in the transaction.
    pub old_rows: Vec<RowKey>,
    /// Rows that the new rows overwrite and whose UUIDs are not stored in
    /// canonical form.
    pub replaced: Vec<RowKey>,
    /// A second UUID under which the group can be found.
    pub alias: Option<MessageGroupId>,
}

/// A snapshot of a group's rows and newest message.
#[derive(Clone, Debug)]
pub struct HeadSnapshot {
    /// Version of the head; 0 if there is no head.
    pub version: u64,
    /// The row of each participant.
    pub rows: [Option<FoundRow>; 2],
    /// The message with the head's key.
    pub newest: Option<Message>,
}

impl MessageStore {
    /// Returns a snapshot of the items that a head refers to: one
    /// `TransactGetItems` of four items.
    pub async fn find_group_of_head(
        &self,
        group: MessageGroupId,
        head: &Head,
    ) -> StoreResult<HeadSnapshot> {
        let row = |owner| Key::group_row(&RowKey::of_head(head, owner));
        let [one, other] = head.participants.map(row);
        let newest = Key::message(group, &head.last_message_key);
        let keys = [Key::head(group), one, other, newest];
        let [head, one, other, newest] = self.find_in_snapshot(keys).await?;
        let head = head.and_then(|mut item| readable(&mut item, items::head_record));
        let head = head.and_then(HeadRecord::into_head);
        Ok(HeadSnapshot {
            version: head.map_or(0, |head| head.version),
            rows: [one, other].map(|row| row.and_then(readable_row)),
            newest: newest.and_then(|item| readable_message(group, item)),
        })
    }

    /// Returns whether a row still exists at its key and belongs to the group:
    /// one strongly consistent `GetItem`.
    pub async fn has_row(&self, group: MessageGroupId, row: &RowKey) -> StoreResult<bool> {
        let found = self.find_row_at(row).await?;
        Ok(found.is_some_and(|found| found.group_id == group))
    }

    /// Repairs a group, or changes nothing: one `TransactWriteItems`, sent
    /// once.
    pub async fn repair(&self, repair: &Repair) -> TransactionOutcome {
        let (group, newest) = (repair.group, &repair.newest);
        let head = self.update_head(group, &repair.head);
        let mut actions = vec![(Role::Head, head)];
        for row in &repair.rows {
            let mut replaced = repair.replaced.iter();
            let replaced = replaced.find(|replaced| replaced.owner == row.owner);
            let own = replaced.map_or_else(|| own(group), |replaced| replaced.own(group));
            let item = items::group_row_item(row, newest);
            let put = self.put_if(item, OWN_OR_NONE, Some(own));
            actions.push((Role::NewRow(newest.key.clone()), put));
        }
        for row in &repair.old_rows {
            actions.push((Role::OldRow(row.clone()), self.delete_old(group, row)));
        }
        if let Some(from) = &repair.moved_from {
            let put = self.put_new(items::message_item(newest));
            let delete = self.delete_if(Key::message(group, from), EXISTS, None);
            let moved = [put, delete].map(|action| (Role::Message(newest.key.clone()), action));
            actions.extend(moved);
        }
        if let Some(alias) = repair.alias {
            actions.push((Role::Alias, self.put_new(items::alias_item(alias, group))));
        }
        self.send_transaction(actions, None).await
    }

    /// Assigns sequence numbers to messages and updates the head accordingly:
    /// one `TransactWriteItems` of at most 99 messages.
    pub async fn renumber(
        &self,
        group: MessageGroupId,
        head: &Head,
        numbers: &[(SortKey, u64)],
    ) -> TransactionOutcome {
        let mut actions = vec![(Role::Head, self.update_head(group, head))];
        for (key, seq) in numbers {
            let seq = (":seq", AttributeValue::N(seq.to_string()));
            let message = Key::message(group, key);
            let update = self.update_if(message, "SET seq = :seq", EXISTS, [seq]);
            actions.push((Role::Message(key.clone()), update));
        }
        self.send_transaction(actions, None).await
    }

    /// Deletes the head of a group without messages, its rows, and the alias of
    /// its pair if the alias refers to this group: one `TransactWriteItems` of
    /// at most 90 rows.
    pub async fn delete_empty(
        &self,
        group: MessageGroupId,
        head: &Head,
        rows: &[RowKey],
        alias: Option<MessageGroupId>,
    ) -> TransactionOutcome {
        let version = (":version", AttributeValue::N(head.version.to_string()));
        let head = self.delete_if(Key::head(group), "version = :version", Some(version));
        let mut actions = vec![(Role::Head, head)];
        for row in rows {
            actions.push((Role::OldRow(row.clone()), self.delete_old(group, row)));
        }
        actions.extend(alias.map(|alias| (Role::Alias, self.delete_alias_of(alias, group))));
        self.send_transaction(actions, None).await
    }

    /// Deletes a row of a group that has no head: one `TransactWriteItems`.
    pub async fn delete_headless_row(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> TransactionOutcome {
        let delete = (Role::OldRow(row.clone()), self.delete_old(group, row));
        let actions = vec![(Role::Head, self.check_no_head(group)), delete];
        self.send_transaction(actions, None).await
    }

    /// Writes an alias if its key has neither an alias nor a head: one
    /// `TransactWriteItems`.
    pub async fn put_alias(&self, alias: MessageGroupId, of: MessageGroupId) -> TransactionOutcome {
        let put = self.put_new(items::alias_item(alias, of));
        self.send_transaction(vec![(Role::Alias, put)], None).await
    }

    /// Deletes an alias of a group that has no head: one `TransactWriteItems`.
    pub async fn delete_alias(
        &self,
        alias: MessageGroupId,
        of: MessageGroupId,
    ) -> TransactionOutcome {
        let delete = (Role::Alias, self.delete_alias_of(alias, of));
        let actions = vec![(Role::Head, self.check_no_head(of)), delete];
        self.send_transaction(actions, None).await
    }

    fn check_no_head(&self, group: MessageGroupId) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(Key::head(group).into_attributes()))
            .condition_expression(NONE)
            .build()
            .expect(COMPLETE);
        TransactWriteItem::builder().condition_check(check).build()
    }

    fn delete_alias_of(&self, alias: MessageGroupId, of: MessageGroupId) -> TransactWriteItem {
        let of = (":of", AttributeValue::S(of.to_string()));
        self.delete_if(Key::head(alias), "alias_of = :of", Some(of))
    }
}
