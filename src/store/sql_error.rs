//! Classification of PostgreSQL's errors, and their text for operators.

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;

use sqlx::migrate::MigrateError;

/// SQLSTATE classes (PostgreSQL's manual, appendix A) whose cause is outside of
/// the statement, so that the same call may succeed later: connection, state of
/// the transaction, credentials, rollback by the server, name of the database,
/// resources, object in use, operator intervention, system, internal.
const UNAVAILABLE_CLASSES: [&str; 11] = [
    "08", "25", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX",
];
/// The same, for single codes: privileges that were revoked, and what
/// [`is_foreign_statement`] names, should a retry not help.
const UNAVAILABLE_CODES: [&str; 3] = ["42501", STATEMENT_MISSING, STATEMENT_EXISTS];

/// "cached plan must not change result type"; also for unsupported features.
const CACHED_PLAN_CHANGED: &str = "0A000";
/// "prepared statement … does not exist".
const STATEMENT_MISSING: &str = "26000";
/// "prepared statement … already exists".
const STATEMENT_EXISTS: &str = "42P05";
/// "relation … does not exist".
const NO_TABLE: &str = "42P01";

/// Classes of errors of a server that is starting, stopping or full, or of a
/// pooler whose server is.
const STARTING_CLASSES: [&str; 4] = ["08", "53", "57", "58"];

/// The SQLSTATE that the server sent.
fn sql_state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn has_state(error: &sqlx::Error, states: &[&str]) -> bool {
    sql_state(error).is_some_and(|state| states.contains(&&*state))
}

fn has_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    sql_state(error).is_some_and(|state| classes.iter().any(|class| state.starts_with(class)))
}

/// Whether the same call may succeed later: its cause is the network, the
/// server's state, the credentials or the privileges, and not the statement.
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

/// Whether the connection's prepared statements no longer fit the server: a
/// column's type changed, or a pooler has given the connection another server
/// process. Nothing was executed.
pub(super) fn is_stale_statement(error: &sqlx::Error) -> bool {
    has_state(error, &[CACHED_PLAN_CHANGED]) || is_foreign_statement(error)
}

/// Whether a prepared statement is missing, or is there already: the server
/// process is not the one that this connection had.
pub(super) fn is_foreign_statement(error: &sqlx::Error) -> bool {
    has_state(error, &[STATEMENT_MISSING, STATEMENT_EXISTS])
}

/// Whether the server rejected user or password.
pub(super) fn is_rejected_login(error: &sqlx::Error) -> bool {
    has_class(error, &["28"])
}

/// Whether the server has no connection left for us.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    has_class(error, &["53"])
}

/// Whether a table does not exist.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    has_state(error, &[NO_TABLE])
}

/// Whether a server that is still starting explains the error: it cannot be
/// reached, says so itself, or has no connection left. A wrong password, a
/// database that does not exist and a failure of TLS do not pass by waiting.
pub(super) fn may_be_starting(error: &sqlx::Error, by_socket: bool) -> bool {
    match error {
        sqlx::Error::Io(cause) => match cause.kind() {
            // The server makes its socket; any other file is one of the settings.
            ErrorKind::NotFound => by_socket,
            // A certificate that is not accepted, a file that cannot be read.
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied => false,
            _ => true,
        },
        sqlx::Error::PoolTimedOut => true,
        error => has_class(error, &STARTING_CLASSES),
    }
}

/// The error in one line for an operator: what the server said, with its
/// SQLSTATE, without the driver's own framing and the server's source lines.
pub(super) fn describe(error: &sqlx::Error) -> String {
    let text = match error {
        sqlx::Error::Database(refusal) => match refusal.code() {
            Some(code) => format!("{} (SQLSTATE {code})", refusal.message()),
            None => refusal.message().to_owned(),
        },
        sqlx::Error::Io(cause) if cause.kind() == ErrorKind::TimedOut => {
            "no answer in time".to_owned()
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

/// The same for a migration.
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

/// The cause at the end of the chain, which is the one that says something.
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
    fn missing_file_is_waited_for_only_where_it_is_the_servers_socket() {
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
