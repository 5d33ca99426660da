//! Metrics for Prometheus.
//!
//! There is one registry for the whole process, because Prometheus scrapes the process. All label
//! values are constants of the program, so clients cannot create new ones.

mod set;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;

use set::{Metrics, add, observe};

/// The content type of [`render`]'s output: `OpenMetrics`, which Prometheus requests.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Returns all metrics as text.
#[must_use]
pub fn render() -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = encode(&mut text, &METRICS.registry);
    text
}

/// Records that a request ended: it was answered, or its client disconnected.
pub fn request(operation: &'static str, code: &'static str, took: Duration) {
    let labels = [("operation", operation), ("code", code)];
    add(&METRICS.requests, labels, 1);
    // The duration of a subscription depends only on the client.
    if operation != "subscription" {
        observe(&METRICS.request_duration, [("operation", operation)], took);
    }
}

/// Counts an event that a subscription sent.
pub fn event() {
    METRICS.subscription_events.inc();
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

/// Counts a message that was rejected because its group's queue was full.
pub fn message_rejected() {
    METRICS.messages_rejected.inc();
}

/// Counts a subscriber that was disconnected because it read too slowly.
pub fn subscriber_dropped() {
    METRICS.subscribers_dropped.inc();
}

/// Counts a hint for other instances that could not be published.
pub fn hint_lost() {
    METRICS.hints_lost.inc();
}

/// Counts a connection that was rejected because there were too many.
pub fn connection_rejected() {
    METRICS.connections_rejected.inc();
}

/// Records that this many more bytes, or fewer if negative, are reserved for responses.
pub fn response_memory_changed(bytes: i64) {
    METRICS.response_memory.inc_by(bytes);
}

/// Counts a fetch of the key set, by result.
pub fn key_fetch(worked: bool) {
    let result = if worked { "ok" } else { "failed" };
    add(&METRICS.key_fetches, [("result", result)], 1);
}

/// A kind of object whose current number is a gauge.
#[derive(Clone, Copy, Debug)]
pub enum GaugeKind {
    /// A GraphQL request in progress.
    Request,
    /// An open connection.
    Connection,
    /// An open WebSocket.
    Socket,
    /// An active subscription.
    Subscription,
    /// A message that is queued or being written.
    Message,
    /// A task that writes a group's messages.
    GroupTask,
}

/// An object that is counted by a gauge until this is dropped.
#[derive(Debug)]
pub struct GaugeGuard(GaugeKind);

impl GaugeGuard {
    /// Increments the gauge of this kind.
    #[must_use]
    pub fn new(kind: GaugeKind) -> Self {
        kind.gauge().inc();
        Self(kind)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.gauge().dec();
    }
}

impl GaugeKind {
    fn gauge(self) -> &'static Gauge {
        match self {
            Self::Request => &METRICS.requests_in_flight,
            Self::Connection => &METRICS.connections,
            Self::Socket => &METRICS.sockets,
            Self::Subscription => &METRICS.subscriptions,
            Self::Message => &METRICS.messages_waiting,
            Self::GroupTask => &METRICS.group_tasks,
        }
    }
}
