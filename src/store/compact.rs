//! Compacting: many files of a table and UTC date become one, sorted as a whole; and so do those of a month or a year, as
//! soon as it shows that a table has few rows a date (see [`partition`]).
//!
//! The old files' hashes are compared with the manifest. The new file is written under a hidden name, compared with what
//! the manifest says of them, made durable, announced in `ops.incoming` and renamed. One transaction then puts it in
//! their place: manifest, view, and their paths in `ops.outgoing`. A crash anywhere leaves one or the other in the
//! manifest, and the next start removes what is not.
//!
//! Old files stay until nobody can be reading them: see [`Store::remove_outgoing`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use jiff::civil::Date;
use tokio::sync::mpsc;

use super::catalog::Table;
use super::error::{Doing, Error, Result};
use super::history::{self, Version};
use super::lake::{self, Entry, Facts, Staged, paths};
use super::partition::{self, Held};
use super::pieces::pieces;
use super::{Order, Sealer, Store, live, schema};
use crate::model::time::date_of;

/// A file below this size is merged with others of its date …
const SMALL_BYTES: u64 = 64 << 20;
/// … and so is one that the largest of them exceeds so many times.
const SMALL_RATIO: u64 = 4;
/// Files that are open at once. Of more, the smallest are merged first, and what they become with the next.
const MAX_INPUTS: usize = 500;
/// Bytes of rows that are sorted at once: what DuckDB's memory while writing holds, on one thread.
const PIECE_BYTES: u64 = 128_000_000;

/// How much is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Large files too, and also one alone that was loaded from a vendor's file and so is neither sorted as a whole nor
    /// compressed as well as others.
    all: bool,
    /// Only where a partition has at least so many files.
    files: usize,
    /// Bytes of rows that are sorted at once.
    piece_bytes: u64,
}

impl Effort {
    /// Where a partition has several files, the small ones.
    pub const SMALL: Self = Self {
        all: false,
        files: 1,
        piece_bytes: PIECE_BYTES,
    };
    /// All files.
    pub const ALL: Self = Self {
        all: true,
        ..Self::SMALL
    };
    /// The small ones where they have become many: rows that come late must not have a large file written again each
    /// time. A capture needs its memory.
    pub const LIVE: Self = Self {
        all: false,
        files: 8,
        piece_bytes: PIECE_BYTES / 4,
    };
}

/// What a compaction did.
#[derive(Debug, Default, Clone)]
pub struct Compacted {
    /// The files that it made others of, and those, by table.
    pub tables: BTreeMap<String, Merged>,
    /// Rows written.
    pub rows: u64,
    /// Rows to write, as far as is known: very many files take more than one round.
    pub rows_to_write: u64,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

/// Files before and after.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Files before.
    pub files_before: u64,
    /// Their size.
    pub bytes_before: u64,
    /// Files after.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// The files of a table and partition, by size; those loaded from vendors' files and those made from raw apart.
struct Group {
    table: Arc<Table>,
    date: Date,
    loaded: bool,
    files: Vec<Entry>,
}

impl Store {
    /// [`Sealer::compact`], with [one thread](Store::use_one_thread) for each statement from now on, on which its memory
    /// is known.
    ///
    /// # Errors
    /// As that.
    pub fn compact(
        &mut self,
        all: bool,
        stop: &AtomicBool,
        progress: impl FnMut(&Compacted),
    ) -> Result<Compacted> {
        self.use_one_thread()?;
        let effort = if all { Effort::ALL } else { Effort::SMALL };
        self.sealer()?.compact(effort, stop, progress)
    }

    /// Removes the files that are no longer part of the lake: see [`Sealer::remove_outgoing`].
    pub(super) fn remove_outgoing(&self) -> Result<()> {
        self.sealer()?.remove_outgoing()
    }
}

impl Sealer {
    /// Makes one file of each partition's many, as far as the effort goes.
    /// A second time there is nothing left to do.
    ///
    /// `stop` ends it with the file under way given up; `progress` is told of what is written.
    ///
    /// # Errors
    /// At the first file that cannot be read or written; what was merged before stays so, and nothing else changed.
    pub fn compact(
        &self,
        effort: Effort,
        stop: &AtomicBool,
        mut progress: impl FnMut(&Compacted),
    ) -> Result<Compacted> {
        let mut done = Compacted::default();
        let mut groups = self.groups()?;
        groups.retain(|group| group.round(&self.dir, effort) > 0);
        for group in &groups {
            done.rows_to_write += rows(&group.files[..group.round(&self.dir, effort)]);
        }
        for mut group in groups {
            let (files_before, bytes_before) = group.size();
            let mut round = group.round(&self.dir, effort);
            while round > 0 {
                let inputs = &group.files[..round];
                let merged = self.merge(&group, inputs, effort.piece_bytes, stop, &mut |rows| {
                    done.rows += rows;
                    progress(&done);
                })?;
                let Some(merged) = merged else {
                    done.stopped = true;
                    break;
                };
                self.remove_outgoing()?;
                group.replace(round, merged);
                round = group.round(&self.dir, effort);
                done.rows_to_write += rows(&group.files[..round]);
            }
            let (files, bytes) = group.size();
            if (files, bytes) != (files_before, bytes_before) {
                let of_table = done.tables.entry(group.table.name.clone()).or_default();
                of_table.files_before += files_before;
                of_table.bytes_before += bytes_before;
                of_table.files += files;
                of_table.bytes += bytes;
            }
            if done.stopped {
                break;
            }
        }
        Ok(done)
    }

