//! How much an operation may ask for, known before anything of it is executed.
//!
//! async-graphql compares depth and complexity after it has expanded every
//! fragment: some hundred bytes of fragments in fragments would cost it
//! seconds and hundreds of megabytes. Here each fragment is counted once, so
//! that the time is linear in the document.

use apollo_compiler::ast::{Definition, Document, Selection};

use super::cost::Size;
use super::document_size::{DocumentSize, MOST_LEVELS, SizeCounter};

/// The most of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document.
    pub document_bytes: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Selections of an operation, with its fragments expanded.
    pub selections: usize,
    /// Aliases of an operation, with its fragments expanded.
    pub aliases: usize,
    /// Fields at the root of an operation, with its fragments expanded.
    pub root_fields: usize,
    /// Fields inside of each other.
    pub depth: usize,
    /// The same below `__schema` and `__type`.
    pub introspection_depth: usize,
    /// Objects that an operation can answer, by the sizes that it asks for.
    pub nodes: usize,
    /// Bytes that it can answer, were every message as long as it may be.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 32 * 1024,
            tokens: 4000,
            selections: 1000,
            aliases: 30,
            root_fields: 20,
            depth: 10,
            introspection_depth: 20,
            nodes: 5000,
            answer_bytes: 16 * 1024 * 1024,
        }
    }
}

/// How many lists of the schema's types may be inside of each other, each of
/// which multiplies the answer: as many as the reference implementation lets
/// pass.
const MOST_LISTS: usize = 2;

/// What a document asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct DocumentFacts {
    /// Selections of its operations, with their fragments expanded.
    pub selections: usize,

    /// Whether the document asks for the schema, beside the name of a type.
    pub schema: bool,
    /// Whether the operation asks for nothing but the schema and names of types.
    pub nothing_else: bool,
}

/// A limit that is passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The operation has {value} {what}, and {most} are the most. Ask for less at a time.")]
pub(super) struct Exceeded {
    what: &'static str,
    value: usize,
    most: usize,
}

pub(super) fn within(what: &'static str, value: usize, most: usize) -> Result<(), Exceeded> {
    if value <= most {
        Ok(())
    } else {
        Err(Exceeded { what, value, most })
    }
}

impl Limits {
    /// Whether a text may be parsed at all.
    pub(super) fn check_bytes(&self, document: &str) -> Result<(), Exceeded> {
        within("bytes", document.len(), self.document_bytes)
    }

    /// Whether a document may be looked at more closely: each of its
    /// operations, since all of them are validated, each fragment, and how
    /// much they are together. Says what one of the operations is about.
    pub(super) fn check_shape(
        &self,
        document: &Document,
        operation: &[Selection],
    ) -> Result<DocumentFacts, Exceeded> {
        let mut counting = SizeCounter::new(document);
        let mut selections = 0_usize;
        let mut schema = false;
        for definition in &document.definitions {
            let shape = match definition {
                Definition::OperationDefinition(operation) => {
                    let shape = counting.selections(&operation.selection_set, 0);
                    self.check_cost(shape)?;
                    self.check_operation(shape)?;
                    selections = selections.saturating_add(shape.selections);
                    shape
                }
                Definition::FragmentDefinition(fragment) => {
                    let shape = counting.fragment(&fragment.name, 0);
                    self.check_cost(shape)?;
                    shape
                }
                _ => continue,
            };
            schema |= shape.schema;
        }
        let steps = counting.steps;
        tracing::trace!(steps, selections, "a document was counted");
        within("selections", selections, self.selections)?;
        Ok(DocumentFacts {
            selections,
            schema,
            nothing_else: !counting.selections(operation, 0).beside_schema,
        })
    }

    /// What validation, which looks at every operation and every fragment,
    /// would have to pay for.
    fn check_cost(&self, shape: DocumentSize) -> Result<(), Exceeded> {
        within("levels of selections", shape.levels, MOST_LEVELS)?;
        within("selections", shape.selections, self.selections)?;
        within(
            "lists of the schema inside of each other",
            shape.lists,
            MOST_LISTS,
        )
    }

    fn check_operation(&self, shape: DocumentSize) -> Result<(), Exceeded> {
        within("aliases", shape.aliases, self.aliases)?;
        within("fields at its root", shape.fields, self.root_fields)?;
        within("levels of fields", shape.depth, self.depth)?;
        within(
            "levels of fields of the schema",
            shape.introspection_depth,
            self.introspection_depth,
        )
    }

    /// Whether a response may be as large as an operation's.
    pub(super) fn check_size(&self, size: Size) -> Result<(), Exceeded> {
        within("objects to answer", size.nodes, self.nodes)?;
        within("bytes to answer at most", size.bytes, self.answer_bytes)
    }
}
