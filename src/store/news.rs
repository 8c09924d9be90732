//! What is new in a canonical table since a model last read it, whichever way it came: captured, loaded, sealed since, or
//! taken back by a correction. Rows carry the seq of their message, which only rises; those that hang on no message are
//! told by when they were received.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use duckdb::types::Value;
use duckdb::{CachedStatement, Connection, params, params_from_iter};
use tokio::sync::mpsc;

use super::catalog::{Catalog, SIDES, Table};
use super::error::{Doing, Error, Result};
use super::live::{self, Order};
use super::models::{self, Models, canonical};
use super::{Sealer, Store, schema};
use crate::model::sql::{identifier, literals};
use crate::model::time::DAY_NS;
use crate::model::window::{Ranges, Window};
use crate::sqltree::SqlTree;

/// Rows without a seq may be committed so much later than they were stamped.
const SLACK_NS: i64 = 60_000_000_000;
/// Rows that came late are listed by windows of at least this length.
const LATE_WINDOW_NS: i64 = 60_000_000_000;
/// Prepared statements that are kept: a few for each mart.
const STATEMENTS: usize = 256;
/// Plans are made anew after this: whatever changes the catalog makes DuckDB pass them over from then on.
const PLANS_LAST: Duration = Duration::from_secs(10);
/// A commit says in which parts of time its rows lie, by windows of this length.
const HEARD_WINDOW: Duration = Duration::from_secs(1);
/// Stands for no time at all.
const NEVER_NS: i64 = i64::MIN;
/// Before any time that is stored, ns: about the year 1685.
const EARLIEST_NS: i64 = -9_000_000_000_000_000_000;

/// How far a model has read a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The last seq.
    pub seq: u64,
    /// When the last row without a seq was received, ns; [`i64::MIN`] if there was none.
    pub recv_ns: i64,
    /// The newest time, ns; [`i64::MIN`] if there was none.
    pub newest_ns: i64,
}

impl Mark {
    /// The further of two, in each respect.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            seq: self.seq.max(other.seq),
            recv_ns: self.recv_ns.max(other.recv_ns),
            newest_ns: self.newest_ns.max(other.newest_ns),
        }
    }

    /// Rows without a seq that were received after this may be new, ns.
    fn recv_with_slack_ns(self) -> i64 {
        self.recv_ns.saturating_sub(SLACK_NS).max(EARLIEST_NS)
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self {
            seq: 0,
            recv_ns: NEVER_NS,
            newest_ns: NEVER_NS,
        }
    }
}

/// What has come since a mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// The windows in which rows have come or gone.
    pub touched: Ranges,
    /// How far it is read then.
    pub mark: Mark,
}

impl News {
    /// Adds what has come after it.
    pub fn add(&mut self, other: &Self) {
        self.touched.extend(other.touched.iter());
        self.mark = self.mark.max(other.mark);
    }

    /// Adds the seconds of rows that are written to a table, as looking for them would find them. Returns false if they cannot
    /// be told from these columns.
    pub(super) fn add_rows(&mut self, table: &Table, rows: &RecordBatch) -> bool {
        let times = |column: &str| {
            let column = rows.column_by_name(column)?;
            column.as_primitive_opt::<TimestampNanosecondType>()
        };
        let seqs = rows.column_by_name("seq");
        let seqs = seqs.and_then(|seqs| seqs.as_primitive_opt::<UInt64Type>());
        let (Some(at), Some(received), Some(seqs)) = (times(table.time()), times("recv_ts"), seqs)
        else {
            return false;
        };
        let second = Window::of(HEARD_WINDOW);
        let (mut seconds, mut mark) = (Vec::new(), self.mark);
        for row in (0..rows.num_rows()).filter(|&row| at.is_valid(row)) {
            let ns = at.value(row);
            let around = second.around(ns);
            if seconds.last() != Some(&around) {
                seconds.push(around);
            }
            mark.newest_ns = mark.newest_ns.max(ns);
            if seqs.is_valid(row) {
                mark.seq = mark.seq.max(seqs.value(row));
            } else if received.is_valid(row) {
                mark.recv_ns = mark.recv_ns.max(received.value(row));
            }
        }
        self.touched.extend(seconds);
        self.mark = mark;
        true
    }
}

