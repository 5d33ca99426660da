//! GraphQL over HTTP: one request, from who calls to the answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::answered::{Answering, Asked, FirstError};
use super::media::Media;
use super::received::received;
use super::refused::{Errors, Refused};
use super::{App, REQUEST_DEADLINE, REQUEST_ID};
use crate::auth::{Caller, TokenError};
use crate::graphql::{Code, Session, timed_out};
use crate::messaging::{MessagingError, UserLoader, Viewer};
use crate::telemetry::work_for;

/// How much earlier than the request a write has to be decided, so that its
/// outcome can still be told.
const TIME_TO_ANSWER: std::time::Duration = std::time::Duration::from_millis(500);

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
    answering.end(&answer);
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
    let found = app.documents.find(received);
    let parsed = found.and_then(|(request, to_keep)| Ok((app.api.parse(request)?, to_keep)));
    let (operation, to_keep) = match parsed {
        Ok(parsed) => parsed,
        Err(refused) => return Ok(body(media, *refused)),
    };
    asked.is(&operation);
    if operation.is_mutation() && !by_post {
        return Err(Refused::method(
            "A mutation has to be sent by POST.",
            "POST",
        ));
    }
    let users = app.messaging.user_loader();
    let viewer = match caller {
        Caller::Anonymous if app.api.is_public(&operation) => None,
        Caller::Anonymous => return Err(nobody()),
        Caller::SignedIn { sub, .. } => Some(viewer(&app, &users, &sub).await?),
    };
    // Somebody who is nobody here fills no memory.
    if let (Some(_), Some(document)) = (&viewer, to_keep) {
        app.documents.keep(document);
    }
    let is_mutation = operation.is_mutation();
    let session = Session::new(
        app.messaging.clone(),
        users,
        viewer,
        app.send_rate.clone(),
        deadline,
    );
    let executed = app.api.execute(operation, session, request_id);
    let answer = timeout_at(deadline + TIME_TO_ANSWER, executed).await;
    Ok(body(
        media,
        answer.unwrap_or_else(|_| timed_out(is_mutation, request_id)),
    ))
}

fn nobody() -> Refused {
    Refused::unauthenticated(
        "Sign in first: send an access token as `Authorization: Bearer <token>`.",
    )
}

/// The answer as JSON, in its order.
#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Executed(async_graphql::Response),
    Refused(Errors),
}

fn body(media: Media, answer: async_graphql::Response) -> Response {
    let executed =
        answer.errors.is_empty() || answer.errors.iter().any(|error| !error.path.is_empty());
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

/// Who the request says it is. A bad token is refused, whatever is asked.
async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Refused> {
    let invalid = || Refused::unauthenticated("The access token is not valid. Sign in again.");
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (None, _) => return Ok(Caller::Anonymous),
        (Some(one), None) => bearer_token(one).ok_or_else(invalid)?,
        (Some(_), Some(_)) => return Err(invalid()),
    };
    app.verifier
        .verify(token)
        .await
        .map_err(|error| match error {
            TokenError::Invalid => invalid(),
            TokenError::KeysUnavailable => {
                Refused::unavailable("The access token cannot be checked right now. Try again.")
            }
        })
}

/// The token of `Bearer <token>` (RFC 6750, 2.1; the scheme in any case).
fn bearer_token(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn viewer(app: &App, users: &UserLoader, sub: &str) -> Result<Viewer, Refused> {
    match app.messaging.viewer(users, sub).await {
        Ok(Some(viewer)) => Ok(viewer),
        Ok(None) => {
            let message = "You are signed in, but have no user here yet.";
            Err(Refused::new(
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                message,
            ))
        }
        Err(MessagingError::Unavailable { cause, .. }) => {
            tracing::warn!(%cause, "a caller could not be looked up");
            Err(Refused::unavailable(
                "This cannot be answered right now. Try again.",
            ))
        }
        Err(error) => {
            tracing::error!(%error, "a caller could not be looked up");
            Err(Refused::internal())
        }
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
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
