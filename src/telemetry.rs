//! What is told of a running program: its log, its metrics, its traces.
//!
//! Nothing that people write gets into any of them: no message, handle or
//! address, no token, no idempotency key.

mod call;
pub mod metrics;
mod origin;
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
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(verbosity.log));
    let not_traces = filter_fn(|metadata| metadata.target() != traces::TARGET);
    let log = fmt::layer().with_writer(stderr);
    let log = if stderr().is_terminal() {
        log.boxed()
    } else {
        // The innermost span is the last of the list.
        let log = log.json().flatten_event(true).with_current_span(false);
        log.boxed()
    };
    let traces = verbosity.server.then(Traces::from_environment).flatten();
    let (traces, failed) = match traces.transpose() {
        Ok(traces) => (traces, None),
        Err(cause) => (None, Some(cause)),
    };
    // Somebody else may have set a subscriber up, as tests do.
    let _ = tracing_subscriber::registry()
        .with(log.with_filter(filter.and(not_traces)))
        .with(traces.as_ref().map(Traces::layer))
        .try_init();
    if let Some(cause) = failed {
        tracing::error!(%cause, "no traces are sent");
    }
    if verbosity.server {
        panic::set_hook(Box::new(log_panic));
    }
    Telemetry { traces }
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
