//! Whether everything in the table is as it has to be.
//!
//! One item at a time, with strongly consistent reads of what it hangs on, so
//! that memory does not grow with the table and writers need not stop. What
//! concerns a whole group is found at one of its items alone: the head, or
//! where there is none the newest of its rows, or its newest message.
//!
//! What cannot be read counts as there: nothing is concluded from it, and
//! nothing deleted.

mod attempt;
mod damaged;
mod finding;
mod numbers;
mod repair;

use chrono::TimeDelta;
use moka::sync::Cache;

pub use finding::{Finding, FindingKind, Unmended};

use crate::clock::Clock;
use crate::model::{Head, HeadRecord, Message, MessageGroupId, SortKey, UserId};
use crate::store::{
    Consistency, FoundRow, GroupAtOnce, MessageStore, Newest, ScannedItem, StoreError, Stored,
    UserStore,
};
use finding::Remedy;
use numbers::Numbers;
use repair::Repairer;

/// How far ahead of the clock a key may be.
const AHEAD: TimeDelta = TimeDelta::days(1);
/// How many groups are remembered that can be reached.
const REMEMBERED_GROUPS: u64 = 10_000;
/// How often a group that is being written to is looked at again, and how long
/// it is let alone in between.
const ATTEMPTS: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

const TWO_GROUPS: &str = "which of the two groups counts is not known";

/// Looks at items, and mends what is wrong with them.
#[derive(Debug)]
pub struct Inspector {
    messages: MessageStore,
    clock: Clock,
    repairer: Repairer,
    /// Groups that have a head or a row.
    reachable: Cache<MessageGroupId, ()>,
}

/// What was found at an item.
struct Found {
    kind: FindingKind,
    group: Option<MessageGroupId>,
    detail: String,
    remedy: Remedy,
}

/// A group while nobody wrote to it.
struct AtRest {
    head: Head,
    at_once: GroupAtOnce,
    newest: Newest,
}

impl Inspector {
    /// Puts it over the store. `users` are asked for names that the table has
    /// lost.
    #[must_use]
    pub fn new(messages: MessageStore, users: Option<UserStore>, clock: Clock) -> Self {
        Self {
            repairer: Repairer::new(messages.clone(), users),
            messages,
            clock,
            reachable: Cache::new(REMEMBERED_GROUPS),
        }
    }

    /// What is wrong at an item.
    pub async fn inspect(&self, item: ScannedItem) -> Result<Vec<Finding>, StoreError> {
        let key = item.key();
        let found = match item.clone().read() {
            Err(cause) => Ok(vec![Found {
                kind: FindingKind::UnreadableItem,
                group: None,
                detail: cause,
                remedy: Remedy::Unknown("what it was to say is not known"),
            }]),
            Ok(Stored::Message(message)) => self.message(&message).await,
            Ok(Stored::GroupRow(row)) => self.row(&row).await,
            Ok(Stored::Head(group, HeadRecord::Head(_))) => self.head(group).await,
            Ok(Stored::Head(group, HeadRecord::AliasOf(other))) => self.alias(group, other).await,
            Ok(Stored::Sent | Stored::HeadsMarker) => Ok(Vec::new()),
        };
        let found = match found {
            // It is found at the head itself.
            Err(StoreError::Unreadable { .. }) => Vec::new(),
            found => found?,
        };
        let finding = |found: Found| {
            let deletes = matches!(
                found.remedy,
                Remedy::Row(..) | Remedy::StrangersRow(..) | Remedy::Alias(..)
            );
            let deletes = deletes
                || matches!(
                    found.kind,
                    FindingKind::HeadWithoutMessages | FindingKind::DoubledRow
                );
            Finding {
                kind: found.kind,
                key: key.clone(),
                group: found.group,
                detail: found.detail,
                deletes: deletes.then(|| item.clone()),
                remedy: found.remedy,
            }
        };
        Ok(found.into_iter().map(finding).collect())
    }

    /// Mends what was found.
    pub async fn mend(&self, finding: &Finding) -> Result<Result<(), Unmended>, StoreError> {
        let mended = match &finding.remedy {
            Remedy::Unknown(why) => return Ok(Err(Unmended::WouldBeAGuess(why))),
            Remedy::Group(group, row) => {
                Box::pin(self.repairer.mend(*group, row.as_ref(), finding.kind)).await
            }
            Remedy::StrangersRow(group, row) => self.repairer.delete_strangers(*group, row).await,
            Remedy::Row(group, row) => self.repairer.delete_row(*group, row).await,
            Remedy::Alias(alias, of) => self.repairer.delete_alias(*alias, *of).await,
        };
        match mended {
            Err(StoreError::Unreadable { .. }) => {
                Ok(Err(Unmended::WouldBeAGuess("its head cannot be read")))
            }
            mended => mended,
        }
    }

