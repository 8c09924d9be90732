//! Sealing: the rows of a table and UTC date move from the database file to one file of the lake; where there are few of
//! a date, those of a month or a year (see [`partition`]).
//!
//! One transaction reads the rows, names the file in the manifest, deletes the hot rows and swaps the view; before it
//! is committed the file is written under a hidden name, compared with its source, made durable, announced in
//! `ops.incoming` and renamed. A crash anywhere leaves the rows in exactly one place that is read, and the next start
//! removes the file if it is not that one. Rows that are captured meanwhile stay hot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use duckdb::Connection;
use jiff::civil::Date;
use tokio::sync::mpsc;

use super::catalog::{Catalog, Table, delete_hot};
use super::error::{Doing, Error, Result};
use super::history::Version;
use super::lake::{self, Entry, Facts, Staged};
use super::live::{self, Order, Standing};
use super::partition::{self, Held};
use super::readers::Lock;
use super::{Store, schema};
use crate::config::SealSettings;
use crate::model::time::{DAY_NS, date_of, start_of};

/// Which dates are sealed.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Every date there is.
    All,
    /// The dates before this one.
    Before(Date),
    /// The dates that are finished at a moment in ns.
    Finished(&'a SealSettings, i64),
}

/// A file that sealing has added to the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// The table.
    pub table: String,
    /// The UTC date, or the first one of the month or year.
    pub date: Date,
    /// Relative to the database's directory.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Keeps the lake in order, on a connection of its own, whatever else is written meanwhile: it seals, compacts and drops
/// what is too old. One does so at a time.
pub struct Sealer {
    pub(super) dir: PathBuf,
    pub(super) conn: Connection,
    pub(super) catalog: Arc<Catalog>,
    pub(super) lock: Arc<Lock>,
    /// How long files of past versions stay.
    pub(super) keep: Duration,
    /// Where a capture takes orders that this is beside, whose statements may read files that leave the lake.
    pub(super) beside: Option<mpsc::WeakSender<Order>>,
}

impl Store {
    /// What seals this database.
    pub fn sealer(&self) -> Result<Sealer> {
        Ok(Sealer {
            dir: self.dir.clone(),
            conn: self.clone_connection()?,
            catalog: Arc::clone(&self.catalog),
            lock: Arc::clone(&self.lock),
            keep: self.keep,
            beside: None,
        })
    }

    /// The same beside a capture: files that leave the lake stay until
    /// [`Sealer::tidy`].
    pub fn live_sealer(&self, orders: mpsc::WeakSender<Order>) -> Result<Sealer> {
        let sealer = self.sealer()?;
        Ok(Sealer {
            beside: Some(orders),
            ..sealer
        })
    }
}

