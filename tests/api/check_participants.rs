//! `check --repair` of groups in which third users have written, of UUIDs in other notations, and
//! of repairs that are not visible afterwards.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use cruddur::model::{MessageGroupId, User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::check::{check, kinds, read, string, texts};
use crate::commands::run;
use crate::harness::{CREATE, Cruddur, TABLE, checker, start, with_stores};
use crate::original::{Original, OriginalGroup};

const TIMES: [&str; 3] = [
    "2024-03-01T10:00:00.000000+00:00",
    "2024-03-01T10:01:00.000000+00:00",
    "2024-03-01T10:02:00.000000+00:00",
];
const LATER: &str = "2024-03-01T11:00:00.000000+00:00";
const GROUPS: &str =
    "{ messageGroups { edges { node { uuid lastMessage { body sender { handle } } } } } }";

/// Writes luu's group with tove as the original did.
async fn conversation(cruddur: &Cruddur) -> (Original, [User; 3], OriginalGroup) {
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let users = cruddur.users(["luu", "tove", "quill"]).await;
    let group = original.conversation([&users[0], &users[1]], &TIMES).await;
    (original, users, group)
}

/// Writes a message of a user who is not a participant.
async fn foreign_message(original: &Original, group: &OriginalGroup, sender: &User, time: &str) {
    original
        .put([
            ("pk", string(format!("MSG#{}", group.uuid))),
            ("sk", string(time)),
            ("message", string("from outside")),
            ("message_uuid", string(Uuid::new_v4())),
            ("user_uuid", string(sender.id)),
            ("user_display_name", string(&sender.display_name)),
            ("user_handle", string(&sender.handle)),
        ])
        .await;
}

#[tokio::test]
async fn participants_are_those_of_the_rows_even_if_a_third_user_wrote_last() {
    let cruddur = start().await;
    let (original, [luu, tove, quill], group) = conversation(&cruddur).await;
    foreign_message(&original, &group, &quill, LATER).await;
    let before = texts(&read(&cruddur).await);

    let (code, repaired) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 0, "{repaired:?}");
    for _ in 0..2 {
        assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
    }

    let after = read(&cruddur).await;
    assert_eq!(texts(&after), before);
    after.check_adopted();
    let head = &after.heads[&group.uuid.to_string()];
    let mut expected = vec![luu.id.to_string(), tove.id.to_string()];
    expected.sort();
    let mut participants = head["participants"].as_ss().expect("participants").clone();
    participants.sort();
    assert_eq!(participants, expected);
    // The list names the sender, because no row has a copy of that user.
    for handle in ["luu", "tove"] {
        let data = cruddur.data(handle, GROUPS, json!({})).await;
        let shown = &data["messageGroups"]["edges"][0]["node"]["lastMessage"];
        assert_eq!(shown["body"], "from outside");
        assert_eq!(shown["sender"]["handle"], "quill", "{handle}");
    }
    let data = cruddur.data("quill", GROUPS, json!({})).await;
    assert_eq!(data["messageGroups"]["edges"], json!([]));
    let to = json!({ "messageGroupUuid": group.uuid });
    let input = json!({ "input": { "to": to, "body": "goes on" } });
    cruddur.data("luu", CREATE, input).await;
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
}

#[tokio::test]
async fn repair_of_a_group_with_a_foreign_message_uses_its_rows() {
    let cruddur = start().await;
    let (original, [luu, ..], group) = conversation(&cruddur).await;
    let [quill] = cruddur.users(["quill"]).await;
    foreign_message(&original, &group, &quill, LATER).await;
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
    original.delete_row(&group, 0, LATER).await;

    let (code, found) = check(&cruddur, &[]).await;
    assert_eq!(
        (code, kinds(&found)),
        (1, BTreeMap::from([("missing-row", 1)]))
    );
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);

    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
    let found = read(&cruddur).await;
    found.check_adopted();
    let rows = &found.rows[&group.uuid.to_string()];
    assert!(rows.iter().any(|(owner, _)| *owner == luu.id.to_string()));
}

/// Writes a row of the group with UUIDs in another notation.
async fn row(original: &Original, [pk, sk]: [&str; 2], group: &str, other: &User) {
    original
        .put([
            ("pk", string(pk)),
            ("sk", string(sk)),
            ("message_group_uuid", string(group)),
            ("message", string("stored otherwise")),
            ("user_uuid", string(other.id)),
            ("user_display_name", string(&other.display_name)),
            ("user_handle", string(&other.handle)),
        ])
        .await;
}

