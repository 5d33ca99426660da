//! Repairs of damaged groups, computed from their messages.
//!
//! The messages are the source of truth; head and rows are derived from them. A
//! repair reads the group, determines what to do (`diagnose`), plans one
//! transaction (`plan`), sends it and reads the result back (`verify`). As with
//! every write, the transaction has a condition on the head's version, so writers
//! need not stop.

use std::collections::BTreeMap;

use super::attempt::{ATTEMPTS, RepairError, RepairedItems, RetryState};
use super::diagnose::{Action, Damaged, pair_of};
use super::finding::{FindingKind, Unrepaired};
use super::numbers::{MessagePages, Numbers, Renumbered};
use super::pair_rows::PairRows;
use super::plan::Rewrite;
use super::verify::{is_visible, visible};
use crate::model::{Consistency, Head, HeadRecord, MessageGroupId, Participants, User, UserId};
use crate::store::{FoundRow, MessageStore, RowKey, StoreResult, TransactionOutcome, UserStore};

/// Maximum number of messages whose `seq` is corrected in one transaction, below
/// DynamoDB's limit of 100 actions.
const MAX_RENUMBERED: usize = 90;

/// Repairs groups.
#[derive(Debug)]
pub(super) struct Repairer {
    messages: MessageStore,
    users: Option<UserStore>,
    pair_rows: PairRows,
}

impl Repairer {
    pub fn new(messages: MessageStore, users: Option<UserStore>) -> Self {
        Self {
            messages,
            users,
            pair_rows: PairRows::new(),
        }
    }

    /// Repairs a group. `known` is a row of the group that the index may not
    /// contain.
    pub async fn repair(
        &self,
        group: MessageGroupId,
        known: Option<&RowKey>,
        kind: FindingKind,
    ) -> Result<(), RepairError> {
        let mut state = RetryState::new();
        for _ in 0..ATTEMPTS {
            // Boxed because it is large and most findings need no repair.
            let attempt = Box::pin(self.attempt(group, known, kind, &mut state));
            if let Some(mut written) = attempt.await? {
                // The repair of a duplicate row succeeds only if the row is
                // deleted.
                let duplicate = known.filter(|_| kind == FindingKind::DuplicateRow);
                written.deleted.extend(duplicate.cloned());
                return visible(is_visible(&self.messages, group, &written).await?);
            }
            state.wait().await;
        }
        Err(state.out_of_attempts())
    }

    /// Makes one attempt at a repair. Returns what it wrote; `None` if another
    /// attempt is needed.
    async fn attempt(
        &self,
        group: MessageGroupId,
        known: Option<&RowKey>,
        kind: FindingKind,
        state: &mut RetryState,
    ) -> Result<Option<RepairedItems>, RepairError> {
        let damaged = self.load(group, known).await?;
        match damaged.diagnose(kind)? {
            Action::DeleteEmpty(head) => {
                self.delete_empty(group, &head, &damaged.rows, state).await
            }
            Action::Renumber(head) => self.renumber(group, head, state).await,
            Action::Rewrite { head, participants } => {
                self.rewrite(group, damaged, head, participants, state)
                    .await
            }
        }
    }

    /// Reads a group with strongly consistent reads. Without a readable message,
    /// the other messages are not read.
    async fn load(&self, group: MessageGroupId, known: Option<&RowKey>) -> StoreResult<Damaged> {
        let head = self.messages.find_head(group).await?;
        let newest = self.messages.newest(group).await?;
        let numbers = match (&head, &newest.message) {
            (Some(HeadRecord::AliasOf(_)), _) | (_, None) => Numbers::default(),
            _ => Numbers::read(&self.messages, group, u64::MAX).await?,
        };
        let rows = match &head {
            Some(HeadRecord::AliasOf(_)) => Vec::new(),
            Some(HeadRecord::Head(head)) => self.rows(group, Some(head), known).await?,
            None => self.rows(group, None, known).await?,
        };
        Ok(Damaged {
            head,
            newest,
            rows,
            numbers,
        })
    }

    /// Writes head and rows of a group again, and the alias of its pair.
    async fn rewrite(
        &self,
        group: MessageGroupId,
        damaged: Damaged,
        head: Option<Head>,
        participants: Participants,
        state: &mut RetryState,
    ) -> Result<Option<RepairedItems>, RepairError> {
        let Some(newest) = damaged.newest.message.clone() else {
            return Ok(None);
        };
        let alias = if head.is_none() && !state.alias_taken {
            self.alias(group, participants).await?
        } else {
            None
        };
        let [one, other] = *participants;
        let others = (
            self.user(other, one, &damaged).await?,
            self.user(one, other, &damaged).await?,
        );
        let (Some(first), Some(second)) = others else {
            let why = "the name of a participant is neither in the table nor in Postgres";
            return Err(Unrepaired::Ambiguous(why).into());
        };
        let has_gap = damaged.numbers.gap.is_some();
        let rewrite = Rewrite {
            group,
            head,
            newest,
            numbers: damaged.numbers,
            participants,
            rows: damaged.rows,
            alias,
            others: [first, second],
        };
        let (repair, surplus) = rewrite.plan(state)?;
        let outcome = self.messages.repair(&repair).await;
        if matches!(outcome, TransactionOutcome::Applied) {
            for row in &surplus {
                self.messages.delete_row(group, row).await?;
            }
        } else {
            self.pair_rows.forget(participants);
        }
        let mut deleted = repair.old_rows;
        deleted.extend(surplus);
        let written = RepairedItems {
            head: Some(repair.head),
            newest: Some(repair.newest),
            deleted,
            alias: repair.alias,
        };
        let written = state.record(outcome, written)?;
        // The group now has a head, so the messages can be numbered with a
        // condition on its version.
        Ok(written.filter(|_| !has_gap))
    }

