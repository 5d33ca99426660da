//! One operation of a WebSocket, from the received message to its last response.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use async_graphql::{Response, ServerError};
use axum::http::HeaderMap;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::operations::Shared;
use super::protocol::ServerMessage;
use super::writer::{Outgoing, Ticket};
use crate::auth::Caller;
use crate::schema::{Code, refusal, was_executed};
use crate::server::answered::{Answering, Outcome};
use crate::server::execution::{Begun, REQUEST_DEADLINE, TIME_TO_ANSWER};
use crate::server::load::Load;
use crate::server::received::Received;
use crate::server::refused::Refused;
use crate::telemetry::work_for;

/// An operation to perform, and its caller.
pub(super) struct Asked {
    pub shared: Arc<Shared>,
    pub caller: Caller,
    /// The GraphQL request, or why it is rejected.
    pub received: Result<Received, Refused>,
    pub request_id: String,
}

/// The destination of an operation's messages.
struct Replies {
    ticket: Ticket,
    load: Load,
    outgoing: mpsc::Sender<Outgoing>,
}

/// The result of an operation: the code of its first error.
type Ended = Option<Code>;

/// Performs an operation, and logs its result.
pub(super) async fn perform(asked: Asked, ticket: Ticket, outgoing: mpsc::Sender<Outgoing>) {
    let id = asked.request_id.clone();
    let log = tracing::error_span!(parent: None, "request", id, path = "/graphql", socket = true);
    let load = asked.shared.load.clone();
    let replies = Replies {
        ticket,
        load,
        outgoing,
    };
    let told = async {
        let mut answering = Answering::begin(&id, &HeaderMap::new());
        let (origin, span) = (answering.origin.clone(), answering.span.clone());
        let answer = Box::pin(answer(asked, &replies, &mut answering));
        let answer = in_any_case(answer, &replies, &id).instrument(span);
        let error = work_for([origin], answer).await;
        answering.end(Outcome {
            status: None,
            error,
        });
    };
    told.instrument(log).await;
}

/// Reports a panic as an internal error, so that it does not affect the other operations of the
/// WebSocket.
async fn in_any_case(
    answer: impl Future<Output = Ended>,
    replies: &Replies,
    request_id: &str,
) -> Ended {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(ended) => ended,
        Err(_panic) => {
            let refused = Refused::internal().of_request(request_id);
            replies.refuse(&refused.errors()).await
        }
    }
}

async fn answer(asked: Asked, replies: &Replies, answering: &mut Answering) -> Ended {
    let shared = Arc::clone(&asked.shared);
    let events = match begin(asked, answering).await {
        Ok(Begun::Tells(events)) => events,
        Ok(Begun::Answered(answer)) => return replies.answer(&answer).await,
        Err(errors) => return replies.refuse(&errors).await,
    };
    let Ok(place) = Arc::clone(&shared.subscriptions).try_acquire_owned() else {
        let most = shared.app.bounds.subscriptions;
        let message = format!("A connection has at most {most} subscriptions at a time.");
        let refused = refusal(Code::BadRequest, message);
        return replies.refuse(&refused.errors).await;
    };
    shared.running.seat(&replies.ticket, place);
    answering.stays(None);
    tell(events, &shared.stopping, replies, answering).await
}

/// Starts an operation. Only this part holds a permit for concurrent requests. It sends no
/// messages, so a client that reads slowly does not occupy a permit.
async fn begin(asked: Asked, answering: &Answering) -> Result<Begun, Vec<ServerError>> {
    let deadline = Instant::now() + REQUEST_DEADLINE - TIME_TO_ANSWER;
    let (app, request_id) = (&asked.shared.app, asked.request_id.as_str());
    let told = |refused: Refused| refused.of_request(request_id).errors();
    let load = &asked.shared.load;
    let received = asked.received.map_err(told)?;
    let _turn = load.turn().map_err(told)?;
    let parsed = app.parse(received);
    let parsed = parsed.map_err(|refused| refused.errors)?;
    answering.asked.is(&parsed.operation);
    let session = app.session(&asked.caller, &parsed, deadline).await;
    let session = session.map_err(told)?;
    let signed_in = session.viewer_id().is_some();
    let prepared = app.api.prepare(&parsed.operation, signed_in);
    let prepared = prepared.map_err(|refused| refused.errors)?;
    let _space = load.space(prepared.answer_bytes).map_err(told)?;
    Ok(app.begin(prepared, session, request_id, deadline).await)
}

