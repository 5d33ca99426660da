//! Whether everything in the table is as it has to be.
//!
//! One item at a time, with strongly consistent reads of what it hangs on, so
//! that memory does not grow with the table and writers need not stop. What
//! concerns a whole group is found at one of its items alone: the head, or
//! where there is none the first of its rows, or its newest message.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;
use moka::sync::Cache;

use super::repair::{Repairer, Unmended, two};
use crate::clock::Clock;
use crate::model::{
    End, Head, HeadRecord, Message, MessageGroupId, PageRequest, Place, SortKey, User, UserId,
};
use crate::store::{
    Consistency, FoundRow, GroupAtOnce, MessageStore, RowKey, ScannedItem, StoreError, Stored,
    UserStore,
};

/// How far ahead of the clock a key may be.
const AHEAD: TimeDelta = TimeDelta::days(1);
/// How many groups are remembered to have a head.
const REMEMBERED_GROUPS: u64 = 10_000;
/// How often a group that is being written to is looked at again.
const ATTEMPTS: usize = 20;
/// How many messages are read at a time.
const PAGE: usize = 500;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// An item that cannot be read, or is none of ours.
    UnreadableItem,
    /// A key more than a day ahead of the clock.
    FutureKey,
    /// Rows and messages, but no head.
    MissingHead,
    /// Messages, but neither head nor rows.
    UnreachableMessages,
    /// A head that disagrees with the messages.
    WrongHead,
    /// A head without messages.
    HeadWithoutMessages,
    /// A participant without a row.
    MissingRow,
    /// A row that does not show the newest message, or miscounts.
    StaleRow,
    /// A row beside the one that counts.
    DoubledRow,
    /// A row of somebody who does not take part.
    StrangersRow,
    /// A row whose group has no messages.
    RowWithoutMessages,
    /// An alias of a group that is not there.
    AliasToNowhere,
    /// Numbers of messages that are not 1, 2, 3, ….
    GapInSeq,
}

impl FindingKind {
    /// Its name, as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnreadableItem => "unreadable-item",
            Self::FutureKey => "future-key",
            Self::MissingHead => "missing-head",
            Self::UnreachableMessages => "unreachable-messages",
            Self::WrongHead => "wrong-head",
            Self::HeadWithoutMessages => "head-without-messages",
            Self::MissingRow => "missing-row",
            Self::StaleRow => "stale-row",
            Self::DoubledRow => "doubled-row",
            Self::StrangersRow => "strangers-row",
            Self::RowWithoutMessages => "row-without-messages",
            Self::AliasToNowhere => "alias-to-nowhere",
            Self::GapInSeq => "gap-in-seq",
        }
    }
}

/// Something that is not as it has to be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Key of the item at which it was found.
    pub key: String,
    /// Which group it concerns.
    pub group: Option<MessageGroupId>,
    /// More, in words.
    pub detail: String,
    /// The item, where mending deletes it.
    pub item: Option<ScannedItem>,
    /// Whether it was mended, and if not why.
    pub mended: Result<(), Unmended>,
}

/// Looks at items, and mends what it finds if it is told to.
#[derive(Debug)]
pub struct Inspector {
    messages: MessageStore,
    clock: Clock,
    repairer: Option<Repairer>,
    with_head: Cache<MessageGroupId, ()>,
}

/// What was found at an item, before it is mended.
struct Found {
    kind: FindingKind,
    group: Option<MessageGroupId>,
    detail: String,
    remedy: Remedy,
}

/// What mends it.
enum Remedy {
    /// Nothing, without guessing.
    None(&'static str),
    /// The group made whole; a row of it may be known that the index lacks.
    Group(MessageGroupId, Option<RowKey>),
    /// A row that goes.
    Row(MessageGroupId, RowKey),
    /// An alias that goes.
    Alias(MessageGroupId, MessageGroupId),
}

impl Inspector {
    /// One that only looks.
    #[must_use]
    pub fn new(messages: MessageStore, clock: Clock) -> Self {
        Self {
            messages,
            clock,
            repairer: None,
            with_head: Cache::new(REMEMBERED_GROUPS),
        }
    }

    /// One that mends as well. `users` are asked for names that the table has
    /// lost.
    #[must_use]
    pub fn repairing(messages: MessageStore, users: Option<UserStore>, clock: Clock) -> Self {
        let repairer = Some(Repairer::new(messages.clone(), users));
        Self {
            repairer,
            ..Self::new(messages, clock)
        }
    }

