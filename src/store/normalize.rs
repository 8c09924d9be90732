//! Normalizers: a venue's SQL turns raw rows into canonical rows.
//!
//! Every raw row is accounted for. One that no file of its venue mentions, that lacks a required column
//! or that makes the SQL fail becomes a dead letter; the others of its batch do not notice.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::DataType;
use duckdb::vtab::arrow::ArrowBatchRegistration;
use duckdb::{Connection, params};

use super::catalog::{Catalog, Table};
use super::error::{Error, Result, in_file};
use super::raw::{self, DeadLetter, LoadMark, RawBatch};
use crate::model::BOOK_DELTAS;
use crate::sqltree::SqlFile;
use crate::venues::Venue;

/// What a batch of raw rows became.
pub(super) struct Derived {
    pub(super) raw: RawBatch,
    pub(super) tables: Vec<Rows>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) load: Option<LoadMark>,
}

/// Rows for one canonical table, by rising seq: the columns it carries in order, then any that only the book
/// engine sees.
pub(super) struct Rows {
    pub(super) table: Arc<Table>,
    pub(super) batch: RecordBatch,
}

/// The normalizers of one venue, on a connection of their own.
pub(super) struct Normalizers {
    conn: Connection,
    venue: String,
    files: Vec<Normalizer>,
    control: Option<SqlFile>,
}

struct Normalizer {
    table: Arc<Table>,
    origin: String,
    sql: String,
}

/// Lines that `wrapped` and `control` put before the file's own text.
const WRAPPER_LINES: usize = 2;
/// The relation that a venue's SQL reads: seq from, seq to, the venue, the batch.
const RAW: &str = "WITH raw AS (SELECT seq, recv_ts, $3::VARCHAR AS venue, channel, symbol, payload FROM arrow($4) WHERE seq BETWEEN $1 AND $2)";

impl Normalizers {
    /// Checks and prepares the venue's files; `only` limits them to some tables.
    pub(super) fn new(
        conn: Connection,
        venue: &Venue,
        catalog: &Catalog,
        only: Option<&[String]>,
    ) -> Result<Self> {
        let empty = ArrowBatchRegistration::new(RecordBatch::new_empty(raw::schema()));
        let mut files = Vec::new();
        for file in &venue.normalizers {
            let table = catalog.get(&file.name).ok_or_else(|| Error::Model {
                file: file.origin.clone(),
                message: format!("there is no canonical table '{}'", file.name),
            })?;
            if only.is_none_or(|only| only.contains(&table.name)) {
                let sql = wrapped(&conn, &empty, table, file)?;
                files.push(Normalizer {
                    table: Arc::clone(table),
                    origin: file.origin.clone(),
                    sql,
                });
            }
        }
        if let Some(file) = &venue.control {
            conn.prepare(&control(file))
                .and_then(|mut s| s.query_arrow(params![0_u64, 0_u64, "", &empty]).map(|_| ()))
                .map_err(|e| in_file(&file.origin, WRAPPER_LINES, &e))?;
        }
        Ok(Self {
            conn,
            venue: venue.name.clone(),
            files,
            control: venue.control.clone(),
        })
    }

