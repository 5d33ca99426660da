//! Why a request is rejected before anything of it is executed, and how errors
//! are worded.

use async_graphql::{Pos, Response, ServerError};

/// The most errors of a response, and the most characters of one.
pub(super) const MOST_ERRORS: usize = 20;
const LONGEST_MESSAGE: usize = 500;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestErrorKind {
    /// The document cannot be parsed.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// A variable has a value that cannot be right.
    BadUserInput,
    /// The document does not have the operation.
    OperationResolutionFailure,
    /// It asks for more than the limits allow.
    TooComplex,
}

impl RequestErrorKind {
    /// The error's `extensions.code`.
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

/// Why a request is rejected, in one sentence.
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

impl From<RequestError> for Box<Response> {
    fn from(RequestError { kind, message }: RequestError) -> Self {
        rejection(kind, vec![ServerError::new(message, None)])
    }
}

/// The response to a request that is rejected for these reasons.
pub(crate) fn rejection(kind: RequestErrorKind, mut errors: Vec<ServerError>) -> Box<Response> {
    for error in &mut errors {
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", kind.code());
    }
    finalize(&mut errors);
    Box::new(Response::from_errors(errors))
}

/// Gives each error a code, and a message of one line. There are no more than a
/// client reads.
pub(crate) fn finalize(errors: &mut Vec<ServerError>) {
    errors.truncate(MOST_ERRORS);
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

/// Where an error of apollo-compiler's stands.
pub(super) fn server_error(error: &apollo_compiler::response::GraphQLError) -> ServerError {
    let mut told = ServerError::new(error.message.clone(), None);
    let locations = error.locations.iter();
    told.locations = locations
        .map(|at| Pos {
            line: at.line,
            column: at.column,
        })
        .collect();
    told
}

/// The libraries' messages, without what they put around them: a scalar's own
/// message comes after the scalar's name. No longer than a message should be:
/// some quote what they were given.
pub(crate) fn in_one_line(message: &str) -> String {
    let own = message
        .strip_prefix("Failed to parse \"")
        .and_then(|rest| rest.split_once("\": "));
    let own = own.map_or(message, |(_, own)| own);
    let own = own.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match own.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &own[..end]),
        None => own,
    }
}
