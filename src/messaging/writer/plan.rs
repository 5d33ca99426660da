//! Plans the contents of transactions. This module performs no I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{
    AcceptedAt, Head, Message, MessageBody, MessageGroupId, MessageId, Participants, SortKey, User,
    UserId,
};
use crate::store::{GroupRow, IdempotencyKey, IdempotencyRecord, MessageTransaction, RowKey};

/// Lifetime of an idempotency record, as stated in the schema.
const KEY_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// Maximum number of messages in one transaction. DynamoDB allows 100 actions:
/// 4 are for the head, the alias and the new rows, and each message may have an
/// idempotency record.
pub const MAX_MESSAGES: usize = 25;

/// Maximum number of old rows that the transaction deletes. There are two,
/// unless a group without a head has duplicate rows. With 25 messages and their
/// idempotency records, a transaction then has at most 74 actions.
const MAX_OLD_ROWS: usize = 20;

/// A message to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    pub id: MessageId,
    pub body: MessageBody,
    pub sender: User,
    pub receiver: User,
    /// The earliest time of creation; `None` for the current time.
    pub at: Option<DateTime<Utc>>,
    pub idempotency: Option<IdempotentInput>,
}

/// An idempotency key with the digest of the input that it was used with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentInput {
    pub key: IdempotencyKey,
    pub input_digest: String,
}

/// The known state of a group before a write.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// The head; `None` if the group has none yet.
    pub head: Option<Head>,
    /// Keys that must sort before the key of the next message.
    pub taken: Vec<SortKey>,
    /// The rows that the next write replaces.
    pub old_rows: Vec<RowKey>,
    /// UUID under which the next write creates an alias of the group.
    pub alias: Option<MessageGroupId>,
}

impl GroupState {
    /// Returns the state of a group with a head: each participant's row is at
    /// the key of the newest message.
    pub fn of_head(head: Head) -> Self {
        let old_rows = head.participants.map(|owner| RowKey::of_head(&head, owner));
        Self {
            taken: vec![head.last_message_key.clone()],
            old_rows: old_rows.into(),
            head: Some(head),
            alias: None,
        }
    }

    /// Returns the version of the head; 0 if there is none.
    pub fn version(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.version)
    }

    /// Returns the old rows that the transaction deletes. They are the first,
    /// and therefore the newest.
    fn first_rows(&self) -> &[RowKey] {
        &self.old_rows[..self.old_rows.len().min(MAX_OLD_ROWS)]
    }

    /// Returns the old rows that exceed the transaction's limit.
    fn surplus_rows(&self) -> &[RowKey] {
        &self.old_rows[self.first_rows().len()..]
    }

    /// Returns whether a planned transaction is still valid for this state.
    pub fn allows(&self, transaction: &MessageTransaction) -> bool {
        let first = transaction.messages.first();
        let behind = |taken: &SortKey| first.is_some_and(|first| *taken < first.key);
        self.version() == transaction.head.previous_version()
            && self.first_rows() == transaction.old_rows
            && self.alias == transaction.alias
            && self.taken.iter().all(behind)
    }

    /// Plans one transaction that adds all `drafts`, in their order. `drafts`
    /// must not be empty. Returns `None` if no key remains after the taken
    /// ones.
    pub fn plan(
        &self,
        group: MessageGroupId,
        drafts: &[Draft],
        now: DateTime<Utc>,
    ) -> Option<MessageTransaction> {
        let first = drafts.first()?;
        let users = Participants([first.sender.id, first.receiver.id]);
        let head = self.head.clone();
        let mut head = head.unwrap_or_else(|| empty_head(users, now));
        let mut messages: Vec<Message> = Vec::with_capacity(drafts.len());
        let mut records = Vec::new();
        for draft in drafts {
            let previous = messages.last().map(|message| &message.key);
            let taken = previous.into_iter().chain(&self.taken);
            let accepted = draft.at.unwrap_or(now);
            let key = SortKey::next(accepted, taken)?;
            head.message_count += 1;
            head.last_message_key = key.clone();
            head.read_counts.insert(draft.sender.id, head.message_count);
            let input = draft.idempotency.clone();
            records.extend(input.map(|input| IdempotencyRecord {
                key: input.key,
                group_id: group,
                message_key: key.clone(),
                message_id: draft.id,
                input_digest: input.input_digest,
                expires_at: (now + KEY_LIFETIME).timestamp(),
            }));
            messages.push(message(draft, group, key, accepted, head.message_count));
        }
        head.version += 1;
        Some(MessageTransaction {
            token: Uuid::new_v4().to_string(),
            rows: head.participants.map(|owner| row(owner, &head, drafts)),
            old_rows: self.first_rows().to_vec(),
            surplus_rows: self.surplus_rows().to_vec(),
            alias: self.alias,
            now: now.timestamp(),
            head,
            messages,
            idempotency_records: records,
        })
    }
}

