//! Where sorted chunks go: files of the lake under hidden names, and how they become part of the database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use duckdb::{Connection, params};
use jiff::civil::Date;

use super::Place;
use super::chunk::Sorted;
use super::known::Known;
use crate::model::DEAD_LETTERS;
use crate::store::catalog::{Catalog, Table, VENUE};
use crate::store::error::{Doing, Error, Result};
use crate::store::history::Version;
use crate::store::lake::{self, Entry, Facts, Staged};
use crate::store::live::Standing;
use crate::store::normalize::{Derived, Rows};
use crate::store::raw::{self, DeadLetter, RawBatch};
use crate::store::writer::{Target, Writer};
use crate::store::{Store, insert, schema};

/// A row group ends with a symbol once it holds this many rows: what reads one symbol passes over the others.
const GROUP_ROWS: usize = 100_000;
/// A row group is made of slices of so many rows, to bound what is copied at once.
const SLICE_ROWS: usize = 131_072;
/// Dates written at once; of a file that is not in order of time the others are ended and begun again.
const MAX_OPEN: usize = 8;
/// Files that are made durable at once.
const MAX_SETTLING: usize = 3;
/// Rows that replace others, beside a capture: writing them holds it up.
const WAITING_ROWS: usize = 1 << 17;
/// A file has no more pieces than this: else it is in no order of time at all.
const MAX_PIECES: usize = 20_000;

/// Files of the lake under construction.
pub(super) struct Pieces {
    dir: PathBuf,
    table: Arc<Table>,
    /// With the number of the chunk that wrote last.
    open: BTreeMap<Date, (usize, Staged)>,
    chunks: usize,
    done: Vec<Ended>,
}

/// A file that has all its rows.
struct Ended {
    date: Date,
    staged: Staged,
    facts: Facts,
    durable: Durable,
}

/// Whether a file is on the disk: its size and hash then.
enum Durable {
    Soon(JoinHandle<Result<(u64, String)>>),
    Yes(u64, String),
}

impl Ended {
    fn settle(&mut self) -> Result<(u64, String)> {
        let durable = std::mem::replace(&mut self.durable, Durable::Yes(0, String::new()));
        let (bytes, hash) = match durable {
            Durable::Soon(thread) => thread.join().map_err(|_| Error::Panicked)??,
            Durable::Yes(bytes, hash) => (bytes, hash),
        };
        self.durable = Durable::Yes(bytes, hash.clone());
        Ok((bytes, hash))
    }
}

impl Pieces {
    pub(super) fn new(dir: &Path, table: &Arc<Table>) -> Self {
        Self {
            dir: dir.to_owned(),
            table: Arc::clone(table),
            open: BTreeMap::new(),
            chunks: 0,
            done: Vec::new(),
        }
    }

