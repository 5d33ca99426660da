//! Introspection fields, which async-graphql resolves. This module restores the document's order
//! and adds fields that async-graphql does not have yet.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Value};

use super::plan::{PlannedField, PlannedObject};
use super::positions::unpositioned;

/// A response key that no document can contain.
pub(super) const INTERNAL_KEY: &str = "";

/// Selects an internal field of an object, so that the response contains the
/// object even if no other field is selected. For an object of the type
/// `__Type`, this is `kind`, which `complete_object` needs.
pub(super) fn type_of_object(object: &PlannedObject) -> Positioned<Selection> {
    internal_field(match object.ty.as_str() {
        "__Type" => "kind",
        _ => "__typename",
    })
}

/// Creates a field with the response key [`INTERNAL_KEY`].
pub(super) fn internal_field(name: &str) -> Positioned<Selection> {
    let field = Field {
        alias: Some(unpositioned(Name::new(INTERNAL_KEY))),
        name: unpositioned(Name::new(name)),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: unpositioned(SelectionSet::default()),
    };
    unpositioned(Selection::Field(unpositioned(field)))
}

/// Returns the value of a field in the document's order.
pub(super) fn complete(field: &PlannedField, value: Value) -> Value {
    match (value, field.objects.as_slice()) {
        (Value::List(items), _) => {
            let items = items.into_iter().map(|item| complete(field, item));
            Value::List(items.collect())
        }
        (Value::Object(found), [object]) => complete_object(object, found),
        (value, _) => value,
    }
}

fn complete_object(object: &PlannedObject, mut found: IndexMap<Name, Value>) -> Value {
    let internal = found.swap_remove(INTERNAL_KEY);
    let is_interface = matches!(internal, Some(Value::Enum(kind)) if kind == "INTERFACE");
    let fields = object.fields.iter().map(|field| {
        let value = match (object.ty.as_str(), field.name.as_str()) {
            // async-graphql does not have this field. No directive is
            // deprecated.
            ("__Directive", "isDeprecated") => Value::Boolean(false),
            // async-graphql returns the description of the type `__Schema`.
            ("__Schema", "description") => Value::Null,
            // async-graphql returns null for an interface. An async-graphql
            // interface never implements another one, so the list is empty.
            ("__Type", "interfaces") if is_interface => Value::List(Vec::new()),
            _ => found.swap_remove(field.key()).unwrap_or_default(),
        };
        (field.key().clone(), complete(field, value))
    });
    Value::Object(fields.collect())
}
