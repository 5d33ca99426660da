//! Concurrent writers.

use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};

use crate::harness::{CREATE, Cruddur, Loss, Setup, checker, start, start_for_many_requests};

async fn check(cruddur: &Cruddur, groups: usize, messages: usize) {
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    assert_eq!(found.heads.len(), groups);
    assert_eq!(
        found.messages.values().map(Vec::len).sum::<usize>(),
        messages
    );
}

fn created(result: &Value) -> &str {
    assert_eq!(result["__typename"], "CreateMessageSuccess", "{result}");
    result["messageEdge"]["node"]["uuid"]
        .as_str()
        .expect("a uuid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_messages_from_both_users_create_one_group() {
    let cruddur = start_for_many_requests().await;
    cruddur.users(["luu", "unamused"]).await;

    let sent = join_all((0..60).map(|number| {
        let (from, to) = if number % 2 == 0 {
            ("luu", "unamused")
        } else {
            ("unamused", "luu")
        };
        let cruddur = &cruddur;
        async move { cruddur.send(from, to, &format!("message {number}")).await }
    }))
    .await;

    let mut uuids: Vec<&str> = sent.iter().map(created).collect();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), 60);
    check(&cruddur, 1, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_servers_that_write_to_one_group_lose_no_message() {
    let cruddur = start_for_many_requests().await;
    cruddur.users(["luu", "unamused"]).await;
    let second = cruddur.second_server(Setup::for_many_requests()).await;

    let sent = join_all((0..80).map(|number| {
        let (cruddur, second) = (&cruddur, &second);
        async move {
            let url = if number % 2 == 0 { &cruddur.url } else { second };
            let (from, to) = if number % 3 == 0 { ("luu", "unamused") } else { ("unamused", "luu") };
            let input = json!({ "to": { "receiverHandle": to }, "body": format!("{number}"), "idempotencyKey": format!("{number}") });
            cruddur.execute_at(url, from, CREATE, json!({ "input": input })).await
        }
    }))
    .await;

    for response in &sent {
        assert_eq!(response.get("errors"), None);
        created(&response["data"]["createMessage"]);
    }
    check(&cruddur, 1, 80).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_microsecond_in_many_groups_of_a_user_keeps_a_row_for_each() {
    let time: chrono::DateTime<chrono::Utc> = "2026-11-22T06:29:00Z".parse().expect("a time");
    let cruddur = crate::harness::start_with(Setup {
        clock: cruddur::clock::Clock::new(move || time),
        ..Setup::default()
    })
    .await;
    let others = ["a", "b", "c", "d", "e", "f", "g", "h"];
    cruddur.users(["luu"]).await;
    cruddur.users(others).await;

    let sent = join_all(others.into_iter().flat_map(|other| {
        let cruddur = &cruddur;
        [("luu", other), (other, "luu")]
            .map(|(from, to)| async move { cruddur.send(from, to, "at the same time").await })
    }))
    .await;

    for result in &sent {
        created(result);
    }
    check(&cruddur, 8, 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_goes_back_keeps_the_order_of_messages() {
    let seconds = std::sync::atomic::AtomicI64::new(2_000_000_000);
    let cruddur = crate::harness::start_with(Setup {
        clock: cruddur::clock::Clock::new(move || {
            let second = seconds.fetch_sub(7, std::sync::atomic::Ordering::Relaxed);
            chrono::DateTime::from_timestamp(second, 0).expect("a time")
        }),
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu", "unamused"]).await;

    let mut sent = Vec::new();
    let mut group = Value::Null;
    for number in 0..10 {
        let created = cruddur.send("luu", "unamused", &format!("{number}")).await;
        sent.push(created["messageEdge"]["node"]["uuid"].clone());
        group = created["messageGroupEdge"]["node"]["uuid"].clone();
    }

    let query =
        "query($group: UUID!) { messages(messageGroupUuid: $group) { edges { node { uuid } } } }";
    let response = cruddur
        .execute("luu", query, json!({ "group": group }))
        .await;
    let edges = response["data"]["messages"]["edges"]
        .as_array()
        .expect("edges");
    let found: Vec<Value> = edges
        .iter()
        .map(|edge| edge["node"]["uuid"].clone())
        .collect();
    assert_eq!(found, sent);
    check(&cruddur, 1, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_request_does_not_cancel_messages_of_other_requests() {
    let cruddur = start_for_many_requests().await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur.send("luu", "unamused", "first").await;

    let held = cruddur.dynamo.hold().await;
    cruddur.dynamo.calls();
    let mut requests: Vec<_> = (0..40)
        .map(|_| Box::pin(cruddur.send("luu", "unamused", "one of many")))
        .collect();
    tokio::select! {
        _ = select_all(&mut requests) => panic!("the transaction is held"),
        () = cruddur.dynamo.transactions(1) => {}
    }
    let kept: Vec<_> = requests.into_iter().step_by(2).collect();
    drop(held);
    let sent = join_all(kept).await;

    let acknowledged: Vec<&str> = sent.iter().map(created).collect();
    // The messages of the cancelled requests are written before this one.
    cruddur.send("luu", "unamused", "last").await;
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    let stored: Vec<&str> = found
        .messages
        .values()
        .flatten()
        .map(|message| checker::text(message, "message_uuid"))
        .collect();
    assert!(acknowledged.iter().all(|uuid| stored.contains(uuid)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_responses_of_a_message_store_it_once() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let losses = [
        &[Loss::After][..],
        &[Loss::Before],
        &[Loss::Before, Loss::After],
        &[Loss::After, Loss::After],
        &[Loss::Before, Loss::Before, Loss::After],
        &[Loss::None, Loss::After, Loss::Before],
    ];

    // The first message creates the group.
    for (number, losses) in losses.iter().enumerate() {
        cruddur.dynamo.lose(losses);
        let alone = cruddur
            .send("luu", "unamused", &format!("alone {number}"))
            .await;
        created(&alone);
        cruddur.dynamo.lose(losses);
        let together = (0..5).map(|sender| {
            let (from, to) = if sender % 2 == 0 {
                ("luu", "unamused")
            } else {
                ("unamused", "luu")
            };
            let cruddur = &cruddur;
            async move { cruddur.send(from, to, &format!("together {number}")).await }
        });
        for sent in join_all(together).await {
            created(&sent);
        }
    }

    check(&cruddur, 1, losses.len() * 6).await;
}
