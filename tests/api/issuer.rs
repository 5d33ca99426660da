//! The local issuer: sign-in with OIDC, and the clients that it accepts.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use cruddur::clock::Clock;
use cruddur::dev::{CLIENT_ID, Clients, Issuer, SigningKey};
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HOST, LOCATION, ORIGIN};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Cruddur, Process, cruddur as program, free_port, start};

const PAGE: &str = "http://127.0.0.1:4000/signed-in";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

/// A browser that shows redirects instead of following them.
fn browser() -> Client {
    let client = Client::builder().redirect(Policy::none()).build();
    client.expect("a client")
}

async fn configuration(cruddur: &Cruddur) -> Value {
    let url = format!("{}/.well-known/openid-configuration", cruddur.issuer.url());
    let response = cruddur.http.get(url).send().await.expect("a response");
    response.json().await.expect("JSON")
}

/// The URL of the sign-in page, with changed or additional parameters.
fn authorize_url(configuration: &Value, changes: &[(&str, &str)]) -> Url {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    let mut parameters = HashMap::from([
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", PAGE),
        ("scope", "openid"),
        ("state", "a state & more"),
        ("nonce", "a nonce"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    parameters.extend(changes.iter().copied());
    let endpoint = configuration["authorization_endpoint"].as_str();
    Url::parse_with_params(endpoint.expect("a URL"), parameters).expect("a URL")
}

/// The authorization code in the URL of the redirect.
async fn code(configuration: &Value, handle: &str) -> String {
    let url = authorize_url(configuration, &[("login_hint", handle)]);
    let redirect = browser().get(url).send().await.expect("a response");
    assert_eq!(redirect.status(), StatusCode::SEE_OTHER);
    let to = redirect.headers()[LOCATION].to_str().expect("a text");
    let to = Url::parse(to).expect("a URL");
    assert!(to.as_str().starts_with(PAGE), "{to}");
    let parameters: HashMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!(parameters["state"], "a state & more");
    parameters["code"].clone()
}

async fn token(configuration: &Value, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
    let endpoint = configuration["token_endpoint"].as_str().expect("a URL");
    let body = Url::parse_with_params("http://localhost", parameters).expect("a form");
    let request = Client::new()
        .post(endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.query().unwrap_or_default().to_owned());
    let response = request.send().await.expect("a response");
    (response.status(), response.json().await.expect("JSON"))
}

async fn redeem(configuration: &Value, code: &str, verifier: &str) -> (StatusCode, Value) {
    let parameters = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", PAGE),
        ("code", code),
        ("code_verifier", verifier),
    ];
    token(configuration, &parameters).await
}

pub fn claims(token: &Value) -> Value {
    let token = token.as_str().expect("a token");
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&payload).expect("JSON")
}

async fn handle_of(cruddur: &Cruddur, token: &Value) -> Value {
    let request = cruddur.http.post(format!("{}/graphql", cruddur.url));
    let request = request
        .bearer_auth(token.as_str().expect("a token"))
        .json(&json!({ "query": "{ viewer { handle } }" }));
    let response = request.send().await.expect("a response");
    let mut response: Value = response.json().await.expect("JSON");
    response["data"]["viewer"]["handle"].take()
}

#[tokio::test]
async fn authorization_code_with_pkce_signs_in_and_a_refresh_token_renews() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let configuration = configuration(&cruddur).await;
    assert_eq!(configuration["issuer"], cruddur.issuer.url());

    let code = code(&configuration, "unamused").await;
    let (status, tokens) = redeem(&configuration, &code, VERIFIER).await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 24 * 60 * 60);
    assert_eq!(
        handle_of(&cruddur, &tokens["access_token"]).await,
        "unamused"
    );
    let id = claims(&tokens["id_token"]);
    assert_eq!(id["nonce"], "a nonce");
    assert_eq!(id["aud"], CLIENT_ID);
    assert_eq!(id["sub"], "sub-unamused");

    let refresh = tokens["refresh_token"].as_str().expect("a token");
    let parameters = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT_ID),
        ("refresh_token", refresh),
    ];
    let (status, renewed) = token(&configuration, &parameters).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(renewed["access_token"], tokens["access_token"]);
    let renewed_id = claims(&renewed["id_token"]);
    assert_eq!(renewed_id["auth_time"], id["auth_time"]);
    assert_eq!(
        handle_of(&cruddur, &renewed["access_token"]).await,
        "unamused"
    );
}

#[tokio::test]
async fn authorization_code_is_valid_once_and_with_its_verifier_only() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let configuration = configuration(&cruddur).await;

    let used = code(&configuration, "luu").await;
    redeem(&configuration, &used, VERIFIER).await;
    let stolen = code(&configuration, "luu").await;
    for (code, verifier) in [
        (used.as_str(), VERIFIER),
        (&stolen, "another-verifier"),
        ("nonsense", VERIFIER),
    ] {
        let (status, error) = redeem(&configuration, code, verifier).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{code}");
        assert_eq!(error, json!({ "error": "invalid_grant" }));
    }
    // Only a refresh token can be exchanged for new tokens.
    let access = cruddur.token("luu");
    for refresh_token in [access.as_str(), "nonsense", ""] {
        let parameters = [
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT_ID),
            ("refresh_token", refresh_token),
        ];
        let (_, error) = token(&configuration, &parameters).await;
        assert_eq!(error, json!({ "error": "invalid_grant" }));
    }
}

