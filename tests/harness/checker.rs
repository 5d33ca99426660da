//! Reads the table independently of the project's code: the items are known
//! only from their description.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::TABLE;

type Item = HashMap<String, AttributeValue>;

/// The contents of a table by kind.
#[derive(Debug, Default)]
pub struct TableItems {
    /// Group → messages, by key.
    pub messages: BTreeMap<String, Vec<Item>>,
    /// Group → (owner, row).
    pub rows: BTreeMap<String, Vec<(String, Item)>>,
    /// Group → head.
    pub heads: BTreeMap<String, Item>,
    pub idempotency_records: usize,
    /// Whether the table contains the marker, which states that each group has
    /// a head.
    pub is_marked: bool,
}

pub fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .unwrap_or_else(|| panic!("{name} in {item:?}"))
}

pub fn number(item: &Item, name: &str) -> u64 {
    let value = item
        .get(name)
        .and_then(|value| value.as_n().ok())
        .unwrap_or_else(|| panic!("{name} in {item:?}"));
    value.parse().expect("a number")
}

/// Creates a client that connects directly to DynamoDB.
pub fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
            "check", "check", None, None, "check",
        ))
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

/// Returns the `seq` of each message, or 0 if it has none.
fn numbers(messages: &[Item]) -> Vec<u64> {
    let seq = |message: &Item| message.contains_key("seq").then(|| number(message, "seq"));
    messages
        .iter()
        .map(|message| seq(message).unwrap_or(0))
        .collect()
}

pub async fn read(client: &Client) -> TableItems {
    let mut found = TableItems::default();
    let mut from = None;
    loop {
        let page = client
            .scan()
            .table_name(TABLE)
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .expect("a scan");
        for item in page.items.unwrap_or_default() {
            sort(&mut found, item);
        }
        from = page.last_evaluated_key;
        if from.is_none() {
            return found;
        }
    }
}

fn sort(found: &mut TableItems, item: Item) {
    let pk = text(&item, "pk").to_owned();
    let (kind, id) = pk.split_once('#').expect("a kind");
    match kind {
        // Unreadable messages are ignored.
        "MSG" | "GRP" if !item.contains_key("message") => {}
        "MSG" => {
            let messages = found.messages.entry(id.to_owned()).or_default();
            messages.push(item);
            messages.sort_by(|one, other| text(one, "sk").cmp(text(other, "sk")));
        }
        "GRP" => {
            let group = text(&item, "message_group_uuid").to_owned();
            found
                .rows
                .entry(group)
                .or_default()
                .push((id.to_owned(), item));
        }
        "HEAD" => drop(found.heads.insert(id.to_owned(), item)),
        "SENT" => found.idempotency_records += 1,
        "TABLE" => {
            assert_eq!((id, text(&item, "sk")), ("HEADS", "TABLE"));
            assert!(!item.contains_key("message_group_uuid"));
            found.is_marked = true;
        }
        other => panic!("an item of the kind {other}"),
    }
}

impl TableItems {
    /// Checks the invariants: each participant has exactly one row, at the
    /// head's last key, with the newest message's text and the correct unread
    /// count; `seq` is 1, 2, 3, … in the order of the keys.
    pub fn check(&self) {
        self.check_adopted();
        for (group, messages) in &self.messages {
            assert_eq!(
                numbers(messages).first(),
                Some(&1),
                "the first number of {group}"
            );
        }
    }

    /// Checks the invariants of a table in which groups are older than their
    /// heads: their first messages have no `seq`, and some items are
    /// unreadable.
    pub fn check_adopted(&self) {
        for (group, head) in &self.heads {
            if head.contains_key("alias_of") {
                assert!(
                    !head.contains_key("message_group_uuid"),
                    "an alias in the index: {head:?}"
                );
                continue;
            }
            assert!(
                !head.contains_key("message_group_uuid"),
                "a head in the index: {head:?}"
            );
            let messages = self
                .messages
                .get(group)
                .unwrap_or_else(|| panic!("{group} has no messages"));
            let numbers: Vec<u64> = numbers(messages)
                .into_iter()
                .filter(|seq| *seq != 0)
                .collect();
            let expected: Vec<u64> = (1..=number(head, "message_count")).collect();
            assert_eq!(numbers, expected, "the numbers of {group}");
            self.check_rows(group, head, messages.last().expect("a message"));
        }
        let with_rows: Vec<_> = self.rows.keys().collect();
        let with_head: Vec<_> = self
            .heads
            .iter()
            .filter(|(_, head)| !head.contains_key("alias_of"))
            .collect();
        assert_eq!(
            with_rows,
            with_head
                .iter()
                .map(|(group, _)| *group)
                .collect::<Vec<_>>(),
            "groups with rows"
        );
    }

    fn check_rows(&self, group: &str, head: &Item, newest: &Item) {
        let participants = head["participants"].as_ss().expect("participants");
        assert_eq!(participants.len(), 2);
        let last = text(head, "last_message_at");
        assert_eq!(last, text(newest, "sk"), "the newest key of {group}");
        let mut owners: Vec<&String> = self.rows[group].iter().map(|(owner, _)| owner).collect();
        owners.sort();
        let mut expected: Vec<&String> = participants.iter().collect();
        expected.sort();
        assert_eq!(owners, expected, "one row for each participant of {group}");
        let read_counts = head["read_counts"].as_m().expect("read counts");
        for (owner, row) in &self.rows[group] {
            let other = participants
                .iter()
                .find(|user| *user != owner)
                .expect("another");
            assert_eq!(text(row, "sk"), last, "the row of {owner} in {group}");
            assert_eq!(text(row, "user_uuid"), other);
            assert_eq!(text(row, "message"), text(newest, "message"));
            assert_eq!(text(row, "message_uuid"), text(newest, "message_uuid"));
            assert_eq!(text(row, "sender_uuid"), text(newest, "user_uuid"));
            assert_eq!(
                row.get("accepted_at"),
                newest.get("accepted_at"),
                "the time of the newest message in the row of {owner}"
            );
            // Messages of the original have no `seq`.
            let seq = newest.get("seq").map_or(0, |_| number(newest, "seq"));
            assert_eq!(number(row, "seq"), seq);
            let read: u64 = read_counts[owner]
                .as_n()
                .expect("a number")
                .parse()
                .expect("a number");
            assert_eq!(
                number(row, "unread_count"),
                number(head, "message_count") - read
            );
        }
    }
}
