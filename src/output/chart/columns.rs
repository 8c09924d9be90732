//! A result's columns as numbers, times or texts.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, IntervalMonthDayNanoType, Schema, TimeUnit,
};

use crate::output::{Error, printable, text, types};

/// What a column is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Seconds from [`Column::origin`] on.
    Time,
    Number,
    Text,
}

/// A column; what is NULL is no number, and no text. Its name and texts are printable: they stand in titles, of files too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) role: Role,
    /// For times, the second since 1970 from which on they are counted, that of the first of them: an f64 of seconds since
    /// 1970 knows no nanoseconds.
    pub(super) origin: Option<i64>,
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
            name: name(field),
            role,
            origin: None,
            numbers: Vec::new(),
            texts: Vec::new(),
        };
        for batch in batches {
            let array = batch.column(i);
            match role {
                Role::Text => texts(field, array, &mut column.texts)?,
                Role::Number => numbers(field, array, &mut column.numbers)?,
                Role::Time => moments(field, array, &mut column)?,
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
        _ if types::is_number(field) || is_span(field) => Some(Role::Number),
        _ => None,
    }
}

/// Whether it is of lengths of time, as the lag `recv_ts - ts` is, or of times of day: numbers of seconds.
fn is_span(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Interval(_) | DataType::Time64(_)
    )
}

/// What a column is called, with its unit if that is not its own.
fn name(field: &Field) -> String {
    let unit = if is_span(field) { " (s)" } else { "" };
    printable(field.name().as_bytes()) + unit
}

fn texts(field: &Field, array: &ArrayRef, into: &mut Vec<Option<String>>) -> Result<(), Error> {
    let cells = text::text(field, array)?;
    let mut value = Vec::new();
    for row in 0..array.len() {
        value.clear();
        into.push((!cells.is_null(row)).then(|| {
            cells.write(row, &mut value);
            printable(&value)
        }));
    }
    Ok(())
}

/// The seconds of lengths of time, with months and years of the days that DuckDB's `epoch` gives them; or of times of day.
fn seconds(array: &ArrayRef) -> Result<Vec<f64>, Error> {
    const DAYS_A_YEAR: f64 = 365.25;
    const DAYS_A_MONTH: f64 = 30.0;
    const SECONDS_A_DAY: f64 = 86_400.0;
    if let Some(spans) = array.as_primitive_opt::<IntervalMonthDayNanoType>() {
        let seconds = spans.iter().map(|span| {
            span.map_or(f64::NAN, |span| {
                let days = f64::from(span.months / 12) * DAYS_A_YEAR
                    + f64::from(span.months % 12) * DAYS_A_MONTH
                    + f64::from(span.days);
                days * SECONDS_A_DAY + span.nanoseconds as f64 / 1e9
            })
        });
        return Ok(seconds.collect());
    }
    let per_second = match array.data_type() {
        DataType::Time64(TimeUnit::Nanosecond) => 1e9,
        _ => 1e6,
    };
    let ticks = cast(array, &DataType::Int64)?;
    let ticks = ticks.as_primitive::<Int64Type>().iter();
    Ok(ticks
        .map(|ticks| ticks.map_or(f64::NAN, |ticks| ticks as f64 / per_second))
        .collect())
}

fn numbers(field: &Field, array: &ArrayRef, into: &mut Vec<f64>) -> Result<(), Error> {
    if is_span(field) {
        into.extend(seconds(array)?);
        return Ok(());
    }
    if !field.data_type().is_numeric() {
        // Numbers that Arrow lacks: by their digits.
        let mut digits = Vec::new();
        texts(field, array, &mut digits)?;
        let parsed = digits
            .iter()
            .map(|text| text.as_ref().and_then(|text| text.parse().ok()));
        into.extend(parsed.map(|number: Option<f64>| number.unwrap_or(f64::NAN)));
        return Ok(());
    }
    let floats = cast(array, &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>().iter();
    into.extend(floats.map(|value| value.unwrap_or(f64::NAN)));
    Ok(())
}

/// Reads times and dates; DuckDB's infinities, the two ends of the range, are no numbers.
fn moments(field: &Field, array: &ArrayRef, column: &mut Column) -> Result<(), Error> {
    const SECONDS_A_DAY: u64 = 86_400;
    let (timestamps, per_second, infinity) = if let DataType::Timestamp(unit, _) = field.data_type()
    {
        let per_second = match unit {
            TimeUnit::Second => 1_i64,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        };
        (ArrayRef::clone(array), per_second, i64::MAX.unsigned_abs())
    } else {
        let seconds = cast(array, &DataType::Timestamp(TimeUnit::Second, None))?;
        let infinity = u64::from(i32::MAX.unsigned_abs()) * SECONDS_A_DAY;
        (seconds, 1, infinity)
    };
    let ticks = cast(&timestamps, &DataType::Int64)?;
    let origin = &mut column.origin;
    let seconds = ticks.as_primitive::<Int64Type>().iter().map(|ticks| {
        let Some(ticks) = ticks.filter(|ticks| ticks.unsigned_abs() < infinity) else {
            return f64::NAN;
        };
        let start = *origin.get_or_insert(ticks.div_euclid(per_second));
        // More bits, for two moments can lie further apart than an i64 tells.
        let since = i128::from(ticks) - i128::from(start) * i128::from(per_second);
        since as f64 / per_second as f64
    });
    column.numbers.extend(seconds);
    Ok(())
}
