//! Errors of the embedded services.

use std::path::PathBuf;

/// The result of starting or calling an embedded service.
pub type DevResult<T> = Result<T, DevError>;

/// Why an embedded service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Another process uses the data directory.
    #[error(
        "the data directory {0} is in use by another `cruddur dev`: stop that one, or choose another directory"
    )]
    InUse(PathBuf),
    /// PostgreSQL is not installed, and could not be downloaded.
    #[error(
        "PostgreSQL was not found, and {0}. Install it (Debian: `apt-get install postgresql`, macOS: `brew install \
         postgresql`), or add the folder of its programs to PATH; or install Node.js, so that npm can download it; or \
         use a running server: `DATABASE_URL=postgres://user:password@localhost:5432/database`"
    )]
    NoPostgres(String),
    /// PostgreSQL did not start.
    #[error("PostgreSQL did not start: {0}")]
    Postgres(String),
    /// PostgreSQL did not start because an earlier server still uses its files.
    #[error("PostgreSQL did not start: {0}")]
    PostgresFilesInUse(String),
    /// PostgreSQL did not start because another process has taken its port.
    #[error("PostgreSQL did not start: {0}")]
    PostgresPortInUse(String),
    /// PostgreSQL, started by root, cannot access this directory.
    #[error(
        "PostgreSQL refuses to run as root, so it runs as {user}, who cannot enter {path}: run `chmod o+x {path}`, or \
         choose another --data-dir"
    )]
    Unreachable {
        /// The user that PostgreSQL runs as.
        user: String,
        /// The directory that the user cannot enter.
        path: PathBuf,
    },
    /// The embedded DynamoDB did not start.
    #[error("the embedded DynamoDB did not start: {0}")]
    DynamoDb(String),
    /// The token issuer did not start.
    #[error("the token issuer did not start: {0}")]
    Issuer(String),
    /// A setting refers to another machine.
    #[error(
        "{variable} points to another machine ({host}), to which `cruddur dev` would write demo data: unset it, or \
         set it to an address of localhost"
    )]
    NotLoopback {
        /// The environment variable.
        variable: &'static str,
        /// Its host, without user name and password.
        host: String,
    },
    /// An operation on a file or a port failed.
    #[error("{what}: {cause}")]
    Io {
        /// What failed.
        what: String,
        /// The cause.
        cause: std::io::Error,
    },
}

impl DevError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |cause| Self::Io { what, cause }
    }
}
