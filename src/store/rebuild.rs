//! Rebuilding: canonical tables are made again from raw, hot and sealed, by the same path that made them,
//! beside the old ones; then one transaction puts them in their place.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use duckdb::Connection;
use jiff::civil::Date;

use super::book_rows::CHANNEL;
use super::catalog::{Table, delete_hot};
use super::error::{Doing, Error, Result};
use super::history::Version;
use super::normalize::Normalizers;
use super::raw::{self, RawBatch};
use super::retain::give_back;
use super::writer::{Target, Writer, Written};
use super::{Store, lake, schema};
use crate::model::sql::literals;
use crate::model::time::date_of;
use crate::model::{BOOK_DELTAS, BOOK_TOPS, DEAD_LETTERS, FEED_EVENTS, RAW_MESSAGES};
use crate::venues::{self, Venue};

/// Rows of raw that are sorted by seq at a time, by their numbers.
const WINDOW_SEQS: u64 = 1_000_000;
/// A batch ends once it holds this many messages or bytes.
const BATCH_ROWS: usize = 32_768;
const BATCH_BYTES: usize = 8 << 20;

/// The condition that the message of a row is there.
const IN_RAW: &str = "seq IN (SELECT seq FROM main.raw_messages)";
/// Beside the tables: the first message of each book after which the replay knew its best prices. No table has such a name.
const STARTS: &str = "\"starts of books\"";

/// UTC dates and their rows.
type Dates = Vec<(Date, u64)>;

/// What to rebuild.
#[derive(Debug, Default, Clone)]
pub struct Rebuild {
    /// Only this venue's rows.
    pub venue: Option<String>,
    /// Only this table, or the tables that come with it: deltas, tops and gaps of books are one.
    pub table: Option<String>,
}

/// What a rebuild did.
#[derive(Debug, Default, Clone)]
pub struct Rebuilt {
    /// What was made.
    pub written: Written,
    /// Messages to read in all.
    pub messages: u64,
    /// Whether it was stopped, so that nothing was changed.
    pub stopped: bool,
}

