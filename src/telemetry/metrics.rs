//! What is counted, for Prometheus.
//!
//! There is one set for the whole process: it is what is scraped. Every label
//! is a text of the program's own, so that no client can make up another.

use std::hash::Hash;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The form that [`render`] writes: `OpenMetrics`, which Prometheus asks for.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of how long a request takes, and a call of a store's, in seconds.
const REQUEST_SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const CALL_SECONDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];
/// Bounds of how many messages share a transaction, which takes 25.
const MESSAGES: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

struct Metrics {
    registry: Registry,
    requests: Counters<2>,
    request_seconds: Histograms,
    requests_in_flight: Gauge,
    connections: Gauge,
    connections_turned_away: Counter,
    dynamodb_calls: Counters<2>,
    dynamodb_seconds: Histograms,
    dynamodb_units: Family<Labels<1>, Counter<f64, AtomicU64>>,
    postgres_queries: Counters<2>,
    postgres_seconds: Histograms,
    write_attempts: Counters<1>,
    write_retries: Counters<1>,
    transaction_messages: Histogram,
    messages_waiting: Gauge,
    messages_turned_away: Counter,
    group_tasks: Gauge,
    key_fetches: Counters<1>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

fn call_seconds() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

impl Metrics {
    fn new() -> Self {
        let request_seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("cruddur"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_seconds),
            requests_in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_turned_away: Counter::default(),
            dynamodb_calls: Family::default(),
            dynamodb_seconds: Family::new_with_constructor(call_seconds),
            dynamodb_units: Family::default(),
            postgres_queries: Family::default(),
            postgres_seconds: Family::new_with_constructor(call_seconds),
            write_attempts: Family::default(),
            write_retries: Family::default(),
            transaction_messages: Histogram::new(MESSAGES),
            messages_waiting: Gauge::default(),
            messages_turned_away: Counter::default(),
            group_tasks: Gauge::default(),
            key_fetches: Family::default(),
        };
        metrics.register_requests();
        metrics.register_stores();
        metrics.register_writes();
        metrics.begin_at_zero();
        metrics
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CRUDDUR_VERSION"))]);
        registry.register("build", "The version that runs", build);
        registry.register(
            "requests",
            "GraphQL requests, by operation (query, mutation, none) and by the code of the first error, or ok",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "How long a GraphQL request took to be answered",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "GraphQL requests that are being answered",
            self.requests_in_flight.clone(),
        );
        registry.register(
            "connections",
            "Open connections of clients",
            self.connections.clone(),
        );
        registry.register(
            "connections_turned_away",
            "Connections that were one too many",
            self.connections_turned_away.clone(),
        );
        registry.register(
            "key_fetches",
            "Fetches of the key set that tokens are checked against, by result (ok, failed)",
            self.key_fetches.clone(),
        );
    }

    fn register_stores(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "dynamodb_calls",
            "Attempts at calls of DynamoDB, the SDK's retries included, by operation and result",
            self.dynamodb_calls.clone(),
        );
        registry.register_with_unit(
            "dynamodb_call_duration",
            "How long an attempt at a call of DynamoDB took",
            Unit::Seconds,
            self.dynamodb_seconds.clone(),
        );
        registry.register(
            "dynamodb_consumed_capacity_units",
            "Capacity that DynamoDB says was consumed, by kind (read, write)",
            self.dynamodb_units.clone(),
        );
        registry.register(
            "postgres_queries",
            "Queries of Postgres, by query and result (ok, refused, unavailable)",
            self.postgres_queries.clone(),
        );
        registry.register_with_unit(
            "postgres_query_duration",
            "How long a query of Postgres took, with the wait for a connection",
            Unit::Seconds,
            self.postgres_seconds.clone(),
        );
    }

    fn register_writes(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "write_attempts",
            "Transactions of messages that were sent, by outcome (applied, refused, unknown)",
            self.write_attempts.clone(),
        );
        registry.register(
            "write_retries",
            "Reasons for which a transaction of messages has to be planned or sent again",
            self.write_retries.clone(),
        );
        registry.register(
            "transaction_messages",
            "Messages of a transaction that was applied",
            self.transaction_messages.clone(),
        );
        registry.register(
            "messages_waiting",
            "Messages that are queued or being written",
            self.messages_waiting.clone(),
        );
        registry.register(
            "messages_turned_away",
            "Messages that were one too many for the queue of their group",
            self.messages_turned_away.clone(),
        );
        registry.register(
            "group_tasks",
            "Groups that have a task which writes their messages",
            self.group_tasks.clone(),
        );
    }

    /// What alerts are about is there before it happens: the rate of a counter
    /// that is not there is nothing at all.
    fn begin_at_zero(&self) {
        for operation in ["query", "mutation", "none"] {
            for code in ["ok", "UNAVAILABLE", "INTERNAL_SERVER_ERROR"] {
                add(
                    &self.requests,
                    [("operation", operation), ("code", code)],
                    0,
                );
            }
        }
        for kind in ["read", "write"] {
            let units = self.dynamodb_units.get_or_create(&[("kind", kind)]);
            units.inc_by(0.0);
        }
        for result in ["ok", "failed"] {
            add(&self.key_fetches, [("result", result)], 0);
        }
        for outcome in ["applied", "refused", "unknown"] {
            add(&self.write_attempts, [("outcome", outcome)], 0);
        }
    }
}

