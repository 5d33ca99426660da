//! The time zone of timestamps that the original wrote without one.
//!
//! The original's `created_at` is `timestamp DEFAULT current_timestamp`, which
//! PostgreSQL converts to the time zone of the session. The original's clients
//! did not set a time zone, so their sessions had the time zone in the database's
//! settings. This program's driver sets UTC for its own sessions, so this module
//! reads the settings.

use sqlx::PgConnection;

use super::{DatabaseError, DatabaseResult};

/// Settings of `ALTER DATABASE … SET` and `ALTER ROLE … SET`, in PostgreSQL's
/// order of precedence.
const OF_DATABASE_OR_ROLE: &str = "
    SELECT substr(setting, strpos(setting, '=') + 1)
      FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE lower(split_part(setting, '=', 1)) = 'timezone'
       AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
     ORDER BY setrole <> 0 AND setdatabase <> 0 DESC, setrole <> 0 DESC, setdatabase <> 0 DESC
     LIMIT 1";

/// Whether this role may read the server's configuration files.
const MAY_READ_FILES: &str = "
    SELECT has_table_privilege('pg_file_settings', 'SELECT')
       AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')
       AND has_function_privilege('pg_read_file(text, bigint, bigint, boolean)', 'EXECUTE')";

/// The setting of `postgres -c timezone=…`, which has precedence over the
/// configuration files.
const OF_COMMAND_LINE: &str = r#"
    SELECT substring(
        pg_read_file('postmaster.opts', 0, 100000, true) FROM '(?i)"(?:--|-c ?)?timezone=([^"]+)"')"#;

/// The setting in `postgresql.conf` and the files that it includes.
const OF_FILES: &str = "
    SELECT setting FROM pg_file_settings
     WHERE lower(name) = 'timezone' AND error IS NULL ORDER BY seqno DESC LIMIT 1";

/// The zone of the log, and whether it is another name of UTC.
///
/// `initdb` sets the zone of the log and the zone of sessions to the same
/// value.
const LOG_ZONE: &str = "
    SELECT zone, (at AT TIME ZONE zone) = (at AT TIME ZONE 'UTC')
             AND (half_a_year_on AT TIME ZONE zone) = (half_a_year_on AT TIME ZONE 'UTC')
      FROM current_setting('log_timezone') AS zone,
           (VALUES ('2023-01-01 12:00Z'::timestamptz, '2023-07-01 12:00Z'::timestamptz))
               AS times (at, half_a_year_on)";

/// Returns the time zone of sessions that do not set one.
pub(super) async fn find_time_zone(connection: &mut PgConnection) -> DatabaseResult<String> {
    let set: Option<String> = sqlx::query_scalar(OF_DATABASE_OR_ROLE)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(zone) = set {
        return Ok(zone);
    }
    let may_read: bool = sqlx::query_scalar(MAY_READ_FILES)
        .fetch_one(&mut *connection)
        .await?;
    if may_read {
        return of_server(connection).await;
    }
    let (zone, is_utc): (String, bool) =
        sqlx::query_as(LOG_ZONE).fetch_one(&mut *connection).await?;
    if is_utc {
        Ok("UTC".to_owned())
    } else {
        Err(DatabaseError::UnknownTimeZone(zone))
    }
}

async fn of_server(connection: &mut PgConnection) -> DatabaseResult<String> {
    let of_command_line: Option<String> = sqlx::query_scalar(OF_COMMAND_LINE)
        .fetch_one(&mut *connection)
        .await?;
    if let Some(zone) = of_command_line {
        return Ok(zone);
    }
    let of_files: Option<String> = sqlx::query_scalar(OF_FILES)
        .fetch_optional(&mut *connection)
        .await?;
    // PostgreSQL's default without a setting.
    Ok(of_files.unwrap_or_else(|| "UTC".to_owned()))
}
