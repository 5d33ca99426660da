//! `schema-load`: the table.

use std::process::ExitCode;

use clap::Args;

use super::CliError;
use crate::config::{OperatorArgs, TableArgs};
use crate::store::{MessageStore, TableStatus, connect_dynamo};

#[derive(Args, Debug)]
pub(super) struct SchemaLoadArgs {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    dynamodb: OperatorArgs,
}

impl SchemaLoadArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let client = connect_dynamo(&self.dynamodb.target()).await;
        let messages = MessageStore::new(client, self.table.table);
        match messages.table_status().await? {
            TableStatus::Missing => {
                messages.create_table().await?;
                super::print(&format!("created the table {}\n", messages.table()))?;
            }
            TableStatus::AsItShouldBe => {
                super::print(&format!(
                    "the table {} is as it should be\n",
                    messages.table()
                ))?;
            }
            TableStatus::Different(differences) => {
                let differences = differences.join("; ");
                return Err(CliError::Failed(format!(
                    "the table {} is not as it should be: {differences}",
                    messages.table()
                )));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
