//! The cost of each request: calls and statements that proxies count.

use serde_json::{Value, json};

use crate::harness::{CREATE, Cruddur, Setup, start_with};

/// Starts a system that caches no users, so that every lookup counts, on a
/// table as `schema-load` creates it.
async fn uncached() -> Cruddur {
    uncached_on(true).await
}

async fn uncached_on(marked: bool) -> Cruddur {
    let cruddur = start_with(Setup {
        users_fresh_for: std::time::Duration::ZERO,
        marked,
        ..Setup::default()
    })
    .await;
    // The issuer's keys are fetched before the calls are counted.
    cruddur.users(["luu", "unamused"]).await;
    cruddur
        .data("luu", "{ viewer { handle } }", json!({}))
        .await;
    cruddur.postgres.statements();
    cruddur.dynamo.calls();
    cruddur
}

/// Calls of DynamoDB, and statements of Postgres except the lookup of the
/// caller.
async fn cost(cruddur: &Cruddur, document: &str, variables: Value) -> (Vec<String>, usize) {
    cruddur.dynamo.calls();
    cruddur.postgres.statements();
    cruddur.data("luu", document, variables).await;
    (cruddur.dynamo.calls(), cruddur.postgres.statements() - 1)
}

fn repeat(call: &str, times: usize) -> Vec<String> {
    vec![call.to_owned(); times]
}

#[tokio::test]
async fn cost_of_twenty_groups_with_messages_is_one_query_each_and_one_statement() {
    let cruddur = uncached().await;
    let [luu] = cruddur.users(["luu"]).await;
    for number in 0..20 {
        let [other] = cruddur.users([format!("u{number}").as_str()]).await;
        cruddur
            .seed(
                [&luu, &other],
                &format!("2026-01-{:02}T00:00:00Z", number + 1),
                8,
            )
            .await;
    }

    let list = "{ messageGroups(first: 20) { edges { node { otherUser { handle displayName } lastMessage { body sender { handle } } } } } }";
    assert_eq!(
        cost(&cruddur, list, json!({})).await,
        (repeat("Query strong", 1), 1)
    );

    let nested = "{ messageGroups(first: 20) { edges { node { otherUser { handle } messages(last: 5) { edges { node { body sender { handle } messageGroup { uuid } } } } } } } }";
    let mut calls = repeat("Query", 20);
    calls.extend(repeat("Query strong", 1));
    assert_eq!(cost(&cruddur, nested, json!({})).await, (calls, 1));
}

#[tokio::test]
async fn cost_of_a_page_of_messages_is_a_query_and_once_the_head() {
    let cruddur = uncached().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 60)
        .await;
    let group = cruddur::model::MessageGroupId::of_pair(luu.id, unamused.id).to_string();
    let document = "query($group: UUID!, $before: String) { messages(messageGroupUuid: $group, last: 20, before: $before) { edges { cursor node { body sender { handle } } } } }";

    let first = cost(&cruddur, document, json!({ "group": group })).await;
    assert_eq!(
        first,
        (
            vec!["GetItem strong".to_owned(), "Query strong".to_owned()],
            1
        )
    );
    let again = cost(&cruddur, document, json!({ "group": group })).await;
    assert_eq!(again, (repeat("Query strong", 1), 1));

    let page = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;
    let older = json!({ "group": group, "before": page["messages"]["edges"][0]["cursor"] });
    assert_eq!(
        cost(&cruddur, document, older).await,
        (repeat("Query", 1), 1)
    );
}

#[tokio::test]
async fn cost_of_a_single_group_is_two_reads() {
    let cruddur = uncached().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 3)
        .await;
    let group = cruddur::model::MessageGroupId::of_pair(luu.id, unamused.id).to_string();
    let fields = "{ id otherUser { handle } lastMessage { id body sender { handle } messageGroup { uuid } } }";

    let document = format!("query($group: UUID!) {{ messageGroup(uuid: $group) {fields} }}");
    assert_eq!(
        cost(&cruddur, &document, json!({ "group": group })).await,
        (repeat("GetItem strong", 2), 1)
    );

    let found = cruddur
        .data("luu", &document, json!({ "group": group }))
        .await;
    let node = "query($id: ID!) { node(id: $id) { id } }";
    let id = &found["messageGroup"]["id"];
    assert_eq!(
        cost(&cruddur, node, json!({ "id": id })).await,
        (repeat("GetItem strong", 2), 0)
    );
    let id = &found["messageGroup"]["lastMessage"]["id"];
    assert_eq!(
        cost(&cruddur, node, json!({ "id": id })).await,
        (repeat("GetItem strong", 1), 0)
    );
    let by_user = format!("{{ user(handle: \"unamused\") {{ messageGroup {fields} }} }}");
    // The user is found by handle. The lookup by UUID uses the cached result.
    assert_eq!(
        cost(&cruddur, &by_user, json!({})).await.0,
        repeat("GetItem strong", 2)
    );
}

#[tokio::test]
async fn event_cursor_costs_two_queries_and_one_for_each_group_of_the_last_minute() {
    let cruddur = uncached().await;

    let document = "{ one: eventCursor other: eventCursor }";
    assert_eq!(
        cost(&cruddur, document, json!({})).await,
        (repeat("Query strong", 2), 0)
    );
    cruddur.send("luu", "unamused", "now").await;
    let of_recent_group = cost(&cruddur, document, json!({})).await;
    assert_eq!(of_recent_group, (repeat("Query strong", 3), 0));
}

#[tokio::test]
async fn cost_of_a_message_is_one_transaction_and_a_read_of_an_uncached_group() {
    let cruddur = uncached().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;

    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    let new_group = cost(&cruddur, CREATE, input.clone()).await;
    // The head, and the marker of the table, which is read once per minute.
    let mut calls = repeat("GetItem strong", 2);
    calls.extend(repeat("TransactWriteItems", 1));
    assert_eq!(new_group.0, calls);
    assert!(new_group.1 <= 2, "{} statements", new_group.1);

    let known = cost(&cruddur, CREATE, input.clone()).await;
    assert_eq!(known.0, repeat("TransactWriteItems", 1));
    assert!(known.1 <= 1, "{} statements", known.1);

    let group = cruddur::model::MessageGroupId::of_pair(luu.id, unamused.id);
    let second = cruddur.second_server(Setup::default()).await;
    cruddur.dynamo.calls();
    let to_group = json!({ "input": { "to": { "messageGroupUuid": group.to_string() }, "body": "hello", "idempotencyKey": "k" } });
    cruddur.execute_at(&second, "luu", CREATE, to_group).await;
    assert_eq!(
        cruddur.dynamo.calls(),
        ["GetItem strong", "TransactWriteItems"]
    );
}

#[tokio::test]
async fn cost_of_a_first_message_without_the_marker_includes_the_rows_of_both_users() {
    let cruddur = uncached_on(false).await;
    cruddur.users(["luu", "unamused"]).await;

    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "hello" } });
    let new_group = cost(&cruddur, CREATE, input).await;

    let mut calls = repeat("GetItem strong", 2);
    calls.extend(repeat("Query strong", 2));
    calls.extend(repeat("TransactWriteItems", 1));
    assert_eq!(new_group.0, calls);
    assert!(new_group.1 <= 2, "{} statements", new_group.1);
}
