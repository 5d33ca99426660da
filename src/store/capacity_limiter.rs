//! Rate limiting of operators' calls to DynamoDB.
//!
//! One limit applies to all calls together, for all partitions of the table,
//! and throttled calls are retried without a maximum number of attempts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use tokio::time::Instant;

use super::units::Units;
use crate::backoff::Backoff;
use crate::lock::lock;

/// The first and the longest delay after a throttled call. Each delay is random
/// between 60 % and 100 % of these, so that the paused calls do not continue at
/// the same time.
const FIRST_DELAY: Duration = Duration::from_micros(312_500);
const MAX_DELAY: Duration = Duration::from_millis(12_500);
/// Factors by which the rate is multiplied at the first throttled call, and at
/// each later one.
const FIRST_CUT: f64 = 0.5;
const CUT: f64 = 0.7;
/// The minimum rate, in units per second.
const MIN_RATE: f64 = 1.0;
/// The rate doubles in about this many seconds without a throttled call.
const RECOVERY_SECONDS: f64 = 20.0;
/// Length of the interval in which consumption is measured.
const MEASURED: Duration = Duration::from_secs(5);
/// Number of items that one read unit reads in an eventually consistent page.
///
/// The value is a low estimate, so that a page costs less than the units of one
/// second.
const ITEMS_PER_UNIT: f64 = 10.0;

/// The throttling that a limiter has observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Number of throttled calls.
    pub calls: u64,
    /// Whether calls are waiting for capacity now.
    pub waits: bool,
}

/// Delays calls so that all of them together stay within a rate.
///
/// The rate is the configured limit, and decreases while DynamoDB throttles
/// calls. Clones share the rate.
#[derive(Clone, Debug)]
pub struct CapacityLimiter {
    /// The limiters of reads and of writes, in the order of [`Units`].
    limiters: Arc<Mutex<[UnitLimiter; 2]>>,
}

/// The state of the calls that consume one kind of units.
#[derive(Debug)]
struct UnitLimiter {
    /// The configured limit, in units per second.
    limit: Option<f64>,
    /// Estimate of the rate that DynamoDB permits, in units per second. `None`
    /// if no call was throttled.
    allowed: Option<f64>,
    /// Time at which the next call can be sent without exceeding the rate.
    free_at: Instant,
    /// End of the backoff after a throttled call.
    paused_until: Instant,
    /// It starts again with the first delay when a call succeeds.
    backoff: Backoff,
    /// Average number of units that a call consumes.
    estimate: f64,
    measured_since: Instant,
    measured: f64,
    throttled: u64,
}

impl CapacityLimiter {
    /// Creates a limiter that limits reads to a number of units per second.
    pub fn new(read_units: Option<u32>) -> Self {
        let limit = read_units.map(|units| f64::from(units.max(1)));
        let now = Instant::now();
        Self {
            limiters: Arc::new(Mutex::new([
                UnitLimiter::new(limit, now),
                UnitLimiter::new(None, now),
            ])),
        }
    }

    /// Returns the throttling observed so far.
    pub fn throttling(&self) -> Throttling {
        let now = Instant::now();
        let limiters = lock(&self.limiters);
        Throttling {
            calls: limiters.iter().map(|limiter| limiter.throttled).sum(),
            waits: limiters.iter().any(|limiter| now < limiter.paused_until),
        }
    }

    /// Returns the number of items with which a page costs less than one
    /// second's read units. Returns `None` if the rate is not limited.
    pub(super) fn page_items(&self) -> Option<i32> {
        let rate = self.limiter(Units::Read, |limiter| limiter.rate())?;
        // At most 10 million, the maximum of the option.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a number that is too large becomes the largest i32"
        )]
        let items = (rate * ITEMS_PER_UNIT) as i32;
        Some(items.max(1))
    }

    /// Sends a call when the rate permits, and retries it each time that
    /// DynamoDB throttles it.
    pub(super) async fn send<T, E, F>(
        &self,
        units: Units,
        call: impl Fn() -> F,
        is_throttled: impl Fn(&SdkError<E, HttpResponse>) -> bool,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        loop {
            let result = self.send_once(units, &call).await;
            match result {
                Err(error) if is_throttled(&error) => {}
                result => return result,
            }
        }
    }

    /// Sends a call once, when the rate permits.
    pub(super) async fn send_once<T, F: Future<Output = T>>(
        &self,
        units: Units,
        call: impl Fn() -> F,
    ) -> T {
        // The call reserves its units only when it can be sent, because the
        // rate may change while it waits.
        let duration = loop {
            match self.limiter(units, |limiter| limiter.reserve(Instant::now())) {
                Ok(duration) => break duration,
                Err(later) => tokio::time::sleep_until(later).await,
            }
        };
        let result = call().await;
        self.limiter(units, |limiter| limiter.release(duration));
        result
    }

    /// Records the units that a call has consumed.
    pub(super) fn consumed(&self, read_units: f64, write_units: f64) {
        let now = Instant::now();
        for (units, consumed) in [(Units::Read, read_units), (Units::Write, write_units)] {
            if consumed > 0.0 {
                self.limiter(units, |limiter| limiter.consumed(consumed, now));
            }
        }
    }

    /// Records that DynamoDB has throttled a call. All other calls wait, too.
    pub(super) fn throttled(&self, units: Units) {
        self.limiter(units, |limiter| limiter.throttled(Instant::now()));
    }

    fn limiter<T>(&self, units: Units, with: impl FnOnce(&mut UnitLimiter) -> T) -> T {
        with(&mut lock(&self.limiters)[units as usize])
    }
}

