//! Metrics for Prometheus.
//!
//! There is one registry for the whole process, because Prometheus scrapes the process. All label
//! values are constants of the program, so clients cannot create new ones.

mod set;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;

pub use set::Metrics;
use set::{add, observe};

/// The content type of [`render`]'s output: `OpenMetrics`, which Prometheus requests.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Returns all metrics as text.
pub fn render() -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = encode(&mut text, &METRICS.registry);
    text
}

/// Records that a request ended: its response is complete, or its client disconnected.
pub fn request(operation: &'static str, code: &'static str, took: Duration) {
    let labels = [("operation", operation), ("code", code)];
    add(&METRICS.requests, labels, 1);
    // The duration of a subscription depends only on the client.
    if operation != "subscription" {
        observe(&METRICS.request_duration, [("operation", operation)], took);
    }
}

/// Counts a closed WebSocket by close code, or by another label.
pub fn socket_closed(code: &'static str) {
    add(&METRICS.socket_closes, [("code", code)], 1);
}

/// Records an attempt of a DynamoDB call.
pub(super) fn dynamodb_call(operation: &'static str, result: &'static str, took: Duration) {
    let labels = [("operation", operation), ("result", result)];
    add(&METRICS.dynamodb_calls, labels, 1);
    let labels = [("operation", operation)];
    observe(&METRICS.dynamodb_call_duration, labels, took);
}

/// Counts the units that DynamoDB reported for a call.
pub(super) fn dynamodb_units(read: f64, write: f64) {
    for (kind, count) in [("read", read), ("write", write)] {
        let units = &METRICS.dynamodb_consumed_capacity_units;
        units.get_or_create(&[("kind", kind)]).inc_by(count);
    }
}

/// Records a Postgres query.
pub(super) fn postgres_query(query: &'static str, result: &'static str, took: Duration) {
    let labels = [("query", query), ("result", result)];
    add(&METRICS.postgres_queries, labels, 1);
    observe(&METRICS.postgres_query_duration, [("query", query)], took);
}

/// Counts an attempted transaction that writes messages or marks a group as read, by its outcome.
pub fn write_attempt(outcome: &'static str) {
    add(&METRICS.write_attempts, [("outcome", outcome)], 1);
}

/// Counts a transaction that must be planned or sent again, by reason.
pub fn write_retry(reason: &'static str) {
    add(&METRICS.write_retries, [("reason", reason)], 1);
}

/// Records the number of messages in an applied transaction.
#[expect(clippy::cast_precision_loss, reason = "there are at most 25")]
pub fn transaction_applied(messages: usize) {
    METRICS.transaction_messages.observe(messages as f64);
}

/// Counts a fetch of the key set, by result.
pub fn key_fetch(worked: bool) {
    let result = if worked { "ok" } else { "failed" };
    add(&METRICS.key_fetches, [("result", result)], 1);
}

/// An object that is counted by a gauge until this is dropped.
#[derive(Debug)]
pub struct GaugeGuard(&'static Gauge);

impl GaugeGuard {
    /// Increments the gauge.
    #[must_use]
    pub fn new(gauge: &'static Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
