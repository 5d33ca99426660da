//! GraphQL over WebSocket: each rule of `graphql-transport-ws`, and the rules
//! that the server adds.

mod bounds;
mod callers;
mod ends;
mod handshake;
mod invalid;

use std::time::Duration;

use cruddur::server::Bounds;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::random::{cases, draw};
use crate::harness::{CREATE, Cruddur, Setup, Socket, start, start_with};

const VIEWER: &str = "{ viewer { handle } }";
const CREATED: &str = "subscription { messageCreated { cursor } }";
/// A timeout for which a test waits. Clients that respond do not exceed it, even
/// on a busy machine.
const SHORT: Duration = Duration::from_secs(3);

async fn with_bounds(bounds: Bounds) -> Cruddur {
    let setup = Setup {
        bounds,
        ..Setup::default()
    };
    let cruddur = start_with(setup).await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur
}

async fn luu(cruddur: &Cruddur) -> Socket {
    Socket::connect(&cruddur.url, &cruddur.token("luu")).await
}

/// Starts a system with a user, and connects a socket of the user.
async fn signed_in() -> (Cruddur, Socket) {
    let cruddur = with_bounds(Bounds::default()).await;
    let socket = luu(&cruddur).await;
    (cruddur, socket)
}

fn hello(to: &str) -> Value {
    json!({ "input": { "to": { "receiverHandle": to }, "body": "hello" } })
}

/// Returns the code and the reason with which the server closes a WebSocket after a message.
async fn closed_by(cruddur: &Cruddur, message: Message) -> (u16, String) {
    let mut socket = luu(cruddur).await;
    socket.send(message).await;
    socket.closed().await
}

fn why(close: &(u16, String)) -> (u16, &str) {
    (close.0, &close.1)
}

fn codes(error: &Value) -> Vec<&str> {
    assert_eq!(error["type"], "error", "{error}");
    let errors = error["payload"].as_array().expect("errors");
    errors
        .iter()
        .map(|error| error["extensions"]["code"].as_str().expect("a code"))
        .collect()
}

#[tokio::test]
async fn websocket_executes_queries_and_mutations() {
    let (cruddur, mut socket) = signed_in().await;
    assert!(
        socket
            .head
            .to_ascii_lowercase()
            .contains("sec-websocket-protocol: graphql-transport-ws"),
        "{}",
        socket.head
    );

    let sent = socket.execute("1", CREATE, hello("unamused")).await;
    let viewer = socket.execute("1", VIEWER, json!({})).await;

    let created = &sent["payload"]["data"]["createMessage"]["__typename"];
    assert_eq!(created, "CreateMessageSuccess", "{sent}");
    let expected = json!({
        "type": "next", "id": "1", "payload": { "data": { "viewer": { "handle": "luu" } } }
    });
    assert_eq!(viewer, expected);
    let group = cruddur.group_uuid("unamused", "luu").await;
    let document =
        "query($uuid: UUID!) { messages(messageGroupUuid: $uuid) { edges { node { body } } } }";
    let messages = cruddur
        .data("unamused", document, json!({ "uuid": group }))
        .await;
    let edges = json!([{ "node": { "body": "hello" } }]);
    assert_eq!(messages["messages"]["edges"], edges);
}

#[tokio::test]
async fn websocket_operations_run_concurrently() {
    let (cruddur, mut socket) = signed_in().await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("slow", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    let quick = socket.execute("quick", VIEWER, json!({})).await;
    drop(held);

    assert_eq!(quick["id"], "quick");
    assert_eq!(socket.message().await["id"], "slow");
}

#[tokio::test]
async fn connection_init_twice_closes_the_socket() {
    let (cruddur, mut socket) = signed_in().await;
    let too_many = (4429, "Too many initialisation requests");
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(why(&socket.closed().await), too_many);

    // It is also rejected while the first one is being verified.
    let mut hasty = Socket::open(&cruddur.url).await;
    hasty.init(&cruddur.token("luu")).await;
    hasty.init(&cruddur.token("luu")).await;
    let mut close = hasty.frame().await.expect("a frame");
    if let Message::Text(_) = close {
        close = hasty.frame().await.expect("a frame");
    }
    let Message::Close(Some(close)) = close else {
        panic!("{close:?}")
    };
    assert_eq!((u16::from(close.code), &*close.reason), too_many);
}

#[tokio::test]
async fn subscribe_before_the_acknowledgement_closes_the_socket() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut socket = Socket::open(&cruddur.url).await;
    socket.subscribe("1", VIEWER, json!({})).await;
    assert_eq!(why(&socket.closed().await), (4401, "Unauthorized"));
}

#[tokio::test]
async fn invalid_message_closes_the_socket_with_a_reason() {
    let cruddur = with_bounds(Bounds::default()).await;
    for (message, reason) in [
        (
            json!({ "type": "start", "id": "1" }),
            "Unknown `type`: \"start\"",
        ),
        (json!({ "id": "1" }), "`type` is missing"),
        (json!([]), "A message must be a JSON object"),
        (
            json!({ "type": "subscribe", "payload": { "query": VIEWER } }),
            "`id` is missing",
        ),
        (
            json!({ "type": "subscribe", "id": "", "payload": { "query": VIEWER } }),
            "`id` is empty",
        ),
        (
            json!({ "type": "subscribe", "id": 1, "payload": { "query": VIEWER } }),
            "`id` must be a string",
        ),
        (json!({ "type": "complete" }), "`id` is missing"),
    ] {
        let close = closed_by(&cruddur, Message::text(message.to_string())).await;
        assert_eq!(why(&close), (4400, reason), "{message}");
    }
    let (code, reason) = closed_by(&cruddur, Message::text("{")).await;
    assert_eq!(code, 4400);
    assert!(reason.starts_with("Invalid JSON: "), "{reason}");
    let long = json!({ "type": "ü".repeat(500) }).to_string();
    let (code, reason) = closed_by(&cruddur, Message::text(long)).await;
    assert_eq!(code, 4400);
    assert!(reason.starts_with("Unknown `type`: \"ü"), "{reason}");
    let close = closed_by(&cruddur, Message::binary("{}")).await;
    assert_eq!(why(&close), (4400, "A message must be text, not binary"));
}

