//! Errors of the business rules.

use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;

/// How long a client should wait before it retries a request that failed with
/// [`MessagingError::Unavailable`]. Most temporary failures end within a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether a write that failed is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The write is not in the table and will not be. It is safe to send again.
    NotApplied,
    /// The write may be in the table, or may still be applied. It is safe to
    /// send again only with an idempotency key.
    Unknown,
}

/// The result of a call to the messaging layer.
pub type MessagingResult<T> = Result<T, MessagingError>;

/// Why a call to the messaging layer failed.
///
/// Cheap to clone, because requests that share a transaction or a lookup
/// receive the same error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MessagingError {
    /// A store is unavailable or throttles, or the deadline has passed.
    #[error("not available: {cause}")]
    Unavailable {
        /// How long the client should wait before a retry.
        retry_after: Duration,
        /// Outcome of the write; `None` if the operation is not a write.
        outcome: Option<WriteOutcome>,
        /// Cause, for the log.
        cause: Arc<str>,
        /// The error of the store, if a store caused this one.
        source: Option<Arc<StoreError>>,
    },
    /// The idempotency key was already used with another input.
    #[error("the idempotency key was used for another input")]
    IdempotencyKeyReused,
    /// A failure that a retry does not resolve.
    #[error(transparent)]
    Fault(Arc<StoreError>),
}

impl MessagingError {
    pub(super) fn unavailable(outcome: Option<WriteOutcome>, cause: &str) -> Self {
        Self::Unavailable {
            retry_after: RETRY_AFTER,
            outcome,
            cause: cause.into(),
            source: None,
        }
    }

    /// Sets the outcome of an unavailable write that has none yet.
    pub(super) fn with_outcome(mut self, known: WriteOutcome) -> Self {
        if let Self::Unavailable { outcome, .. } = &mut self {
            outcome.get_or_insert(known);
        }
        self
    }
}

impl From<Arc<StoreError>> for MessagingError {
    fn from(error: Arc<StoreError>) -> Self {
        match &*error {
            StoreError::Unavailable { .. } => Self::Unavailable {
                retry_after: RETRY_AFTER,
                outcome: None,
                cause: error.to_string().into(),
                source: Some(error),
            },
            StoreError::Rejected { .. } | StoreError::Unreadable { .. } => Self::Fault(error),
        }
    }
}

impl From<StoreError> for MessagingError {
    fn from(error: StoreError) -> Self {
        Arc::new(error).into()
    }
}
