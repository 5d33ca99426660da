//! The operators' commands as processes.

use std::process::Stdio;

use aws_sdk_dynamodb::types::AttributeValue;
use cruddur::store::PoolNames;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::commands::run;
use crate::harness::{
    Cruddur, TABLE, checker, cruddur, numbered, signal, start, wait_for, with_stores,
};

/// Runs a command that must succeed. Returns standard output and standard
/// error.
async fn run_successfully(stores: &Cruddur, arguments: &[&str]) -> (String, String) {
    let (code, out, stderr) = run_command(stores, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    (out, stderr)
}

async fn run_command(stores: &Cruddur, arguments: &[&str]) -> (i32, String, String) {
    let mut command = cruddur(arguments);
    with_stores(&mut command, stores);
    let (code, out, stderr) = run(&mut command).await;
    (code, out, without_addresses(&stderr))
}

/// Returns standard error without the lines that name the stores.
fn without_addresses(stderr: &str) -> String {
    let names_stores = |line: &&str| {
        let starts = ["DynamoDB at ", "Postgres database ", "Cognito at "];
        !starts.iter().any(|start| line.starts_with(start))
    };
    stderr.split_inclusive('\n').filter(names_stores).collect()
}

async fn json_of(stores: &Cruddur, arguments: &[&str]) -> Value {
    let (out, _) = run_successfully(stores, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&out).expect("JSON")
}

fn bodies(messages: &Value) -> Vec<String> {
    let messages = messages["messages"].as_array().expect("messages").iter();
    let bodies = messages.map(|message| message["body"].as_str().expect("a body").to_owned());
    bodies.collect()
}

/// Creates luu's groups: 30 messages with unamused across the end of a year,
/// and 3 with tove.
async fn stores() -> Cruddur {
    let cruddur = start().await;
    let [luu, unamused, tove] = cruddur.users(["luu", "unamused", "tove"]).await;
    cruddur
        .seed([&luu, &unamused], "2025-12-31T23:50:00Z", 30)
        .await;
    cruddur.seed([&tove, &luu], "2026-02-01T00:00:00Z", 3).await;
    cruddur
}

#[tokio::test]
async fn get_conversation_prints_the_newest_messages_oldest_first() {
    let stores = stores().await;

    let (out, stderr) = run_successfully(
        &stores,
        &[
            "get-conversation",
            "--between",
            "luu",
            "tove",
            "--limit",
            "2",
        ],
    )
    .await;
    insta::assert_snapshot!(out, @r"
    luu   2026-02-01T00:01:00Z  message 2
    tove  2026-02-01T00:02:00Z  message 3
    ");
    insta::assert_snapshot!(stderr, @"DynamoDB: calls 2, read units 2, write units 0");

    let between = ["get-conversation", "--between", "unamused", "luu"];
    let newest = json_of(&stores, &between).await;
    assert_eq!(bodies(&newest), numbered(11..=30));
    assert_eq!(newest["consumedCapacity"]["calls"], 2);
    let uuid = newest["messageGroupUuid"].as_str().expect("a uuid");
    for (arguments, expected) in [
        (&["--all"][..], 1..=30),
        (&["--year", "2025"], 1..=10),
        (&["--year", "2026", "--all"], 11..=30),
        (
            &["--from", "2026-01-01T00:05:00Z", "--to", "2026-01-02"],
            16..=30,
        ),
        (
            &["--to", "2026-01-01T01:05:00+01:00", "--limit", "3"],
            13..=15,
        ),
    ] {
        let found = json_of(&stores, &[&["get-conversation", uuid], arguments].concat()).await;
        assert_eq!(bodies(&found), numbered(expected), "{arguments:?}");
    }
    let nothing = json_of(&stores, &["get-conversation", uuid, "--year", "2020"]).await;
    assert_eq!(bodies(&nothing), numbered([]));
}

#[tokio::test]
async fn get_conversation_follow_prints_new_messages_until_ctrl_c_or_a_closed_pipe() {
    let stores = stores().await;
    for format in ["table", "json", "raw"] {
        for is_read in [true, false] {
            let between = ["get-conversation", "--between", "luu", "tove"];
            let follow = ["--from", "2026-02-01", "--follow", "--output", format];
            let mut command = cruddur(&[&between[..], &follow].concat());
            with_stores(&mut command, &stores);
            let mut process = command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("it runs");
            let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
            let mut until = async |text: &str| {
                let found = async {
                    while let Some(line) = lines.next_line().await.expect("UTF-8") {
                        if line.contains(text) {
                            return true;
                        }
                    }
                    false
                };
                wait_for("a line", found).await
            };

            assert!(until("message 3").await);
            let then = format!("then, as {format}, {is_read}");
            stores.send("luu", "tove", &then).await;
            assert!(until(&then).await);
            if is_read {
                signal(&process, "INT").await;
                assert_eq!(
                    until(r#"{"summary":{"consumedCapacity":"#).await,
                    format == "json"
                );
            } else {
                drop(lines);
                stores.send("tove", "luu", "to nobody").await;
            }
            let ended = wait_for("the end of the process", process.wait()).await;
            let code = ended.expect("an end").code();
            assert_eq!(code, Some(if is_read { 130 } else { 0 }), "{format}");
        }
    }
}

#[tokio::test]
async fn list_conversations_prints_the_most_recently_active_first() {
    let stores = stores().await;
    let (out, _) = run_successfully(&stores, &["list-conversations", "luu"]).await;
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["tove", "2026-02-01T00:02:00Z", "1"]);
    assert_eq!(lines[0][4..], ["message", "3"]);
    assert_eq!(lines[1][0], "unamused");

    for (arguments, expected) in [
        (&["--limit", "1"][..], &["tove"][..]),
        (&["--year", "2026"], &["tove", "unamused"]),
        (&["--to", "2026-01-15"], &["unamused"]),
        (&["--from", "2026-01-15", "--all"], &["tove"]),
    ] {
        let found = json_of(
            &stores,
            &[&["list-conversations", "luu"], arguments].concat(),
        )
        .await;
        let conversations = found["messageGroups"].as_array().expect("a list").iter();
        let others: Vec<&Value> = conversations
            .map(|conversation| &conversation["otherUser"]["handle"])
            .collect();
        assert_eq!(others, expected, "{arguments:?}");
        assert_eq!(found["user"]["handle"], "luu");
    }
}

#[tokio::test]
async fn output_raw_is_the_response_of_dynamodb() {
    let stores = stores().await;
    let (out, _) =
        run_successfully(&stores, &["list-conversations", "luu", "--output", "raw"]).await;
    let response: Value = serde_json::from_str(&out).expect("one line of JSON");
    assert_eq!(response["Count"], 2);
    assert_eq!(response["Items"][0]["user_handle"], json!({ "S": "tove" }));
    assert_eq!(response["ConsumedCapacity"]["TableName"], TABLE);
}

#[tokio::test]
async fn control_characters_in_messages_are_escaped_on_a_terminal() {
    let stores = start().await;
    stores.users(["luu", "tove"]).await;
    let text = "one\ntwo \u{1b}[2J\u{9b}31m\u{202e}end\u{7}\u{7f}";
    stores.send("luu", "tove", text).await;

    for command in [
        &["get-conversation", "--between", "luu", "tove"][..],
        &["list-conversations", "luu"],
    ] {
        let (out, _) = run_successfully(&stores, command).await;
        assert_eq!(out.lines().count(), 1, "{out:?}");
        assert!(
            out.contains(r"one\ntwo \u{1b}[2J\u{9b}31m\u{202e}end\u{7}\u{7f}"),
            "{out:?}"
        );
        for format in ["json", "raw"] {
            let (out, _) =
                run_successfully(&stores, &[command, &["--output", format]].concat()).await;
            let drives = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!out.contains(drives), "{out:?}");
        }
    }
    let found = json_of(&stores, &["get-conversation", "--between", "luu", "tove"]).await;
    assert_eq!(bodies(&found), [text]);
}

#[tokio::test]
async fn names_that_look_alike_are_printed_differently_by_every_command() {
    let stores = start().await;
    let names = [
        "zo\u{e9}",
        "zoe\u{301}",
        "zo\u{e9}\u{200b}",
        "zo\u{e9} ",
        "luu",
        "lu\u{445}",
    ];
    let users = stores.users(names).await;
    let luu = &users[4];
    for other in [&users[..4], &users[5..]].concat() {
        stores.seed([&other, luu], "2026-02-01T00:00:00Z", 1).await;
    }

    let (out, _) = run_successfully(&stores, &["list-conversations", "luu"]).await;
    let mut with: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    with.sort_unstable();
    let printed = [
        r"lu\u{445}",
        r"zoe\u{301}",
        "zo\u{e9}",
        r"zoé\u{200b}",
        r"zoé\u{20}",
    ];
    assert_eq!(with, printed, "{out}");
    let between = ["get-conversation", "--between", names[1], "luu"];
    let (out, _) = run_successfully(&stores, &between).await;
    assert!(out.starts_with(r"zoe\u{301}  "), "{out}");
    let found = json_of(&stores, &between).await;
    assert_eq!(found["messages"][0]["sender"]["handle"], names[1]);
    let (out, _) = run_successfully(&stores, &["seed", "--between", names[0], names[1]]).await;
    assert_eq!(out, "zoé and zoe\\u{301}: 105 messages written\n");
    for (arguments, said_of) in [
        (
            &["get-conversation", "--between", names[2], names[3]][..],
            r"zoé\u{200b} and zoé\u{20} have",
        ),
        (
            &["list-conversations", "lu\u{443}"],
            r#"the handle "lu\u{443}""#,
        ),
    ] {
        let (code, _, stderr) = run_command(&stores, arguments).await;
        assert!(code == 1 && stderr.contains(said_of), "{stderr}");
    }
}

/// Runs a command on a terminal with this number of columns. Returns its
/// output.
async fn on_terminal(
    stores: &Cruddur,
    columns: u16,
    variable: Option<&str>,
    arguments: &[&str],
) -> String {
    let size = nix::pty::Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = nix::pty::openpty(&size, None).expect("a terminal");
    let mut command = cruddur(arguments);
    with_stores(&mut command, stores);
    command
        .env("NO_COLOR", "1")
        .envs(variable.map(|columns| ("COLUMNS", columns)))
        .stdout(Stdio::from(terminal.slave))
        .stderr(Stdio::null());
    let mut process = command.spawn().expect("it runs");
    // The terminal ends when the last process closes it.
    drop(command);
    let mut master = std::fs::File::from(terminal.master);
    let read = tokio::task::spawn_blocking(move || {
        let mut printed = Vec::new();
        // On Linux, the end of a terminal is an error.
        let _ = std::io::Read::read_to_end(&mut master, &mut printed);
        String::from_utf8(printed).expect("UTF-8")
    });
    let printed = wait_for("the end of the output", read).await;
    let printed = printed.expect("no panic");
    assert!(process.wait().await.expect("an end").success(), "{printed}");
    printed.replace("\r\n", "\n")
}

#[tokio::test]
async fn columns_adapt_to_narrow_terminals() {
    let stores = start().await;
    let [luu, tove] = stores.users(["luu", "tove"]).await;
    stores.seed([&luu, &tove], "2026-02-01T00:00:00Z", 2).await;
    let text = ["👩\u{200d}🚀"; 60].join(" ");
    stores.send("luu", "tove", &text).await;
    let list = ["list-conversations", "luu"];
    let between = ["get-conversation", "--between", "luu", "tove"];
    let found = json_of(&stores, &list).await;
    let uuid = found["messageGroups"][0]["uuid"]
        .as_str()
        .expect("a uuid")
        .to_owned();

    for columns in [40, 60, 80, 120] {
        for command in [&list[..], &between] {
            let printed = on_terminal(&stores, columns, None, command).await;
            for line in printed.lines() {
                let width = unicode_width::UnicodeWidthStr::width(line);
                assert!(width <= columns.into(), "{columns}: {line}");
                assert!(!line.ends_with("\u{200d}…"), "{line}");
            }
            assert!(printed.contains('…'), "{printed}");
        }
        let printed = on_terminal(&stores, columns, None, &list).await;
        assert!(
            printed.contains(&uuid) && printed.contains("tove"),
            "{printed}"
        );
        // The column names and one row, each on several lines.
        let lines = match columns {
            40 => 6,
            60 | 80 => 4,
            _ => 2,
        };
        assert_eq!(printed.lines().count(), lines, "{printed}");
    }
    let given = on_terminal(&stores, 120, Some("60"), &list).await;
    assert_eq!(given.lines().count(), 4, "{given}");
    // A pipe receives each row on one line.
    let (out, _) = run_successfully(&stores, &list).await;
    assert!(out.lines().count() == 1 && out.contains(&text), "{out}");
}

#[tokio::test]
async fn scan_prints_every_item_of_every_page_once() {
    let stores = start().await;
    let client = checker::client(&stores.dynamo.url);
    // A page has one megabyte.
    let filler = "x".repeat(100_000);
    let strange = [
        (
            "bytes",
            AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([0, 255])),
        ),
        (
            "number",
            AttributeValue::N("12345678901234567890.5".to_owned()),
        ),
        (
            "list",
            AttributeValue::L(vec![AttributeValue::Bool(true), AttributeValue::Null(true)]),
        ),
        ("filler", AttributeValue::S(filler)),
    ];
    for number in 0..50 {
        let mut put = client
            .put_item()
            .table_name(TABLE)
            .item("pk", AttributeValue::S(format!("MSG#{number}")))
            .item("sk", AttributeValue::S(number.to_string()));
        for (name, value) in &strange {
            put = put.item(*name, value.clone());
        }
        put.send().await.expect("an item");
    }

    for segments in ["1", "4"] {
        let (out, stderr) = run_successfully(&stores, &["scan", "--segments", segments]).await;
        let items = out
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        let items: Vec<Value> = items.collect();
        let mut keys: Vec<&str> = items
            .iter()
            .map(|item| item["pk"].as_str().expect("a key"))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((items.len(), keys.len()), (50, 50));
        assert_eq!(items[0]["bytes"], "AP8=");
        assert_eq!(items[0]["list"], json!([true, null]));
        assert!(
            stderr.starts_with("50 items: 50 messages\nDynamoDB: calls "),
            "{stderr}"
        );
    }
    let (out, _) = run_successfully(&stores, &["scan", "--limit", "7", "--json"]).await;
    let last: Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    assert_eq!(out.lines().count(), 8);
    assert_eq!(last["summary"]["items"], json!({ "messages": 7 }));

    // The reader closes the pipe.
    let mut command = cruddur(&["scan"]);
    with_stores(&mut command, &stores);
    let mut scanning = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(scanning.stdout.take().expect("a pipe")).lines();
    lines.next_line().await.expect("a line").expect("a line");
    drop(lines);
    let ended = wait_for("the end of the process", scanning.wait_with_output()).await;
    let ended = ended.expect("an end");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && !stderr.contains("panicked"),
        "{stderr}"
    );
}

