//! A model of DynamoDB for simulations.
//!
//! It guarantees only what DynamoDB's documentation guarantees. Transactions
//! are atomic and isolated from each other, but queries and single reads see a
//! transaction's writes one item after the other. Time and random numbers come
//! from the simulation.

mod conditions;
mod table;
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use table::{Table, key_of_value, text};
pub use wire::Wire;

/// An item in DynamoDB's JSON format.
pub type Item = Map<String, Value>;
/// Partition key and sort key.
pub type ItemKey = (String, String);

/// Probability of each fault, in percent of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The write is lost and never executed; the client receives an error.
    pub lost_before: u8,
    /// The write is executed, but the client receives an error.
    pub lost_after: u8,
    /// The client receives an error, and the write is executed some seconds
    /// later.
    pub late: u8,
    /// The write conflicts with another transaction.
    pub conflict: u8,
    /// The write is throttled.
    pub throttled: u8,
    /// The client never receives a response. The call may be executed or not.
    pub hangs: u8,
    /// The read fails.
    pub failed_reads: u8,
}

impl Faults {
    /// Returns a random mixture of faults, with which at least a quarter of the
    /// writes succeed.
    pub fn some(dynamo: &Simulated) -> Self {
        let mut left = 75;
        let mut percent = |max: u64| {
            let percent = dynamo.random_below(max).min(left);
            left -= percent;
            u8::try_from(percent).unwrap_or_default()
        };
        Self {
            lost_before: percent(30),
            lost_after: percent(30),
            late: percent(20),
            conflict: percent(30),
            throttled: percent(30),
            hangs: percent(10),
            failed_reads: percent(20),
        }
    }
}

/// A simulated DynamoDB with one table.
#[derive(Debug)]
pub struct Simulated {
    table: Mutex<Table>,
    random: Mutex<fastrand::Rng>,
    faults: Mutex<Faults>,
}

enum SimulatedResponse {
    Json(u16, Value),
    /// The connection broke.
    Broken,
    /// The response was truncated.
    Cut,
    Never,
}

