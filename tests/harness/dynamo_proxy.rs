//! A proxy between a server and DynamoDB. It counts, delays, rejects, loses and
//! reorders calls; `tests/README.md` lists its functions.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::{Notify, OwnedRwLockWriteGuard, RwLock, oneshot};

use super::call::Call;
use super::capacity::{Capacity, Units};
use super::faults::{Fault, Faults};
use super::lagging_index::LaggingIndex;
use super::overtaken::{Arrived, Overtaken};
use super::partially_visible::PartiallyVisible;
use super::random::draw;
use super::{wait_for, wait_until};

/// How a transaction is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is not executed.
    Before,
    /// It is executed, but its response is lost.
    After,
    /// It is not lost.
    None,
}

/// The names of calls, in the order in which they were added.
#[derive(Default)]
struct CallList {
    names: Mutex<Vec<String>>,
    /// Notified of each added call.
    added: Notify,
}

impl CallList {
    fn add(&self, call: &Call) {
        let strong = if call.is_strong() { " strong" } else { "" };
        let name = format!("{}{strong}", call.name);
        self.names.lock().expect("no panic").push(name);
        self.added.notify_waiters();
    }

    fn take_all(&self) -> Vec<String> {
        std::mem::take(&mut *self.names.lock().expect("no panic"))
    }

    /// Waits for a call, and removes it and all earlier calls.
    async fn wait_for(&self, name: &str) {
        let found = async {
            loop {
                let mut added = pin!(self.added.notified());
                added.as_mut().enable();
                if self.take(name) {
                    return;
                }
                added.await;
            }
        };
        wait_for(&format!("a call of {name}"), found).await;
    }

    fn take(&self, name: &str) -> bool {
        let mut names = self.names.lock().expect("no panic");
        let index = names.iter().position(|call| call == name);
        names.drain(..index.map_or(0, |index| index + 1));
        index.is_some()
    }
}

pub struct DynamoProxy {
    pub url: String,
    target: String,
    http: reqwest::Client,
    /// The calls that have arrived.
    arrived: CallList,
    /// The calls whose responses the proxy has received.
    executed: CallList,
    /// The losses of the next transactions. The loss of the very next transaction is the last.
    losses: Mutex<Vec<Loss>>,
    faults: Mutex<Faults>,
    partially_visible: PartiallyVisible,
    index: LaggingIndex,
    overtaken: Overtaken,
    capacity: Capacity,
    /// Whether writes are acknowledged without being executed.
    forgets: AtomicBool,
    /// Number of late calls that are not executed yet.
    late: AtomicUsize,
    /// The status of the response to every call, unless it is 0.
    failing: AtomicU16,
    /// Locked while transactions are held.
    gate: Arc<RwLock<()>>,
    /// Names of calls that are held once, each until its sender is dropped.
    held: Mutex<Vec<(String, oneshot::Receiver<()>)>>,
    /// The account that signs calls. DynamoDB Local separates tables by
    /// account.
    account: String,
}