/// Returns the key and the group of each item.
async fn rows_of(cruddur: &Cruddur) -> Vec<String> {
    let mut command = crate::harness::cruddur(&["scan"]);
    with_stores(&mut command, cruddur);
    let (_, out, _) = run(&mut command).await;
    let items = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let rows = items.filter(|item| item["pk"].as_str().is_some_and(|pk| pk.starts_with("GRP#")));
    rows.map(|row| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        format!(
            "{} {} {}",
            text("pk"),
            text("sk"),
            text("message_group_uuid")
        )
    })
    .collect()
}

#[tokio::test]
async fn duplicate_rows_are_deleted_in_any_notation_of_their_uuids() {
    for headed in [false, true] {
        let cruddur = start().await;
        let (original, [luu, tove, _], group) = conversation(&cruddur).await;
        if headed {
            assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
        }
        let capitals = group.uuid.to_string().to_uppercase();
        let bare = group.uuid.simple().to_string();
        let canonical = group.uuid.to_string();
        let luus = format!("GRP#{}", luu.id);
        let luus_capitals = format!("GRP#{}", luu.id.to_string().to_uppercase());
        let toves = format!("GRP#{}", tove.id);
        let old = "2024-02-01T00:00:00+00:00";
        for ([pk, sk], group, other) in [
            ([&luus[..], old], &capitals, &tove),
            ([&toves, old], &bare, &luu),
            ([&luus_capitals, old], &canonical, &tove),
            ([&luus_capitals, TIMES[2]], &canonical, &tove),
            // The key of the row that remains.
            ([&toves, TIMES[2]], &capitals, &luu),
        ] {
            row(&original, [pk, sk], group, other).await;
        }
        let before = texts(&read(&cruddur).await);

        let (code, found) = check(&cruddur, &[]).await;
        assert_eq!(code, 1, "{found:?}");
        let (code, repaired) = check(&cruddur, &["--repair"]).await;
        assert_eq!(code, 0, "{headed}: {repaired:?}");

        let mut rows = rows_of(&cruddur).await;
        rows.sort();
        let mut expected = [&luus, &toves].map(|pk| format!("{pk} {} {canonical}", TIMES[2]));
        expected.sort();
        assert_eq!(rows, expected, "{headed}");
        assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
        let after = read(&cruddur).await;
        after.check_adopted();
        assert_eq!(texts(&after), before);
    }
}

#[tokio::test]
async fn uuid_in_capitals_is_reported_and_its_messages_are_kept() {
    let cruddur = start().await;
    let (original, [luu, ..], group) = conversation(&cruddur).await;
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
    let pk = format!("MSG#{}", group.uuid.to_string().to_uppercase());
    original
        .put([
            ("pk", string(&pk)),
            ("sk", string(LATER)),
            ("message", string("no reader finds it")),
            ("message_uuid", string(Uuid::new_v4())),
            ("user_uuid", string(luu.id)),
            ("user_display_name", string(&luu.display_name)),
            ("user_handle", string(&luu.handle)),
        ])
        .await;

    let (code, found) = check(&cruddur, &["--repair"]).await;

    assert_eq!(code, 1);
    assert_eq!(kinds(&found), BTreeMap::from([("unreadable-item", 1)]));
    assert_eq!(found[0]["key"], format!("{pk} {LATER}"));
    let (_, found) = check(&cruddur, &[]).await;
    let detail = found[0]["detail"].as_str().expect("a text");
    assert!(detail.contains("no reader finds it"), "{detail}");
}

#[tokio::test]
async fn repair_that_is_not_visible_afterwards_is_reported_as_not_repaired() {
    let cruddur = start().await;
    let (original, [luu, tove, quill], group) = conversation(&cruddur).await;
    // A group with a head, and a row of a third user.
    let headed = original.conversation([&luu, &quill], &TIMES[..2]).await;
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
    row(
        &original,
        [&format!("GRP#{}", tove.id), LATER],
        &headed.uuid.to_string(),
        &luu,
    )
    .await;
    let head = format!("HEAD#{}", group.uuid);
    let client = checker::client(&cruddur.dynamo.url);
    let delete = client.delete_item().table_name(TABLE);
    delete
        .key("pk", string(head))
        .key("sk", string("HEAD"))
        .send()
        .await
        .expect("a deleted head");
    let nobody = MessageGroupId(Uuid::from_u128(7));
    row(
        &original,
        [&format!("GRP#{}", luu.id), LATER],
        &nobody.to_string(),
        &tove,
    )
    .await;
    let before = rows_of(&cruddur).await;

    cruddur.dynamo.forget_writes(true);
    let (code, lines) = check(&cruddur, &["--repair"]).await;
    assert_eq!(code, 1);
    assert_eq!(
        kinds(&lines),
        BTreeMap::from([
            ("missing-head", 1),
            ("row-without-messages", 1),
            ("non-participant-row", 1),
            ("wrong-marker", 1)
        ])
    );
    for line in &lines {
        assert_eq!(line["repaired"], false, "{line}");
        let because = line["because"].as_str().expect("a reason");
        assert!(because.contains("does not show it"), "{line}");
    }
    assert_eq!(rows_of(&cruddur).await, before);

    cruddur.dynamo.forget_writes(false);
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
    assert_eq!(check(&cruddur, &[]).await, (0, Vec::new()));
}

