//! Limits of a socket, and how it ends.

use std::collections::HashSet;
use std::time::Duration;

use cruddur::server::{Bounds, Stopped};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{CREATED, SHORT, VIEWER, closed_by, codes, hello, luu, why, with_bounds};
use crate::harness::{CREATE, Setup, Socket, wait_for};

#[tokio::test]
async fn connection_init_timeout_closes_the_socket() {
    let cruddur = with_bounds(Bounds {
        init_within: SHORT,
        ..Bounds::default()
    })
    .await;
    let mut silent = Socket::open(&cruddur.url).await;
    let mut in_time = luu(&cruddur).await;

    let timeout = (4408, "Connection initialisation timeout");
    assert_eq!(why(&silent.closed().await), timeout);
    assert!(in_time.is_quiet().await);
}

#[tokio::test]
async fn message_above_the_size_limit_closes_the_socket() {
    let cruddur = with_bounds(Bounds::default()).await;
    let too_large = (1009, "A message exceeds the limit of 65536 bytes");
    let close = closed_by(&cruddur, Message::text("x".repeat(1024 * 1024))).await;
    assert_eq!(why(&close), too_large);
    let ping = json!({ "type": "ping", "payload": { "long": "x".repeat(100 * 1024) } });
    let close = closed_by(&cruddur, Message::text(ping.to_string())).await;
    assert_eq!(why(&close), too_large);

    let mut socket = luu(&cruddur).await;
    let payload = json!({ "long": "x".repeat(60 * 1024) });
    socket
        .send_json(json!({ "type": "ping", "payload": payload }))
        .await;
    assert_eq!(socket.message().await["payload"], payload);
}

