//! The schema against which documents are validated.

use apollo_compiler::ast::{DirectiveList, InputValueDefinition};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::{Valid, WithErrors};
use apollo_compiler::{Schema, name, ty};

/// Fields of introspection types that apollo-compiler does not have yet:
/// `isOneOf`, and the deprecation of directives (graphql-js 17).
const NEWER_FIELDS: &str = "
    extend type __Type { isOneOf: Boolean }
    extend type __Directive { isDeprecated: Boolean! deprecationReason: String }
";

/// Adds the argument of `__Schema.directives` that belongs to the newer fields.
fn add_newer_argument(schema: &mut Schema) {
    if let Some(ExtendedType::Object(ty)) = schema.types.get_mut("__Schema")
        && let Some(directives) = ty.make_mut().fields.get_mut("directives")
    {
        let argument = InputValueDefinition {
            description: None,
            name: name!("includeDeprecated"),
            ty: ty!(Boolean!).into(),
            default_value: Some(false.into()),
            directives: DirectiveList::new(),
        };
        directives.make_mut().arguments.push(argument.into());
    }
}

/// The schema that the resolvers define is not valid.
#[derive(Debug, thiserror::Error)]
#[error("the schema is not valid: {0}")]
pub struct InvalidSchema(String);

/// Parses and validates the schema that async-graphql prints.
pub(super) fn definition(sdl: &str) -> Result<Valid<Schema>, InvalidSchema> {
    let invalid = |error: WithErrors<Schema>| InvalidSchema(error.errors.to_string());
    let builder = Schema::builder().parse(sdl, "schema.graphql");
    let builder = builder.parse(NEWER_FIELDS, "introspection.graphql");
    let mut schema = builder.build().map_err(invalid)?;
    add_newer_argument(&mut schema);
    schema.validate().map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_schema_is_rejected() {
        for sdl in [
            "type Query { a: Missing }",
            "type Query {",
            "type A { b: Int }",
        ] {
            assert!(definition(sdl).is_err(), "{sdl}");
        }
        assert!(definition("type Query { a: Int }").is_ok());
    }
}