#[tokio::test]
async fn authorize_page_lists_demo_users_and_redirects_only_to_this_machine() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "quinn"]).await;
    let configuration = configuration(&cruddur).await;
    let get = async |changes: &[(&str, &str)]| {
        let url = authorize_url(&configuration, changes);
        browser().get(url).send().await.expect("a response")
    };

    let page = get(&[("state", "\"><script>")]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.expect("a page");
    for part in [
        "value=\"luu\"",
        "(@unamused)",
        "value=\"&quot;&gt;&lt;script&gt;\"",
    ] {
        assert!(page.contains(part), "{part} {page}");
    }
    assert!(!page.contains("quinn"));

    // Users that are not listed can sign in by their handle.
    let redirect = get(&[("login_hint", "quinn")]).await;
    assert_eq!(redirect.status(), StatusCode::SEE_OTHER);
    let unknown = get(&[("login_hint", "<nobody>")]).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let page = unknown.text().await.expect("a page");
    assert!(
        page.contains("No user with the handle &lt;nobody&gt;"),
        "{page}"
    );

    for wrong in [
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "http://localhost.evil.example/"),
        ("client_id", "another"),
        ("response_type", "token"),
        ("code_challenge_method", "plain"),
    ] {
        let rejected = get(&[wrong, ("login_hint", "luu")]).await;
        assert_eq!(rejected.status(), StatusCode::BAD_REQUEST, "{wrong:?}");
    }
}

#[tokio::test]
async fn logout_redirects_to_this_machine_only() {
    let cruddur = start().await;
    let configuration = configuration(&cruddur).await;
    let endpoint = configuration["end_session_endpoint"].as_str();
    for (parameter, to, expected) in [
        (
            "logout_uri",
            "http://localhost:4000/",
            StatusCode::SEE_OTHER,
        ),
        (
            "post_logout_redirect_uri",
            "http://127.0.0.1:5173/",
            StatusCode::SEE_OTHER,
        ),
        ("logout_uri", "https://evil.example/", StatusCode::OK),
    ] {
        let url = Url::parse_with_params(endpoint.expect("a URL"), [(parameter, to)]);
        let response = browser().get(url.expect("a URL")).send().await;
        let response = response.expect("a response");
        assert_eq!(response.status(), expected, "{to}");
        let location = response.headers().get(LOCATION);
        assert_eq!(
            location.is_some_and(|location| location == to),
            expected == 303
        );
    }
}

#[tokio::test]
async fn issuer_cors_allows_pages_of_this_machine_only() {
    let cruddur = start().await;
    let root = cruddur.issuer.root();
    for path in [
        format!("{}/.well-known/openid-configuration", cruddur.issuer.url()),
        format!("{}/.well-known/jwks.json", cruddur.issuer.url()),
        format!("{root}/token"),
        format!("{root}/oauth2/token"),
    ] {
        for (origin, allowed) in [
            ("http://localhost:5173", true),
            ("http://127.0.0.1:4000", true),
            ("https://cruddur.com", false),
            ("null", false),
        ] {
            let preflight = cruddur
                .http
                .request(reqwest::Method::OPTIONS, &path)
                .header(ORIGIN, origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "content-type");
            let preflight = preflight.send().await.expect("a response");
            let allows = preflight.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(
                allows.is_some_and(|allows| allows == origin),
                allowed,
                "{origin} {path}"
            );
        }
    }
}

/// An address of this machine other than the loopback address. The issuer treats a client with this
/// address like a client on another machine. `None` without a network.
fn address_of_another_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a UDP socket sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
async fn tokens_are_issued_to_other_machines_only_if_they_are_allowed() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let Some(address) = address_of_another_machine() else {
        println!("left out: this machine has only a loopback address");
        return;
    };
    for (clients, expected) in [
        (Clients::Local, StatusCode::FORBIDDEN),
        (Clients::Any, StatusCode::OK),
    ] {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let issuer = Issuer::new(
            SigningKey::generate().expect("a key"),
            "http://localhost:4001",
            cruddur.users.clone(),
            Clock::system(),
            TimeDelta::seconds(2),
        );
        let serving = tokio::spawn(issuer.serve(listener, clients, std::future::pending()));
        let request_token = async |host: &str, name: &str| -> Response {
            let request = cruddur.http.post(format!("http://{host}:{port}/token"));
            let request = request.header(HOST, name).json(&json!({ "handle": "luu" }));
            request.send().await.expect("a response")
        };

        let from_elsewhere = request_token(&address.to_string(), "localhost").await;
        assert_eq!(from_elsewhere.status(), expected);
        let by_foreign_name = request_token("127.0.0.1", "evil.example").await;
        assert_eq!(by_foreign_name.status(), StatusCode::FORBIDDEN);
        let local = request_token("127.0.0.1", "localhost").await;
        let local: Value = local.json().await.expect("JSON");
        assert_eq!(local["expires_in"], 2);
        let claims = claims(&local["access_token"]);
        let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(2));
        serving.abort();
    }
}

#[tokio::test]
async fn issuer_command_issues_tokens_to_other_machines_with_allow_remote() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let Some(address) = address_of_another_machine() else {
        println!("left out: this machine has only a loopback address");
        return;
    };
    for (options, expected) in [
        (&[][..], StatusCode::FORBIDDEN),
        (&["--allow-remote"], StatusCode::OK),
    ] {
        let port = free_port();
        let mut command = program(&["issuer", "--listen", &format!("0.0.0.0:{port}")]);
        command
            .args(options)
            .env("DATABASE_URL", &cruddur.database.url);
        let process = Process::spawn(&mut command);
        process.line_with("issuing as http://localhost:4001/").await;

        let request = cruddur.http.post(format!("http://{address}:{port}/token"));
        let request = request
            .header(HOST, "localhost")
            .json(&json!({ "handle": "luu" }));
        let issued = request.send().await.expect("a response");

        assert_eq!(issued.status(), expected);
    }
}