impl Simulated {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            faults: Mutex::default(),
        })
    }

    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().expect("no panic") = faults;
    }

    /// Returns all items, as a transaction would see them.
    pub fn items(&self) -> BTreeMap<ItemKey, Item> {
        self.table().items.clone()
    }

    pub fn insert(&self, item: Item) {
        let key = key_of_value(&json!(item));
        let mut table = self.table();
        table.items.insert(key.clone(), item.clone());
        table.shown.insert(key, item);
    }

    /// Returns a random number below `max`.
    pub fn random_below(&self, max: u64) -> u64 {
        self.random.lock().expect("no panic").u64(..max.max(1))
    }

    /// Returns a random index of a list with `count` elements.
    pub fn random_index(&self, count: usize) -> usize {
        usize::try_from(self.random_below(count as u64)).unwrap_or_default()
    }

    /// Returns a random element.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.random_index(from.len())]
    }

    pub fn wire(self: &Arc<Self>) -> Wire {
        Wire {
            dynamo: Arc::clone(self),
            up: Arc::new(AtomicBool::new(true)),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic")
    }

    async fn pass(&self, most_ms: u64) {
        sleep(Duration::from_micros(self.random_below(most_ms * 1000))).await;
    }

    async fn respond(self: &Arc<Self>, operation: &str, body: Value) -> SimulatedResponse {
        let faults = *self.faults.lock().expect("no panic");
        let mut roll = u8::try_from(self.random_below(100)).unwrap_or_default();
        let mut fault = |percent: u8| {
            let hit = roll < percent;
            roll = roll.saturating_sub(percent);
            if hit {
                roll = u8::MAX;
            }
            hit
        };
        if !operation.ends_with("WriteItems") && operation != "DeleteItem" {
            if fault(faults.failed_reads) {
                return self.failure();
            }
            if fault(faults.hangs) {
                return SimulatedResponse::Never;
            }
            return self.read(operation, &body);
        }
        if fault(faults.lost_before) {
            return self.failure();
        }
        if fault(faults.throttled) {
            return error("ThrottlingException", "too much");
        }
        if fault(faults.conflict) && operation == "TransactWriteItems" {
            return cancelled(&self.conflict_somewhere(&body));
        }
        let (late, lost, hangs) = (
            fault(faults.late),
            fault(faults.lost_after),
            fault(faults.hangs),
        );
        let dynamo = Arc::clone(self);
        let operation = operation.to_owned();
        // The write is executed even if the client no longer waits.
        let executed = tokio::spawn(async move {
            if late {
                dynamo.pass(8000).await;
            }
            match operation.as_str() {
                "TransactWriteItems" => dynamo.transact(&body).await,
                _ => dynamo.delete(&body),
            }
        });
        if late {
            return self.failure();
        }
        let response = executed.await.expect("no panic");
        match response {
            _ if hangs => SimulatedResponse::Never,
            _ if lost => self.failure(),
            response => response,
        }
    }

    /// Returns a random failure after which the client does not know the
    /// result.
    fn failure(&self) -> SimulatedResponse {
        match self.random_below(3) {
            0 => SimulatedResponse::Json(500, json!({ "__type": "InternalServerError" })),
            1 => SimulatedResponse::Cut,
            _ => SimulatedResponse::Broken,
        }
    }

    fn conflict_somewhere(&self, body: &Value) -> Vec<Value> {
        let count = items_of(body).len();
        let mut reasons = vec![json!({ "Code": "None" }); count];
        let conflict = json!({ "Code": "TransactionConflict", "Message": "conflict" });
        reasons[self.random_index(count)] = conflict;
        reasons
    }

    async fn transact(&self, body: &Value) -> SimulatedResponse {
        let token = text(&body["ClientRequestToken"]);
        let asked = body["TransactItems"].to_string();
        let written = {
            let mut table = self.table();
            match table.done.get(&token) {
                Some(before) if *before == asked => return ok(json!({})),
                Some(_) => return error("IdempotentParameterMismatchException", "another payload"),
                None if table.under_way.contains(&token) => {
                    return error("TransactionInProgressException", "under way");
                }
                None => {}
            }
            let actions = items_of(body);
            let reasons = actions.iter();
            let reasons = reasons.map(|action| table.cancellation_reason(action));
            let reasons: Vec<Value> = reasons.collect();
            if reasons.iter().any(|reason| reason["Code"] != "None") {
                return cancelled(&reasons);
            }
            let written: Vec<ItemKey> = actions.iter().map(|action| table.apply(action)).collect();
            table.busy.extend(written.iter().cloned());
            table.under_way.insert(token.clone());
            written
        };
        let mut hidden = written.clone();
        while !hidden.is_empty() {
            let next = hidden.swap_remove(self.random_index(hidden.len()));
            self.table().show(&next);
            if self.random_below(3) == 0 {
                self.pass(4).await;
            }
        }
        let mut table = self.table();
        for key in &written {
            table.busy.remove(key);
        }
        table.under_way.remove(&token);
        table.done.insert(token, asked);
        ok(json!({}))
    }

    fn delete(&self, body: &Value) -> SimulatedResponse {
        let mut table = self.table();
        let reason = table.cancellation_reason(&json!({ "Delete": body }));
        match reason["Code"].as_str() {
            Some("None") => {
                let key = table.apply(&json!({ "Delete": body }));
                table.show(&key);
                ok(json!({}))
            }
            Some("TransactionConflict") => error("TransactionConflictException", "conflict"),
            _ => error("ConditionalCheckFailedException", "the condition"),
        }
    }

    fn read(&self, operation: &str, body: &Value) -> SimulatedResponse {
        let table = self.table();
        match operation {
            "GetItem" => {
                let found = table.shown.get(&key_of_value(&body["Key"]));
                ok(found.map_or(json!({}), |item| json!({ "Item": item })))
            }
            "TransactGetItems" => {
                let keys = items_of(body).iter();
                let keys = keys.map(|get| key_of_value(&get["Get"]["Key"]));
                let keys: Vec<ItemKey> = keys.collect();
                if keys.iter().any(|key| table.busy.contains(key)) {
                    return cancelled(&[json!({ "Code": "TransactionConflict" })]);
                }
                let found = keys.iter().map(|key| match table.items.get(key) {
                    Some(item) => json!({ "Item": item }),
                    None => json!({}),
                });
                ok(json!({ "Responses": found.collect::<Vec<_>>() }))
            }
            "Query" => table.query(body),
            other => panic!("{other} is not simulated"),
        }
    }
}

/// Returns the actions or reads of a transaction.
fn items_of(body: &Value) -> &[Value] {
    body["TransactItems"].as_array().map_or(&[], Vec::as_slice)
}

fn ok(body: Value) -> SimulatedResponse {
    SimulatedResponse::Json(200, body)
}

fn error(kind: &str, message: &str) -> SimulatedResponse {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    SimulatedResponse::Json(400, json!({ "__type": kind, "message": message }))
}

fn cancelled(reasons: &[Value]) -> SimulatedResponse {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    SimulatedResponse::Json(
        400,
        json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }),
    )
}