impl Store {
    /// Makes canonical rows again. Until the end nothing of the old changes.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub fn rebuild(
        &mut self,
        what: &Rebuild,
        stop: &AtomicBool,
        mut progress: impl FnMut(&Rebuilt),
    ) -> Result<Rebuilt> {
        let names = self.venues_of_raw(what.venue.as_deref())?;
        let venues = names
            .iter()
            .map(|v| venues::load(&self.tree, v))
            .collect::<Result<Vec<_>, _>>()?;
        let tables = self.tables_to_rebuild(what.table.as_deref(), &venues)?;
        let only: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
        self.create_beside(&tables)?;
        // Before the replay: what it brings again of them is known then.
        self.keep_others(&tables, &venues)?;
        let reaches_back = self.reaches_back(&tables, &venues)?;

        let target = Target {
            schema: "rebuild",
            raw: false,
            only: Some(only.clone()),
        };
        let mut writer = Writer::new(self.clone_connection()?, Arc::clone(&self.catalog), target);
        let mut rebuilt = Rebuilt {
            messages: self.count_raw(&names)?,
            ..Rebuilt::default()
        };
        for venue in &venues {
            let normalizers =
                Normalizers::new(self.connections()?, venue, &self.catalog, Some(&only))?;
            writer.open_venue(venue, std::iter::empty())?;
            self.replay(venue, normalizers, &mut writer, stop, &mut |written| {
                rebuilt.written.add(written);
                progress(&rebuilt);
            })?;
            writer.settle()?;
            if stop.load(Ordering::Relaxed) {
                rebuilt.stopped = true;
                self.drop_beside()?;
                return Ok(rebuilt);
            }
        }
        self.keep_sources(&tables)?;
        if !reaches_back {
            self.keep_books(&venues)?;
        }
        let all_venues = what.venue.is_none();
        let sealed = self.put_in_place(&tables, &names, all_venues, reaches_back, writer)?;
        let seals = self.sealer()?;
        for (table, dates) in sealed {
            seals.seal_dates(&table, &dates)?;
        }
        Ok(rebuilt)
    }

    fn venues_of_raw(&self, only: Option<&str>) -> Result<Vec<String>> {
        if let Some(name) = only {
            return Ok(vec![name.to_owned()]);
        }
        self.conn
            .prepare("SELECT DISTINCT venue FROM raw_messages ORDER BY venue")
            .and_then(|mut s| {
                s.query_map([], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .doing("reading raw_messages")
    }

    fn count_raw(&self, venues: &[String]) -> Result<u64> {
        let mut sum = 0;
        for venue in venues {
            sum += self
                .conn
                .query_row(
                    "SELECT count(*) FROM raw_messages WHERE venue = ?",
                    [venue],
                    |row| row.get::<_, u64>(0),
                )
                .doing("reading raw_messages")?;
        }
        Ok(sum)
    }

    /// The tables that raw fills, or the ones that come with `only`.
    fn tables_to_rebuild(&self, only: Option<&str>, venues: &[Venue]) -> Result<Vec<Arc<Table>>> {
        let mut derived: BTreeSet<&str> = venues
            .iter()
            .flat_map(|v| &v.normalizers)
            .map(|f| f.name.as_str())
            .collect();
        derived.extend([BOOK_TOPS, FEED_EVENTS, DEAD_LETTERS]);
        let names: BTreeSet<&str> = match only {
            None | Some(DEAD_LETTERS) => derived,
            Some(BOOK_DELTAS | BOOK_TOPS | FEED_EVENTS) => {
                [BOOK_DELTAS, BOOK_TOPS, FEED_EVENTS].into()
            }
            Some(name) if derived.contains(name) => [name].into(),
            Some(name) => {
                return Err(Error::Model {
                    file: format!("table '{name}'"),
                    message: format!(
                        "it is not made from raw by these venues; these are: {}",
                        derived.into_iter().collect::<Vec<_>>().join(", ")
                    ),
                });
            }
        };
        names
            .into_iter()
            .map(|name| self.catalog.own(name).cloned())
            .collect()
    }

    fn create_beside(&self, tables: &[Arc<Table>]) -> Result<()> {
        self.drop_beside()?;
        self.conn
            .execute_batch("CREATE SCHEMA rebuild")
            .doing("preparing the rebuild")?;
        for table in tables {
            self.conn
                .execute_batch(&format!(
                    "CREATE TABLE rebuild.{0} AS FROM hot.{0} LIMIT 0",
                    table.name
                ))
                .doing("preparing the rebuild")?;
        }
        Ok(())
    }

    fn drop_beside(&self) -> Result<()> {
        self.conn
            .execute_batch("DROP SCHEMA IF EXISTS rebuild CASCADE")
            .doing("clearing an earlier rebuild")
    }

    /// Sends a venue's raw rows through its normalizers, in the order of their seq.
    fn replay(
        &self,
        venue: &Venue,
        mut normalizers: Normalizers,
        writer: &mut Writer,
        stop: &AtomicBool,
        committed: &mut impl FnMut(&Written),
    ) -> Result<()> {
        let reader = self.clone_connection()?;
        let end = self.next_seq()?;
        let mut from = 0;
        while from < end && !stop.load(Ordering::Relaxed) {
            let to = from.saturating_add(WINDOW_SEQS);
            for_batches(&reader, &venue.name, from, to, |rows| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let raw = RawBatch {
                    venue: venue.name.clone(),
                    rows,
                };
                committed(&writer.add(normalizers.run(raw)?)?);
                Ok(())
            })?;
            from = to;
        }
        Ok(())
    }

    /// Copies the rows that are not made from these venues' raw rows.
    fn keep_others(&self, tables: &[Arc<Table>], venues: &[Venue]) -> Result<()> {
        for table in tables {
            let fills = |v: &&Venue| {
                v.normalizers.iter().any(|f| f.name == table.name)
                    || [BOOK_TOPS, FEED_EVENTS, DEAD_LETTERS].contains(&table.name.as_str())
            };
            let made = of_venues(venues.iter().filter(fills));
            let made = match table.name.as_str() {
                FEED_EVENTS => format!("{made} AND channel = '{CHANNEL}'"),
                _ => made,
            };
            // Rows whose message is gone cannot be made again.
            let sql = format!(
                "INSERT INTO rebuild.{} BY NAME SELECT * FROM {} WHERE NOT coalesce({made} AND {IN_RAW}, false)",
                table.name,
                self.own_rows(table)?
            );
            self.conn
                .execute_batch(&sql)
                .doing(format!("keeping other rows of {}", table.name))?;
        }
        Ok(())
    }

    /// The rows of a table but for those that were loaded from vendors' files, which stay where they are.
    fn own_rows(&self, table: &Table) -> Result<String> {
        let hot = table.hot();
        let files = schema::lake_files(&self.conn, table, Some(false))?;
        Ok(match files {
            Some(files) => format!("(FROM {hot} UNION ALL BY NAME FROM {files})"),
            None => hot,
        })
    }

    /// Raw does not know which file and line a dead letter came from.
    fn keep_sources(&self, tables: &[Arc<Table>]) -> Result<()> {
        if !tables.iter().any(|t| t.name == DEAD_LETTERS) {
            return Ok(());
        }
        self.conn
            .execute_batch(
                "UPDATE rebuild.dead_letters n SET source = o.source, line = o.line
                 FROM main.dead_letters o WHERE o.seq = n.seq AND o.source IS NOT NULL",
            )
            .doing("keeping where dead letters came from")
    }

    /// Whether raw has all messages that these venues' books were made from. Asked before the replay, when what is beside are
    /// the rows whose message is gone.
    fn reaches_back(&self, tables: &[Arc<Table>], venues: &[Venue]) -> Result<bool> {
        if !tables.iter().any(|t| t.name == BOOK_DELTAS) {
            return Ok(true);
        }
        let made = of_venues(venues);
        self.conn
            .query_row(
                &format!(
                    "SELECT NOT EXISTS (FROM ops.retained WHERE table_name = '{RAW_MESSAGES}')
                            AND NOT EXISTS (FROM rebuild.{BOOK_DELTAS} WHERE {made})
                            AND NOT EXISTS (FROM rebuild.{BOOK_TOPS} WHERE {made})"
                ),
                [],
                |row| row.get(0),
            )
            .doing("reading what is kept of books")
    }

    /// A book that stood on messages that are gone says nothing in a replay until its next snapshot: what it said up to
    /// there is kept. One of which no snapshot came is made again from its deltas when it is next taken up.
    fn keep_books(&self, venues: &[Venue]) -> Result<()> {
        let doing = "keeping what books said";
        let made = of_venues(venues);
        self.conn
            .execute_batch(&format!(
                "CREATE TABLE rebuild.{STARTS} AS SELECT venue, symbol, min(seq) AS seq
                 FROM rebuild.{BOOK_TOPS} WHERE {made} AND {IN_RAW} GROUP BY ALL"
            ))
            .doing(doing)?;
        let before = format!(
            "{made} AND {IN_RAW} AND NOT EXISTS (FROM rebuild.{STARTS} s
                 WHERE s.venue = t.venue AND s.symbol = t.symbol AND s.seq <= t.seq)"
        );
        let of_books = [
            (BOOK_TOPS, before.clone()),
            (FEED_EVENTS, format!("{before} AND channel = '{CHANNEL}'")),
        ];
        for (table, said_before) in of_books {
            let own = self.own_rows(self.catalog.own(table)?)?;
            self.conn
                .execute_batch(&format!(
                    "DELETE FROM rebuild.{table} t WHERE {said_before};
                     INSERT INTO rebuild.{table} BY NAME SELECT * FROM {own} t WHERE {said_before};"
                ))
                .doing(doing)?;
        }
        Ok(())
    }

    /// Swaps old for new, of `all_venues` or only these. Returns the tables and dates that were sealed, with their rows, to be
    /// sealed again.
    fn put_in_place(
        &self,
        tables: &[Arc<Table>],
        venues: &[String],
        all_venues: bool,
        reaches_back: bool,
        mut writer: Writer,
    ) -> Result<Vec<(Arc<Table>, Dates)>> {
        let mut old = Vec::new();
        writer.in_transaction(|conn, books| {
            for table in tables {
                let files = manifest_of(conn, &table.name)?;
                if !files.is_empty() {
                    let version = Version::begin(conn, &table.name)?;
                    let made = format!("table_name = '{}' AND NOT loaded", table.name);
                    lake::retire(conn, &made, &version)?;
                    version.end("rebuild", None)?;
                }
                old.push(files);
                let name = &table.name;
                delete_hot(conn, name, "true")
                    .and_then(|_| {
                        conn.execute_batch(&format!(
                            "INSERT INTO hot.{name} FROM rebuild.{name};
                             DELETE FROM ops.model_marks WHERE '{name}' IN string_split(source, ' of ');"
                        ))
                    })
                    .doing(format!("putting {name} in place"))?;
                if all_venues {
                    give_back(conn, name, reaches_back)?;
                }
                schema::replace_views(conn, &self.catalog, table)?;
            }
            if tables.iter().any(|t| t.name == BOOK_DELTAS) {
                for venue in venues {
                    conn.execute("DELETE FROM ops.books WHERE venue = ?", [venue])
                        .doing("writing ops.books")?;
                }
                for books in books {
                    books.store(conn)?;
                }
                if !reaches_back {
                    conn.execute_batch(&format!(
                        "DELETE FROM ops.books b WHERE venue IN ({}) AND NOT EXISTS
                             (FROM rebuild.{STARTS} s WHERE s.venue = b.venue AND s.symbol = b.symbol)",
                        literals(venues.iter().map(String::as_str))
                    ))
                    .doing("writing ops.books")?;
                }
            }
            conn.execute_batch("DROP SCHEMA rebuild CASCADE")
                .doing("ending the rebuild")
        })?;
        self.remove_outgoing()?;
        let seals = self.sealer()?;
        let mut sealed = Vec::new();
        for (table, files) in tables.iter().zip(old) {
            let mut dates = seals.hot_dates(table)?;
            dates.retain(|(date, _)| files.iter().any(|held| held.contains(date)));
            sealed.push((Arc::clone(table), dates));
        }
        Ok(sealed)
    }
}

