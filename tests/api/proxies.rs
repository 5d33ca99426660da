//! Requests through a real nginx, with the default configuration and with the
//! one in docs/operations.md.

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::harness::{Cruddur, Events, Nginx, OURS, Socket, start};

const PATIENCE: Duration = Duration::from_secs(20);
/// The default configuration of nginx.
const DEFAULTS: &str = "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; } }";
/// The default configuration with HTTP/1.1.
const NEWER: &str =
    "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; proxy_http_version 1.1; } }";
const VIEWER: &str = "{ viewer { handle } }";

/// The documented configuration.
fn documented() -> String {
    let manual = include_str!("../../docs/operations.md");
    let (_, block) = manual.split_once("```nginx\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    for (there, _) in REPLACED {
        assert!(block.contains(there), "{block}");
    }
    REPLACED
        .iter()
        .fold(block.to_owned(), |block, (there, here)| {
            block.replace(there, here)
        })
}

const REPLACED: [(&str, &str); 2] = [
    ("listen 443 ssl;", "listen LISTEN;"),
    ("server 127.0.0.1:4000;", "server UPSTREAM;"),
];

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// Returns whether events arrive while the subscription is active.
async fn events_pass(cruddur: &Cruddur, http: &str) {
    let Some(nginx) = Nginx::start(&cruddur.url, http).await else {
        return;
    };
    let url = format!("{}/graphql", nginx.url);
    let document = "subscription { messageCreated { messageEdge { node { body } } } }";
    let body = json!({ "query": document });
    let opened = Events::open(cruddur, &url, "proxied", "unamused", &body);
    let mut events = in_time("the head", opened).await;
    assert_eq!(events.answer.headers()["content-type"], "text/event-stream");

    // No message states that a subscription has started.
    let event = async {
        loop {
            cruddur.send("luu", "unamused", "hello").await;
            let next = timeout(Duration::from_millis(300), events.next()).await;
            if let Ok(event) = next {
                return event.expect("an event");
            }
        }
    };
    let (kind, data) = in_time("an event", event).await;
    assert_eq!(kind, "next");
    let message = &data["data"]["messageCreated"]["messageEdge"]["node"];
    assert_eq!(message["body"], "hello");
}

#[tokio::test]
async fn server_sent_events_pass_through_nginx_without_buffering() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    for http in [DEFAULTS, NEWER, &documented()] {
        events_pass(&cruddur, http).await;
    }
}

#[tokio::test]
async fn websocket_passes_through_nginx_as_documented() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let Some(nginx) = Nginx::start(&cruddur.url, &documented()).await else {
        return;
    };
    // A page of the proxy's host.
    let headers = [OURS, ("Origin", nginx.url.as_str())];
    let mut socket = Socket::open_with(&nginx.url, &headers)
        .await
        .expect("a socket");
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(socket.message().await["type"], "connection_ack");
    let answer = socket.ask("1", VIEWER, json!({})).await;
    assert_eq!(answer["payload"]["data"]["viewer"]["handle"], "luu");

    let foreign = [OURS, ("Origin", "https://evil.example")];
    let rejected = Socket::open_with(&nginx.url, &foreign).await.err();
    let rejected = rejected.expect("it is rejected");
    assert!(rejected.starts_with("HTTP/1.1 403 "), "{rejected}");
}

#[tokio::test]
async fn websocket_that_a_proxy_does_not_forward_is_rejected_with_426() {
    let cruddur = start().await;
    for http in [
        DEFAULTS,
        // Without `proxy_http_version 1.1`.
        "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }",
    ] {
        let Some(nginx) = Nginx::start(&cruddur.url, http).await else {
            return;
        };
        let rejected = Socket::open_with(&nginx.url, &[OURS]).await.err();
        let rejected = rejected.expect("it is rejected");
        assert!(rejected.starts_with("HTTP/1.1 426 "), "{rejected}");
    }
}