#[tokio::test]
async fn operation_id_is_in_use_until_the_operation_ends() {
    let (cruddur, mut socket) = signed_in().await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;
    socket.subscribe("1", VIEWER, json!({})).await;
    let exists = (4409, "Subscriber for 1 already exists");
    assert_eq!(why(&socket.closed().await), exists);
    drop(held);

    let mut socket = luu(&cruddur).await;
    for _ in 0..20 {
        let response = socket.execute("1", VIEWER, json!({})).await;
        assert_eq!(response["type"], "next");
        let response = socket.execute("1", "{ nothing }", json!({})).await;
        assert_eq!(response["type"], "error");
    }
}

#[tokio::test]
async fn complete_from_the_client_ends_an_operation() {
    let (cruddur, mut socket) = signed_in().await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    socket.complete("1").await;
    assert!(socket.is_quiet().await, "it is not echoed");
    let again = socket.execute("1", VIEWER, json!({})).await;
    drop(held);
    assert_eq!(again["payload"]["data"]["viewer"]["handle"], "luu");
    // The running operation completes, but its result is not sent.
    let document = "{ messageGroups { edges { cursor } } }";
    let groups = async || cruddur.data("luu", document, json!({})).await;
    while groups().await["messageGroups"]["edges"] == json!([]) {}
    socket.complete("1").await;
    socket.complete("never").await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn error_message_is_sent_only_if_nothing_was_executed() {
    let (_cruddur, mut socket) = signed_in().await;
    let deep = format!("{}x{}", "{ a ".repeat(20), "}".repeat(20));
    let variable = "query($first: Int) { messageGroups(first: $first) { edges { cursor } } }";
    for (document, variables, code) in [
        ("{", json!({}), "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
        (
            "subscription { nothing }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (&deep, json!({}), "QUERY_TOO_COMPLEX"),
        (variable, json!({ "first": "x" }), "BAD_USER_INPUT"),
        (
            "query A { __typename } query B { __typename }",
            json!({}),
            "OPERATION_RESOLUTION_FAILURE",
        ),
    ] {
        let error = socket.execute("1", document, variables).await;
        assert_eq!(codes(&error)[0], code, "{document}");
        assert_eq!(error["id"], "1");
    }
    let in_a_field = "query($first: Int) { messageGroups(first: $first) { edges { cursor } } viewer { handle } }";
    let response = socket
        .execute("1", in_a_field, json!({ "first": 101 }))
        .await;
    assert_eq!(response["type"], "next", "{response}");
    let code = &response["payload"]["errors"][0]["extensions"]["code"];
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn persisted_query_works_over_a_websocket() {
    let (_cruddur, mut socket) = signed_in().await;
    let hash = "7dd3d6e5b2a4d7c6d8a4f7c3b2a1908f7e6d5c4b3a29181706f5e4d3c2b1a090";
    let persisted = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let payload = json!({ "extensions": persisted });
    socket
        .send_json(json!({ "type": "subscribe", "id": "1", "payload": payload }))
        .await;
    assert_eq!(
        codes(&socket.message().await),
        ["PERSISTED_QUERY_NOT_FOUND"]
    );
}

#[tokio::test]
async fn ping_is_answered_before_and_after_the_acknowledgement() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut socket = Socket::open(&cruddur.url).await;
    assert!(socket.is_quiet().await);
    socket.send_json(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(socket.message().await["type"], "connection_ack");
    socket
        .send_json(json!({ "type": "pong", "payload": {} }))
        .await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn random_messages_do_not_stop_the_server() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let token = cruddur.token("luu");
    let kinds = [
        "connection_init",
        "subscribe",
        "complete",
        "ping",
        "pong",
        "next",
        "x",
    ];
    let values = [
        json!(null),
        json!(1),
        json!("1"),
        json!(""),
        json!([]),
        json!({}),
        json!({ "query": VIEWER }),
    ];
    for round in 0..cases().unwrap_or(200) {
        let mut socket = match round % 2 {
            0 => Socket::connect(&cruddur.url, &token).await,
            _ => Socket::open(&cruddur.url).await,
        };
        for _ in 0..draw(|random| random.usize(1..8)) {
            let value = || values[draw(|random| random.usize(..values.len()))].clone();
            let bytes: Vec<u8> = std::iter::repeat_with(|| draw(|random| random.u8(..)))
                .take(draw(|random| random.usize(..64)))
                .collect();
            let message = match draw(|random| random.u8(..8)) {
                0 => Message::binary(bytes),
                1 => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
                2 => Message::Ping(bytes.into()),
                _ => {
                    let kind = kinds[draw(|random| random.usize(..kinds.len()))];
                    let message = json!({ "type": kind, "id": value(), "payload": value() });
                    Message::text(message.to_string())
                }
            };
            socket.send(message).await;
        }
    }
    let mut socket = Socket::connect(&cruddur.url, &token).await;
    assert_eq!(socket.execute("1", VIEWER, json!({})).await["type"], "next");
}
