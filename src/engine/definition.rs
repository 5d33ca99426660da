//! The schema against which documents are validated.

use apollo_compiler::ast::{DirectiveList, FieldDefinition, InputValueDefinition};
use apollo_compiler::schema::{Component, ExtendedType};
use apollo_compiler::validation::{Valid, WithErrors};
use apollo_compiler::{Schema, name, ty};

/// Adds fields of introspection types that apollo-compiler does not have yet:
/// `isOneOf`, and the deprecation of directives (graphql-js 17).
fn add_newer_introspection(schema: &mut Schema) {
    for (on, name, ty) in [
        ("__Type", name!("isOneOf"), ty!(Boolean)),
        ("__Directive", name!("isDeprecated"), ty!(Boolean!)),
        ("__Directive", name!("deprecationReason"), ty!(String)),
    ] {
        let field = FieldDefinition {
            description: None,
            name: name.clone(),
            arguments: Vec::new(),
            ty,
            directives: DirectiveList::new(),
        };
        if let Some(ExtendedType::Object(on)) = schema.types.get_mut(on) {
            on.make_mut().fields.insert(name, Component::new(field));
        }
    }
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
    let mut schema = Schema::parse(sdl, "schema.graphql").map_err(invalid)?;
    add_newer_introspection(&mut schema);
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
