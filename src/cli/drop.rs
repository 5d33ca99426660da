//! `drop`: deletes the table and all its data.

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::operator::{Operator, OperatorSession};
use super::output::{self, Format};
use super::{CliError, CliResult};
use crate::config::{ReadUnitsArgs, RemoteArgs};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cruddur drop
  cruddur drop --yes --table scratch")]
pub(super) struct DropArgs {
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    operator: Operator,
}

impl DropArgs {
    pub async fn run(self) -> CliResult<()> {
        let limit = ReadUnitsArgs::default();
        let session = self.operator.connect_to_change(self.remote, limit).await?;
        let dropped = self.drop(&session).await;
        session.explained(dropped)
    }

    async fn drop(&self, session: &OperatorSession) -> CliResult<()> {
        let (table, endpoint) = (session.messages.table(), &session.endpoint);
        let Some(description) = session.messages.table_description().await? else {
            return Err(CliError::Failed(format!(
                "there is no table {table} at {endpoint}"
            )));
        };
        if !self.yes {
            confirm(table, endpoint, description.item_count)?;
        }
        session.messages.delete_table().await?;
        if session.format == Format::Table {
            output::print(&format!("deleted the table {table}\n"))?;
        }
        session.finish(json!({ "deleted": table }))
    }
}

/// Asks the user to confirm by entering the table's name.
fn confirm(table: &str, endpoint: &str, items: i64) -> CliResult<()> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(CliError::Usage(format!(
            "this deletes the table {table} at {endpoint} and all its data: add --yes to confirm"
        )));
    }
    let mut error = std::io::stderr();
    write!(
        error,
        "This deletes the table {table} at {endpoint} and all its data (about {items} items).\n\
         Enter the table's name to continue: "
    )?;
    error.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    if answer.trim() == table {
        Ok(())
    } else {
        Err(CliError::Failed("nothing was deleted".to_owned()))
    }
}
