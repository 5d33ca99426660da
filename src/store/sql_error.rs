//! Classification of PostgreSQL's errors, and their text for operators.

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;

use sqlx::migrate::MigrateError;

/// SQLSTATE classes (PostgreSQL's manual, appendix A) whose cause is not the
/// statement, so that a retry may succeed.
///
/// Connection, state of the transaction, credentials, rollback by the server,
/// name of the database, resources, object in use, operator intervention,
/// system, internal.
const UNAVAILABLE_CLASSES: [&str; 11] = [
    "08", "25", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX",
];
/// Single SQLSTATE codes whose cause is not the statement: revoked privileges,
/// and the codes of [`is_foreign_statement`], which remain if preparing the
/// statement again did not help.
const UNAVAILABLE_CODES: [&str; 3] = ["42501", STATEMENT_MISSING, STATEMENT_EXISTS];

/// "cached plan must not change result type". PostgreSQL also uses this code
/// for unsupported features.
const CACHED_PLAN_CHANGED: &str = "0A000";
/// "prepared statement … does not exist".
const STATEMENT_MISSING: &str = "26000";
/// "prepared statement … already exists".
const STATEMENT_EXISTS: &str = "42P05";
/// "relation … does not exist".
const NO_TABLE: &str = "42P01";

/// Classes of errors of a server that is starting, stopping or has no free
/// connections, or of a pooler in front of such a server.
const STARTING_CLASSES: [&str; 4] = ["08", "53", "57", "58"];

/// Returns the SQLSTATE code that the server sent.
fn sql_state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn has_state(error: &sqlx::Error, states: &[&str]) -> bool {
    sql_state(error).is_some_and(|state| states.contains(&&*state))
}

fn has_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    sql_state(error).is_some_and(|state| classes.iter().any(|class| state.starts_with(class)))
}

/// Returns whether the same call may succeed later.
///
/// The cause is then the network, the server's state, the credentials or the
/// privileges, and not the statement.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Configuration(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => true,
        error => has_class(error, &UNAVAILABLE_CLASSES) || has_state(error, &UNAVAILABLE_CODES),
    }
}

/// Returns whether the connection's prepared statements no longer match the
/// server.
///
/// A column's type has changed, or a pooler has assigned another server process
/// to the connection. Nothing was executed.
pub(super) fn is_stale_statement(error: &sqlx::Error) -> bool {
    has_state(error, &[CACHED_PLAN_CHANGED]) || is_foreign_statement(error)
}

/// Returns whether a prepared statement is missing or exists already, which
/// means that the connection has another server process than before.
pub(super) fn is_foreign_statement(error: &sqlx::Error) -> bool {
    has_state(error, &[STATEMENT_MISSING, STATEMENT_EXISTS])
}

/// Returns whether the server rejected the user name or the password.
pub(super) fn is_rejected_login(error: &sqlx::Error) -> bool {
    has_class(error, &["28"])
}

/// Returns whether the server has no free connection.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    has_class(error, &["53"])
}

/// Returns whether a table does not exist.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    has_state(error, &[NO_TABLE])
}

/// Returns whether the server may still be starting: it is unreachable, reports
/// that it is starting, or has no free connection.
///
/// A wrong password, a database that does not exist and a TLS failure do not
/// change with waiting.
pub(super) fn may_be_starting(error: &sqlx::Error, by_socket: bool) -> bool {
    match error {
        sqlx::Error::Io(cause) => match cause.kind() {
            // The server creates its socket when it starts. Any other missing
            // file belongs to the configuration.
            ErrorKind::NotFound => by_socket,
            // A certificate that is not accepted, or a file that cannot be
            // read.
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied => false,
            _ => true,
        },
        sqlx::Error::PoolTimedOut => true,
        error => has_class(error, &STARTING_CLASSES),
    }
}

/// Returns the error as one line for an operator.
///
/// The line has the server's message and the SQLSTATE code, without the
/// driver's prefix and the server's source lines.
pub(super) fn describe(error: &sqlx::Error) -> String {
    let text = match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(cause) if cause.kind() == ErrorKind::TimedOut => {
            "no response in time".to_owned()
        }
        sqlx::Error::Io(cause) => cause.to_string(),
        sqlx::Error::Configuration(cause) => innermost(&**cause),
        sqlx::Error::Tls(cause) => format!("TLS: {}", innermost(&**cause)),
        sqlx::Error::Protocol(cause) => cause.clone(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        sqlx::Error::Migrate(cause) => describe_migration(cause),
        error => error.to_string(),
    };
    text.replace(['\n', '\r'], " ")
}

/// Returns the error of a migration as one line for an operator.
pub(super) fn describe_migration(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(cause) => describe(cause),
        MigrateError::ExecuteMigration(cause, version) => {
            format!("migration {version:04}: {}", describe(cause))
        }
        MigrateError::VersionMismatch(version) => format!(
            "migration {version:04} is not the one that was applied to this database: it was applied by another program, or changed since"
        ),
        error => error.to_string(),
    }
}

/// Returns the root cause, which has the useful text.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{describe, is_unavailable, may_be_starting};

    #[test]
    fn io_error_is_unavailable_and_described_without_framing() {
        let refused = sqlx::Error::Io(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(is_unavailable(&refused) && may_be_starting(&refused, false));
        assert_eq!(describe(&refused), "connection refused");
    }

    #[test]
    fn nested_configuration_error_is_described_by_its_innermost_cause() {
        let inner = sqlx::Error::Configuration("sslmode has no such value".into());
        let outer = sqlx::Error::Configuration(Box::new(inner));
        assert_eq!(describe(&outer), "sslmode has no such value");
        assert!(!may_be_starting(&outer, false));
    }

    #[test]
    fn missing_file_may_be_a_starting_server_only_if_it_is_a_socket() {
        let missing = sqlx::Error::Io(io::Error::from(io::ErrorKind::NotFound));
        assert!(!may_be_starting(&missing, false));
        assert!(may_be_starting(&missing, true));
    }

    #[test]
    fn decoding_error_is_not_unavailable() {
        let decode = sqlx::Error::ColumnNotFound("handle".to_owned());
        assert!(!is_unavailable(&decode));
    }
}
