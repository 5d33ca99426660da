//! Stands between a server and its DynamoDB and counts the calls.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// When a transaction is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It never gets to the store.
    Before,
    /// It is in the table, and nobody is told.
    After,
    /// Not this one.
    None,
}

/// How often, of a hundred calls, something goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes and reads that are throttled.
    pub throttled: u8,
    /// Writes that are carried out and never told of.
    pub lost_after: u8,
    /// Writes that never get there.
    pub lost_before: u8,
    /// Writes whose answer breaks off.
    pub cut: u8,
    /// Transactions that conflict with another.
    pub conflict: u8,
    /// Writes that nobody is told of, and that get there a second later.
    pub late: u8,
    /// Calls that are never answered.
    pub hangs: u8,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Throttled,
    LostAfter,
    LostBefore,
    Cut,
    Conflict,
    Late,
    Hangs,
}

impl Faults {
    fn fate(self, writes: bool) -> Fate {
        let of_writes = [
            (self.lost_after, Fate::LostAfter),
            (self.lost_before, Fate::LostBefore),
            (self.cut, Fate::Cut),
            (self.conflict, Fate::Conflict),
            (self.late, Fate::Late),
        ];
        let of_all = [(self.throttled, Fate::Throttled), (self.hangs, Fate::Hangs)];
        let of_writes = of_writes.iter().filter(|_| writes);
        let mut roll = fastrand::u8(..100);
        for (percent, fate) in of_all.iter().chain(of_writes) {
            if roll < *percent {
                return *fate;
            }
            roll -= percent;
        }
        Fate::Answered
    }
}

pub struct DynamoProxy {
    pub url: String,
    target: String,
    http: reqwest::Client,
    calls: Mutex<Vec<String>>,
    /// How many of the next transactions get no proper answer, and when.
    losses: Mutex<Vec<Loss>>,
    faults: Mutex<Faults>,
    /// The status that everything is answered with, unless it is 0.
    failing: AtomicU16,
    /// What transactions go through.
    gate: Arc<RwLock<()>>,
    /// DynamoDB Local keeps the tables of each account apart.
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
            calls: Mutex::default(),
            losses: Mutex::default(),
            faults: Mutex::default(),
            failing: AtomicU16::new(0),
            gate: Arc::default(),
            account: uuid::Uuid::new_v4().simple().to_string(),
        });
        let routes = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&proxy));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        proxy
    }

    /// Answers the next transactions with a 500, in this order: each of them
    /// before it is carried on, or after.
    pub fn lose(&self, losses: &[Loss]) {
        let mut next: Vec<Loss> = losses.to_vec();
        next.reverse();
        *self.losses.lock().expect("no panic") = next;
    }

    /// From now on calls go wrong as often as this says.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().expect("no panic") = faults;
    }

    /// Answers everything with this status, until it is 0.
    pub fn fail(&self, status: u16) {
        self.failing.store(status, Ordering::SeqCst);
    }

    /// Lets no transaction through until what this gives is dropped.
    pub async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    /// Waits until so many more transactions have got here.
    pub async fn transactions(&self, count: usize) {
        let mut seen = 0;
        while seen < count {
            let calls = self.calls();
            seen += calls
                .iter()
                .filter(|call| *call == "TransactWriteItems")
                .count();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn next_loss(&self, call: &str) -> Option<Loss> {
        let writes = call == "TransactWriteItems";
        writes
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

    /// The calls since this was last asked, in order of their names.
    pub fn calls(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.calls.lock().expect("no panic"));
        calls.sort();
        calls
    }
}

async fn forward(
    State(proxy): State<Arc<DynamoProxy>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .unwrap_or_default();
    let name = target.rsplit('.').next().unwrap_or_default().to_owned();
    let consistent = body
        .windows(21)
        .any(|part| part == br#""ConsistentRead":true"#);
    let name = if consistent {
        format!("{name} strong")
    } else {
        name
    };
    let loss = proxy.next_loss(&name);
    let writes = name == "TransactWriteItems";
    proxy.calls.lock().expect("no panic").push(name);
    if writes {
        drop(proxy.gate.read().await);
    }
    if let failing @ 400.. = proxy.failing.load(Ordering::SeqCst) {
        let status = StatusCode::from_u16(failing).expect("a status");
        let refusal = r#"{"__type":"com.amazon.coral.validate#ValidationException"}"#;
        return (status, refusal).into_response();
    }
    if loss == Some(Loss::Before) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let fate = proxy.faults.lock().expect("no panic").fate(writes);
    match fate {
        Fate::Throttled => return refused("ThrottlingException", &[]),
        Fate::Conflict => {
            return refused("TransactionCanceledException", &["TransactionConflict"]);
        }
        Fate::LostBefore => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fate::Hangs => std::future::pending().await,
        Fate::Late => {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                proxy.pass_on(&headers, body).await
            });
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Fate::Answered | Fate::LostAfter | Fate::Cut => {}
    }
    // Carried out whether or not somebody still waits.
    let passed_on = tokio::spawn(async move { proxy.pass_on(&headers, body).await });
    let answer = passed_on.await.expect("no panic");
    match fate {
        Fate::LostAfter => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fate::Cut => "{\"Cons".into_response(),
        _ if loss == Some(Loss::After) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => answer,
    }
}

/// A refusal of DynamoDB's.
fn refused(kind: &str, reasons: &[&str]) -> Response {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    let reasons: Vec<_> = reasons
        .iter()
        .map(|code| serde_json::json!({ "Code": code }))
        .collect();
    let body =
        serde_json::json!({ "__type": kind, "message": kind, "CancellationReasons": reasons });
    (StatusCode::BAD_REQUEST, body.to_string()).into_response()
}

impl DynamoProxy {
    async fn pass_on(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let mut request = self.http.post(&self.target).body(body);
        for (name, value) in headers {
            match name.as_str() {
                "host" | "content-length" => {}
                "authorization" => request = request.header(name, self.as_own_account(value)),
                _ => request = request.header(name, value),
            }
        }
        match request.send().await {
            Ok(answer) => {
                let (status, headers) = (answer.status(), answer.headers().clone());
                let body = answer.bytes().await.unwrap_or_default();
                (status, headers, body).into_response()
            }
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
}
