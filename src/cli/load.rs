//! `mdb load`: files into the database.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;

use super::progress::{bar, grouped};
use super::serving::Serving;
use super::{Outcome, open_store, outcome, stop_flag};
use crate::config::Settings;
use crate::sources::capture::Capture;
use crate::store::{Load, Loaded, Store, Written};

/// What is no file of a vendor but recorded messages.
const CAPTURE: &str = "capture";
/// Whatever can be told by the names of its columns.
pub(super) const AUTO: &str = "auto";

#[derive(Debug, clap::Args)]
#[command(after_help = super::import::EXAMPLES)]
pub(super) struct Args {
    /// What the files hold: `capture` = lines `<receive time, ns> <message as received>`; a dialect = a folder of
    /// sql/files/; `auto` = whatever has columns that can be told by their names
    #[arg(long = "as", value_name = "DIALECT", default_value = AUTO)]
    pub(super) dialect: String,
    /// The venue, if the files do not name it; of a capture the folder of sql/venues/
    #[arg(long)]
    pub(super) venue: Option<String>,
    /// The instrument, if the files do not name it
    #[arg(long)]
    pub(super) symbol: Option<String>,
    #[command(flatten)]
    pub(super) import: super::import::Args,
    /// Files, directories or patterns such as 'ticks/*.csv.gz'; of a capture also - for standard input; or job files, which
    /// end with .toml, .yaml or .yml
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

/// Loads files of any make.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    if args.files.iter().any(|path| super::job::is_job(path)) {
        return super::job::run(args, settings);
    }
    if args.dialect == CAPTURE {
        let Some(venue) = &args.venue else {
            anyhow::bail!("a capture's messages are some venue's: say which with --venue");
        };
        return captures(args, venue, settings);
    }
    if args.files.iter().any(|path| path == Path::new("-")) {
        anyhow::bail!(
            "a file is read more than once: from standard input only `--as capture` is; save the rest as a file first"
        );
    }
    super::import::run(
        &args.import,
        (&args.dialect, args.venue.as_deref(), args.symbol.as_deref()),
        &args.files,
        settings,
    )
}

/// A load's files, one after the other; a file that fails does not keep the others from being loaded.
fn captures(args: &Args, venue: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let stop = stop_flag()?;
    let mut store = open_store(settings)?;
    store.use_one_thread()?;
    let serving = Serving::start("load", settings, &store, &stop)?;
    let mut total = Written::default();
    let mut failures = Vec::new();
    let start = Instant::now();
    for file in &args.files {
        let load = Load {
            venue,
            symbol: args.symbol.as_deref(),
            file,
        };
        failures.extend(load_one(&mut store, &load, &stop, &mut total).err());
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let summed = summary(&total, start.elapsed().as_secs_f64());
    hint_at_marts(total.messages);
    drop(serving);
    let closed = store.close();
    // What went wrong first is what to tell; what follows from it is not.
    super::all_told(failures)?;
    closed?;
    summed?;
    Ok(outcome(&stop))
}

/// Tells a person what is left to do once rows have come.
pub(super) fn hint_at_marts(rows: u64) {
    let stderr = std::io::stderr();
    if rows > 0 && stderr.is_terminal() {
        // Nobody is left to be told.
        let _ = writeln!(
            &stderr,
            "marts are as they were: `mdb build` brings them up to date"
        );
    }
}

/// Loads one capture, with a progress bar.
pub(super) fn load_one(
    store: &mut Store,
    load: &Load<'_>,
    stop: &Arc<AtomicBool>,
    total: &mut Written,
) -> anyhow::Result<()> {
    let name = load.file.display().to_string();
    let capture = Capture::open_until(load.file, stop)?;
    let template = if capture.bytes().is_some() {
        "{msg} {wide_bar} {percent}% · {prefix} · {eta} left"
    } else {
        "{msg} {spinner} {bytes} · {prefix} · {elapsed}"
    };
    let bar = bar(capture.bytes(), &name, template);
    let read = capture.progress();
    let start = Instant::now();
    let mut so_far = Written::default();
    let result = store.load(load, capture, stop, |loaded: &Loaded| {
        so_far = loaded.written.clone();
        let rate = loaded.written.messages as f64 / start.elapsed().as_secs_f64();
        bar.set_prefix(format!("{} messages/s", grouped(rate as u64)));
        bar.set_position(read.load(Ordering::Relaxed));
    });
    bar.finish_and_clear();
    total.add(&so_far);
    let loaded = result.with_context(|| format!("loading {name}"))?;
    let mut out = std::io::stdout();
    if loaded.known_lines > 0 && so_far == Written::default() {
        writeln!(out, "{name}: already loaded, nothing added")?;
    } else if loaded.known_lines > 0 {
        writeln!(
            out,
            "{name}: {} lines were loaded before",
            grouped(loaded.known_lines)
        )?;
    }
    if loaded.stopped {
        writeln!(out, "{name}: stopped; the same command goes on from here")?;
    }
    Ok(())
}

/// What was done, a figure a line.
pub(super) fn summary(written: &Written, seconds: f64) -> std::io::Result<()> {
    let mut lines = vec![("messages".to_owned(), grouped(written.messages))];
    for (table, count) in &written.tables {
        lines.push((
            table.clone(),
            format!("{} new, {} known", grouped(count.new), grouped(count.known)),
        ));
    }
    lines.push(("book_tops".to_owned(), grouped(written.book_tops)));
    lines.push(("dead letters".to_owned(), grouped(written.dead_letters)));
    lines.push(("gaps".to_owned(), grouped(written.gaps)));
    if written.checksums > 0 {
        lines.push(("checksums".to_owned(), grouped(written.checksums)));
    }
    lines.push(("seconds".to_owned(), format!("{seconds:.2}")));
    lines.push((
        "messages/s".to_owned(),
        grouped((written.messages as f64 / seconds) as u64),
    ));
    let mut out = std::io::stdout().lock();
    for (name, value) in lines {
        writeln!(out, "{name:<13} {value}")?;
    }
    Ok(())
}
