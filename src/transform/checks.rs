//! Data tests as queries: each returns the rows that fail.

use jiff::Timestamp;

use super::list;
use crate::model::sql::{identifier, literals};
use crate::sqltree::check::{Check, Kind};
use crate::sqltree::{Severity, SqlFile, SqlTree};

/// A test, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What is tested: the relation, or the test's own file.
    pub of: String,
    /// As it is written, or what the test's file says it is.
    pub text: String,
    /// What a failure means.
    pub severity: Severity,
    /// The file that declares it.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// Lines that stand before the file's own text in `sql`, if its text stands there at all.
    pub lines_before: Option<usize>,
    /// One SELECT of the rows that fail.
    pub sql: String,
    /// Whether the time that passes changes what comes of it.
    pub by_clock: bool,
    /// What is true of a row that fails, if that can be told of each row alone.
    pub(super) condition: Option<String>,
}

impl Test {
    /// Where it is declared.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// All tests that the tree declares, of tables, views and marts and in files of their own. `now` is what freshness is
/// counted from.
pub fn all(tree: &SqlTree, now: Timestamp) -> Vec<Test> {
    let mut tests = Vec::new();
    for folder in ["tables", "views", "marts"] {
        for file in tree.folder(folder) {
            let time = file.header.time.as_deref().unwrap_or("ts");
            let of = format!("main.{}", identifier(&file.name));
            for check in &file.header.checks {
                tests.push(declared(file, check, &of, time, now));
            }
        }
    }
    tests.extend(tree.folder("tests").map(of_file));
    tests
}

/// The test that a file of its own is.
pub(super) fn of_file(file: &SqlFile) -> Test {
    Test {
        of: file.name.clone(),
        text: file.header.description.clone(),
        severity: file.header.severity,
        file: file.origin.clone(),
        line: 1,
        lines_before: Some(1),
        sql: format!("SELECT * FROM (\n{}\n)", file.select()),
        by_clock: false,
        condition: None,
    }
}

/// A declared test of the rows of `relation`.
pub(super) fn declared(
    file: &SqlFile,
    check: &Check,
    relation: &str,
    time: &str,
    now: Timestamp,
) -> Test {
    let (sql, condition) = failing(&check.kind, relation, time, now);
    Test {
        of: file.name.clone(),
        text: check.text.clone(),
        severity: check.severity,
        file: file.origin.clone(),
        line: check.line,
        lines_before: None,
        sql,
        by_clock: matches!(check.kind, Kind::Freshness(_)),
        condition,
    }
}

/// The rows that fail, and what is true of each if that can be told of it alone.
fn failing(kind: &Kind, relation: &str, time: &str, now: Timestamp) -> (String, Option<String>) {
    let where_so = |condition: String| {
        let sql = format!("SELECT * FROM {relation} WHERE {condition}");
        (sql, Some(condition))
    };
    let sql = match kind {
        Kind::NotNull(columns) => {
            let lacks = columns
                .iter()
                .map(|column| format!("{} IS NULL", identifier(column)));
            return where_so(lacks.collect::<Vec<_>>().join(" OR "));
        }
        Kind::Range(condition) => return where_so(format!("NOT ({condition})")),
        Kind::Unique(columns) => {
            let has = columns
                .iter()
                .map(|column| format!("{} IS NOT NULL", identifier(column)));
            let columns = list("", columns);
            format!(
                "SELECT {columns}, count(*) AS rows FROM {relation} WHERE {} GROUP BY {columns} HAVING count(*) > 1",
                has.collect::<Vec<_>>().join(" AND ")
            )
        }
        Kind::Accepted(column, values) => {
            format!(
                "SELECT {0}, count(*) AS rows FROM {relation} WHERE {0}::VARCHAR NOT IN ({1}) GROUP BY {0}",
                identifier(column),
                literals(values.iter().map(String::as_str))
            )
        }
        Kind::Relationship {
            column,
            relation: there,
            other,
        } => {
            let (column, other, there) = (identifier(column), identifier(other), identifier(there));
            format!(
                "SELECT r.{column}, count(*) AS rows FROM {relation} r WHERE r.{column} IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM main.{there} o WHERE o.{other} = r.{column}) GROUP BY r.{column}"
            )
        }
        Kind::Freshness(limit) => {
            let since = now.as_nanosecond().saturating_sub(limit.as_nanos() as i128);
            let time = identifier(time);
            format!(
                "SELECT max({time}) AS newest FROM {relation}
                 HAVING coalesce(max({time})::TIMESTAMP_NS < make_timestamp_ns({since}), true)"
            )
        }
        Kind::RowCount(condition) => {
            format!(
                "SELECT count(*) AS row_count FROM {relation} HAVING NOT (count(*) {condition})"
            )
        }
    };
    (sql, None)
}

/// The keys that are there more than once.
pub(super) fn double(relation: &str, key: &[String]) -> String {
    let columns = list("", key);
    format!("SELECT {columns} FROM {relation} GROUP BY {columns} HAVING count(*) > 1")
}
