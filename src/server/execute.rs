//! The single code path of an operation, for all transports.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::Response;
use axum::http::StatusCode;
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::access_log::OperationInfo;
use super::admission::{AdmissionControl, ResponseBudget};
use super::authenticate::{sign_in_required, viewer};
use super::documents::DocumentToCache;
use super::rejection::Rejection;
use super::request::RequestParameters;
use super::state::ServerState;
use crate::auth::Caller;
use crate::lock::lock;
use crate::model::UserId;
use crate::schema::{BeforeEvent, Operation, Session, timed_out};

/// Time between the deadline of a write and the end of the request's timeout. In this time, the
/// response reports the outcome of the write.
pub(super) const TIME_TO_RESPOND: Duration = Duration::from_millis(500);
/// Memory in bytes that is reserved for the errors of an operation that is not executed. The
/// engine reports at most a few errors, each of which quotes a part of the document.
const REJECTION_BYTES: usize = 16 * 1024;

/// The context of a request.
pub(super) struct RequestContext<'a> {
    pub state: &'a ServerState,
    pub request_id: &'a str,
    /// Receives the operation's type and name for the access log.
    pub info: &'a OperationInfo,
    /// When execution must be complete.
    pub deadline: Instant,
}

/// The operations that a transport can execute.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub allows_mutations: bool,
    pub allows_subscriptions: bool,
}

/// The result of executing an operation, with the memory that is reserved for it.
pub(super) enum Execution {
    /// The response of a query or mutation, or of an operation that was not executed.
    Response(Box<Response>, ResponseBudget),
    /// The events of a subscription.
    Stream(EventStream),
}

/// The events of a subscription, until it completes or is dropped.
pub(super) struct EventStream {
    /// Boxed because the type of the stream has no name.
    pub events: BoxStream<'static, (Response, ResponseBudget)>,
    pub viewer: Option<UserId>,
}

/// Executes an operation within the server's limits.
///
/// Memory for the response is reserved before the operation is executed, and the transport holds
/// the reservation until the last byte is written. A client that does not read its responses
/// therefore cannot occupy more memory than the limit.
pub(super) async fn execute(
    context: &RequestContext<'_>,
    parameters: RequestParameters,
    caller: &Caller,
    policy: Policy,
) -> Result<Execution, Rejection> {
    let ServerState { app, admission, .. } = context.state;
    let _permit = admission.request_permit()?;
    let budget = admission.reserve(REJECTION_BYTES)?;
    let parsed = app.documents.find(parameters);
    let parsed =
        parsed.and_then(|(request, document)| Ok((app.api.engine().parse(request)?, document)));
    let (operation, document) = match parsed {
        Ok(parsed) => parsed,
        Err(rejected) => return Ok(Execution::Response(rejected, budget)),
    };
    context.info.set(&operation);
    policy.check(&operation)?;
    let session = session(context, caller, &operation, document).await?;
    let viewer = session.viewer_id();
    let prepared = match app.api.engine().prepare(&operation, viewer.is_some()) {
        Ok(prepared) => prepared,
        Err(rejected) => return Ok(Execution::Response(rejected, budget)),
    };
    drop(budget);
    let max_bytes = prepared.response_bytes;
    let request_id = context.request_id;
    if prepared.is_subscription() {
        let reservation = EventReservation::new(admission.clone(), max_bytes);
        let session = session.before_each_event(reservation.clone().hook());
        let events = app.api.execute_stream(&prepared, session, request_id);
        let events = events.then(move |event| {
            let reservation = reservation.clone();
            // Boxed: it contains the response, and most subscriptions are idle.
            Box::pin(async move { (event, reservation.take().await) })
        });
        return Ok(Execution::Stream(EventStream {
            events: events.boxed(),
            viewer,
        }));
    }
    let budget = admission.reserve(max_bytes)?;
    let is_mutation = operation.is_mutation();
    // Boxed because the future is large, and each layer around it would contain and move it.
    let executed = Box::pin(app.api.execute(prepared, session, request_id));
    let response = timeout_at(context.deadline + TIME_TO_RESPOND, executed).await;
    let response = response.unwrap_or_else(|_| timed_out(is_mutation, request_id));
    Ok(Execution::Response(Box::new(response), budget))
}

