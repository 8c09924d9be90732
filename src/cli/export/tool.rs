//! `mdb export --as TOOL`: the files that a tool reads, a directory of them, as the SQL in its folder of sql/exports/ says.
//!
//! Each venue, symbol and date is a file. Its SELECT sees only those rows; what its name ends with says how it is written.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Args, Target, failed, told};
use crate::cli::session;
use crate::config::Settings;
use crate::model::sql::literal;
use crate::output::{Annotated, Npy};
use crate::query::{self, Session, Types};
use crate::sqltree::{SqlFile, SqlTree};

/// Where the tools' folders are.
const FOLDER: &str = "exports";
/// More files than this are asked for by mistake.
const MAX_FILES: usize = 100_000;
/// Rows of other tables that go with those of a date are this much earlier or later at most.
const AROUND_NS: i64 = 86_400_000_000_000;

/// Rows that become a file.
struct Group {
    venue: String,
    symbol: String,
    date: String,
    /// The first and last `ts`.
    times_ns: (i64, i64),
    rows: u64,
    path: PathBuf,
    member: String,
    metadata: HashMap<String, String>,
}

/// Why a file was not written.
enum Failure {
    /// DuckDB, with the text that it ran.
    Query(String, query::Error),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Runs `mdb export --as`.
///
/// # Errors
/// If nothing was written.
pub(super) fn run(args: &Args, tool: &str, settings: &Settings) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let tree = SqlTree::load(&settings.db)?;
    let export = Export {
        file: chosen(&tree, tool, &args.source)?,
        args,
    };
    let mut session = session::open_existing(settings)?;
    let target = Target::new(args, true)?;
    let written = export.write(&mut session, &target.temporary);
    match written {
        Ok(rows) => {
            told(rows, target.keep()?, start)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            target.discard();
            match failure {
                Failure::Query(text, error) => failed(&text, &error),
                Failure::Other(error) => Err(error),
            }
        }
    }
}

/// The SQL file meant.
fn chosen<'a>(tree: &'a SqlTree, tool: &str, source: &str) -> anyhow::Result<&'a SqlFile> {
    let folder = format!("{FOLDER}/{tool}");
    let names: Vec<&str> = tree.folder(&folder).map(|f| f.name.as_str()).collect();
    if names.is_empty() {
        let tools = tree.subfolders(FOLDER).join(", ");
        bail!("there is no '{tool}' to export for; there are: {tools}");
    }
    tree.folder(&folder)
        .find(|f| f.name == source)
        .with_context(|| {
            format!(
                "'{source}' is nothing that {tool} can be given; these are: {}",
                names.join(", ")
            )
        })
}

struct Export<'a> {
    file: &'a SqlFile,
    args: &'a Args,
}

