//! GraphQL over HTTP, beyond the audits of `graphql-http`: rejected requests
//! and their cost.

use cruddur::schema::SendRate;
use cruddur::server::{Bounds, Graphiql};
use futures_util::future::join_all;
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{CREATE, Cruddur, Setup, Socket, start, start_with, wait_for};
use crate::hostile::hostile;

const VIEWER: &str = "{ viewer { handle } }";
const SEND: &str = "mutation { createMessage(input: {to: {receiverHandle: \"unamused\"}, body: \"x\"}) { __typename } }";

async fn people() -> Cruddur {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    cruddur
}

/// Creates a request of luu.
fn request(cruddur: &Cruddur, method: Method) -> reqwest::RequestBuilder {
    let url = format!("{}/graphql", cruddur.url);
    cruddur
        .http
        .request(method, url)
        .bearer_auth(cruddur.token("luu"))
}

/// Returns the status, and the code of the first error.
async fn rejection(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let response: Value = response.json().await.expect("JSON");
    assert_eq!(response.get("data"), None, "{response}");
    let code = response["errors"][0]["extensions"]["code"].as_str();
    (status, code.expect("a code").to_owned())
}

async fn messages(cruddur: &Cruddur) -> usize {
    let groups = "{ messageGroups { edges { node { messages { edges { cursor } } } } } }";
    let data = cruddur.data("luu", groups, json!({})).await;
    let groups = data["messageGroups"]["edges"].as_array().expect("groups");
    let messages = groups.iter().map(|group| {
        group["node"]["messages"]["edges"]
            .as_array()
            .expect("messages")
    });
    messages.map(Vec::len).sum()
}

#[tokio::test]
async fn mutation_is_executed_only_by_post_with_json() {
    let cruddur = people().await;
    let body = json!({ "query": SEND }).to_string();
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", SEND)
        .finish();
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{body}\r\n--x--\r\n"
    );

    let by_get = cruddur
        .http
        .get(format!("{}/graphql?{form}", cruddur.url))
        .bearer_auth(cruddur.token("luu"));
    let by_get = by_get.send().await.expect("a response");
    assert_eq!(by_get.headers()[ALLOW], "POST");
    assert_eq!(rejection(by_get).await, (405, "BAD_REQUEST".to_owned()));
    for (content_type, body) in [
        ("text/plain", &body),
        ("application/x-www-form-urlencoded", &form),
        ("multipart/form-data; boundary=x", &multipart),
        ("application/graphql", &SEND.to_owned()),
        ("application/json; charset=utf-16", &body),
    ] {
        let sent = request(&cruddur, Method::POST).header(CONTENT_TYPE, content_type);
        let sent = sent.body(body.clone()).send().await.expect("a response");
        assert_eq!(
            rejection(sent).await,
            (415, "BAD_REQUEST".to_owned()),
            "{content_type}"
        );
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let sent = request(&cruddur, method).body(body.clone()).send().await;
        let sent = sent.expect("a response");
        assert_eq!(sent.headers()[ALLOW], "GET, HEAD, POST");
        assert_eq!(rejection(sent).await.0, 405);
    }
    // The preflight of another origin fails.
    let preflight = cruddur
        .http
        .request(Method::OPTIONS, format!("{}/graphql", cruddur.url))
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .expect("a response");
    assert!(
        !preflight
            .headers()
            .contains_key("access-control-allow-origin")
    );
    assert_eq!(messages(&cruddur).await, 0);
}

