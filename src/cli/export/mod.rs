//! `mdb export`: a table or the answer to a query as files for other programs, complete or not there at all.

mod tool;

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::progress::grouped;
use super::{INTERRUPTED, session, sql};
use crate::config::Settings;
use crate::model::sql::{identifier, literal};
use crate::output::Format;
use crate::query::{self, Session, Source, Types, statements};
use crate::shell::{self, report_width};
use crate::store::PARTITION_TYPES;

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// Parquet
    Parquet,
    /// Comma-separated, with a header
    Csv,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
    /// Arrow IPC (Feather)
    Arrow,
}

/// How Parquet is compressed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compression {
    /// Small, and quick to read
    Zstd,
    /// Larger, and quicker
    Snappy,
    /// For readers that know nothing newer
    Gzip,
    /// Not at all
    Uncompressed,
}

/// The unit of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unit {
    /// Nanoseconds, as mdb has them
    Ns,
    /// Microseconds, for readers that know no nanoseconds (Spark); what is finer is cut off
    Us,
}

/// COPY sorts what it has gathered whenever it writes, each time into a new file. With this it writes once, at the
/// end: a partition is one file, sorted as a whole. What does not fit in memory waits in the spill directory.
const WHOLE_PARTITIONS: &str =
    "SET SESSION partitioned_write_flush_threshold = 1_000_000_000_000_000_000";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mdb export trades trades/ --partition-by venue,symbol --sort ts,seq\n  \
                  mdb export book_deltas out/ --as TOOL --symbol BTCUSDT --from 2024-08-08 --to 2024-08-09"
)]
pub(super) struct Args {
    /// A table or view, or a query; with --as, a file of the tool's folder
    source: String,
    /// The file; with --partition-by or --as, a new directory
    path: PathBuf,
    /// The files that a tool reads: a folder of sql/exports/
    #[arg(long = "as", value_name = "TOOL", conflicts_with_all = ["format", "partition_by", "sort", "compression", "row_group_size", "timestamp"])]
    tool: Option<String>,
    /// With --as, only this venue's rows
    #[arg(long, requires = "tool")]
    venue: Option<String>,
    /// With --as, only these instruments
    #[arg(long, value_delimiter = ',', requires = "tool")]
    symbol: Vec<String>,
    /// With --as, only rows from this time on
    #[arg(long, value_name = "TIME", requires = "tool")]
    from: Option<String>,
    /// With --as, only rows before this time
    #[arg(long, value_name = "TIME", requires = "tool")]
    to: Option<String>,
    /// How it is written; by default as the file's name says, and Parquet in a directory
    #[arg(long = "format", value_enum, value_name = "FORMAT")]
    format: Option<As>,
    /// One directory for each value of these columns, `<column>=<value>/` (Parquet, CSV)
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    partition_by: Vec<String>,
    /// Rows in this order, in each file
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    sort: Vec<String>,
    /// Of Parquet
    #[arg(long, value_enum, default_value = "zstd")]
    compression: Compression,
    /// Rows of a Parquet row group
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    row_group_size: Option<u64>,
    /// Times as nanoseconds or microseconds
    #[arg(long, value_enum, default_value = "ns")]
    timestamp: Unit,
    /// Takes the place of a directory that is there already; a file is always replaced
    #[arg(long)]
    replace: bool,
}

/// Runs `mdb export`. What it wrote is told on stderr.
///
/// # Errors
/// If nothing was written.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    if let Some(tool) = &args.tool {
        return tool::run(args, tool, settings);
    }
    let mut session = session::open_existing(settings)?;
    let format = format(args)?;
    let relation = relation(&args.source)?;
    let columns = match columns(&mut session, &relation) {
        Ok(columns) => columns,
        Err((text, error)) => return failed(&text, &error),
    };
    let partitioned = !args.partition_by.is_empty();
    let query = query(args, &relation, &columns)?;
    let copies = format == As::Parquet || partitioned;
    if !copies {
        let format = match format {
            As::Csv => Format::Csv,
            As::Json => Format::Json,
            As::Ndjson => Format::Ndjson,
            As::Arrow | As::Parquet => Format::Arrow,
        };
        let (code, wrote) = sql::write_file(&mut session, &args.path, format, query)?;
        if let Some((rows, bytes)) = wrote {
            told(rows, (1, bytes), start)?;
        }
        return Ok(code);
    }
    let target = Target::new(args, partitioned)?;
    let text = copy(args, format, &query, &columns, &target.temporary);
    if partitioned && !args.sort.is_empty() {
        execute(&mut session, WHOLE_PARTITIONS)?;
    }
    let rows = match execute(&mut session, &text) {
        Ok(rows) => rows,
        Err(error) => {
            target.discard();
            return failed(&text, &error);
        }
    };
    let size = target.keep()?;
    told(u64::try_from(rows.unwrap_or(0)).unwrap_or(0), size, start)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what was written.
