//! Traces, sent over HTTP with the OpenTelemetry protocol (OTLP).
//!
//! Trace spans have their own target, which the log excludes. Traces contain nothing else: neither
//! log events nor spans of libraries.

use std::env::var;
use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use super::origin::{RequestOrigin, is_for_request};

/// The target of trace spans.
pub(super) const TARGET: &str = "otel";
/// Timeout for sending the remaining spans at shutdown. The time that platforms
/// wait before SIGKILL includes it (docs/operations.md).
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// The exporter that sends spans to a collector, configured by the SDK's own variables.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts the exporter. The SDK reads the environment itself.
    pub fn start() -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_http().build()?;
        let mut resource = Resource::builder();
        let attributes = var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        if var("OTEL_SERVICE_NAME").is_err() && !attributes.contains("service.name=") {
            resource = resource.with_service_name("cruddur");
        }
        let version = KeyValue::new("service.version", env!("CRUDDUR_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { provider })
    }

    /// Returns the layer that collects only this program's trace spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("cruddur"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends the remaining spans.
    pub fn stop(&self) {
        if let Err(cause) = self.provider.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::warn!(%cause, "cannot send the remaining spans");
        }
    }
}

/// Creates the span of a request, as a child of the span in its `traceparent` header. `header`
/// returns the value of a header.
pub fn request_span<'a>(id: &str, header: &'a dyn Fn(&str) -> Option<&'a str>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = "/graphql",
        otel.kind = "server",
        cruddur.request_id = id,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(header));
        // This cannot fail: a new span can still be assigned a parent.
        let _ = span.set_parent(parent);
    }
    span
}

/// Creates the span of a group task's write for these requests. It belongs to the trace of the
/// first request, with a link to each of the others.
pub fn write_span(group: &impl std::fmt::Display, origins: &[RequestOrigin]) -> Span {
    let Some((first, others)) = origins.split_first() else {
        return Span::none();
    };
    let span = tracing::info_span!(target: TARGET, parent: None, "write", cruddur.group = %group);
    if !span.is_disabled() {
        let parent = Context::new().with_remote_span_context(first.span.clone());
        // This cannot fail: a new span can still be assigned a parent.
        let _ = span.set_parent(parent);
        for other in others {
            span.add_link(other.span.clone());
        }
    }
    span
}

/// Creates the span of a call to a store: an attempt of a DynamoDB call, or a Postgres query.
pub(super) fn call_span(
    system: &'static str,
    operation: &'static str,
    table: Option<&str>,
) -> Span {
    if !is_for_request() {
        return Span::none();
    }
    tracing::info_span!(
        target: TARGET,
        "call",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
        db.collection.name = table,
    )
}

/// Adds an attribute to a span.
pub fn describe(span: &Span, name: &'static str, value: impl Into<Value>) {
    if !span.is_disabled() {
        span.set_attribute(name, value);
    }
}

/// Marks a span as failed. `reason` is a constant of the program.
pub fn fail(span: &Span, reason: &'static str) {
    if !span.is_disabled() {
        span.set_attribute("error.type", reason);
        span.set_status(Status::error(reason));
    }
}

struct Headers<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (self.0)(key)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}
