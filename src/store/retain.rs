//! Retention: what is older than a table is to be kept goes, whole UTC dates at a time, sealed and hot. A file that has
//! dates on both sides is written again without the old ones.
//!
//! Age is counted from the table's newest row, not from a clock: a capture that stood still for a month does not lose
//! one. As with a merge, the manifest and the view change in one transaction, and the files go once nobody can be
//! reading them.
//!
//! If marts are to hold what goes, rows stay that came for times of which rows had gone before: marts make nothing anew
//! there, so that these rows are in none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use duckdb::{Connection, params};
use jiff::Span;
use jiff::civil::Date;

use super::catalog::{Table, delete_hot};
use super::error::{Doing, Error, Result};
use super::history::Version;
use super::lake::{Entry, Facts, Staged};
use super::models::Kind;
use super::news::Modeler;
use super::seal::source_facts;
use super::{Sealer, Store, lake, next_seq, schema};
use crate::model::sql::{literal, literals};
use crate::model::time::{DAY_NS, date_of, start_of};
use crate::model::window::Window;
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
    /// Rows that are as old and stay: they came when rows of their time had gone, and the marts lack them.
    pub late_rows: u64,
    /// The marts that are to hold what goes, the one that was named last; if there are none, all goes.
    pub marts: Vec<String>,
    late: Late,
    /// The files of which rows go, each with how many do.
    old: Vec<(Entry, u64)>,
}

/// Which rows marts lack: those before a time, ns, whose seq is at least that of the first that was not read when rows of
/// that time went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Late(Vec<(i64, u64)>);

impl Late {
    /// Of what lies before `start_ns`.
    fn new(mut limits: Vec<(i64, u64)>, start_ns: i64) -> Self {
        for (before, _) in &mut limits {
            *before = start_ns.min(*before);
        }
        limits.sort_unstable_by_key(|&(before, seq)| (Reverse(before), seq));
        // One that says nothing beside those of later times.
        let mut least = u64::MAX;
        limits.retain(|&(_, seq)| {
            let says = seq < least;
            least = least.min(seq);
            says
        });
        Self(limits)
    }

    /// The condition that a row is one.
    fn sql(&self, time: &str) -> String {
        let limits = self.0.iter().map(|(before, seq)| {
            format!("({time} < make_timestamp_ns({before}) AND seq >= {seq})")
        });
        let limits: Vec<String> = limits.collect();
        if limits.is_empty() {
            return "false".to_owned();
        }
        format!("(({}) IS TRUE)", limits.join(" OR "))
    }

    /// Whether a file may hold such rows.
    fn may_be_in(&self, file: &Facts) -> bool {
        let last_seq = file.last_seq.unwrap_or(u64::MAX);
        let mut limits = self.0.iter();
        limits.any(|&(before, seq)| file.min_ts < before && last_seq >= seq)
    }

    /// Whether a file holds no others.
    fn is_all_of(&self, file: &Facts) -> bool {
        let first_seq = file.first_seq.unwrap_or(0);
        let mut limits = self.0.iter();
        limits.any(|&(before, seq)| file.max_ts < before && first_seq >= seq)
    }
}

/// A mart that is to hold what goes.
struct Keeper {
    name: String,
    window: Window,
    /// The canonical tables that it is made from, but for those that other marts are made from.
    sources: BTreeSet<String>,
}

/// Old rows of a date.
struct OfDate {
    /// Days since 1970.
    day: i64,
    /// Rows that go.
    goes: u64,
    /// Rows that stay.
    late: u64,
}

impl Expired {
    /// The condition that a row goes.
    fn goes(&self, time: &str) -> String {
        format!(
            "{} AND NOT {}",
            is_before(time, self.first_kept),
            self.late.sql(time)
        )
    }

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
    pub fn expired(&self, table: &str, keep: Span, marts: Vec<String>) -> Result<Option<Expired>> {
        let keepers = keepers(&marts, || self.modeler())?;
        self.sealer()?.look(table, keep, marts, &keepers)
    }

    /// [`Sealer::drop_expired`].
    ///
    /// # Errors
    /// As that.
    pub fn drop_expired(&self, expired: &Expired) -> Result<()> {
        self.sealer()?.drop_expired(expired)
    }
}

impl Sealer {
    /// What of a table is older than the `keep` that ends with its newest UTC date: of "30 days" the 30 newest dates
    /// stay. If marts are to hold it, that are made from one another, only what they have or will have read, and of no window
    /// of whole days a part. `None` if the table has no row.
    ///
    /// # Errors
    /// If there is no such table, or the marts cannot be read.
    pub fn expired(&self, table: &str, keep: Span, marts: Vec<String>) -> Result<Option<Expired>> {
        let keepers = keepers(&marts, || self.modeler())?;
        self.look(table, keep, marts, &keepers)
    }

