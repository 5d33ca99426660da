//! GraphQL over HTTP: one request, from authentication to the response.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::answered::{Answering, Asked, FirstError, Outcome};
use super::caller::{caller, nobody};
use super::event_stream::{self, EventStream, Opening};
use super::execution::{Begun, REQUEST_DEADLINE, TIME_TO_ANSWER};
use super::load::{Load, Space};
use super::media::Media;
use super::received::received;
use super::refused::{Errors, Refused};
use super::serve::Lease;
use super::websocket::Crowd;
use super::{App, request_id};
use crate::auth::Caller;
use crate::schema::{Code, was_executed};
use crate::telemetry::work_for;

/// Handles one GraphQL request within the server's limits on concurrency and time, and in a media
/// type that the client accepts.
pub(super) async fn graphql(
    State(app): State<App>,
    Extension(load): Extension<Load>,
    Extension(crowd): Extension<Crowd>,
    request: Request,
) -> Response {
    let request_id = request_id(request.headers());
    let answering = Answering::begin(&request_id, request.headers());
    let around = Around {
        load: &load,
        crowd,
        request_id: &request_id,
        asked: &answering.asked,
    };
    let answer = in_time(app, request, &around);
    let answer = Box::pin(answer).instrument(answering.span.clone());
    let answer = work_for([answering.origin.clone()], answer).await;
    varying(match answer {
        Answer::Whole(answer) => {
            answering.end(Outcome::of(&answer));
            answer
        }
        Answer::Events(events) => events.told(answering),
    })
}

/// The response to a request.
enum Answer {
    Whole(Response),
    /// A stream of server-sent events.
    Events(EventStream),
}

/// The context of a request.
struct Around<'a> {
    load: &'a Load,
    crowd: Crowd,
    request_id: &'a str,
    asked: &'a Asked,
}

/// Handles a request within the request timeout, and also returns a response after a panic.
async fn in_time(app: App, request: Request, around: &Around<'_>) -> Answer {
    let media = Media::accepted(request.headers());
    // Errors are JSON for clients that accept only events.
    let events = event_stream::is_accepted(request.headers()).then_some(Media::Json);
    let only_events = media.is_none();
    let Some(media) = media.or(events) else {
        let message = "Answers are `application/graphql-response+json`, `application/json` or `text/event-stream`.";
        let refused = Refused::bad(StatusCode::NOT_ACCEPTABLE, message);
        return Answer::Whole(refused.into_response());
    };
    let deadline = Instant::now() + REQUEST_DEADLINE;
    let wanted = Wanted {
        media,
        events: events.is_some(),
        only_events,
    };
    let answer = answer(app, request, wanted, around, deadline - TIME_TO_ANSWER);
    let answer = AssertUnwindSafe(answer).catch_unwind();
    // Execution has its own, earlier deadline, because its response can report the outcome of the
    // operation.
    let answer = match timeout_at(deadline + TIME_TO_ANSWER, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Refused::internal()),
        Err(_) => Err(Refused::too_late()),
    };
    answer.unwrap_or_else(|refused| {
        let refused = refused.of_request(around.request_id);
        Answer::Whole(in_media(media, refused.into_response()))
    })
}

/// The response format that the client accepts.
#[derive(Clone, Copy)]
struct Wanted {
    media: Media,
    /// Whether to send several results as events.
    events: bool,
    /// Whether to send all results as events, also the single result of a query or a mutation.
    only_events: bool,
}

fn in_media(media: Media, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.content_type());
    response
}

/// Adds `Vary: Accept`, because the response depends on that header.
fn varying(mut response: Response) -> Response {
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, accept);
    response
}

async fn answer(
    app: App,
    request: Request,
    wanted: Wanted,
    around: &Around<'_>,
    deadline: Instant,
) -> Result<Answer, Refused> {
    let media = wanted.media;
    let by_post = request.method() == Method::POST;
    let lease = request.extensions().get::<Lease>().cloned();
    let caller = caller(&app, request.headers()).await?;
    if matches!(caller, Caller::Anonymous) && !app.api.is_for_anybody() {
        return Err(nobody());
    }
    let received = received(request, app.bounds.body_bytes, deadline).await?;
    // The request is admitted only after its body is received, so that slow clients do not occupy
    // execution slots.
    let _turn = around.load.turn()?;
    let parsed = match app.parse(received) {
        Ok(parsed) => parsed,
        Err(refused) => return Ok(Answer::Whole(body(media, *refused, None))),
    };
    let operation = &parsed.operation;
    around.asked.is(operation);
    if operation.is_mutation() && !by_post {
        return Err(Refused::method(
            "A mutation has to be sent by POST.",
            "POST",
        ));
    }
    if operation.is_subscription() && !wanted.events {
        let message = "A subscription needs a WebSocket: connect to this path with the \
            subprotocol `graphql-transport-ws`; or accept `text/event-stream`.";
        return Err(Refused::bad(StatusCode::BAD_REQUEST, message));
    }
    let session = app.session(&caller, &parsed, deadline).await?;
    let viewer = session.viewer_id();
    let prepared = match app.api.prepare(&parsed.operation, viewer.is_some()) {
        Ok(prepared) => prepared,
        Err(refused) => return Ok(Answer::Whole(body(media, *refused, None))),
    };
    let space = around.load.space(prepared.answer_bytes)?;
    let begun = app.begin(prepared, session, around.request_id, deadline);
    let answers = match begun.await {
        Begun::Tells(answers) => answers,
        Begun::Answered(answer) if wanted.only_events && was_executed(&answer) => {
            return Ok(Answer::Whole(event_stream::only(&answer, space)));
        }
        Begun::Answered(answer) => {
            return Ok(Answer::Whole(body(media, *answer, Some(space))));
        }
    };
    let opening = Opening {
        bounds: app.bounds,
        crowd: around.crowd.clone(),
        lease: lease.ok_or_else(Refused::internal)?,
        caller,
        request_id: around.request_id.to_owned(),
    };
    Ok(Answer::Events(opening.open(viewer, answers)?))
}

/// The response as JSON, with its members in this order.
#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Executed(async_graphql::Response),
    Refused(Errors),
}

fn body(media: Media, answer: async_graphql::Response, space: Option<Space>) -> Response {
    let executed = was_executed(&answer);
    let code = Code::of_first(&answer.errors);
    let status = match media {
        _ if !executed && code == Some(Code::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Media::GraphqlResponse if !executed => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let body = if executed {
        Body::Executed(answer)
    } else {
        Body::Refused(Errors {
            errors: answer.errors,
        })
    };
    // A response contains only JSON values, so this cannot fail.
    let text = serde_json::to_vec(&body).unwrap_or_default();
    let text = match space {
        Some(space) => space.hold(text),
        None => text.into(),
    };
    let mut response = in_media(media, (status, text).into_response());
    if let Some(code) = code {
        response.extensions_mut().insert(FirstError(code));
    }
    response
}

pub(super) async fn wrong_method(uri: Uri) -> Refused {
    match uri.path() {
        "/graphql" => Refused::method("This path takes GET and POST.", "GET, HEAD, POST"),
        _ => Refused::method("This path takes GET.", "GET, HEAD"),
    }
}

pub(super) async fn no_such_path() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        Code::BadRequest,
        "There is nothing here. The API is at `/graphql`.",
    )
}

pub(super) fn panicked(_cause: Box<dyn Any + Send>) -> Response {
    Refused::internal().into_response()
}
