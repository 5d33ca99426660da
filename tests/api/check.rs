//! `check`: every kind of damage is found and repaired, and no message is lost.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use cruddur::model::{MessageGroupId, User, UserId};
use serde_json::{Value, json};

use crate::adoption::{FORMS, fifty};
use crate::commands::run;
use crate::harness::checker::{self, TableItems, text};
use crate::harness::{CREATE, Cruddur, TABLE, cruddur, numbered, start, with_stores};
use crate::original::Original;

/// Runs `check`. Returns the exit code and the lines.
pub async fn check(cruddur_: &Cruddur, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut command = cruddur(&[&["check"], arguments].concat());
    with_stores(&mut command, cruddur_);
    let (code, out, stderr) = run(&mut command).await;
    let lines = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{out}{stderr}")));
    // With --repair, only the lines with the results of repairs.
    let repair = arguments.contains(&"--repair");
    let wanted = |line: &Value| line.get("repaired").is_some() == repair;
    (code, lines.filter(wanted).collect())
}

/// Returns the number of findings of each kind.
pub fn kinds(lines: &[Value]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for line in lines {
        *kinds
            .entry(line["kind"].as_str().expect("a kind"))
            .or_default() += 1;
    }
    kinds
}

pub async fn read(cruddur: &Cruddur) -> TableItems {
    checker::read(&checker::client(&cruddur.dynamo.url)).await
}

/// Returns the texts of each group, in the order of their keys.
pub fn texts(found: &TableItems) -> BTreeMap<String, Vec<String>> {
    let groups = found.messages.iter();
    groups
        .map(|(group, messages)| {
            let texts = messages.iter().map(|message| text(message, "message"));
            (group.clone(), texts.map(str::to_owned).collect())
        })
        .collect()
}

#[tokio::test]
async fn check_repair_adopts_all_groups_of_the_original_and_loses_nothing() {
    let cruddur = start().await;
    let originals = fifty(&cruddur).await;
    let before = texts(&read(&cruddur).await);

    let (code, found) = check(&cruddur, &[]).await;
    assert_eq!(code, 1);
    assert_eq!(kinds(&found)["missing-head"], 50);
    assert!(read(&cruddur).await.heads.is_empty(), "it only looked");

    let (code, repaired) = check(&cruddur, &["--repair"]).await;
    // Items whose correct state is unknown remain: keys of 2031, and items
    // without contents.
    assert_eq!(code, 1);
    for line in &repaired {
        let kind = line["kind"].as_str().expect("a kind");
        let guess = ["future-key", "unreadable-item"].contains(&kind);
        assert_eq!(line["repaired"], !guess, "{line}");
    }

    let after = read(&cruddur).await;
    after.check_adopted();
    assert_eq!(texts(&after), before);
    let (_, left) = check(&cruddur, &[]).await;
    let left = kinds(&left);
    assert_eq!(
        left.keys().copied().collect::<Vec<_>>(),
        ["future-key", "unreadable-item"]
    );
    for group in &originals {
        let [one, other] = &group.pair;
        let pair = MessageGroupId::of_pair(one.id, other.id).to_string();
        assert_eq!(
            text(&after.heads[&pair], "alias_of"),
            group.uuid.to_string()
        );
        let input = json!({ "to": { "receiverHandle": other.handle }, "body": "goes on" });
        let sent = cruddur.data("luu", CREATE, json!({ "input": input })).await;
        let group_uuid = &sent["createMessage"]["messageEdge"]["node"]["messageGroup"]["uuid"];
        assert_eq!(group_uuid, &json!(group.uuid));
    }
    read(&cruddur).await.check_adopted();
}

