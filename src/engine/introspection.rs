//! The schema's own fields, which async-graphql resolves by itself: its response
//! gets the document's order, and what it is too old to know.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{Name, Pos, Positioned, Value};

use super::plan::{PlannedField, PlannedObject};

/// A key that no document has.
pub(super) const OWN_KEY: &str = "";

/// Selects an object's type, so that one of which nothing else is selected is
/// no null.
pub(super) fn type_of_object() -> Positioned<Selection> {
    own_field("__typename")
}

/// A field under [`OWN_KEY`].
pub(super) fn own_field(name: &str) -> Positioned<Selection> {
    let nowhere = |name| Positioned::new(Name::new(name), Pos::default());
    let field = Field {
        alias: Some(nowhere(OWN_KEY)),
        name: nowhere(name),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), Pos::default()),
    };
    let field = Positioned::new(field, Pos::default());
    Positioned::new(Selection::Field(field), Pos::default())
}

/// The value of a field in the order of the document.
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
            // Newer than async-graphql, which deprecates no directive.
            ("__Directive", "isDeprecated") => Value::Boolean(false),
            _ => found.swap_remove(field.key()).unwrap_or_default(),
        };
        (field.key().clone(), complete(field, value))
    });
    Value::Object(fields.collect())
}
