//! The metrics: their names, descriptions and histogram buckets.

use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Bucket bounds for the duration of requests, and of calls to the stores, in seconds.
const REQUEST_SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const CALL_SECONDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];
/// Bucket bounds for the number of messages in a transaction, which is at most 25.
const MESSAGES: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// All metrics.
pub(super) struct Metrics {
    pub registry: Registry,
    pub requests: Requests,
    pub sockets: Sockets,
    pub stores: Stores,
    pub writes: Writes,
    pub live: LiveMetrics,
}

/// Metrics of requests and connections.
pub(super) struct Requests {
    pub ended: Counters<2>,
    pub seconds: Histograms,
    pub in_flight: Gauge,
    pub connections: Gauge,
    pub connections_rejected: Counter,
    pub response_memory: Gauge,
    pub key_fetches: Counters<1>,
}

/// Metrics of WebSocket connections, and of subscriptions over all transports.
pub(super) struct Sockets {
    pub open: Gauge,
    pub closes: Counters<1>,
    pub subscriptions: Gauge,
    pub events: Counter,
}

/// Metrics of calls to the stores.
pub(super) struct Stores {
    pub dynamodb_calls: Counters<2>,
    pub dynamodb_seconds: Histograms,
    pub dynamodb_units: Family<Labels<1>, Counter<f64, AtomicU64>>,
    pub postgres_queries: Counters<2>,
    pub postgres_seconds: Histograms,
}

/// Metrics of writes to groups.
pub(super) struct Writes {
    pub attempts: Counters<1>,
    pub retries: Counters<1>,
    pub transaction_messages: Histogram,
    pub messages_waiting: Gauge,
    pub messages_rejected: Counter,
    pub group_tasks: Gauge,
}

/// Metrics of live updates.
pub(super) struct LiveMetrics {
    pub subscribers_dropped: Counter,
    pub hints_lost: Counter,
}

/// Registers a metric with its name and description.
fn counted<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a metric whose unit is a suffix of its name.
fn with_unit<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Unit,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

/// Registers a duration histogram.
fn timed(
    registry: &mut Registry,
    name: &str,
    help: &str,
    histogram: fn() -> Histogram,
) -> Histograms {
    let times = Family::new_with_constructor(histogram);
    with_unit(registry, name, help, Unit::Seconds, times)
}

fn request_seconds() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

fn call_seconds() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

impl Requests {
    fn new(registry: &mut Registry) -> Self {
        let build = Info::new([("version", env!("CRUDDUR_VERSION"))]);
        registry.register("build", "Version of the running program", build);
        Self {
            ended: counted(
                registry,
                "requests",
                "GraphQL requests, by operation (query, mutation, subscription, none) and code of the first error, or ok",
                Family::default(),
            ),
            seconds: timed(
                registry,
                "request_duration",
                "Duration of a GraphQL request",
                request_seconds,
            ),
            in_flight: counted(
                registry,
                "requests_in_flight",
                "GraphQL requests in progress",
                Gauge::default(),
            ),
            connections: counted(
                registry,
                "connections",
                "Open client connections",
                Gauge::default(),
            ),
            connections_rejected: counted(
                registry,
                "connections_rejected",
                "Connections that were rejected because --max-connections was reached",
                Counter::default(),
            ),
            response_memory: with_unit(
                registry,
                "response_memory",
                "Memory reserved for responses that are being produced or not read yet",
                Unit::Bytes,
                Gauge::default(),
            ),
            key_fetches: counted(
                registry,
                "key_fetches",
                "Fetches of the issuers' key sets, by result (ok, failed)",
                Family::default(),
            ),
        }
    }
}

impl Sockets {
    fn new(registry: &mut Registry) -> Self {
        Self {
            open: counted(registry, "sockets", "Open WebSockets", Gauge::default()),
            closes: counted(
                registry,
                "socket_closes",
                "Closed WebSockets, by close code, or client or gone",
                Family::default(),
            ),
            subscriptions: counted(
                registry,
                "subscriptions",
                "Active subscriptions",
                Gauge::default(),
            ),
            events: counted(
                registry,
                "subscription_events",
                "Events that subscriptions have sent",
                Counter::default(),
            ),
        }
    }
}

