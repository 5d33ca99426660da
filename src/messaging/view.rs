//! Message groups as one participant sees them.

use super::Viewer;
use crate::model::{Head, Message, MessageGroup, User, UserId};
use crate::store::FoundRow;

/// Returns a group with a head as the viewer sees it; `None` if the viewer is
/// not a participant.
pub(super) fn group_of_head(viewer: &Viewer, head: &Head, newest: Message) -> Option<MessageGroup> {
    let other = head.participants.other(viewer.user().id)?;
    let sender = Some(newest.sender.clone()).filter(|sender| sender.id == other);
    Some(group_with_other_user(viewer, head, newest, other, sender))
}

/// Returns a group with a head as the viewer sees it, with the given other
/// participant.
pub(super) fn group_with_other_user(
    viewer: &Viewer,
    head: &Head,
    newest: Message,
    other_user_id: UserId,
    other_user: Option<User>,
) -> MessageGroup {
    MessageGroup {
        id: newest.group_id,
        other_user_id,
        other_user,
        key: newest.key.clone(),
        unread_count: head.unread_count(viewer.user().id),
        version: head.version_for(viewer.user().id),
        last_message: newest,
    }
}

/// Returns a group without a head as the viewer sees it. If only the other
/// participant's row exists, the group has the key of that row.
pub(super) fn group_of_row(
    viewer: &Viewer,
    row: FoundRow,
    newest: Message,
) -> Option<MessageGroup> {
    let me = viewer.user().id;
    let other_user_id = row.participants().other(me)?;
    let by_sender = Some(newest.sender.clone()).filter(|sender| sender.id == other_user_id);
    let by_row = (row.owner == me).then_some(row.other_user);
    Some(MessageGroup {
        id: row.group_id,
        other_user_id,
        other_user: by_row.or(by_sender),
        key: row.key,
        unread_count: 0,
        version: 0,
        last_message: newest,
    })
}
