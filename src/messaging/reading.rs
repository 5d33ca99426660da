//! Reading groups and messages, each with a proof that the viewer may.
//!
//! "Not there" and "not yours" are the same: `None`.

use super::{Messaging, MessagingError, Viewer};
use crate::model::{
    End, Head, HeadRecord, Message, MessageGroup, MessageGroupId, MessageId, Page, PageRequest,
    Place, SortKey, User, UserId,
};
use crate::store::{Consistency, FoundRow};

/// How often a group is read anew that moves while it is read.
const TRIES: usize = 3;

/// How far groups with unread messages are counted.
const MOST_UNREAD: u32 = 100;

/// What a read may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing at the newest end.
    Newest,
    /// The last second or so; costs half. For the groups of a list.
    MayLag,
}

/// The group of two users, by their pair's uuid.
#[derive(Clone, Debug)]
pub enum PairLookup {
    /// Their group, or that they have none.
    Done(Option<Box<MessageGroup>>),
    /// The table is not marked as having a head for each group, so that one of
    /// the original's may be found by
    /// [`find_message_group_by_rows`](Messaging::find_message_group_by_rows).
    NeedsRows,
}

/// One of the viewer's groups, before its newest message is read.
enum Found {
    /// It has a head.
    Headed(Head),
    /// It was written before there were heads. The row is the viewer's, or the
    /// other participant's where the viewer's is missing.
    Headless(FoundRow),
}

impl Messaging {
    /// Pattern B: a page of the viewer's message groups, most recently active
    /// first.
    ///
    /// One `Query`; strongly consistent at the newest end.
    pub async fn message_groups(
        &self,
        viewer: &Viewer,
        request: &PageRequest,
    ) -> Result<Page<MessageGroup>, MessagingError> {
        let from_newest = request.end == End::First || request.before.is_some();
        let consistency = if request.after.is_none() && from_newest {
            Consistency::Strong
        } else {
            Consistency::Eventual
        };
        let page = self
            .messages
            .message_groups(viewer.user(), request, consistency);
        Ok(page.await?)
    }

    /// Pattern A: a page of a group's messages, oldest to newest; `None` when
    /// the viewer takes no part.
    ///
    /// One `GetItem` (none when the participants are known) and one `Query`,
    /// at the same time; strongly consistent at the newest end.
    pub async fn messages(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        request: &PageRequest,
    ) -> Result<Option<Page<Message>>, MessagingError> {
        let (takes_part, page) = tokio::join!(
            self.takes_part(viewer, group),
            self.messages.messages(group, request, consistency(request)),
        );
        Ok(if takes_part? { Some(page?) } else { None })
    }

    /// The same for a group that the viewer was shown: one `Query`.
    pub async fn messages_of(
        &self,
        group: &MessageGroup,
        request: &PageRequest,
        freshness: Freshness,
    ) -> Result<Page<Message>, MessagingError> {
        let consistency = match freshness {
            Freshness::Newest => consistency(request),
            Freshness::MayLag => Consistency::Eventual,
        };
        Ok(self
            .messages
            .messages(group.id, request, consistency)
            .await?)
    }

