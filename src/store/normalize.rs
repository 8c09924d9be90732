//! Normalizers: a venue's SQL turns raw rows into canonical rows.
//!
//! Every raw row is accounted for. One that no file of its venue mentions, that lacks a required column
//! or that makes the SQL fail becomes a dead letter; the others of its batch do not notice.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use duckdb::Connection;
use memchr::memmem::Finder;

use super::account::Account;
use super::catalog::{Catalog, Table};
use super::deltas::ENGINE_COLUMNS;
use super::error::{Doing, Error, Result, in_file};
use super::raw::{self, DeadLetter, LoadMark, RawBatch};
use super::slot::{self, Slot};
use crate::model::BOOK_DELTAS;
use crate::model::sql::literal;
use crate::sources::capture::Batch;
use crate::sqltree::SqlFile;
use crate::venues::Venue;

/// What a batch of raw rows became.
pub(super) struct Derived {
    pub(super) raw: RawBatch,
    pub(super) tables: Vec<Rows>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) load: Option<LoadMark>,
}

impl Derived {
    /// Of messages that could not be read at all.
    pub(super) fn refused(raw: RawBatch, reason: &str) -> Self {
        let dead = (0..raw.seqs().len())
            .map(|row| DeadLetter::of(&raw, row, None, reason.to_owned()))
            .collect();
        Self {
            raw,
            tables: Vec::new(),
            dead,
            load: None,
        }
    }

    /// Says where in a file it all came from; the first message has the seq `first_seq`.
    pub(super) fn of_file(
        &mut self,
        first_seq: u64,
        source: &str,
        symbol: Option<&str>,
        batch: Batch,
    ) {
        for letter in &mut self.dead {
            let at = letter
                .seq
                .and_then(|seq| usize::try_from(seq - first_seq).ok());
            letter.source = Some(source.to_owned());
            letter.line = at.and_then(|at| batch.message_lines.get(at).copied());
        }
        let rejected = batch
            .rejected
            .into_iter()
            .map(|line| DeadLetter::line(source, symbol, line));
        self.dead.extend(rejected);
        self.load = Some(LoadMark {
            symbol: symbol.map(str::to_owned),
            mark: batch.mark,
            source: source.to_owned(),
            lines: batch.lines,
        });
    }
}

/// Rows for one canonical table, by rising seq: the columns it carries in order, then any that only the book
/// engine sees.
pub(super) struct Rows {
    pub(super) table: Arc<Table>,
    pub(super) batch: RecordBatch,
}

impl Rows {
    /// Calls `row` with seq, symbol, ts and `recv_ts` in ns, and `trade_id` where there is one, of each row.
    pub(super) fn each<'a>(&'a self, mut row: impl FnMut(u64, &'a str, i64, i64, Option<&'a str>)) {
        let column = |name: &str| Some(self.batch.column(self.table.place(name)?));
        let text = |name: &str| column(name)?.as_string_opt::<i32>();
        let time = |name: &str| column(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let seqs = self.batch.column(0).as_primitive_opt::<UInt64Type>();
        let (Some(seqs), Some(symbols), Some(ts), Some(recv_ts)) =
            (seqs, text("symbol"), time("ts"), time("recv_ts"))
        else {
            return;
        };
        let ids = text("trade_id");
        for i in 0..self.batch.num_rows() {
            let id = ids.filter(|ids| ids.is_valid(i)).map(|ids| ids.value(i));
            row(
                seqs.value(i),
                symbols.value(i),
                ts.value(i),
                recv_ts.value(i),
                id,
            );
        }
    }
}

/// The normalizers of one venue, on connections of their own.
pub(super) struct Normalizers {
    /// As many files are run at once.
    conns: Vec<Connection>,
    venue: String,
    files: Vec<Normalizer>,
}

/// A file of a venue, ready to run.
struct Normalizer {
    /// `None` for control.sql, whose rows say what is read or refused.
    table: Option<Arc<Table>>,
    origin: String,
    /// Reads the messages from the slot.
    sql: String,
    slot: Slot,
    /// Only messages that hold one of these concern the file; all do if it names none.
    texts: Vec<Finder<'static>>,
}

