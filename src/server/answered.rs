//! Access log and metrics of GraphQL requests, over HTTP and over WebSocket: one log line per
//! request.

use std::sync::OnceLock;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::time::Instant;
use tracing::Span;

use crate::schema::{Code, Operation};
use crate::telemetry::metrics::{self, Present, Thing};
use crate::telemetry::{Origin, describe, fail, request_span};

/// Maximum size of a logged operation name in bytes; longer names are omitted.
const LONGEST_NAME: usize = 64;
/// Result of a request whose client disconnected before the response.
const GONE: &str = "CLIENT_GONE";

/// The code of the first error of a response, stored in the response's extensions.
#[derive(Clone, Copy)]
pub(super) struct FirstError(pub Code);

/// The operation type and name of a request, set after the document is parsed.
#[derive(Default)]
pub(super) struct Asked(OnceLock<(&'static str, Option<String>)>);

impl Asked {
    pub fn is(&self, operation: &Operation) {
        let name = operation.name().filter(|name| name.len() <= LONGEST_NAME);
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

/// The result of a request.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// The HTTP status; `None` over WebSocket.
    pub status: Option<StatusCode>,
    /// The code of the first error.
    pub error: Option<Code>,
}

impl Outcome {
    pub fn of(response: &Response) -> Self {
        let error = response.extensions().get::<FirstError>();
        Self {
            status: Some(response.status()),
            error: error.map(|error| error.0),
        }
    }
}

/// A request in progress. It logs and counts the result, also when the client disconnects.
pub(super) struct Answering {
    pub origin: Origin,
    pub asked: Asked,
    /// The span of the request in its trace.
    pub span: Span,
    /// The span of the request in the log.
    log: Span,
    began: Instant,
    /// The HTTP status of a response that is streamed after its head.
    status: Option<StatusCode>,
    events: u64,
    told: bool,
    counted: Present,
}

impl Answering {
    pub fn begin(request_id: &str, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let span = request_span(request_id, &header);
        Self {
            origin: Origin::new(request_id, &span),
            asked: Asked::default(),
            span,
            log: Span::current(),
            began: Instant::now(),
            status: None,
            events: 0,
            told: false,
            counted: Present::new(Thing::Request),
        }
    }

    /// Marks the request as a subscription; over HTTP, `status` is the status of its response.
    pub fn stays(&mut self, status: Option<StatusCode>) {
        self.status = status;
        self.counted = Present::new(Thing::Subscription);
    }

    /// Counts an event that the subscription has sent.
    pub fn event(&mut self) {
        self.events += 1;
        metrics::event();
    }

    /// Logs the result of the request.
    pub fn end(mut self, outcome: Outcome) {
        let error = outcome.error.map_or("ok", Code::as_str);
        self.tell(outcome.status, error);
    }

    fn tell(&mut self, status: Option<StatusCode>, outcome: &'static str) {
        self.told = true;
        let took = self.began.elapsed();
        let (operation, name) = (self.asked.kind(), self.asked.name());
        let spent = self.origin.spent();
        let status = status.map(|status| status.as_u16());
        let events = self.asked.is_subscription().then_some(self.events);
        self.log.in_scope(|| {
            tracing::info!(
                operation,
                name,
                status,
                outcome,
                events,
                duration_ms = millis(took),
                dynamodb_calls = spent.dynamodb_calls,
                sql_queries = spent.sql_queries,
                read_units = spent.read_units,
                write_units = spent.write_units,
                "answered"
            );
        });
        metrics::request(operation, outcome, took);
        self.describe(status, outcome);
    }

    fn describe(&self, status: Option<u16>, outcome: &'static str) {
        describe(&self.span, "graphql.operation.type", self.asked.kind());
        if let Some(name) = self.asked.name() {
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
            .any(|code| code.as_str() == outcome)
        {
            fail(&self.span, outcome);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.told {
            // A subscription normally ends when its client cancels it, so this is not an error.
            let is_over = self.asked.is_subscription();
            self.tell(self.status, if is_over { "ok" } else { GONE });
        }
    }
}

/// Returns a duration in milliseconds, rounded to microseconds.
fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
