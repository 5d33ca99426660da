//! GraphQL over WebSocket: the `graphql-transport-ws` subprotocol of
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! This module upgrades a connection to a WebSocket. `socket` manages its lifecycle, `operations`
//! runs its operations, and only `writer` writes to it.

mod close;
mod conversation;
mod crowd;
mod handshake;
mod operation;
mod operations;
mod protocol;
mod sign_in;
mod socket;
mod writer;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

pub(super) use crowd::{Crowd, Seat};
pub(super) use handshake::is_websocket;

use super::load::Load;
use super::refused::Refused;
use super::serve::Lease;
use super::{App, request_id};
use socket::{Opened, live};

/// The WebSocket subprotocol.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Size of a WebSocket's read buffer in bytes. It is small because most client messages are small,
/// and most connections are idle.
const READ_BUFFER: usize = 4 * 1024;
/// Maximum size of a message that is read, as a multiple of the maximum size of a body. A message
/// that is larger than a body ends its operation; only a message larger than this multiple closes
/// the WebSocket. The multiple is small because every WebSocket can have one partly read message in
/// memory.
const READ_AT_MOST: usize = 4;

/// Upgrades a connection to a WebSocket.
pub(super) async fn open(
    State(app): State<App>,
    Extension(load): Extension<Load>,
    Extension(crowd): Extension<Crowd>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade = match handshake::accept(&app, &mut parts).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection,
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
    let largest = opened.app.bounds.body_bytes.saturating_mul(READ_AT_MOST);
    let span = tracing::Span::current();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_upgrade(|socket| live(socket, opened).instrument(span))
}
