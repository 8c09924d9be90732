//! Retention: what is older than a table is to be kept goes, whole UTC dates at a time, sealed and hot. A file that has
//! dates on both sides is written again without the old ones.
//!
//! Age is counted from the table's newest row, not from a clock: a capture that stood still for a month does not lose
//! one. As with a merge, the manifest and the view change in one transaction, and the files go once nobody can be
//! reading them.

use duckdb::{Connection, params};
use jiff::Span;
use jiff::civil::Date;

use super::catalog::{Table, delete_hot};
use super::error::{Doing, Error, Result};
use super::history::Version;
use super::lake::{Entry, Staged};
use super::seal::source_facts;
use super::{Sealer, Store, lake, next_seq, schema};
use crate::model::sql::literals;
use crate::model::time::{DAY_NS, date_of, start_of};
use crate::model::{
    BOOK_DELTAS, BOOK_TOPS, CORPORATE_ACTIONS, DEAD_LETTERS, FEED_EVENTS, INSTRUMENTS, RAW_MESSAGES,
};

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
    /// Files of the lake that go.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Files that are written again, without their older dates.
    pub cut: u64,
    /// Rows that go with the files, and out of those that are cut.
    pub sealed_rows: u64,
    /// Rows in the database file.
    pub hot_rows: u64,
}

impl Expired {
    /// Whether age can be counted from the newest row: one with a time that cannot be must not make all others old. Of what
    /// is announced times may lie up to a year ahead; of all else only clocks differ.
    pub fn is_plausible(&self, today: Date) -> bool {
        let ahead = match self.table.as_str() {
            INSTRUMENTS | CORPORATE_ACTIONS => Span::new().years(1),
            _ => Span::new().days(2),
        };
        self.newest <= today.saturating_add(ahead)
    }
}

impl Store {
    /// [`Sealer::expired`].
    ///
    /// # Errors
    /// As that.
    pub fn expired(&self, table: &str, keep: Span) -> Result<Option<Expired>> {
        self.sealer()?.expired(table, keep)
    }

    /// [`Sealer::drop_expired`].
    ///
    /// # Errors
    /// As that.
    pub fn drop_expired(&self, expired: &Expired, marts: &[String]) -> Result<()> {
        self.sealer()?.drop_expired(expired, marts)
    }
}

impl Sealer {
    /// What of a table is older than the `keep` that ends with its newest UTC date: of "30 days" the 30 newest dates
    /// stay. `None` if the table has no row.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn expired(&self, table: &str, keep: Span) -> Result<Option<Expired>> {
        let table = self.catalog.named(table)?;
        let (name, time) = (&table.name, table.time());
        let doing = || format!("reading the dates of {name}");
        let newest: Option<i64> = self
            .conn
            .query_row(
                &format!(
                    "SELECT greatest((SELECT epoch_ns(max({time})) FROM {}),
                                     (SELECT epoch_ns(max(max_ts)) FROM ops.manifest WHERE table_name = ?))",
                    table.hot()
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
        let start = start_of(first_kept).unwrap_or(i64::MIN);
        // The manifest knows the dates of files of one date; those of others stand in them.
        let longer = format!(
            "{} <> {} AND {}",
            day("min_ts"),
            day("max_ts"),
            reaching_back(name, start)
        );
        let longer = self.files_where(&longer)?;
        let of_longer = if longer.is_empty() {
            String::new()
        } else {
            format!(
                "UNION ALL SELECT {}, count(*) FROM {} WHERE {time} < make_timestamp_ns({start}) GROUP BY 1",
                day(time),
                schema::parquet(&lake::paths(&longer))
            )
        };
        let expired = self
            .conn
            .query_row(
                &format!(
                    "WITH old AS (FROM ops.manifest WHERE {}),
                          unsealed AS (SELECT {} AS date FROM {}),
                          sealed AS (SELECT {first} AS date, rows FROM old WHERE {first} = {}
                                     {of_longer})
                     SELECT (SELECT count(DISTINCT date)
                             FROM (SELECT date FROM sealed UNION ALL SELECT date FROM unsealed)),
                            count(*) FILTER (max_ts < make_timestamp_ns({start})),
                            coalesce(sum(bytes) FILTER (max_ts < make_timestamp_ns({start})), 0)::UBIGINT,
                            count(*) FILTER (max_ts >= make_timestamp_ns({start})),
                            (SELECT coalesce(sum(rows), 0)::UBIGINT FROM sealed),
                            (SELECT count(*) FROM unsealed)
                     FROM old",
                    reaching_back(name, start),
                    day(time),
                    hot_before(table, first_kept),
                    day("max_ts"),
                    first = day("min_ts")
                ),
                [],
                |row| {
                    Ok(Expired {
                        table: name.clone(),
                        newest,
                        first_kept,
                        dates: row.get(0)?,
                        files: row.get(1)?,
                        bytes: row.get(2)?,
                        cut: row.get(3)?,
                        sealed_rows: row.get(4)?,
                        hot_rows: row.get(5)?,
                    })
                },
            )
            .doing(doing())?;
        Ok(Some(expired))
    }

