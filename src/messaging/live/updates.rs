//! A subscription to the state of a viewer's groups: newest message and unread
//! count.

use std::collections::{HashMap, VecDeque};

use futures_util::{Stream, stream};

use super::error::LiveError;
use super::event::{BusEvent, RowState, RowsSnapshot};
use super::hint::Hint;
use super::local_bus::Listener;
use super::positions::floor;
use super::resync::Sources;
use crate::messaging::view::group_of_head;
use crate::messaging::viewer::Viewer;
use crate::model::{MessageGroup, MessageGroupId};

/// State of a group at its last update.
#[derive(Clone, Copy, Debug, Default)]
struct GroupAtUpdate {
    version: u64,
    seq: u64,
    unread_count: u64,
}

/// Follows the state of a viewer's groups. Several successive changes may be
/// combined into one update with the last state.
pub struct Updates {
    sources: Sources,
    viewer: Viewer,
    listener: Listener,
    states: HashMap<MessageGroupId, GroupAtUpdate>,
    /// Groups that have changed and whose state must be read.
    changed: VecDeque<MessageGroupId>,
}

impl GroupAtUpdate {
    fn of(row: &RowState) -> Self {
        Self {
            version: 0,
            seq: row.position.seq,
            unread_count: row.unread_count,
        }
    }

    fn is_same(self, row: &RowState) -> bool {
        (self.seq, self.unread_count) == (row.position.seq, row.unread_count)
    }
}

impl Updates {
    pub(super) async fn start(sources: Sources, viewer: &Viewer) -> Result<Self, LiveError> {
        let user = viewer.user().id;
        let listener = sources.listen(user).await;
        let states = if sources.bus.is_lossy() {
            let floor = floor(sources.clock.now());
            let rows = sources.rows_after(user, &floor).await?.into_iter();
            rows.map(|row| (row.group, GroupAtUpdate::of(&row)))
                .collect()
        } else {
            HashMap::new()
        };
        Ok(Self {
            sources,
            viewer: viewer.clone(),
            listener,
            states,
            changed: VecDeque::new(),
        })
    }

    /// Returns the stream of updates. The stream ends after its first error.
    pub fn changes(self) -> impl Stream<Item = Result<MessageGroup, LiveError>> {
        // Boxed, because the stream contains it several times.
        stream::try_unfold(Box::new(self), async |mut updates| {
            Ok(Some((updates.next().await?, updates)))
        })
    }

    /// Waits for the next state of a group.
    async fn next(&mut self) -> Result<MessageGroup, LiveError> {
        loop {
            let update = if let Some(id) = self.changed.pop_front() {
                let reader = &self.sources.reader;
                // Boxed: its future is large, and most subscriptions are idle.
                let found = Box::pin(reader.find_message_group(&self.viewer, id)).await?;
                found.and_then(|group| self.update(group))
            } else {
                match self.listener.queue.next().await {
                    None => return Err(LiveError::Behind("the client reads too slowly")),
                    Some(BusEvent::Hint(hint)) => self.take_hint(&hint),
                    Some(BusEvent::Rows(rows)) => {
                        self.take_rows(&rows);
                        None
                    }
                }
            };
            if let Some(update) = update {
                return Ok(update);
            }
        }
    }

    fn take_hint(&mut self, hint: &Hint) -> Option<MessageGroup> {
        let Some(newest) = hint.messages.last() else {
            self.has_changed(hint.group);
            return None;
        };
        let group = group_of_head(&self.viewer, &hint.head, newest.clone())?;
        self.update(group)
    }

    fn take_rows(&mut self, snapshot: &RowsSnapshot) {
        for row in &snapshot.rows {
            let state = self.states.get(&row.group);
            if !state.is_some_and(|state| state.is_same(row)) {
                self.has_changed(row.group);
            }
        }
    }

    fn has_changed(&mut self, group: MessageGroupId) {
        if !self.changed.contains(&group) {
            self.changed.push_back(group);
        }
    }

    /// Returns the group, unless the same or a later version was already
    /// reported.
    fn update(&mut self, group: MessageGroup) -> Option<MessageGroup> {
        let state = self.states.entry(group.id).or_default();
        if group.version <= state.version {
            return None;
        }
        *state = GroupAtUpdate {
            version: group.version,
            seq: group.last_message.seq,
            unread_count: group.unread_count,
        };
        Some(group)
    }
}
