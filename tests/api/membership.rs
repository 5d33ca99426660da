//! Non-participants get no information about a group.

use serde_json::{Value, json};

use crate::harness::{CREATE, start};

/// Returns the complete response, byte for byte.
async fn bytes(
    cruddur: &crate::harness::Cruddur,
    handle: &str,
    document: &str,
    variables: Value,
) -> Vec<u8> {
    let body = json!({ "query": document, "variables": variables });
    let request = cruddur
        .http
        .post(format!("{}/graphql", cruddur.url))
        .bearer_auth(cruddur.token(handle));
    let response = request.json(&body).send().await.expect("a response");
    response.bytes().await.expect("bytes").to_vec()
}

#[tokio::test]
async fn non_participant_gets_the_same_bytes_as_for_a_group_that_does_not_exist() {
    let cruddur = start().await;
    let [luu, unamused, _] = cruddur.users(["luu", "unamused", "stranger"]).await;
    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 5)
        .await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let seen = "query($group: UUID!) {
        messageGroup(uuid: $group) { id lastMessage { id } }
        messages(messageGroupUuid: $group) { edges { cursor } }
    }";
    let mut real = cruddur.data("luu", seen, json!({ "group": group })).await;
    let group_id = real["messageGroup"]["id"].take();
    let message_id = real["messageGroup"]["lastMessage"]["id"].take();
    let cursor = real["messages"]["edges"][2]["cursor"].take();
    let absent = "3b241101-e2bb-4255-8caf-4136c566a962";

    let mut compared = 0;
    for (document, with_real, with_absent) in [
        (
            "query($group: UUID!) { messages(messageGroupUuid: $group) { edges { node { body } } pageInfo { hasNextPage } } }",
            json!({ "group": group }),
            json!({ "group": absent }),
        ),
        (
            "query($group: UUID!) { messages(messageGroupUuid: $group, last: 100) { edges { node { body } } } }",
            json!({ "group": group }),
            json!({ "group": absent }),
        ),
        (
            "query($group: UUID!) { messageGroup(uuid: $group) { uuid otherUser { handle } } }",
            json!({ "group": group }),
            json!({ "group": absent }),
        ),
        (
            "query($id: ID!) { node(id: $id) { id __typename } }",
            json!({ "id": group_id }),
            json!({ "id": "Rw" }),
        ),
        (
            "query($id: ID!) { node(id: $id) { id ... on Message { body } } }",
            json!({ "id": message_id }),
            json!({ "id": "TQ" }),
        ),
        (
            CREATE,
            json!({ "input": { "to": { "messageGroupUuid": group }, "body": "let me in" } }),
            json!({ "input": { "to": { "messageGroupUuid": absent }, "body": "let me in" } }),
        ),
    ] {
        // Twice, because the second request uses the cached participants.
        for _ in 0..2 {
            let for_real = bytes(&cruddur, "stranger", document, with_real.clone()).await;
            let for_absent = bytes(&cruddur, "stranger", document, with_absent.clone()).await;
            assert_eq!(
                String::from_utf8(for_real),
                String::from_utf8(for_absent),
                "{document}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 12);

    let with_cursor = "query($group: UUID!, $before: String) { messages(messageGroupUuid: $group, before: $before) { edges { cursor } } }";
    let response = cruddur
        .execute(
            "stranger",
            with_cursor,
            json!({ "group": group, "before": cursor }),
        )
        .await;
    assert_eq!(response, json!({ "data": { "messages": null } }));
    let groups = cruddur.data("stranger", "{ messageGroups { edges { cursor } } user(handle: \"luu\") { messageGroup { uuid } } }", json!({})).await;
    assert_eq!(
        groups,
        json!({ "messageGroups": { "edges": [] }, "user": { "messageGroup": null } })
    );
}