impl DynamoProxy {
    pub async fn start(target: String) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let proxy = Arc::new(Self {
            url,
            target,
            http: reqwest::Client::new(),
            arrived: CallList::default(),
            executed: CallList::default(),
            losses: Mutex::default(),
            faults: Mutex::default(),
            partially_visible: PartiallyVisible::default(),
            index: LaggingIndex::default(),
            overtaken: Overtaken::default(),
            capacity: Capacity::default(),
            forgets: AtomicBool::new(false),
            late: AtomicUsize::new(0),
            failing: AtomicU16::new(0),
            gate: Arc::default(),
            held: Mutex::default(),
            account: uuid::Uuid::new_v4().simple().to_string(),
        });
        let routes = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&proxy));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        proxy
    }

    /// Loses the next transactions, in this order. Each gets a response with
    /// status 500, before or after it is executed.
    pub fn lose(&self, losses: &[Loss]) {
        let mut next: Vec<Loss> = losses.to_vec();
        next.reverse();
        *self.losses.lock().expect("no panic") = next;
    }

    /// Sets the rates of random faults.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().expect("no panic") = faults;
    }

    fn faults(&self) -> Faults {
        *self.faults.lock().expect("no panic")
    }

    /// Returns the number of queries that saw only a part of a transaction.
    pub fn partially_visible(&self) -> usize {
        self.partially_visible.wrong()
    }

    /// Returns the number of stale responses of the index.
    pub fn stale_index_responses(&self) -> usize {
        self.index.wrong()
    }

    /// Returns the results of overtaken transactions.
    pub fn overtaken(&self) -> Arrived {
        self.overtaken.arrived()
    }

    /// Sets the capacity of the table. Calls above it are throttled.
    pub fn set_capacity(&self, units: Units) {
        self.capacity.set(units);
    }

    /// Returns the units consumed since the capacity was set.
    pub fn consumed(&self) -> Units {
        self.capacity.consumed()
    }

    /// Returns the number of calls that exceeded the capacity.
    pub fn throttled(&self) -> usize {
        self.capacity.throttled()
    }

    /// Sets whether writes are acknowledged without being executed.
    pub fn forget_writes(&self, forgets: bool) {
        self.forgets.store(forgets, Ordering::SeqCst);
    }

    /// Sets the status of the response to every call. 0 executes calls again.
    pub fn fail(&self, status: u16) {
        self.failing.store(status, Ordering::SeqCst);
    }

    /// Waits until all late calls are executed.
    pub async fn late_calls_executed(&self) {
        wait_until("late calls are executed", async || {
            self.late.load(Ordering::SeqCst) == 0
        })
        .await;
    }

    /// Holds all transactions until the returned guard is dropped.
    pub async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    /// Holds the next call of this name until the returned sender is dropped.
    pub fn hold_next(&self, name: &str) -> oneshot::Sender<()> {
        let (release, released) = oneshot::channel();
        let mut held = self.held.lock().expect("no panic");
        held.push((name.to_owned(), released));
        release
    }

    async fn wait_while_held(&self, call: &Call) {
        let released = {
            let mut held = self.held.lock().expect("no panic");
            let index = held.iter().position(|(name, _)| *name == call.name);
            index.map(|index| held.remove(index).1)
        };
        if let Some(released) = released {
            // The sender is dropped, and sends nothing.
            let _ = released.await;
        }
    }

    /// Waits for `count` further transactions.
    pub async fn transactions(&self, count: usize) {
        for _ in 0..count {
            self.called("TransactWriteItems").await;
        }
    }

    /// Waits for a call, and removes it and all earlier calls from the list.
    pub async fn called(&self, name: &str) {
        self.arrived.wait_for(name).await;
    }

    /// Waits until a call has been executed. Later changes of the table are not
    /// in its response.
    pub async fn executed(&self, name: &str) {
        self.executed.wait_for(name).await;
    }

    fn next_loss(&self, call: &Call) -> Option<Loss> {
        call.writes()
            .then(|| self.losses.lock().expect("no panic").pop())
            .flatten()
    }

    fn as_own_account(&self, authorization: &HeaderValue) -> String {
        let given = authorization.to_str().expect("a signature");
        match given
            .split_once("Credential=")
            .and_then(|(_, rest)| rest.split_once('/'))
        {
            Some((account, _)) => given.replacen(account, &self.account, 1),
            None => given.to_owned(),
        }
    }

    /// Returns the calls since the last call of this function, ordered by name.
    pub fn calls(&self) -> Vec<String> {
        self.executed.take_all();
        let mut calls = self.arrived.take_all();
        calls.sort();
        calls
    }
}

async fn forward(
    State(proxy): State<Arc<DynamoProxy>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call::new(headers, body);
    let loss = proxy.next_loss(&call);
    proxy.arrived.add(&call);
    if call.writes() {
        drop(proxy.gate.read().await);
    }
    proxy.wait_while_held(&call).await;
    if let failing @ 400.. = proxy.failing.load(Ordering::SeqCst) {
        let status = StatusCode::from_u16(failing).expect("a status");
        let rejection = r#"{"__type":"com.amazon.coral.validate#ValidationException"}"#;
        return (status, rejection).into_response();
    }
    if proxy.capacity.exceeds(&call) {
        return throttled(&call);
    }
    let is_write = call.writes() || call.name == "DeleteItem";
    if is_write && proxy.forgets.load(Ordering::SeqCst) {
        return "{}".into_response();
    }
    let fault = match loss {
        Some(Loss::Before) => Fault::Failed,
        Some(Loss::After) => Fault::LostAfter,
        Some(Loss::None) | None => proxy.faults().next_fault(call.writes()),
    };
    proxy.apply(fault, call).await
}

