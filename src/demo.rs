//! Demo users and demo messages.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::messaging::{Messaging, SeedError, SeededMessage, Seeding};
use crate::model::{MessageBody, User};
use crate::store::{NewUser, StoreError, StoreResult, UserStore};

/// The messages of the long message group. Lines with `>` are from the first
/// participant, and lines with `<` from the second.
const LIGHTHOUSE: &str = include_str!("demo_conversation.txt");
const TEA: &str = "\
> I found the tea you like. Two tins or three?
< Three. Winter is long and I have guests who stay for pots.
> Three it is. I will leave them at the harbour.
";
const FERRY: &str = "\
> Is the Thursday ferry the one on Thursday?
";

/// Handle and display name of each demo user.
const USERS: [(&str, &str); 6] = [
    ("luu", "Luu"),
    ("unamused", "Unamused"),
    ("mirabel", "Mirabel Anders"),
    ("oddvar", "Oddvar"),
    ("tove", "Tove Lind"),
    ("quill", "Quill"),
];

const CONVERSATIONS: [([&str; 2], &str); 3] = [
    (["luu", "unamused"], LIGHTHOUSE),
    (["mirabel", "luu"], TEA),
    (["oddvar", "unamused"], FERRY),
];

/// Age of the first message of each message group. The messages are a minute
/// apart, so the newest one is not in the future.
const BEFORE: TimeDelta = TimeDelta::hours(3);

/// Returns the handles of the demo users. The default user to sign in as is the
/// first.
pub fn handles() -> [&'static str; 6] {
    USERS.map(|(handle, _)| handle)
}

/// Creates the demo users and their messages.
///
/// The messages are one minute apart, from three hours before `now`. Existing
/// users do not change, nor do message groups that have other messages already.
/// Returns the result for each pair of users.
pub async fn seed(
    messaging: &Messaging,
    users: &UserStore,
    now: DateTime<Utc>,
) -> Result<Vec<([&'static str; 2], Seeding)>, SeedError> {
    users.create_missing(&USERS.map(new_user)).await?;
    let mut seeded = Vec::new();
    for (handles, text) in CONVERSATIONS {
        let [one, other] = find_pair(users, handles).await?;
        let messages = conversation(text, now - BEFORE);
        seeded.push((
            handles,
            messaging.seeder.seed([&one, &other], &messages).await?,
        ));
    }
    Ok(seeded)
}

/// Creates the messages of the long message group between two users, in the
/// same way as [`seed`].
pub async fn seed_between(
    messaging: &Messaging,
    pair: [&User; 2],
    now: DateTime<Utc>,
) -> Result<Seeding, SeedError> {
    let messages = conversation(LIGHTHOUSE, now - BEFORE);
    messaging.seeder.seed(pair, &messages).await
}

fn new_user((handle, display_name): (&str, &str)) -> NewUser {
    NewUser {
        handle: handle.to_owned(),
        display_name: display_name.to_owned(),
        email: format!("{handle}@example.com"),
        cognito_user_id: Some(
            Uuid::new_v5(
                &Uuid::NAMESPACE_DNS,
                format!("{handle}.example.com").as_bytes(),
            )
            .to_string(),
        ),
    }
}

async fn find_pair(users: &UserStore, handles: [&str; 2]) -> StoreResult<[User; 2]> {
    let mut found = users.users_by_handle(&handles.map(str::to_owned)).await?;
    found.sort_by_key(|user| user.handle != handles[0]);
    <[User; 2]>::try_from(found).map_err(|_| {
        StoreError::rejected(
            crate::store::Service::Postgres,
            "a demo user was deleted during seeding",
        )
    })
}

fn conversation(text: &str, start: DateTime<Utc>) -> Vec<SeededMessage> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    (0..)
        .zip(lines)
        .filter_map(|(minute, (by, body))| {
            Some(SeededMessage {
                by_first: by == ">",
                body: MessageBody::parse(body.to_owned()).ok()?,
                at: start + TimeDelta::minutes(minute),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_messages_are_about_a_hundred_and_not_in_the_future() {
        let start = DateTime::UNIX_EPOCH;
        let messages = conversation(LIGHTHOUSE, start);
        assert_eq!(messages.len(), LIGHTHOUSE.lines().count());
        assert!((90..=180).contains(&messages.len()));
        let end = start + TimeDelta::hours(3);
        assert!(messages.iter().all(|message| message.at < end));
        assert!(
            messages.iter().any(|message| message.by_first)
                && messages.iter().any(|message| !message.by_first)
        );
    }
}