#[tokio::test]
async fn heartbeat_without_a_pong_closes_the_socket() {
    let cruddur = with_bounds(Bounds {
        ping_every: SHORT,
        // The idle timeout between two requests does not apply to a socket.
        idle_for: SHORT,
        head_within: SHORT,
        ..Bounds::default()
    })
    .await;
    let mut alive = luu(&cruddur).await;
    for _ in 0..5 {
        // Reading from the socket sends the pong.
        let ping = alive.frame().await.expect("a frame");
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    }
    assert!(alive.is_quiet().await);

    let dead = luu(&cruddur).await;
    let mut pings = [0; 64];
    let cut = async {
        loop {
            dead.connection().readable().await.expect("readable");
            match dead.connection().try_read(&mut pings) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    wait_for("the end of the connection", cut).await;
}

#[tokio::test]
async fn subscription_over_http_without_event_stream_is_rejected_with_400() {
    let cruddur = with_bounds(Bounds::default()).await;
    let document = "subscription { messageCreated { cursor } }";
    let url = format!("{}/graphql", cruddur.url);
    let post = cruddur.http.post(&url).json(&json!({ "query": document }));
    let query: String = form_urlencoded::byte_serialize(document.as_bytes()).collect();
    let get = cruddur.http.get(format!("{url}?query={query}"));
    for request in [post, get] {
        let request = request.bearer_auth(cruddur.token("luu"));
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let response: Value = response.json().await.expect("JSON");
        let error = &response["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_REQUEST");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("graphql-transport-ws"), "{message}");
    }
}

#[tokio::test]
async fn sockets_per_user_are_limited() {
    let cruddur = with_bounds(Bounds {
        sockets_per_user: 2,
        ..Bounds::default()
    })
    .await;
    let first = luu(&cruddur).await;
    let _second = luu(&cruddur).await;
    let mut third = Socket::open(&cruddur.url).await;
    third.init(&cruddur.token("luu")).await;
    assert_eq!(third.closed().await.0, 1013);
    let mut other = Socket::connect(&cruddur.url, &cruddur.token("unamused")).await;
    assert!(other.is_quiet().await);

    drop(first);
    loop {
        let mut again = Socket::open(&cruddur.url).await;
        again.init(&cruddur.token("luu")).await;
        if let Some(Message::Text(ack)) = again.frame().await {
            assert!(ack.contains("connection_ack"), "{ack}");
            break;
        }
    }
}

#[tokio::test]
async fn socket_counts_as_a_connection() {
    let cruddur = with_bounds(Bounds {
        connections: 1,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    let status = async || {
        let client = reqwest::Client::new();
        let response = client.get(format!("{}/readyz", cruddur.url)).send().await;
        response.expect("a response").status()
    };
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(socket.is_quiet().await);
    drop(socket);
    while status().await != StatusCode::OK {}
}

#[tokio::test]
async fn socket_operations_share_the_limits_of_requests() {
    let cruddur = with_bounds(Bounds {
        in_flight: 1,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    let busy = socket.execute("2", VIEWER, json!({})).await;
    assert_eq!(codes(&busy), ["UNAVAILABLE"]);
    let error = &busy["payload"][0]["extensions"];
    assert_eq!(error["retryAfterMs"], 1000);
    let request_id = error["requestId"].as_str().expect("an id");
    assert!(request_id.ends_with("/2"), "{request_id}");
    drop(held);
    assert_eq!(socket.message().await["type"], "next");
}

#[tokio::test]
async fn subscriptions_per_socket_are_limited() {
    let cruddur = with_bounds(Bounds {
        subscriptions: 2,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    cruddur.dynamo.calls();
    for id in ["1", "2", "3"] {
        socket.subscribe(id, CREATED, json!({})).await;
    }
    let one_too_many = socket.message().await;
    // Each of the other two is active after it has read the user's rows twice.
    for _ in 0..4 {
        cruddur.dynamo.executed("Query strong").await;
    }
    assert_eq!(codes(&one_too_many), ["BAD_REQUEST"]);
    let queries = socket.execute("query", VIEWER, json!({})).await;
    assert_eq!(queries["type"], "next");

    // A completed operation frees its slot immediately.
    let over = if one_too_many["id"] == "1" { "2" } else { "1" };
    for _ in 0..50 {
        socket.complete(over).await;
        socket.subscribe(over, CREATED, json!({})).await;
    }
    for _ in 0..10 {
        let response = socket.execute("query", VIEWER, json!({})).await;
        assert_eq!(response["type"], "next", "{response}");
    }
    // The last subscription may still be starting; the other receives all
    // events.
    let mut ids = HashSet::new();
    while ids.len() < 2 {
        cruddur.send("unamused", "luu", "hello").await;
        let event = socket.message().await;
        assert_eq!(event["type"], "next", "{event}");
        ids.insert(event["id"].to_string());
    }
}

#[tokio::test]
async fn shutdown_ends_subscriptions_without_a_complete_message() {
    let cruddur = with_bounds(Bounds::default()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let (url, served) = cruddur.server_until(Setup::default(), shutdown).await;
    let mut socket = Socket::connect(&url, &cruddur.token("luu")).await;
    socket.subscribe("1", CREATED, json!({})).await;
    assert!(socket.is_quiet().await);

    stop.send(()).expect("it serves");
    // A client that receives `complete` would not reconnect.
    assert_eq!(why(&socket.closed().await), (1001, "Going away"));
    socket.frame().await;
    let stopped = served.await.expect("no panic").expect("an end");
    assert_eq!(stopped, Stopped::Cleanly);
}

#[tokio::test]
async fn backpressure_delays_only_the_slow_socket_and_closes_it() {
    let cruddur = with_bounds(Bounds {
        connections: 2,
        write_within: Duration::from_secs(1),
        ..Bounds::default()
    })
    .await;
    let [luu_, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur
        .seed([&luu_, &unamused], "2026-01-01T00:00:00Z", 100)
        .await;
    let document = "{ messageGroups { edges { node { messages(last: 100) { edges { node { id uuid body createdAt } } } } } } }";
    let mut deaf = luu(&cruddur).await;
    let asking = async {
        for number in 0.. {
            let subscribe = json!({
                "type": "subscribe", "id": number.to_string(), "payload": { "query": document }
            });
            let sent = deaf.try_send(Message::text(subscribe.to_string()));
            if sent.await.is_err() {
                return number;
            }
        }
        0
    };
    let requests = wait_for("the end of the connection", asking).await;
    let calls = cruddur.dynamo.calls().len();
    println!("asked {requests} times, {calls} calls of DynamoDB");
    assert!(calls < requests / 2);
    assert_eq!(
        luu(&cruddur).await.execute("1", VIEWER, json!({})).await["type"],
        "next"
    );
}

#[tokio::test]
async fn shutdown_completes_operations_and_then_closes_the_socket() {
    let cruddur = with_bounds(Bounds::default()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let (url, served) = cruddur.server_until(Setup::default(), shutdown).await;
    let mut idle = Socket::connect(&url, &cruddur.token("luu")).await;
    let mut new = Socket::open(&url).await;
    let mut busy = Socket::connect(&url, &cruddur.token("luu")).await;
    let held = cruddur.dynamo.hold().await;
    busy.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    stop.send(()).expect("it serves");
    let going = (1001, "Going away");
    assert_eq!(why(&idle.closed().await), going);
    assert_eq!(why(&new.closed().await), going);
    busy.subscribe("2", VIEWER, json!({})).await;
    assert!(busy.is_quiet().await, "nothing new is taken");
    drop(held);
    let response = busy.message().await;
    let created = &response["payload"]["data"]["createMessage"]["__typename"];
    assert_eq!(created, "CreateMessageSuccess", "{response}");
    assert_eq!(busy.message().await["type"], "complete");
    assert_eq!(why(&busy.closed().await), going);
    // The peer sends a close frame as well.
    let (_, _, _) = tokio::join!(idle.frame(), new.frame(), busy.frame());
    let stopped = wait_for("the end of the server", served).await;
    let stopped = stopped.expect("no panic");
    assert_eq!(stopped.expect("an end"), Stopped::Cleanly);
}