    /// Names of the tables filled.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|n| n.table.name.as_str())
    }

    /// Runs all normalizers over one batch.
    pub(super) fn run(&mut self, raw: RawBatch) -> Result<Derived> {
        debug_assert_eq!(raw.venue, self.venue);
        let scan = Scan {
            registered: ArrowBatchRegistration::new(raw.rows.clone()),
            venue: &self.venue,
        };
        let rows = raw.seqs().len();
        let mut account = Account::new(&raw);
        let mut tables = Vec::with_capacity(self.files.len());
        for normalizer in &self.files {
            let mut batches = Vec::new();
            self.isolate(
                &scan,
                &normalizer.sql,
                Some(normalizer),
                (0, rows),
                &mut account,
                &mut batches,
            )?;
            if normalizer.table.name == BOOK_DELTAS {
                account.drop_refused(&mut batches)?;
            }
            let schema = batches
                .first()
                .map_or_else(|| normalizer.table.carried_schema(), RecordBatch::schema);
            let batch = in_order(concat_batches(&schema, &batches)?)?;
            tables.push(Rows {
                table: Arc::clone(&normalizer.table),
                batch,
            });
        }
        if let Some(file) = &self.control {
            self.isolate(
                &scan,
                &control(file),
                None,
                (0, rows),
                &mut account,
                &mut Vec::new(),
            )?;
        }
        let dead = account.dead_letters(&self.venue);
        Ok(Derived {
            raw,
            tables,
            dead,
            load: None,
        })
    }

    /// Runs one statement over the rows `from..to` of the batch. If it fails, over each half of them: so
    /// the rows that make it fail are found, and only they are lost to it.
    fn isolate(
        &self,
        scan: &Scan<'_>,
        sql: &str,
        normalizer: Option<&Normalizer>,
        (from, to): (usize, usize),
        account: &mut Account<'_>,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if from == to {
            return Ok(());
        }
        let seqs = account.raw.seqs();
        let result = self.fetch(scan, sql, seqs[from], seqs[to - 1]);
        match result {
            Ok(fetched) => {
                for batch in fetched {
                    let kept = match normalizer {
                        Some(normalizer) => account.take(&normalizer.table, batch)?,
                        None => account.settle(&batch)?,
                    };
                    batches.extend(kept);
                }
                Ok(())
            }
            Err(error) if to - from > 1 && is_of_data(&error) => {
                let middle = from.midpoint(to);
                self.isolate(scan, sql, normalizer, (from, middle), account, batches)?;
                self.isolate(scan, sql, normalizer, (middle, to), account, batches)
            }
            Err(error) if is_of_data(&error) => {
                // The whole message is one record: what the other files would make of it is not kept.
                account.refuse(
                    from,
                    normalizer.map(|n| n.table.name.as_str()),
                    first_line(&error),
                );
                Ok(())
            }
            Err(error) => {
                let doing = normalizer.map_or("reading control messages", |n| n.origin.as_str());
                Err(Error::Duck {
                    doing: doing.to_owned(),
                    error,
                })
            }
        }
    }

    fn fetch(
        &self,
        scan: &Scan<'_>,
        sql: &str,
        first: u64,
        last: u64,
    ) -> duckdb::Result<Vec<RecordBatch>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        // The whole result is wanted, and it is bounded: streaming would only cost locks.
        drop(statement.query_arrow(params![first, last, scan.venue, &scan.registered])?);
        let mut batches = Vec::new();
        while let Some(rows) = statement.step()? {
            batches.push(RecordBatch::from(&rows));
        }
        Ok(batches)
    }
}

/// The batch under way, as its normalizers find it.
struct Scan<'a> {
    registered: ArrowBatchRegistration,
    venue: &'a str,
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

fn first_line(error: &duckdb::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn control(file: &SqlFile) -> String {
    format!("{RAW}\nSELECT seq FROM (\n{}\n)", trimmed(&file.text))
}

/// The file's SELECT with the table's columns in their order and types, then its further columns.
fn wrapped(
    conn: &Connection,
    empty: &ArrowBatchRegistration,
    table: &Table,
    file: &SqlFile,
) -> Result<String> {
    let inner = trimmed(&file.text);
    let mut probe = conn
        .prepare(&format!("{RAW}\nSELECT * FROM (\n{inner}\n)"))
        .map_err(|e| in_file(&file.origin, WRAPPER_LINES, &e))?;
    let schema = probe
        .query_arrow(params![0_u64, 0_u64, "", empty])
        .map_err(|e| in_file(&file.origin, WRAPPER_LINES, &e))?
        .get_schema();
    let given: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut columns = Vec::new();
    for column in table.carried() {
        let (name, sql_type) = (&column.name, &column.sql_type);
        if given.contains(&name.as_str()) {
            columns.push(format!("\"{name}\"::{sql_type} AS \"{name}\""));
        } else if column.required {
            return Err(Error::Model {
                file: file.origin.clone(),
                message: format!(
                    "its SELECT has no column '{name}', which {} requires",
                    table.name
                ),
            });
        } else {
            columns.push(format!("NULL::{sql_type} AS \"{name}\""));
        }
    }
    for name in given {
        if table.position(name).is_none() {
            if table.name != BOOK_DELTAS {
                return Err(Error::Model {
                    file: file.origin.clone(),
                    message: format!(
                        "its SELECT has a column '{name}', which {} has not",
                        table.name
                    ),
                });
            }
            columns.push(format!("\"{name}\""));
        }
    }
    Ok(format!(
        "{RAW}\nSELECT {} FROM (\n{inner}\n)",
        columns.join(", ")
    ))
}

fn trimmed(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';')
}

/// Rows by rising seq: as they come, unless the normalizer's SQL gave up the order.
fn in_order(batch: RecordBatch) -> Result<RecordBatch> {
    let Some(seqs) = batch
        .column(0)
        .as_any()
        .downcast_ref::<UInt64Array>()
        .map(UInt64Array::values)
    else {
        return Ok(batch);
    };
    if seqs.is_sorted() {
        return Ok(batch);
    }
    // A stable sort: the order within a message stays.
    let mut places: Vec<u32> = (0..seqs.len() as u32).collect();
    places.sort_by_key(|&i| seqs[i as usize]);
    Ok(take_record_batch(&batch, &UInt32Array::from(places))?)
}