/// Returns the result of `work`, and an internal error if it panics, so that a panic affects only
/// its own request.
///
/// Not an async function, because its future would contain `work` twice.
pub(super) fn catch_panic<T>(
    work: impl Future<Output = Result<T, Rejection>>,
) -> impl Future<Output = Result<T, Rejection>> {
    let result = AssertUnwindSafe(work).catch_unwind();
    result.map(|result| result.unwrap_or_else(|_panic| Err(Rejection::internal())))
}

impl Policy {
    fn check(self, operation: &Operation) -> Result<(), Rejection> {
        if operation.is_mutation() && !self.allows_mutations {
            let message = "Send a mutation by POST.";
            return Err(Rejection::method_not_allowed(message, "POST"));
        }
        if operation.is_subscription() && !self.allows_subscriptions {
            let message = "A subscription requires a WebSocket with the subprotocol \
                `graphql-transport-ws` on this path, or `Accept: text/event-stream`.";
            return Err(Rejection::bad_request(StatusCode::BAD_REQUEST, message));
        }
        Ok(())
    }
}

/// Creates the state that the resolvers of an operation share, if the caller may execute the
/// operation.
async fn session(
    context: &RequestContext<'_>,
    caller: &Caller,
    operation: &Operation,
    document: Option<DocumentToCache>,
) -> Result<Session, Rejection> {
    let app = &context.state.app;
    let users = app.messaging.directory.loader();
    let viewer = match caller {
        Caller::Anonymous if app.api.is_public(operation) => None,
        Caller::Anonymous => return Err(sign_in_required()),
        Caller::SignedIn { sub, .. } => {
            let found = timeout_at(context.deadline, viewer(&users, sub)).await;
            Some(found.unwrap_or_else(|_| Err(Rejection::timed_out()))?)
        }
    };
    // Documents of callers without a user are not cached, so that they cannot fill the memory.
    if let (Some(_), Some(document)) = (&viewer, document) {
        app.documents.cache(document);
    }
    let (messaging, rate) = (app.messaging.clone(), app.send_rate.clone());
    Ok(Session::new(
        messaging,
        users,
        viewer,
        rate,
        context.deadline,
    ))
}

/// Reserves memory for the events of a subscription, one after the other. An idle subscription
/// reserves nothing.
#[derive(Clone)]
struct EventReservation {
    admission: AdmissionControl,
    max_bytes: usize,
    reserved: Arc<Mutex<Option<ResponseBudget>>>,
}

impl EventReservation {
    fn new(admission: AdmissionControl, max_bytes: usize) -> Self {
        Self {
            admission,
            max_bytes,
            reserved: Arc::default(),
        }
    }

    /// Returns the function that the subscription calls before it resolves the fields of an event.
    fn hook(self) -> BeforeEvent {
        Arc::new(move || {
            let this = self.clone();
            async move {
                let budget = this.admission.reserve_when_available(this.max_bytes).await;
                *lock(&this.reserved) = Some(budget);
            }
            .boxed()
        })
    }

    /// Takes the memory that was reserved for an event. If a subscription fails to start, there is
    /// no event, and this method reserves memory for the error.
    async fn take(&self) -> ResponseBudget {
        let reserved = lock(&self.reserved).take();
        match reserved {
            Some(budget) => budget,
            None => self.admission.reserve_when_available(REJECTION_BYTES).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn event_waits_for_memory_and_idle_subscription_reserves_none() {
        let admission = AdmissionControl::new(1, 8192);
        let reservation = EventReservation::new(admission.clone(), 8192);
        let before_event = reservation.clone().hook();
        let other = admission.reserve(8192).expect("an idle subscription");
        let mut waiting = before_event();
        assert!(poll!(&mut waiting).is_pending());

        drop(other);
        waiting.await;
        assert!(
            admission.reserve(1).is_err(),
            "it is reserved for the event"
        );
        drop(reservation.take().await);
        assert!(admission.reserve(8192).is_ok());
    }
}
