//! A PostgreSQL that crashes and restarts.

use std::time::Duration;

use cruddur::dev::{DataDir, Postgres};
use serde_json::json;

use crate::harness::{Database, Setup, free_port, start_on, wait_until};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

/// Stops PostgreSQL as `pg_ctl stop -m immediate` does.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_outage_under_load_is_survived() {
    // The data directory remains when the server stops.
    let folder = std::env::temp_dir().join(format!("cruddur-faults-{}", uuid::Uuid::new_v4()));
    let data = DataDir::open(&folder).expect("a directory");
    // It must start again on the same port, to which the server connects.
    let port = free_port();
    let postgres = Postgres::start(&data, port).expect("a PostgreSQL");
    let database = Database::at(postgres.url("cruddur")).await;
    let cruddur = start_on(database, Setup::default()).await;
    let server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 11).await;
    let load = Load::new(vec![server.url.clone()], pairs[1..].to_vec(), 20, 60);
    let outages = async {
        let mut postgres = Some(postgres);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            stop_immediately(&data).await;
            drop(postgres.take());
            tokio::time::sleep(Duration::from_millis(700)).await;
            postgres = Some(Postgres::start(&data, port).expect("it starts again"));
        }
        postgres
    };

    let (sent, postgres) = tokio::join!(load.run(&cruddur), outages);

    // A user that is not in the server's cache, without a restart of the
    // server.
    let viewer = "{ viewer { handle } }";
    wait_until("the server finds PostgreSQL again", async || {
        let response = cruddur.execute_at(&server.url, &pairs[0][0], viewer, json!({}));
        response.await["data"]["viewer"]["handle"].is_string()
    })
    .await;
    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("PostgreSQL killed three times");
    drop(postgres);
    drop(data);
    std::fs::remove_dir_all(folder).expect("it is removed");
}
