//! One mart on its way, within its transaction.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use duckdb::types::Value;
use duckdb::{params, params_from_iter};
use jiff::Timestamp;

use super::build::{Built, How, Request};
use super::due::Due;
use super::notes::Notes;
use super::{Error, Result, checks, windows};
use crate::model::sql::identifier;
use crate::model::window::{Ranges, Window};
use crate::sources::now_ns;
use crate::sqltree::{Severity, check};
use crate::store::{self, Kind, Mark, Model, Modeler, News, Source, in_file};

/// Where rows are kept that cannot be made again while all others are.
const ASIDE: &str = "temp.aside";
/// Windows that last no longer than this in all are made at once, however many rows they hold.
const FEW_NS: i64 = 3_600_000_000_000;

/// The rows that a statement puts into a mart.
const MADE: &str = "mdb_made";

/// What is new since a mark, in windows.
pub(super) type Known = RefCell<Vec<(Source, Mark, Window, News)>>;

/// A mart on its way, within its transaction.
pub(super) struct Work<'a> {
    pub(super) modeler: &'a Modeler,
    /// What is new in canonical tables, as far as it was asked for in this build.
    pub(super) known: &'a Known,
    /// What is noted of marts in this transaction.
    pub(super) notes: &'a RefCell<Notes>,
    pub(super) model: &'a Model,
    pub(super) request: &'a Request,
    /// Whether something of an earlier request is still to be done.
    pub(super) is_behind: bool,
    pub(super) stop: &'a AtomicBool,
}

/// What was found of the rows of a mart that were made.
struct Found {
    rows: u64,
    /// Keys that are there more than once.
    doubles: u64,
    /// Rows that lie in the windows that they were made for.
    inside: u64,
    newest_ns: Option<i64>,
    /// Rows that fail each test.
    failing: Vec<u64>,
}

