//! What keeps a rule from being carried out.

use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;

/// How long a client should wait before it tries again what was not possible.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether a write that failed is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is not, and will not be: safe to send again.
    NotApplied,
    /// It may be, or may still get there: to be sent again only with an
    /// idempotency key.
    Unknown,
}

/// Why a rule could not be carried out. Cheap to clone: those who share a
/// transaction or a look-up share its error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MessagingError {
    /// A store is away or busy, or time ran out.
    #[error("not available: {cause}")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// What became of the write, if it was one.
        outcome: Option<WriteOutcome>,
        /// What happened, for the log.
        cause: Arc<str>,
    },
    /// The idempotency key came before, with another input.
    #[error("the idempotency key was used for another input")]
    IdempotencyKeyReused,
    /// A fault that trying again does not mend.
    #[error(transparent)]
    Fault(#[from] Arc<StoreError>),
}

impl MessagingError {
    pub(super) fn unavailable(outcome: Option<WriteOutcome>, cause: &str) -> Self {
        Self::Unavailable {
            retry_after: RETRY_AFTER,
            outcome,
            cause: cause.into(),
        }
    }

    /// The same, for a write of which nothing else is known than `outcome`.
    pub(super) fn with_outcome(self, outcome: WriteOutcome) -> Self {
        match self {
            Self::Unavailable {
                retry_after,
                outcome: None,
                cause,
            } => Self::Unavailable {
                retry_after,
                outcome: Some(outcome),
                cause,
            },
            other => other,
        }
    }
}

impl From<StoreError> for MessagingError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::unavailable(None, &error.to_string()),
            StoreError::Refused { .. } | StoreError::Unreadable { .. } => {
                Self::Fault(Arc::new(error))
            }
        }
    }
}
