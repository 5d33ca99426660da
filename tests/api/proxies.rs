//! Requests through a real nginx and a real `HAProxy`, with nginx's default configuration and with the
//! files of deploy/.

use serde_json::{Value, json};

use crate::harness::{Cruddur, Events, OURS, ReverseProxy, Serving, Socket, start, wait_for};

/// The default configuration of nginx.
const DEFAULTS: &str = "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; } }";
/// The default configuration with HTTP/1.1.
const NEWER: &str =
    "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; proxy_http_version 1.1; } }";
const VIEWER: &str = "{ viewer { handle } }";

/// A file of deploy/ with the test's addresses, and without TLS.
fn deployed(file: &str, replaced: &[(&str, &str)]) -> String {
    let replace = |file: String, (there, here): &(&str, &str)| {
        assert!(file.contains(there), "{there}");
        file.replace(there, here)
    };
    replaced.iter().fold(file.to_owned(), replace)
}

fn deployed_nginx() -> String {
    let replaced = [
        ("listen 443 ssl;", "listen LISTEN;"),
        ("server 127.0.0.1:4000", "server UPSTREAM"),
        ("ssl_certificate ", "# ssl_certificate "),
        ("ssl_certificate_key ", "# ssl_certificate_key "),
    ];
    deployed(include_str!("../../deploy/nginx.conf"), &replaced)
}

fn deployed_haproxy() -> String {
    let tls = "bind :443 ssl crt /etc/haproxy/tls/certificate-and-key.pem alpn h2,http/1.1";
    let replaced = [(tls, "bind LISTEN"), ("127.0.0.1:4000", "UPSTREAM")];
    deployed(include_str!("../../deploy/haproxy.cfg"), &replaced)
}

/// nginx and `HAProxy` with the files of deploy/, as far as this machine has them.
async fn deployed_proxies(upstream: &str) -> Vec<ReverseProxy> {
    let nginx = ReverseProxy::nginx(upstream, &deployed_nginx()).await;
    let haproxy = ReverseProxy::haproxy(upstream, &deployed_haproxy()).await;
    nginx.into_iter().chain(haproxy).collect()
}

/// Returns whether events arrive while the subscription is active.
async fn events_pass(cruddur: &Cruddur, proxy: &ReverseProxy) {
    let url = format!("{}/graphql", proxy.url);
    let document = "subscription { messageCreated { messageEdge { node { body } } } }";
    let body = json!({ "query": document });
    let events = Events::open(cruddur, &url, "proxied", "unamused", &body);
    let mut events = wait_for("the head of the response", cruddur.subscribed(events)).await;
    let content_type = &events.response.headers()["content-type"];
    assert_eq!(content_type, "text/event-stream");

    cruddur.send("luu", "unamused", "hello").await;
    let event = wait_for("an event", events.next()).await;

    let (kind, data) = event.expect("an event");
    assert_eq!(kind, "next");
    let message = &data["data"]["messageCreated"]["messageEdge"]["node"];
    assert_eq!(message["body"], "hello");
}

#[tokio::test]
async fn server_sent_events_pass_through_proxies_without_buffering() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    for http in [DEFAULTS, NEWER] {
        if let Some(nginx) = ReverseProxy::nginx(&cruddur.url, http).await {
            events_pass(&cruddur, &nginx).await;
        }
    }
    for proxy in deployed_proxies(&cruddur.url).await {
        events_pass(&cruddur, &proxy).await;
    }
}

#[tokio::test]
async fn websocket_passes_through_proxies_with_the_files_of_deploy() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    for proxy in deployed_proxies(&cruddur.url).await {
        // The origin of a page that the proxy's host serves.
        let headers = [OURS, ("Origin", proxy.url.as_str())];
        let mut socket = Socket::open_with(&proxy.url, &headers)
            .await
            .expect("a socket");
        socket.init(&cruddur.token("luu")).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        let response = socket.execute("1", VIEWER, json!({})).await;
        assert_eq!(response["payload"]["data"]["viewer"]["handle"], "luu");

        let foreign = [OURS, ("Origin", "https://evil.example")];
        let rejected = Socket::open_with(&proxy.url, &foreign).await.err();
        let rejected = rejected.expect("it is rejected");
        assert!(rejected.starts_with("HTTP/1.1 403 "), "{rejected}");
    }
}

/// The line of the access log with this request ID.
async fn access_log_line(serving: &Serving, id: &str) -> Value {
    let is_it = |line: &Value| line["message"] == "answered" && line["spans"][0]["id"] == id;
    serving.line_that(is_it).await
}

/// The status of a request through a proxy. Its response has the request ID.
async fn send(url: &str, id: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = reqwest::Client::new().get(url).header("x-request-id", id);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("a response");
    response.status().as_u16()
}

#[tokio::test]
async fn access_log_has_the_address_that_trusted_proxies_forward() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let path = "/graphql?query=%7B__typename%7D";
    // An element that the client sends. A proxy appends its own element to the right of it.
    let forged = [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=198.51.100.1"),
    ];

    let trusting = Serving::start(&stores, &["--trusted-proxies", "127.0.0.0/8"]).await;
    let suspicious = Serving::start(&stores, &[]).await;
    for proxy in deployed_proxies(&trusting.url).await {
        let url = format!("{}{path}", proxy.url);
        assert_eq!(send(&url, &proxy.url, &forged).await, 401);
        let line = access_log_line(&trusting, &proxy.url).await;
        assert_eq!(line["spans"][0]["client"], "203.0.113.9");
        let ready = format!("{}/readyz", proxy.url);
        assert_eq!(send(&ready, "ready", &[]).await, 404);
    }
    let url = format!("{}{path}", suspicious.url);
    assert_eq!(send(&url, "direct", &forged).await, 401);
    let line = access_log_line(&suspicious, "direct").await;
    assert_eq!(line["spans"][0]["client"], "127.0.0.1");

    let headers = [
        OURS,
        ("x-forwarded-for", "2001:db8::7"),
        ("x-request-id", "socket"),
    ];
    let socket = Socket::open_with(&trusting.url, &headers).await;
    let mut socket = socket.expect("a socket");
    socket.init(&stores.token("luu")).await;
    assert_eq!(socket.message().await["type"], "connection_ack");
    socket.execute("1", VIEWER, json!({})).await;
    let line = access_log_line(&trusting, "socket/1").await;
    assert_eq!(line["spans"][0]["client"], "2001:db8::7");
}

#[tokio::test]
async fn websocket_that_a_proxy_does_not_forward_is_rejected_with_426() {
    let cruddur = start().await;
    for http in [
        DEFAULTS,
        // Without `proxy_http_version 1.1`.
        "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }",
    ] {
        let Some(nginx) = ReverseProxy::nginx(&cruddur.url, http).await else {
            return;
        };
        let rejected = Socket::open_with(&nginx.url, &[OURS]).await.err();
        let rejected = rejected.expect("it is rejected");
        assert!(rejected.starts_with("HTTP/1.1 426 "), "{rejected}");
    }
}
