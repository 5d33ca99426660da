//! The marker, which states that each group has a head: the calls that it saves, and the calls
//! without it.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use cruddur::model::User;
use cruddur::schema::SendRate;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::adoption::FORMS;
use crate::commands::run;
use crate::harness::{CREATE, Cruddur, Setup, TABLE, checker, cruddur, start_with, with_stores};
use crate::original::Original;

const WITH: &str = "query($handle: String!) { user(handle: $handle) { messageGroup { uuid } } }";

/// Starts a system whose users are cached, so that only DynamoDB is called.
async fn cruddur_with(setup: Setup) -> Cruddur {
    let cruddur = start_with(setup).await;
    cruddur.users(["luu", "unamused", "tove"]).await;
    cruddur
        .data("luu", "{ viewer { handle } }", json!({}))
        .await;
    cruddur
}

fn marked() -> Setup {
    Setup {
        marked: true,
        ..Setup::default()
    }
}

fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Writes rows of `count` groups of a user, each with another user.
async fn rows(client: &Client, owner: &User, count: u32) {
    let row = |number: u32| {
        let uuid = || string(uuid::Uuid::new_v4().to_string());
        let item = [
            ("pk", string(format!("GRP#{}", owner.id))),
            (
                "sk",
                string(format!("2025-01-01T00:00:00.{number:06}+00:00")),
            ),
            ("message_group_uuid", uuid()),
            ("message", string("x".repeat(300))),
            ("user_uuid", uuid()),
            ("user_handle", string(format!("other-{number}"))),
            ("user_display_name", string(format!("Other {number}"))),
            ("message_uuid", uuid()),
            ("sender_uuid", string(owner.id.to_string())),
            ("seq", AttributeValue::N("1".to_owned())),
            ("unread_count", AttributeValue::N("0".to_owned())),
        ];
        item.map(|(name, value)| (name.to_owned(), value)).into()
    };
    put(client, (0..count).map(row), 25).await;
}

/// Writes items, so many in one call.
pub async fn put(
    client: &Client,
    items: impl Iterator<Item = std::collections::HashMap<String, AttributeValue>>,
    at_once: usize,
) {
    let requests = items.map(|item| {
        let put = PutRequest::builder().set_item(Some(item));
        let put = put.build().expect("a put");
        WriteRequest::builder().put_request(put).build()
    });
    let requests: Vec<WriteRequest> = requests.collect();
    for some in requests.chunks(at_once) {
        let written = client
            .batch_write_item()
            .request_items(TABLE, some.to_vec())
            .send();
        let written = written.await.expect("rows");
        assert!(written.unprocessed_items.is_none_or(|left| left.is_empty()));
    }
}

/// Returns the calls that a document causes.
async fn calls(cruddur: &Cruddur, document: &str, variables: Value) -> Vec<String> {
    cruddur.dynamo.calls();
    cruddur.data("luu", document, variables).await;
    cruddur.dynamo.calls()
}

/// One document with the same selection fifteen times.
fn fifteen(handles: [&str; 15]) -> String {
    let fields = handles.iter().enumerate().map(|(number, handle)| {
        format!("a{number}: user(handle: \"{handle}\") {{ messageGroup {{ uuid }} }}\n")
    });
    format!("{{ {} }}", fields.collect::<String>())
}

#[tokio::test]
async fn marker_makes_the_lookup_of_a_users_group_cost_one_read() {
    let cruddur = cruddur_with(marked()).await;
    let [luu, tove] = cruddur.users(["luu", "tove"]).await;
    let client = checker::client(&cruddur.dynamo.url);
    let unamused = json!({ "handle": "unamused" });
    let head = ["GetItem strong"];
    let mut costs = Vec::new();
    for count in [0, 500] {
        rows(&client, &luu, count).await;
        costs.push(calls(&cruddur, WITH, unamused.clone()).await);
        costs.push(calls(&cruddur, WITH, unamused.clone()).await);
        costs.push(calls(&cruddur, &fifteen(["unamused"; 15]), json!({})).await);
    }
    // Only the first reads the marker.
    assert_eq!(costs.remove(0), [head[0]; 2]);
    assert!(costs.iter().all(|calls| *calls == head), "{costs:?}");

    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    let first = calls(&cruddur, CREATE, input).await;
    assert_eq!(first, ["GetItem strong", "TransactWriteItems"]);
    let with_group = calls(&cruddur, WITH, unamused).await;
    assert_eq!(with_group, ["GetItem strong"; 2]);

    // By an alias, like one of the original's groups.
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let group = original.conversation([&luu, &tove], &FORMS[..2]).await;
    let input = json!({ "to": { "messageGroupUuid": group.uuid }, "body": "adopted" });
    cruddur.data("luu", CREATE, json!({ "input": input })).await;
    let by_alias = calls(&cruddur, WITH, json!({ "handle": "tove" })).await;
    assert_eq!(by_alias, ["GetItem strong"; 3]);
    let found = cruddur.group_uuid("luu", "tove").await;
    assert_eq!(found, group.uuid.to_string());
}