    /// Drops it, all or nothing, once these marts have all of it; they keep what they have made. Of what was made from raw
    /// messages that are still there, a rebuild makes it again.
    ///
    /// # Errors
    /// Nothing was dropped then, or only a file could not be removed, which the next start tries again.
    pub fn drop_expired(&self, expired: &Expired, marts: &[String]) -> Result<()> {
        let table = self.catalog.named(&expired.table)?;
        // Files are not to be cut in vain; what counts is asked again in the transaction.
        self.have_read(marts, table, expired.first_kept)?;
        let doing = || format!("dropping rows of {}", table.name);
        let start = start_of(expired.first_kept).unwrap_or(i64::MIN);
        let both_sides = format!(
            "{} AND max_ts >= make_timestamp_ns({start})",
            reaching_back(&table.name, start)
        );
        let _standing = self.stand(table);
        let mut cut = Vec::new();
        let dropped = self
            .files_where(&both_sides)
            .and_then(|files| {
                files.into_iter().try_for_each(|file| {
                    cut.push(self.cut(table, &file, start)?);
                    Ok(())
                })
            })
            .and_then(|()| self.conn.execute_batch("BEGIN").doing(doing()))
            .and_then(|()| {
                let dropped = self
                    .have_read(marts, table, expired.first_kept)
                    .and_then(|()| self.drop_rows(table, expired.first_kept, &cut));
                if dropped.is_err() {
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                dropped
            });
        if dropped.is_err() {
            for file in &cut {
                // If it cannot be removed now, the next start does it.
                let _ = std::fs::remove_file(self.dir.join(&file.path));
            }
        }
        dropped?;
        self.conn.execute_batch("COMMIT").doing(doing())?;
        self.remove_outgoing()
    }

    fn files_where(&self, condition: &str) -> Result<Vec<Entry>> {
        let files = lake::entries_where(&self.conn, condition)?;
        Ok(files.into_iter().map(|(_, file)| file).collect())
    }

    /// Writes a file's rows from `start` on to a file of their own, which has its name but is not known yet.
    fn cut(&self, table: &Table, file: &Entry, start: i64) -> Result<Entry> {
        let doing = || format!("dropping rows of {}", file.path);
        if lake::hash_of(&self.dir.join(&file.path))? != file.hash {
            return Err(Error::SealMismatch {
                table: table.name.clone(),
                date: file.date.to_string(),
                message: format!(
                    "{} is not what was written: its checksum differs",
                    file.path
                ),
            });
        }
        let rows = format!(
            "{} WHERE {} >= make_timestamp_ns({start})",
            schema::parquet(&lake::paths(std::slice::from_ref(file))),
            table.time()
        );
        let mut staged = Staged::create(&self.dir, table, file.date, lake::SEAL_LEVEL)?;
        let select = format!(
            "SELECT {} FROM {rows} ORDER BY {}",
            table.select_list(),
            lake::sort_columns(table).join(", ")
        );
        let mut statement = self.conn.prepare(&select).doing(doing())?;
        for batch in statement.stream_arrow([]).doing(doing())? {
            staged.write(&batch.doing(doing())?)?;
        }
        drop(statement);
        let facts = staged.finish()?;
        let expected = source_facts(&self.conn, &rows, table.time()).doing(doing())?;
        if facts != expected {
            return Err(Error::SealMismatch {
                table: table.name.clone(),
                date: file.date.to_string(),
                message: format!("the file holds {facts:?}, its source {expected:?}"),
            });
        }
        let path = lake::free_path(&self.dir, &self.conn, table, file.date, &facts)?;
        lake::announce(&self.conn, &path)?;
        let (bytes, hash) = staged.publish(&self.dir.join(&path))?;
        Ok(Entry {
            date: file.date,
            path,
            bytes,
            hash,
            facts,
            loaded: file.loaded,
        })
    }

    /// Whether marts that are made from one another have all rows of a table before a date, or some after it are not in
    /// them yet.
    fn have_read(&self, marts: &[String], table: &Table, first_kept: Date) -> Result<()> {
        if marts.is_empty() {
            return Ok(());
        }
        let has_seq = table.columns.iter().any(|c| c.name == "seq" && c.required);
        let start = start_of(first_kept).unwrap_or(i64::MIN);
        let marts_list = literals(marts.iter().map(String::as_str));
        let read: bool = self
            .conn
            .query_row(
                &format!(
                    "WITH old AS (SELECT max(seq) AS seq FROM {}
                                  UNION ALL SELECT max(last_seq) FROM ops.manifest WHERE {}),
                          marks AS (SELECT seq FROM ops.model_marks WHERE source = $1 AND model IN ({marts_list}))
                     SELECT coalesce((SELECT min(seq) FROM marks) >= (SELECT coalesce(max(seq), 0) FROM old), false)
                            AND NOT EXISTS (FROM ops.model_pending WHERE model IN ({marts_list}))
                            AND NOT EXISTS (FROM ops.models WHERE name IN ({marts_list}) AND built IS DISTINCT FROM defined)",
                    hot_before(table, first_kept),
                    reaching_back(&table.name, start)
                ),
                [&table.name],
                |row| row.get(0),
            )
            .doing(format!("reading how far {} is read", table.name))?;
        if read && has_seq {
            return Ok(());
        }
        Err(Error::NotDownsampled {
            table: table.name.clone(),
            mart: marts.last().cloned().unwrap_or_default(),
        })
    }

