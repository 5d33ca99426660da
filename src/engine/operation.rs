//! A request, parsed once: what is executed is what was validated.

use std::fmt;
use std::sync::Arc;

use apollo_compiler::ast::{self, Definition, Document, OperationType};
use apollo_compiler::executable;
use apollo_compiler::parser::{Parser, SourceMap};
use apollo_compiler::response::{GraphQLError, JsonMap};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Node, Schema};
use async_graphql::{Response, ServerError};

use super::cost::{FieldCost, size};
use super::document_cache::DocumentKey;
use super::error::{MOST_ERRORS, RequestError, RequestErrorKind, rejection, server_error};
use super::lexer::{Unparsable, parsable};
use super::limits::{DocumentFacts, Limits};
use super::lower::Lowered;
use super::plan::{Plan, plan};
use super::validation::{CheckScalar, InvalidValue, check_values, valid_after_all};
use super::variables::coerce_variables;

/// About how many bytes of memory a document takes, each of its selections, and
/// each field of its plan.
const BYTES_OF_DOCUMENT: usize = 2048;
const BYTES_OF_SELECTION: usize = 512;
const BYTES_OF_FIELD: usize = 1024;

/// What is asked, as it was received.
#[derive(Clone, Debug, Default)]
pub struct GraphqlRequest {
    /// The document.
    pub query: String,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// What is known of an operation before it is validated.
#[derive(Clone, Debug)]
pub(super) struct OperationFacts {
    pub name: Option<String>,
    pub operation_type: OperationType,
    pub document: DocumentFacts,
}

/// The one operation of a request that is to be executed. It is within the
/// limits; whether it fits the schema is not known yet.
pub struct Operation {
    facts: OperationFacts,
    document: OperationDocument,
    pub(super) key: DocumentKey,
    variables: JsonMap,
}

/// The document of an operation.
enum OperationDocument {
    /// It was parsed for this request.
    Parsed(Document),
    /// It was validated for an earlier one.
    Known(Arc<KnownDocument>),
}

/// A document that fits the schema, with one of its operations.
pub(super) struct KnownDocument {
    pub facts: OperationFacts,
    document: Valid<ExecutableDocument>,
    operation: Node<executable::Operation>,
    /// The plan of the operation. Where it is conditional, with all that may be
    /// executed: each request then has a plan of its own.
    plan: Arc<Plan>,
    /// What is executed, unless it contains variables.
    lowered: Option<Arc<Lowered>>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.facts.name)
            .finish_non_exhaustive()
    }
}

/// An operation that fits the schema and is within the limits.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) plan: Arc<Plan>,
    pub(super) lowered: Arc<Lowered>,
    /// How many bytes it can answer; for a subscription, each of its events.
    pub answer_bytes: usize,
}

impl Prepared {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.plan.operation_type == OperationType::Mutation
    }

    /// Whether it has an answer for each of many events.
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.plan.operation_type == OperationType::Subscription
    }
}

/// The response to a request that is rejected as a whole.
pub(super) type Rejected = Box<Response>;

/// The schema that operations are validated against.
#[derive(Clone, Copy)]
pub(super) struct SchemaRules<'a> {
    pub schema: &'a Valid<Schema>,
    pub costs: &'a [FieldCost],
    pub check_scalar: CheckScalar,
    pub limits: &'a Limits,
}

impl Operation {
    /// Parses a request and finds its operation.
    pub(super) fn parse(
        request: GraphqlRequest,
        key: DocumentKey,
        limits: &Limits,
    ) -> Result<Self, Rejected> {
        let reject = |kind, message: String| Rejected::from(RequestError::new(kind, message));
        let too_complex = |error| reject(RequestErrorKind::TooComplex, format!("{error}"));
        limits.check_bytes(&request.query).map_err(too_complex)?;
        let text = parsable(request.query, limits.tokens).map_err(unparsable)?;
        let document = Parser::new()
            .parse_ast(text, "document")
            .map_err(|error| diagnosed(RequestErrorKind::ParseFailed, &error.errors))?;
        let definition = find(&document, request.operation_name.as_deref())
            .map_err(|message| reject(RequestErrorKind::OperationResolutionFailure, message))?;
        let facts = OperationFacts {
            name: definition.name.as_deref().map(str::to_owned),
            operation_type: definition.operation_type,
            document: limits
                .check_shape(&document, &definition.selection_set)
                .map_err(too_complex)?,
        };
        Ok(Self {
            facts,
            document: OperationDocument::Parsed(document),
            key,
            variables: json_map(request.variables),
        })
    }

    /// An operation of a document that was validated before.
    pub(super) fn known(
        known: Arc<KnownDocument>,
        key: DocumentKey,
        variables: serde_json::Map<String, serde_json::Value>,
    ) -> Self {
        Self {
            facts: known.facts.clone(),
            document: OperationDocument::Known(known),
            key,
            variables: json_map(variables),
        }
    }

