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
use super::error::Code;

/// What an operation is made from.
pub(super) struct Normal<'a> {
    pub schema: &'a Valid<Schema>,
    pub document: &'a executable::ExecutableDocument,
    pub variables: &'a JsonMap,
    /// How many bytes of variables were put in so far.
    copied: Cell<usize>,
}

/// The most bytes of variables that are put in, each as often as it stands
/// there.
const MOST_COPIED: usize = 256 * 1024;

/// What the values of its variables make of an operation that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("The variables are too large for the places where they stand.")]
    TooLarge,
    #[error("Argument \"if\" of @{0} must not be null.")]
    NoCondition(&'static str),
}

impl Unfit {
    pub fn code(self) -> Code {
        match self {
            Self::TooLarge => Code::QueryTooComplex,
            Self::NoCondition(_) => Code::BadUserInput,
        }
    }
}

/// A field with all that is selected of it, and the types of which it is.
struct Merged<'a> {
    conditions: Vec<&'a str>,
    field: &'a executable::Field,
    position: Pos,
    below: Vec<&'a executable::SelectionSet>,
}

impl<'a> Normal<'a> {
    pub fn new(
        schema: &'a Valid<Schema>,
        document: &'a executable::ExecutableDocument,
        variables: &'a JsonMap,
    ) -> Self {
        Self {
            schema,
            document,
            variables,
            copied: Cell::new(0),
        }
    }

    /// The operation.
    pub fn operation(
        &self,
        operation: &'a executable::Operation,
    ) -> Result<OperationDefinition, Unfit> {
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

    fn selections(&self, sets: &[&'a executable::SelectionSet]) -> Result<SelectionSet, Unfit> {
        let mut merged = Vec::new();
        for set in sets {
            self.collect(set, &set.ty, &mut Vec::new(), &mut merged)?;
        }
        let items = merged.iter().map(|merged| self.item(merged));
        let mut items: Vec<_> = items.collect::<Result<_, _>>()?;
        // A subscription has one field.
        if !sets.iter().any(|set| set.ty == "Subscription") {
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
    ) -> Result<(), Unfit> {
        for selection in &set.selections {
            if self.is_left_out(selection.directives())? {
                continue;
            }
            match selection {
                Selection::Field(field) => self.add(field, conditions, into),
                Selection::InlineFragment(inline) => {
                    let condition = inline.type_condition.as_deref();
                    self.collect_of(&inline.selection_set, parent, condition, conditions, into)?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name) {
                        let set = &fragment.selection_set;
                        self.collect_of(set, parent, Some(&set.ty), conditions, into)?;
                    }
                }
            }
        }
        Ok(())
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
    ) -> Result<(), Unfit> {
        let always = |condition| condition == parent || self.schema.is_subtype(condition, parent);
        match condition {
            Some(condition) if !always(condition) => {
                if self.schema.get_object(parent).is_some() {
                    // Of another type: never.
                    return Ok(());
                }
                conditions.push(condition);
                self.collect(set, condition, conditions, into)?;
                conditions.pop();
                Ok(())
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
    ) -> Result<Positioned<async_graphql::parser::types::Selection>, Unfit> {
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

    fn arguments(&self, field: &executable::Field) -> Result<Vec<(String, Value)>, Unfit> {
        let definition: &FieldDefinition = &field.definition;
        let mut arguments = Vec::with_capacity(field.arguments.len());
        for argument in &field.arguments {
            let Some(mut value) = self.value(&argument.value)? else {
                continue;
            };
            // Where the library has a default it takes no null.
            if argument.name == "includeDeprecated" && value == Value::Null {
                continue;
            }
            if let executable::Value::Int(number) = &*argument.value
                && let Some(definition) = definition.argument_by_name(&argument.name)
                && definition.ty.inner_named_type() == "ID"
            {
                value = Value::String(number.as_str().to_owned());
            }
            arguments.push((argument.name.to_string(), value));
        }
        Ok(arguments)
    }

    /// A value with its variables put in. `None` for a variable without a
    /// value.
    fn value(&self, value: &executable::Value) -> Result<Option<Value>, Unfit> {
        use executable::Value as Given;
        Ok(Some(match value {
            Given::Null => Value::Null,
            Given::Enum(name) => Value::Enum(Name::new(name.as_str())),
            Given::Variable(name) => return self.variable(name),
            Given::String(text) => Value::String(text.clone()),
            Given::Float(number) => number_of(number.as_str()),
            Given::Int(number) => number_of(number.as_str()),
            Given::Boolean(value) => Value::Boolean(*value),
            Given::List(items) => {
                let items = items.iter();
                let items = items.map(|item| Ok(self.value(item)?.unwrap_or(Value::Null)));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Given::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.filter_map(|(name, value)| {
                    let value = self.value(value).transpose()?;
                    Some(value.map(|value| (Name::new(name.as_str()), value)))
                });
                Value::Object(fields.collect::<Result<_, _>>()?)
            }
        }))
    }

    fn variable(&self, name: &str) -> Result<Option<Value>, Unfit> {
        let Some(value) = self.variables.get(name) else {
            return Ok(None);
        };
        let copied = self.copied.get().saturating_add(value.to_string().len());
        self.copied.set(copied);
        if copied > MOST_COPIED {
            return Err(Unfit::TooLarge);
        }
        let value = serde_json::to_value(value).ok();
        Ok(value.and_then(|value| Value::from_json(value).ok()))
    }

    /// Whether `@skip` or `@include` leave something out.
    fn is_left_out(&self, directives: &[Node<Directive>]) -> Result<bool, Unfit> {
        for directive in directives {
            let (name, unless) = match directive.name.as_str() {
                "skip" => ("skip", true),
                "include" => ("include", false),
                _ => continue,
            };
            let given = directive.specified_argument_by_name("if");
            let condition = given.map_or(Ok(None), |given| self.value(given))?;
            let Some(Value::Boolean(condition)) = condition else {
                return Err(Unfit::NoCondition(name));
            };
            if condition == unless {
                return Ok(true);
            }
        }
        Ok(false)
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
