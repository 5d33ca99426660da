//! What a client may see of an error. Everything passes through here, and each
//! has a code.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensions, Pos, Response, ServerError};

use crate::engine::in_one_line;
use crate::messaging::{LiveError, MessagingError, WriteOutcome};

/// When to try again what was refused as a whole.
const RETRY_AFTER_MS: u64 = 1000;

/// The `extensions.code` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is described by its text in the design of the API"
)]
pub enum Code {
    Unauthenticated,
    Forbidden,
    BadRequest,
    GraphqlParseFailed,
    GraphqlValidationFailed,
    BadUserInput,
    OperationResolutionFailure,
    QueryTooComplex,
    PersistedQueryNotFound,
    IdempotencyKeyReused,
    RateLimited,
    Resync,
    Unavailable,
    InternalServerError,
}

impl Code {
    const ALL: [Self; 14] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::BadRequest,
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::BadUserInput,
        Self::OperationResolutionFailure,
        Self::QueryTooComplex,
        Self::PersistedQueryNotFound,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::Resync,
        Self::Unavailable,
        Self::InternalServerError,
    ];

    /// The code of an error of an answer.
    #[must_use]
    pub fn of(error: &ServerError) -> Option<Self> {
        let async_graphql::Value::String(code) = error.extensions.as_ref()?.get("code")? else {
            return None;
        };
        Self::ALL.into_iter().find(|known| known.as_str() == code)
    }

    /// The code of an answer's first error.
    #[must_use]
    pub fn of_first(errors: &[ServerError]) -> Option<Self> {
        errors.first().and_then(Self::of)
    }

    /// Whether the log says more about it, under the request's id.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Unavailable | Self::InternalServerError)
    }

    /// The code as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadRequest => "BAD_REQUEST",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Resync => "RESYNC",
            Self::Unavailable => "UNAVAILABLE",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// An error of a resolver. Has no `Display`, so that the library's conversion
/// of everything that can be shown does not apply: a cause cannot leak.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// Nobody is signed in.
    Unauthenticated,
    /// An argument that cannot be right, in a sentence that names it.
    BadUserInput(String),
    /// The idempotency key came before, with another input.
    IdempotencyKeyReused,
    /// The caller has exceeded the rate limit.
    RateLimited {
        /// When the next request is accepted.
        retry_after: Duration,
    },
    /// A subscription does not go on, but can be begun again behind its last
    /// event.
    Behind,
    /// A subscription cannot go on from a cursor: everything has to be read
    /// anew.
    Resync,
    /// The viewer has no group with the uuid to subscribe to.
    NoSuchGroup,
    /// It may work later.
    Unavailable {
        /// When.
        retry_after: Duration,
        /// What became of the write, if it was one.
        outcome: Option<WriteOutcome>,
    },
    /// A fault of ours.
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
            } => {
                tracing::warn!(%cause, ?outcome, "a request could not be served");
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
            LiveError::NoSuchGroup => Self::NoSuchGroup,
            LiveError::Behind(why) => {
                tracing::info!(why, "a subscription fell behind");
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
            ApiError::Unauthenticated => coded(Code::Unauthenticated, "Sign in to do this."),
            ApiError::BadUserInput(message) => coded(Code::BadUserInput, message),
            ApiError::IdempotencyKeyReused => coded(
                Code::IdempotencyKeyReused,
                "This idempotencyKey was used for another message. Take a new key for each message.",
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
                "This subscription fell behind. Subscribe again with the last event's `cursor` as `after`: nothing is lost.",
            )
            .extend_with(|_, extensions| extensions.set("retryAfterMs", RETRY_AFTER_MS)),
            ApiError::Resync => coded(
                Code::Resync,
                "Too many groups were active to go on from this cursor. Read the groups anew and subscribe without `after`.",
            ),
            ApiError::NoSuchGroup => coded(
                Code::BadUserInput,
                "You have no message group with this `messageGroupUuid`.",
            ),
            ApiError::Unavailable {
                retry_after,
                outcome,
            } => unavailable(retry_after, outcome),
            ApiError::Internal => coded(
                Code::InternalServerError,
                "Something went wrong on our side. The request id finds it in our log.",
            ),
        }
    }
}

fn unavailable(retry_after: Duration, outcome: Option<WriteOutcome>) -> Error {
    let (message, outcome) = match outcome {
        None => ("This cannot be answered right now. Try again.", None),
        Some(WriteOutcome::NotApplied) => {
            ("This was not carried out. Try again.", Some("NOT_APPLIED"))
        }
        Some(WriteOutcome::Unknown) => (
            "This may have been carried out. Send a message again only with the same idempotencyKey.",
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
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code.as_str()))
}

/// An answer that refuses a whole request.
#[must_use]
pub fn refusal(code: Code, message: impl Into<String>) -> Response {
    let mut error = ServerError::new(in_one_line(&message.into()), None);
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    if code == Code::Unavailable {
        extensions.set("retryAfterMs", RETRY_AFTER_MS);
    }
    Response::from_errors(vec![error])
}

/// An answer to an operation that took too long. What a mutation has done by
/// then, nobody knows.
#[must_use]
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

/// Whether anything was executed for an answer: the errors of those that were
/// refused as a whole have no path.
#[must_use]
pub fn was_executed(answer: &Response) -> bool {
    answer.errors.is_empty() || answer.errors.iter().any(|error| !error.path.is_empty())
}

/// Gives errors of ours the request's id, by which the log says more.
pub(super) fn with_request_id(errors: &mut [ServerError], request_id: &str) {
    for error in errors {
        if Code::of(error).is_some_and(Code::is_ours) {
            let extensions = error.extensions.get_or_insert_default();
            extensions.set("requestId", request_id);
        }
    }
}
