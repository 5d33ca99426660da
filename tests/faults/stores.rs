//! A DynamoDB that is slow, throttled or unresponsive.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::random::draw;
use crate::harness::{CREATE, Cruddur, Faults, start};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

/// Time in which a server must recover after its stores, on a busy machine.
const RECOVERS_WITHIN: Duration = Duration::from_secs(10);

async fn send(cruddur: &Cruddur, server: &Server, pair: &[String; 2], body: &str) -> Value {
    let input =
        json!({ "to": { "receiverHandle": pair[1] }, "body": body, "idempotencyKey": body });
    let asked = cruddur.ask_at(&server.url, &pair[0], CREATE, json!({ "input": input }));
    asked.await
}

/// Waits until a message succeeds, and returns how long that took.
async fn recovers(cruddur: &Cruddur, server: &Server, pair: &[String; 2]) -> Duration {
    let began = Instant::now();
    let body = format!("after {}", draw(|random| random.u64(..)));
    while send(cruddur, server, pair, &body).await["data"].is_null() {
        assert!(began.elapsed() < RECOVERS_WITHIN * 3, "it recovers");
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_of_half_of_all_calls_loses_nothing() {
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 10).await;
    cruddur.dynamo.set_faults(Faults {
        throttled: 50,
        conflict: 10,
        ..Faults::default()
    });
    let load = Load::new(vec![server.url.clone()], pairs, 20, 10);

    let sent = load.run(&cruddur).await;

    cruddur.dynamo.set_faults(Faults::default());
    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.judge("throttled at 50 %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_store_fails_requests_in_time_and_recovers() {
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 1).await;
    send(&cruddur, &server, &pairs[0], "before").await;
    for (what, faults) in [
        (
            "throttled at 100 %",
            Faults {
                throttled: 100,
                ..Faults::default()
            },
        ),
        (
            "hangs",
            Faults {
                hangs: 100,
                ..Faults::default()
            },
        ),
    ] {
        cruddur.dynamo.set_faults(faults);
        let began = Instant::now();
        let refused = send(&cruddur, &server, &pairs[0], what).await;
        let failed = began.elapsed();
        let extensions = &refused["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "UNAVAILABLE", "{refused}");
        let outcome = extensions["outcome"].as_str();
        assert!(
            matches!(outcome, Some("NOT_APPLIED" | "UNKNOWN")),
            "{refused}"
        );
        assert!(failed < Duration::from_secs(15), "{failed:?}");

        cruddur.dynamo.set_faults(Faults::default());
        let recovered = recovers(&cruddur, &server, &pairs[0]).await;
        println!("{what}: failed after {failed:?}, recovered after {recovered:?}");
        assert!(recovered < RECOVERS_WITHIN, "{recovered:?}");
    }
}
