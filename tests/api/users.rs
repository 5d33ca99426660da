//! Lookups of users, and requests while Postgres is unavailable.

use serde_json::json;

use crate::harness::{CREATE, Setup, start, start_with};

#[tokio::test]
async fn user_lookups_find_exactly_the_requested_user() {
    let cruddur = start().await;
    let [luu, unamused, _] = cruddur.users(["luu", "unamused", "other"]).await;
    let absent = cruddur::model::UserId(uuid::Uuid::nil());

    let mut by_id = cruddur
        .users
        .users_by_id(&[luu.id, unamused.id, absent])
        .await
        .expect("users");
    by_id.sort_by(|one, other| one.handle.cmp(&other.handle));
    assert_eq!(by_id, [luu.clone(), unamused.clone()]);
    let by_handle = cruddur
        .users
        .users_by_handle(&["luu".into(), "LUU".into(), "@luu".into(), String::new()])
        .await;
    assert_eq!(by_handle.expect("users"), std::slice::from_ref(&luu));
    let by_sub = cruddur
        .users
        .users_by_cognito_id(&["sub-luu".into(), "sub-nobody".into()])
        .await;
    assert_eq!(by_sub.expect("users"), [("sub-luu".to_owned(), luu)]);
    assert_eq!(
        cruddur
            .users
            .find_cognito_id("unamused")
            .await
            .expect("an id")
            .as_deref(),
        Some("sub-unamused")
    );
    assert_eq!(
        cruddur
            .users
            .find_cognito_id("nobody")
            .await
            .expect("no id"),
        None
    );
    cruddur.users.ping().await.expect("Postgres answers");
}

#[tokio::test]
async fn user_that_exists_keeps_uuid_and_name_when_created_again() {
    let cruddur = start().await;
    let [before] = cruddur.users(["luu"]).await;
    let [after] = cruddur.users(["luu"]).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn user_by_handle_is_null_if_no_user_has_it() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let document = "{ a: user(handle: \"unamused\") { handle displayName } b: user(handle: \"Unamused\") { handle } c: user(handle: \"\") { handle } }";
    let data = cruddur.data("luu", document, json!({})).await;
    assert_eq!(
        data,
        json!({ "a": { "handle": "unamused", "displayName": "unamused the user" }, "b": null, "c": null })
    );
}

#[tokio::test]
async fn postgres_outage_serves_known_callers_with_stored_names() {
    let cruddur = start_with(Setup {
        users_fresh_for: std::time::Duration::ZERO,
        ..Setup::default()
    })
    .await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 4)
        .await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    cruddur.postgres.cut(true);

    let document = "query($group: UUID!) {
        messageGroups { edges { node { otherUser { handle displayName } lastMessage { sender { handle } } } } }
        messageGroup(uuid: $group) { otherUser { displayName } }
        messages(messageGroupUuid: $group, last: 1) { edges { node { body sender { handle } } } }
    }";
    let shown = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;
    assert_eq!(
        shown["messageGroups"]["edges"][0]["node"]["otherUser"]["displayName"],
        "unamused the user"
    );
    assert_eq!(
        shown["messageGroup"]["otherUser"]["displayName"],
        "unamused the user"
    );
    assert_eq!(
        shown["messages"]["edges"][0]["node"]["sender"]["handle"],
        "unamused"
    );

    let to_group =
        json!({ "input": { "to": { "messageGroupUuid": group }, "body": "still here" } });
    let created = cruddur.data("luu", CREATE, to_group).await;
    assert_eq!(
        created["createMessage"]["messageGroupEdge"]["node"]["otherUser"]["handle"],
        "unamused"
    );

    let to_handle = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "x" } });
    let rejected = cruddur.execute("luu", CREATE, to_handle).await;
    let extensions = &rejected["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "UNAVAILABLE");
    assert_eq!(extensions["outcome"], "NOT_APPLIED");
    assert!(
        extensions["retryAfterMs"]
            .as_u64()
            .is_some_and(|wait| wait > 0)
    );
    let unseen = cruddur
        .execute("unamused", "{ viewer { handle } }", json!({}))
        .await;
    assert_eq!(unseen["errors"][0]["extensions"]["code"], "UNAVAILABLE");

    cruddur.postgres.cut(false);
    let back = cruddur
        .data("unamused", "{ viewer { handle } }", json!({}))
        .await;
    assert_eq!(back["viewer"]["handle"], "unamused");
}

#[tokio::test]
async fn deleted_user_is_shown_with_stored_names() {
    let cruddur = start_with(Setup {
        users_fresh_for: std::time::Duration::ZERO,
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur.send("luu", "unamused", "are you there?").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&cruddur.database.url)
        .await
        .expect("a connection");
    sqlx::query("DELETE FROM public.users WHERE handle = 'unamused'")
        .execute(&mut connection)
        .await
        .expect("deleted");

    let document = "query($group: UUID!) { messageGroups { edges { node { otherUser { handle } } } } messageGroup(uuid: $group) { otherUser { handle displayName } } }";
    let shown = cruddur
        .data("luu", document, json!({ "group": group }))
        .await;

    assert_eq!(
        shown["messageGroups"]["edges"][0]["node"]["otherUser"]["handle"],
        "unamused"
    );
    assert_eq!(
        shown["messageGroup"]["otherUser"],
        json!({ "handle": "unamused", "displayName": "unamused the user" })
    );
}