#[tokio::test]
async fn seed_does_not_change_a_group_that_was_seeded_or_has_other_messages() {
    let stores = start().await;
    let [before, _] = stores.users(["ada", "ben"]).await;
    let between = ["seed", "--between", "ada", "ben"];
    let (out, _) = run_successfully(&stores, &between).await;
    assert_eq!(out, "ada and ben: 105 messages written\n");
    let first = json_of(
        &stores,
        &["get-conversation", "--between", "ada", "ben", "--all"],
    )
    .await;
    let newest = &first["messages"][104]["createdAt"];
    let newest: chrono::DateTime<chrono::Utc> =
        newest.as_str().expect("a time").parse().expect("a time");
    assert!(newest < cruddur::clock::Clock::system().now());

    stores.send("ben", "ada", "and on it goes").await;
    let (out, _) = run_successfully(&stores, &between).await;
    assert_eq!(out, "ada and ben: unchanged\n");
    let after = json_of(
        &stores,
        &["get-conversation", "--between", "ada", "ben", "--all"],
    )
    .await;
    assert_eq!(bodies(&after)[..105], bodies(&first)[..]);
    assert_eq!(bodies(&after)[105..], ["and on it goes"]);
    let [after] = stores.users(["ada"]).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn drop_requires_confirmation() {
    let stores = start().await;
    let (code, out, stderr) = run_command(&stores, &["drop"]).await;
    let url = &stores.dynamo.url;
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        stderr,
        format!(
            "cruddur: this deletes the table {TABLE} at {url} and all its data: add --yes to confirm\n"
        )
    );
    let (code, _, stderr) = run_command(&stores, &["schema-load", "--recreate"]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains(TABLE) && stderr.contains(url), "{stderr}");
    let remote = [
        "--endpoint-url",
        "http://dynamodb.example.com:8000",
        "--yes",
    ];
    let (code, _, _) = run_command(&stores, &[&["drop"], &remote[..]].concat()).await;
    assert_eq!(code, 2);

    stores.users(["luu", "tove"]).await;
    stores.send("luu", "tove", "still here").await;
    let (out, _) = run_successfully(&stores, &["schema-load", "--recreate", "--yes"]).await;
    assert!(out.starts_with("created the table"), "{out}");
    let (_, stderr) = run_successfully(&stores, &["scan"]).await;
    assert!(stderr.starts_with("1 items: 1 markers\n"), "{stderr}");
    let (out, _) = run_successfully(&stores, &["drop", "--yes"]).await;
    assert_eq!(out, format!("deleted the table {TABLE}\n"));
    let (code, _, stderr) = run_command(&stores, &["drop", "--yes"]).await;
    assert_eq!(
        (code, stderr),
        (1, format!("cruddur: there is no table {TABLE} at {url}\n"))
    );
}

