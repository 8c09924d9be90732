//! `mdb replay`: a stand-in of a venue, which serves what was recorded of it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use tokio::signal::unix::{SignalKind, signal};

use super::load::load_one;
use super::progress::{bar, grouped};
use super::{Outcome, open_store, stop_flag};
use crate::config::Settings;
use crate::research::replay::{Faults, Options, Range, Replay, Scratch, Speed, Start};
use crate::store::{self, Load, Written};

/// How often the progress bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mdb replay VENUE --listen 127.0.0.1:9001 --speed 10")]
pub(super) struct Args {
    /// The venue: a folder of sql/venues/
    venue: String,
    /// Replay a capture file instead of what the database holds
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// The instrument, for messages of the capture that do not name it
    #[arg(long, requires = "capture")]
    symbol: Option<String>,
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Only messages received from this time on (UTC; a date, or a time as 2026-11-17T14:30:00)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Only messages received before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// How many times as fast as received, or `max`, or `10000/s` for that many messages a second
    #[arg(long, default_value = "1", value_parser = speed)]
    speed: Speed,
    /// Accept only this key; without it any that is not empty
    #[arg(long)]
    key: Option<String>,
    /// At the end go on answering requests, until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// Begin once there are this many subscriptions, instead of half a second after the last one
    #[arg(long, value_name = "COUNT", hide = true)]
    subscriptions: Option<usize>,
    /// What goes wrong on purpose: a TOML file, or `seed=1,drop=0.01,disconnect=[5000]`
    #[arg(long, value_parser = faults, hide = true)]
    faults: Option<Faults>,
}

pub(super) fn run(args: Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut options = Options::new(&args.venue);
    options.range = Range {
        from_ns: args.from,
        to_ns: args.to,
    };
    options.speed = args.speed;
    options.key = args.key;
    options.faults = args.faults.unwrap_or_default();
    if let Some(count) = args.subscriptions {
        options.start = Start::Subscriptions(count);
    }
    let scratch = match &args.capture {
        None => {
            store::must_exist(&settings.db)?;
            None
        }
        Some(file) => {
            let stop = stop_flag()?;
            let scratch = loaded(settings, &args.venue, args.symbol.as_deref(), file, &stop)?;
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Interrupted);
            }
            Some(scratch)
        }
    };
    let settings = scratch.as_ref().map_or(settings, Scratch::settings);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(serve(settings, args.listen, options, args.stay))
}

/// A temporary database with the capture in it.
fn loaded(
    settings: &Settings,
    venue: &str,
    symbol: Option<&str>,
    file: &Path,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Scratch> {
    let scratch = Scratch::new(settings)?;
    let mut store = open_store(scratch.settings())?;
    let load = Load {
        venue,
        symbol,
        file,
    };
    load_one(&mut store, &load, stop, &mut Written::default())?;
    store.close()?;
    Ok(scratch)
}

async fn serve(
    settings: &Settings,
    listen: SocketAddr,
    options: Options,
    stay: bool,
) -> anyhow::Result<Outcome> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut replay = tokio::select! {
        started = Replay::start(settings, listen, options) => started?,
        _ = interrupt.recv() => return Ok(Outcome::Interrupted),
        _ = terminate.recv() => return Ok(Outcome::Interrupted),
    };
    let address = replay.address();
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on ws://{address}, http://{address}")?;
        out.flush()?;
    }
    let bar = bar(
        Some(replay.frames()),
        "replay",
        "{msg} {wide_bar} {pos}/{len} · {prefix}",
    );
    let start = Instant::now();
    let outcome = tokio::select! {
        played = play(&mut replay, &bar, stay) => played.map(|()| Outcome::Done),
        _ = interrupt.recv() => Ok(Outcome::Interrupted),
        _ = terminate.recv() => Ok(Outcome::Interrupted),
    };
    bar.finish_and_clear();
    let progress = replay.progress();
    replay.shutdown().await;
    writeln!(
        std::io::stdout(),
        "{} of the recording's messages in {:.2} s; {} frames sent on {} connections",
        grouped(progress.frames),
        start.elapsed().as_secs_f64(),
        grouped(progress.sent),
        grouped(progress.connections)
    )?;
    let outcome = outcome?;
    if progress.too_slow > 0 && outcome == Outcome::Done {
        bail!(
            "{} connections could not keep up and were cut off; `--speed max` waits for clients",
            progress.too_slow
        );
    }
    Ok(outcome)
}

/// Until the end of the recording, or for good.
async fn play(replay: &mut Replay, bar: &ProgressBar, stay: bool) -> anyhow::Result<()> {
    let mut draw = tokio::time::interval(DRAW_EVERY);
    let mut ended = false;
    loop {
        tokio::select! {
            finished = replay.finished(), if !ended => {
                finished?;
                ended = true;
                if !stay {
                    return Ok(());
                }
            }
            _ = draw.tick() => {}
        }
        let progress = replay.progress();
        bar.set_position(progress.frames);
        bar.set_prefix(format!("{} clients", progress.clients));
    }
}

/// A time in UTC: with an offset, without one, or a date alone.
fn time(text: &str) -> Result<i64, String> {
    let with_offset = text.parse::<jiff::Timestamp>();
    let at = with_offset.or_else(|_| {
        let civil: jiff::civil::DateTime = text.parse()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|z| z.timestamp())
    });
    let at = at.map_err(|error: jiff::Error| error.to_string())?;
    i64::try_from(at.as_nanosecond()).map_err(|_| "it is outside the years 1678 to 2261".to_owned())
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let (number, speed): (_, fn(f64) -> Speed) = match text.strip_suffix("/s") {
        Some(rate) => (rate, Speed::PerSecond),
        None => (text, Speed::Times),
    };
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(speed(number)),
        _ => {
            Err("a speed is a number above 0, `max`, or messages a second as `10000/s`".to_owned())
        }
    }
}

fn faults(text: &str) -> Result<Faults, String> {
    if text.contains('=') {
        return Faults::parse(text);
    }
    let read =
        std::fs::read_to_string(text).map_err(|error| format!("cannot read {text}: {error}"))?;
    Faults::parse(&read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_speeds_are_read() {
        let midnight = 1_723_161_600_000_000_000;
        for text in [
            "2024-08-09",
            "2024-08-09T00:00:00",
            "2024-08-09T02:00:00+02:00",
            "2024-08-09 00:00",
        ] {
            assert_eq!(time(text), Ok(midnight), "{text}");
        }
        assert!(time("yesterday").is_err());
        assert_eq!(speed("20"), Ok(Speed::Times(20.0)));
        assert_eq!(speed("0.5"), Ok(Speed::Times(0.5)));
        assert_eq!(speed("10000/s"), Ok(Speed::PerSecond(10_000.0)));
        assert_eq!(speed("max"), Ok(Speed::Max));
        for text in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
