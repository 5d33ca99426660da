//! Shutdown signals.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::CliResult;

/// Exit code of a command that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// The signals SIGTERM and SIGINT (Ctrl-C), received from now on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> CliResult<Self> {
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

    /// Resolves when the server should stop: one drain period after the first signal, at which
    /// `on_drain` is called, or at a second signal within that period. After that, another signal
    /// ends the process at once.
    pub async fn stop_after(mut self, drain: Duration, on_drain: impl FnOnce()) {
        self.next().await;
        if !drain.is_zero() {
            on_drain();
            // The result does not matter: the period ended, or a signal ended it.
            let _ = timeout(drain, self.next()).await;
        }
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(INTERRUPTED.into());
        });
    }
}

/// Resolves at SIGTERM or Ctrl-C. After that, a second signal ends the process at once.
pub(super) fn stop() -> CliResult<impl Future<Output = ()> + Send + 'static> {
    Ok(Signals::listen()?.stop_after(Duration::ZERO, || ()))
}