impl Export<'_> {
    /// Writes all files below a directory that is not there yet; returns the rows that they are made of.
    fn write(&self, session: &mut Session, directory: &Path) -> Result<u64, Failure> {
        let groups = self.groups(session)?;
        let mut rows = 0;
        fs::create_dir(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        for group in &groups {
            let path = directory.join(&group.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)
                    .with_context(|| format!("cannot create {}", parent.display()))?;
            }
            self.write_one(session, group, &path)?;
            rows += group.rows;
        }
        Ok(rows)
    }

    /// The tables that are read; of the first the files are made.
    fn tables(&self) -> Vec<&str> {
        let from = &self.file.header.from;
        if from.is_empty() {
            vec![&self.file.name]
        } else {
            from.iter().map(String::as_str).collect()
        }
    }

    /// A table's rows with their date.
    fn dated(&self, table: &str) -> String {
        // A cast alone would round, and put the last half microsecond of a date into the next one's file.
        let of_ts = "bucket_start(ts, '1 day')::DATE";
        let date = self.file.header.date.as_deref().unwrap_or(of_ts);
        format!("SELECT *, {date} AS date FROM main.\"{table}\"")
    }

    /// What there is to write.
    fn groups(&self, session: &mut Session) -> Result<Vec<Group>, Failure> {
        let header = &self.file.header;
        let file = header.file.as_ref().with_context(|| {
            format!(
                "{}: -- @file is missing: it names the files",
                self.file.origin
            )
        })?;
        let mut conditions = Vec::new();
        let args = self.args;
        conditions.extend(args.venue.iter().map(|v| format!("venue = {}", literal(v))));
        if !args.symbol.is_empty() {
            let symbols: Vec<String> = args.symbol.iter().map(|s| literal(s)).collect();
            conditions.push(format!("symbol IN ({})", symbols.join(", ")));
        }
        conditions.extend(self.limits());
        let condition = if conditions.is_empty() {
            "true".to_owned()
        } else {
            conditions.join(" AND ")
        };
        let said = header.metadata.iter().map(|(_, sql)| sql);
        let said: Vec<String> = header
            .member
            .iter()
            .chain(said)
            .map(|sql| format!(", ({sql})::VARCHAR"))
            .collect();
        let table = self.tables()[0];
        let text = format!(
            "SELECT venue, symbol, date::VARCHAR, epoch_ns(min(ts))::VARCHAR, epoch_ns(max(ts))::VARCHAR,
                    count(*)::VARCHAR, ({file})::VARCHAR {}
             FROM ({}) WHERE {condition} GROUP BY venue, symbol, date ORDER BY venue, symbol, date",
            said.join(""),
            self.dated(table),
        );
        let found = session
            .strings(&text)
            .map_err(|error| Failure::Query(text, error))?;
        if found.is_empty() {
            return Err(
                anyhow::anyhow!("{table} has no such rows: there is nothing to export").into(),
            );
        }
        if found.len() > MAX_FILES {
            return Err(anyhow::anyhow!(
                "that would be {} files, and {MAX_FILES} is the most: say which with --symbol, --from and --to",
                found.len()
            )
            .into());
        }
        let mut names = HashSet::new();
        let mut groups = Vec::with_capacity(found.len());
        for row in found {
            let group = self.group(row)?;
            if !names.insert(group.path.clone()) {
                return Err(anyhow::anyhow!(
                    "several venues or symbols would be written to {}: say which with --venue or --symbol",
                    group.path.display()
                )
                .into());
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn group(&self, row: Vec<Option<String>>) -> anyhow::Result<Group> {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let (venue, symbol, date) = (next(), next(), next());
        let (low, high, rows) = (next(), next(), next());
        let (Some(venue), Some(symbol), Some(date), Some(path)) = (venue, symbol, date, next())
        else {
            bail!(
                "{}: its @date or @file is NULL of some rows",
                self.file.origin
            );
        };
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let path = PathBuf::from(path);
        // A symbol is a venue's text: it must not lead out of the directory.
        if !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            bail!(
                "'{}' of {venue} {symbol} is no name for a file",
                path.display()
            );
        }
        let member = match &self.file.header.member {
            Some(_) => next().unwrap_or_default(),
            None => String::new(),
        };
        let names = self.file.header.metadata.iter();
        Ok(Group {
            venue,
            symbol,
            date,
            times_ns: (number(low), number(high)),
            rows: number(rows).unsigned_abs(),
            path,
            member,
            metadata: names
                .map(|(name, _)| (name.clone(), next().unwrap_or_default()))
                .collect(),
        })
    }

    /// Conditions of the times that the user has given.
    fn limits(&self) -> impl Iterator<Item = String> {
        let limit = |word: &'static str| {
            move |time: &String| format!("ts {word} {}::TIMESTAMP_NS", literal(time))
        };
        let (from, to) = (&self.args.from, &self.args.to);
        from.iter()
            .map(limit(">="))
            .chain(to.iter().map(limit("<")))
    }

    /// The file's SELECT, which sees the group's rows only. Its lines are those of the file.
    fn select(&self, group: &Group) -> String {
        let mut limits = vec![String::new()];
        limits.extend(self.limits());
        let limits = limits.join(" AND ");
        let (low, high) = group.times_ns;
        let tables = self.tables().into_iter().enumerate().map(|(n, table)| {
            let around = if n == 0 { 0 } else { AROUND_NS };
            format!(
                "{table} AS (SELECT * FROM ({}) WHERE venue = {} AND symbol = {} AND date = {}::DATE \
                 AND ts >= make_timestamp_ns({}) AND ts <= make_timestamp_ns({}){limits})",
                self.dated(table),
                literal(&group.venue),
                literal(&group.symbol),
                literal(&group.date),
                low.saturating_sub(around),
                high.saturating_add(around),
            )
        });
        let tables: Vec<String> = tables.collect();
        let text = self.file.select();
        let body = text.split_once('\n').map_or("", |(_, rest)| rest);
        format!("WITH {} SELECT * FROM (\n{body}\n)", tables.join(", "))
    }

    fn write_one(&self, session: &mut Session, group: &Group, path: &Path) -> Result<(), Failure> {
        let name = path.to_string_lossy();
        let select = self.select(group);
        if name.ends_with(".csv.gz") {
            copy(session, &select, path, "HEADER, COMPRESSION gzip")
        } else if name.ends_with(".csv") {
            copy(session, &select, path, "HEADER")
        } else if name.ends_with(".zip") {
            let plain = beside(path, ".csv");
            let copied = copy(session, &select, &plain, "HEADER false")
                .and_then(|()| Ok(pack(&plain, &group.member, path)?));
            let _ = fs::remove_file(&plain);
            copied
        } else if name.ends_with(".npz") {
            let plain = beside(path, ".npy");
            let packed =
                array(session, &select, &plain).and_then(|()| Ok(pack(&plain, "data.npy", path)?));
            let _ = fs::remove_file(&plain);
            packed
        } else if name.ends_with(".parquet") {
            parquet(session, &select, group, path)
        } else {
            Err(anyhow::anyhow!(
                "{}: @file ends with none of .csv, .csv.gz, .zip, .npz and .parquet",
                self.file.origin
            )
            .into())
        }
    }
}

