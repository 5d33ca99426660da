//! Database passwords in files, which are read again for each new connection.

use std::env;
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
    /// The first of these files, in libpq's format, that has an entry for the
    /// connection.
    Passfiles(Vec<PathBuf>),
}

impl PasswordSource {
    /// Returns libpq's default files: `PGPASSFILE`, else `~/.pgpass`.
    pub fn default_passfiles() -> Self {
        let named = env::var_os("PGPASSFILE").filter(|file| !file.is_empty());
        let default = || env::home_dir().map(|home| home.join(".pgpass"));
        Self::Passfiles(
            named
                .map(PathBuf::from)
                .or_else(default)
                .into_iter()
                .collect(),
        )
    }

    /// Returns whether the password can change while the process runs.
    pub fn may_change(&self) -> bool {
        match self {
            Self::Settings => false,
            Self::File(_) => true,
            Self::Passfiles(files) => !files.is_empty(),
        }
    }

    /// Returns libpq's password files that other users can read.
    ///
    /// libpq ignores such files. They are not ignored here, because the files
    /// of mounted secrets are readable at least by a group.
    pub fn open_passfiles(&self) -> Vec<&Path> {
        let Self::Passfiles(files) = self else {
            return Vec::new();
        };
        let is_open = |file: &Path| {
            fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
        };
        let files = files.iter().map(PathBuf::as_path);
        files.filter(|file| is_open(file)).collect()
    }

    /// Returns the current password for a connection, or `None` if there is
    /// none.
    ///
    /// Reads files, so it blocks.
    pub fn read(&self, options: &PgConnectOptions) -> Result<Option<String>, PasswordFileError> {
        match self {
            Self::Settings => Ok(None),
            Self::File(file) => read_password(file).map(Some),
            Self::Passfiles(files) => {
                for file in files {
                    if let Some(password) = find_password(file, options)? {
                        return Ok(Some(password));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// A password file cannot be used.
///
/// The error contains nothing of the file's contents.
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

/// Returns the password of a line `host:port:database:user:password`, if its
/// fields match the connection.
///
/// `*` matches every value, and `\` escapes the next character.
fn password_in(line: &str, options: &PgConnectOptions) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let (host, rest) = next_field(line)?;
    let (port, rest) = next_field(rest)?;
    let (database, rest) = next_field(rest)?;
    let (user, password) = next_field(rest)?;
    let matches = |field: &str, value: &str| field == "*" || field == value;
    let by_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    let socket = options.get_socket().and_then(|path| path.to_str());
    let host_matches =
        matches(&host, socket.unwrap_or(options.get_host())) || (by_socket && host == "localhost");
    // Without a database name, the server opens the database that has the name
    // of the user.
    let name = options.get_database().unwrap_or(options.get_username());
    let all = host_matches
        && matches(&port, &options.get_port().to_string())
        && matches(&database, name)
        && matches(&user, options.get_username());
    all.then(|| unescape(password))
}

/// Returns the text before the first unescaped `:`, and the text after it.
fn next_field(line: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (index, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((unescape(&line[..index]), &line[index + 1..])),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        let next = if character == '\\' {
            characters.next()
        } else {
            Some(character)
        };
        plain.extend(next);
    }
    plain
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
