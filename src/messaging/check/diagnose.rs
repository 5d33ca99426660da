//! Determines how to repair a damaged group. This module performs no I/O.

use std::collections::BTreeSet;

use super::finding::{AMBIGUOUS_GROUPS, FindingKind, Unrepaired};
use super::head::confirms;
use super::numbers::{Numbers, two};
use crate::model::{Head, HeadRecord, Participants};
use crate::store::{FoundRow, Newest};

pub(super) const NO_PAIR: &str = "the participants of the group are not known";
const UNREADABLE: &str = "a message of the group is unreadable";

/// A damaged group as it was read.
pub(super) struct Damaged {
    pub head: Option<HeadRecord>,
    pub newest: Newest,
    /// All rows of the group that can be found, newest first.
    pub rows: Vec<FoundRow>,
    /// The `seq`s of all messages. Empty if the newest message is absent or
    /// unreadable.
    pub numbers: Numbers,
}

/// How a damaged group is repaired.
#[derive(Debug)]
pub(super) enum Action {
    /// Delete the head and the rows of a group without messages.
    DeleteEmpty(Head),
    /// Correct the `seq`s of the messages.
    Renumber(Head),
    /// Write head and rows again, according to the messages.
    Rewrite {
        head: Option<Head>,
        participants: Participants,
    },
}

impl Damaged {
    /// Determines how to repair the group because of a finding of this kind.
    pub fn diagnose(&self, kind: FindingKind) -> Result<Action, Unrepaired> {
        let head = match &self.head {
            Some(HeadRecord::Head(head)) => Some(head.clone()),
            Some(HeadRecord::AliasOf(_)) => return Err(Unrepaired::Ambiguous(AMBIGUOUS_GROUPS)),
            None => None,
        };
        let unreadable = self.newest.unreadable_after;
        if self.newest.message.is_none() {
            return match head {
                _ if unreadable => Err(Unrepaired::Ambiguous(UNREADABLE)),
                // Another writer or repair has changed the group.
                None => Err(Unrepaired::Conflict),
                Some(head) => Ok(Action::DeleteEmpty(head)),
            };
        }
        if unreadable && kind == FindingKind::WrongHead {
            return Err(Unrepaired::Ambiguous(UNREADABLE));
        }
        if let Some(head) = &head {
            let mut senders = self.numbers.senders.keys();
            let has_other_sender = senders.any(|sender| !head.participants.contains(sender));
            // If the rows confirm the participants, a message from another
            // sender does not contradict the head.
            if has_other_sender && !confirms(&self.rows, head.participants) {
                return Err(Unrepaired::Ambiguous(NO_PAIR));
            }
            if self.numbers.gap.is_some() {
                return if self.numbers.unreadable {
                    Err(Unrepaired::Ambiguous(UNREADABLE))
                } else {
                    Ok(Action::Renumber(head.clone()))
                };
            }
        }
        let of_head = head.as_ref().map(|head| head.participants);
        let participants = match of_head.or_else(|| pair_of(&self.rows)) {
            None if self.rows.is_empty() => self.numbers.pair(),
            participants => participants,
        };
        Ok(Action::Rewrite {
            head,
            participants: participants.ok_or(Unrepaired::Ambiguous(NO_PAIR))?,
        })
    }
}

/// Returns the two users that are owner or other user in all rows; `None` if
/// the rows name more or fewer users.
pub(super) fn pair_of(rows: &[FoundRow]) -> Option<Participants> {
    let users = rows.iter().flat_map(|row| *row.participants());
    two(users.collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::model::{Message, MessageGroupId, UserId};

    fn head() -> HeadRecord {
        HeadRecord::Head(Head {
            version: 1,
            participants: Participants([UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2))]),
            last_message_key: Message::example(1, 1).key,
            message_count: 1,
            read_counts: BTreeMap::new(),
        })
    }

    /// A group without rows, with these messages, given by `seq` and sender.
    fn damaged(head: Option<HeadRecord>, messages: &[(u64, u128)]) -> Damaged {
        let message = |(seq, sender): &(u64, u128)| Message::example(*seq, *sender);
        let messages: Vec<Message> = messages.iter().map(message).collect();
        let mut numbers = Numbers::default();
        for message in &messages {
            numbers.take(message);
        }
        Damaged {
            head,
            newest: Newest {
                message: messages.into_iter().next_back(),
                unreadable_after: false,
            },
            rows: Vec::new(),
            numbers,
        }
    }

    #[test]
    fn group_is_repaired_according_to_its_messages() {
        let diagnose = |group: &Damaged| group.diagnose(FindingKind::WrongHead);
        let alias = HeadRecord::AliasOf(MessageGroupId(Uuid::nil()));

        let empty = diagnose(&damaged(Some(head()), &[]));
        assert!(matches!(empty, Ok(Action::DeleteEmpty(_))), "{empty:?}");
        let gone = diagnose(&damaged(None, &[]));
        assert!(matches!(gone, Err(Unrepaired::Conflict)), "{gone:?}");
        let gap = diagnose(&damaged(Some(head()), &[(1, 1), (3, 2)]));
        assert!(matches!(gap, Ok(Action::Renumber(_))), "{gap:?}");
        let lost = diagnose(&damaged(None, &[(1, 1), (2, 2)]));
        let pair = Participants([UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2))]);
        let is_pair = |found: &Participants| *found == pair;
        assert!(
            matches!(&lost, Ok(Action::Rewrite { head: None, participants }) if is_pair(participants)),
            "{lost:?}"
        );
        for (ambiguous, why) in [
            (damaged(Some(alias), &[(1, 1)]), AMBIGUOUS_GROUPS),
            (damaged(Some(head()), &[(1, 3)]), NO_PAIR),
            (damaged(None, &[(1, 1)]), NO_PAIR),
        ] {
            let found = diagnose(&ambiguous);
            assert!(
                matches!(&found, Err(Unrepaired::Ambiguous(found)) if *found == why),
                "{found:?}"
            );
        }
    }

    #[test]
    fn unreadable_newest_message_prevents_a_repair_of_the_head() {
        let mut group = damaged(Some(head()), &[(1, 1)]);
        group.newest.unreadable_after = true;
        let head = group.diagnose(FindingKind::WrongHead);
        assert!(matches!(head, Err(Unrepaired::Ambiguous(_))), "{head:?}");
        let row = group.diagnose(FindingKind::MissingRow);
        assert!(matches!(row, Ok(Action::Rewrite { .. })), "{row:?}");
    }
}