#[tokio::test]
async fn schema_load_sets_the_billing_mode_and_reports_differences() {
    let stores = start().await;
    run_successfully(&stores, &["drop", "--yes"]).await;
    let made = json_of(
        &stores,
        &["schema-load", "--billing-mode", "pay-per-request"],
    )
    .await;
    assert_eq!(made["table"]["billing"], "pay per request");
    assert_eq!(made["created"], true);

    let client = checker::client(&stores.dynamo.url);
    let off = aws_sdk_dynamodb::types::TimeToLiveSpecification::builder()
        .enabled(false)
        .attribute_name("expires_at")
        .build()
        .expect("a setting");
    client
        .update_time_to_live()
        .table_name(TABLE)
        .time_to_live_specification(off)
        .send()
        .await
        .expect("no expiry");
    let (code, _, stderr) = run_command(&stores, &["schema-load"]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains("items do not expire: `aws dynamodb update-time-to-live"),
        "{stderr}"
    );
}

#[tokio::test]
async fn invalid_input_is_reported_in_one_line_with_the_remedy() {
    let stores = start().await;
    stores.users(["luu", "tove"]).await;
    let mut errors = String::new();
    for arguments in [
        &["list-conversations", "nobody"][..],
        &["list-conversations", "luu", "--table", "another"],
        &[
            "list-conversations",
            "luu",
            "--from",
            "2026-02-01",
            "--to",
            "2026-01-01",
        ],
        &["get-conversation", "11111111-2222-3333-4444-555555555555"],
        &["get-conversation", "--between", "luu", "tove"],
        &["scan", "--table", "another"],
        &["check", "--table", "another"],
        &["scan", "--endpoint-url", "http://127.0.0.1:1"],
        &["seed", "--between", "luu", "luu"],
        &["get-conversation", "--between", "luu", "luu"],
        &["drop", "--table", "another", "--yes"],
        &[
            "update-cognito-user-ids",
            "--cognito-user-pool-id",
            "eu-central-1_Ab12Cd34E",
        ],
        &["scan", "--prod"],
    ] {
        let mut command = cruddur(arguments);
        with_stores(&mut command, &stores);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        if arguments.contains(&"--prod") {
            command.env_remove("AWS_ENDPOINT_URL_DYNAMODB");
            command.env("AWS_REGION", "eu-central-1");
        }
        let (code, out, stderr) = run(&mut command).await;
        let stderr = without_addresses(&stderr);
        assert!(code == 1 || code == 2, "{arguments:?}: {stderr}");
        assert_eq!(
            (out.as_str(), stderr.lines().count()),
            ("", 1),
            "{arguments:?}: {stderr}"
        );
        errors.push_str(
            &stderr
                .replace(&stores.dynamo.url, "http://here")
                .replace(" (os error 111)", "")
                .replace(" (os error 61)", ""),
        );
    }
    insta::assert_snapshot!(errors, @r#"
    cruddur: no user in public.users has the handle "nobody"; handles are case-sensitive
    cruddur: there is no table another at http://here: create it with `cruddur schema-load`, or select another with --table
    cruddur: --from is after --to: nothing is in between
    cruddur: there is no message group 11111111-2222-3333-4444-555555555555 in the table cruddur-messages: `cruddur list-conversations <handle>` lists a user's groups
    cruddur: luu and tove have no message group
    cruddur: there is no table another at http://here: create it with `cruddur schema-load`, or select another with --table
    cruddur: there is no table another at http://here: create it with `cruddur schema-load`, or select another with --table
    cruddur: DynamoDB at http://127.0.0.1:1 is not available: Connection refused. Start it, or select another with --endpoint-url, AWS_ENDPOINT_URL or --prod.
    cruddur: a message group has two users: give two different handles
    cruddur: a message group has two users: give two different handles
    cruddur: there is no table another at http://here
    cruddur: no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`
    cruddur: no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`
    "#);
    for arguments in [
        &["get-conversation", "not-a-uuid"][..],
        &["get-conversation"],
        &["list-conversations", "luu", "--from", "yesterday"],
        &[
            "list-conversations",
            "luu",
            "--year",
            "2025",
            "--from",
            "2025-01-01",
        ],
        &["scan", "--segments", "0"],
        &["scan", "--json", "--output", "raw"],
        &["completions", "cmd.exe"],
    ] {
        let (code, out, _) = run_command(&stores, arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&mut cruddur(&["completions", shell])).await;
        assert_eq!(code, 0);
        assert!(out.contains("get-conversation"), "{shell}");
    }
}

#[tokio::test]
async fn update_cognito_user_ids_is_one_transaction_and_can_swap_two_users() {
    let stores = start().await;
    stores.users(["luu", "tove", "quill"]).await;
    let ids = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(handle, sub)| ((*handle).to_owned(), (*sub).to_owned()));
        pairs.collect::<Vec<_>>()
    };
    let swapped = ids(&[
        ("luu", "sub-tove"),
        ("nobody", "sub-nobody"),
        ("tove", "sub-quill"),
    ]);
    for dry_run in [true, false, false] {
        let pool = PoolNames::default();
        let updated = stores
            .users
            .update_cognito_ids(&swapped, &pool, dry_run)
            .await;
        let updated = updated.expect("ids");
        assert_eq!(updated.without_row, ["nobody"]);
        let found = stores.users.find_cognito_id("luu").await.expect("an id");
        if dry_run {
            assert_eq!(updated.changed, ["luu", "tove"]);
            assert_eq!(updated.taken, ["quill"]);
            assert_eq!(found.as_deref(), Some("sub-luu"));
        } else {
            assert_eq!(updated.changed.len() + updated.right.len(), 2);
            assert_eq!(found.as_deref(), Some("sub-tove"));
        }
    }
    let [quill, tove] = ["quill", "tove"].map(|handle| stores.users.find_cognito_id(handle));
    assert_eq!(quill.await.expect("no id"), None);
    assert_eq!(tove.await.expect("an id").as_deref(), Some("sub-quill"));
}