impl Sealer {
    /// Seals the dates asked for, of every table; `sealed` is told of each file, and says whether to go on.
    ///
    /// # Errors
    /// If settings name a table that there is not; or if a file cannot be written: then the rest of its table stays as it is,
    /// the other tables are sealed all the same, and of several errors the first is returned.
    pub fn seal(
        &self,
        which: Which<'_>,
        mut sealed: impl FnMut(&SealedFile) -> bool,
    ) -> Result<()> {
        if let Which::Finished(settings, _) = which {
            for name in settings.hot.keys() {
                self.catalog.named(name)?;
            }
        }
        let mut all = Ok(());
        for table in self.catalog.iter() {
            match self.seal_table(table, which, &mut sealed) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }

    /// Seals the dates asked for of a table; false if that was enough for `sealed`.
    fn seal_table(
        &self,
        table: &Table,
        which: Which<'_>,
        sealed: &mut impl FnMut(&SealedFile) -> bool,
    ) -> Result<bool> {
        let mut dates = self.hot_dates(table)?;
        match which {
            Which::All => {}
            Which::Before(end) => dates.retain(|(date, _)| *date < end),
            Which::Finished(settings, at_ns) => {
                let end = settings.first_hot(&table.name, at_ns);
                dates.retain(|(date, _)| *date < end);
            }
        }
        for part in parts(&dates) {
            if !sealed(&self.seal_part(table, &part)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Seals rows of these dates, and of none before or after them.
    pub(super) fn seal_dates(&self, table: &Table, dates: &[(Date, u64)]) -> Result<()> {
        for part in parts(dates) {
            self.seal_part(table, &part)?;
        }
        Ok(())
    }

    /// UTC dates that have hot rows, and how many.
    pub(super) fn hot_dates(&self, table: &Table) -> Result<Vec<(Date, u64)>> {
        let time = table.time();
        let sql = format!(
            "SELECT t - ((t % {DAY_NS}) + {DAY_NS}) % {DAY_NS} AS day, count(*)
             FROM (SELECT epoch_ns({time}) AS t FROM {} WHERE {time} IS NOT NULL) GROUP BY day ORDER BY day",
            table.hot()
        );
        let days: Vec<(i64, u64)> = self
            .conn
            .prepare(&sql)
            .and_then(|mut s| {
                s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                    .and_then(Iterator::collect)
            })
            .doing(format!("reading the dates of {}", table.name))?;
        let mut dates: Vec<(Date, u64)> = Vec::with_capacity(days.len());
        for (day, rows) in days {
            match dates.last_mut() {
                // The last moments that can be stored are of one date.
                Some((date, before)) if *date == date_of(day) => *before += rows,
                _ => dates.push((date_of(day), rows)),
            }
        }
        Ok(dates)
    }

    /// Seals a table's rows of a part of time.
    fn seal_part(&self, table: &Table, part: &Part) -> Result<SealedFile> {
        let doing = || format!("sealing {} {}", table.name, part.date);
        let beside = self.conn.try_clone().doing("opening a connection")?;
        let _standing = self.stand(table);
        self.conn.execute_batch("BEGIN").doing(doing())?;
        let sealed = self.seal_rows(table, part, &beside);
        if sealed.is_err() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        let sealed = sealed?;
        // A commit that reports an error may be durable all the same: the next start decides by the manifest.
        self.conn.execute_batch("COMMIT").doing(doing())?;
        // The transaction could not see it. If it cannot be taken back now, the next start does it.
        let _ = lake::take_back(&beside, &sealed.path);
        Ok(sealed)
    }

    /// Where a capture replaces rows of a table it stands still as long as this lives: of two that delete a row DuckDB
    /// refuses one.
    pub(super) fn stand(&self, table: &Table) -> Option<Standing> {
        let orders = self.beside.as_ref().filter(|_| table.latest)?;
        live::stand(&orders.upgrade()?)
    }

    /// All but the commit. The file is announced on the connection `beside`, durably before it has its name.
    fn seal_rows(&self, table: &Table, part: &Part, beside: &Connection) -> Result<SealedFile> {
        let date = part.date;
        let doing = || format!("sealing {} {date}", table.name);
        let start = start_of(part.first).unwrap_or(i64::MIN);
        let end = start_of(part.last).map_or(i64::MAX, |last| last.saturating_add(DAY_NS - 1));
        let time = table.time();
        let within =
            format!("{time} >= make_timestamp_ns({start}) AND {time} <= make_timestamp_ns({end})");
        let rows = format!("{} WHERE {within}", table.hot());
        let mut staged = Staged::create(&self.dir, table, date, lake::SEAL_LEVEL)?;
        let sort = lake::sort_columns(table).join(", ");
        let mut statement = self
            .conn
            .prepare(&format!(
                "SELECT {} FROM {rows} ORDER BY {sort}",
                table.select_list()
            ))
            .doing(doing())?;
        for batch in statement.stream_arrow([]).doing(doing())? {
            let batch: RecordBatch = batch.doing(doing())?;
            staged.write(&batch)?;
        }
        drop(statement);
        let facts = staged.finish()?;
        let expected = source_facts(&self.conn, &rows, time).doing(doing())?;
        if facts != expected {
            return Err(Error::SealMismatch {
                table: table.name.clone(),
                date: date.to_string(),
                message: format!("the file holds {facts:?}, its source {expected:?}"),
            });
        }
        let path = lake::free_path(&self.dir, &self.conn, table, date, &facts)?;
        lake::announce(beside, &path)?;
        let (bytes, hash) = staged.publish(&self.dir.join(&path))?;
        let file = Entry {
            date,
            path,
            bytes,
            hash,
            facts,
            loaded: false,
        };
        self.swap(table, &file, &within)?;
        Ok(SealedFile {
            table: table.name.clone(),
            date,
            path: file.path,
            rows: file.facts.rows,
            bytes,
        })
    }

    fn swap(&self, table: &Table, file: &Entry, within: &str) -> Result<()> {
        let doing = || format!("sealing {} {}", table.name, file.date);
        let swapped = (|| {
            let version = Version::begin(&self.conn, &table.name)?;
            lake::record(&self.conn, table, file, &version)?;
            version.end("seal", None)?;
            let deleted = delete_hot(&self.conn, &table.name, within).doing(doing())?;
            if deleted as u64 != file.facts.rows {
                return Err(Error::SealMismatch {
                    table: table.name.clone(),
                    date: file.date.to_string(),
                    message: format!("{deleted} rows to delete, {} sealed", file.facts.rows),
                });
            }
            schema::replace_whole(&self.conn, table)
        })();
        if let Err(error) = swapped {
            // If it cannot be removed now, the next start does it.
            let _ = std::fs::remove_file(self.dir.join(&file.path));
            return Err(error);
        }
        Ok(())
    }
}

/// Dates that go into one file.
#[derive(Debug)]
struct Part {
    /// The first date of the partition.
    date: Date,
    /// The first date that there is.
    first: Date,
    /// The last.
    last: Date,
}

/// Cuts dates in rising order, of which the rows are counted, into what becomes one file each.
fn parts(dates: &[(Date, u64)]) -> Vec<Part> {
    let held: Vec<Held> = dates
        .iter()
        .map(|&(date, rows)| Held::of(date, rows))
        .collect();
    let mut parts: Vec<Part> = Vec::new();
    for (partition, &(date, _)) in partition::partitions(&held).into_iter().zip(dates) {
        match parts.last_mut() {
            Some(part) if part.date == partition => part.last = date,
            _ => parts.push(Part {
                date: partition,
                first: date,
                last: date,
            }),
        }
    }
    parts
}

pub(super) fn source_facts(conn: &Connection, rows: &str, time: &str) -> duckdb::Result<Facts> {
    conn.query_row(
        &format!("SELECT count(*), epoch_ns(min({time})), epoch_ns(max({time})), min(seq), max(seq) FROM {rows}"),
        [],
        |row| {
            Ok(Facts {
                rows: row.get(0)?,
                min_ts: row.get(1)?,
                max_ts: row.get(2)?,
                first_seq: row.get(3)?,
                last_seq: row.get(4)?,
            })
        },
    )
}

#[cfg(test)]
mod tests;
