//! `plumline completions`: prints the completion script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::{Plumline, output};

#[derive(Debug, Args)]
#[command(after_help = "For example:
  bash  plumline completions bash > ~/.local/share/bash-completion/completions/plumline
  zsh   plumline completions zsh > \"${fpath[1]}/_plumline\"
  fish  plumline completions fish > ~/.config/fish/completions/plumline.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Plumline::command(), "plumline", &mut script);
    output::print_bytes(&script)
}
