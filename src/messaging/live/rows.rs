//! Looking through a user's rows for what no hint has told.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::bus::{Listener, Looks};
use super::positions::floor;
use crate::messaging::Messaging;
use crate::model::{MessageGroupId, Place, SortKey, UserId};
use crate::store::{FoundRow, StoreError};

/// How long apart two looks are. A row that moves between two keys may show at
/// neither of them, but not for so long.
const APART: Duration = Duration::from_millis(50);
/// How often a user's rows are looked through where hints may get lost.
const EVERY: Duration = Duration::from_secs(30);
/// Within which time all users' rows are looked through when hints were lost.
const NOT_AT_ONCE: Duration = Duration::from_secs(2);
/// How long is waited after a look that failed.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// Resolves when hints may have been lost, and then not for all users at once.
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

/// What a row shows.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub group: MessageGroupId,
    /// Of the newest message.
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
    /// Listens to what concerns a user, from when this returns on.
    pub(super) async fn listen(&self, user: UserId) -> Listener {
        let look = |looks| self.clone().look_through(user, looks);
        self.bus.listen(user, look).await
    }

    /// A user's rows behind a key. Looked at twice, since one look may miss a
    /// row that moves: two `Query`s on `GRP#<user>`, strongly consistent.
    pub(super) async fn seen_behind(
        &self,
        user: UserId,
        key: &SortKey,
    ) -> Result<Vec<Seen>, StoreError> {
        let mut rows = self.messages.rows_behind(user, key).await?;
        sleep(APART).await;
        rows.extend(self.messages.rows_behind(user, key).await?);
        // The last of a group stays.
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        let newest: HashMap<_, _> = rows
            .into_iter()
            .map(|row| (row.group_id, Seen::from(row)))
            .collect();
        Ok(newest.into_values().collect())
    }

    /// Looks through a user's rows now and then, and whenever hints may have
    /// been lost.
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
