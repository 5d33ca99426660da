//! Accepted findings of `check`, and findings that a missing head hides.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::check::{check, kinds, string};
use crate::commands::run;
use crate::harness::{Cruddur, checker, cruddur, start, with_stores};
use crate::original::{Original, OriginalGroup};

const TIMES: [&str; 2] = [
    "2024-03-01T10:00:00.000000+00:00",
    "2024-03-01T10:01:00.000000+00:00",
];

/// Writes a message of an unreachable group: three users have written to it.
async fn unreachable(cruddur: &Cruddur, original: &Original) {
    let group = Uuid::new_v4();
    let senders = cruddur.users(["luu", "tove", "quill"]).await;
    for (minute, sender) in senders.iter().enumerate() {
        original
            .put([
                ("pk", string(format!("MSG#{group}"))),
                ("sk", string(format!("2024-05-01T10:0{minute}:00+00:00"))),
                ("message", string("lost")),
                ("message_uuid", string(Uuid::new_v4())),
                ("user_uuid", string(sender.id)),
                ("user_display_name", string(&sender.display_name)),
                ("user_handle", string(&sender.handle)),
            ])
            .await;
    }
}

async fn future(original: &Original, group: &mut OriginalGroup) {
    let time = "2031-01-01T00:00:00.000000+00:00";
    original.message(group, 0, time, "from the future").await;
}

/// Writes items of the original that cannot be repaired.
async fn left_behind(cruddur: &Cruddur) -> Original {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, tove] = cruddur.users(["luu", "tove"]).await;
    let mut group = original.conversation([&luu, &tove], &TIMES).await;
    future(&original, &mut group).await;
    unreachable(cruddur, &original).await;
    original
        .put([
            ("pk", string("MSG#undefined")),
            ("sk", string(TIMES[0])),
            ("message", string("to nobody")),
        ])
        .await;
    original
}

fn with_file<'a>(option: &'a str, path: &'a Path) -> [&'a str; 2] {
    [option, path.to_str().expect("a path")]
}

#[tokio::test]
async fn accepted_findings_do_not_fail_the_next_run_and_new_ones_do() {
    let cruddur = start().await;
    let original = left_behind(&cruddur).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accepted.jsonl");
    let (code, repaired) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 1);
    let left = repaired
        .iter()
        .filter(|line| line["repaired"] == false)
        .count();
    assert_eq!(left, 3, "{repaired:?}");

    let (code, _) = check(&cruddur, &with_file("--write-accepted", &file)).await;
    assert_eq!(code, 1, "what is written now is not accepted yet");
    let accept = with_file("--accept", &file);
    let (code, found) = check(&cruddur, &accept).await;
    assert_eq!(code, 0, "{found:?}");
    assert!(
        !found.is_empty() && found.iter().all(|line| line["accepted"] == true),
        "{found:?}"
    );
    let repair = [&["--repair"][..], &accept].concat();
    assert_eq!(check(&cruddur, &repair).await, (0, Vec::new()));

    // The same kind of finding in another group.
    unreachable(&cruddur, &original).await;
    let (code, found) = check(&cruddur, &accept).await;
    assert_eq!(code, 1);
    let new: Vec<&Value> = found
        .iter()
        .filter(|line| line["accepted"] != true)
        .collect();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0]["kind"], "unreachable-messages");

    // Both options may name the same file: accepted findings remain accepted.
    let write = with_file("--write-accepted", &file);
    check(&cruddur, &[&accept[..], &write].concat()).await;
    assert_eq!(check(&cruddur, &accept).await.0, 0);
}

#[tokio::test]
async fn accepted_findings_file_may_be_the_output_of_check_with_comments() {
    let cruddur = start().await;
    left_behind(&cruddur).await;
    check(&cruddur, &["--repair"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accepted.jsonl");
    let output = async |arguments: &[&str]| {
        let mut command = crate::harness::cruddur(arguments);
        with_stores(&mut command, &cruddur);
        run(&mut command).await
    };
    for arguments in [&["check", "--json"][..], &["check", "--repair", "--json"]] {
        let (_, out, _) = output(arguments).await;
        let text = format!("# of the test environment\n\n{out}");
        std::fs::write(&file, text).expect("a file");
        let (code, found) = check(&cruddur, &with_file("--accept", &file)).await;
        assert_eq!(code, 0, "{found:?}");
    }

    let (code, out, stderr) = output(&["check", "--accept", "/no/such/file"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(stderr.contains("/no/such/file"), "{stderr}");
    std::fs::write(&file, "{\"kind\": 1}\n").expect("a file");
    let path = file.to_str().expect("a path");
    let (code, _, stderr) = output(&["check", "--accept", path]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("line 1"), "{stderr}");

    let gone = json!({ "kind": "future-key", "key": "MSG#gone 2040", "detail": "" });
    std::fs::write(&file, gone.to_string()).expect("a file");
    let (_, _, stderr) = output(&["check", "--accept", path]).await;
    assert!(
        stderr.contains("1 accepted findings no longer exist"),
        "{stderr}"
    );
}

#[tokio::test]
async fn missing_head_reports_the_findings_that_it_hides() {
    let cruddur_ = start().await;
    let original = Original::new(checker::client(&cruddur_.dynamo.url));
    let users = cruddur_.users(["luu", "tove", "quill", "oddvar"]).await;
    let [luu, tove, quill, oddvar] = &users;
    let duplicate = original.conversation([luu, tove], &TIMES).await;
    for time in ["2022-01-01T00:00:00+00:00", "2022-01-02T00:00:00+00:00"] {
        original.row(&duplicate, 0, time, "old").await;
    }
    // Two rows of a user cannot have the same key.
    let on = |day: &str| TIMES.map(|time| time.replace("03-01", day));
    let times = on("03-02");
    let times = times.each_ref().map(String::as_str);
    let missing = original.conversation([tove, quill], &times).await;
    original.delete_row(&missing, 1, times[1]).await;
    let times = on("03-03");
    let times = times.each_ref().map(String::as_str);
    let mut stale = original.conversation([quill, oddvar], &times).await;
    let newest = "2024-04-01T00:00:00+00:00";
    original
        .message(&mut stale, 0, newest, "not previewed")
        .await;
    let expected = BTreeMap::from([
        ("duplicate-row", 2),
        ("missing-head", 3),
        ("missing-row", 1),
        ("stale-row", 2),
    ]);

    let (_, found) = check(&cruddur_, &[]).await;
    assert_eq!(kinds(&found), expected, "{found:?}");
    let mut command = cruddur(&["check", "--repair", "--json"]);
    with_stores(&mut command, &cruddur_);
    let (code, out, stderr) = run(&mut command).await;

    assert_eq!(code, 0, "{stderr}");
    let summary: Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    for (kind, count) in expected {
        let counted = &summary["summary"]["findings"][kind];
        assert_eq!(counted["found"], count, "{kind}: {summary}");
        assert_eq!(counted["repaired"], count, "{kind}: {summary}");
    }
    assert_eq!(check(&cruddur_, &[]).await, (0, Vec::new()));
}
