//! A DynamoDB whose reads show items late or not at all.

use std::sync::atomic::Ordering;

use crate::harness::{Cruddur, Faults, checker, start};
use crate::load::{Load, star};
use crate::readers::ReadResults;
use crate::report::Report;
use crate::server::Server;

/// Runs writers and readers until all messages are sent.
pub async fn write_and_read(cruddur: &Cruddur, load: &Load, readers: &[String]) -> Report {
    let writes = async {
        let sent = load.run(cruddur).await;
        load.stop.store(true, Ordering::Relaxed);
        sent
    };
    let (sent, results) = tokio::join!(writes, ReadResults::while_written(cruddur, load, readers));
    cruddur.dynamo.set_faults(Faults::default());
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    results.assert_correct(&found);
    Report::read(&cruddur.dynamo.url, &sent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partially_visible_transactions_cause_no_gap_and_no_duplicate() {
    let cruddur = start().await;
    let (one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = star(&cruddur, 5).await;
    let readers: Vec<String> = pairs.iter().flatten().take(8).cloned().collect();
    cruddur.dynamo.set_faults(Faults {
        partially_visible: 100,
        ..Faults::default()
    });
    let load = Load::new(vec![one.url.clone(), other.url.clone()], pairs, 16, 30);

    let report = write_and_read(&cruddur, &load, &readers).await;

    println!(
        "{} queries saw a part of a transaction",
        cruddur.dynamo.partially_visible()
    );
    assert!(cruddur.dynamo.partially_visible() > 0);
    report.assert_correct("partially visible transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_truncated_and_slow_reads_cause_no_wrong_result() {
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let pairs = star(&cruddur, 5).await;
    let readers: Vec<String> = pairs.iter().map(|[_, other]| other.clone()).collect();
    cruddur.dynamo.set_faults(Faults {
        failed_reads: 20,
        cut_reads: 15,
        slow_reads: 15,
        lost_after: 10,
        ..Faults::default()
    });
    let load = Load::new(vec![server.url.clone()], pairs, 20, 10);

    let report = write_and_read(&cruddur, &load, &readers).await;

    report.assert_correct("half of the reads fail, are truncated or take long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overtaken_attempts_change_nothing() {
    let cruddur = start().await;
    let (one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = star(&cruddur, 4).await;
    cruddur.dynamo.set_faults(Faults {
        overtaken: 30,
        ..Faults::default()
    });
    let load = Load::new(vec![one.url.clone(), other.url.clone()], pairs, 48, 10);

    let sent = load.run(&cruddur).await;

    let arrived = cruddur.dynamo.overtaken();
    println!("overtaken: {arrived:?}");
    assert!(arrived.rejected > 0 && arrived.repeated > 0);
    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("30 % of the attempts overtaken");
}
