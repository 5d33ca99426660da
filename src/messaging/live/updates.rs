//! A subscription to how a viewer's groups stand: what they show, and how much
//! of them is unread.

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

/// A group as it stands since a change.
#[derive(Clone, Debug)]
pub struct Update {
    /// Rises with every change of the group for the viewer.
    pub version: u64,
    /// The group.
    pub group: MessageGroup,
}

/// How a group was when it was last told of.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    version: u64,
    seq: u64,
    unread_count: u64,
}

/// Follows how a viewer's groups stand. Of several changes in a row it may tell
/// the last one alone.
pub struct Updates {
    messaging: Messaging,
    viewer: Viewer,
    listener: Listener,
    states: HashMap<MessageGroupId, State>,
    /// Groups that have changed, and have to be read to know how.
    changed: VecDeque<MessageGroupId>,
}

impl Messaging {
    /// Follows how the viewer's groups stand. Two `Query`s of what is newer than
    /// 15 minutes where hints may get lost, else nothing.
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
    /// The changes as they come. It ends with its first error.
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

    /// Tells of a group, unless a later state was told.
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
