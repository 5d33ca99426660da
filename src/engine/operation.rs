//! A parsed request. The engine executes the document that it has validated: no
//! code parses the text a second time.

use std::fmt;
use std::sync::Arc;

use apollo_compiler::ast::{self, Definition, Document, OperationType};
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::executable;
use apollo_compiler::parser::Parser;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Node};
use async_graphql::ServerError;

use super::cost::response_size;
use super::error::{MAX_ERRORS, Rejected, RequestError, RequestErrorKind, rejection};
use super::lexer::parsable;
use super::limits::{Limits, OperationFacts, within};
use super::lower::Lowered;
use super::plan::{Plan, plan};
use super::positions::LineIndex;
use super::request::{DocumentKey, GraphqlRequest, Variables};
use super::rules::Rules;
use super::validation::{InvalidValue, accept_repeated_field, check_values};
use super::variables::coerce_variables;

/// Approximate memory of a document in bytes: a fixed part, a part for each
/// selection, and a part for each field of its plan. The sum is at least the
/// memory that a document takes, which tests of the engine measure.
const BYTES_OF_DOCUMENT: usize = 2048;
const BYTES_OF_SELECTION: usize = 512;
const BYTES_OF_FIELD: usize = 1024;

/// The operation of a request that is to be executed. It is within the limits,
/// but not validated yet.
pub struct Operation {
    facts: OperationFacts,
    document: OperationDocument,
    pub(super) key: DocumentKey,
    variables: Variables,
}

/// The document of an operation.
enum OperationDocument {
    /// Parsed for this request.
    Parsed(Document, LineIndex),
    /// Validated for an earlier request.
    Cached(Arc<ValidatedDocument>),
}

/// A document that is valid for the schema, with one of its operations.
pub(super) struct ValidatedDocument {
    pub facts: OperationFacts,
    document: Valid<ExecutableDocument>,
    positions: LineIndex,
    operation: Node<executable::Operation>,
    /// The plan of the operation. A conditional operation's plan contains all
    /// fields that may be executed, and each request gets its own plan.
    plan: Arc<Plan>,
    /// The lowered plan, unless it contains variables.
    lowered: Option<Arc<Lowered>>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.facts.name)
            .finish_non_exhaustive()
    }
}

/// An operation that is valid, within the limits and ready for execution.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) plan: Arc<Plan>,
    pub(super) lowered: Arc<Lowered>,
    /// Maximum size of the response in bytes; for a subscription, of each
    /// event.
    pub response_bytes: usize,
}

impl Prepared {
    /// Returns whether this is a subscription.
    pub fn is_subscription(&self) -> bool {
        self.plan.operation_type == OperationType::Subscription
    }
}

impl Operation {
    /// Parses a request and selects its operation.
    pub(super) fn parse(
        request: GraphqlRequest,
        key: DocumentKey,
        limits: &Limits,
    ) -> Result<Self, Rejected> {
        within("bytes", request.query.len(), limits.document_bytes)?;
        let text = parsable(&request.query, limits.tokens)?;
        let positions = LineIndex::of(&text);
        let document = Parser::new()
            .parse_ast(text, "document")
            .map_err(|error| diagnosed(RequestErrorKind::ParseFailed, &error.errors, &positions))?;
        let definition = find(&document, request.operation_name.as_deref()).map_err(unresolved)?;
        Ok(Self {
            facts: limits.check_document(&document, definition)?,
            document: OperationDocument::Parsed(document, positions),
            key,
            variables: request.variables,
        })
    }

    /// Creates an operation of a cached document.
    pub(super) fn cached(
        known: Arc<ValidatedDocument>,
        key: DocumentKey,
        variables: Variables,
    ) -> Self {
        Self {
            facts: known.facts.clone(),
            document: OperationDocument::Cached(known),
            key,
            variables,
        }
    }

    /// Returns whether the document comes from the cache.
    pub(super) fn is_cached(&self) -> bool {
        matches!(self.document, OperationDocument::Cached(_))
    }

