//! A request, parsed once: what is executed is what was looked at.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use apollo_compiler::ast::{Definition, Document, OperationDefinition, OperationType, Selection};
use apollo_compiler::parser::Parser;
use apollo_compiler::response::{GraphQLError, JsonMap};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{Node, Schema, introspection};
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument};
use async_graphql::{ObjectType, Pos, Request, Response, ServerError, SubscriptionType};

use super::completion::{Answered, OWN_ALIAS, Types};
use super::error::{Code, refusal, refusals};
use super::limits::Limits;
use super::normal::Normal;
use super::session::Session;
use super::unique::given_twice;

/// The fields that say something about the schema and nothing about anybody.
const INTROSPECTION: [&str; 3] = ["__typename", "__schema", "__type"];
/// How deep brackets may be nested before the parser, which is recursive, is
/// let near them.
const DEEPEST_NESTING: usize = 200;

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
    definition: Node<OperationDefinition>,
    variables: JsonMap,
    introspection_only: bool,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.definition.name)
            .finish_non_exhaustive()
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
        if nesting(&request.query) > DEEPEST_NESTING {
            let message = format!("The document is nested deeper than {DEEPEST_NESTING} levels.");
            return Err(refuse(Code::QueryTooComplex, message));
        }
        if request.query.contains(OWN_ALIAS) {
            let message = format!("`{OWN_ALIAS}` is a name of the server's own.");
            return Err(refuse(Code::GraphqlValidationFailed, message));
        }
        let mut parser = Parser::new().token_limit(limits.tokens);
        let document = match parser.parse_ast(request.query, "document") {
            Ok(document) => document,
            Err(_) if parser.tokens_reached() > limits.tokens => {
                let most = limits.tokens;
                let message = format!("The document has more than {most} tokens.");
                return Err(refuse(Code::QueryTooComplex, message));
            }
            Err(error) => return Err(diagnosed(Code::GraphqlParseFailed, &error.errors)),
        };
        let definition = find(&document, request.operation_name.as_deref())
            .map_err(|message| refuse(Code::OperationResolutionFailure, message))?
            .clone();
        limits.check_shape(&document).map_err(too_complex)?;
        let introspection_only =
            is_introspection(&document, &definition.selection_set, &mut HashSet::new());
        Ok(Self {
            document,
            definition,
            variables: request
                .variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            introspection_only,
        })
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.definition.operation_type == OperationType::Mutation
    }

    /// Whether it asks for nothing but the schema.
    #[must_use]
    pub fn is_introspection(&self) -> bool {
        self.introspection_only && self.definition.operation_type == OperationType::Query
    }

    /// Whether it asks for something of the schema, beside the name of a type.
    pub(super) fn asks_for_schema(&self) -> bool {
        let mut definitions = self.document.definitions.iter();
        definitions.any(|definition| match definition {
            Definition::OperationDefinition(operation) => has_schema(&operation.selection_set),
            Definition::FragmentDefinition(fragment) => has_schema(&fragment.selection_set),
            _ => false,
        })
    }

    /// Makes it fit to be executed: validated against the schema, with its
    /// variables coerced, within the limit of what it may answer, each field
    /// once.
    pub(super) fn prepare(
        &self,
        schema: &Valid<Schema>,
        limits: &Limits,
    ) -> Result<ExecutableDocument, Refused> {
        let validated = self.document.to_executable_validate(schema);
        let document =
            validated.map_err(|error| diagnosed(Code::GraphqlValidationFailed, &error.errors))?;
        if let Some(name) = given_twice(&self.document) {
            let message = format!("There can be only one input field named \"{name}\".");
            return Err(Box::new(refusal(Code::GraphqlValidationFailed, message)));
        }
        let name = self
            .definition
            .name
            .as_ref()
            .map(apollo_compiler::Name::as_str);
        let operation = document.operations.get(name).map_err(|error| {
            told(
                Code::OperationResolutionFailure,
                &error.to_graphql_error(&document.sources),
            )
        })?;
        introspection::check_max_depth(&document, operation).map_err(|error| {
            told(
                Code::QueryTooComplex,
                &error.to_graphql_error(&document.sources),
            )
        })?;
        let variables =
            apollo_compiler::request::coerce_variable_values(schema, operation, &self.variables)
                .map_err(|error| {
                    told(
                        Code::BadUserInput,
                        &error.to_graphql_error(&document.sources),
                    )
                })?;
        limits
            .check_nodes(&document, &operation.selection_set, &variables)
            .map_err(|error| Box::new(refusal(Code::QueryTooComplex, error.to_string())))?;
        let normal = Normal {
            schema,
            document: &document,
            variables: &variables,
            copied: Cell::new(0),
        };
        let normalized = normal
            .document(operation)
            .map_err(|error| Box::new(refusal(Code::GraphqlValidationFailed, error.to_string())))?;
        if normal.is_too_large() {
            let message = "The variables are too large for the places where they stand.";
            return Err(Box::new(refusal(Code::QueryTooComplex, message)));
        }
        Ok(normalized)
    }
}

