//! A request, parsed once: what is executed is what was looked at.

use std::fmt;

use apollo_compiler::ast::{self, Definition, Document, OperationType};
use apollo_compiler::executable;
use apollo_compiler::parser::{Parser, SourceMap};
use apollo_compiler::response::{GraphQLError, JsonMap};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Node, Schema};
use async_graphql::parser::types::OperationDefinition;
use async_graphql::{Pos, Response, ServerError};

use super::error::{Code, MOST_ERRORS, refusal, refusals};
use super::limits::{About, Limits};
use super::normal::Normal;
use super::one_field::valid_after_all;
use super::tokens::{Unparsable, parsable};
use super::values::{WrongValue, check_values};
use super::variables::coerce_variables;

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

/// The one operation of a request that is to be executed. It is within the
/// limits; whether it fits the schema is not known yet.
pub struct Operation {
    document: Document,
    definition: Node<ast::OperationDefinition>,
    variables: JsonMap,
    about: About,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.definition.name)
            .finish_non_exhaustive()
    }
}

/// An operation that fits the schema and is within the limits.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) definition: OperationDefinition,
    /// How many bytes it can answer; for a subscription, each of its events.
    pub answer_bytes: usize,
}

impl Prepared {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.definition.ty == async_graphql::parser::types::OperationType::Mutation
    }

    /// Whether it has an answer for each of many events.
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.definition.ty == async_graphql::parser::types::OperationType::Subscription
    }
}

/// Why a request is refused as a whole.
type Refused = Box<Response>;

impl Operation {
    /// Parses a request and finds its operation.
    pub(super) fn parse(request: GraphqlRequest, limits: &Limits) -> Result<Self, Refused> {
        let refuse = |code, message: String| Box::new(refusal(code, message));
        let too_complex = |error| refuse(Code::QueryTooComplex, format!("{error}"));
        limits.check_bytes(&request.query).map_err(too_complex)?;
        let text = parsable(request.query, limits.tokens).map_err(unparsable)?;
        let document = Parser::new()
            .parse_ast(text, "document")
            .map_err(|error| diagnosed(Code::GraphqlParseFailed, &error.errors))?;
        let definition = find(&document, request.operation_name.as_deref())
            .map_err(|message| refuse(Code::OperationResolutionFailure, message))?
            .clone();
        let about = limits
            .check_shape(&document, &definition.selection_set)
            .map_err(too_complex)?;
        Ok(Self {
            document,
            definition,
            variables: request
                .variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            about,
        })
    }

    /// Its name, which is one of GraphQL's.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.definition.name.as_deref()
    }

    /// Which kind of operation it is, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.definition.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.definition.operation_type == OperationType::Mutation
    }

    /// Whether it has an answer for each of many events.
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.definition.operation_type == OperationType::Subscription
    }

    /// Whether it asks for nothing but the schema.
    #[must_use]
    pub fn is_introspection(&self) -> bool {
        self.about.nothing_else && self.definition.operation_type == OperationType::Query
    }

    /// Whether it asks for something of the schema, beside the name of a type.
    pub(super) fn asks_for_schema(&self) -> bool {
        self.about.schema
    }

    /// The document, validated against the schema.
    pub(super) fn validate(
        &self,
        schema: &Valid<Schema>,
    ) -> Result<Valid<ExecutableDocument>, Refused> {
        let invalid = |errors: &DiagnosticList| diagnosed(Code::GraphqlValidationFailed, errors);
        // In two steps: a field that is unknown would also be missed as a
        // selection of the one above it.
        let document = self.document.to_executable(schema);
        let document = document.map_err(|error| invalid(&error.errors))?;
        let document = document.validate(schema).or_else(valid_after_all);
        let document = document.map_err(|errors| invalid(&errors))?;
        check_values(schema, &document).map_err(|wrong| {
            let code = Code::GraphqlValidationFailed;
            wrong_value(code, wrong, &document.sources)
        })?;
        Ok(document)
    }

    /// Whether it can be executed at all, whatever its variables are.
    pub(super) fn check(&self, schema: &Valid<Schema>, limits: &Limits) -> Result<(), Refused> {
        let document = self.validate(schema)?;
        let Ok(operation) = document.operations.get(self.definition.name.as_deref()) else {
            return Ok(());
        };
        within_answer(limits, &document, operation, &JsonMap::new()).map(drop)
    }

    /// Makes it fit to be executed: validated against the schema, with its
    /// variables coerced, within the limit of what it may answer, each field
    /// once.
    pub(super) fn prepare(
        &self,
        schema: &Valid<Schema>,
        limits: &Limits,
    ) -> Result<Prepared, Refused> {
        let document = self.validate(schema)?;
        let sources = &document.sources;
        let name = self.definition.name.as_deref();
        let operation = document.operations.get(name).map_err(|error| {
            told(
                Code::OperationResolutionFailure,
                &error.to_graphql_error(sources),
            )
        })?;
        let variables = coerce_variables(schema, operation, &self.variables, sources)
            .map_err(|error| told(Code::BadUserInput, &error))?;
        let answer_bytes = within_answer(limits, &document, operation, &variables)?;
        let normal = Normal::new(schema, &document, &variables);
        let definition = normal
            .operation(operation)
            .map_err(|unfit| Box::new(refusal(unfit.code(), unfit.to_string())))?;
        Ok(Prepared {
            definition,
            answer_bytes,
        })
    }
}

fn within_answer(
    limits: &Limits,
    document: &ExecutableDocument,
    operation: &executable::Operation,
    variables: &JsonMap,
) -> Result<usize, Refused> {
    limits
        .check_answer(document, &operation.selection_set, variables)
        .map_err(|error| Box::new(refusal(Code::QueryTooComplex, error.to_string())))
}

fn unparsable(error: Unparsable) -> Refused {
    let code = error.code();
    match error {
        Unparsable::Syntax(errors) => {
            let errors = errors.into_iter();
            let errors = errors.map(|(error, at)| ServerError::new(error.to_string(), Some(at)));
            Box::new(refusals(code, errors.collect()))
        }
        error => Box::new(refusal(code, error.to_string())),
    }
}

/// What is wrong with a document.
fn diagnosed(code: Code, errors: &DiagnosticList) -> Refused {
    // Each costs as much again as the validator has already spent on it.
    let errors = errors.iter().take(MOST_ERRORS);
    // What `Display` prints quotes the document over several lines.
    let errors = errors.map(|error| server_error(&error.unstable_to_json_compat()));
    Box::new(refusals(code, errors.collect()))
}

fn wrong_value(code: Code, wrong: WrongValue, sources: &SourceMap) -> Refused {
    told(
        code,
        &GraphQLError::new(wrong.message, wrong.location, sources),
    )
}

fn told(code: Code, error: &GraphQLError) -> Refused {
    Box::new(refusals(code, vec![server_error(error)]))
}

fn server_error(error: &GraphQLError) -> ServerError {
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
            let operation = Operation::parse(request, &Limits::default());
            let operation = operation.expect("an operation");
            assert_eq!(operation.is_introspection(), expected, "{document}");
        }
    }
}
