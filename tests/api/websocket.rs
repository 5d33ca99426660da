//! GraphQL over WebSocket: each rule of `graphql-transport-ws`, and what the
//! server adds to them.

use std::collections::HashSet;
use std::time::Duration;

use cruddur::clock::Clock;
use cruddur::graphql::Introspection;
use cruddur::server::{Bounds, Stopped};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{CREATE, Cruddur, OURS, Setup, Socket, start, start_with};

const VIEWER: &str = "{ viewer { handle } }";
const CREATED: &str = "subscription { messageCreated { cursor } }";
/// Short, where something is waited for.
const SHORT: Duration = Duration::from_millis(300);

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

/// One whose user there is, and a socket of theirs.
async fn signed_in() -> (Cruddur, Socket) {
    let cruddur = with_bounds(Bounds::default()).await;
    let socket = luu(&cruddur).await;
    (cruddur, socket)
}

fn hello(to: &str) -> Value {
    json!({ "input": { "to": { "receiverHandle": to }, "body": "hello" } })
}

/// What a message makes the server say at last.
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
async fn queries_and_mutations_are_answered_over_a_socket() {
    let (cruddur, mut socket) = signed_in().await;
    assert!(
        socket
            .head
            .to_ascii_lowercase()
            .contains("sec-websocket-protocol: graphql-transport-ws"),
        "{}",
        socket.head
    );

    let sent = socket.ask("1", CREATE, hello("unamused")).await;
    let asked = socket.ask("1", VIEWER, json!({})).await;

    let created = &sent["payload"]["data"]["createMessage"]["__typename"];
    assert_eq!(created, "CreateMessageSuccess", "{sent}");
    let expected = json!({
        "type": "next", "id": "1", "payload": { "data": { "viewer": { "handle": "luu" } } }
    });
    assert_eq!(asked, expected);
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
async fn one_operation_does_not_wait_for_another() {
    let (cruddur, mut socket) = signed_in().await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("slow", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    let quick = socket.ask("quick", VIEWER, json!({})).await;
    drop(held);

    assert_eq!(quick["id"], "quick");
    assert_eq!(socket.message().await["id"], "slow");
}

#[tokio::test]
async fn who_says_nothing_in_time_is_sent_away() {
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
async fn a_socket_is_initialised_once() {
    let (cruddur, mut socket) = signed_in().await;
    let too_many = (4429, "Too many initialisation requests");
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(why(&socket.closed().await), too_many);

    // Nor again while the first is looked into.
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
async fn nothing_is_asked_before_the_acknowledgement() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut socket = Socket::open(&cruddur.url).await;
    socket.subscribe("1", VIEWER, json!({})).await;
    assert_eq!(why(&socket.closed().await), (4401, "Unauthorized"));
}

#[tokio::test]
async fn what_is_no_message_closes_the_socket_and_says_why() {
    let cruddur = with_bounds(Bounds::default()).await;
    for (message, reason) in [
        (
            json!({ "type": "start", "id": "1" }),
            "Unknown `type`: \"start\"",
        ),
        (json!({ "id": "1" }), "`type` is missing"),
        (json!([]), "A message is a JSON object"),
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
            "`id` is a text",
        ),
        (
            json!({ "type": "subscribe", "id": "1" }),
            "`payload` is missing",
        ),
        (
            json!({ "type": "subscribe", "id": "1", "payload": { "query": 1 } }),
            "This is not a GraphQL request: `query` is a text.",
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
    assert_eq!(why(&close), (4400, "A message is a text"));
}

#[tokio::test]
async fn a_message_has_a_greatest_size() {
    let cruddur = with_bounds(Bounds::default()).await;
    let close = closed_by(&cruddur, Message::text("x".repeat(1024 * 1024))).await;
    assert_eq!(why(&close), (1009, "A message has at most 65536 bytes"));

    let mut socket = luu(&cruddur).await;
    let payload = json!({ "long": "x".repeat(60 * 1024) });
    socket
        .say(json!({ "type": "ping", "payload": payload }))
        .await;
    assert_eq!(socket.message().await["payload"], payload);
}

#[tokio::test]
async fn an_id_is_in_use_until_its_operation_has_ended() {
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
        let answer = socket.ask("1", VIEWER, json!({})).await;
        assert_eq!(answer["type"], "next");
        let answer = socket.ask("1", "{ nothing }", json!({})).await;
        assert_eq!(answer["type"], "error");
    }
}

#[tokio::test]
async fn who_completes_an_operation_hears_no_more_of_it() {
    let (cruddur, mut socket) = signed_in().await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    socket.complete("1").await;
    assert!(socket.is_quiet().await, "it is not echoed");
    let again = socket.ask("1", VIEWER, json!({})).await;
    drop(held);
    assert_eq!(again["payload"]["data"]["viewer"]["handle"], "luu");
    // What was under way is carried out, and not told of.
    let document = "{ messageGroups { edges { cursor } } }";
    let groups = async || cruddur.data("luu", document, json!({})).await;
    while groups().await["messageGroups"]["edges"] == json!([]) {}
    socket.complete("1").await;
    socket.complete("never").await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn what_is_not_executed_is_an_error_and_what_is_is_a_next() {
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
        let error = socket.ask("1", document, variables).await;
        assert_eq!(codes(&error)[0], code, "{document}");
        assert_eq!(error["id"], "1");
    }
    let in_a_field = "query($first: Int) { messageGroups(first: $first) { edges { cursor } } viewer { handle } }";
    let answer = socket.ask("1", in_a_field, json!({ "first": 101 })).await;
    assert_eq!(answer["type"], "next", "{answer}");
    let code = &answer["payload"]["errors"][0]["extensions"]["code"];
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn documents_are_found_by_their_hash_as_over_http() {
    let (_cruddur, mut socket) = signed_in().await;
    let hash = "7dd3d6e5b2a4d7c6d8a4f7c3b2a1908f7e6d5c4b3a29181706f5e4d3c2b1a090";
    let persisted = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let payload = json!({ "extensions": persisted });
    socket
        .say(json!({ "type": "subscribe", "id": "1", "payload": payload }))
        .await;
    assert_eq!(
        codes(&socket.message().await),
        ["PERSISTED_QUERY_NOT_FOUND"]
    );
}

#[tokio::test]
async fn who_may_not_be_here_is_told_so_whatever_is_wrong() {
    let cruddur = with_bounds(Bounds::default()).await;
    let good = format!("Bearer {}", cruddur.token("luu"));
    let nobody = format!("Bearer {}", cruddur.token("nobody"));
    for payload in [
        Value::Null,
        json!({}),
        json!({ "Authorization": "Bearer x" }),
        json!({ "Authorization": cruddur.token("luu") }),
        json!({ "Authorization": nobody }),
        json!({ "Authorization": 1 }),
        json!({ "Authorization": good, "authorization": good }),
    ] {
        let mut socket = Socket::open(&cruddur.url).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.say(init).await;
        assert_eq!(
            why(&socket.closed().await),
            (4403, "Forbidden"),
            "{payload}"
        );
    }
}

#[tokio::test]
async fn a_token_is_taken_from_where_clients_put_it() {
    let cruddur = with_bounds(Bounds::default()).await;
    let good = format!("Bearer {}", cruddur.token("luu"));
    let header = ("Authorization", good.as_str());
    for (headers, payload) in [
        (vec![OURS], json!({ "authorization": good })),
        (vec![OURS], json!({ "headers": { "Authorization": good } })),
        (vec![OURS, header], json!({})),
        (
            vec![OURS, ("Authorization", "Bearer x")],
            json!({ "Authorization": good }),
        ),
    ] {
        let mut socket = Socket::open_with(&cruddur.url, &headers)
            .await
            .expect("a socket");
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.say(init).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        let answer = socket.ask("1", VIEWER, json!({})).await;
        assert_eq!(answer["payload"]["data"]["viewer"]["handle"], "luu");
    }
}

#[tokio::test]
async fn where_the_schema_is_public_anybody_may_ask_for_it_and_nothing_else() {
    let cruddur = start_with(Setup {
        introspection: Introspection::Public,
        ..Setup::default()
    })
    .await;
    let mut socket = Socket::open(&cruddur.url).await;
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.message().await["type"], "connection_ack");

    let schema = socket
        .ask("1", "{ __schema { queryType { name } } }", json!({}))
        .await;
    assert_eq!(
        schema["payload"]["data"]["__schema"]["queryType"]["name"],
        "Query"
    );
    let refused = socket.ask("1", VIEWER, json!({})).await;
    assert_eq!(codes(&refused), ["UNAUTHENTICATED"]);
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut claims = cruddur.issuer.claims("sub-luu");
    let now = Clock::system().now();
    claims["exp"] = json!(now.timestamp() + 3);
    let token = cruddur.issuer.sign(&claims).expect("a token");
    let mut socket = Socket::connect(&cruddur.url, &token).await;
    assert_eq!(socket.ask("1", VIEWER, json!({})).await["type"], "next");

    assert_eq!(why(&socket.closed().await), (4401, "Token expired"));
    let ended = Clock::system().now().timestamp();
    assert!((now.timestamp() + 3..now.timestamp() + 10).contains(&ended));
    let mut late = Socket::open(&cruddur.url).await;
    late.init(&token).await;
    assert_eq!(why(&late.closed().await), (4403, "Forbidden"));
}

#[tokio::test]
async fn who_cannot_be_looked_up_is_told_to_come_back() {
    let cruddur = with_bounds(Bounds::default()).await;
    cruddur.postgres.cut(true);
    let mut socket = Socket::open(&cruddur.url).await;
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test]
async fn pages_of_other_origins_cannot_connect() {
    let cruddur = with_bounds(Bounds::default()).await;
    let own = cruddur.url.clone();
    for (origin, status) in [
        ("https://cruddur.example", 101),
        (&own, 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:3000", 403),
    ] {
        let headers = [OURS, ("Origin", origin)];
        let head = Socket::open_with(&cruddur.url, &headers).await;
        let head = head.map_or_else(|head| head, |socket| socket.head);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{origin}: {head}"
        );
    }
}

#[tokio::test]
async fn another_subprotocol_is_not_acceptable() {
    let cruddur = with_bounds(Bounds::default()).await;
    let other = ("Sec-WebSocket-Protocol", "graphql-ws");
    for headers in [vec![], vec![other]] {
        let mut socket = Socket::open_with(&cruddur.url, &headers)
            .await
            .expect("a socket");
        let close = socket.closed().await;
        assert_eq!(why(&close), (4406, "Subprotocol not acceptable"));
    }
    let both = ("Sec-WebSocket-Protocol", "graphql-ws, graphql-transport-ws");
    let mut socket = Socket::open_with(&cruddur.url, &[both])
        .await
        .expect("a socket");
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn half_a_handshake_is_refused_in_words() {
    let cruddur = with_bounds(Bounds::default()).await;
    let request = cruddur.http.get(format!("{}/graphql", cruddur.url));
    let request = request
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn a_ping_is_answered_before_and_after_the_acknowledgement() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut socket = Socket::open(&cruddur.url).await;
    assert!(socket.is_quiet().await);
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(socket.message().await["type"], "connection_ack");
    socket.say(json!({ "type": "pong", "payload": {} })).await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_pings_is_cut() {
    let cruddur = with_bounds(Bounds {
        ping_every: SHORT,
        // A socket is not between two requests.
        idle_for: SHORT,
        head_within: SHORT,
        ..Bounds::default()
    })
    .await;
    let mut alive = luu(&cruddur).await;
    for _ in 0..5 {
        // Reading answers it.
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
    let cut = tokio::time::timeout(SHORT * 20, cut).await;
    cut.expect("it is cut");
}

#[tokio::test]
async fn there_is_an_end_of_subscriptions_by_http() {
    let cruddur = with_bounds(Bounds::default()).await;
    let document = "subscription { messageCreated { cursor } }";
    let url = format!("{}/graphql", cruddur.url);
    let post = cruddur.http.post(&url).json(&json!({ "query": document }));
    let query: String = form_urlencoded::byte_serialize(document.as_bytes()).collect();
    let get = cruddur.http.get(format!("{url}?query={query}"));
    for request in [post, get] {
        let request = request.bearer_auth(cruddur.token("luu"));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let answer: Value = answer.json().await.expect("JSON");
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_REQUEST");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("graphql-transport-ws"), "{message}");
    }
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_no_more() {
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
async fn a_socket_holds_its_place_among_the_connections() {
    let cruddur = with_bounds(Bounds {
        connections: 1,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    let status = async || {
        let client = reqwest::Client::new();
        let answer = client.get(format!("{}/readyz", cruddur.url)).send().await;
        answer.expect("an answer").status()
    };
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(socket.is_quiet().await);
    drop(socket);
    while status().await != StatusCode::OK {}
}

#[tokio::test]
async fn a_socket_has_no_more_of_the_server_than_a_request() {
    let cruddur = with_bounds(Bounds {
        in_flight: 1,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    let held = cruddur.dynamo.hold().await;
    socket.subscribe("1", CREATE, hello("unamused")).await;
    cruddur.dynamo.transactions(1).await;

    let busy = socket.ask("2", VIEWER, json!({})).await;
    assert_eq!(codes(&busy), ["UNAVAILABLE"]);
    let error = &busy["payload"][0]["extensions"];
    assert_eq!(error["retryAfterMs"], 1000);
    let request_id = error["requestId"].as_str().expect("an id");
    assert!(request_id.ends_with("/2"), "{request_id}");
    drop(held);
    assert_eq!(socket.message().await["type"], "next");
}

#[tokio::test]
async fn a_socket_has_so_many_subscriptions_and_no_more() {
    let cruddur = with_bounds(Bounds {
        subscriptions: 2,
        ..Bounds::default()
    })
    .await;
    let mut socket = luu(&cruddur).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, CREATED, json!({})).await;
    }
    let one_too_many = socket.message().await;
    assert_eq!(codes(&one_too_many), ["BAD_REQUEST"]);
    let queries = socket.ask("query", VIEWER, json!({})).await;
    assert_eq!(queries["type"], "next");

    // The place of one that is over is free at once.
    let over = if one_too_many["id"] == "1" { "2" } else { "1" };
    for _ in 0..50 {
        socket.complete(over).await;
        socket.subscribe(over, CREATED, json!({})).await;
    }
    for _ in 0..10 {
        let answer = socket.ask("query", VIEWER, json!({})).await;
        assert_eq!(answer["type"], "next", "{answer}");
    }
    // The last of them may be about to begin; the other hears everything.
    let mut heard = HashSet::new();
    while heard.len() < 2 {
        cruddur.send("unamused", "luu", "hello").await;
        let told = socket.message().await;
        assert_eq!(told["type"], "next", "{told}");
        heard.insert(told["id"].to_string());
    }
}

#[tokio::test]
async fn a_stop_ends_subscriptions_without_a_word() {
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
    // A client that was told of its end would not come back for it.
    assert_eq!(why(&socket.closed().await), (1001, "Going away"));
    socket.frame().await;
    let stopped = served.await.expect("no panic").expect("an end");
    assert_eq!(stopped, Stopped::Cleanly);
}

#[tokio::test]
async fn who_does_not_read_holds_up_only_themselves_and_is_cut() {
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
    let asked = tokio::time::timeout(Duration::from_secs(30), asking).await;
    let asked = asked.expect("it is cut");
    let calls = cruddur.dynamo.calls().len();
    println!("asked {asked} times, {calls} calls of DynamoDB");
    assert!(calls < asked / 2);
    assert_eq!(
        luu(&cruddur).await.ask("1", VIEWER, json!({})).await["type"],
        "next"
    );
}

#[tokio::test]
async fn a_stop_answers_what_was_asked_and_then_says_that_it_goes() {
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
    let answer = busy.message().await;
    let created = &answer["payload"]["data"]["createMessage"]["__typename"];
    assert_eq!(created, "CreateMessageSuccess", "{answer}");
    assert_eq!(busy.message().await["type"], "complete");
    assert_eq!(why(&busy.closed().await), going);
    // The peer says it too.
    let (_, _, _) = tokio::join!(idle.frame(), new.frame(), busy.frame());
    let stopped = tokio::time::timeout(Duration::from_secs(20), served).await;
    let stopped = stopped.expect("it stops").expect("no panic");
    assert_eq!(stopped.expect("an end"), Stopped::Cleanly);
}

#[tokio::test]
async fn whatever_is_said_the_server_lives() {
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
    for round in 0..200 {
        let mut socket = match round % 2 {
            0 => Socket::connect(&cruddur.url, &token).await,
            _ => Socket::open(&cruddur.url).await,
        };
        for _ in 0..fastrand::usize(1..8) {
            let value = || values[fastrand::usize(..values.len())].clone();
            let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
                .take(fastrand::usize(..64))
                .collect();
            let message = match fastrand::u8(..8) {
                0 => Message::binary(bytes),
                1 => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
                2 => Message::Ping(bytes.into()),
                _ => {
                    let kind = kinds[fastrand::usize(..kinds.len())];
                    let message = json!({ "type": kind, "id": value(), "payload": value() });
                    Message::text(message.to_string())
                }
            };
            socket.send(message).await;
        }
    }
    let mut socket = Socket::connect(&cruddur.url, &token).await;
    assert_eq!(socket.ask("1", VIEWER, json!({})).await["type"], "next");
}
