//! Writes predefined message groups whose messages have given times.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::heads_marker::HeadsMarker;
use super::writer::{Draft, GroupState, MAX_MESSAGES};
use crate::model::{
    HeadRecord, Message, MessageBody, MessageGroupId, MessageId, Participants, User,
};
use crate::store::{MessageStore, RejectionReason, StoreError, StoreResult, TransactionOutcome};

/// One message of a message group to be seeded.
#[derive(Clone, Debug)]
pub struct SeededMessage {
    /// Whether the first user of the pair sends the message; otherwise the
    /// second user sends it.
    pub by_first: bool,
    /// The text.
    pub body: MessageBody,
    /// The time of creation to be stored.
    pub at: DateTime<Utc>,
}

/// Result of seeding a message group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeding {
    /// This many messages were written.
    Written(usize),
    /// The message group was left unchanged: it already contains all messages,
    /// or it contains other messages.
    Unchanged,
}

/// Why a message group could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A store was unavailable, or rejected the write.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another writer wrote to the group at the same time.
    #[error("the message group {0} was written to at the same time; run the command again")]
    Conflict(MessageGroupId),
}

/// Writes predefined message groups.
#[derive(Clone, Debug)]
pub struct Seeder {
    messages: MessageStore,
    marker: HeadsMarker,
}

impl Seeder {
    pub(super) fn new(messages: MessageStore, marker: HeadsMarker) -> Self {
        Self { messages, marker }
    }

    /// Writes the messages of a group between two users, up to 25 in each
    /// transaction. An earlier, interrupted run is continued. A group with any
    /// other content is left unchanged.
    pub async fn seed(
        &self,
        pair: [&User; 2],
        messages: &[SeededMessage],
    ) -> Result<Seeding, SeedError> {
        let group = MessageGroupId::of_pair(pair[0].id, pair[1].id);
        let drafts: Vec<Draft> = (0..)
            .zip(messages)
            .map(|(number, message)| draft(group, pair, number, message))
            .collect();
        let mut state = match self.messages.find_head(group).await? {
            None if self.has_rows(pair).await? => return Ok(Seeding::Unchanged),
            None => GroupState::default(),
            Some(HeadRecord::Head(head)) => GroupState::of_head(head),
            Some(HeadRecord::AliasOf(_)) => return Ok(Seeding::Unchanged),
        };
        let Some(missing) = self.missing(group, &state, &drafts).await? else {
            return Ok(Seeding::Unchanged);
        };
        for some in missing.chunks(MAX_MESSAGES) {
            state = self.seed_some(group, state, some).await?;
        }
        Ok(Seeding::Written(missing.len()))
    }

    /// Returns whether two users have a group that the original wrote, without
    /// a head.
    async fn has_rows(&self, pair: [&User; 2]) -> StoreResult<bool> {
        if self.marker.is_present().await? {
            return Ok(false);
        }
        let pair = Participants(pair.map(|user| user.id));
        let rows = self.messages.rows_of_pair(pair, usize::MAX).await?;
        Ok(!rows.is_empty())
    }

    /// Returns the drafts that are not yet written; `None` if the group
    /// contains all of them, or anything other than the first of them.
    async fn missing<'a>(
        &self,
        group: MessageGroupId,
        state: &GroupState,
        drafts: &'a [Draft],
    ) -> StoreResult<Option<&'a [Draft]>> {
        let Some(head) = &state.head else {
            return Ok(Some(drafts));
        };
        let written = usize::try_from(head.message_count).unwrap_or(usize::MAX);
        if written == 0 || written >= drafts.len() {
            return Ok(None);
        }
        let newest = self.messages.find_message(group, &head.last_message_key);
        let is_ours = |newest: Message| newest.id == drafts[written - 1].id;
        let ours = newest.await?.is_some_and(is_ours);
        Ok(ours.then(|| &drafts[written..]))
    }

    async fn seed_some(
        &self,
        group: MessageGroupId,
        mut state: GroupState,
        drafts: &[Draft],
    ) -> Result<GroupState, SeedError> {
        loop {
            // Each draft has its own time, so this value is never used.
            let times = drafts.iter().filter_map(|draft| draft.at);
            let now = times.max().unwrap_or_default();
            let commit = state.plan(group, drafts, now);
            let commit = commit.ok_or(SeedError::Conflict(group))?;
            match self.messages.commit(&commit).await {
                TransactionOutcome::Applied => return Ok(GroupState::of_head(commit.head)),
                TransactionOutcome::Unknown(cause) => return Err(cause.into()),
                TransactionOutcome::Rejected(reasons) if reasons.is_empty() => {
                    return Err(SeedError::Conflict(group));
                }
                TransactionOutcome::Rejected(reasons) => {
                    for reason in reasons {
                        match reason {
                            RejectionReason::RowKeyTaken(key) => state.taken.push(key),
                            RejectionReason::Busy(cause) | RejectionReason::Invalid(cause) => {
                                return Err(cause.into());
                            }
                            _ => return Err(SeedError::Conflict(group)),
                        }
                    }
                }
            }
        }
    }
}

/// Creates the draft of a seeded message. Its UUID is derived from its number,
/// so a second run recognises the messages of the first run.
fn draft(group: MessageGroupId, pair: [&User; 2], number: u64, message: &SeededMessage) -> Draft {
    let [sender, receiver] = if message.by_first {
        pair
    } else {
        [pair[1], pair[0]]
    };
    Draft {
        id: MessageId(Uuid::new_v5(&group.0, &number.to_be_bytes())),
        body: message.body.clone(),
        sender: sender.clone(),
        receiver: receiver.clone(),
        at: Some(message.at),
        idempotency: None,
    }
}
