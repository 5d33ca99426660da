//! A validated operation as it is executed: without variables, fragments and
//! directives, each field once for all that is selected of it (the
//! specification's `CollectFields`, 6.3.2).
//!
//! async-graphql would execute a field as often as it is selected, which for a
//! mutation would send a message twice.

use std::cell::Cell;

use apollo_compiler::ast::{Directive, FieldDefinition};
use apollo_compiler::executable::{self, Selection};
use apollo_compiler::parser::SourceMap;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use apollo_compiler::{Node, Schema};
use async_graphql::parser::types::{
    Field, InlineFragment, OperationDefinition, OperationType, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Pos, Positioned, Value};

use super::completion::type_of_object;
use super::one_of::{TwoOfOne, check_one_of};

/// What an operation is made from.
pub(super) struct Normal<'a> {
    pub schema: &'a Valid<Schema>,
    pub document: &'a executable::ExecutableDocument,
    pub variables: &'a JsonMap,
    /// How many bytes of variables were put in so far.
    pub copied: Cell<usize>,
}

/// The most bytes of variables that are put in, each as often as it stands
/// there.
const MOST_COPIED: usize = 256 * 1024;

/// A field with all that is selected of it, and the types of which it is.
struct Merged<'a> {
    conditions: Vec<&'a str>,
    field: &'a executable::Field,
    position: Pos,
    below: Vec<&'a executable::SelectionSet>,
}

impl<'a> Normal<'a> {
    /// The operation.
    pub fn operation(
        &self,
        operation: &'a executable::Operation,
    ) -> Result<OperationDefinition, TwoOfOne> {
        Ok(OperationDefinition {
            ty: match operation.operation_type {
                executable::OperationType::Query => OperationType::Query,
                executable::OperationType::Mutation => OperationType::Mutation,
                executable::OperationType::Subscription => OperationType::Subscription,
            },
            variable_definitions: Vec::new(),
            directives: Vec::new(),
            selection_set: nowhere(self.selections(&[&operation.selection_set])?),
        })
    }

    /// Whether more was to be put in than there may be.
    pub fn is_too_large(&self) -> bool {
        self.copied.get() > MOST_COPIED
    }

    fn selections(&self, sets: &[&'a executable::SelectionSet]) -> Result<SelectionSet, TwoOfOne> {
        let mut merged = Vec::new();
        for set in sets {
            self.collect(set, &set.ty, &mut Vec::new(), &mut merged);
        }
        let items = merged.iter().map(|merged| self.item(merged));
        let mut items: Vec<_> = items.collect::<Result<_, _>>()?;
        // The schema's own types never fail, and always have something left.
        let of_schema = sets.iter().any(|set| set.ty.starts_with("__"));
        if !of_schema {
            items.push(type_of_object());
        }
        Ok(SelectionSet { items })
    }

    /// `parent` is the type of the object as far as it is known here.
    fn collect(
        &self,
        set: &'a executable::SelectionSet,
        parent: &str,
        conditions: &mut Vec<&'a str>,
        into: &mut Vec<Merged<'a>>,
    ) {
        for selection in &set.selections {
            if self.is_left_out(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => self.add(field, conditions, into),
                Selection::InlineFragment(inline) => {
                    let condition = inline.type_condition.as_deref();
                    self.collect_of(&inline.selection_set, parent, condition, conditions, into);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name) {
                        let set = &fragment.selection_set;
                        self.collect_of(set, parent, Some(&set.ty), conditions, into);
                    }
                }
            }
        }
    }

    /// What is selected under a type condition, if there is one: of every
    /// object, of none, or of those of that type.
    fn collect_of(
        &self,
        set: &'a executable::SelectionSet,
        parent: &str,
        condition: Option<&'a str>,
        conditions: &mut Vec<&'a str>,
        into: &mut Vec<Merged<'a>>,
    ) {
        let always = |condition| condition == parent || self.schema.is_subtype(condition, parent);
        match condition {
            Some(condition) if !always(condition) => {
                if self.schema.get_object(parent).is_some() {
                    // Of another type: never.
                    return;
                }
                conditions.push(condition);
                self.collect(set, condition, conditions, into);
                conditions.pop();
            }
            _ => self.collect(set, parent, conditions, into),
        }
    }

