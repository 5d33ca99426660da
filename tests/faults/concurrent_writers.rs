//! Concurrent writers.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{CREATE, checker, start};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_on_two_instances_share_one_group() {
    let cruddur = start().await;
    let (one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = pairs(&cruddur, 1).await;
    let load = Load::new(vec![one.url.clone(), other.url.clone()], pairs, 64, 10);

    let sent = load.run(&cruddur).await;

    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("two instances, 64 writers, one group");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_messages_of_two_users_create_one_group() {
    let cruddur = start().await;
    let (one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = pairs(&cruddur, 100).await;

    for [left, right] in &pairs {
        let sends = [(&one.url, left, right), (&other.url, right, left)];
        let responses = join_all(sends.map(|(url, from, to)| {
            let input = json!({ "to": { "receiverHandle": to }, "body": format!("from {from}") });
            cruddur.execute_at(url, from, CREATE, json!({ "input": input }))
        }))
        .await;
        for response in responses {
            let created = &response["data"]["createMessage"]["__typename"];
            assert_eq!(created, "CreateMessageSuccess", "{response}");
        }
    }

    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    println!(
        "first messages of both users at the same time, 100 times: {} groups",
        found.heads.len()
    );
    assert_eq!(found.heads.len(), 100);
    assert!(found.messages.values().all(|messages| messages.len() == 2));
}