#[tokio::test]
async fn media_type_decides_the_status_and_nothing_is_cached() {
    let cruddur = people().await;
    for (accept, media, status) in [
        ("application/json", "application/json; charset=utf-8", 200),
        (
            "application/graphql-response+json",
            "application/graphql-response+json; charset=utf-8",
            400,
        ),
    ] {
        let wrong = request(&cruddur, Method::POST)
            .header(ACCEPT, accept)
            .json(&json!({ "query": "{ nothing }" }));
        let wrong = wrong.send().await.expect("a response");
        assert_eq!(wrong.headers()[CONTENT_TYPE], media);
        assert_eq!(wrong.headers()["cache-control"], "no-store");
        assert_eq!(wrong.headers()["x-content-type-options"], "nosniff");
        let vary: Vec<_> = wrong.headers().get_all("vary").iter().collect();
        assert!(vary.iter().any(|value| *value == "accept"), "{vary:?}");
        let (found, code) = rejection(wrong).await;
        assert_eq!(
            (found, code.as_str()),
            (status, "GRAPHQL_VALIDATION_FAILED")
        );
    }
    let html = request(&cruddur, Method::POST).header(ACCEPT, "text/html");
    let html = html.json(&json!({ "query": VIEWER })).send().await;
    let html = html.expect("a response");
    assert!(html.headers().get_all("vary").iter().any(|v| v == "accept"));
    assert_eq!(rejection(html).await.0, 406);
    let head = cruddur
        .http
        .head(format!(
            "{}/graphql?query={{viewer{{handle}}}}",
            cruddur.url
        ))
        .bearer_auth(cruddur.token("luu"));
    let head = head.send().await.expect("a response");
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.expect("nothing"), "");
    let health = format!("{}/healthz", cruddur.url);
    let health = cruddur.http.post(health).send().await.expect("a response");
    assert_eq!(health.headers()[ALLOW], "GET, HEAD");
    assert_eq!(rejection(health).await.0, 405);
    let missing = json!({ "query": "query($id: ID!) { node(id: $id) { id } }" });
    let missing = request(&cruddur, Method::POST).json(&missing).send().await;
    assert_eq!(
        rejection(missing.expect("a response")).await,
        (200, "BAD_USER_INPUT".to_owned())
    );
    let batch = json!([{ "query": VIEWER }, { "query": VIEWER }]);
    let batch = request(&cruddur, Method::POST).json(&batch).send().await;
    assert_eq!(
        rejection(batch.expect("a response")).await,
        (400, "BAD_REQUEST".to_owned())
    );
}

#[tokio::test]
async fn limits_reject_an_operation_and_name_the_maximum() {
    let cruddur = people().await;
    for (name, document) in hostile() {
        let sent = request(&cruddur, Method::POST)
            .json(&json!({ "query": document }))
            .send();
        let sent = sent.await.expect("a response");
        let (status, code) = rejection(sent).await;
        let expected = match name {
            // Larger than the maximum body.
            "a comment" | "levels" | "operations" | "aliases" | "duplicate fields"
            | "unused variables" => (413, "BAD_REQUEST"),
            "no tokens" => (200, "GRAPHQL_PARSE_FAILED"),
            _ => (200, "QUERY_TOO_COMPLEX"),
        };
        assert_eq!((status, code.as_str()), expected, "{name}");
    }
    // The same with a larger maximum body.
    let second = cruddur
        .second_server(Setup {
            bounds: Bounds {
                body_bytes: 8_000_000,
                ..Bounds::default()
            },
            ..Setup::default()
        })
        .await;
    for (name, document) in hostile() {
        let response = cruddur
            .execute_at(&second, "luu", &document, json!({}))
            .await;
        assert_eq!(response.get("data"), None, "{name}");
        let error = &response["errors"][0];
        let expected = match name {
            "no tokens" => "GRAPHQL_PARSE_FAILED",
            _ => "QUERY_TOO_COMPLEX",
        };
        assert_eq!(error["extensions"]["code"], expected, "{name}");
        let message = error["message"].as_str().expect("a text");
        assert!(
            message.chars().any(|c| c.is_ascii_digit())
                || name.contains("circles")
                || name == "no tokens",
            "{message}"
        );
    }
}

