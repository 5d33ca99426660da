//! Checks of a group with a head: head, rows and messages must agree.

use super::finding::{Finding, FindingKind, Remedy};
use super::numbers::Numbers;
use crate::model::{Head, HeadRecord, Message, MessageGroupId, Participants};
use crate::store::{FoundRow, HeadSnapshot, MessageStore, Newest, StoreResult};

/// Maximum number of reads of a group that is being written to, and the delay
/// between two reads. The reads take a second. Even a group with many messages
/// has a pause between two writes in this time.
const ATTEMPTS: usize = 20;
const DELAY: std::time::Duration = std::time::Duration::from_millis(50);

/// Returns the problems of a group that has a head, found with strongly
/// consistent reads. Reads head, rows and newest message again if a write changed
/// the head in the meantime.
pub(super) async fn diagnose(
    messages: &MessageStore,
    group: MessageGroupId,
) -> StoreResult<Vec<Finding>> {
    for _ in 0..ATTEMPTS {
        let Some(HeadRecord::Head(head)) = messages.find_head(group).await? else {
            return Ok(Vec::new());
        };
        let snapshot = messages.find_group_of_head(group, &head).await?;
        let newest = messages.newest(group).await?;
        let found = messages.find_version_and_message(group, &head.last_message_key);
        let (version_after, _) = found.await?;
        if snapshot.version == head.version && version_after == head.version {
            return problems(messages, group, &head, &snapshot, newest).await;
        }
        tokio::time::sleep(DELAY).await;
    }
    let detail = "the group was written to during every attempt to check it".to_owned();
    let remedy = Remedy::Unknown("run the command again when the group has less traffic");
    let finding = Finding::new(FindingKind::NotChecked, Some(group), detail, remedy);
    Ok(vec![finding])
}

/// Returns the problems of a group whose head, rows and newest message were read
/// while no write changed them.
async fn problems(
    messages: &MessageStore,
    group: MessageGroupId,
    head: &Head,
    snapshot: &HeadSnapshot,
    newest: Newest,
) -> StoreResult<Vec<Finding>> {
    let found = |kind, detail, remedy| Finding::new(kind, Some(group), detail, remedy);
    let whole = || Remedy::Group(group, None);
    let Some(message) = newest.message else {
        if newest.unreadable_after {
            return Ok(Vec::new());
        }
        let detail = format!("the head counts {} messages", head.message_count);
        let kind = FindingKind::HeadWithoutMessages;
        return Ok(vec![found(kind, detail, whole())]);
    };
    let unreadable_after = newest.unreadable_after;
    let newest = message;
    let is_other_sender = !head.participants.contains(&newest.sender.id);
    if is_other_sender && !rows_confirm(messages, group, head, snapshot).await? {
        let detail = format!(
            "{} sent the newest message and is not a participant",
            newest.sender.id
        );
        let remedy = Remedy::Unknown("the participants are not known");
        return Ok(vec![found(FindingKind::WrongHead, detail, remedy)]);
    }
    if let Some(detail) = wrong_head(head, &newest) {
        let remedy = if unreadable_after {
            Remedy::Unknown("a newer message cannot be read")
        } else {
            whole()
        };
        return Ok(vec![found(FindingKind::WrongHead, detail, remedy)]);
    }
    let mut all = Vec::new();
    for (owner, row) in head.participants.iter().zip(&snapshot.rows) {
        let row = row.as_ref().filter(|row| row.group_id == group);
        let finding = match row {
            None => Some((FindingKind::MissingRow, format!("row of {owner}"))),
            Some(row) => stale(row, head, &newest)
                .map(|detail| (FindingKind::StaleRow, format!("row of {owner}: {detail}"))),
        };
        all.extend(finding.map(|(kind, detail)| found(kind, detail, whole())));
    }
    if let Some(gap) = gap(messages, group, head.message_count).await? {
        all.push(found(FindingKind::GapInSeq, gap, whole()));
    }
    Ok(all)
}

/// Returns whether the rows name the same participants as the head.
async fn rows_confirm(
    messages: &MessageStore,
    group: MessageGroupId,
    head: &Head,
    snapshot: &HeadSnapshot,
) -> StoreResult<bool> {
    let mut rows = messages.rows_of_group(group).await?;
    rows.extend(snapshot.rows.iter().flatten().cloned());
    rows.retain(|row| row.group_id == group);
    Ok(confirms(&rows, head.participants))
}

/// Returns the first message whose `seq` breaks the sequence 1, 2, 3, … up
/// to `count`. The messages are read twice before a gap is reported,
/// because a `Query` can return only a part of a transaction.
async fn gap(
    messages: &MessageStore,
    group: MessageGroupId,
    count: u64,
) -> StoreResult<Option<String>> {
    let first = Numbers::read(messages, group, count).await?;
    if first.gap.is_none() {
        return Ok(None);
    }
    Ok(Numbers::read(messages, group, count).await?.gap)
}

/// Returns whether the participants' rows show exactly these two participants.
/// The original allowed any user to write to a group, so a message from a third
/// user does not prove that the head is wrong; a row that shows a third user
/// does.
pub(super) fn confirms(rows: &[FoundRow], participants: Participants) -> bool {
    let of_participants = || rows.iter().filter(|row| participants.contains(&row.owner));
    let names_the_other = |row: &FoundRow| participants.other(row.owner) == Some(row.other_user.id);
    of_participants().next().is_some() && of_participants().all(names_the_other)
}

pub(super) fn wrong_head(head: &Head, newest: &Message) -> Option<String> {
    if head.last_message_key != newest.key {
        let named = &head.last_message_key;
        let newest = &newest.key;
        return Some(format!(
            "the head names {named}, and the newest message is {newest}"
        ));
    }
    if head.message_count != newest.seq {
        let count = head.message_count;
        let seq = newest.seq;
        return Some(format!(
            "the head counts {count} messages, but the newest message has seq {seq}"
        ));
    }
    let mut participants = *head.participants;
    participants.sort();
    if !head.read_counts.keys().eq(&participants) {
        return Some("the head does not have a read count for each participant".to_owned());
    }
    let max = head.read_counts.values().max().copied().unwrap_or(0);
    (max > head.message_count)
        .then(|| format!("a read count is {max} of {} messages", head.message_count))
}

/// Describes what is wrong with a row; `None` if the row is correct.
pub(super) fn stale(row: &FoundRow, head: &Head, newest: &Message) -> Option<String> {
    if !row.row_key().is_canonical() {
        return Some("its uuids are not in lower case with hyphens".to_owned());
    }
    if head.participants.other(row.owner) != Some(row.other_user.id) {
        return Some(format!(
            "it names {} as the other participant",
            row.other_user.id
        ));
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
    (row.unread_count != unread).then(|| {
        format!(
            "its unread count is {} instead of {unread}",
            row.unread_count
        )
    })
}
