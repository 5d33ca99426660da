//! Telemetry of a server: its log, its metrics and its traces, and the data
//! that they must not contain.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};

use cruddur::dev::{Issuer, SigningKey};

use crate::commands::run;
use crate::harness::{
    CREATE, Cruddur, Events, Loss, OURS, Serving, Socket, cruddur, start, wait_until, with_stores,
};

/// Texts that must not occur in telemetry.
const BODY: &str = "xylophone body";
const HANDLE: &str = "xylophone-handle";
const OTHER: &str = "xylophone-other";
const KEY: &str = "xylophone-key";
const TEXT: &str = "xylophone";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Receives traces, like a collector.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let take = async |State(Self(taken)): State<Self>, body: Bytes| {
            taken.lock().expect("no panic").extend_from_slice(&body);
        };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (collector, format!("http://{address}"))
    }

    fn has(&self, what: &[u8]) -> bool {
        self.count(what) > 0
    }

    fn count(&self, what: &[u8]) -> usize {
        let taken = self.0.lock().expect("no panic");
        let parts = taken.windows(what.len());
        parts.filter(|part| *part == what).count()
    }
}

/// A `cruddur serve` with metrics and traces.
struct Serve {
    stores: Cruddur,
    server: Serving,
    url: String,
    metrics: String,
    collector: Collector,
}

impl Serve {
    async fn start() -> Self {
        let stores = start().await;
        let (collector, endpoint) = Collector::start().await;
        let variables = [
            ("DATABASE_URL", &*stores.postgres.url),
            ("CRUDDUR_USER_CACHE_SECONDS", "0"),
            ("RUST_LOG", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ];
        let options = ["--metrics-listen", "127.0.0.1:0"];
        let server = Serving::start_with(&stores, &options, &variables).await;
        let metrics = format!("{}/metrics", server.address("metrics").await);
        Self {
            url: format!("{}/graphql", server.url),
            stores,
            server,
            metrics,
            collector,
        }
    }

    async fn line(&self, matches: impl Fn(&Value) -> bool) -> Value {
        self.server.line_that(matches).await
    }

    fn lines(&self) -> Vec<Value> {
        self.server.lines()
    }

    /// Returns all lines of a request.
    fn lines_of(&self, id: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| ids(line).any(|of| of == id));
        lines
    }

    /// Sends a request with an ID, and returns the response.
    async fn execute(&self, id: &str, token: &str, body: &Value) -> Value {
        let request = self
            .stores
            .http
            .post(&self.url)
            .header("x-request-id", id)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .bearer_auth(token)
            .json(body);
        let response = request.send().await.expect("a response");
        response.json().await.expect("JSON")
    }

    async fn send(&self, id: &str, body: &str, key: &str) -> Value {
        let to = json!({ "receiverHandle": OTHER });
        let input = json!({ "to": to, "body": body, "idempotencyKey": key });
        let body = json!({ "query": CREATE, "variables": { "input": input } });
        self.execute(id, &self.stores.token(HANDLE), &body).await
    }

    async fn metrics(&self) -> String {
        let response = self.stores.http.get(&self.metrics).send().await;
        response.expect("a response").text().await.expect("a text")
    }

