//! The writer: a batch's raw rows, what its normalizers made of them, what the books said and the progress
//! mark are committed together or not at all.

use std::collections::hash_map::{Entry, ValuesMut};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use duckdb::{Connection, params};

use super::book_rows::BookRows;
use super::books::{Books, Past, Turn};
use super::catalog::{Catalog, SIDES, Table, rank};
use super::error::{Doing, Error, Result};
use super::events;
use super::insert::{self, Inserts};
use super::keys::Keys;
use super::news::News;
use super::normalize::{Derived, Rows};
use super::raw::{self, LoadMark};
use super::schema;
use crate::model::frame::FeedEvent;
use crate::model::{BOOK_DELTAS, BOOK_TOPS, DEAD_LETTERS, FEED_EVENTS, RAW_MESSAGES};
use crate::venues::Venue;

/// A transaction takes batches until it holds this much raw …
const MIN_COMMIT_BYTES: usize = 4 << 20;
/// … or a quarter of what was committed before, up to this much: of large commits DuckDB writes most rows
/// into the file at once and logs only the rest, and small ones let short loads end soon.
const MAX_COMMIT_BYTES: usize = 16 << 20;
/// The log is folded into the file after this much raw: until then its rows take DuckDB's memory.
const CHECKPOINT_BYTES: usize = 96 << 20;

/// A capture that goes on after a crash makes its books again from so many messages at most, in about a second: nothing is
/// committed meanwhile.
const MAX_REPLAYED: u64 = 500_000;

/// So many rows of a book are worth a thread of their own.
const ROWS_FOR_A_THREAD: usize = 4096;

/// What was written, by table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// Raw messages.
    pub messages: u64,
    /// Rows of each normalized table.
    pub tables: BTreeMap<String, RowCount>,
    /// Rows of `book_tops`.
    pub book_tops: u64,
    /// Records that no table took.
    pub dead_letters: u64,
    /// Gaps: in order books, and of trades that were not received.
    pub gaps: u64,
    /// Checksums of order books that were right.
    pub checksums: u64,
}

/// Rows that were new, and rows whose key was known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RowCount {
    /// Written.
    pub new: u64,
    /// Not written: their key was there.
    pub known: u64,
}

impl Written {
    /// Adds another commit's figures.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.book_tops += other.book_tops;
        self.dead_letters += other.dead_letters;
        self.gaps += other.gaps;
        self.checksums += other.checksums;
        for (table, count) in &other.tables {
            let sum = self.tables.entry(table.clone()).or_default();
            sum.new += count.new;
            sum.known += count.known;
        }
    }
}

/// Where a writer writes.
pub(super) struct Target {
    /// The schema of the tables.
    pub(super) schema: &'static str,
    /// Whether the raw rows are written too, and whatever else is the past's when they are there already.
    pub(super) raw: bool,
    /// The tables written; all if `None`.
    pub(super) only: Option<Vec<String>>,
}

impl Target {
    /// New messages, into the hot tables.
    pub(super) fn hot() -> Self {
        Self {
            schema: "hot",
            raw: true,
            only: None,
        }
    }

    fn writes(&self, table: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.iter().any(|name| name == table))
    }

    /// The relation that holds all rows of a table, so that new ones can be compared with them.
    fn relation(&self, conn: &Connection, table: &Table) -> Result<String> {
        if self.raw {
            return Ok(format!("main.{}", table.whole()));
        }
        let beside = format!("{}.{}", self.schema, table.name);
        let loaded = schema::lake_files(conn, table, Some(true))?;
        Ok(match loaded {
            Some(files) => format!("(FROM {beside} UNION ALL BY NAME FROM {files})"),
            None => beside,
        })
    }
}

/// A commit under way on its own thread, which gives the connection back.
type Committing = JoinHandle<(Connection, duckdb::Result<()>)>;

/// The one that writes.
///
/// While a transaction is being committed the next one is filled on a second connection. It is committed
/// only once the one before it is, so that what is there after a crash is always a whole beginning.
pub(super) struct Writer {
    conn: Connection,
    spare: Option<Connection>,
    committing: Option<Committing>,
    /// Bytes of raw in the open transaction; `None` if none is open.
    open_bytes: Option<usize>,
    /// Bytes of raw committed.
    committed_bytes: usize,
    /// Bytes of raw committed since the log was last folded into the file.
    logged_bytes: usize,
    /// Commits only when it is told to.
    live: bool,
    /// The last seq of each venue that has no progress mark yet, and bytes of raw since the last marks.
    unmarked: HashMap<String, u64>,
    unmarked_bytes: usize,
    inserts: Inserts,
    catalog: Arc<Catalog>,
    target: Target,
    /// The schema of the tables that rows go into, but for those that replace others.
    side: &'static str,
    /// By venue and table.
    keys: HashMap<(String, String), Keys>,
    books: HashMap<String, Books>,
    /// Tables that void rows of others, and venues whose rows were written to them.
    voiding: HashSet<(String, String)>,
    /// What has come into each table since it was last asked; `None` if that is to be looked for. Kept if it is live.
    news: BTreeMap<String, Option<News>>,
}

