//! Commands on a table with a stream, which the original's function may
//! process.

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use serde_json::Value;

use crate::commands::run;
use crate::harness::{Cruddur, TABLE, checker, cruddur, start, with_stores};

async fn set_stream(stores: &Cruddur, enabled: bool) {
    let stream = StreamSpecification::builder().stream_enabled(enabled);
    let stream = if enabled {
        stream.stream_view_type(StreamViewType::NewImage)
    } else {
        stream
    };
    checker::client(&stores.dynamo.url)
        .update_table()
        .table_name(TABLE)
        .stream_specification(stream.build().expect("a stream"))
        .send()
        .await
        .expect("a changed table");
}

async fn run_command(stores: &Cruddur, arguments: &[&str]) -> (i32, String, String) {
    let mut command = cruddur(arguments);
    with_stores(&mut command, stores);
    run(&mut command).await
}

#[tokio::test]
async fn stream_is_rejected_by_every_command_that_writes_and_compared_by_schema_load() {
    let stores = start().await;
    stores.users(["luu", "tove"]).await;
    set_stream(&stores, true).await;

    let (code, out, stderr) = run_command(&stores, &["schema-load"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("  stream    NEW_IMAGE\n"), "{out}");
    assert!(
        stderr.contains("a stream (NEW_IMAGE) is enabled")
            && stderr.contains("--stream-specification StreamEnabled=false"),
        "{stderr}"
    );
    for command in [
        &["check", "--repair"][..],
        &["seed", "--between", "luu", "tove"],
    ] {
        let (code, out, stderr) = run_command(&stores, command).await;
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}");
        let rejected = "cruddur: the table cruddur-messages has a stream";
        assert!(stderr.contains(rejected), "{command:?}: {stderr}");
        let (code, _, stderr) =
            run_command(&stores, &[command, &["--allow-stream"]].concat()).await;
        assert_eq!(code, 0, "{command:?}: {stderr}");
    }
    // Without --repair, nothing is written.
    assert_eq!(run_command(&stores, &["check"]).await.0, 0);
    assert_eq!(
        run_command(&stores, &["schema-load", "--allow-stream"])
            .await
            .0,
        0
    );
    let mut allowed = cruddur(&["check", "--repair"]);
    with_stores(&mut allowed, &stores);
    allowed.env("CRUDDUR_ALLOW_STREAM", "true");
    assert_eq!(run(&mut allowed).await.0, 0);

    set_stream(&stores, false).await;
    let (code, out, stderr) = run_command(&stores, &["schema-load", "--json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let loaded: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(loaded["table"]["stream"], Value::Null);
}
