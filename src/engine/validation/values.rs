//! Checks of values that apollo-compiler does not have. They run after its own
//! validation: duplicate fields of input objects (GraphQL specification,
//! 5.6.3), `@oneOf` (5.6.4), custom scalars (5.6.1), and variables inside lists
//! and input objects (5.8.5).

use std::collections::HashSet;
use std::fmt::Display;

use apollo_compiler::ast::{Argument, Directive, InputValueDefinition, Type, Value};
use apollo_compiler::executable::{ExecutableDocument, Operation, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Name, Node, Schema};

/// Checks a value of a custom scalar: its name, the value if it is a string,
/// and the value for display. The error describes the problem.
pub type CheckScalar = fn(&str, Option<&str>, &dyn Display) -> Result<(), String>;

/// A value that is invalid at its position.
#[derive(Clone, Debug)]
pub struct InvalidValue {
    pub message: String,
    pub location: Option<SourceSpan>,
}

/// The position of a value.
#[derive(Clone, Copy)]
struct ValuePosition<'a> {
    ty: &'a Type,
    /// Whether a default value applies if this one is omitted.
    has_default: bool,
    /// The `@oneOf` input object that contains this field.
    only_field_of: Option<&'a Name>,
}

impl<'a> ValuePosition<'a> {
    fn of_type(ty: &'a Type) -> Self {
        Self {
            ty,
            has_default: false,
            only_field_of: None,
        }
    }

    fn of(definition: &'a InputValueDefinition) -> Self {
        Self {
            has_default: definition.default_value.is_some(),
            ..Self::of_type(&definition.ty)
        }
    }
}

/// Checks every value of a document that is otherwise valid.
pub fn check_values(
    schema: &Schema,
    check_scalar: CheckScalar,
    document: &ExecutableDocument,
) -> Result<(), InvalidValue> {
    document.operations.iter().try_for_each(|operation| {
        let mut values = ValueChecker {
            schema,
            check_scalar,
            document,
            operation,
            seen: HashSet::new(),
        };
        values.operation()
    })
}

/// Checks the values of one operation with its own variables.
struct ValueChecker<'a> {
    schema: &'a Schema,
    check_scalar: CheckScalar,
    document: &'a ExecutableDocument,
    operation: &'a Operation,
    /// The fragments that were checked, because each fragment is checked once per
    /// operation.
    seen: HashSet<&'a Name>,
}

impl<'a> ValueChecker<'a> {
    fn operation(&mut self) -> Result<(), InvalidValue> {
        for variable in &self.operation.variables {
            if let Some(default) = &variable.default_value {
                self.value(default, ValuePosition::of_type(&variable.ty))?;
            }
            self.directives(&variable.directives)?;
        }
        self.directives(&self.operation.directives)?;
        self.selections(&self.operation.selection_set)
    }

    fn selections(&mut self, set: &'a SelectionSet) -> Result<(), InvalidValue> {
        for selection in &set.selections {
            self.directives(selection.directives())?;
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments)?;
                    self.selections(&field.selection_set)?;
                }
                Selection::InlineFragment(inline) => self.selections(&inline.selection_set)?,
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.fragment_name);
                    if let Some(fragment) = fragment
                        && self.seen.insert(&spread.fragment_name)
                    {
                        self.directives(&fragment.directives)?;
                        self.selections(&fragment.selection_set)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn directives(&self, directives: &[Node<Directive>]) -> Result<(), InvalidValue> {
        directives.iter().try_for_each(|directive| {
            let definition = self.schema.directive_definitions.get(&directive.name);
            definition.map_or(Ok(()), |definition| {
                self.arguments(&definition.arguments, &directive.arguments)
            })
        })
    }

    fn arguments(
        &self,
        definitions: &[Node<InputValueDefinition>],
        arguments: &[Node<Argument>],
    ) -> Result<(), InvalidValue> {
        arguments.iter().try_for_each(|argument| {
            let mut definitions = definitions.iter();
            let definition = definitions.find(|definition| definition.name == argument.name);
            definition.map_or(Ok(()), |definition| {
                self.value(&argument.value, ValuePosition::of(definition))
            })
        })
    }

    /// Recurses at each nesting level of the value, whose depth the parser limits.
    fn value(&self, value: &Node<Value>, position: ValuePosition<'_>) -> Result<(), InvalidValue> {
        let wrong = |message| {
            let location = value.location();
            Err(InvalidValue { message, location })
        };
        match &**value {
            Value::Variable(name) => self.variable(name, position).or_else(wrong),
            Value::List(items) if position.ty.is_list() => {
                let position = ValuePosition::of_type(position.ty.item_type());
                items.iter().try_for_each(|item| self.value(item, position))
            }
            Value::Object(fields) => {
                let mut names = HashSet::new();
                if let Some((twice, _)) = fields.iter().find(|(name, _)| !names.insert(name)) {
                    return wrong(format!(
                        "There can be only one input field named \"{twice}\"."
                    ));
                }
                match self.schema.types.get(position.ty.inner_named_type()) {
                    Some(ExtendedType::InputObject(input)) => {
                        one_of(input, fields.iter().map(|(_, value)| value.is_null()))
                            .or_else(wrong)?;
                        self.fields(input, fields)
                    }
                    _ => self.scalar(value, position).or_else(wrong),
                }
            }
            Value::Null => Ok(()),
            _ => self.scalar(value, position).or_else(wrong),
        }
    }

    fn fields(
        &self,
        input: &InputObjectType,
        fields: &[(Name, Node<Value>)],
    ) -> Result<(), InvalidValue> {
        fields.iter().try_for_each(|(name, value)| {
            let Some(definition) = input.fields.get(name) else {
                return Ok(());
            };
            let only_field_of = is_one_of(input).then_some(&input.name);
            let position = ValuePosition {
                only_field_of,
                ..ValuePosition::of(definition)
            };
            self.value(value, position)
        })
    }

    /// Checks a literal of a custom scalar.
    fn scalar(&self, value: &Value, position: ValuePosition<'_>) -> Result<(), String> {
        (self.check_scalar)(position.ty.inner_named_type(), value.as_str(), value)
    }

    /// `IsVariableUsageAllowed` of the specification.
    fn variable(&self, name: &Name, position: ValuePosition<'_>) -> Result<(), String> {
        let mut variables = self.operation.variables.iter();
        let Some(variable) = variables.find(|variable| variable.name == *name) else {
            return Ok(());
        };
        let given = &*variable.ty;
        if let Some(input) = position.only_field_of
            && !given.is_non_null()
        {
            return Err(format!(
                "Variable \"${name}\" is of type \"{given}\" but must be non-nullable to be used \
                 for OneOf Input Object \"{input}\"."
            ));
        }
        let default = variable.default_value.as_ref();
        let has_default = default.is_some_and(|value| !value.is_null()) || position.has_default;
        let fits = if given.is_non_null() || !has_default {
            given.is_assignable_to(position.ty)
        } else {
            given.is_assignable_to(&position.ty.clone().nullable())
        };
        if fits {
            return Ok(());
        }
        Err(format!(
            "Variable \"${name}\" of type \"{given}\" used in position expecting type \"{}\".",
            position.ty
        ))
    }
}