    /// Removes the files that are no longer part of the lake, unless somebody has a connection for questions: an open
    /// query, or a transaction that began before they left, may still read them. Then they stay until they are asked for
    /// again here, at the latest when the database is opened next. Who gets a connection after this has looked begins
    /// after the files have left, and never sees them.
    ///
    /// Only readers count: beside a capture, whose writer compares new rows with old ones, nothing is removed here.
    pub(super) fn remove_outgoing(&self) -> Result<()> {
        if self.beside.is_some() || self.lock.is_asked() {
            return Ok(());
        }
        lake::remove_outgoing(&self.dir, &self.conn, self.keep)
    }

    /// The same beside a capture, once its writer is past every statement that began before they left. Nobody else of this
    /// process may be reading them. Says whether none is left.
    ///
    /// # Errors
    /// If one cannot be removed, which is tried again next time.
    pub fn tidy(&self, orders: &mpsc::Sender<Order>) -> Result<bool> {
        if !self.has_outgoing()? {
            return Ok(true);
        }
        // Without a writer the next start removes them.
        let passed = !self.lock.is_asked() && live::stand(orders).is_some();
        if !passed {
            return Ok(false);
        }
        lake::remove_outgoing(&self.dir, &self.conn, self.keep)?;
        Ok(true)
    }

    /// Whether files have left the lake that are to be removed.
    fn has_outgoing(&self) -> Result<bool> {
        let expired = history::expired(self.keep);
        self.conn
            .query_row(
                &format!("SELECT EXISTS (FROM ops.outgoing WHERE {expired})"),
                [],
                |row| row.get(0),
            )
            .doing("reading ops.outgoing")
    }

    /// All files of the lake.
    fn groups(&self) -> Result<Vec<Group>> {
        let mut of_tables: BTreeMap<(String, bool), Vec<Entry>> = BTreeMap::new();
        for (name, file) in lake::entries_where(&self.conn, "true")? {
            let files = of_tables.entry((name, file.loaded)).or_default();
            files.push(file);
        }
        let mut groups = Vec::new();
        for ((name, loaded), files) in of_tables {
            // A table whose file is gone from sql/ has no order to be sorted by.
            let Some(table) = self.catalog.get(&name) else {
                continue;
            };
            let held: Vec<Held> = files.iter().map(held).collect();
            let dates = partition::partitions(&held);
            let mut of_dates: BTreeMap<Date, Vec<Entry>> = BTreeMap::new();
            for (date, file) in dates.into_iter().zip(files) {
                of_dates.entry(date).or_default().push(file);
            }
            groups.extend(of_dates.into_iter().map(|(date, mut files)| {
                files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
                Group {
                    table: Arc::clone(table),
                    date,
                    loaded,
                    files,
                }
            }));
        }
        Ok(groups)
    }

    /// Makes one file of some of a group's; `None` if it was stopped, and nothing was changed.
    fn merge(
        &self,
        group: &Group,
        inputs: &[Entry],
        piece_bytes: u64,
        stop: &AtomicBool,
        written: &mut impl FnMut(u64),
    ) -> Result<Option<Entry>> {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (table, date) = (&group.table, group.date);
        let doing = || format!("compacting {} {date}", table.name);
        for input in inputs {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            // The new file's hash would make what is damaged look sound.
            if lake::hash_of(&self.dir.join(&input.path))? != input.hash {
                let path = &input.path;
                return Err(group.mismatch(format!(
                    "{path} is not what was written: its checksum differs"
                )));
            }
        }
        let mut staged = Staged::create(&self.dir, table, date, lake::SEAL_LEVEL)?;
        let files = schema::parquet(&paths(inputs));
        for piece in pieces(&self.conn, table, &files, piece_bytes).doing(doing())? {
            let mut statement = self.conn.prepare(&piece).doing(doing())?;
            let batches = statement.stream_arrow([]).doing(doing())?;
            for batch in batches {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let batch: RecordBatch = batch.doing(doing())?;
                staged.write(&batch)?;
                written(batch.num_rows() as u64);
            }
        }
        let facts = staged.finish()?;
        let expected = sum(inputs);
        if facts != expected {
            return Err(group.mismatch(format!(
                "the file holds {facts:?}, its {} sources {expected:?}",
                inputs.len()
            )));
        }
        let path = lake::free_path(&self.dir, &self.conn, table, date, &facts)?;
        lake::announce(&self.conn, &path)?;
        let (bytes, hash) = staged.publish(&self.dir.join(&path))?;
        let merged = Entry {
            date,
            path,
            bytes,
            hash,
            facts,
            loaded: group.loaded,
        };
        self.exchange(group, inputs, &merged)?;
        Ok(Some(merged))
    }

