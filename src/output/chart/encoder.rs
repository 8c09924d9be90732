//! Results as pictures, for whoever asks for that format.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Chart, Error, Size, terminal};
use crate::output::table::Table;
use crate::output::{self, Encoder, Layout, Out};

/// Rows that are drawn at most: more show nothing more.
const ROWS: usize = 1_000_000;

/// A picture of ordinary size.
const WIDTH: usize = 80;
const HEIGHT: usize = 24;

/// Draws one result; one that cannot be drawn becomes a table.
pub(in crate::output) struct Picture<'w> {
    schema: SchemaRef,
    layout: Layout,
    batches: Vec<RecordBatch>,
    rows: usize,
    out: Out<'w>,
}

impl<'w> Picture<'w> {
    pub(in crate::output) fn new(schema: SchemaRef, layout: Layout, out: Out<'w>) -> Self {
        Self {
            schema,
            layout,
            batches: Vec::new(),
            rows: 0,
            out,
        }
    }
}

impl Encoder for Picture<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), output::Error> {
        let room = (ROWS - self.rows).min(batch.num_rows());
        if room > 0 {
            self.batches.push(batch.slice(0, room));
            self.rows += room;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), output::Error> {
        match Chart::new(None, &self.schema, &self.batches) {
            Ok(chart) => {
                let size = Size {
                    width: self.layout.width.unwrap_or(WIDTH),
                    height: self.layout.rows.unwrap_or(HEIGHT).min(HEIGHT),
                    color: self.layout.color,
                };
                self.out.write_all(terminal(&chart, size).as_bytes())?;
                for note in chart.notes() {
                    writeln!(self.out, "{note}")?;
                }
                Ok(())
            }
            Err(Error::Column(error)) => Err(error),
            Err(_) => {
                let schema = SchemaRef::clone(&self.schema);
                let mut table = Table::new(schema, self.layout, &mut *self.out);
                for batch in &self.batches {
                    table.batch(batch)?;
                }
                table.finish()
            }
        }
    }
}
