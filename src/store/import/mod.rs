//! Vendors' files: read piece by piece, normalized by SQL, and written to the lake by symbol and time at once, in memory
//! that does not grow with them.
//!
//! A file becomes part of the database wholly or not at all: its lake files are written under hidden names, then noted
//! as incoming, named, and made known in one transaction. What a crash leaves is swept at the next start.

mod auto;
mod bad_rows;
mod beside;
mod chunk;
mod dialect;
mod folders;
mod grown;
mod guard;
mod known;
mod own_table;
mod plan;
mod relation;
mod sink;
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use arrow::array::RecordBatch;
use duckdb::{Connection, OptionalExt, params};
use jiff::civil::Date;
use tokio::sync::mpsc;

use super::catalog::VENUE;
use super::error::{Doing, Error, Result};
use super::{Order, Store, lake};
use crate::sources::files::Input;
use bad_rows::Refused;
pub(super) use bad_rows::TIMES_NS;
pub use beside::Importer;
use chunk::{Chunk, Sorted};
use dialect::Dialect;
pub use guard::Drift;
use known::Known;
pub use plan::Plan;
use relation::Relation;
use sink::Pieces;

/// What DuckDB reads ahead of what is taken.
const READ_AHEAD: &str = "8MB";

/// A file with more bad rows is refused, unless the user says another number.
pub const MAX_ERRORS: u64 = 1000;

/// Parquet files of a partitioned export have the types of its columns under this key, as JSON.
pub const PARTITION_TYPES: &str = "mdb_partition_types";

/// What is said of files to load.
#[derive(Debug, Clone)]
pub struct Import {
    /// The dialect: a folder of sql/files/, or `auto`.
    pub dialect: String,
    /// The table to fill, if the dialect leaves a choice, or a table of the user's own.
    pub into: Option<String>,
    /// The venue, if the files do not name it.
    pub venue: Option<String>,
    /// The instrument, if the files do not name it.
    pub symbol: Option<String>,
    /// The date, if the files do not name it.
    pub date: Option<Date>,
    /// Column, text: what rows have that do not say it themselves.
    pub defaults: Vec<(&'static str, String)>,
    /// How the files' columns are shaped before anything else.
    pub shape: Shape,
    /// What to do with what is there already.
    pub if_exists: IfExists,
    /// A file with more bad rows than this is refused.
    pub max_errors: u64,
    /// Take files whose columns have changed.
    pub evolve: bool,
    /// Memory for all of it, in bytes; told from the machine if `None`.
    pub memory_bytes: Option<u64>,
    /// Threads that read; one for each core if `None`.
    pub threads: Option<usize>,
}

/// How a file's columns are shaped, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The character between two fields of a text file, instead of the likeliest.
    pub delimiter: Option<char>,
    /// Names of the columns of a file without a header line.
    pub columns: Vec<String>,
    /// Old name, new name.
    pub rename: Vec<(String, String)>,
    /// All names in one case.
    pub case: ColumnCase,
    /// Column, SQL type; a value that does not fit becomes NULL.
    pub cast: Vec<(String, String)>,
    /// Column, text: one value for all rows.
    pub set: Vec<(String, String)>,
    /// How times are written, as strptime has it.
    pub date_format: Option<String>,
    /// Numbers with a fraction are rounded to so many decimals.
    pub decimals: Option<u8>,
}

/// How the names of columns are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColumnCase {
    /// As the file has them.
    #[default]
    Keep,
    /// In small letters.
    Lower,
    /// In capitals.
    Upper,
}

/// What to do with what is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfExists {
    /// Add everything, known or not.
    Append,
    /// Leave out known files, and rows whose key is known.
    #[default]
    Skip,
    /// Of a table of the user's own: make it anew.
    Replace,
    /// Load nothing of a file any of which is known.
    Fail,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The table.
    pub table: String,
    /// Rows that were new.
    pub new: u64,
    /// Rows whose key was known.
    pub known: u64,
    /// Rows that went to the dead letters.
    pub dead_letters: u64,
    /// Files that the lake got.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// The same content was loaded before, and so passed over.
    pub already: bool,
    /// Which column of the file became which of the table, if that was found out and not said.
    pub mapping: Vec<(String, String)>,
    /// How it differs from files of its kind before, which was allowed.
    pub drift: Option<Drift>,
    /// Stopped before its end: nothing of it was kept.
    pub stopped: bool,
}

