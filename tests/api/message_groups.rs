//! Pattern B: a user's message groups.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::harness::{Cruddur, TABLE, checker, start};

const GROUPS: &str = "
    query($first: Int, $after: String, $last: Int, $before: String) {
        messageGroups(first: $first, after: $after, last: $last, before: $before) {
            edges { cursor node { uuid otherUser { handle } lastMessage { body sender { handle } } lastMessageAt } }
            pageInfo { hasPreviousPage hasNextPage startCursor endCursor }
        }
    }";

fn others(connection: &Value) -> Vec<&str> {
    let edges = connection["edges"].as_array().expect("edges");
    edges
        .iter()
        .map(|edge| {
            edge["node"]["otherUser"]["handle"]
                .as_str()
                .expect("a handle")
        })
        .collect()
}

async fn groups(cruddur: &Cruddur, handle: &str, page: Value) -> Value {
    cruddur.data(handle, GROUPS, page).await["messageGroups"].take()
}

/// Sends messages of luu to a, b, c, d and e, in this order.
async fn five_groups() -> Cruddur {
    let cruddur = start().await;
    cruddur.users(["luu", "a", "b", "c", "d", "e"]).await;
    for other in ["a", "b", "c", "d", "e"] {
        cruddur.send("luu", other, &format!("to {other}")).await;
    }
    cruddur
}

#[tokio::test]
async fn message_groups_are_ordered_by_recent_activity_for_both_users() {
    let cruddur = five_groups().await;
    cruddur.send("b", "luu", "a response").await;

    let shown = groups(&cruddur, "luu", json!({})).await;
    assert_eq!(others(&shown), ["b", "e", "d", "c", "a"]);
    assert_eq!(
        shown["edges"][0]["node"]["lastMessage"],
        json!({"body": "a response", "sender": {"handle": "b"}})
    );
    assert_eq!(
        shown["edges"][1]["node"]["lastMessage"],
        json!({"body": "to e", "sender": {"handle": "luu"}})
    );

    let theirs = groups(&cruddur, "b", json!({})).await;
    assert_eq!(others(&theirs), ["luu"]);
    assert_eq!(
        theirs["edges"][0]["node"]["uuid"],
        shown["edges"][0]["node"]["uuid"]
    );
}

#[tokio::test]
async fn message_groups_are_paged_in_both_directions() {
    let cruddur = five_groups().await;
    let all = groups(&cruddur, "luu", json!({})).await;
    let cursor = |place: usize| all["edges"][place]["cursor"].clone();

    for (arguments, expected, previous, next) in [
        (json!({ "first": 2 }), vec!["e", "d"], false, true),
        (
            json!({ "first": 2, "after": cursor(1) }),
            vec!["c", "b"],
            true,
            true,
        ),
        (json!({ "after": cursor(3) }), vec!["a"], true, false),
        (json!({ "last": 2 }), vec!["b", "a"], true, false),
        (
            json!({ "last": 2, "before": cursor(3) }),
            vec!["d", "c"],
            true,
            true,
        ),
        (json!({ "before": cursor(2) }), vec!["e", "d"], false, true),
        (
            json!({ "first": 5, "after": cursor(0), "before": cursor(4) }),
            vec!["d", "c", "b"],
            true,
            false,
        ),
        (
            json!({ "last": 5, "after": cursor(0), "before": cursor(4) }),
            vec!["d", "c", "b"],
            false,
            true,
        ),
    ] {
        let shown = groups(&cruddur, "luu", arguments.clone()).await;
        assert_eq!(others(&shown), expected, "{arguments}");
        assert_eq!(
            shown["pageInfo"]["hasPreviousPage"], previous,
            "{arguments}"
        );
        assert_eq!(shown["pageInfo"]["hasNextPage"], next, "{arguments}");
    }
}

#[tokio::test]
async fn duplicate_row_of_a_moving_group_is_returned_once_at_its_newest_position() {
    let cruddur = five_groups().await;
    let table = checker::client(&cruddur.dynamo.url);
    let found = checker::read(&table).await;
    let (owner, row) = found
        .rows
        .values()
        .flatten()
        .find(|(_, row)| checker::text(row, "message") == "to a")
        .expect("a row");
    for (sk, text) in [
        ("2020-01-01T00:00:00.000000+00:00", "older"),
        ("2999-01-01T00:00:00.000000+00:00", "newer"),
    ] {
        table
            .put_item()
            .table_name(TABLE)
            .set_item(Some(row.clone()))
            .item("pk", AttributeValue::S(format!("GRP#{owner}")))
            .item("sk", AttributeValue::S(sk.to_owned()))
            .item("message", AttributeValue::S(text.to_owned()))
            .send()
            .await
            .expect("a row");
    }
    let handle = if checker::text(row, "user_handle") == "a" {
        "luu"
    } else {
        "a"
    };

    for end in ["first", "last"] {
        let shown = groups(&cruddur, handle, json!({ end: 20 })).await;
        let newest: Vec<_> = shown["edges"]
            .as_array()
            .expect("edges")
            .iter()
            .filter(|edge| edge["node"]["lastMessage"]["body"] == "newer")
            .collect();
        assert_eq!(newest.len(), 1, "{end}");
        assert!(
            shown["edges"]
                .as_array()
                .expect("edges")
                .iter()
                .all(|edge| edge["node"]["lastMessage"]["body"] != "older")
        );
    }
}

#[tokio::test]
async fn message_group_is_the_same_by_uuid_by_id_and_by_user() {
    let cruddur = five_groups().await;
    let uuid = cruddur.group_uuid("luu", "c").await;
    let fields = "{ id uuid otherUser { handle displayName } lastMessage { body } lastMessageAt }";

    let by_uuid = cruddur
        .data(
            "luu",
            &format!("query($uuid: UUID!) {{ messageGroup(uuid: $uuid) {fields} }}"),
            json!({ "uuid": uuid }),
        )
        .await["messageGroup"]
        .take();
    let by_id = cruddur
        .data(
            "luu",
            &format!("query($id: ID!) {{ node(id: $id) {{ ... on MessageGroup {fields} }} }}"),
            json!({ "id": by_uuid["id"] }),
        )
        .await["node"]
        .take();
    let by_user = cruddur
        .data(
            "luu",
            &format!("{{ user(handle: \"c\") {{ messageGroup {fields} }} }}"),
            json!({}),
        )
        .await["user"]["messageGroup"]
        .take();

    assert_eq!(
        by_uuid["otherUser"],
        json!({"handle": "c", "displayName": "c the user"})
    );
    assert_eq!(by_uuid["lastMessage"]["body"], "to c");
    assert_eq!(by_id, by_uuid);
    assert_eq!(by_user, by_uuid);
}

#[tokio::test]
async fn message_groups_of_a_new_user_are_empty() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;

    let shown = groups(&cruddur, "luu", json!({})).await;
    assert_eq!(shown["edges"], json!([]));
    let data = cruddur.data("luu", "{ user(handle: \"unamused\") { messageGroup { uuid } } viewer { messageGroup { uuid } } }", json!({})).await;
    assert_eq!(
        data,
        json!({"user": {"messageGroup": null}, "viewer": {"messageGroup": null}})
    );
}
