//! Waiting for a database that is still starting.

use std::time::{Duration, Instant};

use super::{CliError, CliResult};
use crate::backoff::Backoff;

/// The first and the longest delay between attempts. The delays are short because a command waits,
/// and double so that a starting database does not receive many connections.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Interval at which the same cause is logged again, so that the log shows that the command waits.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Runs `attempt` until it succeeds, fails for a reason that waiting does not resolve, or `limit`
/// has passed.
pub(super) async fn wait_for_database<T>(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> CliResult<T>,
) -> CliResult<T> {
    let began = Instant::now();
    let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY, 1.0);
    let mut logged: Option<(String, Instant)> = None;
    loop {
        let error = match attempt().await {
            Err(CliError::Database(error)) if error.may_be_starting() => error,
            result => {
                if result.is_ok() && logged.is_some() {
                    let waited_s = began.elapsed().as_secs();
                    tracing::warn!(waited_s, "the database is available");
                }
                return result;
            }
        };
        let delay = backoff.next_delay();
        if began.elapsed() + delay >= limit {
            return Err(error.into());
        }
        let cause = error.to_string();
        let is_news = logged
            .as_ref()
            .is_none_or(|(last, at)| *last != cause || at.elapsed() >= LOG_EVERY);
        if is_news {
            let limit_s = limit.as_secs();
            tracing::warn!(cause, limit_s, "waiting for the database");
            logged = Some((cause, Instant::now()));
        }
        tokio::time::sleep(delay).await;
    }
}
