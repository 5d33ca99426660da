//! `schema-load`: creates the table.

use clap::Args;
use serde_json::json;

use super::operator::{Operator, OperatorSession};
use super::output::{self, Format};
use super::signals::stop;
use super::{CliError, CliResult};
use crate::config::{ReadUnitsArgs, RemoteArgs, StreamArgs};
use crate::store::{Billing, MessageStore, NewTable, TableDescription, TableStatus};

#[derive(Args, Debug)]
#[command(after_help = "\
An existing table is compared with the expected definition (key, index, stream,
expiry) and not changed. A new table contains a marker item, TABLE#HEADS, which
states that every message group has a head, so that the group of two users is
found without reading all of their rows. In a table that the original created,
`cruddur check --repair` writes the marker.

Examples:
  cruddur schema-load
  cruddur schema-load --prod --billing-mode pay-per-request
  cruddur schema-load --recreate --yes")]
pub(super) struct SchemaLoadArgs {
    /// Billing mode of a new table
    #[arg(
        long,
        value_enum,
        default_value_t = Billing::Provisioned,
        value_name = "MODE"
    )]
    billing_mode: Billing,
    /// Delete the table and all its data first
    #[arg(long)]
    recreate: bool,
    /// Skip the confirmation
    #[arg(long, requires = "recreate")]
    yes: bool,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    operator: Operator,
}

impl SchemaLoadArgs {
    pub async fn run(self) -> CliResult<()> {
        let limit = ReadUnitsArgs::default();
        let session = if self.recreate {
            self.operator.connect_to_change(self.remote, limit).await?
        } else {
            self.operator.connect_limited(limit).await?
        };
        let loaded = self.load(&session).await;
        session.explained(loaded)
    }

    async fn load(&self, session: &OperatorSession) -> CliResult<()> {
        if self.recreate {
            self.delete(session).await?;
        }
        let messages = &session.messages;
        let (made, mut differences) = match messages.table_status().await? {
            TableStatus::Missing => {
                self.create(session).await?;
                (true, Vec::new())
            }
            TableStatus::AsExpected { .. } => (false, Vec::new()),
            TableStatus::Different(differences) => (false, differences),
        };
        messages.until_active().await?;
        let description = messages.table_description().await?;
        let description = description.ok_or_else(|| {
            CliError::Failed("the table was deleted while this command was running".to_owned())
        })?;
        let has_marker = differences.is_empty() && messages.has_heads_marker().await?;
        let stream = description.stream_difference();
        let stream = stream.filter(|_| !self.stream.allow_stream);
        let expiry = description.expiry_difference();
        differences.extend(stream.into_iter().chain(expiry));
        if session.format == Format::Table {
            let is_expected = differences.is_empty();
            output::print(&in_words(&description, has_marker, made, is_expected))?;
        }
        let mut table = json!(description);
        table["headsMarker"] = json!(has_marker);
        session.finish(json!({ "created": made, "table": table, "differences": differences }))?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(CliError::Failed(format!(
            "the table {} differs from the expected definition: {}",
            description.name,
            differences.join("; ")
        )))
    }

    async fn delete(&self, session: &OperatorSession) -> CliResult<()> {
        let (table, endpoint) = (session.messages.table(), &session.endpoint);
        if !self.yes {
            return Err(CliError::Usage(format!(
                "--recreate deletes the table {table} at {endpoint} and all its data: add --yes to confirm"
            )));
        }
        if session.messages.table_status().await? != TableStatus::Missing {
            session.messages.delete_table().await?;
            output::remark(&format!("deleted the table {table} at {endpoint}"));
        }
        Ok(())
    }

    async fn create(&self, session: &OperatorSession) -> CliResult<()> {
        if session.is_aws && self.billing_mode == Billing::Provisioned {
            output::remark(
                "5 read and 5 write units sustain about 0.4 messages per second: enough for a test, but an outage in \
                 production. Use `--billing-mode pay-per-request` in production.",
            );
        }
        let progress = output::progress("creating the table");
        let new = NewTable {
            billing: self.billing_mode,
            deletion_protection: session.is_aws,
        };
        // Time to live (TTL) can only be enabled after the table is active, so an interruption
        // waits until both are done. Boxed because `select!` polls the future by reference.
        let mut made = Box::pin(create(&session.messages, new));
        tokio::select! {
            made = &mut made => made?,
            () = stop()? => {
                output::remark("the table is being created: the command ends when it is complete; press Ctrl-C again to end it at once");
                made.await?;
            }
        }
        progress.finish_and_clear();
        Ok(())
    }
}

/// Creates the table with its marker, because a new table has no group without a head.
async fn create(messages: &MessageStore, new: NewTable) -> CliResult<()> {
    messages.create_table(new).await?;
    messages.put_heads_marker().await?;
    Ok(())
}

fn in_words(table: &TableDescription, has_marker: bool, made: bool, is_expected: bool) -> String {
    let begin = match (made, is_expected) {
        (true, _) => format!("created the table {}\n", table.name),
        (false, true) => format!("the table {} has the expected definition\n", table.name),
        (false, false) => format!("the table {}\n", table.name),
    };
    let indexes = table.indexes.iter();
    let indexes =
        indexes.map(|index| format!("  index     {}: {}\n", index.name, index.key.join(", ")));
    format!(
        "{begin}  status    {}\n  key       {}\n{}  billing   {}\n  stream    {}\n  expiry    {}\n  deletion  {}\n  \
         marker    {}\n",
        table.status,
        table.key.join(", "),
        indexes.collect::<String>(),
        table.billing,
        table.stream.as_deref().unwrap_or("none"),
        table.expiry.as_deref().unwrap_or("none"),
        if table.deletion_protection {
            "protected"
        } else {
            "not protected"
        },
        if has_marker {
            "every group has a head"
        } else {
            "none: `cruddur check --repair` adds it"
        },
    )
}
