//! The protocol state of a WebSocket, and its timeouts.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use axum::http::HeaderValue;
use futures_util::future::{BoxFuture, FutureExt, pending};
use futures_util::stream::{SplitStream, StreamExt};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};

use super::authenticate::{AuthenticatedPeer, authenticate_peer};
use super::close::Close;
use super::operation::SharedContext;
use super::operations::{Operations, SendPermit};
use super::protocol::{ClientMessage, ServerMessage};
use super::writer::{ActiveOperations, Heartbeat, Outgoing};
use crate::server::admission::AdmissionControl;
use crate::server::authenticate::token_expiry;
use crate::server::listener::ConnectionGuard;
use crate::server::state::ServerState;

/// The parts from which a WebSocket is started.
pub(super) struct Handshake {
    pub state: ServerState,
    pub guard: ConnectionGuard,
    pub request_id: String,
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// The `Authorization` header of the handshake.
    pub authorization: Option<HeaderValue>,
}

/// The state of the sign-in.
enum Stage {
    /// The client has not sent `connection_init` yet.
    New,
    /// The client has sent `connection_init`, and its token is being verified. Boxed because the
    /// type of the future has no name.
    Authenticating(BoxFuture<'static, Result<AuthenticatedPeer, Close>>),
    /// The connection is acknowledged.
    Acknowledged(AuthenticatedPeer),
}

/// The protocol state of one WebSocket.
pub(super) struct Connection {
    state: ServerState,
    authorization: Option<HeaderValue>,
    stage: Stage,
    /// Resolves at the next time limit: the timeout of `connection_init`, or the expiry of the
    /// token. Boxed because the two futures have different types.
    timeout: BoxFuture<'static, Close>,
    pub operations: Operations,
    outgoing: mpsc::Sender<Box<Outgoing>>,
    shutdown: CancellationToken,
}

impl Connection {
    pub fn new(
        handshake: Handshake,
        active: ActiveOperations,
        outgoing: mpsc::Sender<Box<Outgoing>>,
    ) -> Self {
        let state = handshake.state;
        let shutdown = handshake.guard.shutdown();
        let bounds = state.app.bounds;
        let context = SharedContext {
            state: state.clone(),
            subscription_permits: Arc::new(Semaphore::new(bounds.subscriptions)),
            active,
            outgoing: outgoing.clone(),
            shutdown: shutdown.clone(),
            client: handshake.client,
        };
        Self {
            state,
            authorization: handshake.authorization,
            stage: Stage::New,
            timeout: sleep(bounds.init_within)
                .map(|()| Close::InitialisationTimeout)
                .boxed(),
            operations: Operations::new(context, handshake.request_id),
            outgoing,
            shutdown,
        }
    }

    /// Handles client messages until the client or the server closes the WebSocket.
    pub async fn run(
        &mut self,
        incoming: &mut SplitStream<WebSocket>,
        heartbeat: &Heartbeat,
    ) -> Close {
        let (shutdown, max_bytes) = (self.shutdown.clone(), self.state.app.bounds.body_bytes);
        loop {
            let outgoing = self.outgoing.clone();
            // What follows a message is boxed: its future is large, and most connections are idle.
            let handled = tokio::select! {
                () = shutdown.cancelled() => break,
                received = receive(incoming, outgoing, heartbeat, max_bytes) => match received {
                    Ok((message, permit)) => Box::pin(self.handle_message(message, permit)).await,
                    Err(close) => Err(close),
                },
                peer = authenticated(&mut self.stage) => Box::pin(self.acknowledge(peer)).await,
                close = &mut self.timeout => Err(close),
            };
            if let Err(close) = handled {
                return close;
            }
        }
        // Boxed: it is needed only at shutdown.
        Box::pin(self.finish(incoming, heartbeat)).await
    }

    /// Waits for the operations in progress, and starts no new ones.
    async fn finish(
        &mut self,
        incoming: &mut SplitStream<WebSocket>,
        heartbeat: &Heartbeat,
    ) -> Close {
        let mut ended = pin!(self.operations.ended());
        let max_bytes = self.state.app.bounds.body_bytes;
        let admission = &self.state.admission;
        loop {
            let outgoing = self.outgoing.clone();
            let received = tokio::select! {
                () = &mut ended => return Close::GoingAway,
                received = receive(incoming, outgoing, heartbeat, max_bytes) => received,
                close = &mut self.timeout => return close,
            };
            match received {
                Ok((ClientMessage::Complete { id }, _)) => self.operations.cancel(&id),
                Ok((ClientMessage::Ping { payload }, permit)) => {
                    send_pong(admission, payload, permit).await;
                }
                Ok(_) => {}
                Err(close) => return close,
            }
        }
    }

