//! Exponential backoff between attempts.

use std::time::Duration;

use tokio::time::sleep;

/// Exponential backoff with jitter: each delay is random between a part of a
/// bound and the bound, and the bound doubles.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    smallest_part: f64,
    bound: Duration,
}

impl Backoff {
    /// Creates a backoff with the first and the longest bound. Each delay is at
    /// least `smallest_part` of its bound: 0 is full jitter, 1 is no jitter.
    pub const fn new(first: Duration, longest: Duration, smallest_part: f64) -> Self {
        Self {
            first,
            longest,
            smallest_part,
            bound: first,
        }
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        let part = self.smallest_part + (1.0 - self.smallest_part) * fastrand::f64();
        let delay = self.bound.mul_f64(part);
        self.bound = (self.bound * 2).min(self.longest);
        delay
    }

    /// Waits for the next delay.
    pub async fn wait(&mut self) {
        sleep(self.next_delay()).await;
    }

    /// Begins again with the first bound.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_longest_bound_and_begins_again_after_a_reset() {
        let [first, longest] = [Duration::from_millis(10), Duration::from_millis(30)];
        let mut backoff = Backoff::new(first, longest, 0.5);
        for bound in [10, 20, 30, 30] {
            let bounds = Duration::from_millis(bound / 2)..=Duration::from_millis(bound);
            let delay = backoff.next_delay();
            assert!(bounds.contains(&delay), "{delay:?} is not in {bounds:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= first);
    }
}