/// A damaged group: its UUID, the owners of its rows, its newest key.
struct Target {
    group: String,
    owners: [String; 2],
    newest: String,
}

/// Damages random heads and rows. Messages do not change.
async fn damage(cruddur: &Cruddur, targets: &[Target], rng: &mut fastrand::Rng) {
    let client = checker::client(&cruddur.dynamo.url);
    for _ in 0..rng.usize(3..9) {
        let target = &targets[rng.usize(..targets.len())];
        let (which, how, minute) = (rng.usize(..3), rng.u8(..6), rng.u8(..60));
        let [pk, sk] = match target.owners.get(which) {
            Some(owner) => [format!("GRP#{owner}"), target.newest.clone()],
            None => [format!("HEAD#{}", target.group), "HEAD".to_owned()],
        };
        let is_row = pk.starts_with("GRP#");
        let get = client.get_item().table_name(TABLE);
        let found = get
            .key("pk", string(&pk))
            .key("sk", string(&sk))
            .send()
            .await;
        // It may already be damaged.
        let Some(mut item) = found.expect("a response").item else {
            continue;
        };
        let mut set = |name: &str, value| drop(item.insert(name.to_owned(), value));
        match how {
            0 => {
                let delete = client.delete_item().table_name(TABLE);
                let deleted = delete.key("pk", string(&pk)).key("sk", string(&sk));
                deleted.send().await.expect("a deleted item");
                continue;
            }
            1 if is_row => set("message", string("stale")),
            2 if is_row => set("sk", string(format!("2023-01-01T00:{minute:02}:00+00:00"))),
            3 if is_row => {
                set("message_group_uuid", string(target.group.to_uppercase()));
                set("sk", string(format!("2023-02-01T00:{minute:02}:00+00:00")));
            }
            4 if is_row => set("pk", string(format!("GRP#{}", pk[4..].to_uppercase()))),
            5 if is_row => set("message_group_uuid", string(target.group.to_uppercase())),
            _ if is_row => set("unread_count", AttributeValue::N(minute.to_string())),
            _ => set("message_count", AttributeValue::N(minute.to_string())),
        }
        let put = client.put_item().table_name(TABLE).set_item(Some(item));
        put.send().await.expect("an item");
    }
}

#[tokio::test]
async fn second_check_after_any_damage_and_repair_is_clean_and_texts_are_unchanged() {
    let cruddur = start().await;
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let [luu, quill] = cruddur.users(["luu", "quill"]).await;
    let mut groups = Vec::new();
    for number in 0..6 {
        let [other] = cruddur.users([format!("u{number}").as_str()]).await;
        let owners = [&luu, &other].map(|user| user.id.to_string());
        if number % 2 == 0 {
            let day = format!("2026-01-0{}T00:00:00Z", number + 1);
            cruddur.seed([&luu, &other], &day, 4).await;
            let group = MessageGroupId::of_pair(luu.id, other.id);
            groups.push((group.to_string(), owners));
            continue;
        }
        let times = TIMES.map(|time| time.replace("03-01", &format!("03-1{number}")));
        let times = times.each_ref().map(String::as_str);
        let group = original.conversation([&luu, &other], &times).await;
        if number == 3 {
            foreign_message(&original, &group, &quill, LATER).await;
        }
        groups.push((group.uuid.to_string(), owners));
    }
    assert_eq!(check(&cruddur, &["--repair"]).await.0, 0);
    let whole = read(&cruddur).await;
    let before = texts(&whole);
    let targets: Vec<Target> = groups
        .into_iter()
        .map(|(group, owners)| Target {
            newest: checker::text(&whole.heads[&group], "last_message_at").to_owned(),
            group,
            owners,
        })
        .collect();
    let mut rng = fastrand::Rng::with_seed(26);
    for round in 0..12 {
        damage(&cruddur, &targets, &mut rng).await;

        let (code, repaired) = check(&cruddur, &["--repair"]).await;
        let (again, found) = check(&cruddur, &[]).await;

        let failed: Vec<&Value> = repaired
            .iter()
            .filter(|line| line["repaired"] != true)
            .collect();
        assert_eq!((code, failed), (0, Vec::new()), "round {round}");
        assert_eq!((again, found), (0, Vec::new()), "round {round}");
        let after = read(&cruddur).await;
        after.check_adopted();
        assert_eq!(texts(&after), before, "round {round}");
    }
}