fn is_one_of(input: &InputObjectType) -> bool {
    input.directives.has("oneOf")
}

/// Checks that a `@oneOf` input object has exactly one field, which is not
/// null.
pub fn one_of(input: &InputObjectType, are_null: impl Iterator<Item = bool>) -> Result<(), String> {
    if !is_one_of(input) || are_null.eq([false]) {
        return Ok(());
    }
    let name = &input.name;
    Err(format!(
        "Exactly one field of {name} must be given, and it must not be null."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
        directive @oneOf on INPUT_OBJECT
        directive @with(number: Int! = 1) on FIELD
        type Query { a(list: [Int!], nested: [[Int]!], one: One, many: [Many!], number: Int! = 1): Int }
        input One @oneOf { a: Int b: Many }
        input Many { list: [Int!]! number: Int! = 1 one: One many: Many }
    ";

    /// Returns the error of a document's values.
    fn wrong(document: &str) -> Option<String> {
        let schema = Schema::parse_and_validate(SCHEMA, "schema").expect("a schema");
        let document = ExecutableDocument::parse_and_validate(&schema, document, "document");
        let document = document.expect("otherwise valid");
        check_values(&schema, |_, _, _| Ok(()), &document)
            .err()
            .map(|wrong| wrong.message)
    }

    #[test]
    fn variables_match_the_type_of_their_position() {
        for (variable, arguments, fits) in [
            ("Int!", "list: [1, $v]", true),
            ("Int", "list: [1, $v]", false),
            ("Int = 1", "list: [$v]", true),
            ("Int = null", "list: [$v]", false),
            ("[Int!]", "list: $v", true),
            ("[Int]", "nested: [$v]", false),
            ("[Int]!", "nested: [$v]", true),
            ("Int", "nested: [[$v]]", true),
            ("Int", "number: $v", true),
            ("Int!", "one: {a: $v}", true),
            ("Int", "one: {a: $v}", false),
            ("Int = 1", "one: {a: $v}", false),
            ("Int", "one: {b: {list: [1], number: $v}}", true),
            ("Int", "many: {list: [$v]}", false),
            ("[Int!]", "many: [{list: $v}]", false),
            ("[Int!]!", "many: [{list: $v}]", true),
            ("One", "many: {list: [], many: {list: [], one: $v}}", true),
        ] {
            let document = format!("query($v: {variable}) {{ a({arguments}) }}");
            assert_eq!(wrong(&document).is_none(), fits, "{document}");
        }
        assert_eq!(
            wrong("query($v: Int) { ...f } fragment f on Query { a(list: [$v]) }").as_deref(),
            Some("Variable \"$v\" of type \"Int\" used in position expecting type \"Int!\".")
        );
        assert_eq!(wrong("query($v: Int) { a @with(number: $v) }"), None);
    }

    #[test]
    fn input_objects_have_unique_fields_and_one_of_has_exactly_one() {
        let one = "Exactly one field of One must be given, and it must not be null.";
        for (arguments, expected) in [
            ("one: {a: 1}", None),
            ("one: {}", Some(one)),
            ("one: {a: null}", Some(one)),
            ("one: {a: 1, b: {list: []}}", Some(one)),
            ("many: [{list: [], one: {}}]", Some(one)),
            (
                "many: {list: [], number: 1, number: 2}",
                Some("There can be only one input field named \"number\"."),
            ),
        ] {
            let found = wrong(&format!("{{ a({arguments}) }}"));
            assert_eq!(found.as_deref(), expected, "{arguments}");
        }
    }
}
