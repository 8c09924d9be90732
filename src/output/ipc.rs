//! Arrow IPC: the stream format for a pipe, the file format for a file.

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::{FileWriter, StreamWriter};

use super::plain::{Place, Plain};
use super::{Encoder, Error, Out};

/// DuckDB's batches of 2,048 rows are put together to this many: readers work batch by batch.
const BATCH_ROWS: usize = 65_536;

pub(super) struct Ipc<'w> {
    writer: Writer<'w>,
    plain: Plain,
    pending: Pending,
}

enum Writer<'w> {
    Stream(StreamWriter<Out<'w>>),
    File(FileWriter<Out<'w>>),
}

impl<'w> Ipc<'w> {
    pub(super) fn new(schema: &Schema, file: bool, out: Out<'w>) -> Result<Self, Error> {
        let plain = Plain::new(schema, Place::Arrow);
        let schema = SchemaRef::new(Schema::new(
            plain
                .schema()
                .fields()
                .iter()
                .map(|f| without_dictionaries(f))
                .collect::<Vec<_>>(),
        ));
        let writer = if file {
            Writer::File(FileWriter::try_new(out, &schema)?)
        } else {
            Writer::Stream(StreamWriter::try_new(out, &schema)?)
        };
        Ok(Self {
            writer,
            plain,
            pending: Pending {
                schema,
                batches: Vec::new(),
                rows: 0,
            },
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match &mut self.writer {
            Writer::Stream(writer) => writer.write(batch)?,
            Writer::File(writer) => writer.write(batch)?,
        }
        Ok(())
    }
}

impl Encoder for Ipc<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match self.pending.add(&self.plain.batch(batch)?)? {
            Some(batch) => self.write(&batch),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        if let Some(batch) = self.pending.take()? {
            self.write(&batch)?;
        }
        match &mut self.writer {
            Writer::Stream(writer) => writer.finish()?,
            Writer::File(writer) => writer.finish()?,
        }
        Ok(())
    }
}

/// Batches until they are enough for a large one.
struct Pending {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Pending {
    /// Takes a batch in; a large one, once there is one.
    fn add(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, Error> {
        let fields = self.schema.fields().iter().zip(batch.columns());
        let columns = fields.map(|(field, column)| cast(column, field.data_type()));
        self.batches.push(RecordBatch::try_new(
            SchemaRef::clone(&self.schema),
            columns.collect::<Result<_, _>>()?,
        )?);
        self.rows += batch.num_rows();
        if self.rows < BATCH_ROWS {
            Ok(None)
        } else {
            self.take()
        }
    }

    fn take(&mut self) -> Result<Option<RecordBatch>, Error> {
        if self.batches.is_empty() {
            return Ok(None);
        }
        let batch = concat_batches(&self.schema, &self.batches)?;
        self.batches.clear();
        self.rows = 0;
        Ok(Some(batch))
    }
}

/// Text instead of dictionaries: the file format takes one dictionary a column, and every batch has its own.
fn without_dictionaries(field: &Field) -> Field {
    let item = |field: &FieldRef| FieldRef::new(without_dictionaries(field));
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::List(inner) => DataType::List(item(inner)),
        DataType::FixedSizeList(inner, size) => DataType::FixedSizeList(item(inner), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Map(entries, sorted) => DataType::Map(item(entries), *sorted),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}
