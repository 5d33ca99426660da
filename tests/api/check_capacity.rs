//! `check` on a table with insufficient capacity: throttling, limits, and
//! killed runs.

use std::process::Stdio;
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use tokio::io::{AsyncReadExt, BufReader};

use crate::check::{check, read, texts};
use crate::commands::run;
use crate::harness::{Cruddur, TABLE, Units, checker, cruddur, start, with_stores};
use crate::original::Original;

/// Creates groups of the original, of one user with each other user: seven
/// messages, two rows, and no head.
async fn originals(cruddur: &Cruddur, groups: usize) {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu] = cruddur.users(["luu"]).await;
    for number in 0..groups {
        let [other] = cruddur.users([format!("u{number}").as_str()]).await;
        let times = (0..7).map(|minute| format!("2024-03-01T10:{minute:02}:00.{number:06}+00:00"));
        let times: Vec<String> = times.collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        original.conversation([&luu, &other], &times).await;
    }
}

type Item = std::collections::HashMap<String, AttributeValue>;

async fn items(client: &Client) -> Vec<Item> {
    let mut items = Vec::new();
    let mut from = None;
    loop {
        let page = client
            .scan()
            .table_name(TABLE)
            .set_exclusive_start_key(from)
            .send()
            .await
            .expect("a page");
        items.extend(page.items.unwrap_or_default());
        from = page.last_evaluated_key;
        if from.is_none() {
            return items;
        }
    }
}

/// Returns all items in a canonical order, including the elements of sets.
async fn sorted(client: &Client) -> Vec<String> {
    let in_order = |item: Item| {
        let mut attributes: Vec<String> = item
            .into_iter()
            .map(|(name, value)| match value {
                AttributeValue::Ss(mut set) => {
                    set.sort();
                    format!("{name}: {set:?}")
                }
                AttributeValue::M(map) => {
                    let map: std::collections::BTreeMap<_, _> = map.into_iter().collect();
                    format!("{name}: {map:?}")
                }
                value => format!("{name}: {value:?}"),
            })
            .collect();
        attributes.sort();
        attributes.join(", ")
    };
    let mut items: Vec<String> = items(client).await.into_iter().map(in_order).collect();
    items.sort();
    items
}

/// Creates a table with the same items as another.
async fn copy(of: &Cruddur) -> Cruddur {
    let copy = start().await;
    let client = checker::client(&copy.dynamo.url);
    for item in items(&checker::client(&of.dynamo.url)).await {
        let put = client.put_item().table_name(TABLE).set_item(Some(item));
        put.send().await.expect("an item");
    }
    copy
}

#[tokio::test]
async fn throttled_repair_finishes_and_reports_that_it_waits() {
    let cruddur_ = start().await;
    originals(&cruddur_, 12).await;
    let before = texts(&read(&cruddur_).await);
    cruddur_.dynamo.set_capacity(Units {
        read: 12.0,
        write: 12.0,
    });

    let mut command = cruddur(&["check", "--repair", "--json"]);
    with_stores(&mut command, &cruddur_);
    let (code, out, stderr) = run(&mut command).await;

    assert_eq!(code, 0, "{stderr}");
    assert!(cruddur_.dynamo.throttled() > 0);
    assert!(stderr.contains("waiting for capacity"), "{stderr}");
    let summary = out.lines().last().expect("a line");
    let summary: Value = serde_json::from_str(summary).expect("JSON");
    let findings = &summary["summary"]["findings"];
    assert_eq!(findings["missing-head"]["repaired"], 12, "{summary}");
    cruddur_.dynamo.set_capacity(Units {
        read: 1e9,
        write: 1e9,
    });
    let after = read(&cruddur_).await;
    after.check_adopted();
    assert_eq!(texts(&after), before);
    assert_eq!(check(&cruddur_, &[]).await, (0, Vec::new()));
}

#[tokio::test]
async fn read_units_limit_what_a_command_consumes() {
    let cruddur_ = start().await;
    originals(&cruddur_, 20).await;
    for command in [
        &["scan"][..],
        &["check"],
        &["list-conversations", "luu", "--all"],
    ] {
        cruddur_.dynamo.set_capacity(Units {
            read: 1e9,
            write: 1e9,
        });
        let began = Instant::now();
        let mut process = cruddur(&[command, &["--read-units", "15"]].concat());
        with_stores(&mut process, &cruddur_);
        let (_, _, stderr) = run(&mut process).await;
        let consumed = cruddur_.dynamo.consumed().read;
        let took = began.elapsed().as_secs_f64();

        assert!(consumed > 3.0, "{command:?}: {consumed} units, {stderr}");
        // The first concurrent calls are not limited.
        let allowed = 15.0 * took + 15.0;
        assert!(
            consumed < allowed,
            "{command:?}: {consumed} units in {took} s"
        );
        assert_eq!(cruddur_.dynamo.throttled(), 0);
    }
}

