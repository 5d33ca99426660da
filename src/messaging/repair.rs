//! Making a damaged group whole, by what its messages say.
//!
//! Messages are the truth: head and rows follow from them. Everything is one
//! transaction with the head's version as its condition, as every write is, so
//! that writers need not stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::check::{MOST_WRONG, Numbers};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, SortKey, User, UserId};
use crate::store::{
    Consistency, FoundRow, GroupRow, MessageStore, Move, Outcome, Refusal, Repair, RowKey,
    StoreError, UserStore,
};

/// How often a repair is planned anew.
const ATTEMPTS: usize = 20;
/// How long it pauses where the store is busy.
const PAUSE: Duration = Duration::from_millis(100);
/// The most old rows that go in the transaction.
const MOST_OLD_ROWS: usize = 20;

/// Why something was not mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmended {
    /// It was only looked for.
    #[error("not asked to")]
    NotAsked,
    /// There is nothing to conclude it from.
    #[error("{0}")]
    WouldBeAGuess(&'static str),
    /// Somebody wrote to the group all the time.
    #[error("the group was written to at the same time: run it again")]
    Busy,
}

/// Makes groups whole.
#[derive(Debug)]
pub(super) struct Repairer {
    messages: MessageStore,
    users: Option<UserStore>,
}

/// What earlier attempts have found out.
#[derive(Default)]
struct Learned {
    /// Keys at which another group has a row.
    taken: Vec<SortKey>,
    /// Rows that are another group's.
    foreign: Vec<RowKey>,
    alias_taken: bool,
}

/// A group as it was found.
struct Damaged {
    id: MessageGroupId,
    head: Option<Head>,
    newest: Message,
    numbers: Numbers,
    participants: [UserId; 2],
    rows: Vec<FoundRow>,
    alias: Option<MessageGroupId>,
}

impl Repairer {
    pub fn new(messages: MessageStore, users: Option<UserStore>) -> Self {
        Self { messages, users }
    }

    /// Makes a group whole. The index may lack a row that is known.
    pub async fn mend(
        &self,
        group: MessageGroupId,
        known: Option<RowKey>,
    ) -> Result<Result<(), Unmended>, StoreError> {
        let mut learned = Learned::default();
        for _ in 0..ATTEMPTS {
            let head = match self.messages.find_head(group).await? {
                Some(HeadRecord::Head(head)) => Some(head),
                Some(HeadRecord::AliasOf(_)) => {
                    let why = "which of the two groups counts is not known";
                    return Ok(Err(Unmended::WouldBeAGuess(why)));
                }
                None => None,
            };
            let newest = self
                .messages
                .newest_message(group, Consistency::Strong)
                .await?;
            let outcome = match (head, newest) {
                (None, None) => return Ok(Ok(())),
                (Some(head), None) => self.messages.delete_empty(group, &head).await,
                (head, Some(newest)) => {
                    let numbers = Numbers::read(&self.messages, group, u64::MAX).await?;
                    match head {
                        Some(head) if !numbers.wrong.is_empty() => {
                            let outcome = self.renumber(group, head, &numbers).await;
                            learned.learn(outcome).await?;
                            continue;
                        }
                        head => {
                            let found = self.rows(group, head.as_ref(), known.as_ref()).await?;
                            let whole = self
                                .whole(group, head, newest, numbers, found, &learned)
                                .await?;
                            let (repair, surplus) = match whole {
                                Ok(whole) => whole,
                                Err(why) => return Ok(Err(why)),
                            };
                            let outcome = self.messages.repair(&repair).await;
                            if matches!(outcome, Outcome::Applied) {
                                for row in &surplus {
                                    self.messages.delete_row(group, row).await?;
                                }
                            }
                            outcome
                        }
                    }
                }
            };
            if learned.learn(outcome).await? {
                return Ok(Ok(()));
            }
        }
        Ok(Err(Unmended::Busy))
    }

    /// Gives the first wrong numbers right. With the last of them the head
    /// counts what there is, and nothing becomes read by it.
    async fn renumber(&self, group: MessageGroupId, head: Head, numbers: &Numbers) -> Outcome {
        let expected_version = head.version;
        let mut head = Head {
            version: head.version + 1,
            ..head
        };
        if numbers.wrong.len() < MOST_WRONG {
            let missing = head.message_count.saturating_sub(numbers.numbered);
            for read in head.read_counts.values_mut() {
                *read = read.saturating_sub(missing).min(numbers.numbered);
            }
            head.message_count = numbers.numbered;
        }
        self.messages
            .renumber(group, expected_version, &head, &numbers.wrong)
            .await
    }

