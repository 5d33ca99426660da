//! GraphQL over HTTP.

use std::any::Any;

use async_graphql_axum::GraphQLRequest;
use async_graphql_axum::rejection::GraphQLRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{App, REQUEST_DEADLINE, REQUEST_ID};
use crate::auth::{Caller, TokenError};
use crate::graphql::{Code, Operation, Session, refusal, timed_out};
use crate::messaging::{MessagingError, UserLoader, Viewer};

/// How much earlier than the request a write has to be decided, so that its
/// outcome can still be told.
const TIME_TO_ANSWER: std::time::Duration = std::time::Duration::from_millis(500);

/// A request that is refused as a whole.
pub(super) struct Refused {
    status: StatusCode,
    code: Code,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            code,
            message,
        }
    }

    fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message)
    }

    fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, body(refusal(self.code, self.message))).into_response();
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "GET, POST")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// One GraphQL request: who calls, what is asked, whether they may, the answer.
pub(super) async fn graphql(State(app): State<App>, request: Request) -> Result<Response, Refused> {
    let deadline = Instant::now() + REQUEST_DEADLINE;
    let answer = answer(app, request, deadline - TIME_TO_ANSWER);
    // Execution has a limit of its own, which knows what was asked.
    let answer = timeout_at(deadline + TIME_TO_ANSWER, answer).await;
    answer.unwrap_or_else(|_| {
        Err(Refused::unavailable(
            "The request took too long. Try again.",
        ))
    })
}

async fn answer(app: App, request: Request, deadline: Instant) -> Result<Response, Refused> {
    let request_id = request_id(request.headers());
    let by_get = request.method() == Method::GET;
    let caller = caller(&app, request.headers()).await?;
    let operation = match Operation::parse(received(request).await?) {
        Ok(operation) => operation,
        Err(refused) => return Ok(body(*refused).into_response()),
    };
    if by_get && operation.is_mutation() {
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest);
        return Err(Refused::new(
            status,
            code,
            "A mutation has to be sent by POST.",
        ));
    }
    let users = app.messaging.user_loader();
    let viewer = match caller {
        Caller::Anonymous if app.api.is_public(&operation) => None,
        Caller::Anonymous => {
            let message = "Sign in first: send an access token as `Authorization: Bearer <token>`.";
            return Err(Refused::unauthenticated(message));
        }
        Caller::SignedIn { sub, .. } => Some(viewer(&app, &users, &sub).await?),
    };
    let is_mutation = operation.is_mutation();
    let session = Session::new(app.messaging.clone(), users, viewer, deadline);
    let executed = app.api.execute(operation, session, &request_id);
    let answer = timeout_at(deadline + TIME_TO_ANSWER, executed).await;
    Ok(body(answer.unwrap_or_else(|_| timed_out(is_mutation))).into_response())
}

/// The answer as JSON, in its order.
#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Executed(async_graphql::Response),
    /// Not executed, so there is no `data`.
    Refused {
        errors: Vec<async_graphql::ServerError>,
    },
}

fn body(answer: async_graphql::Response) -> Json<Body> {
    let executed =
        answer.errors.is_empty() || answer.errors.iter().any(|error| !error.path.is_empty());
    Json(if executed {
        Body::Executed(answer)
    } else {
        Body::Refused {
            errors: answer.errors,
        }
    })
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
            Err(internal())
        }
    }
}

/// The GraphQL request in a query string or a JSON body.
async fn received(request: Request) -> Result<async_graphql::Request, Refused> {
    let read =
        GraphQLRequest::<GraphQLRejection>::from_request(request.with_limited_body(), &()).await;
    read.map(GraphQLRequest::into_inner)
        .map_err(|GraphQLRejection(error)| {
            let message = format!("This is not a GraphQL request: {error}.");
            Refused::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
        })
}

fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

fn internal() -> Refused {
    let message = "Something went wrong on our side. The request id finds it in our log.";
    Refused::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        Code::InternalServerError,
        message,
    )
}

pub(super) async fn wrong_method() -> Refused {
    let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest);
    Refused::new(
        status,
        code,
        "This path takes GET, and `/graphql` POST as well.",
    )
}

pub(super) async fn no_such_path() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        Code::BadRequest,
        "There is nothing here. The API is at `/graphql`.",
    )
}

pub(super) fn panicked(_cause: Box<dyn Any + Send>) -> Response {
    internal().into_response()
}
