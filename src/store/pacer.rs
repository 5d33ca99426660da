//! Pacing of an operator's calls: one limit for all of them, whichever part of
//! the table they read, and no end of patience where DynamoDB throttles.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::CancellationReason;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use tokio::time::Instant;

use super::error::is_throttled;
use super::operations;

/// The first pause after a throttled call, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// By what the rate is multiplied at the first throttled call, and at each
/// later one.
const FIRST_CUT: f64 = 0.5;
const CUT: f64 = 0.7;
/// The rate never falls below this, in units a second.
const LOWEST_RATE: f64 = 1.0;
/// A rate doubles in about this many seconds without a throttled call.
const RECOVERY_SECONDS: f64 = 20.0;
/// How long consumption is measured before the measurement begins anew.
const MEASURED: Duration = Duration::from_secs(5);
/// How many items of this table one unit reads, eventually consistent and by
/// the page; low, so that a page costs less than a second's units.
const ITEMS_PER_UNIT: f64 = 10.0;

/// Which units a call consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Read,
    Write,
}

/// What a pacer has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// How many calls DynamoDB has throttled.
    pub calls: u64,
    /// Whether calls wait for capacity now.
    pub waits: bool,
}

/// Delays calls so that all of them together stay within a rate. The rate is
/// the given limit, and falls while DynamoDB throttles. Clones share it.
#[derive(Clone)]
pub struct Pacer {
    lanes: Arc<Mutex<[Lane; 2]>>,
}

/// The calls that consume one kind of units.
struct Lane {
    /// The limit that was asked for, in units a second.
    limit: Option<f64>,
    /// The rate that DynamoDB allowed last, once it has throttled a call.
    allowed: Option<f64>,
    /// When the units that were given out are used up.
    free_at: Instant,
    /// Until when nothing is sent after a throttled call.
    paused_until: Instant,
    /// How long the last pause was, unless a call has succeeded since.
    pause: Duration,
    /// What a call consumes, on average.
    estimate: f64,
    measured_since: Instant,
    measured: f64,
    throttled: u64,
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let throttling = self.throttling();
        f.debug_tuple("Pacer").field(&throttling).finish()
    }
}

impl Pacer {
    /// A pacer that keeps reads to a limit, in units a second.
    #[must_use]
    pub fn new(read_units: Option<u32>) -> Self {
        let limit = read_units.map(|units| f64::from(units.max(1)));
        let now = Instant::now();
        Self {
            lanes: Arc::new(Mutex::new([Lane::new(limit, now), Lane::new(None, now)])),
        }
    }

    /// What DynamoDB has throttled so far.
    #[must_use]
    pub fn throttling(&self) -> Throttling {
        let now = Instant::now();
        let lanes = self.lock();
        Throttling {
            calls: lanes.iter().map(|lane| lane.throttled).sum(),
            waits: lanes.iter().any(|lane| now < lane.paused_until),
        }
    }

    /// How many items a page may have so that it costs less than a second's
    /// read units; `None` where nothing limits them.
    pub(super) fn page_items(&self) -> Option<i32> {
        let rate = self.lock()[0].rate()?;
        // At most 10 million, by the option's range.
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let items = (rate * ITEMS_PER_UNIT) as i32;
        Some(items.max(1))
    }

    /// Sends a call when it is its turn, and again after each time that
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

    /// Sends a call once, when it is its turn.
    pub(super) async fn send_once<T, F: Future<Output = T>>(
        &self,
        units: Units,
        call: impl Fn() -> F,
    ) -> T {
        // The turn is taken when it has come, and not before: by then the rate may
        // be another.
        let lasts = loop {
            match self.lane(units, |lane| lane.take_turn(Instant::now())) {
                Ok(lasts) => break lasts,
                Err(later) => tokio::time::sleep_until(later).await,
            }
        };
        let result = call().await;
        self.lane(units, |lane| lane.give_back(lasts));
        result
    }

    /// Notes what a call has consumed.
    pub(super) fn consumed(&self, read_units: f64, write_units: f64) {
        let now = Instant::now();
        for (units, consumed) in [(Units::Read, read_units), (Units::Write, write_units)] {
            if consumed > 0.0 {
                self.lane(units, |lane| lane.consumed(consumed, now));
            }
        }
    }

    /// Notes that DynamoDB has throttled a call: all others wait as well.
    pub(super) fn throttled(&self, units: Units) {
        self.lane(units, |lane| lane.throttled(Instant::now()));
    }

