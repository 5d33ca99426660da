//! The HTTP server: routes, who calls, and the way down to `graphql`.

mod cors;
mod graphql_http;
mod health;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, Request};
use axum::routing::{get, post};
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::trace::TraceLayer;

pub use cors::{InvalidOrigin, Origin, Origins};
pub use health::Health;
pub use serve::{Stopped, serve};

use crate::auth::CognitoVerifier;
use crate::graphql::Api;
use crate::messaging::Messaging;

/// The most bytes of a request's body.
const LARGEST_BODY: usize = 64 * 1024;
/// How long a request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a running server is made of. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The schema.
    pub api: Api,
    /// The rules and the stores under them.
    pub messaging: Messaging,
    /// The check of tokens.
    pub verifier: CognitoVerifier,
    /// The check of the stores.
    pub health: Arc<Health>,
    /// Whose pages may call.
    pub origins: Origins,
}

/// The routes.
pub fn router(app: App) -> Router {
    let cors = app.origins.layer();
    let layers = tower::ServiceBuilder::new()
        .sensitive_request_headers([AUTHORIZATION].into())
        .set_request_id(REQUEST_ID.clone(), MakeRequestUuid)
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .propagate_request_id(REQUEST_ID.clone())
        .layer(cors)
        .layer(CatchPanicLayer::custom(graphql_http::panicked));
    Router::new()
        .route(
            "/graphql",
            post(graphql_http::graphql).get(graphql_http::graphql),
        )
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(graphql_http::wrong_method)
        .fallback(graphql_http::no_such_path)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(layers)
        .with_state(app)
}

fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("");
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}