    /// What is wrong at an item.
    pub async fn inspect(&self, item: ScannedItem) -> Result<Vec<Finding>, StoreError> {
        let key = item.key();
        let found = match item.clone().read() {
            Err(cause) => vec![Found {
                kind: FindingKind::UnreadableItem,
                group: None,
                detail: cause,
                remedy: Remedy::None("what it was to say is not known"),
            }],
            Ok(Stored::Message(message)) => self.message(&message).await?,
            Ok(Stored::GroupRow(row)) => self.row(&row).await?,
            Ok(Stored::Head(group, HeadRecord::Head(_))) => self.head(group).await?,
            Ok(Stored::Head(group, HeadRecord::AliasOf(other))) => self.alias(group, other).await?,
            Ok(Stored::Sent) => Vec::new(),
        };
        let mut findings: Vec<Finding> = Vec::with_capacity(found.len());
        let mut group_mended = None;
        for found in found {
            let whole_group = matches!(found.remedy, Remedy::Group(..));
            let mended = match &group_mended {
                // All that is wrong with a group is mended at once.
                Some(mended) if whole_group => Clone::clone(mended),
                _ => self.mend(&found.remedy).await?,
            };
            if whole_group {
                group_mended = Some(mended.clone());
            }
            let deletes = matches!(found.remedy, Remedy::Row(..) | Remedy::Alias(..));
            findings.push(Finding {
                kind: found.kind,
                key: key.clone(),
                group: found.group,
                detail: found.detail,
                item: deletes.then(|| item.clone()),
                mended,
            });
        }
        Ok(findings)
    }

    async fn mend(&self, remedy: &Remedy) -> Result<Result<(), Unmended>, StoreError> {
        let Some(repairer) = &self.repairer else {
            return Ok(Err(Unmended::NotAsked));
        };
        Ok(match remedy {
            Remedy::None(why) => Err(Unmended::WouldBeAGuess(why)),
            Remedy::Group(group, row) => Box::pin(repairer.mend(*group, row.clone())).await?,
            Remedy::Row(group, row) => Ok(self.messages.delete_row(*group, row).await?),
            Remedy::Alias(alias, of) => Ok(self.messages.delete_alias(*alias, *of).await?),
        })
    }

    fn ahead(&self, key: &SortKey) -> Option<Found> {
        (key.created_at() > self.clock.now() + AHEAD).then(|| Found {
            kind: FindingKind::FutureKey,
            group: None,
            detail: format!("{key} is more than a day ahead"),
            remedy: Remedy::None("when it was written is not known"),
        })
    }

