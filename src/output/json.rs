//! JSON: an array of objects, or one object a line. Equal to DuckDB's COPY, but for NaN and infinity, which are
//! not JSON and become `null`, and for the spelling of numbers inside values of type JSON, which is kept.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::json_value::{json, sequence, string, value};
use super::{Encoder, Error, Out, unique_names};

pub(super) struct Json<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// `"name":` of every column.
    keys: Vec<Vec<u8>>,
    array: bool,
    started: bool,
    buffer: Vec<u8>,
}

impl<'w> Json<'w> {
    pub(super) fn new(schema: SchemaRef, array: bool, out: Out<'w>) -> Self {
        let keys = keys(&schema);
        Self {
            out,
            schema,
            keys,
            array,
            started: false,
            buffer: Vec::new(),
        }
    }
}

impl Encoder for Json<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, json)?;
        for row in 0..batch.num_rows() {
            if self.array {
                self.buffer
                    .extend_from_slice(if self.started { b",\n\t" } else { b"[\n\t" });
            }
            self.started = true;
            sequence(
                0..columns.len(),
                [b'{', b'}'],
                &mut self.buffer,
                |i, out| {
                    out.extend_from_slice(&self.keys[i]);
                    value(&columns[i], row, out);
                },
            );
            if !self.array {
                self.buffer.push(b'\n');
            }
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.array {
            self.out.write_all(if self.started {
                b"\n]\n"
            } else {
                b"[\n\t\n]\n"
            })?;
        }
        Ok(())
    }
}

fn keys(schema: &Schema) -> Vec<Vec<u8>> {
    let key = |name: String| {
        let mut key = Vec::new();
        string(name.as_bytes(), &mut key);
        key.push(b':');
        key
    };
    unique_names(schema).into_iter().map(key).collect()
}
