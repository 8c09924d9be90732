//! Tables for documents: HTML and LaTeX, written row by row.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Encoder, Error, Out, text, types};

pub(super) struct Html<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    buffer: Vec<u8>,
}

impl<'w> Html<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let mut buffer = b"<table>\n<thead>\n<tr>".to_vec();
        for field in schema.fields() {
            buffer.extend_from_slice(b"<th>");
            escape_html(field.name().as_bytes(), &mut buffer);
            buffer.extend_from_slice(b"</th>");
        }
        buffer.extend_from_slice(b"</tr>\n</thead>\n<tbody>\n");
        Self {
            out,
            schema,
            buffer,
        }
    }
}

impl Encoder for Html<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let mut value = Vec::new();
        for row in 0..batch.num_rows() {
            self.buffer.extend_from_slice(b"<tr>");
            for (cells, field) in columns.iter().zip(self.schema.fields()) {
                self.buffer.extend_from_slice(if types::is_number(field) {
                    b"<td align=\"right\">"
                } else {
                    b"<td>"
                });
                if !cells.is_null(row) {
                    value.clear();
                    cells.write(row, &mut value);
                    escape_html(&value, &mut self.buffer);
                }
                self.buffer.extend_from_slice(b"</td>");
            }
            self.buffer.extend_from_slice(b"</tr>\n");
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.buffer.extend_from_slice(b"</tbody>\n</table>\n");
        super::drain(&mut self.buffer, self.out)
    }
}

fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(byte),
        }
    }
}

pub(super) struct Latex<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    buffer: Vec<u8>,
}

impl<'w> Latex<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let mut buffer = b"\\begin{tabular}{".to_vec();
        buffer.extend(
            schema
                .fields()
                .iter()
                .map(|field| if types::is_number(field) { b'r' } else { b'l' }),
        );
        buffer.extend_from_slice(b"}\n\\hline\n");
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                buffer.extend_from_slice(b" & ");
            }
            escape_latex(field.name().as_bytes(), &mut buffer);
        }
        buffer.extend_from_slice(b" \\\\\n\\hline\n");
        Self {
            out,
            schema,
            buffer,
        }
    }
}

impl Encoder for Latex<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let mut value = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, cells) in columns.iter().enumerate() {
                if i > 0 {
                    self.buffer.extend_from_slice(b" & ");
                }
                if !cells.is_null(row) {
                    value.clear();
                    cells.write(row, &mut value);
                    escape_latex(&value, &mut self.buffer);
                }
            }
            self.buffer.extend_from_slice(b" \\\\\n");
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.buffer.extend_from_slice(b"\\hline\n\\end{tabular}\n");
        super::drain(&mut self.buffer, self.out)
    }
}

fn escape_latex(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' | b'%' | b'$' | b'#' | b'_' | b'{' | b'}' => out.extend_from_slice(&[b'\\', byte]),
            b'\\' => out.extend_from_slice(b"\\textbackslash{}"),
            b'~' => out.extend_from_slice(b"\\textasciitilde{}"),
            b'^' => out.extend_from_slice(b"\\textasciicircum{}"),
            b'\n' => out.push(b' '),
            _ => out.push(byte),
        }
    }
}
