//! The original's groups: readable immediately, and adopted at their first
//! write.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::checker::{self, TableItems, text};
use crate::harness::{CREATE, Cruddur, bodies, start};
use crate::original::{Original, OriginalGroup};

/// Every format of a time that the original wrote, in the order of the texts.
pub const FORMS: [&str; 7] = [
    "2023-03-01T10:00:00",
    "2023-03-01T10:00:00+00:00",
    "2023-03-01T10:00:00.000001+00:00",
    "2023-03-01T10:00:00.5",
    "2023-03-01T12:00:00.123456+02:00",
    "2023-12-31T23:59:59.999999+00:00",
    "2024-01-01T00:00:00+00:00",
];

const MESSAGES: &str = "query($group: UUID!) { messages(messageGroupUuid: $group, last: 100) { edges { node { body createdAt sender { handle } } } } }";
const GROUPS: &str = "query($after: String) {
    messageGroups(first: 7, after: $after) {
        edges { node { uuid lastMessageAt lastMessage { body sender { handle } } otherUser { handle } } }
        pageInfo { hasNextPage endCursor }
    }
}";

async fn read(cruddur: &Cruddur) -> TableItems {
    checker::read(&checker::client(&cruddur.dynamo.url)).await
}

async fn groups(cruddur: &Cruddur, handle: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut page = cruddur
            .data(handle, GROUPS, json!({ "after": after }))
            .await["messageGroups"]
            .take();
        after = page["pageInfo"]["endCursor"].take();
        found.extend(
            page["edges"]
                .as_array()
                .expect("edges")
                .iter()
                .map(|edge| edge["node"].clone()),
        );
        if page["pageInfo"]["hasNextPage"] == false {
            return found;
        }
    }
}

async fn send_to(cruddur: &Cruddur, handle: &str, group: &OriginalGroup, body: &str) -> Value {
    let input = json!({ "to": { "messageGroupUuid": group.uuid }, "body": body });
    cruddur
        .data(handle, CREATE, json!({ "input": input }))
        .await["createMessage"]
        .take()
}

/// Fifty groups of luu with all errors that the original caused, each several
/// times.
pub async fn fifty(cruddur: &Cruddur) -> Vec<OriginalGroup> {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu] = cruddur.users(["luu"]).await;
    let mut groups = Vec::new();
    for number in 0..50 {
        let [other] = cruddur.users([format!("u{number}").as_str()]).await;
        let times: Vec<String> = FORMS
            .iter()
            .map(|time| time.replace("T00:00", &format!("T00:{number:02}")))
            .collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        let mut group = original.conversation([&luu, &other], &times).await;
        let (newest, _) = group.messages.last().expect("a message").clone();
        match number % 10 {
            // In the future: the clock of a seed was ahead.
            0 => {
                original
                    .message(
                        &mut group,
                        0,
                        "2031-01-01T00:00:00.000000+00:00",
                        "from the future",
                    )
                    .await;
            }
            // Duplicate rows: the stream function crashed between put and
            // delete.
            1 => {
                original
                    .row(&group, 0, "2022-01-01T00:00:00+00:00", "old")
                    .await;
                original
                    .row(&group, 1, "2022-01-01T00:00:00+00:00", "old")
                    .await;
            }
            // More duplicate rows than fit into one transaction.
            2 => {
                for minute in 0..30 {
                    original
                        .row(
                            &group,
                            0,
                            &format!("2022-01-01T00:{minute:02}:00+00:00"),
                            "old",
                        )
                        .await;
                }
            }
            // The row of the viewer or of the other user is missing.
            3 => original.delete_row(&group, 0, &newest).await,
            4 => original.delete_row(&group, 1, &newest).await,
            // A stale preview at an old key, and another message.
            5 => {
                original
                    .message(&mut group, 1, "2024-06-01T00:00:00+00:00", "not previewed")
                    .await;
            }
            6 => {
                original
                    .row(&group, 0, &newest, "this is a filler message")
                    .await;
            }
            // Unreadable items among the messages and the rows.
            7 => {
                let broken = |pk: String, sk: &str| {
                    [
                        ("pk", aws_sdk_dynamodb::types::AttributeValue::S(pk)),
                        (
                            "sk",
                            aws_sdk_dynamodb::types::AttributeValue::S(sk.to_owned()),
                        ),
                    ]
                };
                original
                    .put(broken(
                        format!("MSG#{}", group.uuid),
                        "2024-06-01T00:00:00+00:00",
                    ))
                    .await;
                original
                    .put(broken(
                        format!("GRP#{}", luu.id),
                        &format!("2024-06-{number:02}"),
                    ))
                    .await;
            }
            // A row that replaced the row of another group.
            9 => {
                let before: &OriginalGroup = &groups[number - 1];
                let (taken, _) = before.messages.last().expect("a message");
                original.row(&group, 0, taken, "in the way").await;
            }
            _ => {}
        }
        groups.push(group);
    }
    groups
}

