//! The canonical tables as DuckDB holds them: columns, which of them are required, keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use duckdb::Connection;

use super::error::{Doing, Error, Result};
use crate::model::RAW_MESSAGES;
use crate::model::sql::identifier;
use crate::sqltree::{Header, SqlFile, SqlTree};

/// The schemas in which a table's hot rows lie, each a table of its name. DuckDB locks a table while it folds the log into
/// the file, so a capture writes to one side while the other's rows are folded.
pub(super) const SIDES: [&str; 2] = ["hot", "hot_b"];

/// The column that is one for all rows of a batch.
pub(super) const VENUE: &str = "venue";

/// A canonical table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// What it is, as its file says.
    pub(super) comment: String,
    /// Its columns in order.
    pub(super) columns: Vec<Column>,
    /// The same as Arrow has them.
    pub(super) schema: SchemaRef,
    /// Names of the key's columns; empty if it has no key.
    pub(super) key: Vec<String>,
    /// Whether of rows with one key the latest counts, instead of the first.
    pub(super) latest: bool,
    /// Of those no row of which this column is not true counts before one of which it is.
    pub(super) final_by: Option<String>,
    /// The table whose rows take back rows of this one. It has this one's key, and says in `from_ts` and `to_ts`
    /// in which time the row taken back lies.
    pub(super) voided_by: Option<String>,
}

