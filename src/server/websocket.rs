//! GraphQL over WebSocket: the subprotocol `graphql-transport-ws`, by
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! A connection becomes a socket here; `socket` is its life, `operations` what
//! it runs, and `writer` the only one that writes to it.

mod close;
mod conversation;
mod crowd;
mod operation;
mod operations;
mod protocol;
mod sign_in;
mod socket;
mod writer;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

pub(super) use crowd::{Crowd, Seat};

use super::load::Load;
use super::refused::Refused;
use super::serve::Lease;
use super::{App, Origins, request_id};
use crate::graphql::Code;
use socket::{Opened, live};

/// The subprotocol.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// What is kept of a socket to read into: most messages of clients are small,
/// and most sockets are silent.
const READ_BUFFER: usize = 4 * 1024;

/// Whether a request asks for a socket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let asked = headers.get(UPGRADE).map(HeaderValue::as_bytes);
    asked.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// Turns a connection into a socket.
pub(super) async fn open(
    State(app): State<App>,
    Extension(load): Extension<Load>,
    Extension(crowd): Extension<Crowd>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    if !may_open(&app.origins, &parts.headers) {
        let message = "Pages of this origin may not connect.";
        return Refused::new(StatusCode::FORBIDDEN, Code::Forbidden, message).into_response();
    }
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(wrong) => {
            let message = format!("This does not open a WebSocket: {}.", wrong.body_text());
            return Refused::bad(StatusCode::BAD_REQUEST, message).into_response();
        }
    };
    let Some(lease) = parts.extensions.remove::<Lease>() else {
        return Refused::internal().into_response();
    };
    let opened = Opened {
        request_id: request_id(&parts.headers),
        authorization: parts.headers.get(AUTHORIZATION).cloned(),
        app,
        load,
        crowd,
        lease,
    };
    let largest = opened.app.bounds.body_bytes;
    let span = tracing::Span::current();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_upgrade(|socket| live(socket, opened).instrument(span))
}

/// Browsers let every page open a socket to anywhere, and say which page it is:
/// one that may call, or one of this server's own.
fn may_open(origins: &Origins, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let mut pages = headers.get_all(ORIGIN).iter();
    pages.all(|page| origins.allow(page) || host.is_some_and(|host| is_page_of(page, host)))
}

fn is_page_of(origin: &HeaderValue, host: &str) -> bool {
    let page = origin.to_str().ok().and_then(|page| page.parse().ok());
    let authority = page.as_ref().and_then(Uri::authority);
    authority.is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
}