    /// One of the viewer's groups: two `GetItem`s, head and newest message.
    pub async fn find_message_group(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<MessageGroup>, MessagingError> {
        let found = self.find_at_version(viewer, group).await?;
        Ok(found.map(|(_, group)| group))
    }

    /// The same, with its version for the viewer; 0 where it has no head.
    pub(super) async fn find_at_version(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<(u64, MessageGroup)>, MessagingError> {
        let found = self.find_for(viewer, group).await?;
        self.with_newest(viewer, group, found).await
    }

    /// Where the newest message of one of the viewer's groups stands: one
    /// `GetItem`.
    pub(super) async fn newest_place(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<Place>, MessagingError> {
        Ok(match self.find_for(viewer, group).await? {
            None => None,
            Some(Found::Headed(head)) => Some(Place {
                key: head.last_message_key,
                seq: head.message_count,
            }),
            Some(Found::Headless(_)) => {
                let newest = self.messages.newest_message(group, Consistency::Strong);
                newest.await?.map(|newest| newest.place())
            }
        })
    }

    /// The viewer's group with another user: one to three `GetItem`s, however
    /// many groups the two have, and one a minute for the table's marker.
    pub async fn find_message_group_with(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> Result<PairLookup, MessagingError> {
        let me = viewer.user().id;
        if other == me {
            return Ok(PairLookup::Done(None));
        }
        let pair = MessageGroupId::of_pair(me, other);
        let found = match self.messages.find_head(pair).await? {
            Some(HeadRecord::Head(head)) => {
                let found = Some(Found::Headed(head));
                let found = self.with_newest(viewer, pair, found).await?;
                found.map(|(_, group)| group)
            }
            Some(HeadRecord::AliasOf(group)) => self.find_message_group(viewer, group).await?,
            None if self.marker.is_present().await? => None,
            None => return Ok(PairLookup::NeedsRows),
        };
        Ok(PairLookup::Done(found.map(Box::new)))
    }

    /// The same where the table is not marked and the pair's uuid leads
    /// nowhere: `Query`s of all rows of both users, to 32 MB each.
    pub async fn find_message_group_by_rows(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> Result<Option<MessageGroup>, MessagingError> {
        let me = viewer.user().id;
        let rows = self.messages.rows_of_pair_bounded(me, other).await?;
        match rows.first() {
            Some(row) => self.find_message_group(viewer, row.group_id).await,
            None => Ok(None),
        }
    }

    /// How many of the viewer's groups have unread messages, counted to 100:
    /// `Query`s of the viewer's rows, the newest 5 megabytes at most.
    pub async fn unread_message_group_count(
        &self,
        viewer: &Viewer,
        freshness: Freshness,
    ) -> Result<u32, MessagingError> {
        let consistency = match freshness {
            Freshness::Newest => Consistency::Strong,
            Freshness::MayLag => Consistency::Eventual,
        };
        let owner = viewer.user().id;
        let count = self
            .messages
            .count_unread_rows(owner, MOST_UNREAD, consistency);
        Ok(count.await?)
    }

    /// One message of the viewer's: one or two `GetItem`s, at the same time.
    pub async fn find_message(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        key: &SortKey,
        id: MessageId,
    ) -> Result<Option<Message>, MessagingError> {
        let (takes_part, message) = tokio::join!(
            self.takes_part(viewer, group),
            self.messages.find_message(group, key)
        );
        if !takes_part? {
            return Ok(None);
        }
        Ok(message?.filter(|message| message.id == id))
    }

    /// The copy of the other participant that the viewer's row keeps: what is
    /// shown of somebody who is gone, or while Postgres is. Two `GetItem`s.
    pub async fn copy_of_other_user(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<User>, MessagingError> {
        for _ in 0..TRIES {
            let head = match self.find_for(viewer, group).await? {
                Some(Found::Headed(head)) => head,
                Some(Found::Headless(row)) if row.owner == viewer.user().id => {
                    return Ok(Some(row.other_user));
                }
                Some(Found::Headless(_)) | None => return Ok(None),
            };
            let row = self
                .messages
                .find_row(viewer.user().id, &head.last_message_key)
                .await?;
            if let Some(row) = row.filter(|row| row.group_id == group) {
                return Ok(Some(row.other_user));
            }
        }
        Ok(None)
    }

    /// The other participant of one of the viewer's groups, with the head if
    /// that had to be read.
    pub(super) async fn find_other_participant(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<(UserId, Option<Head>)>, MessagingError> {
        let me = viewer.user().id;
        if let Some(participants) = self.participants.get(&group) {
            return Ok(other_of(participants, me).map(|other| (other, None)));
        }
        Ok(match self.find_for(viewer, group).await? {
            None => None,
            Some(Found::Headed(head)) => {
                other_of(head.participants, me).map(|other| (other, Some(head)))
            }
            Some(Found::Headless(row)) => other_in(&row, me).map(|other| (other, None)),
        })
    }

    async fn takes_part(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<bool, MessagingError> {
        let other = self.find_other_participant(viewer, group).await?;
        Ok(other.is_some())
    }

    /// A group that the viewer takes part in: by its head, or by the rows that
    /// it had before there were heads. An alias is no group.
    ///
    /// One `GetItem`; without a head one `Query` on the index as well. That may
    /// lag: a group that gets its head in between is looked for once more.
    async fn find_for(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<Found>, MessagingError> {
        let me = viewer.user().id;
        for _ in 0..2 {
            match self.messages.find_head(group).await? {
                Some(HeadRecord::Head(head)) => {
                    self.participants.insert(group, head.participants);
                    let mine = other_of(head.participants, me).is_some();
                    return Ok(mine.then_some(Found::Headed(head)));
                }
                Some(HeadRecord::AliasOf(_)) => return Ok(None),
                None => {}
            }
            let rows = self.messages.rows_of_group(group).await?;
            let (mine, others): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| row.owner == me);
            let theirs = others.into_iter().filter(|row| row.other_user.id == me);
            if let Some(row) = newest_row(mine.into_iter()).or_else(|| newest_row(theirs)) {
                return Ok(Some(Found::Headless(row)));
            }
        }
        Ok(None)
    }

    /// A group with its newest message, and its version for the viewer. Where
    /// that message is not there, the head was read just before it moved, and is
    /// read again.
    async fn with_newest(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        mut found: Option<Found>,
    ) -> Result<Option<(u64, MessageGroup)>, MessagingError> {
        let mut version = None;
        for _ in 0..TRIES {
            match found {
                None => return Ok(None),
                Some(Found::Headless(row)) => {
                    let newest = self
                        .messages
                        .newest_message(group, Consistency::Strong)
                        .await?;
                    let seen = newest.and_then(|newest| row_as_seen(viewer, row, newest));
                    return Ok(seen.map(|group| (0, group)));
                }
                Some(Found::Headed(head)) => {
                    let newest = self
                        .messages
                        .find_message(group, &head.last_message_key)
                        .await?;
                    version = Some(head.version);
                    if let Some(newest) = newest {
                        let seen = head_as_seen(viewer, &head, newest);
                        let version = head.version_for(viewer.user().id);
                        return Ok(seen.map(|group| (version, group)));
                    }
                }
            }
            found = self.find_for(viewer, group).await?;
        }
        match found {
            // It has not moved: what stands there cannot be read.
            Some(Found::Headed(head)) if version == Some(head.version) => {
                let consistency = Consistency::Strong;
                let newest = self.messages.newest_message(group, consistency).await?;
                let seen = newest.and_then(|newest| head_as_seen(viewer, &head, newest));
                let version = head.version_for(viewer.user().id);
                Ok(seen.map(|group| (version, group)))
            }
            _ => Err(MessagingError::unavailable(
                None,
                "a head's newest message is not there",
            )),
        }
    }
}

/// Strong where the newest end is read, or caught up with; older history has
/// long been the same everywhere.
fn consistency(request: &PageRequest) -> Consistency {
    let to_newest = request.end == End::Last || request.after.is_some();
    if request.before.is_none() && to_newest {
        Consistency::Strong
    } else {
        Consistency::Eventual
    }
}

fn newest_row(rows: impl Iterator<Item = FoundRow>) -> Option<FoundRow> {
    rows.max_by(|one, other| one.key.cmp(&other.key))
}

/// The one of two who is not `me`; `None` when neither is.
fn other_of(participants: [UserId; 2], me: UserId) -> Option<UserId> {
    match participants {
        [one, other] | [other, one] if one == me => Some(other),
        _ => None,
    }
}

/// The participant of a row who is not `me`; `None` when neither is.
fn other_in(row: &FoundRow, me: UserId) -> Option<UserId> {
    other_of([row.owner, row.other_user.id], me)
}

pub(super) fn head_as_seen(viewer: &Viewer, head: &Head, newest: Message) -> Option<MessageGroup> {
    let other_user_id = other_of(head.participants, viewer.user().id)?;
    Some(MessageGroup {
        id: newest.group_id,
        other_user_id,
        other_user: Some(newest.sender.clone()).filter(|sender| sender.id == other_user_id),
        key: newest.key.clone(),
        unread_count: head.unread_count(viewer.user().id),
        last_message: newest,
    })
}

/// A group without a head. Where only the other participant's row is left, it
/// stands where that does.
fn row_as_seen(viewer: &Viewer, row: FoundRow, newest: Message) -> Option<MessageGroup> {
    let me = viewer.user().id;
    let other_user_id = other_in(&row, me)?;
    let by_sender = Some(newest.sender.clone()).filter(|sender| sender.id == other_user_id);
    let by_row = (row.owner == me).then_some(row.other_user);
    Some(MessageGroup {
        id: row.group_id,
        other_user_id,
        other_user: by_row.or(by_sender),
        key: row.key,
        unread_count: 0,
        last_message: newest,
    })
}
