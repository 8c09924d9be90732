//! Loading a capture: reading, normalizing and writing on a thread each, joined by short bounded queues.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use duckdb::{Connection, OptionalExt, params};

use super::Store;
use super::error::{Doing, Error, Result};
use super::normalize::{Derived, Normalizers};
use super::raw::RawBatch;
use super::writer::{Target, Writer, Written};
use crate::sources::capture::{Batch, Capture};
use crate::venues::{self, Venue};

/// Batches waiting between two threads.
const QUEUE: usize = 1;

/// What to load.
pub struct Load<'a> {
    /// The venue whose messages they are.
    pub venue: &'a str,
    /// The instrument, for messages that do not name it.
    pub symbol: Option<&'a str>,
    /// The file, for records and messages; `-` is standard input.
    pub file: &'a Path,
}

/// What a load did.
#[derive(Debug, Default, Clone)]
pub struct Loaded {
    /// What was written.
    pub written: Written,
    /// Messages and lines whose content was loaded before, and so passed over.
    pub known_lines: u64,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

impl Store {
    /// Loads a capture. What is committed stays whatever happens later; the same content is not loaded
    /// twice, and a load that was cut off goes on where it was.
    ///
    /// `stop` ends it after the batch under way; `progress` is told of every batch.
    ///
    /// # Errors
    /// If the file breaks off or the database refuses: what came before is committed.
    pub fn load(
        &mut self,
        load: &Load<'_>,
        mut capture: Capture,
        stop: &AtomicBool,
        mut progress: impl FnMut(&Loaded),
    ) -> Result<Loaded> {
        let one_thread = self.one_thread;
        self.use_one_thread()?;
        let venue = venues::load(&self.tree, load.venue)?;
        let normalizers = Normalizers::new(self.connections()?, &venue, &self.catalog, None)?;
        let mut writer = Writer::new(
            self.clone_connection()?,
            Arc::clone(&self.catalog),
            Target::hot(),
        );
        writer.open_venue(&venue, normalizers.tables())?;
        let mut front = Front {
            conn: self.clone_connection()?,
            normalizers,
            venue,
            symbol: load.symbol.map(str::to_owned),
            source: load.file.display().to_string(),
            next_seq: self.next_seq()?,
            known: true,
        };
        capture.cut_at(known_ends(&front.conn, &front.venue.name, &front.source)?);
        let mut loaded = Loaded::default();
        std::thread::scope(|scope| {
            let (read_to, read_from) = sync_channel(QUEUE);
            let (derived_to, derived_from) = sync_channel(QUEUE);
            let reader = scope.spawn(move || read(capture, stop, &read_to));
            let middle = scope.spawn(move || front.run(read_from, &derived_to));
            let written = write(&mut writer, derived_from, &mut loaded, &mut progress);
            let middle = middle.join().map_err(|_| Error::Panicked)?;
            let reader = reader.join().map_err(|_| Error::Panicked)?;
            let written = written.and_then(|()| writer.settle());
            // The writer's error is the cause when the others only found their queue closed.
            written.and(middle).and(reader)
        })?;
        loaded.stopped = stop.load(Ordering::Relaxed);
        writer.store_books()?;
        if !one_thread {
            let threads = format!("SET GLOBAL threads = {}", self.threads);
            self.conn.execute_batch(&threads).doing("setting threads")?;
            self.one_thread = false;
        }
        Ok(loaded)
    }

    /// Leaves each statement to the thread that runs it, from now on. The pipeline's own threads keep the cores
    /// busy; DuckDB's would wait for one another, spinning.
    ///
    /// To be called before others may ask (see [`readers`](Self::readers)), who would hold it up: DuckDB waits
    /// for the statements that its threads are at before it ends them.
    ///
    /// # Errors
    /// If DuckDB refuses.
    pub fn use_one_thread(&mut self) -> Result<()> {
        if !self.one_thread {
            self.conn
                .execute_batch("SET GLOBAL threads = 1")
                .doing("setting threads")?;
            self.one_thread = true;
        }
        Ok(())
    }
}

fn read(mut capture: Capture, stop: &AtomicBool, to: &SyncSender<Batch>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some(batch) = capture.next_batch()? else {
            break;
        };
        if to.send(batch).is_err() {
            break;
        }
    }
    Ok(())
}

enum Item {
    Known { lines: u64 },
    New(Box<Derived>),
}

fn write(
    writer: &mut Writer,
    from: Receiver<Item>,
    loaded: &mut Loaded,
    progress: &mut impl FnMut(&Loaded),
) -> Result<()> {
    for item in from {
        match item {
            Item::Known { lines } => loaded.known_lines = lines,
            Item::New(derived) => loaded.written.add(&writer.add(*derived)?),
        }
        progress(loaded);
    }
    Ok(())
}

/// Numbers and normalizes what was read.
struct Front {
    conn: Connection,
    normalizers: Normalizers,
    venue: Venue,
    symbol: Option<String>,
    source: String,
    next_seq: u64,
    /// All so far has been loaded before. Content that is not known can only be followed by such.
    known: bool,
}

impl Front {
    fn run(&mut self, from: Receiver<Batch>, to: &SyncSender<Item>) -> Result<()> {
        for batch in from {
            self.known = self.known
                && is_known(
                    &self.conn,
                    &self.venue.name,
                    self.symbol.as_deref(),
                    &batch.mark,
                )?;
            let item = if self.known {
                Item::Known { lines: batch.lines }
            } else {
                Item::New(Box::new(self.derive(batch)?))
            };
            if to.send(item).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn derive(&mut self, batch: Batch) -> Result<Derived> {
        let first_seq = self.next_seq;
        let symbol = self.symbol.as_deref();
        let raw = RawBatch::of_file(first_seq, &self.venue.name, symbol, &batch)?;
        self.next_seq += raw.seqs().len() as u64;
        let mut derived = self.normalizers.run(raw)?;
        derived.of_file(first_seq, &self.source, symbol, batch);
        Ok(derived)
    }
}

/// Numbers of lines at which earlier loads of a file of this name committed: see [`Capture::cut_at`].
///
/// # Errors
/// If the database refuses.
pub fn known_ends(conn: &Connection, venue: &str, source: &str) -> Result<Vec<u64>> {
    conn.prepare(
        "SELECT DISTINCT lines FROM ops.loads WHERE venue = ? AND source = ? ORDER BY lines LIMIT 1000000",
    )
    .and_then(|mut s| s.query_map(params![venue, source], |row| row.get(0))?.collect())
    .doing("reading ops.loads")
}

/// Whether content up to this mark was loaded before.
pub(super) fn is_known(
    conn: &Connection,
    venue: &str,
    symbol: Option<&str>,
    mark: &str,
) -> Result<bool> {
    conn.query_row(
        "SELECT 1 FROM ops.loads WHERE venue = ? AND symbol IS NOT DISTINCT FROM ? AND mark = ? LIMIT 1",
        params![venue, symbol, mark],
        |_| Ok(()),
    )
    .optional()
    .doing("reading ops.loads")
    .map(|found| found.is_some())
}