/// Fewer messages than this are not worth a second thread.
const MIN_ROWS_FOR_THREADS: usize = 1024;
/// Why a message that is no JSON at all is refused.
pub(super) const MALFORMED: &str = "malformed JSON";
/// Column of control.sql: why a message is a dead letter, whatever other files make of it.
const REFUSED: &str = "refused";
/// Lines that [`RAW`] puts before the file's own text.
const WRAPPER_LINES: usize = 3;

/// The relation that a venue's SQL reads.
fn relation(venue: &str) -> String {
    let venue = literal(venue);
    format!(
        "WITH raw AS (
    SELECT m.seq, m.recv_ts, {venue} AS venue, m.channel, m.symbol, m.payload FROM {})",
        slot::relation(raw::NAME)
    )
}

impl Normalizers {
    /// Checks and prepares the venue's files; `only` limits them to some tables.
    pub(super) fn new(
        conns: Vec<Connection>,
        venue: &Venue,
        catalog: &Catalog,
        only: Option<&[String]>,
    ) -> Result<Self> {
        let conn = &conns[0];
        let raw = relation(&venue.name);
        let mut files = Vec::new();
        for file in &venue.normalizers {
            let table = catalog.filled_by(&file.origin, &file.name)?;
            if only.is_none_or(|only| only.contains(&table.name)) {
                let sql = wrapped(conn, table, file, &raw)?;
                files.push(Normalizer::new(Some(Arc::clone(table)), file, sql));
            }
        }
        if let Some(file) = &venue.control {
            let given = columns_of(conn, file, &raw)?;
            let refused = if given.iter().any(|name| name == REFUSED) {
                REFUSED
            } else {
                "NULL"
            };
            let sql = format!(
                "{raw}\nSELECT seq, {refused}::VARCHAR FROM (\n{}\n)",
                file.select()
            );
            files.push(Normalizer::new(None, file, sql));
        }
        // The longest work first, so that the threads end together.
        files.sort_by_key(|n| n.table.as_ref().is_none_or(|t| t.name != BOOK_DELTAS));
        Ok(Self {
            venue: venue.name.clone(),
            files,
            conns,
        })
    }

    /// Names of the tables filled.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter_map(|n| Some(n.table.as_ref()?.name.as_str()))
    }

    /// Makes the plans anew when they are next used. DuckDB keeps those of prepared statements, but once the catalog has
    /// changed in any way it makes a new one at every execution.
    pub(super) fn forget_plans(&self) {
        for conn in &self.conns {
            conn.flush_prepared_statement_cache();
        }
    }

    /// Runs all normalizers over one batch.
    pub(super) fn run(&mut self, raw: RawBatch) -> Result<Derived> {
        debug_assert_eq!(raw.venue, self.venue);
        let few = raw.seqs().len() < MIN_ROWS_FOR_THREADS;
        let threads = if few { 1 } else { self.conns.len() };
        let (files, raw_ref, next) = (&self.files, &raw, &AtomicUsize::new(0));
        let work = &|conn: &Connection| -> Result<_> {
            let mut made = Vec::new();
            let mut account = Account::new(raw_ref);
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                // Of its own, so that what a file makes does not depend on which others ran before it.
                let mut own = Account::new(raw_ref);
                made.extend(file.run(conn, raw_ref, &mut own)?);
                account.merge(own);
            }
            Ok((made, account))
        };
        let results: Vec<Result<_>> = if threads == 1 {
            vec![work(&self.conns[0])]
        } else {
            std::thread::scope(|scope| {
                let started: Vec<_> = self
                    .conns
                    .iter_mut()
                    .map(|conn| scope.spawn(move || work(conn)))
                    .collect();
                let joined = started
                    .into_iter()
                    .map(|t| t.join().unwrap_or(Err(Error::Panicked)));
                joined.collect()
            })
        };
        let mut account = Account::new(&raw);
        let mut tables = Vec::with_capacity(files.len());
        for result in results {
            let (made, more) = result?;
            tables.extend(made);
            account.merge(more);
        }
        tables.sort_by(|a, b| a.table.name.cmp(&b.table.name));
        let dead = account.dead_letters();
        Ok(Derived {
            raw,
            tables,
            dead,
            load: None,
        })
    }
}