impl Writer {
    pub(super) fn new(conn: Connection, catalog: Arc<Catalog>, target: Target) -> Self {
        Self {
            conn,
            spare: None,
            committing: None,
            open_bytes: None,
            committed_bytes: 0,
            logged_bytes: 0,
            live: false,
            unmarked: HashMap::new(),
            unmarked_bytes: 0,
            inserts: Inserts::default(),
            catalog,
            side: target.schema,
            target,
            keys: HashMap::new(),
            books: HashMap::new(),
            voiding: HashSet::new(),
            news: BTreeMap::new(),
        }
    }

    /// A writer of many small commits: the caller says when, by [`Writer::flush`].
    pub(super) fn live(conn: Connection, catalog: Arc<Catalog>) -> Self {
        // Each table's INSERT comes in a few forms.
        conn.set_prepared_statement_cache_capacity(256);
        let mut writer = Self::new(conn, catalog, Target::hot());
        writer.live = true;
        writer
    }

    /// Makes ready for a venue's messages, or for what has changed in its folder.
    pub(super) fn open_venue<'a>(
        &mut self,
        venue: &Venue,
        normalizers: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        if let Some(book) = &venue.feed.book {
            let past = self.target.raw.then(|| Past {
                venue: venue.clone(),
                catalog: Arc::clone(&self.catalog),
                most: self.live.then_some(MAX_REPLAYED),
            });
            if let Some(books) = self.books.get_mut(&venue.name) {
                books.change(book.into(), past);
            } else {
                let books = Books::new(&venue.name, book.into(), past);
                self.books.insert(venue.name.clone(), books);
            }
        }
        if !self.target.raw {
            return Ok(());
        }
        // Marks are only ever added while writing: two transactions under way may not change one row.
        self.begin()?;
        let marked = self
            .conn
            .execute_batch(
                "DELETE FROM ops.progress p WHERE EXISTS (FROM ops.progress o
                     WHERE o.venue = p.venue AND o.normalizer = p.normalizer AND o.seq > p.seq)",
            )
            .and_then(|()| {
                for normalizer in normalizers {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO ops.progress SELECT $1, $2, 0 WHERE NOT EXISTS
                                 (FROM ops.progress WHERE venue = $1 AND normalizer = $2)",
                        )?
                        .execute([venue.name.as_str(), normalizer])?;
                }
                Ok(())
            })
            .doing("writing ops.progress");
        self.or_rollback(marked)?;
        self.conn
            .execute_batch("COMMIT")
            .doing("writing ops.progress")
    }

    /// Writes a batch with all that was made of it. It is committed together with others, or by
    /// [`Writer::settle`].
    ///
    /// # Errors
    /// Of the batches not yet committed nothing is written then, and the writer is not to be used again: what
    /// it knows of keys and books may be ahead of the database.
    pub(super) fn add(&mut self, derived: Derived) -> Result<Written> {
        let replaces = derived
            .tables
            .iter()
            .any(|rows| rows.table.latest && rows.batch.num_rows() > 0);
        if replaces && self.committing.is_some() {
            // It must see the rows that it replaces.
            self.settle()?;
        }
        if self.open_bytes.is_none() {
            self.begin()?;
        }
        let bytes = self.open_bytes.unwrap_or(0) + derived.raw.rows.get_array_memory_size();
        self.open_bytes = Some(bytes);
        let written = self.write(derived);
        let written = self.or_rollback(written)?;
        if !self.live
            && bytes >= (self.committed_bytes / 4).clamp(MIN_COMMIT_BYTES, MAX_COMMIT_BYTES)
        {
            self.commit(bytes)?;
        }
        Ok(written)
    }

    /// Writes what happened to the feeds, with the open transaction.
    pub(super) fn add_events(&mut self, events: &[FeedEvent]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        if self.open_bytes.is_none() {
            self.begin()?;
            self.open_bytes = Some(0);
        }
        let mut venues: Vec<&str> = events.iter().map(|e| &*e.venue).collect();
        venues.sort_unstable();
        venues.dedup();
        let written = venues.into_iter().try_for_each(|venue| {
            let own: Vec<&FeedEvent> = events.iter().filter(|e| &*e.venue == venue).collect();
            self.insert(FEED_EVENTS, venue, &events::rows(&self.catalog, &own)?)
        });
        self.or_rollback(written)
    }

    /// Commits what was added, and returns its bytes of raw. Then it is durable, and visible.
    pub(super) fn flush(&mut self) -> Result<usize> {
        let Some(bytes) = self.open_bytes else {
            return Ok(0);
        };
        if self.unmarked_bytes >= MIN_COMMIT_BYTES {
            let marked = self.write_progress();
            self.or_rollback(marked)?;
        }
        self.open_bytes = None;
        self.conn.execute_batch("COMMIT").doing("committing")?;
        for keys in self.keys.values_mut() {
            keys.next_transaction();
        }
        Ok(bytes)
    }

    /// Marks how far the normalizers have come.
    fn write_progress(&mut self) -> Result<()> {
        self.unmarked_bytes = 0;
        for (venue, seq) in self.unmarked.drain() {
            self.conn
                .prepare_cached(
                    "INSERT INTO ops.progress SELECT DISTINCT venue, normalizer, $1::UBIGINT
                     FROM ops.progress WHERE venue = $2",
                )
                .and_then(|mut s| s.execute(params![seq, venue]))
                .doing("writing ops.progress")?;
        }
        Ok(())
    }

    /// Commits the open transaction in the background, after the one before it.
    fn commit(&mut self, bytes: usize) -> Result<()> {
        let marked = self.write_progress();
        self.or_rollback(marked)?;
        let before = self.join();
        self.or_rollback(before)?;
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => self.conn.try_clone().doing("opening a connection")?,
        };
        let conn = std::mem::replace(&mut self.conn, spare);
        self.open_bytes = None;
        self.committing = Some(std::thread::spawn(move || {
            let result = conn.execute_batch("COMMIT");
            (conn, result)
        }));
        for keys in self.keys.values_mut() {
            keys.next_transaction();
        }
        self.committed_bytes += bytes;
        self.logged_bytes += bytes;
        if self.logged_bytes >= CHECKPOINT_BYTES {
            // DuckDB does it by itself only when nobody else is writing, and here somebody always is.
            self.join()?;
            if self.target.raw {
                // A rebuild's books take the old ones' place with its tables, not before.
                self.store_books()?;
            }
            self.conn
                .execute_batch("CHECKPOINT")
                .doing("writing the database file")?;
            self.logged_bytes = 0;
        }
        Ok(())
    }

    /// Waits for the commit under way.
    fn join(&mut self) -> Result<()> {
        let Some(committing) = self.committing.take() else {
            return Ok(());
        };
        let (conn, result) = committing.join().map_err(|_| Error::Panicked)?;
        self.spare = Some(conn);
        result.doing("committing")
    }

    /// Makes everything durable.
    pub(super) fn settle(&mut self) -> Result<()> {
        if let Some(bytes) = self.open_bytes {
            self.commit(bytes)?;
        }
        self.join()
    }

    /// Stores the state of all books.
    pub(super) fn store_books(&mut self) -> Result<()> {
        self.in_transaction(|conn, books| {
            for books in books {
                books.store(conn)?;
            }
            Ok(())
        })
    }

    /// Books that came into sync or lost it since the last call, with their venues.
    pub(super) fn take_turns(&mut self) -> impl Iterator<Item = (&str, Turn)> {
        self.books
            .iter_mut()
            .flat_map(|(venue, books)| books.take_turns().map(|turn| (venue.as_str(), turn)))
    }

    /// Makes the plans of its statements anew when they are next used (see [`Normalizers::forget_plans`]).
    ///
    /// [`Normalizers::forget_plans`]: super::normalize::Normalizers::forget_plans
    pub(super) fn forget_plans(&self) {
        self.conn.flush_prepared_statement_cache();
    }

    /// Goes on on the other side of the hot tables. To be told between two commits.
    pub(super) fn turn(&mut self) {
        let [one, other] = SIDES;
        self.side = if self.side == one { other } else { one };
    }

    /// What has come into each table since the last call; `None` if that is to be looked for.
    pub(super) fn take_news(&mut self) -> BTreeMap<String, Option<News>> {
        std::mem::take(&mut self.news)
    }

    /// Another one has written rows of a table, up to this time. To be told between two commits.
    pub(super) fn came(&mut self, table: &str, last_ns: i64) {
        self.news.insert(table.to_owned(), None);
        for ((_, name), keys) in &mut self.keys {
            if name == table {
                keys.came(last_ns);
            }
        }
    }

    /// Does something else in one transaction.
    pub(super) fn in_transaction(
        &mut self,
        work: impl FnOnce(&Connection, ValuesMut<'_, String, Books>) -> Result<()>,
    ) -> Result<()> {
        self.settle()?;
        self.begin()?;
        let result = work(&self.conn, self.books.values_mut());
        let result = result.and_then(|()| self.write_progress());
        self.or_rollback(result)?;
        self.conn.execute_batch("COMMIT").doing("committing")
    }

    fn begin(&self) -> Result<()> {
        self.conn.execute_batch("BEGIN").doing("beginning a commit")
    }

    fn or_rollback<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.open_bytes = None;
            // The first error is the one to tell; a transaction that DuckDB itself ended needs no rollback.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        result
    }

    fn write(&mut self, derived: Derived) -> Result<Written> {
        let mut written = Written {
            messages: derived.raw.rows.num_rows() as u64,
            ..Written::default()
        };
        let venue = &derived.raw.venue;
        if self.target.raw {
            self.insert(RAW_MESSAGES, venue, &derived.raw.rows)?;
        }
        if let Some(books) = self.books.get_mut(venue) {
            books.refused(&derived.dead, derived.tables.is_empty());
        }
        for rows in derived.tables {
            let name = rows.table.name.clone();
            let count = self.write_rows(venue, rows, &mut written)?;
            written.tables.insert(name, count);
        }
        if !derived.dead.is_empty() && self.target.writes(DEAD_LETTERS) {
            written.dead_letters = derived.dead.len() as u64;
            let letters = raw::dead_letter_rows(self.catalog.own(DEAD_LETTERS)?, &derived.dead)?;
            self.insert(DEAD_LETTERS, venue, &letters)?;
        }
        if self.target.raw {
            if let Some(&last_seq) = derived.raw.seqs().last() {
                self.unmarked.insert(venue.clone(), last_seq);
                self.unmarked_bytes += derived.raw.rows.get_array_memory_size();
            }
            if let Some(load) = &derived.load {
                self.mark(venue, load, derived.raw.seqs().last().copied())?;
            }
        }
        Ok(written)
    }

    fn write_rows(&mut self, venue: &str, rows: Rows, written: &mut Written) -> Result<RowCount> {
        let (table, batch) = (rows.table, rows.batch);
        let total = batch.num_rows();
        if total == 0 {
            return Ok(RowCount::default());
        }
        if table.latest {
            return self.replace(&table, venue, &batch);
        }
        let batch = if table.key.is_empty() {
            batch
        } else {
            self.only_new(&table, venue, batch)?
        };
        // Columns that only the book engine sees end here.
        let own: Vec<usize> = (0..table.carried().count()).collect();
        let stored = batch.project(&own)?;
        match self.books.remove(venue) {
            Some(mut books) if table.name == BOOK_DELTAS => {
                books.take_up(&self.conn, &table, &batch)?;
                let said = if batch.num_rows() < ROWS_FOR_A_THREAD {
                    self.insert(&table.name, venue, &stored)?;
                    books.apply(&table, &batch)
                } else {
                    // The engine reads what is being written: both at once.
                    let (inserted, said) = std::thread::scope(|scope| {
                        let said = scope.spawn(|| books.apply(&table, &batch));
                        (
                            self.insert(&table.name, venue, &stored),
                            said.join().map_err(|_| Error::Panicked),
                        )
                    });
                    inserted?;
                    said?
                };
                self.write_said(venue, said, written)?;
                self.books.insert(venue.to_owned(), books);
            }
            books => {
                let begins = self.begins_to_void(&table, venue, &batch)?;
                self.insert(&table.name, venue, &stored)?;
                if begins {
                    schema::leave_out_void(&self.conn, &self.catalog, &table)?;
                }
                self.books
                    .extend(books.map(|books| (venue.to_owned(), books)));
            }
        }
        let new = batch.num_rows();
        Ok(RowCount {
            new: new as u64,
            known: (total - new) as u64,
        })
    }

    fn write_said(&mut self, venue: &str, said: BookRows, written: &mut Written) -> Result<()> {
        written.gaps += said.gaps;
        written.checksums += said.checksums;
        let tops = RecordBatch::try_new(self.catalog.own(BOOK_TOPS)?.carried_schema(), said.tops)?;
        let events =
            RecordBatch::try_new(self.catalog.own(FEED_EVENTS)?.carried_schema(), said.events)?;
        written.book_tops += tops.num_rows() as u64;
        self.insert(BOOK_TOPS, venue, &tops)?;
        self.insert(FEED_EVENTS, venue, &events)
    }

    /// Whether the batch brings a venue's first rows of a table that voids rows of others: these are to be left
    /// out for users from now on. Asked once, for two transactions under way may not change one view.
    fn begins_to_void(&mut self, table: &Table, venue: &str, batch: &RecordBatch) -> Result<bool> {
        let voids = self.target.raw
            && batch.num_rows() > 0
            && self.catalog.voided_by(&table.name).next().is_some()
            && self.voiding.insert((table.name.clone(), venue.to_owned()));
        Ok(voids
            && !schema::voiding_venues(&self.conn, table)?
                .iter()
                .any(|v| v == venue))
    }

    /// Leaves out rows whose key is known, stored or earlier in the batch.
    fn only_new(&mut self, table: &Table, venue: &str, batch: RecordBatch) -> Result<RecordBatch> {
        let keys = match self.keys.entry((venue.to_owned(), table.name.clone())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Keys::new(
                &self.conn,
                table,
                &self.target.relation(&self.conn, table)?,
                venue,
            )?),
        };
        let new = keys.admit(&self.conn, table, &batch)?;
        if new.iter().all(|&new| new) {
            return Ok(batch);
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(new))?)
    }

    /// Of rows with one key only the one that counts stays.
    fn replace(&mut self, table: &Table, venue: &str, batch: &RecordBatch) -> Result<RowCount> {
        let (schema, name) = (self.target.schema, &table.name);
        if !self.target.writes(name) {
            return Ok(RowCount::default());
        }
        let doing = || format!("writing {name}");
        let final_by = table.final_by.as_deref();
        let same = |a: &str, b: &str| {
            table
                .key
                .iter()
                .map(|c| format!("{a}.\"{c}\" = {b}.\"{c}\""))
                .collect::<Vec<_>>()
                .join(" AND ")
        };
        self.conn
            .execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE incoming AS FROM {schema}.{name} LIMIT 0"
            ))
            .doing(doing())?;
        insert::select(&self.conn, "temp.incoming", venue, batch).doing(doing())?;
        self.conn
            .execute_batch(&format!(
                "DELETE FROM {schema}.{name} t USING temp.incoming i
                     WHERE {} AND ({}) < ({})",
                same("t", "i"),
                rank("t.", final_by).join(", "),
                rank("i.", final_by).join(", ")
            ))
            .doing(doing())?;
        let new = self
            .conn
            .execute(
                &format!(
                    "INSERT INTO {schema}.{name} FROM temp.incoming i
                     WHERE NOT EXISTS (FROM {schema}.{name} t WHERE {})
                     QUALIFY row_number() OVER (PARTITION BY {} ORDER BY {} DESC) = 1",
                    same("t", "i"),
                    table.key_list(),
                    rank("", final_by).join(" DESC, ")
                ),
                [],
            )
            .doing(doing())?;
        if new > 0 {
            // Rows that they replace may have had other times.
            self.news.insert(name.clone(), None);
        }
        Ok(RowCount {
            new: new as u64,
            known: (batch.num_rows() - new) as u64,
        })
    }

    fn insert(&mut self, table: &str, venue: &str, batch: &RecordBatch) -> Result<()> {
        if !self.target.writes(table) {
            return Ok(());
        }
        let table = self.catalog.own(table)?;
        if self.live && batch.num_rows() > 0 {
            let news = self.news.entry(table.name.clone());
            let news = news.or_insert_with(|| Some(News::default()));
            if news.as_mut().is_some_and(|n| !n.add_rows(table, batch)) {
                *news = None;
            }
        }
        self.inserts
            .insert(&self.conn, self.side, table, venue, batch)
    }

    fn mark(&self, venue: &str, load: &LoadMark, last_seq: Option<u64>) -> Result<()> {
        self.conn
            .execute(
                "INSERT INTO ops.loads VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    venue,
                    load.symbol,
                    load.mark,
                    load.source,
                    load.lines,
                    last_seq
                ],
            )
            .doing("writing ops.loads")
            .map(|_| ())
    }
}
