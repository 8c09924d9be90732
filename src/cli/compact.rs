//! `mdb compact`: a few large files in the lake instead of many small ones.

use std::io::Write;

use super::progress::{bar, grouped};
use super::serving::Serving;
use super::{Outcome, open_existing_store, outcome, stop_flag};
use crate::config::Settings;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Answers stay what they are, and others may ask meanwhile. A second time there is nothing left to do.\n\
                  Example: mdb compact --all"
)]
pub(super) struct Args {
    /// Large files too; and what was loaded from vendors' files becomes as small as what was sealed
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let stop = stop_flag()?;
    let mut store = open_existing_store(settings)?;
    // Before others may ask: see there.
    store.use_one_thread()?;
    let serving = Serving::start("compact", settings, &store, &stop)?;
    let bar = bar(
        Some(0),
        "compacting",
        "{msg} {wide_bar} {percent}% · {pos} of {len} rows · {eta} left",
    );
    let compacted = store.compact(args.all, &stop, |so_far| {
        bar.set_length(so_far.rows_to_write);
        bar.set_position(so_far.rows);
    });
    bar.finish_and_clear();
    let compacted = compacted?;
    let mut out = std::io::stdout();
    for (table, merged) in &compacted.tables {
        writeln!(
            out,
            "{table:<17} {:>7} files {:>15} bytes  →  {:>5} files {:>15} bytes",
            grouped(merged.files_before),
            grouped(merged.bytes_before),
            grouped(merged.files),
            grouped(merged.bytes),
        )?;
    }
    if compacted.stopped {
        writeln!(out, "stopped; the same command goes on from here")?;
    } else if compacted.tables.is_empty() {
        writeln!(out, "nothing to compact")?;
    }
    drop(serving);
    store.close()?;
    Ok(outcome(&stop))
}
