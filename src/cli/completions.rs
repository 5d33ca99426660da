//! `completions`: shell completion scripts.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliError, output};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cruddur completions bash > /etc/bash_completion.d/cruddur
  cruddur completions zsh > \"${fpath[1]}/_cruddur\"
  cruddur completions fish > ~/.config/fish/completions/cruddur.fish")]
pub(super) struct CompletionsArgs {
    /// Shell to print the script for
    shell: Shell,
}

impl CompletionsArgs {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cruddur", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