fn add<const N: usize>(counters: &Counters<N>, labels: Labels<N>, count: u64)
where
    Labels<N>: Eq + Hash + Clone,
{
    counters.get_or_create(&labels).inc_by(count);
}

fn observe(histograms: &Histograms, labels: Labels<1>, took: Duration) {
    let histogram = histograms.get_or_create(&labels);
    histogram.observe(took.as_secs_f64());
}

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
    add(&METRICS.requests, labels, 1);
    observe(&METRICS.request_seconds, [("operation", operation)], took);
}

/// An attempt at a call of DynamoDB ended.
pub(super) fn dynamodb_call(operation: &'static str, result: &'static str, took: Duration) {
    let labels = [("operation", operation), ("result", result)];
    add(&METRICS.dynamodb_calls, labels, 1);
    observe(&METRICS.dynamodb_seconds, [("operation", operation)], took);
}

/// DynamoDB has said what a call cost.
pub(super) fn dynamodb_units(read: f64, write: f64) {
    for (kind, count) in [("read", read), ("write", write)] {
        let units = METRICS.dynamodb_units.get_or_create(&[("kind", kind)]);
        units.inc_by(count);
    }
}

/// A query of Postgres ended.
pub(super) fn postgres_query(query: &'static str, result: &'static str, took: Duration) {
    let labels = [("query", query), ("result", result)];
    add(&METRICS.postgres_queries, labels, 1);
    observe(&METRICS.postgres_seconds, [("query", query)], took);
}

/// A transaction of messages was sent, and this came of it.
pub fn write_attempt(outcome: &'static str) {
    add(&METRICS.write_attempts, [("outcome", outcome)], 1);
}

/// A transaction has to be planned or sent again, for this reason.
pub fn write_retry(reason: &'static str) {
    add(&METRICS.write_retries, [("reason", reason)], 1);
}

/// A transaction of so many messages was applied.
#[expect(clippy::cast_precision_loss, reason = "there are at most 25")]
pub fn transaction_applied(messages: usize) {
    METRICS.transaction_messages.observe(messages as f64);
}

/// A message was one too many for the queue of its group.
pub fn message_turned_away() {
    METRICS.messages_turned_away.inc();
}

/// A connection was one too many.
pub fn connection_turned_away() {
    METRICS.connections_turned_away.inc();
}

/// A fetch of the key set ended.
pub fn key_fetch(worked: bool) {
    let result = if worked { "ok" } else { "failed" };
    add(&METRICS.key_fetches, [("result", result)], 1);
}

/// Something of which there are more and fewer.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
    /// A GraphQL request that is being answered.
    Request,
    /// An open connection.
    Connection,
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
            Self::Request => &METRICS.requests_in_flight,
            Self::Connection => &METRICS.connections,
            Self::Message => &METRICS.messages_waiting,
            Self::GroupTask => &METRICS.group_tasks,
        }
    }
}
