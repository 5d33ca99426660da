//! Processes that crash or freeze.

use std::time::Duration;

use crate::harness::random::draw;
use crate::harness::{Faults, start};
use crate::load::{Load, pairs};
use crate::report::Report;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_loses_no_acknowledged_message() {
    let cruddur = start().await;
    let mut server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 50).await;
    let load = Load::new(vec![server.url.clone()], pairs, 200, 10);
    let kills = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(draw(|random| random.u64(100..700)))).await;
            server.kill(&cruddur).await;
        }
    };

    let (sent, ()) = tokio::join!(load.run(&cruddur), kills);

    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("200 writers, 50 groups, 20 kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_responses_and_a_frozen_process_duplicate_nothing() {
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let pairs = pairs(&cruddur, 20).await;
    cruddur.dynamo.set_faults(Faults {
        lost_after: 25,
        cut: 5,
        late: 5,
        ..Faults::default()
    });
    let load = Load::new(vec![server.url.clone()], pairs, 60, 8);
    let freezes = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(800)).await;
            server.freeze(Duration::from_millis(1500)).await;
        }
    };

    let (sent, ()) = tokio::join!(load.run(&cruddur), freezes);

    cruddur.dynamo.set_faults(Faults::default());
    cruddur.dynamo.late_calls_executed().await;
    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("35 % of the responses lost, 4 freezes");
}
