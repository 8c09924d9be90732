//! One mart on its way, within its transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use duckdb::params;
use jiff::Timestamp;

use super::build::{Built, How, Request};
use super::{Error, Result, checks, doing, quoted, same, windows};
use crate::model::window::{Ranges, Window};
use crate::sources::now_ns;
use crate::sqltree::Severity;
use crate::store::{self, Kind, Model, Modeler, in_file};

/// Where the rows of the windows at work are put together.
const FRESH: &str = "temp.fresh";
/// Windows that last no longer than this in all are made at once, however many rows they hold.
const FEW_NS: i64 = 3_600_000_000_000;

/// A mart on its way, within its transaction.
pub(super) struct Work<'a> {
    pub(super) modeler: &'a Modeler,
    pub(super) model: &'a Model,
    pub(super) request: &'a Request,
    pub(super) stop: &'a AtomicBool,
}

impl Work<'_> {
    /// Makes it anew where it has to be.
    pub(super) fn run(&self, built: &mut Built) -> Result<()> {
        let mut due = self.due()?;
        if due.whole {
            built.how = How::Full;
            for (source, _, mark) in &mut due.marks {
                *mark = self.modeler.mark(source)?;
            }
            self.whole(built)?;
            self.tell_readers(None)?;
        } else {
            let Kind::Incremental { window, .. } = &self.model.kind else {
                return self.write_marks(&due);
            };
            let kept_ns = self.kept_from_ns(&due, *window)?;
            built.late = self.list_late(&due, *window, kept_ns)?;
            let touched = due.touched.from(kept_ns);
            self.windows(&touched, *window, built)?;
            if built.made > 0 || built.late > 0 {
                built.how = How::Windows;
                self.tell_readers(Some(&touched))?;
            }
        }
        self.write_marks(&due)?;
        self.execute(
            "DELETE FROM ops.model_pending WHERE model = ?",
            [&self.model.name],
        )
        .map(|_| ())
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
        built.ran = self.limited(piece);
        self.execute_file(&format!(
            "CREATE OR REPLACE TEMP TABLE fresh AS {}",
            built.ran
        ))?;
        self.check_windows(FRESH, piece, time)?;
        self.test(FRESH, built)?;
        let columns = self.modeler.columns(&model.name)?;
        let names: Vec<String> = columns.into_iter().map(|(name, _)| name).collect();
        let inside = piece.sql(&format!("m.{}", quoted(time)));
        let removed = self.execute(
            &format!(
                "DELETE FROM {mart} AS m WHERE {inside} AND NOT EXISTS (SELECT 1 FROM {FRESH} f WHERE {})",
                same("m", "f", &names)
            ),
            [],
        )?;
        let key = same("m", "f", &model.file.header.key);
        let made = self.execute(
            &format!(
                "INSERT INTO {mart} BY NAME SELECT * FROM {FRESH} f
                 WHERE NOT EXISTS (SELECT 1 FROM {mart} m WHERE {inside} AND {key})"
            ),
            [],
        )?;
        built.made += made.max(removed) as u64;
        Ok(())
    }

    /// Makes all of it anew.
    fn whole(&self, built: &mut Built) -> Result<()> {
        let (model, mart) = (self.model, self.table());
        let before = self.modeler.columns(&model.name).ok();
        let window = match &model.kind {
            Kind::Incremental { window, .. } => Some(*window),
            _ => None,
        };
        let kept_ns = match window {
            Some(window) => self.set_aside(window)?,
            None => None,
        };
        self.modeler.create_table(&model.name)?;
        if before.is_some() && self.modeler.columns(&model.name).ok() != before {
            self.modeler.define_views()?;
        }
        let Some(window) = window else {
            built.ran = format!("SELECT * FROM (\n{}\n)", model.select());
            built.made =
                self.execute_file(&format!("INSERT INTO {mart} BY NAME {}", built.ran))? as u64;
            return self.test(&mart, built);
        };
        let days = self.days()?;
        let all = windows::everything(&days, window).from(kept_ns.unwrap_or(i64::MIN));
        for piece in windows::pieces(&all, &days, window) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            built.ran = self.limited(&piece);
            built.made +=
                self.execute_file(&format!("INSERT INTO {mart} BY NAME {}", built.ran))? as u64;
        }
        if let Kind::Incremental { time, .. } = &model.kind
            && !all.is_empty()
        {
            self.check_windows(&mart, &all, time)?;
        }
        if let (Some(_), Some(before)) = (kept_ns, &before) {
            let now = self.modeler.columns(&model.name)?;
            let both = before.iter().filter(|column| now.contains(column));
            let both: Vec<String> = both.map(|(name, _)| quoted(name)).collect();
            self.execute(
                &format!(
                    "INSERT INTO {mart} BY NAME SELECT {} FROM {FRESH}",
                    both.join(", ")
                ),
                [],
            )?;
        }
        self.test(&mart, built)
    }

    /// Rows whose windows have lost what they were made from are kept over, in the columns that the mart still has.
    fn set_aside(&self, window: Window) -> Result<Option<i64>> {
        let Kind::Incremental { time, .. } = &self.model.kind else {
            return Ok(None);
        };
        let kept_ns = self.kept_from_ns(&self.all_sources(), window)?;
        if kept_ns == i64::MIN {
            return Ok(None);
        }
        self.execute(
            &format!(
                "CREATE OR REPLACE TEMP TABLE fresh AS FROM {} WHERE {} < make_timestamp_ns({kept_ns})",
                self.table(),
                quoted(time)
            ),
            [],
        )?;
        Ok(Some(kept_ns))
    }

    /// The mart's SELECT over parts of time; its own text begins on the second line.
    fn limited(&self, parts: &Ranges) -> String {
        let whole = &self.model.file.header.whole;
        let read = self
            .model
            .upstream
            .iter()
            .filter(|name| !whole.contains(*name));
        let shadows = read.map(|name| {
            let time = quoted(&self.modeler.time_of(name));
            let name = quoted(name);
            format!(
                "{name} AS NOT MATERIALIZED (SELECT * FROM main.{name} WHERE {})",
                parts.sql(&time)
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

    /// Rows must lie in the windows that they were made for, each key once.
    fn check_windows(&self, relation: &str, parts: &Ranges, time: &str) -> Result<()> {
        let column = quoted(time);
        let outside = format!(
            "SELECT coalesce({column}::VARCHAR, 'NULL') FROM {relation} WHERE ({}) IS NOT true LIMIT 1",
            parts.sql(&column)
        );
        if let Some(sample) = self
            .rows(&outside, [], |row| row.get::<_, String>(0))?
            .pop()
        {
            return Err(Error::Outside {
                file: self.model.file.origin.clone(),
                column: time.to_owned(),
                sample,
            });
        }
        let key = &self.model.file.header.key;
        let double = format!(
            "SELECT d::VARCHAR FROM ({} LIMIT 1) d",
            checks::double(relation, key)
        );
        if let Some(sample) = self.rows(&double, [], |row| row.get::<_, String>(0))?.pop() {
            return Err(Error::TwoRows {
                file: self.model.file.origin.clone(),
                key: key.join(", "),
                sample,
            });
        }
        Ok(())
    }

    /// Tests the rows that were made.
    fn test(&self, relation: &str, built: &mut Built) -> Result<()> {
        let file = &self.model.file;
        let checks = file
            .header
            .checks
            .iter()
            .filter(|check| check.kind.is_of_rows());
        for check in checks {
            let test = checks::declared(file, check, relation, "ts", Timestamp::UNIX_EPOCH);
            let failing = format!(
                "SELECT count(*), any_value(t)::VARCHAR FROM ({}) t",
                test.sql
            );
            let (rows, sample) = self
                .rows(&failing, [], |row| {
                    Ok((
                        row.get::<_, u64>(0)?,
                        row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                    ))
                })
                .map_err(|error| in_declaration(error, &test))?
                .pop()
                .unwrap_or_default();
            if rows == 0 {
                continue;
            }
            if check.severity == Severity::Error {
                return Err(Error::Test {
                    file: test.file,
                    line: test.line,
                    test: test.text,
                    rows,
                    sample,
                });
            }
            built.warnings.push(format!(
                "{}:{}: the test `{}` fails for {rows} of the rows that were made, e.g. {sample}",
                test.file, test.line, test.text
            ));
        }
        Ok(())
    }

    /// Notes the build.
    pub(super) fn note(&self, built: &mut Built, start: Instant) -> Result<()> {
        let newest = match &self.model.kind {
            Kind::Incremental { time, .. } => {
                format!("(SELECT max({}) FROM {})", quoted(time), self.table())
            }
            _ => "NULL".to_owned(),
        };
        built.rows = self
            .rows(
                &format!("SELECT count(*) FROM {}", self.table()),
                [],
                |row| row.get(0),
            )?
            .pop()
            .unwrap_or_default();
        self.execute(
            &format!(
                "UPDATE ops.models SET built = ?, built_at = make_timestamp_ns(?), took_ms = ?, how = ?, rows = ?, ran = ?,
                     newest = {newest}, error = NULL, failed_at = NULL WHERE name = ?"
            ),
            params![
                self.model.definition,
                now_ns(),
                start.elapsed().as_secs_f64() * 1e3,
                built.how.name(),
                built.rows,
                built.ran,
                self.model.name
            ],
        )
        .map(|_| ())
    }

    fn table(&self) -> String {
        format!("main.{}", quoted(&self.model.name))
    }

    pub(super) fn execute(&self, sql: &str, params: impl duckdb::Params) -> Result<usize> {
        doing(
            self.modeler
                .conn
                .prepare(sql)
                .and_then(|mut s| s.execute(params)),
            || format!("building {}", self.model.name),
        )
    }

    /// The same of what holds the file's own text from its second line on.
    fn execute_file(&self, sql: &str) -> Result<usize> {
        self.modeler
            .conn
            .execute(sql, [])
            .map_err(|error| Error::Store(in_file(&self.model.file.origin, 1, &error)))
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl duckdb::Params,
        row: impl FnMut(&duckdb::Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>> {
        doing(
            self.modeler
                .conn
                .prepare(sql)
                .and_then(|mut s| s.query_map(params, row)?.collect()),
            || format!("building {}", self.model.name),
        )
    }
}

/// An error of a declared test's SQL, as one of the line that declares it.
fn in_declaration(error: Error, test: &checks::Test) -> Error {
    match error {
        Error::Store(store::Error::Duck { error, .. }) => Error::Store(store::Error::Sql {
            file: test.file.clone(),
            line: test.line,
            message: error.to_string(),
        }),
        other => other,
    }
}