impl Normalizer {
    fn new(table: Option<Arc<Table>>, file: &SqlFile, sql: String) -> Self {
        let texts = &file.header.texts;
        Self {
            table,
            origin: file.origin.clone(),
            sql,
            slot: Slot::new(),
            texts: texts
                .iter()
                .map(|t| Finder::new(t.as_bytes()).into_owned())
                .collect(),
        }
    }

    /// Runs the file over the messages of a batch that concern it.
    fn run(
        &self,
        conn: &Connection,
        raw: &RawBatch,
        account: &mut Account<'_>,
    ) -> Result<Option<Rows>> {
        let rows = self.concerned(raw)?;
        if self.is_of(BOOK_DELTAS) && !self.texts.is_empty() {
            account.concern(rows.column(0).as_primitive::<UInt64Type>().values());
        }
        let mut fetched = Vec::new();
        if rows.num_rows() == 0 {
            return Ok(self.table.as_ref().map(|table| Rows {
                table: Arc::clone(table),
                batch: RecordBatch::new_empty(table.carried_schema()),
            }));
        }
        match self.fetch(conn, &rows) {
            Err(error) if is_of_data(&error) => {
                let rows = self.without_malformed(conn, &rows, account)?;
                self.isolate(conn, &rows, account, &mut fetched)?;
            }
            result => self.keep(result, account, &mut fetched)?,
        }
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let schema = fetched
            .first()
            .map_or_else(|| table.carried_schema(), RecordBatch::schema);
        let mut batch = in_order(concat_batches(&schema, &fetched)?)?;
        if self.is_of(BOOK_DELTAS) {
            // Half an order-book update is worse than none.
            batch = account.drop_refused(batch)?;
        }
        Ok(Some(Rows {
            table: Arc::clone(table),
            batch,
        }))
    }

    fn is_of(&self, table: &str) -> bool {
        self.table.as_ref().is_some_and(|of| of.name == table)
    }

    fn concerned(&self, raw: &RawBatch) -> Result<RecordBatch> {
        if self.texts.is_empty() {
            return Ok(raw.rows.clone());
        }
        let holds = |payload: &str| {
            self.texts
                .iter()
                .any(|t| t.find(payload.as_bytes()).is_some())
        };
        let concerned: Vec<bool> = raw
            .payloads()
            .iter()
            .map(|p| p.is_some_and(holds))
            .collect();
        Ok(filter_record_batch(
            &raw.rows,
            &BooleanArray::from(concerned),
        )?)
    }

    /// Leaves out what is no JSON at all: the most common fault, and found for all rows at once.
    fn without_malformed(
        &self,
        conn: &Connection,
        rows: &RecordBatch,
        account: &mut Account<'_>,
    ) -> Result<RecordBatch> {
        let sql = format!(
            "SELECT m.seq FROM {} WHERE NOT json_valid(m.payload)",
            slot::relation(raw::NAME)
        );
        let malformed: Vec<u64> = self
            .slot
            .with(rows.clone(), || {
                conn.prepare_cached(&sql).and_then(|mut s| {
                    s.query_map([self.slot.number()], |row| row.get(0))?
                        .collect()
                })
            })
            .doing("looking for malformed JSON")?;
        let target = self.table.as_ref().map(|t| t.name.as_str());
        for &seq in &malformed {
            account.refuse(seq, target, MALFORMED.to_owned());
        }
        let malformed: HashSet<u64> = malformed.into_iter().collect();
        let seqs = rows.column(0).as_primitive::<UInt64Type>().values();
        let keep: Vec<bool> = seqs.iter().map(|seq| !malformed.contains(seq)).collect();
        Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
    }

    fn keep(
        &self,
        result: duckdb::Result<Vec<RecordBatch>>,
        account: &mut Account<'_>,
        fetched: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        for batch in result.map_err(|error| in_file(&self.origin, WRAPPER_LINES, &error))? {
            match &self.table {
                Some(table) => fetched.push(account.take(table, batch)?),
                None => account.take_control(&batch)?,
            }
        }
        Ok(())
    }

