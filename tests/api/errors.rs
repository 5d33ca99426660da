//! Error responses to invalid requests.

use serde_json::{Value, json};

use crate::harness::{Cruddur, start};

async fn conversation() -> (Cruddur, String, String) {
    let cruddur = start().await;
    let [luu, unamused, other] = cruddur.users(["luu", "unamused", "other"]).await;
    cruddur
        .seed([&luu, &unamused], "2026-01-01T00:00:00Z", 5)
        .await;
    cruddur
        .seed([&luu, &other], "2026-01-02T00:00:00Z", 5)
        .await;
    let groups = [
        cruddur.group_uuid("luu", "unamused").await,
        cruddur.group_uuid("luu", "other").await,
    ];
    let [one, other] = groups;
    (cruddur, one, other)
}

/// Returns code and message of the first error of a response.
fn error(response: &Value) -> (String, String) {
    let errors = response["errors"]
        .as_array()
        .unwrap_or_else(|| panic!("no errors in {response}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (
        text(&errors[0]["extensions"]["code"]),
        text(&errors[0]["message"]),
    )
}

#[tokio::test]
async fn invalid_argument_is_named_with_the_remedy() {
    let (cruddur, group, _) = conversation().await;

    let mut errors = Vec::new();
    for document in [
        "{ messageGroups(first: -1) { edges { cursor } } }".to_owned(),
        "{ messageGroups(last: 101) { edges { cursor } } }".to_owned(),
        "{ messageGroups(first: 1, last: 1) { edges { cursor } } }".to_owned(),
        "{ messageGroups(after: \"nonsense\") { edges { cursor } } }".to_owned(),
        format!(
            "{{ messages(messageGroupUuid: \"{group}\", first: -5) {{ edges {{ cursor }} }} }}"
        ),
        format!(
            "{{ messages(messageGroupUuid: \"{group}\", before: \"💥\") {{ edges {{ cursor }} }} }}"
        ),
        "{ messages(messageGroupUuid: \"42\") { edges { cursor } } }".to_owned(),
        "{ messageGroup(uuid: \"{5ae290ed-55d1-47a0-bc6d-fe2bc2700399}\") { uuid } }".to_owned(),
    ] {
        errors.push(error(&cruddur.execute("luu", &document, json!({})).await));
    }
    insta::assert_debug_snapshot!(errors, @r#"
    [
        (
            "BAD_USER_INPUT",
            "`first` is -1, but must be from 0 to 100.",
        ),
        (
            "BAD_USER_INPUT",
            "`last` is 101, but must be from 0 to 100.",
        ),
        (
            "BAD_USER_INPUT",
            "`first` and `last` cannot be combined. Use only one of them.",
        ),
        (
            "BAD_USER_INPUT",
            "\"nonsense\" is not a cursor of this connection. Use the `cursor` of an edge, or a cursor of `pageInfo`.",
        ),
        (
            "BAD_USER_INPUT",
            "`first` is -5, but must be from 0 to 100.",
        ),
        (
            "BAD_USER_INPUT",
            "\"💥\" is not a cursor of this connection. Use the `cursor` of an edge, or a cursor of `pageInfo`.",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "\"42\" is not a UUID like \"5ae290ed-55d1-47a0-bc6d-fe2bc2700399\".",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "\"{5ae290ed-55d1-47a0-bc6d-fe2bc2700399}\" is not a UUID like \"5ae290ed-55d1-47a0-bc6d-fe2bc2700399\".",
        ),
    ]
    "#);
}

#[tokio::test]
async fn cursor_is_valid_only_for_its_own_connection() {
    let (cruddur, group, other) = conversation().await;
    let cursors = "query($group: UUID!) { messages(messageGroupUuid: $group) { pageInfo { endCursor } } messageGroups { pageInfo { endCursor } } }";
    let found = cruddur
        .data("luu", cursors, json!({ "group": other }))
        .await;
    let of_other = found["messages"]["pageInfo"]["endCursor"]
        .as_str()
        .expect("a cursor");
    let of_groups = found["messageGroups"]["pageInfo"]["endCursor"]
        .as_str()
        .expect("a cursor");
    let theirs = cruddur
        .data(
            "unamused",
            "{ messageGroups { pageInfo { endCursor } } }",
            json!({}),
        )
        .await;
    let of_theirs = theirs["messageGroups"]["pageInfo"]["endCursor"]
        .as_str()
        .expect("a cursor");

    for (document, cursor) in [
        (
            format!(
                "query($cursor: String) {{ messages(messageGroupUuid: \"{group}\", before: $cursor) {{ edges {{ cursor }} }} }}"
            ),
            of_other,
        ),
        (
            format!(
                "query($cursor: String) {{ messageGroup(uuid: \"{group}\") {{ messages(after: $cursor) {{ edges {{ cursor }} }} }} }}"
            ),
            of_other,
        ),
        (
            "query($cursor: String) { messageGroups(after: $cursor) { edges { cursor } } }"
                .to_owned(),
            of_theirs,
        ),
    ] {
        let (code, message) = error(
            &cruddur
                .execute("luu", &document, json!({ "cursor": cursor }))
                .await,
        );
        assert_eq!(code, "BAD_USER_INPUT");
        assert!(
            message.contains("belongs to another connection"),
            "{message}"
        );
    }
    let swapped = format!(
        "query($cursor: String) {{ messages(messageGroupUuid: \"{group}\", before: $cursor) {{ edges {{ cursor }} }} }}"
    );
    let (code, _) = error(
        &cruddur
            .execute("luu", &swapped, json!({ "cursor": of_groups }))
            .await,
    );
    assert_eq!(code, "BAD_USER_INPUT");
}

#[tokio::test]
async fn invalid_document_has_a_code_and_no_data() {
    let (cruddur, ..) = conversation().await;

    let mut errors = Vec::new();
    for document in [
        "",
        "{ viewer { handle }",
        "{ nothing }",
        "{ viewer }",
        "query($x: Nothing) { viewer { handle } }",
        "query A { viewer { id } } query B { viewer { id } }",
        "mutation { createMessage(input: {to: {}, body: \"x\"}) { __typename } }",
        "mutation { createMessage(input: {to: {receiverHandle: \"other\", messageGroupUuid: \"5ae290ed-55d1-47a0-bc6d-fe2bc2700399\"}, body: \"x\"}) { __typename } }",
        "mutation { createMessage(input: {to: {receiverHandle: \"other\"}}) { __typename } }",
    ] {
        let response = cruddur.execute("luu", document, json!({})).await;
        assert_eq!(response.get("data"), None, "{document}");
        errors.push(error(&response));
    }
    insta::assert_debug_snapshot!(errors, @r#"
    [
        (
            "GRAPHQL_PARSE_FAILED",
            "Syntax error: expected an operation or a fragment, found the end of the document",
        ),
        (
            "GRAPHQL_PARSE_FAILED",
            "Syntax error: expected `}`, a field or a fragment, found the end of the document",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Cannot query field \"nothing\" on type \"Query\".",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Field \"viewer\" of type \"Query\" must have a selection of subfields. Did you mean \"viewer { ... }\"?",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Unknown type \"Nothing\". Did you mean \"String\"?",
        ),
        (
            "OPERATION_RESOLUTION_FAILURE",
            "The document has 2 operations: select one with `operationName`.",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Exactly one field of MessageDestination must be given, and it must not be null.",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Exactly one field of MessageDestination must be given, and it must not be null.",
        ),
        (
            "GRAPHQL_VALIDATION_FAILED",
            "Field \"CreateMessageInput.body\" of required type \"String!\" was not provided.",
        ),
    ]
    "#);
    let deep = format!("{{ viewer {}", "{ messageGroup { otherUser ".repeat(150));
    let (code, message) = error(&cruddur.execute("luu", &deep, json!({})).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "QUERY_TOO_COMPLEX",
            "The operation has 301 levels of nested brackets, which exceeds the limit of 200. Request less at a time."
        )
    );
}

#[tokio::test]
async fn null_of_a_failed_field_propagates_and_other_fields_stay_in_order() {
    let (cruddur, group, _) = conversation().await;

    let document = "query($group: UUID!) {
        messages(messageGroupUuid: $group, first: 500) { edges { cursor } }
        viewer { displayName handle }
        user(handle: \"unamused\") { handle id messageGroup { messages(last: -1) { edges { cursor } } lastMessage { body } } }
    }";
    let response = cruddur
        .http
        .post(format!("{}/graphql", cruddur.url))
        .bearer_auth(cruddur.token("luu"));
    let response = response
        .json(&json!({ "query": document, "variables": { "group": group } }))
        .send()
        .await
        .expect("a response");
    let text = response.text().await.expect("a text");

    let expected = r#"{"data":{"messages":null,"viewer":{"displayName":"luu the user","handle":"luu"},"user":{"handle":"unamused","id":"#;
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains(r#","messageGroup":null}}"#), "{text}");
    assert_eq!(text.matches("BAD_USER_INPUT").count(), 2, "{text}");
    let at_root = cruddur
        .execute(
            "luu",
            "{ viewer { handle } messageGroups(first: 500) { edges { cursor } } }",
            json!({}),
        )
        .await;
    assert_eq!(at_root["data"], Value::Null);
}

#[tokio::test]
async fn default_values_of_variables_apply_in_directives() {
    let (cruddur, ..) = conversation().await;
    let document = "query($yes: Boolean = true, $no: Boolean = false) { viewer { handle @include(if: $yes) uuid @include(if: $no) id @skip(if: $yes) } }";
    let data = cruddur.data("luu", document, json!({})).await;
    assert_eq!(data, json!({ "viewer": { "handle": "luu" } }));
    let data = cruddur.data("luu", document, json!({ "yes": false })).await;
    assert_eq!(
        data["viewer"]
            .as_object()
            .expect("an object")
            .keys()
            .collect::<Vec<_>>(),
        ["id"]
    );
    let rejected = cruddur
        .execute("luu", document, json!({ "yes": null }))
        .await;
    assert!(rejected.get("data").is_none(), "{rejected}");
    assert_eq!(
        error(&rejected),
        (
            "BAD_USER_INPUT".to_owned(),
            "Argument \"if\" of @include must not be null.".to_owned()
        )
    );
}

#[tokio::test]
async fn operation_name_selects_an_operation_and_limits_apply_to_each_operation() {
    let (cruddur, ..) = conversation().await;
    let operations = (0..4).map(|operation| {
        let fields = (0..20).map(|field| format!("f{field}: viewer {{ handle }}"));
        let fields: Vec<String> = fields.collect();
        format!("query Q{operation} {{ {} }}", fields.join(" "))
    });
    let document: String = operations.collect();
    let response = cruddur.execute_operation("luu", &document, "Q2").await;
    assert_eq!(response["data"]["f19"]["handle"], "luu", "{response}");
    let twenty_one = document.replacen("{ f0:", "{ more: viewer { handle } f0:", 1);
    let (code, message) = error(&cruddur.execute_operation("luu", &twenty_one, "Q2").await);
    assert_eq!(code, "QUERY_TOO_COMPLEX");
    assert!(message.contains("21 root fields"), "{message}");
}

#[tokio::test]
async fn invalid_request_body_is_a_bad_request() {
    let (cruddur, ..) = conversation().await;
    let token = cruddur.token("luu");
    let url = format!("{}/graphql", cruddur.url);
    let post = |body: &'static str| {
        cruddur
            .http
            .post(&url)
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body)
    };
    let get = |path: &str| {
        cruddur
            .http
            .get(format!("{}{path}", cruddur.url))
            .bearer_auth(&token)
    };

    for (request, status) in [
        (post("{"), 400),
        (post("[{\"query\": \"{ viewer { handle } }\"}]"), 400),
        (post("{\"query\": 7}"), 400),
        (
            get(
                "/graphql?query=mutation{createMessage(input:{to:{receiverHandle:\"other\"},body:\"x\"}){__typename}}",
            ),
            405,
        ),
        (cruddur.http.delete(&url), 405),
        (get("/"), 404),
    ] {
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), status, "{response:?}");
        assert!(response.headers().contains_key("x-request-id"));
        let response: Value = response.json().await.expect("JSON");
        assert_eq!(error(&response).0, "BAD_REQUEST");
        assert_eq!(response.get("data"), None);
    }
    let response = get("/graphql?query={viewer{handle}}")
        .send()
        .await
        .expect("a response");
    assert_eq!(
        response.json::<Value>().await.expect("JSON"),
        json!({ "data": { "viewer": { "handle": "luu" } } })
    );
}