/// A table to be damaged: luu has a group with each other user.
struct Damaged {
    cruddur: Cruddur,
    client: Client,
    luu: User,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "its calls are shorter with values than with references"
)]
pub fn string(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

impl Damaged {
    async fn new() -> Self {
        let cruddur = start().await;
        let [luu] = cruddur.users(["luu"]).await;
        Self {
            client: checker::client(&cruddur.dynamo.url),
            cruddur,
            luu,
        }
    }

    /// Creates a group of five messages with a user.
    async fn group(&self, handle: &str) -> Group {
        let [other] = self.cruddur.users([handle]).await;
        self.cruddur
            .seed([&self.luu, &other], "2026-01-01T00:00:00Z", 5)
            .await;
        let id = MessageGroupId::of_pair(self.luu.id, other.id);
        let found = read(&self.cruddur).await;
        let head = &found.heads[&id.to_string()];
        Group {
            id,
            other: other.id,
            head: format!("HEAD#{id}"),
            messages: format!("MSG#{id}"),
            row: format!("GRP#{}", other.id),
            newest: text(head, "last_message_at").to_owned(),
        }
    }

    async fn delete(&self, pk: &str, sk: &str) {
        self.client
            .delete_item()
            .table_name(TABLE)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .send()
            .await
            .expect("a deleted item");
    }

    async fn set(&self, pk: &str, sk: &str, attribute: &str, value: AttributeValue) {
        self.client
            .update_item()
            .table_name(TABLE)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .expect("a changed item");
    }

    async fn copy(&self, [pk, sk]: [&str; 2], to: [&str; 2]) {
        let found = self
            .client
            .get_item()
            .table_name(TABLE)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .send()
            .await;
        let mut item = found.expect("a response").item.expect("an item");
        item.insert("pk".to_owned(), string(to[0]));
        item.insert("sk".to_owned(), string(to[1]));
        self.client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item))
            .send()
            .await
            .expect("an item");
    }

    /// Returns the keys of a group's messages.
    async fn keys(&self, group: &Group) -> Vec<String> {
        let found = read(&self.cruddur).await;
        let messages = found.messages[&group.id.to_string()].iter();
        messages
            .map(|message| text(message, "sk").to_owned())
            .collect()
    }
}

/// A group, with the name of its other user.
struct Group {
    id: MessageGroupId,
    other: UserId,
    head: String,
    messages: String,
    row: String,
    newest: String,
}

const GROUPS: [&str; 13] = [
    "head",
    "wrong",
    "count",
    "row",
    "stale",
    "unread",
    "duplicate",
    "strange",
    "gap",
    "empty",
    "orphan",
    "lost",
    "whole",
];

/// Creates every kind of damage, each in its own group.
async fn damage(table: &Damaged, groups: &BTreeMap<&str, Group>) {
    let number = |number: u32| AttributeValue::N(number.to_string());
    let luus = format!("GRP#{}", table.luu.id);
    let nobody = |number: u128| uuid::Uuid::from_u128(number);
    for (name, group) in groups {
        let Group {
            head,
            messages,
            row,
            newest,
            ..
        } = group;
        let keys = table.keys(group).await;
        match *name {
            "head" => table.delete(head, "HEAD").await,
            "wrong" => {
                let old = string(&keys[1]);
                table.set(head, "HEAD", "last_message_at", old).await;
            }
            "count" => table.set(head, "HEAD", "message_count", number(9)).await,
            "row" => table.delete(row, newest).await,
            "stale" => {
                let text = string("something else");
                table.set(row, newest, "message", text).await;
            }
            "unread" => table.set(row, newest, "unread_count", number(77)).await,
            "duplicate" => {
                let beside = [row, "2025-06-01T00:00:00+00:00"];
                table.copy([row, newest], beside).await;
            }
            "strange" => {
                let stranger = format!("GRP#{}", nobody(1));
                table.copy([row, newest], [&stranger, newest]).await;
            }
            "gap" => table.delete(messages, &keys[1]).await,
            "empty" => {
                for key in &keys {
                    table.delete(messages, key).await;
                }
            }
            "orphan" => {
                table.delete(head, "HEAD").await;
                table.delete(row, newest).await;
                table.delete(&luus, newest).await;
            }
            "lost" => {
                let beside = "2025-07-01T00:00:00+00:00";
                table.copy([row, newest], [&luus, beside]).await;
                let group = string(nobody(4));
                table.set(&luus, beside, "message_group_uuid", group).await;
            }
            _ => {}
        }
    }
    let alias = format!("HEAD#{}", nobody(3));
    table
        .set(&alias, "HEAD", "alias_of", string(nobody(2)))
        .await;
}

