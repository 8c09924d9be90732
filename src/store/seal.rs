//! Sealing: the rows of a table and UTC date move from the database file to one file of the lake.
//!
//! One transaction reads the rows, names the file in the manifest, deletes the hot rows and swaps the view; before it
//! is committed the file is written under a hidden name, compared with its source, made durable and renamed. A crash
//! anywhere leaves the rows in exactly one place that is read, and rows that are captured meanwhile stay hot.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use duckdb::Connection;
use jiff::civil::Date;

use super::catalog::{Catalog, Table};
use super::error::{Doing, Error, Result};
use super::lake::{self, Facts, Staged};
use super::{Store, schema};
use crate::model::time::{DAY_NS, date_of, start_of};

/// Which dates are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Every date there is.
    All,
    /// The dates before this one.
    Before(Date),
}

/// A file that sealing has added to the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// The table.
    pub table: String,
    /// The UTC date.
    pub date: Date,
    /// Relative to the database's directory.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Seals on a connection of its own, whatever else is written meanwhile.
pub struct Sealer {
    dir: PathBuf,
    conn: Connection,
    catalog: Arc<Catalog>,
}

impl Store {
    /// What seals this database.
    pub fn sealer(&self) -> Result<Sealer> {
        Ok(Sealer {
            dir: self.dir.clone(),
            conn: self.clone_connection()?,
            catalog: Arc::clone(&self.catalog),
        })
    }
}

impl Sealer {
    /// Seals the dates asked for, of every table; `sealed` is told of each file, and says whether to go on.
    ///
    /// # Errors
    /// At the first file that cannot be written; those before it stay sealed, and nothing else changed.
    pub fn seal(&self, which: Which, mut sealed: impl FnMut(&SealedFile) -> bool) -> Result<()> {
        for table in self.catalog.clone().iter() {
            for date in self.hot_dates(table)? {
                if matches!(which, Which::Before(end) if date >= end) {
                    continue;
                }
                if !sealed(&self.seal_date(table, date)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// UTC dates that have hot rows.
    pub(super) fn hot_dates(&self, table: &Table) -> Result<Vec<Date>> {
        let time = table.time();
        let sql = format!(
            "SELECT DISTINCT t - ((t % {DAY_NS}) + {DAY_NS}) % {DAY_NS} FROM (SELECT epoch_ns({time}) AS t FROM hot.{} WHERE {time} IS NOT NULL) ORDER BY 1",
            table.name
        );
        let days: Vec<i64> = self
            .conn
            .prepare(&sql)
            .and_then(|mut s| {
                s.query_map([], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .doing(format!("reading the dates of {}", table.name))?;
        let mut dates: Vec<Date> = days.into_iter().map(date_of).collect();
        dates.dedup();
        Ok(dates)
    }

    /// Seals one table's rows of one date.
    pub(super) fn seal_date(&self, table: &Table, date: Date) -> Result<SealedFile> {
        self.conn
            .execute_batch("BEGIN")
            .doing(format!("sealing {} {date}", table.name))?;
        let sealed = self.seal_rows(table, date);
        if sealed.is_err() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        let sealed = sealed?;
        // A commit that reports an error may be durable all the same, and then the file is the only place of its
        // rows: the next start decides by the manifest.
        self.conn
            .execute_batch("COMMIT")
            .doing(format!("sealing {} {date}", table.name))?;
        Ok(sealed)
    }

    /// All but the commit.
    fn seal_rows(&self, table: &Table, date: Date) -> Result<SealedFile> {
        let doing = || format!("sealing {} {date}", table.name);
        let start = start_of(date).unwrap_or(i64::MIN);
        let end = start.saturating_add(DAY_NS - 1);
        let time = table.time();
        let rows = format!(
            "hot.{} WHERE {time} >= make_timestamp_ns({start}) AND {time} <= make_timestamp_ns({end})",
            table.name
        );
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
        let path = lake::free_path(&self.dir, table, date, &facts)?;
        let (bytes, hash) = staged.publish(&self.dir.join(&path))?;
        self.swap(table, date, &path, &facts, (bytes, &hash), &rows)?;
        Ok(SealedFile {
            table: table.name.clone(),
            date,
            path,
            rows: facts.rows,
            bytes,
        })
    }

    fn swap(
        &self,
        table: &Table,
        date: Date,
        path: &str,
        facts: &Facts,
        (bytes, hash): (u64, &str),
        rows: &str,
    ) -> Result<()> {
        let doing = || format!("sealing {} {date}", table.name);
        let swapped = (|| {
            lake::record(&self.conn, table, date, path, facts, (bytes, hash), false)?;
            let deleted = self
                .conn
                .execute(&format!("DELETE FROM {rows}"), [])
                .doing(doing())?;
            if deleted as u64 != facts.rows {
                return Err(Error::SealMismatch {
                    table: table.name.clone(),
                    date: date.to_string(),
                    message: format!("{deleted} rows to delete, {} sealed", facts.rows),
                });
            }
            schema::replace_whole(&self.conn, table)
        })();
        if let Err(error) = swapped {
            // If it cannot be removed now, the next start does it.
            let _ = std::fs::remove_file(self.dir.join(path));
            return Err(error);
        }
        Ok(())
    }
}

fn source_facts(conn: &Connection, rows: &str, time: &str) -> duckdb::Result<Facts> {
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
