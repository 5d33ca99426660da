//! GraphiQL's files. `tests/browser` tests the page.

use cruddur::server::Graphiql;
use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};

use crate::harness::{Cruddur, Setup, start, start_with};

async fn get(cruddur: &Cruddur, path: &str) -> Response {
    let request = cruddur.http.get(format!("{}{path}", cruddur.url));
    request.send().await.expect("a response")
}

#[tokio::test]
async fn graphiql_is_served_only_if_enabled() {
    let cruddur = start().await;
    for path in ["/", "/graphiql", "/graphiql/", "/graphiql/session/people"] {
        assert_eq!(get(&cruddur, path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn graphiql_page_refers_only_to_served_files() {
    let cruddur = start_with(Setup {
        graphiql: Graphiql::On,
        ..Setup::default()
    })
    .await;
    let page = get(&cruddur, "/graphiql").await;
    if page.status() == 501 {
        let text = page.text().await.expect("a sentence");
        assert!(text.contains("Node.js"), "{text}");
        println!("left out: this program was built without GraphiQL");
        return;
    }
    let policy = page.headers()["content-security-policy"].clone();
    let policy = policy.to_str().expect("a text");
    assert_eq!(
        policy,
        "default-src 'none'; script-src 'self'; worker-src 'self'; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
    let page = page.text().await.expect("a text");
    assert!(!page.contains("//"), "nothing from elsewhere: {page}");

    let named = page.split('"').filter(|part| part.starts_with("graphiql/"));
    let named: Vec<&str> = named.collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for name in named {
        let whole = get(&cruddur, &format!("/{name}")).await;
        assert_eq!(whole.status(), 200, "{name}");
        let kind = whole.headers()[CONTENT_TYPE].to_str().expect("a text");
        assert!(!kind.starts_with("text/plain"), "{name}: {kind}");
        let is_hashed = name.contains('-');
        assert_eq!(
            whole.headers()[CACHE_CONTROL] == "public, max-age=31536000, immutable",
            is_hashed,
            "{name}"
        );
        let whole = whole.bytes().await.expect("bytes").len();
        let compressed = cruddur.http.get(format!("{}/{name}", cruddur.url));
        let compressed = compressed.header(ACCEPT_ENCODING, "gzip, br").send().await;
        let compressed = compressed.expect("a response");
        assert_eq!(compressed.headers()[CONTENT_ENCODING], "br");
        let compressed = compressed.bytes().await.expect("bytes").len();
        assert!(compressed < whole, "{compressed} of {whole}");
    }
    let licences = get(&cruddur, "/graphiql/licences.txt").await;
    assert!(
        licences
            .text()
            .await
            .expect("a text")
            .contains("graphiql 5")
    );
    for none in ["/graphiql/nothing.js", "/graphiql/index.html"] {
        assert_eq!(get(&cruddur, none).await.status(), 404, "{none}");
    }
    let people = get(&cruddur, "/graphiql/session/people").await;
    assert_eq!(people.text().await.expect("JSON"), "[]");
}
