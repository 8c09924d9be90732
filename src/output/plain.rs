//! Columns for programs that know Arrow's own types only: those of DuckDB, which arrive as extension types, become the
//! nearest type of Arrow, or text where none holds all their values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, FixedSizeListArray, GenericListArray,
    MapArray, OffsetSizeTrait, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    UnionArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, FieldRef, Int8Type, Schema, SchemaRef, TimeUnit, TimestampSecondType,
};
use arrow::error::ArrowError;

use super::text::{fixed, text};
use super::types::extension;
use super::{Error, with_unique_names};

/// Digits that a decimal of 128 bits holds.
const DIGITS: u8 = 38;

/// What the columns are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Arrow,
    /// It has no whole seconds.
    Parquet,
}

/// Makes the batches of a result plain.
pub(super) struct Plain {
    from: SchemaRef,
    to: SchemaRef,
}

impl Plain {
    pub(super) fn new(schema: &Schema, place: Place) -> Self {
        let from = with_unique_names(schema);
        let fields = from.fields().iter().map(|field| plain_field(field, place));
        let to = SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { from, to }
    }

    /// The columns that come out, whose names differ.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.to
    }

    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let fields = self.from.fields().iter().zip(self.to.fields().iter());
        let columns = fields.zip(batch.columns()).map(|((from, to), array)| {
            // It is the column that can be cast, also where what does not fit is inside its values.
            plain(from, to, array).map_err(|error| match error {
                Error::TooLong { value, .. } => Error::TooLong {
                    column: from.name().clone(),
                    value,
                },
                Error::Unsupported { .. } => Error::unsupported(from),
                error => error,
            })
        });
        let columns = columns.collect::<Result<Vec<_>, Error>>()?;
        Ok(RecordBatch::try_new(SchemaRef::clone(&self.to), columns)?)
    }
}

/// The field that a field becomes.
fn plain_field(field: &FieldRef, place: Place) -> FieldRef {
    let inner = |field: &FieldRef| plain_field(field, place);
    let own = match extension(field).as_str() {
        "json" => Some(field.data_type().clone()),
        "bool8" => Some(DataType::Boolean),
        "hugeint" => Some(DataType::Decimal128(DIGITS, 0)),
        "uuid" | "uhugeint" | "time_tz" | "bit" | "bignum" => Some(DataType::Utf8),
        _ => None,
    };
    if let Some(data_type) = own {
        let mut field = field.as_ref().clone().with_data_type(data_type);
        let metadata = field.metadata_mut();
        metadata.retain(|key, _| !key.starts_with("ARROW:extension:"));
        return FieldRef::new(field);
    }
    let data_type = match field.data_type() {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(members) => DataType::Struct(members.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        DataType::Union(members, mode) => {
            let members = members.iter().map(|(id, member)| (id, inner(member)));
            DataType::Union(members.collect(), *mode)
        }
        DataType::Timestamp(TimeUnit::Second, zone) if place == Place::Parquet => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        _ => return Arc::clone(field),
    };
    FieldRef::new(field.as_ref().clone().with_data_type(data_type))
}

/// The values of a field as those of the one that it becomes.
fn plain(from: &Field, to: &Field, array: &ArrayRef) -> Result<ArrayRef, Error> {
    if from.data_type() == to.data_type() {
        return Ok(Arc::clone(array));
    }
    let nulls = array.nulls().cloned();
    Ok(match (from.data_type(), to.data_type()) {
        (DataType::List(from), DataType::List(to)) => list::<i32>(from, to, array)?,
        (DataType::LargeList(from), DataType::LargeList(to)) => list::<i64>(from, to, array)?,
        (DataType::FixedSizeList(from, _), DataType::FixedSizeList(to, size)) => {
            let items = plain(from, to, array.as_fixed_size_list().values())?;
            let list = FixedSizeListArray::try_new(Arc::clone(to), *size, items, nulls)?;
            Arc::new(list)
        }
        (DataType::Struct(from), DataType::Struct(to)) => {
            let members = from.iter().zip(to.iter()).zip(array.as_struct().columns());
            let members = members.map(|((from, to), array)| plain(from, to, array));
            let members = members.collect::<Result<Vec<_>, Error>>()?;
            Arc::new(StructArray::try_new(to.clone(), members, nulls)?)
        }
        (DataType::Map(from, _), DataType::Map(to, sorted)) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = plain(from, to, &entries)?.as_struct().clone();
            let offsets = map.offsets().clone();
            let map = MapArray::try_new(Arc::clone(to), offsets, entries, nulls, *sorted)?;
            Arc::new(map)
        }
        (DataType::Union(from, _), DataType::Union(to, _)) => {
            let union = array.as_union();
            let members = from.iter().zip(to.iter());
            let members = members.map(|((id, from), (_, to))| plain(from, to, union.child(id)));
            let members = members.collect::<Result<Vec<_>, Error>>()?;
            let (ids, offsets) = (union.type_ids().clone(), union.offsets().cloned());
            Arc::new(UnionArray::try_new(to.clone(), ids, offsets, members)?)
        }
        (DataType::Timestamp(_, _), DataType::Timestamp(_, zone)) => {
            Arc::new(milliseconds(array).with_timezone_opt(zone.clone()))
        }
        (DataType::Int8, DataType::Boolean) => {
            let values = array.as_primitive::<Int8Type>();
            Arc::new(BooleanArray::from_unary(values, |value| value != 0))
        }
        (DataType::FixedSizeBinary(_), DataType::Decimal128(_, _)) => {
            Arc::new(decimals(from, array)?)
        }
        _ => Arc::new(texts(from, array)?),
    })
}

