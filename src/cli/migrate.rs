//! `migrate`: the database's shape.

use std::process::ExitCode;

use clap::Args;

use super::CliError;
use crate::config::DatabaseArgs;
use crate::store::{DatabaseState, connect_database, database_state, migrate};

#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

impl MigrateArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let pool = connect_database(&self.database.database_url, self.database.pool()).await?;
        let before = database_state(&pool).await?;
        migrate(&pool).await?;
        match before {
            DatabaseState::Current => super::output::print("the database is as it should be\n")?,
            DatabaseState::Behind(migrations) => {
                for migration in migrations {
                    super::output::print(&format!("applied {migration}\n"))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