#[tokio::test]
async fn check_repair_fixes_each_kind_of_damage_and_a_second_check_is_clean() {
    let table = Damaged::new().await;
    let mut groups = BTreeMap::new();
    for name in GROUPS {
        groups.insert(name, table.group(name).await);
    }
    damage(&table, &groups).await;

    let (code, found) = check(&table.cruddur, &[]).await;
    assert_eq!(code, 1);
    insta::assert_compact_json_snapshot!(kinds(&found), @r#"
    {
      "dangling-alias": 1,
      "duplicate-row": 1,
      "gap-in-seq": 1,
      "head-without-messages": 1,
      "missing-head": 1,
      "missing-row": 1,
      "non-participant-row": 1,
      "row-without-messages": 1,
      "stale-row": 2,
      "unreachable-messages": 1,
      "wrong-head": 2
    }
    "#);

    let (code, repaired) = check(&table.cruddur, &["--repair"]).await;
    let failed: Vec<&Value> = repaired
        .iter()
        .filter(|line| line["repaired"] != true)
        .collect();
    assert_eq!((code, failed), (0, Vec::new()));
    assert_eq!(check(&table.cruddur, &[]).await, (0, Vec::new()));

    let found = read(&table.cruddur).await;
    found.check();
    let after = texts(&found);
    for (name, group) in &groups {
        let left: &[u32] = match *name {
            "empty" => &[],
            "gap" => &[1, 3, 4, 5],
            _ => &[1, 2, 3, 4, 5],
        };
        let found = after.get(&group.id.to_string());
        let found = found.cloned().unwrap_or_default();
        assert_eq!(found, numbered(left.iter().copied()), "{name}");
        let sent = table.cruddur.send("luu", name, "goes on").await;
        assert_eq!(
            sent["messageEdge"]["node"]["messageGroup"]["uuid"],
            json!(group.id),
            "{name}"
        );
    }
    read(&table.cruddur).await.check();
}

#[tokio::test]
async fn adoption_of_two_groups_with_the_same_newest_microsecond_succeeds() {
    let cruddur = start().await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, one, other] = cruddur.users(["luu", "one", "other"]).await;
    // The second row replaces the first.
    original.conversation([&luu, &one], &FORMS[..3]).await;
    original.conversation([&luu, &other], &FORMS[..3]).await;
    let before = texts(&read(&cruddur).await);

    let (code, _) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 0);

    let after = read(&cruddur).await;
    after.check_adopted();
    assert_eq!(texts(&after), before);
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
}

#[tokio::test]
async fn unreadable_items_cause_no_repair() {
    let table = Damaged::new().await;
    let [bad_head, no_text, oldest, stranger] = [
        table.group("head").await,
        table.group("text").await,
        table.group("oldest").await,
        table.group("stranger").await,
    ];
    let nonsense = || string("nonsense");
    table
        .set(&bad_head.head, "HEAD", "version", nonsense())
        .await;
    for key in table.keys(&no_text).await {
        table
            .set(&no_text.messages, &key, "user_uuid", nonsense())
            .await;
    }
    let keys = table.keys(&oldest).await;
    table
        .set(&oldest.messages, &keys[1], "user_uuid", nonsense())
        .await;
    let two = AttributeValue::Ss(vec![
        table.luu.id.to_string(),
        uuid::Uuid::from_u128(1).to_string(),
    ]);
    table.set(&stranger.head, "HEAD", "participants", two).await;
    let items = async || {
        let mut command = cruddur(&["scan"]);
        with_stores(&mut command, &table.cruddur);
        let (_, out, _) = run(&mut command).await;
        let mut items: Vec<String> = out.lines().map(str::to_owned).collect();
        items.sort();
        items
    };
    let before = items().await;

    let (code, left) = check(&table.cruddur, &["--repair"]).await;

    assert_eq!(code, 1);
    assert!(
        left.iter().all(|line| line["repaired"] == false),
        "{left:?}"
    );
    insta::assert_compact_json_snapshot!(kinds(&left), @r#"{"gap-in-seq": 1, "non-participant-row": 1, "unreadable-item": 7, "wrong-head": 1}"#);
    assert_eq!(items().await, before);
}

#[tokio::test]
async fn renumbering_messages_keeps_read_messages_read() {
    let table = Damaged::new().await;
    let group = table.group("other").await;
    let luus = table.luu.id.to_string();
    let read = |count: u32| AttributeValue::N(count.to_string());
    let counts =
        AttributeValue::M([(luus.clone(), read(4)), (group.other.to_string(), read(1))].into());
    table.set(&group.head, "HEAD", "read_counts", counts).await;
    let keys = table.keys(&group).await;
    table.delete(&group.messages, &keys[2]).await;

    let (code, _) = check(&table.cruddur, &["--repair"]).await;

    assert_eq!(code, 0);
    let found = self::read(&table.cruddur).await;
    found.check();
    let head = &found.heads[&group.id.to_string()];
    let counts = head["read_counts"].as_m().expect("counts");
    // luu has read all messages except the last, and the other user only the
    // first.
    assert_eq!(counts[&luus], read(3));
    assert_eq!(counts[&group.other.to_string()], read(1));
}
