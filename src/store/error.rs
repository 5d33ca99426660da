//! Errors of the stores.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::cause::Cause;
use super::fault::{Fault, Reason, Service, fault};
use super::sdk_error::explain;
use super::sql_error::{describe, is_unavailable};
use crate::model::UnreadableTime;

/// The result of a call to a store.
pub type StoreResult<T> = Result<T, StoreError>;

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
        /// The store's error, for the log.
        #[source]
        cause: Cause,
    },
    /// The store rejected the call. A retry would have the same result.
    #[error("{service} rejected a call: {cause}")]
    Rejected {
        /// The store.
        service: Service,
        /// The kind of failure.
        reason: Reason,
        /// The store's error, for the log.
        #[source]
        cause: Cause,
    },
    /// An item that is required for the operation cannot be read.
    #[error("unreadable item {key}: {cause}")]
    Unreadable {
        /// Key of the item.
        key: String,
        /// The problem with the item.
        #[source]
        cause: UnreadableItem,
    },
}

/// The reason for which an item cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableItem {
    /// An attribute is missing or has another type.
    #[error(transparent)]
    Shape(#[from] serde_dynamo::Error),
    /// A time cannot be parsed.
    #[error(transparent)]
    Time(#[from] UnreadableTime),
    /// The contents contradict themselves, or the rules of the table.
    #[error("{0}")]
    Contents(&'static str),
}

impl UnreadableItem {
    /// Creates the error of the item with this key.
    pub(super) fn at(self, key: String) -> StoreError {
        StoreError::Unreadable { key, cause: self }
    }
}

impl StoreError {
    pub(super) fn unavailable(service: Service, cause: impl fmt::Display) -> Self {
        Self::of_fault(Fault::Unknown, service, Reason::Other, Cause::text(cause))
    }

    pub(crate) fn rejected(service: Service, cause: impl fmt::Display) -> Self {
        Self::of_fault(Fault::Rejected, service, Reason::Other, Cause::text(cause))
    }

    /// Converts the SDK's error for a failed call.
    pub(super) fn of_sdk<E>(service: Service, error: SdkError<E, HttpResponse>) -> Self
    where
        E: Error + Send + Sync + 'static,
        SdkError<E, HttpResponse>: ProvideErrorMetadata,
    {
        let (reason, text) = explain(service, &error);
        Self::of_fault(fault(&error), service, reason, Cause::new(text, error))
    }

    fn of_fault(fault: Fault, service: Service, reason: Reason, cause: Cause) -> Self {
        match fault {
            Fault::Busy | Fault::Unknown => Self::Unavailable {
                service,
                reason,
                cause,
            },
            Fault::Rejected => Self::Rejected {
                service,
                reason,
                cause,
            },
        }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for StoreError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self::of_sdk(Service::DynamoDb, error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let fault = if is_unavailable(&error) {
            Fault::Unknown
        } else {
            Fault::Rejected
        };
        let cause = Cause::new(describe(&error), error);
        Self::of_fault(fault, Service::Postgres, Reason::Other, cause)
    }
}
