//! One operation of a socket, from what was received to its last message.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use async_graphql::{Response, ServerError};
use axum::http::HeaderMap;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument;

use super::operations::Shared;
use super::protocol::ServerMessage;
use super::writer::{Outgoing, Ticket};
use crate::auth::Caller;
use crate::graphql::{Code, refusal, was_executed};
use crate::server::answered::{Answering, Outcome};
use crate::server::execution::{REQUEST_DEADLINE, TIME_TO_ANSWER};
use crate::server::received::Received;
use crate::server::refused::Refused;
use crate::telemetry::work_for;

/// What is asked, and by whom.
pub(super) struct Asked {
    pub shared: Arc<Shared>,
    pub caller: Caller,
    pub received: Received,
    pub request_id: String,
}

/// Where the messages of an operation go.
struct Replies {
    ticket: Ticket,
    outgoing: mpsc::Sender<Outgoing>,
}

/// Why an operation is over: the code of its first error.
type Ended = Option<Code>;

/// Performs an operation, whatever happens in it.
pub(super) async fn perform(asked: Asked, ticket: Ticket, outgoing: mpsc::Sender<Outgoing>) {
    let request_id = asked.request_id.clone();
    let log = tracing::error_span!(parent: None, "request", id = request_id, path = "/graphql", socket = true);
    let replies = Replies { ticket, outgoing };
    let told = async {
        let mut answering = Answering::begin(&request_id, &HeaderMap::new());
        let (origin, span) = (answering.origin.clone(), answering.span.clone());
        let answer = AssertUnwindSafe(answer(asked, &replies, &mut answering)).catch_unwind();
        let answer = Box::pin(answer).instrument(span);
        let error = match work_for([origin], answer).await {
            Ok(ended) => ended,
            Err(_panic) => {
                let refused = Refused::internal().of_request(&request_id);
                replies.refuse(&refused.errors()).await
            }
        };
        answering.end(Outcome {
            status: None,
            error,
        });
    };
    told.instrument(log).await;
}

async fn answer(asked: Asked, replies: &Replies, answering: &mut Answering) -> Ended {
    let deadline = Instant::now() + REQUEST_DEADLINE - TIME_TO_ANSWER;
    let (shared, request_id) = (Arc::clone(&asked.shared), asked.request_id.clone());
    let told = |refused: Refused| refused.of_request(&request_id).errors();
    let Ok(turn) = shared.in_flight.try_acquire() else {
        let message = "The server has too much to do. Try again.";
        return replies.refuse(&told(Refused::unavailable(message))).await;
    };
    let parsed = match shared.app.parse(asked.received) {
        Ok(parsed) => parsed,
        Err(refused) => return replies.refuse(&refused.errors).await,
    };
    answering.asked.is(&parsed.operation);
    let session = match shared.app.session(&asked.caller, &parsed, deadline).await {
        Ok(session) => session,
        Err(refused) => return replies.refuse(&told(refused)).await,
    };
    let operation = parsed.operation;
    if operation.is_subscription() {
        drop(turn);
        answering.stays();
        let events = shared
            .app
            .api
            .execute_stream(&operation, session, &request_id);
        return tell(&shared, events, replies, answering).await;
    }
    let executed = shared
        .app
        .execute(operation, session, &request_id, deadline);
    let answer = executed.await;
    // Who reads slowly takes nobody's turn.
    drop(turn);
    if !was_executed(&answer) {
        return replies.refuse(&answer.errors).await;
    }
    replies.next(&answer).await;
    replies.complete().await;
    first_code(&answer.errors)
}

/// Tells a subscription's events until there are no more, or the server stops:
/// then without a word, so that the client comes back for the others.
async fn tell(
    shared: &Shared,
    events: impl Stream<Item = Response>,
    replies: &Replies,
    answering: &mut Answering,
) -> Ended {
    let Ok(_place) = shared.subscriptions.try_acquire() else {
        let most = shared.app.bounds.subscriptions;
        let message = format!("A connection has at most {most} subscriptions at a time.");
        let refused = refusal(Code::BadRequest, message);
        return replies.refuse(&refused.errors).await;
    };
    let mut events = pin!(events);
    let mut ended = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = shared.stopping.cancelled() => return ended,
        };
        let Some(event) = event else {
            replies.complete().await;
            return ended;
        };
        if !was_executed(&event) {
            return replies.refuse(&event.errors).await;
        }
        replies.next(&event).await;
        answering.event();
        ended = ended.or(first_code(&event.errors));
    }
}

fn first_code(errors: &[ServerError]) -> Option<Code> {
    errors.first().and_then(Code::of)
}

impl Replies {
    async fn next(&self, payload: &Response) {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Next { id, payload }, false).await;
    }

    async fn complete(&self) {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Complete { id }, true).await;
    }

    /// Says that nothing was executed, and why.
    async fn refuse(&self, payload: &[ServerError]) -> Ended {
        let id = &self.ticket.id;
        self.say(&ServerMessage::Error { id, payload }, true).await;
        first_code(payload)
    }

    async fn say(&self, message: &ServerMessage<'_>, last: bool) {
        let message = Outgoing::Of {
            ticket: self.ticket.clone(),
            text: message.text(),
            last,
        };
        // Where nothing is written any more, this task is about to be ended.
        let _ = self.outgoing.send(message).await;
    }
}
