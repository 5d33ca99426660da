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

/// Reads the schema that the library has printed, which is valid: a test sees to
/// that.
pub(super) fn definition(sdl: &str) -> Valid<Schema> {
    let parsed = Schema::parse(sdl, "schema.graphql");
    let (Ok(mut schema)
    | Err(WithErrors {
        partial: mut schema,
        ..
    })) = parsed;
    add_newer_introspection(&mut schema);
    schema.validate().unwrap_or_else(|error| {
        tracing::error!(%error, "the schema cannot be read");
        Valid::assume_valid(error.partial)
    })
}
