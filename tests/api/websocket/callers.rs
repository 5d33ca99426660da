//! Authentication and origins of sockets.

use cruddur::clock::Clock;
use cruddur::schema::Introspection;
use cruddur::server::Bounds;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{VIEWER, codes, why, with_bounds};
use crate::harness::{OURS, Setup, Socket, start_with};

#[tokio::test]
async fn connection_init_without_a_valid_user_closes_the_socket_with_4403() {
    let cruddur = with_bounds(Bounds::default()).await;
    let good = format!("Bearer {}", cruddur.token("luu"));
    let nobody = format!("Bearer {}", cruddur.token("nobody"));
    for payload in [
        Value::Null,
        json!({}),
        json!({ "Authorization": "Bearer x" }),
        json!({ "Authorization": nobody }),
        json!({ "Authorization": 1 }),
        json!({ "Authorization": good, "authorization": good }),
    ] {
        let mut socket = Socket::open(&cruddur.url).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.send_json(init).await;
        assert_eq!(
            why(&socket.closed().await),
            (4403, "Forbidden"),
            "{payload}"
        );
    }
}

#[tokio::test]
async fn authorization_without_bearer_closes_the_socket_with_a_reason() {
    let cruddur = with_bounds(Bounds::default()).await;
    let token = cruddur.token("luu");
    let reason = (4403, "Authorization is not `Bearer <token>`");
    for given in [
        token.clone(),
        format!("Basic {token}"),
        "Bearer ".to_owned(),
    ] {
        let mut socket = Socket::open(&cruddur.url).await;
        let payload = json!({ "Authorization": given });
        socket
            .send_json(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(why(&socket.closed().await), reason, "{given}");
    }
    let mut socket = Socket::open_with(&cruddur.url, &[OURS, ("Authorization", &token)])
        .await
        .expect("a socket");
    socket.send_json(json!({ "type": "connection_init" })).await;
    assert_eq!(why(&socket.closed().await), reason);
}

#[tokio::test]
async fn token_is_accepted_in_the_payload_and_in_the_handshake() {
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
        socket.send_json(init).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        let response = socket.execute("1", VIEWER, json!({})).await;
        assert_eq!(response["payload"]["data"]["viewer"]["handle"], "luu");
    }
}

#[tokio::test]
async fn public_introspection_allows_anonymous_sockets_only_introspection() {
    let cruddur = start_with(Setup {
        introspection: Introspection::Public,
        ..Setup::default()
    })
    .await;
    let mut socket = Socket::open(&cruddur.url).await;
    socket.send_json(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.message().await["type"], "connection_ack");

    let schema = socket
        .execute("1", "{ __schema { queryType { name } } }", json!({}))
        .await;
    assert_eq!(
        schema["payload"]["data"]["__schema"]["queryType"]["name"],
        "Query"
    );
    let rejected = socket.execute("1", VIEWER, json!({})).await;
    assert_eq!(codes(&rejected), ["UNAUTHENTICATED"]);
}

#[tokio::test]
async fn expired_token_closes_the_socket() {
    let cruddur = with_bounds(Bounds::default()).await;
    let mut claims = cruddur.issuer.claims("sub-luu");
    let now = Clock::system().now();
    claims["exp"] = json!(now.timestamp() + 5);
    let token = cruddur.issuer.sign(&claims).expect("a token");
    let mut socket = Socket::connect(&cruddur.url, &token).await;
    assert_eq!(socket.execute("1", VIEWER, json!({})).await["type"], "next");

    assert_eq!(why(&socket.closed().await), (4401, "Token expired"));
    let ended = Clock::system().now().timestamp();
    assert!(ended >= now.timestamp() + 5);
    let mut late = Socket::open(&cruddur.url).await;
    late.init(&token).await;
    assert_eq!(why(&late.closed().await), (4403, "Forbidden"));
}

#[tokio::test]
async fn unavailable_user_lookup_closes_the_socket_with_1013() {
    let cruddur = with_bounds(Bounds::default()).await;
    cruddur.postgres.cut(true);
    let mut socket = Socket::open(&cruddur.url).await;
    socket.init(&cruddur.token("luu")).await;
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test]
async fn origin_that_is_not_allowed_cannot_connect() {
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
async fn subprotocol_that_is_unknown_is_rejected() {
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
async fn handshake_that_is_incomplete_is_rejected_with_a_description() {
    let cruddur = with_bounds(Bounds::default()).await;
    let request = cruddur.http.get(format!("{}/graphql", cruddur.url));
    let request = request
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    let response = request.send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let response: Value = response.json().await.expect("JSON");
    assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}
