//! One INSERT a row: texts in quotes, which DuckDB casts to the column's type; numbers and booleans as they are.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::cells::{Cells, Shape, member, union_members};
use super::{Encoder, Error, Out, text, types, unique_names};
use crate::model::sql::identifier;

/// Which values need no quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    All,
    /// `nan` and `inf` are no numbers of SQL, and `-0.0` is a decimal there, which has no sign.
    Finite,
    None,
}

impl Bare {
    fn of(field: &Field) -> Self {
        match field.data_type() {
            DataType::Float32 | DataType::Float64 => Self::Finite,
            _ if types::type_name(field) == "boolean" => Self::All,
            _ if types::is_number(field) => Self::All,
            _ => Self::None,
        }
    }

    fn takes(self, value: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Finite => !value.ends_with(b"n") && !value.ends_with(b"f") && value != b"-0.0",
            Self::None => false,
        }
    }
}

pub(super) struct Insert<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// `INSERT INTO result (…) VALUES (`.
    head: String,
    buffer: Vec<u8>,
}

impl<'w> Insert<'w> {
    pub(super) fn new(schema: SchemaRef, out: Out<'w>) -> Self {
        let names = unique_names(&schema).into_iter();
        let names: Vec<String> = names.map(|name| identifier(&name)).collect();
        Self {
            out,
            head: format!("INSERT INTO result ({}) VALUES (", names.join(", ")),
            schema,
            buffer: Vec::new(),
        }
    }
}

impl Encoder for Insert<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = super::cells(&self.schema, batch, literals)?;
        for row in 0..batch.num_rows() {
            self.buffer.extend_from_slice(self.head.as_bytes());
            for (i, cells) in columns.iter().enumerate() {
                if i > 0 {
                    self.buffer.extend_from_slice(b", ");
                }
                value(cells, row, &mut self.buffer);
            }
            self.buffer.extend_from_slice(b");\n");
        }
        super::drain(&mut self.buffer, self.out)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// The values of `array` as SQL that gives them back in a column of their type.
fn literals<'a>(field: &Field, array: &'a ArrayRef) -> Result<Cells<'a>, Error> {
    if let DataType::Union(fields, _) = array.data_type() {
        // Its text would not tell which member the value is of.
        let tags: Vec<String> = fields.iter().map(|(_, f)| identifier(f.name())).collect();
        let (members, union) = union_members(array, literals)?;
        return Ok(Cells::new(array, Shape::Free, move |row, out| {
            let i = member(union, row);
            out.extend_from_slice(format!("union_value({} := ", tags[i]).as_bytes());
            value(&members[i], union.value_offset(row), out);
            out.push(b')');
        }));
    }
    let bare = Bare::of(field);
    let cells = text::text(field, array)?;
    Ok(Cells::new(array, Shape::Free, move |row, out| {
        let start = out.len();
        cells.write(row, out);
        if !bare.takes(&out[start..]) {
            let text = out.split_off(start);
            quoted(&text, out);
        }
    }))
}

fn value(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    if cells.is_null(row) {
        out.extend_from_slice(b"NULL");
    } else {
        cells.write(row, out);
    }
}

/// A text in quotes. What SQL ends at, the character 0, stands outside of them.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in text {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            0 => out.extend_from_slice(b"' || chr(0) || '"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}