/// Returns the bytes of a response on a raw connection, until it is closed or
/// no byte arrives.
async fn raw(cruddur: &Cruddur, head: &str, body: &[u8]) -> String {
    let address = cruddur.url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let token = cruddur.token("luu");
    let head = format!(
        "{head}\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server may reject the request before it is complete.
    let _ = stream.write_all(body).await;
    let mut response = vec![0; 64 * 1024];
    let read = wait_for("a response", stream.read(&mut response)).await;
    let length = read.unwrap_or(0);
    String::from_utf8_lossy(&response[..length]).into_owned()
}

/// The client continues to send after the response, and only then reads.
#[tokio::test]
async fn response_before_the_end_of_a_body_is_not_lost_by_a_reset() {
    let cruddur = people().await;
    let address = cruddur.url.trim_start_matches("http://").to_owned();
    for (token, status) in [(cruddur.token("luu"), "413"), ("bad".to_owned(), "401")] {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("a head");
        // The response has arrived, and the server reads nothing more of the
        // request.
        stream.readable().await.expect("a response");
        for _ in 0..10 {
            stream
                .write_all(&vec![b' '; 50_000])
                .await
                .expect("an open connection");
        }
        let mut response = Vec::new();
        let read = wait_for("the end of the response", stream.read_to_end(&mut response)).await;
        read.expect("no reset");
        let response = String::from_utf8_lossy(&response);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn body_that_is_too_large_or_shorter_than_declared_is_rejected_without_waiting() {
    let cruddur = people().await;
    let post = "POST /graphql HTTP/1.1";
    let large = vec![b' '; 20_000_000];
    // A server that waited for the missing body would respond with 408.
    for sent in [&large[..], &[]] {
        let head = format!("{post}\r\nContent-Length: 20000000");
        let response = raw(&cruddur, &head, sent).await;
        assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    }
    let invited = format!("{post}\r\nContent-Length: 20000000\r\nExpect: 100-continue");
    let response = raw(&cruddur, &invited, b"").await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    let coded = format!("{post}\r\nContent-Length: 2\r\nContent-Encoding: gzip");
    let response = raw(&cruddur, &coded, b"{}").await;
    assert!(response.starts_with("HTTP/1.1 415"), "{response}");
    let mut endless = Vec::new();
    for _ in 0..200 {
        endless.extend(b"1000\r\n");
        endless.extend(vec![b' '; 0x1000]);
        endless.extend(b"\r\n");
    }
    let chunked = format!("{post}\r\nTransfer-Encoding: chunked");
    let response = raw(&cruddur, &chunked, &endless).await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    // The declared length is larger than the body.
    let lying = format!("{post}\r\nContent-Length: 1000");
    let response = raw(&cruddur, &lying, b"{\"query\":").await;
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
    let both = format!("{post}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked");
    let response = raw(&cruddur, &both, b"0\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert_eq!(
        cruddur.data("luu", VIEWER, json!({})).await["viewer"]["handle"],
        "luu"
    );
}

#[tokio::test]
async fn rate_limit_states_when_to_retry_and_does_not_delay_other_callers() {
    let setup = Setup {
        send_rate: SendRate::new(1, 3),
        ..Setup::default()
    };
    let cruddur = start_with(setup).await;
    cruddur.users(["luu", "unamused"]).await;
    let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "fast" } });
    let mut sent = 0;
    let rejected = loop {
        // Requests at the same time exceed the rate on a slow machine too.
        let responses = (0..8).map(|_| cruddur.execute("luu", CREATE, input.clone()));
        let (mut rejected, accepted): (Vec<Value>, Vec<Value>) = join_all(responses)
            .await
            .into_iter()
            .partition(|response| response.get("errors").is_some());
        sent += accepted.len();
        if let Some(rejected) = rejected.pop() {
            break rejected;
        }
    };

    assert!(sent >= 3, "{sent}");
    let extensions = &rejected["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED");
    let wait = extensions["retryAfterMs"].as_u64().expect("a time");
    assert!((1..=1000).contains(&wait), "{wait}");
    let others = cruddur.send("unamused", "luu", "in my own time").await;
    assert_eq!(others["__typename"], "CreateMessageSuccess");
    assert_eq!(messages(&cruddur).await, sent + 1);
}

