//! Connections: their number, their timeouts, and the shutdown of the server.

use std::time::Duration;

use cruddur::server::{Bounds, Stopped};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{CREATE, Cruddur, Setup, TIMEOUT, start, start_with, wait_for, wait_until};
use crate::overload::counter;

const VIEWER: &str = "{ viewer { handle } }";
const HALF_A_HEAD: &[u8] = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\n";
const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub async fn with_bounds(bounds: Bounds) -> Cruddur {
    let cruddur = start_with(Setup {
        bounds,
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu"]).await;
    cruddur
}

async fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("a connection")
}

/// Returns the response of a path on a new connection.
async fn status(cruddur: &Cruddur, path: &str) -> StatusCode {
    let client = reqwest::Client::new();
    let response = client.get(format!("{}{path}", cruddur.url)).send().await;
    response.expect("a response").status()
}

/// Waits until the server accepts another connection.
async fn place_is_free(cruddur: &Cruddur) {
    wait_until("another connection is accepted", async || {
        status(cruddur, "/readyz").await == StatusCode::OK
    })
    .await;
}

/// Waits until the server closes a connection.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    // The connection is closed or reset.
    let _ = wait_for("the end of the connection", stream.read_to_end(&mut bytes)).await;
}

/// Requests the health check on a connection that stays open.
async fn check_health(stream: &mut TcpStream) {
    stream.write_all(HEALTH).await.expect("sent");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nok") {
        let read = wait_for("a response", stream.read_buf(&mut response)).await;
        assert_ne!(read.expect("a response"), 0, "closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_do_not_delay_other_connections() {
    let cruddur = with_bounds(Bounds {
        // No connection is closed before the end, even on a slow machine.
        head_within: 2 * TIMEOUT,
        idle_for: 2 * TIMEOUT,
        ..Bounds::default()
    })
    .await;
    let half_a_body = [
        HALF_A_HEAD,
        format!("Authorization: Bearer {}\r\n", cruddur.token("luu")).as_bytes(),
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    ]
    .concat();
    let mut open = Vec::new();
    for number in 0..3000 {
        let mut stream = connect(&cruddur.url).await;
        match number % 3 {
            0 => check_health(&mut stream).await,
            1 => stream.write_all(HALF_A_HEAD).await.expect("sent"),
            _ => stream.write_all(&half_a_body).await.expect("sent"),
        }
        open.push(stream);
    }

    for _ in 0..50 {
        // The heads are sent byte by byte.
        for stream in open.iter_mut().skip(1).step_by(3) {
            stream.write_all(b"x").await.expect("it is open");
        }
        let viewer = cruddur.data("luu", VIEWER, json!({}));
        wait_for("a response beside slow connections", viewer).await;
    }

    // No response has waited for the end of a slow connection: all are still
    // open. The timeout for a body is that of the request.
    for (number, stream) in open.iter().enumerate() {
        let mut response = [0; 12];
        match stream.try_read(&mut response) {
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{number}"),
            Ok(_) => assert_eq!((&response, number % 3), (b"HTTP/1.1 408", 2)),
        }
    }
}

#[tokio::test]
async fn requests_above_the_limit_in_flight_are_rejected_at_once_with_503() {
    let cruddur = with_bounds(Bounds {
        in_flight: 1,
        ..Bounds::default()
    })
    .await;
    cruddur.users(["unamused"]).await;
    let held = cruddur.dynamo.hold().await;
    let meanwhile = async {
        cruddur.dynamo.transactions(1).await;
        let busy = cruddur
            .http
            .post(format!("{}/graphql", cruddur.url))
            .bearer_auth(cruddur.token("luu"))
            .json(&json!({ "query": VIEWER }));
        let busy = busy.send().await.expect("a response");
        drop(held);
        busy
    };

    let (sent, busy) = tokio::join!(cruddur.send("luu", "unamused", "hello"), meanwhile);

    assert_eq!(sent["__typename"], "CreateMessageSuccess");
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(busy.headers()["retry-after"], "1");
    let busy: Value = busy.json().await.expect("JSON");
    assert_eq!(busy["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    assert_eq!(
        cruddur.data("luu", VIEWER, json!({})).await["viewer"]["handle"],
        "luu"
    );
}

#[tokio::test]
async fn connections_above_the_limit_are_rejected_at_once_with_503() {
    let cruddur = with_bounds(Bounds {
        connections: 1,
        ..Bounds::default()
    })
    .await;
    let mut first = connect(&cruddur.url).await;
    check_health(&mut first).await;

    let rejected = counter("cruddur_connections_rejected_total");
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(status(&cruddur, "/graphql").await, busy);
    assert!(counter("cruddur_connections_rejected_total") > rejected);
    // A server at its limit is still alive.
    assert_eq!(status(&cruddur, "/healthz").await, StatusCode::OK);
    check_health(&mut first).await;
    drop(first);
    place_is_free(&cruddur).await;
}

#[tokio::test]
async fn request_head_timeout_closes_incomplete_heads_and_not_idle_connections() {
    let cruddur = with_bounds(Bounds {
        head_within: Duration::from_secs(2),
        ..Bounds::default()
    })
    .await;
    let mut idle = connect(&cruddur.url).await;
    check_health(&mut idle).await;
    let mut silent = connect(&cruddur.url).await;
    let mut half = connect(&cruddur.url).await;
    half.write_all(HALF_A_HEAD).await.expect("sent");
    let mut second = connect(&cruddur.url).await;
    check_health(&mut second).await;
    second.write_all(HALF_A_HEAD).await.expect("sent");

    let drops = async {
        let mut drip = connect(&cruddur.url).await;
        // A head that is sent byte by byte also times out.
        while drip.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(
        closed(&mut silent),
        closed(&mut half),
        closed(&mut second),
        drops
    );
    check_health(&mut idle).await;
}

#[tokio::test]
async fn unread_response_closes_the_connection_after_the_write_timeout() {
    let cruddur = with_bounds(Bounds {
        connections: 1,
        write_within: Duration::from_millis(500),
        ..Bounds::default()
    })
    .await;
    let mut deaf = connect(&cruddur.url).await;
    let requests = HEALTH.repeat(1000);
    // Writes until all buffers are full, or the server closes the connection.
    while wait_for("a full buffer", deaf.write_all(&requests))
        .await
        .is_ok()
    {}
    place_is_free(&cruddur).await;

    // A client that reads slowly is disconnected as well.
    let (mut responses, mut questions) = connect(&cruddur.url).await.into_split();
    let asking = tokio::spawn(async move { while questions.write_all(&requests).await.is_ok() {} });
    let mut some = [0; 512];
    while let Ok(1..) = responses.read(&mut some).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    place_is_free(&cruddur).await;
    asking.abort();
}

#[tokio::test]
async fn idle_connection_is_closed_after_a_timeout() {
    let cruddur = with_bounds(Bounds {
        idle_for: Duration::from_secs(1),
        ..Bounds::default()
    })
    .await;
    let mut idle = connect(&cruddur.url).await;
    check_health(&mut idle).await;
    closed(&mut idle).await;
}

#[tokio::test]
async fn shutdown_waits_for_responses_but_not_for_unsent_requests() {
    let cruddur = start().await;
    let receivers: [String; 8] = std::array::from_fn(|number| format!("receiver-{number}"));
    cruddur.users(["luu"]).await;
    cruddur
        .users(receivers.each_ref().map(String::as_str))
        .await;
    let setup = Setup {
        bounds: Bounds {
            head_within: Duration::from_secs(2),
            ..Bounds::default()
        },
        ..Setup::default()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let (url, served) = cruddur.server_until(setup, shutdown).await;
    let silent = connect(&url).await;
    let mut half = connect(&url).await;
    half.write_all(HALF_A_HEAD).await.expect("sent");
    let mut idle = connect(&url).await;
    check_health(&mut idle).await;

    let held = cruddur.dynamo.hold().await;
    let sends = receivers.iter().map(|receiver| {
        let input = json!({ "to": { "receiverHandle": receiver }, "body": "at the last moment" });
        cruddur.execute_at(&url, "luu", CREATE, json!({ "input": input }))
    });
    let stopping = async {
        cruddur.dynamo.transactions(receivers.len()).await;
        stop.send(()).expect("it serves");
        let address = url.strip_prefix("http://").expect("an address");
        wait_until("connections are refused", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        drop(held);
    };
    let (responses, ()) = tokio::join!(join_all(sends), stopping);

    for response in responses {
        let created = &response["data"]["createMessage"]["__typename"];
        assert_eq!(created, "CreateMessageSuccess", "{response}");
    }
    let stopped = wait_for("the end of the server", served).await;
    let stopped = stopped.expect("no panic");
    assert_eq!(stopped.expect("an end"), Stopped::Cleanly);
    drop((silent, half, idle));
}
