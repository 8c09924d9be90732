//! Parquet with zstd, in row groups small enough to be skipped by their statistics.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::plain::{Place, Plain};
use super::{Encoder, Error, Out};

/// As many as DuckDB puts into a row group of its own.
const ROW_GROUP_ROWS: usize = 122_880;

pub(super) struct Parquet<'w> {
    writer: ArrowWriter<Out<'w>>,
    plain: Plain,
}

impl<'w> Parquet<'w> {
    pub(super) fn new(schema: &Schema, out: Out<'w>) -> Result<Self, Error> {
        for field in schema.fields() {
            // Said here, with the column's name, rather than by the writer after the first row group.
            if has_no_place(field) {
                return Err(Error::unsupported(field));
            }
        }
        let plain = Plain::new(schema, Place::Parquet);
        let schema = SchemaRef::clone(plain.schema());
        let writer = ArrowWriter::try_new(out, schema, Some(properties()?))?;
        Ok(Self { writer, plain })
    }
}

/// Whether Parquet lacks a field's type, or one inside it. Of some of these the writer panics.
fn has_no_place(field: &Field) -> bool {
    match field.data_type() {
        DataType::Interval(_) | DataType::Union(_, _) => true,
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => has_no_place(inner),
        DataType::Struct(members) => members.iter().any(|member| has_no_place(member)),
        _ => false,
    }
}

fn properties() -> Result<WriterProperties, Error> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build())
}

impl Encoder for Parquet<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let batch = self.plain.batch(batch)?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.writer.finish()?;
        Ok(())
    }
}

/// Bytes of a whole number of 128 bits.
const WIDE_BYTES: i32 = 16;

/// Parquet that says of itself what a program wants to know. No column has NULL, and decimals are written as the whole
/// numbers of 128 bits that they are made of, the lowest byte first.
pub struct Annotated<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
}

impl<W: Write + Send> Annotated<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// If a column's type has no place in Parquet.
    pub fn new(schema: &Schema, says: HashMap<String, String>, out: W) -> Result<Self, Error> {
        let fields = schema.fields().iter().map(|field| {
            let data_type = match field.data_type() {
                DataType::Decimal128(..) => DataType::FixedSizeBinary(WIDE_BYTES),
                other => other.clone(),
            };
            Field::new(field.name(), data_type, false)
        });
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), says);
        let schema = SchemaRef::new(schema);
        let writer = ArrowWriter::try_new(out, SchemaRef::clone(&schema), Some(properties()?))?;
        Ok(Self { writer, schema })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If they cannot be written, or hold NULL.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = batch.columns().iter().map(wide);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?;
        Ok(self.writer.write(&batch)?)
    }

    /// Ends the file. What it was written to is returned.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<W, Error> {
        Ok(self.writer.into_inner()?)
    }
}

fn wide(column: &ArrayRef) -> Result<ArrayRef, Error> {
    let Some(numbers) = column.as_primitive_opt::<Decimal128Type>() else {
        return Ok(Arc::clone(column));
    };
    let bytes: Vec<u8> = numbers
        .values()
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    let nulls = numbers.nulls().cloned();
    Ok(Arc::new(FixedSizeBinaryArray::try_new(
        WIDE_BYTES,
        bytes.into(),
        nulls,
    )?))
}
