//! Fields of input objects are given once (the specification, 5.6.3), which
//! apollo-compiler does not look at.

use std::collections::HashSet;

use apollo_compiler::ast::{Argument, Definition, DirectiveList, Document, Selection, Value};
use apollo_compiler::{Name, Node};

/// The first field that is given twice.
pub(super) fn given_twice(document: &Document) -> Option<&Name> {
    document
        .definitions
        .iter()
        .find_map(|definition| match definition {
            Definition::OperationDefinition(operation) => {
                let mut variables = operation.variables.iter();
                variables
                    .find_map(|variable| {
                        let default = variable.default_value.as_ref();
                        default
                            .and_then(|value| in_value(value))
                            .or_else(|| in_directives(&variable.directives))
                    })
                    .or_else(|| in_directives(&operation.directives))
                    .or_else(|| in_selections(&operation.selection_set))
            }
            Definition::FragmentDefinition(fragment) => in_directives(&fragment.directives)
                .or_else(|| in_selections(&fragment.selection_set)),
            _ => None,
        })
}

/// The parser limits how deep it goes, here and in values.
fn in_selections(selections: &[Selection]) -> Option<&Name> {
    selections.iter().find_map(|selection| match selection {
        Selection::Field(field) => in_arguments(&field.arguments)
            .or_else(|| in_directives(&field.directives))
            .or_else(|| in_selections(&field.selection_set)),
        Selection::InlineFragment(inline) => {
            in_directives(&inline.directives).or_else(|| in_selections(&inline.selection_set))
        }
        Selection::FragmentSpread(spread) => in_directives(&spread.directives),
    })
}

fn in_directives(directives: &DirectiveList) -> Option<&Name> {
    let mut directives = directives.iter();
    directives.find_map(|directive| in_arguments(&directive.arguments))
}

fn in_arguments(arguments: &[Node<Argument>]) -> Option<&Name> {
    arguments
        .iter()
        .find_map(|argument| in_value(&argument.value))
}

fn in_value(value: &Value) -> Option<&Name> {
    match value {
        Value::List(items) => items.iter().find_map(|item| in_value(item)),
        Value::Object(fields) => {
            let mut names = HashSet::new();
            fields.iter().find_map(|(name, value)| {
                (!names.insert(name))
                    .then_some(name)
                    .or_else(|| in_value(value))
            })
        }
        _ => None,
    }
}
