//! A subscription to new messages. It delivers each message exactly once and in
//! order, and skips none.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep_until};

use super::bus::{Listener, News};
use super::hint::Hint;
use super::positions::{Positions, floor};
use super::rows::Look;
use super::run::Run;
use super::{Follow, LiveError};
use crate::messaging::reading::head_as_seen;
use crate::messaging::{Messaging, Viewer};
use crate::model::{Message, MessageGroup, MessageGroupId, Place, SortKey};

/// Page size when messages are read to catch up.
const PAGE: usize = 100;
/// Maximum number of messages that are ready for delivery. Later messages are
/// read from the table when these have been delivered.
const MOST_READY: usize = 256;
/// How long a message may be missing while a later one is readable.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first delay before the table is queried again for a missing message.
/// Each further delay is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// A new message, as delivered to a subscription.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The message.
    pub message: Message,
    /// The message's group, with this message or a newer one as its last
    /// message.
    pub group: Arc<MessageGroup>,
    /// The positions from which to resume after this message; `None` for a
    /// subscription to one group, where the message itself is the position.
    pub positions: Option<Positions>,
}

/// A group that has messages that must be read from the table.
#[derive(Debug)]
struct Behind {
    group: MessageGroupId,
    /// `seq` of the newest known message.
    seq: u64,
    /// When a message was first found missing; `None` if none is missing.
    since: Option<Instant>,
    pause: Duration,
    next: Instant,
}

/// Follows the messages of one group, or of all groups of a viewer.
pub struct Follower {
    messaging: Messaging,
    viewer: Viewer,
    only: Option<MessageGroupId>,
    listener: Listener,
    /// In a group without a position, no message after this key has been
    /// delivered.
    floor: SortKey,
    /// Position in each group of the newest message that was delivered or is
    /// ready for delivery.
    reached: HashMap<MessageGroupId, Place>,
    /// Position in each group of the newest message that was delivered.
    told: HashMap<MessageGroupId, Place>,
    /// Time up to which the positions in `told` are complete.
    as_of: DateTime<Utc>,
    /// The value of `as_of` after all known messages have been delivered.
    as_of_next: DateTime<Utc>,
    ready: VecDeque<(Message, Arc<MessageGroup>)>,
    behind: Vec<Behind>,
}

impl Messaging {
    /// Follows new messages.
    ///
    /// Without a start position, the subscription delivers every message that
    /// is committed after the call begins, and every message whose hint arrives
    /// after it begins. If another instance commits a message and its hint is
    /// lost, the message is delivered only if it is committed after the call
    /// returns.
    ///
    /// One group costs one `GetItem`. All groups cost two `Query`s of the rows
    /// that are newer than 15 minutes.
    pub async fn follow(&self, viewer: &Viewer, follow: Follow) -> Result<Follower, LiveError> {
        let listener = self.listen(viewer.user().id).await;
        let now = self.clock.now();
        let mut follower = Follower {
            messaging: self.clone(),
            viewer: viewer.clone(),
            only: None,
            listener,
            floor: floor(now),
            reached: HashMap::new(),
            told: HashMap::new(),
            as_of: now,
            as_of_next: now,
            ready: VecDeque::new(),
            behind: Vec::new(),
        };
        let is_new = matches!(follow, Follow::All(None) | Follow::Group(_, None));
        match follow {
            Follow::Group(group, after) => follower.begin_in(group, after).await?,
            Follow::All(after) => follower.begin(after).await?,
        }
        if is_new {
            follower.take_what_waits();
        }
        Ok(follower)
    }
}

impl Follower {
    /// Returns the stream of new messages. The stream ends after its first
    /// error.
    pub fn arrivals(self) -> impl Stream<Item = Result<Arrival, LiveError>> {
        stream::try_unfold(self, async |mut follower| {
            Ok(Some((follower.next().await?, follower)))
        })
    }

