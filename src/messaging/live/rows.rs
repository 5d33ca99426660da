//! Reads of a user's rows, to find messages whose hint was lost.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::bus::{Listener, Looks};
use super::positions::floor;
use crate::messaging::Messaging;
use crate::model::{MessageGroupId, Place, SortKey, UserId};
use crate::store::{FoundRow, StoreError};

/// Delay between the two reads of the rows. A row that moves from one key to
/// another can be missed at both keys in one read, but not in two reads this
/// far apart.
const APART: Duration = Duration::from_millis(50);
/// Interval between reads of a user's rows if hints can be lost.
const EVERY: Duration = Duration::from_secs(30);
/// Period over which the reads of all users' rows are spread after hints were
/// lost.
const NOT_AT_ONCE: Duration = Duration::from_secs(2);
/// Delay before the next read after a failed one.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// Resolves when hints may have been lost, after a random delay that spreads
/// the users' reads.
async fn hints_were_lost(looks: &mut Looks) {
    if looks.again.changed().await.is_err() {
        tracing::error!("nobody listens to Redis any more");
        return std::future::pending().await;
    }
    sleep(NOT_AT_ONCE.mul_f64(fastrand::f64())).await;
    looks.again.mark_unchanged();
}

/// The rows of a user that are newer than 15 minutes before a time.
#[derive(Debug)]
pub(super) struct Look {
    pub as_of: DateTime<Utc>,
    pub rows: Vec<Seen>,
}

/// The state that a row shows.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub group: MessageGroupId,
    /// Position of the newest message.
    pub place: Place,
    pub unread_count: u64,
}

impl From<FoundRow> for Seen {
    fn from(row: FoundRow) -> Self {
        Self {
            group: row.group_id,
            place: Place {
                seq: row.preview.map_or(0, |preview| preview.seq),
                key: row.key,
            },
            unread_count: row.unread_count,
        }
    }
}

impl Messaging {
    /// Subscribes to a user's events, from the moment when this function
    /// returns.
    pub(super) async fn listen(&self, user: UserId) -> Listener {
        let look = |looks| self.clone().look_through(user, looks);
        self.bus.listen(user, look).await
    }

    /// Reads a user's rows after a key. Because a single read may miss a row
    /// that moves, this runs two strongly consistent `Query`s on `GRP#<user>`.
    pub(super) async fn seen_behind(
        &self,
        user: UserId,
        key: &SortKey,
    ) -> Result<Vec<Seen>, StoreError> {
        let mut rows = self.messages.rows_behind(user, key).await?;
        sleep(APART).await;
        rows.extend(self.messages.rows_behind(user, key).await?);
        // The newest row of each group is inserted last and wins.
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        let newest: HashMap<_, _> = rows
            .into_iter()
            .map(|row| (row.group_id, Seen::from(row)))
            .collect();
        Ok(newest.into_values().collect())
    }

    /// Reads a user's rows at intervals, and whenever hints may have been lost.
    async fn look_through(self, user: UserId, mut looks: Looks) {
        let mut as_of = self.clock.now();
        looks.again.mark_unchanged();
        let mut pause = EVERY;
        loop {
            tokio::select! {
                () = hints_were_lost(&mut looks) => {}
                () = sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
            }
            let now = self.clock.now();
            match self.seen_behind(user, &floor(as_of)).await {
                Ok(rows) => {
                    as_of = now;
                    pause = EVERY;
                    looks.tell(Look { as_of, rows });
                }
                Err(cause) => {
                    pause = AFTER_FAULT;
                    tracing::warn!(%cause, "a user's rows could not be looked through");
                }
            }
        }
    }
}
