//! Errors of requests that are rejected before execution, and the wording of
//! all errors.

use async_graphql::{Response, ServerError};

/// Maximum number of errors of a response. Without this limit and the next one,
/// the response to an invalid document could be many times as large as the
/// document.
pub(super) const MAX_ERRORS: usize = 20;
/// Maximum number of characters of an error message.
const MAX_MESSAGE_LENGTH: usize = 500;

/// The kind of a request error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestErrorKind {
    /// The document cannot be parsed.
    ParseFailed,
    /// The document is not valid for the schema.
    ValidationFailed,
    /// A variable has an invalid value.
    BadUserInput,
    /// The document does not contain the requested operation.
    OperationResolutionFailure,
    /// The operation exceeds a limit.
    TooComplex,
}

impl RequestErrorKind {
    /// Returns the error's `extensions.code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::TooComplex => "QUERY_TOO_COMPLEX",
        }
    }
}

/// The reason for which a request is rejected, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RequestError {
    pub kind: RequestErrorKind,
    pub message: String,
}

impl RequestError {
    pub fn new(kind: RequestErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }
}

/// The response to a request that is rejected as a whole.
pub(super) type Rejected = Box<Response>;

impl From<RequestError> for Rejected {
    fn from(RequestError { kind, message }: RequestError) -> Self {
        rejection(kind, vec![ServerError::new(message, None)])
    }
}

/// Creates the response to a rejected request.
pub(crate) fn rejection(kind: RequestErrorKind, mut errors: Vec<ServerError>) -> Rejected {
    for error in &mut errors {
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", kind.code());
    }
    finalize(&mut errors);
    Box::new(Response::from_errors(errors))
}

/// Adds a code to each error, converts messages to one line, and limits the
/// number of errors.
pub(crate) fn finalize(errors: &mut Vec<ServerError>) {
    errors.truncate(MAX_ERRORS);
    for error in errors {
        let kind = if error.path.is_empty() {
            RequestErrorKind::ValidationFailed
        } else {
            RequestErrorKind::BadUserInput
        };
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", kind.code());
        }
        error.message = in_one_line(&error.message);
    }
}

/// Converts a library's message to one line, without the prefix that
/// async-graphql adds to a scalar's own message. Long messages are truncated,
/// because some quote the input.
pub(crate) fn in_one_line(message: &str) -> String {
    let own = message
        .strip_prefix("Failed to parse \"")
        .and_then(|rest| rest.split_once("\": "));
    let own = own.map_or(message, |(_, own)| own);
    let own = own.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match own.char_indices().nth(MAX_MESSAGE_LENGTH) {
        Some((end, _)) => format!("{}…", &own[..end]),
        None => own,
    }
}
