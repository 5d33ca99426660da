//! The expressions that the simulated DynamoDB evaluates: only those that this
//! crate writes.

use serde_json::{Map, Value};

/// Returns whether the condition of an action holds for the stored item.
pub(super) fn holds(action: &Value, found: Option<&Map<String, Value>>) -> bool {
    let condition = action["ConditionExpression"].as_str().unwrap_or_default();
    condition.is_empty()
        || condition
            .split(" OR ")
            .any(|clause| clause_holds(clause, action, found))
}

fn clause_holds(clause: &str, action: &Value, found: Option<&Map<String, Value>>) -> bool {
    if clause == "attribute_not_exists(pk)" {
        return found.is_none();
    }
    let words: Vec<&str> = clause.split(' ').collect();
    let [name, comparison, value] = words[..] else {
        panic!("{clause} is not simulated");
    };
    let Some(attribute) = found.and_then(|item| item.get(name)) else {
        return false;
    };
    let value = &action["ExpressionAttributeValues"][value];
    match comparison {
        "=" => attribute == value,
        "<=" => number(attribute) <= number(value),
        other => panic!("{other} is not simulated"),
    }
}

/// Evaluates an expression such as `SET a = :b, c = :d`.
pub(super) fn set(action: &Value, item: &mut Map<String, Value>) {
    let expression = action["UpdateExpression"].as_str().unwrap_or_default();
    let assignments = expression.strip_prefix("SET ").expect("SET");
    for assignment in assignments.split(',') {
        let (name, value) = assignment.trim().split_once(" = ").expect("an assignment");
        let value = action["ExpressionAttributeValues"][value].clone();
        item.insert(name.to_owned(), value);
    }
}

fn number(value: &Value) -> i64 {
    let number = value["N"].as_str().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{value} is no number"))
}