/// What a file is made from, for the moment.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Has DuckDB write CSV.
fn copy(session: &mut Session, select: &str, to: &Path, options: &str) -> Result<(), Failure> {
    let to = literal(&to.to_string_lossy());
    let text = format!("COPY ({select}) TO {to} (FORMAT csv, {options})");
    super::execute(session, &text)
        .map(|_| ())
        .map_err(|error| Failure::Query(text, error))
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 16, file))
}

/// Makes an archive with one member of a file.
fn pack(from: &Path, member: &str, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", to.display());
    let options = SimpleFileOptions::default().large_file(fs::metadata(from)?.len() >= 1 << 32);
    let mut archive = ZipWriter::new(create(to)?);
    archive.start_file(member, options).with_context(cannot)?;
    let mut file = BufReader::with_capacity(1 << 16, File::open(from)?);
    io::copy(&mut file, &mut archive).with_context(cannot)?;
    let buffer = archive.finish().with_context(cannot)?;
    buffer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

/// Writes the answer to a query as `NumPy`'s records.
fn array(session: &mut Session, select: &str, to: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::Query(select.to_owned(), error);
    let rows = session.run(select, Types::Plain).map_err(failed)?;
    let mut npy = Npy::new(&rows.schema(), create(to)?)?;
    for batch in rows {
        npy.batch(&batch.map_err(failed)?)?;
    }
    npy.finish()?;
    Ok(())
}

/// Writes the answer to a query as Parquet that says of itself what the group says.
fn parquet(session: &mut Session, select: &str, group: &Group, to: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::Query(select.to_owned(), error);
    let rows = session.run(select, Types::Plain).map_err(failed)?;
    let mut file = Annotated::new(&rows.schema(), group.metadata.clone(), create(to)?)?;
    for batch in rows {
        file.batch(&batch.map_err(failed)?)?;
    }
    let buffer = file.finish()?;
    buffer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(())
}
