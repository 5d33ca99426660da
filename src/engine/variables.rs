//! Coercion of variables (GraphQL specification, section 6.1.2).
//!
//! apollo-compiler distinguishes numbers by their notation. This module
//! compares them by value, as graphql-js does: `20.0`, `2e1` and `-0` are
//! integers.

use apollo_compiler::Schema;
use apollo_compiler::ast::Type;
use apollo_compiler::executable::Operation;
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use serde_json::{Number, Value};

use super::request::Variables;
use super::validation::{CheckScalar, InvalidValue, one_of};

/// From this value on, JavaScript prints a number with an exponent.
const EXPONENT_FROM: f64 = 1e21;

/// Coerces the values of an operation's variables to their types.
pub(super) fn coerce_variables(
    schema: &Valid<Schema>,
    check_scalar: CheckScalar,
    operation: &Operation,
    values: &Variables,
) -> Result<Valid<JsonMap>, InvalidValue> {
    let definitions = operation.variables.iter();
    let values = definitions.filter_map(|variable| {
        let name = variable.name.as_str();
        let value = values.get(name)?;
        let value = normalized(schema, check_scalar, &variable.ty, value);
        let value = value.map_err(|message| InvalidValue {
            message: format!("Variable \"${name}\": {message}"),
            location: variable.location(),
        });
        Some(value.map(|value| (name.into(), value)))
    });
    let values = values.collect::<Result<_, _>>()?;
    coerce_variable_values(schema, operation, &values).map_err(|error| InvalidValue {
        message: error.message().to_string(),
        location: error.location(),
    })
}

/// Converts each number to the notation that apollo-compiler accepts: integers
/// for `Int`, strings for `ID`, and floats for `Float`. Other values do not
/// change. Checks `@oneOf` and custom scalars, which apollo-compiler does not
/// check.
fn normalized(
    schema: &Schema,
    check_scalar: CheckScalar,
    ty: &Type,
    value: &Value,
) -> Result<JsonValue, String> {
    let type_name = ty.inner_named_type();
    match (value, schema.types.get(type_name)) {
        // A value that is not a list is coerced to a list of one item.
        (Value::Array(items), _) if ty.is_list() => {
            let items = items.iter();
            items
                .map(|item| normalized(schema, check_scalar, ty.item_type(), item))
                .collect()
        }
        (Value::Object(fields), Some(ExtendedType::InputObject(input))) => {
            one_of(input, fields.values().map(Value::is_null))?;
            let fields = fields.iter().map(|(name, value)| {
                let value = match input.fields.get(name.as_str()) {
                    Some(field) => normalized(schema, check_scalar, &field.ty, value)?,
                    None => value.clone().into(),
                };
                Ok((name.as_str().into(), value))
            });
            Ok(JsonValue::Object(fields.collect::<Result<_, String>>()?))
        }
        (Value::Number(number), _) => {
            let number = match type_name.as_str() {
                "Int" => integer(number),
                "ID" => id(number),
                "Float" => float(number),
                name => {
                    check_scalar(name, None, value)?;
                    None
                }
            };
            Ok(number.unwrap_or_else(|| value.clone().into()))
        }
        (Value::Null, _) => Ok(JsonValue::Null),
        _ => {
            check_scalar(type_name, value.as_str(), value)?;
            Ok(value.clone().into())
        }
    }
}

fn is_whole(number: f64) -> bool {
    number.is_finite() && number.fract() == 0.0
}

fn integer(number: &Number) -> Option<JsonValue> {
    let number = number.as_f64().filter(|number| is_whole(*number))?;
    let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is within the bounds of 32 bits"
    )]
    let integer = number as i32;
    fits.then(|| integer.into())
}

/// An integer keeps all its digits. JavaScript would keep only sixteen.
fn id(number: &Number) -> Option<JsonValue> {
    if !number.is_f64() {
        return Some(number.to_string().into());
    }
    let number = number.as_f64().filter(|number| is_whole(*number))?;
    let text = if number == 0.0 {
        "0".to_owned()
    } else if number.abs() < EXPONENT_FROM {
        format!("{number:.0}")
    } else {
        format!("{number:e}").replace('e', "e+")
    };
    Some(text.into())
}

fn float(number: &Number) -> Option<JsonValue> {
    Number::from_f64(number.as_f64()?).map(JsonValue::Number)
}

#[cfg(test)]
mod tests {
    use apollo_compiler::ExecutableDocument;
    use serde::Deserialize;

    use super::*;

    /// The results of graphql-js for JSON values. `.ci/run` compares them with
    /// graphql-js.
    #[derive(Deserialize)]
    struct Coercions {
        schema: String,
        /// A type, a JSON text, and the coerced value unless the text is
        /// rejected.
        values: Vec<Vec<serde_json::Value>>,
    }

    fn coerced(schema: &Valid<Schema>, ty: &str, text: &str) -> Option<serde_json::Value> {
        let document = format!("query($v: {ty}) {{ __typename }}");
        let document = ExecutableDocument::parse(schema, document, "document").expect("a document");
        let operation = document.operations.get(None).expect("an operation");
        let values = serde_json::from_str(&format!("{{\"v\": {text}}}")).expect("JSON");
        let coerced = coerce_variables(schema, check_scalar, operation, &values).ok()?;
        Some(serde_json::to_value(coerced.get("v")).expect("JSON"))
    }

    /// The only custom scalar of the table.
    fn check_scalar(
        name: &str,
        text: Option<&str>,
        value: &dyn std::fmt::Display,
    ) -> Result<(), String> {
        let is_uuid = |text: &str| text.len() == 36 && text.parse::<uuid::Uuid>().is_ok();
        if name == "UUID" && !text.is_some_and(is_uuid) {
            return Err(format!("{value} is not a UUID"));
        }
        Ok(())
    }

    /// Compares two values, with numbers compared as in JavaScript.
    fn are_equal(one: &serde_json::Value, other: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Number, Object};
        match (one, other) {
            (Number(one), Number(other)) => one.as_f64() == other.as_f64(),
            (Array(one), Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| are_equal(a, b))
            }
            (Object(one), Object(other)) => {
                let is_equal =
                    |(name, value)| other.get(name).is_some_and(|other| are_equal(value, other));
                one.len() == other.len() && one.iter().all(is_equal)
            }
            _ => one == other,
        }
    }

    #[test]
    fn variable_coercion_equals_graphql_js() {
        let table = include_str!("../../tests/http/coercion.json");
        let Coercions { schema, values } = serde_json::from_str(table).expect("a table");
        let schema = format!("directive @oneOf on INPUT_OBJECT {schema}");
        let schema = Schema::parse_and_validate(schema, "schema").expect("a schema");
        for row in values {
            let [ty, text, expected @ ..] = &row[..] else {
                panic!("{row:?}")
            };
            let (ty, text) = (ty.as_str().expect("a type"), text.as_str().expect("a text"));
            let found = coerced(&schema, ty, text);
            let is_equal = match (&found, expected) {
                (None, []) => true,
                (Some(found), [expected]) => are_equal(found, expected),
                _ => false,
            };
            assert!(is_equal, "{ty} {text}: {found:?}, and not {expected:?}");
        }
    }

    #[test]
    fn id_variables_keep_all_digits_of_integers() {
        let schema = Schema::parse_and_validate("type Query { a(b: ID): Int }", "schema");
        let schema = schema.expect("a schema");
        for digits in [
            "9007199254740993",
            "-9223372036854775808",
            "18446744073709551615",
        ] {
            assert_eq!(coerced(&schema, "ID", digits), Some(digits.into()));
        }
    }
}
