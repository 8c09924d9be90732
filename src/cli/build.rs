//! `mdb build`: marts brought up to date by hand.

use std::io::Write;
use std::time::Instant;

use anyhow::bail;

use super::progress::{bar, grouped};
use super::serving::Serving;
use super::{Outcome, open_existing_store, outcome, stop_flag};
use crate::config::Settings;
use crate::query;
use crate::transform::Error;
use crate::transform::build::{Builder, Built, How, Request};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A mart is built only where something has changed, so a second build has nothing to do. A mart that fails keeps \
                  its version before, and the others go on.\nExample: mdb build ohlcv_1m --full"
)]
pub(super) struct Args {
    /// Marts, and with them those they are made from; all if none is named
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// From the beginning, whatever was built before
    #[arg(long)]
    full: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    if let Ok(Some(status)) = query::status(&settings.db)
        && let Some(command) = status["process"]["command"].as_str()
        && matches!(command, "run" | "stream")
    {
        bail!(
            "mdb {command} has the database open, and keeps its marts up to date by itself; `mdb models` shows them"
        );
    }
    let stop = stop_flag()?;
    let store = open_existing_store(settings)?;
    // What is built is built by what sql/ was.
    let faulty = store.fault().is_some();
    let serving = Serving::start("build", settings, &store, &stop)?;
    let start = Instant::now();
    let mut builder = Builder::new(store.modeler()?);
    let bar = bar(
        Some(builder.marts() as u64),
        "building",
        "{msg} {wide_bar} {pos} of {len} marts · {elapsed}",
    );
    let request = Request {
        names: args.models.clone(),
        full: args.full,
        ..Request::default()
    };
    let (mut failed, mut lines) = (0, Vec::new());
    let result = builder.build(&request, &stop, &mut |built| {
        bar.inc(1);
        failed += usize::from(built.error.is_some());
        bar.suspend(|| lines.push(tell(&built)));
    });
    bar.finish_and_clear();
    lines.into_iter().collect::<std::io::Result<()>>()?;
    drop(builder);
    drop(serving);
    store.close()?;
    match result {
        Err(Error::Stopped) => {
            writeln!(
                std::io::stderr(),
                "stopped; marts that were built stay, the others are as they were"
            )?;
            return Ok(outcome(&stop));
        }
        result => result?,
    }
    writeln!(std::io::stdout(), "{:.2} s", start.elapsed().as_secs_f64())?;
    Ok(if failed > 0 || faulty {
        Outcome::Bad
    } else {
        outcome(&stop)
    })
}

/// A line of what became of a mart.
pub(super) fn tell(built: &Built) -> std::io::Result<()> {
    for warning in &built.warnings {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    let (name, seconds) = (&built.model, built.took.as_secs_f64());
    if let Some(error) = &built.error {
        writeln!(
            std::io::stdout(),
            "{name:<24} failed       it stays as it was"
        )?;
        return writeln!(std::io::stderr(), "error: {error}");
    }
    if built.how == How::Nothing {
        return writeln!(std::io::stdout(), "{name:<24} up to date");
    }
    let late = if built.late > 0 {
        format!(" · {} rows came late", grouped(built.late))
    } else {
        String::new()
    };
    writeln!(
        std::io::stdout(),
        "{name:<24} {:<12} {:>13} rows made · {:>13} in all · {seconds:.2} s{late}",
        built.how.name(),
        grouped(built.made),
        grouped(built.rows),
    )
}
