//! Parquet with zstd, in row groups small enough to be skipped by their statistics.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Encoder, Error, Out, types, with_unique_names};

/// As many as DuckDB puts into a row group of its own.
const ROW_GROUP_ROWS: usize = 122_880;

pub(super) struct Parquet<'w> {
    writer: ArrowWriter<Out<'w>>,
    schema: SchemaRef,
}

impl<'w> Parquet<'w> {
    pub(super) fn new(schema: &Schema, out: Out<'w>) -> Result<Self, Error> {
        for field in schema.fields() {
            // Said here, with the column's name, rather than by the writer after the first row group.
            if matches!(
                field.data_type(),
                DataType::Interval(_) | DataType::Union(_, _)
            ) {
                return Err(Error::Unsupported {
                    column: field.name().clone(),
                    type_name: types::type_name(field).to_uppercase(),
                });
            }
        }
        let schema = with_unique_names(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(out, SchemaRef::clone(&schema), Some(properties))?;
        Ok(Self { writer, schema })
    }
}

impl Encoder for Parquet<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), batch.columns().to_vec())?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.writer.finish()?;
        Ok(())
    }
}
