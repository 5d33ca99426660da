//! The events that listeners receive.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::hint::Hint;
use crate::model::{AcceptedAt, MessageGroupId, Position};
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
    pub position: Position,
    /// Time of the newest message.
    pub created_at: DateTime<Utc>,
    pub unread_count: u64,
}

impl From<FoundRow> for RowState {
    fn from(row: FoundRow) -> Self {
        let accepted_at = row.preview.as_ref().and_then(|preview| preview.accepted_at);
        Self {
            group: row.group_id,
            created_at: accepted_at.map_or_else(|| row.key.created_at(), AcceptedAt::time),
            position: Position::new(row.key, row.preview.map_or(0, |preview| preview.seq)),
            unread_count: row.unread_count,
        }
    }
}
