//! A subscription to new messages. It delivers every message exactly once and in
//! order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep_until};

use super::contiguous::Contiguous;
use super::error::LiveError;
use super::event::{BusEvent, RowsSnapshot};
use super::hint::Hint;
use super::local_bus::Listener;
use super::positions::{Positions, floor};
use super::resync::Sources;
use crate::backoff::Backoff;
use crate::messaging::view::group_of_head;
use crate::messaging::viewer::Viewer;
use crate::model::{Message, MessageGroup, MessageGroupId, Position, SortKey};

/// Page size when messages are read to catch up: about 100 KB.
const PAGE: usize = 100;
/// Maximum number of messages that are ready for delivery, which bounds the
/// memory of a subscription. Later messages are read from the table when these
/// have been delivered.
const MAX_READY: usize = 256;
/// How long a message may be missing while a later one is readable. A write
/// becomes visible within the timeout of its request, which is also ten seconds.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// The first delay before the table is queried again for a missing message. Each
/// further delay is twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(25);

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
struct CatchUp {
    group: MessageGroupId,
    /// `seq` of the newest known message.
    seq: u64,
    /// When a message was first found missing; `None` if none is missing.
    since: Option<Instant>,
    backoff: Backoff,
    next: Instant,
}

/// Follows the messages of one group, or of all groups of a viewer.
pub struct Follower {
    sources: Sources,
    viewer: Viewer,
    only: Option<MessageGroupId>,
    listener: Listener,
    /// In a group without a position, no message after this key has been
    /// delivered.
    floor: SortKey,
    /// Position in each group of the newest message that was delivered or is
    /// ready for delivery.
    reached: HashMap<MessageGroupId, Position>,
    /// Position in each group of the newest message that was delivered.
    delivered: HashMap<MessageGroupId, Position>,
    /// Time up to which the positions in `delivered` are complete.
    as_of: DateTime<Utc>,
    /// The value of `as_of` after all known messages have been delivered.
    as_of_next: DateTime<Utc>,
    ready: VecDeque<(Message, Arc<MessageGroup>)>,
    catch_ups: Vec<CatchUp>,
}

/// The groups to follow, and the start position.
#[derive(Clone, Debug)]
pub enum Follow {
    /// All groups of the viewer: from now on, or from the given positions.
    All(Option<Positions>),
    /// One group: from now on, or after the given message.
    Group(MessageGroupId, Option<Position>),
}

impl Follower {
    pub(super) async fn start(
        sources: Sources,
        viewer: &Viewer,
        follow: Follow,
    ) -> Result<Self, LiveError> {
        let listener = sources.listen(viewer.user().id).await;
        let now = sources.clock.now();
        let mut follower = Self {
            sources,
            viewer: viewer.clone(),
            only: None,
            listener,
            floor: floor(now),
            reached: HashMap::new(),
            delivered: HashMap::new(),
            as_of: now,
            as_of_next: now,
            ready: VecDeque::new(),
            catch_ups: Vec::new(),
        };
        let is_new = matches!(follow, Follow::All(None) | Follow::Group(_, None));
        match follow {
            Follow::Group(group, after) => follower.begin_in_group(group, after).await?,
            Follow::All(after) => follower.begin(after).await?,
        }
        if is_new {
            follower.handle_waiting_hints();
        }
        Ok(follower)
    }

    /// Returns the stream of new messages. The stream ends after its first
    /// error.
    pub fn arrivals(self) -> impl Stream<Item = Result<Arrival, LiveError>> {
        // Boxed, because the stream contains it several times.
        stream::try_unfold(Box::new(self), async |mut follower| {
            Ok(Some((follower.next().await?, follower)))
        })
    }

    /// Starts in one group: after the given position, or after the newest message.
    async fn begin_in_group(
        &mut self,
        group: MessageGroupId,
        after: Option<Position>,
    ) -> Result<(), LiveError> {
        self.only = Some(group);
        let newest = self.sources.reader.newest_position(&self.viewer, group);
        let newest = newest.await?.ok_or(LiveError::MessageGroupNotFound)?;
        let begin = after.unwrap_or_else(|| newest.clone());
        if begin.key < newest.key {
            self.schedule_catch_up(group, newest.seq);
        }
        self.reached.insert(group, begin);
        Ok(())
    }

