//! Errors as clients see them. All errors pass through this module, and each
//! has a code.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensions, Pos, Response, ServerError};

use crate::engine::in_one_line;
use crate::messaging::{LiveError, MessagingError, WriteOutcome};
use crate::named_enum::named_enum;

/// Time after which a client should retry a rejected request. Most temporary
/// failures end within a second.
const RETRY_AFTER_MS: u64 = 1000;

named_enum! {
    /// The `extensions.code` of an error.
    #[expect(
        missing_docs,
        reason = "each variant has the name of its code, which docs/clients.md describes"
    )]
    pub enum Code {
        Unauthenticated = "UNAUTHENTICATED",
        Forbidden = "FORBIDDEN",
        BadRequest = "BAD_REQUEST",
        GraphqlParseFailed = "GRAPHQL_PARSE_FAILED",
        GraphqlValidationFailed = "GRAPHQL_VALIDATION_FAILED",
        BadUserInput = "BAD_USER_INPUT",
        OperationResolutionFailure = "OPERATION_RESOLUTION_FAILURE",
        QueryTooComplex = "QUERY_TOO_COMPLEX",
        PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND",
        IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
        RateLimited = "RATE_LIMITED",
        Resync = "RESYNC",
        Unavailable = "UNAVAILABLE",
        InternalServerError = "INTERNAL_SERVER_ERROR",
    }
}

impl Code {
    /// Returns the code of an error of a response.
    pub fn of(error: &ServerError) -> Option<Self> {
        let async_graphql::Value::String(code) = error.extensions.as_ref()?.get("code")? else {
            return None;
        };
        Self::ALL.iter().copied().find(|known| known.name() == code)
    }

    /// Returns the code of the first error of a response.
    pub fn of_first(errors: &[ServerError]) -> Option<Self> {
        errors.first().and_then(Self::of)
    }

    /// Returns whether the error is a failure of the server. For such an error, the
    /// log contains details with the request ID.
    pub fn is_server_error(self) -> bool {
        matches!(self, Self::Unavailable | Self::InternalServerError)
    }
}

/// An error of a resolver.
///
/// It has no `Display`, because async-graphql converts every `Display` type to
/// an error, which would reveal the cause to clients.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// The caller is anonymous.
    Unauthenticated,
    /// An argument is invalid. The message names it.
    BadUserInput(String),
    /// The idempotency key was used before with a different input.
    IdempotencyKeyReused,
    /// The caller has exceeded the rate limit.
    RateLimited {
        /// Time until the next request is accepted.
        retry_after: Duration,
    },
    /// The subscription ended, but can be resumed after its last event.
    Behind,
    /// The subscription cannot be resumed from the cursor. All data must be
    /// read again.
    Resync,
    /// The viewer is not a participant of the group to subscribe to.
    MessageGroupNotFound,
    /// A temporary failure.
    Unavailable {
        /// Time until the request should be retried.
        retry_after: Duration,
        /// Whether the write was applied, if the request was a write.
        outcome: Option<WriteOutcome>,
    },
    /// An error in the server.
    Internal,
}

impl From<MessagingError> for ApiError {
    fn from(error: MessagingError) -> Self {
        match error {
            MessagingError::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            MessagingError::Unavailable {
                retry_after,
                outcome,
                cause,
                ..
            } => {
                tracing::warn!(%cause, ?outcome, "temporary failure of a request");
                Self::Unavailable {
                    retry_after,
                    outcome,
                }
            }
            MessagingError::Fault(cause) => {
                tracing::error!(%cause, "a request failed");
                Self::Internal
            }
        }
    }
}

