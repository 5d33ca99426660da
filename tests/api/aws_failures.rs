//! How the commands report responses and failures of AWS: on one line, in
//! users' terms.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::commands::run;
use crate::harness::{Cruddur, Database, cruddur, start, with_stores};

const JSON: &str = "application/x-amz-json-1.0";
const POOL: &str = "eu-central-1_Ab12Cd34E";

/// Texts of the SDK that only its developers understand.
const INTERNALS: [&str; 14] = [
    "interceptor",
    "dispatch failure",
    "service error",
    "unhandled error",
    "failed to construct",
    "cargo feature",
    "credentials-login",
    "client error",
    "connector",
    "could not be built",
    "Error(",
    "Error {",
    "Some(",
    "\\n",
];

/// A server that replaces AWS and returns these responses in turn. It repeats
/// the last one.
struct StandIn {
    url: String,
    responses: Mutex<VecDeque<(u16, &'static str, String)>>,
    requests: Mutex<Vec<Value>>,
}

impl StandIn {
    async fn start(responses: impl IntoIterator<Item = (u16, &'static str, String)>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stand_in = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            responses: Mutex::new(responses.into_iter().collect()),
            requests: Mutex::default(),
        });
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&stand_in));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        stand_in
    }
}

async fn answer(State(stand_in): State<Arc<StandIn>>, body: Bytes) -> Response {
    let request = serde_json::from_slice(&body).unwrap_or(Value::Null);
    stand_in.requests.lock().expect("requests").push(request);
    let mut responses = stand_in.responses.lock().expect("responses");
    let next = if responses.len() > 1 {
        responses.pop_front()
    } else {
        responses.front().cloned()
    };
    let (status, content_type, body) = next.expect("a response");
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

fn failure(status: u16, code: &str, text: &str) -> (u16, &'static str, String) {
    (
        status,
        JSON,
        json!({ "__type": code, "message": text }).to_string(),
    )
}

fn page(users: &[(&str, &str, Option<&str>)], next: Option<&str>) -> (u16, &'static str, String) {
    let users: Vec<Value> = users
        .iter()
        .map(|(username, sub, preferred)| {
            let mut attributes = vec![json!({ "Name": "sub", "Value": sub })];
            attributes.extend(
                preferred.map(|name| json!({ "Name": "preferred_username", "Value": name })),
            );
            json!({ "Username": username, "Attributes": attributes })
        })
        .collect();
    let page = json!({ "Users": users, "PaginationToken": next });
    (200, JSON, page.to_string())
}

/// Returns a command without this machine's AWS settings.
fn without_aws(arguments: &[&str]) -> Command {
    let mut command = cruddur(arguments);
    command
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", "eu-central-1");
    command
}

fn update(stores: &Cruddur, pool: &StandIn, arguments: &[&str]) -> Command {
    let command = ["update-cognito-user-ids", "--cognito-user-pool-id", POOL];
    let mut command = without_aws(&[&command, arguments].concat());
    with_stores(&mut command, stores);
    command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &pool.url);
    command
}

#[tokio::test]
async fn cognito_throttling_is_retried() {
    let stores = start().await;
    stores.users(["luu", "tove"]).await;
    let throttled = || failure(400, "TooManyRequestsException", "Rate exceeded");
    let pool = StandIn::start([
        throttled(),
        throttled(),
        throttled(),
        failure(500, "InternalErrorException", "Something went wrong"),
        page(&[("a", "new-luu", Some("luu"))], Some("more")),
        throttled(),
        failure(400, "ThrottlingException", "Rate exceeded"),
        failure(400, "LimitExceededException", "Rate exceeded"),
        failure(503, "ServiceUnavailable", "later"),
        page(&[("b", "new-tove", Some("tove"))], None),
    ])
    .await;

    let (code, out, stderr) = run(&mut update(&stores, &pool, &["--json"])).await;
    assert_eq!(code, 0, "{stderr}");
    let updated: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(updated["changed"], json!(["luu", "tove"]));
    let requests = pool.requests.lock().expect("requests").clone();
    let tokens: Vec<&Value> = requests
        .iter()
        .map(|request| &request["PaginationToken"])
        .collect();
    assert_eq!(tokens[..5], [&Value::Null; 5]);
    assert_eq!(tokens[5..], [&json!("more"); 5]);
}

