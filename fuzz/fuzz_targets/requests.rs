//! Sends any bytes as a request: its `Accept`, its content type, and its query
//! string or its body. Every request must get a response without an internal
//! error.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run requests -- -max_len=65536 -len_control=0
//! -timeout=2 -rss_limit_mb=512`
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderValue, Request};
use cruddur::auth::{CognitoVerifier, Issuers, TokenUse};
use cruddur::clock::Clock;
use cruddur::schema::{Api, Introspection, Limits, SendRate};
use cruddur::messaging::{Bus, Directory, Messaging};
use cruddur::server::{App, Bounds, Documents, Graphiql, Health, Origins, router, TrustedProxies};
use cruddur::store::{DynamoTarget, MessageStore, UserStore, connect_dynamo};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

static ROUTER: LazyLock<Router> = LazyLock::new(|| RUNTIME.block_on(routes()));

/// A server whose stores are unreachable, so that no user can sign in.
async fn routes() -> Router {
    let nowhere = "127.0.0.1:1";
    let pool = sqlx::PgPool::connect_lazy(&format!("postgres://nobody@{nowhere}/none"));
    let users = UserStore::new(pool.expect("an address"));
    let target = DynamoTarget::Endpoint(format!("http://{nowhere}"));
    let messages = MessageStore::new(connect_dynamo(&target).await, "none".to_owned());
    let issuers = Issuers::named(vec![format!("http://{nowhere}")]).expect("an issuer");
    let clients = HashSet::from(["client".to_owned()]);
    let directory = Directory::new(users.clone(), Duration::from_secs(30));
    let messaging = Messaging::new(messages.clone(), directory, Clock::system(), Bus::local());
    router(App {
        api: Api::new(Introspection::Public, Limits::default()).expect("a valid schema"),
        messaging,
        verifier: CognitoVerifier::start(&issuers, clients, TokenUse::Access),
        health: Health::new(messages, users),
        documents: Documents::default(),
        graphiql: Graphiql::Off,
        origins: Origins {
            any_localhost: true,
            ..Origins::default()
        },
        trusted_proxies: TrustedProxies::default(),
        send_rate: SendRate::new(0, 0),
        bounds: Bounds::default(),
    })
}

fuzz_target!(|bytes: &[u8]| {
    // The input has two lines of headers, a line with the query string, and the body.
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [accept, content_type] = [line(), line()].map(HeaderValue::from_bytes);
    let query = String::from_utf8_lossy(line()).into_owned();
    let body = line().to_vec();
    let mut request = Request::builder().uri(format!("/graphql?{query}"));
    if !body.is_empty() {
        request = request.method("POST");
    }
    for (name, value) in [(ACCEPT, accept), (CONTENT_TYPE, content_type)] {
        if let Ok(value) = value {
            request = request.header(name, value);
        }
    }
    // An input with an invalid URL or header is not a request.
    let Ok(request) = request.body(Body::from(body)) else {
        return;
    };
    let router = ROUTER.clone();
    RUNTIME.block_on(async {
        let Ok(answer) = router.oneshot(request).await;
        let status = answer.status();
        assert!(status.as_u16() < 500, "{status}");
        let answer = axum::body::to_bytes(answer.into_body(), 4_000_000).await;
        answer.expect("an answer that ends");
    });
});