/// Which raw rows of a batch something has been made of.
struct Account<'a> {
    raw: &'a RawBatch,
    settled: Vec<bool>,
    refused: Vec<Option<(Option<String>, String)>>,
}

impl<'a> Account<'a> {
    fn new(raw: &'a RawBatch) -> Self {
        let rows = raw.seqs().len();
        Self {
            raw,
            settled: vec![false; rows],
            refused: vec![None; rows],
        }
    }

    /// Row of the batch that has this seq.
    fn row(&self, seq: u64) -> Option<usize> {
        let seqs = self.raw.seqs();
        let guess = usize::try_from(seq.checked_sub(*seqs.first()?)?).ok()?;
        if seqs.get(guess) == Some(&seq) {
            Some(guess)
        } else {
            seqs.binary_search(&seq).ok()
        }
    }

    fn refuse(&mut self, row: usize, target: Option<&str>, reason: String) {
        self.refused[row].get_or_insert((target.map(str::to_owned), reason));
    }

    /// Marks the rows named as read.
    fn settle(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let column = arrow::compute::cast(batch.column(0), &DataType::UInt64)?;
        if let Some(seqs) = column.as_any().downcast_ref::<UInt64Array>() {
            for seq in seqs.iter().flatten() {
                if let Some(row) = self.row(seq) {
                    self.settled[row] = true;
                }
            }
        }
        Ok(None)
    }

    /// Keeps the rows that have all they need; the messages of the others are refused.
    fn take(&mut self, table: &Table, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let mut faults: Vec<(usize, String)> = Vec::new();
        for (column, array) in table.carried().zip(batch.columns()) {
            if column.required && array.null_count() > 0 {
                let missing = (0..array.len()).filter(|&i| array.is_null(i));
                faults.extend(missing.map(|i| (i, format!("'{}' is missing", column.name))));
            }
            if let Some(numbers) = array.as_any().downcast_ref::<Float64Array>()
                && !numbers
                    .values()
                    .iter()
                    .fold(true, |all, n| all & n.is_finite())
            {
                let bad = (0..array.len())
                    .filter(|&i| numbers.is_valid(i) && !numbers.value(i).is_finite());
                faults.extend(bad.map(|i| (i, format!("'{}' is out of range", column.name))));
            }
        }
        let Some(seqs) = batch.column(0).as_any().downcast_ref::<UInt64Array>() else {
            return Ok(None);
        };
        // Rows of one message stand together: ask once for each message.
        let mut last = None;
        for &seq in seqs.values() {
            if last != Some(seq) {
                last = Some(seq);
                if let Some(row) = self.row(seq) {
                    self.settled[row] = true;
                }
            }
        }
        if faults.is_empty() {
            return Ok(Some(batch));
        }
        let mut keep = vec![true; batch.num_rows()];
        for (i, reason) in faults {
            keep[i] = false;
            if let Some(row) = (seqs.is_valid(i))
                .then(|| self.row(seqs.value(i)))
                .flatten()
            {
                self.refuse(row, Some(&table.name), reason);
            }
        }
        Ok(Some(filter_record_batch(
            &batch,
            &BooleanArray::from(keep),
        )?))
    }

    /// Half an order-book update is worse than none: of a message that was refused nothing is kept.
    fn drop_refused(&self, batches: &mut [RecordBatch]) -> Result<()> {
        if self.refused.iter().all(Option::is_none) {
            return Ok(());
        }
        for batch in batches {
            if let Some(seqs) = batch.column(0).as_any().downcast_ref::<UInt64Array>() {
                let keep = |seq: &u64| self.row(*seq).is_none_or(|row| self.refused[row].is_none());
                let keep: Vec<bool> = seqs.values().iter().map(keep).collect();
                *batch = filter_record_batch(batch, &BooleanArray::from(keep))?;
            }
        }
        Ok(())
    }

    fn dead_letters(self, venue: &str) -> Vec<DeadLetter> {
        let mut dead = Vec::new();
        for (row, (settled, refused)) in self.settled.iter().zip(self.refused).enumerate() {
            if let Some((target, reason)) = refused {
                dead.push(DeadLetter::of(self.raw, row, target.as_deref(), reason));
            } else if !settled {
                let reason = format!("no file of sql/venues/{venue} reads this message");
                dead.push(DeadLetter::of(self.raw, row, None, reason));
            }
        }
        dead
    }
}
