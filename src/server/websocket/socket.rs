//! The lifecycle of a WebSocket, from the handshake to the close frame.

use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::close::Close;
use super::connection::{Connection, Handshake};
use super::writer::{ActiveOperations, Heartbeat, Outgoing, QUEUE_CAPACITY, write};
use crate::telemetry::metrics::{self, GaugeGuard, METRICS};

/// How long to wait for the peer's close frame. A connected peer sends it after one round trip.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to keep the connection open after a close frame if the client may still be sending:
/// data that arrives after the close would reset the connection, and the client would lose the
/// close frame.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a WebSocket from the handshake until it is closed.
///
/// Not an async function, because its future would contain the arguments and the parts that are
/// made of them.
pub(super) fn serve_socket(socket: WebSocket, handshake: Handshake) -> impl Future<Output = ()> {
    let gauge = GaugeGuard::new(&METRICS.sockets);
    let guard = handshake.guard.clone();
    let ping_every = handshake.state.app.bounds.ping_every;
    let has_subprotocol = socket.protocol().is_some();
    let (sink, mut incoming) = socket.split();
    let (outgoing, queue) = mpsc::channel(QUEUE_CAPACITY);
    let (active, heartbeat) = (ActiveOperations::default(), Heartbeat::default());
    let mut connection = Connection::new(handshake, active.clone(), outgoing.clone());
    async move {
        let writer = write(sink, queue, active.clone(), heartbeat.clone(), ping_every);
        let mut writer = pin!(writer);
        let close = if has_subprotocol {
            tokio::select! {
                close = connection.run(&mut incoming, &heartbeat) => close,
                () = &mut writer => Close::Gone,
            }
        } else {
            Close::NotAcceptable
        };
        let operations = connection.operations.started;
        drop(connection);

        // At shutdown, queued responses are written before the close frame.
        if close != Close::GoingAway {
            active.cancel_all();
        }
        let label = close.label();
        metrics::socket_closed(label);
        if close != Close::Gone {
            tokio::join!(send_close(&close, outgoing), writer);
            // After the timeout, the connection is closed without the peer's close frame.
            let _ = timeout(CLOSE_TIMEOUT, read_to_end(&close, &mut incoming)).await;
        }
        tracing::info!(code = label, operations, "WebSocket closed");
        drop((guard, gauge));
    }
}

/// Sends the close frame after all queued messages.
async fn send_close(close: &Close, outgoing: mpsc::Sender<Box<Outgoing>>) {
    if let Some(frame) = close.frame() {
        // If the connection is lost, the frame cannot be sent.
        let _ = outgoing.send(Box::new(Outgoing::Close(frame))).await;
    }
}

/// Discards incoming messages until the peer sends its close frame.
async fn read_to_end(close: &Close, incoming: &mut SplitStream<WebSocket>) {
    while let Some(Ok(_)) = incoming.next().await {}
    if matches!(
        close,
        Close::TooLarge(_) | Close::NotWebSocket | Close::NotUtf8
    ) {
        sleep(LINGER).await;
    }
}