impl From<LiveError> for ApiError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::MessageGroupNotFound => Self::MessageGroupNotFound,
            LiveError::Behind(why) => {
                tracing::info!(why, "subscription closed because it fell behind");
                Self::Behind
            }
            LiveError::Resync => Self::Resync,
            LiveError::Messaging(error) => error.into(),
        }
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unauthenticated => coded(Code::Unauthenticated, "Authentication is required: send an access token."),
            ApiError::BadUserInput(message) => coded(Code::BadUserInput, message),
            ApiError::IdempotencyKeyReused => coded(
                Code::IdempotencyKeyReused,
                "This idempotencyKey was used for another message. Use a new key for each message.",
            ),
            ApiError::RateLimited { retry_after } => coded(
                Code::RateLimited,
                "Rate limit exceeded. This field was not executed. Try again after `retryAfterMs` milliseconds.",
            )
            .extend_with(|_, extensions| {
                extensions.set("retryAfterMs", millis(retry_after));
            }),
            ApiError::Behind => coded(
                Code::Unavailable,
                "The subscription fell behind and was closed. Subscribe again with the last event's `cursor` as `after` to receive all messages.",
            )
            .extend_with(|_, extensions| extensions.set("retryAfterMs", RETRY_AFTER_MS)),
            ApiError::Resync => coded(
                Code::Resync,
                "Too many groups were active to resume from this cursor. Refetch the groups and subscribe without `after`.",
            ),
            ApiError::MessageGroupNotFound => coded(
                Code::BadUserInput,
                "You have no message group with this `messageGroupUuid`.",
            ),
            ApiError::Unavailable {
                retry_after,
                outcome,
            } => unavailable(retry_after, outcome),
            ApiError::Internal => coded(
                Code::InternalServerError,
                "Internal error. The server's log contains details with this request ID.",
            ),
        }
    }
}

fn unavailable(retry_after: Duration, outcome: Option<WriteOutcome>) -> Error {
    let (message, outcome) = match outcome {
        None => ("Temporarily unavailable. Try again.", None),
        Some(WriteOutcome::NotApplied) => (
            "Temporarily unavailable. The mutation was not applied. Try again.",
            Some("NOT_APPLIED"),
        ),
        Some(WriteOutcome::Unknown) => (
            "The mutation may have been applied. Retry a message only with the same idempotencyKey.",
            Some("UNKNOWN"),
        ),
    };
    coded(Code::Unavailable, message).extend_with(|_, extensions| {
        extensions.set("retryAfterMs", millis(retry_after));
        if let Some(outcome) = outcome {
            extensions.set("outcome", outcome);
        }
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn coded(code: Code, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code.name()))
}

/// Creates the response to a request that is rejected as a whole.
pub fn rejected_response(code: Code, message: impl Into<String>) -> Response {
    let mut error = ServerError::new(in_one_line(&message.into()), None);
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code.name());
    if code == Code::Unavailable {
        extensions.set("retryAfterMs", RETRY_AFTER_MS);
    }
    Response::from_errors(vec![error])
}

/// Creates the response to an operation that exceeded its deadline. It is
/// unknown whether a mutation was applied.
pub fn timed_out(is_mutation: bool, request_id: &str) -> Response {
    let outcome = is_mutation.then_some(WriteOutcome::Unknown);
    let error = Error::from(ApiError::Unavailable {
        retry_after: Duration::from_millis(RETRY_AFTER_MS),
        outcome,
    });
    let mut errors = vec![error.into_server_error(Pos::default())];
    with_request_id(&mut errors, request_id);
    Response::from_errors(errors)
}

/// Returns whether any field was executed. The errors of requests that were
/// rejected as a whole have no path.
pub fn was_executed(response: &Response) -> bool {
    response.errors.is_empty() || response.errors.iter().any(|error| !error.path.is_empty())
}

/// Adds the request ID, which the log contains, to errors of the server.
pub fn with_request_id(errors: &mut [ServerError], request_id: &str) {
    for error in errors {
        if Code::of(error).is_some_and(Code::is_server_error) {
            let extensions = error.extensions.get_or_insert_default();
            extensions.set("requestId", request_id);
        }
    }
}