    /// Starts in all groups: after the given positions, or after the newest
    /// messages.
    async fn begin(&mut self, after: Option<Positions>) -> Result<(), LiveError> {
        let resumed = after.is_some();
        if let Some(after) = after {
            self.floor = floor(after.as_of);
            self.as_of = after.as_of;
            self.reached = after.known.ok_or(LiveError::Resync)?;
        }
        let user = self.viewer.user().id;
        let rows = self.sources.rows_after(user, &self.floor).await?;
        if resumed {
            if rows.len() > Positions::MAX {
                return Err(LiveError::Resync);
            }
            self.delivered.clone_from(&self.reached);
            self.handle_rows(&RowsSnapshot {
                as_of: self.as_of_next,
                rows,
            });
        } else {
            let positions = rows.into_iter().map(|row| (row.group, row.position));
            self.reached = positions.collect();
        }
        Ok(())
    }

    /// Processes the hints that arrived while the positions were read. Their
    /// messages are new even if the positions already include them.
    fn handle_waiting_hints(&mut self) {
        let waiting = self.listener.queue.take_all();
        for event in &waiting {
            if let BusEvent::Hint(hint) = event
                && let Some(first) = hint.messages.first()
                && let Some(reached) = self.reached.get_mut(&hint.group)
                && first.seq <= reached.seq
            {
                *reached = first.position_before();
            }
        }
        self.delivered.clone_from(&self.reached);
        for event in &waiting {
            self.handle(event);
        }
    }

    /// Waits for the next message.
    async fn next(&mut self) -> Result<Arrival, LiveError> {
        loop {
            if let Some((message, group)) = self.ready.pop_front() {
                return Ok(self.deliver(message, group));
            }
            let due = self.catch_ups.iter().map(|catch_up| catch_up.next).min();
            tokio::select! {
                event = self.listener.queue.next() => match event {
                    Some(event) => self.handle(&event),
                    None => return Err(LiveError::Behind("the client reads too slowly")),
                },
                // Boxed: its future is large, and most subscriptions are idle.
                () = until(due) => Box::pin(self.catch_up()).await?,
            }
        }
    }

    fn handle(&mut self, event: &BusEvent) {
        match event {
            BusEvent::Hint(hint) => {
                // `as_of_next` is set only if the listener has no other waiting
                // event, because this event may have waited for a long time.
                if !self.sources.bus.is_lossy() && self.listener.queue.is_empty() {
                    self.as_of_next = self.sources.clock.now();
                }
                self.handle_hint(hint);
            }
            BusEvent::Rows(rows) => self.handle_rows(rows),
        }
    }

    /// Makes the messages that directly follow the position ready for delivery.
    /// At a gap, or if too many messages are ready, the group is read from the
    /// table later.
    fn handle_hint(&mut self, hint: &Hint) {
        let Some(newest) = hint.messages.last().filter(|_| self.follows(hint.group)) else {
            return;
        };
        let Some(group) = group_of_head(&self.viewer, &hint.head, newest.clone()) else {
            return;
        };
        let mut catch_ups = self.catch_ups.iter();
        if catch_ups.any(|catch_up| catch_up.group == hint.group) {
            return self.schedule_catch_up(hint.group, newest.seq);
        }
        let group = Arc::new(group);
        for message in &hint.messages {
            let reached = self.reached.get(&hint.group);
            let reached = reached.map_or(0, |reached| reached.seq);
            // The position comes from a client's cursor and may be any number.
            let follows = Some(message.seq) == reached.checked_add(1);
            match message.seq {
                seq if seq <= reached => {}
                _ if follows && self.ready.len() < MAX_READY => {
                    self.make_ready(message.clone(), &group);
                }
                _ => return self.schedule_catch_up(hint.group, newest.seq),
            }
        }
    }