impl Store {
    /// What loading a file would take, without loading it.
    ///
    /// # Errors
    /// If it cannot be read, or nothing fits it.
    pub fn plan_import(&self, input: &Input, import: &Import) -> Result<Plan> {
        let conn = self.clone_connection()?;
        let input = &folders::resolved(&conn, input, import)?;
        if self.is_own_table(import) {
            return Plan::of(&conn, input, import, None);
        }
        let dialect = Dialect::choose(&conn, &self.tree, &self.catalog, input, import)?;
        let table = Arc::clone(&dialect.table);
        Plan::of(&conn, input, import, Some(&table))
    }

    /// Loads a file. `progress` is told the rows read so far.
    ///
    /// # Errors
    /// Nothing of the file was kept then.
    pub fn import(
        &mut self,
        input: &Input,
        import: &Import,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported> {
        self.import_as(input, import, Place::Alone, stop, progress)
    }

    fn import_as(
        &mut self,
        input: &Input,
        import: &Import,
        place: Place<'_>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported> {
        let input = &folders::resolved(&self.conn, input, import)?;
        if self.is_own_table(import) {
            let plan = Plan::of(&self.conn, input, import, None)?;
            return self.with_memory(&plan, || own_table::load(&self.conn, input, import, stop));
        }
        if import.if_exists == IfExists::Replace {
            return Err(refused(
                input,
                "--if-exists replace is for a table of your own; it would take other files' rows along",
            ));
        }
        let conn = self.clone_connection()?;
        let dialect = Dialect::choose(&conn, &self.tree, &self.catalog, input, import)?;
        let import = &dialect.said(input, import)?;
        if dialect.table.latest && import.if_exists == IfExists::Fail {
            return Err(refused(
                input,
                format!(
                    "--if-exists fail is not for {}, of which a later row takes an earlier one's place",
                    dialect.table.name
                ),
            ));
        }
        let plan = Plan::of(&conn, input, import, Some(&dialect.table))?;
        let mark = Mark::of(&self.conn, input, import, &dialect)?;
        if import.if_exists != IfExists::Append && mark.is_known(&self.conn)? {
            if import.if_exists == IfExists::Fail {
                return Err(refused(
                    input,
                    "it was loaded before, and --if-exists says fail",
                ));
            }
            return Ok(Imported {
                table: dialect.table.name.clone(),
                already: true,
                ..Imported::default()
            });
        }
        let grown = import.if_exists == IfExists::Skip
            && grown::has_grown(&self.conn, input, &dialect.table.name, &mark.said)?;
        // With DuckDB's own megabyte its threads would mostly wait for one another.
        conn.execute_batch(&format!("SET streaming_buffer_size = '{READ_AHEAD}'"))
            .doing("preparing to read")?;
        let relation = Relation::open(&conn, input, import, &dialect)?;
        let drift = guard::check(&self.conn, &relation, input, import, &dialect)?;
        let select = dialect.select(&conn, &relation, input, import)?;
        let mut load = Loading {
            store: self,
            input,
            import,
            relation: &relation,
            select: &select,
            plan: &plan,
            place,
            grown,
        };
        let mut imported = load.run(&conn, mark, stop, progress)?;
        imported.mapping.clone_from(&select.mapping);
        if !imported.stopped {
            guard::remember(&self.conn, &relation, &dialect)?;
            imported.drift = drift;
        }
        Ok(imported)
    }

    /// Does something with DuckDB's settings as a plan says.
    fn with_memory<T>(&self, plan: &Plan, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let doing = "setting the memory";
        self.conn.execute_batch(&plan.settings()).doing(doing)?;
        let done = work();
        self.conn
            .execute_batch(&Plan::reset(&self.settings, self.purpose))
            .doing(doing)?;
        done
    }

    /// Files whose names are as a pattern says, sorted.
    ///
    /// # Errors
    /// If DuckDB cannot read the directories.
    pub fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>> {
        self.conn
            .prepare("SELECT file FROM glob(?) ORDER BY file")
            .and_then(|mut s| {
                s.query_map([pattern], |row| row.get::<_, String>(0).map(PathBuf::from))
                    .and_then(Iterator::collect)
            })
            .doing(format!("looking for {pattern}"))
    }

    /// Whether the table named is none of the canonical ones.
    fn is_own_table(&self, import: &Import) -> bool {
        import
            .into
            .as_ref()
            .is_some_and(|into| self.catalog.get(into).is_none())
    }
}

fn refused(input: &Input, message: impl Into<String>) -> Error {
    Error::Source(crate::sources::Error::File {
        path: input.label.clone(),
        message: message.into(),
    })
}

/// The hash of a file's content, which is read to its end first: DuckDB takes what is cut off or changed of a packed file,
/// or cut off of a JSON array, for whole.
fn content_hash(input: &Input) -> Result<String> {
    input.verify()?;
    lake::hash_of(&input.data)
}

/// What tells that the same was loaded before: the content, and what was said of it.
struct Mark {
    /// The content's hash, found meanwhile if no file of its size was ever loaded.
    content: Content,
    said: String,
    table: String,
}

enum Content {
    Hashed(String),
    Unseen(JoinHandle<Result<String>>),
}

impl Mark {
    fn of(conn: &Connection, input: &Input, import: &Import, dialect: &Dialect) -> Result<Self> {
        let mut said = format!(
            "{}|{:?}|{:?}|{:?}|{:?}|{:?}",
            dialect.name, import.venue, import.symbol, import.date, import.shape, dialect.text
        );
        if !import.defaults.is_empty() {
            said = format!("{said}|{:?}", import.defaults);
        }
        said.push_str(&input.folder_path());
        let said = blake3::hash(said.as_bytes()).to_hex();
        let seen: bool = conn
            .query_row(
                "SELECT count(*) > 0 FROM ops.file_loads WHERE bytes = ?",
                [input.bytes],
                |row| row.get(0),
            )
            .doing("reading ops.file_loads")?;
        let input = input.clone();
        Ok(Self {
            content: if seen {
                Content::Hashed(content_hash(&input)?)
            } else {
                Content::Unseen(thread::spawn(move || content_hash(&input)))
            },
            said: said[..16].to_owned(),
            table: dialect.table.name.clone(),
        })
    }

