//! The items of the simulated table: those that are stored, and those that are
//! visible to reads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::conditions::{holds, set};
use super::{Item, ItemKey, SimulatedResponse};

#[derive(Debug, Default)]
pub(super) struct Table {
    pub items: BTreeMap<ItemKey, Item>,
    /// The items that queries and single reads see.
    pub shown: BTreeMap<ItemKey, Item>,
    /// The items to which a transaction is being written.
    pub busy: BTreeSet<ItemKey>,
    /// Payloads of completed transactions, by client request token.
    pub done: BTreeMap<String, String>,
    pub under_way: BTreeSet<String>,
}

impl Table {
    /// Returns the cancellation reason of an action, with code `None` if the
    /// action is accepted.
    pub fn cancellation_reason(&self, action: &Value) -> Value {
        let (key, action) = target(action);
        if self.busy.contains(&key) {
            return json!({ "Code": "TransactionConflict", "Message": "conflict" });
        }
        let found = self.items.get(&key);
        if holds(action, found) {
            return json!({ "Code": "None" });
        }
        let mut reason = json!({ "Code": "ConditionalCheckFailed", "Message": "the condition" });
        if let (Some(item), "ALL_OLD") = (
            found,
            text(&action["ReturnValuesOnConditionCheckFailure"]).as_str(),
        ) {
            reason["Item"] = json!(item);
        }
        reason
    }

    pub fn apply(&mut self, action: &Value) -> ItemKey {
        let (key, body) = target(action);
        if action.get("Put").is_some() {
            let item = body["Item"].as_object().cloned().unwrap_or_default();
            self.items.insert(key.clone(), item);
        } else if action.get("Update").is_some() {
            let item = self
                .items
                .entry(key.clone())
                .or_insert_with(|| body["Key"].as_object().cloned().unwrap_or_default());
            set(body, item);
        } else {
            self.items.remove(&key);
        }
        key
    }

    pub fn show(&mut self, key: &ItemKey) {
        match self.items.get(key) {
            Some(item) => drop(self.shown.insert(key.clone(), item.clone())),
            None => drop(self.shown.remove(key)),
        }
    }

    /// Returns the response to a `Query`.
    ///
    /// Filters and projections are not applied, because the readers filter and
    /// project again.
    pub fn query(&self, body: &Value) -> SimulatedResponse {
        let partition = text(&body["ExpressionAttributeNames"]["#partition"]);
        let value = |name: &str| body["ExpressionAttributeValues"][name]["S"].as_str();
        let condition = text(&body["KeyConditionExpression"]);
        let inside = |key: &str| match condition.split_once(" AND ").map(|(_, range)| range) {
            None => true,
            Some("sk > :above") => Some(key) > value(":above"),
            Some("sk < :below") => Some(key) < value(":below"),
            Some("sk BETWEEN :above AND :below") => {
                Some(key) >= value(":above") && Some(key) <= value(":below")
            }
            Some(other) => panic!("{other} is not simulated"),
        };
        let mut found: Vec<(&ItemKey, &Item)> = self
            .shown
            .iter()
            .filter(|((_, sk), item)| {
                item.get(&partition).and_then(|found| found["S"].as_str()) == value(":partition")
                    && inside(sk)
            })
            .collect();
        found.sort_by(|((_, one), _), ((_, other), _)| one.cmp(other));
        if body["ScanIndexForward"] == false {
            found.reverse();
        }
        if let Some(start) = body.get("ExclusiveStartKey") {
            let start = key_of_value(start);
            let begin = found.iter().position(|(key, _)| **key == start);
            found.drain(..begin.map_or(0, |begin| begin + 1));
        }
        let limit = body["Limit"]
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok());
        let is_cut = limit.is_some_and(|limit| found.len() > limit);
        found.truncate(limit.unwrap_or(usize::MAX));
        let mut response = json!({ "Count": found.len() });
        response["Items"] = found.iter().map(|(_, item)| json!(item)).collect();
        if let (true, Some(((pk, sk), _))) = (is_cut, found.last()) {
            response["LastEvaluatedKey"] = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        }
        SimulatedResponse::Json(200, response)
    }
}

/// Returns the key of the item that an action changes, and the action without
/// its name.
pub(super) fn target(action: &Value) -> (ItemKey, &Value) {
    if let Some(put) = action.get("Put") {
        return (key_of_value(&put["Item"]), put);
    }
    let body = action.get("Update").or_else(|| action.get("Delete"));
    let body = body.unwrap_or_else(|| panic!("{action} is not simulated"));
    (key_of_value(&body["Key"]), body)
}

pub(super) fn key_of_value(item: &Value) -> ItemKey {
    (text(&item["pk"]["S"]), text(&item["sk"]["S"]))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