/// Changes the response to an executed call.
async fn altered(fault: Fault, response: Response) -> Response {
    match fault {
        Fault::LostAfter => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::Cut => "{\"Cons".into_response(),
        Fault::Slow => {
            tokio::time::sleep(Duration::from_millis(draw(|random| random.u64(100..1000)))).await;
            response
        }
        _ => response,
    }
}

/// Creates an error response of DynamoDB.
fn error_response(kind: &str, reasons: &[&str]) -> Response {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    let reasons: Vec<_> = reasons
        .iter()
        .map(|code| serde_json::json!({ "Code": code }))
        .collect();
    let body =
        serde_json::json!({ "__type": kind, "message": kind, "CancellationReasons": reasons });
    (StatusCode::BAD_REQUEST, body.to_string()).into_response()
}

/// Creates the response to a call that exceeds the capacity.
fn throttled(call: &Call) -> Response {
    let by_item = ["None", "ProvisionedThroughputExceeded"];
    if call.name.starts_with("Transact") && fastrand::bool() {
        return error_response("TransactionCanceledException", &by_item);
    }
    error_response("ProvisionedThroughputExceededException", &[])
}

impl DynamoProxy {
    /// Executes a call, or applies its fault.
    async fn apply(self: Arc<Self>, fault: Fault, call: Call) -> Response {
        match fault {
            Fault::Throttled => return error_response("ThrottlingException", &[]),
            Fault::Conflict => {
                return error_response("TransactionCanceledException", &["TransactionConflict"]);
            }
            Fault::Failed => {}
            Fault::Hangs => std::future::pending().await,
            Fault::Late => {
                self.late.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.execute(&call, false).await;
                    self.late.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Fault::Overtaken => self.overtaken.hold(call),
            Fault::None | Fault::LostAfter | Fault::Cut | Fault::PartiallyVisible | Fault::Slow => {
                // Spawned, so that it is executed even if the client
                // disconnects.
                let partially_visible = fault == Fault::PartiallyVisible;
                let executed =
                    tokio::spawn(async move { self.execute(&call, partially_visible).await });
                let response = executed.await.expect("no panic");
                return altered(fault, response).await;
            }
        }
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }

    async fn execute(self: &Arc<Self>, call: &Call, partially_visible: bool) -> Response {
        let mut response = self.send_on(call).await;
        self.executed.add(call);
        if self.capacity.is_limited() {
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            let body = body.expect("a body");
            let read = serde_json::from_slice(&body).unwrap_or_default();
            self.capacity.pay(call, &read);
            response = (status, body).into_response();
        }
        let faults = self.faults();
        if call.writes() && response.status().is_success() {
            self.update_views(call, partially_visible).await;
        } else if call.name == "Query" && (faults.partially_visible > 0 || faults.index_lags) {
            return self.altered_query(call, response).await;
        }
        response
    }

    /// Updates the simulated views after an executed transaction.
    async fn update_views(self: &Arc<Self>, call: &Call, partially_visible: bool) {
        let transaction = call.transaction();
        self.index.moved(&transaction);
        let group = transaction.group.clone();
        if partially_visible {
            self.partially_visible.show(transaction).await;
        }
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            for late in proxy.overtaken.by(group.as_deref()) {
                let response = proxy.send_on(&late).await;
                proxy.overtaken.count(response.status().is_success());
            }
        });
    }

    /// Changes the response to a query: shows transactions partially, and makes
    /// the index lag.
    async fn altered_query(&self, call: &Call, response: Response) -> Response {
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let mut body: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        if call.json().get("IndexName").is_none() {
            self.partially_visible.filter(call, &mut body);
        } else if self.faults().index_lags {
            self.index.make_stale(call, &mut body).await;
        }
        (status, body.to_string()).into_response()
    }

    async fn send_on(&self, call: &Call) -> Response {
        let mut request = self.http.post(&self.target).body(call.body.clone());
        for (name, value) in &call.headers {
            match name.as_str() {
                "host" | "content-length" => {}
                "authorization" => request = request.header(name, self.as_own_account(value)),
                _ => request = request.header(name, value),
            }
        }
        match request.send().await {
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                let body = response.bytes().await.unwrap_or_default();
                (status, headers, body).into_response()
            }
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
}