    /// Writes a chunk.
    pub(super) fn write(&mut self, sorted: &Sorted) -> Result<()> {
        self.chunks += 1;
        let mut runs = sorted.runs.iter().peekable();
        while let Some((date, range)) = runs.next() {
            let mut range = range.clone();
            while let Some((_, next)) = runs.next_if(|(d, next)| {
                d == date && range.len() < GROUP_ROWS && next.start == range.end
            }) {
                range.end = next.end;
            }
            let last_of_date = runs.peek().is_none_or(|(d, _)| d != date);
            let staged = self.of(*date)?;
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + SLICE_ROWS);
                staged.write(&sorted.take(start..end)?)?;
                start = end;
            }
            // A small rest of a date goes with what the next chunk brings.
            if range.len() >= GROUP_ROWS || !last_of_date {
                staged.end_group()?;
            }
        }
        Ok(())
    }

    /// The file of a date.
    fn of(&mut self, date: Date) -> Result<&mut Staged> {
        if !self.open.contains_key(&date) {
            if self.open.len() >= MAX_OPEN {
                let oldest = self.open.iter().min_by_key(|(_, (chunk, _))| *chunk);
                if let Some(&date) = oldest.map(|(date, _)| date) {
                    self.end(date)?;
                }
            }
            if self.done.len() >= MAX_PIECES {
                return Err(Error::SealMismatch {
                    table: self.table.name.clone(),
                    date: date.to_string(),
                    message: format!(
                        "the file's rows are in no order of time and would make more than {MAX_PIECES} files; sort it first"
                    ),
                });
            }
            let staged = Staged::create(&self.dir, &self.table, date, lake::LOAD_LEVEL)?;
            self.open.insert(date, (self.chunks, staged));
        }
        let entry = self.open.get_mut(&date).map(|(chunk, staged)| {
            *chunk = self.chunks;
            staged
        });
        entry.ok_or(Error::Panicked)
    }

    fn end(&mut self, date: Date) -> Result<()> {
        if let Some((_, mut staged)) = self.open.remove(&date) {
            let facts = staged.end()?;
            // The disk is written to while the next date is; not more than a few are waited for.
            let durable = Durable::Soon(staged.settle());
            self.done.push(Ended {
                date,
                staged,
                facts,
                durable,
            });
            if let Some(before) = self.done.len().checked_sub(MAX_SETTLING) {
                self.done[before].settle()?;
            }
        }
        Ok(())
    }

    /// Ends all files; they stay hidden.
    pub(super) fn finish(&mut self) -> Result<()> {
        while let Some((&date, _)) = self.open.first_key_value() {
            self.end(date)?;
        }
        Ok(())
    }

    /// Where the ended files are, to be read before they have their names.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Path> {
        self.done.iter().map(|ended| ended.staged.path())
    }

    /// Makes all of it part of the database, at once.
    pub(super) fn commit(mut self, commit: &Commit<'_>) -> Result<Committed> {
        self.finish()?;
        let doing = || format!("loading {}", commit.mark.1);
        let mut named = Vec::new();
        for mut ended in std::mem::take(&mut self.done) {
            let (bytes, hash) = ended.settle()?;
            let Ended {
                date,
                staged,
                facts,
                ..
            } = ended;
            let path = lake::free_path(&self.dir, commit.conn, &self.table, date, &facts)?;
            let entry = Entry {
                date,
                path,
                bytes,
                hash,
                facts,
                loaded: true,
            };
            named.push((staged, entry));
        }
        let conn = commit.conn;
        conn.execute_batch("BEGIN").doing(doing())?;
        let noted = named
            .iter()
            .try_for_each(|(_, file)| lake::announce(conn, &file.path));
        finish_transaction(conn, noted)?;
        let mut files: Vec<Entry> = Vec::new();
        let mut standing = None;
        let made_known = named
            .into_iter()
            .try_for_each(|(staged, file)| {
                files.push(file);
                staged.publish_settled(&self.dir.join(&files[files.len() - 1].path))
            })
            .and_then(|()| {
                standing = commit.stand(&files)?;
                conn.execute_batch("BEGIN").doing(doing())
            })
            .and_then(|()| {
                let written = commit.make_known(&files);
                if written.is_err() {
                    // The first error is the one to tell.
                    let _ = conn.execute_batch("ROLLBACK");
                }
                written
            });
        if made_known.is_err() {
            for file in &files {
                // What cannot be removed now is swept at the next start.
                let _ = std::fs::remove_file(self.dir.join(&file.path));
            }
        }
        made_known?;
        // A commit that reports an error may be durable all the same: the next start decides by the manifest.
        let committed = conn.execute_batch("COMMIT").doing(doing());
        if let Some(standing) = standing {
            let last_ns = files.iter().map(|file| file.facts.max_ts).max();
            let last_ns = last_ns.unwrap_or(i64::MIN);
            standing.go_on(&self.table.name, last_ns, commit.last_seq + 1);
        }
        committed?;
        Ok(Committed {
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            known: 0,
        })
    }
}

/// What has become part of the database.
pub(super) struct Committed {
    /// Files.
    pub(super) files: u64,
    /// Their size.
    pub(super) bytes: u64,
    /// Rows that turned out to be known only then.
    pub(super) known: u64,
}

fn finish_transaction(conn: &Connection, result: Result<()>) -> Result<()> {
    if result.is_err() {
        // The first error is the one to tell.
        let _ = conn.execute_batch("ROLLBACK");
        return result;
    }
    conn.execute_batch("COMMIT").doing("committing")
}

/// What becomes known with the files.
#[derive(Clone, Copy)]
pub(super) struct Commit<'a> {
    pub(super) conn: &'a Connection,
    pub(super) dir: &'a Path,
    pub(super) catalog: &'a Catalog,
    pub(super) table: &'a Arc<Table>,
    /// What tells the same load again, the file's name and its size.
    pub(super) mark: (&'a str, &'a str, u64),
    pub(super) rows: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) place: Place<'a>,
    pub(super) dead: &'a [DeadLetter],
    pub(super) venue: Option<&'a str>,
}

impl Commit<'_> {
    fn stand(&self, files: &[Entry]) -> Result<Option<Standing>> {
        let (table, label) = (self.table, self.mark.1);
        self.place
            .stand(self.conn, table, files, self.first_seq, label)
    }

    fn make_known(&self, files: &[Entry]) -> Result<()> {
        if !files.is_empty() {
            let version = Version::begin(self.conn, &self.table.name)?;
            for file in files {
                lake::record(self.conn, self.table, file, &version)?;
            }
            version.end("load", Some(self.mark.1))?;
            schema::replace_views(self.conn, self.catalog, self.table)?;
        }
        if !self.dead.is_empty() {
            let letters = self.catalog.own(DEAD_LETTERS)?;
            let rows = raw::dead_letter_rows(letters, self.dead)?;
            let venue = self.venue.unwrap_or_default();
            insert::select(self.conn, "hot.dead_letters", venue, &rows)
                .doing("writing dead_letters")?;
        }
        let (mark, source, bytes) = self.mark;
        self.conn
            .execute(
                "INSERT INTO ops.file_loads VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    mark,
                    source,
                    bytes,
                    self.table.name,
                    self.rows,
                    self.last_seq
                ],
            )
            .doing("writing ops.file_loads")
            .map(|_| ())
    }
}

