//! `mdb load` of vendors' files: into canonical tables by a dialect, or into a table of the user's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use jiff::civil::Date;
use serde::Deserialize;

use super::load::hint_at_marts;
use super::progress::{bar, grouped};
use super::serving::Serving;
use super::{Outcome, open_store, outcome, stop_flag};
use crate::config::Settings;
use crate::sources::files::{self, Input, Source};
use crate::store::{ColumnCase, IfExists, Import, Imported, MAX_ERRORS, Shape, Store};

pub(super) const EXAMPLES: &str = "Examples:
  mdb load --as capture --venue VENUE --symbol BTCUSDT btcusdt.gz
  mdb load --as DIALECT --venue VENUE BTCUSDT-trades-2024-08-08.zip
  mdb load --as DIALECT 'ticks/2024/*.csv.gz'
  mdb load trades.parquet --venue mine          columns told by their names
  mdb load --explain big.parquet --venue mine   what it would take, and how it would run
  mdb load prices.csv --into my_prices --rename Date=day --cast day=DATE
  mdb load job.toml                             what is said there: [[load]] with files = [\"…\"], and the flags as keys;
                                                or job.yaml, with a list load:";

/// How names of columns are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Case {
    Lower,
    Upper,
    #[default]
    Keep,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Exists {
    /// Add everything, known or not
    Append,
    /// Leave out known files, and rows whose key is known
    #[default]
    Skip,
    /// Make a table of your own anew
    Replace,
    /// Load nothing of a file any of which is known
    Fail,
}

/// What concerns vendors' files only.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Args {
    /// The canonical table to fill, if a dialect leaves a choice; or a table of your own
    #[arg(long, value_name = "TABLE")]
    pub(super) into: Option<String>,
    /// The date, in the exchange's own time zone, if the files do not name it
    #[arg(long)]
    pub(super) date: Option<Date>,
    /// The character between two fields, instead of the likeliest
    #[arg(long, value_name = "CHAR")]
    pub(super) delimiter: Option<char>,
    /// Names of the columns of files without a header line
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(super) columns: Vec<String>,
    /// Call a column otherwise
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    pub(super) rename: Vec<(String, String)>,
    /// Read a column as a SQL type; what does not fit becomes NULL
    #[arg(long, value_name = "COLUMN=TYPE", value_parser = pair)]
    pub(super) cast: Vec<(String, String)>,
    /// Give a column one value
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,
    /// Write all names of columns in one case
    #[arg(long, value_enum, default_value = "keep")]
    pub(super) column_case: Case,
    /// How times are written, e.g. '%d.%m.%Y %H:%M:%S'
    #[arg(long, value_name = "FORMAT")]
    pub(super) date_format: Option<String>,
    /// Round numbers with a fraction
    #[arg(long, value_name = "N")]
    pub(super) decimals: Option<u8>,
    /// What to do with what is there already
    #[arg(long, value_enum, default_value = "skip")]
    pub(super) if_exists: Exists,
    /// Refuse a file with more bad rows than this; up to there they go to the dead letters
    #[arg(long, value_name = "N", default_value_t = MAX_ERRORS)]
    pub(super) max_errors: u64,
    /// Take files whose columns have changed since the last of their kind
    #[arg(long)]
    pub(super) evolve: bool,
    /// Memory for the load, e.g. 256MB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) memory_limit: Option<u64>,
    /// Threads that read
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Tell what it would take and how it would run, and load nothing
    #[arg(long)]
    pub(super) explain: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned()))
        .filter(|(a, _)| !a.is_empty())
        .ok_or_else(|| "two words with = between them are expected".to_owned())
}

/// Bytes of a size such as `256MB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_uppercase();
    let digits = upper.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
    let factor = match upper[digits.len()..].trim() {
        "KB" | "K" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        _ => return Err("a number and KB, MB or GB is expected, e.g. 256MB".to_owned()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| "no number".to_owned())?;
    let bytes = number * f64::from(factor);
    if !(64e6..1e15).contains(&bytes) {
        return Err("64MB is the least a load needs".to_owned());
    }
    Ok(bytes as u64)
}

