//! The metrics: their names, what they mean, and their bounds.

use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

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

/// Everything that is counted.
pub(super) struct Metrics {
    pub registry: Registry,
    pub requests: Counters<2>,
    pub request_seconds: Histograms,
    pub requests_in_flight: Gauge,
    pub connections: Gauge,
    pub connections_turned_away: Counter,
    pub sockets: Gauge,
    pub socket_closes: Counters<1>,
    pub subscriptions: Gauge,
    pub events: Counter,
    pub dynamodb_calls: Counters<2>,
    pub dynamodb_seconds: Histograms,
    pub dynamodb_units: Family<Labels<1>, Counter<f64, AtomicU64>>,
    pub postgres_queries: Counters<2>,
    pub postgres_seconds: Histograms,
    pub write_attempts: Counters<1>,
    pub write_retries: Counters<1>,
    pub transaction_messages: Histogram,
    pub messages_waiting: Gauge,
    pub messages_turned_away: Counter,
    pub group_tasks: Gauge,
    pub key_fetches: Counters<1>,
    pub listeners_let_go: Counter,
    pub hints_lost: Counter,
}

fn call_seconds() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

impl Metrics {
    pub fn new() -> Self {
        let request_seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("cruddur"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_seconds),
            requests_in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_turned_away: Counter::default(),
            sockets: Gauge::default(),
            socket_closes: Family::default(),
            subscriptions: Gauge::default(),
            events: Counter::default(),
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
            listeners_let_go: Counter::default(),
            hints_lost: Counter::default(),
        };
        metrics.register_requests();
        metrics.register_sockets();
        metrics.register_stores();
        metrics.register_writes();
        metrics.register_live();
        metrics.begin_at_zero();
        metrics
    }

    fn register_live(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "listeners_let_go",
            "Subscriptions that ended because their reader was too slow",
            self.listeners_let_go.clone(),
        );
        registry.register(
            "hints_lost",
            "Hints that other instances were not told, and find in the table",
            self.hints_lost.clone(),
        );
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CRUDDUR_VERSION"))]);
        registry.register("build", "The version that runs", build);
        registry.register(
            "requests",
            "GraphQL requests, by operation (query, mutation, subscription, none) and by the code of the first error, or ok",
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

    fn register_sockets(&mut self) {
        let registry = &mut self.registry;
        registry.register("sockets", "Open WebSockets", self.sockets.clone());
        registry.register(
            "socket_closes",
            "WebSockets that were closed, by the code that they were closed with, or client or gone",
            self.socket_closes.clone(),
        );
        registry.register(
            "subscriptions",
            "Subscriptions that somebody listens to",
            self.subscriptions.clone(),
        );
        registry.register(
            "subscription_events",
            "What subscriptions were told",
            self.events.clone(),
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
            "Transactions of messages and of marks as read that were sent, by outcome (applied, refused, unknown)",
            self.write_attempts.clone(),
        );
        registry.register(
            "write_retries",
            "Reasons for which one of them has to be planned or sent again",
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
        for operation in ["query", "mutation", "subscription", "none"] {
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

/// Adds to one of several counters.
pub(super) fn add<const N: usize>(counters: &Counters<N>, labels: Labels<N>, count: u64)
where
    Labels<N>: Eq + Hash + Clone,
{
    counters.get_or_create(&labels).inc_by(count);
}

/// Adds a time to one of several histograms.
pub(super) fn observe(histograms: &Histograms, labels: Labels<1>, took: Duration) {
    let histogram = histograms.get_or_create(&labels);
    histogram.observe(took.as_secs_f64());
}