fn told(rows: u64, (files, bytes): (u64, u64), start: Instant) -> io::Result<()> {
    writeln!(
        io::stderr(),
        "{} rows, {} in {}, {:.2} s",
        grouped(rows),
        human(bytes),
        if files == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", grouped(files))
        },
        start.elapsed().as_secs_f64()
    )
}

fn failed(text: &str, error: &query::Error) -> anyhow::Result<ExitCode> {
    if matches!(error, query::Error::Interrupted) {
        writeln!(io::stderr(), "interrupted")?;
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let report = match statements(text).next() {
        Some(statement) => error.report(Source { name: None, text }, statement, report_width()),
        None => format!("error: {error}\n"),
    };
    write!(io::stderr(), "{report}")?;
    Ok(ExitCode::FAILURE)
}

fn format(args: &Args) -> anyhow::Result<As> {
    let format = match (args.format, Format::of_path(&args.path)) {
        (Some(format), _) => format,
        (None, Some(Format::Parquet)) => As::Parquet,
        (None, Some(Format::Csv)) => As::Csv,
        (None, Some(Format::Json)) => As::Json,
        (None, Some(Format::Ndjson)) => As::Ndjson,
        (None, Some(Format::Arrow)) => As::Arrow,
        (None, _) if !args.partition_by.is_empty() => As::Parquet,
        (None, _) => bail!(
            "{}: the name does not say how to write it; give --format",
            args.path.display()
        ),
    };
    if !args.partition_by.is_empty() && !matches!(format, As::Parquet | As::Csv) {
        bail!("--partition-by writes Parquet or CSV");
    }
    Ok(format)
}

/// What FROM takes: a name, or a query in parentheses.
fn relation(source: &str) -> anyhow::Result<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if !source.is_empty() && source.chars().all(word) {
        return Ok(source.to_owned());
    }
    let mut all = statements(source);
    let (Some(one), None) = (all.next(), all.next()) else {
        bail!("give one table, view or query to export");
    };
    // On lines of its own: it may end with a comment.
    Ok(format!(
        "(\n{}\n)",
        one.text.trim_end().trim_end_matches(';')
    ))
}

/// Names and types.
type Columns = Vec<(String, String)>;

/// The columns of a relation; or a text that speaks of it as it was given, and what is wrong with that.
fn columns(session: &mut Session, relation: &str) -> Result<Columns, (String, query::Error)> {
    const ASK: &str = "SELECT column_name, column_type FROM (DESCRIBE FROM ";
    let rows = match session.strings(&format!("{ASK}{relation})")) {
        Ok(rows) => rows,
        Err(error) => {
            let error = shell::improved(error, relation, session);
            return Err(as_given(error, relation, ASK.len()));
        }
    };
    let pairs = rows.into_iter().map(|row| {
        let mut cells = row.into_iter().flatten();
        (
            cells.next().unwrap_or_default(),
            cells.next().unwrap_or_default(),
        )
    });
    Ok(pairs.collect())
}

/// An error of a text of mdb's own in which a relation stands behind `before` bytes, as one of what was given.
fn as_given(error: query::Error, relation: &str, before: usize) -> (String, query::Error) {
    let inside = relation
        .strip_prefix("(\n")
        .and_then(|rest| rest.strip_suffix("\n)"));
    let (given, hidden) = match inside {
        Some(query) => (query.to_owned(), before + "(\n".len()),
        None => (format!("FROM {relation}"), before - "FROM ".len()),
    };
    let error = match error {
        query::Error::Sql(mut sql) => {
            let at = sql.at.take();
            sql.at = at.and_then(|at| {
                let (start, end) = (at.start.checked_sub(hidden)?, at.end.checked_sub(hidden)?);
                Some(start..end)
            });
            query::Error::Sql(sql)
        }
        other => other,
    };
    (given, error)
}

fn query(args: &Args, relation: &str, columns: &Columns) -> anyhow::Result<String> {
    for name in args.sort.iter().chain(&args.partition_by) {
        if !columns.iter().any(|(column, _)| column == name) {
            let all: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
            bail!("there is no column '{name}'; there are: {}", all.join(", "));
        }
    }
    let cut = columns
        .iter()
        .filter(|(_, kind)| args.timestamp == Unit::Us && kind == "TIMESTAMP_NS")
        // A cast would round, into the next second if need be.
        .map(|(name, _)| {
            let name = identifier(name);
            format!("make_timestamp(epoch_ns({name}) // 1000) AS {name}")
        });
    let cut: Vec<String> = cut.collect();
    let select = if cut.is_empty() {
        "*".to_owned()
    } else {
        format!("* REPLACE ({})", cut.join(", "))
    };
    let mut query = format!("SELECT {select} FROM {relation}");
    // Within partitions DuckDB keeps no order but that of COPY's own option.
    if !args.sort.is_empty() && args.partition_by.is_empty() {
        query = format!("{query} ORDER BY {}", identifiers(&args.sort));
    }
    Ok(query)
}

