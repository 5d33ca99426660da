//! Groups whose newest key is ahead of the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use moka::sync::Cache;
use tokio::sync::OnceCell;

use super::finding::{Finding, FindingKind, Remedy};
use crate::clock::Clock;
use crate::model::{Message, MessageGroupId, SortKey};
use crate::store::{FoundRow, MessageStore, StoreResult, message_partition};

/// How far ahead a key can be because of clock skew alone.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(10);

/// A group that has a key ahead of the clock.
#[derive(Debug, Default)]
struct AheadGroup {
    newest: OnceCell<Option<SortKey>>,
    is_reported: AtomicBool,
}

/// Finds groups that have a key ahead of the clock.
#[derive(Debug)]
pub(super) struct AheadGroups {
    messages: MessageStore,
    clock: Clock,
    groups: Cache<MessageGroupId, Arc<AheadGroup>>,
}

impl AheadGroups {
    /// Creates a finder that remembers up to `cached` groups.
    pub fn new(messages: MessageStore, clock: Clock, cached: u64) -> Self {
        Self {
            messages,
            clock,
            groups: Cache::new(cached),
        }
    }

    /// Reports the group of a message whose key is ahead of the clock. Each
    /// group is reported once, at its newest message. This costs one `Query`
    /// for each such group.
    pub async fn of_message(&self, message: &Message) -> StoreResult<Option<Finding>> {
        let Some(ahead) = self.ahead(&message.key) else {
            return Ok(None);
        };
        let group = self.groups.get_with(message.group_id, Arc::default);
        let read = || self.newest_key(message.group_id);
        let newest = group.newest.get_or_try_init(read).await?;
        let is_newest = newest.as_ref().is_none_or(|newest| message.key >= *newest);
        if !is_newest || group.is_reported.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let key = &message.key;
        let detail = format!(
            "the newest key {key} is {ahead} ahead of the clock: new messages are ordered after it"
        );
        let remedy = Remedy::Unknown("the problem ends when the clock reaches the key");
        Ok(Some(of_group(message.group_id, detail, remedy)))
    }

    /// Reports a row of a group without a head if the row's key is ahead of the
    /// clock. The caller checks that the key is also later than the group's
    /// newest message. The first write to the group would get a key after the
    /// row's key.
    pub fn of_row(&self, row: &FoundRow) -> Option<Finding> {
        let ahead = self.ahead(&row.key)?;
        let detail = format!("a row is at {}, {ahead} ahead of the clock", row.key);
        let remedy = Remedy::Group(row.group_id, Some(row.row_key()));
        Some(of_group(row.group_id, detail, remedy))
    }

    async fn newest_key(&self, group: MessageGroupId) -> StoreResult<Option<SortKey>> {
        let newest = self.messages.newest_message(group).await?;
        Ok(newest.map(|newest| newest.key))
    }

    /// Returns how far ahead of the clock a key is, or the key that the next
    /// message of its group would get, if that key is later.
    fn ahead(&self, key: &SortKey) -> Option<String> {
        let now = self.clock.now();
        let Some(next) = SortKey::next(now, [key]) else {
            return Some("an unlimited time".to_owned());
        };
        let ahead = next.created_at().max(key.created_at()) - now;
        (ahead > CLOCK_SKEW).then(|| in_words(ahead))
    }
}

/// Creates a finding about a group as a whole. Its key does not change with the
/// newest message, so an operator has to accept it only once.
fn of_group(group: MessageGroupId, detail: String, remedy: Remedy) -> Finding {
    Finding {
        reported_key: Some(message_partition(group)),
        ..Finding::new(FindingKind::FutureKey, Some(group), detail, remedy)
    }
}

/// Formats a duration in its two largest units.
fn in_words(time: TimeDelta) -> String {
    let (days, hours, minutes) = (time.num_days(), time.num_hours(), time.num_minutes());
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", time.num_seconds()),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_ahead_is_formatted_in_two_units() {
        for (seconds, expected) in [
            (42, "42 s"),
            (60 * 59, "59 min"),
            (5 * 3600 + 1800, "5 h 30 min"),
            (30 * 86_400 + 3600, "30 d 1 h"),
        ] {
            assert_eq!(in_words(TimeDelta::seconds(seconds)), expected);
        }
    }
}
