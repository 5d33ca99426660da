//! The connection to Postgres.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::connect::ConnectSource;
use super::database_error::{DatabaseError, DatabaseResult};
use super::database_pool::{DatabasePool, Pooling, detect_pooling};
use super::database_url::check_file;
use super::password::is_by_socket;
use super::sql_error::describe;
use crate::loopback::is_loopback_host;

/// Timeout for the connection with which a database is created. Only tests and
/// `dev` create databases, on this machine.
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of the connection pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Maximum number of connections.
    pub max_connections: u32,
    /// Maximum time that a request waits for a connection.
    pub acquire_timeout: Duration,
    /// Path of a file with the password, which replaces the password in the
    /// connection string.
    pub password_file: Option<PathBuf>,
    /// How server processes are shared. If this is `None`, it is detected.
    pub pooling: Option<Pooling>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(3),
            password_file: None,
            pooling: None,
        }
    }
}

/// Returns the host of a connection string, or `None` for a Unix socket or a
/// loopback address.
///
/// Parameters of the connection string and Postgres' environment variables
/// apply, too.
pub fn remote_database_host(url: &str) -> DatabaseResult<Option<String>> {
    let source = ConnectSource::parse(url, None)?;
    let host = source.target.get_host();
    Ok((!is_by_socket(&source.target) && !is_loopback_host(host)).then(|| host.to_owned()))
}

/// Returns the database's name, host and port, without secrets.
pub fn shown_database(url: &str) -> DatabaseResult<String> {
    let source = ConnectSource::parse(url, None)?;
    let target = &source.target;
    Ok(format!("{} at {}", name(target), host_and_port(target)))
}

/// Checks that the files of the connection string and of Postgres' environment
/// variables are usable.
fn check_files(source: &ConnectSource) -> DatabaseResult<()> {
    for (name, file) in &source.files {
        check_file(name, file).map_err(|cause| DatabaseError::File {
            name,
            file: file.clone(),
            cause,
        })?;
    }
    Ok(())
}

/// Creates a connection pool.
///
/// Opens a first connection, so that a wrong connection string is reported
/// immediately and a pooler in front of the server is detected.
pub async fn connect_database(url: &str, settings: PoolSettings) -> DatabaseResult<DatabasePool> {
    let source = ConnectSource::parse(url, settings.password_file)?;
    check_files(&source)?;
    source.warn_of_open_file();
    let (options, password) = source.options().await?;
    // The pool's error would only be a timeout.
    let limit = settings.acquire_timeout / 2;
    let first = first_connection(&source, &options, settings.pooling, limit);
    let pooling = within(settings.acquire_timeout, first)
        .await
        .map_err(|cause| connect_error(&source, cause))?;
    for parameter in &source.ignored {
        tracing::warn!(
            parameter,
            "DATABASE_URL has a parameter that is not supported; it is ignored"
        );
    }
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        // The driver's own test would log the driver's text of the error. The
        // function is boxed because sqlx requires it.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(async move { Ok(is_alive(connection).await) }))
        .connect_lazy_with(options);
    let is_fixed = settings.pooling.is_some();
    Ok(DatabasePool::new(pool, source, password, pooling, is_fixed))
}

/// Opens a connection and determines how server processes are shared.
async fn first_connection(
    source: &ConnectSource,
    options: &PgConnectOptions,
    given: Option<Pooling>,
    limit: Duration,
) -> Result<Pooling, sqlx::Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let pooling = match given {
        Some(given) => given,
        None if source.without_statements => Pooling::Transaction,
        None => detect_pooling(&mut first, options, limit).await?,
    };
    // The connection is not needed any more, even if it still waits for a
    // response.
    let _ = first.close().await;
    if given.is_none() && pooling == Pooling::Transaction {
        tracing::info!("the database is behind a pooler in transaction mode");
    }
    Ok(pooling)
}

async fn is_alive(connection: &mut PgConnection) -> bool {
    let pinged = connection.ping().await;
    if let Err(error) = &pinged {
        let cause = describe(error);
        tracing::info!(cause, "a connection to Postgres was lost");
    }
    pinged.is_ok()
}

async fn within<T>(
    limit: Duration,
    connecting: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let connected = tokio::time::timeout(limit, connecting).await;
    connected.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()))
}

/// Creates the database of a connection string, if it does not exist.
pub async fn create_database(url: &str) -> DatabaseResult<()> {
    let source = ConnectSource::parse(url, None)?;
    check_files(&source)?;
    let (options, _) = source.options().await?;
    let name = options.get_database().unwrap_or("postgres").to_owned();
    let maintenance = options.database("postgres");
    let mut connection = within(CREATE_TIMEOUT, PgConnection::connect_with(&maintenance))
        .await
        .map_err(|cause| connect_error(&source, cause))?;
    // A transaction without a prepared statement, because a pooler may be in
    // front of the server.
    let mut transaction = connection.begin().await?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await?;
    transaction.commit().await?;
    if !exists {
        let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
    }
    Ok(())
}

fn connect_error(source: &ConnectSource, cause: sqlx::Error) -> DatabaseError {
    let target = &source.target;
    DatabaseError::Connect {
        host: host_and_port(target),
        database: name(target).to_owned(),
        by_socket: is_by_socket(&source.target),
        cause,
    }
}

fn name(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or("(default)")
}

/// Returns host and port, or the directory of the Unix socket.
fn host_and_port(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}
