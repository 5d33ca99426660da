//! Errors of the stores.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::sdk_error::explain;
use super::sql_error::{describe, is_unavailable};

/// The service that caused an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB, which stores message groups and messages.
    DynamoDb,
    /// Postgres, which stores users.
    Postgres,
    /// Cognito, where the users sign in.
    Cognito,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::Postgres => "Postgres",
            Self::Cognito => "Cognito",
        })
    }
}

/// A failed call to a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not respond, or responded that it is busy. A retry may
    /// succeed.
    #[error("{service} is not available: {cause}")]
    Unavailable {
        /// The store.
        service: Service,
        /// The kind of failure.
        reason: Reason,
        /// The store's error text, for the log.
        cause: String,
    },
    /// The store rejected the call. A retry would have the same result.
    #[error("{service} refused a call: {cause}")]
    Refused {
        /// The store.
        service: Service,
        /// The kind of failure.
        reason: Reason,
        /// The store's error text, for the log.
        cause: String,
    },
    /// An item that is required for the operation cannot be read.
    #[error("unreadable item {key}: {cause}")]
    Unreadable {
        /// Key of the item.
        key: String,
        /// The problem with the item.
        cause: String,
    },
}

/// The kind of a failure, for callers that treat the kinds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was no connection or no response.
    Unreachable,
    /// The request rate exceeded the store's limit.
    Throttled,
    /// The store has an internal error or is overloaded.
    Unavailable,
    /// The requested resource, such as the table, does not exist.
    NotFound,
    /// The credentials do not permit the call.
    AccessDenied,
    /// There are no valid credentials.
    Credentials,
    /// Another kind, which only the text describes.
    Other,
}

impl StoreError {
    pub(super) fn unavailable(service: Service, cause: impl fmt::Display) -> Self {
        let (reason, cause) = (Reason::Other, cause.to_string());
        Self::Unavailable {
            service,
            reason,
            cause,
        }
    }

    pub(crate) fn refused(service: Service, cause: impl fmt::Display) -> Self {
        let (reason, cause) = (Reason::Other, cause.to_string());
        Self::Refused {
            service,
            reason,
            cause,
        }
    }

    /// Converts the SDK's error for a failed call.
    pub(super) fn of_sdk<E>(service: Service, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + 'static,
        SdkError<E, HttpResponse>: ProvideErrorMetadata,
    {
        let (reason, cause) = explain(service, error);
        match fault(error) {
            Fault::Busy | Fault::Unknown => Self::Unavailable {
                service,
                reason,
                cause,
            },
            Fault::Refused => Self::Refused {
                service,
                reason,
                cause,
            },
        }
    }
}

/// Error codes of DynamoDB and Cognito for requests that exceed a limit.
/// Nothing was done, and a retry may succeed.
///
/// The last two are cancellation reasons of a transaction.
const THROTTLED: [&str; 12] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
];
/// Error codes of DynamoDB for conflicts with another transaction. Nothing was
/// done, and a retry may succeed.
const CONFLICT: [&str; 2] = ["TransactionConflictException", "TransactionConflict"];

/// Effect of a failed DynamoDB call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was done. A retry may succeed.
    Busy,
    /// Nothing was done. A retry would have the same result.
    Refused,
    /// It is unknown whether the call was carried out.
    Unknown,
}

/// Determines the effect of a failed call.
///
/// The status has precedence over the code: with a 5xx status, also from an
/// intermediary, it is unknown whether the call was carried out.
pub(super) fn fault<E>(error: &SdkError<E, HttpResponse>) -> Fault
where
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => Fault::Refused,
        SdkError::ServiceError(answer) if answer.raw().status().is_server_error() => Fault::Unknown,
        SdkError::ServiceError(_) => match error.code() {
            Some(code) if is_busy(code) => Fault::Busy,
            Some("TransactionInProgressException") | None => Fault::Unknown,
            Some(_) => Fault::Refused,
        },
        _ => Fault::Unknown,
    }
}

/// Returns whether an error code means that a limit was exceeded.
pub(super) fn is_throttled(code: &str) -> bool {
    THROTTLED.contains(&code)
}

/// Returns whether an error code or cancellation reason means that nothing was
/// done and a retry may succeed.
pub(super) fn is_busy(code: &str) -> bool {
    THROTTLED.contains(&code) || CONFLICT.contains(&code)
}

/// Returns the result of a failed DynamoDB call as one word, for the metrics.
pub(super) fn refused(status: Option<u16>, code: Option<&str>) -> &'static str {
    match (status, code) {
        (Some(500..), _) | (_, None | Some("TransactionInProgressException")) => "unknown",
        (_, Some(code)) => worst(std::iter::once(code)),
    }
}

/// Returns the result of a cancelled transaction as one word: the reason on
/// which an operator can act most.
pub(super) fn worst<'a>(codes: impl Iterator<Item = &'a str>) -> &'static str {
    let ranked = |code: &str| match code {
        code if is_throttled(code) => (4, "throttled"),
        "None" => (0, "refused"),
        "ConditionalCheckFailed" | "ConditionalCheckFailedException" => (1, "condition"),
        code if CONFLICT.contains(&code) => (2, "conflict"),
        _ => (3, "refused"),
    };
    codes.map(ranked).max().map_or("refused", |(_, name)| name)
}

impl<E> From<SdkError<E, HttpResponse>> for StoreError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self::of_sdk(Service::DynamoDb, &error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let cause = describe(&error);
        if is_unavailable(&error) {
            Self::unavailable(Service::Postgres, cause)
        } else {
            Self::refused(Service::Postgres, cause)
        }
    }
}