    /// Returns the value of a metric, or `None` if there is no such line.
    async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
    }

    /// Waits until a metric has this value.
    async fn metric_becomes(&self, name: &str, value: f64) {
        let condition = format!("{name} is {value}");
        wait_until(&condition, async || self.metric(name).await == Some(value)).await;
    }

    async fn stop(&mut self) {
        assert!(self.server.end("TERM").await.success());
    }

    /// Sends requests of all kinds, each with a secret: successful, rejected
    /// and failed ones.
    async fn send_all_kinds_of_requests(&self) {
        self.stores.users([HANDLE, OTHER]).await;
        let token = self.stores.token(HANDLE);
        let user = "query Who($handle: String!) { user(handle: $handle) { displayName } }";
        let user =
            json!({ "query": user, "operationName": "Who", "variables": { "handle": OTHER } });
        self.execute("ok", &token, &user).await;
        self.send("sent", BODY, KEY).await;
        self.send("sent-again", BODY, KEY).await;
        self.send("reused", "xylophone, another body", KEY).await;
        self.execute("bad-token", &format!("{TEXT}.{token}"), &user)
            .await;
        for (id, document) in [
            ("unparsable", "{ user(handle: \"xylophone-handle\" }"),
            (
                "unknown-field",
                "{ xylophone(handle: \"xylophone-handle\") }",
            ),
            (
                "bad-cursor",
                "{ messageGroups(after: \"xylophone\") { edges { cursor } } }",
            ),
            (
                "no-such-user",
                "{ user(handle: \"xylophone-nobody\") { handle } }",
            ),
        ] {
            self.execute(id, &token, &json!({ "query": document }))
                .await;
        }
        self.stores.dynamo.lose(&[Loss::Before, Loss::After]);
        self.send("lost", BODY, "xylophone-lost-key").await;
        self.stores.dynamo.fail(500);
        let groups = json!({ "query": "query Groups { messageGroups { edges { cursor } } }" });
        let failed = self.execute("dynamodb-down", &token, &groups).await;
        assert_eq!(failed["errors"][0]["extensions"]["code"], "UNAVAILABLE");
        assert_eq!(
            failed["errors"][0]["extensions"]["requestId"],
            "dynamodb-down"
        );
        self.stores.dynamo.fail(400);
        let rejected = self.execute("dynamodb-refuses", &token, &groups).await;
        assert_eq!(
            rejected["errors"][0]["extensions"]["code"],
            "INTERNAL_SERVER_ERROR"
        );
        let created = self.send("write-refused", BODY, "xylophone-refused").await;
        assert_eq!(
            created["errors"][0]["extensions"]["requestId"],
            "write-refused"
        );
        self.stores.dynamo.fail(0);
        self.stores.postgres.cut(true);
        let failed = self.execute("postgres-down", &token, &user).await;
        assert_eq!(
            failed["errors"][0]["extensions"]["requestId"],
            "postgres-down"
        );
        self.stores.postgres.cut(false);
    }

    /// Sends requests over a socket with an ID.
    async fn send_over_a_socket(&self, id: &str) -> Socket {
        let url = self.url.trim_end_matches("/graphql");
        let headers = [OURS, ("x-request-id", id)];
        let socket = Socket::open_with(url, &headers).await;
        let mut socket = socket.expect("a socket");
        socket.init(&self.stores.token(HANDLE)).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        let to = json!({ "receiverHandle": OTHER });
        let input = json!({ "to": to, "body": BODY, "idempotencyKey": "xylophone-socket" });
        socket
            .execute(TEXT, CREATE, json!({ "input": input }))
            .await;
        let document = "query Who { user(handle: \"xylophone-nobody\") { handle } }";
        socket.execute(TEXT, document, json!({})).await;
        socket.execute(TEXT, "{ xylophone }", json!({})).await;
        socket.execute(TEXT, "{", json!({})).await;
        socket
    }
}

/// Returns the IDs of the requests to which a line belongs.
fn ids(line: &Value) -> impl Iterator<Item = &str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.filter_map(|span| span["id"].as_str())
}

