//! `eventCursor`: from a list to its live messages without a gap.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{SecondsFormat, TimeDelta};
use cruddur::clock::Clock;
use cruddur::model::User;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{CREATE, Cruddur, Setup, Socket, bodies, checker, start};
use crate::heads_marker::put;
use crate::live::event;

const CREATED: &str = "subscription($after: String) {
    messageCreated(after: $after) { messageEdge { node { body } } }
}";
const LIST_AND_CURSOR: &str = "query($group: UUID!) {
    messages(messageGroupUuid: $group, last: 100) { edges { node { body } } }
    eventCursor
}";

async fn event_cursor(cruddur: &Cruddur, handle: &str) -> Value {
    let mut data = cruddur.data(handle, "{ eventCursor }", json!({})).await;
    data["eventCursor"].take()
}

async fn resume(url: &str, cruddur: &Cruddur, handle: &str, after: &Value) -> Socket {
    let mut socket = Socket::connect(url, &cruddur.token(handle)).await;
    let variables = json!({ "after": after });
    socket.subscribe("live", CREATED, variables).await;
    socket
}

/// The bodies of the events up to the one with the body `end`.
async fn delivered_until(socket: &mut Socket, end: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let created = event(socket, "messageCreated").await;
        let body = created["messageEdge"]["node"]["body"].as_str();
        bodies.push(body.expect("a body").to_owned());
        if body == Some(end) {
            return bodies;
        }
    }
}

/// Writes rows of `owner` for groups with one message each, at a time.
async fn many_groups(cruddur: &Cruddur, owner: &User, count: u32, ago: TimeDelta) {
    let at = Clock::system().now() - ago;
    let row = |number: u32| {
        let text = |value: String| AttributeValue::S(value);
        let uuid = || text(Uuid::new_v4().to_string());
        let key = at + TimeDelta::microseconds(number.into());
        let item = [
            ("pk", text(format!("GRP#{}", owner.id))),
            (
                "sk",
                text(key.to_rfc3339_opts(SecondsFormat::Micros, false)),
            ),
            ("message_group_uuid", uuid()),
            ("message", text("hello".to_owned())),
            ("user_uuid", uuid()),
            ("user_handle", text(format!("other-{number}"))),
            ("user_display_name", text(format!("Other {number}"))),
            ("message_uuid", uuid()),
            ("sender_uuid", text(owner.id.to_string())),
            ("seq", AttributeValue::N("1".to_owned())),
            ("unread_count", AttributeValue::N("0".to_owned())),
        ];
        item.map(|(name, value)| (name.to_owned(), value)).into()
    };
    let client = checker::client(&cruddur.dynamo.url);
    put(&client, (0..count).map(row), 25).await;
}

/// Another server, whose clock is behind.
async fn server_behind(cruddur: &Cruddur, by: TimeDelta) -> String {
    let setup = Setup {
        clock: Clock::new(move || Clock::system().now() - by),
        ..Setup::default()
    };
    cruddur.second_server(setup).await
}

#[tokio::test]
async fn event_cursor_resumes_with_messages_since_a_minute_before_its_query() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let behind = server_behind(&cruddur, TimeDelta::minutes(2)).await;
    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "before" } });
    cruddur.execute_at(&behind, "luu", CREATE, input).await;
    cruddur.send("luu", "unamused", "recent").await;

    let cursor = event_cursor(&cruddur, "unamused").await;
    cruddur.send("luu", "unamused", "after").await;
    cruddur.send("unamused", "luu", "own").await;
    cruddur.send("mirabel", "unamused", "new group").await;

    for url in [&cruddur.url, &behind] {
        let mut socket = resume(url, &cruddur, "unamused", &cursor).await;
        let mut delivered = Vec::new();
        for _ in 0..4 {
            let created = event(&mut socket, "messageCreated").await;
            delivered.push(created["messageEdge"]["node"]["body"].clone());
        }
        delivered.sort_by_key(ToString::to_string);
        assert_eq!(delivered, ["after", "new group", "own", "recent"]);
        assert!(socket.is_quiet().await);
    }
}

