//! A DynamoDB that is slow, throttled or unresponsive.

use serde_json::{Value, json};

use crate::harness::{CREATE, Cruddur, Faults, start, wait_until};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

async fn send(cruddur: &Cruddur, server: &Server, pair: &[String; 2], body: &str) -> Value {
    let input =
        json!({ "to": { "receiverHandle": pair[1] }, "body": body, "idempotencyKey": body });
    let sent = cruddur.execute_at(&server.url, &pair[0], CREATE, json!({ "input": input }));
    sent.await
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
    report.assert_correct("throttled at 50 %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_store_fails_requests_with_unavailable_until_it_recovers() {
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
        let rejected = send(&cruddur, &server, &pairs[0], what).await;
        let extensions = &rejected["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "UNAVAILABLE", "{rejected}");
        let outcome = extensions["outcome"].as_str();
        assert!(
            matches!(outcome, Some("NOT_APPLIED" | "UNKNOWN")),
            "{rejected}"
        );

        cruddur.dynamo.set_faults(Faults::default());
        let body = format!("after {what}");
        wait_until("a message succeeds", async || {
            let response = send(&cruddur, &server, &pairs[0], &body).await;
            response["data"].is_object()
        })
        .await;
    }
}