    fn look(
        &self,
        table: &str,
        keep: Span,
        marts: Vec<String>,
        keepers: &[Keeper],
    ) -> Result<Option<Expired>> {
        let table = self.catalog.named(table)?;
        let (name, time) = (&table.name, table.time());
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
            .doing(format!("reading the dates of {name}"))?;
        let Some(newest) = newest.map(date_of) else {
            return Ok(None);
        };
        let mut first_kept = newest
            .tomorrow()
            .unwrap_or(Date::MAX)
            .saturating_sub(keep)
            .max(EARLIEST);
        for keeper in keepers.iter().filter(|k| k.sources.contains(name)) {
            let start = start_of(first_kept).unwrap_or(i64::MIN);
            first_kept = first_kept.min(date_of(keeper.window.around(start).0));
        }
        let start = start_of(first_kept).unwrap_or(i64::MIN);
        let mut expired = Expired {
            table: name.clone(),
            newest,
            first_kept,
            dates: 0,
            files: 0,
            bytes: 0,
            cut: 0,
            sealed_rows: 0,
            hot_rows: 0,
            late_rows: 0,
            marts,
            late: Late::new(self.late(table, keepers)?, start),
            old: Vec::new(),
        };
        let mut dates = BTreeSet::new();
        for of_date in self.old_rows(table, &table.hot(), &expired)? {
            expired.hot_rows += of_date.goes;
            expired.late_rows += of_date.late;
            dates.extend((of_date.goes > 0).then_some(of_date.day));
        }
        for file in self.files_where(&reaching_back(name, start))? {
            let mut goes = 0;
            for of_date in self.old_rows_of(table, &file, &expired)? {
                goes += of_date.goes;
                expired.late_rows += of_date.late;
                dates.extend((of_date.goes > 0).then_some(of_date.day));
            }
            expired.sealed_rows += goes;
            if goes == file.facts.rows {
                expired.files += 1;
                expired.bytes += file.bytes;
            } else if goes > 0 {
                expired.cut += 1;
            }
            if goes > 0 {
                expired.old.push((file, goes));
            }
        }
        expired.dates = dates.len() as u64;
        Ok(Some(expired))
    }

    /// Which rows of a table marts lack. When rows of a time have gone, of whatever a mart is made from, it makes nothing anew
    /// there: what it has is what it had read until then.
    fn late(&self, table: &Table, keepers: &[Keeper]) -> Result<Vec<(i64, u64)>> {
        let mut late = Vec::new();
        if !keepers.iter().any(|k| k.sources.contains(&table.name)) {
            // Nothing is dropped: see `have_read`.
            return Ok(late);
        }
        for keeper in keepers.iter().filter(|keeper| !keeper.sources.is_empty()) {
            let sql = format!(
                "SELECT table_name, epoch_ns(first_kept::TIMESTAMP_NS),
                        coalesce(list_min([m.seq FOR m IN marks IF m.model = {} AND m.source = {}]), 0)::UBIGINT
                 FROM ops.retained WHERE table_name IN ({})",
                literal(&keeper.name),
                literal(&table.name),
                literals(keeper.sources.iter().map(String::as_str))
            );
            let gone: Vec<(String, i64, u64)> = self
                .conn
                .prepare(&sql)
                .and_then(|mut s| {
                    s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                        .collect()
                })
                .doing("reading ops.retained")?;
            for (of, first_kept, read) in gone {
                // All that lies there came later.
                late.extend((of == table.name).then_some((first_kept, 0)));
                // A window that is cut has lost a part.
                let (start, end) = keeper.window.around(first_kept);
                let before = if start == first_kept { start } else { end };
                late.push((before, read.saturating_add(1)));
            }
        }
        Ok(late)
    }

    /// Rows of a relation before the first date that is kept, by date.
    fn old_rows(&self, table: &Table, relation: &str, expired: &Expired) -> Result<Vec<OfDate>> {
        let (time, late) = (table.time(), expired.late.sql(table.time()));
        self.conn
            .prepare(&format!(
                "SELECT {}, count(*) FILTER (NOT {late}), count(*) FILTER ({late}) FROM {relation} WHERE {} GROUP BY 1",
                day(time),
                is_before(time, expired.first_kept)
            ))
            .and_then(|mut s| {
                s.query_map([], |row| {
                    Ok(OfDate {
                        day: row.get(0)?,
                        goes: row.get(1)?,
                        late: row.get(2)?,
                    })
                })?
                .collect()
            })
            .doing(format!("reading the dates of {}", table.name))
    }

