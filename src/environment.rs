//! Normalization of the process's environment variables, before other code
//! reads them.
//!
//! A variable with an empty value (which `${NAME:-}` in a compose file creates)
//! counts as unset, and whitespace around a value is ignored. The AWS SDK,
//! `sqlx` and other libraries read the environment themselves, and some of them
//! fail on an empty value. Changing a process's environment requires `unsafe`
//! code. Therefore the program executes itself again with the corrected
//! environment, in the same process, which keeps its ID.

use std::env::{args_os, current_exe, vars_os};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prefixes of the names that this program and its libraries read.
const PREFIXES: [&str; 6] = ["AWS_", "CRUDDUR_", "COGNITO_", "OTEL_", "PG", "RUST_"];
/// Further names that they read. Each string is a group of names that are separated by spaces.
const NAMES: [&str; 4] = [
    // The server and its stores.
    "CONNECTION_URL DATABASE_URL DDB_MESSAGE_TABLE FRONTEND_URL LISTEN_ADDR PROD_CONNECTION_URL \
     REDIS_URL",
    // Proxies.
    "ALL_PROXY HTTPS_PROXY HTTP_PROXY NO_PROXY all_proxy https_proxy http_proxy no_proxy",
    // Files and folders.
    "SSL_CERT_DIR SSL_CERT_FILE TMPDIR XDG_RUNTIME_DIR",
    // The terminal.
    "NO_COLOR",
];
/// The variable whose value keeps spaces at its start and end, because they can be a part of the
/// password.
const KEEPS_BLANKS: &str = "PGPASSWORD";

/// The environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The value of a variable is not valid UTF-8.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(String),
    /// The program could not be executed again.
    #[error("{names} must be unset, or set without spaces around the value ({cause})")]
    Execute {
        /// The names of the variables.
        names: String,
        /// The cause.
        cause: io::Error,
    },
}

/// A variable's name and its corrected value, or `None` to unset it.
type Correction = (String, Option<String>);

/// Unsets empty variables and trims the values of others. Returns only if there
/// is nothing to correct, or after an error.
pub fn normalize() -> Result<(), EnvironmentError> {
    let corrections = corrections(vars_os())?;
    if corrections.is_empty() {
        return Ok(());
    }
    let cause = execute_again(&corrections);
    let names: Vec<&str> = corrections.iter().map(|(name, _)| &**name).collect();
    Err(EnvironmentError::Execute {
        names: names.join(", "),
        cause,
    })
}

fn corrections(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Correction>, EnvironmentError> {
    let mut corrections = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_read(name)) else {
            continue;
        };
        let not_unicode = || EnvironmentError::NotUnicode(name.to_owned());
        let value = value.to_str().ok_or_else(not_unicode)?;
        let trimmed = value.trim();
        let right = match trimmed {
            "" => "",
            _ if name == KEEPS_BLANKS => value.trim_end_matches(['\n', '\r']),
            trimmed => trimmed,
        };
        if right.is_empty() || right != value {
            let right = Some(right).filter(|right| !right.is_empty());
            corrections.push((name.to_owned(), right.map(str::to_owned)));
        }
    }
    Ok(corrections)
}

fn is_read(name: &str) -> bool {
    let mut names = NAMES.into_iter().flat_map(str::split_whitespace);
    names.any(|known| known == name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Executes the program again. Returns only if that fails.
fn execute_again(corrections: &[Correction]) -> io::Error {
    let by_name = |program: PathBuf| command(&program, corrections).exec();
    let cause = current_exe().map_or_else(|cause| cause, by_name);
    if cfg!(target_os = "linux") {
        // The file may have been replaced. This path still refers to the
        // running program.
        return command(Path::new("/proc/self/exe"), corrections).exec();
    }
    cause
}

fn command(program: &Path, corrections: &[Correction]) -> Command {
    let mut command = Command::new(program);
    let mut arguments = args_os();
    command.arg0(arguments.next().unwrap_or_else(|| program.into()));
    command.args(arguments);
    for (name, value) in corrections {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove::<&OsStr>(name.as_ref()),
        };
    }
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// Returns the value after correction.
    fn corrected(name: &str, value: &str) -> Option<String> {
        let variables = [(name.into(), value.into())].into_iter();
        let mut corrections = corrections(variables).expect("text");
        match corrections.pop() {
            Some((_, corrected)) => corrected,
            None => Some(value.to_owned()),
        }
    }

    #[test]
    fn empty_variable_is_unset_and_spaces_around_a_value_are_removed() {
        for (name, value, expected) in [
            ("AWS_REGION", "", None),
            ("AWS_REGION", " \n", None),
            ("AWS_REGION", "eu-central-1", Some("eu-central-1")),
            ("AWS_REGION", "eu-central-1\n", Some("eu-central-1")),
            ("COGNITO_ISSUER", "", None),
            ("RUST_LOG", "", None),
            ("PGPASSWORD", "", None),
            ("PGPASSWORD", " secret \r\n", Some(" secret ")),
            ("PGPASSWORD", " secret ", Some(" secret ")),
            ("REDIS_URL", "", None),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "", None),
            ("OTHER", "", Some("")),
            ("OTHER", "a ", Some("a ")),
        ] {
            assert_eq!(
                corrected(name, value).as_deref(),
                expected,
                "{name}={value:?}"
            );
        }
    }

    #[test]
    fn variable_that_is_not_utf8_is_named_in_the_error() {
        let variable = ("AWS_PROFILE".into(), OsString::from_vec(vec![0xff]));
        let refused = corrections([variable].into_iter()).expect_err("not text");
        assert_eq!(refused.to_string(), "AWS_PROFILE is not valid UTF-8");
    }
}
