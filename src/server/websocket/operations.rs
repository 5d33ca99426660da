//! The operations of a WebSocket, each in its own task.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::close::Close;
use super::operation::{OperationRequest, SharedContext, run_operation};
use super::protocol::ServerMessage;
use super::writer::{OperationKey, Outgoing};
use crate::auth::Caller;
use crate::schema::{Code, rejected_response};
use crate::server::rejection::Rejection;
use crate::server::request::RequestParameters;

/// Maximum number of queries and mutations in progress on one WebSocket, in addition to its
/// subscriptions. Each query and mutation is a task. Clients that wait for responses have far
/// fewer of them.
const MAX_QUERIES: usize = 100;

/// Send capacity for one message.
pub(super) type SendPermit = mpsc::OwnedPermit<Box<Outgoing>>;

/// The operations of a WebSocket.
pub(super) struct Operations {
    context: Arc<SharedContext>,
    request_id: String,
    /// How many operations were started.
    pub started: u64,
    tasks: TaskTracker,
}

impl Operations {
    pub fn new(context: SharedContext, request_id: String) -> Self {
        Self {
            context: Arc::new(context),
            request_id,
            started: 0,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts an operation. If there are too many operations, this method sends an error with the
    /// reserved send capacity instead.
    pub fn start(
        &mut self,
        id: String,
        parameters: Result<RequestParameters, Rejection>,
        caller: &Caller,
        permit: SendPermit,
    ) -> Result<(), Close> {
        let active = &self.context.active;
        if active.contains(&id) {
            return Err(Close::SubscriberExists(id));
        }
        let max = self.context.state.app.bounds.subscriptions + MAX_QUERIES;
        if active.count() >= max {
            let message = format!("A connection can have at most {max} operations at a time.");
            let payload = &rejected_response(Code::BadRequest, message).errors;
            let error = ServerMessage::Error { id: &id, payload };
            permit.send(Box::new(Outgoing::small_reply(error.text())));
            return Ok(());
        }
        self.started += 1;
        let key = OperationKey {
            id: id.into(),
            number: self.started,
        };
        let request = Box::new(OperationRequest {
            key: key.clone(),
            caller: caller.clone(),
            parameters,
            request_id: format!("{}/{}", self.request_id, self.started),
        });
        // The reserved send capacity is only for immediate responses.
        drop(permit);
        let operation = run_operation(Arc::clone(&self.context), request);
        active.start(&key, || self.tasks.spawn(operation).abort_handle());
        Ok(())
    }

    /// Cancels an operation, if it is still in progress.
    pub fn cancel(&self, id: &str) {
        self.context.active.cancel(id);
    }

    /// Resolves when all operations have ended. No operation may be started after this call.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let tasks = self.tasks.clone();
        tasks.close();
        async move { tasks.wait().await }
    }
}