    /// Returns the name of the operation, which is a valid GraphQL name.
    pub fn name(&self) -> Option<&str> {
        self.facts.name.as_deref()
    }

    /// Returns the type of the operation in lower case.
    pub fn kind(&self) -> &'static str {
        self.facts.operation_type.name()
    }

    /// Returns whether this is a mutation.
    pub fn is_mutation(&self) -> bool {
        self.facts.operation_type == OperationType::Mutation
    }

    /// Returns whether this is a subscription.
    pub fn is_subscription(&self) -> bool {
        self.facts.operation_type == OperationType::Subscription
    }

    /// Returns whether this is a query that contains only introspection and
    /// `__typename`.
    pub fn is_introspection(&self) -> bool {
        self.facts.only_introspection && self.facts.operation_type == OperationType::Query
    }

    /// Returns whether the document contains `__schema` or `__type`.
    pub fn uses_introspection(&self) -> bool {
        self.facts.uses_introspection
    }

    /// Returns the document, validated against the schema.
    pub(super) fn validate(&self, rules: &Rules) -> Result<Arc<ValidatedDocument>, Rejected> {
        match &self.document {
            OperationDocument::Cached(known) => Ok(Arc::clone(known)),
            OperationDocument::Parsed(document, positions) => {
                let positions = positions.clone();
                ValidatedDocument::new(document, positions, self.facts.clone(), rules).map(Arc::new)
            }
        }
    }

    /// Coerces the variables and plans the execution.
    pub(super) fn prepare(
        &self,
        known: &ValidatedDocument,
        rules: &Rules,
    ) -> Result<Prepared, Rejected> {
        let variables = known.coerce(&self.variables, rules)?;
        let plan = if known.plan.is_conditional {
            Arc::new(known.plan(rules, Some(&variables))?)
        } else {
            Arc::clone(&known.plan)
        };
        let response_bytes = within_size(&plan, &variables, rules)?;
        let lowered = match &known.lowered {
            Some(lowered) => Arc::clone(lowered),
            None => Arc::new(Lowered::new(&plan, &variables)?),
        };
        Ok(Prepared {
            plan,
            lowered,
            response_bytes,
        })
    }
}

impl ValidatedDocument {
    /// Validates a document, and plans its operation.
    fn new(
        document: &Document,
        positions: LineIndex,
        facts: OperationFacts,
        rules: &Rules,
    ) -> Result<Self, Rejected> {
        let schema = &rules.schema;
        let invalid = |errors: &DiagnosticList| {
            diagnosed(RequestErrorKind::ValidationFailed, errors, &positions)
        };
        // In two steps: otherwise an unknown field would also be reported as a
        // missing selection of its parent.
        let document = document.to_executable(schema);
        let document = document.map_err(|error| invalid(&error.errors))?;
        let document = document
            .validate(schema)
            .or_else(|errors| accept_repeated_field(rules, errors));
        let document = document.map_err(|errors| invalid(&errors))?;
        check_values(schema, rules.settings.check_scalar, &document).map_err(|wrong| {
            invalid_value(RequestErrorKind::ValidationFailed, wrong, &positions)
        })?;
        let name = facts.name.as_deref();
        let operation = document.operations.get(name);
        let operation = operation.map_err(|error| unresolved(error.message().to_string()))?;
        let operation = operation.clone();
        let plan = plan(rules, &document, &positions, &operation, None)?;
        let lowered = if plan.is_conditional || plan.has_variables {
            None
        } else {
            Some(Arc::new(Lowered::new(&plan, &JsonMap::new())?))
        };
        Ok(Self {
            facts,
            document,
            positions,
            operation,
            plan: Arc::new(plan),
            lowered,
        })
    }

    /// Checks whether the operation can be executed with all values of its
    /// variables.
    pub fn check(&self, rules: &Rules) -> Result<(), Rejected> {
        within_size(&self.plan, &JsonMap::new(), rules)?;
        Ok(())
    }

    fn plan(&self, rules: &Rules, variables: Option<&JsonMap>) -> Result<Plan, RequestError> {
        plan(
            rules,
            &self.document,
            &self.positions,
            &self.operation,
            variables,
        )
    }

