//! The API in another axum application, by `async-graphql-axum`.

#[allow(dead_code, reason = "the test does not use the example's `main`")]
#[path = "../../examples/embed.rs"]
mod example;

use serde_json::{Value, json};

use crate::harness::{Cruddur, start};
use example::{Application, routes};

/// Serves the application of the example with the stores of a test.
async fn application(cruddur: &Cruddur) -> String {
    let app = cruddur.app();
    let application = Application {
        api: app.api.clone(),
        messaging: app.messaging.clone(),
        verifier: app.verifier.clone(),
        send_rate: app.send_rate.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes(application)).await });
    url
}

async fn execute(cruddur: &Cruddur, url: &str, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables });
    let response = cruddur
        .http
        .post(format!("{url}/messages/graphql"))
        .bearer_auth(cruddur.token("luu"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("a response");
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn embedded_api_responds_like_the_server() {
    let cruddur = start().await;
    let [luu, mei] = cruddur.users(["luu", "mei"]).await;
    cruddur.seed([&luu, &mei], "2026-11-22T06:29:00Z", 3).await;
    let url = application(&cruddur).await;

    for (query, variables) in [
        (
            "query Q($first: Int) { messageGroups(first: $first) { edges { node { uuid otherUser { handle } \
             lastMessage { body sender { displayName } } } } pageInfo { hasNextPage } } }",
            json!({ "first": 5 }),
        ),
        ("{ nothing }", json!({})),
        (
            "{ messageGroups(first: 101) { pageInfo { endCursor } } }",
            json!({}),
        ),
        (
            "{ a: viewer { handle } b: __type(name: \"User\") { name } }",
            json!({}),
        ),
    ] {
        let embedded = execute(&cruddur, &url, query, variables.clone()).await;
        let served = cruddur.execute("luu", query, variables).await;
        assert_eq!(embedded["data"], served["data"], "{query}");
        assert_eq!(embedded["errors"], served["errors"], "{query}");
    }
    let sent = "mutation($to: String!) { createMessage(input: { to: { receiverHandle: $to }, body: \"hello\" }) \
                { ... on CreateMessageSuccess { messageEdge { node { body } } } } }";
    let sent = execute(&cruddur, &url, sent, json!({ "to": "mei" })).await;
    let body = &sent["data"]["createMessage"]["messageEdge"]["node"]["body"];
    assert_eq!(body, "hello", "{sent}");
}

#[tokio::test]
async fn embedded_api_requires_a_session_from_the_application() {
    let cruddur = start().await;
    let url = application(&cruddur).await;

    let own = cruddur.http.get(&url).send().await.expect("a response");
    assert_eq!(own.status(), 200);
    let request = cruddur.http.post(format!("{url}/messages/graphql"));
    let request = request.header("content-type", "application/json");
    let rejected = request
        .body(r#"{"query":"{ viewer { handle } }"}"#)
        .send()
        .await;
    assert_eq!(rejected.expect("a response").status(), 401);
}
