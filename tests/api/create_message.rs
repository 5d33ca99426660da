//! Patterns C and D: `createMessage`.

use serde_json::{Value, json};

use crate::harness::{CREATE, bodies, checker, start};

#[tokio::test]
async fn create_message_by_handle_is_visible_at_once_to_both_users() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;

    let first = cruddur.send("luu", "unamused", "hello").await;
    let group = first["messageGroupEdge"]["node"]["uuid"]
        .as_str()
        .expect("a uuid")
        .to_owned();
    let input = json!({ "input": { "to": { "messageGroupUuid": group }, "body": "good day" } });
    let second = cruddur.data("unamused", CREATE, input).await["createMessage"].take();

    assert_eq!(
        first["messageEdge"]["node"]["messageGroup"]["uuid"],
        group.as_str()
    );
    assert_eq!(first["messageEdge"]["node"]["sender"]["handle"], "luu");
    assert_eq!(
        second["messageGroupEdge"]["node"]["otherUser"]["handle"],
        "luu"
    );
    assert_eq!(
        second["messageGroupEdge"]["node"]["lastMessageAt"],
        second["messageEdge"]["node"]["createdAt"]
    );
    let document = "query($group: UUID!) {
        messageGroups { edges { cursor node { uuid lastMessage { body } } } }
        messages(messageGroupUuid: $group) { edges { cursor node { body } } }
    }";
    for (handle, created) in [("luu", None), ("unamused", Some(&second))] {
        let data = cruddur
            .data(handle, document, json!({ "group": group }))
            .await;
        assert_eq!(bodies(&data["messages"]), ["hello", "good day"]);
        assert_eq!(
            data["messageGroups"]["edges"][0]["node"]["lastMessage"]["body"],
            "good day"
        );
        if let Some(created) = created {
            assert_eq!(
                data["messages"]["edges"][1]["cursor"],
                created["messageEdge"]["cursor"]
            );
            assert_eq!(
                data["messageGroups"]["edges"][0]["cursor"],
                created["messageGroupEdge"]["cursor"]
            );
        }
    }
    checker::read(&checker::client(&cruddur.dynamo.url))
        .await
        .check();
}

#[tokio::test]
async fn message_body_is_stored_exactly_as_sent() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let longest = "🦀".repeat(1024);

    for text in [
        "  spaces  ",
        "line\nbreak\r\n\ttab",
        "\u{0}\u{1b}[31m",
        "e\u{301} ≠ é",
        "{\"json\": \"\\\"\"}",
        &longest,
    ] {
        let created = cruddur.send("luu", "unamused", text).await;
        assert_eq!(created["messageEdge"]["node"]["body"], text);
        let document = "{ messageGroups { edges { node { lastMessage { body } messages(last: 1) { edges { node { body } } } } } } }";
        let data = cruddur.data("unamused", document, json!({})).await;
        let group = &data["messageGroups"]["edges"][0]["node"];
        assert_eq!(group["lastMessage"]["body"], text);
        assert_eq!(bodies(&group["messages"]), [text]);
    }
}

#[tokio::test]
async fn create_message_returns_a_typed_problem_and_changes_nothing() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let absent = "00000000-0000-4000-8000-000000000000";

    let mut rejections = Vec::new();
    for input in [
        json!({ "to": { "receiverHandle": "unamused" }, "body": "" }),
        json!({ "to": { "receiverHandle": "unamused" }, "body": " \n\u{2003}" }),
        json!({ "to": { "receiverHandle": "unamused" }, "body": "x".repeat(1025) }),
        json!({ "to": { "receiverHandle": "nobody" }, "body": "x" }),
        json!({ "to": { "receiverHandle": "@unamused" }, "body": "x" }),
        json!({ "to": { "receiverHandle": "Unamused" }, "body": "x" }),
        json!({ "to": { "receiverHandle": "luu" }, "body": "x" }),
        json!({ "to": { "messageGroupUuid": absent }, "body": "x" }),
    ] {
        rejections.push(
            cruddur.data("luu", CREATE, json!({ "input": input })).await["createMessage"].take(),
        );
    }

    insta::assert_json_snapshot!(rejections, @r#"
    [
      {
        "__typename": "InvalidMessageBody",
        "length": 0,
        "maxLength": 1024,
        "message": "A message needs a character that is not white space."
      },
      {
        "__typename": "InvalidMessageBody",
        "length": 3,
        "maxLength": 1024,
        "message": "A message needs a character that is not white space."
      },
      {
        "__typename": "InvalidMessageBody",
        "length": 1025,
        "maxLength": 1024,
        "message": "A message has at most 1024 characters; this one has 1025."
      },
      {
        "__typename": "ReceiverNotFound",
        "message": "No user has this `receiverHandle`. Handles are case-sensitive and are given without `@`."
      },
      {
        "__typename": "ReceiverNotFound",
        "message": "No user has this `receiverHandle`. Handles are case-sensitive and are given without `@`."
      },
      {
        "__typename": "ReceiverNotFound",
        "message": "No user has this `receiverHandle`. Handles are case-sensitive and are given without `@`."
      },
      {
        "__typename": "CannotMessageYourself",
        "message": "This `receiverHandle` is your own. Name another user."
      },
      {
        "__typename": "MessageGroupNotFound",
        "message": "You have no message group with this `messageGroupUuid`."
      }
    ]
    "#);
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    assert!(found.messages.is_empty() && found.rows.is_empty() && found.heads.is_empty());
}

