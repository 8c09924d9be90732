//! `mdb fetch`: asks a venue's REST side once for what is not there yet.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{Span, SpanRelativeTo, Timestamp};
use tokio::runtime::Builder;

use super::load::summary;
use super::progress::bar;
use super::serving::Serving;
use super::{Outcome, open_store, stop_flag};
use crate::config::Settings;
use crate::engine::ask::{self, Ask, Plan};
use crate::sources::now_ns;

/// How often the stop flag is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What was fetched before is not asked for again, so that the same command goes on after a spent quota.\n\
                  Example: mdb fetch VENUE IBM,MSFT --max-age \"7 days\""
)]
pub(super) struct Args {
    /// A folder of sql/venues/
    venue: String,
    /// The instruments, in the venue's own spelling
    #[arg(required = true, value_delimiter = ',', value_name = "SYMBOL")]
    symbols: Vec<String>,
    /// Names of [rest.requests] in the venue's feed.toml; by default those that bring all there is of a symbol
    #[arg(long = "request", value_delimiter = ',', value_name = "NAME")]
    requests: Vec<String>,
    /// Ask for what was fetched before, too
    #[arg(long)]
    refresh: bool,
    /// Ask for what was fetched longer ago than this, too, e.g. "7 days"
    #[arg(long, value_name = "TIME", value_parser = length_ns, conflicts_with = "refresh")]
    max_age: Option<i64>,
    /// In place of the venue's REST address
    #[arg(long, value_name = "URL")]
    rest: Option<String>,
}

/// Asks, and says what came.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let stop = stop_flag()?;
    let mut plan = Plan::new(
        settings,
        &args.venue,
        &args.symbols,
        &args.requests,
        args.rest.as_deref(),
    )?;
    let mut store = open_store(settings)?;
    let mut out = std::io::stdout();
    if !args.refresh {
        let since_ns = args.max_age.map_or(i64::MIN, |age| now_ns() - age);
        for (ask, at_ns) in plan.leave_out_known(&store.readers()?, since_ns)? {
            let at = Timestamp::from_nanosecond(i128::from(at_ns))?;
            let at = at.strftime("%F %T");
            writeln!(out, "{}: fetched at {at} UTC, not asked again", name(&ask))?;
        }
    }
    if plan.is_empty() {
        store.close()?;
        return Ok(Outcome::Done);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("fetch")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let serving = Serving::start("fetch", settings, &store, &stop)?;
    let bar = bar(
        Some(plan.len() as u64),
        &args.venue,
        "{msg} {pos} of {len} requests · {elapsed}",
    );
    bar.enable_steady_tick(Duration::from_secs(1));
    let start = Instant::now();
    let ran = plan.run(&runtime, &mut store, stopped(&stop), |ask, fetched| {
        bar.inc(1);
        // A reader that has gone away keeps nothing from being stored.
        let _ = bar.suspend(|| match fetched {
            Ok(fetched) => writeln!(out, "{}: {}", name(ask), ask::pages(fetched)),
            Err(error) => writeln!(std::io::stderr(), "error: {error}"),
        });
    });
    bar.finish_and_clear();
    drop(serving);
    let closed = store.close();
    let ran = ran?;
    closed?;
    summary(&ran.written, start.elapsed().as_secs_f64())?;
    if ran.left > 0 {
        let (left, s) = (ran.left, if ran.left == 1 { "" } else { "s" });
        writeln!(
            std::io::stderr(),
            "{left} request{s} left; the same command goes on from here"
        )?;
    }
    Ok(if stop.load(Ordering::Relaxed) {
        Outcome::Interrupted
    } else if ran.failed > 0 {
        Outcome::Bad
    } else {
        Outcome::Done
    })
}

fn name(ask: &Ask) -> String {
    format!("{} {}", ask.symbol, ask.request)
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A length of time in words, "36 h" or "7 days", in ns.
fn length_ns(text: &str) -> Result<i64, String> {
    let length = text.parse::<Span>().and_then(|span| {
        let days = SpanRelativeTo::days_are_24_hours();
        span.to_duration(days)
    });
    match length.map(|length| i64::try_from(length.as_nanos())) {
        Ok(Ok(ns)) if ns >= 0 => Ok(ns),
        _ => Err("give a length of time as in \"36 h\" or \"7 days\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::length_ns;

    #[test]
    fn lengths_are_words() {
        assert_eq!(length_ns("36 h"), Ok(129_600_000_000_000));
        assert_eq!(length_ns("1 week"), Ok(604_800_000_000_000));
        for wrong in ["", "7", "soon", "-1 day", "900 years"] {
            assert!(length_ns(wrong).is_err(), "{wrong}");
        }
    }
}
