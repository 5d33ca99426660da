//! The events that listeners receive.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::hint::Hint;
use crate::model::{MessageGroupId, Place};
use crate::store::FoundRow;

/// An event for a listener.
#[derive(Clone, Debug)]
pub(super) enum BusEvent {
    /// A write was committed.
    Hint(Arc<Hint>),
    /// The user's rows were read.
    Rows(Arc<RowsSnapshot>),
}

/// The rows of a user that are newer than 15 minutes before a time.
#[derive(Debug)]
pub(super) struct RowsSnapshot {
    pub as_of: DateTime<Utc>,
    pub rows: Vec<RowState>,
}

/// The state of a group that a row shows.
#[derive(Clone, Debug)]
pub(super) struct RowState {
    pub group: MessageGroupId,
    /// Position of the newest message.
    pub place: Place,
    pub unread_count: u64,
}

impl From<FoundRow> for RowState {
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