    async fn begin_in(
        &mut self,
        group: MessageGroupId,
        after: Option<Place>,
    ) -> Result<(), LiveError> {
        self.only = Some(group);
        let newest = self.messaging.newest_place(&self.viewer, group).await?;
        let newest = newest.ok_or(LiveError::NoSuchGroup)?;
        let begin = after.unwrap_or_else(|| newest.clone());
        if begin.key < newest.key {
            self.fall_behind(group, newest.seq);
        }
        self.reached.insert(group, begin);
        Ok(())
    }

    async fn begin(&mut self, after: Option<Positions>) -> Result<(), LiveError> {
        let resumed = after.is_some();
        if let Some(after) = after {
            self.floor = after.floor();
            self.as_of = after.as_of;
            self.reached = after.known.ok_or(LiveError::Resync)?;
        }
        let user = self.viewer.user().id;
        let rows = self.messaging.seen_behind(user, &self.floor).await?;
        if resumed {
            if rows.len() > Positions::MOST {
                return Err(LiveError::Resync);
            }
            self.told.clone_from(&self.reached);
            self.take_look(&Look {
                as_of: self.as_of_next,
                rows,
            });
        } else {
            let positions = rows.into_iter().map(|seen| (seen.group, seen.place));
            self.reached = positions.collect();
        }
        Ok(())
    }

    /// Processes the hints that arrived while the positions were read. Their
    /// messages are new even if the positions already include them.
    fn take_what_waits(&mut self) {
        let waiting = self.listener.waiting();
        for news in &waiting {
            if let News::Hint(hint) = news
                && let Some(first) = hint.messages.first()
                && let Some(reached) = self.reached.get_mut(&hint.group)
                && first.seq <= reached.seq
            {
                *reached = first.place_in_front();
            }
        }
        self.told.clone_from(&self.reached);
        for news in &waiting {
            self.take(news);
        }
    }

    async fn next(&mut self) -> Result<Arrival, LiveError> {
        loop {
            if let Some((message, group)) = self.ready.pop_front() {
                return Ok(self.tell(message, group));
            }
            let due = self.behind.iter().map(|behind| behind.next).min();
            tokio::select! {
                news = self.listener.next() => match news {
                    Some(news) => self.take(&news),
                    None => return Err(LiveError::Behind("its reader is too slow")),
                },
                () = until(due) => self.catch_up().await?,
            }
        }
    }

    fn take(&mut self, news: &News) {
        match news {
            News::Hint(hint) => {
                // `as_of_next` is set only if no further event waits, because
                // this event may have waited for a long time.
                if !self.messaging.bus.is_lossy() && self.listener.has_heard_all() {
                    self.as_of_next = self.messaging.clock.now();
                }
                self.take_hint(hint);
            }
            News::Look(look) => self.take_look(look),
        }
    }

    /// Makes the messages that directly follow the position ready for delivery.
    /// At a gap, or if too many messages are ready, the group is read from the
    /// table later.
    fn take_hint(&mut self, hint: &Hint) {
        let Some(newest) = hint.messages.last().filter(|_| self.follows(hint.group)) else {
            return;
        };
        let Some(group) = head_as_seen(&self.viewer, &hint.head, newest.clone()) else {
            return;
        };
        if self.behind.iter().any(|behind| behind.group == hint.group) {
            return self.fall_behind(hint.group, newest.seq);
        }
        let group = Arc::new(group);
        for message in &hint.messages {
            let reached = self
                .reached
                .get(&hint.group)
                .map_or(0, |reached| reached.seq);
            // The position comes from a client's cursor and may be any number.
            let follows = Some(message.seq) == reached.checked_add(1);
            match message.seq {
                seq if seq <= reached => {}
                _ if follows && self.ready.len() < MOST_READY => {
                    self.make_ready(message.clone(), &group);
                }
                _ => return self.fall_behind(hint.group, newest.seq),
            }
        }
    }

