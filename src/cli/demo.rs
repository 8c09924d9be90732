//! `mdb demo`: the built-in sample through the whole way, into a database of its own.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use include_dir::{Dir, include_dir};

use super::load::{load_one, summary};
use super::{open_store, sql};
use crate::config::Settings;
use crate::output::Format;
use crate::query::{Session, Source};
use crate::shell::{self, Printer};
use crate::sqltree::SqlTree;
use crate::store::{Load, Which, Written};

static SAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/data/sample");

#[derive(Debug, clap::Args)]
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
    fill(&settings, &mut out)?;

    let session = Session::new(crate::store::open_reader(&settings, false)?, false);
    show(session, &settings)?;
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

/// Loads the sample and seals it.
fn fill(settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("cannot make a directory for the sample")?;
    let mut store = open_store(settings)?;
    let stop = Arc::default();
    let mut total = Written::default();
    let start = Instant::now();
    for entry in SAMPLE
        .files()
        .filter(|f| f.path().extension().is_some_and(|e| e == "gz"))
    {
        let name = entry
            .path()
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // <venue>-<symbol>.gz
        let (venue, symbol) = name
            .split_once('-')
            .context("the sample's file names are <venue>-<symbol>.gz")?;
        let file: PathBuf = dir.path().join(entry.path());
        std::fs::write(&file, entry.contents()).context("cannot unpack the sample")?;
        writeln!(
            out,
            "$ mdb load --as capture --venue {venue} --symbol {symbol} {}",
            entry.path().display()
        )?;
        let load = Load {
            venue,
            symbol: Some(symbol),
            file: &file,
        };
        load_one(&mut store, &load, &stop, &mut total)?;
    }
    summary(&total, start.elapsed().as_secs_f64())?;
    writeln!(out, "\n$ mdb seal --all")?;
    store.sealer()?.seal(Which::All, |_| true)?;
    store.close()?;
    Ok(())
}

/// Runs the demo's queries, each under its heading.
fn show(mut session: Session, settings: &Settings) -> anyhow::Result<()> {
    let tree = SqlTree::load(&settings.db)?;
    let file = tree.folder("demo").next().context("sql/demo is empty")?;
    let mut out = shell::stdout().context("cannot use standard output")?;
    for part in file.text.split("\n\n-- ").skip(1) {
        let (heading, query) = part
            .split_once('\n')
            .context("a demo query has a heading")?;
        writeln!(out, "\n{heading}")?;
        let mut printer = Printer::new(Format::Table, shell::layout(), &mut out);
        printer
            .script(
                &mut session,
                Source {
                    name: Some(&file.origin),
                    text: query,
                },
            )
            .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    }
    Ok(())
}