#[tokio::test]
async fn original_groups_are_readable_in_the_order_of_their_keys() {
    let cruddur = start().await;
    let originals = fifty(&cruddur).await;

    let shown = groups(&cruddur, "luu").await;
    for (number, group) in originals.iter().enumerate() {
        let found = shown
            .iter()
            .find(|shown| shown["uuid"] == group.uuid.to_string());
        // The viewer's row is missing in two of ten groups.
        assert_eq!(
            found.is_some(),
            ![3, 8].contains(&(number % 10)),
            "group {number}"
        );
        let newest = group.messages.iter().max().expect("a message");
        if let Some(found) = found {
            assert_eq!(
                found["lastMessage"]["body"],
                newest.1.as_str(),
                "group {number}"
            );
            assert_eq!(found["otherUser"]["handle"], format!("u{number}"));
        }
        for handle in ["luu", &format!("u{number}")] {
            let data = cruddur
                .data(handle, MESSAGES, json!({ "group": group.uuid }))
                .await;
            let mut expected = group.messages.clone();
            expected.sort();
            let expected: Vec<&str> = expected.iter().map(|(_, body)| body.as_str()).collect();
            assert_eq!(
                bodies(&data["messages"]),
                expected,
                "group {number} as {handle}"
            );
        }
        let stranger = format!("u{}", (number + 1) % 50);
        let data = cruddur
            .data(&stranger, MESSAGES, json!({ "group": group.uuid }))
            .await;
        assert_eq!(data["messages"], Value::Null);
        let single = "query($group: UUID!, $handle: String!) { messageGroup(uuid: $group) { uuid lastMessage { body } otherUser { handle } } user(handle: $handle) { messageGroup { uuid } } }";
        let data = cruddur
            .data(
                "luu",
                single,
                json!({ "group": group.uuid, "handle": format!("u{number}") }),
            )
            .await;
        assert_eq!(
            data["messageGroup"]["lastMessage"]["body"],
            newest.1.as_str(),
            "group {number}"
        );
        assert_eq!(
            data["user"]["messageGroup"]["uuid"],
            group.uuid.to_string(),
            "group {number}"
        );
    }
    assert!(read(&cruddur).await.heads.is_empty());
}

#[tokio::test]
async fn adoption_of_a_group_takes_one_write_and_keeps_the_invariant() {
    let cruddur = start().await;
    let originals = fifty(&cruddur).await;
    let before = read(&cruddur).await;
    // Unreadable items stay unchanged and are not counted.
    for (number, group) in originals.iter().enumerate() {
        let other = format!("u{number}");
        let created = match number % 4 {
            0 => send_to(&cruddur, "luu", group, "adopted").await,
            1 => send_to(&cruddur, &other, group, "adopted").await,
            2 => cruddur.send("luu", &other, "adopted").await,
            _ => cruddur.send(&other, "luu", "adopted").await,
        };
        let node = &created["messageEdge"]["node"];
        assert_eq!(
            node["messageGroup"]["uuid"],
            group.uuid.to_string(),
            "group {number}: {created}"
        );
        // The pair's UUID also finds the group, now without reading rows.
        let again = cruddur.send("luu", &other, "again").await;
        assert_eq!(
            again["messageEdge"]["node"]["messageGroup"]["uuid"],
            group.uuid.to_string()
        );
    }

    let after = read(&cruddur).await;
    after.check_adopted();
    for (number, group) in originals.iter().enumerate() {
        let id = group.uuid.to_string();
        let texts: Vec<&str> = after.messages[&id]
            .iter()
            .map(|message| text(message, "message"))
            .collect();
        assert_eq!(
            texts.len(),
            before.messages[&id].len() + 2,
            "group {number}"
        );
        assert_eq!(
            texts[texts.len() - 2..],
            ["adopted", "again"],
            "group {number}"
        );
        let pair = cruddur::model::MessageGroupId::of_pair(group.pair[0].id, group.pair[1].id);
        assert_eq!(
            text(&after.heads[&pair.to_string()], "alias_of"),
            id,
            "group {number}"
        );
    }
    assert_eq!(groups(&cruddur, "luu").await.len(), 50);
}

