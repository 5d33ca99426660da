//! Messages under load for as long as one likes, while servers are killed and
//! frozen and their DynamoDB throttles, loses answers and repeats itself.
//!
//! `cargo build --release && cargo run --release --example torture -- --minutes 5`
//!
//! Prints what it counted after each round of half a minute, how much memory
//! the servers use, and at the end whether anything was wrong.

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests share it, and this needs its part"
)]
#[path = "../tests/harness/mod.rs"]
mod harness;
#[path = "../tests/faults/load.rs"]
mod load;
#[allow(dead_code, reason = "the tests judge a report by themselves")]
#[path = "../tests/faults/report.rs"]
mod report;
#[path = "../tests/faults/server.rs"]
mod server;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;

use harness::{Cruddur, Faults, start};
use load::{Load, pairs};
use report::Report;
use server::Server;

const ROUND: Duration = Duration::from_secs(30);

/// What goes wrong.
#[derive(Parser)]
struct Options {
    /// How long it goes on
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Whether servers are killed and frozen, and calls go wrong; else it is
    /// load alone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    faults: bool,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let began = Instant::now();
    let mut wrong = 0;
    while began.elapsed() < Duration::from_secs(60 * options.minutes) {
        let cruddur = start().await;
        let report = round(&cruddur, options.faults).await;
        println!("{:>4} s: {report:?}", began.elapsed().as_secs());
        wrong += report.wrong() + report.sent - report.acknowledged;
    }
    assert_eq!(wrong, 0, "something is wrong");
}

/// Two servers over new stores, since an embedded DynamoDB gets slower with all
/// that it remembers.
async fn round(cruddur: &Cruddur, faults: bool) -> Report {
    let mut servers = [Server::start(cruddur).await, Server::start(cruddur).await];
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    let load = Load::new(urls, pairs(cruddur, 40).await, 80, usize::MAX);
    let trouble = async {
        let began = Instant::now();
        while began.elapsed() < ROUND {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(200..1500))).await;
            if faults {
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
    // What is late is there by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Report::read(&cruddur.dynamo.url, &sent).await
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
        half_seen: fastrand::u8(..20),
        failed_reads: fastrand::u8(..10),
        cut_reads: fastrand::u8(..10),
        slow_reads: fastrand::u8(..10),
        index_lags: fastrand::bool(),
    }
}
