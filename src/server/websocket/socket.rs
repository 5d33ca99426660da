//! The life of a socket: who it is, what it asks, and how it ends.

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

/// How long the peer's close frame is waited for.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long is waited after a close frame whose peer is in the middle of
/// something: what is on its way would reset the connection, and the frame with
/// it.
const LINGER: Duration = Duration::from_secs(1);

/// What a socket is opened with.
pub(super) struct Opened {
    pub app: App,
    /// What the server has taken on.
    pub load: Load,
    /// The sockets of all users.
    pub crowd: Crowd,
    /// The connection that it was.
    pub lease: Lease,
    pub request_id: String,
    /// The header of the handshake.
    pub authorization: Option<HeaderValue>,
}

/// A socket, from its handshake to its end.
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

    // What was answered while the server stops is written before its end.
    if close != Close::GoingAway {
        running.cancel_all();
    }
    let label = close.label();
    metrics::socket_closed(label);
    if close != Close::Gone {
        tokio::join!(say(&close, outgoing), written);
        // Whoever does not say it too has had the time.
        let _ = timeout(CLOSE_WITHIN, rest(&close, &mut incoming)).await;
    }
    tracing::info!(code = label, operations, "a socket was closed");
    drop(lease);
}

/// Says that this is the end, after what is queued.
async fn say(close: &Close, outgoing: mpsc::Sender<Outgoing>) {
    if let Some(frame) = close.frame() {
        // Nothing is written any more where the connection is gone.
        let _ = outgoing.send(Outgoing::Close(frame)).await;
    }
}

/// What comes until the peer has said that it is the end.
async fn rest(close: &Close, incoming: &mut SplitStream<WebSocket>) {
    while let Some(Ok(_)) = incoming.next().await {}
    if matches!(
        close,
        Close::TooLarge(_) | Close::NotWebSocket | Close::NotUtf8
    ) {
        sleep(LINGER).await;
    }
}
