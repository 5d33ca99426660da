//! The options of connections to the database: the connection string and the
//! current password.

use std::env;
use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;

use super::database_error::DatabaseResult;
use super::database_url::{DatabaseUrl, InvalidDatabaseUrl};
use super::password::{PasswordFileError, PasswordSource};

/// Parameter of a connection string with the path of a password file, as in
/// libpq.
const PASSFILE: &str = "passfile";
/// Parameter with the maximum number of statements that sqlx keeps prepared.
const STATEMENTS: &str = "statement-cache-capacity";

/// A connection string and the source of its password.
#[derive(Clone, Debug)]
pub(super) struct ConnectSource {
    /// The options of a connection, without a password if it comes from a file.
    pub target: PgConnectOptions,
    pub password: PasswordSource,
    /// Whether the connection string disables prepared statements.
    pub without_statements: bool,
    /// Names of unsupported parameters.
    pub ignored: Vec<String>,
    /// Files with certificates, keys and passwords: the name of the parameter
    /// or variable, and the path.
    pub files: Vec<(&'static str, PathBuf)>,
}

impl ConnectSource {
    /// Parses a connection string.
    ///
    /// The password comes from `password_file`, else from the connection
    /// string, else from libpq's password files.
    pub fn parse(url: &str, password_file: Option<PathBuf>) -> DatabaseResult<Self> {
        let DatabaseUrl {
            url: mut parsed,
            ignored,
            mut files,
        } = DatabaseUrl::parse(url)?;
        let pairs = parsed.query_pairs().into_owned();
        let (passfiles, mut parameters): (Vec<_>, Vec<_>) =
            pairs.partition(|(name, _)| name == PASSFILE);
        let has_password = parsed.password().is_some()
            || parameters.iter().any(|(name, _)| name == "password")
            || env::var_os("PGPASSWORD").is_some_and(|password| !password.is_empty());
        let password = match (password_file, passfiles.into_iter().next_back()) {
            (Some(file), _) => PasswordSource::File(file),
            (None, _) if has_password => PasswordSource::Settings,
            (None, Some((_, file))) => {
                files.push((PASSFILE, PathBuf::from(&file)));
                PasswordSource::Passfile(file.into())
            }
            (None, None) => {
                let named = env::var_os("PGPASSFILE").filter(|file| !file.is_empty());
                let named = named.map(PathBuf::from);
                files.extend(named.clone().map(|file| ("PGPASSFILE", file)));
                let default = || env::home_dir().map(|home| home.join(".pgpass"));
                let file = named.or_else(default);
                file.map_or(PasswordSource::Settings, PasswordSource::Passfile)
            }
        };
        if !has_password {
            // Prevents the driver from reading password files itself, because
            // it logs the lines that it cannot parse.
            parameters.push(("password".to_owned(), String::new()));
        }
        let disables = |(name, value): &(String, String)| name == STATEMENTS && value == "0";
        let without_statements = parameters.iter().any(disables);
        parsed.set_query(None);
        if !parameters.is_empty() {
            parsed.query_pairs_mut().extend_pairs(parameters);
        }
        // The only remaining error is percent-encoded text that is not UTF-8.
        let options = parsed.as_str().parse::<PgConnectOptions>();
        let options = options.map_err(|_| InvalidDatabaseUrl::Reserved)?;
        Ok(Self {
            // Poolers reject this parameter, and no query reads floating-point
            // numbers.
            target: options.extra_float_digits(None),
            password,
            without_statements,
            ignored,
            files,
        })
    }

    /// Logs a warning if other users can read the password file.
    pub fn warn_of_open_file(&self) {
        if let Some(file) = self.password.open_passfile() {
            tracing::warn!(
                file = %file.display(),
                "other users can read a password file: allow only its owner to read it"
            );
        }
    }

    /// Returns the options for a new connection, and their password if it comes
    /// from a file.
    ///
    /// Reads the file.
    pub async fn options(&self) -> Result<(PgConnectOptions, Option<String>), PasswordFileError> {
        if !self.password.may_change() {
            return Ok((self.target.clone(), None));
        }
        let (source, target) = (self.password.clone(), self.target.clone());
        let read = tokio::task::spawn_blocking(move || source.read(&target)).await;
        let password =
            read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let options = match &password {
            Some(password) => self.target.clone().password(password),
            None => self.target.clone(),
        };
        Ok((options, password))
    }
}
