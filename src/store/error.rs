//! What can go wrong with a store.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

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
        /// What it said, for the log.
        cause: String,
    },
    /// The store will answer the same call the same way.
    #[error("{service} refused a call: {cause}")]
    Refused {
        /// Which store.
        service: Service,
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

impl StoreError {
    pub(super) fn unavailable(service: Service, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        Self::Unavailable { service, cause }
    }

    pub(crate) fn refused(service: Service, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        Self::Refused { service, cause }
    }
}

/// Codes with which DynamoDB says "later": nothing was done. Too much was asked
/// of it; the last three are reasons of a transaction's.
const THROTTLED: [&str; 6] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
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
        code if THROTTLED.contains(&code) => (4, "throttled"),
        "None" => (0, "refused"),
        "ConditionalCheckFailed" | "ConditionalCheckFailedException" => (1, "condition"),
        code if CONFLICT.contains(&code) => (2, "conflict"),
        _ => (3, "refused"),
    };
    codes.map(ranked).max().map_or("refused", |(_, name)| name)
}

/// An error and what it came of, on one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_told = cause.to_string();
        if !told.ends_with(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        source = cause.source();
    }
    told.replace(['\n', '\r'], " ")
}

impl<E> From<SdkError<E, HttpResponse>> for StoreError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let cause = causes(&error);
        match fault(&error) {
            Fault::Busy | Fault::Unknown => Self::unavailable(Service::DynamoDb, cause),
            Fault::Refused => Self::refused(Service::DynamoDb, cause),
        }
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
