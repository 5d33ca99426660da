//! The command line: parse, start logging, run the command, report failure.

use std::process::ExitCode;

use clap::Parser;
use cruddur::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
