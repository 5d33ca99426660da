//! The opening handshake of a WebSocket, with the variations that clients and proxies send.

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::auth::{Caller, TokenError};
use crate::server::authenticate::{CallerError, authenticate};
use crate::server::origin::Origin;
use crate::server::rejection::Rejection;
use crate::server::state::App;

/// The version of the WebSocket protocol (RFC 6455).
const VERSION: &str = "13";
/// The headers of a handshake.
const UPGRADE_HEADERS: [(HeaderName, &str); 3] = [
    (CONNECTION, "upgrade"),
    (UPGRADE, "websocket"),
    (SEC_WEBSOCKET_VERSION, VERSION),
];
/// Maximum number of characters of a header that are logged.
const MAX_LOGGED_CHARS: usize = 200;

/// Returns whether a request asks for a WebSocket. Some proxies remove the hop-by-hop headers, but
/// a browser's handshake always has a key.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    lists(headers, &UPGRADE, "websocket") || headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// Validates the handshake: the origin of the page and the headers. Returns the response if it is
/// rejected.
pub(super) async fn accept(app: &App, parts: &mut Parts) -> Result<WebSocketUpgrade, Response> {
    let allowed = check_origin(app, &parts.headers).await;
    allowed.map_err(IntoResponse::into_response)?;
    let headers = &parts.headers;
    let is_upgrade =
        lists(headers, &CONNECTION, "upgrade") && lists(headers, &UPGRADE, "websocket");
    if parts.version < Version::HTTP_11 || !is_upgrade {
        let message = "A WebSocket requires HTTP/1.1 with the headers `Connection: Upgrade` and `Upgrade: websocket`. \
            If a proxy is in front of this server, configure it to forward them.";
        return Err(upgrade_required(message));
    }
    let has_version = headers.contains_key(SEC_WEBSOCKET_VERSION);
    if has_version && !lists(headers, &SEC_WEBSOCKET_VERSION, VERSION) {
        let message = "A WebSocket requires the header `Sec-WebSocket-Version: 13`.";
        return Err(upgrade_required(message));
    }
    merge_list_headers(&mut parts.headers);
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    upgrade.map_err(|rejection| {
        let message = format!("Invalid WebSocket handshake: {}.", rejection.body_text());
        Rejection::bad_request(StatusCode::BAD_REQUEST, message).into_response()
    })
}

/// Replaces list headers, which may have several lines, by the single value that axum requires:
/// axum reads only the first line.
fn merge_list_headers(headers: &mut HeaderMap) {
    for (name, value) in UPGRADE_HEADERS {
        if lists(headers, &name, value) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Returns whether a list header contains this item, case-insensitively. The list may span several
/// lines (RFC 9110, 5.3).
fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    let lines = headers.get_all(name).iter();
    let mut items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    items.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(item.as_bytes()))
}

fn upgrade_required(message: &str) -> Response {
    let rejection = Rejection::bad_request(StatusCode::UPGRADE_REQUIRED, message);
    (UPGRADE_HEADERS, rejection).into_response()
}

/// Checks the origin of the page. Browsers let every page open a WebSocket to any server, and send
/// the page's origin. Allowed are origins that may call the API, this server's own origin, and
/// requests with a valid token in `Authorization`, a header that a page cannot set.
async fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Rejection> {
    let host = headers.get(HOST);
    let is_own = |page: &HeaderValue| {
        let origin = Origin::of(page);
        origin.is_some_and(|origin| host.is_some_and(|host| origin.is_of_host(host)))
    };
    let is_foreign = |page: &&HeaderValue| !app.origins.allow(page) && !is_own(page);
    let Some(foreign) = headers.get_all(ORIGIN).iter().find(is_foreign) else {
        return Ok(());
    };
    match timeout(app.bounds.request_within, authenticate(app, headers)).await {
        Ok(Ok(Caller::SignedIn { .. })) => return Ok(()),
        Ok(Err(error @ CallerError::Token(TokenError::KeysUnavailable))) => {
            return Err(error.into());
        }
        Err(_) => return Err(Rejection::timed_out()),
        Ok(Ok(Caller::Anonymous) | Err(_)) => {}
    }
    let (origin, host) = (logged(Some(foreign)), logged(host));
    tracing::info!(
        origin,
        host,
        "a WebSocket was rejected: its Origin is neither in --cors-origin nor that of its Host"
    );
    let message = "The origin of this page is not allowed.";
    Err(Rejection::forbidden(message))
}

fn logged(header: Option<&HeaderValue>) -> String {
    let text = header.map(|header| String::from_utf8_lossy(header.as_bytes()));
    let text = text.unwrap_or_default();
    text.chars().take(MAX_LOGGED_CHARS).collect()
}
