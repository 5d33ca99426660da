//! Introspection fields, which async-graphql resolves. This module restores the document's order
//! and adds fields that async-graphql does not have yet.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{Name, Pos, Positioned, Value};

use super::plan::{PlannedField, PlannedObject};

/// A response key that no document can contain.
pub(super) const INTERNAL_KEY: &str = "";

/// Selects `__typename`, so that the response contains the object even if no
/// other field is selected.
pub(super) fn type_of_object() -> Positioned<Selection> {
    internal_field("__typename")
}

/// Creates a field with the response key [`INTERNAL_KEY`].
pub(super) fn internal_field(name: &str) -> Positioned<Selection> {
    let unpositioned = |name| Positioned::new(Name::new(name), Pos::default());
    let field = Field {
        alias: Some(unpositioned(INTERNAL_KEY)),
        name: unpositioned(name),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), Pos::default()),
    };
    let field = Positioned::new(field, Pos::default());
    Positioned::new(Selection::Field(field), Pos::default())
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
    let fields = object.fields.iter().map(|field| {
        let value = match (object.ty.as_str(), field.name.as_str()) {
            // async-graphql does not have this field. No directive is
            // deprecated.
            ("__Directive", "isDeprecated") => Value::Boolean(false),
            _ => found.swap_remove(field.key()).unwrap_or_default(),
        };
        (field.key().clone(), complete(field, value))
    });
    Value::Object(fields.collect())
}
