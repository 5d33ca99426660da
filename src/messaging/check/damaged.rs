//! A damaged group, and the transaction that repairs it. This module performs
//! no I/O.

use std::collections::BTreeMap;

use super::attempt::Learned;
use super::finding::Unmended;
use super::numbers::Numbers;
use crate::model::{Head, Message, MessageGroupId, Participants, SortKey, User, UserId};
use crate::store::{FoundRow, GroupRow, Move, Repair, RowKey};

/// Maximum number of old rows that the transaction deletes.
const MOST_OLD_ROWS: usize = 20;

/// A group as it was read.
pub(super) struct Damaged {
    pub id: MessageGroupId,
    pub head: Option<Head>,
    pub newest: Message,
    pub numbers: Numbers,
    pub participants: Participants,
    pub rows: Vec<FoundRow>,
    pub alias: Option<MessageGroupId>,
}

impl Damaged {
    /// Plans the repair, and returns it with the rows that exceed the
    /// transaction's limit. `others` contains, for each participant in order,
    /// the other user that the participant's row shows.
    pub fn repair(
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
        let new_rows = self
            .participants
            .map(|owner| RowKey::new(owner, self.newest.key.clone()));
        let is_overwritten = |row: &RowKey| new_rows.iter().any(|new| row.is_same_item(new));
        let found = self.rows.iter().map(FoundRow::row_key);
        let (replaced, mut old_rows): (Vec<RowKey>, Vec<RowKey>) = found
            .filter(|row| !learned.foreign.contains(row))
            .partition(is_overwritten);
        let surplus = old_rows.split_off(old_rows.len().min(MOST_OLD_ROWS));
        let repair = Repair {
            group: self.id,
            expected_version: self.head.as_ref().map_or(0, |head| head.version),
            head,
            newest: self.newest,
            moved,
            rows,
            old_rows,
            replaced,
            alias: self.alias,
        };
        Ok((repair, surplus))
    }

    /// Moves the newest message to a later microsecond if another group of one
    /// of the participants has its row at the same key.
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

    /// Computes the head from the messages. The read counts come from the
    /// existing head, or else from the rows; without either, a message counts
    /// as unread.
    fn whole_head(&self) -> Head {
        let message_count = match self.numbers.gap {
            None => self.numbers.numbered,
            Some(_) => self.newest.seq.max(self.numbers.numbered),
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
