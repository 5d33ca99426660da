//! The custom scalars of the schema.

use std::fmt::Display;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, Utc};

/// `UUID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid(pub uuid::Uuid);

/// A UUID (RFC 9562) in its hyphenated form, such as
/// `5ae290ed-55d1-47a0-bc6d-fe2bc2700399`.
#[Scalar(
    name = "UUID",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc9562"
)]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        let uuid = match &value {
            Value::String(text) => uuid_of(text),
            _ => None,
        };
        uuid.map(Self)
            .ok_or_else(|| InputValueError::custom(not_a_uuid(&value)))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

fn uuid_of(text: &str) -> Option<uuid::Uuid> {
    let parsed = uuid::Uuid::parse_str(text).ok();
    // All other forms have another length.
    parsed.filter(|_| text.len() == 36)
}

fn not_a_uuid(value: &dyn Display) -> String {
    format!("{value} is not a UUID like \"5ae290ed-55d1-47a0-bc6d-fe2bc2700399\".")
}

/// Checks a value of a custom scalar. `text` is the value if it is a string.
pub(super) fn check_scalar(
    name: &str,
    text: Option<&str>,
    value: &dyn Display,
) -> Result<(), String> {
    match name {
        "UUID" if text.and_then(uuid_of).is_none() => Err(not_a_uuid(value)),
        _ => Ok(()),
    }
}

/// `DateTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub chrono::DateTime<Utc>);

/// A time in UTC with six fractional digits (microseconds), such as
/// `2026-11-22T06:29:00.123456Z`.
///
/// Two times can differ by less than a millisecond, which is the precision of
/// JavaScript's `Date`. To order messages, use the order of the connection, not
/// this time.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let time = chrono::DateTime::parse_from_rfc3339(text)?;
        Ok(Self(time.to_utc()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}