#[tokio::test]
async fn update_cognito_user_ids_lists_unmatched_users_and_similar_names() {
    let stores = start().await;
    stores
        .users(["luu", "Tove", "zo\u{e9}", "zoe\u{301}", "renamed", "gone"])
        .await;
    let pool = StandIn::start([page(
        &[
            ("1", "sub-luu", Some("luu")),
            ("2", "sub-tove", Some("tove")),
            ("3", "sub-zoe", Some("zo\u{e9}")),
            ("4", "sub-renamed", Some("other")),
            ("5", "sub-nameless", None),
        ],
        None,
    )])
    .await;

    let (code, out, stderr) = run(&mut update(&stores, &pool, &["--dry-run"])).await;
    assert_eq!(code, 0, "{stderr}");
    insta::assert_snapshot!(out, @r"
    would change: 1 (zoé)
    is up to date: 1 (luu)
    has no row in public.users: 2 (other, tove)
    has no user in the pool: 3 (Tove, gone, zoe\u{301})
    has no preferred_username: 1 (5)
    differs only in case, in Unicode form or in spaces: tove in the pool; Tove in public.users
    differs only in case, in Unicode form or in spaces: zoé in the pool; zoe\u{301}, zoé in public.users
    ");
    let (_, out, _) = run(&mut update(&stores, &pool, &["--dry-run", "--json"])).await;
    let updated: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        updated["withoutUser"],
        json!(["Tove", "gone", "zoe\u{301}"])
    );
    assert_eq!(
        updated["similar"],
        json!([
            { "inPool": ["tove"], "inTable": ["Tove"] },
            { "inPool": ["zo\u{e9}"], "inTable": ["zoe\u{301}", "zo\u{e9}"] },
        ])
    );
}

