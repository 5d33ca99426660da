//! The connection to Postgres and the shape of its database.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::StoreError;

/// How long a server may take to be reached where a database is to be made.
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How the pool of connections behaves.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// The most connections.
    pub max_connections: u32,
    /// How long a request waits for one.
    pub acquire_timeout: Duration,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is none.
    #[error("DATABASE_URL is not an address like postgres://user:password@host:5432/database: {0}")]
    Address(#[source] sqlx::Error),
    /// It cannot be reached, or turned us away.
    #[error("no connection to the database {database} at {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// Name of the database.
        database: String,
        /// What went wrong.
        cause: sqlx::Error,
    },
    /// A migration did not go through; nothing of it remains.
    #[error("the database could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// It was reached but did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the database compares with what this version knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Has every migration that this version knows.
    Current,
    /// Lacks these migrations.
    Behind(Vec<String>),
}

/// The host that an address names, unless that is this machine: by a socket,
/// or by the loopback. The settings at the address's end count, and so do
/// Postgres' own variables.
pub fn remote_database_host(url: &str) -> Result<Option<String>, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(DatabaseError::Address)?;
    let host = options.get_host();
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let local = options.get_socket().is_some() || host.starts_with('/') || loopback;
    Ok((!local).then(|| host.to_owned()))
}

/// Makes a pool, after a first connection that shows a wrong address at once.
pub async fn connect_database(url: &str, settings: PoolSettings) -> Result<PgPool, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(DatabaseError::Address)?;
    // Not through the pool, which would only say that it timed out.
    let first = PgConnection::connect_with(&options);
    let first = tokio::time::timeout(settings.acquire_timeout, first).await;
    match first.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into())) {
        Ok(connection) => connection.close().await.map_err(StoreError::from)?,
        Err(cause) => return Err(connect_error(&options, cause)),
    }
    Ok(PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .connect_lazy_with(options))
}

/// Brings the database to the newest shape. Safe to run at the same time from
/// several places, and again.
pub async fn migrate(pool: &PgPool) -> Result<(), DatabaseError> {
    Ok(MIGRATIONS.run(pool).await?)
}

/// Compares the database with this version. A database that is *ahead* is
/// current: a newer version's migrations keep older instances working.
pub async fn database_state(pool: &PgPool) -> Result<DatabaseState, DatabaseError> {
    let applied: Vec<i64> =
        match sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(pool)
            .await
        {
            Ok(versions) => versions,
            // 42P01: no such table, so nothing was ever migrated.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                Vec::new()
            }
            Err(error) => return Err(StoreError::from(error).into()),
        };
    let missing: Vec<String> = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect();
    Ok(if missing.is_empty() {
        DatabaseState::Current
    } else {
        DatabaseState::Behind(missing)
    })
}

/// Makes the database that an address names, if the server has none of that
/// name.
pub async fn create_database(url: &str) -> Result<(), DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(DatabaseError::Address)?;
    let name = options.get_database().unwrap_or("postgres").to_owned();
    let maintenance = options.clone().database("postgres");
    let connect = PgConnection::connect_with(&maintenance);
    let connected = tokio::time::timeout(CREATE_TIMEOUT, connect).await;
    let mut connection = connected
        .unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()))
        .map_err(|cause| connect_error(&options, cause))?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .fetch_one(&mut connection)
            .await
            .map_err(StoreError::from)?;
    if !exists {
        let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .map_err(StoreError::from)?;
    }
    Ok(())
}

fn connect_error(options: &PgConnectOptions, cause: sqlx::Error) -> DatabaseError {
    DatabaseError::Connect {
        host: format!("{}:{}", options.get_host(), options.get_port()),
        database: options.get_database().unwrap_or("(default)").to_owned(),
        cause,
    }
}
