//! Invalid messages. A message with an operation ID ends that operation. Only
//! input that is not a message of the protocol ends the socket.

use cruddur::server::Bounds;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{VIEWER, codes, luu, signed_in, why, with_bounds};
use crate::harness::Socket;

const CREATED: &str = "subscription { messageCreated { messageEdge { node { body } } } }";

/// Invalid payloads of an operation.
fn payloads() -> Vec<String> {
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let query = format!(r#""query":"{VIEWER}""#);
    let mut payloads = [
        "null",
        "1",
        "true",
        "[]",
        r#""{}""#,
        "{}",
        r#"{"query":null}"#,
        r#"{"query":1}"#,
        r#"{"query":{}}"#,
        r#"{"query":"\ud83d"}"#,
        r#"{"query":"{","variables":{"\udc00":1}}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    payloads.extend([
        format!(r#"{{{query},"operationName":1}}"#),
        format!(r#"{{{query},"variables":[]}}"#),
        format!(r#"{{{query},"variables":"x"}}"#),
        format!(r#"{{{query},"extensions":[]}}"#),
        format!(r#"{{{query},"variables":{{"body":"hi \ud83d"}}}}"#),
        format!(r#"{{{query},"variables":{{"body":"\ude00\ud83d"}}}}"#),
        format!(r#"{{{query},"variables":{{"first":1e999}}}}"#),
        format!(r#"{{{query},"variables":{{"deep":{deep}}}}}"#),
        // Larger than --max-body-bytes.
        format!(
            r#"{{{query},"variables":{{"body":"{}"}}}}"#,
            "x".repeat(200 * 1024)
        ),
    ]);
    payloads
}

/// Waits for the next message of an operation.
async fn message_of(socket: &mut Socket, id: &str) -> Value {
    loop {
        let message = socket.message().await;
        if message["id"] == id {
            return message;
        }
    }
}

#[tokio::test]
async fn invalid_operation_gets_an_error_and_the_socket_stays_open() {
    let (cruddur, mut socket) = signed_in().await;
    let subscribe = socket.subscribe("live", CREATED, json!({}));
    cruddur.subscribed(subscribe).await;

    for payload in payloads() {
        let text = format!(r#"{{"id":"bad","type":"subscribe","payload":{payload}}}"#);
        socket.send(Message::text(text)).await;
        let error = message_of(&mut socket, "bad").await;
        assert_eq!(codes(&error), ["BAD_REQUEST"], "{payload}");
    }
    socket
        .send(Message::text(r#"{"id":"bad","type":"subscribe"}"#))
        .await;
    let error = message_of(&mut socket, "bad").await;
    assert_eq!(codes(&error), ["BAD_REQUEST"]);

    // The ID is free, and the subscription is active.
    socket.subscribe("bad", VIEWER, json!({})).await;
    assert_eq!(message_of(&mut socket, "bad").await["type"], "next");
    cruddur.send("unamused", "luu", "still there").await;
    let event = message_of(&mut socket, "live").await;
    let created = &event["payload"]["data"]["messageCreated"];
    assert_eq!(created["messageEdge"]["node"]["body"], "still there");
}

#[tokio::test]
async fn invalid_operation_is_subject_to_the_rules_of_every_operation() {
    let cruddur = with_bounds(Bounds::default()).await;
    let invalid = || Message::text(r#"{"id":"1","type":"subscribe","payload":{}}"#);
    let mut early = Socket::open(&cruddur.url).await;
    early.send(invalid()).await;
    assert_eq!(why(&early.closed().await), (4401, "Unauthorized"));

    let mut twice = luu(&cruddur).await;
    twice.subscribe("1", CREATED, json!({})).await;
    twice.send(invalid()).await;
    let exists = (4409, "Subscriber for 1 already exists");
    assert_eq!(why(&twice.closed().await), exists);
}

#[tokio::test]
async fn ping_is_echoed_whatever_its_payload_says() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut socket = luu(&cruddur).await;
    let payload = r#"{"half":"\ud83d"}"#;
    for kind in ["ping", "pong"] {
        let text = format!(r#"{{"type":"{kind}","payload":{payload}}}"#);
        socket.send(Message::text(text)).await;
    }
    let Some(Message::Text(pong)) = socket.frame().await else {
        panic!("no pong");
    };
    assert!(pong.contains(payload), "{pong}");
    assert!(socket.is_quiet().await);
}
