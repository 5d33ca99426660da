//! Sends messages under load for any duration, while servers are killed and frozen, and DynamoDB
//! throttles calls, loses responses and executes calls late.
//!
//! `cargo build --release && cargo run --release --example torture -- --minutes 5`
//!
//! Prints its counts and the memory of the servers after each round of half a minute, and at the
//! end whether there were errors.
//!
//! With `--steady`, there are no faults: users write and read at a moderate rate on one server,
//! whose memory is printed every half a minute.

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests share this module, and the example uses a part of it"
)]
#[path = "../tests/harness/mod.rs"]
mod harness;
#[path = "../tests/faults/load.rs"]
mod load;
#[path = "../tests/faults/readers.rs"]
mod readers;
#[allow(dead_code, reason = "only the tests call `assert_correct`")]
#[path = "../tests/faults/report.rs"]
mod report;
#[path = "../tests/faults/server.rs"]
mod server;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;

use harness::{Cruddur, Faults, start};
use load::{Load, pairs, star};
use readers::ReadResults;
use report::Report;
use server::Server;

const ROUND: Duration = Duration::from_secs(30);

/// The faults.
#[derive(Parser)]
struct Options {
    /// Duration in minutes
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Whether servers are killed and frozen, and calls fail; otherwise there
    /// is only load
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    faults: bool,
    /// Only load, on one server, with readers
    #[arg(long)]
    steady: bool,
    /// Addresses at which the two servers serve their metrics
    #[arg(long, value_delimiter = ',')]
    metrics_listen: Vec<String>,
}

impl Options {
    /// The settings of one of the servers.
    fn settings(&self, server: usize) -> Vec<(&'static str, String)> {
        let address = self.metrics_listen.get(server).cloned();
        let setting = address.map(|address| ("CRUDDUR_METRICS_LISTEN", address));
        setting.into_iter().collect()
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if options.steady {
        return steady(options.minutes).await;
    }
    let began = Instant::now();
    let mut wrong = 0;
    while began.elapsed() < Duration::from_secs(60 * options.minutes) {
        let cruddur = start().await;
        let report = round(&cruddur, &options).await;
        println!("{:>4} s: {report:?}", began.elapsed().as_secs());
        wrong += report.wrong() + report.sent - report.acknowledged;
    }
    assert_eq!(wrong, 0, "something is wrong");
}

/// Starts two servers with new stores, because an embedded DynamoDB slows down
/// with its contents.
async fn round(cruddur: &Cruddur, options: &Options) -> Report {
    let mut servers = [
        Server::start_with(cruddur, options.settings(0)).await,
        Server::start_with(cruddur, options.settings(1)).await,
    ];
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    let load = Load::new(urls, pairs(cruddur, 40).await, 80, usize::MAX);
    let trouble = async {
        let began = Instant::now();
        while began.elapsed() < ROUND {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(200..1500))).await;
            if options.faults {
                cruddur.dynamo.set_faults(some_faults());
                let server = &mut servers[fastrand::usize(..2)];
                match fastrand::u8(..4) {
                    0 => server.kill(cruddur).await,
                    1 => server.freeze(Duration::from_millis(700)).await,
                    _ => {}
                }
            }
        }
        cruddur.dynamo.set_faults(Faults::default());
        load.stop.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(load.run(cruddur), trouble);
    let memory = servers.each_ref().map(Server::resident_kilobytes);
    println!("        memory of the servers: {memory:?} kB");
    cruddur.dynamo.late_calls_executed().await;
    Report::read(&cruddur.dynamo.url, &sent).await
}

/// Runs writers and readers for some time, and prints the memory of their
/// server.
async fn steady(minutes: u64) {
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let pairs = star(&cruddur, 40).await;
    // Readers get full pages from the first minute on.
    for pair in &pairs {
        let users = cruddur.users.users_by_handle(pair).await.expect("users");
        let [one, other] = users.as_slice() else {
            panic!("two users for {pair:?}");
        };
        cruddur
            .seed([one, other], "2026-01-01T00:00:00Z", 100)
            .await;
    }
    let readers: Vec<String> = pairs.iter().flatten().take(20).cloned().collect();
    let mut load = Load::new(vec![server.url.clone()], pairs, 20, usize::MAX);
    load.pause = Duration::from_secs(1);
    let memory = async {
        let mut samples = Vec::new();
        for half_minute in 1..=2 * minutes {
            tokio::time::sleep(ROUND).await;
            samples.extend(server.resident_kilobytes());
            println!(
                "{:>4} s: {} kB",
                30 * half_minute,
                samples[samples.len() - 1]
            );
        }
        load.stop.store(true, Ordering::Relaxed);
        samples
    };
    let read = ReadResults::while_written(&cruddur, &load, &readers);
    let (sent, results, samples) = tokio::join!(load.run(&cruddur), read, memory);

    let found = harness::checker::read(&harness::checker::client(&cruddur.dynamo.url)).await;
    results.assert_correct(&found);
    let report = Report::read(&cruddur.dynamo.url, &sent).await;
    report.assert_correct("steady load");
    let (minute, last) = (samples[1], samples[samples.len() - 1]);
    let percent = last * 100 / minute;
    println!("after a minute {minute} kB, at the end {last} kB: {percent} %");
    assert!(percent <= 110, "memory grows");
}

fn some_faults() -> Faults {
    Faults {
        throttled: fastrand::u8(..15),
        lost_after: fastrand::u8(..15),
        lost_before: fastrand::u8(..15),
        cut: fastrand::u8(..5),
        conflict: fastrand::u8(..15),
        late: fastrand::u8(..5),
        hangs: fastrand::u8(..3),
        overtaken: fastrand::u8(..10),
        partially_visible: fastrand::u8(..20),
        failed_reads: fastrand::u8(..10),
        cut_reads: fastrand::u8(..10),
        slow_reads: fastrand::u8(..10),
        index_lags: fastrand::bool(),
    }
}