#[tokio::test]
async fn adoption_keeps_several_groups_of_a_pair_and_the_newest_is_the_pairs() {
    let cruddur = start().await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let older = original.conversation([&luu, &unamused], &FORMS[..3]).await;
    let newer = original.conversation([&unamused, &luu], &FORMS[3..]).await;

    let by_handle = cruddur.send("luu", "unamused", "to the newest").await;
    let to_older = send_to(&cruddur, "unamused", &older, "to the older").await;
    let again = cruddur.send("unamused", "luu", "to the pair").await;

    assert_eq!(
        by_handle["messageEdge"]["node"]["messageGroup"]["uuid"],
        newer.uuid.to_string()
    );
    assert_eq!(
        to_older["messageEdge"]["node"]["messageGroup"]["uuid"],
        older.uuid.to_string()
    );
    assert_eq!(
        again["messageEdge"]["node"]["messageGroup"]["uuid"],
        newer.uuid.to_string()
    );
    read(&cruddur).await.check_adopted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_writes_create_one_head_and_lose_no_message() {
    let cruddur = start().await;
    let second = cruddur
        .second_server(crate::harness::Setup::default())
        .await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu] = cruddur.users(["luu"]).await;
    let mut originals = Vec::new();
    for number in 0..100 {
        let [other] = cruddur.users([format!("u{number}").as_str()]).await;
        originals.push(original.conversation([&luu, &other], &FORMS[..2]).await);
    }

    for (number, group) in originals.iter().enumerate() {
        let other = format!("u{number}");
        let by_group =
            json!({ "input": { "to": { "messageGroupUuid": group.uuid }, "body": "one" } });
        let by_handle = json!({ "input": { "to": { "receiverHandle": "luu" }, "body": "other" } });
        let (one, another) = tokio::join!(
            cruddur.execute("luu", CREATE, by_group),
            cruddur.execute_at(&second, &other, CREATE, by_handle),
        );
        for response in [one, another] {
            let created = &response["data"]["createMessage"]["messageEdge"]["node"];
            assert_eq!(
                created["messageGroup"]["uuid"],
                group.uuid.to_string(),
                "group {number}: {response}"
            );
        }
    }

    let found = read(&cruddur).await;
    found.check_adopted();
    let heads = found
        .heads
        .values()
        .filter(|head| !head.contains_key("alias_of"))
        .count();
    assert_eq!(
        (heads, found.messages.values().map(Vec::len).sum::<usize>()),
        (100, 400)
    );
    join_all(originals.iter().map(|group| async {
        let data = cruddur
            .data("luu", MESSAGES, json!({ "group": group.uuid }))
            .await;
        assert_eq!(bodies(&data["messages"]).len(), 4);
    }))
    .await;
}

#[tokio::test]
async fn seed_does_not_change_a_pair_that_has_a_group_of_the_original() {
    let cruddur = start().await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let group = original.conversation([&luu, &unamused], &FORMS[..2]).await;

    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 5)
        .await;

    assert_eq!(
        cruddur.group_uuid("luu", "unamused").await,
        group.uuid.to_string()
    );
    assert!(read(&cruddur).await.heads.is_empty());
}
