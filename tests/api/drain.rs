//! SIGTERM behind a load balancer: the server is not ready, and serves requests
//! until the drain period ends.

use std::time::{Duration, Instant};

use cruddur::config::DRAIN_SECONDS;
use serde_json::{Value, json};

use crate::harness::{Cruddur, Serving, Socket, start, wait_until};

const VIEWER: &str = "{ viewer { handle } }";
/// Time for requests in flight and for spans, in seconds.
const AFTER_DRAIN: u64 = 25 + 3;

/// Returns status and body of a path, on a new connection.
async fn get(url: &str, path: &str) -> (u16, String) {
    let response = reqwest::Client::new().get(format!("{url}{path}")).send();
    let response = response.await.expect("a response");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a text"))
}

/// Returns the `Connection` header of a response.
async fn connection(url: &str) -> Option<String> {
    let response = reqwest::Client::new().get(format!("{url}/healthz")).send();
    let response = response.await.expect("a response");
    let header = response.headers().get("connection")?;
    Some(header.to_str().expect("a text").to_owned())
}

async fn viewer_over(socket: &mut Socket) -> Value {
    let mut response = socket.execute("1", VIEWER, json!({})).await;
    response["payload"]["data"]["viewer"]["handle"].take()
}

async fn serving(drain_seconds: &str) -> (Cruddur, Serving) {
    let stores = start().await;
    stores.users(["luu"]).await;
    let options = ["--drain-seconds", drain_seconds];
    let serving = Serving::start(&stores, &options).await;
    (stores, serving)
}

#[tokio::test]
async fn drain_serves_everything_but_readiness_until_a_second_signal() {
    let (stores, mut serving) = serving("3600").await;
    let url = serving.url.clone();
    let token = stores.token("luu");
    let mut old = Socket::connect(&url, &token).await;
    wait_until("the server is ready", async || {
        get(&url, "/readyz").await.0 == 200
    })
    .await;
    assert_eq!(connection(&url).await, None);

    serving.signal("TERM").await;
    serving.line("draining").await;

    let draining = (503, r#"{"draining":true}"#.to_owned());
    assert_eq!(get(&url, "/readyz").await, draining);
    assert_eq!(get(&url, "/healthz").await.0, 200);
    assert_eq!(connection(&url).await.as_deref(), Some("close"));
    let response = stores.execute_at(&url, "luu", VIEWER, json!({})).await;
    assert_eq!(response["data"]["viewer"]["handle"], "luu");
    assert_eq!(viewer_over(&mut old).await, "luu");
    let mut new = Socket::connect(&url, &token).await;
    assert_eq!(viewer_over(&mut new).await, "luu");
    assert_eq!(get(&url, "/readyz").await, draining);

    serving.signal("TERM").await;
    for socket in [&mut old, &mut new] {
        assert_eq!(socket.closed().await, (1001, "Going away".to_owned()));
    }
    drop((old, new));
    assert!(serving.ended().await.success());
    assert_eq!(serving.line("stopped").await["stopped"], "Cleanly");
}

#[tokio::test]
async fn drain_ends_after_its_time() {
    let (_stores, mut serving) = serving("2").await;
    let began = Instant::now();
    serving.signal("TERM").await;
    assert!(serving.ended().await.success());
    assert!(began.elapsed() >= Duration::from_secs(2));
    serving.line("draining").await;
}

#[test]
fn drain_fits_into_the_stop_timeout_of_the_ecs_task() {
    let task = include_str!("../../deploy/ecs-task-definition.json");
    let task: Value = serde_json::from_str(task).expect("JSON");
    let stop_timeout = task["containerDefinitions"][0]["stopTimeout"].as_u64();
    assert!(stop_timeout.expect("a time") > DRAIN_SECONDS + AFTER_DRAIN);
}
