//! `mdb demo`: the built-in sample captured live, then loaded and sealed in a database of its own, and asked about.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use include_dir::{Dir, File, include_dir};
use tokio::runtime;

use super::load::{load_one, summary};
use super::progress::grouped;
use super::{build, open_store, sql};
use crate::config::{FeedSettings, Settings};
use crate::engine::process::{Process, Scope};
use crate::output::Format;
use crate::query::{Session, Source};
use crate::research::replay::{Options, Replay, Scratch, Speed, Start};
use crate::shell::{self, Printer};
use crate::sqltree::SqlTree;
use crate::store::{Load, Which, Written};
use crate::transform::build::{Builder, Request};

static SAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/data/sample");

/// The sample's minutes pass in seconds.
const SPEED: f64 = 100.0;
const SHOW_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mdb --db /tmp/try demo")]
pub(super) struct Args {
    /// Do not open the shell afterwards
    #[arg(long)]
    no_shell: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let settings = Settings {
        db: settings.db.join("demo"),
        ..settings.clone()
    };
    let mut out = std::io::stdout();
    let dir = tempfile::tempdir().context("cannot make a directory for the sample")?;
    let samples = unpack(dir.path())?;
    stream(&samples, &settings, &mut out)?;
    writeln!(out)?;
    fill(&samples, &settings, &mut out)?;

    let session = Session::new(crate::store::open_reader(&settings, false)?, false);
    if let Some(code) = show(session, &settings)? {
        return Ok(code);
    }
    writeln!(
        out,
        "\nAll this took {:.1} s. The database is {}: `mdb --db {} sql \"…\"` asks it, `mdb doctor` verifies it.",
        start.elapsed().as_secs_f64(),
        settings.db.display(),
        settings.db.display()
    )?;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !args.no_shell {
        return sql::shell(&settings);
    }
    Ok(ExitCode::SUCCESS)
}

/// A capture of the sample, unpacked: `<venue>-<symbol>.gz`.
struct Sample {
    venue: String,
    symbol: String,
    file: PathBuf,
}

fn unpack(dir: &Path) -> anyhow::Result<Vec<Sample>> {
    let is_capture = |f: &&File<'_>| f.path().extension().is_some_and(|e| e == "gz");
    let unpacked = SAMPLE.files().filter(is_capture).map(|entry| {
        let name = entry.path().file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let (venue, symbol) = name
            .split_once('-')
            .context("the sample's file names are <venue>-<symbol>.gz")?;
        let file = dir.join(entry.path());
        std::fs::write(&file, entry.contents()).context("cannot unpack the sample")?;
        Ok(Sample {
            venue: venue.to_owned(),
            symbol: symbol.to_owned(),
            file,
        })
    });
    unpacked.collect()
}

/// Captures the sample live, from a stand-in of its venue on this machine, into a database that is thrown away, and
/// shows the tables growing.
fn stream(samples: &[Sample], settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let venue = &samples.first().context("the sample is empty")?.venue;
    let samples: Vec<&Sample> = samples.iter().filter(|s| s.venue == *venue).collect();
    let (recorded, captured) = (Scratch::new(settings)?, Scratch::new(settings)?);
    let mut store = open_store(recorded.settings())?;
    for sample in &samples {
        load_one(
            &mut store,
            &sample.load(),
            &Arc::default(),
            &mut Written::default(),
        )?;
    }
    store.close()?;

    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let symbols: Vec<String> = samples.iter().map(|s| s.symbol.clone()).collect();
    let channels = ["trades", "quotes", "book"].map(str::to_owned).to_vec();
    let mut options = Options::new(venue);
    options.speed = Speed::Times(SPEED);
    options.start = Start::Subscriptions(symbols.len() * channels.len());
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut replay = runtime.block_on(Replay::start(recorded.settings(), here, options))?;
    let address = replay.address();
    writeln!(
        out,
        "$ mdb replay {venue} --listen {address} --speed {SPEED} &\n$ mdb stream {venue} {} --websocket ws://{address} --rest http://{address}",
        symbols.join(",")
    )?;
    let mut settings = captured.settings().clone();
    settings.feeds = vec![FeedSettings {
        venue: venue.clone(),
        symbols,
        channels,
        redundancy: 1,
        websocket: Some(format!("ws://{address}")),
        rest: Some(format!("http://{address}")),
        place: None,
    }];
    let mut store = open_store(&settings)?;
    let process = Process::new(settings, Scope::Feeds);
    let figures = process.figures();
    let start = Instant::now();
    let (replayed, shown) = (&mut replay, &mut *out);
    let stop = async move {
        let mut ticks = tokio::time::interval(SHOW_EVERY);
        loop {
            tokio::select! {
                _ = replayed.finished() => break,
                _ = ticks.tick() => drop(grown(shown, start, &figures.written())),
            }
        }
    };
    process.run(&runtime, &mut store, stop)?;
    runtime.block_on(replay.shutdown());
    drop(runtime);
    store.close()?;
    Ok(())
}

/// A line of how much there is by now.
fn grown(out: &mut impl Write, start: Instant, written: &Written) -> std::io::Result<()> {
    write!(
        out,
        "{:>6.1} s {:>8} messages",
        start.elapsed().as_secs_f64(),
        grouped(written.messages)
    )?;
    for (table, count) in written.tables.iter().filter(|(_, count)| count.new > 0) {
        write!(out, " · {table} {}", grouped(count.new))?;
    }
    writeln!(out, " · gaps {}", written.gaps)
}

/// Loads the sample and seals it.
fn fill(samples: &[Sample], settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let mut store = open_store(settings)?;
    let stop = Arc::default();
    let mut total = Written::default();
    let start = Instant::now();
    for sample in samples {
        writeln!(
            out,
            "$ mdb load --as capture --venue {} --symbol {} {}",
            sample.venue,
            sample.symbol,
            sample.file.file_name().unwrap_or_default().display()
        )?;
        load_one(&mut store, &sample.load(), &stop, &mut total)?;
    }
    summary(&total, start.elapsed().as_secs_f64())?;
    writeln!(out, "\n$ mdb seal --all")?;
    store.sealer()?.seal(Which::All, |_| true)?;
    writeln!(out, "\n$ mdb build")?;
    let mut builder = Builder::new(store.modeler()?);
    let mut told = Ok(());
    builder.build(&Request::default(), &stop, &mut |built| {
        if told.is_ok() {
            told = build::tell(&built);
        }
    })?;
    told?;
    drop(builder);
    store.close()?;
    Ok(())
}

impl Sample {
    fn load(&self) -> Load<'_> {
        Load {
            venue: &self.venue,
            symbol: Some(&self.symbol),
            file: &self.file,
        }
    }
}

/// Runs the demo's queries, each under its heading. Returns the exit code of one that fails, which has been told.
fn show(mut session: Session, settings: &Settings) -> anyhow::Result<Option<ExitCode>> {
    let tree = SqlTree::load(&settings.db)?;
    let file = tree.folder("demo").next().context("sql/demo is empty")?;
    let mut out = shell::stdout().context("cannot use standard output")?;
    for part in file.text.split("\n\n-- ").skip(1) {
        let (heading, query) = part
            .split_once('\n')
            .context("a demo query has a heading")?;
        writeln!(out, "\n{heading}")?;
        let mut printer = Printer::new(Format::Table, shell::layout(), &mut out);
        let shown = printer.script(
            &mut session,
            Source {
                name: Some(&file.origin),
                text: query,
            },
        );
        if shown.is_err() {
            return sql::exit_code(shown, session.is_lost()).map(Some);
        }
    }
    Ok(None)
}
