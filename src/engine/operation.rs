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
use apollo_compiler::{ExecutableDocument, Node, Schema};
use async_graphql::{Response, ServerError};

use super::cost::response_size;
use super::error::{MAX_ERRORS, RequestError, RequestErrorKind, rejection};
use super::field_cost::FieldCost;
use super::lexer::{DocumentError, parsable};
use super::limits::{DocumentFacts, Limits};
use super::lower::Lowered;
use super::plan::{Plan, plan};
use super::positions::LineIndex;
use super::request::{DocumentKey, GraphqlRequest};
use super::validation::{CheckScalar, InvalidValue, accept_repeated_field, check_values};
use super::variables::coerce_variables;

/// Approximate memory of a document in bytes: a fixed part, a part for each
/// selection, and a part for each field of its plan. The sum is at least the
/// memory that a document takes, which tests of the engine measure.
const BYTES_OF_DOCUMENT: usize = 2048;
const BYTES_OF_SELECTION: usize = 512;
const BYTES_OF_FIELD: usize = 1024;

/// The properties of an operation that are determined before validation.
#[derive(Clone, Debug)]
pub(super) struct OperationFacts {
    pub name: Option<String>,
    pub operation_type: OperationType,
    pub document: DocumentFacts,
}

/// The operation of a request that is to be executed. It is within the limits,
/// but not validated yet.
pub struct Operation {
    facts: OperationFacts,
    document: OperationDocument,
    pub(super) key: DocumentKey,
    variables: JsonMap,
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
    /// Returns whether this is a mutation.
    pub fn is_mutation(&self) -> bool {
        self.plan.operation_type == OperationType::Mutation
    }

    /// Returns whether this is a subscription.
    pub fn is_subscription(&self) -> bool {
        self.plan.operation_type == OperationType::Subscription
    }
}

/// The response to a request that is rejected as a whole.
pub(super) type Rejected = Box<Response>;

/// The schema and rules against which operations are validated.
#[derive(Clone, Copy)]
pub(super) struct SchemaRules<'a> {
    pub schema: &'a Valid<Schema>,
    pub costs: &'a [FieldCost],
    pub check_scalar: CheckScalar,
    pub limits: &'a Limits,
}

impl Operation {
    /// Parses a request and selects its operation.
    pub(super) fn parse(
        request: GraphqlRequest,
        key: DocumentKey,
        limits: &Limits,
    ) -> Result<Self, Rejected> {
        let reject = |kind, message: String| Rejected::from(RequestError::new(kind, message));
        let too_complex = |error| reject(RequestErrorKind::TooComplex, format!("{error}"));
        limits.check_bytes(&request.query).map_err(too_complex)?;
        let text = parsable(&request.query, limits.tokens).map_err(unparsable)?;
        let positions = LineIndex::of(&text);
        let document = Parser::new()
            .parse_ast(text, "document")
            .map_err(|error| diagnosed(RequestErrorKind::ParseFailed, &error.errors, &positions))?;
        let definition = find(&document, request.operation_name.as_deref())
            .map_err(|message| reject(RequestErrorKind::OperationResolutionFailure, message))?;
        let facts = OperationFacts {
            name: definition.name.as_deref().map(str::to_owned),
            operation_type: definition.operation_type,
            document: limits
                .check_document(&document, &definition.selection_set)
                .map_err(too_complex)?,
        };
        Ok(Self {
            facts,
            document: OperationDocument::Parsed(document, positions),
            key,
            variables: json_map(request.variables),
        })
    }

