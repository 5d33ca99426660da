//! The sort key of a message in its group, and of a group among a user's
//! groups.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// The time at which a message was created, as stored in the table.
///
/// New keys have the format `2026-11-22T06:29:00.123456+00:00`: UTC and always
/// six digits, so that the order of the texts is the order of the times. The
/// original also stored other offsets, no offset (which means UTC) and no
/// fraction. The order is always the order of the *text*, because that is the
/// order of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SortKey {
    text: String,
    created_at: DateTime<Utc>,
}

/// The text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-11-22T06:29:00.123456+00:00")]
pub struct UnreadableTime(String);

/// Maximum length of a key in bytes. A time with nine digits and an offset has
/// 35.
const MAX_BYTES: usize = 40;

impl SortKey {
    /// Creates the key of a time, with microseconds.
    pub fn at(time: DateTime<Utc>) -> Self {
        let micros = time.nanosecond() / 1_000 * 1_000;
        Self {
            text: time.to_rfc3339_opts(SecondsFormat::Micros, false),
            created_at: time.with_nanosecond(micros).unwrap_or(time),
        }
    }

    /// Returns a text that sorts before the keys of `time` and of all later
    /// times, in every format, and after the keys of all earlier times.
    pub fn before(time: DateTime<Utc>) -> Self {
        let text = time.format("%Y-%m-%dT%H:%M:%S%.f").to_string();
        let mut text = text.trim_end_matches('0').to_owned();
        // The last text that sorts before all texts with this prefix.
        if let Some(last) = text.pop() {
            text.extend(char::from_u32(u32::from(last) - 1));
            text.push('~');
        }
        Self {
            text,
            created_at: time,
        }
    }

    /// Parses a key in any format that the table may contain.
    pub fn parse(text: &str) -> Result<Self, UnreadableTime> {
        Self::try_from(text.to_owned())
    }

    /// Returns the key exactly as stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the time of the key.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Returns the first key from `now` on whose text sorts after all of
    /// `taken`.
    ///
    /// Returns `None` if such a key needs a year of five digits, which would
    /// break the order.
    pub fn next<'a>(now: DateTime<Utc>, taken: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let Some(floor) = taken.into_iter().max() else {
            return Self::at(now).in_order();
        };
        let earliest = floor.wall_clock() + TimeDelta::microseconds(1);
        let candidate = Self::at(now.max(earliest));
        if candidate.text > floor.text {
            return candidate.in_order();
        }
        // As text, the key `…:00Z` sorts after `…:00.000001+00:00`.
        let next_second = earliest.with_nanosecond(0)? + TimeDelta::seconds(1);
        Self::at(next_second).in_order()
    }

    /// Returns the local time without the offset.
    ///
    /// The order of the texts ignores the offset, too.
    fn wall_clock(&self) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&self.text)
            .map_or(self.created_at, |time| time.naive_local().and_utc())
    }

    fn in_order(self) -> Option<Self> {
        self.text
            .starts_with(|c: char| c.is_ascii_digit())
            .then_some(self)
    }
}

impl TryFrom<String> for SortKey {
    type Error = UnreadableTime;

    fn try_from(text: String) -> Result<Self, UnreadableTime> {
        let begin = text.as_bytes().get(..5).unwrap_or_default();
        let four_digits =
            begin.iter().take(4).all(u8::is_ascii_digit) && begin.last() == Some(&b'-');
        if text.len() > MAX_BYTES || !four_digits {
            return Err(UnreadableTime(text));
        }
        let created_at = parse_written(&text).or_else(|| parse_any(&text));
        match created_at {
            Some(created_at) => Ok(Self { text, created_at }),
            None => Err(UnreadableTime(text)),
        }
    }
}

/// Parses the format of new keys. Most keys have it, and chrono takes several
/// times as long.
fn parse_written(text: &str) -> Option<DateTime<Utc>> {
    let bytes: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let separators = [4, 7, 10, 13, 16, 19].map(|position| bytes[position]);
    if separators != *b"--T::." || bytes[26..] != *b"+00:00" {
        return None;
    }
    let number = |digits: Range<usize>| {
        bytes[digits].iter().try_fold(0, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
            Some(number * 10 + digit?)
        })
    };
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?;
    let [hour, minute, second] = [number(11..13)?, number(14..16)?, number(17..19)?];
    let time = date.and_hms_micro_opt(hour, minute, second, number(20..26)?)?;
    Some(time.and_utc())
}

/// Parses every format that the table may contain.
fn parse_any(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let time = time.or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc()));
    time.ok()
}

