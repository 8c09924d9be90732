//! CSV as DuckDB's COPY writes it: a header, commas (or tabs), quotes only where a reader needs them, NULL as nothing.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Encoder, Error, Out, text, unique_names};

pub(super) struct Csv<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    delimiter: u8,
    buffer: Vec<u8>,
}

impl<'w> Csv<'w> {
    pub(super) fn new(schema: SchemaRef, delimiter: u8, out: Out<'w>) -> Self {
        let mut buffer = Vec::new();
        for (i, name) in unique_names(&schema).iter().enumerate() {
            if i > 0 {
                buffer.push(delimiter);
            }
            let start = buffer.len();
            buffer.extend_from_slice(name.as_bytes());
            quote_from(start, delimiter, &mut buffer);
        }
        buffer.push(b'\n');
        Self {
            out,
            schema,
            delimiter,
            buffer,
        }
    }
}

impl Encoder for Csv<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let (delimiter, buffer) = (self.delimiter, &mut self.buffer);
        for row in 0..batch.num_rows() {
            for (i, cells) in columns.iter().enumerate() {
                if i > 0 {
                    buffer.push(delimiter);
                }
                if !cells.is_null(row) {
                    let start = buffer.len();
                    cells.write(row, buffer);
                    if cells.free_text {
                        quote_from(start, delimiter, buffer);
                    }
                }
            }
            buffer.push(b'\n');
        }
        super::drain(buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        super::drain(&mut self.buffer, self.out)
    }
}

/// Quotes what was written from `start` on, if it has to be. Nothing at all would read as NULL, and `#` as a comment.
fn quote_from(start: usize, delimiter: u8, out: &mut Vec<u8>) {
    let text = &out[start..];
    if !text.is_empty()
        && !text
            .iter()
            .any(|b| *b == delimiter || matches!(b, b'"' | b'\n' | b'\r' | b'#'))
    {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