impl Stores {
    fn new(registry: &mut Registry) -> Self {
        Self {
            dynamodb_calls: counted(
                registry,
                "dynamodb_calls",
                "DynamoDB call attempts, including retries, by operation and result",
                Family::default(),
            ),
            dynamodb_seconds: timed(
                registry,
                "dynamodb_call_duration",
                "Duration of an attempt of a DynamoDB call",
                call_seconds,
            ),
            dynamodb_units: counted(
                registry,
                "dynamodb_consumed_capacity_units",
                "Consumed capacity as reported by DynamoDB, by kind (read, write)",
                Family::default(),
            ),
            postgres_queries: counted(
                registry,
                "postgres_queries",
                "Postgres queries, by query and result (ok, refused, unavailable)",
                Family::default(),
            ),
            postgres_seconds: timed(
                registry,
                "postgres_query_duration",
                "Duration of a Postgres query, including the wait for a connection",
                call_seconds,
            ),
        }
    }
}

impl Writes {
    fn new(registry: &mut Registry) -> Self {
        Self {
            attempts: counted(
                registry,
                "write_attempts",
                "Attempted transactions that write messages or marks as read, by outcome (applied, refused, unknown)",
                Family::default(),
            ),
            retries: counted(
                registry,
                "write_retries",
                "Retries of such transactions, by reason",
                Family::default(),
            ),
            transaction_messages: counted(
                registry,
                "transaction_messages",
                "Messages per applied transaction",
                Histogram::new(MESSAGES),
            ),
            messages_waiting: counted(
                registry,
                "messages_waiting",
                "Messages that are queued or being written",
                Gauge::default(),
            ),
            messages_rejected: counted(
                registry,
                "messages_rejected",
                "Messages that were rejected because the queue of their group was full",
                Counter::default(),
            ),
            group_tasks: counted(
                registry,
                "group_tasks",
                "Message groups with a writer task",
                Gauge::default(),
            ),
        }
    }
}

impl LiveMetrics {
    fn new(registry: &mut Registry) -> Self {
        Self {
            subscribers_dropped: counted(
                registry,
                "subscribers_dropped",
                "Subscriptions that ended because they fell 256 hints behind",
                Counter::default(),
            ),
            hints_lost: counted(
                registry,
                "hints_lost",
                "Hints that could not be published; other instances find these messages in the table",
                Counter::default(),
            ),
        }
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("cruddur");
        let metrics = Self {
            requests: Requests::new(&mut registry),
            sockets: Sockets::new(&mut registry),
            stores: Stores::new(&mut registry),
            writes: Writes::new(&mut registry),
            live: LiveMetrics::new(&mut registry),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Creates the counters that alerts use with the value 0. The rate of a counter that does not
    /// exist has no value, so the first increment would be missed.
    fn begin_at_zero(&self) {
        for operation in ["query", "mutation", "subscription", "none"] {
            for code in ["ok", "UNAVAILABLE", "INTERNAL_SERVER_ERROR"] {
                add(
                    &self.requests.ended,
                    [("operation", operation), ("code", code)],
                    0,
                );
            }
        }
        for kind in ["read", "write"] {
            let units = self.stores.dynamodb_units.get_or_create(&[("kind", kind)]);
            units.inc_by(0.0);
        }
        for result in ["ok", "failed"] {
            add(&self.requests.key_fetches, [("result", result)], 0);
        }
        for outcome in ["applied", "refused", "unknown"] {
            add(&self.writes.attempts, [("outcome", outcome)], 0);
        }
    }
}

/// Adds to the counter with these labels.
pub(super) fn add<const N: usize>(counters: &Counters<N>, labels: Labels<N>, count: u64)
where
    Labels<N>: Eq + Hash + Clone,
{
    counters.get_or_create(&labels).inc_by(count);
}

/// Adds a duration to the histogram with these labels.
pub(super) fn observe(histograms: &Histograms, labels: Labels<1>, took: Duration) {
    let histogram = histograms.get_or_create(&labels);
    histogram.observe(took.as_secs_f64());
}
