//! Rejected requests.

use async_graphql::ServerError;
use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::access_log::FirstError;
use crate::schema::{Code, rejected_response, with_request_id};

/// A request that is rejected as a whole.
#[derive(Debug)]
pub(super) struct Rejection {
    status: StatusCode,
    pub code: Code,
    message: String,
    request_id: Option<String>,
    /// The value of `Allow`, if the method is not allowed.
    allow: &'static str,
}

/// The response to a request that was not executed: it has no `data`.
#[derive(Serialize)]
pub(super) struct Errors {
    pub errors: Vec<ServerError>,
}

impl Errors {
    pub fn json(&self) -> Vec<u8> {
        // Errors contain only JSON values, so this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Rejection {
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            code,
            message,
            request_id: None,
            allow: "",
        }
    }

    pub fn bad_request(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Code::BadRequest, message)
    }

    /// Creates the rejection of a method that a path does not support. `allow` lists the supported
    /// methods.
    pub fn method_not_allowed(message: &str, allow: &'static str) -> Self {
        Self {
            allow,
            ..Self::bad_request(StatusCode::METHOD_NOT_ALLOWED, message)
        }
    }

    pub fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    pub fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message)
    }

    pub fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }

    pub fn timed_out() -> Self {
        Self::unavailable("The request took too long. Try again.")
    }

    /// Creates an internal error. The log contains its cause with the request ID.
    pub fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let message = "Internal error. The server's log contains details with this request ID.";
        Self::new(status, Code::InternalServerError, message)
    }

    /// Returns the errors of the response.
    pub fn errors(&self) -> Vec<ServerError> {
        let mut errors = rejected_response(self.code, self.message.as_str()).errors;
        if let Some(id) = &self.request_id {
            with_request_id(&mut errors, id);
        }
        errors
    }

    /// Adds the ID of the request, for errors whose cause is in the log.
    pub fn with_request_id(mut self, request_id: &str) -> Self {
        self.request_id = (!request_id.is_empty()).then(|| request_id.to_owned());
        self
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let errors = self.errors();
        let mut response = (self.status, Json(Errors { errors })).into_response();
        response.extensions_mut().insert(FirstError(self.code));
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, self.allow)),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The router's response to a method that a path does not support.
pub(super) async fn method_not_allowed(uri: Uri) -> Rejection {
    match uri.path() {
        "/graphql" => Rejection::method_not_allowed(
            "This path supports only GET and POST.",
            "GET, HEAD, POST",
        ),
        _ => Rejection::method_not_allowed("This path supports only GET.", "GET, HEAD"),
    }
}

/// The router's response to an unknown path.
pub(super) async fn not_found() -> Rejection {
    let message = "This path does not exist. The API is at `/graphql`.";
    Rejection::new(StatusCode::NOT_FOUND, Code::BadRequest, message)
}
