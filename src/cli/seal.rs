//! `mdb seal`: finished dates go to the lake.

use std::io::Write;

use jiff::civil::Date;

use super::progress::grouped;
use super::serving::Serving;
use super::{Outcome, open_existing_store, outcome, stop_flag};
use crate::config::Settings;
use crate::sources::now_ns;
use crate::store::{SealedFile, Which};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb seal\n  mdb seal --before 2024-08-09\n  mdb seal --all")]
pub(super) struct Args {
    /// Every date, finished or not
    #[arg(long, conflicts_with = "before")]
    all: bool,
    /// The UTC dates before this one
    #[arg(long, value_name = "DATE")]
    before: Option<Date>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let which = match args.before {
        _ if args.all => Which::All,
        Some(date) => Which::Before(date),
        None => Which::Finished(&settings.seal, now_ns()),
    };
    let stop = stop_flag()?;
    let store = open_existing_store(settings)?;
    let serving = Serving::start("seal", settings, &store, &stop)?;
    let mut files = 0;
    let mut out = std::io::stdout();
    let mut told = Ok(());
    store.sealer()?.seal(which, |file: &SealedFile| {
        files += 1;
        told = writeln!(
            out,
            "{:<55} {:>12} rows {:>12} bytes {:>7.2} bytes/row",
            file.path,
            grouped(file.rows),
            grouped(file.bytes),
            file.bytes as f64 / file.rows as f64
        );
        told.is_ok() && outcome(&stop) == Outcome::Done
    })?;
    if files == 0 {
        writeln!(out, "nothing to seal")?;
    }
    drop(serving);
    store.close()?;
    told?;
    Ok(outcome(&stop))
}
