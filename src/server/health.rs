//! Liveness of the process and readiness of its stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::store::{MessageStore, StoreResult, UserStore};

/// Timeout of a check: shorter than that of most load balancers' health checks.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the result of a check is cached. The stores are queried at most once per interval.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The readiness check of the stores.
#[derive(Debug)]
pub struct Health {
    messages: MessageStore,
    users: UserStore,
    last: Mutex<Option<(Instant, Report)>>,
    is_draining: AtomicBool,
}

/// Which stores respond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    dynamodb: bool,
    postgres: bool,
}

impl Health {
    /// Creates a check of these stores.
    pub fn new(messages: MessageStore, users: UserStore) -> Arc<Self> {
        let last = Mutex::default();
        Arc::new(Self {
            messages,
            users,
            last,
            is_draining: AtomicBool::new(false),
        })
    }

    /// Starts draining: from now on `/readyz` returns 503, so that load balancers send no new
    /// requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server is draining.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = *last
            && at.elapsed() < CHECK_EVERY
        {
            return report;
        }
        let (dynamodb, postgres) = tokio::join!(
            is_ready("DynamoDB", self.messages.ping()),
            is_ready("Postgres", self.users.ping()),
        );
        let report = Report { dynamodb, postgres };
        *last = Some((Instant::now(), report));
        report
    }
}

async fn is_ready(store: &str, check: impl Future<Output = StoreResult<()>>) -> bool {
    match timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(())) => return true,
        Ok(Err(cause)) => tracing::warn!(store, %cause, "a store is not ready"),
        Err(_) => tracing::warn!(store, "a store does not respond in time"),
    }
    false
}

/// `/healthz`: the process is alive.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// `/readyz`: the state of each store, with status 503 unless all stores respond; or that the
/// server is draining.
pub(super) async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, Json<Value>) {
    // A draining server does not query the stores, so that a load balancer gets the response
    // immediately.
    if health.is_draining() {
        let body = json!({ "draining": true });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    let report = health.report().await;
    let status = if report.dynamodb && report.postgres {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!(report)))
}
