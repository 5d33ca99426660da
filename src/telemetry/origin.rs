//! For which requests something is done, and what it has cost them.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

tokio::task_local! {
    static ORIGINS: Arc<[Origin]>;
}

/// What was spent in the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Attempts at calls of DynamoDB.
    pub dynamodb_calls: u64,
    /// Queries of Postgres.
    pub sql_queries: u64,
    /// DynamoDB's read units.
    pub read_units: f64,
    /// DynamoDB's write units.
    pub write_units: f64,
}

/// A request for which something is done. Cheap to clone; clones spend
/// together.
#[derive(Clone, Debug)]
pub struct Origin {
    id: Arc<str>,
    span: SpanContext,
    spent: Arc<Mutex<Spent>>,
}

impl Origin {
    /// A request with an id, whose span `span` is.
    #[must_use]
    pub fn new(id: &str, span: &Span) -> Self {
        Self {
            id: id.into(),
            span: span.context().span().span_context().clone(),
            spent: Arc::default(),
        }
    }

    /// The request that this is done for, if it is done for one.
    #[must_use]
    pub fn current() -> Option<Self> {
        let first = |origins: &Arc<[Self]>| origins.first().cloned();
        ORIGINS.try_with(first).ok().flatten()
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was spent so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the request stands in its trace.
    pub(super) fn span(&self) -> &SpanContext {
        &self.span
    }
}

/// Does something for these requests. Each is charged with every call, since
/// each waits for it, and with its part of the units.
pub async fn work_for<T>(origins: impl Into<Arc<[Origin]>>, work: impl Future<Output = T>) -> T {
    ORIGINS.scope(origins.into(), work).await
}

/// Whether something is done for a request. What is not, such as the check of
/// the stores, is in no trace.
pub(super) fn is_for_request() -> bool {
    ORIGINS
        .try_with(|origins| !origins.is_empty())
        .unwrap_or(false)
}

/// Charges those for whom something is done. Nobody, where it is done for
/// nobody.
#[expect(
    clippy::cast_precision_loss,
    reason = "as many as share a transaction, or a few more"
)]
pub(super) fn charge(cost: Spent) {
    let charge = |origins: &Arc<[Origin]>| {
        let parts = origins.len() as f64;
        for origin in origins.iter() {
            let mut spent = origin.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.dynamodb_calls += cost.dynamodb_calls;
            spent.sql_queries += cost.sql_queries;
            spent.read_units += cost.read_units / parts;
            spent.write_units += cost.write_units / parts;
        }
    };
    // Operators' commands have no requests.
    let _ = ORIGINS.try_with(charge);
}