#[tokio::test]
async fn missing_marker_reads_the_rows_of_a_pair_once_per_request() {
    let cruddur = cruddur_with(Setup::default()).await;
    let [luu] = cruddur.users(["luu"]).await;
    rows(&checker::client(&cruddur.dynamo.url), &luu, 2000).await;

    let once = calls(&cruddur, WITH, json!({ "handle": "unamused" })).await;
    // The pair's head, the marker, and all rows of both users, one page per
    // megabyte.
    assert_eq!(once[..2], ["GetItem strong"; 2]);
    let has_pages = once.len() > 4 || !cruddur.has_embedded_dynamodb();
    assert!(has_pages, "luu's rows have several pages: {once:?}");
    assert!(once[2..].iter().all(|call| call == "Query strong"));
    let same = calls(&cruddur, &fifteen(["unamused"; 15]), json!({})).await;
    assert_eq!(same, once, "fifteen aliases of one pair");

    // The absence of the marker is not cached.
    cruddur.messages.put_heads_marker().await.expect("a marker");
    let marked = calls(&cruddur, WITH, json!({ "handle": "unamused" })).await;
    assert_eq!(marked, ["GetItem strong"; 2]);
}

#[tokio::test]
async fn missing_head_reads_the_rows_of_the_pair_once_per_message() {
    let cruddur = cruddur_with(Setup::default()).await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let group = original.conversation([&luu, &unamused], &FORMS[..3]).await;

    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    let calls = calls(&cruddur, CREATE, input).await;

    // The heads of the pair's UUID and of the group, the marker, the rows of
    // both users, and the newest message.
    let mut expected = vec!["GetItem strong"; 3];
    expected.extend(["Query strong"; 3]);
    expected.push("TransactWriteItems");
    assert_eq!(calls, expected);
    let found = cruddur.group_uuid("luu", "unamused").await;
    assert_eq!(found, group.uuid.to_string());
}

#[tokio::test]
async fn rows_of_a_pair_are_filtered_and_projected_by_dynamodb() {
    let cruddur = cruddur_with(Setup::default()).await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let client = checker::client(&cruddur.dynamo.url);
    rows(&client, &luu, 10).await;
    let original = Original::new(client);
    let group = original.conversation([&luu, &unamused], &FORMS[..2]).await;

    let mut command = cruddur_command(
        &cruddur,
        &["get-conversation", "--between", "luu", "unamused"],
    );
    let (code, out, stderr) = run(command.args(["--output", "raw"])).await;

    assert_eq!(code, 0, "{stderr}");
    let responses = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let rows_of = |response: &Value| {
        let items = response["Items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|item| {
            let partition = item["pk"]["S"].as_str();
            partition == Some(&format!("GRP#{}", luu.id))
        })
    };
    let found: Vec<(Value, Value)> = responses
        .filter_map(|response: Value| rows_of(&response).map(|row| (response, row)))
        .collect();
    let [(response, row)] = &found[..] else {
        panic!("{out}");
    };
    assert_eq!(
        (&response["Count"], &response["ScannedCount"]),
        (&json!(1), &json!(11))
    );
    assert_eq!(row["message_group_uuid"]["S"], json!(group.uuid));
    assert_eq!(row.get("message"), None, "{row}");
}

fn cruddur_command(stores: &Cruddur, arguments: &[&str]) -> tokio::process::Command {
    let mut command = cruddur(arguments);
    with_stores(&mut command, stores);
    command
}

