//! Access log and metrics of GraphQL requests, over HTTP and over WebSocket: one log line per
//! request.

use std::sync::OnceLock;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::time::Instant;
use tracing::Span;

use crate::schema::{Code, Operation};
use crate::telemetry::metrics::{self, GaugeGuard, METRICS};
use crate::telemetry::{RequestOrigin, describe, fail, request_span};

/// Maximum size of a logged operation name in bytes. Longer names are omitted, because a client
/// could otherwise fill the log.
const MAX_NAME_BYTES: usize = 64;
/// Result of a request whose client disconnected before the response.
const CLIENT_GONE: &str = "CLIENT_GONE";

/// The code of the first error of a response, stored in the response's extensions.
#[derive(Clone, Copy)]
pub(super) struct FirstError(pub Code);

/// The operation type and name of a request, set after the document is parsed.
#[derive(Default)]
pub(super) struct OperationInfo(OnceLock<(&'static str, Option<String>)>);

impl OperationInfo {
    pub fn set(&self, operation: &Operation) {
        let name = operation.name().filter(|name| name.len() <= MAX_NAME_BYTES);
        // A request has exactly one operation, so the value is set once.
        let _ = self.0.set((operation.kind(), name.map(str::to_owned)));
    }

    fn is_subscription(&self) -> bool {
        self.kind() == "subscription"
    }

    fn kind(&self) -> &'static str {
        self.0.get().map_or("none", |(kind, _)| kind)
    }

    fn name(&self) -> Option<&str> {
        self.0.get()?.1.as_deref()
    }
}

/// A request in progress. It logs and counts the result, also when the client disconnects.
pub(super) struct AccessLog {
    pub origin: RequestOrigin,
    pub info: OperationInfo,
    /// The span of the request in its trace.
    pub span: Span,
    /// The span of the request in the log.
    log: Span,
    began: Instant,
    /// The HTTP status of an event stream, whose head is sent before the request ends.
    status: Option<StatusCode>,
    events: u64,
    is_logged: bool,
    gauge: GaugeGuard,
}

impl AccessLog {
    pub fn begin(request_id: &str, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let span = request_span(request_id, &header);
        Self {
            origin: RequestOrigin::new(request_id, &span),
            info: OperationInfo::default(),
            span,
            log: Span::current(),
            began: Instant::now(),
            status: None,
            events: 0,
            is_logged: false,
            gauge: GaugeGuard::new(&METRICS.requests_in_flight),
        }
    }

    /// Marks the request as a subscription; over HTTP, `status` is the status of its response.
    pub fn begin_subscription(&mut self, status: Option<StatusCode>) {
        self.status = status;
        self.gauge = GaugeGuard::new(&METRICS.subscriptions);
    }

    /// Counts an event that the subscription has sent.
    pub fn count_event(&mut self) {
        self.events += 1;
        METRICS.subscription_events.inc();
    }

    /// Logs the result of the request.
    pub fn end(mut self, status: Option<StatusCode>, error: Option<Code>) {
        self.write(status, error.map_or("ok", Code::name));
    }

    /// Logs the result of a request that has a single response.
    pub fn end_with(self, response: &Response) {
        let error = response.extensions().get::<FirstError>();
        self.end(Some(response.status()), error.map(|error| error.0));
    }

    fn write(&mut self, status: Option<StatusCode>, outcome: &'static str) {
        self.is_logged = true;
        let duration = self.began.elapsed();
        let (operation, name) = (self.info.kind(), self.info.name());
        let cost = self.origin.cost();
        let status = status.map(|status| status.as_u16());
        let events = self.info.is_subscription().then_some(self.events);
        self.log.in_scope(|| {
            tracing::info!(
                operation,
                name,
                status,
                outcome,
                events,
                duration_ms = millis(duration),
                dynamodb_calls = cost.dynamodb_calls,
                sql_queries = cost.sql_queries,
                read_units = cost.read_units,
                write_units = cost.write_units,
                "answered"
            );
        });
        metrics::request(operation, outcome, duration);
        self.describe(status, outcome);
    }

    fn describe(&self, status: Option<u16>, outcome: &'static str) {
        describe(&self.span, "graphql.operation.type", self.info.kind());
        if let Some(name) = self.info.name() {
            describe(&self.span, "graphql.operation.name", name.to_owned());
        }
        if let Some(status) = status {
            describe(&self.span, "http.response.status_code", i64::from(status));
        }
        if outcome != "ok" {
            describe(&self.span, "cruddur.outcome", outcome);
        }
        if [Code::InternalServerError, Code::Unavailable]
            .iter()
            .any(|code| code.name() == outcome)
        {
            fail(&self.span, outcome);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if !self.is_logged {
            // A subscription normally ends when its client cancels it, so this is not an error.
            let is_ok = self.info.is_subscription();
            self.write(self.status, if is_ok { "ok" } else { CLIENT_GONE });
        }
    }
}

/// Returns a duration in milliseconds, rounded to microseconds.
fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
