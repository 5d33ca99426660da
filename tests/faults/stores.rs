//! Stores that are slow, throttled, silent or gone.

use std::time::{Duration, Instant};

use cruddur::dev::{DataDir, Postgres};
use serde_json::{Value, json};

use crate::harness::{CREATE, Cruddur, Database, Faults, Setup, start, start_on};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

/// How soon a server has to be well again after its stores are.
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);

async fn send(cruddur: &Cruddur, server: &Server, pair: &[String; 2], body: &str) -> Value {
    let input =
        json!({ "to": { "receiverHandle": pair[1] }, "body": body, "idempotencyKey": body });
    let asked = cruddur.ask_at(&server.url, &pair[0], CREATE, json!({ "input": input }));
    asked.await
}

/// Waits until a message gets through, and says how long that took.
async fn recovers(cruddur: &Cruddur, server: &Server, pair: &[String; 2]) -> Duration {
    let began = Instant::now();
    let body = format!("after {}", fastrand::u64(..));
    while send(cruddur, server, pair, &body).await["data"].is_null() {
        assert!(began.elapsed() < RECOVERS_WITHIN * 5, "it recovers");
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_all_calls_throttled_only_makes_it_slower() {
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
async fn a_store_that_takes_nothing_or_never_answers_fails_in_time_and_recovers() {
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
        assert!(failed < Duration::from_secs(11), "{failed:?}");

        cruddur.dynamo.set_faults(Faults::default());
        let recovered = recovers(&cruddur, &server, &pairs[0]).await;
        println!("{what}: failed after {failed:?}, well again after {recovered:?}");
        assert!(recovered < RECOVERS_WITHIN * 2, "{recovered:?}");
    }
}

/// The process of a PostgreSQL, which is killed as `pg_ctl stop -m immediate`
/// does it.
async fn stop_immediately(data: &DataDir) {
    let mut folders = std::fs::read_dir(data.path().join("postgres")).expect("a cluster");
    let pid = folders.find_map(|entry| {
        let file = entry.ok()?.path().join("postmaster.pid");
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.lines().next()?.to_owned())
    });
    let stopped = tokio::process::Command::new("kill")
        .args(["-QUIT", &pid.expect("a process")])
        .status()
        .await;
    assert!(stopped.expect("kill runs").success());
}

#[cfg(not(feature = "embedded-postgres"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_and_come_back_under_load() {
    let data = DataDir::temporary().expect("a directory");
    let postgres = Postgres::start(&data, 0).expect("a PostgreSQL");
    let database = Database::at(postgres.url("cruddur")).await;
    let port = reqwest::Url::parse(&database.url)
        .expect("an address")
        .port();
    let cruddur = start_on(database, Setup::default()).await;
    let server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 10).await;
    let load = Load::new(vec![server.url.clone()], pairs, 20, 60);
    let outages = async {
        let mut postgres = Some(postgres);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            stop_immediately(&data).await;
            drop(postgres.take());
            tokio::time::sleep(Duration::from_millis(700)).await;
            postgres =
                Some(Postgres::start(&data, port.expect("a port")).expect("it starts again"));
        }
        postgres
    };

    let (sent, postgres) = tokio::join!(load.run(&cruddur), outages);

    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.judge("PostgreSQL killed three times");
    drop(postgres);
}
