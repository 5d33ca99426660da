//! Inputs of which exactly one field is given (`@oneOf`), which apollo-compiler
//! does not know yet.

use apollo_compiler::Schema;
use apollo_compiler::ast::Type;
use apollo_compiler::schema::ExtendedType;
use async_graphql::Value;

/// More or less than one field of such an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Exactly one field of {input} has to be given, and not null.")]
pub(super) struct TwoOfOne {
    input: String,
}

/// Looks at a value, and at everything in it.
pub(super) fn check_one_of(schema: &Schema, ty: &Type, value: &Value) -> Result<(), TwoOfOne> {
    if let Value::List(items) = value {
        return items
            .iter()
            .try_for_each(|item| check_one_of(schema, ty.item_type(), item));
    }
    let name = ty.inner_named_type();
    let (Some(ExtendedType::InputObject(input)), Value::Object(fields)) =
        (schema.types.get(name), value)
    else {
        return Ok(());
    };
    if input.directives.has("oneOf") {
        let given: Vec<&Value> = fields.values().collect();
        if !matches!(given.as_slice(), [value] if **value != Value::Null) {
            let input = name.to_string();
            return Err(TwoOfOne { input });
        }
    }
    fields
        .iter()
        .try_for_each(|(name, value)| match input.fields.get(name.as_str()) {
            Some(field) => check_one_of(schema, &field.ty, value),
            None => Ok(()),
        })
}
