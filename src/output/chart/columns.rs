//! A result's columns as numbers, times or texts.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::output::{Error, text, types};

/// What a column is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Seconds since 1970.
    Time,
    Number,
    Text,
}

/// A column; what is NULL is no number, and no text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) numbers: Vec<f64>,
    pub(super) texts: Vec<Option<String>>,
}

impl Column {
    /// Whether it is worth a line: a number that counts or names nothing.
    pub(super) fn is_drawn(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        self.role == Role::Number
            && !matches!(name.as_str(), "seq" | "level" | "epoch")
            && !name.ends_with("_id")
    }

    /// Its values, each once, in the order in which they come.
    pub(super) fn distinct(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for text in self.texts.iter().flatten() {
            if !found.contains(text) {
                found.push(text.clone());
            }
        }
        found
    }

    /// Whether it divides the rows into several groups, but no more than `most`.
    pub(super) fn groups(&self, most: usize) -> bool {
        let mut found: Vec<&str> = Vec::new();
        for text in self.texts.iter().flatten() {
            if !found.contains(&text.as_str()) {
                found.push(text);
                if found.len() > most.min(64) {
                    return most > 64;
                }
            }
        }
        found.len() > 1
    }
}

/// The columns that can be drawn from.
///
/// # Errors
/// If a column of numbers cannot be read.
pub(super) fn read(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<Column>, Error> {
    let mut columns = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        let Some(role) = role(field) else {
            continue;
        };
        let mut column = Column {
            name: field.name().clone(),
            role,
            numbers: Vec::new(),
            texts: Vec::new(),
        };
        for batch in batches {
            let array = batch.column(i);
            if role == Role::Text {
                texts(field, array, &mut column.texts)?;
            } else {
                numbers(field, array, &mut column.numbers)?;
            }
        }
        columns.push(column);
    }
    Ok(columns)
}

fn role(field: &Field) -> Option<Role> {
    match field.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 => Some(Role::Time),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
            Some(Role::Text)
        }
        _ if types::is_number(field) => Some(Role::Number),
        _ => None,
    }
}

fn texts(field: &Field, array: &ArrayRef, into: &mut Vec<Option<String>>) -> Result<(), Error> {
    let cells = text::text(field, array)?;
    let mut value = Vec::new();
    for row in 0..array.len() {
        value.clear();
        into.push((!cells.is_null(row)).then(|| {
            cells.write(row, &mut value);
            String::from_utf8_lossy(&value).into_owned()
        }));
    }
    Ok(())
}

fn numbers(field: &Field, array: &ArrayRef, into: &mut Vec<f64>) -> Result<(), Error> {
    const SECONDS_A_DAY: f64 = 86_400.0;
    let (whole, per_second) = match field.data_type() {
        DataType::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1.0,
                TimeUnit::Millisecond => 1e3,
                TimeUnit::Microsecond => 1e6,
                TimeUnit::Nanosecond => 1e9,
            };
            (cast(array, &DataType::Int64)?, per_second)
        }
        DataType::Date32 => (cast(array, &DataType::Int32)?, 1.0 / SECONDS_A_DAY),
        data_type if data_type.is_numeric() => (ArrayRef::clone(array), 1.0),
        _ => {
            // Numbers that Arrow lacks: by their digits.
            let mut digits = Vec::new();
            texts(field, array, &mut digits)?;
            let parsed = digits
                .iter()
                .map(|text| text.as_ref().and_then(|text| text.parse().ok()));
            into.extend(parsed.map(|number: Option<f64>| number.unwrap_or(f64::NAN)));
            return Ok(());
        }
    };
    let floats = cast(&whole, &DataType::Float64)?;
    let floats = floats.as_primitive::<arrow::datatypes::Float64Type>();
    into.extend(
        floats
            .iter()
            .map(|value| value.map_or(f64::NAN, |value| value / per_second)),
    );
    Ok(())
}
