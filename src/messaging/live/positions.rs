//! Positions of a subscription to all groups.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{MessageGroupId, Position, SortKey};

/// Maximum delay between a message's time and the moment when it becomes
/// visible. It exceeds the sum of a request's deadline, the clock skew and the
/// validity of a request signature.
pub(super) const VISIBILITY_DELAY: TimeDelta = TimeDelta::minutes(15);

/// Position in each of a user's groups, as of a time. All messages up to a
/// group's position have been delivered. A group without a position had no
/// message in the 15 minutes before that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The time to which the positions apply.
    pub as_of: DateTime<Utc>,
    /// The positions by group; `None` if there were more than [`Self::MAX`].
    pub known: Option<HashMap<MessageGroupId, Position>>,
}

impl Positions {
    /// Maximum number of groups in a cursor, which then has at most 22 KB.
    pub const MAX: usize = 256;

    /// Keeps the positions that are after the floor; older ones are not needed
    /// to resume.
    pub(super) fn newest_of(
        as_of: DateTime<Utc>,
        delivered: &HashMap<MessageGroupId, Position>,
    ) -> Self {
        let floor = floor(as_of);
        let delivered = delivered.iter();
        let newest = delivered.filter(|(_, position)| position.key > floor);
        let known = newest.map(|(group, position)| (*group, position.clone()));
        let known: HashMap<_, _> = known.collect();
        Self {
            as_of,
            known: Some(known).filter(|known| known.len() <= Self::MAX),
        }
    }
}

/// Returns the key before all messages that a read at `time` may miss. If the [`Positions`] as of
/// `time` do not contain a group, no message of the group after this key has been delivered.
pub(super) fn floor(time: DateTime<Utc>) -> SortKey {
    SortKey::before(time - VISIBILITY_DELAY)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn positions(count: usize, key: &str) -> HashMap<MessageGroupId, Position> {
        let key = SortKey::parse(key).expect("a time");
        let position = Position { seq: 1, key };
        let groups = (0..count).map(|number| MessageGroupId(Uuid::from_u128(number as u128)));
        groups.map(|group| (group, position.clone())).collect()
    }

    #[test]
    fn positions_exclude_old_messages_and_too_many_groups() {
        let as_of = "2026-11-22T06:29:00Z".parse().expect("a time");

        for (count, key, kept) in [
            (3, "2026-11-22T06:14:01.000000+00:00", Some(3)),
            (3, "2026-11-22T06:13:59.000000+00:00", Some(0)),
            (256, "2026-11-22T06:28:00.000000+00:00", Some(256)),
            (257, "2026-11-22T06:28:00.000000+00:00", None),
        ] {
            let newest = Positions::newest_of(as_of, &positions(count, key));
            let found = newest.known.map(|known| known.len());
            assert_eq!(found, kept, "{count} {key}");
        }
    }
}
