//! The handshake request of proxies and of clients other than browsers.

use cruddur::server::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::with_bounds;
use crate::harness::{OURS, Serving, Socket, start, wait_for};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// Returns the head of the response to a request with these lines.
async fn open(url: &str, version: &str, lines: &[&str]) -> String {
    let address = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let lines = lines.join("\r\n");
    let request = format!("GET /graphql {version}\r\n{lines}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = wait_for("a response", stream.read_u8()).await;
        head.push(byte.expect("a head"));
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

#[tokio::test]
async fn handshake_headers_are_lists_on_any_number_of_lines() {
    let cruddur = with_bounds(Bounds::default()).await;
    let ours = "Sec-WebSocket-Protocol: graphql-transport-ws";
    let version = "Sec-WebSocket-Version: 13";
    for lines in [
        &[
            "Connection: keep-alive",
            "Connection: Upgrade",
            "Upgrade: websocket",
            version,
            ours,
        ][..],
        &[
            "Connection: UPGRADE,keep-alive",
            "Upgrade: WebSocket",
            version,
            ours,
        ],
        &[
            "Connection: , keep-alive ,upgrade",
            "Upgrade: h2c, websocket",
            version,
            ours,
        ],
        &[
            "Connection: upgrade",
            "Upgrade: h2c",
            "Upgrade: websocket",
            version,
            ours,
        ],
        &[
            "Connection: upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 8",
            "Sec-WebSocket-Version: 13, 7",
            ours,
        ],
        &[
            "Connection: upgrade",
            "Upgrade: websocket",
            version,
            "Sec-WebSocket-Protocol: graphql-ws",
            "Sec-WebSocket-Protocol: other ,graphql-transport-ws",
        ],
    ] {
        let lines = [&["Host: localhost", KEY], lines].concat();
        let head = open(&cruddur.url, "HTTP/1.1", &lines).await;
        assert!(head.starts_with("http/1.1 101 "), "{lines:?}: {head}");
        assert!(
            head.contains("sec-websocket-protocol: graphql-transport-ws\r\n"),
            "{lines:?}: {head}"
        );
    }
}

#[tokio::test]
async fn handshake_that_is_not_forwarded_whole_is_rejected_with_426() {
    let cruddur = with_bounds(Bounds::default()).await;
    for (http, lines) in [
        ("HTTP/1.1", &["Sec-WebSocket-Version: 13"][..]),
        ("HTTP/1.1", &["Connection: close", "Upgrade: websocket"]),
        ("HTTP/1.1", &["Connection: upgrade", "Upgrade: h2c"]),
        ("HTTP/1.0", &["Connection: upgrade", "Upgrade: websocket"]),
        (
            "HTTP/1.1",
            &[
                "Connection: upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 8",
            ],
        ),
    ] {
        let lines = [&["Host: localhost", KEY], lines].concat();
        let head = open(&cruddur.url, http, &lines).await;
        assert!(head.contains(" 426 "), "{lines:?}: {head}");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("sec-websocket-version: 13\r\n"), "{head}");
    }
}

#[tokio::test]
async fn handshake_matches_origin_and_host_with_and_without_the_default_port() {
    let cruddur = with_bounds(Bounds::default()).await;
    for (origin, host, status) in [
        ("https://api.example", "api.example:443", 101),
        ("https://api.example:443", "api.example", 101),
        ("http://api.example", "api.example:80", 101),
        ("https://API.example", "api.EXAMPLE", 101),
        ("https://cruddur.example:443", "api.example", 101),
        ("HTTPS://Cruddur.Example", "api.example", 101),
        ("https://api.example", "api.example:8443", 403),
        ("https://api.example:8443", "api.example", 403),
        ("https://cruddur.example:8443", "api.example", 403),
        ("null", "api.example", 403),
    ] {
        let (origin, host) = (format!("Origin: {origin}"), format!("Host: {host}"));
        let lines = [
            &host,
            &origin,
            KEY,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
        ];
        let head = open(&cruddur.url, "HTTP/1.1", &lines).await;
        let expected = format!("http/1.1 {status} ");
        assert!(head.starts_with(&expected), "{origin}, {host}: {head}");
    }
}

#[tokio::test]
async fn handshake_with_a_valid_token_is_accepted_from_any_origin() {
    let cruddur = with_bounds(Bounds::default()).await;
    let good = format!("Bearer {}", cruddur.token("luu"));
    let bad = format!("Bearer {}x", cruddur.token("luu"));
    for (authorization, status) in [(good.as_str(), 101), (&bad, 403), ("Basic bHV1Ong=", 403)] {
        let headers = [
            OURS,
            ("Origin", "https://elsewhere.example"),
            ("Authorization", authorization),
        ];
        let opened = Socket::open_with(&cruddur.url, &headers).await;
        let head = opened.map_or_else(|head| head, |socket| socket.head);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&expected), "{authorization}: {head}");
    }
}

#[tokio::test]
async fn handshake_from_a_rejected_origin_is_logged_with_both_values() {
    let stores = start().await;
    let serving = Serving::start(&stores, &[]).await;
    let headers = [OURS, ("Origin", "https://elsewhere.example")];
    let rejected = Socket::open_with(&serving.url, &headers).await.err();
    assert!(
        rejected
            .expect("it is rejected")
            .starts_with("HTTP/1.1 403 ")
    );

    let line = serving.line("a WebSocket was rejected").await;
    assert_eq!(line["origin"], "https://elsewhere.example");
    let host = serving.url.strip_prefix("http://").expect("an address");
    assert_eq!(line["host"], host);
}
