//! Files whose columns are not what those of their kind had before are told, and taken only if the user says so.

use std::fmt;

use duckdb::{Connection, params};

use super::dialect::{AUTO, Dialect};
use super::relation::Relation;
use super::{Import, refused};
use crate::sources::files::Input;
use crate::store::error::{Doing, Result};

/// A column as it was, and as it is; `None` where there is none.
type Change = (Option<(String, String)>, Option<(String, String)>);

/// How a file's columns differ from those of its kind before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    pub(super) changes: Vec<Change>,
}

impl Drift {
    /// What differs between two lists of columns.
    pub(super) fn between(before: &[(String, String)], now: &[(String, String)]) -> Option<Self> {
        let find = |list: &[(String, String)], name: &str| {
            list.iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .cloned()
        };
        let gone_or_changed = before.iter().filter_map(|column| {
            let other = find(now, &column.0);
            let same = other.as_ref().is_some_and(|o| o.1 == column.1);
            (!same).then(|| (Some(column.clone()), other))
        });
        let new = now
            .iter()
            .filter(|column| find(before, &column.0).is_none())
            .map(|column| (None, Some(column.clone())));
        let changes: Vec<Change> = gone_or_changed.chain(new).collect();
        (!changes.is_empty()).then_some(Self { changes })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |column: &Option<(String, String)>| {
            column.as_ref().map_or("—".to_owned(), |(name, sql_type)| {
                format!("{name} {sql_type}")
            })
        };
        let rows: Vec<(String, String)> = self
            .changes
            .iter()
            .map(|(b, n)| (shown(b), shown(n)))
            .collect();
        let width = rows
            .iter()
            .map(|(b, _)| b.chars().count())
            .max()
            .unwrap_or(0)
            .max(6);
        write!(f, "    {:<width$}   now", "before")?;
        for (before, now) in rows {
            write!(f, "\n    {before:<width$}   {now}")?;
        }
        Ok(())
    }
}

/// Compares a file with those of its kind before; an error if it differs and the user has not said that it may.
pub(super) fn check(
    conn: &Connection,
    relation: &Relation,
    input: &Input,
    import: &Import,
    dialect: &Dialect,
) -> Result<Option<Drift>> {
    let before = remembered(conn, dialect)?;
    if before.is_empty() {
        return Ok(None);
    }
    let drift = Drift::between(&before, &own_columns(relation, dialect));
    match drift {
        Some(drift) if !import.evolve => Err(refused(
            input,
            format!(
                "its columns are not those of the '{}' files before:\n{drift}\n  hint: --evolve takes it, and goes by it from then on. Nothing of it was loaded",
                dialect.kind
            ),
        )),
        drift => Ok(drift),
    }
}

/// Goes by the columns of this file from now on.
pub(super) fn remember(conn: &Connection, relation: &Relation, dialect: &Dialect) -> Result<()> {
    let columns = own_columns(relation, dialect);
    if is_free(dialect) || remembered(conn, dialect)? == columns {
        return Ok(());
    }
    conn.execute(
        "DELETE FROM ops.file_schemas WHERE kind = ?",
        [&dialect.kind],
    )
    .doing("writing ops.file_schemas")?;
    for (name, sql_type) in columns {
        conn.execute(
            "INSERT INTO ops.file_schemas VALUES (?, ?, ?)",
            params![dialect.kind, name, sql_type],
        )
        .doing("writing ops.file_schemas")?;
    }
    Ok(())
}

/// Files that are read by the names of their columns may come from anywhere, and documents have none.
fn is_free(dialect: &Dialect) -> bool {
    dialect.name.starts_with(AUTO) || dialect.document
}

fn own_columns(relation: &Relation, dialect: &Dialect) -> Vec<(String, String)> {
    let may_lack = dialect.optional.iter().chain(&dialect.either);
    let optional = |name: &str| may_lack.clone().any(|o| o.eq_ignore_ascii_case(name));
    let columns = relation.columns.iter().filter(|(name, _)| !optional(name));
    columns.cloned().collect()
}

fn remembered(conn: &Connection, dialect: &Dialect) -> Result<Vec<(String, String)>> {
    conn.prepare("SELECT name, type FROM ops.file_schemas WHERE kind = ? ORDER BY rowid")
        .and_then(|mut s| {
            s.query_map([&dialect.kind], |row| Ok((row.get(0)?, row.get(1)?)))
                .and_then(Iterator::collect)
        })
        .doing("reading ops.file_schemas")
}
