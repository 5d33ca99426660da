//! Backoff between attempts at a write.

use std::time::Duration;

use tokio::time::sleep;

/// The upper bound of the first delay, and of the longest.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(250);

/// Exponential backoff with full jitter: each delay is random between zero and
/// a bound that doubles.
#[derive(Debug, Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    /// Waits for the next delay.
    pub async fn next(&mut self) {
        let bound = SHORTEST.saturating_mul(1 << self.0.min(10)).min(LONGEST);
        self.0 += 1;
        sleep(bound.mul_f64(fastrand::f64())).await;
    }
}
