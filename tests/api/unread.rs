//! Unread counts and marks as read.

use serde_json::{Value, json};

use crate::harness::{Cruddur, Setup, checker, start};

const MARK: &str = "mutation($input: MarkMessageGroupReadInput!) {
    markMessageGroupRead(input: $input) {
        __typename
        ... on MarkMessageGroupReadSuccess { messageGroup { uuid unreadCount } unreadMessageGroupCount }
        ... on Problem { message }
    }
}";
const UNREAD: &str = "{
    unreadMessageGroupCount
    messageGroups { edges { node { id uuid unreadCount otherUser { handle } } } }
}";

async fn mark(cruddur: &Cruddur, handle: &str, group: &str, up_to: &Value) -> Value {
    let input = json!({ "input": { "messageGroupUuid": group, "upTo": up_to } });
    cruddur.execute(handle, MARK, input).await
}

/// Returns the number of a user's groups with unread messages, and the number
/// of messages in each.
async fn unread(cruddur: &Cruddur, handle: &str) -> (u64, Vec<(String, u64)>) {
    let data = cruddur.data(handle, UNREAD, json!({})).await;
    let mut counts = Vec::new();
    for edge in data["messageGroups"]["edges"].as_array().expect("edges") {
        let listed = &edge["node"];
        let alone = "query($uuid: UUID!) { messageGroup(uuid: $uuid) { unreadCount } }";
        let alone = cruddur.data(handle, alone, json!({ "uuid": listed["uuid"] }));
        let alone = &alone.await["messageGroup"]["unreadCount"];
        assert_eq!(&listed["unreadCount"], alone, "in a list and alone");
        let other = listed["otherUser"]["handle"].as_str().expect("a handle");
        counts.push((other.to_owned(), alone.as_u64().expect("a count")));
    }
    let groups = data["unreadMessageGroupCount"].as_u64().expect("a count");
    (groups, counts)
}

fn cursor(created: &Value) -> &Value {
    &created["messageEdge"]["cursor"]
}

#[tokio::test]
async fn unread_messages_become_read_by_a_mark_or_a_reply() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let mut sent = Vec::new();
    for number in 0..3 {
        let body = format!("message {number}");
        sent.push(cruddur.send("luu", "unamused", &body).await);
    }
    cruddur.send("mirabel", "unamused", "hello").await;
    let of = |handle: &str, count| (handle.to_owned(), count);
    assert_eq!(unread(&cruddur, "luu").await, (0, vec![of("unamused", 0)]));
    assert_eq!(
        unread(&cruddur, "unamused").await,
        (2, vec![of("mirabel", 1), of("luu", 3)])
    );

    let group = cruddur.group_uuid("unamused", "luu").await;
    let marked = mark(&cruddur, "unamused", &group, cursor(&sent[1])).await;
    assert_eq!(
        marked["data"]["markMessageGroupRead"],
        json!({
            "__typename": "MarkMessageGroupReadSuccess",
            "messageGroup": { "uuid": group, "unreadCount": 1 },
            "unreadMessageGroupCount": 2,
        })
    );
    // Read messages stay read.
    let marked = mark(&cruddur, "unamused", &group, cursor(&sent[0])).await;
    let marked = &marked["data"]["markMessageGroupRead"];
    assert_eq!(marked["messageGroup"]["unreadCount"], 1);
    cruddur.send("unamused", "luu", "a response").await;
    assert_eq!(
        unread(&cruddur, "unamused").await,
        (1, vec![of("luu", 0), of("mirabel", 1)])
    );
    assert_eq!(unread(&cruddur, "luu").await, (1, vec![of("unamused", 1)]));
    checker::read(&checker::client(&cruddur.dynamo.url))
        .await
        .check();
}

#[tokio::test]
async fn mark_as_read_requires_a_participant_and_a_cursor_of_the_group() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let sent = cruddur.send("luu", "unamused", "hello").await;
    let other = cruddur.send("luu", "mirabel", "hello").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let nowhere = uuid::Uuid::new_v4().to_string();

    let stranger = mark(&cruddur, "mirabel", &group, cursor(&sent)).await;
    assert_eq!(
        stranger["data"]["markMessageGroupRead"]["__typename"],
        "MessageGroupNotFound"
    );
    for (group, up_to) in [
        (&group, cursor(&other)),
        (&nowhere, cursor(&sent)),
        (&group, &json!("")),
        (&group, &json!("nonsense")),
        (&group, &other["messageGroupEdge"]["cursor"]),
    ] {
        let rejected = mark(&cruddur, "unamused", group, up_to).await;
        let code = &rejected["errors"][0]["extensions"]["code"];
        assert_eq!(code, "BAD_USER_INPUT", "{rejected}");
    }
    assert_eq!(unread(&cruddur, "unamused").await.0, 1);
}

