//! `sealgate completions SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{CommandLine, Done, Exit, output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  source <(sealgate completions bash)
  sealgate completions zsh > ~/.zfunc/_sealgate
  sealgate completions fish > ~/.config/fish/completions/sealgate.fish")]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "sealgate", &mut script);
        output::bytes(&script)?;
        Ok(Exit::Done)
    }
}
