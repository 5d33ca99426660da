//! The operations of a socket: each in a task of its own.

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

/// How many queries and mutations may run beside subscriptions.
const BESIDE_SUBSCRIPTIONS: usize = 100;

/// What all operations of a socket share.
pub(super) struct Shared {
    pub app: App,
    /// What the server has taken on.
    pub load: Load,
    /// How many more subscriptions there may be.
    pub subscriptions: Arc<Semaphore>,
    pub running: Running,
    /// Subscriptions end when the server stops.
    pub stopping: CancellationToken,
}

/// The operations of a socket.
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

    /// Starts an operation, whose messages go to `outgoing`; or says in `room`
    /// that there are too many.
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
        // The room is for what is answered at once.
        drop(room);
        let work = perform(asked, ticket.clone(), outgoing.clone());
        let start = || self.tasks.spawn(work).abort_handle();
        self.shared.running.begin(&ticket, start);
        Ok(())
    }

    /// Ends an operation. It may have ended by itself.
    pub fn cancel(&self, id: &str) {
        self.shared.running.cancel(id);
    }

    /// How many there have been.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Resolves when all have ended. There are no more by then.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let tasks = self.tasks.clone();
        tasks.close();
        async move { tasks.wait().await }
    }
}
