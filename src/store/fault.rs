//! Kinds of failed calls.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;

use crate::named_enum::named_enum;

named_enum! {
    /// The service that caused an error.
    pub enum Service {
        /// DynamoDB, which stores message groups and messages.
        DynamoDb = "DynamoDB",
        /// Postgres, which stores users.
        Postgres = "Postgres",
        /// Cognito, where the users sign in.
        Cognito = "Cognito",
    }
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
    Rejected,
    /// It is unknown whether the call was executed.
    Unknown,
}

/// Determines the effect of a failed call.
///
/// The status has precedence over the code: with a 5xx status, also from an
/// intermediary, it is unknown whether the call was executed.
pub(super) fn fault<E>(error: &SdkError<E, HttpResponse>) -> Fault
where
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => Fault::Rejected,
        SdkError::ServiceError(response) if response.raw().status().is_server_error() => {
            Fault::Unknown
        }
        SdkError::ServiceError(_) => match error.code() {
            Some(code) if is_busy(code) => Fault::Busy,
            Some("TransactionInProgressException") | None => Fault::Unknown,
            Some(_) => Fault::Rejected,
        },
        _ => Fault::Unknown,
    }
}

/// Returns whether an error code means that a limit was exceeded.
pub(super) fn is_throttled(code: &str) -> bool {
    THROTTLED.contains(&code)
}

/// Returns whether a call, or an action of a transaction, exceeded a limit.
pub(super) fn was_throttled<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool
where
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let refusal: &(dyn Error + 'static) = answer.err();
    match cancellation_reasons(refusal.downcast_ref(), refusal.downcast_ref()) {
        Some(reasons) => reasons
            .iter()
            .filter_map(CancellationReason::code)
            .any(is_throttled),
        None => !answer.raw().status().is_server_error() && error.code().is_some_and(is_throttled),
    }
}

/// Returns the cancellation reasons of a transaction, if the error of either type has them.
pub(super) fn cancellation_reasons<'e>(
    read: Option<&'e TransactGetItemsError>,
    written: Option<&'e TransactWriteItemsError>,
) -> Option<&'e [CancellationReason]> {
    use TransactGetItemsError::TransactionCanceledException as Read;
    use TransactWriteItemsError::TransactionCanceledException as Written;
    match (read, written) {
        (Some(Read(cancelled)), _) | (_, Some(Written(cancelled))) => {
            Some(cancelled.cancellation_reasons())
        }
        _ => None,
    }
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

/// Returns the result of a cancelled transaction as one word, for the metrics. Of
/// several reasons, it is the one on which an operator is most able to act.
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
