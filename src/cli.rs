//! The commands. They write data to standard output, and logs to standard error.

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
mod listen;
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

use clap::{CommandFactory, Parser, Subcommand};

use crate::telemetry::{self, Verbosity};
use error::{CliError, CliResult};

/// Direct messages of the Cruddur app: a GraphQL API over DynamoDB and Postgres.
///
/// Settings can also be set with environment variables, which the help shows in brackets. Exit codes:
/// 0 success; 1 failure; 2 usage error; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "cruddur", version = env!("CRUDDUR_VERSION"), arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: stores, token issuer, demo data and the API
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
    /// Issue tokens for the users in the database, as a replacement for Cognito
    #[cfg(feature = "dev")]
    Issuer(issuer::IssuerArgs),
    /// Serve the API
    Serve(Box<serve::ServeArgs>),
    /// Check whether a running server is alive
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Apply all pending migrations to the Postgres database
    Migrate(migrate::MigrateArgs),
    /// Print the GraphQL schema
    SchemaPrint,
    /// Create the table and its index
    SchemaLoad(schema_load::SchemaLoadArgs),
    /// Delete the table and all its data
    Drop(drop::DropArgs),
    /// Write demo users and their messages to the stores
    Seed(seed::SeedArgs),
    /// Print all items of the table
    Scan(scan::ScanArgs),
    /// List a user's message groups, most recently active first
    ListConversations(list_conversations::ListConversationsArgs),
    /// Print the messages of a group, oldest first
    GetConversation(get_conversation::GetConversationArgs),
    /// Copy the Cognito IDs of a user pool's users to Postgres
    UpdateCognitoUserIds(update_cognito_user_ids::UpdateCognitoUserIdsArgs),
    /// Check the table for inconsistencies and optionally repair them
    Check(check::CheckArgs),
    /// Print the completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let telemetry = telemetry::start(self.command.verbosity());
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return report(&CliError::from(error)),
        };
        let outcome = runtime.block_on(self.command.run());
        telemetry.stop();
        // The program ends without waiting for background tasks.
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
            // The AWS SDK's warnings repeat errors that are already reported in readable form, and
            // print them in Rust's debug format.
            Self::Serve(_) => "info,aws=error",
            // The embedded DynamoDB logs warnings about error responses that are expected here.
            _ => "warn,aws=error,dynoxide=error",
        };
        Verbosity { log, server }
    }

    async fn run(self) -> CliResult<ExitCode> {
        match self {
            #[cfg(feature = "dev")]
            // Boxed because it is large: it contains the start of all services.
            Self::Dev(args) => return Box::pin(args.run()).await,
            #[cfg(feature = "dev")]
            Self::Issuer(args) => args.run().await?,
            Self::Serve(args) => return args.run().await,
            Self::Healthcheck(args) => args.run().await?,
            Self::Migrate(args) => args.run().await?,
            Self::SchemaPrint => schema_print::run()?,
            Self::SchemaLoad(args) => args.run().await?,
            Self::Drop(args) => args.run().await?,
            Self::Seed(args) => args.run().await?,
            Self::Scan(args) => args.run().await?,
            Self::ListConversations(args) => args.run().await?,
            Self::GetConversation(args) => return args.run().await,
            Self::UpdateCognitoUserIds(args) => args.run().await?,
            Self::Check(args) => return args.run().await,
            Self::Completions(args) => args.run(Cli::command())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints an error on one line, with its cause and what to do about it.
fn report(error: &CliError) -> ExitCode {
    output::remark(&format!("cruddur: {error}"));
    ExitCode::from(error.exit_code())
}