#[tokio::test]
async fn event_cursor_resumes_with_messages_committed_before_it_is_resolved() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    // No bus between the two: what the other one commits is only in the table.
    let other = cruddur.second_server(Setup::default()).await;
    cruddur.send("luu", "unamused", "in the list").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let variables = json!({ "group": group });
    let list =
        "query($group: UUID!) { messages(messageGroupUuid: $group) { edges { node { body } } } }";
    let list = cruddur.data("unamused", list, variables).await;
    assert_eq!(bodies(&list["messages"]), ["in the list"]);

    let held = cruddur.dynamo.hold_next("Query");
    cruddur.dynamo.calls();
    let committed = async {
        cruddur.dynamo.called("Query strong").await;
        for body in ["first", "second"] {
            let input = json!({ "to": { "messageGroupUuid": group }, "body": body });
            let input = json!({ "input": input });
            cruddur.execute_at(&other, "luu", CREATE, input).await;
        }
        drop(held);
    };
    let (cursor, ()) = tokio::join!(event_cursor(&cruddur, "unamused"), committed);

    let mut socket = resume(&cruddur.url, &cruddur, "unamused", &cursor).await;
    let delivered = delivered_until(&mut socket, "second").await;
    assert!(delivered.ends_with(&["first".to_owned(), "second".to_owned()]));
}

#[tokio::test]
async fn event_cursor_leaves_no_gap_to_a_list_of_the_same_operation() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur.send("luu", "unamused", "first").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let texts: Vec<String> = (0..60).map(|number| format!("{number}")).collect();

    let send = async {
        for body in &texts {
            cruddur.send("luu", "unamused", body).await;
        }
        cruddur.send("luu", "unamused", "end").await;
    };
    let query = async {
        let mut responses = Vec::new();
        for _ in 0..8 {
            let variables = json!({ "group": group });
            responses.push(cruddur.data("unamused", LIST_AND_CURSOR, variables).await);
        }
        responses
    };
    let ((), responses) = tokio::join!(send, query);

    for response in responses {
        let mut received: Vec<String> = bodies(&response["messages"])
            .into_iter()
            .map(str::to_owned)
            .collect();
        let mut socket = resume(&cruddur.url, &cruddur, "unamused", &response["eventCursor"]).await;
        if received.last().is_none_or(|last| last != "end") {
            received.extend(delivered_until(&mut socket, "end").await);
        }
        let mut each_once = Vec::new();
        for body in received {
            if !each_once.contains(&body) {
                each_once.push(body);
            }
        }
        let expected = std::iter::once("first")
            .chain(texts.iter().map(String::as_str))
            .chain(["end"]);
        assert!(
            each_once.iter().map(String::as_str).eq(expected),
            "{each_once:?}"
        );
    }
}

#[tokio::test]
async fn event_cursor_of_a_thousand_groups_resumes_unless_too_many_are_recent() {
    let cruddur = start().await;
    let [luu, _] = cruddur.users(["luu", "unamused"]).await;
    many_groups(&cruddur, &luu, 1000, TimeDelta::hours(1)).await;
    many_groups(&cruddur, &luu, 250, TimeDelta::minutes(2)).await;

    let cursor = event_cursor(&cruddur, "luu").await;
    cruddur.send("unamused", "luu", "one more").await;
    let mut socket = resume(&cruddur.url, &cruddur, "luu", &cursor).await;
    assert_eq!(delivered_until(&mut socket, "one more").await, ["one more"]);

    many_groups(&cruddur, &luu, 10, TimeDelta::minutes(2)).await;
    let cursor = event_cursor(&cruddur, "luu").await;
    let mut socket = resume(&cruddur.url, &cruddur, "luu", &cursor).await;
    let rejected = socket.message().await;
    let error = &rejected["payload"]["errors"][0];
    assert_eq!(error["extensions"]["code"], "RESYNC", "{rejected}");
}

#[tokio::test]
async fn event_cursor_of_another_user_is_rejected() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;

    let cursor = event_cursor(&cruddur, "luu").await;

    let mut socket = resume(&cruddur.url, &cruddur, "unamused", &cursor).await;
    let rejected = socket.message().await;
    let error = &rejected["payload"]["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{rejected}");
}
