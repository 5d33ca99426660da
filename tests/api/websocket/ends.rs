//! Metrics of ended connections.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::VIEWER;
use crate::harness::{Serving, Socket, start, wait_for};

const METRIC: &str = "cruddur_socket_closes_total";

/// Returns the counts of ended connections, when there are `count`.
async fn ends(metrics: &str, count: u32) -> Vec<(String, u32)> {
    let counted = async {
        loop {
            let text = reqwest::get(metrics).await.expect("a response");
            let text = text.text().await.expect("a text");
            let lines = text.lines().filter_map(|line| line.strip_prefix(METRIC));
            let ends = lines.filter_map(|line| {
                let (labels, count) = line.split_once(' ')?;
                Some((labels.to_owned(), count.parse().expect("a number")))
            });
            let ends: Vec<(String, u32)> = ends.collect();
            if ends.iter().map(|(_, count)| count).sum::<u32>() >= count {
                return ends;
            }
        }
    };
    wait_for("the metric of ended connections", counted).await
}

#[tokio::test]
async fn end_without_a_close_frame_counts_as_gone() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let serving = Serving::start(&stores, &["--metrics-listen", "127.0.0.1:0"]).await;
    let metrics = format!("{}/metrics", serving.address("metrics").await);
    let token = stores.token("luu");
    let url = &serving.url;

    // The connection is closed before and after authentication.
    drop(Socket::open(url).await);
    let mut idle = Socket::connect(url, &token).await;
    assert_eq!(idle.execute("1", VIEWER, json!({})).await["type"], "next");
    drop(idle);
    // The connection ends in the middle of a frame.
    let half = Socket::connect(url, &token).await;
    let sent = half.connection().try_write(&[0x81, 0xfe, 0x10]);
    assert_eq!(sent.expect("sent"), 3);
    drop(half);
    // The client closes with unread data, so that the system resets the connection.
    let mut reset = Socket::open(url).await;
    reset.init(&token).await;
    reset.connection().readable().await.expect("readable");
    drop(reset);
    assert_eq!(ends(&metrics, 4).await, [("{code=\"gone\"}".to_owned(), 4)]);

    let mut stderr = Socket::connect(url, &token).await;
    stderr.send(Message::Close(None)).await;
    stderr.frame().await;
    let mut counted = ends(&metrics, 5).await;
    counted.sort();
    let expected = [("client", 1), ("gone", 4)];
    let expected = expected.map(|(code, count)| (format!("{{code=\"{code}\"}}"), count));
    assert_eq!(counted, expected);
}
