//! The requests on whose behalf work is done, and the cost of that work.

use std::sync::{Arc, Mutex};

use crate::lock::lock;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

tokio::task_local! {
    static ORIGINS: Arc<[RequestOrigin]>;
}

/// The cost of calls to the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestCost {
    /// Number of attempts of DynamoDB calls.
    pub dynamodb_calls: u64,
    /// Number of Postgres queries.
    pub sql_queries: u64,
    /// Consumed DynamoDB read units.
    pub read_units: f64,
    /// Consumed DynamoDB write units.
    pub write_units: f64,
}

/// A request on whose behalf work is done. Cheap to clone; clones share their cost.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    id: Arc<str>,
    /// The request's span in its trace.
    pub(super) span: SpanContext,
    cost: Arc<Mutex<RequestCost>>,
}

impl RequestOrigin {
    /// Creates the origin of a request from its ID and its trace span.
    pub fn new(id: &str, span: &Span) -> Self {
        Self {
            id: id.into(),
            span: span.context().span().span_context().clone(),
            cost: Arc::default(),
        }
    }

    /// Returns the request on whose behalf the current task works, if any.
    pub fn current() -> Option<Self> {
        let first = |origins: &Arc<[Self]>| origins.first().cloned();
        ORIGINS.try_with(first).ok().flatten()
    }

    /// Returns the request's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the cost so far.
    pub fn cost(&self) -> RequestCost {
        *lock(&self.cost)
    }
}

/// Runs `work` on behalf of these requests. The full number of calls is charged to each request,
/// because each waits for all of them; the units are divided among the requests.
///
/// Not an async function, because its future would contain `work` twice.
pub fn work_for<T>(
    origins: impl Into<Arc<[RequestOrigin]>>,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    ORIGINS.scope(origins.into(), work)
}

/// Returns whether the current work is on behalf of a request. Other work, such as the health check
/// of the stores, is not traced.
pub(super) fn is_for_request() -> bool {
    let has_any = |origins: &Arc<[RequestOrigin]>| !origins.is_empty();
    ORIGINS.try_with(has_any).unwrap_or(false)
}

/// Charges a cost to the requests on whose behalf the current task works. Does nothing if there are
/// none.
#[expect(
    clippy::cast_precision_loss,
    reason = "the number of requests that share a transaction is small"
)]
pub(super) fn charge(cost: RequestCost) {
    let charge = |origins: &Arc<[RequestOrigin]>| {
        let parts = origins.len() as f64;
        for origin in origins.iter() {
            let mut total = lock(&origin.cost);
            total.dynamodb_calls += cost.dynamodb_calls;
            total.sql_queries += cost.sql_queries;
            total.read_units += cost.read_units / parts;
            total.write_units += cost.write_units / parts;
        }
    };
    // Operator commands have no requests.
    let _ = ORIGINS.try_with(charge);
}
