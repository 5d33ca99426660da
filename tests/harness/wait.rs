//! Waits for events.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Timeout of every wait: far longer than the wait takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_mins(3);
/// Interval between two checks of a condition that no event reports.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for an event.
pub async fn wait_for<T>(event: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(TIMEOUT, future).await;
    result.unwrap_or_else(|_| panic!("timeout: {event}"))
}

/// Checks a condition repeatedly until it holds.
pub async fn wait_until(condition: &str, mut holds: impl AsyncFnMut() -> bool) {
    let check = async {
        while !holds().await {
            sleep(CHECK_INTERVAL).await;
        }
    };
    wait_for(condition, check).await;
}
