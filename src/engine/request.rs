//! GraphQL requests, and the keys of their documents in the cache.

use aws_lc_rs::digest::{self, SHA256};

/// The values of an operation's variables by their names.
pub(super) type Variables = serde_json::Map<String, serde_json::Value>;

/// A GraphQL request as received.
#[derive(Clone, Debug, Default)]
pub struct GraphqlRequest {
    /// The document.
    pub query: String,
    /// Name of the operation to execute.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Variables,
}

/// SHA-256 of a document and of the name of the operation to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DocumentKey([u8; 32]);

impl DocumentKey {
    pub fn of(request: &GraphqlRequest) -> Self {
        let mut digest = digest::Context::new(&SHA256);
        let name = request.operation_name.as_deref().unwrap_or_default();
        digest.update(&(name.len() as u64).to_le_bytes());
        digest.update(name.as_bytes());
        digest.update(request.query.as_bytes());
        let mut key = Self([0; 32]);
        key.0.copy_from_slice(digest.finish().as_ref());
        key
    }
}