#[tokio::test]
async fn check_consumes_less_than_one_read_unit_per_item() {
    let cruddur_ = start().await;
    originals(&cruddur_, 60).await;
    for repaired in [false, true] {
        if repaired {
            let (code, _) = check(&cruddur_, &["--repair"]).await;
            assert_eq!(code, 0);
        }
        let count = items(&checker::client(&cruddur_.dynamo.url)).await.len();
        cruddur_.dynamo.set_capacity(Units {
            read: 1e9,
            write: 1e9,
        });
        let (code, _) = check(&cruddur_, &[]).await;
        assert_eq!(code, i32::from(!repaired));
        let consumed = cruddur_.dynamo.consumed().read;
        println!("{consumed} units for {count} items, repaired: {repaired}");
        let items = f64::from(u32::try_from(count).expect("a small number"));
        assert!(consumed < items, "{consumed} units for {count} items");
    }
}

#[tokio::test]
async fn killed_repair_resumes_where_it_stopped_and_ends_in_the_identical_table() {
    let whole = start().await;
    originals(&whole, 40).await;
    let killed = copy(&whole).await;
    assert_eq!(check(&whole, &["--repair"]).await.0, 0);
    let expected = sorted(&checker::client(&whole.dynamo.url)).await;

    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let state = state.to_str().expect("a path");
    let arguments = ["check", "--repair", "--segments", "2", "--resume", state];
    let mut kills = 0;
    let mut continued = 0;
    let last = loop {
        let mut command = cruddur(&arguments);
        with_stores(&mut command, &killed);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        // Each run is killed at a later transaction than the one before.
        let writes = 5 + kills * 3;
        let until = killed.dynamo.transactions(writes);
        let ended = tokio::select! {
            ended = process.wait() => Some(ended.expect("an end").code()),
            () = until => {
                process.kill().await.expect("a kill");
                kills += 1;
                None
            }
        };
        let mut text = String::new();
        stderr.read_to_string(&mut text).await.expect("UTF-8");
        continued += usize::from(text.contains("resuming after"));
        if let Some(code) = ended {
            break (code, text);
        }
        assert!(kills < 40, "{text}");
    };

    println!("{kills} kills, continued {continued} times");
    assert_eq!(last.0, Some(0), "{}", last.1);
    assert!(
        kills > 2 && continued > 0,
        "{kills} kills, {continued} continued"
    );
    assert!(!std::path::Path::new(state).exists(), "the run is complete");
    assert_eq!(sorted(&checker::client(&killed.dynamo.url)).await, expected);
    assert_eq!(check(&killed, &[]).await, (0, Vec::new()));
}

#[tokio::test]
async fn resume_file_of_another_run_is_rejected() {
    let cruddur_ = start().await;
    originals(&cruddur_, 2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let path = state.to_str().expect("a path");
    let run_of = |repair: bool, table: &str| {
        serde_json::json!({
            "run": {
                "version": 1, "table": table, "address": cruddur_.dynamo.url, "repair": repair,
            },
            "segments": ["notStarted", "notStarted"], "items": 7, "findings": {}, "left": [],
        })
    };
    for (text, expected) in [
        (run_of(true, TABLE).to_string(), "with --repair"),
        (
            run_of(false, "another").to_string(),
            "over the table another",
        ),
        ("{".to_owned(), "this is not the state of a run"),
        (run_of(false, TABLE).to_string(), "with --segments 2"),
    ] {
        std::fs::write(&state, &text).expect("a file");
        let mut command = cruddur(&["check", "--segments", "3", "--resume", path]);
        with_stores(&mut command, &cruddur_);
        let (code, out, stderr) = run(&mut command).await;
        assert!(code != 0 && out.is_empty(), "{stderr}");
        assert!(
            stderr.contains(expected) && stderr.contains(path),
            "{stderr}"
        );
        let left = std::fs::read_to_string(&state).expect("a file");
        assert_eq!(left, text, "it is left alone");
    }
}
