//! Arrow rows into a table: DuckDB scans them in place, which is two to three times as fast as its appender
//! for batches of thousands of rows. A text column that has one value throughout goes as a parameter.

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use duckdb::vtab::arrow::{ArrowBatchRegistration, ArrowVTab};
use duckdb::{Connection, ToSql, params, params_from_iter};
use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::{Table, VENUE};
use super::error::{Doing, Result};
use super::slot::{self, Slot};

/// Name of the table function that scans a registered batch.
pub(super) const SCAN: &str = "arrow";

/// Makes a connection's database know the scan.
pub(super) fn register(conn: &Connection) -> Result<()> {
    conn.register_table_function::<ArrowVTab>(SCAN)
        .doing("preparing the database")
}

/// So many rows are worth a plan of their own.
const MANY_ROWS: usize = 2048;

/// The INSERT statements of one writer.
#[derive(Default)]
pub(super) struct Inserts {
    /// By table: SQL whose plan is made once, and where it finds its rows.
    few: HashMap<String, (String, Slot)>,
}

impl Inserts {
    /// Inserts a batch of one venue's rows, the columns the table carries, into a schema's table.
    pub(super) fn insert(
        &mut self,
        conn: &Connection,
        schema: &str,
        table: &Table,
        venue: &str,
        batch: &RecordBatch,
    ) -> Result<()> {
        let into = format!("{schema}.{}", table.name);
        match batch.num_rows() {
            0 => Ok(()),
            MANY_ROWS.. => select(conn, &into, venue, batch),
            _ => {
                let (sql, slot) = self
                    .few
                    .entry(into.clone())
                    .or_insert_with_key(|into| (insert_of(into, table), Slot::new()));
                slot.with(batch.clone(), || {
                    conn.prepare_cached(sql)?
                        .execute(params![slot.number(), venue])
                })
                .map(|_| ())
            }
        }
        .doing(format!("writing {into}"))
    }
}

fn insert_of(into: &str, table: &Table) -> String {
    let columns: Vec<String> = table
        .carried()
        .map(|c| format!("m.\"{}\"", c.name))
        .collect();
    format!(
        "INSERT INTO {into} BY NAME SELECT {}, $2::VARCHAR AS {VENUE} FROM {}",
        columns.join(", "),
        slot::relation(&table.name)
    )
}

/// Inserts a batch by a plan of its own, in which a text column that has one value only is a constant.
pub(super) fn select(
    conn: &Connection,
    into: &str,
    venue: &str,
    batch: &RecordBatch,
) -> duckdb::Result<()> {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    let mut select = vec![format!("?::VARCHAR AS {VENUE}")];
    let mut constants: Vec<Option<String>> = vec![Some(venue.to_owned())];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if let Some(constant) = constant(column) {
            select.push(format!("?::VARCHAR AS \"{}\"", field.name()));
            constants.push(constant);
        } else {
            select.push(format!("\"{}\"", field.name()));
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let scanned = batch_of(fields, columns)?;
    let registered = ArrowBatchRegistration::new(scanned);
    let by_reference = &registered;
    let mut parameters: Vec<&dyn ToSql> = constants.iter().map(|c| c as &dyn ToSql).collect();
    parameters.push(&by_reference);
    let sql = format!(
        "INSERT INTO {into} BY NAME SELECT {} FROM {SCAN}(?)",
        select.join(", ")
    );
    conn.prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(params_from_iter(parameters)))
        .map(|_| ())
}

fn batch_of(fields: Vec<Arc<Field>>, columns: Vec<ArrayRef>) -> duckdb::Result<RecordBatch> {
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| duckdb::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The one value of a text column, which may be NULL, if it has one only.
#[expect(
    clippy::option_option,
    reason = "no constant, or a constant that is NULL"
)]
fn constant(column: &ArrayRef) -> Option<Option<String>> {
    let text = column.as_any().downcast_ref::<StringArray>()?;
    if text.null_count() == text.len() {
        return Some(None);
    }
    if text.null_count() > 0 {
        return None;
    }
    let first = text.value(0);
    text.iter()
        .all(|value| value == Some(first))
        .then(|| Some(first.to_owned()))
}
