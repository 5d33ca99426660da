//! Repairs of damaged groups, computed from their messages.
//!
//! The messages are the source of truth; head and rows are derived from them.
//! As with every write, a repair is one transaction with a condition on the
//! head's version, so writers need not stop.

use std::collections::{BTreeMap, BTreeSet};

use super::TWO_GROUPS;
use super::attempt::{Attempt, Learned, Written, guess};
use super::damaged::Damaged;
use super::finding::{FindingKind, Unmended};
use super::head::confirms;
use super::numbers::{Numbers, Renumbered, Walk, two};
use super::pair_rows::PairRows;
use crate::model::{Head, HeadRecord, Message, MessageGroupId, Participants, User, UserId};
use crate::store::{
    Consistency, FoundRow, MessageStore, Newest, Outcome, RowKey, StoreError, UserStore,
};

/// Maximum number of attempts at a repair; each attempt is planned from new
/// reads.
const ATTEMPTS: usize = 20;
/// Maximum number of messages whose `seq` is corrected in one transaction.
const MOST_NUMBERS: usize = 90;

const NO_PAIR: &str = "who takes part in the group is not known";
const UNREADABLE: &str = "a message of the group cannot be read";

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
    pub async fn mend(
        &self,
        group: MessageGroupId,
        known: Option<&RowKey>,
        kind: FindingKind,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let mut learned = Learned::new();
        for _ in 0..ATTEMPTS {
            let attempt = Box::pin(self.attempt(group, known, kind, &mut learned));
            match attempt.await? {
                Attempt::Done(mut written) => {
                    // The repair of a duplicate row succeeds only if the row is
                    // deleted.
                    let doubled = known.filter(|_| kind == FindingKind::DoubledRow);
                    written.gone.extend(doubled.cloned());
                    let is_visible = self.is_visible(group, &written).await?;
                    return Ok(is_visible.then_some(()).ok_or(Unmended::NotVisible));
                }
                Attempt::Failed(why) => return Ok(Err(why)),
                Attempt::Again => learned.wait().await,
            }
        }
        Ok(Err(learned.out_of_attempts()))
    }

    async fn attempt(
        &self,
        group: MessageGroupId,
        known: Option<&RowKey>,
        kind: FindingKind,
        learned: &mut Learned,
    ) -> Result<Attempt, StoreError> {
        let head = match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(head)) => Some(head),
            Some(HeadRecord::AliasOf(_)) => {
                return Ok(guess(TWO_GROUPS));
            }
            None => None,
        };
        let Newest {
            message,
            unreadable_after,
        } = self.messages.newest(group).await?;
        let rows = self.rows(group, head.as_ref(), known).await?;
        let Some(newest) = message else {
            return match head {
                _ if unreadable_after => Ok(guess(UNREADABLE)),
                // Another writer or repair has changed the group.
                None => Ok(Attempt::Failed(Unmended::Busy)),
                Some(head) => self.delete_empty(group, &head, &rows, learned).await,
            };
        };
        if unreadable_after && kind == FindingKind::WrongHead {
            return Ok(guess(UNREADABLE));
        }
        let numbers = Numbers::read(&self.messages, group, u64::MAX).await?;
        if let Some(head) = &head {
            let stranger = numbers
                .senders
                .keys()
                .any(|sender| !head.participants.contains(sender));
            // If the rows confirm the participants, a message from another
            // sender does not contradict the head.
            if stranger && !confirms(&rows, head.participants) {
                return Ok(guess(NO_PAIR));
            }
            if numbers.gap.is_some() && numbers.unreadable {
                return Ok(guess(UNREADABLE));
            }
            if numbers.gap.is_some() {
                return self.renumber(group, head.clone(), learned).await;
            }
        }
        let has_gap = numbers.gap.is_some();
        let damaged = match self
            .damaged(group, head, newest, numbers, rows, learned)
            .await?
        {
            Ok(damaged) => damaged,
            Err(why) => return Ok(Attempt::Failed(why)),
        };
        let mut others = Vec::with_capacity(2);
        for owner in *damaged.participants {
            let Some(other) = self.other_user(owner, &damaged).await? else {
                return Ok(guess(
                    "the name of a participant is not known, and Postgres does not tell",
                ));
            };
            others.push(other);
        }
        let participants = damaged.participants;
        let (repair, surplus) = match damaged.repair(others, learned) {
            Ok(repair) => repair,
            Err(why) => return Ok(Attempt::Failed(why)),
        };
        let outcome = self.messages.repair(&repair).await;
        if matches!(outcome, Outcome::Applied) {
            for row in &surplus {
                self.messages.delete_row(group, row).await?;
            }
        }
        let mut gone = repair.old_rows.clone();
        gone.extend(surplus);
        let written = Written {
            head: Some(repair.head),
            newest: Some(repair.newest),
            gone,
            alias: repair.alias,
        };
        if !matches!(outcome, Outcome::Applied) {
            self.pair_rows.forget(participants);
        }
        Ok(match learned.learn(outcome, written) {
            // The group now has a head, so the messages can be numbered with a
            // condition on its version.
            Attempt::Done(_) if has_gap => Attempt::Again,
            attempt => attempt,
        })
    }

    /// Returns whether strongly consistent reads show the written state:
    /// deleted rows are absent, and head, rows and alias are present. If the
    /// head has a later version, its writer had read the version written here.
    async fn is_visible(
        &self,
        group: MessageGroupId,
        written: &Written,
    ) -> Result<bool, StoreError> {
        let is_overwritten = |row: &&RowKey| {
            let head = written.head.as_ref();
            head.is_some_and(|head| {
                let mut rows = head.participants.iter();
                rows.any(|owner| row.is_same_item(&RowKey::of_head(head, *owner)))
            })
        };
        let gone = written.gone.iter().filter(|row| !is_overwritten(row));
        for row in gone {
            if self.messages.has_row(group, row).await? {
                return Ok(false);
            }
        }
        if let Some(alias) = written.alias {
            let found = self.messages.find_head(alias).await?;
            if found != Some(HeadRecord::AliasOf(group)) {
                return Ok(false);
            }
        }
        let Some((head, newest)) = written.head.as_ref().zip(written.newest.as_ref()) else {
            return Ok(self.messages.find_head(group).await?.is_none());
        };
        let mut rows_are_there = self
            .messages
            .find_message(group, &newest.key)
            .await?
            .is_some();
        for owner in *head.participants {
            let row = RowKey::of_head(head, owner);
            let found = self.messages.find_row_at(&row).await?;
            rows_are_there &= found.is_some_and(|found| {
                let shown = found.preview.as_ref();
                shown.is_some_and(|shown| shown.message_id == newest.id)
                    && found.unread_count == head.unread_count(owner)
                    && found.row_key() == row
            });
        }
        // The head is read after the rows: while its version is unchanged, so
        // are the rows.
        Ok(match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(found)) if found.version == head.version => rows_are_there,
            Some(HeadRecord::Head(found)) => found.version > head.version,
            Some(HeadRecord::AliasOf(_)) | None => false,
        })
    }

    /// Deletes the remaining items of a group without messages. First, head and
    /// message are read in one transaction, because a message may be written
    /// concurrently.
    async fn delete_empty(
        &self,
        group: MessageGroupId,
        head: &Head,
        rows: &[FoundRow],
        learned: &mut Learned,
    ) -> Result<Attempt, StoreError> {
        let at_once = self.messages.find_group_of_head(group, head).await?;
        if at_once.version != head.version || at_once.newest.is_some() {
            return Ok(Attempt::Again);
        }
        let rows: Vec<RowKey> = rows
            .iter()
            .map(FoundRow::row_key)
            .filter(|row| !learned.foreign.contains(row))
            .take(MOST_NUMBERS)
            .collect();
        let [one, other] = *head.participants;
        let pair = MessageGroupId::of_pair(one, other);
        let alias = match self.messages.find_head(pair).await? {
            Some(HeadRecord::AliasOf(of)) if of == group => Some(pair),
            _ => None,
        };
        let outcome = self.messages.delete_empty(group, head, &rows, alias).await;
        let written = Written {
            gone: rows,
            ..Written::default()
        };
        Ok(learned.learn(outcome, written))
    }

    /// Corrects the `seq` of all messages in one pass. Read messages stay read
    /// and unread messages stay unread: each read count follows its message.
    async fn renumber(
        &self,
        group: MessageGroupId,
        mut head: Head,
        learned: &mut Learned,
    ) -> Result<Attempt, StoreError> {
        let was_read = head.read_counts.clone();
        let mut reads: BTreeMap<UserId, u64> = was_read.keys().map(|user| (*user, 0)).collect();
        let mut numbers = Numbers::default();
        let mut walk = Walk::new(group, Consistency::Strong);
        while let Some(stretch) = walk.next(&self.messages).await? {
            let mut wrong: Vec<Renumbered> = Vec::new();
            for message in &stretch.messages {
                wrong.extend(numbers.take(message));
                for (user, read) in &mut reads {
                    if message.seq > 0 && message.seq <= was_read[user] {
                        *read = numbers.numbered;
                    }
                }
            }
            for some in wrong.chunks(MOST_NUMBERS) {
                let expected_version = head.version;
                head.version += 1;
                let outcome = self
                    .messages
                    .renumber(group, expected_version, &head, some)
                    .await;
                match learned.learn(outcome, Written::default()) {
                    Attempt::Done(_) => {}
                    attempt => return Ok(attempt),
                }
            }
        }
        let expected_version = head.version;
        head.version += 1;
        head.message_count = numbers.numbered;
        head.read_counts = reads;
        let outcome = self
            .messages
            .renumber(group, expected_version, &head, &[])
            .await;
        Ok(match learned.learn(outcome, Written::default()) {
            // The rows contain unread counts and must be updated as well.
            Attempt::Done(_) => Attempt::Again,
            attempt => attempt,
        })
    }

    /// Returns all rows of a group that can be found, newest first.
    async fn rows(
        &self,
        group: MessageGroupId,
        head: Option<&Head>,
        known: Option<&RowKey>,
    ) -> Result<Vec<FoundRow>, StoreError> {
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

    async fn damaged(
        &self,
        id: MessageGroupId,
        head: Option<Head>,
        newest: Message,
        numbers: Numbers,
        rows: Vec<FoundRow>,
        learned: &Learned,
    ) -> Result<Result<Damaged, Unmended>, StoreError> {
        let participants = head.as_ref().map(|head| head.participants);
        let participants = participants.or_else(|| pair_of(&rows)).or_else(|| {
            if rows.is_empty() {
                numbers.pair()
            } else {
                None
            }
        });
        let Some(participants) = participants else {
            return Ok(Err(Unmended::WouldBeAGuess(NO_PAIR)));
        };
        let alias = if head.is_none() && !learned.alias_taken {
            self.alias(id, participants).await?
        } else {
            None
        };
        Ok(Ok(Damaged {
            id,
            head,
            newest,
            numbers,
            participants,
            rows,
            alias,
        }))
    }

    /// Returns the pair's own uuid if it should become an alias of this group,
    /// that is, if this group has the newest of the rows that the two users
    /// share.
    async fn alias(
        &self,
        group: MessageGroupId,
        participants: Participants,
    ) -> Result<Option<MessageGroupId>, StoreError> {
        let [one, other] = *participants;
        let pair = MessageGroupId::of_pair(one, other);
        if pair == group || self.messages.find_head(pair).await?.is_some() {
            return Ok(None);
        }
        let rows = self.pair_rows.read(&self.messages, participants).await?;
        let newest = rows.first().map(|row| row.group_id);
        Ok(newest.is_none_or(|newest| newest == group).then_some(pair))
    }

    /// Returns the participant that an owner's row must show: from the copy in
    /// a row or a message, or else from Postgres.
    async fn other_user(
        &self,
        owner: UserId,
        damaged: &Damaged,
    ) -> Result<Option<User>, StoreError> {
        let Some(other) = damaged.participants.other(owner) else {
            return Ok(None);
        };
        let in_row = damaged
            .rows
            .iter()
            .find(|row| row.owner == owner && row.other_user.id == other)
            .map(|row| row.other_user.clone());
        let copy = in_row.or_else(|| damaged.numbers.senders.get(&other).cloned());
        match (copy, &self.users) {
            (Some(copy), _) => Ok(Some(copy)),
            (None, Some(users)) => Ok(users.users_by_id(&[other]).await?.pop()),
            (None, None) => Ok(None),
        }
    }

    /// Deletes a row whose owner is not a participant. If the owner has sent
    /// one of the messages, the head may be wrong and the row is kept.
    pub async fn delete_strangers(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let numbers = Numbers::read(&self.messages, group, u64::MAX).await?;
        if numbers.senders.contains_key(&row.owner) {
            return Ok(Err(Unmended::WouldBeAGuess(NO_PAIR)));
        }
        self.messages.delete_row(group, row).await?;
        self.is_gone(group, row).await
    }

    /// Deletes a row whose group has neither a head nor messages.
    pub async fn delete_row(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<Result<(), Unmended>, StoreError> {
        if !self.messages.newest(group).await?.is_absent() {
            return Ok(Err(Unmended::Busy));
        }
        let mut learned = Learned::new();
        for _ in 0..ATTEMPTS {
            let outcome = self.messages.delete_headless_row(group, row).await;
            match learned.learn(outcome, Written::default()) {
                Attempt::Done(_) => return self.is_gone(group, row).await,
                Attempt::Failed(why) => return Ok(Err(why)),
                // The group now has a head, or the row belongs to another
                // group.
                Attempt::Again if learned.throttled.is_none() => return Ok(Err(Unmended::Busy)),
                Attempt::Again => learned.wait().await,
            }
        }
        Ok(Err(learned.out_of_attempts()))
    }

    /// Writes an alias of the pair's newest group under the pair's uuid.
    pub async fn write_alias(
        &self,
        pair: MessageGroupId,
        participants: Participants,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let [one, other] = *participants;
        let rows = self.messages.rows_of_pair(one, other).await?;
        let Some(newest) = rows.first().map(|row| row.group_id) else {
            return Ok(Err(Unmended::WouldBeAGuess(
                "neither of the two has a row of a group of theirs",
            )));
        };
        let mut learned = Learned::new();
        for _ in 0..ATTEMPTS {
            let outcome = self.messages.put_alias(pair, newest).await;
            match learned.learn(outcome, Written::default()) {
                Attempt::Failed(why) => return Ok(Err(why)),
                Attempt::Again if !learned.alias_taken => learned.wait().await,
                // The alias exists, written here or by another writer.
                Attempt::Done(_) | Attempt::Again => {
                    let is_there = self.messages.find_head(pair).await?.is_some();
                    return Ok(is_there.then_some(()).ok_or(Unmended::NotVisible));
                }
            }
        }
        Ok(Err(learned.out_of_attempts()))
    }

    /// Deletes an alias whose group has neither a head nor messages.
    pub async fn delete_alias(
        &self,
        alias: MessageGroupId,
        of: MessageGroupId,
    ) -> Result<Result<(), Unmended>, StoreError> {
        if !self.messages.newest(of).await?.is_absent() {
            return Ok(Err(Unmended::Busy));
        }
        let outcome = self.messages.delete_alias(alias, of).await;
        Ok(match Learned::new().learn(outcome, Written::default()) {
            Attempt::Done(_) if self.messages.find_head(alias).await?.is_some() => {
                Err(Unmended::NotVisible)
            }
            Attempt::Done(_) => Ok(()),
            Attempt::Failed(why) => Err(why),
            Attempt::Again => Err(Unmended::Busy),
        })
    }

    /// Returns success if a deleted row is absent.
    async fn is_gone(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let is_there = self.messages.has_row(group, row).await?;
        Ok((!is_there).then_some(()).ok_or(Unmended::NotVisible))
    }
}

/// Returns the two users that are owner or other user in all rows; `None` if
/// the rows name more or fewer users.
fn pair_of(rows: &[FoundRow]) -> Option<Participants> {
    let users = rows.iter().flat_map(|row| *row.participants());
    two(users.collect::<BTreeSet<_>>())
}
