//! `migrate`: applies the migrations of the Postgres database.

use clap::Args;

use super::CliResult;
use super::database_wait::wait_for_database;
use crate::config::{DatabaseArgs, DatabaseWaitArgs};
use crate::store::{Migrated, connect_database, migrate};

#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    wait: DatabaseWaitArgs,
    /// Time zone of the original Flask service's `created_at` column, which has none [default: the time
    /// zone in the database's settings]
    #[arg(long, value_name = "ZONE")]
    created_at_time_zone: Option<String>,
}

impl MigrateArgs {
    pub async fn run(self) -> CliResult<()> {
        let url = self.database.url()?;
        let migrated = wait_for_database(self.wait.database_wait, async || {
            let database = connect_database(&url, self.database.pool()).await?;
            Ok(migrate(&database, self.created_at_time_zone.as_deref()).await?)
        });
        super::output::print(&in_words(&migrated.await?))
    }
}

fn in_words(migrated: &Migrated) -> String {
    let mut lines = Vec::new();
    if let Some(zone) = &migrated.time_zone {
        lines.push(format!(
            "interpreted public.users.created_at in the time zone {zone}"
        ));
    }
    let applied = migrated.applied.iter();
    lines.extend(applied.map(|name| format!("applied {name}")));
    if !migrated.newer.is_empty() {
        lines.push(format!(
            "the database schema is newer than this version, but compatible with it: a newer version has applied {}",
            migrated.newer.join(", ")
        ));
    } else if migrated.applied.is_empty() {
        lines.push("the database schema is up to date".to_owned());
    }
    lines.join("\n") + "\n"
}