    fn take_look(&mut self, look: &Look) {
        self.as_of_next = look.as_of;
        for seen in &look.rows {
            let reached = self.reached.get(&seen.group);
            let is_behind = reached.is_none_or(|reached| reached.seq < seen.place.seq);
            if is_behind && self.follows(seen.group) {
                self.fall_behind(seen.group, seen.place.seq);
            }
        }
    }

    fn follows(&self, group: MessageGroupId) -> bool {
        self.only.is_none_or(|only| only == group)
    }

    fn make_ready(&mut self, message: Message, group: &Arc<MessageGroup>) {
        self.reached.insert(message.group_id, message.place());
        self.ready.push_back((message, Arc::clone(group)));
    }

    fn tell(&mut self, message: Message, group: Arc<MessageGroup>) -> Arrival {
        let positions = self.only.is_none().then(|| {
            self.told.insert(message.group_id, message.place());
            if self.ready.is_empty() && self.behind.is_empty() {
                self.as_of = self.as_of_next;
            }
            Positions::newest_of(self.as_of, &self.told)
        });
        Arrival {
            message,
            group,
            positions,
        }
    }

    fn fall_behind(&mut self, group: MessageGroupId, seq: u64) {
        let mut waiting = self.behind.iter_mut();
        if let Some(behind) = waiting.find(|behind| behind.group == group) {
            behind.seq = behind.seq.max(seq);
            return;
        }
        let now = Instant::now();
        self.behind.push(Behind {
            group,
            seq,
            since: None,
            pause: FIRST_PAUSE,
            next: now,
        });
    }

    /// Reads the next messages of the group whose next read is due first.
    async fn catch_up(&mut self) -> Result<(), LiveError> {
        let places = self.behind.iter().enumerate();
        let Some((place, _)) = places.min_by_key(|(_, behind)| behind.next) else {
            return Ok(());
        };
        let (id, seq) = (self.behind[place].group, self.behind[place].seq);
        let reached = self.reached_in(id).await?;
        let store = &self.messaging.messages;
        let page = store.messages_behind(id, &reached.key, PAGE).await?;
        let is_full = page.len() == PAGE;
        let was_missing = self.behind[place].since.is_some();
        let run = Run::behind(&reached, page, was_missing);
        let is_whole = !run.has_hole && !is_full && run.reaches >= seq;
        let found_some = !run.messages.is_empty();
        if found_some {
            let group = self.messaging.find_message_group(&self.viewer, id).await?;
            let group = Arc::new(group.ok_or(LiveError::NoSuchGroup)?);
            for message in run.messages {
                // The original's messages are old, even if their keys are in
                // the future.
                if message.seq == 0 && self.only.is_none() {
                    self.reached.insert(id, message.place());
                } else {
                    self.make_ready(message, &group);
                }
            }
        }
        let behind = &mut self.behind[place];
        let now = Instant::now();
        if is_whole {
            self.behind.swap_remove(place);
        } else if found_some {
            (behind.since, behind.next, behind.pause) = (None, now, FIRST_PAUSE);
        } else if now.duration_since(*behind.since.get_or_insert(now)) >= PATIENCE {
            return Err(LiveError::Behind("a message is missing"));
        } else {
            behind.next = now + behind.pause;
            behind.pause *= 2;
        }
        Ok(())
    }

    /// Returns the position in a group. Without a known position, it is the
    /// group's newest message before the floor.
    async fn reached_in(&mut self, group: MessageGroupId) -> Result<Place, LiveError> {
        if let Some(reached) = self.reached.get(&group) {
            return Ok(reached.clone());
        }
        let store = &self.messaging.messages;
        let newest = store.newest_in_front_of(group, &self.floor).await?;
        let reached = newest.map_or_else(
            || Place {
                seq: 0,
                key: self.floor.clone(),
            },
            |newest| newest.place(),
        );
        self.reached.insert(group, reached.clone());
        Ok(reached)
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