impl UnitLimiter {
    fn new(limit: Option<f64>, now: Instant) -> Self {
        Self {
            limit,
            allowed: None,
            free_at: now,
            paused_until: now,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY, 0.6),
            estimate: 1.0,
            measured_since: now,
            measured: 0.0,
            throttled: 0,
        }
    }

    /// Returns the rate in units per second, or `None` if it is not limited.
    fn rate(&self) -> Option<f64> {
        match (self.limit, self.allowed) {
            (Some(limit), Some(allowed)) => Some(limit.min(allowed)),
            (limit, allowed) => limit.or(allowed),
        }
    }

    fn duration(&self, units: f64) -> Duration {
        self.rate().map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(units / rate).unwrap_or(Duration::ZERO)
        })
    }

    /// Reserves the units of an average call.
    ///
    /// Returns the duration that these units take at the current rate, or the
    /// time of the next attempt as the error.
    fn reserve(&mut self, now: Instant) -> Result<Duration, Instant> {
        let at = self.free_at.max(self.paused_until);
        if at > now {
            return Err(at);
        }
        let duration = self.duration(self.estimate);
        self.free_at = now + duration;
        Ok(duration)
    }

    /// Returns the reserved units. The units that the call really consumed are
    /// recorded separately.
    fn release(&mut self, duration: Duration) {
        self.free_at = self.free_at.checked_sub(duration).unwrap_or(self.free_at);
    }

    fn consumed(&mut self, units: f64, now: Instant) {
        self.backoff.reset();
        self.estimate = 0.8 * self.estimate + 0.2 * units;
        if now.duration_since(self.measured_since) > MEASURED {
            self.measured_since = now;
            self.measured = 0.0;
        }
        self.measured += units;
        let duration = self.duration(units);
        if !duration.is_zero() {
            self.free_at = self.free_at.max(now) + duration;
        }
        if let Some(allowed) = &mut self.allowed {
            *allowed += units / RECOVERY_SECONDS;
        }
    }

    fn throttled(&mut self, now: Instant) {
        self.throttled += 1;
        // Concurrent calls are throttled together. The rate is reduced once for
        // all of them.
        if now < self.paused_until {
            return;
        }
        let measured_for = now.duration_since(self.measured_since).as_secs_f64();
        let measured = self.measured / measured_for.max(1.0);
        let slower = match self.allowed {
            None => measured * FIRST_CUT,
            Some(allowed) => allowed * CUT,
        };
        self.allowed = Some(slower.max(MIN_RATE));
        self.paused_until = now + self.backoff.next_delay();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A simulated store with a capacity in units per second, which throttles
    /// calls above it.
    struct Capacity {
        rate: f64,
        tokens: f64,
        at: Instant,
    }

    impl Capacity {
        fn takes(&mut self, units: f64) -> bool {
            let now = Instant::now();
            let earned = now.duration_since(self.at).as_secs_f64() * self.rate;
            self.tokens = (self.tokens + earned).min(self.rate);
            self.at = now;
            let takes = self.tokens > 0.0;
            if takes {
                self.tokens -= units;
            }
            takes
        }
    }

    type TestError = SdkError<std::convert::Infallible, HttpResponse>;

    /// Reads with `calls` calls of two units each, 32 concurrently.
    async fn read_all(
        limiter: &CapacityLimiter,
        capacity: &Mutex<Capacity>,
        calls: usize,
    ) -> Duration {
        use futures_util::{StreamExt, stream};
        let began = Instant::now();
        let read = || async {
            // Every call ends, because a call that hangs could not be
            // distinguished from one that waits for the limiter.
            if capacity.lock().expect("no panic").takes(2.0) {
                limiter.consumed(2.0, 0.0);
                Ok::<(), TestError>(())
            } else {
                limiter.throttled(Units::Read);
                Err(TestError::timeout_error("throttled"))
            }
        };
        stream::iter(0..calls)
            .for_each_concurrent(32, |_| async {
                limiter
                    .send(Units::Read, read, |_| true)
                    .await
                    .expect("a response");
            })
            .await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_calls_are_retried_until_all_have_succeeded() {
        let capacity = Mutex::new(Capacity {
            rate: 5.0,
            tokens: 5.0,
            at: Instant::now(),
        });
        let limiter = CapacityLimiter::new(None);

        let took = read_all(&limiter, &capacity, 500).await;

        // 1,000 units at 5 per second take at least 200 seconds.
        assert!(took > Duration::from_secs(150), "{took:?}");
        assert!(took < Duration::from_mins(7), "{took:?}");
        let throttled = limiter.throttling().calls;
        assert!(throttled > 0 && throttled < 400, "{throttled} throttled");
    }

    #[tokio::test(start_paused = true)]
    async fn read_units_are_limited_without_a_throttled_call() {
        let capacity = Mutex::new(Capacity {
            rate: 1e9,
            tokens: 1e9,
            at: Instant::now(),
        });
        let limiter = CapacityLimiter::new(Some(20));

        let took = read_all(&limiter, &capacity, 500).await;

        assert!(took > Duration::from_secs(45), "{took:?}");
        assert!(took < Duration::from_mins(1), "{took:?}");
        assert_eq!(limiter.throttling(), Throttling::default());
    }
}
