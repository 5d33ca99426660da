//! The HTTP server: routes, sockets, who calls, and the way down to `schema`.

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

/// What a running server is made of. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The schema.
    pub api: Api,
    /// The documents that are known by an id.
    pub documents: Documents,
    /// The rules and the stores under them.
    pub messaging: Messaging,
    /// The check of tokens.
    pub verifier: CognitoVerifier,
    /// The check of the stores.
    pub health: Arc<Health>,
    /// The explorer in the browser.
    pub graphiql: Graphiql,
    /// Whose pages may call.
    pub origins: Origins,
    /// How fast one caller may send messages.
    pub send_rate: SendRate,
    /// How much there may be at a time.
    pub bounds: Bounds,
}

/// How much there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// GraphQL requests that are worked on; the others are sent away.
    pub in_flight: usize,
    /// Bytes of answers that are being made, or that nobody has read yet.
    pub unread_bytes: usize,
    /// Connections, sockets among them; the others are sent away.
    pub connections: usize,
    /// How long the head of a request may take.
    pub head_within: Duration,
    /// How long a client may leave an answer unread.
    pub write_within: Duration,
    /// How long a connection may be silent between two requests: longer than
    /// a load balancer keeps its own.
    pub idle_for: Duration,
    /// How long a socket may be silent before it says who it is.
    pub init_within: Duration,
    /// How often a socket is sent a ping. One from which nothing has come since
    /// the ping before the last is cut.
    pub ping_every: Duration,
    /// Subscriptions of a socket.
    pub subscriptions: usize,
    /// Sockets of a user; the others are sent away.
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

/// The routes.
pub fn router(app: App) -> Router {
    let load = Load::new(&app.bounds);
    let cors = app.origins.layer();
    let layers = tower::ServiceBuilder::new()
        .map_request(without_strange_id)
        .sensitive_request_headers([AUTHORIZATION].into())
        .set_request_id(REQUEST_ID.clone(), MakeRequestUuid)
        .layer(
            // A request has one line, which says more than these would.
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

/// A path for both: what asks for a WebSocket gets one.
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

/// A request id of the client's is kept where it is one: it goes into every
/// line of the log.
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

/// Sets a header on every answer that does not say otherwise.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Every line of a request has its id, so that this is there whatever is logged.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("");
    tracing::error_span!("request", id, method = %request.method(), path = request.uri().path())
}
