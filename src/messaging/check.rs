//! Checks the table for inconsistencies.
//!
//! The check processes one item at a time, so memory use does not grow with the
//! table and writers need not stop. The group of an item is read once, with
//! eventually consistent reads (`group`). An item that is consistent with its
//! group costs no further reads. For any other item, the check reads all items
//! that this item depends on again, with strong consistency. It reports a problem
//! of a whole group at only one of the group's items: the head; without a head,
//! the newest row; without rows, the newest message.
//!
//! An item that cannot be read counts as present. The check concludes nothing
//! from its content, and a repair deletes nothing because of it.

mod ahead;
mod attempt;
mod diagnose;
mod finding;
mod group;
mod head;
mod headless;
mod item_repairs;
mod marker;
mod numbers;
mod pair_rows;
mod plan;
mod repair;
mod verify;

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::{Mutex, OnceCell};

pub use finding::{Finding, FindingKind, Unrepaired};

use crate::clock::Clock;
use crate::model::{HeadRecord, Message, MessageGroupId, SortKey};
use crate::store::{
    FoundRow, MessageStore, RowKey, ScannedItem, StoreError, StoreResult, Stored, UserStore,
};
use ahead::AheadGroups;
use attempt::RepairError;
use finding::{AMBIGUOUS_GROUPS, Remedy};
use group::{CheckedGroup, row_order};
use marker::missing_alias;
use repair::Repairer;

/// Maximum number of cached groups, at a few hundred bytes each. A group is
/// evicted only if the scan returns so many other groups before its next item.
const CACHED_GROUPS: u64 = 50_000;

/// Checks items and repairs the problems that it finds.
#[derive(Debug)]
pub struct Inspector {
    messages: MessageStore,
    repairer: Repairer,
    /// The groups as they were last read.
    groups: Cache<MessageGroupId, Arc<OnceCell<CheckedGroup>>>,
    /// A lock for each group under repair. Two concurrent repairs of one group
    /// would mistake each other's rows for rows of another group.
    repairs: Cache<MessageGroupId, Arc<Mutex<()>>>,
    /// Groups that have a head or a row, even if the group is inconsistent.
    reachable: Cache<MessageGroupId, ()>,
    ahead: AheadGroups,
}

impl Inspector {
    /// Creates an inspector for the table. `users` supplies names that the table
    /// no longer contains.
    pub fn new(messages: MessageStore, users: Option<UserStore>, clock: Clock) -> Self {
        Self {
            repairer: Repairer::new(messages.clone(), users),
            ahead: AheadGroups::new(messages.clone(), clock, CACHED_GROUPS),
            messages,
            groups: Cache::new(CACHED_GROUPS),
            repairs: Cache::new(CACHED_GROUPS),
            reachable: Cache::new(CACHED_GROUPS),
        }
    }

    /// Returns the problems found at an item.
    pub async fn inspect(&self, item: ScannedItem) -> StoreResult<Vec<Finding>> {
        let found = match item.clone().read() {
            Err(cause) => {
                let remedy = Remedy::Unknown("its contents are not known");
                let kind = FindingKind::UnreadableItem;
                Ok(vec![Finding::new(kind, None, cause.to_string(), remedy)])
            }
            Ok(Stored::Message(message)) => self.message(&message).await,
            Ok(Stored::GroupRow(row)) => self.row(&row).await,
            Ok(Stored::Head(group, HeadRecord::Head(_))) => self.whole_or_head(group).await,
            Ok(Stored::Head(group, HeadRecord::AliasOf(other))) => self.alias(group, other).await,
            Ok(Stored::IdempotencyRecord | Stored::HeadsMarker) => Ok(Vec::new()),
        };
        let found = match found {
            // An unreadable head is reported when the scan reaches the head
            // itself.
            Err(StoreError::Unreadable { .. }) => Vec::new(),
            found => found?,
        };
        let findings = found.into_iter().map(|finding| finding.at(&item));
        Ok(findings.collect())
    }

    /// Returns the group of an item. The group is read once for all of its
    /// items.
    async fn checked(&self, group: MessageGroupId) -> StoreResult<Arc<OnceCell<CheckedGroup>>> {
        let cell = self.groups.get_with(group, Arc::default);
        let read = || CheckedGroup::read(&self.messages, group);
        cell.get_or_try_init(read).await?;
        Ok(cell)
    }

