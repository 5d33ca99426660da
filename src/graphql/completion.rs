//! The last step of execution, as the specification has it (6.4.3 and 6.4.4).
//!
//! async-graphql since 7.1 answers the fields of an object in the order in
//! which they were ready, and leaves out a field that failed, whatever its
//! type. Here an answer gets the order of its document, and the null of a
//! field that must not be null moves up to the next one that may.

use apollo_compiler::Schema;
use apollo_compiler::ast::Type;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Value};

/// Name under which every object is asked for its type: the document alone
/// does not always tell it, and without anything to answer async-graphql would
/// make null of an object.
pub(super) const OWN_ALIAS: &str = "__cruddur_type";

/// What is needed to go through an answer.
pub(super) struct Answered<'a> {
    pub schema: &'a Schema,
}

/// Asks an object for its type.
pub(super) fn type_of_object() -> Positioned<Selection> {
    let field = Field {
        alias: Some(at_start(Name::new(OWN_ALIAS))),
        name: at_start(Name::new("__typename")),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: at_start(SelectionSet::default()),
    };
    at_start(Selection::Field(at_start(field)))
}

fn at_start<T>(node: T) -> Positioned<T> {
    Positioned::new(node, Pos::default())
}

impl Answered<'_> {
    /// The answer of an operation, in its order and with its nulls in place.
    pub fn complete(&self, operation: &OperationDefinition, data: Value) -> Value {
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let Value::Object(fields) = data else {
            return data;
        };
        self.object(root, &[&operation.selection_set.node], fields)
            .unwrap_or_default()
    }

    /// `None` where a null has to move further up.
    fn object(
        &self,
        concrete: &str,
        selections: &[&SelectionSet],
        mut found: IndexMap<Name, Value>,
    ) -> Option<Value> {
        let mut asked = IndexMap::new();
        for selection_set in selections {
            self.collect(concrete, selection_set, &mut asked);
        }
        let mut completed = IndexMap::with_capacity(asked.len());
        for (key, fields) in asked {
            let value = match (concrete, fields[0].name.node.as_str()) {
                // Newer than async-graphql, which deprecates no directive.
                ("__Directive", "isDeprecated") => Value::Boolean(false),
                _ => found.swap_remove(key).unwrap_or_default(),
            };
            let value = match self.type_of(concrete, &fields[0].name.node) {
                Some(ty) => {
                    let below: Vec<_> = fields
                        .iter()
                        .map(|field| &field.selection_set.node)
                        .collect();
                    self.value(ty, &below, value)?
                }
                None => value,
            };
            completed.insert(key.clone(), value);
        }
        Some(Value::Object(completed))
    }

    /// The type of a field; `None` for `__typename`, which never fails.
    fn type_of(&self, concrete: &str, field: &str) -> Option<&Type> {
        if field == "__typename" {
            return None;
        }
        let definition = self.schema.type_field(concrete, field).ok()?;
        Some(&definition.ty)
    }

    /// Whether an object of type `concrete` is meant by a type condition.
    fn applies(&self, condition: &str, concrete: &str) -> bool {
        condition == concrete || self.schema.is_subtype(condition, concrete)
    }

    fn value(&self, ty: &Type, selections: &[&SelectionSet], found: Value) -> Option<Value> {
        let completed = match (ty, found) {
            (Type::List(element) | Type::NonNullList(element), Value::List(items)) => {
                let items = items
                    .into_iter()
                    .map(|item| self.value(element, selections, item));
                items.collect::<Option<Vec<_>>>().map(Value::List)
            }
            (Type::Named(name) | Type::NonNullNamed(name), Value::Object(fields)) => {
                let concrete = match fields.get(OWN_ALIAS) {
                    Some(Value::String(concrete)) => concrete.clone(),
                    _ => name.to_string(),
                };
                self.object(&concrete, selections, fields)
            }
            (_, scalar) => Some(scalar),
        };
        match completed {
            None | Some(Value::Null) if ty.is_non_null() => None,
            None | Some(Value::Null) => Some(Value::Null),
            completed => completed,
        }
    }

    /// The fields that are asked of an object, by the key of their answer.
    fn collect<'a>(
        &self,
        concrete: &str,
        selection_set: &'a SelectionSet,
        asked: &mut IndexMap<&'a Name, Vec<&'a Field>>,
    ) {
        for Positioned { node, .. } in &selection_set.items {
            match node {
                Selection::Field(field) => {
                    let key = &field.node.response_key().node;
                    if key != OWN_ALIAS {
                        asked.entry(key).or_default().push(&field.node);
                    }
                }
                Selection::InlineFragment(inline) => {
                    let condition = inline.node.type_condition.as_ref();
                    if condition
                        .is_none_or(|condition| self.applies(&condition.node.on.node, concrete))
                    {
                        self.collect(concrete, &inline.node.selection_set.node, asked);
                    }
                }
                // There are none in an operation as it is executed.
                Selection::FragmentSpread(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use serde_json::{Value as Json, json};

    use super::*;

    const SDL: &str = "
        interface Node { id: ID! }
        type Query { a: A! maybe: A list: [A!]! maybes: [A] node: Node }
        type A implements Node { id: ID! name: String! note: String other: A }
        type B implements Node { id: ID! size: Int! }
    ";

    /// The answer to a document, completed from what was found.
    fn answer(document: &str, data: Json) -> Value {
        let schema = Schema::parse_and_validate(SDL, "schema.graphql").expect("a schema");
        let document = parse_query(document).expect("a document");
        let DocumentOperations::Single(operation) = &document.operations else {
            panic!("one operation");
        };
        let answered = Answered { schema: &schema };
        answered.complete(&operation.node, Value::from_json(data).expect("a value"))
    }

    fn completed(document: &str, data: Json) -> Json {
        answer(document, data).into_json().expect("a value")
    }

    #[test]
    fn fields_come_in_the_order_of_the_document() {
        let document = "{ list { note ... on A { name x: id } id } }";
        let data = json!({"list": [{"x": "1", "name": "n", "id": "1", "note": "t"}]});
        let answer = answer(document, data);
        assert_eq!(
            answer.to_string(),
            r#"{list: [{note: "t", name: "n", x: "1", id: "1"}]}"#
        );
    }

    #[test]
    fn a_field_that_failed_is_null_where_it_may_be() {
        assert_eq!(
            completed("{ maybe { id note } }", json!({"maybe": {"id": "1"}})),
            json!({"maybe":{"id":"1","note":null}})
        );
        assert_eq!(
            completed("{ maybe { id } }", json!({})),
            json!({"maybe":null})
        );
    }

    #[test]
    fn a_null_moves_up_to_where_it_may_be() {
        assert_eq!(
            completed("{ maybe { id name } }", json!({"maybe": {"id": "1"}})),
            json!({"maybe":null})
        );
        assert_eq!(
            completed(
                "{ a { id other { name } } }",
                json!({"a": {"id": "1", "other": {}}})
            ),
            json!({"a":{"id":"1","other":null}})
        );
        assert_eq!(
            completed(
                "{ a { name } maybe { id } }",
                json!({"a": {}, "maybe": {"id": "1"}})
            ),
            Json::Null
        );
        assert_eq!(
            completed("{ list { name } }", json!({"list": [{"name": "n"}, {}]})),
            Json::Null
        );
        assert_eq!(
            completed(
                "{ maybes { name } }",
                json!({"maybes": [{"name": "n"}, {}]})
            ),
            json!({"maybes":[{"name":"n"},null]})
        );
    }

    #[test]
    fn the_type_of_an_object_decides_what_was_asked_of_it() {
        let document = "{ node { ... on B { size } ... on A { name } id } }";
        let data = json!({"node": {"id": "1", "size": 3, OWN_ALIAS: "B"}});
        assert_eq!(
            completed(document, data),
            json!({"node":{"id":"1","size":3}})
        );
        let data = json!({"node": {"id": "1", OWN_ALIAS: "A"}});
        assert_eq!(completed(document, data), json!({"node":null}));
    }
}
