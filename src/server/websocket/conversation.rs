//! The protocol state of a WebSocket, and its timeouts.

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

use super::close::Close;
use super::crowd::Crowd;
use super::operations::{Operations, Shared};
use super::protocol::{ClientMessage, ServerMessage};
use super::sign_in::{Guest, sign_in};
use super::socket::Opened;
use super::writer::{Outgoing, Running, Silence};
use crate::server::App;
use crate::server::caller::end_of_token;

type Room = mpsc::OwnedPermit<Outgoing>;

/// The state of the sign-in.
enum Stage {
    /// The client has not sent `connection_init` yet.
    New,
    /// The client has sent `connection_init`, and its token is being verified.
    SigningIn(BoxFuture<'static, Result<Guest, Close>>),
    /// The connection is acknowledged.
    Acknowledged(Guest),
}

/// The protocol state of one WebSocket.
pub(super) struct Conversation {
    app: App,
    crowd: Crowd,
    authorization: Option<HeaderValue>,
    stage: Stage,
    /// Resolves at the next time limit: the timeout of `connection_init`, or the end of the token.
    due: BoxFuture<'static, Close>,
    operations: Operations,
    outgoing: mpsc::Sender<Outgoing>,
    stopping: CancellationToken,
}

impl Conversation {
    pub fn new(opened: Opened, running: Running, outgoing: mpsc::Sender<Outgoing>) -> Self {
        let Opened { app, crowd, .. } = opened;
        let stopping = opened.lease.stopping();
        let init_within = app.bounds.init_within;
        let shared = Shared {
            app: app.clone(),
            load: opened.load,
            subscriptions: Arc::new(Semaphore::new(app.bounds.subscriptions)),
            running,
            stopping: stopping.clone(),
        };
        Self {
            app,
            crowd,
            authorization: opened.authorization,
            stage: Stage::New,
            due: sleep(init_within).map(|()| Close::TooLate).boxed(),
            operations: Operations::new(shared, opened.request_id),
            outgoing,
            stopping,
        }
    }

    /// Returns how many operations were started.
    pub fn operations(&self) -> u64 {
        self.operations.begun()
    }

    /// Handles client messages until the client or the server closes the WebSocket.
    pub async fn hold(
        &mut self,
        incoming: &mut SplitStream<WebSocket>,
        silence: &Silence,
    ) -> Close {
        let (stopped, largest) = (self.stopping.clone(), self.app.bounds.body_bytes);
        loop {
            let outgoing = self.outgoing.clone();
            let went_on = tokio::select! {
                () = stopped.cancelled() => break,
                said = next(incoming, outgoing, silence, largest) => match said {
                    Ok((message, room)) => self.take(message, room),
                    Err(close) => Err(close),
                },
                guest = guest(&mut self.stage) => self.let_in(guest).await,
                close = &mut self.due => Err(close),
            };
            if let Err(close) = went_on {
                return close;
            }
        }
        self.finish(incoming, silence).await
    }

    /// Waits for the operations in progress, and starts no new ones.
    async fn finish(&mut self, incoming: &mut SplitStream<WebSocket>, silence: &Silence) -> Close {
        let mut ended = pin!(self.operations.ended());
        let largest = self.app.bounds.body_bytes;
        loop {
            let outgoing = self.outgoing.clone();
            let said = tokio::select! {
                () = &mut ended => return Close::GoingAway,
                said = next(incoming, outgoing, silence, largest) => said,
                close = &mut self.due => return close,
            };
            match said {
                Ok((ClientMessage::Complete { id }, _)) => self.operations.cancel(&id),
                Ok((ClientMessage::Ping { payload }, room)) => pong(payload, room),
                Ok(_) => {}
                Err(close) => return close,
            }
        }
    }

    fn take(&mut self, message: ClientMessage, room: Room) -> Result<(), Close> {
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload),
            ClientMessage::Ping { payload } => {
                pong(payload, room);
                Ok(())
            }
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, payload } => {
                let Stage::Acknowledged(guest) = &self.stage else {
                    return Err(Close::Unauthorized);
                };
                self.operations
                    .begin(id, *payload, &guest.caller, &self.outgoing, room)
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
        let guest = sign_in(self.app.clone(), self.crowd.clone(), payload, header);
        self.stage = Stage::SigningIn(guest.boxed());
        self.due = pending().boxed();
        Ok(())
    }

    async fn let_in(&mut self, guest: Result<Guest, Close>) -> Result<(), Close> {
        let guest = guest?;
        let end = end_of_token(&guest.caller);
        self.due = end.map(|()| Close::TokenExpired).boxed();
        self.stage = Stage::Acknowledged(guest);
        let ack = Outgoing::Reply(ServerMessage::ConnectionAck.text());
        // If the writer has stopped, the WebSocket is about to be closed anyway.
        let _ = self.outgoing.send(ack).await;
        Ok(())
    }
}

/// Resolves with the authenticated client when the verification is complete.
async fn guest(stage: &mut Stage) -> Result<Guest, Close> {
    match stage {
        Stage::SigningIn(guest) => guest.await,
        Stage::New | Stage::Acknowledged(_) => pending().await,
    }
}

/// Receives the next message, and reserves send capacity for its response first. This is
/// backpressure: the server reads no further messages from a client that does not read its
/// responses.
async fn next(
    incoming: &mut SplitStream<WebSocket>,
    outgoing: mpsc::Sender<Outgoing>,
    silence: &Silence,
    largest: usize,
) -> Result<(ClientMessage, Room), Close> {
    let room = outgoing.reserve_owned().await.map_err(|_| Close::Gone)?;
    loop {
        let message = incoming.next().await.ok_or(Close::Gone)?;
        silence.broken();
        match message.map_err(|error| wrong(error, largest))? {
            Message::Text(text) => return Ok((ClientMessage::parse(&text, largest)?, room)),
            Message::Binary(_) => return Err(Close::bad("A message is a text")),
            // axum answers pings.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Err(Close::ByClient),
        }
    }
}

fn pong(payload: Option<Box<RawValue>>, room: Room) {
    let pong = ServerMessage::Pong { payload };
    room.send(Outgoing::Reply(pong.text()));
}

/// Returns the close reason for a read error. A connection that ended without a close frame is
/// `Gone`, however its end was detected.
fn wrong(error: axum::Error, largest: usize) -> Close {
    let error = error.into_inner();
    match error.downcast_ref() {
        Some(Error::Capacity(CapacityError::MessageTooLong { .. })) => Close::TooLarge(largest),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Close::Gone,
        Some(Error::Protocol(_)) => Close::NotWebSocket,
        Some(Error::Utf8(_)) => Close::NotUtf8,
        _ => Close::Gone,
    }
}
