//! Admission control: limits on concurrent requests, and on the memory for responses that are being
//! produced or that clients have not read yet.

use std::future::pending;
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::rejection::Rejection;
use crate::telemetry::metrics::METRICS;

/// Memory for responses is counted in kilobytes, because a semaphore's permits are a `u32`.
const KILOBYTE: usize = 1024;

/// The permits for requests and the memory for responses that are still available.
#[derive(Clone, Debug)]
pub(super) struct AdmissionControl {
    requests: Arc<Semaphore>,
    response_kilobytes: Arc<Semaphore>,
    max_response_kilobytes: usize,
}

impl AdmissionControl {
    pub fn new(max_requests: usize, max_response_bytes: usize) -> Self {
        let max_response_kilobytes = max_response_bytes.div_ceil(KILOBYTE);
        Self {
            requests: Arc::new(Semaphore::new(max_requests)),
            response_kilobytes: Arc::new(Semaphore::new(max_response_kilobytes)),
            max_response_kilobytes,
        }
    }

    /// Returns a permit to execute a request, or rejects the request if all permits are in use.
    pub fn request_permit(&self) -> Result<SemaphorePermit<'_>, Rejection> {
        self.requests.try_acquire().map_err(|_| overloaded())
    }

    /// Reserves memory for a response of at most this many bytes, or rejects the request if there
    /// is too little.
    pub fn reserve(&self, bytes: usize) -> Result<ResponseBudget, Rejection> {
        let permits = Arc::clone(&self.response_kilobytes);
        let permits = permits.try_acquire_many_owned(self.kilobytes(bytes));
        permits.map(ResponseBudget::new).map_err(|_| overloaded())
    }

    /// Waits until there is memory for a response of at most this many bytes. Other responses
    /// release their memory in bounded time, because the server disconnects clients that do not
    /// read.
    pub async fn reserve_when_available(&self, bytes: usize) -> ResponseBudget {
        let permits = Arc::clone(&self.response_kilobytes);
        match permits.acquire_many_owned(self.kilobytes(bytes)).await {
            Ok(permits) => ResponseBudget::new(permits),
            // Only a closed semaphore fails, and this one is never closed.
            Err(_) => pending().await,
        }
    }

    /// Returns the number of permits for a response. A response that may be larger than the limit
    /// reserves all of the memory; a reservation above the limit would never succeed.
    fn kilobytes(&self, bytes: usize) -> u32 {
        let kilobytes = bytes.div_ceil(KILOBYTE).min(self.max_response_kilobytes);
        u32::try_from(kilobytes).unwrap_or(u32::MAX)
    }
}

fn overloaded() -> Rejection {
    Rejection::unavailable("The server is overloaded. Try again.")
}

/// Memory that is reserved for a response until its client has read it.
#[derive(Debug)]
pub(super) struct ResponseBudget(OwnedSemaphorePermit);

impl ResponseBudget {
    fn new(permits: OwnedSemaphorePermit) -> Self {
        let budget = Self(permits);
        METRICS.response_memory.inc_by(budget.bytes());
        budget
    }

    fn bytes(&self) -> i64 {
        i64::try_from(self.0.num_permits() * KILOBYTE).unwrap_or(i64::MAX)
    }

    /// Releases the part of the reservation that exceeds the size of the serialized response.
    #[must_use]
    pub fn shrink_to(mut self, bytes: usize) -> Self {
        let used = bytes.div_ceil(KILOBYTE);
        let unused = self.0.num_permits().saturating_sub(used);
        // Dropping the unused part releases it.
        drop(self.0.split(unused).map(Self));
        self
    }

    /// Shrinks the reservation to the response's size, and binds it to the response: the
    /// reservation is released when no part of the response is in memory any more.
    pub fn bind(self, response: Vec<u8>) -> Bytes {
        Bytes::from_owner(BoundResponse {
            _budget: self.shrink_to(response.len()),
            text: response,
        })
    }
}

impl Drop for ResponseBudget {
    fn drop(&mut self) {
        METRICS.response_memory.inc_by(-self.bytes());
    }
}

struct BoundResponse {
    text: Vec<u8>,
    _budget: ResponseBudget,
}

impl AsRef<[u8]> for BoundResponse {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_budget_is_held_until_the_last_part_of_the_response_is_dropped() {
        let admission = AdmissionControl::new(1, 10 * KILOBYTE);
        let budget = admission.reserve(8 * KILOBYTE).expect("memory");
        assert!(admission.reserve(3 * KILOBYTE).is_err());

        let response = budget.bind(vec![b' '; 2 * KILOBYTE]);
        let rest = response.slice(1..2);
        drop(response);

        assert!(admission.reserve(9 * KILOBYTE).is_err());
        assert!(admission.reserve(8 * KILOBYTE).is_ok());
        drop(rest);
        assert!(admission.reserve(10 * KILOBYTE).is_ok());
        assert!(
            admission.reserve(11 * KILOBYTE).is_ok(),
            "a response larger than the limit gets all of the memory"
        );
    }
}