    /// Creates an operation of a cached document.
    pub(super) fn cached(
        known: Arc<ValidatedDocument>,
        key: DocumentKey,
        variables: serde_json::Map<String, serde_json::Value>,
    ) -> Self {
        Self {
            facts: known.facts.clone(),
            document: OperationDocument::Cached(known),
            key,
            variables: json_map(variables),
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
        match self.facts.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
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
        self.facts.document.only_introspection && self.facts.operation_type == OperationType::Query
    }

    /// Returns whether the document contains `__schema` or `__type`.
    pub fn uses_introspection(&self) -> bool {
        self.facts.document.schema
    }

    /// Returns the document, validated against the schema.
    pub(super) fn validate(
        &self,
        rules: SchemaRules<'_>,
    ) -> Result<Arc<ValidatedDocument>, Rejected> {
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
        rules: SchemaRules<'_>,
    ) -> Result<Prepared, Rejected> {
        let variables = known.coerce(&self.variables, rules)?;
        let plan = if known.plan.is_conditional {
            let SchemaRules { schema, costs, .. } = rules;
            let (document, operation) = (&known.document, &known.operation);
            let positions = &known.positions;
            Arc::new(plan(
                schema,
                costs,
                document,
                positions,
                operation,
                Some(&variables),
            )?)
        } else {
            Arc::clone(&known.plan)
        };
        let response_bytes = within_size(&plan, &variables, rules.limits)?;
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

fn json_map(variables: serde_json::Map<String, serde_json::Value>) -> JsonMap {
    variables
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

impl ValidatedDocument {
    fn new(
        document: &Document,
        positions: LineIndex,
        facts: OperationFacts,
        rules: SchemaRules<'_>,
    ) -> Result<Self, Rejected> {
        let SchemaRules { schema, .. } = rules;
        let invalid = |errors: &DiagnosticList| {
            diagnosed(RequestErrorKind::ValidationFailed, errors, &positions)
        };
        // In two steps: otherwise an unknown field would also be reported as a
        // missing selection of its parent.
        let document = document.to_executable(schema);
        let document = document.map_err(|error| invalid(&error.errors))?;
        let document = document
            .validate(schema)
            .or_else(|errors| accept_repeated_field(schema, errors));
        let document = document.map_err(|errors| invalid(&errors))?;
        check_values(schema, rules.check_scalar, &document).map_err(|wrong| {
            invalid_value(RequestErrorKind::ValidationFailed, wrong, &positions)
        })?;
        let name = facts.name.as_deref();
        let operation = document.operations.get(name).map_err(|error| {
            let message = error.message().to_string();
            RequestError::new(RequestErrorKind::OperationResolutionFailure, message)
        })?;
        let operation = operation.clone();
        let plan = plan(schema, rules.costs, &document, &positions, &operation, None)?;
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
    pub fn check(&self, rules: SchemaRules<'_>) -> Result<(), Rejected> {
        within_size(&self.plan, &JsonMap::new(), rules.limits).map(drop)
    }

    fn coerce(&self, given: &JsonMap, rules: SchemaRules<'_>) -> Result<JsonMap, Rejected> {
        let operation = &self.operation;
        if operation.variables.is_empty() {
            return Ok(JsonMap::new());
        }
        let SchemaRules {
            schema,
            check_scalar,
            ..
        } = rules;
        let coerced = coerce_variables(schema, check_scalar, operation, given);
        let coerced = coerced.map_err(|wrong| {
            invalid_value(RequestErrorKind::BadUserInput, wrong, &self.positions)
        })?;
        Ok(coerced.into_inner())
    }

    /// Returns the approximate memory of the document in bytes.
    pub fn weight(&self) -> usize {
        let facts = &self.facts.document;
        BYTES_OF_DOCUMENT
            + facts.selections * BYTES_OF_SELECTION
            + self.plan.fields * BYTES_OF_FIELD
            + self.positions.size()
            + self
                .document
                .sources
                .values()
                .map(|source| source.source_text().len())
                .sum::<usize>()
    }
}

/// Returns the maximum size of the response in bytes, if it is within the
/// limits.
fn within_size(plan: &Plan, variables: &JsonMap, limits: &Limits) -> Result<usize, Rejected> {
    let size = response_size(plan, variables);
    limits
        .check_size(size)
        .map_err(|error| RequestError::new(RequestErrorKind::TooComplex, error.to_string()))?;
    Ok(size.bytes)
}

fn unparsable(error: DocumentError) -> Rejected {
    let kind = error.kind();
    match error {
        DocumentError::Syntax(errors) => {
            let errors = errors.into_iter();
            let errors = errors.map(|(error, at)| ServerError::new(error.to_string(), Some(at)));
            rejection(kind, errors.collect())
        }
        DocumentError::LimitExceeded(error) => RequestError::new(kind, error.to_string()).into(),
    }
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

fn find<'a>(
    document: &'a Document,
    name: Option<&str>,
) -> Result<&'a Node<ast::OperationDefinition>, String> {
    let definitions = document.definitions.iter();
    let operations = definitions.filter_map(|definition| match definition {
        Definition::OperationDefinition(operation) => Some(operation),
        _ => None,
    });
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