    /// Deletes the remaining items of a group without messages. Before, it reads
    /// head and message in one transaction, because another writer may write a
    /// message concurrently.
    async fn delete_empty(
        &self,
        group: MessageGroupId,
        head: &Head,
        rows: &[FoundRow],
        state: &mut RetryState,
    ) -> Result<Option<RepairedItems>, RepairError> {
        let at_once = self.messages.find_group_of_head(group, head).await?;
        if at_once.version != head.version || at_once.newest.is_some() {
            return Ok(None);
        }
        let rows = rows.iter().map(FoundRow::row_key);
        let rows = rows.filter(|row| !state.foreign.contains(row));
        let rows: Vec<RowKey> = rows.take(MAX_RENUMBERED).collect();
        let [one, other] = *head.participants;
        let pair = MessageGroupId::of_pair(one, other);
        let alias = match self.messages.find_head(pair).await? {
            Some(HeadRecord::AliasOf(of)) if of == group => Some(pair),
            _ => None,
        };
        let outcome = self.messages.delete_empty(group, head, &rows, alias).await;
        let written = RepairedItems {
            deleted: rows,
            ..RepairedItems::default()
        };
        Ok(state.record(outcome, written)?)
    }

    /// Corrects the `seq` of all messages in one pass. Read messages stay read
    /// and unread messages stay unread: each read count follows its message.
    async fn renumber(
        &self,
        group: MessageGroupId,
        mut head: Head,
        state: &mut RetryState,
    ) -> Result<Option<RepairedItems>, RepairError> {
        let was_read = head.read_counts.clone();
        let mut reads: BTreeMap<UserId, u64> = was_read.keys().map(|user| (*user, 0)).collect();
        let mut numbers = Numbers::default();
        let mut pages = MessagePages::new(group, Consistency::Strong);
        while let Some(batch) = pages.next(&self.messages).await? {
            let mut wrong: Vec<Renumbered> = Vec::new();
            for message in &batch.messages {
                wrong.extend(numbers.take(message));
                for (user, read) in &mut reads {
                    if message.seq > 0 && message.seq <= was_read[user] {
                        *read = numbers.numbered;
                    }
                }
            }
            for some in wrong.chunks(MAX_RENUMBERED) {
                head.version += 1;
                let outcome = self.messages.renumber(group, &head, some).await;
                if state.record(outcome, RepairedItems::default())?.is_none() {
                    return Ok(None);
                }
            }
        }
        head.version += 1;
        head.message_count = numbers.numbered;
        head.read_counts = reads;
        let outcome = self.messages.renumber(group, &head, &[]).await;
        state.record(outcome, RepairedItems::default())?;
        // The rows contain unread counts and must be updated as well.
        Ok(None)
    }

    /// Returns all rows of a group that can be found, newest first.
    async fn rows(
        &self,
        group: MessageGroupId,
        head: Option<&Head>,
        known: Option<&RowKey>,
    ) -> StoreResult<Vec<FoundRow>> {
        let mut rows = self.messages.rows_of_group(group).await?;
        let of_head = head
            .into_iter()
            .flat_map(|head| head.participants.map(|owner| RowKey::of_head(head, owner)));
        for row in of_head.chain(known.cloned()) {
            rows.extend(self.messages.find_row_at(&row).await?);
        }
        if head.is_none()
            && let Some(pair) = pair_of(&rows)
        {
            rows.extend(self.pair_rows.read(&self.messages, pair).await?);
        }
        rows.retain(|row| row.group_id == group);
        rows.sort_by(|one, other| (&other.key, other.owner).cmp(&(&one.key, one.owner)));
        let mut all: Vec<FoundRow> = Vec::with_capacity(rows.len());
        for row in rows {
            if all.iter().all(|known| known.row_key() != row.row_key()) {
                all.push(row);
            }
        }
        Ok(all)
    }

    /// Returns the pair's own UUID if it should become an alias of this group,
    /// that is, if this group has the newest of the rows that the two users
    /// share.
    async fn alias(
        &self,
        group: MessageGroupId,
        participants: Participants,
    ) -> StoreResult<Option<MessageGroupId>> {
        let [one, other] = *participants;
        let pair = MessageGroupId::of_pair(one, other);
        if pair == group || self.messages.find_head(pair).await?.is_some() {
            return Ok(None);
        }
        let rows = self.pair_rows.read(&self.messages, participants).await?;
        let newest = rows.first().map(|row| row.group_id);
        Ok(newest.is_none_or(|newest| newest == group).then_some(pair))
    }

    /// Returns the participant whom the row of `owner` must show. The names come
    /// from the copy in that row or in a message, or else from Postgres.
    async fn user(
        &self,
        id: UserId,
        owner: UserId,
        damaged: &Damaged,
    ) -> StoreResult<Option<User>> {
        let mut rows = damaged.rows.iter();
        let in_row = rows.find(|row| row.owner == owner && row.other_user.id == id);
        let in_row = in_row.map(|row| row.other_user.clone());
        let copy = in_row.or_else(|| damaged.numbers.senders.get(&id).cloned());
        match (copy, &self.users) {
            (Some(copy), _) => Ok(Some(copy)),
            (None, Some(users)) => Ok(users.users_by_id(&[id]).await?.pop()),
            (None, None) => Ok(None),
        }
    }
}
