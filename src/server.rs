//! The HTTP server: routes, listener, transports and authentication. It passes GraphQL operations
//! on to `schema`.

mod accept;
mod answered;
mod caller;
mod cors;
mod documents;
mod event_stream;
mod execution;
mod graphiql;
mod graphql_http;
mod health;
mod json;
mod lingering;
mod load;
mod media;
mod metrics;
mod origin;
mod received;
mod refused;
mod serve;
mod stream;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use load::Load;

pub use cors::Origins;
pub use documents::{Documents, InvalidManifest};
pub use graphiql::Graphiql;
pub use health::Health;
pub use json::InvalidJson;
pub use metrics::serve_metrics;
pub use origin::{InvalidOrigin, Origin};
pub use serve::{Stopped, serve};

use crate::auth::CognitoVerifier;
use crate::messaging::Messaging;
use crate::schema::{Api, SendRate};
use websocket::Crowd;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The state of a running server, shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The GraphQL schema.
    pub api: Api,
    /// The documents that requests can refer to by an id.
    pub documents: Documents,
    /// The business rules and the stores below them.
    pub messaging: Messaging,
    /// The verifier of access tokens.
    pub verifier: CognitoVerifier,
    /// The health check of the stores.
    pub health: Arc<Health>,
    /// The GraphiQL page.
    pub graphiql: Graphiql,
    /// The origins that may call the API from a browser.
    pub origins: Origins,
    /// The rate limit on the messages that one caller sends.
    pub send_rate: SendRate,
    /// The server's limits on concurrency, sizes and times.
    pub bounds: Bounds,
}

/// The server's limits on concurrency, sizes and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
    /// Maximum number of GraphQL requests that are executed at a time; others are rejected.
    pub in_flight: usize,
    /// Maximum number of bytes of responses that are being produced or that clients have not read
    /// yet.
    pub unread_bytes: usize,
    /// Maximum number of open connections, including WebSocket connections; others are rejected.
    pub connections: usize,
    /// Timeout for receiving the head of a request.
    pub head_within: Duration,
    /// Timeout for a client to read a response.
    pub write_within: Duration,
    /// Idle timeout of a connection between two requests. It must be longer than the idle timeout
    /// of the load balancer.
    pub idle_for: Duration,
    /// Timeout of a new WebSocket for `connection_init`.
    pub init_within: Duration,
    /// Interval between pings on a WebSocket. The server closes a WebSocket on which it has
    /// received nothing since the ping before the last.
    pub ping_every: Duration,
    /// Maximum number of subscriptions of one WebSocket.
    pub subscriptions: usize,
    /// Maximum number of WebSocket connections and event streams of one user; others are rejected.
    pub sockets_per_user: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            in_flight: 1000,
            unread_bytes: 512 * 1024 * 1024,
            connections: 10_000,
            head_within: Duration::from_secs(10),
            write_within: Duration::from_secs(20),
            idle_for: Duration::from_secs(75),
            init_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            subscriptions: 100,
            sockets_per_user: 50,
        }
    }
}

/// Creates the routes and their middleware.
pub fn router(app: App) -> Router {
    let load = Load::new(&app.bounds);
    let cors = app.origins.layer();
    let layers = tower::ServiceBuilder::new()
        .map_request(without_strange_id)
        .sensitive_request_headers([AUTHORIZATION].into())
        .set_request_id(REQUEST_ID.clone(), MakeRequestUuid)
        .layer(
            // The access log has one line per request, which contains more than these events would.
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(())
                .on_eos(())
                .on_failure(()),
        )
        .propagate_request_id(REQUEST_ID.clone())
        .layer(cors)
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(CatchPanicLayer::custom(graphql_http::panicked));
    Router::new()
        .route(
            "/graphql",
            post(graphql_http::graphql).get(graphql_or_socket),
        )
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(app.graphiql.clone().routes())
        .method_not_allowed_fallback(graphql_http::wrong_method)
        .fallback(graphql_http::no_such_path)
        .layer(layers)
        .layer(Extension(load))
        .layer(Extension(Crowd::default()))
        .with_state(app)
}

/// Serves `/graphql` for both transports: a request that asks for a WebSocket gets one, and all
/// others are handled as GraphQL over HTTP.
async fn graphql_or_socket(
    app: State<App>,
    load: Extension<Load>,
    crowd: Extension<Crowd>,
    request: axum::extract::Request,
) -> Response {
    if websocket::is_websocket(request.headers()) {
        websocket::open(app, load, crowd, request).await
    } else {
        graphql_http::graphql(app, load, crowd, request).await
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// Removes a client's `x-request-id` unless it has 1 to 64 visible ASCII characters, because the id
/// is part of every log line of the request.
fn without_strange_id<B>(mut request: Request<B>) -> Request<B> {
    let is_id = |id: &HeaderValue| {
        let visible = id.as_bytes().iter().all(u8::is_ascii_graphic);
        visible && (1..=64).contains(&id.len())
    };
    if !request.headers().get(&REQUEST_ID).is_some_and(is_id) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// Sets a header on every response that does not set it itself.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Creates the span that adds the request id to every log line of a request, whatever the log level
/// is.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("");
    tracing::error_span!("request", id, method = %request.method(), path = request.uri().path())
}
