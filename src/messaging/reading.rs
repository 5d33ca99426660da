//! Reading groups and messages, each with a proof that the viewer may.
//!
//! "Not there" and "not yours" are the same: `None`.

use super::{Messaging, MessagingError, Viewer};
use crate::model::{
    End, Head, HeadRecord, Message, MessageGroup, MessageGroupId, MessageId, Page, PageRequest,
    SortKey, User, UserId,
};
use crate::store::Consistency;

/// How often a group is read anew that moves while it is read.
const TRIES: usize = 3;

/// What a page of messages may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing at the newest end.
    Newest,
    /// The last second or so; costs half. For the groups of a list.
    MayLag,
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
        let newest_end =
            request.after.is_none() && (request.end == End::First || request.before.is_some());
        let consistency = if newest_end {
            Consistency::Strong
        } else {
            Consistency::Eventual
        };
        Ok(self
            .messages
            .message_groups(viewer.user(), request, consistency)
            .await?)
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
        let head = self.find_head_for(viewer, group).await?;
        self.message_group_of(viewer, group, head).await
    }

    /// The viewer's group with another user: two or three `GetItem`s.
    pub async fn find_message_group_with(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> Result<Option<MessageGroup>, MessagingError> {
        if other == viewer.user().id {
            return Ok(None);
        }
        let pair = MessageGroupId::of_pair(viewer.user().id, other);
        match self.messages.find_head(pair).await? {
            None => Ok(None),
            Some(HeadRecord::AliasOf(group)) => self.find_message_group(viewer, group).await,
            Some(HeadRecord::Head(head)) => self.message_group_of(viewer, pair, Some(head)).await,
        }
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
            let Some(head) = self.find_head_for(viewer, group).await? else {
                return Ok(None);
            };
            let row = self
                .messages
                .find_message_group(viewer.user(), &head.last_message_key)
                .await?;
            if let Some(row) = row.filter(|row| row.id == group) {
                return Ok(row.other_user);
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
        let head = self.find_head_for(viewer, group).await?;
        Ok(head.and_then(|head| Some((other_of(head.participants, me)?, Some(head)))))
    }

    /// The group of a head, with its newest message. When that is not there the
    /// head was read just before it moved, and is read again.
    async fn message_group_of(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
        mut head: Option<Head>,
    ) -> Result<Option<MessageGroup>, MessagingError> {
        for _ in 0..TRIES {
            let Some(found) = head else { return Ok(None) };
            if let Some(newest) = self
                .messages
                .find_message(group, &found.last_message_key)
                .await?
            {
                return Ok(head_as_seen(viewer, &found, newest));
            }
            head = self.find_head_for(viewer, group).await?;
        }
        Err(MessagingError::unavailable(
            None,
            "a head's newest message is not there",
        ))
    }

    async fn takes_part(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<bool, MessagingError> {
        Ok(self.find_other_participant(viewer, group).await?.is_some())
    }

    /// The head of a group that the viewer takes part in. An alias is no group.
    async fn find_head_for(
        &self,
        viewer: &Viewer,
        group: MessageGroupId,
    ) -> Result<Option<Head>, MessagingError> {
        let Some(HeadRecord::Head(head)) = self.messages.find_head(group).await? else {
            return Ok(None);
        };
        self.participants.insert(group, head.participants);
        Ok(Some(head).filter(|head| other_of(head.participants, viewer.user().id).is_some()))
    }
}

/// Strong where the newest end is read, or caught up with; older history has
/// long been the same everywhere.
fn consistency(request: &PageRequest) -> Consistency {
    let newest_end =
        request.before.is_none() && (request.end == End::Last || request.after.is_some());
    if newest_end {
        Consistency::Strong
    } else {
        Consistency::Eventual
    }
}

/// The one of two who is not `me`; `None` when neither is.
fn other_of(participants: [UserId; 2], me: UserId) -> Option<UserId> {
    match participants {
        [one, other] | [other, one] if one == me => Some(other),
        _ => None,
    }
}

fn head_as_seen(viewer: &Viewer, head: &Head, newest: Message) -> Option<MessageGroup> {
    let other_user_id = other_of(head.participants, viewer.user().id)?;
    Some(MessageGroup {
        id: newest.group_id,
        other_user_id,
        other_user: Some(newest.sender.clone()).filter(|sender| sender.id == other_user_id),
        unread_count: head.unread_count(viewer.user().id),
        last_message: newest,
    })
}
