//! `completions`: shell completion scripts.

use clap::{Args, Command};
use clap_complete::Shell;

use super::{CliResult, output};

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
    /// Prints the script for `program`.
    pub fn run(&self, mut program: Command) -> CliResult<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "cruddur", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}