    /// The same of a file that has such rows. It is read only if the manifest does not know it.
    fn old_rows_of(&self, table: &Table, file: &Entry, expired: &Expired) -> Result<Vec<OfDate>> {
        let facts = &file.facts;
        let day = facts.min_ts.div_euclid(DAY_NS);
        let (goes, late) = if expired.late.is_all_of(facts) {
            (0, facts.rows)
        } else if day == facts.max_ts.div_euclid(DAY_NS) && !expired.late.may_be_in(facts) {
            (facts.rows, 0)
        } else {
            let rows = schema::parquet(&literal(&file.path));
            return self.old_rows(table, &rows, expired);
        };
        Ok(vec![OfDate { day, goes, late }])
    }

    /// Drops it, all or nothing, once its marts have all of it; they keep what they have made. Of what was made from raw
    /// messages that are still there, a rebuild makes it again.
    ///
    /// # Errors
    /// Nothing was dropped then, or only a file could not be removed, which the next start tries again.
    pub fn drop_expired(&self, expired: &Expired) -> Result<()> {
        let table = self.catalog.named(&expired.table)?;
        // Files are not to be cut in vain; what counts is asked again in the transaction.
        self.have_read(&expired.marts, table, expired.first_kept)?;
        let doing = || format!("dropping rows of {}", table.name);
        let goes = expired.goes(table.time());
        let _standing = self.stand(table);
        let mut cut = Vec::new();
        let mut cut_all = || -> Result<()> {
            for (file, gone) in &expired.old {
                if *gone < file.facts.rows {
                    cut.push(self.cut(table, file, &goes)?);
                }
            }
            Ok(())
        };
        let dropped = cut_all()
            .and_then(|()| self.conn.execute_batch("BEGIN").doing(doing()))
            .and_then(|()| {
                let dropped = self
                    .have_read(&expired.marts, table, expired.first_kept)
                    .and_then(|()| self.drop_rows(table, expired, &cut));
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

    /// Writes a file's rows but for those that go to a file of their own, which has its name but is not known yet.
    fn cut(&self, table: &Table, file: &Entry, goes: &str) -> Result<Entry> {
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
            "{} WHERE NOT ({goes})",
            schema::parquet(&literal(&file.path))
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
    fn drop_rows(&self, table: &Table, expired: &Expired, cut: &[Entry]) -> Result<()> {
        keep_last_seq(&self.conn)?;
        let first_kept = expired.first_kept.to_string();
        if !expired.old.is_empty() {
            let version = Version::begin(&self.conn, &table.name)?;
            let old = expired.old.iter().map(|(file, _)| file.path.as_str());
            lake::retire(
                &self.conn,
                &format!("path IN ({})", literals(old)),
                &version,
            )?;
            for file in cut {
                lake::record(&self.conn, table, file, &version)?;
            }
            version.end("retain", Some(&format!("from {first_kept} on")))?;
        }
        delete_hot(&self.conn, &table.name, &expired.goes(table.time()))
            .doing(format!("dropping rows of {}", table.name))?;
        // Marts keep what they have made of it. Who keeps longer from now on has not got back what went before.
        self.conn
            .execute(
                "INSERT INTO ops.retained BY NAME
                 SELECT $1 AS table_name, $2::DATE AS first_kept,
                        (SELECT list({model: model, source: source, seq: seq}) FROM ops.model_marks) AS marks
                 WHERE NOT EXISTS (FROM ops.retained WHERE table_name = $1 AND first_kept >= $2::DATE)",
                params![table.name, first_kept],
            )
            .doing("writing ops.retained")?;
        schema::replace_views(&self.conn, &self.catalog, table)
    }
}

fn keepers(marts: &[String], modeler: impl FnOnce() -> Result<Modeler>) -> Result<Vec<Keeper>> {
    if marts.is_empty() {
        return Ok(Vec::new());
    }
    let modeler = modeler()?;
    let known = marts.iter().filter_map(|name| modeler.models.get(name));
    let keepers = known.filter_map(|model| {
        let Kind::Incremental { window, .. } = model.kind else {
            return None;
        };
        let stored = modeler.models.stored(&model.upstream);
        let sources = stored.iter().flat_map(|name| modeler.sources(name));
        Some(Keeper {
            name: model.name.clone(),
            window,
            sources: sources.map(|source| source.table).collect(),
        })
    });
    Ok(keepers.collect())
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
    format!("{} WHERE {}", table.hot(), is_before(table.time(), date))
}

fn is_before(time: &str, date: Date) -> String {
    let start = start_of(date).unwrap_or(i64::MIN);
    format!("{time} < make_timestamp_ns({start})")
}