/// A canonical table that models are made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The table whose rows are read.
    pub table: String,
    /// The table whose rows take them back, if it is that one's news that count.
    pub voider: Option<String>,
}

impl Source {
    /// What `ops.model_marks` calls it.
    pub fn name(&self) -> String {
        match &self.voider {
            Some(voider) => format!("{} of {}", voider, self.table),
            None => self.table.clone(),
        }
    }
}

/// A connection on which models are built, and what is known of them.
pub struct Modeler {
    /// The connection.
    pub conn: Connection,
    /// The models.
    pub models: Models,
    catalog: Arc<Catalog>,
    plans: RefCell<Plans>,
}

/// Statements of which DuckDB keeps the plan.
#[derive(Default)]
struct Plans {
    of: HashSet<String>,
    since: Option<Instant>,
}

impl Store {
    /// What builds this database's models, beside whatever else is written.
    ///
    /// # Errors
    /// If the SQL tree's models cannot be read.
    pub fn modeler(&self) -> Result<Modeler> {
        Modeler::new(self.clone_connection()?, &self.tree, &self.catalog)
    }
}

impl Sealer {
    /// The same, as sql/ is now.
    ///
    /// # Errors
    /// If the SQL tree's models cannot be read.
    pub fn modeler(&self) -> Result<Modeler> {
        let conn = self.conn.try_clone().doing("opening a connection")?;
        Modeler::new(conn, &SqlTree::load(&self.dir)?, &self.catalog)
    }
}

impl Modeler {
    fn new(conn: Connection, tree: &SqlTree, catalog: &Arc<Catalog>) -> Result<Self> {
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        let models = Models::load(&conn, tree, catalog)?;
        Ok(Self {
            conn,
            models,
            catalog: Arc::clone(catalog),
            plans: RefCell::default(),
        })
    }