/// Chunks to files of the lake, without the rows that are known.
pub(super) struct ToLake {
    pub(super) pieces: Pieces,
    pub(super) known: Known,
}

impl ToLake {
    /// Returns how many rows were known.
    pub(super) fn write(&mut self, mut sorted: Sorted) -> Result<u64> {
        if self.known.reaches_back(&sorted) {
            // What this file brought before must be read: it is to be found in files that are ended.
            self.pieces.finish()?;
        }
        let keep = self.known.new_rows(&sorted, self.pieces.hidden())?;
        let known = keep.map_or(0, |keep| sorted.retain(&keep));
        self.pieces.write(&sorted)?;
        Ok(known)
    }
}

/// Chunks to a hot table of which a later row replaces an earlier one.
pub(super) struct Latest {
    writer: Writer,
    table: Arc<Table>,
    /// Beside a capture, which may replace the same rows, all wait until its writer stands still.
    waiting: Option<Vec<Sorted>>,
}

impl Latest {
    pub(super) fn new(store: &Store, table: &Arc<Table>, place: Place<'_>) -> Result<Self> {
        let writer = Writer::new(
            store.clone_connection()?,
            Arc::clone(&store.catalog),
            Target::hot(),
        );
        Ok(Self {
            writer,
            table: Arc::clone(table),
            waiting: matches!(place, Place::Beside(_)).then(Vec::new),
        })
    }

    /// Returns how many rows a later one was there of.
    pub(super) fn write(&mut self, sorted: Sorted) -> Result<u64> {
        let Some(waiting) = &mut self.waiting else {
            return self.replace(&sorted);
        };
        waiting.push(sorted);
        let rows: usize = waiting.iter().map(|sorted| sorted.rows.num_rows()).sum();
        if rows > WAITING_ROWS {
            return Err(Error::Model {
                file: self.table.name.clone(),
                message: format!(
                    "more than {WAITING_ROWS} of its rows from one file would hold a capture up; load the file with \
                     `mdb load` once none is under way"
                ),
            });
        }
        Ok(0)
    }

    /// Makes all of it part of the database, at once beside a capture.
    pub(super) fn commit(mut self, commit: &Commit<'_>) -> Result<Committed> {
        let standing = commit.stand(&[])?;
        let mut known = 0;
        for sorted in self.waiting.take().into_iter().flatten() {
            known += self.replace(&sorted)?;
        }
        // What is not settled never was.
        self.writer.settle()?;
        let alone = Commit {
            rows: commit.rows - known,
            place: Place::Alone,
            ..*commit
        };
        let committed = Pieces::new(commit.dir, commit.table).commit(&alone);
        if let Some(standing) = standing {
            standing.go_on(&self.table.name, i64::MIN, commit.last_seq + 1);
        }
        Ok(Committed {
            known,
            ..committed?
        })
    }

    fn replace(&mut self, sorted: &Sorted) -> Result<u64> {
        let rows = &sorted.rows;
        let Some(place) = self.table.position(VENUE) else {
            return Ok(0);
        };
        let venues = cast(rows.column(place), &DataType::Utf8)?;
        let venues = venues.as_string::<i32>();
        let mut names: Vec<&str> = venues.iter().flatten().collect();
        names.sort_unstable();
        names.dedup();
        let schema: SchemaRef = self.table.carried_schema();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (column, array) in self.table.columns.iter().zip(rows.columns()) {
            if column.name != VENUE {
                columns.push(match array.data_type() {
                    DataType::Dictionary(..) => cast(array, &DataType::Utf8)?,
                    _ => Arc::clone(array),
                });
            }
        }
        let batch = RecordBatch::try_new(schema, columns)?;
        let mut known = 0;
        for venue in names {
            let of_venue: BooleanArray = venues.iter().map(|v| Some(v == Some(venue))).collect();
            let derived = Derived {
                raw: RawBatch {
                    venue: venue.to_owned(),
                    rows: RecordBatch::new_empty(raw::schema()),
                },
                tables: vec![Rows {
                    table: Arc::clone(&self.table),
                    batch: filter_record_batch(&batch, &of_venue)?,
                }],
                dead: Vec::new(),
                load: None,
            };
            let written = self.writer.add(derived)?;
            known += written
                .tables
                .values()
                .map(|count| count.known)
                .sum::<u64>();
        }
        Ok(known)
    }
}