    async fn message(&self, message: &Message) -> Result<Vec<Found>, StoreError> {
        let group = message.group_id;
        let mut found: Vec<Found> = self.ahead(&message.key).into_iter().collect();
        if self.with_head.contains_key(&group) {
            return Ok(found);
        }
        match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(_)) => self.with_head.insert(group, ()),
            Some(HeadRecord::AliasOf(other)) => {
                if self.is_newest(message).await? {
                    found.push(Found {
                        kind: FindingKind::UnreachableMessages,
                        group: Some(group),
                        detail: format!("the group's uuid is an alias of {other}"),
                        remedy: Remedy::None("which of the two groups counts is not known"),
                    });
                }
            }
            None => {
                let rows = self.messages.rows_of_group(group).await?;
                if rows.is_empty() && self.is_newest(message).await? {
                    found.push(Found {
                        kind: FindingKind::UnreachableMessages,
                        group: Some(group),
                        detail: "neither head nor rows".to_owned(),
                        remedy: Remedy::Group(group, None),
                    });
                }
            }
        }
        Ok(found)
    }

    async fn is_newest(&self, message: &Message) -> Result<bool, StoreError> {
        let group = message.group_id;
        let newest = self
            .messages
            .newest_message(group, Consistency::Strong)
            .await?;
        Ok(newest.is_some_and(|newest| newest.key == message.key))
    }

    async fn row(&self, row: &FoundRow) -> Result<Vec<Found>, StoreError> {
        let group = row.group_id;
        let mut found: Vec<Found> = self.ahead(&row.key).into_iter().collect();
        let key = RowKey {
            owner: row.owner,
            key: row.key.clone(),
        };
        let mut finding = |kind, detail: String, remedy| {
            found.push(Found {
                kind,
                group: Some(group),
                detail,
                remedy,
            });
        };
        match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(head)) if !head.participants.contains(&row.owner) => {
                let [one, other] = head.participants;
                let detail = format!("{one} and {other} take part");
                finding(FindingKind::StrangersRow, detail, Remedy::Row(group, key));
            }
            Some(HeadRecord::Head(head)) => {
                if head.last_message_key != row.key && self.stands_beside(row).await? {
                    let detail = format!("the row that counts is at {}", head.last_message_key);
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::DoubledRow, detail, remedy);
                }
            }
            Some(HeadRecord::AliasOf(other)) => {
                let remedy = Remedy::None("which of the two groups counts is not known");
                let detail = format!("the group's uuid is an alias of {other}");
                finding(FindingKind::StrangersRow, detail, remedy);
            }
            None => {
                let newest = self
                    .messages
                    .newest_message(group, Consistency::Strong)
                    .await?;
                if newest.is_none() {
                    let detail = "its group has no messages".to_owned();
                    let remedy = Remedy::Row(group, key);
                    finding(FindingKind::RowWithoutMessages, detail, remedy);
                } else if self.is_first(row).await? {
                    let detail = "it was written before there were heads, or lost its own";
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::MissingHead, detail.to_owned(), remedy);
                }
            }
        }
        Ok(found)
    }

    /// Whether a row is still there, beside the one that its group's head
    /// names.
    async fn stands_beside(&self, row: &FoundRow) -> Result<bool, StoreError> {
        let still_there = self.messages.find_row(row.owner, &row.key).await?;
        if still_there.is_none_or(|found| found.group_id != row.group_id) {
            return Ok(false);
        }
        // Read behind the row: a row that is still there although the head
        // has moved on was left behind.
        Ok(match self.messages.find_head(row.group_id).await? {
            Some(HeadRecord::Head(head)) => head.last_message_key != row.key,
            _ => false,
        })
    }

    /// Whether a row is the first of its group's, so that the group is found
    /// once.
    async fn is_first(&self, row: &FoundRow) -> Result<bool, StoreError> {
        let rows = self.messages.rows_of_group(row.group_id).await?;
        let place = |row: &FoundRow| (row.owner, row.key.clone());
        let first = rows.iter().map(place).min();
        Ok(first.is_none_or(|first| place(row) <= first))
    }

    async fn alias(
        &self,
        alias: MessageGroupId,
        of: MessageGroupId,
    ) -> Result<Vec<Found>, StoreError> {
        let found = |detail: String, remedy| Found {
            kind: FindingKind::AliasToNowhere,
            group: Some(alias),
            detail,
            remedy,
        };
        Ok(match self.messages.find_head(of).await? {
            Some(HeadRecord::Head(_)) => Vec::new(),
            Some(HeadRecord::AliasOf(other)) => vec![found(
                format!("{of} is an alias itself, of {other}"),
                Remedy::None("which group is meant is not known"),
            )],
            None => {
                let newest = self
                    .messages
                    .newest_message(of, Consistency::Strong)
                    .await?;
                match newest {
                    // Its missing head is found at its rows or messages.
                    Some(_) => Vec::new(),
                    None => vec![found(
                        format!("there is no group {of}"),
                        Remedy::Alias(alias, of),
                    )],
                }
            }
        })
    }

    async fn head(&self, group: MessageGroupId) -> Result<Vec<Found>, StoreError> {
        let Some((head, at_once, newest)) = self.at_rest(group).await? else {
            return Ok(Vec::new());
        };
        let found = |kind, detail| Found {
            kind,
            group: Some(group),
            detail,
            remedy: Remedy::Group(group, None),
        };
        let Some(newest) = newest else {
            let detail = format!("it counts {} messages", head.message_count);
            return Ok(vec![found(FindingKind::HeadWithoutMessages, detail)]);
        };
        if let Some(detail) = wrong_head(&head, &newest) {
            return Ok(vec![found(FindingKind::WrongHead, detail)]);
        }
        let mut all = Vec::new();
        for (owner, row) in head.participants.iter().zip(&at_once.rows) {
            match row.as_ref().filter(|row| row.group_id == group) {
                None => all.push(found(FindingKind::MissingRow, format!("of {owner}"))),
                Some(row) => {
                    let detail = stale(row, &head, &newest);
                    all.extend(detail.map(|detail| {
                        found(FindingKind::StaleRow, format!("of {owner}: {detail}"))
                    }));
                }
            }
        }
        if let Some(gap) = self.gap(group, head.message_count).await? {
            all.push(found(FindingKind::GapInSeq, gap));
        }
        Ok(all)
    }

    /// A group's head, rows and newest message while nobody wrote to it;
    /// `None` when it has no head any more, or never rests.
    async fn at_rest(
        &self,
        group: MessageGroupId,
    ) -> Result<Option<(Head, GroupAtOnce, Option<Message>)>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(HeadRecord::Head(head)) = self.messages.find_head(group).await? else {
                return Ok(None);
            };
            let at_once = self.messages.find_group_of_head(group, &head).await?;
            if at_once.version != head.version {
                continue;
            }
            let newest = self
                .messages
                .newest_message(group, Consistency::Strong)
                .await?;
            let as_head_says = newest
                .as_ref()
                .is_some_and(|newest| newest.key == head.last_message_key);
            if !as_head_says && !self.is_at(group, head.version).await? {
                continue;
            }
            return Ok(Some((head, at_once, newest)));
        }
        tracing::warn!(%group, "it is written to so often that it could not be checked");
        Ok(None)
    }

    async fn is_at(&self, group: MessageGroupId, version: u64) -> Result<bool, StoreError> {
        Ok(match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(head)) => head.version == version,
            _ => false,
        })
    }

    /// Where the numbers up to `count` are not 1, 2, 3, …: looked at twice,
    /// since a query may see a transaction half done.
    async fn gap(&self, group: MessageGroupId, count: u64) -> Result<Option<String>, StoreError> {
        let first = Numbers::read(&self.messages, group, count).await?;
        if first.gap.is_none() {
            return Ok(None);
        }
        Ok(Numbers::read(&self.messages, group, count).await?.gap)
    }
}

