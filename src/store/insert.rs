//! Arrow rows into a table: DuckDB scans them in place, which is two to three times as fast as its appender
//! for batches of thousands of rows. A text column that has one value throughout goes as a parameter.

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
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

/// Up to so many rows DuckDB's appender is faster: a statement is planned at every execution.
const MAX_APPENDED: usize = 2048;

/// Inserts a batch of one venue's rows into a table, given by schema and name. The batch's columns are the table's,
/// found by name.
pub(super) fn insert(
    conn: &Connection,
    (schema, table): (&str, &str),
    venue: &str,
    batch: &RecordBatch,
) -> Result<()> {
    match batch.num_rows() {
        0 => Ok(()),
        1..=MAX_APPENDED => append(conn, (schema, table), venue, batch),
        _ => select(conn, &format!("{schema}.{table}"), venue, batch),
    }
    .doing(format!("writing {schema}.{table}"))
}

fn append(
    conn: &Connection,
    (schema, table): (&str, &str),
    venue: &str,
    batch: &RecordBatch,
) -> duckdb::Result<()> {
    let venues = StringArray::from_iter_values(std::iter::repeat_n(venue, batch.num_rows()));
    let (mut fields, mut columns) = (
        vec![Arc::new(Field::new(VENUE, DataType::Utf8, true))],
        vec![Arc::new(venues) as ArrayRef],
    );
    fields.extend(batch.schema_ref().fields().iter().cloned());
    columns.extend(batch.columns().iter().cloned());
    let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
    let mut appender = conn.appender_with_columns_to_db(table, schema, &names)?;
    appender.append_record_batch(batch_of(fields, columns)?)?;
    // Dropping it would hide an error.
    appender.flush()
}

fn select(conn: &Connection, into: &str, venue: &str, batch: &RecordBatch) -> duckdb::Result<()> {
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
