//! The values of one column of a batch, each written when its turn comes, and what nested types share.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UnionArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

use super::Error;

/// Writes the values of one column. NULL is the caller's business.
pub(super) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    write: Write<'a>,
    /// Text that may hold anything; all other values are free of quotes, commas and line breaks.
    pub(super) free_text: bool,
    /// Lists, structs and the like, which nest in each other unquoted.
    nested: bool,
}

type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// What a number, a time or text looks like to the one who writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Plain,
    Free,
    Nested,
}

impl<'a> Cells<'a> {
    pub(super) fn new(
        array: &dyn Array,
        shape: Shape,
        write: impl Fn(usize, &mut Vec<u8>) + 'a,
    ) -> Self {
        Self {
            nulls: array.logical_nulls(),
            write: Box::new(write),
            free_text: shape != Shape::Plain,
            nested: shape == Shape::Nested,
        }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of a row that is not NULL.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(row, out);
    }

    /// Appends the value as an element of a list or struct.
    pub(super) fn write_nested(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"NULL");
            return;
        }
        let start = out.len();
        self.write(row, out);
        if !self.nested && needs_quotes(&out[start..]) {
            let text = out.split_off(start);
            quote(&text, out);
        }
    }
}

pub(super) type Builder<'a> = fn(&Field, &'a ArrayRef) -> Result<Cells<'a>, Error>;
pub(super) type Range<'a> = Box<dyn Fn(usize) -> std::ops::Range<usize> + 'a>;

/// The elements of a list column and where each row's stand in them.
pub(super) fn list_items<'a>(
    item: &Field,
    array: &'a ArrayRef,
    build: Builder<'a>,
) -> Result<(Cells<'a>, Range<'a>), Error> {
    if let Some(list) = array.as_list_opt::<i32>() {
        Ok((
            build(item, list.values())?,
            Box::new(|row| offsets(list.value_offsets(), row)),
        ))
    } else if let Some(list) = array.as_fixed_size_list_opt() {
        let size = usize::try_from(list.value_length()).unwrap_or(0);
        Ok((
            build(item, list.values())?,
            Box::new(move |row| row * size..(row + 1) * size),
        ))
    } else {
        Err(Error::unsupported(item))
    }
}

pub(super) fn struct_members<'a>(
    array: &'a ArrayRef,
    build: Builder<'a>,
) -> Result<Vec<(String, Cells<'a>)>, Error> {
    let members = array.as_struct();
    let columns = members.fields().iter().zip(members.columns());
    columns
        .map(|(field, column)| Ok((field.name().clone(), build(field, column)?)))
        .collect()
}

pub(super) fn union_members<'a>(
    array: &'a ArrayRef,
    build: Builder<'a>,
) -> Result<(Vec<Cells<'a>>, &'a UnionArray), Error> {
    let union = array.as_union();
    let DataType::Union(fields, _) = array.data_type() else {
        return Ok((Vec::new(), union));
    };
    let members = fields
        .iter()
        .map(|(id, field)| build(field, union.child(id)));
    Ok((members.collect::<Result<_, _>>()?, union))
}

/// DuckDB numbers a union's members from 0 in their order.
pub(super) fn member(union: &UnionArray, row: usize) -> usize {
    usize::try_from(union.type_id(row)).unwrap_or(0)
}

pub(super) fn offsets(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
    at(row)..at(row + 1)
}

pub(super) fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    write: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> Cells<'a> {
    let values: &'a PrimitiveArray<T> = array.as_primitive();
    Cells::new(array, Shape::Plain, move |row, out| {
        write(values.value(row), out);
    })
}

/// Whether DuckDB quotes this element of a list or struct.
fn needs_quotes(text: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.first(), text.last()) else {
        return true;
    };
    let space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    space(first)
        || space(last)
        || text.eq_ignore_ascii_case(b"null")
        || text.iter().any(|b| b"\"'(),:=[\\]{}".contains(b))
}

pub(super) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in text {
        if matches!(byte, b'\'' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'\'');
}