    /// What stands for it in `ops.file_loads`.
    fn text(self) -> Result<String> {
        let content = match self.content {
            Content::Hashed(hash) => hash,
            Content::Unseen(thread) => thread.join().map_err(|_| Error::Panicked)??,
        };
        Ok(format!("{content}-{}", self.said))
    }

    fn is_known(&self, conn: &Connection) -> Result<bool> {
        let Content::Hashed(content) = &self.content else {
            return Ok(false);
        };
        conn.query_row(
            "SELECT 1 FROM ops.file_loads WHERE mark = ? AND into_table = ? LIMIT 1",
            params![format!("{content}-{}", self.said), self.table],
            |_| Ok(()),
        )
        .optional()
        .doing("reading ops.file_loads")
        .map(|found| found.is_some())
    }
}

/// Whether somebody else writes at the same time.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Nobody does.
    Alone,
    /// A capture does, whose writer takes these orders.
    Beside(&'a mpsc::Sender<Order>),
}

/// A file on its way in.
struct Loading<'a> {
    store: &'a mut Store,
    input: &'a Input,
    import: &'a Import,
    relation: &'a Relation,
    select: &'a dialect::Select,
    plan: &'a Plan,
    place: Place<'a>,
    /// What was loaded of it before is its beginning.
    grown: bool,
}

/// What the reading side found.
struct Read {
    rows: u64,
    refused: Refused,
}

