//! Subscriptions and other operations by server-sent events.

use std::time::Duration;

use axum::http::StatusCode;
use cruddur::server::Bounds;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::connections::with_bounds;
use crate::harness::{CREATE, Cruddur, Events, Socket, start};

async fn open(cruddur: &Cruddur, handle: &str, document: &str) -> Events {
    let url = format!("{}/graphql", cruddur.url);
    let body = json!({ "query": document });
    Events::open(cruddur, &url, "events", handle, &body).await
}

#[tokio::test]
async fn server_sent_events_deliver_the_same_as_a_websocket() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let document = "subscription { messageCreated { messageEdge { node { body } } } }";
    let mut unamused = open(&cruddur, "unamused", document).await;
    let mut mirabel = open(&cruddur, "mirabel", document).await;
    let headers = unamused.answer.headers();
    assert_eq!(unamused.answer.status(), 200);
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["cache-control"], "no-store, no-transform");

    // The response head is sent when the execution has started.
    let mut seen = Vec::new();
    while seen.is_empty() {
        cruddur.send("luu", "unamused", "hello").await;
        let patience = Duration::from_millis(300);
        seen.extend(timeout(patience, unamused.next()).await.ok().flatten());
    }
    let (kind, data) = &seen[0];
    assert_eq!(kind, "next");
    assert_eq!(
        data["data"]["messageCreated"]["messageEdge"]["node"]["body"],
        "hello"
    );
    let silence = Duration::from_millis(300);
    let stranger = timeout(silence, mirabel.next()).await;
    assert!(stranger.is_err(), "{stranger:?}");

    let mut query = open(&cruddur, "luu", "{ viewer { handle } }").await;
    let (kind, data) = query.next().await.expect("an answer");
    assert_eq!(
        (kind.as_str(), &data["data"]["viewer"]["handle"]),
        ("next", &json!("luu"))
    );
    assert_eq!(query.next().await.expect("an end").0, "complete");
    assert!(query.next().await.is_none());

    let wrong = "subscription { nothing }";
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
    let refused = socket.ask("wrong", wrong, json!({})).await;
    assert_eq!(
        refused["type"], "error",
        "what is not executed has no events"
    );
    let wrong = open(&cruddur, "luu", wrong).await;
    assert_eq!(
        wrong.answer.headers()["content-type"],
        "application/json; charset=utf-8"
    );
    let wrong: Value = wrong.answer.json().await.expect("JSON");
    assert_eq!(
        wrong["errors"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );
}

#[tokio::test]
async fn server_sent_events_carry_the_result_of_a_mutation() {
    let cruddur = with_bounds(Bounds {
        in_flight: 1,
        ..Bounds::default()
    })
    .await;
    cruddur.users(["unamused"]).await;
    let url = format!("{}/graphql", cruddur.url);
    let input = json!({ "to": { "receiverHandle": "unamused" }, "body": "hello" });
    let create = json!({ "query": CREATE, "variables": { "input": input } });
    let held = cruddur.dynamo.hold().await;
    let meanwhile = async {
        cruddur.dynamo.transactions(1).await;
        let busy = open(&cruddur, "luu", "{ viewer { handle } }").await;
        drop(held);
        busy
    };

    let (mut created, busy) = tokio::join!(
        Events::open(&cruddur, &url, "events", "luu", &create),
        meanwhile
    );

    assert_eq!(busy.answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let (kind, data) = created.next().await.expect("an answer");
    assert_eq!(kind, "next");
    assert_eq!(
        data["data"]["createMessage"]["__typename"],
        "CreateMessageSuccess"
    );
    assert_eq!(created.next().await.expect("an end").0, "complete");
}
