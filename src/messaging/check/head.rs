//! A group with a head: whether head, rows and messages agree.

use super::finding::{FindingKind, Found, Remedy};
use super::numbers::Numbers;
use super::{ATTEMPTS, Inspector, PAUSE};
use crate::model::{Head, HeadRecord, Message, MessageGroupId, UserId};
use crate::store::{FoundRow, GroupAtOnce, Newest, StoreError};

/// A group while nobody wrote to it.
struct AtRest {
    head: Head,
    at_once: GroupAtOnce,
    newest: Newest,
}

/// Result of waiting for a group to be at rest.
enum Rest {
    Found(Box<AtRest>),
    /// It has no head any more.
    Gone,
    Never,
}

impl Inspector {
    /// What is wrong with a group that has a head, by strongly consistent reads.
    pub(super) async fn head(&self, group: MessageGroupId) -> Result<Vec<Found>, StoreError> {
        let found = |kind, detail, remedy| Found::new(kind, Some(group), detail, remedy);
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
        let is_stranger = !head.participants.contains(&newest.sender.id);
        if is_stranger && !self.rows_confirm(group, &head, &at_once).await? {
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

    /// Whether the rows say the same of who takes part as the head does.
    async fn rows_confirm(
        &self,
        group: MessageGroupId,
        head: &Head,
        at_once: &GroupAtOnce,
    ) -> Result<bool, StoreError> {
        let mut rows = self.messages.rows_of_group(group).await?;
        rows.extend(at_once.rows.iter().flatten().cloned());
        rows.retain(|row| row.group_id == group);
        Ok(confirms(&rows, head.participants))
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

/// Whether rows name these two participants, and nobody else beside one of
/// them. The original let anyone write to a group, so a message of a third user
/// does not show that the head is wrong; rows that name one do.
pub(super) fn confirms(rows: &[FoundRow], participants: [UserId; 2]) -> bool {
    let [one, other] = participants;
    let of_participants = || rows.iter().filter(|row| participants.contains(&row.owner));
    let names_the_other = |row: &FoundRow| {
        let expected = if row.owner == one { other } else { one };
        row.other_user.id == expected
    };
    of_participants().next().is_some() && of_participants().all(names_the_other)
}

pub(super) fn wrong_head(head: &Head, newest: &Message) -> Option<String> {
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
pub(super) fn stale(row: &FoundRow, head: &Head, newest: &Message) -> Option<String> {
    if !row.row_key().is_canonical() {
        return Some("its uuids are not in lower case with hyphens".to_owned());
    }
    let other = head.participants.iter().find(|user| **user != row.owner);
    if other != Some(&row.other_user.id) {
        return Some(format!("it names {} as the other", row.other_user.id));
    }
    let shows_it = row.preview.as_ref().is_some_and(|shown| {
        shown.message_id == newest.id
            && shown.sender_id == newest.sender.id
            && shown.seq == newest.seq
            && row.body == newest.body
            && shown.accepted_at == newest.accepted_at
    });
    if !shows_it {
        return Some("it does not show the newest message".to_owned());
    }
    let unread = head.unread_count(row.owner);
    (row.unread_count != unread)
        .then(|| format!("it counts {} unread, and {unread} are", row.unread_count))
}
