//! Repairs of single items.

use super::attempt::{ATTEMPTS, Attempt, Learned, Written};
use super::diagnose::NO_PAIR;
use super::finding::Unrepaired;
use super::numbers::Numbers;
use super::verify::is_gone;
use crate::model::{MessageGroupId, Participants};
use crate::store::{MessageStore, RowKey, StoreError};

/// Deletes a row whose owner is not a participant. If the owner has sent
/// one of the messages, the head may be wrong and the row is kept.
pub(super) async fn delete_strangers(
    messages: &MessageStore,
    group: MessageGroupId,
    row: &RowKey,
) -> Result<Result<(), Unrepaired>, StoreError> {
    let numbers = Numbers::read(messages, group, u64::MAX).await?;
    if numbers.senders.contains_key(&row.owner) {
        return Ok(Err(Unrepaired::Ambiguous(NO_PAIR)));
    }
    messages.delete_row(group, row).await?;
    is_gone(messages, group, row).await
}

/// Deletes a row whose group has neither a head nor messages.
pub(super) async fn delete_row(
    messages: &MessageStore,
    group: MessageGroupId,
    row: &RowKey,
) -> Result<Result<(), Unrepaired>, StoreError> {
    if !messages.newest(group).await?.is_absent() {
        return Ok(Err(Unrepaired::Conflict));
    }
    let mut learned = Learned::new();
    for _ in 0..ATTEMPTS {
        let outcome = messages.delete_headless_row(group, row).await;
        match learned.learn(outcome, Written::default()) {
            Attempt::Done(_) => return is_gone(messages, group, row).await,
            Attempt::Failed(why) => return Ok(Err(why)),
            // The group now has a head, or the row belongs to another
            // group.
            Attempt::Again if learned.throttled.is_none() => {
                return Ok(Err(Unrepaired::Conflict));
            }
            Attempt::Again => learned.wait().await,
        }
    }
    Ok(Err(learned.out_of_attempts()))
}

/// Writes an alias of the pair's newest group under the pair's uuid.
pub(super) async fn write_alias(
    messages: &MessageStore,
    pair: MessageGroupId,
    participants: Participants,
) -> Result<Result<(), Unrepaired>, StoreError> {
    let [one, other] = *participants;
    let rows = messages.rows_of_pair(one, other).await?;
    let Some(newest) = rows.first().map(|row| row.group_id) else {
        return Ok(Err(Unrepaired::Ambiguous(
            "neither user has a row of a group of the two",
        )));
    };
    let mut learned = Learned::new();
    for _ in 0..ATTEMPTS {
        let outcome = messages.put_alias(pair, newest).await;
        match learned.learn(outcome, Written::default()) {
            Attempt::Failed(why) => return Ok(Err(why)),
            Attempt::Again if !learned.alias_taken => learned.wait().await,
            // The alias exists, written here or by another writer.
            Attempt::Done(_) | Attempt::Again => {
                let is_there = messages.find_head(pair).await?.is_some();
                return Ok(is_there.then_some(()).ok_or(Unrepaired::NotVisible));
            }
        }
    }
    Ok(Err(learned.out_of_attempts()))
}

/// Deletes an alias whose group has neither a head nor messages.
pub(super) async fn delete_alias(
    messages: &MessageStore,
    alias: MessageGroupId,
    of: MessageGroupId,
) -> Result<Result<(), Unrepaired>, StoreError> {
    if !messages.newest(of).await?.is_absent() {
        return Ok(Err(Unrepaired::Conflict));
    }
    let outcome = messages.delete_alias(alias, of).await;
    Ok(match Learned::new().learn(outcome, Written::default()) {
        Attempt::Done(_) if messages.find_head(alias).await?.is_some() => {
            Err(Unrepaired::NotVisible)
        }
        Attempt::Done(_) => Ok(()),
        Attempt::Failed(why) => Err(why),
        Attempt::Again => Err(Unrepaired::Conflict),
    })
}