    /// Puts a file in the place of others, in one transaction.
    fn exchange(&self, group: &Group, inputs: &[Entry], merged: &Entry) -> Result<()> {
        let (table, date) = (&group.table, group.date);
        let doing = || format!("compacting {} {date}", table.name);
        self.conn.execute_batch("BEGIN").doing(doing())?;
        let exchanged = (|| {
            let version = Version::begin(&self.conn, &table.name)?;
            let old = format!("path IN ({})", paths(inputs));
            let retired = lake::retire(&self.conn, &old, &version)?;
            if retired != inputs.len() {
                return Err(group.mismatch(format!(
                    "{retired} of {} files are in the manifest",
                    inputs.len()
                )));
            }
            lake::record(&self.conn, table, merged, &version)?;
            version.end("compact", None)?;
            schema::replace_whole(&self.conn, table)
        })();
        if let Err(error) = exchanged {
            let _ = self.conn.execute_batch("ROLLBACK");
            // If it cannot be removed now, the next start does it.
            let _ = fs::remove_file(self.dir.join(&merged.path));
            return Err(error);
        }
        // A commit that reports an error may be durable all the same: the next start decides by the manifest.
        self.conn.execute_batch("COMMIT").doing(doing())
    }
}

impl Group {
    fn mismatch(&self, message: String) -> Error {
        Error::CompactMismatch {
            table: self.table.name.clone(),
            date: self.date.to_string(),
            message,
        }
    }

    /// Number of files and bytes.
    fn size(&self) -> (u64, u64) {
        let bytes = self.files.iter().map(|file| file.bytes).sum();
        (self.files.len() as u64, bytes)
    }

    /// How many of the smallest files are to become one; 0 if all is as it should be.
    fn round(&self, db: &Path, effort: Effort) -> usize {
        let all = effort.all;
        if self.files.len() < effort.files {
            return 0;
        }
        if let [only] = self.files.as_slice() {
            let again = all && self.loaded && !lake::is_settled(&db.join(&only.path));
            return usize::from(again);
        }
        let sizes: Vec<u64> = self.files.iter().map(|file| file.bytes).collect();
        several(&sizes, all)
    }

    /// Puts a file in the place of the smallest ones.
    fn replace(&mut self, smallest: usize, merged: Entry) {
        self.files.drain(..smallest);
        let at = self.files.partition_point(|file| file.bytes < merged.bytes);
        self.files.insert(at, merged);
    }
}

/// How many of the smallest of several files are to become one, given their sizes in rising order.
fn several(sizes: &[u64], all: bool) -> usize {
    let largest = sizes.last().copied().unwrap_or(0);
    let is_small = |bytes: &u64| all || *bytes < SMALL_BYTES || *bytes < largest / SMALL_RATIO;
    match sizes.partition_point(is_small) {
        0 => 0,
        // One alone joins the next larger one.
        small => small.clamp(2, MAX_INPUTS).min(sizes.len()),
    }
}

fn held(file: &Entry) -> Held {
    Held {
        date: file.date,
        first: date_of(file.facts.min_ts),
        last: date_of(file.facts.max_ts),
        rows: file.facts.rows,
    }
}

fn rows(files: &[Entry]) -> u64 {
    files.iter().map(|file| file.facts.rows).sum()
}

/// What a file with the rows of all of these holds.
fn sum(files: &[Entry]) -> Facts {
    let facts = || files.iter().map(|file| &file.facts);
    Facts {
        rows: rows(files),
        min_ts: facts().map(|f| f.min_ts).min().unwrap_or(i64::MAX),
        max_ts: facts().map(|f| f.max_ts).max().unwrap_or(i64::MIN),
        first_seq: facts().filter_map(|f| f.first_seq).min(),
        last_seq: facts().filter_map(|f| f.last_seq).max(),
    }
}

#[cfg(test)]
mod tests;