    /// Whether its document was validated for an earlier request.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.document, OperationDocument::Known(_))
    }

    /// Its name, which is one of GraphQL's.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.facts.name.as_deref()
    }

    /// Which kind of operation it is, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.facts.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.facts.operation_type == OperationType::Mutation
    }

    /// Whether it has an answer for each of many events.
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.facts.operation_type == OperationType::Subscription
    }

    /// Whether it asks for nothing but the schema.
    #[must_use]
    pub fn is_introspection(&self) -> bool {
        self.facts.document.nothing_else && self.facts.operation_type == OperationType::Query
    }

    /// Whether it asks for something of the schema, beside the name of a type.
    #[must_use]
    pub fn asks_for_schema(&self) -> bool {
        self.facts.document.schema
    }

    /// The document, validated against the schema.
    pub(super) fn validate(&self, rules: SchemaRules<'_>) -> Result<Arc<KnownDocument>, Rejected> {
        match &self.document {
            OperationDocument::Known(known) => Ok(Arc::clone(known)),
            OperationDocument::Parsed(document) => {
                KnownDocument::new(document, self.facts.clone(), rules).map(Arc::new)
            }
        }
    }

    /// The operation with the values of its variables.
    pub(super) fn prepare(
        &self,
        known: &KnownDocument,
        rules: SchemaRules<'_>,
    ) -> Result<Prepared, Rejected> {
        let variables = known.coerce(&self.variables, rules)?;
        let plan = if known.plan.is_conditional {
            let SchemaRules { schema, costs, .. } = rules;
            let (document, operation) = (&known.document, &known.operation);
            Arc::new(plan(schema, costs, document, operation, Some(&variables))?)
        } else {
            Arc::clone(&known.plan)
        };
        let answer_bytes = within_size(&plan, &variables, rules.limits)?;
        let lowered = match &known.lowered {
            Some(lowered) => Arc::clone(lowered),
            None => Arc::new(Lowered::new(&plan, &variables)?),
        };
        Ok(Prepared {
            plan,
            lowered,
            answer_bytes,
        })
    }
}

fn json_map(variables: serde_json::Map<String, serde_json::Value>) -> JsonMap {
    variables
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

impl KnownDocument {
    fn new(
        document: &Document,
        facts: OperationFacts,
        rules: SchemaRules<'_>,
    ) -> Result<Self, Rejected> {
        let SchemaRules { schema, .. } = rules;
        let invalid =
            |errors: &DiagnosticList| diagnosed(RequestErrorKind::ValidationFailed, errors);
        // In two steps: a field that is unknown would also be missed as a
        // selection of the one above it.
        let document = document.to_executable(schema);
        let document = document.map_err(|error| invalid(&error.errors))?;
        let document = document
            .validate(schema)
            .or_else(|errors| valid_after_all(schema, errors));
        let document = document.map_err(|errors| invalid(&errors))?;
        check_values(schema, rules.check_scalar, &document).map_err(|wrong| {
            let kind = RequestErrorKind::ValidationFailed;
            invalid_value(kind, wrong, &document.sources)
        })?;
        let name = facts.name.as_deref();
        let operation = document.operations.get(name).map_err(|error| {
            let error = error.to_graphql_error(&document.sources);
            rejection(
                RequestErrorKind::OperationResolutionFailure,
                vec![server_error(&error)],
            )
        })?;
        let operation = operation.clone();
        let plan = plan(schema, rules.costs, &document, &operation, None)?;
        let lowered = if plan.is_conditional || plan.has_variables {
            None
        } else {
            Some(Arc::new(Lowered::new(&plan, &JsonMap::new())?))
        };
        Ok(Self {
            facts,
            document,
            operation,
            plan: Arc::new(plan),
            lowered,
        })
    }

    /// Whether the operation can be executed at all, whatever its variables are.
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
        let sources = &self.document.sources;
        let coerced = coerce_variables(schema, check_scalar, operation, given, sources);
        let coerced = coerced.map_err(|error| {
            rejection(RequestErrorKind::BadUserInput, vec![server_error(&error)])
        })?;
        Ok(coerced.into_inner())
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let facts = &self.facts.document;
        BYTES_OF_DOCUMENT
            + facts.selections * BYTES_OF_SELECTION
            + self.plan.fields * BYTES_OF_FIELD
            + self
                .document
                .sources
                .values()
                .map(|source| source.source_text().len())
                .sum::<usize>()
    }
}

/// How many bytes an operation may respond with, if that is within the limits.
fn within_size(plan: &Plan, variables: &JsonMap, limits: &Limits) -> Result<usize, Rejected> {
    let size = size(plan, variables);
    limits
        .check_size(size)
        .map_err(|error| RequestError::new(RequestErrorKind::TooComplex, error.to_string()))?;
    Ok(size.bytes)
}

fn unparsable(error: Unparsable) -> Rejected {
    let kind = error.kind();
    match error {
        Unparsable::Syntax(errors) => {
            let errors = errors.into_iter();
            let errors = errors.map(|(error, at)| ServerError::new(error.to_string(), Some(at)));
            rejection(kind, errors.collect())
        }
        Unparsable::Exceeded(error) => RequestError::new(kind, error.to_string()).into(),
    }
}

/// What is wrong with a document.
fn diagnosed(kind: RequestErrorKind, errors: &DiagnosticList) -> Rejected {
    // Each costs as much again as the validator has already spent on it.
    let errors = errors.iter().take(MOST_ERRORS);
    // What `Display` prints quotes the document over several lines.
    let errors = errors.map(|error| server_error(&error.unstable_to_json_compat()));
    rejection(kind, errors.collect())
}

fn invalid_value(kind: RequestErrorKind, wrong: InvalidValue, sources: &SourceMap) -> Rejected {
    let error = GraphQLError::new(wrong.message, wrong.location, sources);
    rejection(kind, vec![server_error(&error)])
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
                "The document has {} operations: say which in `operationName`.",
                many.len()
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_schemas_own_fields_are_introspection() {
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
