//! One operation of a WebSocket, from the received message to its last response.

use std::net::IpAddr;
use std::sync::Arc;

use async_graphql::{Response, ServerError};
use axum::http::{HeaderMap, StatusCode};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::display;

use super::protocol::{ServerMessage, next_message};
use super::writer::{ActiveOperations, OperationKey, Outgoing};
use crate::auth::Caller;
use crate::schema::{Code, was_executed};
use crate::server::access_log::AccessLog;
use crate::server::admission::ResponseBudget;
use crate::server::execute::{
    Execution, Policy, RequestContext, TIME_TO_RESPOND, catch_panic, execute,
};
use crate::server::rejection::Rejection;
use crate::server::request::RequestParameters;
use crate::server::state::ServerState;
use crate::telemetry::work_for;

const POLICY: Policy = Policy {
    allows_mutations: true,
    allows_subscriptions: true,
};

/// The context that all operations of a WebSocket share.
pub(super) struct SharedContext {
    pub state: ServerState,
    /// Permits for further subscriptions.
    pub subscription_permits: Arc<Semaphore>,
    pub active: ActiveOperations,
    pub outgoing: mpsc::Sender<Box<Outgoing>>,
    /// Cancelled when the server shuts down, which ends subscriptions.
    pub shutdown: CancellationToken,
    /// The address of the client.
    pub client: Option<IpAddr>,
}

/// An operation to run, and its caller. Boxed, because a future contains its arguments twice.
pub(super) struct OperationRequest {
    pub key: OperationKey,
    pub caller: Caller,
    /// The GraphQL request, or why it is rejected.
    pub parameters: Result<RequestParameters, Rejection>,
    pub request_id: String,
}

/// Sends the messages of an operation.
struct OperationSender {
    key: OperationKey,
    outgoing: mpsc::Sender<Box<Outgoing>>,
}

/// Runs an operation, and logs its result.
///
/// The futures of the execution and of the events are boxed, so that their memory is released as
/// soon as they have ended. A client that does not read can have many operations whose responses
/// wait to be sent.
pub(super) async fn run_operation(context: Arc<SharedContext>, request: Box<OperationRequest>) {
    let id = request.request_id.clone();
    let client = context.client.map(display);
    let log =
        tracing::error_span!(parent: None, "request", id, path = "/graphql", socket = true, client);
    async move {
        let sender = OperationSender {
            key: request.key.clone(),
            outgoing: context.outgoing.clone(),
        };
        let mut log = AccessLog::begin(&id, &HeaderMap::new());
        let (origin, span) = (log.origin.clone(), log.span.clone());
        // A panic does not affect the other operations of the WebSocket.
        let execution = catch_panic(start(&context, request, &log)).instrument(span.clone());
        let error = match work_for([origin.clone()], Box::pin(execution)).await {
            Ok(Execution::Response(response, budget)) => {
                sender.send_response(response, budget).await
            }
            Ok(Execution::Stream(events)) => {
                log.begin_subscription(None);
                let events = send_events(events.events, &context.shutdown, &sender, &mut log);
                let events = catch_panic(events.map(Ok)).instrument(span);
                match work_for([origin], Box::pin(events)).await {
                    Ok(error) => error,
                    Err(rejection) => sender.reject(rejection, &id).await,
                }
            }
            Err(rejection) => sender.reject(rejection, &id).await,
        };
        log.end(None, error);
    }
    .instrument(log)
    .await;
}

/// Executes an operation. A subscription also acquires one of the connection's subscription permits.
async fn start(
    context: &SharedContext,
    request: Box<OperationRequest>,
    log: &AccessLog,
) -> Result<Execution, Rejection> {
    let request_context = RequestContext {
        state: &context.state,
        request_id: &request.request_id,
        info: &log.info,
        deadline: Instant::now() + context.state.app.bounds.request_within - TIME_TO_RESPOND,
    };
    let parameters = request.parameters?;
    let execution = execute(&request_context, parameters, &request.caller, POLICY).await?;
    if let Execution::Stream(_) = execution {
        let permit = Arc::clone(&context.subscription_permits).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let max = context.state.app.bounds.subscriptions;
            let message = format!("A connection can have at most {max} subscriptions at a time.");
            Rejection::bad_request(StatusCode::BAD_REQUEST, message)
        })?;
        context.active.set_subscription_permit(&request.key, permit);
    }
    Ok(execution)
}

/// Sends the results of a subscription until it completes or the server shuts down. At shutdown no
/// `complete` message is sent, so that the client reconnects and resumes.
async fn send_events(
    mut events: impl Stream<Item = (Response, ResponseBudget)> + Unpin,
    shutdown: &CancellationToken,
    sender: &OperationSender,
    log: &mut AccessLog,
) -> Option<Code> {
    let mut first_error = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event.map(|(event, budget)| sender.next(&event, budget)),
            () = shutdown.cancelled() => return first_error,
        };
        let Some((message, error)) = event else {
            sender.send(Box::new(sender.complete())).await;
            return first_error;
        };
        sender.send(message).await;
        log.count_event();
        first_error = first_error.or(error);
    }
}