    /// Runs the SQL over some rows. If it fails, over each half of them: so the rows that make it fail are
    /// found, and only they are lost to it.
    fn isolate(
        &self,
        conn: &Connection,
        rows: &RecordBatch,
        account: &mut Account<'_>,
        fetched: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let count = rows.num_rows();
        if count == 0 {
            return Ok(());
        }
        match self.fetch(conn, rows) {
            Err(error) if is_of_data(&error) && count > 1 => {
                let half = count / 2;
                self.isolate(conn, &rows.slice(0, half), account, fetched)?;
                self.isolate(conn, &rows.slice(half, count - half), account, fetched)
            }
            Err(error) if is_of_data(&error) => {
                let seq = rows.column(0).as_primitive::<UInt64Type>().value(0);
                let reason = error
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                account.refuse(seq, self.table.as_ref().map(|t| t.name.as_str()), reason);
                Ok(())
            }
            result => self.keep(result, account, fetched),
        }
    }

    fn fetch(&self, conn: &Connection, rows: &RecordBatch) -> duckdb::Result<Vec<RecordBatch>> {
        self.slot.with(rows.clone(), || {
            let mut statement = conn.prepare_cached(&self.sql)?;
            // The whole result is wanted, and it is bounded: streaming would only cost locks.
            drop(statement.query_arrow([self.slot.number()])?);
            let mut batches = Vec::new();
            while let Some(rows) = statement.step()? {
                batches.push(RecordBatch::from(&rows));
            }
            Ok(batches)
        })
    }
}

/// Whether an error comes from the rows read, so that fewer rows may do without it.
fn is_of_data(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    [
        "Conversion Error",
        "Invalid Input Error",
        "Out of Range Error",
    ]
    .iter()
    .any(|kind| text.starts_with(kind))
}

/// Names of the columns that a file's SELECT has.
fn columns_of(conn: &Connection, file: &SqlFile, raw: &str) -> Result<Vec<String>> {
    let sql = format!("{raw}\nSELECT * FROM (\n{}\n)", file.select());
    let refused = |e| in_file(&file.origin, WRAPPER_LINES, &e);
    let mut probe = conn.prepare(&sql).map_err(refused)?;
    let schema = probe.query_arrow([0_u64]).map_err(refused)?.get_schema();
    Ok(schema.fields().iter().map(|f| f.name().clone()).collect())
}

/// The file's SELECT with the columns the table carries in their order and types, then its further columns.
fn wrapped(conn: &Connection, table: &Table, file: &SqlFile, raw: &str) -> Result<String> {
    let given = columns_of(conn, file, raw)?;
    let refused = |message: String| Error::Model {
        file: file.origin.clone(),
        message,
    };
    let mut columns = Vec::new();
    for column in table.carried() {
        let (name, sql_type) = (&column.name, &column.sql_type);
        if given.contains(name) {
            columns.push(format!("\"{name}\"::{sql_type} AS \"{name}\""));
        } else if column.required {
            return Err(refused(format!(
                "its SELECT has no column '{name}', which {} requires",
                table.name
            )));
        } else {
            columns.push(format!("NULL::{sql_type} AS \"{name}\""));
        }
    }
    for name in given.iter().filter(|name| table.position(name).is_none()) {
        let known = ENGINE_COLUMNS.iter().find(|(known, _)| known == name);
        let Some((_, sql_type)) = known.filter(|_| table.name == BOOK_DELTAS) else {
            return Err(refused(format!(
                "its SELECT has a column '{name}', which {} has not",
                table.name
            )));
        };
        columns.push(format!("\"{name}\"::{sql_type} AS \"{name}\""));
    }
    Ok(format!(
        "{raw}\nSELECT {} FROM (\n{}\n)",
        columns.join(", "),
        file.select()
    ))
}

/// Rows by rising seq: as they come, unless the normalizer's SQL gave up the order.
fn in_order(batch: RecordBatch) -> Result<RecordBatch> {
    let seqs = batch.column(0).as_primitive::<UInt64Type>().values();
    if seqs.is_sorted() {
        return Ok(batch);
    }
    // A stable sort: the order within a message stays.
    let mut places: Vec<u32> = (0..seqs.len() as u32).collect();
    places.sort_by_key(|&i| seqs[i as usize]);
    Ok(take_record_batch(&batch, &UInt32Array::from(places))?)
}
