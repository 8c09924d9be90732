//! `mdb completions`: what bash, zsh or fish need to complete the command line.

use std::io::{self, Write};

use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  mdb completions bash > ~/.local/share/bash-completion/completions/mdb\n  \
                  mdb completions zsh > ~/.zfunc/_mdb\n  \
                  mdb completions fish > ~/.config/fish/completions/mdb.fish")]
pub(super) struct Args {
    /// The shell of the system
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If standard output fails.
pub(super) fn print(args: &Args, command: &mut clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "mdb", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
