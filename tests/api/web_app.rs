//! The web app's files and configuration; `web/app` has tests of its pages in a browser.

use std::collections::BTreeSet;
use std::sync::Arc;

use cruddur::auth::TokenUse;
use cruddur::server::{WebApp, WebAppConfig, WebAppSettings};
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{Cruddur, Setup, start, start_with};

const PAGES: [&str; 6] = [
    "/",
    "/messages",
    "/messages/",
    "/messages/5ae290ed-55d1-47a0-bc6d-fe2bc2700399",
    "/messages/new/luu",
    "/signed-in?code=1&state=2",
];

async fn with_app() -> Cruddur {
    let settings = WebAppSettings {
        authority: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E"
            .to_owned(),
        client_id: "client".to_owned(),
        sign_in_origin: Some("https://cruddur.auth.eu-central-1.amazoncognito.com".to_owned()),
        token_use: TokenUse::Access,
        graphiql: false,
        trusted_documents: false,
    };
    let config = WebAppConfig::new(&settings);
    start_with(Setup {
        web_app: WebApp::On(Arc::new(config)),
        ..Setup::default()
    })
    .await
}

async fn request(cruddur: &Cruddur, method: Method, path: &str, coding: &str) -> Response {
    let request = cruddur
        .http
        .request(method, format!("{}{path}", cruddur.url))
        .header(ACCEPT_ENCODING, coding);
    request.send().await.expect("a response")
}

async fn get(cruddur: &Cruddur, path: &str) -> Response {
    request(cruddur, Method::GET, path, "identity").await
}

/// The page, or `None` if the program was built without npm.
async fn page(cruddur: &Cruddur) -> Option<Response> {
    let page = get(cruddur, "/").await;
    if page.status() == 501 {
        let message = page.text().await.expect("a text");
        assert!(message.contains("Node.js"), "{message}");
        println!("left out: this program was built without the web app");
        return None;
    }
    Some(page)
}

/// The addresses in the page's `src` and `href` attributes.
fn addresses(page: &str) -> BTreeSet<&str> {
    let parts = page.split(['"', '\'']);
    let after_attribute = parts.clone().zip(parts.skip(1));
    after_attribute
        .filter(|(before, _)| before.ends_with("src=") || before.ends_with("href="))
        .map(|(_, address)| address)
        .collect()
}

#[tokio::test]
async fn web_app_is_off_by_default() {
    let cruddur = start().await;
    for path in PAGES
        .into_iter()
        .chain(["/app/config.json", "/assets/index.js"])
    {
        assert_eq!(get(&cruddur, path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn web_app_config_has_what_the_page_needs_and_nothing_secret() {
    let cruddur = with_app().await;

    let config = get(&cruddur, "/app/config.json").await;

    assert_eq!(config.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(config.headers()[CACHE_CONTROL], "no-cache");
    let tag = config.headers()[ETAG].clone();
    let config: Value = config.json().await.expect("JSON");
    assert_eq!(
        config,
        json!({
            "graphql": "/graphql",
            "graphiql": null,
            "trustedDocuments": false,
            "signIn": {
                "authority": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E",
                "clientId": "client",
                "scope": "openid",
                "tokenUse": "access",
            },
        })
    );
    let again = cruddur.http.get(format!("{}/app/config.json", cruddur.url));
    let again = again.header(IF_NONE_MATCH, tag).send().await;
    assert_eq!(again.expect("a response").status(), 304);
}

#[tokio::test]
async fn web_app_page_is_served_at_its_deep_links_with_a_strict_policy() {
    let cruddur = with_app().await;
    let Some(page) = page(&cruddur).await else {
        return;
    };
    let policy = page.headers()["content-security-policy"].clone();
    assert_eq!(
        policy,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self' https://cognito-idp.eu-central-1.amazonaws.com \
         https://cruddur.auth.eu-central-1.amazoncognito.com; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    let tag = page.headers()[ETAG].clone();
    let html = page.text().await.expect("a page");
    assert!(
        !html.contains("<style") && !html.contains(" style="),
        "{html}"
    );
    assert!(!html.contains("<script>"), "{html}");

    for path in PAGES {
        let deep_link = get(&cruddur, path).await;
        assert_eq!(deep_link.status(), 200, "{path}");
        assert_eq!(
            deep_link.headers()[CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert_eq!(deep_link.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(deep_link.headers()["content-security-policy"], policy);
        assert_eq!(deep_link.headers()["x-content-type-options"], "nosniff");
        assert_eq!(deep_link.text().await.expect("a page"), html, "{path}");

        let head = request(&cruddur, Method::HEAD, path, "identity").await;
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(
            head.headers()[CONTENT_LENGTH],
            html.len().to_string().as_str()
        );
        assert_eq!(head.text().await.expect("nothing"), "");

        let again = cruddur.http.get(format!("{}{path}", cruddur.url));
        let again = again.header(IF_NONE_MATCH, &tag).send().await;
        let again = again.expect("a response");
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.text().await.expect("nothing"), "");
    }
    for path in ["/message", "/assets", "/index.html", "/graphiql"] {
        assert_eq!(get(&cruddur, path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn web_app_assets_are_immutable_and_compressed() {
    let cruddur = with_app().await;
    let Some(page) = page(&cruddur).await else {
        return;
    };
    let html = page.text().await.expect("a page");
    let addresses = addresses(&html);
    assert!(
        addresses.iter().any(|address| address.contains(".js")),
        "{html}"
    );

    for path in addresses {
        assert!(path.starts_with("/assets/"), "{path}");
        let whole = get(&cruddur, path).await;
        assert_eq!(whole.status(), 200, "{path}");
        assert_eq!(
            whole.headers()[CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
        assert_ne!(whole.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(whole.headers()["vary"], "accept-encoding");
        assert_eq!(whole.headers().get(CONTENT_ENCODING), None);
        let whole = whole.bytes().await.expect("bytes").len();
        for (accepted, coding) in [("gzip, deflate, br", "br"), ("gzip", "gzip")] {
            let compressed = request(&cruddur, Method::GET, path, accepted).await;
            assert_eq!(compressed.headers()[CONTENT_ENCODING], coding, "{path}");
            let compressed = compressed.bytes().await.expect("bytes").len();
            assert!(compressed < whole, "{path}: {compressed} of {whole}");
        }
    }
    let licences = get(&cruddur, "/app/licences.txt").await;
    assert_eq!(
        licences.headers()[CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
    assert_eq!(licences.headers()[CACHE_CONTROL], "no-cache");
    let licences = licences.text().await.expect("a text");
    for package in [
        "react-dom",
        "@apollo/client",
        "graphql-ws",
        "oidc-client-ts",
    ] {
        assert!(licences.contains(&format!("## {package} - ")), "{licences}");
    }
    assert!(licences.contains("Permission is hereby granted"));
    for missing in [
        "/assets/index-00000000.js",
        "/assets/",
        "/assets/../index.html",
    ] {
        let missing = get(&cruddur, missing).await;
        assert_eq!(missing.status(), 404);
        assert_eq!(missing.headers()[CACHE_CONTROL], "no-store");
    }
}