#[tokio::test]
async fn invalid_request_is_rejected_before_any_execution() {
    let cruddur = people().await;
    for uuid in ["\"nonsense\"", "5", "{a: 5}", "[]"] {
        let document = format!(
            "mutation {{
                first: createMessage(input: {{to: {{receiverHandle: \"unamused\"}}, body: \"first\"}}) {{ __typename }}
                second: createMessage(input: {{to: {{messageGroupUuid: {uuid}}}, body: \"second\"}}) {{ __typename }}
            }}"
        );
        let sent = request(&cruddur, Method::POST).json(&json!({ "query": document }));
        let (status, code) = rejection(sent.send().await.expect("a response")).await;
        let expected = (200, "GRAPHQL_VALIDATION_FAILED");
        assert_eq!((status, code.as_str()), expected, "{uuid}");
    }
    let with_variable = "mutation($input: CreateMessageInput!) {
        first: createMessage(input: {to: {receiverHandle: \"unamused\"}, body: \"first\"}) { __typename }
        second: createMessage(input: $input) { __typename }
    }";
    for wrong in [json!("nonsense"), json!(5), json!(["x"])] {
        let input = json!({ "to": { "messageGroupUuid": wrong }, "body": "second" });
        let sent = request(&cruddur, Method::POST)
            .json(&json!({ "query": with_variable, "variables": { "input": input } }))
            .send();
        let (status, found) = rejection(sent.await.expect("a response")).await;
        assert_eq!((status, found.as_str()), (200, "BAD_USER_INPUT"), "{wrong}");
    }
    assert_eq!(messages(&cruddur).await, 0);
}

#[tokio::test]
async fn limits_apply_to_unexecuted_operations_and_to_copied_variables() {
    let cruddur = people().await;
    // All operations are validated, not only the executed one.
    let fragments = (0..14).map(|number| {
        let next = number + 1;
        format!(
            "fragment b{number} on __Type{{a:ofType{{...b{next} ...d0}}b:ofType{{...b{next}}}}}\
             fragment d{number} on __Type{{a:ofType{{...d{next}}}b:ofType{{...d{next}}}}}"
        )
    });
    let fragments: Vec<String> = fragments.collect();
    let beside = format!(
        "query A{{viewer{{handle}}}} query B{{__schema{{types{{...b0}}}}}}{}\
         fragment b14 on __Type{{name}}fragment d14 on __Type{{name}}",
        fragments.join("")
    );
    // A large variable that is used many times.
    let users = (0..20).map(|number| format!("u{number}: user(handle: $v) {{ uuid }}"));
    let users: Vec<String> = users.collect();
    let copied = format!("query($v: String!) {{ {} }}", users.join(" "));
    let large = "x".repeat(40_000);
    for body in [
        json!({ "query": beside, "operationName": "A" }),
        json!({ "query": copied, "variables": { "v": large } }),
    ] {
        let sent = request(&cruddur, Method::POST).json(&body).send().await;
        let (status, code) = rejection(sent.expect("a response")).await;
        assert_eq!((status, code.as_str()), (200, "QUERY_TOO_COMPLEX"));
    }
}

#[tokio::test]
async fn unauthenticated_requests_get_401_even_if_malformed() {
    let cruddur = people().await;
    for body in ["{", "{ viewer {", "[]", "{\"query\": \"{ nothing\"}"] {
        let sent = cruddur
            .http
            .post(format!("{}/graphql", cruddur.url))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let sent = sent.send().await.expect("a response");
        assert_eq!(rejection(sent).await, (401, "UNAUTHENTICATED".to_owned()));
    }
}

/// Returns the response to a POST of these bytes.
async fn posted(cruddur: &Cruddur, body: Vec<u8>) -> (u16, Value) {
    let request = request(cruddur, Method::POST).header(CONTENT_TYPE, "application/json");
    let response = request.body(body).send().await.expect("a response");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn byte_order_mark_before_json_is_ignored() {
    let cruddur = people().await;
    let mark = "\u{feff}";
    let body = format!("{mark}{}", json!({ "query": VIEWER }));
    let (status, response) = posted(&cruddur, body.into_bytes()).await;
    assert_eq!(
        (status, &response["data"]["viewer"]["handle"]),
        (200, &json!("luu"))
    );

    let document = "query($n: Int) { messageGroups(first: $n) { edges { cursor } } }";
    let mut url = reqwest::Url::parse(&format!("{}/graphql", cruddur.url)).expect("an address");
    url.query_pairs_mut()
        .append_pair("query", document)
        .append_pair("variables", &format!("{mark}{{\"n\": 1}}"))
        .append_pair("extensions", &format!("{mark}{{}}"));
    let request = cruddur.http.get(url).bearer_auth(cruddur.token("luu"));
    let response: Value = request
        .send()
        .await
        .expect("a response")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        response,
        json!({ "data": { "messageGroups": { "edges": [] } } })
    );

    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": VIEWER } });
    socket
        .send(Message::text(format!("{mark}{subscribe}")))
        .await;
    assert_eq!(socket.message().await["type"], "next");
}

#[tokio::test]
async fn invalid_json_error_contains_position_and_expected_syntax() {
    let cruddur = people().await;
    for (body, problem) in [
        ("", "it is empty"),
        (
            "{\"query\": \"{ a }\"",
            "line 1, column 18: the text ends too early",
        ),
        (
            "{\n  'query': 1\n}",
            "line 2, column 3: key must be a string at `'`",
        ),
        (
            "{\"query\": \"\"} x",
            "line 1, column 15: trailing characters at `x`",
        ),
        (
            "{\"query\": \"\\ud83d\"}",
            "line 1, column 18: unexpected end of hex escape at `\"`",
        ),
    ] {
        let (status, response) = posted(&cruddur, body.as_bytes().to_vec()).await;
        let error = &response["errors"][0];
        assert_eq!(
            (status, &error["extensions"]["code"]),
            (400, &json!("BAD_REQUEST"))
        );
        let expected = format!("Invalid GraphQL request: the body is not valid JSON: {problem}.");
        assert_eq!(error["message"], expected);
    }
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
    socket.send(Message::text("{\"type\": ping}")).await;
    let reason = "Invalid JSON: line 1, column 10: expected value at `p`";
    assert_eq!(socket.closed().await, (4400, reason.to_owned()));
}

#[tokio::test]
async fn integers_are_accepted_in_every_json_notation() {
    let cruddur = people().await;
    let int = "query($v: Int) { messageGroups(first: $v) { edges { cursor } } }";
    let id = "query($v: ID!) { node(id: $v) { id } }";
    for (document, number, is_accepted) in [
        (int, "20.0", true),
        (int, "2e1", true),
        (int, "-0", true),
        (int, "20.5", false),
        (int, "3e9", false),
        (id, "20.0", true),
        (id, "2e1", true),
        (id, "-0", true),
        (id, "20.5", false),
    ] {
        let body = format!(
            "{{\"query\": {}, \"variables\": {{\"v\": {number}}}}}",
            json!(document)
        );
        let (_, response) = posted(&cruddur, body.into_bytes()).await;
        assert_eq!(
            response.get("data").is_some(),
            is_accepted,
            "{number}: {response}"
        );
        let mut errors = response["errors"].as_array().into_iter().flatten();
        assert!(
            errors.all(|error| error["extensions"]["code"] == "BAD_USER_INPUT"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn introspection_has_the_fields_of_graphql_js_17() {
    let cruddur = people().await;
    let document = "{
        __schema {
            description
            directives(includeDeprecated: true) {
                isDeprecated name deprecationReason isRepeatable locations
                args(includeDeprecated: true) { name isDeprecated deprecationReason }
            }
            types { isOneOf specifiedByURL fields(includeDeprecated: true) { args(includeDeprecated: true) { name } } }
        }
    }";
    let data = cruddur.data("luu", document, json!({})).await;
    let directives = data["__schema"]["directives"].as_array().expect("a list");
    assert!(
        directives
            .iter()
            .any(|directive| directive["name"] == "skip")
    );
    for directive in directives {
        assert_eq!(directive["isDeprecated"], false);
        assert_eq!(directive.get("deprecationReason"), Some(&Value::Null));
        let members = directive.as_object().expect("an object").keys();
        assert_eq!(members.count(), 6, "{directive}");
    }
    let skipped = "{ __schema { directives { isDeprecated @skip(if: true) } } }";
    let data = cruddur.data("luu", skipped, json!({})).await;
    assert_eq!(data["__schema"]["directives"][0], json!({}));
}

#[tokio::test]
async fn panic_of_a_handler_is_an_internal_error_with_the_request_id() {
    async fn handler() {
        panic!("the handler of this test panics");
    }
    let sign_in = axum::Router::new().route("/panic", axum::routing::get(handler));
    let cruddur = start_with(Setup {
        graphiql: Graphiql::SignedIn(sign_in),
        ..Setup::default()
    })
    .await;
    let request = cruddur
        .http
        .get(format!("{}/graphiql/session/panic", cruddur.url))
        .header("x-request-id", "panic-1");
    let response = request.send().await.expect("a response");
    assert_eq!(response.headers()["x-request-id"], "panic-1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(
        rejection(response).await,
        (500, "INTERNAL_SERVER_ERROR".to_owned())
    );
}
