//! `mdb help`: of the commands, and of the macros that queries may use.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};

use crate::query::meant;
use crate::sqltree::{SqlFile, SqlTree};

/// What stands for all macros.
const MACROS: &str = "macros";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mdb help sql\n  mdb help macros\n  mdb help ohlcv\n\nThe shell's `.help` knows DuckDB's functions too."
)]
pub(super) struct Args {
    /// A command; `macros` for a list of them; or a macro
    topic: Option<String>,
}

/// Prints it.
///
/// # Errors
/// If there is no such topic, the database's SQL cannot be read, or standard output fails.
pub(super) fn print(args: &Args, db: &Path, cli: &mut clap::Command) -> anyhow::Result<()> {
    let Some(topic) = &args.topic else {
        return Ok(cli.print_help()?);
    };
    // With the program's name before the command's.
    cli.build();
    if let Some(command) = cli.find_subcommand_mut(topic) {
        return Ok(command.print_help()?);
    }
    let tree = SqlTree::load(db)?;
    let text = if topic == MACROS {
        tree.folder("macros").map(in_short).collect()
    } else if let Some(file) = tree.folder("macros").find(|file| file.name == *topic) {
        in_full(file)
    } else {
        let macros = tree.folder("macros").map(|file| &*file.name);
        let commands = cli.get_subcommands().map(clap::Command::get_name);
        let hint = meant(topic, macros.chain(commands))
            .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        bail!(
            "'{topic}' is no command and no macro: `mdb help` and `mdb help {MACROS}` list them{hint}"
        );
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

/// What the macro is called with, as its file says.
fn signature(file: &SqlFile) -> &str {
    let made = file.text.split_once(" MACRO ").map(|(_, made)| made);
    made.and_then(|made| made.split_once(" AS"))
        .map_or(&*file.name, |(signature, _)| signature)
}

fn in_short(file: &SqlFile) -> String {
    let description = &file.header.description;
    let first = description
        .split_once(". ")
        .map_or(&**description, |(first, _)| first);
    format!("{}\n    {}\n", signature(file), first.trim_end_matches('.'))
}

/// Its comment block.
fn in_full(file: &SqlFile) -> String {
    let mut text = format!("{}\n\n", signature(file));
    for line in file.text.lines().map_while(|line| line.strip_prefix("--")) {
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push('\n');
    }
    text
}
