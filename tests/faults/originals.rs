//! A table of the original, whose groups get their heads under load.

use chrono::{SecondsFormat, TimeDelta};
use cruddur::clock::Clock;
use cruddur::model::User;
use serde_json::{Value, json};

use crate::harness::checker::{self, TableItems, text};
use crate::harness::original::{Original, OriginalGroup};
use crate::harness::{CREATE, Cruddur, Faults, start};
use crate::load::{Load, star};
use crate::server::Server;
use crate::visibility::write_and_read;

/// How far the original's seed was ahead of the clock.
const AHEAD: TimeDelta = TimeDelta::minutes(103);
const GROUPS: usize = 20;
const GROUP: &str = "query($group: UUID!) { messageGroup(uuid: $group) { uuid } }";

/// Keys as the original's programs wrote them, up to 103 minutes ahead of the
/// clock.
fn times() -> Vec<String> {
    let now = Clock::system().now();
    let minutes = |minutes| now - TimeDelta::minutes(minutes);
    vec![
        minutes(400).format("%Y-%m-%dT%H:%M:%S").to_string(),
        minutes(300).format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        minutes(200).to_rfc3339_opts(SecondsFormat::Secs, false),
        minutes(100)
            .format("%Y-%m-%dT%H:%M:%S%.3f+02:00")
            .to_string(),
        (now + AHEAD / 2).to_rfc3339_opts(SecondsFormat::Micros, false),
        (now + AHEAD).to_rfc3339_opts(SecondsFormat::Micros, true),
    ]
}

/// Writes a group of each pair, by turns correct, with an old key only, with
/// duplicate rows, with a missing row, and with a stale preview.
async fn originals(cruddur: &Cruddur, pairs: &[[String; 2]]) -> Vec<OriginalGroup> {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let mut groups = Vec::new();
    for (number, [one, other]) in pairs.iter().enumerate() {
        let [one, other] = [user(cruddur, one).await, user(cruddur, other).await];
        let times = times();
        let used = if number % 5 == 1 { &times[..2] } else { &times };
        let used: Vec<&str> = used.iter().map(String::as_str).collect();
        let mut group = original.conversation([&one, &other], &used).await;
        match number % 5 {
            2 => {
                for time in &used[..3] {
                    original.row(&group, number % 2, time, "old").await;
                }
            }
            3 => original.delete_row(&group, number / 5 % 2, used[5]).await,
            4 => {
                let ahead = Clock::system().now() + AHEAD * 2;
                let time = ahead.to_rfc3339_opts(SecondsFormat::Micros, false);
                original
                    .message(&mut group, 0, &time, "not previewed")
                    .await;
            }
            _ => {}
        }
        groups.push(group);
    }
    groups
}

async fn user(cruddur: &Cruddur, handle: &str) -> User {
    let found = cruddur.users.users_by_handle(&[handle.to_owned()]).await;
    found.expect("users").pop().expect("a user")
}

/// Checks that the original's messages are complete, in the order of their keys
/// and before all later messages.
fn check(found: &TableItems, originals: &[OriginalGroup]) {
    for group in originals {
        let mut expected = group.messages.clone();
        expected.sort();
        let there = &found.messages[&group.uuid.to_string()];
        let before = there
            .iter()
            .take_while(|message| !message.contains_key("seq"));
        let before: Vec<(String, String)> = before
            .map(|message| {
                (
                    text(message, "sk").to_owned(),
                    text(message, "message").to_owned(),
                )
            })
            .collect();
        assert_eq!(before, expected, "{}", group.uuid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adoption_under_load_survives_crashes() {
    let cruddur = start().await;
    let (mut one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = star(&cruddur, GROUPS).await;
    let originals = originals(&cruddur, &pairs).await;
    cruddur.dynamo.set_faults(Faults {
        lost_after: 15,
        overtaken: 5,
        partially_visible: 30,
        index_lags: true,
        ..Faults::default()
    });
    let urls = vec![one.url.clone(), other.url.clone()];
    let readers: Vec<String> = pairs[..3].iter().map(|[_, other]| other.clone()).collect();
    let mut load = Load::new(urls, pairs, 3 * GROUPS, 8);
    load.groups = originals
        .iter()
        .map(|group| group.uuid.to_string())
        .collect();
    let kills = async {
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
            one.kill(&cruddur).await;
        }
    };

    let (report, ()) = tokio::join!(write_and_read(&cruddur, &load, &readers), kills);

    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check_adopted();
    check(&found, &originals);
    report.assert_correct("20 groups of the original, 4 kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adoption_is_visible_although_the_index_lags() {
    let cruddur = start().await;
    let pairs = star(&cruddur, GROUPS).await;
    let originals = originals(&cruddur, &pairs).await;
    cruddur.dynamo.set_faults(Faults {
        index_lags: true,
        ..Faults::default()
    });

    let requests = originals
        .iter()
        .zip(&pairs)
        .map(|(original, [one, other])| {
            let (cruddur, group) = (&cruddur, json!({ "group": original.uuid }));
            let to = json!({ "messageGroupUuid": original.uuid });
            let to_group = json!({ "input": { "to": to, "body": "to the group" } });
            async move {
                tokio::join!(
                    cruddur.send(other, one, "to the receiver"),
                    cruddur.data(one, CREATE, to_group),
                    cruddur.data(other, GROUP, group),
                )
            }
        });
    // In turn: all groups at once exceed the deadline of a request on a busy machine.
    let mut responses = Vec::new();
    for request in requests {
        responses.push(request.await);
    }

    let old = cruddur.dynamo.stale_index_responses();
    println!("{old} responses of the index were stale");
    assert!(old > 0);
    for (by_handle, by_group, shown) in responses {
        assert_eq!(by_handle["__typename"], "CreateMessageSuccess");
        let by_group = &by_group["createMessage"]["__typename"];
        assert_eq!(by_group, "CreateMessageSuccess");
        assert_ne!(shown["messageGroup"], Value::Null);
    }
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check_adopted();
    check(&found, &originals);
}
