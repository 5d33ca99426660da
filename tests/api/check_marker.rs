//! `check`, the marker of the table, and groups that are ahead of the clock.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use cruddur::clock::Clock;
use cruddur::model::MessageGroupId;
use serde_json::{Value, json};

use crate::adoption::FORMS;
use crate::check::{check, kinds, read, string};
use crate::harness::checker::{self, text};
use crate::harness::{CREATE, Cruddur, Setup, TABLE, start, start_with};
use crate::original::{Original, OriginalGroup};

const WITH: &str = "query($handle: String!) { user(handle: $handle) { messageGroup { uuid } } }";

async fn marked() -> Cruddur {
    start_with(Setup {
        marked: true,
        ..Setup::default()
    })
    .await
}

fn original(cruddur: &Cruddur) -> Original {
    Original::new(checker::client(&cruddur.dynamo.url))
}

async fn conversation(cruddur: &Cruddur, handle: &str, times: &[&str]) -> OriginalGroup {
    let [luu, other] = cruddur.users(["luu", handle]).await;
    original(cruddur).conversation([&luu, &other], times).await
}

/// Returns the calls with which luu finds the group with another user, and the
/// UUID of the group.
async fn found(cruddur: &Cruddur, handle: &str) -> (Vec<String>, Value) {
    cruddur.dynamo.calls();
    let mut data = cruddur.data("luu", WITH, json!({ "handle": handle })).await;
    (cruddur.dynamo.calls(), data["user"]["messageGroup"].take())
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[tokio::test]
async fn check_repair_writes_the_marker_when_each_group_has_a_head() {
    let cruddur = start().await;
    let group = conversation(&cruddur, "tove", &FORMS[..3]).await;
    let older = conversation(&cruddur, "quill", &FORMS[..2]).await;
    let newer = conversation(&cruddur, "quill", &FORMS[3..]).await;
    cruddur.users(["oddvar"]).await;

    let (code, lines) = check(&cruddur, &[]).await;
    assert_eq!(
        (code, kinds(&lines)),
        (1, BTreeMap::from([("missing-head", 3)]))
    );
    assert!(!read(&cruddur).await.is_marked, "it only looked");
    let (code, _) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 0);

    assert!(read(&cruddur).await.is_marked);
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
    // With the marker, which is read only once.
    let (calls, none) = found(&cruddur, "oddvar").await;
    assert_eq!(
        (calls, none),
        (vec!["GetItem strong".to_owned(); 2], json!(null))
    );
    let (calls, none) = found(&cruddur, "oddvar").await;
    assert_eq!(
        (calls, none),
        (vec!["GetItem strong".to_owned()], json!(null))
    );
    for (handle, group) in [("tove", &group), ("quill", &newer)] {
        let (calls, found) = found(&cruddur, handle).await;
        assert_eq!(calls, ["GetItem strong"; 3]);
        assert_eq!(found["uuid"], json!(group.uuid));
    }
    assert!(
        read(&cruddur)
            .await
            .heads
            .contains_key(&older.uuid.to_string())
    );
}

#[tokio::test]
async fn missing_head_in_a_table_with_the_marker_is_found_and_repaired() {
    let cruddur = marked().await;
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
    let group = conversation(&cruddur, "tove", &FORMS[..3]).await;

    let (code, lines) = check(&cruddur, &[]).await;

    let expected = BTreeMap::from([("missing-head", 1), ("wrong-marker", 1)]);
    assert_eq!((code, kinds(&lines)), (1, expected));
    assert_eq!(
        of_kind(&lines, "wrong-marker")[0]["key"],
        "TABLE#HEADS TABLE"
    );
    assert!(read(&cruddur).await.is_marked, "it only looked");
    let (code, lines) = check(&cruddur, &["--repair"]).await;
    assert_eq!(
        (code, kinds(&lines)),
        (0, BTreeMap::from([("missing-head", 1)]))
    );
    assert!(read(&cruddur).await.is_marked);
    assert_eq!(
        cruddur.group_uuid("luu", "tove").await,
        group.uuid.to_string()
    );
}

