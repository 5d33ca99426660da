//! Telemetry of a running program: logs, metrics and traces.
//!
//! None of them contains user data: no message text, handle or address, no token, no idempotency
//! key.

mod call;
pub mod metrics;
mod origin;
mod otlp;
mod traces;

use std::io::{IsTerminal, stderr};
use std::panic;

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use call::{DynamoCall, postgres_query};
pub use origin::{RequestCost, RequestOrigin, work_for};
pub use traces::{describe, fail, request_span, write_span};

use otlp::otlp_settings;
use traces::Traces;

/// The running telemetry, to be stopped before the program ends.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// The logging and tracing of a command.
#[derive(Clone, Copy, Debug)]
pub struct Verbosity {
    /// The log filter, if `RUST_LOG` is not set.
    pub log: &'static str,
    /// Whether the command is a server. A server sends traces if the environment configures a
    /// collector, and logs its panics.
    pub server: bool,
}

/// Starts logging to standard error, as text on a terminal and as JSON otherwise, and starts
/// traces.
#[must_use]
pub fn start(verbosity: Verbosity) -> Telemetry {
    let (filter, invalid_filter) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, false),
        Err(_) => (
            EnvFilter::new(verbosity.log),
            std::env::var_os(EnvFilter::DEFAULT_ENV).is_some(),
        ),
    };
    let (traces, unsupported, failed) = match traces(verbosity) {
        Ok((traces, unsupported)) => (traces, unsupported, None),
        Err(cause) => (None, Vec::new(), Some(cause)),
    };
    // Fails if a subscriber is already set, for example by a test.
    let _ = subscriber(filter, traces.as_ref()).try_init();
    if let Some(cause) = failed {
        tracing::error!(cause, "no traces are sent");
    }
    if invalid_filter {
        tracing::warn!(
            "RUST_LOG is ignored, because it is not a filter like info or cruddur=debug"
        );
    }
    for setting in unsupported {
        tracing::warn!("{setting}");
    }
    if verbosity.server {
        panic::set_hook(Box::new(log_panic));
    }
    Telemetry { traces }
}

/// Returns the subscriber that writes the log and collects the spans of traces.
fn subscriber(filter: EnvFilter, traces: Option<&Traces>) -> impl Subscriber + Send + Sync + use<> {
    let not_traces = filter_fn(|metadata| metadata.target() != traces::TARGET);
    let log = fmt::layer().with_writer(stderr);
    // Both layers are boxed, because they have different types.
    let log = if stderr().is_terminal() {
        log.boxed()
    } else {
        // The current span is omitted, because it is also the last one in the list of spans.
        let log = log.json().flatten_event(true).with_current_span(false);
        log.boxed()
    };
    // A list, because an optional layer that is missing would enable every span and event of the
    // libraries.
    let mut layers = vec![log.with_filter(filter.and(not_traces)).boxed()];
    layers.extend(traces.map(|traces| traces.layer().boxed()));
    tracing_subscriber::registry().with(layers)
}

/// Starts traces if the environment configures a collector. Also returns the settings that are not
/// supported.
fn traces(verbosity: Verbosity) -> Result<(Option<Traces>, Vec<String>), String> {
    if !verbosity.server {
        return Ok((None, Vec::new()));
    }
    let Some(unsupported) = otlp_settings()? else {
        return Ok((None, Vec::new()));
    };
    let traces = Traces::start().map_err(|error| error.to_string())?;
    Ok((Some(traces), unsupported))
}

impl Telemetry {
    /// Sends the remaining spans. Blocks for a short time.
    pub fn stop(self) {
        if let Some(traces) = &self.traces {
            traces.stop();
        }
    }
}

/// Logs the location of a panic, but not its message, which may contain user data.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "panic");
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing::{debug_span, info_span};

    use super::*;

    #[test]
    fn spans_of_libraries_and_traces_are_disabled_without_a_collector() {
        with_default(subscriber(EnvFilter::new("info"), None), || {
            assert!(!info_span!("of the log").is_disabled());
            assert!(debug_span!("of a library").is_disabled());
            assert!(info_span!(target: traces::TARGET, "of a trace").is_disabled());
        });
    }
}
