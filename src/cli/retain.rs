//! `mdb retain`: what is older than a table is to be kept is dropped.

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::progress::grouped;
use super::serving::Serving;
use super::{Outcome, open_existing_store, outcome, stop_flag};
use crate::config::{Settings, whole_days};
use crate::store::{Expired, Store};
use crate::transform::build::{Builder, Request};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Age is counted back from the table's newest row: \"30 days\" keeps its 30 newest UTC dates.\n\
                  Without --table and --keep, as mdb.toml says:\n\n    [retain]\n    trades = \"30 days\"\n\n\
                  With `trades = { keep = \"30 days\", downsample = \"ohlcv_1m\" }`, or --downsample, rows go only once they are in\n\
                  that mart, which is built first and keeps them. What comes for times whose rows were dropped before gets into\n\
                  no mart: such rows stay, and are told of.\n\
                  Tables that are not named keep everything. What was dropped of a table that is made from raw_messages,\n\
                  `mdb rebuild` makes again as long as those are there.\n\
                  Example: mdb retain --table book_deltas --keep \"2 weeks\" --dry-run"
)]
pub(super) struct Args {
    /// The table
    #[arg(long, requires = "keep")]
    table: Option<String>,
    /// How much of it stays: days, weeks, months or years
    #[arg(long, requires = "table", value_name = "TIME", value_parser = whole_days)]
    keep: Option<Span>,
    /// Only what is in this mart is dropped; it is brought up to date first
    #[arg(long, requires = "table", value_name = "MART")]
    downsample: Option<String>,
    /// Only tells what would be dropped
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let file = settings.db.join("mdb.toml");
    let file = file.display();
    let mut wishes: Vec<(&str, Span, Option<&str>, Option<usize>)> = Vec::new();
    if let (Some(table), Some(keep)) = (&args.table, args.keep) {
        wishes.push((table.as_str(), keep, args.downsample.as_deref(), None));
    } else {
        let lines = settings.retain.iter();
        wishes.extend(lines.map(|r| {
            (
                r.table.as_str(),
                r.keep,
                r.downsample.as_deref(),
                Some(r.line),
            )
        }));
    }
    if wishes.is_empty() {
        bail!(
            "no table is named, so nothing was dropped; give --table and --keep, or a line `trades = \"30 days\"` \
             under [retain] in {file}"
        );
    }
    let stop = stop_flag()?;
    let store = open_existing_store(settings)?;
    let serving = Serving::start("retain", settings, &store, &stop)?;
    let mut out = std::io::stdout();
    let mut all = Vec::new();
    for (table, keep, downsample, line) in wishes {
        let looked = || -> anyhow::Result<_> {
            let marts = match downsample {
                Some(mart) => keepers(&store, mart)?,
                None => Vec::new(),
            };
            Ok(store.expired(table, keep, marts)?)
        };
        let expired = match line {
            Some(line) => looked().with_context(|| format!("{file}:{line}"))?,
            None => looked()?,
        };
        match expired {
            Some(expired) => all.push(plausible(expired)?),
            None => writeln!(out, "{table:<17} has no rows")?,
        }
    }
    for expired in all {
        if outcome(&stop) == Outcome::Interrupted {
            break;
        }
        if !args.dry_run && expired.dates > 0 {
            build(&store, &expired.marts, &stop)?;
            store.drop_expired(&expired)?;
        }
        tell(&expired, args.dry_run, &mut out)?;
    }
    drop(serving);
    store.close()?;
    Ok(outcome(&stop))
}

/// A mart and those that it is made from.
fn keepers(store: &Store, mart: &str) -> anyhow::Result<Vec<String>> {
    Ok(Builder::new(store.modeler()?).keepers(mart)?)
}

/// Brings marts up to date.
fn build(store: &Store, marts: &[String], stop: &AtomicBool) -> anyhow::Result<()> {
    if marts.is_empty() {
        return Ok(());
    }
    let request = Request {
        names: marts.to_vec(),
        ..Request::default()
    };
    let mut failed = None;
    Builder::new(store.modeler()?).build(&request, stop, &mut |built| {
        failed = failed.take().or(built.error);
    })?;
    match failed {
        Some(error) => Err(error).context("nothing was dropped"),
        None => Ok(()),
    }
}

/// One row with a time that cannot be must not make all others old.
fn plausible(expired: Expired) -> anyhow::Result<Expired> {
    let now =
        Timestamp::try_from(SystemTime::now()).context("this machine's clock is out of range")?;
    let today = TimeZone::UTC.to_datetime(now).date();
    let Expired { table, newest, .. } = &expired;
    if !expired.is_plausible(today) {
        bail!(
            "{table} has rows of {newest}, which is further ahead of this machine's clock than its times can be, and age is \
             counted from there; nothing was dropped. Look at them: mdb sql \"FROM {table} ORDER BY recv_ts DESC LIMIT 10\""
        );
    }
    Ok(expired)
}

fn tell(expired: &Expired, dry_run: bool, out: &mut impl Write) -> std::io::Result<()> {
    let Expired {
        table, first_kept, ..
    } = expired;
    if expired.dates == 0 {
        let held = match expired.late_rows {
            0 => "",
            _ => " that may go",
        };
        writeln!(out, "{table:<17} has nothing before {first_kept}{held}")?;
    } else {
        let cut = match expired.cut {
            0 => String::new(),
            cut => format!(" and parts of {}", grouped(cut)),
        };
        writeln!(
            out,
            "{table:<17} {} {} dates before {first_kept}: {} files of {} bytes{cut} with {} rows, and {} rows in the database file",
            if dry_run { "would drop" } else { "dropped" },
            grouped(expired.dates),
            grouped(expired.files),
            grouped(expired.bytes),
            grouped(expired.sealed_rows),
            grouped(expired.hot_rows),
        )?;
    }
    if expired.late_rows == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "{table:<17} {} {} rows before {first_kept}: they came when rows of their time had been dropped, so they are not in {}, \
         and no build puts them there. `mdb rebuild --table {table}` does if all of {table} comes from raw_messages that are still \
         there; the same without --downsample drops them: mdb retain --table {table} --keep TIME",
        if dry_run { "would keep" } else { "kept" },
        grouped(expired.late_rows),
        expired.marts.last().map_or("a mart", String::as_str),
    )
}
