//! Reads of groups and messages. Each read requires proof that the viewer may
//! see the result.
//!
//! For a group that does not exist and for a group of other users, the result
//! is the same: `None`.

use std::time::Duration;

use moka::sync::Cache;

use super::heads_marker::HeadsMarker;
use super::view::{group_of_head, group_of_row};
use super::{MessagingError, MessagingResult, Viewer};
use crate::model::{
    Consistency, End, Head, HeadRecord, Message, MessageGroup, MessageGroupId, MessageId, Page,
    PageRequest, Participants, Position, SortKey, User, UserId,
};
use crate::store::{FoundRow, MAX_PAIR_PAGES, MessageStore, RowKey};

/// Maximum number of reads of a group that changes during each of them. A second
/// read rarely meets another write, because a write takes longer than a read.
const ATTEMPTS: usize = 3;

/// Size and time to idle of the cache of groups' participants. They only bound
/// the memory, at a few hundred bytes for each group: participants never
/// change, and the absence of a group is never cached.
const CACHED_GROUPS: u64 = 100_000;
const CACHED_FOR: Duration = Duration::from_hours(1);

/// Maximum count of groups with unread messages, as stated in the schema.
const MAX_UNREAD_GROUPS: u32 = 100;

/// Result of looking up the group of two users by their pair's UUID.
#[derive(Clone, Debug)]
pub enum PairLookup {
    /// Their group; `None` if they have none.
    Done(Option<Box<MessageGroup>>),
    /// The table has no heads marker, so the pair may have one of the
    /// original's groups. It can be found with
    /// [`find_message_group_by_rows`](Reader::find_message_group_by_rows).
    NeedsRows,
}

/// One of the viewer's groups, before its newest message is read.
enum FoundGroup {
    /// The group has a head.
    Headed(Head),
    /// The original wrote the group, which has no head. The row is the
    /// viewer's; if that is missing, it is the other participant's.
    Headless(FoundRow),
}

/// Reads groups and messages.
#[derive(Clone, Debug)]
pub struct Reader {
    messages: MessageStore,
    marker: HeadsMarker,
    participants: Cache<MessageGroupId, Participants>,
}

impl Reader {
    pub(super) fn new(messages: MessageStore, marker: HeadsMarker) -> Self {
        let participants = Cache::builder()
            .max_capacity(CACHED_GROUPS)
            .time_to_idle(CACHED_FOR)
            .build();
        Self {
            messages,
            marker,
            participants,
        }
    }

    /// Pattern B: a page of the viewer's message groups, most recently active
    /// first.
    ///
    /// This costs one `Query`, which is strongly consistent at the newest end.
    pub async fn message_groups(
        &self,
        viewer: &Viewer,
        request: &PageRequest,
    ) -> MessagingResult<Page<MessageGroup>> {
        let from_newest = request.end == End::First || request.before.is_some();
        let consistency = if request.after.is_none() && from_newest {
            Consistency::Strong
        } else {
            Consistency::Eventual
        };
        let (messages, user) = (&self.messages, viewer.user());
        let page = messages.message_groups(user, request, consistency);
        Ok(page.await?)
    }

    /// Pattern A: a page of a group's messages, oldest to newest; `None` if the
    /// viewer is not a participant.
    ///
    /// This costs one `GetItem` (none if the participants are cached) and one
    /// concurrent `Query`. The `Query` is strongly consistent at the newest
    /// end.
    pub async fn messages(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        request: &PageRequest,
    ) -> MessagingResult<Option<Page<Message>>> {
        let (is_participant, page) = tokio::join!(
            self.is_participant(viewer, group),
            self.messages
                .messages(group, request, consistency_of(request)),
        );
        Ok(if is_participant? { Some(page?) } else { None })
    }

    /// Returns a page of messages of a group that was already returned to the
    /// viewer.
    ///
    /// This costs one `Query`. With [`Consistency::Strong`], it is strongly
    /// consistent at the newest end.
    pub async fn messages_of(
        &self,
        group: &MessageGroup,
        request: &PageRequest,
        consistency: Consistency,
    ) -> MessagingResult<Page<Message>> {
        let consistency = match consistency {
            Consistency::Strong => consistency_of(request),
            Consistency::Eventual => Consistency::Eventual,
        };
        let page = self.messages.messages(group.id, request, consistency);
        Ok(page.await?)
    }

