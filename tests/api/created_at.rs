//! `createdAt` in groups whose newest key is ahead of the clock.

use chrono::{DateTime, TimeDelta, Utc};
use cruddur::clock::Clock;
use serde_json::{Value, json};

use crate::commands::run;
use crate::harness::checker::{self, text};
use crate::harness::{
    CREATE, Cruddur, Setup, Socket, TABLE, bodies, cruddur, start, start_with, with_stores,
};
use crate::live::{event, subscribe};
use crate::original::{Original, OriginalGroup};

const CREATED: &str = "subscription($group: UUID, $after: String) {
    messageCreated(messageGroupUuid: $group, after: $after) {
        messageEdge { node { createdAt } }
        messageGroupEdge { node { lastMessageAt lastMessage { createdAt } } }
    }
}";
const EVERYWHERE: &str = "query($group: UUID!, $id: ID!, $handle: String!) {
    messages(messageGroupUuid: $group, last: 1) { edges { cursor node { createdAt } } }
    messageGroup(uuid: $group) { ...Group }
    messageGroups { edges { node { ...Group } } }
    user(handle: $handle) { messageGroup { ...Group } }
    node(id: $id) { ... on Message { createdAt messageGroup { ...Group } } }
}
fragment Group on MessageGroup {
    lastMessageAt
    lastMessage { createdAt }
    messages(last: 1) { edges { node { createdAt } } }
}";

fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a time");
    text.parse().expect("a time")
}