#[tokio::test]
async fn commands_before_the_migration_report_that_migrate_is_needed() {
    let stores = start().await;
    let empty = Database::create().await;
    let pool = StandIn::start([page(&[], None)]).await;
    for arguments in [
        &["update-cognito-user-ids", "--cognito-user-pool-id", POOL][..],
        &["seed"],
        &["list-conversations", "luu"],
        &["get-conversation", "--between", "luu", "tove"],
        &["issuer", "--listen", "127.0.0.1:0"],
        &["serve"],
    ] {
        let mut command = without_aws(arguments);
        with_stores(&mut command, &stores);
        command
            // DynamoDB Local separates tables by region.
            .env("AWS_REGION", "us-east-1")
            .env("DATABASE_URL", &empty.url)
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &pool.url);
        let (code, _, stderr) = run(&mut command).await;
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("the database lacks 0001")
                && stderr.contains("bring it up to date with `cruddur migrate`"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[tokio::test]
async fn aws_error_responses_are_reported_in_plain_words() {
    let mut reported = String::new();
    for answer in [
        failure(
            400,
            "com.amazon.coral.service#AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/luu is not authorized to perform: dynamodb:DescribeTable",
        ),
        failure(
            400,
            "com.amazon.coral.service#ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        failure(
            400,
            "com.amazon.coral.service#UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (502, "text/html", "<html>Bad gateway</html>".to_owned()),
        (
            403,
            "text/html",
            "<html>Blocked by policy</html>".to_owned(),
        ),
        (
            200,
            "text/html",
            "<html>Sign in to the Wi-Fi</html>".to_owned(),
        ),
        (404, "text/plain", "not found".to_owned()),
    ] {
        let stand_in = StandIn::start([answer]).await;
        let mut command = without_aws(&["scan", "--endpoint-url", &stand_in.url]);
        let (code, out, stderr) = run(&mut command).await;
        assert_eq!((code, out.as_str()), (1, ""), "{stderr}");
        reported.push_str(&last_line(&stderr).replace(&stand_in.url, "http://there"));
    }
    insta::assert_snapshot!(reported, @r"
    cruddur: DynamoDB rejected a call: AccessDeniedException: User: arn:aws:iam::123456789012:user/luu is not authorized to perform: dynamodb:DescribeTable
    cruddur: DynamoDB rejected a call: ExpiredTokenException: The security token included in the request is expired. Sign in again, for example with `aws sso login`.
    cruddur: DynamoDB rejected a call: UnrecognizedClientException: The security token included in the request is invalid. Check the access key, and that the region is one of its account.
    cruddur: DynamoDB is not available: the response (HTTP status 502, text/html) is not one of DynamoDB's: a proxy or another server sent it
    cruddur: DynamoDB is not available: the response (HTTP status 403, text/html) is not one of DynamoDB's: a proxy or another server sent it
    cruddur: DynamoDB is not available: the response (HTTP status 200, text/html) is not one of DynamoDB's: a proxy or another server sent it
    cruddur: DynamoDB is not available: the response (HTTP status 404, text/plain) is not one of DynamoDB's: a proxy or another server sent it
    ");
}

#[tokio::test]
async fn unreachable_endpoints_are_reported_in_plain_words() {
    let plain = StandIn::start([(400, "text/plain", String::new())]).await;
    let without_tls = plain.url.replace("http://", "https://");
    let (certificate, _server) = untrusted_tls().await;
    let mut reported = String::new();
    for (url, place) in [
        ("http://127.0.0.1:1", "http://closed"),
        (without_tls.as_str(), "https://plain"),
        (certificate.as_str(), "https://untrusted"),
    ] {
        let (code, out, stderr) = run(&mut without_aws(&["scan", "--endpoint-url", url])).await;
        assert_eq!((code, out.as_str()), (1, ""), "{stderr}");
        reported.push_str(&last_line(&stderr).replace(url, place));
    }
    insta::assert_snapshot!(reported, @r"
    cruddur: DynamoDB at http://closed is not available: Connection refused. Start it, or select another with --endpoint-url, AWS_ENDPOINT_URL or --prod.
    cruddur: DynamoDB at https://plain is not available: the server does not respond with TLS. Start it, or select another with --endpoint-url, AWS_ENDPOINT_URL or --prod.
    cruddur: DynamoDB at https://untrusted is not available: the server's TLS certificate is not accepted: its issuer is not trusted. Start it, or select another with --endpoint-url, AWS_ENDPOINT_URL or --prod.
    ");

    // The rest of the line comes from the operating system.
    let url = "http://dynamodb.invalid";
    let mut command = without_aws(&["scan", "--endpoint-url", url]);
    command.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
    let (code, _, stderr) = run(&mut command).await;
    assert_eq!(code, 1);
    let line = last_line(&stderr);
    assert!(
        line.contains(&format!("DynamoDB at {url} is not available")),
        "{line}"
    );
}

#[tokio::test]
async fn credentials_that_cannot_be_loaded_are_reported_in_plain_words() {
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("config");
    let mut reported = String::new();
    for (name, content, variables) in [
        ("none", "", &[][..]),
        (
            "missing profile",
            "[profile one]\nregion = eu-west-1\n[profile two]\n",
            &[("AWS_PROFILE", "three")],
        ),
        ("missing profile, no files", "", &[("AWS_PROFILE", "three")]),
        (
            "missing source",
            "[profile one]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = other\n",
            &[("AWS_PROFILE", "one")],
        ),
        (
            "malformed",
            "[profile one\nregion = eu-west-1\n",
            &[("AWS_PROFILE", "one")],
        ),
        ("no equals sign", "[default]\nregion\n", &[]),
        (
            "login",
            "[profile one]\nlogin_session = arn:aws:iam::123456789012:user/luu\n",
            &[("AWS_PROFILE", "one")],
        ),
        (
            "sso",
            "[profile one]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.invalid/start\n",
            &[("AWS_PROFILE", "one")],
        ),
        (
            "process fails",
            "[profile one]\ncredential_process = sh -c 'echo no such vault >&2; exit 3'\n",
            &[("AWS_PROFILE", "one")],
        ),
        (
            "process prints no JSON",
            "[profile one]\ncredential_process = echo secret-text\n",
            &[("AWS_PROFILE", "one")],
        ),
        (
            "loop",
            "[profile one]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = two\n[profile two]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = one\n",
            &[("AWS_PROFILE", "one")],
        ),
        ("half a key", "", &[("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")]),
        (
            "no such region",
            "",
            &[
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                ("AWS_REGION", "eu west"),
            ],
        ),
        (
            "no region",
            "",
            &[
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                ("AWS_REGION", ""),
            ],
        ),
    ] {
        std::fs::write(&config, content).expect("a file");
        let mut command = without_aws(&["scan", "--prod"]);
        command
            .env("HOME", home.path())
            .env("AWS_CONFIG_FILE", &config)
            .envs(variables.iter().copied());
        let (code, out, stderr) = run(&mut command).await;
        assert_eq!((code, out.as_str()), (1, ""), "{name}: {stderr}");
        assert!(!stderr.contains("secret-text"), "{name}: {stderr}");
        let line = last_line(&stderr);
        let line = line.replace(&config.display().to_string(), "CONFIG");
        reported.push_str(&[name, ": ", &line].concat());
    }
    insta::assert_snapshot!(reported, @r#"
    none: cruddur: no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`
    missing profile: cruddur: there is no AWS profile "three": the profiles are one, two
    missing profile, no files: cruddur: there is no AWS profile "three": there are no profiles in ~/.aws/config or ~/.aws/credentials
    missing source: cruddur: there is no AWS profile "other": the profiles are one
    malformed: cruddur: the AWS profiles cannot be read: error parsing CONFIG on line 1: Profile definition must end with ']'
    no equals sign: cruddur: the AWS profiles cannot be read: error parsing CONFIG on line 2: Expected an '=' sign defining a property
    login: cruddur: the AWS profile "one" signs in with `aws login`, which is not supported directly: add a profile with `credential_process = aws configure export-credentials --profile one --format process`, and set AWS_PROFILE to its name
    sso: cruddur: the AWS credentials could not be loaded: failed to load the cached SSO token. Sign in with `aws sso login --profile one`.
    process fails: cruddur: the AWS credentials could not be loaded: Error retrieving credentials: external process exited with code exit status: 3. Stderr: no such vault
    process prints no JSON: cruddur: the AWS credentials could not be loaded: Error retrieving credentials from external process, could not parse response: invalid JSON in response: Error at offset 0: unexpected token 's'. Expected one of '{', '[', '"', 'null', 'true', 'false', <number>
    loop: cruddur: the AWS profiles one, two refer to each other in a cycle
    half a key: cruddur: no AWS credentials were found: AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not
    no such region: cruddur: the AWS region "eu west" is not the name of a region, such as eu-central-1
    no region: cruddur: no AWS region was found: set AWS_REGION, or a region in the profile
    "#);
}

/// Returns the line with the error of a command, after the lines that state its
/// actions. No line may contain internal terms of the SDK.
fn last_line(stderr: &str) -> String {
    for internal in INTERNALS {
        assert!(!stderr.contains(internal), "{internal}: {stderr}");
    }
    let line = stderr.lines().last().expect("a line");
    assert!(line.starts_with("cruddur: "), "{stderr}");
    format!("{line}\n")
        .replace(" (os error 111)", "")
        .replace(" (os error 61)", "")
}

/// Starts a server with a self-signed certificate.
async fn untrusted_tls() -> (String, tokio::task::JoinHandle<()>) {
    use rustls::pki_types::PrivateKeyDer;

    let key =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // The client aborts the handshake.
            let _ = acceptor.accept(connection).await;
        }
    });
    (format!("https://localhost:{port}"), server)
}
