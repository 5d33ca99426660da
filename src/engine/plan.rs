//! What is executed of an operation: its fields as the specification collects
//! them (`CollectFields`, 6.3.2), each once, for every type of object that may
//! be there. Cost, execution and the order of the response follow it.

use apollo_compiler::ast::{Directive, FieldDefinition, Value};
use apollo_compiler::executable::{
    ExecutableDocument, Field, Operation, OperationType, Selection, SelectionSet,
};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node, Schema};
use async_graphql::Pos;

use super::cost::{Cost, FieldCost};
use super::error::{RequestError, RequestErrorKind};

/// The most fields of a plan. Documents have far fewer, unless interfaces are
/// inside of interfaces: each type of object has fields of its own.
const MOST_FIELDS: usize = 20_000;

/// A field with all that is selected of it.
#[derive(Clone, Debug)]
pub(super) struct PlannedField {
    pub alias: Option<async_graphql::Name>,
    pub name: async_graphql::Name,
    pub definition: Node<FieldDefinition>,
    pub arguments: Vec<(async_graphql::Name, Node<Value>)>,
    /// Where the field stands in the document first.
    pub position: Pos,
    /// What is selected of the object, for each type that it may have; nothing
    /// for a leaf.
    pub objects: Vec<PlannedObject>,
    /// Whether these types are those of an interface or a union.
    pub is_abstract: bool,
    /// What the schema declares of its size.
    pub cost: Option<Cost>,
}

impl PlannedField {
    /// The field's key in the response.
    pub fn key(&self) -> &async_graphql::Name {
        self.alias.as_ref().unwrap_or(&self.name)
    }

    /// Whether it leads to the schema's own types.
    pub fn is_of_schema(&self) -> bool {
        self.name.starts_with("__") && self.name != "__typename"
    }
}

/// The fields that are selected of objects of one type.
#[derive(Clone, Debug)]
pub(super) struct PlannedObject {
    pub ty: async_graphql::Name,
    pub fields: Vec<PlannedField>,
}

/// An operation as it is executed, with its variables in place of their values.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub operation_type: OperationType,
    pub root: Vec<PlannedField>,
    /// Whether `@skip` or `@include` depend on variables, so that another
    /// request may have another plan.
    pub is_conditional: bool,
    /// Whether an argument contains a variable.
    pub has_variables: bool,
    /// How many fields it has.
    pub fields: usize,
}

/// Makes the plan of an operation that is valid. Without variables it has all
/// that may be executed.
pub(super) fn plan(
    schema: &Schema,
    costs: &[FieldCost],
    document: &ExecutableDocument,
    operation: &Operation,
    variables: Option<&JsonMap>,
) -> Result<Plan, RequestError> {
    let mut planner = Planner {
        schema,
        costs,
        document,
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

/// The keys of the response of an operation's root, each once. Fragments that
/// contain themselves are refused before.
pub(super) fn root_keys(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &Operation,
) -> Result<usize, RequestError> {
    let mut planner = Planner {
        schema,
        costs: &[],
        document,
        variables: None,
        fields: 0,
        is_conditional: false,
        has_variables: false,
    };
    let set = &operation.selection_set;
    let mut collected = Vec::new();
    planner.collect(&set.ty, set, &mut collected)?;
    Ok(collected.len())
}

struct Planner<'a> {
    schema: &'a Schema,
    costs: &'a [FieldCost],
    document: &'a ExecutableDocument,
    variables: Option<&'a JsonMap>,
    fields: usize,
    is_conditional: bool,
    has_variables: bool,
}

/// A field with all of its selection sets.
struct Collected<'a> {
    field: &'a Node<Field>,
    below: Vec<&'a SelectionSet>,
}

impl<'a> Planner<'a> {
    /// The fields that are selected of an object of a type.
    fn object(
        &mut self,
        ty: &Name,
        sets: &[&'a SelectionSet],
    ) -> Result<Vec<PlannedField>, RequestError> {
        let mut collected = Vec::new();
        for set in sets {
            self.collect(ty, set, &mut collected)?;
        }
        collected
            .into_iter()
            .map(|collected| self.field(ty, &collected))
            .collect()
    }

    fn collect(
        &mut self,
        ty: &Name,
        set: &'a SelectionSet,
        into: &mut Vec<Collected<'a>>,
    ) -> Result<(), RequestError> {
        for selection in &set.selections {
            if self.is_left_out(selection.directives())? {
                continue;
            }
            match selection {
                Selection::Field(field) => add(field, into),
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

    /// Whether an object of a type is meant by a type condition.
    fn applies(&self, condition: Option<&Name>, ty: &Name) -> bool {
        condition.is_none_or(|condition| condition == ty || self.schema.is_subtype(condition, ty))
    }

    fn field(
        &mut self,
        parent: &Name,
        Collected { field, below }: &Collected<'a>,
    ) -> Result<PlannedField, RequestError> {
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            let message = "The operation has too many fields for the types that it may lead to.";
            return Err(RequestError::new(RequestErrorKind::TooComplex, message));
        }
        // An interface's field may be another of the object.
        let definition = self.schema.type_field(parent, &field.name);
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
        let position = field.line_column_range(&self.document.sources);
        Ok(PlannedField {
            alias: field.alias.as_deref().map(async_graphql::Name::new),
            name: async_graphql::Name::new(field.name.as_str()),
            definition: definition.clone(),
            arguments,
            position: position.map_or_else(Pos::default, |range| Pos {
                line: range.start.line,
                column: range.start.column,
            }),
            cost: self.cost(parent, &field.name),
            is_abstract: !objects.is_empty() && self.schema.get_object(inner).is_none(),
            objects,
        })
    }

    fn cost(&self, ty: &str, field: &str) -> Option<Cost> {
        let mut costs = self.costs.iter();
        let declared = costs.find(|declared| declared.ty == ty && declared.field == field);
        declared.map(|declared| declared.cost)
    }

    /// The types of objects that a field of a type may lead to.
    fn possible_types(&self, ty: &Name) -> Vec<Name> {
        match self.schema.types.get(ty) {
            Some(ExtendedType::Object(object)) => vec![object.name.clone()],
            Some(ExtendedType::Union(union)) => {
                let members = union.members.iter();
                members.map(|member| member.name.clone()).collect()
            }
            Some(ExtendedType::Interface(_)) => {
                let types = self.schema.types.values();
                let objects = types.filter_map(|known| match known {
                    ExtendedType::Object(object) => Some(object),
                    _ => None,
                });
                let implementers = objects.filter(|object| {
                    let mut interfaces = object.implements_interfaces.iter();
                    interfaces.any(|interface| interface.name == *ty)
                });
                implementers.map(|object| object.name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether `@skip` or `@include` leave something out.
    fn is_left_out(&mut self, directives: &[Node<Directive>]) -> Result<bool, RequestError> {
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

fn add<'a>(field: &'a Node<Field>, into: &mut Vec<Collected<'a>>) {
    let key = field.response_key();
    let same = into
        .iter_mut()
        .find(|collected| collected.field.response_key() == key);
    match same {
        Some(collected) => collected.below.push(&field.selection_set),
        None => into.push(Collected {
            field,
            below: vec![&field.selection_set],
        }),
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