fn with_key(body: &str, key: &str) -> Value {
    json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": body, "idempotencyKey": key } })
}

#[tokio::test]
async fn idempotency_key_with_the_same_input_creates_one_message() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;

    let first = cruddur.data("luu", CREATE, with_key("once", "k1")).await;
    cruddur.send("unamused", "luu", "in between").await;
    let again = cruddur.data("luu", CREATE, with_key("once", "k1")).await;
    let (one, two, three) = tokio::join!(
        cruddur.data("luu", CREATE, with_key("at the same time", "k2")),
        cruddur.data("luu", CREATE, with_key("at the same time", "k2")),
        cruddur.data("luu", CREATE, with_key("at the same time", "k2")),
    );

    assert_eq!(
        first["createMessage"]["messageEdge"],
        again["createMessage"]["messageEdge"]
    );
    assert_eq!(
        one["createMessage"]["messageEdge"],
        two["createMessage"]["messageEdge"]
    );
    assert_eq!(
        one["createMessage"]["messageEdge"],
        three["createMessage"]["messageEdge"]
    );
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    assert_eq!(found.idempotency_records, 2);
    let bodies: Vec<_> = found
        .messages
        .values()
        .flatten()
        .map(|message| checker::text(message, "message"))
        .collect();
    assert_eq!(bodies, ["once", "in between", "at the same time"]);
}

#[tokio::test]
async fn idempotency_key_belongs_to_its_sender_and_input() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur.data("luu", CREATE, with_key("once", "k")).await;

    let other_input = cruddur.execute("luu", CREATE, with_key("twice", "k")).await;
    let other_sender = json!({ "input": { "to": { "receiverHandle": "luu" }, "body": "once", "idempotencyKey": "k" } });
    let other_sender = cruddur.data("unamused", CREATE, other_sender).await;

    assert_eq!(
        other_input["errors"][0]["extensions"]["code"],
        "IDEMPOTENCY_KEY_REUSED"
    );
    assert_eq!(other_input["data"], Value::Null);
    assert_eq!(
        other_sender["createMessage"]["__typename"],
        "CreateMessageSuccess"
    );
    for key in ["", &"k".repeat(256)] {
        let rejected = cruddur.execute("luu", CREATE, with_key("x", key)).await;
        assert_eq!(
            rejected["errors"][0]["extensions"]["code"],
            "BAD_USER_INPUT"
        );
    }
    checker::read(&checker::client(&cruddur.dynamo.url))
        .await
        .check();
}

#[tokio::test]
async fn idempotency_key_used_twice_in_one_operation_creates_one_message() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let create =
        "createMessage(input: {to: {receiverHandle: \"unamused\"}, body: \"once\"}) { __typename }";
    let fragment = format!("fragment f on Mutation {{ {create} }}");

    for document in [
        format!("mutation {{ {create} {create} }}"),
        format!("mutation {{ {create} ...f }} {fragment}"),
        format!("mutation {{ ...f ...f }} {fragment}"),
        format!("mutation {{ ...f ... on Mutation {{ {create} }} }} {fragment}"),
    ] {
        let data = cruddur.data("luu", &document, json!({})).await;
        assert_eq!(
            data,
            json!({ "createMessage": { "__typename": "CreateMessageSuccess" } })
        );
    }
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    let messages = found.messages.values().next().expect("a group");
    assert_eq!(messages.len(), 4, "one for each document");
}
