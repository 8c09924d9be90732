//! A batch whose columns are all text, as DuckDB casts each value to VARCHAR.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};

use super::{Error, text};

/// The values of a batch as text, in columns `c0`, `c1`, …
///
/// # Errors
/// If a column is of a type that has no text.
pub fn texts(schema: &Schema, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = super::cells(schema, batch, text::text)?;
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let mut value = Vec::new();
    for (i, cells) in columns.iter().enumerate() {
        let mut builder = StringBuilder::new();
        for row in 0..batch.num_rows() {
            if cells.is_null(row) {
                builder.append_null();
            } else {
                value.clear();
                cells.write(row, &mut value);
                builder.append_value(String::from_utf8_lossy(&value));
            }
        }
        fields.push(Field::new(format!("c{i}"), DataType::Utf8, true));
        arrays.push(Arc::new(builder.finish()));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}
