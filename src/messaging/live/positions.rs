//! How far a subscription has come.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{MessageGroupId, Place, SortKey};

/// How late a message may be seen after the time that it was given. Longer than
/// a request's deadline, the skew of clocks and the validity of a request's
/// signature together.
pub(super) const LATEST: TimeDelta = TimeDelta::minutes(15);

/// How far all of a user's groups were told, as of a time: everything up to a
/// place was. A group without one had no message since 15 minutes before that
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The time.
    pub as_of: DateTime<Utc>,
    /// By group; `None` when there were too many to be kept.
    pub known: Option<HashMap<MessageGroupId, Place>>,
}

impl Positions {
    /// The most groups that are kept.
    pub const MOST: usize = 256;

    /// What is behind this has not been told of a group without a position.
    pub(super) fn floor(&self) -> SortKey {
        floor(self.as_of)
    }

    /// What is worth keeping of the positions in all groups.
    pub(super) fn newest_of(as_of: DateTime<Utc>, told: &HashMap<MessageGroupId, Place>) -> Self {
        let floor = floor(as_of);
        let newest = told.iter().filter(|(_, position)| position.key > floor);
        let known: HashMap<_, _> = newest
            .map(|(group, position)| (*group, position.clone()))
            .collect();
        Self {
            as_of,
            known: Some(known).filter(|known| known.len() <= Self::MOST),
        }
    }
}

/// The key in front of all that a look at `time` may miss.
pub(super) fn floor(time: DateTime<Utc>) -> SortKey {
    SortKey::in_front_of(time - LATEST)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn told(count: usize, key: &str) -> HashMap<MessageGroupId, Place> {
        let key = SortKey::parse(key).expect("a time");
        let position = Place { seq: 1, key };
        let groups = (0..count).map(|number| MessageGroupId(Uuid::from_u128(number as u128)));
        groups.map(|group| (group, position.clone())).collect()
    }

    #[test]
    fn positions_of_old_messages_and_of_too_many_groups_are_not_kept() {
        let as_of = "2026-11-22T06:29:00Z".parse().expect("a time");

        let kept = |told| {
            Positions::newest_of(as_of, &told)
                .known
                .map(|known| known.len())
        };

        assert_eq!(kept(told(3, "2026-11-22T06:14:01.000000+00:00")), Some(3));
        assert_eq!(kept(told(3, "2026-11-22T06:13:59.000000+00:00")), Some(0));
        assert_eq!(
            kept(told(256, "2026-11-22T06:28:00.000000+00:00")),
            Some(256)
        );
        assert_eq!(kept(told(257, "2026-11-22T06:28:00.000000+00:00")), None);
    }
}