/// Returns every time in a response.
fn times(response: &Value) -> Vec<&Value> {
    match response {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match name.as_str() {
                "createdAt" | "lastMessageAt" => vec![value],
                _ => times(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(times).collect(),
        _ => Vec::new(),
    }
}

/// Formats in which the original's keys are ahead of the clock: its seed,
/// another offset, a malformed key.
fn ahead() -> [(&'static str, String); 3] {
    let now = Clock::system().now();
    let in_india = now + TimeDelta::minutes(330);
    [
        (
            "seed",
            (now + TimeDelta::hours(2))
                .format("%Y-%m-%dT%H:%M:%S%.6f+00:00")
                .to_string(),
        ),
        (
            "offset",
            in_india.format("%Y-%m-%dT%H:%M:%S+05:30").to_string(),
        ),
        (
            "month",
            (now + TimeDelta::days(30))
                .format("%Y-%m-%dT%H:%M:%S")
                .to_string(),
        ),
    ]
}

/// Writes a group of the original between luu and another user with this newest
/// key.
async fn group(cruddur: &Cruddur, handle: &str, newest: &str) -> OriginalGroup {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, other] = cruddur.users(["luu", handle]).await;
    let keys = ["2024-01-01T00:00:00+00:00", newest];
    original.conversation([&luu, &other], &keys).await
}

fn input(group: &OriginalGroup, body: &str) -> Value {
    let to = json!({ "messageGroupUuid": group.uuid });
    json!({ "input": { "to": to, "body": body, "idempotencyKey": body } })
}

async fn newest_cursor(cruddur: &Cruddur, group: &OriginalGroup) -> Value {
    let document =
        "query($group: UUID!) { messages(messageGroupUuid: $group, last: 1) { edges { cursor } } }";
    let read = cruddur.data("luu", document, json!({ "group": group.uuid }));
    read.await["messages"]["edges"][0]["cursor"].take()
}

/// Returns the JSON that a command prints.
async fn printed(cruddur_: &Cruddur, arguments: &[&str]) -> Value {
    let mut command = cruddur(&[arguments, &["--json"]].concat());
    with_stores(&mut command, cruddur_);
    let (code, out, stderr) = run(&mut command).await;
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    serde_json::from_str(&out).expect("JSON")
}

#[tokio::test]
async fn created_at_is_the_time_of_acceptance_if_the_newest_key_is_ahead() {
    let cruddur = start().await;
    let second = cruddur.second_server(Setup::default()).await;
    for (name, newest) in ahead() {
        let group = group(&cruddur, name, &newest).await;
        let mut socket = Socket::connect(&cruddur.url, &cruddur.token(name)).await;
        subscribe(&cruddur, &mut socket, CREATED).await;
        let mut newest = newest_cursor(&cruddur, &group).await;
        for body in ["first", "second"] {
            let body = format!("{body} of {name}");
            let before = Clock::system().now() - TimeDelta::milliseconds(1);
            let sent = cruddur.data("luu", CREATE, input(&group, &body)).await;
            let after = Clock::system().now();

            let created = &sent["createMessage"]["messageEdge"]["node"];
            let accepted = &created["createdAt"];
            assert!(
                (before..=after).contains(&time(accepted)),
                "{name}: {accepted}"
            );
            let variables = json!({ "group": group.uuid, "id": created["id"], "handle": name });
            let read = cruddur.data("luu", EVERYWHERE, variables).await;
            let mut found: Vec<Value> = times(&read).into_iter().cloned().collect();
            // The list also contains earlier groups, with other times.
            found.retain(|time| time == accepted);
            assert!(found.len() >= 14, "{name}: {accepted} in {read}");
            assert_eq!(
                time(&read["messages"]["edges"][0]["node"]["createdAt"]),
                time(accepted)
            );

            let again = cruddur.data("luu", CREATE, input(&group, &body)).await;
            let elsewhere = cruddur
                .execute_at(&second, "luu", CREATE, input(&group, &body))
                .await;
            let delivered = event(&mut socket, "messageCreated").await;
            // Another server has received no hint, and reads the table.
            let mut resumed = Socket::connect(&second, &cruddur.token(name)).await;
            let variables = json!({ "group": group.uuid, "after": newest });
            resumed.subscribe("resumed", CREATED, variables).await;
            let read_again = event(&mut resumed, "messageCreated").await;
            for response in [&sent, &again, &elsewhere, &delivered, &read_again] {
                let times = times(response);
                assert!(times.len() >= 2, "{response}");
                assert!(
                    times.iter().all(|time| *time == accepted),
                    "{name}: {response}"
                );
            }
            newest = sent["createMessage"]["messageEdge"]["cursor"].clone();
            for arguments in [
                &["list-conversations", name][..],
                &["get-conversation", "--between", "luu", name, "--limit", "1"],
            ] {
                let printed = printed(&cruddur, arguments).await;
                assert_eq!(times(&printed), [accepted], "{arguments:?}");
            }
        }
        let all = "query($group: UUID!) { messages(messageGroupUuid: $group) { edges { cursor node { body } } } }";
        let read = cruddur
            .data("luu", all, json!({ "group": group.uuid }))
            .await;
        let [first, second] = ["first", "second"].map(|body| format!("{body} of {name}"));
        assert_eq!(
            bodies(&read["messages"]),
            ["original 1", "original 2", &first, &second],
            "the order of the keys"
        );
        let after = "query($group: UUID!, $after: String) { messages(messageGroupUuid: $group, after: $after) { edges { node { body } } } }";
        let cursor = &read["messages"]["edges"][1]["cursor"];
        let variables = json!({ "group": group.uuid, "after": cursor });
        let read = cruddur.data("luu", after, variables).await;
        assert_eq!(bodies(&read["messages"]), [first, second]);
    }
    checker::read(&checker::client(&cruddur.dynamo.url))
        .await
        .check_adopted();
}

#[tokio::test]
async fn created_at_follows_a_clock_that_is_behind() {
    let behind = Clock::new(|| Clock::system().now() - TimeDelta::minutes(10));
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let second = cruddur
        .second_server(Setup {
            clock: behind,
            ..Setup::default()
        })
        .await;
    cruddur.send("luu", "unamused", "on time").await;

    let input = json!({ "input": { "to": { "receiverHandle": "luu" }, "body": "late" } });
    let sent = cruddur.execute_at(&second, "unamused", CREATE, input).await;

    let accepted = time(&sent["data"]["createMessage"]["messageEdge"]["node"]["createdAt"]);
    let ago = Clock::system().now() - accepted;
    assert!(ago > TimeDelta::minutes(9), "{accepted}");
    let group = cruddur.group_uuid("luu", "unamused").await;
    let document =
        "query($group: UUID!) { messages(messageGroupUuid: $group) { edges { node { body } } } }";
    let read = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;
    assert_eq!(bodies(&read["messages"]), ["on time", "late"]);
}

#[tokio::test]
async fn created_at_is_not_stored_if_the_key_contains_it() {
    let clock = Clock::new(|| "2026-11-22T06:29:00Z".parse().expect("a time"));
    let cruddur = start_with(Setup {
        clock,
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu", "unamused"]).await;
    // All in the same microsecond of this clock: each key is one microsecond
    // later.
    for body in ["one", "two", "three"] {
        cruddur.send("luu", "unamused", body).await;
    }

    let client = checker::client(&cruddur.dynamo.url);
    let items = client
        .scan()
        .table_name(TABLE)
        .send()
        .await
        .expect("a scan");
    let items = items.items.expect("items");
    assert!(items.len() > 5);
    for item in items {
        assert!(!item.contains_key("accepted_at"), "{}", text(&item, "pk"));
    }
}