#[tokio::test]
async fn cors_allows_only_configured_origins() {
    let (cruddur, ..) = conversation().await;
    let preflight = |origin: &'static str| {
        let request = cruddur
            .http
            .request(reqwest::Method::OPTIONS, format!("{}/graphql", cruddur.url));
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        request
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .send()
    };

    let allowed = preflight("https://cruddur.example")
        .await
        .expect("a response");
    assert!(allowed.status().is_success());
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://cruddur.example"
    );
    let headers = allowed.headers()["access-control-allow-headers"].to_str();
    let headers: Vec<&str> = headers.expect("ASCII").split(',').collect();
    for header in [
        "authorization",
        "content-type",
        "x-request-id",
        "traceparent",
    ] {
        assert!(headers.contains(&header), "{header}");
    }
    let rejected = preflight("https://evil.example").await.expect("a response");
    assert!(
        !rejected
            .headers()
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn skipped_fields_leave_an_empty_object() {
    let (cruddur, ..) = conversation().await;
    for (document, expected) in [
        (
            "{ viewer { handle @skip(if: true) } }",
            json!({ "viewer": {} }),
        ),
        ("{ viewer @skip(if: true) { handle } }", json!({})),
        (
            "{ messageGroups(first: 0) { pageInfo { hasNextPage @include(if: false) } edges { cursor } } }",
            json!({ "messageGroups": { "pageInfo": {}, "edges": [] } }),
        ),
    ] {
        assert_eq!(
            cruddur.data("luu", document, json!({})).await,
            expected,
            "{document}"
        );
    }
}

#[tokio::test]
async fn nested_fragments_are_rejected_before_they_are_expanded() {
    let (cruddur, ..) = conversation().await;
    let nested = |root: &str, on: &str| {
        let inline = "...{".repeat(60);
        let end = "}".repeat(60);
        let links = (0..170).map(|number| {
            let next = number + 1;
            format!("fragment f{number} on {on} {{ {inline} ...f{next} {end} }}")
        });
        let links: Vec<String> = links.collect();
        let links = links.join(" ");
        format!("{root} {{ ...f0 }} {links} fragment f170 on {on} {{ __typename }}")
    };

    for document in [nested("mutation", "Mutation"), nested("query", "Query")] {
        let body = json!({ "query": document });
        let anonymous = cruddur
            .http
            .post(format!("{}/graphql", cruddur.url))
            .json(&body)
            .send();
        let response = anonymous.await.expect("a response");
        assert!(
            response.status() == 401 || response.status() == 200,
            "{response:?}"
        );
        let response = cruddur.execute("luu", &document, json!({})).await;
        assert_eq!(response.get("data"), None);
        assert_eq!(error(&response).0, "QUERY_TOO_COMPLEX");
    }
}

#[tokio::test]
async fn fragments_that_double_are_rejected_before_they_are_expanded() {
    let (cruddur, ..) = conversation().await;
    let links = (0..22).map(|number| {
        let next = number + 1;
        format!("fragment f{number} on Query {{ ...f{next} ...f{next} }}")
    });
    let links: Vec<String> = links.collect();
    let links = links.join(" ");
    // Even if the last fragment is empty.
    for end in ["__typename", "...nowhere"] {
        let document = format!("{{ ...f0 }} {links} fragment f22 on Query {{ {end} }}");

        let (code, message) = error(&cruddur.execute("luu", &document, json!({})).await);

        assert_eq!(code, "QUERY_TOO_COMPLEX");
        assert!(message.contains("exceeds the limit of 1000"), "{message}");
    }
}

#[tokio::test]
async fn introspection_returns_only_what_was_requested() {
    let (cruddur, ..) = conversation().await;
    let document = "query {
        __schema { queryType { name } types { ...FullType } directives { name args { ...InputValue } } }
    }
    fragment FullType on __Type { kind name fields(includeDeprecated: true) { name args { ...InputValue } type { ...TypeRef } } possibleTypes { ...TypeRef } }
    fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue }
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

    let data = cruddur.data("luu", document, json!({})).await;

    let text = data.to_string();
    assert!(text.contains("MessageGroupConnection"));
    assert!(!text.contains("__cruddur"), "{text}");
}

