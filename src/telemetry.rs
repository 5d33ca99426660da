//! Logging: to standard error, as text on a terminal and as JSON elsewhere.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` says what is logged; `default` when it is not set.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    // Somebody else may have set a subscriber up, as tests do.
    let _ = if stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().try_init()
    };
}
