//! The plan of an operation: its fields, merged as in `CollectFields` of the
//! GraphQL specification (6.3.2), each once for every possible object type.
//! Cost, execution and the order of the response follow the plan.

use apollo_compiler::ast::{Directive, FieldDefinition, Value};
use apollo_compiler::executable::{
    ExecutableDocument, Field, Operation, OperationType, Selection, SelectionSet,
};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use async_graphql::Pos;
use async_graphql::indexmap::IndexMap;

use super::error::{RequestError, RequestErrorKind};
use super::field_cost::DeclaredCost;
use super::positions::LineIndex;
use super::rules::Rules;

/// Maximum number of fields of a plan. Plans of ordinary documents are far
/// smaller. Nested interfaces multiply fields, because each object type has its
/// own.
const MAX_PLANNED_FIELDS: usize = 20_000;

/// A field with its selections.
#[derive(Clone, Debug)]
pub(super) struct PlannedField {
    pub alias: Option<async_graphql::Name>,
    pub name: async_graphql::Name,
    pub definition: Node<FieldDefinition>,
    pub arguments: Vec<(async_graphql::Name, Node<Value>)>,
    /// Position of the field's first occurrence in the document.
    pub position: Pos,
    /// Selections for each possible object type. Empty for a leaf field.
    pub objects: Vec<PlannedObject>,
    /// Whether the field's type is an interface or a union.
    pub is_abstract: bool,
    /// The declared cost.
    pub cost: Option<DeclaredCost>,
}

impl PlannedField {
    /// Returns the field's response key.
    pub fn key(&self) -> &async_graphql::Name {
        self.alias.as_ref().unwrap_or(&self.name)
    }

    /// Returns whether this is `__schema` or `__type`.
    pub fn is_introspection_field(&self) -> bool {
        self.name.starts_with("__") && self.name != "__typename"
    }
}

/// The selected fields of objects of one type.
#[derive(Clone, Debug)]
pub(super) struct PlannedObject {
    pub ty: async_graphql::Name,
    pub fields: Vec<PlannedField>,
}

/// The plan of an operation. Arguments still contain variables.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub operation_type: OperationType,
    pub root: Vec<PlannedField>,
    /// Whether `@skip` or `@include` depend on variables. If they do, requests
    /// with different variables have different plans.
    pub is_conditional: bool,
    /// Whether an argument contains a variable.
    pub has_variables: bool,
    /// Number of fields.
    pub fields: usize,
}

/// Creates the plan of a valid operation. Without variables, it contains all
/// fields that may be executed.
pub(super) fn plan(
    rules: &Rules,
    document: &ExecutableDocument,
    positions: &LineIndex,
    operation: &Operation,
    variables: Option<&JsonMap>,
) -> Result<Plan, RequestError> {
    let mut planner = Planner {
        rules,
        document,
        positions,
        variables,
        fields: 0,
        is_conditional: false,
        has_variables: false,
    };
    let set = &operation.selection_set;
    let root = planner.object(&set.ty, &[set])?;
    Ok(Plan {
        operation_type: operation.operation_type,
        root,
        is_conditional: planner.is_conditional,
        has_variables: planner.has_variables,
        fields: planner.fields,
    })
}

struct Planner<'a> {
    rules: &'a Rules,
    document: &'a ExecutableDocument,
    positions: &'a LineIndex,
    variables: Option<&'a JsonMap>,
    fields: usize,
    is_conditional: bool,
    has_variables: bool,
}

/// The fields of an object by their response keys.
type CollectedFields<'a> = IndexMap<&'a Name, CollectedField<'a>>;

/// A field with all of its selection sets.
struct CollectedField<'a> {
    field: &'a Node<Field>,
    below: Vec<&'a SelectionSet>,
}

