//! GraphQL over server-sent events, for clients that cannot use a WebSocket: the distinct
//! connections mode of <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Serialize;
use tracing::Instrument;

use super::Bounds;
use super::accept::accepts;
use super::answered::{Answering, FirstError, Outcome};
use super::caller::end_of_token;
use super::load::Space;
use super::refused::{Errors, Refused};
use super::serve::Lease;
use super::websocket::{Crowd, Seat};
use crate::auth::Caller;
use crate::model::UserId;
use crate::schema::Code;
use crate::telemetry::work_for;

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// Returns whether the client accepts server-sent events.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    accepts(headers, &ACCEPT, EVENT_STREAM)
}

/// Returns the response of a query or a mutation as a stream with one event.
pub(super) fn only(answer: &async_graphql::Response, space: Space) -> Response {
    let events = stream::iter([next(answer), complete()]);
    let events = events.map(move |event| {
        // The stream owns `space` and releases it when it is dropped.
        let _held = &space;
        Infallibly::Ok(event)
    });
    let mut response = unbuffered(Sse::new(events).into_response());
    if let Some(code) = Code::of_first(&answer.errors) {
        response.extensions_mut().insert(FirstError(code));
    }
    response
}

/// The context that an event stream needs in addition to its subscription.
pub(super) struct Opening {
    pub bounds: Bounds,
    pub crowd: Crowd,
    pub lease: Lease,
    pub caller: Caller,
    pub request_id: String,
}

impl Opening {
    /// Reserves one of the viewer's connections and opens the event stream.
    pub fn open(
        self,
        viewer: Option<UserId>,
        answers: BoxStream<'static, async_graphql::Response>,
    ) -> Result<EventStream, Refused> {
        let most = self.bounds.sockets_per_user;
        let place = match viewer {
            None => None,
            Some(user) => Some(self.crowd.enter(user, most).ok_or_else(|| {
                let message = format!("You have {most} connections already. Close one of them.");
                Refused::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message)
            })?),
        };
        let (stopping, expiry) = (self.lease.stopping(), end_of_token(&self.caller));
        let end = async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = expiry => {}
            }
        };
        Ok(EventStream {
            answers,
            end: end.boxed(),
            alive: KeepAlive::new().interval(self.bounds.ping_every),
            request_id: self.request_id,
            place,
        })
    }
}

/// A subscription whose results are sent as events.
pub(super) struct EventStream {
    answers: BoxStream<'static, async_graphql::Response>,
    /// Resolves when the token expires or the server shuts down.
    end: BoxFuture<'static, ()>,
    alive: KeepAlive,
    request_id: String,
    place: Option<Seat>,
}

impl EventStream {
    /// Sends the events, and logs the result at the end.
    ///
    /// The stream ends with a `complete` event if the subscription completes, and without one if
    /// the token expires or the server shuts down: clients then reconnect.
    pub fn told(self, mut answering: Answering) -> Response {
        let status = StatusCode::OK;
        answering.stays(Some(status));
        let telling = Telling {
            answers: AssertUnwindSafe(self.answers).catch_unwind().boxed(),
            answering,
            outcome: Outcome {
                status: Some(status),
                error: None,
            },
            request_id: self.request_id,
            _seat: self.place,
        };
        let events = stream::unfold(telling, Telling::next);
        let events = events.chain(stream::once(async { complete() }));
        let events = stream::once(async { opened() }).chain(events);
        let events = events.take_until(self.end).map(Infallibly::Ok);
        unbuffered(Sse::new(events).keep_alive(self.alive).into_response())
    }
}

/// An event stream that is being sent.
struct Telling {
    answers: BoxStream<'static, std::thread::Result<async_graphql::Response>>,
    answering: Answering,
    outcome: Outcome,
    request_id: String,
    _seat: Option<Seat>,
}

impl Telling {
    async fn next(mut self) -> Option<(Event, Self)> {
        let (origin, span) = (self.answering.origin.clone(), self.answering.span.clone());
        let answer = self.answers.next().instrument(span);
        let Some(answer) = work_for([origin], answer).await else {
            self.answering.end(self.outcome);
            return None;
        };
        let (event, error) = match answer {
            Ok(answer) => (next(&answer), Code::of_first(&answer.errors)),
            Err(_panic) => {
                let refused = Refused::internal().of_request(&self.request_id);
                let errors = refused.errors();
                (next(&Errors { errors }), Some(refused.code()))
            }
        };
        self.answering.event();
        self.outcome.error = self.outcome.error.or(error);
        Some((event, self))
    }
}

/// Sets headers that keep proxies from buffering events for compression or for larger packets.
fn unbuffered(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // nginx and proxies that are compatible with it support this header.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let cache_control = HeaderValue::from_static("no-store, no-transform");
    headers.insert(CACHE_CONTROL, cache_control);
    response
}

type Infallibly = Result<Event, Infallible>;

/// Returns a comment as the first event. Many proxies and some browsers forward the head of a
/// response only with the first bytes of its body.
fn opened() -> Event {
    Event::default().comment("open")
}

fn next(payload: &impl Serialize) -> Event {
    let event = Event::default().event("next");
    event.json_data(payload).unwrap_or_else(|_| complete())
}

fn complete() -> Event {
    Event::default().event("complete").data("")
}