fn list<O: OffsetSizeTrait>(
    from: &Field,
    to: &FieldRef,
    array: &ArrayRef,
) -> Result<ArrayRef, Error> {
    let list = array.as_list::<O>();
    let items = plain(from, to, list.values())?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    let list = GenericListArray::<O>::try_new(Arc::clone(to), offsets, items, nulls)?;
    Ok(Arc::new(list))
}

/// Whole seconds as milliseconds. DuckDB's infinities are the two ends of the range in either, and all that overflows.
fn milliseconds(array: &ArrayRef) -> TimestampMillisecondArray {
    let seconds = array.as_primitive::<TimestampSecondType>();
    seconds.unary(|value| value.checked_mul(1000).unwrap_or(value))
}

/// HUGEINT as decimals; what has more digits than they hold is an error.
fn decimals(field: &Field, array: &ArrayRef) -> Result<Decimal128Array, Error> {
    let numbers = array.as_fixed_size_binary().iter().map(|bytes| {
        let value = bytes.map_or(0, |bytes| i128::from_le_bytes(fixed(bytes)));
        if value.unsigned_abs() < 10_u128.pow(DIGITS.into()) {
            return Ok(value);
        }
        Err(Error::TooLong {
            column: field.name().clone(),
            value,
        })
    });
    let numbers = numbers.collect::<Result<Vec<_>, Error>>()?;
    let numbers = Decimal128Array::try_new(numbers.into(), array.nulls().cloned())?;
    Ok(numbers.with_precision_and_scale(DIGITS, 0)?)
}

/// Values as DuckDB casts them to VARCHAR.
fn texts(field: &Field, array: &ArrayRef) -> Result<StringArray, Error> {
    let cells = text(field, array)?;
    let mut bytes = Vec::new();
    let mut offsets = vec![0_i32];
    for row in 0..array.len() {
        if !cells.is_null(row) {
            cells.write(row, &mut bytes);
        }
        let end =
            i32::try_from(bytes.len()).map_err(|_| ArrowError::OffsetOverflowError(bytes.len()))?;
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(offsets.into());
    let nulls = array.nulls().cloned();
    Ok(StringArray::try_new(offsets, bytes.into(), nulls)?)
}