/// Loads files one after the other; one that fails does not keep the others from being loaded.
pub(super) fn run(
    args: &Args,
    (dialect, venue, symbol): (&str, Option<&str>, Option<&str>),
    files: &[PathBuf],
    settings: &Settings,
) -> anyhow::Result<Outcome> {
    let mut import = Import {
        dialect: dialect.to_owned(),
        into: args.into.clone(),
        venue: venue.map(str::to_owned),
        symbol: symbol.map(str::to_owned),
        date: args.date,
        defaults: Vec::new(),
        shape: Shape {
            delimiter: args.delimiter,
            columns: args.columns.clone(),
            rename: args.rename.clone(),
            case: match args.column_case {
                Case::Lower => ColumnCase::Lower,
                Case::Upper => ColumnCase::Upper,
                Case::Keep => ColumnCase::Keep,
            },
            cast: args.cast.clone(),
            set: args.set.clone(),
            date_format: args.date_format.clone(),
            decimals: args.decimals,
        },
        if_exists: match args.if_exists {
            Exists::Append => IfExists::Append,
            Exists::Skip => IfExists::Skip,
            Exists::Replace => IfExists::Replace,
            Exists::Fail => IfExists::Fail,
        },
        max_errors: args.max_errors,
        evolve: args.evolve,
        memory_bytes: args.memory_limit,
        threads: args.threads.map(usize::from),
    };
    let stop = stop_flag()?;
    let mut store = open_store(settings)?;
    let (found, mut failures) = found(&store, files)?;
    if args.explain || found.is_empty() {
        explain(&store, &import, &found, &settings.db)?;
        store.close()?;
        super::all_told(failures)?;
        return Ok(Outcome::Done);
    }
    let serving = Serving::start("load", settings, &store, &stop)?;
    let mut total = Imported::default();
    let start = Instant::now();
    let many = found.len() > 1;
    for source in &found {
        match load_one(&mut store, source, &import, &stop, &settings.db) {
            Ok(imported) => {
                add(&mut total, &imported);
                if import.if_exists == IfExists::Replace {
                    // The other files join the first.
                    import.if_exists = IfExists::Append;
                }
            }
            Err(error) => failures.push(error),
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let summed = if many {
        summary(&total, found.len(), start.elapsed().as_secs_f64())
    } else {
        Ok(())
    };
    hint_at_marts(total.new);
    drop(serving);
    let closed = store.close();
    // What went wrong first is what to tell; what follows from it is not.
    super::all_told(failures)?;
    closed?;
    summed?;
    Ok(outcome(&stop))
}

/// The files meant, and what is wrong with the others: patterns are resolved, directories and archives opened.
fn found(store: &Store, files: &[PathBuf]) -> anyhow::Result<(Vec<Source>, Vec<anyhow::Error>)> {
    let (mut sources, mut failures) = (Vec::new(), Vec::new());
    let mut add = |path: &Path| {
        let found = files::found(path);
        sources.extend(found.sources);
        failures.extend(found.failures.into_iter().map(anyhow::Error::from));
    };
    let mut unlike = Vec::new();
    for file in files {
        let text = file.to_string_lossy();
        if !file.exists() && text.contains(['*', '?', '[']) {
            // DuckDB would look for it in the database's directory.
            let absolute = std::path::absolute(file)?;
            let matching = store.glob(&absolute.to_string_lossy())?;
            if matching.is_empty() {
                unlike.push(anyhow::anyhow!("no file is like {text}"));
            }
            for file in &matching {
                add(file);
            }
        } else {
            add(file);
        }
    }
    failures.extend(unlike);
    anyhow::ensure!(
        !sources.is_empty() || !failures.is_empty(),
        "there is no file in what was named"
    );
    Ok((sources, failures))
}

fn explain(store: &Store, import: &Import, found: &[Source], db: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    for source in found {
        let input = source.open(db)?;
        let plan = store.plan_import(&input, import)?;
        writeln!(out, "{}\n{plan}", input.label)?;
    }
    Ok(())
}

fn load_one(
    store: &mut Store,
    source: &Source,
    import: &Import,
    stop: &Arc<AtomicBool>,
    db: &Path,
) -> anyhow::Result<Imported> {
    let input = source.open(db)?;
    let plan = store
        .plan_import(&input, import)
        .with_context(|| format!("loading {}", input.label))?;
    let bar = bar(
        Some(plan.rows),
        &input.name,
        "{msg} {wide_bar} {percent}% · {prefix} · {eta} left",
    );
    let start = Instant::now();
    let imported = store.import(&input, import, stop, &mut |rows| {
        let rate = rows as f64 / start.elapsed().as_secs_f64();
        bar.set_prefix(format!("{} rows/s", grouped(rate as u64)));
        bar.set_length(plan.rows.max(rows));
        bar.set_position(rows);
    });
    bar.finish_and_clear();
    let imported = imported.with_context(|| format!("loading {}", input.label))?;
    told(&input, &imported, start.elapsed().as_secs_f64())?;
    Ok(imported)
}

/// What became of a file, in a line or a few.
fn told(input: &Input, imported: &Imported, seconds: f64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let label = &input.label;
    if imported.already {
        return writeln!(out, "{label}: already loaded, nothing added");
    }
    if imported.stopped {
        return writeln!(out, "{label}: stopped; nothing of it was kept");
    }
    let mut facts = vec![format!(
        "{} rows into {}",
        grouped(imported.new),
        imported.table
    )];
    if imported.known > 0 {
        facts.push(format!("{} known", grouped(imported.known)));
    }
    if imported.dead_letters > 0 {
        facts.push(format!("{} dead letters", grouped(imported.dead_letters)));
    }
    if imported.files > 0 {
        facts.push(format!(
            "{} lake files, {:.1} bytes a row",
            grouped(imported.files),
            imported.bytes as f64 / imported.new.max(1) as f64
        ));
    }
    facts.push(format!(
        "{seconds:.2} s, {} rows/s",
        grouped((imported.new as f64 / seconds) as u64)
    ));
    writeln!(out, "{label}: {}", facts.join(", "))?;
    if !imported.mapping.is_empty() {
        let pairs: Vec<String> = imported
            .mapping
            .iter()
            .map(|(from, to)| format!("{from} → {to}"))
            .collect();
        writeln!(out, "  columns: {}", pairs.join(", "))?;
    }
    if let Some(drift) = &imported.drift {
        writeln!(
            out,
            "  its columns are not those of the files before:\n{drift}"
        )?;
    }
    Ok(())
}

fn add(total: &mut Imported, one: &Imported) {
    total.new += one.new;
    total.known += one.known;
    total.dead_letters += one.dead_letters;
    total.files += one.files;
    total.bytes += one.bytes;
}

fn summary(total: &Imported, files: usize, seconds: f64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in [
        ("files", grouped(files as u64)),
        (
            "rows",
            format!("{} new, {} known", grouped(total.new), grouped(total.known)),
        ),
        ("dead letters", grouped(total.dead_letters)),
        ("lake files", grouped(total.files)),
        ("seconds", format!("{seconds:.2}")),
        ("rows/s", grouped((total.new as f64 / seconds) as u64)),
    ] {
        writeln!(out, "{name:<13} {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{pair, size};

    #[test]
    fn sizes_and_pairs() {
        assert_eq!(size("256MB"), Ok(256_000_000));
        assert_eq!(size("1.5 GiB"), Ok(1_610_612_736));
        assert!(size("256").is_err() && size("1MB").is_err() && size("much").is_err());
        assert_eq!(pair("a=b c"), Ok(("a".to_owned(), "b c".to_owned())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
