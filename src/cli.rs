//! The commands. Data goes to standard output, logs to standard error.

#[cfg(feature = "dev")]
mod dev;
mod error;
mod healthcheck;
#[cfg(feature = "dev")]
mod issuer;
mod migrate;
mod schema_load;
mod schema_print;
mod seed;
mod serve;
mod signals;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Serve(serve::ServeArgs),
    /// Ask a running server whether it is alive
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Bring the Postgres database to the newest shape
    Migrate(migrate::MigrateArgs),
    /// Print the GraphQL schema
    SchemaPrint,
    /// Create the table and its index
    SchemaLoad(schema_load::SchemaLoadArgs),
    /// Put demo users and their messages into the stores
    Seed(seed::SeedArgs),
}

impl Cli {
    /// Runs the command to its end.
    #[must_use]
    pub fn run(self) -> ExitCode {
        crate::telemetry::start(self.command.log_level());
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return report(&CliError::from(error)),
        };
        let outcome = runtime.block_on(self.command.run());
        // What still runs in the background is not waited for.
        runtime.shutdown_background();
        match outcome {
            Ok(code) => code,
            Err(error) => report(&error),
        }
    }
}

impl Command {
    fn log_level(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            // The embedded DynamoDB warns of answers that are asked for.
            _ => "warn,dynoxide=error",
        }
    }

    async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            #[cfg(feature = "dev")]
            Self::Dev(args) => args.run().await,
            #[cfg(feature = "dev")]
            Self::Issuer(args) => args.run().await,
            Self::Serve(args) => args.run().await,
            Self::Healthcheck(args) => args.run().await,
            Self::Migrate(args) => args.run().await,
            Self::SchemaPrint => schema_print::run(),
            Self::SchemaLoad(args) => args.run().await,
            Self::Seed(args) => args.run().await,
        }
    }
}

/// Writes to standard output. A reader that has gone is no failure.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One line that says what is wrong and how to go on.
fn report(error: &CliError) -> ExitCode {
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(std::io::stderr(), "cruddur: {error}");
    ExitCode::from(error.exit_code())
}
