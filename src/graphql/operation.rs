//! A request, parsed once: what is executed is what was looked at.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{
    Name, ObjectType, Positioned, Request, Response, Schema, SubscriptionType, Value, Variables,
};

use super::completion::{Answered, OWN_ALIAS, Types, ask_for_types};
use super::error::{Code, refusal, see_to};
use super::session::Session;

/// The fields that say something about the schema and nothing about anybody.
const INTROSPECTION: [&str; 3] = ["__typename", "__schema", "__type"];
/// How deep brackets may be nested before the parser, which is recursive, is
/// let near them.
const DEEPEST_NESTING: usize = 200;

/// The most selections that an operation may have, with its fragments expanded.
const MOST_SELECTIONS: usize = 1000;

/// The one operation of a request that is to be executed.
pub struct Operation {
    request: Request,
    document: ExecutableDocument,
    definition: OperationDefinition,
    introspection_only: bool,
}

impl Operation {
    /// Parses a request and finds its operation.
    pub fn parse(mut request: Request) -> Result<Self, Box<Response>> {
        if nesting(&request.query) > DEEPEST_NESTING {
            let message = format!("The document is nested deeper than {DEEPEST_NESTING} levels.");
            return Err(Box::new(refusal(Code::GraphqlParseFailed, message)));
        }
        if request.query.contains(OWN_ALIAS) {
            let message = format!("`{OWN_ALIAS}` is a name of the server's own.");
            return Err(Box::new(refusal(Code::GraphqlValidationFailed, message)));
        }
        let document = parse_query(&request.query).map_err(|error| Box::new(unparsable(error)))?;
        let definition = find(&document, request.operation_name.as_deref())
            .map_err(|message| Box::new(refusal(Code::OperationResolutionFailure, message)))?
            .clone();
        let selections = &definition.selection_set.node;
        let count = expanded(&document, selections, &mut HashMap::new(), 0);
        if count > MOST_SELECTIONS {
            let message = format!(
                "The operation has more than {MOST_SELECTIONS} selections with its fragments expanded, or nests them \
                 too deep. Ask for less at a time."
            );
            return Err(Box::new(refusal(Code::QueryTooComplex, message)));
        }
        let introspection_only = is_introspection(&document, selections, &mut HashSet::new());
        if definition.ty == OperationType::Mutation
            && let Some(name) = repeated(
                &document,
                selections,
                &mut HashSet::new(),
                &mut HashSet::new(),
            )
        {
            let message = format!(
                "`{name}` is selected more than once. Select it once, or give each an alias."
            );
            return Err(Box::new(refusal(Code::GraphqlValidationFailed, message)));
        }
        add_defaults(&definition, &mut request.variables);
        Ok(Self {
            request,
            document,
            definition,
            introspection_only,
        })
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.definition.ty == OperationType::Mutation
    }

    /// Whether it asks for nothing but the schema.
    #[must_use]
    pub fn is_introspection(&self) -> bool {
        self.introspection_only && self.definition.ty == OperationType::Query
    }

    /// Executes it: what was parsed is what is executed, and the answer comes
    /// in the document's order.
    pub(super) async fn execute<Q, M, S>(
        self,
        schema: &Schema<Q, M, S>,
        types: &Types,
        session: Session,
    ) -> Response
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let mut document = self.document.clone();
        ask_for_types(&mut document);
        let mut request = self.request.data(session);
        let variables = request.variables.clone();
        request.set_parsed_query(document);
        let mut response = schema.execute(request).await;
        let answered = Answered {
            types,
            document: &self.document,
            variables: &variables,
        };
        response.data = answered.complete(&self.definition, std::mem::take(&mut response.data));
        response
    }
}

fn unparsable(error: async_graphql::parser::Error) -> Response {
    let mut error = async_graphql::ServerError::from(error);
    let code = Code::GraphqlParseFailed.as_str();
    error.extensions.get_or_insert_default().set("code", code);
    see_to(std::slice::from_mut(&mut error), "");
    Response::from_errors(vec![error])
}

