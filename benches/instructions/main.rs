//! Counts the instructions of a request with valgrind, and compares them with those of a minimal
//! server (`floor.rs`), which makes the same calls to DynamoDB with axum and the AWS SDK only. The
//! counts do not depend on other load of the machine.
//!
//! `cargo bench --bench instructions --no-default-features`
//!
//! Each workload runs in its own process, once with N requests and once with 2 N. The difference is
//! the cost of N requests without the start. A replay replaces the SDK's HTTP client for DynamoDB,
//! users are cached, and requests enter at the router, so neither side includes HTTP/1.1 and
//! sockets. The last line compares W1 with and without the log, as `serve` writes it without a
//! collector of traces. A ratio above the one in `ceilings.json` fails the run.

mod dynamodb;
mod floor;
mod service;
mod sign_in;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use cruddur::telemetry::{self, Verbosity};
use tower::ServiceExt;

/// Number of requests in the shorter of two runs.
const REQUESTS: u64 = 40;
/// Number of requests that fill the caches before the counted requests.
const WARM_UP: u64 = 5;
const WORKLOADS: [&str; 3] = ["W1", "W2", "W3"];
const CEILINGS: &str = include_str!("ceilings.json");

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", server, workload, requests] => {
            run(server, workload, requests.parse()?)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => compare(),
    }
}

/// Counts every workload on both servers and compares the ratios with the ceilings.
fn compare() -> Result<ExitCode, AnyError> {
    let ceilings: BTreeMap<String, f64> = serde_json::from_str(CEILINGS)?;
    let sign_in = sign_in::SignIn::start()?;
    let mut exceeded = false;
    let mut compare = |name: &str, count: f64, base: f64| -> Result<(), AnyError> {
        let ratio = count / base;
        let ceiling = *ceilings.get(name).ok_or("a line has no ceiling")?;
        println!("{name:<24}{count:>13.0}{base:>13.0}{ratio:>8.2}{ceiling:>9.2}");
        exceeded |= ratio > ceiling;
        Ok(())
    };
    println!("instructions per request      cruddur        floor   ratio  ceiling");
    for workload in WORKLOADS {
        let cruddur = instructions(&sign_in, "cruddur", workload)?;
        let floor = instructions(&sign_in, "floor", workload)?;
        compare(workload, cruddur, floor)?;
    }
    println!("                             with log  without log   ratio  ceiling");
    let with_log = instructions(&sign_in, "cruddur-with-log", "W1")?;
    let without_log = instructions(&sign_in, "cruddur", "W1")?;
    compare("W1 log", with_log, without_log)?;
    if exceeded {
        println!("a ratio is above its ceiling in benches/instructions/ceilings.json");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the instructions of one request of a workload on a server.
fn instructions(sign_in: &sign_in::SignIn, server: &str, workload: &str) -> Result<f64, AnyError> {
    let count = |requests: u64| -> Result<f64, AnyError> {
        let run = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["run", server, workload, &requests.to_string()])
            .envs(sign_in.environment())
            .output()
            .map_err(|error| format!("valgrind cannot be started: {error}"))?;
        let report = String::from_utf8_lossy(&run.stderr);
        let collected = report.lines().find_map(|line| {
            let (_, count) = line.split_once("Collected : ")?;
            count.trim().parse().ok()
        });
        collected
            .filter(|_| run.status.success())
            .ok_or_else(|| format!("{server} {workload} failed:\n{report}").into())
    };
    let (once, twice) = (count(REQUESTS)?, count(2 * REQUESTS)?);
    Ok((twice - once) / f64::from(u32::try_from(REQUESTS)?))
}

/// Sends requests of a workload to a server in this process.
fn run(server: &str, workload: &str, requests: u64) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if server == "cruddur-with-log" {
        let _running = telemetry::start(Verbosity {
            log: "info",
            server: true,
        });
    }
    runtime.block_on(async {
        let router = match server {
            "floor" => floor::router(),
            _ => service::router().await?,
        };
        for number in 0..WARM_UP + requests {
            let request = match server {
                "floor" => floor::request(workload, number)?,
                _ => service::request(workload, number)?,
            };
            let sent = send(&router, request).await;
            // The first requests may exceed their deadline: under valgrind they
            // take seconds.
            if number >= WARM_UP {
                sent?;
            }
        }
        Ok(())
    })
}

async fn send(router: &Router, request: Request<Body>) -> Result<(), AnyError> {
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    let text = std::str::from_utf8(&body)?;
    if !status.is_success() || text.contains("\"errors\"") || text.len() < 100 {
        return Err(format!("{status}: {text}").into());
    }
    Ok(())
}