    fn add(
        &self,
        field: &'a Node<executable::Field>,
        conditions: &[&'a str],
        into: &mut Vec<Merged<'a>>,
    ) {
        let same = into.iter_mut().find(|merged| {
            merged.conditions == conditions && merged.field.response_key() == field.response_key()
        });
        match same {
            Some(merged) => merged.below.push(&field.selection_set),
            None => into.push(Merged {
                conditions: conditions.to_vec(),
                field,
                position: position(field, &self.document.sources),
                below: vec![&field.selection_set],
            }),
        }
    }

    fn item(
        &self,
        merged: &Merged<'a>,
    ) -> Result<Positioned<async_graphql::parser::types::Selection>, TwoOfOne> {
        use async_graphql::parser::types::Selection;
        let at = |name: &str| Positioned::new(Name::new(name), merged.position);
        let selected = merged.below.iter().any(|set| !set.selections.is_empty());
        let below = if selected {
            self.selections(&merged.below)?
        } else {
            SelectionSet::default()
        };
        let field = Field {
            alias: merged.field.alias.as_ref().map(|alias| at(alias)),
            name: at(&merged.field.name),
            arguments: self
                .arguments(merged.field)?
                .into_iter()
                .map(|(name, value)| {
                    (
                        at(&name),
                        Positioned::new(value.into_value(), merged.position),
                    )
                })
                .collect(),
            directives: Vec::new(),
            selection_set: Positioned::new(below, merged.position),
        };
        let mut item = Selection::Field(Positioned::new(field, merged.position));
        for condition in merged.conditions.iter().rev() {
            let inside = Positioned::new(item, merged.position);
            item = Selection::InlineFragment(nowhere(InlineFragment {
                type_condition: Some(nowhere(TypeCondition { on: at(condition) })),
                directives: Vec::new(),
                selection_set: nowhere(SelectionSet {
                    items: vec![inside],
                }),
            }));
        }
        Ok(Positioned::new(item, merged.position))
    }

    fn arguments(&self, field: &executable::Field) -> Result<Vec<(String, Value)>, TwoOfOne> {
        let definition: &FieldDefinition = &field.definition;
        let mut arguments = Vec::with_capacity(field.arguments.len());
        for argument in &field.arguments {
            let Some(mut value) = self.value(&argument.value) else {
                continue;
            };
            if let Some(definition) = definition.argument_by_name(&argument.name) {
                if let executable::Value::Int(number) = &*argument.value
                    && definition.ty.inner_named_type() == "ID"
                {
                    value = Value::String(number.as_str().to_owned());
                }
                check_one_of(self.schema, &definition.ty, &value)?;
            }
            arguments.push((argument.name.to_string(), value));
        }
        Ok(arguments)
    }

    /// A value with its variables put in. `None` for a variable without a
    /// value.
    fn value(&self, value: &executable::Value) -> Option<Value> {
        use executable::Value as Given;
        Some(match value {
            Given::Null => Value::Null,
            Given::Enum(name) => Value::Enum(Name::new(name.as_str())),
            Given::Variable(name) => {
                let value = self.variables.get(name.as_str())?;
                let bytes = value.to_string().len();
                self.copied.set(self.copied.get().saturating_add(bytes));
                if self.is_too_large() {
                    return None;
                }
                let value = serde_json::to_value(value).ok()?;
                Value::from_json(value).ok()?
            }
            Given::String(text) => Value::String(text.clone()),
            Given::Float(number) => number_of(number.as_str()),
            Given::Int(number) => number_of(number.as_str()),
            Given::Boolean(value) => Value::Boolean(*value),
            Given::List(items) => {
                let items = items.iter();
                Value::List(
                    items
                        .map(|item| self.value(item).unwrap_or(Value::Null))
                        .collect(),
                )
            }
            Given::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.filter_map(|(name, value)| {
                    Some((Name::new(name.as_str()), self.value(value)?))
                });
                Value::Object(fields.collect())
            }
        })
    }

    /// Whether `@skip` or `@include` leave something out.
    fn is_left_out(&self, directives: &[Node<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let unless = match directive.name.as_str() {
                "skip" => true,
                "include" => false,
                _ => return false,
            };
            let given = directive.specified_argument_by_name("if");
            let condition = given.and_then(|given| self.value(given));
            condition == Some(Value::Boolean(unless))
        })
    }
}

/// A number as it is written. What has no place in 64 bits is validation's to
/// refuse, where there is a rule for it, and else stays text.
fn number_of(text: &str) -> Value {
    if text == "-0" {
        return Value::from(0);
    }
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::String(text.to_owned()),
    }
}

/// Where a field stands in the document.
fn position(field: &Node<executable::Field>, sources: &SourceMap) -> Pos {
    let range = field.line_column_range(sources);
    range.map_or_else(Pos::default, |range| Pos {
        line: range.start.line,
        column: range.start.column,
    })
}

fn nowhere<T>(node: T) -> Positioned<T> {
    Positioned::new(node, Pos::default())
}
