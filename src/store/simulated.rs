//! A model of DynamoDB for simulations: what its documentation promises, and
//! nothing more. Transactions are atomic and exclude each other; what they
//! write is seen by queries and single reads one item after the other. Time is
//! the simulation's, and so are the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::conditions::{holds, set};

/// An item as DynamoDB's JSON has it.
pub type Item = Map<String, Value>;
/// Partition and sort key.
pub type ItemKey = (String, String);

/// How often, of a hundred calls, something goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A write is lost and never carried out.
    pub lost_before: u8,
    /// It is carried out, and nobody is told.
    pub lost_after: u8,
    /// Nobody is told, and it is carried out some seconds later.
    pub late: u8,
    /// It conflicts with another transaction.
    pub conflict: u8,
    /// Too much is asked for.
    pub throttled: u8,
    /// No answer ever comes, whether or not it is carried out.
    pub hangs: u8,
    /// A read fails.
    pub unread: u8,
}

impl Faults {
    /// Any mixture, in which at least a quarter of the writes get through.
    pub fn some(dynamo: &Simulated) -> Self {
        let mut left = 75;
        let mut percent = |most: u64| {
            let percent = dynamo.dice(most).min(left);
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
            unread: percent(20),
        }
    }
}

#[derive(Default)]
struct Table {
    items: BTreeMap<ItemKey, Item>,
    /// What queries and single reads see.
    shown: BTreeMap<ItemKey, Item>,
    /// What a transaction is being written to.
    busy: BTreeSet<ItemKey>,
    /// Client request tokens, with what was asked for under them.
    done: BTreeMap<String, String>,
    under_way: BTreeSet<String>,
}

/// A DynamoDB of one table.
pub struct Simulated {
    table: Mutex<Table>,
    dice: Mutex<fastrand::Rng>,
    faults: Mutex<Faults>,
}

/// A process's connection to it, which ends when the process dies.
#[derive(Clone)]
pub struct Wire {
    dynamo: Arc<Simulated>,
    up: Arc<AtomicBool>,
}

enum Answer {
    Json(u16, Value),
    /// The connection broke.
    Broken,
    /// The answer broke off.
    Cut,
    Never,
}

