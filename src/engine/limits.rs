//! Limits of an operation, checked before anything is executed.
//!
//! async-graphql checks depth and complexity after it has expanded every
//! fragment: a few hundred bytes of nested fragments would cost seconds and
//! hundreds of megabytes. This module counts each fragment once, so the time is
//! linear in the size of the document.

use apollo_compiler::ast::{Definition, Document, OperationDefinition, OperationType};

use super::document_size::{DocumentSize, MAX_LEVELS, SizeCounter};
use super::error::{RequestError, RequestErrorKind};
use crate::limit_args::limit_args;

limit_args! {
    /// The limits of an operation.
    pub struct Limits {
        // The cost of parsing and validation grows with bytes, tokens and selections. The documents
        // of front ends and tools are several times smaller than these limits.
        /// Maximum size of a document in bytes
        document_bytes: "max-document-bytes", "CRUDDUR_MAX_DOCUMENT_BYTES", 32 * 1024;
        /// Maximum number of tokens in a document
        tokens: "max-tokens", "CRUDDUR_MAX_TOKENS", 4000;
        /// Maximum number of selections in an operation, with its fragments expanded
        selections: "max-selections", "CRUDDUR_MAX_SELECTIONS", 1000;
        // Each alias and each root field can cause another call to a store.
        /// Maximum number of aliases in an operation, with its fragments expanded
        aliases: "max-aliases", "CRUDDUR_MAX_ALIASES", 30;
        /// Maximum number of root fields in an operation, with its fragments expanded
        root_fields: "max-root-fields", "CRUDDUR_MAX_ROOT_FIELDS", 20;
        // The path `messageGroups.edges.node.messages.edges.node.sender.handle` has 8 levels.
        /// Maximum nesting depth of fields
        depth: "max-depth", "CRUDDUR_MAX_DEPTH", 10;
        // The introspection queries of tools nest `ofType` up to 9 levels deep.
        /// Maximum nesting depth of fields below `__schema` and `__type`
        introspection_depth: "max-introspection-depth", "CRUDDUR_MAX_INTROSPECTION_DEPTH", 20;
        // The server reserves memory for the largest possible response before execution.
        /// Maximum size of an operation's response in bytes, calculated with messages of maximum
        /// length
        response_bytes: "max-answer-bytes", "CRUDDUR_MAX_ANSWER_BYTES", 16 * 1024 * 1024;
        // Execution time grows with the number of objects.
        /// Maximum number of objects in an operation's response, calculated from the requested
        /// page sizes
        nodes: "max-nodes", "CRUDDUR_MAX_NODES", 5000;
    }
}

/// Maximum nesting depth of introspection lists, each of which multiplies the
/// response. graphql-js has the same limit.
const MAX_NESTED_LISTS: usize = 2;

/// The properties of an operation that are determined before validation.
#[derive(Clone, Debug)]
pub(super) struct OperationFacts {
    pub name: Option<String>,
    pub operation_type: OperationType,
    /// Number of selections of the document's operations, with their fragments
    /// expanded.
    pub selections: usize,
    /// Whether the document contains `__schema` or `__type`.
    pub uses_introspection: bool,
    /// Whether the operation contains only introspection and `__typename`.
    pub only_introspection: bool,
}

/// Rejects an operation with a value that exceeds its limit.
pub(super) fn within(what: &str, value: usize, max: usize) -> Result<(), RequestError> {
    if value <= max {
        return Ok(());
    }
    let message = format!(
        "The operation has {value} {what}, which exceeds the limit of {max}. Request less at a time."
    );
    Err(RequestError::new(RequestErrorKind::TooComplex, message))
}

impl Limits {
    /// Checks the size of each operation and of each fragment, because validation
    /// visits all of them, and the total size of the operations. Returns facts
    /// about the document and about `operation`.
    pub(super) fn check_document(
        &self,
        document: &Document,
        operation: &OperationDefinition,
    ) -> Result<OperationFacts, RequestError> {
        let mut counting = SizeCounter::new(document);
        let mut selections = 0_usize;
        let mut uses_introspection = false;
        for definition in &document.definitions {
            let size = match definition {
                Definition::OperationDefinition(operation) => {
                    let size = counting.selections(&operation.selection_set, 0);
                    self.check_cost(size)?;
                    self.check_operation(size)?;
                    selections = selections.saturating_add(size.selections);
                    size
                }
                Definition::FragmentDefinition(fragment) => {
                    let size = counting.fragment(&fragment.name, 0);
                    self.check_cost(size)?;
                    size
                }
                _ => continue,
            };
            uses_introspection |= size.schema;
        }
        let steps = counting.steps;
        tracing::trace!(steps, selections, "document size");
        within("selections", selections, self.selections)?;
        let size = counting.selections(&operation.selection_set, 0);
        Ok(OperationFacts {
            name: operation.name.as_deref().map(str::to_owned),
            operation_type: operation.operation_type,
            selections,
            uses_introspection,
            only_introspection: !size.has_other_fields,
        })
    }

    /// Checks the limits that bound the cost of validation, which visits every
    /// operation and every fragment.
    fn check_cost(&self, size: DocumentSize) -> Result<(), RequestError> {
        within("levels of nested selections", size.levels, MAX_LEVELS)?;
        within("selections", size.selections, self.selections)?;
        within(
            "levels of nested introspection lists",
            size.lists,
            MAX_NESTED_LISTS,
        )
    }

    fn check_operation(&self, size: DocumentSize) -> Result<(), RequestError> {
        within("aliases", size.aliases, self.aliases)?;
        within("root fields", size.fields, self.root_fields)?;
        within("levels of nested fields", size.depth, self.depth)?;
        within(
            "levels of nested introspection fields",
            size.introspection_depth,
            self.introspection_depth,
        )
    }
}