#[tokio::test]
async fn introspection_of_an_interface_lists_no_interfaces_and_the_schema_has_no_description() {
    let (cruddur, ..) = conversation().await;
    let document =
        "{ __schema { description } __type(name: \"Node\") { a: interfaces { name } name } }";

    let data = cruddur.data("luu", document, json!({})).await;

    let expected =
        json!({ "__schema": { "description": null }, "__type": { "a": [], "name": "Node" } });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn error_location_counts_utf_16_code_units() {
    let (cruddur, ..) = conversation().await;
    for (document, column) in [
        ("{ user(handle: \"é🐌\") { nothing } }", 25),
        (
            "{ a: user(handle: \"é🐌\") { id } messageGroups(first: 101) { pageInfo { endCursor } } }",
            33,
        ),
        ("query($é: Int) { viewer { id } }", 8),
    ] {
        let response = cruddur.execute("luu", document, json!({})).await;
        assert_eq!(
            response["errors"][0]["locations"][0]["column"], column,
            "{response}"
        );
    }
}

#[tokio::test]
async fn handle_that_no_user_can_have_returns_null() {
    let (cruddur, ..) = conversation().await;
    let document =
        "{ a: user(handle: \"unamused\") { handle } b: user(handle: \"\\u0000\") { handle } }";
    let data = cruddur.data("luu", document, json!({})).await;
    assert_eq!(data, json!({ "a": { "handle": "unamused" }, "b": null }));
    let rejected = cruddur.send("luu", "\u{0}", "x").await;
    assert_eq!(rejected["__typename"], "ReceiverNotFound");
}