#[tokio::test]
async fn rate_limit_counts_a_lookup_that_reads_rows_as_a_message() {
    let slow = || Setup {
        send_rate: SendRate::new(1, 5),
        ..Setup::default()
    };
    let cruddur = cruddur_with(slow()).await;
    let names: [String; 15] = std::array::from_fn(|number| format!("user-{number}"));
    let handles = names.each_ref().map(String::as_str);
    cruddur.users(handles).await;

    let response = cruddur.execute("luu", &fifteen(handles), json!({})).await;

    let errors = response["errors"].as_array().expect("errors");
    // One token per second is added meanwhile.
    assert!((1..=10).contains(&errors.len()), "{errors:?}");
    for error in errors {
        assert_eq!(error["extensions"]["code"], "RATE_LIMITED", "{error}");
        assert!(
            error["extensions"]["retryAfterMs"].as_u64() > Some(0),
            "{error}"
        );
    }
    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    // More messages than the bucket has tokens, also if a slow machine takes long to send them.
    let sent = join_all((0..40).map(|_| cruddur.execute("luu", CREATE, input.clone()))).await;
    let is_limited =
        |response: &Value| response["errors"][0]["extensions"]["code"] == "RATE_LIMITED";
    assert!(sent.iter().any(is_limited), "{sent:?}");

    // Another caller has another bucket, and a table with the marker needs no
    // token.
    let other = cruddur
        .execute("tove", WITH, json!({ "handle": "luu" }))
        .await;
    assert_eq!(other.get("errors"), None, "{other}");
    cruddur.messages.put_heads_marker().await.expect("a marker");
    cruddur.data("luu", &fifteen(handles), json!({})).await;
}

#[tokio::test]
async fn too_many_rows_of_a_user_are_an_error_only_without_the_marker() {
    let cruddur = cruddur_with(Setup::default()).await;
    let [luu] = cruddur.users(["luu"]).await;
    if !cruddur.has_embedded_dynamodb() {
        println!("left out: pages of this DynamoDB are not a megabyte of what is read");
        return;
    }
    let client = checker::client(&cruddur.dynamo.url);
    let huge = |number: u32| {
        [
            ("pk".to_owned(), string(format!("GRP#{}", luu.id))),
            (
                "sk".to_owned(),
                string(format!("2025-01-01T00:00:{number:02}")),
            ),
            ("filler".to_owned(), string("x".repeat(390_000))),
        ]
        .into()
    };
    // Two of them fill a page.
    put(&client, (0..99).map(huge), 4).await;

    cruddur.dynamo.calls();
    let read = cruddur
        .execute("luu", WITH, json!({ "handle": "unamused" }))
        .await;
    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    let sent = cruddur.execute("luu", CREATE, input.clone()).await;

    for response in [read, sent] {
        let code = &response["errors"][0]["extensions"]["code"];
        assert_eq!(code, "INTERNAL_SERVER_ERROR", "{response}");
    }
    let calls = cruddur.dynamo.calls();
    let queries = calls.iter().filter(|call| *call == "Query strong").count();
    assert_eq!(queries, 2 * (32 + 1), "bounded: {calls:?}");
    cruddur.messages.put_heads_marker().await.expect("a marker");
    cruddur
        .data("luu", WITH, json!({ "handle": "unamused" }))
        .await;
    cruddur.data("luu", CREATE, input).await;
}

#[tokio::test]
async fn schema_load_writes_the_marker_only_into_a_table_that_it_creates() {
    let stores = start_with(Setup::default()).await;
    let with = |arguments: &[&str], table: &str| {
        let mut command = cruddur_command(&stores, arguments);
        command.args(["--table", table]);
        command
    };
    let (code, out, _) = run(&mut with(&["schema-load"], TABLE)).await;
    let expected = "marker    none: `cruddur check --repair` adds it";
    assert!(code == 0 && out.contains(expected), "{out}");

    let (code, out, _) = run(&mut with(&["schema-load", "--json"], "made")).await;
    let out: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &out["table"]["headsMarker"]), (0, &json!(true)));
    let (_, out, stderr) = run(&mut with(&["scan"], "made")).await;
    let item: Value = serde_json::from_str(&out).expect("one item");
    assert_eq!(
        (&item["pk"], &item["sk"]),
        (&json!("TABLE#HEADS"), &json!("TABLE"))
    );
    assert!(stderr.contains("1 items: 1 markers"), "{stderr}");
    let (code, out, stderr) = run(&mut with(&["check"], "made")).await;
    assert_eq!((code, out.as_str()), (0, ""), "{stderr}");
}

#[tokio::test]
async fn removed_marker_is_cached_for_at_most_a_minute() {
    let cruddur = cruddur_with(marked()).await;
    let unamused = json!({ "handle": "unamused" });
    cruddur.data("luu", WITH, unamused.clone()).await;
    cruddur
        .messages
        .delete_heads_marker()
        .await
        .expect("no marker");

    assert_eq!(
        calls(&cruddur, WITH, unamused.clone()).await,
        ["GetItem strong"],
        "cached"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert!(calls(&cruddur, WITH, unamused).await.len() > 2);
}
