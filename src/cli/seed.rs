//! `seed`: demo users and their messages.

use std::process::ExitCode;

use clap::Args;

use super::CliError;
use crate::clock::Clock;
use crate::config::{DatabaseArgs, OperatorArgs, TableArgs};
use crate::demo;
use crate::messaging::{Directory, Messaging, Seeding};
use crate::store::{
    DynamoTarget, MessageStore, UserStore, connect_database, connect_dynamo, remote_database_host,
};

#[derive(Args, Debug)]
pub(super) struct SeedArgs {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    dynamodb: OperatorArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl SeedArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let target = self.dynamodb.target();
        self.refuse_elsewhere(&target)?;
        let messages = MessageStore::new(connect_dynamo(&target).await, self.table.table);
        let pool = connect_database(&self.database.database_url, self.database.pool()).await?;
        let users = UserStore::new(pool);
        let clock = Clock::system();
        let directory = Directory::new(users.clone(), std::time::Duration::ZERO);
        let messaging = Messaging::new(messages, directory, clock.clone());
        for (pair, seeding) in demo::seed(&messaging, &users, clock.now()).await? {
            let result = match seeding {
                Seeding::Written(count) => format!("{count} messages written"),
                Seeding::LeftAlone => "left as it is".to_owned(),
            };
            super::print(&format!("{} and {}: {result}\n", pair[0], pair[1]))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Demo data does not get into somebody's real table by a variable that
    /// happens to be set.
    fn refuse_elsewhere(&self, target: &DynamoTarget) -> Result<(), CliError> {
        if self.dynamodb.prod {
            return Ok(());
        }
        let elsewhere = match target {
            DynamoTarget::Endpoint {
                url,
                loopback: false,
            } => Some(url.clone()),
            _ => remote_database_host(&self.database.database_url)?,
        };
        let Some(elsewhere) = elsewhere else {
            return Ok(());
        };
        Err(CliError::Usage(format!(
            "{elsewhere} is not on this machine: demo data is written elsewhere only with --prod"
        )))
    }
}
