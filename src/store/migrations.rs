//! The migrations of the database's schema, and the checks of the original's
//! data that they need.

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgArguments;
use sqlx::{Connection, PgConnection, SqlSafeStr};
use uuid::Uuid;

use super::database_pool::DatabasePool;
use super::original_time_zone::find_time_zone;
use super::sql_error::is_missing_table;
use super::{DatabaseError, DatabaseResult};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    // `sqlx::migrate!` is not used, because cargo would compile sqlx, tokio and rustls a second time for it.
    let users = include_str!("../../migrations/0001_users.sql");
    let users = users.into_sql_str();
    let users = Migration::new(FIRST, "users".into(), MigrationType::Simple, users, false);
    let mut migrations = Migrator::with_migrations(vec![users]);
    // Migrations of a newer version do not cause an error.
    migrations.set_ignore_missing(true);
    // All migrations run in one transaction, which holds its own lock.
    migrations.set_locking(false);
    migrations
});

/// Takes a lock, so that only one process migrates the database at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('cruddur'), hashtext('migrate'))";
const APPLIED: &str =
    "SELECT version, description FROM _sqlx_migrations WHERE success ORDER BY version";

/// The difference between the applied migrations and those that this version
/// has.
///
/// Migrations are given by number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseState {
    /// Migrations of this version that are not applied.
    pub missing: Vec<String>,
    /// Migrations that a newer version applied. Older versions work with a
    /// newer database.
    pub newer: Vec<String>,
}

/// Result of [`migrate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that were applied, in order.
    pub applied: Vec<String>,
    /// Migrations that a newer version had applied.
    pub newer: Vec<String>,
    /// The time zone with which the original's `created_at` was converted.
    /// `None` if no conversion was needed.
    pub time_zone: Option<String>,
}

/// Applies all missing migrations in one transaction. Can be repeated, and can
/// run in several processes at the same time.
///
/// The original's `created_at` is a timestamp without a time zone. `time_zone`
/// sets the zone, if it differs from the zone in which the database displays
/// times.
pub async fn migrate(database: &DatabasePool, time_zone: Option<&str>) -> DatabaseResult<Migrated> {
    let mut connection = database.acquire().await?;
    let mut transaction = connection.begin().await?;
    let migrated = migrate_in(&mut transaction, time_zone).await;
    if !database.keeps_statements() {
        // The statements must be closed while this connection still has the
        // same server process.
        transaction.clear_cached_statements().await?;
    }
    match migrated {
        Ok(migrated) => {
            transaction.commit().await?;
            Ok(migrated)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn migrate_in(
    connection: &mut PgConnection,
    time_zone: Option<&str>,
) -> DatabaseResult<Migrated> {
    sqlx::raw_sql(LOCK).execute(&mut *connection).await?;
    let has_any: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let applied = if has_any {
        sqlx::query_as(APPLIED).fetch_all(&mut *connection).await?
    } else {
        Vec::new()
    };
    let state = compare(&applied);
    let mut time_zone_used = None;
    if !applied.iter().any(|(version, _)| *version == FIRST) {
        require_handles(connection).await?;
        time_zone_used = convert_created_at(connection, time_zone).await?;
    }
    MIGRATIONS.run(&mut *connection).await?;
    Ok(Migrated {
        applied: state.missing,
        newer: state.newer,
        time_zone: time_zone_used,
    })
}

/// The number of the migration that converts the original's table.
const FIRST: i64 = 1;

/// Compares the applied migrations with those of this version.
pub async fn database_state(database: &DatabasePool) -> DatabaseResult<DatabaseState> {
    match database.fetch(APPLIED, PgArguments::default()).await {
        Ok(applied) => Ok(compare(&applied)),
        // No migration was ever applied.
        Err(error) if is_missing_table(&error) => Ok(compare(&[])),
        Err(error) => Err(error.into()),
    }
}

/// Returns an error unless all migrations of this version are applied.
pub async fn require_current(database: &DatabasePool) -> DatabaseResult<()> {
    let missing = database_state(database).await?.missing;
    if missing.is_empty() {
        return Ok(());
    }
    Err(DatabaseError::MissingMigrations(missing))
}

fn compare(applied: &[(i64, String)]) -> DatabaseState {
    let named = |version: i64, description: &str| format!("{version:04} {description}");
    let is_applied = |version: i64| applied.iter().any(|(applied, _)| *applied == version);
    let all = MIGRATIONS.iter();
    let missing = all.filter(|migration| !is_applied(migration.version));
    let missing = missing.map(|migration| named(migration.version, &migration.description));
    let is_newer = |(version, _): &&(i64, String)| !MIGRATIONS.version_exists(*version);
    let newer = applied.iter().filter(is_newer);
    let newer = newer.map(|(version, description)| named(*version, description));
    DatabaseState {
        missing: missing.collect(),
        newer: newer.collect(),
    }
}

/// Returns an error if the migration cannot derive a handle for some users:
/// users without a handle, and several users with an empty one.
async fn require_handles(connection: &mut PgConnection) -> DatabaseResult<()> {
    if !has_column(connection, "uuid").await? || !has_column(connection, "handle").await? {
        return Ok(());
    }
    let nameless: Vec<Uuid> = sqlx::query_scalar(
        "SELECT uuid FROM public.users \
         WHERE handle IS NULL \
         OR (btrim(handle) = '' AND (SELECT count(*) FROM public.users WHERE btrim(handle) = '') > 1) \
         ORDER BY uuid",
    )
    .fetch_all(&mut *connection)
    .await?;
    if nameless.is_empty() {
        Ok(())
    } else {
        Err(DatabaseError::NoHandle(nameless))
    }
}

/// Converts the original's `created_at` if it has no time zone, and returns the
/// zone that was used.
///
/// Without this conversion, the first migration would interpret the times as
/// UTC.
async fn convert_created_at(
    connection: &mut PgConnection,
    time_zone: Option<&str>,
) -> DatabaseResult<Option<String>> {
    let is_local: Option<bool> = sqlx::query_scalar(
        "SELECT atttypid = 'timestamp'::regtype FROM pg_attribute \
         WHERE attrelid = to_regclass('public.users') AND attname = 'created_at' AND NOT attisdropped",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if is_local != Some(true) {
        return Ok(None);
    }
    let time_zone = match time_zone {
        Some(given) => given.to_owned(),
        None => find_time_zone(connection).await?,
    };
    // A DDL statement has no parameters, so the server quotes the zone.
    let convert: String = sqlx::query_scalar(
        "SELECT format('ALTER TABLE public.users ALTER COLUMN created_at DROP DEFAULT, \
         ALTER COLUMN created_at TYPE timestamptz USING created_at AT TIME ZONE %L', $1::text)",
    )
    .bind(&time_zone)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(convert))
        .execute(&mut *connection)
        .await?;
    Ok(Some(time_zone))
}

async fn has_column(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_attribute \
         WHERE attrelid = to_regclass('public.users') AND attname = $1 AND NOT attisdropped)",
    )
    .bind(name)
    .fetch_one(connection)
    .await
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(cause) => Self::Query(cause),
            error => Self::Migrate(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn migrations_of_the_folder_are_all_listed() {
        let folder = std::fs::read_dir("migrations").expect("the folder");
        let names = folder.map(|file| file.expect("a file").file_name());
        let mut files: Vec<_> = names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        files.sort();
        let listed = MIGRATIONS.iter().map(|migration| {
            let description = migration.description.replace(' ', "_");
            format!("{:04}_{description}.sql", migration.version)
        });
        assert_eq!(listed.collect::<Vec<_>>(), files);
    }
}
