//! The operations of a WebSocket, each in its own task.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::close::Close;
use super::operation::{Asked, perform};
use super::protocol::ServerMessage;
use super::writer::{Outgoing, Running, Ticket};
use crate::auth::Caller;
use crate::schema::{Code, refusal};
use crate::server::App;
use crate::server::load::Load;
use crate::server::received::Received;
use crate::server::refused::Refused;

/// Maximum number of queries and mutations in progress on one WebSocket, in addition to its
/// subscriptions.
const BESIDE_SUBSCRIPTIONS: usize = 100;

/// The state that all operations of a WebSocket share.
pub(super) struct Shared {
    pub app: App,
    /// The admission control of the server.
    pub load: Load,
    /// Permits for further subscriptions.
    pub subscriptions: Arc<Semaphore>,
    pub running: Running,
    /// Cancelled when the server shuts down, which ends subscriptions.
    pub stopping: CancellationToken,
}

/// The operations of a WebSocket.
pub(super) struct Operations {
    shared: Arc<Shared>,
    request_id: String,
    begun: u64,
    tasks: TaskTracker,
}

impl Operations {
    pub fn new(shared: Shared, request_id: String) -> Self {
        Self {
            shared: Arc::new(shared),
            request_id,
            begun: 0,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts an operation whose messages go to `outgoing`. If there are too many operations, it
    /// sends an error with the reserved send capacity `room`.
    pub fn begin(
        &mut self,
        id: String,
        received: Result<Received, Refused>,
        caller: &Caller,
        outgoing: &mpsc::Sender<Outgoing>,
        room: mpsc::OwnedPermit<Outgoing>,
    ) -> Result<(), Close> {
        if self.shared.running.has(&id) {
            return Err(Close::SubscriberExists(id));
        }
        let most = self.shared.app.bounds.subscriptions + BESIDE_SUBSCRIPTIONS;
        if self.shared.running.count() >= most {
            let message = format!("A connection has at most {most} operations at a time.");
            let payload = &refusal(Code::BadRequest, message).errors;
            let error = ServerMessage::Error { id: &id, payload };
            room.send(Outgoing::Reply(error.text()));
            return Ok(());
        }
        self.begun += 1;
        let ticket = Ticket {
            id: id.into(),
            number: self.begun,
        };
        let asked = Asked {
            shared: Arc::clone(&self.shared),
            caller: caller.clone(),
            received,
            request_id: format!("{}/{}", self.request_id, self.begun),
        };
        // The reserved send capacity is only for immediate responses.
        drop(room);
        let work = perform(asked, ticket.clone(), outgoing.clone());
        let start = || self.tasks.spawn(work).abort_handle();
        self.shared.running.begin(&ticket, start);
        Ok(())
    }

    /// Cancels an operation, if it is still in progress.
    pub fn cancel(&self, id: &str) {
        self.shared.running.cancel(id);
    }

    /// Returns how many operations were started.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Resolves when all operations have ended. No operation may be started after this call.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let tasks = self.tasks.clone();
        tasks.close();
        async move { tasks.wait().await }
    }
}
