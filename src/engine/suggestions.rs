//! What was probably meant, where a document names what the schema does not
//! have. Only for those who may see the schema.

use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Schema};
use strsim::damerau_levenshtein;

/// Names that are longer are not looked at: it would cost too much.
const LONGEST_NAME: usize = 64;
/// How many names are suggested at most.
const MOST: usize = 5;

/// What an error's message says, with the names that were probably meant.
pub(super) fn with_suggestions(schema: &Schema, message: String) -> String {
    let Some(Unknown { name, known }) = unknown(schema, &message) else {
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

/// A name that is not known, and those that are in its place.
struct Unknown<'a> {
    name: &'a str,
    known: Vec<&'a str>,
}

/// The messages are apollo-compiler's, which are those of the reference
/// implementation; it has no others for programs.
fn unknown<'a>(schema: &'a Schema, message: &'a str) -> Option<Unknown<'a>> {
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
    let is_short = name.len() <= LONGEST_NAME;
    is_short.then_some(Unknown { name, known })
}

fn fields<'a>(schema: &'a Schema, ty: &str) -> Option<Vec<&'a str>> {
    let fields = match schema.types.get(ty)? {
        ExtendedType::Object(ty) => &ty.fields,
        ExtendedType::Interface(ty) => &ty.fields,
        _ => return None,
    };
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

/// The names that are near enough, the nearest first, as the reference
/// implementation has it.
fn nearest<'a>(name: &str, known: Vec<&'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let furthest = name.len() * 2 / 5 + 1;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| (damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= furthest)
        .collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_suggested_and_nothing_else() {
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
            let told = with_suggestions(&schema, message.to_owned());
            assert_eq!(told, format!("{message}{suggested}"));
        }
    }
}
