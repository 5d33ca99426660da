//! The parts of a DynamoDB call that a proxy reads.

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::Value;

/// Partition and sort key.
pub(super) type Key = (String, String);

/// A call from the server to DynamoDB.
#[derive(Clone)]
pub(super) struct Call {
    pub name: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The changes of a transaction to messages and rows.
pub(super) struct Transaction {
    /// The group of the head that it updates.
    pub group: Option<String>,
    /// The items that it puts, and the keys that it deletes.
    pub pieces: Vec<(Key, Option<Value>)>,
}

impl Call {
    pub fn new(headers: HeaderMap, body: Bytes) -> Self {
        let target = headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok());
        let name = target.unwrap_or_default().rsplit('.').next();
        Self {
            name: name.unwrap_or_default().to_owned(),
            headers,
            body,
        }
    }

    pub fn writes(&self) -> bool {
        self.name == "TransactWriteItems"
    }

    pub fn is_strong(&self) -> bool {
        let strong = br#""ConsistentRead":true"#;
        self.body.windows(strong.len()).any(|part| part == strong)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn transaction(&self) -> Transaction {
        let body = self.json();
        let actions = body["TransactItems"].as_array().into_iter().flatten();
        let mut transaction = Transaction {
            group: None,
            pieces: Vec::new(),
        };
        for action in actions {
            transaction.add(action);
        }
        transaction
    }
}

impl Transaction {
    fn add(&mut self, action: &Value) {
        let (put, delete, update) = (&action["Put"], &action["Delete"], &action["Update"]);
        let keys = [&put["Item"], &delete["Key"], &update["Key"]];
        let Some((pk, sk)) = keys.into_iter().find_map(key_of) else {
            return;
        };
        match pk.split_once('#') {
            // An alias is not the head of a group.
            Some(("HEAD", group)) if !alias(put) => self.group = Some(group.to_owned()),
            Some(("MSG" | "GRP", _)) => {
                let item = put.get("Item").cloned();
                self.pieces.push(((pk, sk), item));
            }
            _ => {}
        }
    }
}

fn alias(put: &Value) -> bool {
    put["Item"].get("alias_of").is_some()
}

pub(super) fn key_of(item: &Value) -> Option<Key> {
    let part = |name: &str| item[name]["S"].as_str().map(str::to_owned);
    Some((part("pk")?, part("sk")?))
}
