//! One column a line, a blank line between rows: for rows too wide for a table.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use unicode_width::UnicodeWidthStr;

use super::table::printable;
use super::{Encoder, Error, Out, text};

pub(super) struct Lines<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// Names, right-aligned to the longest, with ` = `.
    labels: Vec<String>,
    started: bool,
    buffer: Vec<u8>,
}

impl<'w> Lines<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let names: Vec<String> = schema
            .fields()
            .iter()
            .map(|f| printable(f.name().as_bytes()))
            .collect();
        let longest = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let labels = names
            .iter()
            .map(|name| format!("{}{name} = ", " ".repeat(longest - name.width())))
            .collect();
        Self {
            out,
            schema,
            labels,
            started: false,
            buffer: Vec::new(),
        }
    }
}

impl Encoder for Lines<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            if self.started {
                self.buffer.push(b'\n');
            }
            self.started = true;
            for (label, cells) in self.labels.iter().zip(&columns) {
                self.buffer.extend_from_slice(label.as_bytes());
                text.clear();
                if cells.is_null(row) {
                    text.extend_from_slice(b"NULL");
                } else {
                    cells.write(row, &mut text);
                }
                self.buffer.extend_from_slice(printable(&text).as_bytes());
                self.buffer.push(b'\n');
            }
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
