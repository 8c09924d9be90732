//! One INSERT a row: texts in quotes, which DuckDB casts to the column's type; numbers and booleans as they are.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use super::{Encoder, Error, Out, text, types, unique_names};
use crate::model::sql::identifier;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    All,
    /// `nan` and `inf` are no numbers of SQL.
    Finite,
    None,
}

pub(super) struct Insert<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// `INSERT INTO result (…) VALUES (`.
    head: String,
    /// Which values of a column need no quotes.
    bare: Vec<Bare>,
    buffer: Vec<u8>,
}

impl<'w> Insert<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let names = unique_names(&schema).into_iter();
        let names: Vec<String> = names.map(|name| identifier(&name)).collect();
        let bare = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Float32 | DataType::Float64 => Bare::Finite,
            _ if types::type_name(field) == "boolean" => Bare::All,
            _ if types::is_number(field) => Bare::All,
            _ => Bare::None,
        });
        Self {
            out,
            head: format!("INSERT INTO result ({}) VALUES (", names.join(", ")),
            bare: bare.collect(),
            schema,
            buffer: Vec::new(),
        }
    }
}

impl Encoder for Insert<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, text::text)?;
        let mut value = Vec::new();
        for row in 0..batch.num_rows() {
            self.buffer.extend_from_slice(self.head.as_bytes());
            for (i, (cells, bare)) in columns.iter().zip(&self.bare).enumerate() {
                if i > 0 {
                    self.buffer.extend_from_slice(b", ");
                }
                if cells.is_null(row) {
                    self.buffer.extend_from_slice(b"NULL");
                    continue;
                }
                value.clear();
                cells.write(row, &mut value);
                let plain = match bare {
                    Bare::All => true,
                    Bare::Finite => !value.ends_with(b"n") && !value.ends_with(b"f"),
                    Bare::None => false,
                };
                if plain {
                    self.buffer.extend_from_slice(&value);
                } else {
                    self.buffer.push(b'\'');
                    for &byte in &value {
                        if byte == b'\'' {
                            self.buffer.push(b'\'');
                        }
                        self.buffer.push(byte);
                    }
                    self.buffer.push(b'\'');
                }
            }
            self.buffer.extend_from_slice(b");\n");
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