    /// Schedules a read of each group whose row shows a message after the position.
    fn handle_rows(&mut self, snapshot: &RowsSnapshot) {
        self.as_of_next = snapshot.as_of;
        for row in &snapshot.rows {
            let reached = self.reached.get(&row.group);
            let is_behind = reached.is_none_or(|reached| reached.seq < row.position.seq);
            if is_behind && self.follows(row.group) {
                self.schedule_catch_up(row.group, row.position.seq);
            }
        }
    }

    fn follows(&self, group: MessageGroupId) -> bool {
        self.only.is_none_or(|only| only == group)
    }

    fn make_ready(&mut self, message: Message, group: &Arc<MessageGroup>) {
        self.reached.insert(message.group_id, message.position());
        self.ready.push_back((message, Arc::clone(group)));
    }

    /// Records that a message is delivered, and adds the positions after it.
    fn deliver(&mut self, message: Message, group: Arc<MessageGroup>) -> Arrival {
        let positions = self.only.is_none().then(|| {
            self.delivered.insert(message.group_id, message.position());
            if self.ready.is_empty() && self.catch_ups.is_empty() {
                self.as_of = self.as_of_next;
            }
            Positions::newest_of(self.as_of, &self.delivered)
        });
        Arrival {
            message,
            group,
            positions,
        }
    }

    /// Schedules a read of the messages of a group up to a `seq`.
    fn schedule_catch_up(&mut self, group: MessageGroupId, seq: u64) {
        let mut waiting = self.catch_ups.iter_mut();
        if let Some(catch_up) = waiting.find(|catch_up| catch_up.group == group) {
            catch_up.seq = catch_up.seq.max(seq);
            return;
        }
        let now = Instant::now();
        self.catch_ups.push(CatchUp {
            group,
            seq,
            since: None,
            backoff: Backoff::new(FIRST_DELAY, MISSING_FOR, 1.0),
            next: now,
        });
    }

    /// Reads the next messages of the group whose next read is due first.
    async fn catch_up(&mut self) -> Result<(), LiveError> {
        let groups = self.catch_ups.iter().enumerate();
        let Some((index, _)) = groups.min_by_key(|(_, catch_up)| catch_up.next) else {
            return Ok(());
        };
        let (id, seq) = (self.catch_ups[index].group, self.catch_ups[index].seq);
        let reached = self.reached_in(id).await?;
        let store = &self.sources.messages;
        let page = store.messages_after(id, &reached.key, PAGE).await?;
        let is_full = page.len() == PAGE;
        let was_missing = self.catch_ups[index].since.is_some();
        let found = Contiguous::after(&reached, page, was_missing);
        let is_complete = !found.has_gap && !is_full && found.reaches >= seq;
        let found_some = !found.messages.is_empty();
        if found_some {
            let reader = &self.sources.reader;
            let group = reader.find_message_group(&self.viewer, id).await?;
            let group = Arc::new(group.ok_or(LiveError::MessageGroupNotFound)?);
            for message in found.messages {
                // The original's messages are old, even if their keys are in
                // the future.
                if message.seq == 0 && self.only.is_none() {
                    self.reached.insert(id, message.position());
                } else {
                    self.make_ready(message, &group);
                }
            }
        }
        let catch_up = &mut self.catch_ups[index];
        let now = Instant::now();
        if is_complete {
            self.catch_ups.swap_remove(index);
        } else if found_some {
            (catch_up.since, catch_up.next) = (None, now);
            catch_up.backoff.reset();
        } else if now.duration_since(*catch_up.since.get_or_insert(now)) >= MISSING_FOR {
            return Err(LiveError::Behind("a message is missing"));
        } else {
            catch_up.next = now + catch_up.backoff.next_delay();
        }
        Ok(())
    }

    /// Returns the position in a group. Without a known position, it is the
    /// group's newest message before the floor.
    async fn reached_in(&mut self, group: MessageGroupId) -> Result<Position, LiveError> {
        if let Some(reached) = self.reached.get(&group) {
            return Ok(reached.clone());
        }
        let store = &self.sources.messages;
        let newest = store.newest_before(group, &self.floor).await?;
        let reached = match newest {
            Some(newest) => newest.position(),
            None => Position::new(self.floor.clone(), 0),
        };
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
