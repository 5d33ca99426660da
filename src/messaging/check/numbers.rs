//! The `seq`s of a group's messages: 1, 2, 3, … in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Consistency, Message, MessageGroupId, Participants, SortKey, User, UserId};
use crate::store::{MessageStore, ScanPosition, StoreResult, Stored};

/// Maximum number of senders that are recorded, which bounds the memory. A group
/// should have two.
const MAX_SENDERS: usize = 8;

/// Facts collected while a group's messages are read in order.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Number of messages that have a `seq`.
    pub numbered: u64,
    /// Description of the first wrong `seq`.
    pub gap: Option<String>,
    /// Whether the group has messages that cannot be read.
    pub unreadable: bool,
    /// The senders, as recorded in the newest message of each; at most eight.
    pub senders: BTreeMap<UserId, User>,
}

/// Key of a message with a wrong `seq`, and the correct `seq`.
pub(super) type Renumbered = (SortKey, u64);

impl Numbers {
    /// Reads all messages of a group. Messages with a `seq` above `count` were
    /// written after the read began and are ignored.
    pub async fn read(
        messages: &MessageStore,
        group: MessageGroupId,
        count: u64,
    ) -> StoreResult<Self> {
        let mut numbers = Self::default();
        let mut pages = MessagePages::new(group, Consistency::Strong);
        while let Some(batch) = pages.next(messages).await? {
            numbers.unreadable |= batch.unreadable;
            for message in &batch.messages {
                if message.seq <= count {
                    numbers.take(message);
                }
            }
        }
        Ok(numbers)
    }

    /// Returns the two senders; `None` if the messages do not have exactly two.
    pub fn pair(&self) -> Option<Participants> {
        two(self.senders.keys().copied().collect())
    }

    /// Adds the next message. Returns its key and its correct `seq` if its
    /// stored `seq` is wrong.
    pub fn take(&mut self, message: &Message) -> Option<Renumbered> {
        let sender = &message.sender;
        if self.senders.len() < MAX_SENDERS || self.senders.contains_key(&sender.id) {
            self.senders.insert(sender.id, sender.clone());
        }
        // The original's messages have no `seq` and precede all others.
        if message.seq == 0 && self.numbered == 0 {
            return None;
        }
        self.numbered += 1;
        let (seq, right) = (message.seq, self.numbered);
        if seq == right {
            return None;
        }
        let key = message.key.clone();
        self.gap
            .get_or_insert_with(|| format!("{key} has seq {seq} instead of {right}"));
        Some((key, right))
    }
}

/// Iterates over a group's messages, oldest first, one page at a time.
pub(super) struct MessagePages {
    group: MessageGroupId,
    consistency: Consistency,
    from: Option<ScanPosition>,
    goes_on: bool,
}

/// One page of a group's messages.
pub(super) struct MessagePage {
    /// The messages that can be read.
    pub messages: Vec<Message>,
    /// Whether the page has items that cannot be read.
    pub unreadable: bool,
}

impl MessagePages {
    pub fn new(group: MessageGroupId, consistency: Consistency) -> Self {
        Self {
            group,
            consistency,
            from: None,
            goes_on: true,
        }
    }

    pub async fn next(&mut self, messages: &MessageStore) -> StoreResult<Option<MessagePage>> {
        if !self.goes_on {
            return Ok(None);
        }
        let page = messages.message_items(self.group, self.from.take(), self.consistency);
        let page = page.await?;
        self.goes_on = page.next.is_some();
        self.from = page.next;
        let mut batch = MessagePage {
            messages: Vec::with_capacity(page.items.len()),
            unreadable: false,
        };
        for item in page.items {
            match item.read() {
                Ok(Stored::Message(message)) => batch.messages.push(message),
                _ => batch.unreadable = true,
            }
        }
        Ok(Some(batch))
    }
}

/// Returns the members of a set that has exactly two.
pub(super) fn two(users: BTreeSet<UserId>) -> Option<Participants> {
    let users = <[UserId; 2]>::try_from(users.into_iter().collect::<Vec<_>>());
    users.ok().map(Participants)
}