#[tokio::test]
async fn check_repair_removes_the_marker_if_a_group_has_no_head() {
    let cruddur = marked().await;
    let mut group = conversation(&cruddur, "tove", &FORMS[..3]).await;
    let [quill] = cruddur.users(["quill"]).await;
    // A third user's row: the participants are unknown.
    group.pair[1] = quill;
    original(&cruddur).row(&group, 1, FORMS[2], "whose?").await;

    let (code, lines) = check(&cruddur, &["--repair"]).await;

    assert_eq!(code, 1);
    assert_eq!(
        of_kind(&lines, "missing-head")[0]["repaired"],
        false,
        "{lines:?}"
    );
    assert_eq!(
        of_kind(&lines, "wrong-marker")[0]["repaired"],
        true,
        "{lines:?}"
    );
    assert!(!read(&cruddur).await.is_marked);
    assert_eq!(
        cruddur.group_uuid("luu", "tove").await,
        group.uuid.to_string()
    );
    let (_, lines) = check(&cruddur, &["--repair"]).await;
    assert!(of_kind(&lines, "wrong-marker").is_empty(), "{lines:?}");
    assert!(!read(&cruddur).await.is_marked);
}

#[tokio::test]
async fn missing_alias_is_found_and_written_for_the_newest_group_of_the_pair() {
    let cruddur = start().await;
    conversation(&cruddur, "tove", &FORMS[..3]).await;
    let newer = conversation(&cruddur, "tove", &FORMS[3..]).await;
    let (code, _) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 0);
    let [luu, tove] = &newer.pair;
    let pair = MessageGroupId::of_pair(luu.id, tove.id).to_string();
    let client = checker::client(&cruddur.dynamo.url);
    let delete = client
        .delete_item()
        .table_name(TABLE)
        .key("pk", string(format!("HEAD#{pair}")))
        .key("sk", AttributeValue::S("HEAD".to_owned()));
    delete.send().await.expect("a deleted alias");

    let (code, lines) = check(&cruddur, &[]).await;
    let expected = BTreeMap::from([("missing-alias", 2), ("wrong-marker", 1)]);
    assert_eq!((code, kinds(&lines)), (1, expected), "{lines:?}");
    let (code, lines) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 0, "{lines:?}");

    let after = read(&cruddur).await;
    assert_eq!(
        text(&after.heads[&pair], "alias_of"),
        newer.uuid.to_string()
    );
    assert!(after.is_marked);
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
}

#[tokio::test]
async fn future_key_reports_a_group_once_with_how_far_it_is_ahead() {
    let cruddur = start().await;
    let now = Clock::system().now();
    let ahead = |by: TimeDelta, form: &str| (now + by).format(form).to_string();
    let seed = ahead(TimeDelta::minutes(125), "%Y-%m-%dT%H:%M:%S%.6f+00:00");
    let offset = ahead(TimeDelta::minutes(335), "%Y-%m-%dT%H:%M:%S+05:30");
    let month = ahead(TimeDelta::days(30), "%Y-%m-%dT%H:%M:%S");
    let mut groups = Vec::new();
    for (handle, key, expected) in [
        ("seed", &seed, "2 h "),
        ("offset", &offset, "5 h 3"),
        ("month", &month, "29 d 23 h"),
    ] {
        let group = conversation(&cruddur, handle, &[FORMS[0], key]).await;
        groups.push((group, expected));
    }
    conversation(&cruddur, "past", &FORMS[..3]).await;

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accepted.jsonl");
    let file = file.to_str().expect("a path");
    for arguments in [&[][..], &["--repair"], &["--write-accepted", file]] {
        let (code, lines) = check(&cruddur, arguments).await;
        assert_eq!(code, 1, "{arguments:?}");
        let lines = of_kind(&lines, "future-key");
        assert_eq!(lines.len(), groups.len(), "{arguments:?}: {lines:?}");
        for (group, expected) in &groups {
            let key = format!("MSG#{}", group.uuid);
            let line = lines.iter().find(|line| line["key"] == key.as_str());
            let line = line.expect("a finding of the group");
            if arguments.contains(&"--repair") {
                assert_eq!(line["repaired"], false);
                continue;
            }
            assert_eq!(line["messageGroupUuid"], json!(group.uuid));
            let detail = line["detail"].as_str().expect("a detail");
            let ahead = format!("is {expected}");
            assert!(detail.contains(&ahead), "{detail}");
            assert!(detail.contains(&group.messages.last().expect("a message").0));
        }
    }
    // The finding stays accepted when the group has a newer message.
    for (group, _) in &groups {
        let input = json!({ "to": { "messageGroupUuid": group.uuid }, "body": "newer" });
        cruddur.data("luu", CREATE, json!({ "input": input })).await;
    }
    let (code, lines) = check(&cruddur, &["--accept", file]).await;
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(lines.len(), groups.len());
    assert!(read(&cruddur).await.is_marked);
}