    /// Handles a message of the client. `permit` is the send capacity for a direct
    /// response.
    async fn handle_message(
        &mut self,
        message: ClientMessage,
        permit: SendPermit,
    ) -> Result<(), Close> {
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload),
            ClientMessage::Ping { payload } => {
                send_pong(&self.state.admission, payload, permit).await;
                Ok(())
            }
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, payload } => {
                let Stage::Acknowledged(peer) = &self.stage else {
                    return Err(Close::Unauthorized);
                };
                self.operations.start(id, *payload, &peer.caller, permit)
            }
            ClientMessage::Complete { id } => {
                self.operations.cancel(&id);
                Ok(())
            }
        }
    }

    fn init(&mut self, payload: Map<String, Value>) -> Result<(), Close> {
        let Stage::New = self.stage else {
            return Err(Close::TooManyInitialisations);
        };
        let header = self.authorization.take();
        let peer = authenticate_peer(self.state.clone(), payload, header);
        self.stage = Stage::Authenticating(peer.boxed());
        // Authentication has its own timeout.
        self.timeout = pending().boxed();
        Ok(())
    }

    async fn acknowledge(&mut self, peer: Result<AuthenticatedPeer, Close>) -> Result<(), Close> {
        let peer = peer?;
        let expiry = token_expiry(&peer.caller);
        self.timeout = expiry.map(|()| Close::TokenExpired).boxed();
        self.stage = Stage::Acknowledged(peer);
        let ack = Box::new(Outgoing::small_reply(ServerMessage::ConnectionAck.text()));
        // If the writer has stopped, the WebSocket is about to be closed anyway.
        let _ = self.outgoing.send(ack).await;
        Ok(())
    }
}

/// Resolves with the authenticated client when the verification is complete.
async fn authenticated(stage: &mut Stage) -> Result<AuthenticatedPeer, Close> {
    match stage {
        Stage::Authenticating(peer) => peer.await,
        Stage::New | Stage::Acknowledged(_) => pending().await,
    }
}

/// Receives the next message. Backpressure: it reserves send capacity for the response before it
/// reads the message, so the server reads no further messages from a client that does not read its
/// responses.
async fn receive(
    incoming: &mut SplitStream<WebSocket>,
    outgoing: mpsc::Sender<Box<Outgoing>>,
    heartbeat: &Heartbeat,
    max_bytes: usize,
) -> Result<(ClientMessage, SendPermit), Close> {
    let permit = outgoing.reserve_owned().await.map_err(|_| Close::Gone)?;
    loop {
        let message = incoming.next().await.ok_or(Close::Gone)?;
        heartbeat.reset();
        match message.map_err(|error| close_of(error, max_bytes))? {
            Message::Text(text) => return Ok((ClientMessage::parse(&text, max_bytes)?, permit)),
            Message::Binary(_) => return Err(Close::bad("A message must be text, not binary")),
            // axum answers pings.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Err(Close::ByClient),
        }
    }
}

/// Sends a pong with the payload of its ping, once there is memory for it.
async fn send_pong(
    admission: &AdmissionControl,
    payload: Option<Box<RawValue>>,
    permit: SendPermit,
) {
    let bytes = payload.as_ref().map_or(0, |payload| payload.get().len());
    let budget = Some(admission.reserve_when_available(bytes).await);
    let text = ServerMessage::Pong { payload }.text();
    permit.send(Box::new(Outgoing::Reply { text, budget }));
}

/// Returns the close reason for a read error. The reason is `Gone` for every error that means that
/// the connection ended without a close frame.
fn close_of(error: axum::Error, max_bytes: usize) -> Close {
    let error = error.into_inner();
    match error.downcast_ref() {
        Some(Error::Capacity(CapacityError::MessageTooLong { .. })) => Close::TooLarge(max_bytes),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Close::Gone,
        Some(Error::Protocol(_)) => Close::NotWebSocket,
        Some(Error::Utf8(_)) => Close::NotUtf8,
        _ => Close::Gone,
    }
}