#[tokio::test]
async fn access_log_has_one_line_per_request_with_outcome_and_cost() {
    let serve = Serve::start().await;
    serve.send_all_kinds_of_requests().await;

    let mut found = Vec::new();
    for id in [
        "ok",
        "sent",
        "sent-again",
        "reused",
        "bad-token",
        "unparsable",
        "unknown-field",
        "bad-cursor",
        "no-such-user",
        "lost",
        "dynamodb-down",
        "dynamodb-refuses",
        "write-refused",
        "postgres-down",
    ] {
        let answered = |line: &Value| line["message"] == "answered" && ids(line).eq([id]);
        serve.line(answered).await;
        let mut lines = serve.lines_of(id);
        lines.retain(answered);
        let [line] = lines.as_slice() else {
            panic!("{id}: {lines:#?}");
        };
        assert_eq!(line["level"], "INFO");
        assert!(
            line["duration_ms"]
                .as_f64()
                .is_some_and(|taken| taken > 0.0)
        );
        found.push(format!(
            "{id}: {} {} {} {}, {} and {} calls",
            line["operation"].as_str().unwrap_or("?"),
            line["name"].as_str().unwrap_or("-"),
            line["status"],
            line["outcome"].as_str().unwrap_or("?"),
            line["dynamodb_calls"],
            line["sql_queries"],
        ));
    }
    insta::assert_snapshot!(found.join("\n"), @"
    ok: query Who 200 ok, 0 and 2 calls
    sent: mutation - 200 ok, 5 and 2 calls
    sent-again: mutation - 200 ok, 5 and 2 calls
    reused: mutation - 200 IDEMPOTENCY_KEY_REUSED, 1 and 2 calls
    bad-token: none - 401 UNAUTHENTICATED, 0 and 0 calls
    unparsable: none - 200 GRAPHQL_PARSE_FAILED, 0 and 0 calls
    unknown-field: query - 200 GRAPHQL_VALIDATION_FAILED, 0 and 1 calls
    bad-cursor: query - 200 BAD_USER_INPUT, 0 and 1 calls
    no-such-user: query - 200 ok, 0 and 2 calls
    lost: mutation - 200 ok, 5 and 2 calls
    dynamodb-down: query Groups 200 UNAVAILABLE, 3 and 1 calls
    dynamodb-refuses: query Groups 200 INTERNAL_SERVER_ERROR, 1 and 1 calls
    write-refused: mutation - 200 INTERNAL_SERVER_ERROR, 1 and 2 calls
    postgres-down: query Who 200 UNAVAILABLE, 0 and 2 calls
    ");

    let sent = serve
        .line(|line| line["message"] == "answered" && ids(line).eq(["sent"]))
        .await;
    // Six items. DynamoDB counts each twice, and DynamoDB Local once.
    assert!(
        sent["write_units"]
            .as_f64()
            .is_some_and(|units| units >= 6.0),
        "{sent}"
    );
    assert!(
        sent["read_units"]
            .as_f64()
            .is_some_and(|units| units >= 1.0),
        "{sent}"
    );
}

#[tokio::test]
async fn access_log_has_one_line_per_socket_and_per_operation_over_it() {
    let serve = Serve::start().await;
    serve.stores.users([HANDLE, OTHER]).await;
    let mut socket = serve.send_over_a_socket("socket").await;
    assert_eq!(serve.metric("cruddur_sockets").await, Some(1.0));
    socket.send_json(json!({ "type": TEXT })).await;
    assert_eq!(socket.closed().await.0, 4400);

    let mut found = Vec::new();
    for id in ["socket/1", "socket/2", "socket/3", "socket/4"] {
        let answered = |line: &Value| line["message"] == "answered" && ids(line).eq([id]);
        let line = serve.line(answered).await;
        let [operation, name, outcome] = ["operation", "name", "outcome"].map(|name| &line[name]);
        found.push(format!("{operation} {name} {outcome}"));
    }
    insta::assert_snapshot!(found.join("\n"), @r#"
    "mutation" null "ok"
    "query" "Who" "ok"
    "query" null "GRAPHQL_VALIDATION_FAILED"
    "none" null "GRAPHQL_PARSE_FAILED"
    "#);
    let closed = |line: &Value| line["message"] == "WebSocket closed" && ids(line).eq(["socket"]);
    let line = serve.line(closed).await;
    assert_eq!(
        (&line["code"], &line["operations"]),
        (&json!("4400"), &json!(4))
    );
    let counted = "cruddur_socket_closes_total{code=\"4400\"}";
    assert_eq!(serve.metric(counted).await, Some(1.0));
    serve.metric_becomes("cruddur_sockets", 0.0).await;
}

#[tokio::test]
async fn access_log_has_one_line_per_ended_event_stream() {
    let serve = Serve::start().await;
    serve.stores.users([HANDLE, OTHER]).await;
    let document = json!({ "query": "subscription { messageCreated { cursor } }" });
    let events = Events::open(&serve.stores, &serve.url, "events", HANDLE, &document);
    let mut events = serve.stores.subscribed(events).await;
    serve.send("sent", BODY, KEY).await;
    assert_eq!(events.next().await.expect("an event").0, "next");

    drop(events);

    let line = serve
        .line(|line| line["message"] == "answered" && ids(line).eq(["events"]))
        .await;
    let found = [&line["operation"], &line["outcome"], &line["status"]];
    assert_eq!(found, [&json!("subscription"), &json!("ok"), &json!(200)]);
    assert_eq!(line["events"], 1);
    let counted = serve.metric("cruddur_subscription_events_total").await;
    assert_eq!(counted, Some(1.0));
    assert!(line["dynamodb_calls"].as_u64() > Some(0), "{line}");
    serve.metric_becomes("cruddur_subscriptions", 0.0).await;
}

#[tokio::test]
async fn access_log_has_one_line_per_cancelled_request() {
    let serve = Serve::start().await;
    serve.stores.users([HANDLE, OTHER]).await;
    let held = serve.stores.dynamo.hold().await;

    tokio::select! {
        response = serve.send("gone", BODY, KEY) => panic!("{response}"),
        () = serve.stores.dynamo.transactions(1) => {}
    }
    let line = serve
        .line(|line| line["message"] == "answered" && ids(line).eq(["gone"]))
        .await;
    assert_eq!(line["outcome"], "CLIENT_GONE");
    assert_eq!(line["operation"], "mutation");

    drop(held);
    let applied = "cruddur_write_attempts_total{outcome=\"applied\"}";
    serve.metric_becomes(applied, 1.0).await;
}

#[tokio::test]
async fn errors_are_logged_with_the_request_id() {
    let mut serve = Serve::start().await;
    serve.send_all_kinds_of_requests().await;

    for id in [
        "dynamodb-down",
        "dynamodb-refuses",
        "write-refused",
        "postgres-down",
        "lost",
    ] {
        let wrong = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
        serve
            .line(|line| wrong(line) && ids(line).any(|of| of == id))
            .await;
    }
    serve.stop().await;
    serve.line(|line| line["message"] == "stopped").await;
    let stray: Vec<Value> = serve
        .lines()
        .into_iter()
        .filter(|line| {
            line["target"].as_str().is_some_and(|target| {
                target.starts_with("cruddur::store")
                    || target.starts_with("cruddur::messaging")
                    || target.starts_with("cruddur::schema")
            })
        })
        .filter(|line| ids(line).next().is_none())
        .collect();
    assert!(stray.is_empty(), "{stray:#?}");
}

#[tokio::test]
async fn logs_metrics_and_spans_contain_no_user_data() {
    let mut serve = Serve::start().await;
    serve.send_all_kinds_of_requests().await;
    drop(serve.send_over_a_socket("socket").await);
    let metrics = serve.metrics().await;
    let token = serve.stores.token(HANDLE);
    let signature = token.rsplit('.').next().expect("a signature").to_owned();
    serve.stop().await;
    serve.line(|line| line["message"] == "stopped").await;

    let mut texts: Vec<String> = serve.lines().iter().map(Value::to_string).collect();
    texts.extend(metrics.lines().map(str::to_owned));
    let leaks = |secret: &str| {
        let found = texts
            .iter()
            .filter(|line| line.to_lowercase().contains(secret));
        found.cloned().collect::<Vec<String>>()
    };
    for secret in [TEXT, &signature.to_lowercase(), "bearer ey"] {
        let leaks = leaks(secret);
        assert!(leaks.is_empty(), "{secret}: {leaks:#?}");
        assert!(!serve.collector.has(secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn metrics_count_requests_and_store_calls() {
    let serve = Serve::start().await;
    serve.send_all_kinds_of_requests().await;

    for (name, at_least) in [
        (
            "cruddur_requests_total{operation=\"query\",code=\"ok\"}",
            1.0,
        ),
        (
            "cruddur_requests_total{operation=\"mutation\",code=\"ok\"}",
            3.0,
        ),
        (
            "cruddur_requests_total{operation=\"none\",code=\"UNAUTHENTICATED\"}",
            1.0,
        ),
        (
            "cruddur_requests_total{operation=\"query\",code=\"UNAVAILABLE\"}",
            1.0,
        ),
        (
            "cruddur_requests_total{operation=\"mutation\",code=\"IDEMPOTENCY_KEY_REUSED\"}",
            1.0,
        ),
        (
            "cruddur_request_duration_seconds_count{operation=\"query\"}",
            5.0,
        ),
        (
            "cruddur_dynamodb_calls_total{operation=\"TransactWriteItems\",result=\"ok\"}",
            1.0,
        ),
        (
            "cruddur_dynamodb_calls_total{operation=\"TransactWriteItems\",result=\"condition\"}",
            2.0,
        ),
        (
            "cruddur_dynamodb_calls_total{operation=\"TransactWriteItems\",result=\"unknown\"}",
            2.0,
        ),
        (
            "cruddur_dynamodb_calls_total{operation=\"Query\",result=\"unknown\"}",
            3.0,
        ),
        (
            "cruddur_dynamodb_calls_total{operation=\"Query\",result=\"refused\"}",
            1.0,
        ),
        (
            "cruddur_dynamodb_consumed_capacity_units_total{kind=\"read\"}",
            1.0,
        ),
        (
            "cruddur_dynamodb_consumed_capacity_units_total{kind=\"write\"}",
            6.0,
        ),
        (
            "cruddur_postgres_queries_total{query=\"users_by_handle\",result=\"ok\"}",
            1.0,
        ),
        (
            "cruddur_postgres_queries_total{query=\"users_by_handle\",result=\"unavailable\"}",
            1.0,
        ),
        ("cruddur_write_attempts_total{outcome=\"applied\"}", 1.0),
        ("cruddur_write_attempts_total{outcome=\"unknown\"}", 2.0),
        (
            "cruddur_write_retries_total{reason=\"idempotency_key_used\"}",
            2.0,
        ),
        ("cruddur_transaction_messages_count", 1.0),
        ("cruddur_group_tasks", 1.0),
        ("cruddur_key_fetches_total{result=\"ok\"}", 1.0),
        ("cruddur_connections", 1.0),
    ] {
        let counted = serve.metric(name).await.unwrap_or(0.0);
        assert!(
            counted >= at_least,
            "{name} {counted}\n{}",
            serve.metrics().await
        );
    }
    for name in ["cruddur_messages_waiting", "cruddur_requests_in_flight"] {
        serve.metric_becomes(name, 0.0).await;
    }
    assert!(
        serve
            .metrics()
            .await
            .contains("cruddur_build_info{version=")
    );
}

#[tokio::test]
async fn metrics_address_that_is_in_use_is_named() {
    let serve = Serve::start().await;
    let address = serve.metrics.trim_start_matches("http://");
    let address = address.trim_end_matches("/metrics");

    let mut second = cruddur(&["serve", "--metrics-listen", address]);
    with_stores(&mut second, &serve.stores);
    let (code, _, stderr) = run(&mut second).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains(&format!("cannot listen on {address}"))
            && stderr.contains("--metrics-listen"),
        "{stderr}"
    );
}

#[tokio::test]
async fn trace_contains_the_spans_of_a_request_and_its_calls() {
    let mut serve = Serve::start().await;
    serve.send_all_kinds_of_requests().await;
    serve.stop().await;

    let trace: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    // Requests and their calls: all are part of the trace.
    let requests = serve.collector.count(b"/graphql");
    let calls = serve.collector.count(b"db.system.name");
    assert!(requests >= 14 && calls >= 40, "{requests} {calls}");
    assert!(serve.collector.count(&trace) >= requests + calls);
    for span in [
        "/graphql",
        "write",
        "Query",
        "TransactWriteItems",
        "users_by_cognito_id",
        "service.name",
        "cruddur-messages",
        "UNAVAILABLE",
        "Who",
    ] {
        assert!(serve.collector.has(span.as_bytes()), "{span}");
    }
}

/// Rejected tokens: the failed check, and the first words of the expected and
/// the actual value.
fn rejected_tokens(issuer: &Issuer) -> Vec<(String, &'static str, String, &'static str)> {
    let good = issuer.claims(&format!("sub-{HANDLE}"));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issuer.sign(&claims).expect("a token")
    };
    let stranger = SigningKey::generate().expect("a key");
    let signed_under = |header: Value| {
        let key = issuer.key();
        key.sign_under(&header, &good).expect("a token")
    };
    let kid = &issuer.key().jwk()["kid"];
    let token = issuer.sign(&good).expect("a token");
    let (unsigned, signature) = token.rsplit_once('.').expect("a token");
    let forged = with("token_use", json!("id"));
    let (forged, _) = forged.rsplit_once('.').expect("a token");
    let cases = vec![
        (with("token_use", json!("id")), "token_use", "access", "id"),
        (with("token_use", json!(TEXT)), "token_use", "access", TEXT),
        (
            with("client_id", json!("another")),
            "client_id",
            "cruddur-dev",
            "another",
        ),
        (
            with("client_id", Value::Null),
            "client_id",
            "cruddur-dev",
            "no value",
        ),
        (
            with("iss", json!("https://evil.example")),
            "iss",
            issuer.url(),
            "https://evil.example",
        ),
        (
            with("iss", json!("xylophone@example.com")),
            "iss",
            issuer.url(),
            "a value that is not logged",
        ),
        (
            with("iss", json!([issuer.url()])),
            "iss",
            issuer.url(),
            "a list",
        ),
        (
            with("exp", json!(1_000_000_000)),
            "exp",
            "after ",
            "1000000000",
        ),
        (
            with("nbf", json!(9_000_000_000_u64)),
            "nbf",
            "at most ",
            "9000000000",
        ),
        (
            with("exp", json!("never")),
            "exp",
            "a time in seconds",
            "a string",
        ),
        (with("sub", json!("")), "sub", "a string", "an empty string"),
        (with("sub", json!(7)), "sub", "a string", "a number"),
        (
            stranger.sign(&good).expect("a token"),
            "kid",
            "a key of ",
            "",
        ),
        (
            signed_under(json!({ "alg": "HS256", "kid": kid })),
            "alg",
            "RS256",
            "HS256",
        ),
        (
            signed_under(json!({ "alg": "RS256" })),
            "kid",
            "a string",
            "no value",
        ),
        (
            format!("{forged}.{signature}"),
            "signature",
            "the signature of the issuer's key",
            "another signature",
        ),
        (unsigned.to_owned(), "format", "three parts", "2 parts"),
        (TEXT.to_owned(), "format", "three parts", "1 parts"),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(token, check, expected, found)| (token, check, expected.to_owned(), found))
        .collect()
}

#[tokio::test]
async fn rejected_token_is_explained_in_the_debug_log_without_its_claims() {
    let serve = Serve::start().await;
    serve.stores.users([HANDLE]).await;
    let cases = rejected_tokens(&serve.stores.issuer);
    for (number, (token, check, expected, found)) in cases.into_iter().enumerate() {
        let id = format!("rejected-{number}");
        let response = serve
            .execute(&id, &token, &json!({ "query": "{ viewer { handle } }" }))
            .await;
        let message = &response["errors"][0]["message"];
        assert_eq!(
            message, "The access token is not valid. Sign in again.",
            "{check}"
        );
        let line = serve
            .line(|line| line["message"] == "a token was rejected" && ids(line).eq([id.as_str()]))
            .await;
        let (line_expected, line_found) = (line["expected"].as_str(), line["found"].as_str());
        assert_eq!(
            (&line["level"], &line["check"]),
            (&json!("DEBUG"), &json!(check))
        );
        assert!(
            line_expected.is_some_and(|text| text.starts_with(&expected)),
            "{check}: {line}"
        );
        assert!(
            line_found.is_some_and(|text| text.starts_with(found)),
            "{check}: {line}"
        );
        let text = line.to_string();
        assert!(
            !text.contains(&format!("sub-{HANDLE}")) && !text.contains("@example"),
            "{line}"
        );
        assert!(token.len() < 20 || !text.contains(&token[..20]), "{line}");
    }
}
