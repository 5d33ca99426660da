//! Calls to the stores: their duration, cost and span.

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::origin::{RequestCost, charge};
use super::{metrics, traces};

/// Result of a call that was dropped before it ended.
const DROPPED: &str = "dropped";

/// A DynamoDB call in progress. If it is dropped before it ends, its result is `dropped`.
#[derive(Debug)]
pub struct DynamoCall {
    operation: &'static str,
    began: Instant,
    span: Span,
    ended: bool,
}

impl DynamoCall {
    /// Starts the measurement of a call.
    #[must_use]
    pub fn begin(operation: &'static str, table: &str) -> Self {
        Self {
            operation,
            began: Instant::now(),
            span: traces::call_span("aws.dynamodb", operation, Some(table)),
            ended: false,
        }
    }

    /// Records the call's result and its consumed units.
    pub fn end(mut self, result: &'static str, read_units: f64, write_units: f64) {
        metrics::dynamodb_units(read_units, write_units);
        self.record(result);
        charge(RequestCost {
            dynamodb_calls: 1,
            sql_queries: 0,
            read_units,
            write_units,
        });
    }

    fn record(&mut self, result: &'static str) {
        self.ended = true;
        metrics::dynamodb_call(self.operation, result, self.began.elapsed());
        if result != "ok" {
            traces::fail(&self.span, result);
        }
    }
}

impl Drop for DynamoCall {
    fn drop(&mut self) {
        if !self.ended {
            self.record(DROPPED);
        }
    }
}

/// Runs a Postgres query and measures it. `result` returns the metric label of an error.
pub async fn postgres_query<T, E>(
    query: &'static str,
    asked: impl Future<Output = Result<T, E>>,
    result: impl FnOnce(&E) -> &'static str,
) -> Result<T, E> {
    let span = traces::call_span("postgresql", query, None);
    let began = Instant::now();
    let output = asked.instrument(span.clone()).await;
    let result = output.as_ref().map_or_else(result, |_| "ok");
    metrics::postgres_query(query, result, began.elapsed());
    if result != "ok" {
        traces::fail(&span, result);
    }
    charge(RequestCost {
        sql_queries: 1,
        ..RequestCost::default()
    });
    output
}
