//! Traces, by OpenTelemetry's protocol over HTTP.
//!
//! Their spans have a target of their own, which the log leaves out, and
//! nothing else gets into a trace: neither lines of the log nor spans of
//! libraries.

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

use super::origin::{Origin, is_for_request};

/// Target of the spans that go into traces.
pub(super) const TARGET: &str = "otel";
/// How long what is left may take to be sent at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Sends spans to a collector. The SDK's own variables say how.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send. The SDK reads the environment itself.
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

    /// What takes the spans of our own, and nothing else.
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

    /// Sends what is left.
    pub fn stop(&self) {
        if let Err(cause) = self.provider.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::warn!(%cause, "the last spans could not be sent");
        }
    }
}

/// The span of a request, below the one that its `traceparent` names. `header`
/// finds a header.
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
        // It has just been made, so that it can be given a parent.
        let _ = span.set_parent(parent);
    }
    span
}

/// The span of what a group's task does for these requests: part of the trace
/// of the first, with a link to each of the others.
pub fn write_span(group: &impl std::fmt::Display, origins: &[Origin]) -> Span {
    let Some((first, others)) = origins.split_first() else {
        return Span::none();
    };
    let span = tracing::info_span!(target: TARGET, parent: None, "write", cruddur.group = %group);
    if !span.is_disabled() {
        let parent = Context::new().with_remote_span_context(first.span().clone());
        // It has just been made, so that it can be given a parent.
        let _ = span.set_parent(parent);
        for other in others {
            span.add_link(other.span().clone());
        }
    }
    span
}

/// The span of an attempt at a call of DynamoDB.
pub(super) fn dynamodb_span(operation: &'static str, table: &str) -> Span {
    if !is_for_request() {
        return Span::none();
    }
    tracing::info_span!(
        target: TARGET,
        "DynamoDB",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = "aws.dynamodb",
        db.operation.name = operation,
        db.collection.name = table,
    )
}

/// The span of a query of Postgres.
pub(super) fn postgres_span(query: &'static str) -> Span {
    if !is_for_request() {
        return Span::none();
    }
    tracing::info_span!(
        target: TARGET,
        "Postgres",
        otel.name = query,
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = query,
    )
}

/// Says more about a span.
pub fn describe(span: &Span, name: &'static str, value: impl Into<Value>) {
    if !span.is_disabled() {
        span.set_attribute(name, value);
    }
}

/// Marks a span as failed, for a reason that is one of the program's own words.
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
