//! Values as DuckDB's `to_json` writes them.

use arrow::array::{Array, ArrayRef, AsArray, types};
use arrow::datatypes::{DataType, Field};

use super::Error;
use super::cells::{
    Cells, Shape, list_items, member, offsets, primitive, struct_members, union_members,
};
use super::number::{self, Notation};
use super::text::text;
use super::types::{extension, is_tuple};

/// The values of `array` as `to_json` writes them, save that NaN and infinity, which JSON lacks, are `null`.
///
/// # Errors
/// As [`text`].
pub(super) fn json<'a>(field: &Field, array: &'a ArrayRef) -> Result<Cells<'a>, Error> {
    if extension(field) == "json"
        && let Some(values) = array.as_string_opt::<i32>()
    {
        return Ok(Cells::new(array, Shape::Plain, |row, out| {
            minify(values.value(row).as_bytes(), out);
        }));
    }
    if ["hugeint", "uhugeint", "bignum", "bool8"].contains(&&*extension(field)) {
        return text(field, array);
    }
    Ok(match array.data_type() {
        DataType::Float32 => primitive::<types::Float32Type>(array, |v, out| {
            number::double(v.into(), Notation::Json, out);
        }),
        DataType::Float64 => {
            primitive::<types::Float64Type>(array, |v, out| number::double(v, Notation::Json, out))
        }
        &DataType::Decimal128(width, scale) => decimal(array, width, scale),
        t if t.is_integer()
            || t.is_decimal()
            || matches!(t, DataType::Boolean | DataType::Null) =>
        {
            text(field, array)?
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let (items, range) = list_items(item, array, json)?;
            Cells::new(array, Shape::Nested, move |row, out| {
                sequence(range(row), [b'[', b']'], out, |i, out| {
                    value(&items, i, out);
                });
            })
        }
        DataType::Struct(fields) => {
            let tuple = is_tuple(fields);
            let members = struct_members(array, json)?;
            let brackets = if tuple { [b'[', b']'] } else { [b'{', b'}'] };
            Cells::new(array, Shape::Nested, move |row, out| {
                sequence(0..members.len(), brackets, out, |i, out| {
                    if !tuple {
                        string(members[i].0.as_bytes(), out);
                        out.push(b':');
                    }
                    value(&members[i].1, row, out);
                });
            })
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let fields = map.entries().fields();
            let (keys, values) = (
                text(&fields[0], map.keys())?,
                json(&fields[1], map.values())?,
            );
            Cells::new(array, Shape::Nested, move |row, out| {
                sequence(
                    offsets(map.value_offsets(), row),
                    [b'{', b'}'],
                    out,
                    |i, out| {
                        let mut key = Vec::new();
                        keys.write(i, &mut key);
                        string(&key, out);
                        out.push(b':');
                        value(&values, i, out);
                    },
                );
            })
        }
        DataType::Union(fields, _) => {
            let names: Vec<String> = fields.iter().map(|(_, f)| f.name().clone()).collect();
            let (members, union) = union_members(array, json)?;
            Cells::new(array, Shape::Nested, move |row, out| {
                let i = member(union, row);
                out.push(b'{');
                string(names[i].as_bytes(), out);
                out.push(b':');
                value(&members[i], union.value_offset(row), out);
                out.push(b'}');
            })
        }
        _ => {
            let cells = text(field, array)?;
            Cells::new(array, Shape::Free, move |row, out| {
                out.push(b'"');
                let start = out.len();
                cells.write(row, out);
                if cells.free_text {
                    escape_from(start, out);
                }
                out.push(b'"');
            })
        }
    })
}

/// As `to_json`: what a double holds exactly is one, more digits are written as they are; but JSON wants a digit before the
/// point, also where DuckDB's text of a DECIMAL(n, n) has none.
fn decimal(array: &ArrayRef, width: u8, scale: i8) -> Cells<'_> {
    if width <= 15 {
        let scale = 10_f64.powi(scale.into());
        return primitive::<types::Decimal128Type>(array, move |v, out| {
            let digits = i64::try_from(v).unwrap_or_default();
            number::double(digits as f64 / scale, Notation::Json, out);
        });
    }
    let scale = u8::try_from(scale).unwrap_or(0);
    primitive::<types::Decimal128Type>(array, move |v, out| {
        number::decimal(v, scale + 1, scale, out);
    })
}

/// A value or `null`.
pub(super) fn value(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    if cells.is_null(row) {
        out.extend_from_slice(b"null");
    } else {
        cells.write(row, out);
    }
}

/// Members of an array or object with commas between them.
pub(super) fn sequence(
    range: std::ops::Range<usize>,
    [open, close]: [u8; 2],
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>),
) {
    out.push(open);
    let first = range.start;
    for i in range {
        if i > first {
            out.push(b',');
        }
        write(i, out);
    }
    out.push(close);
}

/// A string in quotes.
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text);
    escape_from(start, out);
    out.push(b'"');
}

/// Escapes what was written from `start` on, in place; mostly there is nothing to do.
pub(super) fn escape_from(start: usize, out: &mut Vec<u8>) {
    let special = |b: &u8| *b < 0x20 || matches!(b, b'"' | b'\\');
    let Some(first) = out[start..].iter().position(special) else {
        return;
    };
    let rest = out.split_off(start + first);
    for byte in rest {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x00..0x20 => {
                let digit = |n: u8| if n < 10 { b'0' + n } else { b'A' + n - 10 };
                out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(byte & 15),
                ]);
            }
            _ => out.push(byte),
        }
    }
}

/// Drops the space between the tokens of a JSON text.
pub(super) fn minify(text: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in text {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}
