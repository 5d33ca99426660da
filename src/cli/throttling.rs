//! Reports that DynamoDB throttles a command and the command is waiting.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::output;
use crate::store::CapacityLimiter;

/// Interval at which the limiter is checked.
const EVERY: Duration = Duration::from_millis(200);
/// Minimum interval between two lines, so that a long wait does not fill the terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Starts a task that reports throttling until the returned handle is dropped. It shows waiting in
/// the progress, and prints a line when waiting begins and repeatedly while it continues.
pub(super) fn report_throttling(limiter: CapacityLimiter) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut reported = 0;
        let mut next_line = Instant::now();
        loop {
            tokio::time::sleep(EVERY).await;
            let throttling = limiter.throttling();
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
