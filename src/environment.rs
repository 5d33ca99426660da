//! The environment variables of the process, before anything reads them.
//!
//! A variable that is set but empty, as `${NAME:-}` of a compose file makes
//! it, counts as unset, and blanks and line breaks around a value are no part
//! of it. The AWS SDK, `sqlx` and the other libraries each read the
//! environment themselves, and some of them fail on an empty value. A process
//! cannot change its environment without `unsafe` code, so that the program is
//! executed once more with the corrected one: in the same process, which keeps
//! its id.

use std::env::{args_os, current_exe, vars_os};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The beginnings of names that this program and its libraries read.
const PREFIXES: [&str; 6] = ["AWS_", "CRUDDUR_", "COGNITO_", "OTEL_", "PG", "RUST_"];
/// The other names.
const NAMES: [&str; 20] = [
    "ALL_PROXY",
    "CONNECTION_URL",
    "DATABASE_URL",
    "DDB_MESSAGE_TABLE",
    "FRONTEND_URL",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LISTEN_ADDR",
    "NO_COLOR",
    "NO_PROXY",
    "PROD_CONNECTION_URL",
    "REDIS_URL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// Where a blank at an end may be meant.
const KEEPS_BLANKS: &str = "PGPASSWORD";

/// Why the environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A setting that is no text.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(String),
    /// The program could not be executed again.
    #[error("{names} must be unset, or set without blanks around the value ({cause})")]
    Execute {
        /// The variables.
        names: String,
        /// Why not.
        cause: io::Error,
    },
}

/// What has to become of a variable: another value, or none.
type Correction = (String, Option<String>);

/// Unsets variables that are empty and removes blanks around the values of
/// others. Returns if there is nothing to correct.
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
        let value = value
            .to_str()
            .ok_or_else(|| EnvironmentError::NotUnicode(name.to_owned()))?;
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
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Comes back only with an error.
fn execute_again(corrections: &[Correction]) -> io::Error {
    let by_name = |program: PathBuf| command(&program, corrections).exec();
    let cause = current_exe().map_or_else(|cause| cause, by_name);
    if cfg!(target_os = "linux") {
        // The file may have been replaced meanwhile; this leads to it anyway.
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

    /// The value that counts.
    fn corrected(name: &str, value: &str) -> Option<String> {
        let variables = [(name.into(), value.into())].into_iter();
        let mut corrections = corrections(variables).expect("text");
        match corrections.pop() {
            Some((_, corrected)) => corrected,
            None => Some(value.to_owned()),
        }
    }

    #[test]
    fn empty_variable_is_unset_and_blanks_around_a_value_are_removed() {
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
    fn setting_that_is_no_text_is_named() {
        let variable = ("AWS_PROFILE".into(), OsString::from_vec(vec![0xff]));
        let refused = corrections([variable].into_iter()).expect_err("not text");
        assert_eq!(refused.to_string(), "AWS_PROFILE is not valid UTF-8");
    }
}
