//! A pool of connections to the database: new connections use the password as
//! it is then, prepared statements that no longer fit are prepared again, and
//! poolers between us and the server are taken into account.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres, Row};

use super::connect::ConnectSource;
use super::sql_error::{
    describe, is_foreign_statement, is_full, is_rejected_login, is_stale_statement,
};

/// How the server processes behind the connections are shared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Each connection has a server process of its own: `PostgreSQL` itself, or
    /// a pooler in session mode. Statements stay prepared.
    Session,
    /// Each transaction gets any server process: a pooler in transaction mode.
    /// Statements are unnamed, and each is in a transaction, which keeps its
    /// parts on one process.
    Transaction,
}

/// A pool of connections to the database of users. Clones share it.
#[derive(Clone, Debug)]
pub struct DatabasePool {
    pool: PgPool,
    state: Arc<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    source: ConnectSource,
    /// The password of new connections, where it comes from a file.
    password: Mutex<Option<String>>,
    by_transaction: AtomicBool,
    /// Whether an operator has said how processes are shared.
    is_fixed: bool,
}

impl DatabasePool {
    /// Over a pool whose connections are made from this source.
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
                by_transaction: AtomicBool::new(pooling == Pooling::Transaction),
                is_fixed,
            }),
        }
    }

    /// One that nothing can be asked of.
    pub(super) fn nowhere() -> Self {
        let source = ConnectSource::parse("postgres://nowhere.invalid/", None).expect("an address");
        let pool = PgPool::connect_lazy_with(source.target().clone());
        Self::new(pool, source, None, Pooling::Session, true)
    }

    /// How server processes are shared, as far as is known.
    #[must_use]
    pub fn pooling(&self) -> Pooling {
        if self.state.by_transaction.load(Ordering::Relaxed) {
            Pooling::Transaction
        } else {
            Pooling::Session
        }
    }

    /// Whether statements may stay prepared on a connection.
    pub(super) fn keeps_statements(&self) -> bool {
        self.pooling() == Pooling::Session
    }

    /// A connection. A new one is made with the password of this moment.
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

    /// All rows of a query without side effects: one statement. Prepares it
    /// again, once, where the server no longer accepts it as it was prepared.
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

    /// Empties the connection's cache. From a statement that is not the
    /// connection's own it follows that a pooler is in between.
    async fn forget_statements(
        &self,
        connection: &mut PgConnection,
        error: &sqlx::Error,
    ) -> Result<(), sqlx::Error> {
        tracing::info!(cause = describe(error), "a statement is prepared again");
        if is_foreign_statement(error) && !self.state.is_fixed {
            self.state.by_transaction.store(true, Ordering::Relaxed);
            tracing::warn!(
                "a pooler shares server processes between connections: statements are no longer kept prepared"
            );
        }
        connection.clear_cached_statements().await
    }

    /// Reads the password again, for connections that are made from now on.
    /// Whether it is another.
    async fn read_password(&self) -> bool {
        let source = &self.state.source;
        if !source.password_may_change() {
            return false;
        }
        let (options, password) = match source.options().await {
            Ok(read) => read,
            Err(error) => {
                // A file that is being replaced: the old password may still do.
                tracing::warn!(%error, "the database password was not read again");
                return false;
            }
        };
        let mut known = self
            .state
            .password
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *known == password {
            return false;
        }
        *known = password;
        self.pool.set_connect_options(options);
        tracing::info!("the database password has changed: new connections use it");
        true
    }
}

/// How server processes are shared, tried with the connection that is there and
/// a second one. Without others a pooler gives both the same process; with
/// others, the first another one than before. `Session` is therefore certain
/// only without a pooler. Where the second gets no process within `limit`, as
/// from a small or busy pool, it is `Transaction`, which works in any case.
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
        // One connection is all that there is: it is not shared.
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

/// The process that serves a connection, asked without preparing a statement.
async fn server_process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection);
    row.await?.try_get(0)
}
