//! GraphQL over server-sent events, for clients that cannot use a WebSocket: the distinct
//! connections mode of <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_graphql::Response as GraphqlResponse;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::access_log::{AccessLog, FirstError};
use super::admission::ResponseBudget;
use super::authenticate::token_expiry;
use super::connection_quota::ConnectionSlot;
use super::execute::{EventStream, RequestContext};
use super::rejection::{Errors, Rejection};
use crate::auth::Caller;
use crate::schema::{Code, response_json};
use crate::telemetry::work_for;

/// A comment as the first event. Many proxies and some browsers forward the head of a response only
/// with the first bytes of its body.
const OPEN: &[u8] = b": open\n\n";
/// A comment that keeps proxies from closing an idle connection.
const KEEP_ALIVE: &[u8] = b":\n\n";
/// The event after the last result.
const COMPLETE: &[u8] = b"event: complete\ndata: \n\n";

/// Returns the response of a query or a mutation as a stream with one event.
pub(super) fn single_event(response: &GraphqlResponse, budget: ResponseBudget) -> Response {
    let events = [
        budget.bind(next_event(&response_json(response))),
        COMPLETE.into(),
    ];
    let body = Body::from_stream(stream::iter(events.map(Ok::<_, Infallible>)));
    let mut result = event_stream(body);
    if let Some(code) = Code::of_first(&response.errors) {
        result.extensions_mut().insert(FirstError(code));
    }
    result
}

/// A subscription whose results are sent as events.
pub(super) struct EventResponse {
    sender: EventSender,
    /// Resolves when the token expires or the server shuts down. Boxed because the type of the
    /// future has no name.
    end: BoxFuture<'static, ()>,
    keep_alive: Duration,
}

/// Sends the events of a subscription.
struct EventSender {
    /// Boxed because the type of the stream has no name.
    events: BoxStream<'static, std::thread::Result<(GraphqlResponse, ResponseBudget)>>,
    first_error: Option<Code>,
    request_id: String,
    _slot: Option<ConnectionSlot>,
}

impl EventResponse {
    /// Acquires a connection of the viewer's quota.
    pub fn new(
        events: EventStream,
        context: &RequestContext<'_>,
        shutdown: CancellationToken,
        caller: &Caller,
    ) -> Result<Self, Rejection> {
        let bounds = &context.state.app.bounds;
        let slot = match events.viewer {
            None => None,
            Some(viewer) => Some(context.state.quota.acquire(viewer).ok_or_else(|| {
                let max = bounds.sockets_per_user;
                let message = format!("You have {max} connections already. Close one of them.");
                Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message)
            })?),
        };
        let expiry = token_expiry(caller);
        let end = async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = expiry => {}
            }
        };
        let sender = EventSender {
            events: AssertUnwindSafe(events.events).catch_unwind().boxed(),
            first_error: None,
            request_id: context.request_id.to_owned(),
            _slot: slot,
        };
        Ok(Self {
            sender,
            end: end.boxed(),
            keep_alive: bounds.ping_every,
        })
    }

    /// Sends the events, and logs the result at the end.
    ///
    /// The stream ends with a `complete` event if the subscription completes, and without one if
    /// the token expires or the server shuts down: clients then reconnect.
    pub fn into_response(self, mut log: AccessLog) -> Response {
        log.begin_subscription(Some(StatusCode::OK));
        let state = (self.sender, log);
        let events = stream::unfold(state, |(sender, log)| sender.next(log));
        let events = events.chain(stream::iter([COMPLETE.into()]));
        let events = with_keep_alive(events.boxed(), self.keep_alive);
        let events = stream::iter([OPEN.into()]).chain(events);
        let events = events.take_until(self.end).map(Ok::<Bytes, Infallible>);
        event_stream(Body::from_stream(events))
    }
}

impl EventSender {
    async fn next(mut self, mut log: AccessLog) -> Option<(Bytes, (Self, AccessLog))> {
        let (origin, span) = (log.origin.clone(), log.span.clone());
        let event = self.events.next().instrument(span);
        let Some(event) = work_for([origin], event).await else {
            log.end(Some(StatusCode::OK), self.first_error);
            return None;
        };
        let (event, error) = match event {
            Ok((response, budget)) => {
                let error = Code::of_first(&response.errors);
                (budget.bind(next_event(&response_json(&response))), error)
            }
            Err(_panic) => {
                let rejection = Rejection::internal().with_request_id(&self.request_id);
                let errors = rejection.errors();
                let event = next_event(&Errors { errors }.json());
                (event.into(), Some(rejection.code))
            }
        };
        log.count_event();
        self.first_error = self.first_error.or(error);
        Some((event, (self, log)))
    }
}

/// Sends a comment whenever there is no event for this long. `events` is boxed because a stream must
/// be pinned to wait for its next event.
fn with_keep_alive(
    events: BoxStream<'static, Bytes>,
    interval: Duration,
) -> impl Stream<Item = Bytes> {
    stream::unfold(events, move |mut events| async move {
        match timeout(interval, events.next()).await {
            Ok(event) => event.map(|event| (event, events)),
            Err(_) => Some((KEEP_ALIVE.into(), events)),
        }
    })
}

/// Returns the response with headers that keep proxies from buffering events for compression or for
/// larger packets.
fn event_stream(body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store, no-transform"),
        // nginx and proxies that are compatible with it support this header.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// Creates the event of a response. Its JSON contains no line breaks, so it is a single line of data.
fn next_event(json: &[u8]) -> Vec<u8> {
    [b"event: next\ndata: ", json, b"\n\n"].concat()
}
