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

pub struct DynamoProxy {
    pub url: String,
    target: String,
    http: reqwest::Client,
    calls: Mutex<Vec<String>>,
    /// How many of the next transactions get no proper answer, and when.
    losses: Mutex<Vec<Loss>>,
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
    if let failing @ 400.. = proxy.failing.load(Ordering::SeqCst) {
        let status = StatusCode::from_u16(failing).expect("a status");
        let refusal = r#"{"__type":"com.amazon.coral.validate#ValidationException"}"#;
        return (status, refusal).into_response();
    }
    let _through = if writes {
        Some(proxy.gate.read().await)
    } else {
        None
    };
    if loss == Some(Loss::Before) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut request = proxy.http.post(&proxy.target).body(body);
    for (name, value) in &headers {
        match name.as_str() {
            "host" | "content-length" => {}
            "authorization" => request = request.header(name, proxy.as_own_account(value)),
            _ => request = request.header(name, value),
        }
    }
    match request.send().await {
        Ok(_) if loss == Some(Loss::After) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Ok(answer) => {
            let (status, headers) = (answer.status(), answer.headers().clone());
            (status, headers, answer.bytes().await.unwrap_or_default()).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
