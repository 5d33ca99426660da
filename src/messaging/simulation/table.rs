//! Checks the invariants of the table after a run. The checks are based only on
//! the description of the table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{SendResult, SimulatedMark, SimulatedMessage};
use crate::model::{MessageGroupId, User};
use crate::store::simulated::{Item, ItemKey, Simulated};

/// Counts of all runs, and the failed checks.
#[derive(Debug, Default)]
pub struct Checked {
    pub sent: usize,
    pub acknowledged: usize,
    pub not_applied: usize,
    pub unknown: usize,
    pub found: usize,
    pub groups: usize,
    pub crashes: usize,
    pub marked_read: usize,
    pub faults: Vec<String>,
}

impl Checked {
    /// Checks the table after a run, and adds the counts of the run.
    ///
    /// The run began at `start` and ended at `end`. The clocks of the processes
    /// differ from these times by up to two seconds.
    pub fn check(
        &mut self,
        items: &Items,
        sent: &[SimulatedMessage],
        marks: &[SimulatedMark],
        [start, end]: [DateTime<Utc>; 2],
    ) {
        self.sent += sent.len();
        self.marked_read += marks.iter().filter(|mark| mark.acknowledged).count();
        let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
        for ((pk, _), item) in items {
            if let Some(group) = pk.strip_prefix("MSG#") {
                groups.entry(group).or_default().push(item);
            }
        }
        self.groups += groups.len();
        self.found += groups.values().map(Vec::len).sum::<usize>();
        let mut rows = BTreeMap::<&str, Vec<(&str, &Item)>>::new();
        for ((pk, _), item) in items {
            if let Some(owner) = pk.strip_prefix("GRP#") {
                rows.entry(text(item, "message_group_uuid"))
                    .or_default()
                    .push((owner, item));
            }
        }
        for (group, messages) in &groups {
            let rows = rows.remove(group).unwrap_or_default();
            check_group(items, group, messages, &rows, &mut self.faults);
            check_times(group, messages, [start, end], &mut self.faults);
        }
        for group in rows.keys() {
            self.faults
                .push(format!("{group} has rows and no messages"));
        }
        for (group, messages) in &groups {
            check_read(items, group, messages, marks, &mut self.faults);
        }
        check_messages(&groups, sent, self);
        check_order(&groups, sent, &mut self.faults);
    }
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name)
        .and_then(|value| value["S"].as_str())
        .unwrap_or_default()
}

fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?["N"].as_str()?.parse().ok()
}

fn count_of(value: &Value) -> u64 {
    let count = value["N"].as_str().and_then(|count| count.parse().ok());
    count.unwrap_or_default()
}

type Items = BTreeMap<ItemKey, Item>;

/// Inserts messages in the original's form between the first two users, with a
/// row and a duplicate row for each user, in a group without a head.
pub fn insert_originals(dynamo: &Simulated, users: &[User], start: DateTime<Utc>) {
    let own_uuid = dynamo.random_below(2) == 0;
    let pair = MessageGroupId::of_pair(users[0].id, users[1].id);
    let group = if own_uuid {
        pair.to_string()
    } else {
        Uuid::from_u128(77).to_string()
    };
    // Some of the original's keys are ahead of the clock.
    let ahead = TimeDelta::hours(if dynamo.random_below(2) == 0 { 2 } else { 0 });
    let time = |number: i64| {
        let time = start + ahead - TimeDelta::minutes(30 - number);
        time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
    };
    let item = |pk: String, sk: String, user: &User, number: i64| {
        json!({
            "pk": { "S": pk }, "sk": { "S": sk },
            "message": { "S": format!("original {number}") },
            "user_uuid": { "S": user.id.to_string() },
            "user_handle": { "S": user.handle },
            "user_display_name": { "S": user.display_name },
        })
    };
    let insert = |mut item: Value, name: &str, value: String| {
        item[name] = json!({ "S": value });
        dynamo.insert(item.as_object().cloned().unwrap_or_default());
    };
    for number in 0..5 {
        let message = item(format!("MSG#{group}"), time(number), &users[0], number);
        insert(
            message,
            "message_uuid",
            Uuid::from_u128(100 + u128::from(number.unsigned_abs())).to_string(),
        );
    }
    for (owner, other) in [(0, 1), (1, 0)] {
        // The duplicate rows show an older message.
        for number in [2, 4] {
            let pk = format!("GRP#{}", users[owner].id);
            let row = item(pk, time(number), &users[other], number);
            insert(row, "message_group_uuid", group.clone());
        }
    }
}

/// Inserts the heads marker.
pub fn insert_marker(dynamo: &Simulated) {
    let marker = json!({ "pk": { "S": "TABLE#HEADS" }, "sk": { "S": "TABLE" } });
    dynamo.insert(marker.as_object().cloned().unwrap_or_default());
}

