//! The lifecycle of a WebSocket, from the handshake to the close frame.

use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use axum::http::HeaderValue;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::close::Close;
use super::conversation::Conversation;
use super::crowd::Crowd;
use super::writer::{Outgoing, QUEUED, Running, Silence, write};
use crate::server::App;
use crate::server::load::Load;
use crate::server::serve::Lease;
use crate::telemetry::metrics::{self, Present, Thing};

/// How long to wait for the peer's close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long to keep the connection open after a close frame if the client may still be sending:
/// data that arrives after the close would reset the connection, and the client would lose the
/// close frame.
const LINGER: Duration = Duration::from_secs(1);

/// The parts from which a WebSocket is started.
pub(super) struct Opened {
    pub app: App,
    /// The admission control of the server.
    pub load: Load,
    /// The connections of all users.
    pub crowd: Crowd,
    /// The resources of the HTTP connection.
    pub lease: Lease,
    pub request_id: String,
    /// The `Authorization` header of the handshake.
    pub authorization: Option<HeaderValue>,
}

/// Runs a WebSocket from the handshake until it is closed.
pub(super) async fn live(socket: WebSocket, opened: Opened) {
    let _counted = Present::new(Thing::Socket);
    let lease = opened.lease.clone();
    let ping_every = opened.app.bounds.ping_every;
    let is_ours = socket.protocol().is_some();
    let (sink, mut incoming) = socket.split();
    let (outgoing, queue) = mpsc::channel(QUEUED);
    let (running, silence) = (Running::default(), Silence::default());
    let written = write(sink, queue, running.clone(), silence.clone(), ping_every);
    let mut written = pin!(written);

    let mut conversation = Conversation::new(opened, running.clone(), outgoing.clone());
    let close = if is_ours {
        tokio::select! {
            close = conversation.hold(&mut incoming, &silence) => close,
            () = &mut written => Close::Gone,
        }
    } else {
        Close::NotAcceptable
    };
    let operations = conversation.operations();
    drop(conversation);

    // At shutdown, queued responses are written before the close frame.
    if close != Close::GoingAway {
        running.cancel_all();
    }
    let label = close.label();
    metrics::socket_closed(label);
    if close != Close::Gone {
        tokio::join!(say(&close, outgoing), written);
        // A peer that has not sent its close frame by then is not waited for.
        let _ = timeout(CLOSE_WITHIN, rest(&close, &mut incoming)).await;
    }
    tracing::info!(code = label, operations, "a socket was closed");
    drop(lease);
}

/// Sends the close frame after all queued messages.
async fn say(close: &Close, outgoing: mpsc::Sender<Outgoing>) {
    if let Some(frame) = close.frame() {
        // If the connection is lost, the frame cannot be sent.
        let _ = outgoing.send(Outgoing::Close(frame)).await;
    }
}

/// Discards incoming messages until the peer sends its close frame.
async fn rest(close: &Close, incoming: &mut SplitStream<WebSocket>) {
    while let Some(Ok(_)) = incoming.next().await {}
    if matches!(
        close,
        Close::TooLarge(_) | Close::NotWebSocket | Close::NotUtf8
    ) {
        sleep(LINGER).await;
    }
}
