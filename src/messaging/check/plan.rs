//! Plans the transaction that writes a damaged group's head and rows again. This
//! module performs no I/O.

use std::collections::BTreeMap;

use super::attempt::RetryState;
use super::finding::Unrepaired;
use super::numbers::Numbers;
use crate::model::{Head, Message, MessageGroupId, Participants, SortKey, User, UserId};
use crate::store::{FoundRow, GroupRow, Repair, RowKey};

/// Maximum number of old rows that the transaction deletes. With its other
/// actions, the transaction stays far below DynamoDB's limit of 100.
const MAX_OLD_ROWS: usize = 20;

/// Everything that determines the head and the rows of a group.
pub(super) struct Rewrite {
    pub group: MessageGroupId,
    pub head: Option<Head>,
    pub newest: Message,
    pub numbers: Numbers,
    pub participants: Participants,
    pub rows: Vec<FoundRow>,
    pub alias: Option<MessageGroupId>,
    /// For each participant in order, the other user that the participant's row
    /// shows.
    pub others: [User; 2],
}

impl Rewrite {
    /// Plans the repair, and returns it with the rows that exceed the
    /// transaction's limit.
    pub fn plan(mut self, state: &RetryState) -> Result<(Repair, Vec<RowKey>), Unrepaired> {
        let moved_from = self.move_newest(state)?;
        let mut head = self.correct_head();
        head.version += 1;
        let [one, other] = self.others;
        let [first, second] = *self.participants;
        let rows = [(first, one), (second, other)].map(|(owner, other_user)| GroupRow {
            owner,
            other_user,
            unread_count: head.unread_count(owner),
        });
        let new_row = |owner| RowKey::new(owner, self.newest.key.clone());
        let new_rows = self.participants.map(new_row);
        let is_overwritten = |row: &RowKey| new_rows.iter().any(|new| row.is_same_item(new));
        let found = self.rows.iter().map(FoundRow::row_key);
        let own = found.filter(|row| !state.foreign.contains(row));
        let (replaced, mut old_rows): (Vec<RowKey>, Vec<_>) = own.partition(is_overwritten);
        let surplus = old_rows.split_off(old_rows.len().min(MAX_OLD_ROWS));
        let repair = Repair {
            group: self.group,
            head,
            newest: self.newest,
            moved_from,
            rows,
            old_rows,
            replaced,
            alias: self.alias,
        };
        Ok((repair, surplus))
    }

    /// Moves the newest message to a later microsecond if another group of one
    /// of the participants has its row at the same key.
    fn move_newest(&mut self, state: &RetryState) -> Result<Option<SortKey>, Unrepaired> {
        if !state.taken.contains(&self.newest.key) {
            return Ok(None);
        }
        if self.head.is_some() || self.newest.seq != 0 {
            let why = "another group has a row at the key of the newest message";
            return Err(Unrepaired::Ambiguous(why));
        }
        let from = self.newest.key.clone();
        let key = SortKey::next(from.created_at(), &state.taken);
        self.newest.key = key.ok_or(Unrepaired::Ambiguous(
            "the newest key of the group is the last possible key",
        ))?;
        Ok(Some(from))
    }

    /// Computes the head from the messages. The read counts come from the
    /// existing head, or else from the rows; without either, a message counts
    /// as unread.
    fn correct_head(&self) -> Head {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(seq: u64) -> Rewrite {
        let newest = Message {
            seq,
            ..Message::example(1, 1)
        };
        let user = User::example;
        let mut numbers = Numbers::default();
        numbers.take(&newest);
        Rewrite {
            group: newest.group_id,
            head: None,
            newest,
            numbers,
            participants: Participants([user(1).id, user(2).id]),
            rows: Vec::new(),
            alias: None,
            others: [user(2), user(1)],
        }
    }

    #[test]
    fn repair_writes_head_and_both_rows_from_the_newest_message() {
        let (repair, surplus) = rewrite(1).plan(&RetryState::new()).expect("a plan");

        assert_eq!(repair.head.previous_version(), 0);
        assert_eq!((repair.head.version, repair.head.message_count), (1, 1));
        let shown = |row: GroupRow| (row.other_user.handle, row.unread_count);
        let others = repair.rows.map(shown);
        assert_eq!(others, [("user-2".to_owned(), 1), ("user-1".to_owned(), 1)]);
        assert!(repair.moved_from.is_none() && surplus.is_empty());
    }

    #[test]
    fn original_message_moves_if_another_group_has_its_key_and_others_do_not() {
        let taken = |group: &Rewrite| {
            let mut state = RetryState::new();
            state.taken.push(group.newest.key.clone());
            state
        };
        let original = rewrite(0);
        let state = taken(&original);
        let (repair, _) = original.plan(&state).expect("a plan");
        assert_eq!(
            repair.newest.key.as_str(),
            "2026-11-22T06:29:00.000002+00:00"
        );
        assert!(repair.moved_from.is_some());

        let numbered = rewrite(1);
        let state = taken(&numbered);
        let failed = numbered.plan(&state).expect_err("no plan");
        assert!(matches!(failed, Unrepaired::Ambiguous(_)), "{failed:?}");
    }
}