    fn ahead(&self, key: &SortKey) -> Option<Found> {
        (key.created_at() > self.clock.now() + AHEAD).then(|| Found {
            kind: FindingKind::FutureKey,
            group: None,
            detail: format!("{key} is more than a day ahead"),
            remedy: Remedy::Unknown("when it was written is not known"),
        })
    }

    async fn message(&self, message: &Message) -> Result<Vec<Found>, StoreError> {
        let group = message.group_id;
        let mut found: Vec<Found> = self.ahead(&message.key).into_iter().collect();
        if self.reachable.contains_key(&group) {
            return Ok(found);
        }
        let unreachable = |detail: String, remedy| Found {
            kind: FindingKind::UnreachableMessages,
            group: Some(group),
            detail,
            remedy,
        };
        match self.messages.find_head(group).await? {
            Some(HeadRecord::Head(_)) => self.reachable.insert(group, ()),
            Some(HeadRecord::AliasOf(other)) => {
                if self.is_newest(message).await? {
                    let detail = format!("the group's uuid is an alias of {other}");
                    found.push(unreachable(detail, Remedy::Unknown(TWO_GROUPS)));
                }
            }
            None if !self.messages.rows_of_group(group).await?.is_empty() => {
                self.reachable.insert(group, ());
            }
            None => {
                if self.is_newest(message).await? {
                    let detail = "neither head nor rows".to_owned();
                    found.push(unreachable(detail, Remedy::Group(group, None)));
                }
            }
        }
        Ok(found)
    }

    async fn is_newest(&self, message: &Message) -> Result<bool, StoreError> {
        let newest = self
            .messages
            .newest_message(message.group_id, Consistency::Strong)
            .await?;
        Ok(newest.is_some_and(|newest| newest.key == message.key))
    }

