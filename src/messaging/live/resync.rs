//! Reads of a user's rows, which find messages whose hint was lost.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::bus::{Bus, Resync};
use super::event::{RowState, RowsSnapshot};
use super::local_bus::Listener;
use super::positions::{Positions, floor};
use crate::clock::Clock;
use crate::messaging::reader::Reader;
use crate::model::{SortKey, UserId};
use crate::store::{MessageStore, StoreError, StoreResult};

/// Delay between the two reads of the rows. A row that moves from one key to
/// another can be missed at both keys in one read, but not in two reads this
/// far apart.
const BETWEEN_READS: Duration = Duration::from_millis(50);
/// Average interval between reads of a user's rows if hints can be lost. Each
/// interval is random between 75 % and 125 % of this value. It delays a message
/// whose writer crashed before it published the hint.
const INTERVAL: Duration = Duration::from_secs(30);
/// Period over which the reads of all users' rows are spread after hints were
/// lost, so that they do not exceed the table's capacity.
const SPREAD: Duration = Duration::from_secs(2);
/// A message that is older than this was committed before the beginning of the
/// request: a write is attempted for at most 40 s, a request takes at most 10 s,
/// and the rest is for clock skew.
const COMMIT_DELAY: TimeDelta = TimeDelta::minutes(1);
/// Maximum number of concurrent reads of groups with a recent message, which
/// bounds the load that one request causes at a time.
const READS_AT_ONCE: usize = 16;
/// Delay before the next read after a failed one, for which subscribers wait.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Resolves when hints may have been lost, after a random delay that spreads
/// the users' reads.
async fn hints_were_lost(resync: &mut Resync) {
    if resync.hints_lost.changed().await.is_err() {
        tracing::error!("the subscriber of Redis has ended");
        return std::future::pending().await;
    }
    sleep(SPREAD.mul_f64(fastrand::f64())).await;
    resync.hints_lost.mark_unchanged();
}

/// The sources of a subscription's messages: the bus and the table.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub reader: Reader,
    pub messages: MessageStore,
    pub clock: Clock,
    pub bus: Bus,
}

impl Sources {
    /// Subscribes to a user's events, from the moment when this function
    /// returns.
    pub async fn listen(&self, user: UserId) -> Listener {
        let run = |resync| self.clone().resync(user, resync);
        self.bus.listen(user, run).await
    }

    /// Reads a user's rows after a key. Because a single read may miss a row
    /// that moves, this runs two strongly consistent `Query`s on `GRP#<user>`.
    pub async fn rows_after(&self, user: UserId, key: &SortKey) -> StoreResult<Vec<RowState>> {
        let mut rows = self.messages.rows_after(user, key).await?;
        sleep(BETWEEN_READS).await;
        rows.extend(self.messages.rows_after(user, key).await?);
        // The newest row of each group is inserted last and replaces older rows.
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        let states = rows.into_iter().map(|row| (row.group_id, row.into()));
        let newest: HashMap<_, RowState> = states.collect();
        Ok(newest.into_values().collect())
    }

    /// Returns positions in a user's groups before every message of the last
    /// minute. The rows alone do not show whether a message was committed
    /// before or after the beginning of the request.
    pub async fn positions(&self, user: UserId) -> StoreResult<Positions> {
        let as_of = self.clock.now();
        let recent = as_of - COMMIT_DELAY;
        let before_recent = SortKey::before(recent);
        let rows = self.rows_after(user, &floor(as_of)).await?;
        let (messages, before_recent) = (&self.messages, &before_recent);
        let positions = rows.into_iter().map(|row| async move {
            let position = if row.created_at < recent {
                Some(row.position)
            } else {
                let before = messages.newest_before(row.group, before_recent);
                before.await?.map(|message| message.position())
            };
            Ok::<_, StoreError>(position.map(|position| (row.group, position)))
        });
        let positions = stream::iter(positions).buffer_unordered(READS_AT_ONCE);
        let positions: Vec<_> = positions.try_collect().await?;
        let positions = positions.into_iter().flatten().collect();
        Ok(Positions::newest_of(as_of, &positions))
    }

    /// Reads a user's rows at intervals, and whenever hints may have been lost.
    async fn resync(self, user: UserId, mut resync: Resync) {
        let mut as_of = self.clock.now();
        resync.hints_lost.mark_unchanged();
        let mut delay = INTERVAL;
        loop {
            tokio::select! {
                () = hints_were_lost(&mut resync) => {}
                () = sleep(delay.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
            }
            let now = self.clock.now();
            match self.rows_after(user, &floor(as_of)).await {
                Ok(rows) => {
                    as_of = now;
                    delay = INTERVAL;
                    resync.publish(RowsSnapshot { as_of, rows });
                }
                Err(cause) => {
                    delay = RETRY_DELAY;
                    tracing::warn!(%cause, "the rows of a subscribed user could not be read");
                }
            }
        }
    }
}