/// A column of a canonical table.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it is, as the line that defines it says.
    pub(super) comment: String,
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

    /// Its hot rows, as a relation.
    pub(super) fn hot(&self) -> String {
        hot_rows(&self.name)
    }

    /// The view of all its rows, hot and sealed.
    pub(super) fn whole(&self) -> String {
        if self.voided_by.is_some() {
            format!("{}_reported", self.name)
        } else {
            self.name.clone()
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

/// The hot rows of a table, as a relation.
pub fn hot_rows(table: &str) -> String {
    let sides = SIDES.map(|side| format!("FROM {side}.\"{table}\""));
    format!("({})", sides.join(" UNION ALL "))
}

/// Deletes hot rows of a table, and returns how many.
pub(super) fn delete_hot(conn: &Connection, table: &str, condition: &str) -> duckdb::Result<usize> {
    SIDES.iter().try_fold(0, |deleted, side| {
        let sql = format!("DELETE FROM {side}.\"{table}\" WHERE {condition}");
        Ok(deleted + conn.execute(&sql, [])?)
    })
}

/// SQL for the row of each key that counts, of the rows of a SELECT: see [`rank`].
pub(super) fn newest_of_key(rows: &str, key: &[String], final_by: Option<&str>) -> String {
    format!(
        "SELECT * FROM ({rows}) QUALIFY row_number() OVER (PARTITION BY {} ORDER BY {} DESC) = 1",
        list(key.iter().map(String::as_str)),
        rank("", final_by).join(" DESC, ")
    )
}

/// SQL for what of several rows with one key is highest in the one that counts; `of` stands before the columns.
pub(super) fn rank(of: &str, final_by: Option<&str>) -> Vec<String> {
    let is_final = final_by.map(|by| format!("coalesce({of}{}, false)", identifier(by)));
    let last = ["recv_ts", "seq"].map(|column| format!("{of}{column}"));
    is_final.into_iter().chain(last).collect()
}

/// What mdb relies on in every table, whoever wrote its file.
fn check(file: &SqlFile, columns: &[Column]) -> Result<()> {
    let refused = |message: String| {
        Err(Error::Model {
            file: file.origin.clone(),
            message,
        })
    };
    let mut needed = vec![
        ("seq", "UBIGINT"),
        (VENUE, "VARCHAR"),
        ("recv_ts", "TIMESTAMP_NS"),
    ];
    if file.name != RAW_MESSAGES {
        needed.extend([("symbol", "VARCHAR"), ("ts", "TIMESTAMP_NS")]);
    }
    if let Some(by) = &file.header.final_by {
        needed.push((by, "BOOLEAN"));
    }
    for (name, sql_type) in needed {
        if !columns
            .iter()
            .any(|c| c.name == name && c.sql_type == sql_type)
        {
            return refused(format!(
                "the table needs a column '{name}' of type {sql_type}"
            ));
        }
    }
    if columns[0].name != "seq" {
        return refused("the table's first column must be 'seq'".to_owned());
    }
    for column in columns {
        let number =
            ["UBIGINT", "BIGINT", "UINTEGER", "INTEGER"].contains(&column.sql_type.as_str());
        let time = column.sql_type.starts_with("TIMESTAMP") || column.sql_type == "DATE";
        let fits = match column.layout {
            Layout::Dictionary | Layout::Plain => true,
            Layout::Delta => number || time || column.sql_type == "VARCHAR",
            Layout::Split => number || column.sql_type == "DOUBLE",
        };
        if !fits {
            return refused(format!(
                "@delta or @split does not fit the column '{}'",
                column.name
            ));
        }
    }
    Ok(())
}

/// The comment at the end of the line that defines a column.
fn comment_of(file: &SqlFile, column: &str) -> String {
    let defines = |line: &str| {
        let (definition, comment) = line.split_once(" -- ")?;
        let name = definition.split_whitespace().next()?.trim_matches('"');
        (name == column).then(|| comment.trim().to_owned())
    };
    file.text.lines().find_map(defines).unwrap_or_default()
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
        let mut rows: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
        conn.prepare(
            "SELECT table_name, column_name, data_type, NOT is_nullable FROM duckdb_columns()
             WHERE schema_name = 'hot' ORDER BY table_name, column_index",
        )
        .and_then(|mut s| {
            for row in s.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    (row.get(1)?, row.get(2)?, row.get(3)?),
                ))
            })? {
                let (table, column) = row?;
                rows.entry(table).or_default().push(column);
            }
            Ok(())
        })
        .doing("reading the catalog")?;
        let mut tables = BTreeMap::new();
        for file in tree.folder("tables") {
            let columns: Vec<Column> = rows
                .remove(&file.name)
                .unwrap_or_default()
                .into_iter()
                .map(|(name, sql_type, required)| Column {
                    layout: layout(&file.header, &name),
                    comment: comment_of(file, &name),
                    name,
                    sql_type,
                    required,
                })
                .collect();
            check(file, &columns)?;
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
                comment: file.header.description.clone(),
                columns,
                schema,
                key,
                latest: file.header.latest,
                final_by: file.header.final_by.clone(),
                voided_by: file.header.voided_by.clone(),
            };
            tables.insert(file.name.clone(), Arc::new(table));
        }
        let catalog = Self { tables };
        catalog.check_voiding(tree)?;
        Ok(catalog)
    }

    /// A table that voids another needs what the two are compared by.
    fn check_voiding(&self, tree: &SqlTree) -> Result<()> {
        for file in tree.folder("tables") {
            let Some((table, by)) = self
                .get(&file.name)
                .and_then(|table| Some((table, table.voided_by.as_deref()?)))
            else {
                continue;
            };
            let refused = |message: String| {
                Err(Error::Model {
                    file: file.origin.clone(),
                    message,
                })
            };
            let Some(other) = self.get(by) else {
                return refused(format!("@voided_by names '{by}', which is no table"));
            };
            if !table.key.iter().any(|c| c == VENUE) || table.name == other.name {
                return refused(
                    "@voided_by needs a @key with the venue, and another table".to_owned(),
                );
            }
            let window = ["from_ts", "to_ts"].map(str::to_owned);
            let needed = table.key.iter().chain(&window);
            if let Some(lacking) = needed.into_iter().find(|c| other.position(c).is_none()) {
                return refused(format!(
                    "@voided_by names '{by}', which lacks the column '{lacking}'"
                ));
            }
        }
        Ok(())
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

    /// The table that a file of the tree fills.
    pub(super) fn filled_by(&self, origin: &str, name: &str) -> Result<&Arc<Table>> {
        self.get(name).ok_or_else(|| Error::Model {
            file: origin.to_owned(),
            message: format!("there is no canonical table '{name}'"),
        })
    }

    /// A table that a person has named.
    pub(super) fn named(&self, name: &str) -> Result<&Arc<Table>> {
        self.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.iter().map(|t| t.name.as_str()).collect();
            Error::Model {
                file: format!("table '{name}'"),
                message: format!(
                    "there is none of this name; these are: {}",
                    names.join(", ")
                ),
            }
        })
    }

    /// The tables whose rows `voider` takes back.
    pub(super) fn voided_by<'a>(&'a self, voider: &'a str) -> impl Iterator<Item = &'a Arc<Table>> {
        self.iter()
            .filter(move |table| table.voided_by.as_deref() == Some(voider))
    }

    /// All tables.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }
}
