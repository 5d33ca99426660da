//! Whether the process is alive, and whether its stores answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::App;
use crate::store::{MessageStore, StoreError, UserStore};

/// How long a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long its result stands: the stores are asked at most so often.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The check of the stores.
#[derive(Debug)]
pub struct Health {
    messages: MessageStore,
    users: UserStore,
    last: Mutex<Option<(Instant, Report)>>,
    is_draining: AtomicBool,
}

/// Whether requests should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Readiness {
    Stores(Report),
    /// The server stops soon.
    Draining {
        draining: bool,
    },
}

/// Which stores answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    dynamodb: bool,
    postgres: bool,
}

impl Health {
    /// A check of these stores.
    #[must_use]
    pub fn new(messages: MessageStore, users: UserStore) -> Arc<Self> {
        let last = Mutex::default();
        Arc::new(Self {
            messages,
            users,
            last,
            is_draining: AtomicBool::new(false),
        })
    }

    /// From now on `/readyz` says that nothing more should be sent here.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Asks no store while draining: a load balancer should know at once.
    async fn readiness(&self) -> Readiness {
        if self.is_draining.load(Ordering::Relaxed) {
            return Readiness::Draining { draining: true };
        }
        Readiness::Stores(self.report().await)
    }

    async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = *last
            && at.elapsed() < CHECK_EVERY
        {
            return report;
        }
        let (dynamodb, postgres) = tokio::join!(
            answers("DynamoDB", self.messages.ping()),
            answers("Postgres", self.users.ping()),
        );
        let report = Report { dynamodb, postgres };
        *last = Some((Instant::now(), report));
        report
    }
}

async fn answers(store: &str, check: impl Future<Output = Result<(), StoreError>>) -> bool {
    match timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(())) => true,
        Ok(Err(cause)) => {
            tracing::warn!(store, %cause, "a store is not ready");
            false
        }
        Err(_) => {
            tracing::warn!(store, "a store does not answer");
            false
        }
    }
}

/// `/healthz`: the process is alive.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// `/readyz`: each store, and 503 unless all answer; or that the server stops
/// soon.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = app.health.readiness().await;
    let status = match readiness {
        Readiness::Stores(Report {
            dynamodb: true,
            postgres: true,
        }) => StatusCode::OK,
        Readiness::Stores(_) | Readiness::Draining { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness))
}