/// Executes what was prepared. The answer comes in the document's order.
pub(super) async fn execute<Q, M, S>(
    document: ExecutableDocument,
    schema: &async_graphql::Schema<Q, M, S>,
    types: &Types,
    session: Session,
) -> Response
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let mut request = Request::new("").data(session);
    request.set_parsed_query(document.clone());
    let mut response = schema.execute(request).await;
    let DocumentOperations::Single(operation) = &document.operations else {
        return response;
    };
    let answered = Answered { types };
    response.data = answered.complete(&operation.node, std::mem::take(&mut response.data));
    response
}

/// What is wrong with a document.
fn diagnosed(code: Code, errors: &DiagnosticList) -> Refused {
    let errors = errors.iter();
    // What `Display` prints quotes the document over several lines.
    let errors = errors.map(|error| server_error(&error.unstable_to_json_compat()));
    Box::new(refusals(code, errors.collect()))
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
) -> Result<&'a Node<OperationDefinition>, String> {
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

/// Whether a selection asks for nothing but the schema. Comes after the limits,
/// which bound how deep it goes.
fn is_introspection<'a>(
    document: &'a Document,
    selections: &'a [Selection],
    seen: &mut HashSet<&'a str>,
) -> bool {
    selections.iter().all(|selection| match selection {
        Selection::Field(field) => INTROSPECTION.contains(&field.name.as_str()),
        Selection::InlineFragment(inline) => {
            is_introspection(document, &inline.selection_set, seen)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.fragment_name;
            let mut definitions = document.definitions.iter();
            let fragment = definitions.find_map(|definition| match definition {
                Definition::FragmentDefinition(fragment) if fragment.name == *name => {
                    Some(fragment)
                }
                _ => None,
            });
            !seen.insert(name)
                || fragment.is_some_and(|fragment| {
                    is_introspection(document, &fragment.selection_set, seen)
                })
        }
    })
}

/// Whether a field of a selection asks for the schema. The parser limits how
/// deep it goes.
fn has_schema(selections: &[Selection]) -> bool {
    selections.iter().any(|selection| match selection {
        Selection::Field(field) => {
            ["__schema", "__type"].contains(&field.name.as_str())
                || has_schema(&field.selection_set)
        }
        Selection::InlineFragment(inline) => has_schema(&inline.selection_set),
        Selection::FragmentSpread(_) => false,
    })
}

/// How deep brackets are nested, outside of strings and comments.
fn nesting(document: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = document;
    while let Some(at) = rest.find(['{', '[', '(', '}', ']', ')', '"', '#']) {
        let (token, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match token {
            b'#' => behind
                .split_once(['\n', '\r'])
                .map_or("", |(_, behind)| behind),
            b'"' => behind_string(behind),
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
                behind
            }
            _ => {
                depth = depth.saturating_sub(1);
                behind
            }
        };
    }
    deepest
}

/// What comes after a string whose opening quote has been read.
fn behind_string(text: &str) -> &str {
    if let Some(block) = text.strip_prefix("\"\"") {
        let ends = block.match_indices("\"\"\"");
        let end = ends
            .map(|(at, _)| at)
            .find(|at| !block[..*at].ends_with('\\'));
        return end.map_or("", |at| &block[at + 3..]);
    }
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\n' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_and_not_what_is_quoted() {
        for (document, deepest) in [
            ("", 0),
            ("{ a }", 1),
            ("{ a(b: {c: [1]}) { d } }", 4),
            ("{ a(b: \"{{{{\\\"{{\") }", 2),
            ("{ a(b: \"\"\"{{ \" \\\"\"\" {{\"\"\") }", 2),
            ("{ # {{{\n a }", 1),
            ("{ \"unclosed {{{", 1),
        ] {
            assert_eq!(nesting(document), deepest, "{document}");
        }
    }

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