#[tokio::test]
async fn mark_as_read_costs_a_read_and_a_transaction_or_only_the_read() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let sent = cruddur.send("luu", "unamused", "hello").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let only = "mutation($input: MarkMessageGroupReadInput!) { markMessageGroupRead(input: $input) { __typename } }";
    let input = json!({ "input": { "messageGroupUuid": group, "upTo": cursor(&sent) } });

    let mut calls = Vec::new();
    for _ in 0..2 {
        let second = cruddur.second_server(Setup::default()).await;
        cruddur.dynamo.calls();
        let marked = cruddur.execute_at(&second, "unamused", only, input.clone());
        marked.await;
        calls.push(cruddur.dynamo.calls());
    }

    assert_eq!(
        calls,
        [
            vec!["GetItem strong", "TransactWriteItems"],
            vec!["GetItem strong"]
        ]
    );
}

#[tokio::test]
async fn mark_as_read_waits_for_earlier_messages_of_the_group() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let sent = cruddur.send("luu", "unamused", "first").await;
    let group = cruddur.group_uuid("luu", "unamused").await;

    let held = cruddur.dynamo.hold().await;
    cruddur.dynamo.calls();
    let second = cruddur.send("luu", "unamused", "second");
    let marked = mark(&cruddur, "unamused", &group, cursor(&sent));
    let free = async {
        cruddur.dynamo.transactions(1).await;
        drop(held);
    };
    let (_, marked, ()) = tokio::join!(second, marked, free);

    let marked = &marked["data"]["markMessageGroupRead"]["messageGroup"];
    assert_eq!(marked["unreadCount"], 1);
}

/// A user's versions of their only group, on each path that returns it.
async fn versions(cruddur: &Cruddur, handle: &str, other: &str) -> Vec<Value> {
    let listed = "{ messageGroups { edges { node { id uuid version } } } }";
    let listed = cruddur.data(handle, listed, json!({})).await;
    let listed = &listed["messageGroups"]["edges"][0]["node"];
    let alone = "query($id: ID!, $uuid: UUID!, $other: String!) {
        node(id: $id) { ... on MessageGroup { version } }
        messageGroup(uuid: $uuid) { version lastMessage { messageGroup { version } } }
        user(handle: $other) { messageGroup { version } }
    }";
    let variables = json!({ "id": listed["id"], "uuid": listed["uuid"], "other": other });
    let alone = cruddur.data(handle, alone, variables).await;
    let group = &alone["messageGroup"];
    vec![
        listed["version"].clone(),
        alone["node"]["version"].clone(),
        group["version"].clone(),
        group["lastMessage"]["messageGroup"]["version"].clone(),
        alone["user"]["messageGroup"]["version"].clone(),
    ]
}

#[tokio::test]
async fn group_version_is_the_same_on_every_path_and_increases_with_each_change() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let send = async |from: &str, to: &str| {
        let document = "mutation($input: CreateMessageInput!) { createMessage(input: $input) {
            ... on CreateMessageSuccess { messageEdge { cursor } messageGroupEdge { node { uuid version } } }
        } }";
        let input = json!({ "input": { "to": { "receiverHandle": to }, "body": "hello" } });
        cruddur.data(from, document, input).await["createMessage"].take()
    };
    let created = send("luu", "unamused").await;
    let group = &created["messageGroupEdge"]["node"];

    // One message, which its sender has read.
    assert_eq!(group["version"], 2);
    assert_eq!(versions(&cruddur, "luu", "unamused").await, [2; 5]);
    assert_eq!(versions(&cruddur, "unamused", "luu").await, [1; 5]);

    let mark =
        "mutation($input: MarkMessageGroupReadInput!) { markMessageGroupRead(input: $input) {
        ... on MarkMessageGroupReadSuccess { messageGroup { version } }
    } }";
    let input = json!({ "input": { "messageGroupUuid": group["uuid"], "upTo": created["messageEdge"]["cursor"] } });
    let marked = cruddur.data("unamused", mark, input).await;
    let marked = &marked["markMessageGroupRead"]["messageGroup"];
    assert_eq!(marked["version"], 2);
    assert_eq!(versions(&cruddur, "unamused", "luu").await, [2; 5]);
    assert_eq!(versions(&cruddur, "luu", "unamused").await, [2; 5]);

    send("luu", "unamused").await;
    assert_eq!(versions(&cruddur, "unamused", "luu").await, [3; 5]);
    assert_eq!(versions(&cruddur, "luu", "unamused").await, [4; 5]);
}
