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
    add(&METRICS.requests.ended, labels, 1);
    // The duration of a subscription depends only on the client.
    if operation != "subscription" {
        observe(&METRICS.requests.seconds, [("operation", operation)], took);
    }
}

/// Counts an event that a subscription sent.
pub fn event() {
    METRICS.sockets.events.inc();
}

/// Counts a closed WebSocket by close code, or by another label.
pub fn socket_closed(code: &'static str) {
    add(&METRICS.sockets.closes, [("code", code)], 1);
}

/// Records an attempt of a DynamoDB call.
pub(super) fn dynamodb_call(operation: &'static str, result: &'static str, took: Duration) {
    let labels = [("operation", operation), ("result", result)];
    add(&METRICS.stores.dynamodb_calls, labels, 1);
    observe(
        &METRICS.stores.dynamodb_seconds,
        [("operation", operation)],
        took,
    );
}

/// Counts the units that DynamoDB reported for a call.
pub(super) fn dynamodb_units(read: f64, write: f64) {
    for (kind, count) in [("read", read), ("write", write)] {
        let units = METRICS
            .stores
            .dynamodb_units
            .get_or_create(&[("kind", kind)]);
        units.inc_by(count);
    }
}

/// Records a Postgres query.
pub(super) fn postgres_query(query: &'static str, result: &'static str, took: Duration) {
    let labels = [("query", query), ("result", result)];
    add(&METRICS.stores.postgres_queries, labels, 1);
    observe(&METRICS.stores.postgres_seconds, [("query", query)], took);
}

/// Counts an attempted transaction that writes messages or marks a group as read, by its outcome.
pub fn write_attempt(outcome: &'static str) {
    add(&METRICS.writes.attempts, [("outcome", outcome)], 1);
}

/// Counts a transaction that must be planned or sent again, by reason.
pub fn write_retry(reason: &'static str) {
    add(&METRICS.writes.retries, [("reason", reason)], 1);
}

/// Records the number of messages in an applied transaction.
#[expect(clippy::cast_precision_loss, reason = "there are at most 25")]
pub fn transaction_applied(messages: usize) {
    METRICS.writes.transaction_messages.observe(messages as f64);
}

/// Counts a message that was rejected because its group's queue was full.
pub fn message_rejected() {
    METRICS.writes.messages_rejected.inc();
}

/// Counts a subscriber that was disconnected because it read too slowly.
pub fn subscriber_dropped() {
    METRICS.live.subscribers_dropped.inc();
}

/// Counts a hint for other instances that could not be published.
pub fn hint_lost() {
    METRICS.live.hints_lost.inc();
}

/// Counts a connection that was rejected because there were too many.
pub fn connection_rejected() {
    METRICS.requests.connections_rejected.inc();
}

/// Records that this many more bytes, or fewer if negative, are reserved for responses.
pub fn response_memory_changed(bytes: i64) {
    METRICS.requests.response_memory.inc_by(bytes);
}

/// Counts a fetch of the key set, by result.
pub fn key_fetch(worked: bool) {
    let result = if worked { "ok" } else { "failed" };
    add(&METRICS.requests.key_fetches, [("result", result)], 1);
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
            Self::Request => &METRICS.requests.in_flight,
            Self::Connection => &METRICS.requests.connections,
            Self::Socket => &METRICS.sockets.open,
            Self::Subscription => &METRICS.sockets.subscriptions,
            Self::Message => &METRICS.writes.messages_waiting,
            Self::GroupTask => &METRICS.writes.group_tasks,
        }
    }
}
