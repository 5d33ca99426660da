//! Converts a plan to the selection sets that async-graphql executes, with the
//! values of variables inserted.

use std::cell::Cell;
use std::sync::Arc;

use apollo_compiler::ast::Value as Given;
use apollo_compiler::response::JsonMap;
use async_graphql::parser::types::{Field, InlineFragment, Selection, SelectionSet, TypeCondition};
use async_graphql::{Name, Positioned, Value};

use super::error::{RequestError, RequestErrorKind};
use super::introspection::type_of_object;
use super::plan::{Plan, PlannedField, PlannedObject};
use super::positions::unpositioned;

/// Maximum total size of inserted variables in bytes. A variable counts each
/// time it is used: a large variable that is used many times would multiply the
/// memory of a request.
const MAX_COPIED_BYTES: usize = 256 * 1024;

/// An operation as async-graphql executes it.
#[derive(Debug)]
pub(super) struct Lowered {
    /// The root fields.
    pub root: Arc<Positioned<SelectionSet>>,
    /// The introspection fields of the root.
    pub introspection: Vec<Positioned<Selection>>,
}

impl Lowered {
    pub fn new(plan: &Plan, variables: &JsonMap) -> Result<Self, RequestError> {
        let lowering = Lowering {
            variables,
            copied: Cell::new(0),
        };
        let (introspection, others): (Vec<_>, Vec<_>) = plan
            .root
            .iter()
            .partition(|field| field.is_introspection_field());
        let introspection = introspection.into_iter().map(|field| lowering.field(field));
        Ok(Self {
            introspection: introspection.collect::<Result<_, _>>()?,
            root: Arc::new(lowering.fields(others)?),
        })
    }
}

/// Inserts the values of variables into a plan.
struct Lowering<'a> {
    variables: &'a JsonMap,
    /// Total size of the variables inserted so far, in bytes.
    copied: Cell<usize>,
}

impl Lowering<'_> {
    /// Returns the fields of one object.
    pub fn fields<'f>(
        &self,
        fields: impl IntoIterator<Item = &'f PlannedField>,
    ) -> Result<Positioned<SelectionSet>, RequestError> {
        let items = fields.into_iter().map(|field| self.field(field));
        let items = items.collect::<Result<_, _>>()?;
        Ok(unpositioned(SelectionSet { items }))
    }

    pub fn field(&self, field: &PlannedField) -> Result<Positioned<Selection>, RequestError> {
        let at = |name: &Name| Positioned::new(name.clone(), field.position);
        let arguments = self.arguments(field)?.into_iter();
        let lowered = Field {
            alias: field.alias.as_ref().map(at),
            name: at(&field.name),
            arguments: arguments
                .map(|(name, value)| {
                    let value = Positioned::new(value.into_value(), field.position);
                    (at(&name), value)
                })
                .collect(),
            directives: Vec::new(),
            selection_set: self.objects(field)?,
        };
        let selection = Selection::Field(Positioned::new(lowered, field.position));
        Ok(Positioned::new(selection, field.position))
    }

    /// Returns the selections below a field: directly for an object, and as one
    /// inline fragment for each possible type of an interface or union.
    fn objects(&self, field: &PlannedField) -> Result<Positioned<SelectionSet>, RequestError> {
        match field.objects.as_slice() {
            [] => Ok(unpositioned(SelectionSet::default())),
            [object] if object.ty.starts_with("__") => {
                let mut fields = self.fields(&object.fields)?;
                fields.node.items.push(type_of_object(object));
                Ok(fields)
            }
            [object] if !field.is_abstract => self.fields(&object.fields),
            objects => {
                let items = objects.iter().map(|object| self.fragment(object));
                let items = items.collect::<Result<_, _>>()?;
                Ok(unpositioned(SelectionSet { items }))
            }
        }
    }

    fn fragment(&self, object: &PlannedObject) -> Result<Positioned<Selection>, RequestError> {
        let on = unpositioned(object.ty.clone());
        Ok(unpositioned(Selection::InlineFragment(unpositioned(
            InlineFragment {
                type_condition: Some(unpositioned(TypeCondition { on })),
                directives: Vec::new(),
                selection_set: self.fields(&object.fields)?,
            },
        ))))
    }

    fn arguments(&self, field: &PlannedField) -> Result<Vec<(Name, Value)>, RequestError> {
        let mut arguments = Vec::with_capacity(field.arguments.len());
        for (name, given) in &field.arguments {
            let Some(mut value) = self.value(given)? else {
                continue;
            };
            // async-graphql rejects null for an argument that has a default
            // value.
            if name == "includeDeprecated" && value == Value::Null {
                continue;
            }
            if let Given::Int(number) = &**given
                && let Some(definition) = field.definition.argument_by_name(name)
                && definition.ty.inner_named_type() == "ID"
            {
                value = Value::String(number.as_str().to_owned());
            }
            arguments.push((name.clone(), value));
        }
        Ok(arguments)
    }

    /// Returns a value with its variables inserted, or `None` for a variable
    /// without a value.
    fn value(&self, value: &Given) -> Result<Option<Value>, RequestError> {
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
                Value::List(items.collect::<Result<_, RequestError>>()?)
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

    fn variable(&self, name: &str) -> Result<Option<Value>, RequestError> {
        let Some(value) = self.variables.get(name) else {
            return Ok(None);
        };
        let value = serde_json::to_value(value).ok();
        let value = value.and_then(|value| Value::from_json(value).ok());
        let size = value.as_ref().map_or(0, size_of);
        let copied = self.copied.get().saturating_add(size);
        self.copied.set(copied);
        if copied > MAX_COPIED_BYTES {
            let message = format!(
                "The variables, counted each time they are used, exceed the limit of {MAX_COPIED_BYTES} bytes."
            );
            return Err(RequestError::new(RequestErrorKind::TooComplex, message));
        }
        Ok(value)
    }
}

/// Converts a number literal. A number that does not fit into 64 bits becomes a
/// string.
fn number_of(text: &str) -> Value {
    if text == "-0" {
        return Value::from(0);
    }
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::String(text.to_owned()),
    }
}

/// Returns the approximate size of a value in bytes.
fn size_of(value: &Value) -> usize {
    const SMALL: usize = 8;
    match value {
        Value::String(text) => text.len() + SMALL,
        Value::Binary(bytes) => bytes.len() + SMALL,
        Value::List(items) => items.iter().map(size_of).sum::<usize>() + SMALL,
        Value::Object(fields) => {
            let fields = fields.iter();
            let sizes = fields.map(|(name, value)| name.len() + size_of(value));
            sizes.sum::<usize>() + SMALL
        }
        Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) => SMALL,
    }
}