/// Sends the results of a subscription until it completes or the server shuts down. At shutdown no
/// `complete` message is sent, so that the client reconnects and resumes.
async fn tell(
    events: impl Stream<Item = Response>,
    stopping: &CancellationToken,
    replies: &Replies,
    answering: &mut Answering,
) -> Ended {
    let mut events = pin!(events);
    let mut ended = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stopping.cancelled() => return ended,
        };
        let Some(event) = event else {
            replies.complete().await;
            return ended;
        };
        replies.next(&event).await;
        answering.event();
        ended = ended.or(Code::of_first(&event.errors));
    }
}

impl Replies {
    /// Sends the only response of an operation.
    async fn answer(&self, answer: &Response) -> Ended {
        if !was_executed(answer) {
            return self.refuse(&answer.errors).await;
        }
        self.next(answer).await;
        self.complete().await;
        Code::of_first(&answer.errors)
    }

    async fn next(&self, payload: &Response) {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Next { id, payload }, false).await;
    }

    async fn complete(&self) {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Complete { id }, true).await;
    }

    /// Sends an error message: the operation was rejected and not executed.
    async fn refuse(&self, payload: &[ServerError]) -> Ended {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Error { id, payload }, true).await;
        Code::of_first(payload)
    }

    async fn say(&self, message: &ServerMessage<'_>, last: bool) {
        let text = message.text();
        let message = Outgoing::Of {
            ticket: self.ticket.clone(),
            space: self.load.space_for(text.len()).await,
            text,
            last,
        };
        // If the writer has stopped, this task is about to be aborted.
        let _ = self.outgoing.send(message).await;
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, Value};
    use futures_util::stream::{self, pending};
    use serde_json::json;

    use super::*;
    use crate::server::Bounds;

    fn replies() -> (Replies, mpsc::Receiver<Outgoing>) {
        let (outgoing, heard) = mpsc::channel(16);
        let ticket = Ticket {
            id: "1".into(),
            number: 1,
        };
        let load = Load::new(&Bounds::default());
        let replies = Replies {
            ticket,
            load,
            outgoing,
        };
        (replies, heard)
    }

    fn all(heard: &mut mpsc::Receiver<Outgoing>) -> Vec<serde_json::Value> {
        let mut messages = Vec::new();
        while let Ok(Outgoing::Of { text, .. }) = heard.try_recv() {
            messages.push(serde_json::from_str(&text).expect("JSON"));
        }
        messages
    }

    async fn told(
        events: impl Stream<Item = Response>,
        stopping: CancellationToken,
    ) -> Vec<serde_json::Value> {
        let (replies, mut heard) = replies();
        let mut answering = Answering::begin("id", &HeaderMap::new());
        tell(events, &stopping, &replies, &mut answering).await;
        all(&mut heard)
    }

    fn event(number: i32) -> Response {
        Response::new(Value::from(number))
    }

    #[tokio::test]
    async fn a_subscription_tells_its_events_and_then_that_it_is_over() {
        let mut failed = ServerError::new("failed", None);
        failed.path = vec![PathSegment::Field("messageCreated".to_owned())];
        let failed = Response::from_errors(vec![failed]);
        let events = stream::iter([event(1), failed, event(2)]);
        let heard = told(events, CancellationToken::new()).await;
        let kinds: Vec<_> = heard.iter().map(|message| &message["type"]).collect();
        assert_eq!(kinds, ["next", "next", "next", "complete"]);
        let first = json!({ "type": "next", "id": "1", "payload": { "data": 1 } });
        assert_eq!(heard[0], first);
    }

    #[tokio::test]
    async fn a_stop_ends_a_subscription_without_a_word() {
        let stopping = CancellationToken::new();
        stopping.cancel();
        assert!(told(pending(), stopping).await.is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_the_id_of_its_request() {
        let (replies, mut heard) = replies();
        let panicking = async { panic!("on purpose") };
        let ended = in_any_case(panicking, &replies, "socket/1").await;
        assert_eq!(ended, Some(Code::InternalServerError));
        let heard = all(&mut heard);
        assert_eq!(heard[0]["type"], "error");
        let extensions = &heard[0]["payload"][0]["extensions"];
        assert_eq!(extensions["requestId"], "socket/1");
    }
}
