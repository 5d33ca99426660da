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
type FloatCounters = Family<Labels<1>, Counter<f64, AtomicU64>>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Declares the metrics. Each line is a metric's name and type, its initial state unless that is
/// the type's default, and its unit, which is a suffix of the name. The comment is the description.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $ty:ty $(= $metric:expr)? $(, $unit:ident)?;)+) => {
        /// All metrics.
        #[derive(Debug)]
        pub struct Metrics {
            pub(super) registry: Registry,
            $($(#[doc = $help])+ pub $name: $ty,)+
        }

        impl Metrics {
            fn register(mut registry: Registry) -> Self {
                $(
                    let metric: $ty = metrics!(@initial $($metric)?);
                    let help = [$($help),+].map(str::trim).join(" ");
                    let unit = None$(.or(Some(Unit::$unit)))?;
                    let $name = register(&mut registry, stringify!($name), help, unit, metric);
                )+
                Self { registry, $($name,)+ }
            }
        }
    };
    (@initial) => { Default::default() };
    (@initial $metric:expr) => { $metric };
}

metrics! {
    /// GraphQL requests, by operation (query, mutation, subscription, none) and code of the first
    /// error, or ok
    requests: Counters<2>;
    /// Duration of a GraphQL request
    request_duration: Histograms = durations(|| Histogram::new(REQUEST_SECONDS)), Seconds;
    /// GraphQL requests in progress
    requests_in_flight: Gauge;
    /// Open client connections
    connections: Gauge;
    /// Connections that were rejected because --max-connections was reached
    connections_rejected: Counter;
    /// Memory reserved for responses that are being produced or not read yet
    response_memory: Gauge, Bytes;
    /// Fetches of the issuers' key sets, by result (ok, failed)
    key_fetches: Counters<1>;
    /// Open WebSocket connections
    sockets: Gauge;
    /// Closed WebSocket connections, by close code, or by client or gone if the server did not
    /// choose the code
    socket_closes: Counters<1>;
    /// Active subscriptions
    subscriptions: Gauge;
    /// Events that subscriptions have sent
    subscription_events: Counter;
    /// DynamoDB call attempts, including retries, by operation and result
    dynamodb_calls: Counters<2>;
    /// Duration of an attempt of a DynamoDB call
    dynamodb_call_duration: Histograms = durations(|| Histogram::new(CALL_SECONDS)), Seconds;
    /// Consumed capacity as reported by DynamoDB, by kind (read, write)
    dynamodb_consumed_capacity_units: FloatCounters;
    /// Postgres queries, by query and result (ok, refused, unavailable)
    postgres_queries: Counters<2>;
    /// Duration of a Postgres query, including the wait for a connection
    postgres_query_duration: Histograms = durations(|| Histogram::new(CALL_SECONDS)), Seconds;
    /// Attempted transactions that write messages or marks as read, by outcome (applied, refused,
    /// unknown)
    write_attempts: Counters<1>;
    /// Retries of transactions that write messages or marks as read, by reason
    write_retries: Counters<1>;
    /// Messages per applied transaction
    transaction_messages: Histogram = Histogram::new(MESSAGES);
    /// Messages that are queued or being written
    messages_waiting: Gauge;
    /// Messages that were rejected because the queue of their group was full
    messages_rejected: Counter;
    /// Message groups with a writer task
    group_tasks: Gauge;
    /// Subscriptions that ended because they fell 256 hints behind
    subscribers_dropped: Counter;
    /// Hints that could not be published; other instances find these messages in the table
    hints_lost: Counter;
}

fn durations(histogram: fn() -> Histogram) -> Histograms {
    Family::new_with_constructor(histogram)
}

fn register<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: String,
    unit: Option<Unit>,
    metric: M,
) -> M {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("cruddur");
        let build = Info::new([("version", env!("CRUDDUR_VERSION"))]);
        registry.register("build", "Version of the running program", build);
        let metrics = Self::register(registry);
        metrics.begin_at_zero();
        metrics
    }

    /// Creates the counters that alerts use with the value 0. The rate of a counter that does not
    /// exist has no value, so the first increment would be missed.
    fn begin_at_zero(&self) {
        for operation in ["query", "mutation", "subscription", "none"] {
            for code in ["ok", "UNAVAILABLE", "INTERNAL_SERVER_ERROR"] {
                let labels = [("operation", operation), ("code", code)];
                add(&self.requests, labels, 0);
            }
        }
        for kind in ["read", "write"] {
            let units = &self.dynamodb_consumed_capacity_units;
            units.get_or_create(&[("kind", kind)]).inc_by(0.0);
        }
        for result in ["ok", "failed"] {
            add(&self.key_fetches, [("result", result)], 0);
        }
        for outcome in ["applied", "refused", "unknown"] {
            add(&self.write_attempts, [("outcome", outcome)], 0);
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
