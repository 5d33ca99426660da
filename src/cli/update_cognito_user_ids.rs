//! `update-cognito-user-ids`: Cognito's ids into Postgres.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::CliError;
use super::output::{self, Format, OutputArgs};
use super::people::PeopleArgs;
use crate::auth::UserPoolId;
use crate::store::{CognitoIds, PoolUser, UserPool};

#[derive(Args, Debug)]
#[command(after_help = "\
The users of the pool are matched to public.users by `preferred_username`, which
has to be the handle exactly. All of it is one transaction.

Examples:
  cruddur update-cognito-user-ids --cognito-user-pool-id eu-central-1_Ab12Cd34E --dry-run
  AWS_COGNITO_USER_POOL_ID=eu-central-1_Ab12Cd34E cruddur update-cognito-user-ids")]
pub(super) struct UpdateCognitoUserIdsArgs {
    /// Cognito user pool whose ids are copied
    #[arg(long, env = "AWS_COGNITO_USER_POOL_ID", value_name = "ID")]
    cognito_user_pool_id: UserPoolId,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    people: PeopleArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The pool's users, by what can be done with them.
#[derive(Default)]
struct Sorted {
    by_handle: BTreeMap<String, String>,
    nameless: Vec<String>,
    held_twice: Vec<String>,
}

impl UpdateCognitoUserIdsArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let users = self.people.connect().await?;
        let pool = &self.cognito_user_pool_id;
        let pool = UserPool::connect(pool.to_string(), pool.region().to_owned()).await?;
        let progress = output::progress("users of the pool");
        let found = pool.users().await?;
        progress.finish_and_clear();
        let sorted = sort(found);
        let ids: Vec<(String, String)> = sorted.by_handle.clone().into_iter().collect();
        let updated = users.update_cognito_ids(&ids, self.dry_run).await?;
        output::print(&match self.output.format() {
            Format::Json => output::line(&json!({
                "dryRun": self.dry_run,
                "changed": updated.changed,
                "right": updated.right,
                "withoutRow": updated.without_row,
                "withoutPreferredUsername": sorted.nameless,
                "heldTwice": sorted.held_twice,
                "taken": updated.taken,
            })),
            Format::Table | Format::Raw => self.in_words(&updated, &sorted),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn in_words(&self, updated: &CognitoIds, sorted: &Sorted) -> String {
        let changed = if self.dry_run {
            "would change"
        } else {
            "changed"
        };
        [
            (changed, &updated.changed),
            ("was right", &updated.right),
            ("has no row in public.users", &updated.without_row),
            ("has no preferred_username", &sorted.nameless),
            ("is the preferred_username of several", &sorted.held_twice),
            ("had the id of somebody else", &updated.taken),
        ]
        .into_iter()
        .filter(|(_, who)| !who.is_empty())
        .map(|(what, who)| output::summary(what, who))
        .collect()
    }
}

fn sort(users: Vec<PoolUser>) -> Sorted {
    let mut sorted = Sorted::default();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for user in users {
        match user.preferred_username {
            Some(name) => names.entry(name).or_default().push(user.sub),
            None => sorted.nameless.push(user.username),
        }
    }
    for (name, mut subs) in names {
        match (subs.pop(), subs.is_empty()) {
            (Some(sub), true) => {
                sorted.by_handle.insert(name, sub);
            }
            _ => sorted.held_twice.push(name),
        }
    }
    sorted
}
