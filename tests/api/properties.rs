//! Any input gets a valid response, and never an internal error.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::harness::{Cruddur, random, start};

/// Parts of documents, some of which fit together.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "!",
    "$",
    "$v",
    "@skip(if: true)",
    "@include(if: $b)",
    "...",
    "...f",
    "... on User",
    "fragment f on User",
    "fragment f on Query",
    "query",
    "query Q($v: Int, $b: Boolean = true)",
    "mutation",
    "subscription",
    "viewer",
    "handle",
    "messageGroups",
    "(first: 2)",
    "(first: $v)",
    "(last: 1000000)",
    "edges",
    "node",
    "messages",
    "lastMessage",
    "body",
    "createMessage",
    "(input: {to: {receiverHandle: \"nobody\"}, body: \"x\"})",
    "(input: null)",
    "__typename",
    "__schema",
    "types",
    "name",
    "alias:",
    "\"text\"",
    "\"\"\"block\"\"\"",
    "\"\\u{1F600}\"",
    "-0",
    "1e999",
    "99999999999999999999",
    "# comment\n",
    "\u{feff}",
];

const VALID: [&str; 5] = [
    "{ viewer { handle displayName } }",
    "query($v: Int) { messageGroups(first: $v) { edges { node { uuid lastMessage { body } } } } }",
    "{ __schema { types { name fields { name type { name } } } } }",
    "{ a: viewer { ...f } b: viewer { ...f } } fragment f on User { id handle }",
    "mutation($i: CreateMessageInput!) { createMessage(input: $i) { ... on Problem { message } } }",
];

/// Fragments that spread each other in any way, also in cycles.
fn fragments() -> impl Strategy<Value = String> {
    let spreads = prop::collection::vec(0..25_usize, 0..4);
    let fragments = prop::collection::vec(spreads, 1..25);
    fragments.prop_map(|fragments| {
        let fragments = fragments.iter().enumerate().map(|(number, spreads)| {
            let spreads = spreads
                .iter()
                .map(|to| format!("...f{to} a{to}: viewer {{ handle }} "));
            let spreads: String = spreads.collect();
            format!("fragment f{number} on Query {{ __typename {spreads} }}")
        });
        let fragments: String = fragments.collect();
        format!("{{ ...f0 }} {fragments}")
    })
}

/// A document: of parts, or a valid one with a part removed or duplicated, or
/// any text.
pub fn document() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60);
    let damaged = (
        prop::sample::select(&VALID[..]),
        any::<(prop::sample::Index, prop::sample::Index)>(),
    );
    prop_oneof![
        4 => pieces.prop_map(|pieces| pieces.join(" ")),
        4 => damaged.prop_map(|(valid, (one, other))| {
            let chars: Vec<char> = valid.chars().collect();
            let (one, other) = (one.index(chars.len()), other.index(chars.len()));
            let (from, to) = (one.min(other), one.max(other));
            let without = chars[..from].iter().chain(&chars[to..]).collect::<String>();
            if one < other { without } else { format!("{valid} {without}") }
        }),
        1 => ".{0,200}",
        2 => fragments(),
        1 => (0..31_000_usize, ".").prop_map(|(count, one)| {
            // A body above the limit is rejected before all of it is received. The client may then
            // see a closed connection instead of the response.
            let bytes = json!(one).to_string().len() - 2;
            format!("{{{}", one.repeat(count.min(50_000 / bytes)))
        }),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,6}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Maximum size of a response in bytes.
const MAX_RESPONSE_BYTES: usize = 2_000_000;

/// Runs a property on one server, 256 times by default.
async fn holds<S: Strategy>(
    strategy: S,
    check: impl Fn(&Cruddur, S::Value) -> Result<(), TestCaseError>,
) {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let mut runner = TestRunner::new(random::config());
    let checked =
        tokio::task::block_in_place(|| runner.run(&strategy, |value| check(&cruddur, value)));
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

/// Sends a body, and checks the rules that apply to every response.
fn sent(cruddur: &Cruddur, content_type: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
    let request = cruddur
        .http
        .post(format!("{}/graphql", cruddur.url))
        .header("content-type", content_type)
        .body(body);
    check_response(cruddur, request)
}

fn check_response(cruddur: &Cruddur, request: RequestBuilder) -> Result<(), TestCaseError> {
    let request = request.bearer_auth(cruddur.token("luu"));
    let response = Handle::current().block_on(async {
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let body = response
            .bytes()
            .await
            .map_err(|error| format!("{error:?}"))?;
        if body.len() > MAX_RESPONSE_BYTES {
            return Err(format!("{} bytes", body.len()));
        }
        let body = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok::<_, String>((status, body))
    });
    let (status, response): (u16, Value) = response.map_err(TestCaseError::fail)?;
    prop_assert!(status < 500, "{status}: {response}");
    let nothing = Vec::new();
    let errors = response["errors"].as_array().unwrap_or(&nothing);
    prop_assert!(errors.len() <= 20);
    prop_assert!(
        response.get("data").is_some() || !errors.is_empty(),
        "{response}"
    );
    for error in errors {
        let message = error["message"].as_str().unwrap_or_default();
        prop_assert!(!message.is_empty() && !message.contains('\n'), "{response}");
        prop_assert!(message.chars().count() <= 501, "{response}");
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        prop_assert!(
            !code.is_empty() && code != "INTERNAL_SERVER_ERROR",
            "{response}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_documents_with_random_variables_get_a_response() {
    let requests = (
        document(),
        prop::option::of(json_value()),
        prop::option::of(".{0,9}"),
    );
    holds(requests, |cruddur, (document, variables, name)| {
        let body = json!({ "query": document, "variables": variables, "operationName": name });
        sent(cruddur, "application/json", body.to_string().into_bytes())?;
        let given = json!({ "v": 3, "b": variables, "i": variables });
        let body = json!({ "query": document, "variables": given });
        sent(cruddur, "application/json", body.to_string().into_bytes())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_query_strings_get_a_response_in_each_media_type() {
    let requests = (
        // The maximum length of a head.
        document().prop_filter("short", |document| document.len() < 5_000),
        prop::option::of(".{0,40}"),
        prop::option::of(".{0,9}"),
        prop::sample::select(
            &[
                "*/*",
                "application/json;q=0.5, application/graphql-response+json",
                "text/event-stream, application/json",
                ";q=,,application/json;q=1.000;q=x",
            ][..],
        ),
    );
    holds(requests, |cruddur, (document, variables, name, accept)| {
        let mut url = format!("{}/graphql", cruddur.url).parse::<reqwest::Url>();
        if let Ok(url) = &mut url {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("query", &document);
            for (key, value) in [("variables", variables), ("operationName", name)] {
                value.map(|value| pairs.append_pair(key, &value));
            }
        }
        let request = cruddur.http.get(url.expect("an address"));
        check_response(cruddur, request.header("accept", accept))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_get_a_response() {
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        json_value().prop_map(|value| value.to_string().into_bytes()),
    ];
    let types = prop::sample::select(
        &[
            "application/json",
            "text/plain",
            "",
            "application/json; charset=",
        ][..],
    );
    holds((bodies, types), |cruddur, (body, content_type)| {
        sent(cruddur, content_type, body)
    })
    .await;
}