impl From<SortKey> for String {
    fn from(key: SortKey) -> Self {
        key.text
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SortKey {
        SortKey::parse(text).expect("a time")
    }

    /// Returns the key of a time of the day.
    fn at(time: &str) -> SortKey {
        key(&format!("2026-11-22T{time}"))
    }

    #[test]
    fn sort_key_in_the_format_of_new_keys_has_the_same_time_as_by_chrono() {
        for text in [
            "2026-11-22T06:29:00.123456+00:00",
            "2024-02-29T23:59:59.999999+00:00",
            "0000-01-01T00:00:00.000000+00:00",
            "9999-12-31T23:59:59.000001+00:00",
        ] {
            let time = parse_written(text);
            assert!(time.is_some() && time == parse_any(text), "{text}");
        }
        for (text, is_time) in [
            ("2025-02-29T06:29:00.123456+00:00", false),
            ("2026-13-22T06:29:00.123456+00:00", false),
            ("2026-11-22T24:29:00.123456+00:00", false),
            ("2026-11-22T06:60:00.123456+00:00", false),
            ("2026-11-22T06:29:61.123456+00:00", false),
            ("2026-11-22T06:29:00.12345x+00:00", false),
            ("2026-11-22T06:29:00,123456+00:00", false),
            ("2026-11-22T06:29:00.123456+00:60", false),
            ("+026-11-22T06:29:00.123456+00:00", false),
            // A leap second and other offsets are in other formats.
            ("2016-12-31T23:59:60.123456+00:00", true),
            ("2026-11-22T06:29:00.123456+02:00", true),
        ] {
            assert!(parse_written(text).is_none(), "{text}");
            assert_eq!(SortKey::parse(text).is_ok(), is_time, "{text}");
        }
    }

    #[test]
    fn sort_key_keeps_every_format_of_the_original() {
        for (stored, meant) in [
            ("06:29:00.123456+00:00", "06:29:00.123456Z"),
            ("08:29:00.123456+02:00", "06:29:00.123456Z"),
            ("06:29:00+00:00", "06:29:00Z"),
            ("06:29:00.5", "06:29:00.5Z"),
            ("06:29:00", "06:29:00Z"),
        ] {
            let (stored, meant) = (format!("2026-11-22T{stored}"), at(meant));
            let read = key(&stored);
            assert_eq!(read.as_str(), stored);
            assert_eq!(read.created_at(), meant.created_at());
        }
        let endless = format!("2026-11-22T06:29:00.{}Z", "0".repeat(2000));
        for wrong in [
            "yesterday",
            "",
            "+12026-11-22T06:29:00",
            " 2026-11-22T06:29:00",
            &endless,
        ] {
            assert!(SortKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sort_key_of_a_time_has_six_digits_and_is_parsed_as_the_same_time() {
        let time = "2026-11-22T06:29:00.123456789Z".parse().expect("a time");
        let written = SortKey::at(time);
        assert_eq!(written.as_str(), "2026-11-22T06:29:00.123456+00:00");
        assert_eq!(written, key(written.as_str()));
    }

    #[test]
    fn sort_key_before_a_time_separates_earlier_keys_from_later_ones() {
        for (time, earlier, later) in [
            ("06:29:00Z", "06:28:59.999999+00:00", "06:29:00"),
            ("06:29:00Z", "06:28:59", "06:29:00.000000+00:00"),
            ("00:01:00Z", "00:00:59.999999+00:00", "00:01:00Z"),
            ("00:01:00Z", "00:00:59Z", "00:01:00+00:00"),
            ("06:29:00.5Z", "06:29:00.499999+00:00", "06:29:00.5"),
            ("06:29:00.5Z", "06:29:00", "06:29:00.500000+00:00"),
        ] {
            let place = SortKey::before(at(time).created_at());
            assert!(at(earlier) < place, "{earlier} {time}");
            assert!(at(later) > place, "{later} {time}");
        }
        let midnight = SortKey::before(at("00:00:00Z").created_at());
        assert!(key("2026-11-21T23:59:59.999999+00:00") < midnight);
        assert!(at("00:00:00") > midnight);
    }

    #[test]
    fn next_sort_key_is_after_all_taken_keys_even_if_the_clock_is_not() {
        let now = at("06:29:00Z").created_at();
        for (taken, next) in [
            ("06:28:59.999999+00:00", "06:29:00.000000+00:00"),
            ("06:29:00.000000+00:00", "06:29:00.000001+00:00"),
            ("08:29:00+02:00", "08:29:00.000001+00:00"),
            ("06:29:00", "06:29:00.000001+00:00"),
            ("06:29:00Z", "06:29:01.000000+00:00"),
            ("07:00:00.5+00:00", "07:00:00.500001+00:00"),
        ] {
            let found = SortKey::next(now, [&at(taken)]).expect("a key");
            assert_eq!(found, at(next));
            assert!(found > at(taken), "{found} is not behind {taken}");
        }
    }

    #[test]
    fn next_sort_key_does_not_exist_after_the_year_9999() {
        let now = "2026-11-22T06:29:00Z".parse().expect("a time");
        assert_eq!(
            SortKey::next(now, [&key("9999-12-31T23:59:59.999999+00:00")]),
            None
        );
    }
}
