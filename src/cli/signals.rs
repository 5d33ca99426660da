//! When to stop.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::CliError;

/// Exit code of a command that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// SIGTERM and Ctrl-C, from now on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> Result<Self, CliError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves when it is time to stop: a drain period after the first signal,
    /// which calls `on_drain`, or at a second signal within that period. From
    /// then on another signal ends the process at once.
    pub async fn stop_after(mut self, drain: Duration, on_drain: impl FnOnce()) {
        self.next().await;
        if !drain.is_zero() {
            on_drain();
            // Ended by a signal or by its time, which is the same.
            let _ = timeout(drain, self.next()).await;
        }
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(INTERRUPTED.into());
        });
    }
}

/// Resolves at SIGTERM or Ctrl-C. From then on a second one ends the process
/// at once.
pub(super) fn stop() -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    Ok(Signals::listen()?.stop_after(Duration::ZERO, || ()))
}
