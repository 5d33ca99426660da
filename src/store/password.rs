//! Database passwords in files, which are read again for each new connection.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::cause::Cause;

/// The source of the password.
#[derive(Clone, Debug)]
pub(super) enum PasswordSource {
    /// The connection string or `PGPASSWORD`. The password does not change
    /// while the process runs.
    Settings,
    /// A file with only the password, or with a secret in JSON.
    File(PathBuf),
    /// A file in libpq's format, which may have an entry for the connection.
    Passfile(PathBuf),
}

impl PasswordSource {
    /// Returns whether the password can change while the process runs.
    pub fn may_change(&self) -> bool {
        !matches!(self, Self::Settings)
    }

    /// Returns libpq's password file if other users can read it.
    ///
    /// libpq ignores such a file. It is not ignored here, because the files of
    /// mounted secrets are readable at least by a group.
    pub fn open_passfile(&self) -> Option<&Path> {
        let Self::Passfile(file) = self else {
            return None;
        };
        let mode = fs::metadata(file).ok()?.permissions().mode();
        (mode & 0o077 != 0).then_some(file)
    }

    /// Returns the current password for a connection, or `None` if there is
    /// none.
    ///
    /// Reads files, so it blocks.
    pub fn read(&self, options: &PgConnectOptions) -> Result<Option<String>, PasswordFileError> {
        match self {
            Self::Settings => Ok(None),
            Self::File(file) => read_password(file).map(Some),
            Self::Passfile(file) => find_password(file, options),
        }
    }
}

/// A password file cannot be used.
///
/// The error does not contain any part of the file's contents.
#[derive(Debug, thiserror::Error)]
#[error("the password file {} {cause}", .file.display())]
pub struct PasswordFileError {
    file: PathBuf,
    #[source]
    cause: Cause,
}

fn unreadable(file: &Path, error: io::Error) -> PasswordFileError {
    PasswordFileError {
        file: file.to_owned(),
        cause: Cause::new(format!("cannot be read: {error}"), error),
    }
}

fn read_password(file: &Path) -> Result<String, PasswordFileError> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, error))?;
    // Editors and `echo` end a file with a line break.
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(PasswordFileError {
            file: file.to_owned(),
            cause: Cause::text("is empty"),
        }),
        text => Ok(password_of_secret(text).unwrap_or_else(|| text.to_owned())),
    }
}

/// Returns the password of a secret in the format of Amazon RDS in Secrets
/// Manager: a JSON object with a `password`.
///
/// Agents and the CSI driver write such secrets to files in this format.
fn password_of_secret(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Secret {
        password: String,
    }
    serde_json::from_str(text)
        .ok()
        .map(|Secret { password }| password)
}

/// Returns the password for a connection from a file in libpq's format: that of
/// the first line whose fields match.
///
/// A file that does not exist has no entries.
fn find_password(
    file: &Path,
    options: &PgConnectOptions,
) -> Result<Option<String>, PasswordFileError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file, error)),
    };
    Ok(text.lines().find_map(|line| password_in(line, options)))
}

/// Returns whether the server is reached by a Unix socket.
pub(super) fn is_by_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

/// Returns the password of a line `host:port:database:user:password`, if its
/// fields match the connection.
///
/// `*` matches every value, and `\` escapes the next character.
fn password_in(line: &str, options: &PgConnectOptions) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let [host, port, database, user, password] = fields(line)?;
    let matches = |field: &str, value: &str| field == "*" || field == value;
    let socket = options.get_socket().and_then(|path| path.to_str());
    let host_matches = matches(&host, socket.unwrap_or(options.get_host()))
        || (is_by_socket(options) && host == "localhost");
    // Without a database name, the server opens the database that has the name
    // of the user.
    let name = options.get_database().unwrap_or(options.get_username());
    let all = host_matches
        && matches(&port, &options.get_port().to_string())
        && matches(&database, name)
        && matches(&user, options.get_username());
    all.then_some(password)
}

/// Returns the fields of a line without their escapes. The last field may contain `:`.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let mut number = 0;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if number < 4 => number += 1,
            '\\' => fields[number].extend(characters.next()),
            character => fields[number].push(character),
        }
    }
    (number == 4).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::{password_in, password_of_secret};

    #[test]
    fn password_file_can_contain_a_secret_in_json() {
        let secret = r#"{"username": "cruddur", "password": "a\"b}"}"#;
        assert_eq!(password_of_secret(secret).as_deref(), Some("a\"b}"));
        for password in ["{secret}", r#""quoted""#, r#"{"passwords": "no"}"#, "12345"] {
            assert_eq!(password_of_secret(password), None, "{password}");
        }
    }

    #[test]
    fn passfile_entry_matches_as_in_libpq() {
        let tcp = "postgres://app@db.example:5433/cruddur";
        let socket = "postgres://app@%2Frun%2Fpostgresql/cruddur";
        for (url, line, password) in [
            (tcp, "db.example:5433:cruddur:app:secret", Some("secret")),
            (tcp, "*:*:*:*:with space ", Some("with space ")),
            (tcp, r"*:*:*:app:a\:b\\c", Some(r"a:b\c")),
            (tcp, "db.example:5433:cruddur:app:a:b", Some("a:b")),
            (tcp, "db.example:5432:cruddur:app:secret", None),
            (tcp, "db.example:5433:other:app:secret", None),
            (tcp, "db.example:5433:cruddur:other:secret", None),
            (tcp, "db.example:5433:cruddur:app", None),
            (tcp, "#*:*:*:*:secret", None),
            (tcp, "", None),
            (socket, "localhost:*:*:*:secret", Some("secret")),
            (socket, "/run/postgresql:5432:*:*:secret", Some("secret")),
        ] {
            let options = url.parse().expect("a connection string");
            let found = password_in(line, &options);
            assert_eq!(found.as_deref(), password, "{line:?}");
        }
    }
}
