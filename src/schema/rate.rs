//! The rate limit of each caller, for messages and for lookups of similar cost.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::ApiError;
use crate::model::UserId;

/// Number of tokens taken between two removals of full buckets. A removal
/// visits all buckets, so it is not done for each token.
const FORGET_EVERY: u32 = 1000;

/// A token bucket for each caller. A message takes one token, and so does a
/// lookup of a group that must read all rows of two users.
///
/// Each instance has its own buckets.
#[derive(Clone)]
pub struct SendRate {
    limiter: Option<Arc<Limiter>>,
}

struct Limiter {
    buckets: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
    taken: AtomicU32,
}

impl Default for SendRate {
    fn default() -> Self {
        Self::new(Self::PER_SECOND, Self::BURST)
    }
}

impl SendRate {
    /// The default rate in messages per second: more than a person can write.
    pub const PER_SECOND: u32 = 10;
    /// The default number of messages in a burst, such as the unsent messages of a client that was
    /// offline.
    pub const BURST: u32 = 50;

    /// Creates a rate limit. A rate of 0 disables it.
    pub fn new(a_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(a_second).map(|a_second| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(a_second).allow_burst(burst)
        });
        Self {
            limiter: quota.map(|quota| {
                Arc::new(Limiter {
                    buckets: RateLimiter::keyed(quota),
                    clock: DefaultClock::default(),
                    taken: AtomicU32::new(0),
                })
            }),
        }
    }

    /// Takes a token. If there is none, the error has the time until the next.
    pub(super) fn take(&self, caller: UserId) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if limiter.taken.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.buckets.retain_recent();
        }
        let taken = limiter.buckets.check_key(&caller);
        taken.map_err(|until| ApiError::RateLimited {
            retry_after: until.wait_time_from(limiter.clock.now()),
        })
    }
}
