//! Serializes objects, and the responses that contain them.
//!
//! The value of an object is its JSON text, in [`Value::Binary`]. Compared with async-graphql's
//! objects, which are hash maps, this saves 7 % of the instructions of a request for 20 groups. No
//! scalar of a schema may have a binary value.

use async_graphql::parser::types::Field;
use async_graphql::{Positioned, Response, Value};
use serde::Serialize;

/// Creates the value of an object from its fields and their values.
pub(super) fn object<'a>(
    fields: impl Iterator<Item = &'a Positioned<Field>> + Clone,
    values: &[Value],
) -> Value {
    let keys = fields.map(|field| &*field.node.response_key().node);
    let members = keys.zip(values);
    let lengths = members
        .clone()
        .map(|(key, value)| key.len() + 4 + approximate_length(value));
    let mut text = Vec::with_capacity(lengths.sum::<usize>() + 2);
    write_object(&mut text, members);
    Value::Binary(text.into())
}

/// Returns the approximate length of a value's JSON text, in bytes.
fn approximate_length(value: &Value) -> usize {
    match value {
        Value::Binary(json) => json.len(),
        Value::String(text) => text.len() + 2,
        Value::Enum(name) => name.len() + 2,
        Value::List(items) => {
            items
                .iter()
                .map(|item| approximate_length(item) + 1)
                .sum::<usize>()
                + 2
        }
        Value::Null | Value::Boolean(_) => 5,
        Value::Number(_) | Value::Object(_) => 20,
    }
}

/// Replaces the JSON texts in a value by async-graphql's objects.
pub(super) fn parse_objects(value: Value) -> Value {
    match value {
        // This module wrote the text, so this cannot fail.
        Value::Binary(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Value::List(items) => Value::List(items.into_iter().map(parse_objects).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(key, value)| (key, parse_objects(value)));
            Value::Object(fields.collect())
        }
        scalar => scalar,
    }
}

/// Serializes a response whose objects are JSON text.
pub fn response_json(response: &Response) -> Vec<u8> {
    let mut text = Vec::with_capacity(approximate_length(&response.data) + 10);
    text.extend_from_slice(b"{\"data\":");
    write_value(&mut text, &response.data);
    if !response.errors.is_empty() {
        text.extend_from_slice(b",\"errors\":");
        write(&mut text, &response.errors);
    }
    text.push(b'}');
    text
}

fn write_value(text: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Binary(json) => text.extend_from_slice(json),
        Value::List(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_value(text, item);
            }
            text.push(b']');
        }
        Value::Object(fields) => {
            write_object(text, fields.iter().map(|(key, value)| (&**key, value)));
        }
        scalar => write(text, scalar),
    }
}

fn write_object<'a>(text: &mut Vec<u8>, fields: impl Iterator<Item = (&'a str, &'a Value)>) {
    text.push(b'{');
    for (index, (key, value)) in fields.enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write(text, key);
        text.push(b':');
        write_value(text, value);
    }
    text.push(b'}');
}

fn write(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // This cannot fail: a `Vec` accepts each write, and all keys of maps are strings.
    let _ = serde_json::to_writer(text, value);
}