    /// All rows of a group that can be found.
    async fn rows(
        &self,
        group: MessageGroupId,
        head: Option<&Head>,
        known: Option<&RowKey>,
    ) -> Result<Vec<FoundRow>, StoreError> {
        let mut rows = self.messages.rows_of_group(group).await?;
        let of_head = head.into_iter().flat_map(|head| {
            head.participants.map(|owner| RowKey {
                owner,
                key: head.last_message_key.clone(),
            })
        });
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

    /// The repair, and rows that are too many for it.
    async fn whole(
        &self,
        id: MessageGroupId,
        head: Option<Head>,
        newest: Message,
        numbers: Numbers,
        rows: Vec<FoundRow>,
        learned: &Learned,
    ) -> Result<Result<(Repair, Vec<RowKey>), Unmended>, StoreError> {
        let participants = head.as_ref().map(|head| head.participants);
        let participants = participants.or_else(|| pair_of(&rows)).or_else(|| {
            if rows.is_empty() {
                numbers.pair()
            } else {
                None
            }
        });
        let Some(participants) = participants else {
            let why = "who takes part in the group is not known";
            return Ok(Err(Unmended::WouldBeAGuess(why)));
        };
        let alias = if head.is_none() && !learned.alias_taken {
            self.alias(id, participants).await?
        } else {
            None
        };
        let damaged = Damaged {
            id,
            head,
            newest,
            numbers,
            participants,
            rows,
            alias,
        };
        let mut others = Vec::with_capacity(2);
        for owner in participants {
            let Some(other) = self.other_user(owner, &damaged).await? else {
                let why = "the name of a participant is not known, and Postgres does not tell";
                return Ok(Err(Unmended::WouldBeAGuess(why)));
            };
            others.push(other);
        }
        Ok(damaged.repair(others, learned))
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
}

impl Damaged {
    fn repair(
        mut self,
        others: Vec<User>,
        learned: &Learned,
    ) -> Result<(Repair, Vec<RowKey>), Unmended> {
        let moved = self.move_newest(learned)?;
        let mut head = self.whole_head();
        head.version += 1;
        let rows = self.participants.iter().zip(others);
        let rows: Vec<GroupRow> = rows
            .map(|(owner, other_user)| GroupRow {
                owner: *owner,
                other_user,
                unread_count: head.unread_count(*owner),
            })
            .collect();
        let rows = <[GroupRow; 2]>::try_from(rows)
            .map_err(|_| Unmended::WouldBeAGuess("a group has two participants"))?;
        let old_rows = self.rows.iter().map(|row| RowKey {
            owner: row.owner,
            key: row.key.clone(),
        });
        let mut old_rows: Vec<RowKey> = old_rows
            .filter(|row| {
                let stays = self.participants.contains(&row.owner) && row.key == self.newest.key;
                !stays && !learned.foreign.contains(row)
            })
            .collect();
        let surplus = old_rows.split_off(old_rows.len().min(MOST_OLD_ROWS));
        let repair = Repair {
            group: self.id,
            expected_version: self.head.as_ref().map_or(0, |head| head.version),
            head,
            newest: self.newest,
            moved,
            rows,
            old_rows,
            alias: self.alias,
        };
        Ok((repair, surplus))
    }

    /// Moves the newest message by a microsecond, where another group of one
    /// of the two has its row at the same.
    fn move_newest(&mut self, learned: &Learned) -> Result<Option<Move>, Unmended> {
        if !learned.taken.contains(&self.newest.key) {
            return Ok(None);
        }
        if self.head.is_some() || self.newest.seq != 0 {
            let why = "another group has a row at its newest message's key";
            return Err(Unmended::WouldBeAGuess(why));
        }
        let from = self.newest.key.clone();
        let key = SortKey::next(from.created_at(), &learned.taken);
        self.newest.key = key.ok_or(Unmended::WouldBeAGuess(
            "the group's newest key is at the end of time",
        ))?;
        Ok(Some(Move { from }))
    }

    /// The head as the messages say it must be. What is read follows from the
    /// head, or else from the rows; what nobody knows counts as unread.
    fn whole_head(&self) -> Head {
        let message_count = if self.numbers.wrong.is_empty() {
            self.numbers.numbered
        } else {
            self.newest.seq.max(self.numbers.numbered)
        };
        let read = |owner: UserId| {
            let row = self.rows.iter().find(|row| row.owner == owner);
            let by_row = row.map(|row| message_count.saturating_sub(row.unread_count));
            let by_head = self.head.as_ref();
            let by_head = by_head.and_then(|head| head.read_counts.get(&owner).copied());
            by_head.or(by_row).unwrap_or(0).min(message_count)
        };
        let read_counts = self.participants.map(|owner| (owner, read(owner)));
        Head {
            version: self.head.as_ref().map_or(0, |head| head.version),
            participants: self.participants,
            last_message_key: self.newest.key.clone(),
            message_count,
            read_counts: BTreeMap::from(read_counts),
        }
    }
}

impl Learned {
    /// Draws the conclusions of an attempt. True when it was the last.
    async fn learn(&mut self, outcome: Outcome) -> Result<bool, StoreError> {
        let refusals = match outcome {
            Outcome::Applied => return Ok(true),
            Outcome::Unknown(_) => Vec::new(),
            Outcome::Refused(refusals) => refusals,
        };
        let mut busy = refusals.is_empty();
        for refusal in refusals {
            match refusal {
                Refusal::RowKeyTaken(key) | Refusal::MessageKeyTaken(key) => self.taken.push(key),
                Refusal::OldRowForeign(row) => self.foreign.push(row),
                Refusal::AliasTaken => self.alias_taken = true,
                Refusal::HeadMoved(_) | Refusal::KeyUsed(_) => {}
                Refusal::Busy(_) => busy = true,
                Refusal::Invalid(cause) => return Err(cause),
            }
        }
        if busy {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }
}

/// The two whom rows are of and about, if they all agree.
fn pair_of(rows: &[FoundRow]) -> Option<[UserId; 2]> {
    let users = rows.iter().flat_map(|row| [row.owner, row.other_user.id]);
    two(users.collect())
}

/// A set's members, if there are two.
pub(super) fn two(users: BTreeSet<UserId>) -> Option<[UserId; 2]> {
    <[UserId; 2]>::try_from(users.into_iter().collect::<Vec<_>>()).ok()
}
