//! The canonical tables as DuckDB holds them: columns, which of them are required, keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use duckdb::Connection;

use super::error::{Doing, Error, Result};
use crate::model::RAW_MESSAGES;
use crate::sqltree::{Header, SqlTree};

/// The column that is one for all rows of a batch.
pub(super) const VENUE: &str = "venue";

/// A canonical table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// Its columns in order.
    pub(super) columns: Vec<Column>,
    /// The same as Arrow has them.
    pub(super) schema: SchemaRef,
    /// Names of the key's columns; empty if it has no key.
    pub(super) key: Vec<String>,
    /// Whether of rows with one key the latest counts, instead of the first.
    pub(super) latest: bool,
}

/// A column of a canonical table.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// Its SQL type.
    pub(super) sql_type: String,
    /// Whether a row is worthless without it.
    pub(super) required: bool,
    /// How a sealed file holds it.
    pub(super) layout: Layout,
}

/// How a column is encoded in Parquet, as its table's file declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each value once, and references to it.
    Dictionary,
    /// Differences from value to value.
    Delta,
    /// As it is.
    Plain,
    /// First bytes together, second bytes together, and so on.
    Split,
}

impl Table {
    /// The column that says which UTC date a row belongs to.
    pub(super) fn time(&self) -> &'static str {
        if self.name == RAW_MESSAGES {
            "recv_ts"
        } else {
            "ts"
        }
    }

    /// Position of a column.
    pub(super) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    /// The columns that rows carry on their way in: all but `venue`, which is one for a whole batch.
    pub(super) fn carried(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| c.name != VENUE)
    }

    /// Position of a column in rows on their way in.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.carried().position(|c| c.name == column)
    }

    /// The carried columns, quoted, for a SELECT list.
    pub(super) fn carried_list(&self) -> String {
        list(self.carried().map(|c| c.name.as_str()))
    }

    /// The carried columns as Arrow has them.
    pub(super) fn carried_schema(&self) -> SchemaRef {
        let fields = self
            .schema
            .fields()
            .iter()
            .filter(|f| f.name() != VENUE)
            .cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// All columns, quoted, for a SELECT list.
    pub(super) fn select_list(&self) -> String {
        list(self.columns.iter().map(|c| c.name.as_str()))
    }

    /// The key's columns, quoted.
    pub(super) fn key_list(&self) -> String {
        list(self.key.iter().map(String::as_str))
    }
}

fn layout(header: &Header, column: &str) -> Layout {
    let named = |columns: &[String]| columns.iter().any(|name| name == column);
    if named(&header.delta) {
        Layout::Delta
    } else if named(&header.plain) {
        Layout::Plain
    } else if named(&header.split) {
        Layout::Split
    } else {
        Layout::Dictionary
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// All canonical tables by name.
#[derive(Debug)]
pub(super) struct Catalog {
    tables: BTreeMap<String, Arc<Table>>,
}

impl Catalog {
    /// Reads what `hot` holds and the keys that the tree's files declare.
    pub(super) fn load(conn: &Connection, tree: &SqlTree) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for file in tree.folder("tables") {
            let mut statement = conn
                .prepare_cached(
                    "SELECT column_name, data_type, NOT is_nullable FROM duckdb_columns()
                     WHERE schema_name = 'hot' AND table_name = ? ORDER BY column_index",
                )
                .doing("reading the catalog")?;
            let columns = statement
                .query_map([&file.name], |row| {
                    let name: String = row.get(0)?;
                    let layout = layout(&file.header, &name);
                    Ok(Column {
                        name,
                        sql_type: row.get(1)?,
                        required: row.get(2)?,
                        layout,
                    })
                })
                .and_then(Iterator::collect::<Result<Vec<Column>, _>>)
                .doing("reading the catalog")?;
            let key = file
                .header
                .key
                .iter()
                .map(|name| match columns.iter().find(|c| c.name == *name) {
                    Some(column) => Ok(column.name.clone()),
                    None => Err(Error::Model {
                        file: file.origin.clone(),
                        message: format!("@key names '{name}', which is no column of the table"),
                    }),
                })
                .collect::<Result<_>>()?;
            let mut empty = conn
                .prepare(&format!("SELECT * FROM hot.{} LIMIT 0", file.name))
                .doing("reading the catalog")?;
            let schema = empty
                .stream_arrow([])
                .doing("reading the catalog")?
                .get_schema();
            let table = Table {
                name: file.name.clone(),
                columns,
                schema,
                key,
                latest: file.header.latest,
            };
            tables.insert(file.name.clone(), Arc::new(table));
        }
        Ok(Self { tables })
    }

    /// A table by name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// A table that mdb itself writes and that the built-in tree always has.
    pub(super) fn own(&self, name: &str) -> Result<&Arc<Table>> {
        self.get(name).ok_or_else(|| Error::Model {
            file: format!("sql/tables/{name}.sql"),
            message: "the table is missing; mdb writes it itself".to_owned(),
        })
    }

    /// All tables.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }
}
