//! Retention: what is older than a table is to be kept goes, whole UTC dates at a time, sealed and hot.
//!
//! Age is counted from the table's newest row, not from a clock: a capture that stood still for a month does not lose
//! one. As with a merge, the manifest and the view change in one transaction, and the files go once nobody can be
//! reading them.

use duckdb::params;
use jiff::Span;
use jiff::civil::Date;

use super::catalog::Table;
use super::error::{Doing, Error, Result};
use super::{Store, lake, schema};
use crate::model::time::{date_of, start_of};

/// The first year of which every time can be stored.
const EARLIEST: Date = Date::constant(1678, 1, 1);
/// The venue in whose name `ops.progress` keeps what no row shows any more.
const NO_VENUE: &str = "";

/// The rows of a table that are too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The table.
    pub table: String,
    /// The UTC date of its newest row.
    pub newest: Date,
    /// The first UTC date that is kept.
    pub first_kept: Date,
    /// UTC dates that are not.
    pub dates: u64,
    /// Files of the lake.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Their rows.
    pub sealed_rows: u64,
    /// Rows in the database file.
    pub hot_rows: u64,
}

impl Store {
    /// What of a table is older than the `keep` that ends with its newest UTC date: of "30 days" the 30 newest dates
    /// stay. `None` if the table has no row.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn expired(&self, table: &str, keep: Span) -> Result<Option<Expired>> {
        let table = self.table_to_retain(table)?;
        let (name, time) = (&table.name, table.time());
        let doing = || format!("reading the dates of {name}");
        let newest: Option<i64> = self
            .conn
            .query_row(
                &format!(
                    "SELECT greatest((SELECT epoch_ns(max({time})) FROM hot.{name}),
                                     (SELECT epoch_ns(max(max_ts)) FROM ops.manifest WHERE table_name = ?))"
                ),
                [name],
                |row| row.get(0),
            )
            .doing(doing())?;
        let Some(newest) = newest.map(date_of) else {
            return Ok(None);
        };
        let first_kept = newest
            .tomorrow()
            .unwrap_or(Date::MAX)
            .saturating_sub(keep)
            .max(EARLIEST);
        let expired = self
            .conn
            .query_row(
                &format!(
                    "WITH sealed AS (FROM ops.manifest WHERE table_name = $1 AND date < $2::DATE),
                          unsealed AS (SELECT {time}::DATE AS date FROM {})
                     SELECT (SELECT count(DISTINCT date)
                             FROM (SELECT date FROM sealed UNION ALL SELECT date FROM unsealed)),
                            count(*), coalesce(sum(bytes), 0)::UBIGINT, coalesce(sum(rows), 0)::UBIGINT,
                            (SELECT count(*) FROM unsealed)
                     FROM sealed",
                    hot_before(table, first_kept)
                ),
                params![name, first_kept.to_string()],
                |row| {
                    Ok(Expired {
                        table: name.clone(),
                        newest,
                        first_kept,
                        dates: row.get(0)?,
                        files: row.get(1)?,
                        bytes: row.get(2)?,
                        sealed_rows: row.get(3)?,
                        hot_rows: row.get(4)?,
                    })
                },
            )
            .doing(doing())?;
        Ok(Some(expired))
    }

    /// Drops it, all or nothing. Of what was made from raw messages that are still there, a rebuild makes it again.
    ///
    /// # Errors
    /// Nothing was dropped then, or only a file could not be removed, which the next start tries again.
    pub fn drop_expired(&self, expired: &Expired) -> Result<()> {
        let table = self.table_to_retain(&expired.table)?;
        let doing = || format!("dropping rows of {}", table.name);
        self.conn.execute_batch("BEGIN").doing(doing())?;
        let dropped = self.drop_rows(table, expired.first_kept);
        if dropped.is_err() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        dropped?;
        self.conn.execute_batch("COMMIT").doing(doing())?;
        self.remove_outgoing()
    }

    /// All but the commit.
    fn drop_rows(&self, table: &Table, first_kept: Date) -> Result<()> {
        // A seq is never used again, even if the row that had the last one goes.
        let last_seq = self.next_seq()? - 1;
        self.conn
            .execute("DELETE FROM ops.progress WHERE venue = ?", [NO_VENUE])
            .and_then(|_| {
                self.conn.execute(
                    "INSERT INTO ops.progress VALUES (?, 'retain', ?)",
                    params![NO_VENUE, last_seq],
                )
            })
            .doing("writing ops.progress")?;
        lake::retire(
            &self.conn,
            &format!(
                "table_name = '{}' AND date < '{first_kept}'::DATE",
                table.name
            ),
        )?;
        self.conn
            .execute(
                &format!("DELETE FROM {}", hot_before(table, first_kept)),
                [],
            )
            .doing(format!("dropping rows of {}", table.name))?;
        // Marts keep what they have made of it.
        self.conn
            .execute(
                "DELETE FROM ops.retained WHERE table_name = ?",
                [&table.name],
            )
            .and_then(|_| {
                self.conn.execute(
                    "INSERT INTO ops.retained VALUES (?, ?::DATE)",
                    params![table.name, first_kept.to_string()],
                )
            })
            .doing("writing ops.retained")?;
        schema::replace_views(&self.conn, &self.catalog, table)
    }

    fn table_to_retain(&self, name: &str) -> Result<&Table> {
        self.catalog.get(name).map(AsRef::as_ref).ok_or_else(|| {
            let names: Vec<&str> = self.catalog.iter().map(|t| t.name.as_str()).collect();
            Error::Model {
                file: format!("table '{name}'"),
                message: format!(
                    "there is none of this name; these are: {}",
                    names.join(", ")
                ),
            }
        })
    }
}

/// Hot rows of earlier dates. Those without a time are of none.
fn hot_before(table: &Table, date: Date) -> String {
    let start = start_of(date).unwrap_or(i64::MIN);
    format!(
        "hot.{} WHERE {} < make_timestamp_ns({start})",
        table.name,
        table.time()
    )
}
