//! The commands. Data goes to standard output, logs to standard error.

mod check;
mod columns;
mod completions;
mod database_wait;
#[cfg(feature = "dev")]
mod dev;
mod drop;
mod error;
mod get_conversation;
mod healthcheck;
#[cfg(feature = "dev")]
mod issuer;
mod list_conversations;
mod metrics;
mod migrate;
mod operator;
mod output;
mod people;
mod running;
mod scan;
mod schema_load;
mod schema_print;
mod seed;
mod serve;
mod signals;
mod span;
mod text;
mod throttling;
mod update_cognito_user_ids;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{self, Verbosity};
use error::CliError;

/// Direct messages of the Cruddur app: a GraphQL API over DynamoDB and Postgres.
///
/// A setting with a name in brackets is also an environment variable of that name.
/// Exit codes: 0; 1 failed or refused; 2 usage; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "cruddur", version = env!("CRUDDUR_VERSION"), arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: stores, sign-in, demo data and the API
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
    /// Issue tokens for the users in the database, where there is no Cognito
    #[cfg(feature = "dev")]
    Issuer(issuer::IssuerArgs),
    /// Serve the API
    Serve(Box<serve::ServeArgs>),
    /// Ask a running server whether it is alive
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Bring the Postgres database to the newest shape
    Migrate(migrate::MigrateArgs),
    /// Print the GraphQL schema
    SchemaPrint,
    /// Create the table and its index
    SchemaLoad(schema_load::SchemaLoadArgs),
    /// Delete the table, with all that is in it
    Drop(drop::DropArgs),
    /// Put demo users and their messages into the stores
    Seed(seed::SeedArgs),
    /// Print everything that is in the table
    Scan(scan::ScanArgs),
    /// List a user's message groups, most recently active first
    ListConversations(list_conversations::ListConversationsArgs),
    /// Print the messages of a group, oldest first
    GetConversation(get_conversation::GetConversationArgs),
    /// Copy the Cognito ids of a pool's users into Postgres
    UpdateCognitoUserIds(update_cognito_user_ids::UpdateCognitoUserIdsArgs),
    /// Check that everything in the table is as it has to be, and mend it
    Check(check::CheckArgs),
    /// Print what a shell needs to complete commands and options
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Runs the command to its end.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let telemetry = telemetry::start(self.command.verbosity());
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return report(&CliError::from(error)),
        };
        let outcome = runtime.block_on(self.command.run());
        telemetry.stop();
        // What still runs in the background is not waited for.
        runtime.shutdown_background();
        match outcome {
            Ok(code) => code,
            Err(error) => report(&error),
        }
    }
}

impl Command {
    fn verbosity(&self) -> Verbosity {
        let server = match self {
            Self::Serve(_) => true,
            #[cfg(feature = "dev")]
            Self::Dev(_) => true,
            _ => false,
        };
        let log = match self {
            // The AWS SDK's warnings repeat, as Rust prints it, what is reported
            // as an error in plain words.
            Self::Serve(_) => "info,aws=error",
            // The embedded DynamoDB warns of answers that are asked for.
            _ => "warn,aws=error,dynoxide=error",
        };
        Verbosity { log, server }
    }

    async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            #[cfg(feature = "dev")]
            Self::Dev(args) => Box::pin(args.run()).await,
            #[cfg(feature = "dev")]
            Self::Issuer(args) => args.run().await,
            Self::Serve(args) => args.run().await,
            Self::Healthcheck(args) => args.run().await,
            Self::Migrate(args) => args.run().await,
            Self::SchemaPrint => schema_print::run(),
            Self::SchemaLoad(args) => args.run().await,
            Self::Drop(args) => args.run().await,
            Self::Seed(args) => args.run().await,
            Self::Scan(args) => args.run().await,
            Self::ListConversations(args) => args.run().await,
            Self::GetConversation(args) => args.run().await,
            Self::UpdateCognitoUserIds(args) => args.run().await,
            Self::Check(args) => args.run().await,
            Self::Completions(args) => args.run(),
        }
    }
}

/// One line that says what is wrong and how to go on.
fn report(error: &CliError) -> ExitCode {
    output::remark(&format!("cruddur: {error}"));
    ExitCode::from(error.exit_code())
}
