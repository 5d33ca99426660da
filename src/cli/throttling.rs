//! Reports that DynamoDB throttles a command and the command is waiting.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::output;
use crate::store::Pacer;

/// Interval at which the pacer is checked.
const EVERY: Duration = Duration::from_millis(200);
/// Minimum interval between two lines, so that a long wait does not fill the terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// A task that reports throttling until this is dropped.
pub(super) struct ThrottlingReport(JoinHandle<()>);

impl Drop for ThrottlingReport {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ThrottlingReport {
    /// Starts the task. It shows waiting in the progress, and prints a line when waiting begins and
    /// repeatedly while it continues.
    pub fn start(pacer: Pacer) -> Self {
        Self(tokio::spawn(async move {
            let mut reported = 0;
            let mut next_line = Instant::now();
            loop {
                tokio::time::sleep(EVERY).await;
                let throttling = pacer.throttling();
                output::show_waiting(throttling.waits);
                if throttling.calls > reported && Instant::now() >= next_line {
                    reported = throttling.calls;
                    next_line = Instant::now() + LINE_EVERY;
                    output::remark(&format!(
                        "DynamoDB has throttled {reported} calls: waiting for capacity{}",
                        output::position()
                    ));
                }
            }
        }))
    }
}
