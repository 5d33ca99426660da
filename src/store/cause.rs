//! Causes of errors.

use std::error::Error;
use std::fmt;

use super::sdk_error::causes;

/// The cause of an error: one line of text for operators, and the error of the
/// library if there is one.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Cause {
    pub(super) fn new(text: String, source: impl Error + Send + Sync + 'static) -> Self {
        let source: Option<Box<dyn Error + Send + Sync>> = Some(Box::new(source));
        Self { text, source }
    }

    /// Creates a cause with the texts of an error and its sources.
    pub(super) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self::new(causes(&error), error)
    }

    pub(super) fn text(text: impl fmt::Display) -> Self {
        let (text, source) = (text.to_string(), None);
        Self { text, source }
    }
}
