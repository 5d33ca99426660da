//! The time at which the server accepted a message, if the message's key has
//! another time.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{SortKey, UnreadableTime};

/// The time at which the server accepted a message.
///
/// A message's key sorts after every other key of its group. If the newest key
/// of a group is ahead of the clock, the key of the next message has a later
/// time than the clock, and the clock's time is stored as this value. It has
/// the format of a key, with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcceptedAt(DateTime<Utc>);

impl AcceptedAt {
    /// The largest difference for which only the key is stored. A key differs by
    /// some microseconds from the clock if another message has the clock's time.
    const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

    /// Returns the time to store in addition to a key. Returns `None` if the
    /// difference is at most the tolerance.
    pub fn beside(key: &SortKey, accepted: DateTime<Utc>) -> Option<Self> {
        let difference = key.created_at() - accepted;
        (difference.abs() > Self::TOLERANCE).then(|| Self(accepted.trunc_subsecs(6)))
    }

    /// Returns the time.
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }
}

impl TryFrom<String> for AcceptedAt {
    type Error = UnreadableTime;

    fn try_from(text: String) -> Result<Self, UnreadableTime> {
        SortKey::parse(&text).map(|key| Self(key.created_at()))
    }
}

impl From<AcceptedAt> for String {
    fn from(accepted: AcceptedAt) -> Self {
        SortKey::at(accepted.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn accepted_at_is_stored_only_if_the_key_differs_by_more_than_a_second() {
        let accepted = time("2026-11-22T06:29:00.123456789Z");
        for (key, is_stored) in [
            ("2026-11-22T06:29:00.123456+00:00", false),
            ("2026-11-22T06:29:01.123456+00:00", false),
            ("2026-11-22T06:29:01.123457+00:00", true),
            ("2026-11-22T08:29:00.000000+00:00", true),
            ("2026-11-22T06:28:59.000000+00:00", true),
        ] {
            let key = SortKey::parse(key).expect("a key");
            let stored = AcceptedAt::beside(&key, accepted);
            assert_eq!(stored.is_some(), is_stored, "{key}");
        }
    }

    #[test]
    fn accepted_at_is_written_in_the_form_of_a_key_and_read_back_unchanged() {
        let key = SortKey::at(time("2026-11-22T08:29:00Z"));
        let accepted = AcceptedAt::beside(&key, time("2026-11-22T06:29:00.123456789Z"));
        let accepted = accepted.expect("two hours");

        let text = String::from(accepted);

        assert_eq!(text, "2026-11-22T06:29:00.123456+00:00");
        assert_eq!(AcceptedAt::try_from(text), Ok(accepted));
    }
}