    /// A statement on mdb's own small tables. With its optimizer DuckDB plans a statement that reads a table anew at every
    /// execution, and without it only once the catalog has changed: such plans are forgotten every ten seconds.
    ///
    /// # Errors
    /// If DuckDB refuses it.
    pub fn small(&self, sql: &str) -> duckdb::Result<CachedStatement<'_>> {
        let mut plans = self.plans.borrow_mut();
        if plans.since.is_none_or(|since| since.elapsed() > PLANS_LAST) {
            plans.since = Some(Instant::now());
            plans.of.clear();
            self.conn.flush_prepared_statement_cache();
        }
        if !plans.of.insert(sql.to_owned()) {
            return self.conn.prepare_cached(sql);
        }
        self.conn.execute_batch("PRAGMA disable_optimizer")?;
        let statement = self.conn.prepare_cached(sql);
        self.conn.execute_batch("PRAGMA enable_optimizer")?;
        statement
    }

    /// Goes on by another tree, which the database holds already.
    ///
    /// # Errors
    /// If its models cannot be read.
    pub fn reload(&mut self, tree: &SqlTree) -> Result<()> {
        self.models = Models::load(&self.conn, tree, &self.catalog)?;
        Ok(())
    }

    /// The column by which a relation is cut into windows.
    pub fn time_of(&self, relation: &str) -> String {
        self.models.time_of(&self.catalog, relation)
    }

    /// What a canonical table's rows that users see depend on; empty if the relation is none.
    pub fn sources(&self, relation: &str) -> Vec<Source> {
        let Some(table) = canonical(&self.catalog, relation) else {
            return Vec::new();
        };
        let own = Source {
            table: table.name.clone(),
            voider: None,
        };
        let voided = (table.name == relation)
            .then(|| table.voided_by.clone())
            .flatten();
        let voided = voided.map(|voider| Source {
            table: table.name.clone(),
            voider: Some(voider),
        });
        std::iter::once(own).chain(voided).collect()
    }

    /// Makes a mart's table anew, empty.
    ///
    /// # Errors
    /// If its SQL does not run.
    pub fn create_table(&self, name: &str) -> Result<()> {
        let model = self.model(name)?;
        models::create_table(&self.conn, model)
    }

    /// Whether a mart that is made as a whole from now on would lose what nothing can make again.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn keeps_history(&self, name: &str) -> Result<bool> {
        models::keeps_history(&self.conn, name)
    }

    /// Defines the views anew, after a mart has got other columns.
    ///
    /// # Errors
    /// If one does not fit any more.
    pub fn define_views(&self) -> Result<()> {
        models::define(&self.conn, &self.models, &self.catalog)
    }

    /// Names and types of a mart's stored columns.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn columns(&self, mart: &str) -> Result<Vec<(String, String)>> {
        models::columns(
            &self.conn,
            &format!("DESCRIBE SELECT * FROM main.{}", identifier(mart)),
        )
        .doing(format!("reading the mart {mart}"))
    }

    /// What a model reads, as a relation of those rows whose times lie in `parts` and perhaps others.
    ///
    /// # Errors
    /// If the manifest cannot be read.
    pub fn within(&self, relation: &str, parts: &Ranges) -> Result<String> {
        let Some(table) = canonical(&self.catalog, relation) else {
            return Ok(format!("main.{}", identifier(relation)));
        };
        let files: Vec<(String, i64, i64)> = self
            .small(
                "SELECT path, epoch_ns(min_ts), epoch_ns(max_ts) FROM ops.manifest WHERE table_name = ? ORDER BY path",
            )
            .and_then(|mut s| {
                s.query_map([&table.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .doing("reading the manifest")?;
        let held = files.into_iter().filter_map(|(path, first, last)| {
            let held = parts.iter().any(|(from, to)| first < to && last >= from);
            held.then_some(path)
        });
        let voided = table.name != relation;
        schema::within(
            &self.conn,
            &self.catalog,
            table,
            voided,
            &held.collect::<Vec<_>>(),
        )
    }

    /// What has come since a mark, in the windows given.
    ///
    /// # Errors
    /// If a file of the lake cannot be read.
    pub fn news(&self, source: &Source, since: Mark, window: Window) -> Result<News> {
        let table = self.catalog.own(&source.table)?;
        if let Some(voider) = &source.voider {
            return self.voided(table, self.catalog.own(voider)?, since, window);
        }
        let mut news = News {
            touched: Ranges::default(),
            mark: since,
        };
        for relation in self.changed_relations(table, since, Some(&mut news))? {
            self.count(table, &relation, since, window, &mut news)?;
        }
        news.touched = news.touched.whole(window);
        Ok(news)
    }

    /// How far a source can be read at all now.
    ///
    /// # Errors
    /// If DuckDB refuses.
    pub fn mark(&self, source: &Source) -> Result<Mark> {
        let table = self
            .catalog
            .own(source.voider.as_ref().unwrap_or(&source.table))?;
        let (name, time) = (&table.name, table.time());
        self.conn
            .query_row(
                &format!(
                    "SELECT greatest(max(seq), (SELECT max(last_seq) FROM ops.manifest WHERE table_name = $1)),
                            greatest(epoch_ns(max(recv_ts) FILTER (seq IS NULL)),
                                     (SELECT epoch_ns(max(max_ts)) FROM ops.manifest WHERE table_name = $1 AND last_seq IS NULL)),
                            greatest(epoch_ns(max({time})), (SELECT epoch_ns(max(max_ts)) FROM ops.manifest WHERE table_name = $1))
                     FROM {}",
                    table.hot()
                ),
                [name],
                |row| {
                    Ok(Mark {
                        seq: row.get::<_, Option<u64>>(0)?.unwrap_or(0),
                        recv_ns: row.get::<_, Option<i64>>(1)?.unwrap_or(NEVER_NS),
                        newest_ns: row.get::<_, Option<i64>>(2)?.unwrap_or(NEVER_NS),
                    })
                },
            )
            .doing(format!("reading how far {name} goes"))
    }

    /// Lists the rows since a mark that lie before a moment, by window; of vendors' files that are new as a whole only those
    /// that correct nothing.
    ///
    /// # Errors
    /// If a file of the lake cannot be read.
    pub fn list_late(
        &self,
        model: &str,
        source: &Source,
        since: Mark,
        before_ns: i64,
        corrected_from_ns: i64,
    ) -> Result<u64> {
        if source.voider.is_some() {
            return Ok(0);
        }
        let table = self.catalog.own(&source.table)?;
        let window = Window::of(Duration::from_nanos(LATE_WINDOW_NS as u64));
        let time = table.time();
        let mut listed = 0;
        let captured = self.changed_relations(table, since, None)?.into_iter();
        let captured = captured.map(|relation| (relation, before_ns));
        // What a vendor's file brings for times that no mart makes anew any more would be missed by everybody.
        let lost = self.new_files_before(table, since, corrected_from_ns)?;
        let lost = lost.map(|files| (files, before_ns.min(corrected_from_ns)));
        for (relation, before_ns) in captured.chain(lost) {
            let sql = format!(
                "INSERT INTO ops.late_rows
                 SELECT $1, $2, venue, symbol, make_timestamp_ns(w), count(*), min(seq), max(seq),
                        to_microseconds(max($3 - t) // 1000), w >= $4
                 FROM (SELECT venue, symbol, seq, epoch_ns({time}) AS t, {start} AS w FROM {relation}
                       WHERE {new} AND {time} < make_timestamp_ns($5))
                 GROUP BY ALL RETURNING rows",
                start = window.start_sql(time),
                new = new_rows(
                    table,
                    &since.seq.to_string(),
                    &since.recv_with_slack_ns().to_string()
                ),
            );
            let rows: Vec<u64> = self
                .conn
                .prepare(&sql)
                .and_then(|mut s| {
                    s.query_map(
                        params![
                            model,
                            source.name(),
                            since.newest_ns,
                            corrected_from_ns,
                            before_ns
                        ],
                        |row| row.get(0),
                    )?
                    .collect()
                })
                .doing("writing ops.late_rows")?;
            listed += rows.iter().sum::<u64>();
        }
        Ok(listed)
    }

    /// Rows of each UTC day of a relation that is stored: its start in ns, and how many.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn days(&self, relation: &str) -> Result<BTreeMap<i64, u64>> {
        let doing = || format!("counting the rows of {relation} by date");
        let day = |time: &str| Window::of(Duration::from_nanos(DAY_NS as u64)).start_sql(time);
        let sql = if let Some(table) = canonical(&self.catalog, relation) {
            let (name, time) = (&table.name, table.time());
            // The manifest knows it of files of one date; others are small enough to be asked. A cast to DATE would
            // round the day's last half microsecond up to the next day.
            let (first, last) = (day("min_ts"), day("max_ts"));
            let longer: Vec<String> = self
                .conn
                .prepare(&format!(
                    "SELECT path FROM ops.manifest WHERE table_name = ? AND {first} <> {last} ORDER BY path"
                ))
                .and_then(|mut s| s.query_map([name], |row| row.get(0))?.collect())
                .doing(doing())?;
            let mut held = vec![table.hot()];
            if !longer.is_empty() {
                held.push(schema::parquet(&literals(
                    longer.iter().map(String::as_str),
                )));
            }
            let counted = held.iter().map(|held| {
                format!(
                    "SELECT {} AS day, count(*) AS rows FROM {held} WHERE {time} IS NOT NULL GROUP BY 1",
                    day(time)
                )
            });
            format!(
                "SELECT day, sum(rows)::UBIGINT FROM (
                     {}
                     UNION ALL
                     SELECT {first}, sum(rows) FROM ops.manifest
                     WHERE table_name = '{name}' AND {first} = {last} GROUP BY 1)
                 GROUP BY 1",
                counted.collect::<Vec<_>>().join(" UNION ALL "),
            )
        } else {
            let time = identifier(&self.time_of(relation));
            format!(
                "SELECT {} AS day, count(*)::UBIGINT FROM main.{} WHERE {time} IS NOT NULL GROUP BY 1",
                day(&time),
                identifier(relation)
            )
        };
        self.conn
            .prepare(&sql)
            .and_then(|mut s| {
                s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .doing(doing())
    }

    /// From when on rows were kept, ns, of each table of which older ones were dropped.
    ///
    /// # Errors
    /// If DuckDB refuses.
    pub fn kept_from_ns(&self) -> Result<BTreeMap<String, i64>> {
        self.small(
            "SELECT table_name, epoch_ns(max(first_kept)::TIMESTAMP_NS) FROM ops.retained GROUP BY table_name",
        )
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .doing("reading ops.retained")
    }

    /// Takes rows that were deleted out of the database file. Of a checkpoint beside others DuckDB leaves them in it: this one
    /// is made while the capture's writer stands still. Where somebody reads the state before, they stay all the same.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sweep(&self, orders: &mpsc::Sender<Order>) -> Result<()> {
        let Some(_standing) = live::stand(orders) else {
            return Ok(());
        };
        live::checkpoint(&self.conn).map(|_| ())
    }

    /// Deleted rows of canonical tables and marts that are in the database file yet.
    ///
    /// # Errors
    /// If DuckDB refuses.
    pub fn dead_rows(&self) -> Result<u64> {
        let canonical = self.catalog.iter().map(|table| table.hot());
        let marts = self.models.iter().filter(|model| model.is_mart());
        let marts: Vec<&str> = marts.map(|mart| mart.name.as_str()).collect();
        let of_marts = marts
            .iter()
            .map(|mart| format!("main.{}", identifier(mart)));
        let counts = canonical.chain(of_marts);
        let counts: Vec<String> = counts
            .map(|rows| format!("(SELECT count(*) FROM {rows})"))
            .collect();
        // What DuckDB calls an estimate is the number of all rows, deleted ones too.
        let sql = format!(
            "SELECT greatest(sum(estimated_size)::BIGINT - ({}), 0) FROM duckdb_tables()
             WHERE schema_name IN ({}) OR (schema_name = 'main' AND list_contains([{}]::VARCHAR[], table_name))",
            counts.join(" + "),
            SIDES.map(|side| format!("'{side}'")).join(", "),
            literals(marts),
        );
        self.conn
            .query_row(&sql, [], |row| row.get(0))
            .doing("counting deleted rows")
    }

    fn model(&self, name: &str) -> Result<&models::Model> {
        self.models.get(name).ok_or_else(|| Error::Model {
            file: format!("model '{name}'"),
            message: "there is none of this name".to_owned(),
        })
    }

    /// The relations that hold rows since a mark: the hot table, and files of the lake. Of vendors' files that are
    /// new as a whole `news` is told their times at once, and none of them is opened.
    fn changed_relations(
        &self,
        table: &Table,
        since: Mark,
        mut news: Option<&mut News>,
    ) -> Result<Vec<String>> {
        let mut relations = vec![table.hot()];
        let slack = since.recv_with_slack_ns();
        let files: Vec<LakeFile> = self
            .small(
                "SELECT path, first_seq, last_seq, loaded, epoch_ns(min_ts), epoch_ns(max_ts) FROM ops.manifest
                 WHERE table_name = $1 AND (last_seq > $2 OR (last_seq IS NULL AND max_ts >= make_timestamp_ns($3)))
                 ORDER BY path",
            )
            .and_then(|mut s| {
                s.query_map(params![table.name, since.seq, slack], |row| {
                    Ok(LakeFile {
                        path: row.get(0)?,
                        first_seq: row.get(1)?,
                        last_seq: row.get(2)?,
                        loaded: row.get(3)?,
                        times_ns: (row.get(4)?, row.get(5)?),
                    })
                })?
                .collect()
            })
            .doing("reading the manifest")?;
        let mut paths = Vec::new();
        for file in files {
            if !file.loaded || file.first_seq.is_none_or(|first| first <= since.seq) {
                paths.push(file.path);
            } else if let Some(news) = &mut news {
                let (first, last) = file.times_ns;
                news.touched.extend([(first, last.saturating_add(1))]);
                news.mark.seq = news.mark.seq.max(file.last_seq.unwrap_or(0));
                news.mark.newest_ns = news.mark.newest_ns.max(last);
            }
        }
        if !paths.is_empty() {
            relations.push(schema::parquet(&literals(paths.iter().map(String::as_str))));
        }
        Ok(relations)
    }

    /// Of vendors' files that are new as a whole those that hold rows from before a moment, as one relation.
    fn new_files_before(
        &self,
        table: &Table,
        since: Mark,
        before_ns: i64,
    ) -> Result<Option<String>> {
        if before_ns == NEVER_NS {
            return Ok(None);
        }
        let paths: Vec<String> = self
            .small(
                "SELECT path FROM ops.manifest
                 WHERE table_name = $1 AND loaded AND first_seq > $2 AND min_ts < make_timestamp_ns($3) ORDER BY path",
            )
            .and_then(|mut s| {
                s.query_map(params![table.name, since.seq, before_ns], |row| row.get(0))?
                    .collect()
            })
            .doing("reading the manifest")?;
        let paths = literals(paths.iter().map(String::as_str));
        Ok((!paths.is_empty()).then(|| schema::parquet(&paths)))
    }

    fn count(
        &self,
        table: &Table,
        relation: &str,
        since: Mark,
        window: Window,
        news: &mut News,
    ) -> Result<()> {
        let time = table.time();
        let sql = format!(
            "SELECT w, max(seq), max(t), max(r) FROM (
                 SELECT {} AS w, seq, epoch_ns({time}) AS t, IF(seq IS NULL, epoch_ns(recv_ts), NULL) AS r FROM {relation}
                 WHERE {} AND {time} IS NOT NULL)
             GROUP BY w",
            window.start_sql(time),
            new_rows(table, "$1", "$2"),
        );
        let mut since_when = vec![Value::UBigInt(since.seq)];
        if !has_seq(table) {
            since_when.push(Value::BigInt(since.recv_with_slack_ns()));
        }
        let windows: Vec<(i64, Option<u64>, i64, Option<i64>)> = self
            .conn
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_map(params_from_iter(since_when), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
            })
            .doing(format!("looking for new rows of {}", table.name))?;
        news.touched.extend(
            windows
                .iter()
                .map(|&(start, ..)| (start, start.saturating_add(window.ns()))),
        );
        for (_, seq, newest, received) in windows {
            let mark = &mut news.mark;
            mark.seq = mark.seq.max(seq.unwrap_or(0));
            mark.newest_ns = mark.newest_ns.max(newest);
            mark.recv_ns = mark.recv_ns.max(received.unwrap_or(NEVER_NS));
        }
        Ok(())
    }

    /// Where rows of a table were taken back since a mark.
    fn voided(&self, table: &Table, voider: &Table, since: Mark, window: Window) -> Result<News> {
        let mut news = self.news(
            &Source {
                table: voider.name.clone(),
                voider: None,
            },
            since,
            window,
        )?;
        if news.touched.is_empty() {
            return Ok(news);
        }
        let same = table.key.iter().map(|c| format!("w.\"{c}\" = v.\"{c}\""));
        let same: Vec<String> = same.collect();
        let time = table.time();
        let windows: Vec<i64> = self
            .conn
            .prepare(&format!(
                "SELECT DISTINCT {} FROM main.{} w JOIN (FROM main.{} WHERE seq > ?) v ON {}
                 AND (v.from_ts IS NULL OR w.{time} >= v.from_ts) AND (v.to_ts IS NULL OR w.{time} <= v.to_ts)",
                window.start_sql(&format!("w.{time}")),
                table.whole(),
                voider.whole(),
                same.join(" AND "),
            ))
            .and_then(|mut s| s.query_map([since.seq], |row| row.get(0))?.collect())
            .doing(format!("looking for rows of {} that were taken back", table.name))?;
        news.touched = Ranges::default();
        news.touched.extend(
            windows
                .into_iter()
                .map(|start| (start, start.saturating_add(window.ns()))),
        );
        Ok(news)
    }
}

/// What the manifest says of a file.
struct LakeFile {
    path: String,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    /// From a vendor's file.
    loaded: bool,
    times_ns: (i64, i64),
}

/// Whether all rows of a table have a seq.
fn has_seq(table: &Table) -> bool {
    table.columns.iter().any(|c| c.name == "seq" && c.required)
}

/// The condition that a row has come since a mark, given its seq, and its time of receipt with slack, ns.
fn new_rows(table: &Table, seq: &str, slack_ns: &str) -> String {
    if has_seq(table) {
        return format!("seq > {seq}");
    }
    format!("(seq > {seq} OR (seq IS NULL AND recv_ts > make_timestamp_ns({slack_ns})))")
}
