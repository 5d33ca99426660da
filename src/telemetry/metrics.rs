//! What is counted, for Prometheus.
//!
//! There is one set for the whole process: it is what is scraped. Every label
//! is a text of the program's own, so that no client can make up another.

mod set;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;

use set::{Metrics, add, observe};

/// The form that [`render`] writes: `OpenMetrics`, which Prometheus asks for.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Everything that was counted, as text.
#[must_use]
pub fn render() -> String {
    let mut text = String::new();
    // Nothing keeps a `String` from being written to.
    let _ = encode(&mut text, &METRICS.registry);
    text
}

/// A request was answered, or its client has gone.
pub fn request(operation: &'static str, code: &'static str, took: Duration) {
    let labels = [("operation", operation), ("code", code)];
    add(&METRICS.requests.ended, labels, 1);
    // How long somebody listens says nothing about the server.
    if operation != "subscription" {
        observe(&METRICS.requests.seconds, [("operation", operation)], took);
    }
}

/// A subscription was told of something.
pub fn event() {
    METRICS.sockets.events.inc();
}

/// A socket was closed with this code, or in this way.
pub fn socket_closed(code: &'static str) {
    add(&METRICS.sockets.closes, [("code", code)], 1);
}

/// An attempt at a call of DynamoDB ended.
pub(super) fn dynamodb_call(operation: &'static str, result: &'static str, took: Duration) {
    let labels = [("operation", operation), ("result", result)];
    add(&METRICS.stores.dynamodb_calls, labels, 1);
    observe(
        &METRICS.stores.dynamodb_seconds,
        [("operation", operation)],
        took,
    );
}

/// DynamoDB has said what a call cost.
pub(super) fn dynamodb_units(read: f64, write: f64) {
    for (kind, count) in [("read", read), ("write", write)] {
        let units = METRICS
            .stores
            .dynamodb_units
            .get_or_create(&[("kind", kind)]);
        units.inc_by(count);
    }
}

/// A query of Postgres ended.
pub(super) fn postgres_query(query: &'static str, result: &'static str, took: Duration) {
    let labels = [("query", query), ("result", result)];
    add(&METRICS.stores.postgres_queries, labels, 1);
    observe(&METRICS.stores.postgres_seconds, [("query", query)], took);
}

/// A transaction of messages, or of a mark, was sent, and this came of it.
pub fn write_attempt(outcome: &'static str) {
    add(&METRICS.writes.attempts, [("outcome", outcome)], 1);
}

/// A transaction has to be planned or sent again, for this reason.
pub fn write_retry(reason: &'static str) {
    add(&METRICS.writes.retries, [("reason", reason)], 1);
}

/// A transaction of so many messages was applied.
#[expect(clippy::cast_precision_loss, reason = "there are at most 25")]
pub fn transaction_applied(messages: usize) {
    METRICS.writes.transaction_messages.observe(messages as f64);
}

/// A message was one too many for the queue of its group.
pub fn message_turned_away() {
    METRICS.writes.messages_turned_away.inc();
}

/// Somebody who follows messages took them too slowly.
pub fn listener_let_go() {
    METRICS.live.listeners_let_go.inc();
}

/// A hint for other instances could not be published.
pub fn hint_lost() {
    METRICS.live.hints_lost.inc();
}

/// A connection was one too many.
pub fn connection_turned_away() {
    METRICS.requests.connections_turned_away.inc();
}

/// A fetch of the key set ended.
pub fn key_fetch(worked: bool) {
    let result = if worked { "ok" } else { "failed" };
    add(&METRICS.requests.key_fetches, [("result", result)], 1);
}

/// Something of which there are more and fewer.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
    /// A GraphQL request that is being answered.
    Request,
    /// An open connection.
    Connection,
    /// An open WebSocket.
    Socket,
    /// A subscription that somebody listens to.
    Subscription,
    /// A message that is queued or being written.
    Message,
    /// A task that writes a group's messages.
    GroupTask,
}

/// One thing, counted as long as this is not dropped.
#[derive(Debug)]
pub struct Present(Thing);

impl Present {
    /// One more.
    #[must_use]
    pub fn new(thing: Thing) -> Self {
        thing.gauge().inc();
        Self(thing)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.gauge().dec();
    }
}

impl Thing {
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
