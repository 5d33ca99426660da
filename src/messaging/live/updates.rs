//! A subscription to the state of a viewer's groups: newest message and unread
//! count.

use std::collections::{HashMap, VecDeque};

use futures_util::{Stream, stream};

use super::LiveError;
use super::bus::{Listener, News};
use super::hint::Hint;
use super::positions::floor;
use super::rows::{Look, Seen};
use crate::messaging::reading::head_as_seen;
use crate::messaging::{Messaging, Viewer};
use crate::model::{MessageGroup, MessageGroupId};

/// A group after a change.
#[derive(Clone, Debug)]
pub struct Update {
    /// Increases with each change of the group that concerns the viewer.
    pub version: u64,
    /// The group.
    pub group: MessageGroup,
}

/// State of a group at its last update.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    version: u64,
    seq: u64,
    unread_count: u64,
}

/// Follows the state of a viewer's groups. Several successive changes may be
/// combined into one update with the last state.
pub struct Updates {
    messaging: Messaging,
    viewer: Viewer,
    listener: Listener,
    states: HashMap<MessageGroupId, State>,
    /// Groups that have changed and whose state must be read.
    changed: VecDeque<MessageGroupId>,
}

impl Messaging {
    /// Follows the state of the viewer's groups. If hints can be lost, this
    /// costs two `Query`s of the rows that are newer than 15 minutes; otherwise
    /// nothing.
    pub async fn follow_groups(&self, viewer: &Viewer) -> Result<Updates, LiveError> {
        let user = viewer.user().id;
        let listener = self.listen(user).await;
        let mut updates = Updates {
            messaging: self.clone(),
            viewer: viewer.clone(),
            listener,
            states: HashMap::new(),
            changed: VecDeque::new(),
        };
        if self.bus.is_lossy() {
            let rows = self.seen_behind(user, &floor(self.clock.now())).await?;
            let states = rows.into_iter().map(|seen| (seen.group, State::of(&seen)));
            updates.states = states.collect();
        }
        Ok(updates)
    }
}

impl State {
    fn of(seen: &Seen) -> Self {
        Self {
            version: 0,
            seq: seen.place.seq,
            unread_count: seen.unread_count,
        }
    }

    fn shows(self, seen: &Seen) -> bool {
        (self.seq, self.unread_count) == (seen.place.seq, seen.unread_count)
    }
}

impl Updates {
    /// Returns the stream of updates. The stream ends after its first error.
    pub fn changes(self) -> impl Stream<Item = Result<Update, LiveError>> {
        stream::try_unfold(self, async |mut updates| {
            Ok(Some((updates.next().await?, updates)))
        })
    }

    async fn next(&mut self) -> Result<Update, LiveError> {
        loop {
            let update = if let Some(id) = self.changed.pop_front() {
                let found = self.messaging.find_at_version(&self.viewer, id).await?;
                found.and_then(|(version, group)| self.tell(version, group))
            } else {
                match self.listener.next().await {
                    None => return Err(LiveError::Behind("its reader is too slow")),
                    Some(News::Hint(hint)) => self.take_hint(&hint),
                    Some(News::Look(look)) => {
                        self.take_look(&look);
                        None
                    }
                }
            };
            if let Some(update) = update {
                return Ok(update);
            }
        }
    }

    fn take_hint(&mut self, hint: &Hint) -> Option<Update> {
        let Some(newest) = hint.messages.last() else {
            self.has_changed(hint.group);
            return None;
        };
        let group = head_as_seen(&self.viewer, &hint.head, newest.clone())?;
        let version = hint.head.version_for(self.viewer.user().id);
        self.tell(version, group)
    }

    fn take_look(&mut self, look: &Look) {
        for seen in &look.rows {
            let known = self.states.get(&seen.group);
            if !known.is_some_and(|state| state.shows(seen)) {
                self.has_changed(seen.group);
            }
        }
    }

    fn has_changed(&mut self, group: MessageGroupId) {
        if !self.changed.contains(&group) {
            self.changed.push_back(group);
        }
    }

    /// Returns an update, unless the same or a later version was already
    /// reported.
    fn tell(&mut self, version: u64, group: MessageGroup) -> Option<Update> {
        let state = self.states.entry(group.id).or_default();
        if version <= state.version {
            return None;
        }
        *state = State {
            version,
            seq: group.last_message.seq,
            unread_count: group.unread_count,
        };
        Some(Update { version, group })
    }
}