/// The condition that a row is of one of these venues.
fn of_venues<'a>(venues: impl IntoIterator<Item = &'a Venue>) -> String {
    let names = literals(venues.into_iter().map(|v| v.name.as_str()));
    if names.is_empty() {
        return "false".to_owned();
    }
    format!("venue IN ({names})")
}

/// Dates that a table's files have rows of, of those that raw makes again.
fn manifest_of(conn: &Connection, table: &str) -> Result<Vec<RangeInclusive<Date>>> {
    conn.prepare(
        "SELECT epoch_ns(min_ts), epoch_ns(max_ts) FROM ops.manifest WHERE table_name = ? AND NOT loaded",
    )
    .and_then(|mut s| {
        s.query_map([table], |row| {
            Ok(date_of(row.get(0)?)..=date_of(row.get(1)?))
        })
        .and_then(Iterator::collect)
    })
    .doing("reading the manifest")
}

/// Raw rows of a venue with `from <= seq < to` in batches of bounded size, by rising seq.
fn for_batches(
    conn: &Connection,
    venue: &str,
    from: u64,
    to: u64,
    mut take: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut statement = conn
        .prepare_cached(
            "SELECT seq, recv_ts, channel, symbol, payload FROM raw_messages
             WHERE venue = ? AND seq >= ? AND seq < ? ORDER BY seq",
        )
        .doing("reading raw_messages")?;
    let stream = statement
        .stream_arrow(duckdb::params![venue, from, to])
        .doing("reading raw_messages")?;
    let (mut waiting, mut rows, mut bytes) = (Vec::new(), 0, 0);
    for batch in stream {
        let batch = RecordBatch::try_new(
            raw::schema(),
            batch.doing("reading raw_messages")?.columns().to_vec(),
        )?;
        rows += batch.num_rows();
        bytes += batch
            .column(4)
            .as_any()
            .downcast_ref()
            .map_or(0, |a: &StringArray| a.value_data().len());
        waiting.push(batch);
        if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
            take(concat_batches(&raw::schema(), &waiting)?)?;
            waiting.clear();
            (rows, bytes) = (0, 0);
        }
    }
    if waiting.is_empty() {
        Ok(())
    } else {
        take(concat_batches(&raw::schema(), &waiting)?)
    }
}