    /// Returns the problems of a group that has a head. A group that is consistent
    /// can still lack an alias.
    async fn whole_or_head(&self, group: MessageGroupId) -> StoreResult<Vec<Finding>> {
        let checked = self.checked(group).await?;
        if let Some(CheckedGroup::Whole(head)) = checked.get() {
            let alias = missing_alias(&self.messages, group, head).await?;
            return Ok(alias.into_iter().collect());
        }
        let mut found = head::diagnose(&self.messages, group).await?;
        let is_empty = |found: &Finding| found.kind == FindingKind::HeadWithoutMessages;
        if !found.iter().any(is_empty)
            && let Some(HeadRecord::Head(head)) = self.messages.find_head(group).await?
        {
            found.extend(missing_alias(&self.messages, group, &head).await?);
        }
        Ok(found)
    }

    /// Repairs a finding, and reads the result back.
    pub async fn repair(&self, finding: &Finding) -> StoreResult<Result<(), Unrepaired>> {
        let group = finding.group;
        let alone = group.map(|group| self.repairs.get_with(group, Arc::default));
        let _alone = match &alone {
            Some(alone) => Some(alone.lock().await),
            None => None,
        };
        if let Some(group) = group {
            self.groups.invalidate(&group);
        }
        let messages = &self.messages;
        let repaired = match &finding.remedy {
            Remedy::Unknown(why) => return Ok(Err(Unrepaired::Ambiguous(why))),
            Remedy::Group(group, row) => {
                // Boxed because it is much larger than the other repairs.
                Box::pin(self.repairer.repair(*group, row.as_ref(), finding.kind)).await
            }
            Remedy::NonParticipantRow(group, row) => {
                item_repairs::delete_non_participant_row(messages, *group, row).await
            }
            Remedy::Row(group, row) => item_repairs::delete_row(messages, *group, row).await,
            Remedy::MissingAlias(pair, users) => {
                item_repairs::write_alias(messages, *pair, *users).await
            }
            Remedy::Alias(alias, of) => item_repairs::delete_alias(messages, *alias, *of).await,
        };
        match repaired {
            Err(RepairError::Store(StoreError::Unreadable { .. })) => {
                Ok(Err(Unrepaired::Ambiguous("its head is unreadable")))
            }
            Err(RepairError::Store(error)) => Err(error),
            Err(RepairError::Unrepaired(why)) => Ok(Err(why)),
            Ok(()) => Ok(Ok(())),
        }
    }

