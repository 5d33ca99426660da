//! Cross-origin requests as browsers send them: the preflight and the origin.

use reqwest::{Method, Response};

use crate::commands::run;
use crate::harness::{Cruddur, OURS, Serving, Socket, cruddur, start, with_stores};

const ORIGINS: &str =
    "capacitor://localhost, ionic://localhost,tauri://localhost,HTTPS://App.Example:443";

async fn preflight(cruddur: &Cruddur, url: &str, origin: &str, headers: &str) -> Response {
    let request = cruddur
        .http
        .request(Method::OPTIONS, format!("{url}/graphql"));
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers);
    request.send().await.expect("a response")
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().expect("text").to_ascii_lowercase())
}

/// Returns whether a browser would send a request with these headers.
async fn is_allowed(cruddur: &Cruddur, url: &str, origin: &str, headers: &str) -> bool {
    let response = preflight(cruddur, url, origin, headers).await;
    let allowed_origin = header(&response, "access-control-allow-origin");
    let allowed = header(&response, "access-control-allow-headers").unwrap_or_default();
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
    let mut headers = headers.split(',');
    allowed_origin.as_deref() == Some(origin) && headers.all(|name| allowed.contains(&name))
}

#[tokio::test]
async fn cors_preflight_allows_the_headers_of_the_usual_tools() {
    let cruddur = start().await;
    for headers in [
        "apollographql-client-name,apollographql-client-version,authorization,content-type",
        "apollo-require-preflight,authorization",
        "x-apollo-operation-name,graphql-require-preflight",
        "graphql-client-name,graphql-client-version",
        "baggage,traceparent,tracestate",
        "baggage,sentry-trace",
        "x-datadog-origin,x-datadog-parent-id,x-datadog-sampling-priority,x-datadog-trace-id",
        "newrelic,traceparent,tracestate",
        "b3,x-b3-traceid,x-b3-spanid,x-b3-sampled,uber-trace-id,x-amzn-trace-id",
        "accept,cache-control,last-event-id",
        "x-request-id,x-correlation-id,x-requested-with",
    ] {
        let origin = "https://cruddur.example";
        assert!(
            is_allowed(&cruddur, &cruddur.url, origin, headers).await,
            "{headers}"
        );
        let foreign = "https://evil.example";
        assert!(!is_allowed(&cruddur, &cruddur.url, foreign, headers).await);
    }
    let origin = "https://cruddur.example";
    assert!(!is_allowed(&cruddur, &cruddur.url, origin, "x-app-version").await);
}

#[tokio::test]
async fn cors_origins_of_web_views_and_more_headers_are_settings() {
    let stores = start().await;
    let options = [
        "--cors-origin",
        ORIGINS,
        "--cors-header",
        "x-app-version, X-Tenant",
    ];
    let serving = Serving::start(&stores, &options).await;

    for (origin, expected) in [
        ("capacitor://localhost", true),
        ("ionic://localhost", true),
        ("tauri://localhost", true),
        ("https://app.example", true),
        ("http://app.example", false),
        ("http://localhost", false),
        ("capacitor://other", false),
        ("null", false),
    ] {
        let headers = "authorization,x-app-version,x-tenant";
        let allowed = is_allowed(&stores, &serving.url, origin, headers).await;
        assert_eq!(allowed, expected, "{origin}");
    }
    // The same origins may open WebSockets.
    for (origin, status) in [("tauri://localhost", 101), ("capacitor://other", 403)] {
        let headers = [OURS, ("Origin", origin)];
        let opened = Socket::open_with(&serving.url, &headers).await;
        let head = opened.map_or_else(|head| head, |socket| socket.head);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    // The API uses no cookies.
    let response = preflight(&stores, &serving.url, "https://app.example", "x-tenant").await;
    assert_eq!(header(&response, "access-control-allow-credentials"), None);
}

#[tokio::test]
async fn cors_origin_that_no_page_can_have_is_rejected_at_startup() {
    let stores = start().await;
    for (origin, reason) in [
        ("https://*.example", "wildcards are not supported"),
        ("app.example", "expected a scheme and a host"),
        ("https://app.example/chat", "expected a scheme and a host"),
        ("wss://app.example", "use http or https"),
        ("null", "any site"),
    ] {
        let mut command = cruddur(&["serve", "--cors-origin", origin]);
        with_stores(&mut command, &stores);
        let (code, _, stderr) = run(&mut command).await;
        assert_eq!(code, 2, "{stderr}");
        assert!(
            stderr.contains(origin) && stderr.contains(reason),
            "{stderr}"
        );
    }
}