    async fn row(&self, row: &FoundRow) -> Result<Vec<Found>, StoreError> {
        let group = row.group_id;
        let mut found: Vec<Found> = self.ahead(&row.key).into_iter().collect();
        let key = row.row_key();
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
                let remedy = Remedy::StrangersRow(group, key);
                finding(FindingKind::StrangersRow, detail, remedy);
            }
            Some(HeadRecord::Head(head)) if head.last_message_key != row.key => {
                if let Some(counts) = self.stands_beside(row).await? {
                    let detail = format!("the row that counts is at {counts}");
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::DoubledRow, detail, remedy);
                }
            }
            Some(HeadRecord::Head(_)) => {}
            Some(HeadRecord::AliasOf(other)) => {
                let detail = format!("the group's uuid is an alias of {other}");
                let remedy = Remedy::Unknown(TWO_GROUPS);
                finding(FindingKind::StrangersRow, detail, remedy);
            }
            None => {
                if self.messages.newest(group).await?.is_absent() {
                    let detail = "its group has no messages".to_owned();
                    let remedy = Remedy::Row(group, key);
                    finding(FindingKind::RowWithoutMessages, detail, remedy);
                } else if self.is_newest_row(row).await? {
                    let detail = "it was written before there were heads, or lost its own";
                    let remedy = Remedy::Group(group, Some(key));
                    finding(FindingKind::MissingHead, detail.to_owned(), remedy);
                }
            }
        }
        Ok(found)
    }

    /// The key of the row that counts, where this one is still there beside it.
    /// Head and row are read at one moment. A row at the newest message is not
    /// beside anything: then it is the head that is wrong.
    async fn stands_beside(&self, row: &FoundRow) -> Result<Option<SortKey>, StoreError> {
        let (head, found) = self
            .messages
            .find_head_and_row(row.group_id, row.owner, &row.key)
            .await?;
        let Some(HeadRecord::Head(head)) = head else {
            return Ok(None);
        };
        let still_there = found.is_some_and(|found| found.group_id == row.group_id);
        if !still_there || head.last_message_key == row.key {
            return Ok(None);
        }
        let newest = self
            .messages
            .newest_message(row.group_id, Consistency::Strong)
            .await?;
        let is_newest = newest.is_some_and(|newest| newest.key == row.key);
        Ok((!is_newest).then_some(head.last_message_key))
    }

    /// Whether a row is the newest of its group's, so that the group is found
    /// once.
    async fn is_newest_row(&self, row: &FoundRow) -> Result<bool, StoreError> {
        let rows = self.messages.rows_of_group(row.group_id).await?;
        let place = |row: &FoundRow| (row.key.clone(), row.owner);
        let newest = rows.iter().map(place).max();
        Ok(newest.is_none_or(|newest| place(row) >= newest))
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
                Remedy::Unknown("which group is meant is not known"),
            )],
            // Where there are messages, their missing head is found at them.
            None if !self.messages.newest(of).await?.is_absent() => Vec::new(),
            None => vec![found(
                format!("there is no group {of}"),
                Remedy::Alias(alias, of),
            )],
        })
    }

    async fn head(&self, group: MessageGroupId) -> Result<Vec<Found>, StoreError> {
        let found = |kind, detail, remedy| Found {
            kind,
            group: Some(group),
            detail,
            remedy,
        };
        let whole = || Remedy::Group(group, None);
        let AtRest {
            head,
            at_once,
            newest,
        } = match self.at_rest(group).await? {
            Rest::Found(at_rest) => *at_rest,
            Rest::Gone => return Ok(Vec::new()),
            Rest::Never => {
                let detail = "it is written to all the time".to_owned();
                let remedy = Remedy::Unknown("run it again when there is less to do");
                return Ok(vec![found(FindingKind::NotChecked, detail, remedy)]);
            }
        };
        let Some(message) = newest.message else {
            if newest.unreadable_behind {
                return Ok(Vec::new());
            }
            let detail = format!("it counts {} messages", head.message_count);
            let kind = FindingKind::HeadWithoutMessages;
            return Ok(vec![found(kind, detail, whole())]);
        };
        let unreadable_behind = newest.unreadable_behind;
        let newest = message;
        if !head.participants.contains(&newest.sender.id) {
            let detail = format!("{} has sent the newest message", newest.sender.id);
            let remedy = Remedy::Unknown("who takes part is not known");
            return Ok(vec![found(FindingKind::WrongHead, detail, remedy)]);
        }
        if let Some(detail) = wrong_head(&head, &newest) {
            let remedy = if unreadable_behind {
                Remedy::Unknown("a newer message cannot be read")
            } else {
                whole()
            };
            return Ok(vec![found(FindingKind::WrongHead, detail, remedy)]);
        }
        let mut all = Vec::new();
        for (owner, row) in head.participants.iter().zip(&at_once.rows) {
            let row = row.as_ref().filter(|row| row.group_id == group);
            let finding = match row {
                None => Some((FindingKind::MissingRow, format!("of {owner}"))),
                Some(row) => stale(row, &head, &newest)
                    .map(|detail| (FindingKind::StaleRow, format!("of {owner}: {detail}"))),
            };
            all.extend(finding.map(|(kind, detail)| found(kind, detail, whole())));
        }
        if let Some(gap) = self.gap(group, head.message_count).await? {
            all.push(found(FindingKind::GapInSeq, gap, whole()));
        }
        Ok(all)
    }

    /// A group's head, rows and newest message while nobody wrote to it.
    async fn at_rest(&self, group: MessageGroupId) -> Result<Rest, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(HeadRecord::Head(head)) = self.messages.find_head(group).await? else {
                return Ok(Rest::Gone);
            };
            let at_once = self.messages.find_group_of_head(group, &head).await?;
            let newest = self.messages.newest(group).await?;
            let (now, _) = self
                .messages
                .find_version_and_message(group, &head.last_message_key)
                .await?;
            if at_once.version == head.version && now == head.version {
                return Ok(Rest::Found(Box::new(AtRest {
                    head,
                    at_once,
                    newest,
                })));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Rest::Never)
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

/// What came of waiting for a group to be at rest.
enum Rest {
    Found(Box<AtRest>),
    /// It has no head any more.
    Gone,
    Never,
}

fn wrong_head(head: &Head, newest: &Message) -> Option<String> {
    if head.last_message_key != newest.key {
        let named = &head.last_message_key;
        let newest = &newest.key;
        return Some(format!("it names {named}, the newest message is {newest}"));
    }
    if head.message_count != newest.seq {
        let count = head.message_count;
        let seq = newest.seq;
        return Some(format!(
            "it counts {count} messages, the newest is number {seq}"
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
            && shown.accepted_at == newest.accepted_at
    });
    if !shows_it {
        return Some("it does not show the newest message".to_owned());
    }
    let unread = head.unread_count(row.owner);
    (row.unread_count != unread)
        .then(|| format!("it counts {} unread, and {unread} are", row.unread_count))
}