impl Simulated {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            faults: Mutex::default(),
        })
    }

    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().expect("no panic") = faults;
    }

    /// All items, as a transaction would see them.
    pub fn items(&self) -> BTreeMap<ItemKey, Item> {
        self.table().items.clone()
    }

    pub fn insert(&self, item: Item) {
        let key = key_of(&item);
        let mut table = self.table();
        table.items.insert(key.clone(), item.clone());
        table.shown.insert(key, item);
    }

    /// A number below `most`.
    pub fn dice(&self, most: u64) -> u64 {
        self.dice.lock().expect("no panic").u64(..most.max(1))
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
        sleep(Duration::from_micros(self.dice(most_ms * 1000))).await;
    }

    async fn answer(self: &Arc<Self>, operation: &str, body: Value) -> Answer {
        let faults = *self.faults.lock().expect("no panic");
        let mut roll = u8::try_from(self.dice(100)).unwrap_or_default();
        let mut fault = |percent: u8| {
            let hit = roll < percent;
            roll = roll.saturating_sub(percent);
            if hit {
                roll = u8::MAX;
            }
            hit
        };
        if !operation.ends_with("WriteItems") && operation != "DeleteItem" {
            if fault(faults.unread) {
                return self.failure();
            }
            if fault(faults.hangs) {
                return Answer::Never;
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
        // Carried out whether or not somebody waits.
        let carried_out = tokio::spawn(async move {
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
        let answer = carried_out.await.expect("no panic");
        match answer {
            _ if hangs => Answer::Never,
            _ if lost => self.failure(),
            answer => answer,
        }
    }

    /// One of the ways in which nobody is told.
    fn failure(&self) -> Answer {
        match self.dice(3) {
            0 => Answer::Json(500, json!({ "__type": "InternalServerError" })),
            1 => Answer::Cut,
            _ => Answer::Broken,
        }
    }

    fn conflict_somewhere(&self, body: &Value) -> Vec<Value> {
        let count = body["TransactItems"].as_array().map_or(1, Vec::len);
        let hit = usize::try_from(self.dice(count as u64)).unwrap_or_default();
        let mut reasons = vec![json!({ "Code": "None" }); count];
        if let Some(reason) = reasons.get_mut(hit) {
            *reason = json!({ "Code": "TransactionConflict", "Message": "conflict" });
        }
        reasons
    }

    async fn transact(&self, body: &Value) -> Answer {
        let token = text(&body["ClientRequestToken"]);
        let asked = body["TransactItems"].to_string();
        let written = {
            let mut table = self.table();
            match table.done.get(&token) {
                Some(before) if *before == asked => return Answer::Json(200, json!({})),
                Some(_) => return error("IdempotentParameterMismatchException", "another payload"),
                None if table.under_way.contains(&token) => {
                    return error("TransactionInProgressException", "under way");
                }
                None => {}
            }
            let actions = body["TransactItems"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let reasons: Vec<Value> = actions.iter().map(|action| table.refusal(action)).collect();
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
            let next = usize::try_from(self.dice(hidden.len() as u64)).unwrap_or_default();
            self.table().show(&hidden.swap_remove(next));
            if self.dice(3) == 0 {
                self.pass(4).await;
            }
        }
        let mut table = self.table();
        for key in &written {
            table.busy.remove(key);
        }
        table.under_way.remove(&token);
        table.done.insert(token, asked);
        Answer::Json(200, json!({}))
    }

    fn delete(&self, body: &Value) -> Answer {
        let mut table = self.table();
        let refusal = table.refusal(&json!({ "Delete": body }));
        match refusal["Code"].as_str() {
            Some("None") => {
                let key = table.apply(&json!({ "Delete": body }));
                table.show(&key);
                Answer::Json(200, json!({}))
            }
            Some("TransactionConflict") => error("TransactionConflictException", "conflict"),
            _ => error("ConditionalCheckFailedException", "the condition"),
        }
    }

    fn read(&self, operation: &str, body: &Value) -> Answer {
        let table = self.table();
        match operation {
            "GetItem" => {
                let found = table.shown.get(&key_of_value(&body["Key"]));
                Answer::Json(200, found.map_or(json!({}), |item| json!({ "Item": item })))
            }
            "TransactGetItems" => {
                let gets = body["TransactItems"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let keys: Vec<ItemKey> = gets
                    .iter()
                    .map(|get| key_of_value(&get["Get"]["Key"]))
                    .collect();
                if keys.iter().any(|key| table.busy.contains(key)) {
                    return cancelled(&[json!({ "Code": "TransactionConflict" })]);
                }
                let found = keys.iter().map(|key| match table.items.get(key) {
                    Some(item) => json!({ "Item": item }),
                    None => json!({}),
                });
                Answer::Json(200, json!({ "Responses": found.collect::<Vec<_>>() }))
            }
            "Query" => table.query(body),
            other => panic!("{other} is not simulated"),
        }
    }
}

impl Table {
    /// Why an action of a transaction is refused.
    fn refusal(&self, action: &Value) -> Value {
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

    fn apply(&mut self, action: &Value) -> ItemKey {
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

    fn show(&mut self, key: &ItemKey) {
        match self.items.get(key) {
            Some(item) => drop(self.shown.insert(key.clone(), item.clone())),
            None => drop(self.shown.remove(key)),
        }
    }

    fn query(&self, body: &Value) -> Answer {
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
        if let Some(start) = body["ExclusiveStartKey"].as_object() {
            let start = key_of(start);
            let begin = found.iter().position(|(key, _)| **key == start);
            found.drain(..begin.map_or(0, |begin| begin + 1));
        }
        let limit = body["Limit"]
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok());
        let is_cut = limit.is_some_and(|limit| found.len() > limit);
        found.truncate(limit.unwrap_or(usize::MAX));
        let mut answer = json!({ "Count": found.len() });
        answer["Items"] = found.iter().map(|(_, item)| json!(item)).collect();
        if let (true, Some(((pk, sk), _))) = (is_cut, found.last()) {
            answer["LastEvaluatedKey"] = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        }
        Answer::Json(200, answer)
    }
}

/// What an action is about: the item's key, and the action without its name.
fn target(action: &Value) -> (ItemKey, &Value) {
    if let Some(put) = action.get("Put") {
        return (key_of_value(&put["Item"]), put);
    }
    let body = action.get("Update").or_else(|| action.get("Delete"));
    let body = body.unwrap_or_else(|| panic!("{action} is not simulated"));
    (key_of_value(&body["Key"]), body)
}

fn key_of(item: &Item) -> ItemKey {
    (text(&item["pk"]["S"]), text(&item["sk"]["S"]))
}

fn key_of_value(item: &Value) -> ItemKey {
    (text(&item["pk"]["S"]), text(&item["sk"]["S"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn error(kind: &str, message: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    Answer::Json(400, json!({ "__type": kind, "message": message }))
}

fn cancelled(reasons: &[Value]) -> Answer {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Answer::Json(
        400,
        json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }),
    )
}

impl Wire {
    /// A client of a process.
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url("http://dynamodb.simulated")
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(Duration::from_secs(3))
                    .operation_timeout(Duration::from_secs(7))
                    .build(),
            )
            .http_client(self.clone());
        Client::from_conf(config.build())
    }

    /// The process dies: nothing is sent any more, and nothing comes.
    pub fn cut(&self) {
        self.up.store(false, Ordering::Relaxed);
    }

    async fn while_up(&self) {
        if !self.up.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body = serde_json::from_slice(body).expect("JSON");
        self.while_up().await;
        self.dynamo.pass(10).await;
        let answer = self.dynamo.answer(&operation, body).await;
        self.dynamo.pass(10).await;
        self.while_up().await;
        let (status, text) = match answer {
            Answer::Json(status, body) => (status, body.to_string()),
            Answer::Cut => (200, "{\"Cons".to_owned()),
            Answer::Broken => return Err(ConnectorError::io("the connection broke".into())),
            Answer::Never => std::future::pending().await,
        };
        let status = status.try_into().expect("a status");
        Ok(HttpResponse::new(status, SdkBody::from(text)))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
