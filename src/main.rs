//! The program: normalizes the environment, parses the command line, starts logging, runs the
//! command, and reports its failure.

use std::process::ExitCode;

use cruddur::cli::Cli;

fn main() -> ExitCode {
    Cli::from_process().map_or_else(|refused| refused, Cli::run)
}