fn empty_head(participants: Participants, now: DateTime<Utc>) -> Head {
    Head {
        version: 0,
        participants,
        last_message_key: SortKey::at(now),
        message_count: 0,
        read_counts: BTreeMap::from(participants.map(|participant| (participant, 0))),
    }
}

fn message(
    draft: &Draft,
    group_id: MessageGroupId,
    key: SortKey,
    accepted: DateTime<Utc>,
    seq: u64,
) -> Message {
    let idempotency = draft.idempotency.as_ref();
    Message {
        id: draft.id,
        group_id,
        accepted_at: AcceptedAt::beside(&key, accepted),
        key,
        seq,
        body: draft.body.as_str().to_owned(),
        sender: draft.sender.clone(),
        idempotency_key: idempotency.map(|input| input.key.idempotency_key.as_str().into()),
    }
}

/// Creates an owner's row. The other user's names are those in the newest
/// draft.
fn row(owner: UserId, head: &Head, drafts: &[Draft]) -> GroupRow {
    let newest = &drafts[drafts.len() - 1];
    let other_user = if newest.sender.id == owner {
        &newest.receiver
    } else {
        &newest.sender
    };
    GroupRow {
        owner,
        other_user: other_user.clone(),
        unread_count: head.unread_count(owner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(number: u128, sender: &User, receiver: &User) -> Draft {
        Draft {
            id: MessageId(Uuid::from_u128(number)),
            body: MessageBody::parse(format!("message {number}")).expect("a body"),
            sender: sender.clone(),
            receiver: receiver.clone(),
            at: None,
            idempotency: None,
        }
    }

    fn group() -> MessageGroupId {
        MessageGroupId(Uuid::from_u128(7))
    }

    #[test]
    fn first_message_creates_head_and_two_rows_and_deletes_nothing() {
        let [one, other] = [1, 2].map(User::example);
        let now = "2026-11-22T06:29:00Z".parse().expect("a time");

        let transaction = GroupState::default()
            .plan(group(), &[draft(1, &one, &other)], now)
            .expect("a plan");

        assert_eq!(transaction.head.previous_version(), 0);
        assert_eq!(
            (transaction.head.version, transaction.head.message_count),
            (1, 1)
        );
        assert!(transaction.old_rows.is_empty());
        assert_eq!(transaction.head.unread_count(one.id), 0);
        assert_eq!(transaction.rows[0].other_user, other);
        assert_eq!(transaction.rows[1].other_user, one);
        assert_eq!(transaction.rows[1].unread_count, 1);
    }

    #[test]
    fn messages_of_one_transaction_have_different_times_and_numbers() {
        let [one, other] = [1, 2].map(User::example);
        let now = "2026-11-22T06:29:00Z".parse().expect("a time");
        let first = GroupState::default()
            .plan(group(), &[draft(1, &one, &other)], now)
            .expect("a plan");

        let state = GroupState::of_head(first.head);
        let drafts = [
            draft(2, &other, &one),
            draft(3, &one, &other),
            draft(4, &other, &one),
        ];
        let transaction = state.plan(group(), &drafts, now).expect("a plan");

        let messages = transaction.messages.iter();
        let written = messages.map(|message| (message.key.as_str(), message.seq));
        let written: Vec<_> = written.collect();
        assert_eq!(
            written,
            [
                ("2026-11-22T06:29:00.000001+00:00", 2),
                ("2026-11-22T06:29:00.000002+00:00", 3),
                ("2026-11-22T06:29:00.000003+00:00", 4),
            ]
        );
        assert_eq!(transaction.head.unread_count(one.id), 1);
        assert_eq!(transaction.head.unread_count(other.id), 0);
        assert_eq!(transaction.old_rows.len(), 2);
        assert_eq!(
            transaction.old_rows[0].key.as_str(),
            "2026-11-22T06:29:00.000000+00:00"
        );
    }
}