impl<'a> Planner<'a> {
    /// Returns the selected fields of an object type.
    fn object(
        &mut self,
        ty: &Name,
        sets: &[&'a SelectionSet],
    ) -> Result<Vec<PlannedField>, RequestError> {
        let mut collected = CollectedFields::new();
        for set in sets {
            self.collect(ty, set, &mut collected)?;
        }
        let collected = collected.into_values();
        collected
            .map(|collected| self.field(ty, &collected))
            .collect()
    }

    /// Collects the fields of a selection set that apply to an object type. Fields
    /// with the same response key are merged.
    fn collect(
        &mut self,
        ty: &Name,
        set: &'a SelectionSet,
        into: &mut CollectedFields<'a>,
    ) -> Result<(), RequestError> {
        for selection in &set.selections {
            if self.is_excluded(selection.directives())? {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let below = Vec::new();
                    let collected = into.entry(field.response_key());
                    let collected = collected.or_insert(CollectedField { field, below });
                    collected.below.push(&field.selection_set);
                }
                Selection::InlineFragment(inline) => {
                    if self.applies(inline.type_condition.as_ref(), ty) {
                        self.collect(ty, &inline.selection_set, into)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.fragment_name);
                    if let Some(fragment) = fragment
                        && self.applies(Some(&fragment.selection_set.ty), ty)
                    {
                        self.collect(ty, &fragment.selection_set, into)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns whether a type condition applies to an object type.
    fn applies(&self, condition: Option<&Name>, ty: &Name) -> bool {
        condition
            .is_none_or(|condition| condition == ty || self.rules.schema.is_subtype(condition, ty))
    }

    /// Plans a field, and the fields below it for each possible object type.
    fn field(
        &mut self,
        parent: &Name,
        CollectedField { field, below }: &CollectedField<'a>,
    ) -> Result<PlannedField, RequestError> {
        self.fields += 1;
        if self.fields > MAX_PLANNED_FIELDS {
            let message = format!(
                "The operation has more than {MAX_PLANNED_FIELDS} fields, counted for each possible object type. Request less at a time."
            );
            return Err(RequestError::new(RequestErrorKind::TooComplex, message));
        }
        // The object's definition of the field may differ from the interface's.
        let definition = self.rules.schema.type_field(parent, &field.name);
        let definition = definition.map_or(&field.definition, |component| &component.node);
        let inner = definition.ty.inner_named_type();
        let below: Vec<_> = below
            .iter()
            .copied()
            .filter(|set| !set.selections.is_empty())
            .collect();
        let mut objects = Vec::new();
        if !below.is_empty() {
            for ty in self.possible_types(inner) {
                objects.push(PlannedObject {
                    fields: self.object(&ty, &below)?,
                    ty: async_graphql::Name::new(ty.as_str()),
                });
            }
        }
        let arguments = field.arguments.iter();
        let arguments: Vec<_> = arguments
            .map(|argument| {
                self.has_variables |= has_variables(&argument.value);
                let name = async_graphql::Name::new(argument.name.as_str());
                (name, argument.value.clone())
            })
            .collect();
        Ok(PlannedField {
            alias: field.alias.as_deref().map(async_graphql::Name::new),
            name: async_graphql::Name::new(field.name.as_str()),
            definition: definition.clone(),
            arguments,
            position: self.positions.of_node(field.location()).unwrap_or_default(),
            cost: self.cost(parent, &field.name),
            is_abstract: !objects.is_empty() && self.rules.schema.get_object(inner).is_none(),
            objects,
        })
    }

    fn cost(&self, ty: &str, field: &str) -> Option<DeclaredCost> {
        let mut costs = self.rules.settings.costs.iter();
        let declared = costs.find(|declared| declared.ty == ty && declared.field == field);
        declared.map(|declared| declared.cost)
    }

    /// Returns the possible object types of a field type.
    fn possible_types(&self, ty: &Name) -> Vec<Name> {
        let schema = &self.rules.schema;
        if schema.get_object(ty).is_some() {
            return vec![ty.clone()];
        }
        let objects = schema.types.values().filter_map(ExtendedType::as_object);
        let names = objects.map(|object| &object.name);
        let possible = names.filter(|name| schema.is_subtype(ty, name));
        possible.cloned().collect()
    }

    /// Returns whether `@skip` or `@include` exclude a selection.
    fn is_excluded(&mut self, directives: &[Node<Directive>]) -> Result<bool, RequestError> {
        for directive in directives {
            let unless = match directive.name.as_str() {
                "skip" => true,
                "include" => false,
                _ => continue,
            };
            let given = directive.specified_argument_by_name("if");
            let condition = match given.map(|given| &**given) {
                Some(Value::Boolean(condition)) => Some(*condition),
                Some(Value::Variable(name)) => {
                    self.is_conditional = true;
                    let Some(variables) = self.variables else {
                        continue;
                    };
                    let value = variables.get(name.as_str());
                    value.and_then(JsonValue::as_bool)
                }
                _ => None,
            };
            let Some(condition) = condition else {
                let name = &directive.name;
                let message = format!("Argument \"if\" of @{name} must not be null.");
                return Err(RequestError::new(RequestErrorKind::BadUserInput, message));
            };
            if condition == unless {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn has_variables(value: &Value) -> bool {
    match value {
        Value::Variable(_) => true,
        Value::List(items) => items.iter().any(|item| has_variables(item)),
        Value::Object(fields) => fields.iter().any(|(_, value)| has_variables(value)),
        _ => false,
    }
}
