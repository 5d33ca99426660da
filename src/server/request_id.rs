//! The ID of a request, which is in all of its log lines and in its response.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use tracing::field::display;

use super::client_address::client_address;

/// The header that contains the ID.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the ID of a request; empty outside of the router.
pub(super) fn request_id(headers: &HeaderMap) -> &str {
    let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default()
}

/// Removes a client's `x-request-id` unless it has 1 to 64 visible ASCII characters, because the ID
/// is part of every log line of the request.
pub(super) fn remove_invalid_id<B>(mut request: Request<B>) -> Request<B> {
    let is_valid = |id: &HeaderValue| {
        let visible = id.as_bytes().iter().all(u8::is_ascii_graphic);
        visible && (1..=64).contains(&id.len())
    };
    if !request.headers().get(&REQUEST_ID).is_some_and(is_valid) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// Creates the span that adds the request ID and the client's address to every log line of a
/// request, whatever the log level is.
pub(super) fn request_span<B>(request: &Request<B>) -> tracing::Span {
    let id = request_id(request.headers());
    let client = client_address(request).map(display);
    tracing::error_span!("request", id, method = %request.method(), path = request.uri().path(), client)
}
