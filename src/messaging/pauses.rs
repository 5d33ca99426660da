//! The pauses before a write is tried again.

use std::time::Duration;

use tokio::time::sleep;

/// Bounds of a pause.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(250);

/// One pause after the other: full jitter between nothing and a bound that
/// doubles.
#[derive(Debug, Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    /// The next one.
    pub async fn next(&mut self) {
        let bound = SHORTEST.saturating_mul(1 << self.0.min(10)).min(LONGEST);
        self.0 += 1;
        sleep(bound.mul_f64(fastrand::f64())).await;
    }
}