    /// All but the commit.
    fn drop_rows(&self, table: &Table, first_kept: Date, cut: &[Entry]) -> Result<()> {
        keep_last_seq(&self.conn)?;
        let version = Version::begin(&self.conn, &table.name)?;
        let old = reaching_back(&table.name, start_of(first_kept).unwrap_or(i64::MIN));
        if lake::retire(&self.conn, &old, &version)? > 0 {
            for file in cut {
                lake::record(&self.conn, table, file, &version)?;
            }
            version.end("retain", Some(&format!("from {first_kept} on")))?;
        }
        delete_hot(&self.conn, &table.name, &is_before(table, first_kept))
            .doing(format!("dropping rows of {}", table.name))?;
        // Marts keep what they have made of it. Who keeps longer from now on has not got back what went before.
        let date = first_kept.to_string();
        self.conn
            .execute(
                "DELETE FROM ops.retained WHERE table_name = ? AND first_kept < ?::DATE",
                params![table.name, date],
            )
            .and_then(|_| {
                self.conn.execute(
                    "INSERT INTO ops.retained SELECT $1, $2::DATE
                     WHERE NOT EXISTS (FROM ops.retained WHERE table_name = $1)",
                    params![table.name, date],
                )
            })
            .doing("writing ops.retained")?;
        schema::replace_views(&self.conn, &self.catalog, table)
    }
}

/// Once raw has made all rows of a table again that it can make, marts may be made of those that were dropped before: all
/// are there again, or those from where raw itself was kept. Nothing is given back of what may have come from elsewhere:
/// from vendors' files, from mdb itself, or, `whole` says, from a book that raw does not know from its beginning.
pub(super) fn give_back(conn: &Connection, table: &str, whole: bool) -> Result<()> {
    if matches!(table, FEED_EVENTS | DEAD_LETTERS) || (table == BOOK_TOPS && !whole) {
        return Ok(());
    }
    let origin = if table == BOOK_TOPS {
        BOOK_DELTAS
    } else {
        table
    };
    let of_it = format!(
        "table_name = '{table}' AND NOT EXISTS (FROM ops.file_loads WHERE into_table IN ('{table}', '{origin}'))"
    );
    let raw = format!("ops.retained WHERE table_name = '{RAW_MESSAGES}'");
    // What is announced is received before the date that it is of.
    let lowered = if matches!(table, BOOK_TOPS | INSTRUMENTS | CORPORATE_ACTIONS) {
        "first_kept".to_owned()
    } else {
        format!("least(first_kept, (SELECT max(first_kept) FROM {raw}))")
    };
    let sql = format!(
        "DELETE FROM ops.retained WHERE {of_it} AND NOT EXISTS (FROM {raw});
         UPDATE ops.retained SET first_kept = {lowered} WHERE {of_it}"
    );
    conn.execute_batch(&sql).doing("writing ops.retained")
}

/// Before rows go: a seq is never used again, even if the row that had the last one does.
pub(super) fn keep_last_seq(conn: &Connection) -> Result<()> {
    let last_seq = next_seq(conn)? - 1;
    conn.execute("DELETE FROM ops.progress WHERE venue = ?", [NO_VENUE])
        .and_then(|_| {
            conn.execute(
                "INSERT INTO ops.progress VALUES (?, 'retain', ?)",
                params![NO_VENUE, last_seq],
            )
        })
        .doing("writing ops.progress")
        .map(|_| ())
}

/// SQL for the UTC date of a time, in days since 1970: a cast would round, and count the last half microsecond of a date as
/// the next one's.
fn day(time: &str) -> String {
    format!("(epoch_ns({time}) - (epoch_ns({time}) % {DAY_NS} + {DAY_NS}) % {DAY_NS}) // {DAY_NS}")
}

/// Files that have rows of earlier times.
fn reaching_back(table: &str, start: i64) -> String {
    format!("table_name = '{table}' AND min_ts < make_timestamp_ns({start})")
}

/// Hot rows of earlier dates. Those without a time are of none.
fn hot_before(table: &Table, date: Date) -> String {
    format!("{} WHERE {}", table.hot(), is_before(table, date))
}

fn is_before(table: &Table, date: Date) -> String {
    let start = start_of(date).unwrap_or(i64::MIN);
    format!("{} < make_timestamp_ns({start})", table.time())
}