/// Checks the head, the `seq`s and the rows of a group.
fn check_group(
    items: &Items,
    group: &str,
    messages: &[&Item],
    rows: &[(&str, &Item)],
    faults: &mut Vec<String>,
) {
    let mut fault = |what: String| faults.push(format!("{group}: {what}"));
    let Some(head) = items.get(&(format!("HEAD#{group}"), "HEAD".to_owned())) else {
        if messages.iter().any(|message| message.contains_key("seq")) {
            fault("no head".to_owned());
        }
        return;
    };
    let numbers = messages.iter().filter_map(|item| number(item, "seq"));
    let numbers: Vec<u64> = numbers.collect();
    let count = number(head, "message_count").unwrap_or_default();
    if !numbers.iter().copied().eq(1..=count) {
        fault(format!("{count} messages are numbered {numbers:?}"));
    }
    let newest = messages[messages.len() - 1];
    if text(head, "last_message_at") != text(newest, "sk") {
        fault(format!(
            "the head is at {}, the newest at {}",
            text(head, "last_message_at"),
            text(newest, "sk")
        ));
    }
    let participants: BTreeSet<&str> = head["participants"]["SS"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|participant| participant.as_str())
        .collect();
    let owners: BTreeSet<&str> = rows.iter().map(|(owner, _)| *owner).collect();
    if owners != participants || rows.len() != 2 {
        fault(format!("rows of {owners:?}, {} in all", rows.len()));
    }
    for (owner, row) in rows {
        let read = count_of(&head["read_counts"]["M"][owner]);
        let expected = (
            text(newest, "sk"),
            text(newest, "message"),
            text(newest, "accepted_at"),
            Some(count - read),
        );
        let found = (
            text(row, "sk"),
            text(row, "message"),
            text(row, "accepted_at"),
            number(row, "unread_count"),
        );
        if found != expected {
            fault(format!(
                "the row of {owner} shows {found:?} and not {expected:?}"
            ));
        }
    }
}

/// Checks that each message was accepted during the run and stores that time:
/// in its key, or in `accepted_at` if the key is ahead of the clock.
fn check_times(
    group: &str,
    messages: &[&Item],
    [start, end]: [DateTime<Utc>; 2],
    faults: &mut Vec<String>,
) {
    let skew = TimeDelta::seconds(2);
    // A taken key moves by microseconds, and by at most one second if the time
    // of acceptance is not stored.
    let run = start - skew..=end + skew + TimeDelta::seconds(1);
    let has_seq = |message: &&&Item| message.contains_key("seq");
    for message in messages.iter().filter(has_seq) {
        let stored = match text(message, "accepted_at") {
            "" => text(message, "sk"),
            accepted => accepted,
        };
        let accepted = DateTime::parse_from_rfc3339(stored).map(|time| time.to_utc());
        if !accepted.is_ok_and(|accepted| run.contains(&accepted)) {
            faults.push(format!("{group}: a message was accepted at {stored}"));
        }
    }
}

/// Checks the read counts: each user has read up to their own newest message,
/// or further if they marked the group as read.
fn check_read(
    items: &Items,
    group: &str,
    messages: &[&Item],
    marks: &[SimulatedMark],
    faults: &mut Vec<String>,
) {
    let head = items.get(&(format!("HEAD#{group}"), "HEAD".to_owned()));
    let read_counts = head.and_then(|head| head["read_counts"]["M"].as_object());
    for (reader, read) in read_counts.into_iter().flatten() {
        let read = count_of(read);
        let by_reader = |message: &&&Item| text(message, "user_uuid") == reader;
        let own = messages.iter().filter(by_reader);
        let own = own.filter_map(|message| number(message, "seq")).max();
        let own = own.unwrap_or_default();
        let theirs = marks
            .iter()
            .filter(|mark| mark.group.to_string() == group && mark.reader.to_string() == *reader);
        let acknowledged = theirs.clone().filter(|mark| mark.acknowledged);
        let acknowledged = acknowledged.map(|mark| mark.seq).max().unwrap_or_default();
        let said = theirs.map(|mark| mark.seq).max().unwrap_or_default();
        if !(own.max(acknowledged)..=own.max(said)).contains(&read) {
            faults.push(format!(
                "{group}: {reader} has read {read}, with {own} of their own, {acknowledged} acknowledged, {said} said"
            ));
        }
    }
}

/// Checks that each acknowledged message is in the table exactly once, and that
/// no message with the outcome `NotApplied` is.
fn check_messages(
    groups: &BTreeMap<&str, Vec<&Item>>,
    sent: &[SimulatedMessage],
    checked: &mut Checked,
) {
    let mut found: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for message in groups.values().flatten() {
        let body = text(message, "message");
        found.entry(body).or_default().push(message);
    }
    for sending in sent {
        let there = found.get(sending.body.as_str()).into_iter().flatten();
        let uuids: Vec<&str> = there.map(|item| text(item, "message_uuid")).collect();
        let is_right = match sending.result {
            SendResult::Acknowledged(id, _) => {
                checked.acknowledged += 1;
                uuids == [id.to_string()]
            }
            SendResult::NotApplied => {
                checked.not_applied += 1;
                uuids.is_empty()
            }
            SendResult::Unknown => {
                checked.unknown += 1;
                uuids.len() <= 1
            }
        };
        if !is_right {
            let fault = format!("{sending:?} is there as {uuids:?}");
            checked.faults.push(fault);
        }
    }
}

/// Checks that a message that was acknowledged before another one was sent also
/// sorts before it.
fn check_order(
    groups: &BTreeMap<&str, Vec<&Item>>,
    sent: &[SimulatedMessage],
    faults: &mut Vec<String>,
) {
    let mut keys = BTreeMap::new();
    for (group, messages) in groups {
        for message in messages {
            keys.insert(text(message, "message"), (*group, text(message, "sk")));
        }
    }
    for earlier in sent {
        let SendResult::Acknowledged(_, at) = earlier.result else {
            continue;
        };
        for later in sent.iter().filter(|later| later.began > at) {
            let (Some(before), Some(after)) = (
                keys.get(earlier.body.as_str()),
                keys.get(later.body.as_str()),
            ) else {
                continue;
            };
            if before.0 == after.0 && before.1 > after.1 {
                faults.push(format!("{:?} comes after {:?}", earlier.body, later.body));
            }
        }
    }
}