    fn coerce(&self, given: &Variables, rules: &Rules) -> Result<JsonMap, Rejected> {
        let Rules { schema, settings } = rules;
        let operation = &self.operation;
        if operation.variables.is_empty() {
            return Ok(JsonMap::new());
        }
        let coerced = coerce_variables(schema, settings.check_scalar, operation, given);
        let coerced = coerced.map_err(|wrong| {
            invalid_value(RequestErrorKind::BadUserInput, wrong, &self.positions)
        })?;
        Ok(coerced.into_inner())
    }

    /// Returns the approximate memory of the document in bytes.
    pub fn weight(&self) -> usize {
        let sources = self.document.sources.values();
        let texts = sources.map(|source| source.source_text().len());
        BYTES_OF_DOCUMENT
            + self.facts.selections * BYTES_OF_SELECTION
            + self.plan.fields * BYTES_OF_FIELD
            + self.positions.size()
            + texts.sum::<usize>()
    }
}

/// Returns the maximum size of the response in bytes, if it is within the
/// limits.
fn within_size(plan: &Plan, variables: &JsonMap, rules: &Rules) -> Result<usize, RequestError> {
    let (size, limits) = (response_size(plan, variables), &rules.settings.limits);
    within("objects in its response", size.nodes, limits.nodes)?;
    let what = "bytes in its largest possible response";
    within(what, size.bytes, limits.response_bytes)?;
    Ok(size.bytes)
}

fn unresolved(message: String) -> RequestError {
    RequestError::new(RequestErrorKind::OperationResolutionFailure, message)
}

/// Converts the errors of a document.
fn diagnosed(kind: RequestErrorKind, errors: &DiagnosticList, positions: &LineIndex) -> Rejected {
    // Converting an error costs as much as finding it.
    let errors = errors.iter().take(MAX_ERRORS);
    // `Display` quotes the document over several lines.
    let errors = errors.map(|error| {
        let message = error.error.unstable_compat_message();
        let message = message.unwrap_or_else(|| error.error.to_string());
        ServerError::new(message, positions.of_node(error.error.location()))
    });
    rejection(kind, errors.collect())
}

fn invalid_value(kind: RequestErrorKind, wrong: InvalidValue, positions: &LineIndex) -> Rejected {
    let at = positions.of_node(wrong.location);
    rejection(kind, vec![ServerError::new(wrong.message, at)])
}

/// Returns the operation to execute: the one with this name, or the only one.
fn find<'a>(
    document: &'a Document,
    name: Option<&str>,
) -> Result<&'a Node<ast::OperationDefinition>, String> {
    let operations = document.definitions.iter();
    let operations = operations.filter_map(Definition::as_operation_definition);
    let mut operations: Vec<_> = operations.collect();
    match name.filter(|name| !name.is_empty()) {
        Some(name) => {
            operations.retain(|operation| operation.name.as_deref() == Some(name));
            operations
                .pop()
                .ok_or_else(|| format!("The document has no operation named {name:?}."))
        }
        None => match operations.as_slice() {
            [operation] => Ok(operation),
            [] => Err("The document has no operation.".to_owned()),
            many => Err(format!(
                "The document has {} operations: select one with `operationName`.",
                many.len()
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introspection_is_a_query_of_schema_fields_only() {
        for (document, expected) in [
            ("{ __typename a: __schema { types { name } } }", true),
            ("{ ...f } fragment f on Query { __typename ...f }", true),
            ("{ ... on Query { __type(name: \"User\") { name } } }", true),
            ("{ __typename viewer { handle } }", false),
            ("{ ...f } fragment f on Query { viewer { handle } }", false),
            ("mutation { __typename }", false),
        ] {
            let request = GraphqlRequest {
                query: document.to_owned(),
                ..GraphqlRequest::default()
            };
            let key = DocumentKey::of(&request);
            let operation = Operation::parse(request, key, &Limits::default());
            let operation = operation.expect("an operation");
            assert_eq!(operation.is_introspection(), expected, "{document}");
        }
    }
}
