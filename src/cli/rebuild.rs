//! `mdb rebuild`: canonical tables again from raw.

use std::io::Write;
use std::time::Instant;

use super::progress::bar;
use super::serving::Serving;
use super::{Outcome, load, open_existing_store, outcome, stop_flag};
use crate::config::Settings;
use crate::store::Rebuild;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb rebuild\n  mdb rebuild --venue VENUE --table trades")]
pub(super) struct Args {
    /// Only this venue's rows
    #[arg(long)]
    venue: Option<String>,
    /// Only this table; the tables of order books come together
    #[arg(long)]
    table: Option<String>,
}

pub(super) fn run(args: Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let stop = stop_flag()?;
    let mut store = open_existing_store(settings)?;
    let serving = Serving::start("rebuild", settings, &store, &stop)?;
    let start = Instant::now();
    let bar = bar(
        Some(0),
        "rebuilding",
        "{msg} {wide_bar} {percent}% · {pos} of {len} messages · {eta} left",
    );
    let what = Rebuild {
        venue: args.venue,
        table: args.table,
    };
    let rebuilt = store.rebuild(&what, &stop, |so_far| {
        bar.set_length(so_far.messages);
        bar.set_position(so_far.written.messages);
    });
    bar.finish_and_clear();
    let rebuilt = rebuilt?;
    if rebuilt.stopped {
        writeln!(std::io::stdout(), "stopped; nothing was changed")?;
    } else {
        load::summary(&rebuilt.written, start.elapsed().as_secs_f64())?;
    }
    drop(serving);
    store.close()?;
    Ok(outcome(&stop))
}
