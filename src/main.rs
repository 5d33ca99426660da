//! The command line: correct the environment, parse, start logging, run the
//! command, report failure.

use std::process::ExitCode;

use cruddur::cli::Cli;

fn main() -> ExitCode {
    Cli::from_process().map_or_else(|refused| refused, Cli::run)
}