impl Work<'_> {
    /// Makes it anew where it has to be, and notes it.
    pub(super) fn run(&self, built: &mut Built) -> Result<()> {
        let start = Instant::now();
        let mut due = self.due()?;
        if due.whole {
            self.check_history(&due)?;
            built.how = How::Full;
            for (source, _, mark) in &mut due.marks {
                *mark = self.modeler.mark(source)?;
            }
            self.whole(built)?;
            self.tell_readers(None);
        } else {
            let Kind::Incremental { window, .. } = &self.model.kind else {
                self.note_marks(&due);
                return Ok(());
            };
            let kept_ns = self.kept_from_ns(&due, *window);
            built.late = self.list_late(&due, *window, kept_ns)?;
            let touched = due.touched.from(kept_ns);
            self.windows(&touched, *window, built)?;
            if built.made > 0 || built.late > 0 {
                built.how = How::Windows;
                self.tell_readers(Some(&touched));
            }
        }
        self.note_marks(&due);
        self.notes.borrow_mut().done(&self.model.name);
        match built.how {
            How::Windows | How::Full => self.note(&due, built, start),
            How::Nothing | How::Waits => Ok(()),
        }
    }

    /// What was kept by windows, and is to be made as a whole now, would lose what nothing can make again.
    fn check_history(&self, due: &Due) -> Result<()> {
        let (model, name) = (self.model, &self.model.name);
        let has_changed = due.last.built.as_ref() != Some(&model.definition);
        if has_changed && model.kind == Kind::Full && self.modeler.keeps_history(name)? {
            return Err(Error::Forgets { name: name.clone() });
        }
        Ok(())
    }

    /// Makes the windows anew.
    fn windows(&self, touched: &Ranges, window: Window, built: &mut Built) -> Result<()> {
        let days = if touched.iter().map(|(start, end)| end - start).sum::<i64>() > FEW_NS {
            self.days()?
        } else {
            BTreeMap::new()
        };
        for piece in windows::pieces(touched, &days, window) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            self.piece(&piece, built)?;
        }
        Ok(())
    }

    fn piece(&self, piece: &Ranges, built: &mut Built) -> Result<()> {
        let (model, mart) = (self.model, self.table());
        let Kind::Incremental { time, .. } = &model.kind else {
            return Ok(());
        };
        let delete = format!(
            "DELETE FROM {mart} WHERE {}",
            piece.sql_of_bounds(&identifier(time))
        );
        let removed = self.modeler.conn.prepare_cached(&delete);
        let removed = removed.and_then(|mut s| s.execute(params_from_iter(piece.bounds())));
        let removed = self.doing(removed)? as u64;
        let made = self.insert(piece, time, built)?;
        built.made += made.max(removed);
        built.removed += removed;
        built.inserted += made;
        Ok(())
    }

    /// Puts the rows of windows into the table, which has none of them, and tests them.
    fn insert(&self, piece: &Ranges, time: &str, built: &mut Built) -> Result<u64> {
        let reads = self.reads(piece)?;
        // Rows of one instrument together: who asks for its day reads no other's.
        built.ran = self.limited(&reads, |time| piece.sql_of_bounds(time));
        built.bounds = piece.bounds().collect();
        let insert = format!(
            "INSERT INTO {} BY NAME {} ORDER BY {}",
            self.table(),
            built.ran,
            super::list("", &self.model.file.header.key)
        );
        let column = identifier(time);
        let inside = piece.sql_of_bounds(&column);
        let more = format!("count(*) FILTER ({inside}), epoch_ns(max({column}))");
        let sql = format!(
            "WITH {MADE} AS ({insert} RETURNING *) {}",
            self.asking(MADE, &more)
        );
        let found = self.found(&sql, piece).map_err(|error| {
            // What DuckDB cannot make sense of, though it can of the SELECT, is in a test.
            let makes_sense = |sql: &str| self.modeler.conn.prepare(sql).is_ok();
            if makes_sense(&insert) && !makes_sense(&sql) {
                self.duck(error)
            } else {
                self.in_file(&error)
            }
        })?;
        built.newest_ns = built.newest_ns.max(found.newest_ns);
        let made = found.rows;
        if found.inside != made {
            let outside = format!(
                "SELECT coalesce({column}::VARCHAR, 'NULL') FROM ({}) WHERE ({}) IS NOT true LIMIT 1",
                self.limited(&reads, |time| piece.sql(time)),
                piece.sql(&column)
            );
            let sample = self.rows_once(&outside, |row| row.get::<_, String>(0))?;
            return Err(Error::Outside {
                file: self.model.file.origin.clone(),
                column: time.to_owned(),
                sample: sample.into_iter().next().unwrap_or_default(),
            });
        }
        let told_of = format!(
            "(SELECT * FROM {} WHERE {})",
            self.table(),
            piece.sql(&column)
        );
        self.judge_all(&found, &told_of, built)?;
        Ok(made)
    }

    /// Makes all of it anew.
    fn whole(&self, built: &mut Built) -> Result<()> {
        let (model, mart) = (self.model, self.table());
        let before = self.modeler.columns(&model.name).ok();
        let windowed = match &model.kind {
            Kind::Incremental { window, time, .. } => Some((*window, time.as_str())),
            _ => None,
        };
        let kept_ns = match windowed {
            Some((window, _)) => self.set_aside(window)?,
            None => None,
        };
        self.modeler.create_table(&model.name)?;
        if before.is_some() && self.modeler.columns(&model.name).ok() != before {
            self.modeler.define_views()?;
        }
        let Some((window, time)) = windowed else {
            built.ran = format!("SELECT * FROM (\n{}\n)", model.select());
            let insert = format!("INSERT INTO {mart} BY NAME {}", built.ran);
            let made = self.modeler.conn.execute_batch(&insert);
            made.map_err(|error| self.in_file(&error))?;
            let asking = self.asking(&mart, "0::BIGINT, NULL::BIGINT");
            let found = self.found(&asking, &Ranges::default());
            let found = self.doing(found)?;
            built.made = found.rows;
            self.judge_all(&found, &mart, built)?;
            return self.check_files(built);
        };
        let days = self.days()?;
        let all = windows::everything(&days, window).from(kept_ns.unwrap_or(i64::MIN));
        for piece in windows::pieces(&all, &days, window) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            built.made += self.insert(&piece, time, built)?;
        }
        if let (Some(_), Some(before)) = (kept_ns, &before) {
            let now = self.modeler.columns(&model.name)?;
            let both = before.iter().filter(|column| now.contains(column));
            let both: Vec<String> = both.map(|(name, _)| identifier(name)).collect();
            self.execute_once(&format!(
                "INSERT INTO {mart} BY NAME SELECT {} FROM {ASIDE}",
                both.join(", ")
            ))?;
        }
        Ok(())
    }

    /// Rows whose windows have lost what they were made from are kept over, in the columns that the mart still has.
    fn set_aside(&self, window: Window) -> Result<Option<i64>> {
        let Kind::Incremental { time, .. } = &self.model.kind else {
            return Ok(None);
        };
        let kept_ns = self.kept_from_ns(&self.all_sources(), window);
        if kept_ns == i64::MIN {
            return Ok(None);
        }
        self.execute_once(&format!(
            "CREATE OR REPLACE TEMP TABLE aside AS FROM {} WHERE {} < make_timestamp_ns({kept_ns})",
            self.table(),
            identifier(time)
        ))?;
        Ok(Some(kept_ns))
    }

    /// What the mart reads by window: its name, its column of time, and a relation that holds its rows of these parts.
    fn reads(&self, parts: &Ranges) -> Result<Vec<(&str, String, String)>> {
        let whole = &self.model.file.header.whole;
        let upstream = self.model.upstream.iter();
        upstream
            .filter(|name| !whole.contains(*name))
            .map(|name| {
                let time = identifier(&self.modeler.time_of(name));
                Ok((name.as_str(), time, self.modeler.within(name, parts)?))
            })
            .collect()
    }

    /// The mart's SELECT over parts of time, given the condition that a column of time lies in them; its own text begins
    /// on the second line.
    fn limited(&self, reads: &[(&str, String, String)], inside: impl Fn(&str) -> String) -> String {
        let shadows = reads.iter().map(|(name, time, relation)| {
            format!(
                "{} AS NOT MATERIALIZED (SELECT * FROM {relation} WHERE {})",
                identifier(name),
                inside(time)
            )
        });
        let shadows: Vec<String> = shadows.collect();
        let with = if shadows.is_empty() {
            String::new()
        } else {
            format!("WITH {} ", shadows.join(", "))
        };
        format!("{with}SELECT * FROM (\n{}\n)", self.model.select())
    }

    /// The query that asks of the rows in a relation whether each key is there once, and all tests of rows, and `more`: how many
    /// lie in their windows, and the newest time in ns. Asked by themselves each would take longer to plan than to answer.
    fn asking(&self, relation: &str, more: &str) -> String {
        let doubles = match self.model.file.header.key.as_slice() {
            [] => "0::BIGINT".to_owned(),
            key => format!("(SELECT count(*) FROM ({}))", checks::double(relation, key)),
        };
        let tests = self.tests(relation).into_iter();
        let failing = tests.map(|test| match test.condition {
            Some(fails) => format!(", count(*) FILTER ({fails})"),
            None => format!(", (SELECT count(*) FROM ({}))", test.sql),
        });
        let failing: String = failing.collect();
        format!("SELECT count(*), {doubles}, {more}{failing} FROM {relation}")
    }

    /// Runs it. Its text is the same at every build: DuckDB only plans it. One that is prepared to be executed once is planned
    /// twice.
    fn found(&self, sql: &str, parts: &Ranges) -> duckdb::Result<Found> {
        let mut statement = self.modeler.conn.prepare_cached(sql)?;
        statement.query_row(params_from_iter(parts.bounds()), |row| {
            let failing = (4..row.as_ref().column_count()).map(|column| row.get(column));
            Ok(Found {
                rows: row.get(0)?,
                doubles: row.get(1)?,
                inside: row.get(2)?,
                newest_ns: row.get(3)?,
                failing: failing.collect::<duckdb::Result<_>>()?,
            })
        })
    }

    /// Judges what was found of rows, of which those in `relation` are told.
    fn judge_all(&self, found: &Found, relation: &str, built: &mut Built) -> Result<()> {
        let header = &self.model.file.header;
        if found.doubles > 0 {
            return Err(Error::TwoRows {
                file: self.model.file.origin.clone(),
                key: header.key.join(", "),
                sample: self.sample(&checks::double(relation, &header.key))?,
            });
        }
        for (test, &rows) in self.tests(relation).iter().zip(&found.failing) {
            self.judge(test, rows, built)?;
        }
        Ok(())
    }

    /// Runs the tests in files of their own that read this mart, which is made anew as a whole, and none after it.
    fn check_files(&self, built: &mut Built) -> Result<()> {
        for test in self.modeler.models.tests_after(self.model) {
            let test = checks::of_file(&test.file);
            let count = format!("SELECT count(*) FROM ({})", test.sql);
            let rows = self
                .modeler
                .conn
                .prepare(&count)
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(|error| Error::Store(in_file(&test.file, 1, &error)))?;
            self.judge(&test, rows, built)?;
        }
        Ok(())
    }

    /// A test that fails is an error or a warning.
    fn judge(&self, test: &checks::Test, rows: u64, built: &mut Built) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let sample = self.sample(&test.sql)?;
        if test.severity == Severity::Error {
            return Err(Error::Test {
                file: test.file.clone(),
                line: test.line,
                test: test.text.clone(),
                rows,
                sample,
            });
        }
        built.warnings.push(format!(
            "{}:{}: the test `{}` fails for {rows} of the rows that were made, e.g. {sample}",
            test.file, test.line, test.text
        ));
        Ok(())
    }

    /// A row of a query as text.
    fn sample(&self, sql: &str) -> Result<String> {
        let one = format!("SELECT t::VARCHAR FROM ({sql}) t LIMIT 1");
        let one = self.rows_once(&one, |row| row.get(0))?;
        Ok(one.into_iter().next().unwrap_or_default())
    }

    /// An error of DuckDB's as one of the line that declares a test, if a test is what it cannot make sense of. Asked
    /// after the transaction, of the table as it is.
    pub(super) fn in_declaration(&self, error: Error) -> Error {
        let Error::Store(store::Error::Duck { error, doing }) = error else {
            return error;
        };
        let tests = self.tests(&self.table()).into_iter();
        let mut faulty = tests.filter_map(|test| {
            let error = self.modeler.conn.prepare(&test.sql).err()?;
            Some(store::Error::Sql {
                file: test.file,
                line: test.line,
                message: error.to_string(),
            })
        });
        Error::Store(faulty.next().unwrap_or(store::Error::Duck { doing, error }))
    }

    /// The tests of rows in `relation`; that no key is there twice is asked of every mart that has one.
    fn tests(&self, relation: &str) -> Vec<checks::Test> {
        let file = &self.model.file;
        let of_rows = file.header.checks.iter().filter(|check| {
            check.kind.is_of_rows() && check.kind != check::Kind::Unique(file.header.key.clone())
        });
        of_rows
            .map(|check| checks::declared(file, check, relation, "ts", Timestamp::UNIX_EPOCH))
            .collect()
    }

    /// Notes the build.
    fn note(&self, due: &Due, built: &mut Built, start: Instant) -> Result<()> {
        let (name, definition) = (&self.model.name, &self.model.definition);
        let newest_ns = match &self.model.kind {
            Kind::Incremental { time, .. } => self.newest_ns(time, due, built)?,
            _ => None,
        };
        built.rows = match due.last.rows {
            Some(rows) if built.how == How::Windows => {
                (rows + built.inserted).saturating_sub(built.removed)
            }
            _ => {
                let rows = format!("SELECT count(*) FROM {}", self.table());
                let rows = self.answer(&rows, [], |row| row.get(0))?;
                rows.into_iter().next().unwrap_or_default()
            }
        };
        let as_before = due.last.built.as_ref() == Some(definition)
            && due.last.ran.as_ref() == Some(&built.ran)
            && !due.last.failed;
        if !as_before {
            self.execute(
                "UPDATE ops.models SET kind = ?, built = ?, ran = ?, error = NULL, failed_at = NULL WHERE name = ?",
                params![self.model.kind.name(), definition, built.ran, name],
            )?;
        }
        let noted = [
            Value::Text(name.clone()),
            Value::BigInt(now_ns()),
            Value::Double(start.elapsed().as_secs_f64() * 1e3),
            Value::Text(built.how.name().to_owned()),
            Value::UBigInt(built.rows),
            newest_ns.map_or(Value::Null, Value::BigInt),
            Value::Text(format!("{:?}", built.bounds)),
        ];
        self.notes.borrow_mut().built(name, noted);
        Ok(())
    }

    /// The newest time in it, ns.
    fn newest_ns(&self, time: &str, due: &Due, built: &Built) -> Result<Option<i64>> {
        if let (How::Windows, Some(last)) = (built.how, due.last.newest_ns) {
            if built.newest_ns >= Some(last) {
                return Ok(built.newest_ns);
            }
            if !due
                .touched
                .iter()
                .any(|(from, to)| from <= last && last < to)
            {
                return Ok(Some(last));
            }
        }
        let newest = format!(
            "SELECT epoch_ns(max({})) FROM {}",
            identifier(time),
            self.table()
        );
        Ok(self.answer(&newest, [], |row| row.get(0))?.pop().flatten())
    }

    fn table(&self) -> String {
        format!("main.{}", identifier(&self.model.name))
    }

    /// Runs a statement on mdb's own small tables.
    pub(super) fn execute(&self, sql: &str, params: impl duckdb::Params) -> Result<usize> {
        let mut statement = self.doing(self.modeler.small(sql))?;
        self.doing(statement.execute(params))
    }

    /// The rows of a query whose text is the same at every build.
    fn answer<T>(
        &self,
        sql: &str,
        params: impl duckdb::Params,
        row: impl FnMut(&duckdb::Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.doing(self.modeler.conn.prepare_cached(sql))?;
        self.doing(statement.query_map(params, row).and_then(Iterator::collect))
    }

    fn execute_once(&self, sql: &str) -> Result<usize> {
        self.doing(self.modeler.conn.execute(sql, []))
    }

    /// An error of what holds the file's own text from its second line on.
    fn in_file(&self, error: &duckdb::Error) -> Error {
        Error::Store(in_file(&self.model.file.origin, 1, error))
    }

    fn rows_once<T>(
        &self,
        sql: &str,
        row: impl FnMut(&duckdb::Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.doing(self.modeler.conn.prepare(sql))?;
        self.doing(statement.query_map([], row).and_then(Iterator::collect))
    }

    fn duck(&self, error: duckdb::Error) -> Error {
        let doing = format!("building {}", self.model.name);
        Error::Store(store::Error::Duck { doing, error })
    }

    fn doing<T>(&self, result: duckdb::Result<T>) -> Result<T> {
        result.map_err(|error| self.duck(error))
    }
}
