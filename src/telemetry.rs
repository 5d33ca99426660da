//! What is told of a running program: its log, its metrics, its traces.
//!
//! Nothing that people write gets into any of them: no message, handle or
//! address, no token, no idempotency key.

mod call;
pub mod metrics;
mod origin;
mod otlp;
mod traces;

use std::io::{IsTerminal, stderr};
use std::panic;

use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use call::{DynamoCall, postgres_query};
pub use origin::{Origin, Spent, work_for};
pub use traces::{describe, fail, request_span, write_span};

use otlp::{OtlpSettings, otlp_settings};
use traces::Traces;

/// What was started, to be stopped at the end.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// How much a command tells.
#[derive(Clone, Copy, Debug)]
pub struct Verbosity {
    /// What is logged, when `RUST_LOG` does not say so.
    pub log: &'static str,
    /// Whether it is a server: it sends traces, if the environment says where
    /// to, and its panics are lines of the log.
    pub server: bool,
}

/// Starts the log, to standard error: as text on a terminal and as JSON
/// elsewhere. And traces.
#[must_use]
pub fn start(verbosity: Verbosity) -> Telemetry {
    let (filter, invalid_filter) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, false),
        Err(_) => (
            EnvFilter::new(verbosity.log),
            std::env::var_os(EnvFilter::DEFAULT_ENV).is_some(),
        ),
    };
    let not_traces = filter_fn(|metadata| metadata.target() != traces::TARGET);
    let log = fmt::layer().with_writer(stderr);
    let log = if stderr().is_terminal() {
        log.boxed()
    } else {
        // The innermost span is the last of the list.
        let log = log.json().flatten_event(true).with_current_span(false);
        log.boxed()
    };
    let (traces, unsupported, failed) = match traces(verbosity) {
        Ok((traces, unsupported)) => (traces, unsupported, None),
        Err(cause) => (None, Vec::new(), Some(cause)),
    };
    // Somebody else may have set a subscriber up, as tests do.
    let _ = tracing_subscriber::registry()
        .with(log.with_filter(filter.and(not_traces)))
        .with(traces.as_ref().map(Traces::layer))
        .try_init();
    if let Some(cause) = failed {
        tracing::error!(cause, "no traces are sent");
    }
    if invalid_filter {
        tracing::warn!("RUST_LOG is not a filter like info or cruddur=debug, and is ignored");
    }
    for setting in unsupported {
        tracing::warn!("{setting}");
    }
    if verbosity.server {
        panic::set_hook(Box::new(log_panic));
    }
    Telemetry { traces }
}

/// The traces, if the environment names a collector, and what it names that is
/// not supported.
fn traces(verbosity: Verbosity) -> Result<(Option<Traces>, Vec<String>), String> {
    if !verbosity.server {
        return Ok((None, Vec::new()));
    }
    match otlp_settings()? {
        OtlpSettings::Off => Ok((None, Vec::new())),
        OtlpSettings::On(unsupported) => {
            let traces = Traces::start().map_err(|error| error.to_string())?;
            Ok((Some(traces), unsupported))
        }
    }
}

impl Telemetry {
    /// Sends what is left. Blocks, for a moment.
    pub fn stop(self) {
        if let Some(traces) = &self.traces {
            traces.stop();
        }
    }
}

/// Says where it was and not what: the text may quote what was worked on.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "a panic");
}
