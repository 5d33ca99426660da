//! Errors of the database.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;
use uuid::Uuid;

use super::cause::Cause;
use super::database_url::InvalidDatabaseUrl;
use super::password::PasswordFileError;
use super::sql_error::{describe, describe_migration, may_be_starting};

/// The result of a call to the database.
pub type DatabaseResult<T> = Result<T, DatabaseError>;

/// The reason for which the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The connection string is not valid.
    #[error("DATABASE_URL is not an address like postgres://user:password@host:5432/database: {0}")]
    Address(#[from] InvalidDatabaseUrl),
    /// A file with a certificate, key or password cannot be used.
    #[error("{name}: the file {} cannot be used: {cause}", file.display())]
    File {
        /// The parameter or variable with the path of the file.
        name: &'static str,
        /// Path of the file.
        file: PathBuf,
        /// The problem with the file.
        #[source]
        cause: Cause,
    },
    /// The password cannot be read.
    #[error(transparent)]
    PasswordFile(#[from] PasswordFileError),
    /// The server cannot be reached, or rejected the connection.
    #[error("no connection to the database {database} at {host}: {}", describe(.cause))]
    Connect {
        /// Host and port.
        host: String,
        /// Name of the database.
        database: String,
        /// Whether the server is reached by a Unix socket.
        by_socket: bool,
        /// The error of the driver.
        #[source]
        cause: sqlx::Error,
    },
    /// A migration was rejected and rolled back completely.
    #[error("the database could not be migrated: {}", describe_migration(.0))]
    Migrate(#[source] MigrateError),
    /// The migration cannot continue because these users have no handle.
    #[error(
        "the database could not be migrated: users without a handle: {}: give each of them one in public.users, then \
         migrate again",
        .0.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
    )]
    NoHandle(Vec<Uuid>),
    /// The time zone of the original's timestamps is ambiguous.
    #[error(
        "the database could not be migrated: public.users.created_at has no time zone, and this user may not read the \
         server's default: it is {0} or UTC. Name it with --created-at-time-zone"
    )]
    UnknownTimeZone(String),
    /// These migrations are not applied.
    #[error("the database lacks {}: bring it up to date with `cruddur migrate`", .0.join(", "))]
    MissingMigrations(Vec<String>),
    /// The server was reached, but a query failed.
    #[error("Postgres: {}", describe(.0))]
    Query(#[from] sqlx::Error),
}

impl DatabaseError {
    /// Returns whether the database may still be starting, so that waiting may
    /// help.
    pub fn may_be_starting(&self) -> bool {
        match self {
            Self::Connect {
                cause, by_socket, ..
            } => may_be_starting(cause, *by_socket),
            Self::Query(cause) => may_be_starting(cause, false),
            _ => false,
        }
    }
}
