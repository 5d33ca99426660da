//! `update-cognito-user-ids`: copies Cognito's user IDs to Postgres.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use unicode_normalization::UnicodeNormalization;

use super::output::{self, Format, OutputArgs};
use super::people::PeopleArgs;
use super::text::name;
use super::{CliError, CliResult};
use crate::auth::UserPoolId;
use crate::store::{
    CognitoIds, PoolNames, PoolUser, Reason, Service, StoreError, UserPool, shown_database,
};

#[derive(Args, Debug)]
#[command(after_help = "\
The users of the pool are matched to public.users by `preferred_username`, which
must equal the handle exactly. All changes are applied in one transaction.
Throttled calls to Cognito are retried.

The command also lists users of the pool without a row, rows without a user in the
pool, and names that differ only in case, in Unicode form or in spaces.

Examples:
  cruddur update-cognito-user-ids --cognito-user-pool-id eu-central-1_Ab12Cd34E --dry-run
  AWS_COGNITO_USER_POOL_ID=eu-central-1_Ab12Cd34E cruddur update-cognito-user-ids")]
pub(super) struct UpdateCognitoUserIdsArgs {
    /// Cognito user pool whose user IDs are copied
    #[arg(long, env = "AWS_COGNITO_USER_POOL_ID", value_name = "ID")]
    cognito_user_pool_id: UserPoolId,
    /// Print the changes without applying them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    people: PeopleArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The pool's users, grouped by how they can be processed.
#[derive(Default)]
struct GroupedUsers {
    by_handle: BTreeMap<String, String>,
    nameless: Vec<String>,
    held_twice: Vec<String>,
    all: PoolNames,
}

/// The spellings of one name in the pool and in `public.users`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spellings {
    in_pool: BTreeSet<String>,
    in_table: BTreeSet<String>,
}

impl UpdateCognitoUserIdsArgs {
    pub async fn run(self) -> CliResult<()> {
        let id = &self.cognito_user_pool_id;
        let pool = UserPool::connect(id.to_string(), id.region().to_owned()).await?;
        let database = shown_database(&self.people.database.url()?)?;
        output::remark(&format!(
            "Cognito at {}, region {}, user pool {id}; Postgres database {database}",
            pool.address,
            id.region()
        ));
        let users = self.people.connect_migrated(false).await?;
        pool.check_credentials().await?;
        let progress = output::progress("users of the pool");
        let found = pool.users().await;
        progress.finish_and_clear();
        let sorted = sort(found.map_err(|error| explained(error, pool.location()))?);
        let ids: Vec<(String, String)> = sorted.by_handle.clone().into_iter().collect();
        let updated = users.update_cognito_ids(&ids, &sorted.all, self.dry_run);
        let updated = updated.await?;
        let similar = similar(&sorted.all.handles, &updated.handles);
        output::print(&match self.output.format() {
            Format::Json => output::line(&json!({
                "dryRun": self.dry_run,
                "changed": updated.changed,
                "right": updated.right,
                "withoutRow": updated.without_row,
                "withoutUser": updated.without_user,
                "withoutPreferredUsername": sorted.nameless,
                "heldTwice": sorted.held_twice,
                "taken": updated.taken,
                "similar": similar,
            })),
            Format::Table | Format::Raw => self.in_words(&updated, &sorted, &similar),
        })
    }

    fn in_words(
        &self,
        updated: &CognitoIds,
        sorted: &GroupedUsers,
        similar: &[Spellings],
    ) -> String {
        let changed = if self.dry_run {
            "would change"
        } else {
            "changed"
        };
        let lists: String = [
            (changed, &updated.changed),
            ("is up to date", &updated.right),
            ("has no row in public.users", &updated.without_row),
            ("has no user in the pool", &updated.without_user),
            ("has no preferred_username", &sorted.nameless),
            (
                "is the preferred_username of several users",
                &sorted.held_twice,
            ),
            ("had the ID of another user", &updated.taken),
        ]
        .into_iter()
        .filter(|(_, who)| !who.is_empty())
        .map(|(what, who)| output::summary(what, who))
        .collect();
        let similar: String = similar.iter().map(Spellings::in_words).collect();
        lists + &similar
    }
}

impl Spellings {
    fn in_words(&self) -> String {
        let of = |spellings: &BTreeSet<String>, location: &str| {
            let names: Vec<String> = spellings.iter().map(|spelling| name(spelling)).collect();
            (!names.is_empty()).then(|| format!("{} in {location}", names.join(", ")))
        };
        let places = [
            of(&self.in_pool, "the pool"),
            of(&self.in_table, "public.users"),
        ];
        let places: Vec<String> = places.into_iter().flatten().collect();
        format!(
            "differs only in case, in Unicode form or in spaces: {}\n",
            places.join("; ")
        )
    }
}

/// Returns the names that have several spellings. Handles are compared exactly, so these are
/// different users, which is probably a mistake.
fn similar(in_pool: &HashSet<String>, in_table: &[String]) -> Vec<Spellings> {
    let mut spellings: BTreeMap<String, Spellings> = BTreeMap::new();
    for handle in in_pool {
        let found = spellings.entry(folded(handle)).or_default();
        found.in_pool.insert(handle.clone());
    }
    for handle in in_table {
        let found = spellings.entry(folded(handle)).or_default();
        found.in_table.insert(handle.clone());
    }
    let is_several = |found: &Spellings| found.in_pool.union(&found.in_table).nth(1).is_some();
    spellings.into_values().filter(is_several).collect()
}

/// Returns the common form of all spellings of a name.
fn folded(handle: &str) -> String {
    let composed: String = handle.nfkc().collect();
    // Converted to upper case first, because some letters have a lower-case form only in that case.
    let folded: String = composed.to_uppercase().to_lowercase().nfkc().collect();
    folded.split_whitespace().collect()
}

/// Adds the pool's location to the error if the pool cannot be read.
fn explained(error: StoreError, location: &str) -> CliError {
    match error {
        StoreError::Unavailable {
            service: Service::Cognito,
            reason: Reason::Unreachable,
            cause,
        } => CliError::Failed(format!("Cognito at {location} is not available: {cause}")),
        error => error.into(),
    }
}

fn sort(users: Vec<PoolUser>) -> GroupedUsers {
    let mut sorted = GroupedUsers::default();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for user in users {
        sorted.all.subs.insert(user.sub.clone());
        match user.preferred_username {
            Some(name) => names.entry(name).or_default().push(user.sub),
            None => sorted.nameless.push(user.username),
        }
    }
    for (name, mut subs) in names {
        sorted.all.handles.insert(name.clone());
        match (subs.pop(), subs.is_empty()) {
            (Some(sub), true) => {
                sorted.by_handle.insert(name, sub);
            }
            _ => sorted.held_twice.push(name),
        }
    }
    sorted
}
