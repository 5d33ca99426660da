//! Subscriptions and other operations by server-sent events.

use axum::http::StatusCode;
use cruddur::server::Bounds;
use serde_json::{Value, json};

use crate::connections::with_bounds;
use crate::harness::{CREATE, Cruddur, Events, start};

const CREATED: &str = "subscription { messageCreated { messageEdge { node { body } } } }";

async fn open(cruddur: &Cruddur, handle: &str, document: &str) -> Events {
    let url = format!("{}/graphql", cruddur.url);
    let body = json!({ "query": document });
    Events::open(cruddur, &url, "events", handle, &body).await
}

/// Returns the body of the next message that a subscription delivers.
async fn next_body(events: &mut Events) -> Value {
    let (kind, mut data) = events.next().await.expect("an event");
    assert_eq!(kind, "next");
    data["data"]["messageCreated"]["messageEdge"]["node"]["body"].take()
}

#[tokio::test]
async fn server_sent_events_deliver_messages_to_the_participants_only() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let unamused = open(&cruddur, "unamused", CREATED);
    let mut unamused = cruddur.subscribed(unamused).await;
    let mut mirabel = cruddur.subscribed(open(&cruddur, "mirabel", CREATED)).await;

    cruddur.send("luu", "unamused", "to unamused").await;
    cruddur.send("luu", "mirabel", "to mirabel").await;

    assert_eq!(next_body(&mut unamused).await, "to unamused");
    assert_eq!(next_body(&mut mirabel).await, "to mirabel");
}

#[tokio::test]
async fn server_sent_events_have_headers_against_buffers_and_caches() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;

    let events = open(&cruddur, "luu", CREATED).await;

    let headers = events.response.headers();
    assert_eq!(events.response.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("x-accel-buffering", "no"),
        ("cache-control", "no-store, no-transform"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn server_sent_events_carry_the_result_of_a_query() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;

    let mut query = open(&cruddur, "luu", "{ viewer { handle } }").await;

    let data = json!({ "data": { "viewer": { "handle": "luu" } } });
    assert_eq!(query.next().await, Some(("next".to_owned(), data)));
    assert_eq!(query.next().await.expect("an end").0, "complete");
    assert_eq!(query.next().await, None);
}

#[tokio::test]
async fn server_sent_events_are_not_used_for_an_invalid_document() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;

    let events = open(&cruddur, "luu", "subscription { nothing }").await;

    let content_type = &events.response.headers()["content-type"];
    assert_eq!(content_type, "application/json; charset=utf-8");
    let response: Value = events.response.json().await.expect("JSON");
    let code = &response["errors"][0]["extensions"]["code"];
    assert_eq!(code, "GRAPHQL_VALIDATION_FAILED");
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

    assert_eq!(busy.response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let (kind, data) = created.next().await.expect("an event");
    assert_eq!(kind, "next");
    assert_eq!(
        data["data"]["createMessage"]["__typename"],
        "CreateMessageSuccess"
    );
    assert_eq!(created.next().await.expect("an end").0, "complete");
}
