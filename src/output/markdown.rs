//! A Markdown table (GitHub's), written row by row.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Encoder, Error, Out, text, types};

pub(super) struct Markdown<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    buffer: Vec<u8>,
}

impl<'w> Markdown<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let mut buffer = vec![b'|'];
        for field in schema.fields() {
            buffer.push(b' ');
            escape(field.name().as_bytes(), &mut buffer);
            buffer.extend_from_slice(b" |");
        }
        buffer.extend_from_slice(b"\n|");
        for field in schema.fields() {
            buffer.extend_from_slice(if types::is_number(field) {
                b"---:|"
            } else {
                b"---|"
            });
        }
        buffer.push(b'\n');
        Self {
            out,
            schema,
            buffer,
        }
    }
}

impl Encoder for Markdown<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            self.buffer.push(b'|');
            for cells in &columns {
                self.buffer.push(b' ');
                if !cells.is_null(row) {
                    text.clear();
                    cells.write(row, &mut text);
                    escape(&text, &mut self.buffer);
                    self.buffer.push(b' ');
                }
                self.buffer.push(b'|');
            }
            self.buffer.push(b'\n');
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        super::drain(&mut self.buffer, self.out)
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\n' => out.extend_from_slice(b"<br>"),
            b'\r' => {}
            _ => out.push(byte),
        }
    }
}
