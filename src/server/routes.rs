//! The routes of the server, and their middleware.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use super::http::graphql;
use super::rejection::{Rejection, method_not_allowed, not_found};
use super::request_id::{REQUEST_ID, remove_invalid_id, request_span};
use super::state::{App, ServerState};
use super::{health, websocket};

/// Creates the routes and their middleware.
pub fn router(app: App) -> Router {
    let trusted_proxies = app.trusted_proxies.clone();
    let layers = tower::ServiceBuilder::new()
        .map_request(remove_invalid_id)
        .map_request(move |request| trusted_proxies.find_client(request))
        .sensitive_request_headers([AUTHORIZATION].into())
        .set_request_id(REQUEST_ID.clone(), MakeRequestUuid)
        .layer(
            // The access log already has one line per request, with more fields than these events.
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_request(())
                .on_response(())
                .on_eos(())
                .on_failure(()),
        )
        .propagate_request_id(REQUEST_ID.clone())
        .layer(app.origins.layer())
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(CatchPanicLayer::custom(|_cause| {
            Rejection::internal().into_response()
        }));
    Router::new()
        .route("/graphql", post(graphql).get(graphql_or_websocket))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(app.graphiql.clone().routes())
        .merge(app.web_app.routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(layers)
        .with_state(ServerState::new(app))
}

/// Serves `/graphql` for both transports: a request for a WebSocket upgrades its connection, and
/// every other request is handled as GraphQL over HTTP.
async fn graphql_or_websocket(state: State<ServerState>, request: Request) -> Response {
    if websocket::is_websocket(request.headers()) {
        websocket::upgrade(state, request).await
    } else {
        graphql(state, request).await
    }
}

/// Sets a header on every response that does not set it itself.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
