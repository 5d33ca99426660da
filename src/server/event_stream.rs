//! GraphQL over server-sent events, for those who cannot use sockets: the
//! distinct connections mode of
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::time::sleep;

use super::Bounds;
use super::refused::{Errors, Refused};
use super::serve::Lease;
use super::websocket::Crowd;
use crate::auth::Caller;
use crate::clock::Clock;
use crate::graphql::Code;
use crate::model::UserId;
use crate::telemetry::metrics::{Present, Thing};

/// The media type.
const EVENT_STREAM: &str = "text/event-stream";

/// Whether a client takes events.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter();
    let mut ranges = ranges.flat_map(|range| range.to_str().unwrap_or_default().split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(EVENT_STREAM));
        named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0"))
    })
}

/// What an event stream needs beside its operation.
pub(super) struct Opening {
    pub bounds: Bounds,
    pub crowd: Crowd,
    pub lease: Lease,
    pub caller: Caller,
    pub request_id: String,
}

impl Opening {
    /// Tells what an operation answers, event by event.
    ///
    /// It ends with a word when the operation does, and without one when the
    /// token expires or the server stops: clients come back then.
    pub fn open(
        self,
        viewer: Option<UserId>,
        responses: impl Stream<Item = async_graphql::Response> + Send + 'static,
    ) -> Result<Response, Refused> {
        let most = self.bounds.sockets_per_user;
        let place = match viewer {
            None => None,
            Some(user) => Some(self.crowd.enter(user, most).ok_or_else(|| {
                let message = format!("You have {most} connections already. Close one of them.");
                Refused::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message)
            })?),
        };
        let counted = Present::new(Thing::Subscription);
        let (stopping, expiry) = (self.lease.stopping(), time_left(&self.caller));
        let end = async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = expiry => {}
            }
            drop((place, counted));
        };
        let events = events(responses, self.request_id).take_until(Box::pin(end));
        let alive = KeepAlive::new().interval(self.bounds.ping_every);
        Ok(Sse::new(events).keep_alive(alive).into_response())
    }
}

/// Resolves at the end of the caller's token.
fn time_left(caller: &Caller) -> impl Future<Output = ()> + use<> {
    let left = match caller {
        Caller::Anonymous => None,
        Caller::SignedIn { expires_at, .. } => Some(*expires_at - Clock::system().now()),
    };
    async move {
        match left {
            Some(left) => sleep(left.to_std().unwrap_or_default()).await,
            None => std::future::pending().await,
        }
    }
}

fn events(
    responses: impl Stream<Item = async_graphql::Response> + Send + 'static,
    request_id: String,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let next = move |response| match response {
        Ok(response) => event(&response),
        Err(_panic) => event(&Errors {
            errors: Refused::internal().of_request(&request_id).errors(),
        }),
    };
    let responses = AssertUnwindSafe(responses).catch_unwind().map(next);
    let complete = stream::once(async { Event::default().event("complete").data("") });
    responses.chain(complete).map(Ok)
}

fn event(payload: &impl Serialize) -> Event {
    let event = Event::default().event("next");
    event
        .json_data(payload)
        .unwrap_or_else(|_| Event::default().event("complete"))
}