    /// Returns one of the viewer's groups. This costs two `GetItem`s, for the
    /// head and the newest message.
    pub async fn find_message_group(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<Option<MessageGroup>> {
        let found = self.find_for(viewer, group).await?;
        self.with_newest(viewer, group, found).await
    }

    /// Returns the position of the newest message of one of the viewer's
    /// groups. This costs one `GetItem`.
    pub(super) async fn newest_position(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<Option<Position>> {
        Ok(match self.find_for(viewer, group).await? {
            None => None,
            Some(FoundGroup::Headed(head)) => {
                Some(Position::new(head.last_message_key, head.message_count))
            }
            Some(FoundGroup::Headless(_)) => {
                let newest = self.messages.newest_message(group).await?;
                newest.map(|newest| newest.position())
            }
        })
    }

    /// Returns the viewer's group with another user.
    ///
    /// This costs one to three `GetItem`s, regardless of the number of groups
    /// that the two users have, and one `GetItem` a minute for the heads
    /// marker.
    pub async fn find_message_group_with(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> MessagingResult<PairLookup> {
        let me = viewer.user().id;
        if other == me {
            return Ok(PairLookup::Done(None));
        }
        let pair = MessageGroupId::of_pair(me, other);
        let found = match self.messages.find_head(pair).await? {
            Some(HeadRecord::Head(head)) => {
                let found = Some(FoundGroup::Headed(head));
                self.with_newest(viewer, pair, found).await?
            }
            Some(HeadRecord::AliasOf(group)) => self.find_message_group(viewer, group).await?,
            None if self.marker.is_present().await? => None,
            None => return Ok(PairLookup::NeedsRows),
        };
        Ok(PairLookup::Done(found.map(Box::new)))
    }

    /// Returns the viewer's group with another user for a table without the
    /// heads marker, if the pair's UUID has neither a head nor an alias. This
    /// runs `Query`s of all rows of both users, up to 32 MB each.
    pub async fn find_message_group_by_rows(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> MessagingResult<Option<MessageGroup>> {
        let pair = Participants([viewer.user().id, other]);
        let rows = self.messages.rows_of_pair(pair, MAX_PAIR_PAGES).await?;
        match rows.first() {
            Some(row) => self.find_message_group(viewer, row.group_id).await,
            None => Ok(None),
        }
    }

    /// Counts the viewer's groups with unread messages, up to 100. This runs
    /// `Query`s of the viewer's rows, limited to the newest 5 MB.
    pub async fn unread_message_group_count(
        &self,
        viewer: &Viewer,
        consistency: Consistency,
    ) -> MessagingResult<u32> {
        let (messages, owner) = (&self.messages, viewer.user().id);
        let count = messages.count_unread_rows(owner, MAX_UNREAD_GROUPS, consistency);
        Ok(count.await?)
    }

    /// Returns one message of the viewer's groups. This costs one or two
    /// concurrent `GetItem`s.
    pub async fn find_message(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        key: &SortKey,
        id: MessageId,
    ) -> MessagingResult<Option<Message>> {
        let (is_participant, message) = tokio::join!(
            self.is_participant(viewer, group),
            self.messages.find_message(group, key)
        );
        if !is_participant? {
            return Ok(None);
        }
        Ok(message?.filter(|message| message.id == id))
    }

    /// Returns the copy of the other participant in the viewer's row. It is
    /// shown if the user no longer exists or Postgres is unavailable. This
    /// costs two `GetItem`s.
    pub async fn copy_of_other_user(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<Option<User>> {
        for _ in 0..ATTEMPTS {
            let head = match self.find_for(viewer, group).await? {
                Some(FoundGroup::Headed(head)) => head,
                Some(FoundGroup::Headless(row)) if row.owner == viewer.user().id => {
                    return Ok(Some(row.other_user));
                }
                Some(FoundGroup::Headless(_)) | None => return Ok(None),
            };
            let key = RowKey::of_head(&head, viewer.user().id);
            let row = self.messages.find_row_at(&key).await?;
            if let Some(row) = row.filter(|row| row.group_id == group) {
                return Ok(Some(row.other_user));
            }
        }
        Ok(None)
    }

    /// Returns the other participant of one of the viewer's groups, with the
    /// head if it had to be read.
    pub(super) async fn find_other_participant(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<Option<(UserId, Option<Head>)>> {
        let me = viewer.user().id;
        if let Some(participants) = self.participants.get(&group) {
            return Ok(participants.other(me).map(|other| (other, None)));
        }
        let (participants, head) = match self.find_for(viewer, group).await? {
            None => return Ok(None),
            Some(FoundGroup::Headed(head)) => (head.participants, Some(head)),
            Some(FoundGroup::Headless(row)) => (row.participants(), None),
        };
        Ok(participants.other(me).map(|other| (other, head)))
    }

    async fn is_participant(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<bool> {
        let other = self.find_other_participant(viewer, group);
        Ok(other.await?.is_some())
    }

    /// Returns a group in which the viewer is a participant: by its head, or by
    /// the original's rows. An alias is not a group.
    ///
    /// This costs one `GetItem`, and without a head also one `Query` on the
    /// index. The index may lag, so a group that is not found, possibly because
    /// it has just received its head, is looked up once more.
    async fn find_for(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> MessagingResult<Option<FoundGroup>> {
        let me = viewer.user().id;
        for _ in 0..2 {
            match self.messages.find_head(group).await? {
                Some(HeadRecord::Head(head)) => {
                    self.participants.insert(group, head.participants);
                    let is_mine = head.participants.contains(&me);
                    return Ok(is_mine.then_some(FoundGroup::Headed(head)));
                }
                Some(HeadRecord::AliasOf(_)) => return Ok(None),
                None => {}
            }
            let rows = self.messages.rows_of_group(group).await?.into_iter();
            let rows = rows.filter(|row| row.participants().contains(&me));
            // The viewer's newest row, or else the other participant's.
            let row = rows.max_by_key(|row| (row.owner == me, row.key.clone()));
            if row.is_some() {
                return Ok(row.map(FoundGroup::Headless));
            }
        }
        Ok(None)
    }

    /// Returns a group with its newest message. If that message is missing, the
    /// head has changed since it was read, and both are read again.
    async fn with_newest(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        mut found: Option<FoundGroup>,
    ) -> MessagingResult<Option<MessageGroup>> {
        let mut version = None;
        for _ in 0..ATTEMPTS {
            match found {
                None => return Ok(None),
                Some(FoundGroup::Headless(row)) => {
                    let newest = self.messages.newest_message(group).await?;
                    return Ok(newest.and_then(|newest| group_of_row(viewer, row, newest)));
                }
                Some(FoundGroup::Headed(head)) => {
                    let newest = self.messages.find_message(group, &head.last_message_key);
                    version = Some(head.version);
                    if let Some(newest) = newest.await? {
                        return Ok(group_of_head(viewer, &head, newest));
                    }
                }
            }
            found = self.find_for(viewer, group).await?;
        }
        match found {
            // The head has not changed: the item at its key cannot be read.
            Some(FoundGroup::Headed(head)) if version == Some(head.version) => {
                let newest = self.messages.newest_message(group).await?;
                Ok(newest.and_then(|newest| group_of_head(viewer, &head, newest)))
            }
            _ => Err(MessagingError::unavailable(
                None,
                "the newest message of a head does not exist",
            )),
        }
    }
}

/// Returns strong consistency for the newest end and for reads that catch up
/// after a cursor. Older history does not change, so eventually consistent
/// reads suffice.
fn consistency_of(request: &PageRequest) -> Consistency {
    let to_newest = request.end == End::Last || request.after.is_some();
    if request.before.is_none() && to_newest {
        Consistency::Strong
    } else {
        Consistency::Eventual
    }
}
