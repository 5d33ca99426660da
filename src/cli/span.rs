//! The part of a list that a command prints.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;

use super::{CliError, CliResult};
use crate::model::{Position, SortKey};

#[derive(Args, Clone, Debug)]
pub(super) struct SpanArgs {
    /// Print only this year, in UTC
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(u16).range(..=9998), conflicts_with_all = ["from", "to"])]
    year: Option<u16>,
    /// Start of the time range, inclusive: a day in UTC, or a time with an offset
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// End of the time range, exclusive
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<DateTime<Utc>>,
    /// Maximum number of entries; the newest are printed
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Print all entries
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// Parses a time, or a day, whose beginning in UTC it means.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let day = text.parse::<NaiveDate>();
    let time = day
        .map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()))
        .map_err(|_| {
            "expected a day such as 2026-11-22, or a time such as 2026-11-22T06:29:00Z".to_owned()
        })?;
    SortKey::parse(SortKey::at(time).as_str()).map_err(|error| error.to_string())?;
    Ok(time)
}

impl SpanArgs {
    /// Returns the positions that bound the list, in chronological order.
    pub fn bounds(&self) -> CliResult<[Option<Position>; 2]> {
        let (from, to) = match self.year {
            Some(year) => (Some(beginning_of(year)?), Some(beginning_of(year + 1)?)),
            None => (self.from, self.to),
        };
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(CliError::Usage(
                "--from is after --to: nothing is in between".to_owned(),
            ));
        }
        let position = |time| Position::new(SortKey::before(time), 0);
        Ok([from, to].map(|time| time.map(position)))
    }
}

fn beginning_of(year: u16) -> CliResult<DateTime<Utc>> {
    let day = NaiveDate::from_ymd_opt(year.into(), 1, 1);
    let day = day.ok_or_else(|| CliError::Usage(format!("there is no year {year}")))?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}
