//! Memory for responses that clients do not read, and the responses of other clients meanwhile.

use std::net::SocketAddr;
use std::time::Instant;

use cruddur::messaging::SeededMessage;
use cruddur::model::MessageBody;
use futures_util::future::join_all;
use serde_json::json;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Cruddur, Serving, Socket, TIMEOUT, start};

/// `--max-unread-bytes` of the server.
const LIMIT: usize = 4 * 1024 * 1024;
/// Number of sockets that never read.
const SOCKETS: usize = 100;
/// Number of HTTP connections that never read; half of them accept only server-sent events.
const CONNECTIONS: usize = 20;
/// Number of requests of each socket and connection.
const REQUESTS: usize = 20;
/// A page of 100 messages of 1,000 characters: a response of about 120 kB.
const PAGE: &str = "query($group: UUID!) { messages(messageGroupUuid: $group, last: 100) { edges { cursor node { body } } } }";
const VIEWER: &str = "{ viewer { handle } }";

/// Connects with a small receive buffer and small packets, so that the system's buffers are too
/// small for a page.
async fn narrow_connection(url: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    SockRef::from(&socket)
        .set_tcp_mss(536)
        .expect("small packets");
    let address: SocketAddr = url["http://".len()..].parse().expect("an address");
    socket.connect(address).await.expect("a connection")
}

/// luu and unamused with a page of long messages, and the UUID of their group.
async fn long_messages() -> (Cruddur, String) {
    let cruddur = start().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let messages: Vec<_> = (0..100)
        .map(|number| SeededMessage {
            by_first: true,
            body: MessageBody::parse("x".repeat(1000)).expect("a body"),
            at: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000 + number),
        })
        .collect();
    let seeder = &cruddur.messaging.seeder;
    let written = seeder.seed([&luu, &unamused], &messages).await;
    written.expect("messages");
    let group = cruddur.group_uuid("luu", "unamused").await;
    (cruddur, group)
}

/// The memory and the operations of a server, according to its metrics and the system.
struct Usage {
    reserved: f64,
    ended: f64,
    /// The maximum resident memory so far, in bytes.
    peak: usize,
}

async fn usage(cruddur: &Cruddur, metrics: &str, pid: u32) -> Usage {
    let text = cruddur.http.get(metrics).send().await.expect("a response");
    let text = text.text().await.expect("a text");
    let sum = |name: &str| {
        let values = text.lines().filter(|line| line.starts_with(name));
        let values = values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum::<f64>()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Usage {
        reserved: sum("cruddur_response_memory_bytes"),
        ended: sum("cruddur_requests_total{"),
        peak: peak
            .and_then(|kb| kb.parse::<usize>().ok())
            .expect("a size")
            * 1024,
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_memory_stays_within_its_limit_while_a_hundred_sockets_do_not_read() {
    let (cruddur, group) = long_messages().await;
    let limit = LIMIT.to_string();
    let options = [
        ["--max-unread-bytes", &limit],
        ["--max-sockets-per-user", "1000"],
        ["--metrics-listen", "127.0.0.1:0"],
    ];
    let serving = Serving::start(&cruddur, options.as_flattened()).await;
    let metrics = format!("{}/metrics", serving.address("metrics").await);
    let token = cruddur.token("luu");
    let page = json!({ "query": PAGE, "variables": { "group": group } });

    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let stream = narrow_connection(&serving.url).await;
        sockets.push(Socket::connect_over(stream, &token).await);
    }
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(narrow_connection(&serving.url).await);
    }
    // First, as many requests are executed as can run at the same time, so that the memory of their
    // execution is part of the measurement before the flood.
    for _ in 0..3 {
        let pages = (0..16)
            .map(|_| cruddur.execute_at(&serving.url, "luu", PAGE, json!({ "group": group })));
        join_all(pages).await;
    }
    let before = usage(&cruddur, &metrics, serving.pid()).await;

    let flood_sockets = sockets.iter_mut().map(async |socket| {
        for id in 0..REQUESTS {
            socket
                .send_json(json!({ "type": "subscribe", "id": id.to_string(), "payload": page }))
                .await;
        }
    });
    let flood_connections = connections.iter_mut().enumerate().map(async |(number, stream)| {
        let accept = ["application/json", "text/event-stream"][number % 2];
        let body = page.to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // The server reads no further requests while it cannot send a response, and closes the
        // connection after a timeout.
        let _ = stream.write_all(request.repeat(REQUESTS).as_bytes()).await;
    });
    let watch = async {
        let mut reserved = 0.0_f64;
        let (mut answered, mut rejected) = (0, 0);
        let began = Instant::now();
        loop {
            let now = usage(&cruddur, &metrics, serving.pid()).await;
            reserved = reserved.max(now.reserved);
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let all = before.ended + (SOCKETS * REQUESTS + answered + rejected) as f64;
            // Every operation has ended: the server has written its result or closed its connection.
            if now.ended >= all && now.reserved == 0.0 {
                return (reserved, now.peak, answered, rejected);
            }
            assert!(began.elapsed() < TIMEOUT, "{} of {all} ended", now.ended);
            let other = cruddur
                .execute_at(&serving.url, "unamused", VIEWER, json!({}))
                .await;
            if other["data"]["viewer"]["handle"] == "unamused" {
                answered += 1;
            } else {
                let error = &other["errors"][0]["extensions"];
                assert_eq!(error["code"], "UNAVAILABLE", "{other}");
                assert_eq!(error["retryAfterMs"], 1000, "{other}");
                rejected += 1;
            }
        }
    };
    let ((reserved, peak, answered, rejected), _, _) =
        tokio::join!(watch, join_all(flood_sockets), join_all(flood_connections));

    // The kernel counts pages per CPU, so that the maximum can be reported as a few pages smaller than before.
    let grown = peak.saturating_sub(before.peak);
    println!(
        "limit {LIMIT}: at most {reserved} bytes reserved, {grown} bytes of resident memory beyond the {} before; \
         other requests: {answered} answered, {rejected} rejected",
        before.peak
    );
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let limit = LIMIT as f64;
    assert!(reserved <= limit, "{reserved} bytes are reserved");
    // The server has held responses that clients did not read. The maximum depends on the time of the samples.
    assert!(reserved > 240_000.0, "only {reserved} bytes were reserved");
    assert!(answered > 0);
    // A response exists twice while it is serialized, and the allocator keeps freed memory. Without a limit,
    // the responses of the sockets alone would take 240 MB.
    assert!(grown < 8 * LIMIT, "{grown} bytes");
}