fn find<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, String> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(&operation.node),
        (DocumentOperations::Multiple(operations), None) => match operations.len() {
            1 => operations
                .values()
                .next()
                .map(|operation| &operation.node)
                .ok_or_else(String::new),
            many => Err(format!(
                "The document has {many} operations: say which in `operationName`."
            )),
        },
        (DocumentOperations::Multiple(operations), Some(name)) => operations
            .get(name)
            .map(|operation| &operation.node)
            .ok_or_else(|| unknown(name)),
        (DocumentOperations::Single(_), Some(name)) => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    format!("The document has no operation named {name:?}.")
}

/// Whether a selection asks for nothing but the schema. Goes no deeper than
/// [`expanded`], which comes first.
fn is_introspection<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    seen: &mut HashSet<&'a Name>,
) -> bool {
    let mut items = selections.items.iter();
    items.all(|Positioned { node, .. }| match node {
        Selection::Field(field) => INTROSPECTION.contains(&field.node.name.node.as_str()),
        Selection::InlineFragment(inline) => {
            is_introspection(document, &inline.node.selection_set.node, seen)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.node.fragment_name.node;
            let fragment = document.fragments.get(name);
            let below = fragment.map(|fragment| &fragment.node.selection_set.node);
            !seen.insert(name) || below.is_some_and(|below| is_introspection(document, below, seen))
        }
    })
}

/// How many selections an operation has with its fragments expanded: in time
/// linear in the document, since each fragment is counted once. As good as
/// infinite where they are nested deeper than the stack should bear.
fn expanded<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    counted: &mut HashMap<&'a Name, usize>,
    deep: usize,
) -> usize {
    if deep > DEEPEST_NESTING {
        return usize::MAX;
    }
    let below = selections
        .items
        .iter()
        .map(|Positioned { node, .. }| match node {
            Selection::Field(field) => {
                expanded(document, &field.node.selection_set.node, counted, deep + 1)
            }
            Selection::InlineFragment(inline) => {
                expanded(document, &inline.node.selection_set.node, counted, deep + 1)
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                if let Some(count) = counted.get(name) {
                    return *count;
                }
                // A fragment that contains itself is for validation to refuse.
                counted.insert(name, 0);
                let count = document.fragments.get(name).map_or(0, |fragment| {
                    expanded(
                        document,
                        &fragment.node.selection_set.node,
                        counted,
                        deep + 1,
                    )
                });
                counted.insert(name, count);
                count
            }
        });
    below.fold(selections.items.len(), usize::saturating_add)
}

/// The first field that is selected twice under the same name.
///
/// The specification (6.3.2) executes such a field once, for all that is
/// selected of it; async-graphql executes it for each, which for a mutation
/// would send a message twice.
///
/// A fragment that is spread twice counts as such. Goes no deeper than
/// [`expanded`], which comes first.
fn repeated<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    keys: &mut HashSet<&'a Name>,
    seen: &mut HashSet<&'a Name>,
) -> Option<&'a Name> {
    let mut items = selections.items.iter();
    items.find_map(|Positioned { node, .. }| match node {
        Selection::Field(field) => {
            let key = &field.node.response_key().node;
            (!keys.insert(key)).then_some(key)
        }
        Selection::InlineFragment(inline) => {
            repeated(document, &inline.node.selection_set.node, keys, seen)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.node.fragment_name.node;
            if !seen.insert(name) {
                return Some(name);
            }
            let fragment = document.fragments.get(name)?;
            repeated(document, &fragment.node.selection_set.node, keys, seen)
        }
    })
}

/// Gives variables their defaults, which async-graphql forgets for `@skip` and
/// `@include`.
fn add_defaults(definition: &OperationDefinition, variables: &mut Variables) {
    for Positioned { node: variable, .. } in &definition.variable_definitions {
        if let Some(Positioned { node: default, .. }) = &variable.default_value {
            let given = variables.entry(variable.name.node.clone());
            given.or_insert_with(|| Value::clone(default));
        }
    }
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
            let Ok(operation) = Operation::parse(Request::new(document)) else {
                panic!("{document} does not parse");
            };
            assert_eq!(operation.is_introspection(), expected, "{document}");
        }
    }
}
