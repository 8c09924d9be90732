//! Arrow rows into a table: DuckDB scans them in place, which is two to three times as fast as its appender
//! for batches of thousands of rows. A text column that has one value throughout goes as a parameter.

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use duckdb::vtab::arrow::{ArrowBatchRegistration, ArrowVTab};
use duckdb::{Connection, ToSql, params_from_iter};
use std::sync::Arc;

use super::catalog::VENUE;
use super::error::{Doing, Result};

/// Name of the table function that scans a registered batch.
pub(super) const SCAN: &str = "arrow";

/// Makes a connection's database know the scan.
pub(super) fn register(conn: &Connection) -> Result<()> {
    conn.register_table_function::<ArrowVTab>(SCAN)
        .doing("preparing the database")
}

/// Inserts a batch of one venue's rows. The batch's columns are found by name in `into`.
pub(super) fn insert(
    conn: &Connection,
    into: &str,
    venue: &str,
    batch: &RecordBatch,
) -> Result<()> {
    if batch.num_rows() == 0 {
        return Ok(());
    }
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
    let scanned = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
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
        .doing(format!("writing {into}"))
        .map(|_| ())
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
