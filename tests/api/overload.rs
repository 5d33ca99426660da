//! Overload, and stores that hang.

use cruddur::telemetry::metrics;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use crate::harness::{CREATE, Cruddur, Faults, checker, start, start_for_many_requests};

const GROUPS: &str = "{ messageGroups { edges { cursor } } }";
/// Capacity of the queue of a group.
const QUEUE: usize = 256;
/// Number of messages that are sent in addition to the capacity of the queue.
const TOO_MANY: usize = 40;

/// Returns a counter of this process. Other tests can only increase it.
pub fn counter(name: &str) -> f64 {
    let metrics = metrics::render();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0.0)
}

/// Starts a system with a group of luu and unamused.
async fn people() -> Cruddur {
    let cruddur = start().await;
    add_people(&cruddur).await;
    cruddur
}

async fn add_people(cruddur: &Cruddur) {
    cruddur.users(["luu", "unamused"]).await;
    cruddur.send("luu", "unamused", "first").await;
}

async fn send(cruddur: &Cruddur, body: &str) -> Value {
    let to = json!({ "receiverHandle": "unamused" });
    let input = json!({ "input": { "to": to, "body": body } });
    cruddur.execute("luu", CREATE, input).await
}

fn outcome(response: &Value) -> (&str, &str) {
    let extensions = &response["errors"][0]["extensions"];
    let text = |name: &str| extensions[name].as_str().unwrap_or("none");
    (text("code"), text("outcome"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_of_256_messages_rejects_more_as_not_applied() {
    let cruddur = start_for_many_requests().await;
    add_people(&cruddur).await;
    let counted = counter("cruddur_messages_rejected_total");
    let held = cruddur.dynamo.hold().await;
    cruddur.dynamo.calls();
    let being_written = send(&cruddur, "being written");
    let many = async {
        // The group's task now accepts no more messages.
        cruddur.dynamo.transactions(1).await;
        let sends = (0..QUEUE + TOO_MANY).map(|_| send(&cruddur, "one of many"));
        let mut sends: FuturesUnordered<_> = sends.collect();
        let mut responses = Vec::new();
        for _ in 0..TOO_MANY {
            responses.push(sends.next().await.expect("a response"));
        }
        drop(held);
        let rejected = responses.len();
        responses.extend(sends.collect::<Vec<_>>().await);
        (rejected, responses)
    };

    let (first, (rejected, responses)) = tokio::join!(being_written, many);

    assert_eq!(first.get("errors"), None);
    for response in &responses[..rejected] {
        assert_eq!(
            outcome(response),
            ("UNAVAILABLE", "NOT_APPLIED"),
            "{response}"
        );
    }
    for response in &responses[rejected..] {
        assert_eq!(response.get("errors"), None);
    }
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    let written: usize = found.messages.values().map(Vec::len).sum();
    assert_eq!(written, 2 + QUEUE);
    assert!(counter("cruddur_messages_rejected_total") - counted >= 40.0);
}

#[tokio::test]
async fn deadline_of_ten_seconds_ends_every_request_to_a_store_that_hangs() {
    let cruddur = people().await;
    cruddur.dynamo.set_faults(Faults {
        hangs: 100,
        ..Faults::default()
    });
    cruddur.dynamo.calls();
    let (written, read) = tokio::join!(
        send(&cruddur, "hello"),
        cruddur.execute("unamused", GROUPS, json!({})),
    );

    // The server ends each attempt to read the group's head after three seconds, and makes another
    // one until the deadline.
    let mut attempts = cruddur.dynamo.calls();
    attempts.retain(|call| call == "GetItem strong");
    assert!(attempts.len() <= 4, "{attempts:?}");
    assert_eq!(outcome(&written), ("UNAVAILABLE", "UNKNOWN"), "{written}");
    assert_eq!(outcome(&read).0, "UNAVAILABLE", "{read}");
}

#[tokio::test]
async fn hanging_dynamodb_does_not_delay_requests_that_do_not_use_it() {
    let cruddur = start_for_many_requests().await;
    add_people(&cruddur).await;
    cruddur.dynamo.set_faults(Faults {
        hangs: 100,
        ..Faults::default()
    });
    cruddur.dynamo.calls();
    let meanwhile = async {
        cruddur.dynamo.called("GetItem strong").await;
        let document = "{ viewer { handle } user(handle: \"unamused\") { displayName } }";
        for handle in ["luu", "unamused"] {
            let data = cruddur.data(handle, document, json!({})).await;
            assert_eq!(data["viewer"]["handle"], handle);
        }
    };
    // The server attempts to write a message until the deadline of the request.
    tokio::select! {
        () = meanwhile => {}
        response = send(&cruddur, "hello") => panic!("it did not wait: {response}"),
    }
}

#[tokio::test]
async fn throttled_calls_are_counted_in_the_metrics() {
    let cruddur = people().await;
    let name = "cruddur_dynamodb_calls_total{operation=\"Query\",result=\"throttled\"}";
    let before = counter(name);
    cruddur.dynamo.set_faults(Faults {
        throttled: 100,
        ..Faults::default()
    });

    let response = cruddur.execute("luu", GROUPS, json!({})).await;

    assert_eq!(outcome(&response).0, "UNAVAILABLE", "{response}");
    // The SDK makes three attempts.
    assert!(counter(name) - before >= 3.0);
}
