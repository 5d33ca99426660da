//! GraphQL over WebSocket: the subprotocol `graphql-transport-ws`, by
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! A connection becomes a socket here; `socket` is its life, `operations` what
//! it runs, and `writer` the only one that writes to it.

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

/// The subprotocol.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// What is kept of a socket to read into: most messages of clients are small,
/// and most sockets are silent.
const READ_BUFFER: usize = 4 * 1024;
/// How many times as large as a body may be a message is read: beyond a body's
/// size it ends its operation, and only beyond this the socket. No more, since
/// all sockets can have one that is half read.
const READ_AT_MOST: usize = 4;

/// Turns a connection into a socket.
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
