//! The GraphQL objects that refer to each other. Their fields are in the files of
//! their names.

use std::sync::Arc;

use crate::engine::{DeclaredCost, FieldCost};
use crate::model::{self, Consistency};
use crate::schema::paging::PAGE;

/// Wraps a message, and its group if it was read already.
pub struct Message {
    source: MessageSource,
}

enum MessageSource {
    // Boxed, because it is part of the variants of result types.
    Single(Box<model::Message>, Option<Arc<model::MessageGroup>>),
    NewestOf(Arc<model::MessageGroup>),
}

impl Message {
    pub fn new(message: model::Message, group: Option<Arc<model::MessageGroup>>) -> Self {
        let source = MessageSource::Single(Box::new(message), group);
        Self { source }
    }

    /// Wraps the newest message of a group.
    pub(super) fn newest_of(group: Arc<model::MessageGroup>) -> Self {
        let source = MessageSource::NewestOf(group);
        Self { source }
    }

    pub(super) fn message(&self) -> &model::Message {
        match &self.source {
            MessageSource::Single(message, _) => message,
            MessageSource::NewestOf(group) => &group.last_message,
        }
    }

    pub(super) fn group(&self) -> Option<&Arc<model::MessageGroup>> {
        match &self.source {
            MessageSource::Single(_, group) => group.as_ref(),
            MessageSource::NewestOf(group) => Some(group),
        }
    }

    /// The size of the body. A character takes up to six bytes in JSON.
    pub const COSTS: &[FieldCost] = &[FieldCost::new(
        "Message",
        "body",
        DeclaredCost::Bytes(6 * model::MessageBody::MAX_LENGTH),
    )];
}

/// Wraps a message group as the viewer sees it.
pub struct MessageGroup {
    pub(super) group: Arc<model::MessageGroup>,
    /// The consistency of the reads of its messages.
    pub(super) consistency: Consistency,
}

impl MessageGroup {
    /// Wraps a group that was requested on its own. Its newest messages are
    /// read consistently.
    pub fn alone(group: Arc<model::MessageGroup>) -> Self {
        let consistency = Consistency::Strong;
        Self { group, consistency }
    }

    /// Wraps one group of a list. Its messages may be up to a second old.
    pub(super) fn listed(group: Arc<model::MessageGroup>) -> Self {
        let consistency = Consistency::Eventual;
        Self { group, consistency }
    }

    /// The page sizes of the group's connection.
    pub const COSTS: &[FieldCost] = &[FieldCost::new("MessageGroup", "messages", PAGE)];
}

/// Wraps a user.
pub struct User(pub Arc<model::User>);
