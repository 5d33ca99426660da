//! Making a damaged group whole, by what its messages say.
//!
//! Messages are the truth: head and rows follow from them. Everything is one
//! transaction with the head's version as its condition, as every write is, so
//! that writers need not stop.

use std::collections::{BTreeMap, BTreeSet};

use super::TWO_GROUPS;
use super::attempt::{Attempt, Learned, guess};
use super::damaged::Damaged;
use super::finding::{FindingKind, Unmended};
use super::numbers::{Numbers, Renumbered, Walk, two};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, User, UserId};
use crate::store::{FoundRow, MessageStore, Newest, Outcome, RowKey, StoreError, UserStore};

/// How often a repair is planned anew.
const ATTEMPTS: usize = 20;
/// The most messages that are numbered anew in one transaction.
const MOST_NUMBERS: usize = 90;

const NO_PAIR: &str = "who takes part in the group is not known";
const UNREADABLE: &str = "a message of the group cannot be read";

/// Makes groups whole.
#[derive(Debug)]
pub(super) struct Repairer {
    messages: MessageStore,
    users: Option<UserStore>,
}

impl Repairer {
    pub fn new(messages: MessageStore, users: Option<UserStore>) -> Self {
        Self { messages, users }
    }

    /// Makes a group whole. The index may lack a row that is known.
    pub async fn mend(
        &self,
        group: MessageGroupId,
        known: Option<&RowKey>,
        kind: FindingKind,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let mut learned = Learned::default();
        for _ in 0..ATTEMPTS {
            let attempt = Box::pin(self.attempt(group, known, kind, &mut learned));
            match attempt.await? {
                Attempt::Done => return Ok(Ok(())),
                Attempt::Failed(why) => return Ok(Err(why)),
                Attempt::Again => learned.pause().await,
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
            unreadable_behind,
        } = self.messages.newest(group).await?;
        let rows = self.rows(group, head.as_ref(), known).await?;
        let Some(newest) = message else {
            return match head {
                _ if unreadable_behind => Ok(guess(UNREADABLE)),
                // Somebody else has been at it.
                None => Ok(Attempt::Failed(Unmended::Busy)),
                Some(head) => self.delete_empty(group, &head, &rows, learned).await,
            };
        };
        if unreadable_behind && kind == FindingKind::WrongHead {
            return Ok(guess(UNREADABLE));
        }
        let numbers = Numbers::read(&self.messages, group, u64::MAX).await?;
        if let Some(head) = &head {
            let stranger = numbers
                .senders
                .keys()
                .any(|sender| !head.participants.contains(sender));
            if stranger {
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
        for owner in damaged.participants {
            let Some(other) = self.other_user(owner, &damaged).await? else {
                return Ok(guess(
                    "the name of a participant is not known, and Postgres does not tell",
                ));
            };
            others.push(other);
        }
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
        Ok(match learned.learn(outcome) {
            // With a head there is now a version to number under.
            Attempt::Done if has_gap => Attempt::Again,
            attempt => attempt,
        })
    }

    /// Deletes what is left of a group without messages. Head and message are
    /// read at one moment first: a message may be on its way.
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
        let [one, other] = head.participants;
        let pair = MessageGroupId::of_pair(one, other);
        let alias = match self.messages.find_head(pair).await? {
            Some(HeadRecord::AliasOf(of)) if of == group => Some(pair),
            _ => None,
        };
        let outcome = self.messages.delete_empty(group, head, &rows, alias).await;
        Ok(learned.learn(outcome))
    }

    /// Gives all messages their right numbers, in one walk. What is read stays
    /// read, and nothing becomes read: each read count follows its message.
    async fn renumber(
        &self,
        group: MessageGroupId,
        mut head: Head,
        learned: &mut Learned,
    ) -> Result<Attempt, StoreError> {
        let was_read = head.read_counts.clone();
        let mut reads: BTreeMap<UserId, u64> = was_read.keys().map(|user| (*user, 0)).collect();
        let mut numbers = Numbers::default();
        let mut walk = Walk::new(group);
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
                match learned.learn(outcome) {
                    Attempt::Done => {}
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
        Ok(match learned.learn(outcome) {
            // The rows count what is unread, and have to follow.
            Attempt::Done => Attempt::Again,
            attempt => attempt,
        })
    }

    /// All rows of a group that can be found, newest first.
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
            rows.extend(self.messages.find_row(row.owner, &row.key).await?);
        }
        if head.is_none()
            && let Some([one, other]) = pair_of(&rows)
        {
            rows.extend(self.messages.rows_of_pair(one, other).await?);
        }
        rows.retain(|row| row.group_id == group);
        rows.sort_by(|one, other| (&other.key, other.owner).cmp(&(&one.key, one.owner)));
        rows.dedup_by(|one, other| one.key == other.key && one.owner == other.owner);
        Ok(rows)
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

    /// The pair's own uuid, where this is the group that it has to lead to:
    /// the one whose row is the newest that the two share.
    async fn alias(
        &self,
        group: MessageGroupId,
        [one, other]: [UserId; 2],
    ) -> Result<Option<MessageGroupId>, StoreError> {
        let pair = MessageGroupId::of_pair(one, other);
        if pair == group || self.messages.find_head(pair).await?.is_some() {
            return Ok(None);
        }
        let rows = self.messages.rows_of_pair(one, other).await?;
        let newest = rows.first().map(|row| row.group_id);
        Ok(newest.is_none_or(|newest| newest == group).then_some(pair))
    }

    /// The participant that an owner's row has to show: by the copy in a row
    /// or in a message, or else by Postgres.
    async fn other_user(
        &self,
        owner: UserId,
        damaged: &Damaged,
    ) -> Result<Option<User>, StoreError> {
        let [one, other] = damaged.participants;
        let other = if owner == one { other } else { one };
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

    /// Deletes the row of somebody who does not take part, unless they have
    /// sent one of the messages: then it is the head that may be wrong.
    pub async fn delete_strangers(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let numbers = Numbers::read(&self.messages, group, u64::MAX).await?;
        if numbers.senders.contains_key(&row.owner) {
            return Ok(Err(Unmended::WouldBeAGuess(NO_PAIR)));
        }
        Ok(Ok(self.messages.delete_row(group, row).await?))
    }

    /// Deletes a row whose group has neither head nor messages.
    pub async fn delete_row(
        &self,
        group: MessageGroupId,
        row: &RowKey,
    ) -> Result<Result<(), Unmended>, StoreError> {
        if !self.messages.newest(group).await?.is_absent() {
            return Ok(Err(Unmended::Busy));
        }
        let mut learned = Learned::default();
        for _ in 0..ATTEMPTS {
            let outcome = self.messages.delete_headless_row(group, row).await;
            match learned.learn(outcome) {
                Attempt::Done => return Ok(Ok(())),
                Attempt::Failed(why) => return Ok(Err(why)),
                // It has a head by now, or is another group's.
                Attempt::Again if learned.throttled.is_none() => return Ok(Err(Unmended::Busy)),
                Attempt::Again => learned.pause().await,
            }
        }
        Ok(Err(learned.out_of_attempts()))
    }

    /// Deletes an alias of a group that has neither head nor messages.
    pub async fn delete_alias(
        &self,
        alias: MessageGroupId,
        of: MessageGroupId,
    ) -> Result<Result<(), Unmended>, StoreError> {
        if !self.messages.newest(of).await?.is_absent() {
            return Ok(Err(Unmended::Busy));
        }
        let outcome = self.messages.delete_alias(alias, of).await;
        Ok(match Learned::default().learn(outcome) {
            Attempt::Done => Ok(()),
            Attempt::Failed(why) => Err(why),
            Attempt::Again => Err(Unmended::Busy),
        })
    }
}

/// The two whom rows are of and about, if they all agree.
fn pair_of(rows: &[FoundRow]) -> Option<[UserId; 2]> {
    let users = rows.iter().flat_map(|row| [row.owner, row.other_user.id]);
    two(users.collect::<BTreeSet<_>>())
}