    /// Returns the problems found at a message: its group is ahead of the clock, or
    /// no reader can find its group.
    async fn message(&self, message: &Message) -> StoreResult<Vec<Finding>> {
        let group = message.group_id;
        let mut found: Vec<Finding> = self.ahead.of_message(message).await?.into_iter().collect();
        if self.reachable.contains_key(&group) {
            return Ok(found);
        }
        let checked = self.checked(group).await?;
        if checked.get().is_some_and(CheckedGroup::is_reachable) {
            return Ok(found);
        }
        let kind = FindingKind::UnreachableMessages;
        let unreachable = |detail: String, remedy| Finding::new(kind, Some(group), detail, remedy);
        match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(_)) => self.reachable.insert(group, ()),
            Some(HeadRecord::AliasOf(other)) => {
                if self.is_newest(group, &message.key).await? {
                    let detail = format!("the group's uuid is an alias of {other}");
                    found.push(unreachable(detail, Remedy::Unknown(AMBIGUOUS_GROUPS)));
                }
            }
            None if !self.messages.rows_of_group(group).await?.is_empty() => {
                self.reachable.insert(group, ());
            }
            None => {
                if self.is_newest(group, &message.key).await? {
                    let detail = "neither head nor rows".to_owned();
                    found.push(unreachable(detail, Remedy::Group(group, None)));
                }
            }
        }
        Ok(found)
    }

    /// Returns whether the newest message of a group has this key.
    async fn is_newest(&self, group: MessageGroupId, key: &SortKey) -> StoreResult<bool> {
        let newest = self.messages.newest_message(group).await?;
        Ok(newest.is_some_and(|newest| newest.key == *key))
    }

    /// Returns the problems found at a row.
    async fn row(&self, row: &FoundRow) -> StoreResult<Vec<Finding>> {
        let group = row.group_id;
        let mut found = Vec::new();
        let key = row.row_key();
        let checked = self.checked(group).await?;
        if checked.get().is_some_and(|group| group.has_row(&key)) {
            return Ok(found);
        }
        let mut finding = |kind, detail: String, remedy| {
            found.push(Finding::new(kind, Some(group), detail, remedy));
        };
        match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(head)) if !head.participants.contains(&row.owner) => {
                let [one, other] = *head.participants;
                let detail = format!("the participants are {one} and {other}");
                let remedy = Remedy::NonParticipantRow(group, key);
                finding(FindingKind::NonParticipantRow, detail, remedy);
            }
            Some(HeadRecord::Head(head))
                if !key.is_same_item(&RowKey::of_head(&head, row.owner)) =>
            {
                if let Some(current) = self.current_key_beside(row).await? {
                    let detail = format!("the current row is at {current}");
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::DuplicateRow, detail, remedy);
                }
            }
            Some(HeadRecord::Head(_)) => {}
            Some(HeadRecord::AliasOf(other)) => {
                let detail = format!("the group's uuid is an alias of {other}");
                let remedy = Remedy::Unknown(AMBIGUOUS_GROUPS);
                finding(FindingKind::NonParticipantRow, detail, remedy);
            }
            None => {
                let newest = self.messages.newest(group).await?;
                if newest.is_absent() {
                    let detail = "its group has no messages".to_owned();
                    let remedy = Remedy::Row(group, key);
                    finding(FindingKind::RowWithoutMessages, detail, remedy);
                } else if !key.is_canonical() {
                    let detail = "its uuids are not in lower case with hyphens".to_owned();
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::DuplicateRow, detail, remedy);
                } else if self.is_newest_row(row).await? {
                    let detail = "the original wrote the group, or its head was lost";
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::MissingHead, detail.to_owned(), remedy);
                    if let Some(newest) = &newest.message {
                        if newest.key < row.key {
                            found.extend(self.ahead.of_row(row));
                        }
                        let rows = self.messages.row_items(group).await?;
                        found.extend(headless::hidden(group, rows, newest));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Returns the key of the owner's current row if `row` is a duplicate. A
    /// duplicate still exists, and its key differs from the key in the head; head
    /// and row are read in one transaction. If the row has the key of the newest
    /// message, the head is wrong and the row is not a duplicate.
    async fn current_key_beside(&self, row: &FoundRow) -> StoreResult<Option<SortKey>> {
        let key = row.row_key();
        let (head, found) = self.messages.find_head_and_row(row.group_id, &key).await?;
        let Some(HeadRecord::Head(head)) = head else {
            return Ok(None);
        };
        let still_there = found.is_some_and(|found| found.group_id == row.group_id);
        if !still_there || key.is_same_item(&RowKey::of_head(&head, row.owner)) {
            return Ok(None);
        }
        if !key.is_canonical() {
            return Ok(Some(head.last_message_key));
        }
        let is_newest = self.is_newest(row.group_id, &row.key).await?;
        Ok((!is_newest).then_some(head.last_message_key))
    }

    /// Returns whether a row is the newest row of its group. A group without a
    /// head is reported only at its newest row.
    async fn is_newest_row(&self, row: &FoundRow) -> StoreResult<bool> {
        let rows = self.messages.rows_of_group(row.group_id).await?;
        let order = |row: &FoundRow| row_order(&row.row_key());
        let newest = rows.iter().map(order).max();
        Ok(newest.is_none_or(|newest| order(row) >= newest))
    }

    /// Returns the problems found at an alias of the group `of`.
    async fn alias(&self, alias: MessageGroupId, of: MessageGroupId) -> StoreResult<Vec<Finding>> {
        let kind = FindingKind::DanglingAlias;
        let found = |detail: String, remedy| Finding::new(kind, Some(alias), detail, remedy);
        if let Some(CheckedGroup::Whole(_)) = self.checked(of).await?.get() {
            return Ok(Vec::new());
        }
        Ok(match self.messages.find_head(of).await? {
            Some(HeadRecord::Head(_)) => Vec::new(),
            Some(HeadRecord::AliasOf(other)) => vec![found(
                format!("{of} is an alias itself, of {other}"),
                Remedy::Unknown("it is not known to which group the alias should refer"),
            )],
            // If the group has messages, the check reports the missing head at
            // the newest message.
            None if !self.messages.newest(of).await?.is_absent() => Vec::new(),
            None => vec![found(
                format!("there is no group {of}"),
                Remedy::Alias(alias, of),
            )],
        })
    }
}
