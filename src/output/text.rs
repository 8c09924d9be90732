//! Values as DuckDB casts them to VARCHAR, byte for byte.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeBinaryArray, types};
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::Error;
use super::cells::{
    Cells, Shape, list_items, member, offsets, primitive, quote, struct_members, union_members,
};
use super::number::{self, Notation};
use super::time::{self, Timestamps};
use super::types::{extension, is_tuple};

/// The values of `array` as DuckDB casts them to VARCHAR.
///
/// # Errors
/// [`Error::Unsupported`] for GEOMETRY, of which DuckDB sends the encoding, and for types that do not arrive today.
pub(super) fn text<'a>(field: &Field, array: &'a ArrayRef) -> Result<Cells<'a>, Error> {
    if extension(field) == "wkb" {
        return Err(Error::unsupported(field));
    }
    if let Some(cells) = extension_text(field, array) {
        return Ok(cells);
    }
    if let Some(cells) = plain_text(array) {
        return Ok(cells);
    }
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Cells::new(array, Shape::Free, |row, out| {
                out.extend_from_slice(values.value(row).as_bytes());
            })
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Cells::new(array, Shape::Free, |row, out| {
                out.extend_from_slice(values.value(row).as_bytes());
            })
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Cells::new(array, Shape::Free, |row, out| blob(values.value(row), out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            Cells::new(array, Shape::Free, |row, out| blob(values.value(row), out))
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let words = text(
                &Field::new("", dictionary.values().data_type().clone(), true),
                dictionary.values(),
            )?;
            // Of no words it cannot make any.
            let keys = if dictionary.values().is_empty() {
                Vec::new()
            } else {
                dictionary.normalized_keys()
            };
            Cells::new(array, Shape::Free, move |row, out| {
                words.write(keys[row], out);
            })
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
            list_text(field, array)?
        }
        DataType::Struct(_) => struct_text(array)?,
        DataType::Map(_, _) => map_text(array)?,
        DataType::Union(_, _) => {
            let (members, union) = union_members(array, text)?;
            Cells::new(array, Shape::Nested, move |row, out| {
                members[member(union, row)].write(union.value_offset(row), out);
            })
        }
        _ => return Err(Error::unsupported(field)),
    })
}

/// Numbers, times and the like, which are free of quotes, commas and line breaks.
fn plain_text(array: &ArrayRef) -> Option<Cells<'_>> {
    Some(match array.data_type() {
        DataType::Null => Cells::new(array, Shape::Plain, |_, _| {}),
        DataType::Boolean => {
            let values = array.as_boolean();
            Cells::new(array, Shape::Plain, |row, out| {
                write_bool(values.value(row), out);
            })
        }
        DataType::Int8 => signed::<types::Int8Type>(array),
        DataType::Int16 => signed::<types::Int16Type>(array),
        DataType::Int32 => signed::<types::Int32Type>(array),
        DataType::Int64 => signed::<types::Int64Type>(array),
        DataType::UInt8 => unsigned::<types::UInt8Type>(array),
        DataType::UInt16 => unsigned::<types::UInt16Type>(array),
        DataType::UInt32 => unsigned::<types::UInt32Type>(array),
        DataType::UInt64 => unsigned::<types::UInt64Type>(array),
        DataType::Float32 => primitive::<types::Float32Type>(array, number::float),
        DataType::Float64 => {
            primitive::<types::Float64Type>(array, |v, out| number::double(v, Notation::Sql, out))
        }
        &DataType::Decimal32(width, scale) => {
            primitive::<types::Decimal32Type>(array, move |v, out| {
                decimal(v.into(), width, scale, out);
            })
        }
        &DataType::Decimal64(width, scale) => {
            primitive::<types::Decimal64Type>(array, move |v, out| {
                decimal(v.into(), width, scale, out);
            })
        }
        &DataType::Decimal128(width, scale) => {
            primitive::<types::Decimal128Type>(array, move |v, out| decimal(v, width, scale, out))
        }
        DataType::Date32 => primitive::<types::Date32Type>(array, time::date),
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive::<types::Time64NanosecondType>(array, |v, out| time::time(v, 9, out))
        }
        DataType::Time64(_) => {
            primitive::<types::Time64MicrosecondType>(array, |v, out| time::time(v, 6, out))
        }
        DataType::Timestamp(unit, zone) => {
            let zone = zone.is_some();
            match unit {
                TimeUnit::Second => timestamps::<types::TimestampSecondType>(array, 0, zone),
                TimeUnit::Millisecond => {
                    timestamps::<types::TimestampMillisecondType>(array, 3, zone)
                }
                TimeUnit::Microsecond => {
                    timestamps::<types::TimestampMicrosecondType>(array, 6, zone)
                }
                TimeUnit::Nanosecond => {
                    timestamps::<types::TimestampNanosecondType>(array, 9, zone)
                }
            }
        }
        DataType::Interval(_) => primitive::<types::IntervalMonthDayNanoType>(array, |v, out| {
            time::interval(v.months, v.days, time::microseconds(v.nanoseconds), out);
        }),
        _ => return None,
    })
}