    fn lane<T>(&self, units: Units, with: impl FnOnce(&mut Lane) -> T) -> T {
        let [reads, writes] = &mut *self.lock();
        with(match units {
            Units::Read => reads,
            Units::Write => writes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, [Lane; 2]> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn new(limit: Option<f64>, now: Instant) -> Self {
        Self {
            limit,
            allowed: None,
            free_at: now,
            paused_until: now,
            pause: Duration::ZERO,
            estimate: 1.0,
            measured_since: now,
            measured: 0.0,
            throttled: 0,
        }
    }

    /// Units a second.
    fn rate(&self) -> Option<f64> {
        match (self.limit, self.allowed) {
            (Some(limit), Some(allowed)) => Some(limit.min(allowed)),
            (limit, allowed) => limit.or(allowed),
        }
    }

    fn lasts(&self, units: f64) -> Duration {
        self.rate().map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(units / rate).unwrap_or(Duration::ZERO)
        })
    }

    /// Takes the turn of a call of average cost: how long it occupies the lane,
    /// or when to try again.
    fn take_turn(&mut self, now: Instant) -> Result<Duration, Instant> {
        let at = self.free_at.max(self.paused_until);
        if at > now {
            return Err(at);
        }
        let lasts = self.lasts(self.estimate);
        self.free_at = now + lasts;
        Ok(lasts)
    }

    /// Takes the estimate back: what the call really took is counted as
    /// consumed.
    fn give_back(&mut self, lasts: Duration) {
        self.free_at = self.free_at.checked_sub(lasts).unwrap_or(self.free_at);
    }

    fn consumed(&mut self, units: f64, now: Instant) {
        self.pause = Duration::ZERO;
        self.estimate = 0.8 * self.estimate + 0.2 * units;
        if now.duration_since(self.measured_since) > MEASURED {
            self.measured_since = now;
            self.measured = 0.0;
        }
        self.measured += units;
        let lasts = self.lasts(units);
        if !lasts.is_zero() {
            self.free_at = self.free_at.max(now) + lasts;
        }
        if let Some(allowed) = &mut self.allowed {
            *allowed += units / RECOVERY_SECONDS;
        }
    }

    fn throttled(&mut self, now: Instant) {
        self.throttled += 1;
        // Calls that were under way together are throttled together: that is
        // one reason to slow down, not many.
        if now < self.paused_until {
            return;
        }
        let measured_for = now.duration_since(self.measured_since).as_secs_f64();
        let measured = self.measured / measured_for.max(1.0);
        let slower = match self.allowed {
            None => measured * FIRST_CUT,
            Some(allowed) => allowed * CUT,
        };
        self.allowed = Some(slower.max(LOWEST_RATE));
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let pause = self.pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.paused_until = now + pause;
    }
}

/// Tells the SDK not to retry throttled calls itself: the pacer does, for all
/// calls together and without a limit.
#[derive(Debug)]
pub(super) struct LeaveThrottled;

impl ClassifyRetry for LeaveThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let status = context
            .response()
            .map(|response| response.status().as_u16());
        match context.output_or_error() {
            Some(Err(error)) if operations::result(error, status) == operations::THROTTLED => {
                RetryAction::RetryForbidden
            }
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "LeaveThrottled"
    }

    fn priority(&self) -> RetryClassifierPriority {
        // The first to forbid a retry ends the classification.
        RetryClassifierPriority::run_before(RetryClassifierPriority::http_status_code_classifier())
    }
}

/// Whether a call was throttled, by the code of its error.
pub(super) fn by_code<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    let is_answer =
        matches!(error, SdkError::ServiceError(answer) if !answer.raw().status().is_server_error());
    is_answer && error.code().is_some_and(is_throttled)
}

/// Whether a transaction was throttled, by the reasons of its cancellation.
pub(super) fn by_reason(reasons: &[CancellationReason]) -> bool {
    let mut codes = reasons.iter().filter_map(CancellationReason::code);
    codes.any(is_throttled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of so many units a second, which throttles what exceeds them.
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

    /// Reads so many units by calls of two, 32 at a time.
    async fn read_all(pacer: &Pacer, capacity: &Mutex<Capacity>, calls: usize) -> Duration {
        use futures_util::{StreamExt, stream};
        let began = Instant::now();
        let read = || async {
            // One that hangs for ever would not be told from one that waits.
            if capacity.lock().expect("no panic").takes(2.0) {
                pacer.consumed(2.0, 0.0);
                Ok::<(), TestError>(())
            } else {
                pacer.throttled(Units::Read);
                Err(TestError::timeout_error("throttled"))
            }
        };
        stream::iter(0..calls)
            .for_each_concurrent(32, |_| async {
                pacer
                    .send(Units::Read, read, |_| true)
                    .await
                    .expect("an answer");
            })
            .await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_calls_are_sent_again_until_all_have_succeeded() {
        let capacity = Mutex::new(Capacity {
            rate: 5.0,
            tokens: 5.0,
            at: Instant::now(),
        });
        let pacer = Pacer::new(None);

        let took = read_all(&pacer, &capacity, 500).await;

        // 1,000 units at 5 a second take 200 seconds at best.
        assert!(took > Duration::from_secs(150), "{took:?}");
        assert!(took < Duration::from_mins(7), "{took:?}");
        let throttled = pacer.throttling().calls;
        assert!(throttled > 0 && throttled < 400, "{throttled} throttled");
    }

    #[tokio::test(start_paused = true)]
    async fn read_units_are_limited_without_a_throttled_call() {
        let capacity = Mutex::new(Capacity {
            rate: 1e9,
            tokens: 1e9,
            at: Instant::now(),
        });
        let pacer = Pacer::new(Some(20));

        let took = read_all(&pacer, &capacity, 500).await;

        assert!(took > Duration::from_secs(45), "{took:?}");
        assert!(took < Duration::from_mins(1), "{took:?}");
        assert_eq!(pacer.throttling(), Throttling::default());
    }
}
