//! A pool of connections to the database.
//!
//! New connections use the current password, prepared statements that became
//! invalid are prepared again, and poolers between this program and the server
//! are supported.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres, Row};

use super::connect::ConnectSource;
use super::sql_error::{
    describe, is_foreign_statement, is_full, is_rejected_login, is_stale_statement,
};
use crate::lock::lock;

/// How the server processes behind the connections are shared with other
/// clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pooling {
    /// Each connection has its own server process: `PostgreSQL` itself, or a
    /// pooler in session mode.
    ///
    /// Statements stay prepared.
    Session,
    /// Each transaction can get another server process: a pooler in transaction
    /// mode.
    ///
    /// Statements are unnamed, and each one runs in a transaction, which keeps
    /// all its parts on one server process.
    Transaction,
}

/// A pool of connections to the users' database. Clones share the pool.
#[derive(Clone, Debug)]
pub struct DatabasePool {
    pool: PgPool,
    state: Arc<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    source: ConnectSource,
    /// The password of new connections, if it comes from a file.
    password: Mutex<Option<String>>,
    pooling: Mutex<Pooling>,
    /// Whether `pooling` was configured explicitly.
    is_fixed: bool,
}

impl DatabasePool {
    /// Creates a pool whose connections use this source.
    pub(super) fn new(
        pool: PgPool,
        source: ConnectSource,
        password: Option<String>,
        pooling: Pooling,
        is_fixed: bool,
    ) -> Self {
        Self {
            pool,
            state: Arc::new(PoolState {
                source,
                password: Mutex::new(password),
                pooling: Mutex::new(pooling),
                is_fixed,
            }),
        }
    }

    /// Creates a pool on which every query fails.
    pub(super) fn failing() -> Self {
        let source =
            ConnectSource::parse("postgres://database.invalid/", None).expect("an address");
        let pool = PgPool::connect_lazy_with(source.target.clone());
        Self::new(pool, source, None, Pooling::Session, true)
    }

    /// Returns how server processes are shared, as currently known.
    pub fn pooling(&self) -> Pooling {
        *lock(&self.state.pooling)
    }

    /// Returns whether statements may stay prepared on a connection.
    pub(super) fn keeps_statements(&self) -> bool {
        self.pooling() == Pooling::Session
    }

    /// Acquires a connection.
    ///
    /// A new connection uses the current password.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if self.pool.num_idle() == 0 {
            self.read_password().await;
        }
        match self.pool.acquire().await {
            Err(error) if is_rejected_login(&error) && self.read_password().await => {
                self.pool.acquire().await
            }
            acquired => acquired,
        }
    }

    /// Opens all connections, so that requests do not wait for them when many clients connect at
    /// the same time.
    ///
    /// Takes at most as long as a request waits for a connection. Connections that are not open by
    /// then are opened when they are needed.
    pub async fn fill(&self) {
        let options = self.pool.options();
        let (limit, max) = (options.get_acquire_timeout(), options.get_max_connections());
        let open_all = try_join_all((0..max).map(|_| self.acquire()));
        if !matches!(tokio::time::timeout(limit, open_all).await, Ok(Ok(_))) {
            tracing::info!(
                open = self.pool.size(),
                max,
                "not all connections to Postgres were opened at startup"
            );
        }
    }

    /// Returns all rows of a query without side effects: one statement.
    ///
    /// Prepares the statement again, once, if the server rejects the prepared
    /// one.
    pub(super) async fn fetch<R>(
        &self,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<R>, sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut connection = self.acquire().await?;
        match self.fetch_on(&mut connection, sql, arguments.clone()).await {
            Err(error) if is_stale_statement(&error) => {
                self.forget_statements(&mut connection, &error).await?;
                self.fetch_on(&mut connection, sql, arguments).await
            }
            fetched => fetched,
        }
    }

    async fn fetch_on<R>(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<R>, sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as_with(sql, arguments);
        if self.keeps_statements() {
            return query.fetch_all(connection).await;
        }
        let mut transaction = connection.begin().await?;
        let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// Clears the connection's statement cache.
    ///
    /// If the error shows a prepared statement of another connection, a pooler
    /// is in front of the server.
    async fn forget_statements(
        &self,
        connection: &mut PgConnection,
        error: &sqlx::Error,
    ) -> Result<(), sqlx::Error> {
        tracing::info!(cause = describe(error), "a statement is prepared again");
        if is_foreign_statement(error) && !self.state.is_fixed {
            *lock(&self.state.pooling) = Pooling::Transaction;
            tracing::warn!(
                "a pooler shares server processes between connections: statements are no longer kept prepared"
            );
        }
        connection.clear_cached_statements().await
    }

    /// Reads the password again for new connections.
    ///
    /// Returns whether the password has changed.
    async fn read_password(&self) -> bool {
        let source = &self.state.source;
        if !source.password.may_change() {
            return false;
        }
        let (options, password) = match source.options().await {
            Ok(read) => read,
            Err(error) => {
                // The file may be being replaced at this moment; the old
                // password may still work.
                tracing::warn!(%error, "the database password was not read again");
                return false;
            }
        };
        let mut known = lock(&self.state.password);
        if *known == password {
            return false;
        }
        *known = password;
        self.pool.set_connect_options(options);
        tracing::info!("the database password has changed: new connections use it");
        true
    }
}

/// Detects how server processes are shared, with the existing connection and a
/// second one.
///
/// A pooler without other clients assigns the same server process to both
/// connections. If the pooler has other clients, it can assign another server
/// process to the first connection than before. If neither is observed, the
/// result is `Session`. If the second connection gets no server process within
/// `limit`, for example because the pool is small or busy, the result is
/// `Transaction`, which works in all cases.
pub(super) async fn detect_pooling(
    first: &mut PgConnection,
    options: &PgConnectOptions,
    limit: Duration,
) -> Result<Pooling, sqlx::Error> {
    let compared = tokio::time::timeout(limit, compare_processes(first, options)).await;
    compared.unwrap_or(Ok(Pooling::Transaction))
}

async fn compare_processes(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Pooling, sqlx::Error> {
    let before = server_process(first).await?;
    let mut second = match PgConnection::connect_with(options).await {
        Ok(second) => second,
        // The server allows only one connection, so its process is not shared.
        Err(error) if is_full(&error) => return Ok(Pooling::Session),
        Err(error) => return Err(error),
    };
    let mut transaction = second.begin().await?;
    let other = server_process(&mut transaction).await?;
    let is_shared = other == before || server_process(first).await? != before;
    transaction.rollback().await?;
    second.close().await?;
    Ok(if is_shared {
        Pooling::Transaction
    } else {
        Pooling::Session
    })
}

/// Returns the ID of the server process of a connection.
///
/// The query does not use a prepared statement.
async fn server_process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection);
    row.await?.try_get(0)
}
