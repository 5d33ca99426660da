//! Repairs of single items.

use super::attempt::{ATTEMPTS, RepairError, RepairedItems, RetryState};
use super::diagnose::NO_PAIR;
use super::finding::Unrepaired;
use super::numbers::Numbers;
use super::verify::{is_gone, visible};
use crate::model::{MessageGroupId, Participants};
use crate::store::{MessageStore, RowKey};

/// Deletes a row whose owner is not a participant. If the owner has sent
/// one of the messages, the head may be wrong and the row is kept.
pub(super) async fn delete_non_participant_row(
    messages: &MessageStore,
    group: MessageGroupId,
    row: &RowKey,
) -> Result<(), RepairError> {
    let numbers = Numbers::read(messages, group, u64::MAX).await?;
    if numbers.senders.contains_key(&row.owner) {
        return Err(Unrepaired::Ambiguous(NO_PAIR).into());
    }
    messages.delete_row(group, row).await?;
    is_gone(messages, group, row).await
}

/// Deletes a row whose group has neither a head nor messages.
pub(super) async fn delete_row(
    messages: &MessageStore,
    group: MessageGroupId,
    row: &RowKey,
) -> Result<(), RepairError> {
    if !messages.newest(group).await?.is_absent() {
        return Err(Unrepaired::Conflict.into());
    }
    let mut state = RetryState::new();
    for _ in 0..ATTEMPTS {
        let outcome = messages.delete_headless_row(group, row).await;
        if state.record(outcome, RepairedItems::default())?.is_some() {
            return is_gone(messages, group, row).await;
        }
        if state.throttled.is_none() {
            // The group now has a head, or the row belongs to another group.
            return Err(Unrepaired::Conflict.into());
        }
        state.wait().await;
    }
    Err(state.out_of_attempts())
}

/// Writes an alias of the pair's newest group under the pair's UUID.
pub(super) async fn write_alias(
    messages: &MessageStore,
    pair: MessageGroupId,
    participants: Participants,
) -> Result<(), RepairError> {
    let rows = messages.rows_of_pair(participants, usize::MAX).await?;
    let Some(newest) = rows.first().map(|row| row.group_id) else {
        let why = "neither user has a row of a group of the two";
        return Err(Unrepaired::Ambiguous(why).into());
    };
    let mut state = RetryState::new();
    for _ in 0..ATTEMPTS {
        let outcome = messages.put_alias(pair, newest).await;
        let is_written = state.record(outcome, RepairedItems::default())?.is_some();
        if is_written || state.alias_taken {
            // The alias exists, written here or by another writer.
            return visible(messages.find_head(pair).await?.is_some());
        }
        state.wait().await;
    }
    Err(state.out_of_attempts())
}

/// Deletes an alias whose group has neither a head nor messages.
pub(super) async fn delete_alias(
    messages: &MessageStore,
    alias: MessageGroupId,
    of: MessageGroupId,
) -> Result<(), RepairError> {
    if !messages.newest(of).await?.is_absent() {
        return Err(Unrepaired::Conflict.into());
    }
    let outcome = messages.delete_alias(alias, of).await;
    match RetryState::new().record(outcome, RepairedItems::default())? {
        Some(_) => visible(messages.find_head(alias).await?.is_none()),
        None => Err(Unrepaired::Conflict.into()),
    }
}
