//! Pattern A: the messages of a group.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::harness::{Cruddur, TABLE, bodies, checker, numbered, start};

const MESSAGES: &str = "
    query($group: UUID!, $first: Int, $after: String, $last: Int, $before: String) {
        messages(messageGroupUuid: $group, first: $first, after: $after, last: $last, before: $before) {
            edges { cursor node { body createdAt sender { handle displayName } } }
            pageInfo { hasPreviousPage hasNextPage startCursor endCursor }
        }
    }";

/// Creates a group with 50 messages across the end of a year.
async fn conversation() -> (Cruddur, String) {
    let cruddur = start().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur
        .seed([&luu, &unamused], "2025-12-31T23:35:00Z", 50)
        .await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    (cruddur, group)
}

async fn page(cruddur: &Cruddur, group: &str, page: Value) -> Value {
    let mut variables = json!({ "group": group });
    variables
        .as_object_mut()
        .expect("an object")
        .extend(page.as_object().expect("an object").clone());
    cruddur.data("luu", MESSAGES, variables).await["messages"].take()
}

#[tokio::test]
async fn messages_default_to_the_newest_twenty_oldest_first() {
    let (cruddur, group) = conversation().await;

    let newest = page(&cruddur, &group, json!({})).await;

    assert_eq!(bodies(&newest), numbered(31..=50));
    assert_eq!(newest["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(newest["pageInfo"]["hasNextPage"], false);
    assert_eq!(
        newest["pageInfo"]["startCursor"],
        newest["edges"][0]["cursor"]
    );
    assert_eq!(
        newest["pageInfo"]["endCursor"],
        newest["edges"][19]["cursor"]
    );
    assert_eq!(
        newest["edges"][19]["node"]["createdAt"],
        "2026-01-01T00:24:00.000000Z"
    );
    assert_eq!(
        newest["edges"][19]["node"]["sender"],
        json!({"handle": "unamused", "displayName": "unamused the user"})
    );
}

#[tokio::test]
async fn before_pages_back_to_the_first_message_across_the_end_of_a_year() {
    let (cruddur, group) = conversation().await;

    let mut read: Vec<String> = Vec::new();
    let mut before = Value::Null;
    loop {
        let shown = page(&cruddur, &group, json!({ "last": 7, "before": before })).await;
        read.splice(0..0, bodies(&shown).into_iter().map(str::to_owned));
        before = shown["pageInfo"]["startCursor"].clone();
        if shown["pageInfo"]["hasPreviousPage"] == false {
            break;
        }
    }

    assert_eq!(read, numbered(1..=50));
}

#[tokio::test]
async fn pages_start_at_either_end_of_a_range_between_cursors() {
    let (cruddur, group) = conversation().await;
    let all = page(&cruddur, &group, json!({ "first": 100 })).await;
    let cursor = |number: usize| all["edges"][number - 1]["cursor"].clone();

    for (arguments, expected, previous, next) in [
        (json!({ "first": 3 }), 1..=3, false, true),
        (
            json!({ "first": 3, "after": cursor(10) }),
            11..=13,
            true,
            true,
        ),
        (json!({ "after": cursor(10) }), 11..=30, true, true),
        (json!({ "after": cursor(40) }), 41..=50, true, false),
        (json!({ "before": cursor(40) }), 20..=39, true, true),
        (
            json!({ "first": 3, "before": cursor(3) }),
            1..=2,
            false,
            false,
        ),
        (
            json!({ "last": 3, "after": cursor(48) }),
            49..=50,
            false,
            false,
        ),
        (
            json!({ "first": 3, "after": cursor(10), "before": cursor(20) }),
            11..=13,
            true,
            true,
        ),
        (
            json!({ "last": 3, "after": cursor(10), "before": cursor(20) }),
            17..=19,
            true,
            true,
        ),
        (json!({ "last": 100 }), 1..=50, false, false),
        (json!({ "last": 5, "before": "" }), 46..=50, true, false),
    ] {
        let shown = page(&cruddur, &group, arguments.clone()).await;
        assert_eq!(bodies(&shown), numbered(expected), "{arguments}");
        assert_eq!(
            shown["pageInfo"]["hasPreviousPage"], previous,
            "{arguments}"
        );
        assert_eq!(shown["pageInfo"]["hasNextPage"], next, "{arguments}");
    }
}

#[tokio::test]
async fn page_can_be_empty() {
    let (cruddur, group) = conversation().await;
    let all = page(&cruddur, &group, json!({ "first": 100 })).await;
    let cursor = |number: usize| all["edges"][number - 1]["cursor"].clone();

    for arguments in [
        json!({ "first": 0 }),
        json!({ "last": 0 }),
        json!({ "first": 5, "after": cursor(50) }),
        json!({ "first": 5, "after": cursor(20), "before": cursor(10) }),
        json!({ "first": 5, "after": cursor(20), "before": cursor(20) }),
    ] {
        let shown = page(&cruddur, &group, arguments.clone()).await;
        assert_eq!(shown["edges"], json!([]), "{arguments}");
        assert_eq!(shown["pageInfo"]["startCursor"], Value::Null, "{arguments}");
    }
}

#[tokio::test]
async fn unreadable_message_is_skipped_and_the_page_is_filled() {
    let (cruddur, group) = conversation().await;
    let table = checker::client(&cruddur.dynamo.url);
    for (sk, message) in [
        ("2026-01-01T00:20:30.000000+00:00", true),
        ("yesterday", false),
    ] {
        let mut put = table
            .put_item()
            .table_name(TABLE)
            .item("pk", AttributeValue::S(format!("MSG#{group}")))
            .item("sk", AttributeValue::S(sk.to_owned()));
        if message {
            put = put.item("message", AttributeValue::N("7".to_owned()));
        }
        put.send().await.expect("an item");
    }

    let newest = page(&cruddur, &group, json!({ "last": 20 })).await;

    assert_eq!(bodies(&newest), numbered(31..=50));
}

#[tokio::test]
async fn unreadable_newest_message_shows_the_message_before_it() {
    let (cruddur, group) = conversation().await;
    let table = checker::client(&cruddur.dynamo.url);
    let found = checker::read(&table).await;
    let newest = found.messages[&group].last().expect("a message");
    let damage = table
        .update_item()
        .table_name(TABLE)
        .key("pk", newest["pk"].clone())
        .key("sk", newest["sk"].clone())
        .update_expression("SET message = :number")
        .expression_attribute_values(":number", AttributeValue::N("7".to_owned()));
    damage.send().await.expect("an item");

    let document = "query($group: UUID!) { messageGroup(uuid: $group) { lastMessage { body } } }";
    let shown = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;

    let shown = &shown["messageGroup"]["lastMessage"]["body"];
    assert_eq!(shown, "message 49");
}

#[tokio::test]
async fn cursors_of_messages_work_in_query_and_in_message_group() {
    let (cruddur, group) = conversation().await;
    let document = "
        query($group: UUID!, $before: String) {
            messageGroup(uuid: $group) {
                messages(last: 3, before: $before) { edges { cursor node { body messageGroup { uuid } } } }
            }
        }";
    let newest = page(&cruddur, &group, json!({ "last": 3 })).await;

    let nested = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;
    let nested = &nested["messageGroup"]["messages"];
    assert_eq!(nested["edges"][0]["cursor"], newest["edges"][0]["cursor"]);
    assert_eq!(
        nested["edges"][0]["node"]["messageGroup"]["uuid"],
        group.as_str()
    );

    let before = newest["edges"][0]["cursor"].clone();
    let older = cruddur
        .data("luu", document, json!({ "group": group, "before": before }))
        .await;
    assert_eq!(
        bodies(&older["messageGroup"]["messages"]),
        numbered(45..=47)
    );
}