/// Values of DuckDB's own types.
fn extension_text<'a>(field: &Field, array: &'a ArrayRef) -> Option<Cells<'a>> {
    let bytes = || array.as_any().downcast_ref::<FixedSizeBinaryArray>();
    let plain = Shape::Plain;
    match extension(field).as_str() {
        "json" => {
            let values = array.as_string_opt::<i32>()?;
            Some(Cells::new(array, Shape::Nested, |row, out| {
                out.extend_from_slice(values.value(row).as_bytes());
            }))
        }
        "bool8" => {
            let values = array.as_primitive_opt::<types::Int8Type>()?;
            Some(Cells::new(array, plain, |row, out| {
                write_bool(values.value(row) != 0, out);
            }))
        }
        "hugeint" => {
            let values = bytes()?;
            Some(Cells::new(array, plain, |row, out| {
                let value = i128::from_le_bytes(fixed(values.value(row)));
                decimal(value, 38, 0, out);
            }))
        }
        "uhugeint" => {
            let values = bytes()?;
            Some(Cells::new(array, plain, |row, out| {
                number::wide(u128::from_le_bytes(fixed(values.value(row))), out);
            }))
        }
        "bignum" => {
            let values = array.as_binary_opt::<i32>()?;
            Some(Cells::new(array, plain, |row, out| {
                number::big(values.value(row), out);
            }))
        }
        "uuid" => {
            let values = bytes()?;
            Some(Cells::new(array, plain, |row, out| {
                uuid(values.value(row), out);
            }))
        }
        "time_tz" => {
            let values = bytes()?;
            Some(Cells::new(array, plain, |row, out| {
                time::time_with_zone(u64::from_le_bytes(fixed(values.value(row))), out);
            }))
        }
        "bit" => {
            let values = array.as_binary_opt::<i32>()?;
            Some(Cells::new(array, plain, |row, out| {
                bits(values.value(row), out);
            }))
        }
        _ => None,
    }
}

fn list_text<'a>(field: &Field, array: &'a ArrayRef) -> Result<Cells<'a>, Error> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) =
        array.data_type()
    else {
        return Err(Error::unsupported(field));
    };
    let (items, range) = list_items(item, array, text)?;
    Ok(Cells::new(array, Shape::Nested, move |row, out| {
        enclose(range(row), b"[", b"]", out, |i, out| {
            items.write_nested(i, out);
        });
    }))
}

fn struct_text(array: &ArrayRef) -> Result<Cells<'_>, Error> {
    let tuple = matches!(array.data_type(), DataType::Struct(fields) if is_tuple(fields));
    let members = struct_members(array, text)?;
    let (open, close): (&[u8], &[u8]) = match (tuple, members.len()) {
        (true, 1) => (b"(", b",)"),
        (true, _) => (b"(", b")"),
        (false, _) => (b"{", b"}"),
    };
    Ok(Cells::new(array, Shape::Nested, move |row, out| {
        enclose(0..members.len(), open, close, out, |i, out| {
            if !tuple {
                quote(members[i].0.as_bytes(), out);
                out.extend_from_slice(b": ");
            }
            members[i].1.write_nested(row, out);
        });
    }))
}

fn map_text(array: &ArrayRef) -> Result<Cells<'_>, Error> {
    let map = array.as_map();
    let fields = map.entries().fields();
    let (keys, values) = (
        text(&fields[0], map.keys())?,
        text(&fields[1], map.values())?,
    );
    Ok(Cells::new(array, Shape::Nested, move |row, out| {
        enclose(
            offsets(map.value_offsets(), row),
            b"{",
            b"}",
            out,
            |i, out| {
                keys.write_nested(i, out);
                out.push(b'=');
                values.write_nested(i, out);
            },
        );
    }))
}

fn enclose(
    range: std::ops::Range<usize>,
    open: &[u8],
    close: &[u8],
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>),
) {
    out.extend_from_slice(open);
    let first = range.start;
    for i in range {
        if i > first {
            out.extend_from_slice(b", ");
        }
        write(i, out);
    }
    out.extend_from_slice(close);
}

fn signed<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Cells<'_> {
    primitive::<T>(array, |v, out| number::signed(v.into(), out))
}

fn unsigned<T: ArrowPrimitiveType<Native: Into<u64>>>(array: &ArrayRef) -> Cells<'_> {
    primitive::<T>(array, |v, out| number::unsigned(v.into(), out))
}

fn timestamps<T: ArrowPrimitiveType<Native = i64>>(
    array: &ArrayRef,
    digits: usize,
    zone: bool,
) -> Cells<'_> {
    let timestamps = Timestamps::new(digits, zone);
    primitive::<T>(array, move |v, out| timestamps.write(v, out))
}

fn decimal(value: i128, width: u8, scale: i8, out: &mut Vec<u8>) {
    number::decimal(value, width, u8::try_from(scale).unwrap_or(0), out);
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

fn uuid(bytes: &[u8], out: &mut Vec<u8>) {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    out.extend_from_slice(text.as_bytes());
}

/// A bit string: the first byte counts the padding bits in front of the first bit.
fn bits(bytes: &[u8], out: &mut Vec<u8>) {
    let Some((padding, bytes)) = bytes.split_first() else {
        return;
    };
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1));
    out.extend(bits.skip(usize::from(*padding)).map(|bit| b'0' + bit));
}

fn blob(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if matches!(byte, 32..=126) && !matches!(byte, b'\\' | b'\'' | b'"') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
}