fn wrong_head(head: &Head, newest: &Message) -> Option<String> {
    if head.last_message_key != newest.key {
        let named = &head.last_message_key;
        return Some(format!(
            "it names {named}, the newest message is {}",
            newest.key
        ));
    }
    if head.message_count != newest.seq {
        let count = head.message_count;
        return Some(format!(
            "it counts {count} messages, the newest is number {}",
            newest.seq
        ));
    }
    let readers: Vec<&UserId> = head.read_counts.keys().collect();
    let mut participants = head.participants;
    participants.sort();
    if !readers.into_iter().eq(&participants) {
        return Some("it does not count what each participant has read".to_owned());
    }
    let most = head.read_counts.values().max().copied().unwrap_or(0);
    (most > head.message_count)
        .then(|| format!("{most} are read of {} messages", head.message_count))
}

/// What a row gets wrong.
fn stale(row: &FoundRow, head: &Head, newest: &Message) -> Option<String> {
    let shown = row.preview.as_ref();
    let other = head.participants.iter().find(|user| **user != row.owner);
    if other != Some(&row.other_user.id) {
        return Some(format!("it names {} as the other", row.other_user.id));
    }
    let shows_it = shown.is_some_and(|shown| {
        shown.message_id == newest.id
            && shown.sender_id == newest.sender.id
            && shown.seq == newest.seq
            && shown.body == newest.body
    });
    if !shows_it {
        return Some("it does not show the newest message".to_owned());
    }
    let unread = head.unread_count(row.owner);
    (row.unread_count != unread)
        .then(|| format!("it counts {} unread, and {unread} are", row.unread_count))
}

/// The numbers of a group's messages.
pub(super) struct Numbers {
    /// How many messages have one.
    pub numbered: u64,
    /// Key and right number of each that has a wrong one, of the first ones.
    pub wrong: Vec<(SortKey, u64)>,
    /// The first place where they are wrong, in words.
    pub gap: Option<String>,
    /// Who has sent them, as of their newest; of a few people at most.
    pub senders: BTreeMap<UserId, User>,
}

/// How many senders are remembered: there should be two.
const MOST_SENDERS: usize = 8;

/// How many wrong numbers are remembered: as many as one transaction mends.
pub(super) const MOST_WRONG: usize = 90;

impl Numbers {
    /// Walks all messages of a group, of which those numbered beyond `count`
    /// are newer than the walk.
    pub async fn read(
        messages: &MessageStore,
        group: MessageGroupId,
        count: u64,
    ) -> Result<Self, StoreError> {
        let mut numbers = Self {
            numbered: 0,
            wrong: Vec::new(),
            gap: None,
            senders: BTreeMap::new(),
        };
        let mut after = None;
        loop {
            let request = PageRequest {
                end: End::First,
                limit: PAGE,
                after,
                before: None,
            };
            let page = messages
                .messages(group, &request, Consistency::Strong)
                .await?;
            for message in &page.items {
                if message.seq <= count {
                    numbers.take(message);
                }
            }
            match page.items.last() {
                Some(last) if page.has_next => {
                    let (key, seq) = (last.key.clone(), last.seq);
                    after = Some(Place { key, seq });
                }
                _ => return Ok(numbers),
            }
        }
    }

    /// The two who have sent them all, if they are two.
    pub fn pair(&self) -> Option<[UserId; 2]> {
        two(self.senders.keys().copied().collect())
    }

    fn take(&mut self, message: &Message) {
        let sender = &message.sender;
        if self.senders.len() < MOST_SENDERS || self.senders.contains_key(&sender.id) {
            self.senders.insert(sender.id, sender.clone());
        }
        // The original's messages have none, and come first.
        if message.seq == 0 && self.numbered == 0 {
            return;
        }
        self.numbered += 1;
        if message.seq == self.numbered {
            return;
        }
        let (seq, right) = (message.seq, self.numbered);
        self.gap.get_or_insert_with(|| {
            format!("{} has number {seq} and is number {right}", message.key)
        });
        if self.wrong.len() < MOST_WRONG {
            self.wrong.push((message.key.clone(), right));
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
