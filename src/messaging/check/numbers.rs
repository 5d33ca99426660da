//! The numbers of a group's messages: 1, 2, 3, … in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Message, MessageGroupId, SortKey, User, UserId};
use crate::store::{Consistency, MessageStore, ScanPosition, StoreError, Stored};

/// How many senders are remembered: there should be two.
const MOST_SENDERS: usize = 8;

/// What a walk over a group's messages has seen.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// How many messages have a number.
    pub numbered: u64,
    /// The first place where the numbers are wrong, in words.
    pub gap: Option<String>,
    /// Whether there are messages that cannot be read.
    pub unreadable: bool,
    /// Who has sent them, as of their newest; of a few people at most.
    pub senders: BTreeMap<UserId, User>,
}

/// A message whose number is wrong, and the right one.
pub(super) type Renumbered = (SortKey, u64);

impl Numbers {
    /// Walks all messages of a group, of which those numbered beyond `count`
    /// are newer than the walk.
    pub async fn read(
        messages: &MessageStore,
        group: MessageGroupId,
        count: u64,
    ) -> Result<Self, StoreError> {
        let mut numbers = Self::default();
        let mut walk = Walk::new(group, Consistency::Strong);
        while let Some(stretch) = walk.next(messages).await? {
            numbers.unreadable |= stretch.unreadable;
            for message in &stretch.messages {
                if message.seq <= count {
                    numbers.take(message);
                }
            }
        }
        Ok(numbers)
    }

    /// The two who have sent them all, if they are two.
    pub fn pair(&self) -> Option<[UserId; 2]> {
        two(self.senders.keys().copied().collect())
    }

    /// The message with its right number, where it has another.
    pub fn take(&mut self, message: &Message) -> Option<Renumbered> {
        let sender = &message.sender;
        if self.senders.len() < MOST_SENDERS || self.senders.contains_key(&sender.id) {
            self.senders.insert(sender.id, sender.clone());
        }
        // The original's messages have none, and come first.
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
            .get_or_insert_with(|| format!("{key} has number {seq} and is number {right}"));
        Some((key, right))
    }
}

/// Goes over a group's messages, oldest first, a page at a time.
pub(super) struct Walk {
    group: MessageGroupId,
    consistency: Consistency,
    from: Option<ScanPosition>,
    goes_on: bool,
}

/// Some messages of a group.
pub(super) struct Stretch {
    /// Those that can be read.
    pub messages: Vec<Message>,
    /// Whether there are others.
    pub unreadable: bool,
}

impl Walk {
    pub fn new(group: MessageGroupId, consistency: Consistency) -> Self {
        Self {
            group,
            consistency,
            from: None,
            goes_on: true,
        }
    }

    pub async fn next(&mut self, messages: &MessageStore) -> Result<Option<Stretch>, StoreError> {
        if !self.goes_on {
            return Ok(None);
        }
        let page = messages.message_items(self.group, self.from.take(), self.consistency);
        let page = page.await?;
        self.goes_on = page.next.is_some();
        self.from = page.next;
        let mut stretch = Stretch {
            messages: Vec::with_capacity(page.items.len()),
            unreadable: false,
        };
        for item in page.items {
            match item.read() {
                Ok(Stored::Message(message)) => stretch.messages.push(message),
                _ => stretch.unreadable = true,
            }
        }
        Ok(Some(stretch))
    }
}

/// A set's members, if there are two.
pub(super) fn two(users: BTreeSet<UserId>) -> Option<[UserId; 2]> {
    <[UserId; 2]>::try_from(users.into_iter().collect::<Vec<_>>()).ok()
}
