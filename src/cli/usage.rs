//! The command line of the process: removes empty options, and formats errors on one line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::ArgAction;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Error, Parser};

use super::{Cli, output};
use crate::environment;

/// Exit code for a usage error.
const USAGE: u8 = 2;

impl Cli {
    /// Parses the arguments and the environment of this process. In both, an empty value counts as
    /// unset. After an error is printed, returns its exit code.
    pub fn from_process() -> Result<Self, ExitCode> {
        if let Err(error) = environment::normalize() {
            output::remark(&format!("cruddur: {error}"));
            return Err(ExitCode::from(USAGE));
        }
        let root = Self::command();
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let name = arguments.get(1).and_then(|name| name.to_str());
        let command = name.and_then(|name| root.find_subcommand(name));
        let arguments = match command {
            Some(command) => without_empty_options(arguments, command),
            None => arguments,
        };
        Self::try_parse_from(arguments).map_err(|error| report(&error, command))
    }
}

/// Returns the arguments without options that have an empty value.
fn without_empty_options(arguments: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let takes_one_value = |text: &str| {
        let long = text.strip_prefix("--")?;
        let option = option(command, long)?;
        let count = option.get_num_args();
        let one = count.is_none_or(|count| count.max_values() == 1);
        (matches!(option.get_action(), ArgAction::Set | ArgAction::Append) && one).then_some(())
    };
    let is_empty = |value: &OsString| value.to_str().is_some_and(|text| text.trim().is_empty());
    let mut kept = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            kept.push(argument);
            break;
        }
        let text = argument.to_str().unwrap_or_default();
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        match (takes_one_value(name), value) {
            (Some(()), Some(value)) if value.trim().is_empty() => {}
            (Some(()), None) if arguments.peek().is_some_and(is_empty) => drop(arguments.next()),
            (Some(()), None) => {
                kept.push(argument);
                kept.extend(arguments.next());
            }
            _ => kept.push(argument),
        }
    }
    kept.extend(arguments);
    kept
}

fn option<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let mut options = command.get_arguments();
    options.find(|option| option.get_long() == Some(long))
}

/// Prints an error. An error of a setting is one line that names the option and the variable; other
/// errors have clap's format.
fn report(error: &Error, command: Option<&Command>) -> ExitCode {
    let line = command.and_then(|command| in_one_line(error, command));
    match line {
        Some(line) => output::remark(&format!("cruddur: {line}")),
        // If the error cannot be printed, the failure cannot be reported.
        None => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

fn in_one_line(error: &Error, command: &Command) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)?) {
        (ErrorKind::MissingRequiredArgument, ContextValue::Strings(missing)) => {
            let name = |shown: &String| setting(command, shown).map(|(name, _)| name);
            let settings: Option<Vec<String>> = missing.iter().map(name).collect();
            let settings = settings?.join(" and ");
            Some(format!(
                "a required setting is missing or empty: {settings}"
            ))
        }
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, ContextValue::String(shown)) => {
            let (name, option) = setting(command, shown)?;
            Some(format!("{name}: {}", why(error, option)))
        }
        // The argument may be a URL that was meant as the value of an option.
        (ErrorKind::UnknownArgument, ContextValue::String(argument)) => {
            argument.contains("://").then(|| {
                "unexpected argument (a URL, not shown because it may contain a password); --help lists the options"
                    .to_owned()
            })
        }
        _ => None,
    }
}

/// Returns the setting that clap shows as `--option <VALUE>`: its variable and its option.
fn setting<'a>(command: &'a Command, shown: &str) -> Option<(String, &'a Arg)> {
    let long = shown.strip_prefix("--")?;
    let long = long.split([' ', '=', '[']).next()?;
    let option = option(command, long)?;
    let name = match option.get_env() {
        Some(variable) => format!("{} (--{long})", variable.display()),
        None => format!("--{long}"),
    };
    Some((name, option))
}

/// Returns why a value is invalid. The value is quoted unless it may be a secret.
fn why(error: &Error, option: &Arg) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !option.is_hide_env_values_set() => value,
        _ => "",
    };
    let reason = match (
        error.get(ContextKind::ValidValue),
        std::error::Error::source(error),
    ) {
        (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => {
            format!("it is not one of {}", valid.join(", "))
        }
        (_, Some(source)) => source.to_string(),
        _ => "it is not a valid value".to_owned(),
    };
    if value.is_empty() || reason.contains(value) || value.contains('@') {
        reason
    } else {
        format!("\"{value}\": {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(arguments: &[&str]) -> Vec<String> {
        let root = Cli::command();
        let command = root.find_subcommand(arguments[0]).expect("a command");
        let arguments = arguments.iter().map(OsString::from).collect();
        let kept = without_empty_options(arguments, command).into_iter();
        kept.map(|argument| argument.into_string().expect("text"))
            .collect()
    }

    #[test]
    fn option_with_an_empty_value_counts_as_absent() {
        for (arguments, expected) in [
            (&["serve", "--redis-url", ""][..], &["serve"][..]),
            (
                &["serve", "--redis-url=", "--table", "t"],
                &["serve", "--table", "t"],
            ),
            (&["serve", "--cors-origin", " \n"], &["serve"]),
            (&["scan", "--prod", ""], &["scan", "--prod", ""]),
            (
                &["seed", "--between", "", "luu"],
                &["seed", "--between", "", "luu"],
            ),
            (&["list-conversations", ""], &["list-conversations", ""]),
            (
                &["list-conversations", "--", "--table", ""],
                &["list-conversations", "--", "--table", ""],
            ),
        ] {
            assert_eq!(kept(arguments), expected);
        }
    }
}