fn copy(args: &Args, format: As, query: &str, columns: &Columns, to: &Path) -> String {
    let mut options = Vec::new();
    if format == As::Parquet {
        let compression = args.compression.to_possible_value();
        let compression = compression.map_or("zstd".to_owned(), |c| c.get_name().to_owned());
        options.push(format!("FORMAT parquet, COMPRESSION {compression}"));
        options.extend(
            args.row_group_size
                .map(|rows| format!("ROW_GROUP_SIZE {rows}")),
        );
    } else {
        options.push("FORMAT csv, HEADER".to_owned());
    }
    if !args.partition_by.is_empty() {
        options.push(format!(
            "PARTITION_BY ({})",
            identifiers(&args.partition_by)
        ));
        if format == As::Parquet {
            let types = literal(&partition_types(args, columns));
            options.push(format!("KV_METADATA {{{PARTITION_TYPES}: {types}}}"));
        }
        if !args.sort.is_empty() {
            options.push(format!("ORDER_BY ({})", identifiers(&args.sort)));
        }
    }
    let to = literal(&to.display().to_string());
    format!("COPY ({query}) TO {to} ({})", options.join(", "))
}

/// A folder's name does not say whether `0700` is a number: `mdb load` reads the types in the file.
fn partition_types(args: &Args, columns: &Columns) -> String {
    let types = columns
        .iter()
        .filter(|(name, _)| args.partition_by.contains(name));
    let types = types.map(|(name, kind)| {
        let cut = args.timestamp == Unit::Us && kind == "TIMESTAMP_NS";
        let kind = if cut { "TIMESTAMP" } else { kind.as_str() };
        (name.clone(), kind.into())
    });
    serde_json::Value::Object(types.collect()).to_string()
}

fn identifiers(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| identifier(name)).collect();
    names.join(", ")
}

fn execute(session: &mut Session, text: &str) -> Result<Option<i64>, query::Error> {
    session.run(text, Types::Plain)?.finish()
}

/// Where it is written, and where it goes then.
struct Target {
    path: PathBuf,
    temporary: PathBuf,
    /// What is in its place now.
    old: Option<PathBuf>,
    /// Who may read that, and who then may read what takes its place.
    permissions: Option<Permissions>,
    /// What is no regular file, such as `/dev/null` or a named pipe, is written to directly.
    direct: bool,
}

impl Target {
    /// `partitioned` if it is to be a directory.
    fn new(args: &Args, partitioned: bool) -> anyhow::Result<Self> {
        let path = std::path::absolute(&args.path)
            .with_context(|| format!("cannot write {}", args.path.display()))?;
        // A link's target is replaced, not the link.
        let path = path.canonicalize().unwrap_or(path);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("cannot write {}: it has no name", path.display());
        };
        if !directory.is_dir() {
            bail!(
                "cannot write {}: there is no directory {}",
                path.display(),
                directory.display()
            );
        }
        let beside = |what: &str| {
            let name = name.to_string_lossy();
            directory.join(format!(".mdb-{what}-{}-{name}", std::process::id()))
        };
        let there = path.metadata().ok();
        let direct = there
            .as_ref()
            .is_some_and(|there| !there.is_file() && !there.is_dir());
        if direct && partitioned {
            bail!("cannot write {}: it is no directory", path.display());
        }
        if there.as_ref().is_some_and(fs::Metadata::is_dir) && !partitioned {
            bail!("cannot write {}: it is a directory", path.display());
        }
        if partitioned && there.is_some() && !args.replace {
            bail!(
                "{} is there already: give another name, or --replace",
                path.display()
            );
        }
        let old = (partitioned && there.is_some()).then(|| beside("old"));
        Ok(Self {
            temporary: if direct { path.clone() } else { beside("new") },
            path,
            old,
            permissions: there.as_ref().map(fs::Metadata::permissions),
            direct,
        })
    }

    /// Puts what was written in its place. Returns files and bytes.
    fn keep(self) -> anyhow::Result<(u64, u64)> {
        if self.direct {
            return Ok((1, 0));
        }
        let cannot = || format!("cannot write {}", self.path.display());
        if let Some(permissions) = &self.permissions {
            fs::set_permissions(&self.temporary, permissions.clone()).with_context(cannot)?;
        }
        let size = sync(&self.temporary).with_context(cannot)?;
        if let Some(old) = &self.old {
            fs::rename(&self.path, old).with_context(cannot)?;
        }
        fs::rename(&self.temporary, &self.path).with_context(cannot)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .with_context(cannot)?;
        }
        if let Some(old) = &self.old {
            remove(old);
        }
        Ok(size)
    }

    fn discard(&self) {
        if !self.direct {
            remove(&self.temporary);
        }
    }
}

/// What cannot be removed is in nobody's way: its name begins with a dot.
fn remove(path: &Path) {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// Makes everything durable; counts files and bytes.
fn sync(path: &Path) -> io::Result<(u64, u64)> {
    let mut size = (0, 0);
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let (files, bytes) = sync(&entry?.path())?;
            size = (size.0 + files, size.1 + bytes);
        }
    } else {
        size = (1, path.metadata()?.len());
    }
    File::open(path)?.sync_all()?;
    Ok(size)
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
