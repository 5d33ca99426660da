//! What can go wrong with a store.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::sdk_error::explain;
use super::sql_error::{describe, is_unavailable};

/// A store that a fault came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Message groups and messages.
    DynamoDb,
    /// Users.
    Postgres,
    /// Where the users sign in.
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

/// A call to a store that did not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or answered that it is busy: the same call may
    /// work later.
    #[error("{service} is not available: {cause}")]
    Unavailable {
        /// Which store.
        service: Service,
        /// What kind of failure it is.
        reason: Reason,
        /// What it said, for the log.
        cause: String,
    },
    /// The store will answer the same call the same way.
    #[error("{service} refused a call: {cause}")]
    Refused {
        /// Which store.
        service: Service,
        /// What kind of failure it is.
        reason: Reason,
        /// What it said, for the log.
        cause: String,
    },
    /// An item that everything else hangs on cannot be read.
    #[error("unreadable item {key}: {cause}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Why a store did not do what it was asked, where a caller treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no connection, or no response.
    Unreachable,
    /// More calls than the store allows at a time.
    Throttled,
    /// The store has an internal error, or is overloaded.
    Unavailable,
    /// What was named does not exist, such as the table.
    NotFound,
    /// The credentials do not permit the call.
    AccessDenied,
    /// There are no valid credentials.
    Credentials,
    /// Another one, which only the text tells.
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

    /// A failed call of the SDK's.
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

/// Codes with which DynamoDB or Cognito says "later": more was asked than is
/// allowed at a time, and nothing was done. The last two are reasons of a
/// transaction's.
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
/// The same: another transaction was in the way.
const CONFLICT: [&str; 2] = ["TransactionConflictException", "TransactionConflict"];

/// How DynamoDB answered a call that did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not now; nothing was done.
    Busy,
    /// Not ever; nothing was done.
    Refused,
    /// Nobody knows whether it was done.
    Unknown,
}

/// What an error means for what was asked. The status goes before the code: a
/// 5xx, also of something in between, says nothing of what was done.
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

/// Whether a code says that more was asked than the store allows at a time.
pub(super) fn is_throttled(code: &str) -> bool {
    THROTTLED.contains(&code)
}

/// Whether a code, or a transaction's reason, says "later": nothing was done.
pub(super) fn is_busy(code: &str) -> bool {
    THROTTLED.contains(&code) || CONFLICT.contains(&code)
}

/// How DynamoDB refused a call, in one word.
pub(super) fn refused(status: Option<u16>, code: Option<&str>) -> &'static str {
    match (status, code) {
        (Some(500..), _) | (_, None | Some("TransactionInProgressException")) => "unknown",
        (_, Some(code)) => worst(std::iter::once(code)),
    }
}

/// The same, for the reasons of a transaction: that which an operator can do
/// most about.
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