impl Loading<'_> {
    fn run(
        &mut self,
        conn: &Connection,
        mark: Mark,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported> {
        let table = Arc::clone(&self.select.table);
        let first_seq = self.place.first_seq(self.store)?;
        let catalog = Arc::clone(&self.store.catalog);
        let mut sink = if table.latest {
            Sink::Latest(Box::new(sink::Latest::new(self.store, &table, self.place)?))
        } else {
            let checks = self.import.if_exists != IfExists::Append;
            let known = Known::new(self.store.clone_connection()?, &table, checks);
            Sink::Lake(Box::new(sink::ToLake {
                pieces: Pieces::new(&self.store.dir, &table),
                known,
            }))
        };
        let mut run = || {
            std::thread::scope(|scope| {
                let (to, from) = sync_channel::<Sorted>(1);
                let sink = &mut sink;
                let writer = scope.spawn(move || write(sink, &from));
                let mut next = first_seq;
                // To sort here leaves both threads about as much to do.
                let read = self.read(conn, stop, progress, |chunk| {
                    let rows = chunk.rows() as u64;
                    let sorted = chunk.sorted(next)?;
                    next += rows;
                    Ok(to.send(sorted).is_ok())
                });
                drop(to);
                let written = writer.join().map_err(|_| Error::Panicked)?;
                // The writer's error is the cause when the reader only found its queue closed.
                written.and_then(|known| Ok((read?, known)))
            })
        };
        let (read, known) = match self.place {
            Place::Alone => self.store.with_memory(self.plan, run)?,
            // DuckDB's settings are the capture's.
            Place::Beside(_) => run()?,
        };
        let mut imported = Imported {
            table: table.name.clone(),
            known,
            ..Imported::default()
        };
        if stop.load(Ordering::Relaxed) {
            imported.stopped = true;
            return Ok(imported);
        }
        if known > 0 && self.import.if_exists == IfExists::Fail {
            return Err(refused(
                self.input,
                format!(
                    "{known} of its rows are known, and --if-exists says fail; nothing of it was loaded"
                ),
            ));
        }
        self.check_grown(&sink)?;
        let dead = read
            .refused
            .dead_letters(conn, self.relation, self.select, self.input)?;
        if read.rows == 0 {
            let why = dead.first().map(|letter| (letter.line, &letter.reason));
            return Err(refused(
                self.input,
                match why {
                    Some((Some(line), reason)) => format!(
                        "none of its rows can be loaded; the first that cannot is on line {line}: {reason}"
                    ),
                    _ => "it has no rows".to_owned(),
                },
            ));
        }
        imported.dead_letters = dead.len() as u64;
        imported.new = read.rows - known;
        let mark = mark.text()?;
        let commit = sink::Commit {
            conn: &self.store.conn,
            dir: &self.store.dir,
            catalog: &catalog,
            table: &table,
            mark: (&mark, &self.input.label, self.input.bytes),
            rows: imported.new,
            last_seq: first_seq + read.rows - 1,
            dead: &dead,
            venue: self.select.said_of(VENUE),
            first_seq,
            place: self.place,
        };
        let committed = sink.commit(&commit)?;
        (imported.files, imported.bytes) = (committed.files, committed.bytes);
        imported.known += committed.known;
        imported.new -= committed.known;
        Ok(imported)
    }

    /// Rows that were loaded before, when the file had no others yet, must be known by their keys.
    fn check_grown(&self, sink: &Sink) -> Result<()> {
        if !self.grown || !sink.has_unkeyed() {
            return Ok(());
        }
        Err(refused(
            self.input,
            format!(
                "it begins with what was loaded of it before, and some of its rows lack part of the key ({}) by which they would be known; load a file of the new rows alone, or say --if-exists append, which adds those before once more. Nothing of it was loaded",
                self.select.table.key.join(", ")
            ),
        ))
    }

    /// Reads and checks the rows, and hands them on in chunks; `hand` is false once nobody takes them.
    fn read(
        &self,
        conn: &Connection,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
        mut hand: impl FnMut(Chunk) -> Result<bool>,
    ) -> Result<Read> {
        let rows_of_chunk = self.plan.chunk_rows();
        let mut chunk = Chunk::new(self.select, rows_of_chunk);
        let mut refused = Refused::new(self.import.max_errors);
        let (mut at, mut rows) = (0, 0);
        self.relation
            .for_each(conn, &self.select.sql, &mut |batch: RecordBatch| {
                let batch_rows = batch.num_rows() as u64;
                let batch = refused.sift(self.select, batch, at, self.input)?;
                at += batch_rows;
                rows += batch.num_rows() as u64;
                chunk.push(&batch)?;
                if chunk.bytes() >= self.plan.chunk_bytes {
                    progress(at);
                    let next = Chunk::new(self.select, rows_of_chunk);
                    return Ok(
                        hand(std::mem::replace(&mut chunk, next))? && !stop.load(Ordering::Relaxed)
                    );
                }
                Ok(!stop.load(Ordering::Relaxed))
            })?;
        if chunk.rows() > 0 && !stop.load(Ordering::Relaxed) {
            hand(chunk)?;
        }
        Ok(Read { rows, refused })
    }
}

/// Where chunks go.
enum Sink {
    /// Files of the lake.
    Lake(Box<sink::ToLake>),
    /// The hot table, of which a later row replaces an earlier one.
    Latest(Box<sink::Latest>),
}

impl Sink {
    /// Whether rows came that cannot be told from others.
    fn has_unkeyed(&self) -> bool {
        match self {
            Self::Lake(lake) => lake.known.has_unkeyed(),
            Self::Latest(_) => false,
        }
    }

    fn commit(self, commit: &sink::Commit<'_>) -> Result<sink::Committed> {
        match self {
            Self::Lake(lake) => lake.pieces.commit(commit),
            Self::Latest(latest) => latest.commit(commit),
        }
    }
}

/// Writes chunks; returns how many rows were known.
fn write(sink: &mut Sink, from: &Receiver<Sorted>) -> Result<u64> {
    let mut known = 0;
    for sorted in from {
        known += match sink {
            Sink::Lake(lake) => lake.write(sorted)?,
            Sink::Latest(latest) => latest.write(sorted)?,
        };
    }
    if let Sink::Lake(lake) = sink {
        lake.pieces.finish()?;
    }
    Ok(known)
}
