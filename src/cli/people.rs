//! Users that an operator names.

use clap::Args;
use serde_json::{Value, json};

use super::text::name;
use super::{CliError, CliResult};
use crate::config::DatabaseArgs;
use crate::model::User;
use crate::store::{DatabasePool, UserStore, connect_database, require_current};

#[derive(Args, Clone, Debug)]
pub(super) struct PeopleArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
}

impl PeopleArgs {
    /// Connects to the user store; with `--prod`, to production's.
    pub async fn connect(&self, prod: bool) -> CliResult<UserStore> {
        Ok(UserStore::new(self.pool(prod).await?))
    }

    /// Connects to the user store, and requires that all migrations are applied.
    pub async fn connect_migrated(&self, prod: bool) -> CliResult<UserStore> {
        let pool = self.pool(prod).await?;
        require_current(&pool).await?;
        Ok(UserStore::new(pool))
    }

    async fn pool(&self, prod: bool) -> CliResult<DatabasePool> {
        let url = self.database.url_with_prod(prod)?;
        Ok(connect_database(&url, self.database.pool()).await?)
    }

    /// Returns the users with these handles.
    pub async fn find<const N: usize>(
        &self,
        prod: bool,
        handles: [&str; N],
    ) -> CliResult<[User; N]> {
        let found = find(&self.connect(prod).await?, handles).await;
        if matches!(found, Err(CliError::Store(_))) {
            // The table or column may be missing if migrations are not applied.
            self.connect_migrated(prod).await?;
        }
        found
    }
}

/// Returns the users with these handles. The handles must differ. If no user has one of them, the
/// error names that handle.
pub(super) async fn find<const N: usize>(
    users: &UserStore,
    handles: [&str; N],
) -> CliResult<[User; N]> {
    let handles = handles.map(|handle| handle.strip_prefix('@').unwrap_or(handle).to_owned());
    let found = users.users_by_handle(&handles).await?;
    let mut people = Vec::with_capacity(N);
    for handle in &handles {
        let Some(user) = found.iter().find(|user| user.handle == *handle) else {
            return Err(CliError::Failed(format!(
                "no user in public.users has the handle \"{}\"; handles are case-sensitive",
                name(handle)
            )));
        };
        people.push(user.clone());
    }
    if people.windows(2).any(|pair| pair[0].id == pair[1].id) {
        let message = "a message group has two users: give two different handles";
        return Err(CliError::Usage(message.to_owned()));
    }
    <[User; N]>::try_from(people).map_err(|_| CliError::Usage("a handle is missing".to_owned()))
}

pub(super) fn user_json(user: &User) -> Value {
    json!({ "uuid": user.id, "handle": user.handle, "displayName": user.display_name })
}
