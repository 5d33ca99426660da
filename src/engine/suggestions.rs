//! Suggests names for unknown names in a document, if introspection is enabled.

use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::{Name, Schema};
use strsim::damerau_levenshtein;

/// Maximum length of a name for which names are suggested, because the
/// comparison is expensive.
const MAX_NAME_LENGTH: usize = 64;
/// Maximum number of suggested names.
const MAX_SUGGESTIONS: usize = 5;

/// Adds suggested names to an error message.
pub(super) fn with_suggestions(schema: &Schema, message: String) -> String {
    let Some((name, known)) = unknown(schema, &message) else {
        return message;
    };
    let quoted: Vec<String> = nearest(name, known)
        .into_iter()
        .map(|name| format!("{name:?}"))
        .collect();
    match quoted.as_slice() {
        [] => message,
        [one] => format!("{message} Did you mean {one}?"),
        [one, other] => format!("{message} Did you mean {one} or {other}?"),
        [names @ .., last] => format!("{message} Did you mean {}, or {last}?", names.join(", ")),
    }
}

/// Returns the unknown name in a message, and the known names that could replace
/// it. apollo-compiler has no structured errors; its messages equal those of
/// graphql-js.
fn unknown<'a>(schema: &'a Schema, message: &'a str) -> Option<(&'a str, Vec<&'a str>)> {
    let parts: Vec<&str> = message.split('"').collect();
    let (name, known) = match parts.as_slice() {
        ["Cannot query field ", name, " on type ", ty, "."] => (name, fields(schema, ty)?),
        ["Unknown argument ", name, " on field ", field, "."] => {
            let (ty, field) = field.split_once('.')?;
            (name, arguments(schema, ty, field)?)
        }
        ["Field ", name, " is not defined by type ", ty, "."] => (name, inputs(schema, ty)?),
        ["Unknown type ", name, "."] => {
            let known = schema.types.keys().map(Name::as_str);
            (name, known.filter(|name| !name.starts_with("__")).collect())
        }
        _ => return None,
    };
    (name.len() <= MAX_NAME_LENGTH).then_some((name, known))
}

fn fields<'a>(schema: &'a Schema, ty: &str) -> Option<Vec<&'a str>> {
    let object = schema.get_object(ty).map(|ty| &ty.fields);
    let fields = object.or_else(|| Some(&schema.get_interface(ty)?.fields))?;
    Some(fields.keys().map(Name::as_str).collect())
}

fn arguments<'a>(schema: &'a Schema, ty: &str, field: &str) -> Option<Vec<&'a str>> {
    let field: &FieldDefinition = schema.type_field(ty, field).ok()?;
    let arguments = field.arguments.iter();
    Some(arguments.map(|argument| argument.name.as_str()).collect())
}

fn inputs<'a>(schema: &'a Schema, ty: &str) -> Option<Vec<&'a str>> {
    let fields = &schema.get_input_object(ty)?.fields;
    Some(fields.keys().map(Name::as_str).collect())
}

/// Returns the nearest names, the nearest first, by the same measure as
/// graphql-js.
fn nearest<'a>(name: &str, known: Vec<&'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let furthest = name.len() * 2 / 5 + 1;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| (damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= furthest)
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(MAX_SUGGESTIONS)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_only_names_similar_to_the_unknown_name() {
        let schema = include_str!("../../schema.graphql");
        let schema = Schema::parse(schema, "schema.graphql").expect("a schema");
        for (message, suggested) in [
            (
                "Cannot query field \"viewr\" on type \"Query\".",
                " Did you mean \"viewer\" or \"user\"?",
            ),
            (
                "Cannot query field \"messagegroup\" on type \"Query\".",
                " Did you mean \"messageGroup\", \"messageGroups\", or \"messages\"?",
            ),
            (
                "Unknown argument \"frist\" on field \"Query.messages\".",
                " Did you mean \"first\" or \"last\"?",
            ),
            ("Unknown type \"Mesage\".", " Did you mean \"Message\"?"),
            (
                "Field \"handle\" is not defined by type \"MessageDestination\".",
                "",
            ),
            (
                "Field \"text\" is not defined by type \"CreateMessageInput\".",
                "",
            ),
            ("Cannot query field \"xyz\" on type \"Query\".", ""),
            ("Cannot query field \"id\" on type \"Nothing\".", ""),
            ("Something else.", ""),
        ] {
            let found = with_suggestions(&schema, message.to_owned());
            assert_eq!(found, format!("{message}{suggested}"));
        }
    }
}
