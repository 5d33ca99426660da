//! When to stop.

use tokio::signal::unix::{SignalKind, signal};

use super::CliError;

/// Exit code of a command that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// Resolves at SIGTERM or Ctrl-C. From then on a second one ends the process
/// at once.
pub(super) fn stop() -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(INTERRUPTED.into());
        });
    })
}