/// Each method creates its message before it waits, so that no future contains a response.
impl OperationSender {
    /// Sends the only response of an operation.
    async fn send_response(&self, response: Box<Response>, budget: ResponseBudget) -> Option<Code> {
        let is_executed = was_executed(&response);
        let (message, error) = if is_executed {
            self.next(&response, budget)
        } else {
            self.error(&response.errors, Some(budget))
        };
        drop(response);
        self.send(message).await;
        if is_executed {
            self.send(Box::new(self.complete())).await;
        }
        error
    }

    async fn reject(&self, rejection: Rejection, request_id: &str) -> Option<Code> {
        let errors = rejection.with_request_id(request_id).errors();
        let (message, error) = self.error(&errors, None);
        self.send(message).await;
        error
    }

    async fn send(&self, message: Box<Outgoing>) {
        // If the writer has stopped, this task is about to be aborted.
        let _ = self.outgoing.send(message).await;
    }

    fn next(&self, payload: &Response, budget: ResponseBudget) -> (Box<Outgoing>, Option<Code>) {
        let id = &self.key.id;
        let text = next_message(id, payload);
        let message = self.message(text, Some(budget), false);
        (Box::new(message), Code::of_first(&payload.errors))
    }

    fn complete(&self) -> Outgoing {
        let complete = ServerMessage::Complete { id: &self.key.id };
        self.message(complete.text(), None, true)
    }

    /// Creates an error message: the operation was rejected and not executed.
    fn error(
        &self,
        payload: &[ServerError],
        budget: Option<ResponseBudget>,
    ) -> (Box<Outgoing>, Option<Code>) {
        let id = &self.key.id;
        let text = ServerMessage::Error { id, payload }.text();
        let message = self.message(text, budget, true);
        (Box::new(message), Code::of_first(payload))
    }

    fn message(&self, text: String, budget: Option<ResponseBudget>, last: bool) -> Outgoing {
        Outgoing::Operation {
            key: self.key.clone(),
            budget: budget.map(|budget| budget.shrink_to(text.len())),
            text,
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, Value};
    use futures_util::stream::{self, pending};
    use serde_json::json;

    use super::*;
    use crate::server::admission::AdmissionControl;

    fn sender() -> (OperationSender, mpsc::Receiver<Box<Outgoing>>) {
        let (outgoing, sent) = mpsc::channel(16);
        let key = OperationKey {
            id: "1".into(),
            number: 1,
        };
        (OperationSender { key, outgoing }, sent)
    }

    fn messages(sent: &mut mpsc::Receiver<Box<Outgoing>>) -> Vec<serde_json::Value> {
        let mut messages = Vec::new();
        while let Ok(message) = sent.try_recv()
            && let Outgoing::Operation { text, .. } = *message
        {
            messages.push(serde_json::from_str(&text).expect("JSON"));
        }
        messages
    }

    async fn sent_events(
        events: impl Stream<Item = Response> + Unpin,
        shutdown: CancellationToken,
    ) -> Vec<serde_json::Value> {
        let (sender, mut sent) = sender();
        let mut log = AccessLog::begin("id", &HeaderMap::new());
        let admission = AdmissionControl::new(1, 1024 * 1024);
        let events = events.map(|event| (event, admission.reserve(1024).expect("memory")));
        send_events(events, &shutdown, &sender, &mut log).await;
        messages(&mut sent)
    }

    fn event(number: i32) -> Response {
        Response::new(Value::from(number))
    }

    #[tokio::test]
    async fn subscription_sends_its_events_and_then_complete() {
        let mut failed = ServerError::new("failed", None);
        failed.path = vec![PathSegment::Field("messageCreated".to_owned())];
        let failed = Response::from_errors(vec![failed]);
        let events = stream::iter([event(1), failed, event(2)]);
        let sent = sent_events(events, CancellationToken::new()).await;
        let kinds: Vec<_> = sent.iter().map(|message| &message["type"]).collect();
        assert_eq!(kinds, ["next", "next", "next", "complete"]);
        let first = json!({ "type": "next", "id": "1", "payload": { "data": 1 } });
        assert_eq!(sent[0], first);
    }

    #[tokio::test]
    async fn response_budget_is_held_until_the_message_is_written() {
        let (sender, mut sent) = sender();
        let admission = AdmissionControl::new(1, 4096);
        let budget = admission.reserve(4096).expect("memory");
        let (message, _) = sender.next(&event(1), budget);
        sender.send(message).await;
        assert!(admission.reserve(4096).is_err());
        assert!(admission.reserve(3072).is_ok(), "the rest is released");
        drop(sent.try_recv().expect("a message"));
        assert!(admission.reserve(4096).is_ok());
    }

    #[tokio::test]
    async fn shutdown_ends_a_subscription_without_complete() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        assert!(sent_events(pending(), shutdown).await.is_empty());
    }

    #[tokio::test]
    async fn panic_is_an_error_with_the_request_id() {
        let (sender, mut sent) = sender();
        let rejection = catch_panic::<()>(async { panic!("on purpose") }).await;
        let rejection = rejection.expect_err("a rejection");
        let error = sender.reject(rejection, "socket/1").await;
        assert_eq!(error, Some(Code::InternalServerError));
        let sent = messages(&mut sent);
        assert_eq!(sent[0]["type"], "error");
        let extensions = &sent[0]["payload"][0]["extensions"];
        assert_eq!(extensions["requestId"], "socket/1");
    }
}
