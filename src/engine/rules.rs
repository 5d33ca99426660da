//! The rules for the operations of a schema.

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use async_graphql::Data;

use super::field_cost::FieldCost;
use super::limits::Limits;
use super::validation::CheckScalar;

/// The settings of an engine.
pub struct EngineSettings {
    /// The limits of an operation.
    pub limits: Limits,
    /// The costs of fields.
    pub costs: Vec<FieldCost>,
    /// Checks literals and variables of custom scalars. Its arguments are the
    /// name of the scalar, the value if it is a string, and the value for
    /// display. Its error describes the problem.
    pub check_scalar: CheckScalar,
    /// Whether introspection is allowed, and validation errors suggest names.
    pub introspection: bool,
    /// A field of the query's root that is resolved before the operation's other
    /// fields, wherever it is in the document.
    pub resolved_first: Option<&'static str>,
    /// Decides, from the data of a request, whether its document is cached. By
    /// default, an [`Executor`](async_graphql::Executor) caches no documents.
    pub is_cacheable: fn(&Data) -> bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            costs: Vec::new(),
            check_scalar: |_, _, _| Ok(()),
            introspection: true,
            resolved_first: None,
            is_cacheable: |_| false,
        }
    }
}

/// The schema and the settings for its documents.
pub(super) struct Rules {
    pub schema: Valid<Schema>,
    pub settings: EngineSettings,
}
