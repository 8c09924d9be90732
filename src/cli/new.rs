//! `mdb new`: a file of one's own to begin with.

use std::io::Write;

use anyhow::bail;

use super::Outcome;
use crate::config::Settings;
use crate::transform::scaffold::{self, Sort};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb new mart turnover_5m\n  mdb new mart ohlcv_1m --replace")]
pub(super) struct Args {
    /// What to begin
    #[arg(value_enum)]
    sort: What,
    /// Its name: small letters, digits and _
    name: String,
    /// In place of a built-in one of this name: begins with its text
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// A view
    View,
    /// A table that is kept up to date
    Mart,
    /// A test of the data
    Test,
    /// A venue's folder
    Venue,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !args.name.starts_with(|c: char| c.is_ascii_lowercase()) || !args.name.chars().all(is_name) {
        bail!(
            "'{}' is no name: it begins with a small letter, and small letters, digits and _ follow",
            args.name
        );
    }
    let sort = match args.sort {
        What::View => Sort::View,
        What::Mart => Sort::Mart,
        What::Test => Sort::Test,
        What::Venue => Sort::Venue,
    };
    let written = scaffold::write(&settings.db, sort, &args.name, args.replace)?;
    for path in written {
        writeln!(std::io::stdout(), "wrote {}", path.display())?;
    }
    Ok(Outcome::Done)
}
