//! Compares the speed of `cruddur scan` on a large table with a simple loop over the SDK, and
//! measures its memory (Linux): `cargo run --release --example scan -- 200000`.
//!
//! Build the program first: `cargo build --release`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use cruddur::dev::DynamoDb;
use cruddur::store::{DynamoTarget, MessageStore, NewTable, connect_dynamo};

const TABLE: &str = "cruddur-messages";
/// Maximum number of items that are written at a time.
const BATCH: u32 = 25;

type Failure = Box<dyn std::error::Error>;

async fn client(url: &str) -> Client {
    connect_dynamo(&DynamoTarget::Endpoint(url.to_owned())).await
}

/// Writes messages in groups of 100.
async fn fill(client: &Client, count: u32) -> Result<(), Failure> {
    for first in (0..count).step_by(BATCH as usize) {
        let puts = (first..(first + BATCH).min(count)).map(|number| {
            let text = |value: String| AttributeValue::S(value);
            let put = PutRequest::builder()
                .item("pk", text(format!("MSG#{:032x}", number / 100)))
                .item("sk", text(format!("2026-01-01T00:00:00.{number:06}+00:00")))
                .item(
                    "message",
                    text(format!("message {number} {}", "x".repeat(80))),
                )
                .item("message_uuid", text(format!("{number:032x}")))
                .item("user_uuid", text(format!("{:032x}", number % 2)))
                .item("user_handle", text("luu".to_owned()))
                .item("user_display_name", text("Luu".to_owned()))
                .item("seq", AttributeValue::N(number.to_string()));
            let put = put.build()?;
            Ok(WriteRequest::builder().put_request(put).build())
        });
        let puts = puts.collect::<Result<Vec<_>, Failure>>()?;
        let written = client.batch_write_item().request_items(TABLE, puts);
        written.send().await?;
    }
    Ok(())
}

/// A loop over the SDK that discards its items.
async fn bare(url: &str) -> Result<(), Failure> {
    let pages = client(url).await.scan().table_name(TABLE).into_paginator();
    let mut items = pages.items().send();
    while items.try_next().await?.is_some() {}
    Ok(())
}

/// Resident memory of a process, in kilobytes.
fn memory(process: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a program. Returns its duration and its maximum memory.
fn measure(command: &mut Command) -> Result<(Duration, Vec<u64>), Failure> {
    let began = Instant::now();
    let mut process = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut samples = Vec::new();
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        samples.extend(memory(&process));
        std::thread::sleep(Duration::from_millis(20));
    };
    if !status.success() {
        return Err(format!("it ended with {status}").into());
    }
    Ok((began.elapsed(), samples))
}

fn report(name: &str, count: u32, took: Duration, samples: &[u64]) {
    let tenth = samples.len() / 10;
    let after = samples[..=tenth].iter().max().copied().unwrap_or(0);
    let most = samples.iter().max().copied().unwrap_or(0);
    println!(
        "{name}: {:.0} items/s; memory {after} kB after the first tenth, {most} kB at most",
        f64::from(count) / took.as_secs_f64()
    );
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, url] = arguments.as_slice()
        && flag == "--bare"
    {
        return bare(url).await;
    }
    let count: u32 = arguments
        .first()
        .map_or(Ok(200_000), |count| count.parse())?;
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).ok_or("no folder")?;
    let dynamodb = DynamoDb::start(None, 0)?;
    let url = dynamodb.url();
    let filling = client(&url).await;
    let messages = MessageStore::new(filling.clone(), TABLE.to_owned());
    messages.create_table(NewTable::default()).await?;
    fill(&filling, count).await?;

    for round in 1..=2 {
        println!("round {round}");
        let (took, samples) = measure(Command::new(&this).args(["--bare", &url]))?;
        report("  bare loop", count, took, &samples);
        for segments in ["1", "4"] {
            let mut scan = Command::new(folder.join("cruddur"));
            scan.args(["scan", "--segments", segments, "--endpoint-url", &url]);
            let (took, samples) = measure(&mut scan)?;
            let name = format!("  cruddur scan --segments {segments}");
            report(&name, count, took, &samples);
        }
    }
    Ok(())
}
