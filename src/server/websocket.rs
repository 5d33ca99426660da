//! GraphQL over WebSocket: the `graphql-transport-ws` subprotocol of
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! This module upgrades a connection to a WebSocket. `socket` manages its lifecycle, `connection`
//! handles the client's messages, `operations` runs its operations, and only `writer` writes to it.

mod authenticate;
mod close;
mod connection;
mod handshake;
mod operation;
mod operations;
mod protocol;
mod socket;
mod writer;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

pub(super) use handshake::is_websocket;

use super::client_address::client_address;
use super::listener::ConnectionGuard;
use super::rejection::Rejection;
use super::request_id::request_id;
use super::state::ServerState;
use connection::Handshake;
use socket::serve_socket;

/// The WebSocket subprotocol.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Size of a WebSocket's read buffer in bytes. It is small because most client messages are small,
/// and most connections are idle.
const READ_BUFFER: usize = 512;
/// Maximum size of a message that is read, as a multiple of `--max-body-bytes`. A `subscribe`
/// message that is larger than `--max-body-bytes` ends only its operation; a message that is larger
/// than this multiple closes the WebSocket. The multiple is small because every WebSocket can have
/// one partly read message in memory.
const MAX_READ_BODIES: usize = 4;

/// Upgrades a connection to a WebSocket.
pub(super) async fn upgrade(State(state): State<ServerState>, request: Request) -> Response {
    let client = client_address(&request);
    let (mut parts, _) = request.into_parts();
    let upgrade = match handshake::accept(&state.app, &mut parts).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection,
    };
    let Some(guard) = parts.extensions.remove::<ConnectionGuard>() else {
        return Rejection::internal().into_response();
    };
    let max_bytes = state.app.bounds.body_bytes.saturating_mul(MAX_READ_BODIES);
    let handshake = Handshake {
        request_id: request_id(&parts.headers).to_owned(),
        client,
        authorization: parts.headers.get(AUTHORIZATION).cloned(),
        state,
        guard,
    };
    let span = tracing::Span::current();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(max_bytes)
        .max_frame_size(max_bytes)
        .on_upgrade(|socket| serve_socket(socket, handshake).instrument(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the size of the future of an async function.
    fn size_of_future<A, B, F: Future>(_function: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Every idle subscription holds both futures in memory. The limits are about a quarter above
    /// the sizes with Rust 1.94.
    #[test]
    fn futures_of_a_connection_and_of_an_operation_are_small() {
        let operation = size_of_future(operation::run_operation);
        assert!(operation <= 1400, "{operation} bytes");
        let connection = size_of_future(serve_socket);
        assert!(connection <= 1500, "{connection} bytes");
    }
}
