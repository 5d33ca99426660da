//! GraphQL over HTTP: one request, from who calls to the answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::answered::{Answering, Asked, FirstError, Outcome};
use super::caller::{caller, nobody};
use super::execution::{REQUEST_DEADLINE, TIME_TO_ANSWER};
use super::media::Media;
use super::received::received;
use super::refused::{Errors, Refused};
use super::{App, request_id};
use crate::auth::Caller;
use crate::graphql::{Code, was_executed};
use crate::telemetry::work_for;

/// One GraphQL request, within the bounds of the server: how many at a time,
/// how long each, and in which media type.
pub(super) async fn graphql(
    State(app): State<App>,
    Extension(in_flight): Extension<Arc<Semaphore>>,
    request: Request,
) -> Response {
    let request_id = request_id(request.headers());
    let answering = Answering::begin(&request_id, request.headers());
    let answer = in_time(app, &in_flight, request, &request_id, &answering.asked);
    let answer = Box::pin(answer).instrument(answering.span.clone());
    let answer = work_for([answering.origin.clone()], answer).await;
    answering.end(Outcome::of(&answer));
    answer
}

/// Answers within the time that a request may take, and whatever happens.
async fn in_time(
    app: App,
    in_flight: &Semaphore,
    request: Request,
    request_id: &str,
    asked: &Asked,
) -> Response {
    let Some(media) = Media::accepted(request.headers()) else {
        let message = "Answers are `application/graphql-response+json` or `application/json`.";
        let refused = Refused::bad(StatusCode::NOT_ACCEPTABLE, message);
        return varying(refused.into_response());
    };
    let deadline = Instant::now() + REQUEST_DEADLINE;
    let answer = answer(
        app,
        in_flight,
        request,
        media,
        asked,
        request_id,
        deadline - TIME_TO_ANSWER,
    );
    let answer = AssertUnwindSafe(answer).catch_unwind();
    // Execution has a limit of its own, which knows what was asked.
    let answer = match timeout_at(deadline + TIME_TO_ANSWER, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Refused::internal()),
        Err(_) => Err(Refused::unavailable(
            "The request took too long. Try again.",
        )),
    };
    let refused = |refused: Refused| refused.of_request(request_id).into_response();
    in_media(media, answer.unwrap_or_else(refused))
}

fn in_media(media: Media, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.content_type());
    varying(response)
}

/// Another `Accept` would have got another answer.
fn varying(mut response: Response) -> Response {
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, accept);
    response
}

async fn answer(
    app: App,
    in_flight: &Semaphore,
    request: Request,
    media: Media,
    asked: &Asked,
    request_id: &str,
    deadline: Instant,
) -> Result<Response, Refused> {
    let by_post = request.method() == Method::POST;
    let caller = caller(&app, request.headers()).await?;
    if matches!(caller, Caller::Anonymous) && !app.api.is_for_anybody() {
        return Err(nobody());
    }
    let received = received(request, app.bounds.body_bytes, deadline).await?;
    // Only now: who sends slowly takes nobody's turn.
    let Ok(_turn) = in_flight.try_acquire() else {
        let message = "The server has too much to do. Try again.";
        return Err(Refused::unavailable(message));
    };
    let parsed = match app.parse(received) {
        Ok(parsed) => parsed,
        Err(refused) => return Ok(body(media, *refused)),
    };
    let operation = &parsed.operation;
    asked.is(operation);
    if operation.is_mutation() && !by_post {
        return Err(Refused::method(
            "A mutation has to be sent by POST.",
            "POST",
        ));
    }
    if operation.is_subscription() {
        let message = "A subscription needs a WebSocket: connect to this path with the \
            subprotocol `graphql-transport-ws`.";
        return Err(Refused::bad(StatusCode::BAD_REQUEST, message));
    }
    let session = app.session(&caller, &parsed, deadline).await?;
    let executed = app.execute(parsed.operation, session, request_id, deadline);
    Ok(body(media, executed.await))
}

/// The answer as JSON, in its order.
#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Executed(async_graphql::Response),
    Refused(Errors),
}

fn body(media: Media, answer: async_graphql::Response) -> Response {
    let executed = was_executed(&answer);
    let code = answer.errors.first().and_then(Code::of);
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
    let mut response = (status, axum::Json(body)).into_response();
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
