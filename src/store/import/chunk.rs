//! Rows on their way into the lake: a piece of a file is held, brought into the lake's order and cut into partitions.
//!
//! Files come by time, and the lake wants symbol by symbol: what costs when DuckDB sorts by a text is cheap here, for
//! each text is held once and rows are counted into their places.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Builder, Int32Array, RecordBatch,
    StringArray, TimestampNanosecondArray, TimestampNanosecondBuilder, UInt32Array, UInt64Array,
    UInt64Builder, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit, TimestampNanosecondType};
use foldhash::fast::RandomState;
use jiff::civil::Date;

use super::dialect::Select;
use crate::model::time::{DAY_NS, date_of};
use crate::store::catalog::{Column, Layout, Table, VENUE};
use crate::store::error::Result;
use crate::store::partition;

/// Rows of a file, as they come.
pub(super) struct Chunk {
    table: Arc<Table>,
    /// By column of the table.
    held: Vec<Held>,
    /// Where the batches have each of them.
    places: Vec<Option<usize>>,
    ts: Vec<i64>,
    ts_place: usize,
    bytes: usize,
}

/// A column.
enum Held {
    /// The file has none, or it is numbered later.
    Absent,
    /// The time by which rows are sorted, which the chunk holds itself.
    Ts,
    /// One text for all rows.
    Said(String),
    Times(TimestampNanosecondBuilder),
    Floats(Float64Builder),
    Ids(UInt64Builder),
    /// Lists, or texts of many values.
    Arrays(Arrays),
    /// Texts of few values.
    Words(Words),
}

/// Arrays one after the other.
#[derive(Default)]
struct Arrays {
    /// As they came: what DuckDB hands out keeps all columns of a batch in memory as long as one of them is held …
    fresh: Vec<ArrayRef>,
    /// … and so they are copied, some at a time.
    own: Vec<ArrayRef>,
}

impl Arrays {
    const MAX_FRESH: usize = 16;

    /// Returns the bytes that were added.
    fn push(&mut self, array: &ArrayRef) -> Result<usize> {
        self.fresh.push(Arc::clone(array));
        if self.fresh.len() < Self::MAX_FRESH {
            return Ok(0);
        }
        let copied = joined(&self.fresh)?;
        self.fresh.clear();
        let bytes = copied.get_buffer_memory_size();
        self.own.push(copied);
        Ok(bytes)
    }

    fn array(mut self) -> Result<ArrayRef> {
        self.own.append(&mut self.fresh);
        joined(&self.own)
    }
}

fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}

/// Texts that are held once each.
#[derive(Default)]
struct Words {
    numbers: HashMap<Box<str>, i32, RandomState>,
    texts: Vec<Box<str>>,
    /// −1 is NULL.
    rows: Vec<i32>,
}

impl Words {
    fn with_capacity(rows: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    fn push(&mut self, texts: &StringArray) {
        let mut last: Option<(&str, i32)> = None;
        for text in texts {
            let Some(text) = text else {
                self.rows.push(-1);
                continue;
            };
            let number = match last {
                Some((word, number)) if word == text => number,
                _ => self.number(text),
            };
            last = Some((text, number));
            self.rows.push(number);
        }
    }

    fn number(&mut self, text: &str) -> i32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as i32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    fn array(self) -> Result<ArrayRef> {
        let texts = StringArray::from_iter_values(self.texts.iter());
        let rows: Int32Array = if self.rows.contains(&-1) {
            self.rows.iter().map(|&n| (n >= 0).then_some(n)).collect()
        } else {
            self.rows.into()
        };
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            rows,
            Arc::new(texts),
        )?))
    }
}

impl Chunk {
    /// An empty one with room for so many rows, for what a SELECT gives.
    pub(super) fn new(select: &Select, rows: usize) -> Self {
        let table = &select.table;
        let place = |name: &str| select.columns.iter().position(|c| c == name);
        let places: Vec<_> = table.columns.iter().map(|c| place(&c.name)).collect();
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let held = |(column, field): (&Column, &Arc<Field>)| {
            if let Some(text) = select.said_of(&column.name) {
                return Held::Said(text.to_owned());
            }
            if place(&column.name).is_none() {
                return Held::Absent;
            }
            match field.data_type() {
                _ if column.name == table.time() => Held::Ts,
                DataType::Float64 => Held::Floats(Float64Builder::with_capacity(rows)),
                DataType::UInt64 => Held::Ids(UInt64Builder::with_capacity(rows)),
                of if *of == time => Held::Times(TimestampNanosecondBuilder::with_capacity(rows)),
                DataType::Utf8 if column.layout == Layout::Dictionary => {
                    Held::Words(Words::with_capacity(rows))
                }
                _ => Held::Arrays(Arrays::default()),
            }
        };
        let columns = table.columns.iter().zip(table.schema.fields());
        Self {
            ts_place: place(table.time()).unwrap_or_default(),
            table: Arc::clone(table),
            held: columns.map(held).collect(),
            places,
            ts: Vec::with_capacity(rows),
            bytes: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.ts.len()
    }

    /// About what it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds rows that have all they need.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let time = batch.column(self.ts_place);
        self.ts
            .extend_from_slice(time.as_primitive::<TimestampNanosecondType>().values());
        self.bytes += 8 * batch.num_rows();
        for (held, place) in self.held.iter_mut().zip(&self.places) {
            let Some(column) = place.map(|place| batch.column(place)) else {
                continue;
            };
            match held {
                Held::Absent | Held::Ts | Held::Said(_) => {}
                Held::Times(times) => {
                    self.bytes += 8 * column.len();
                    times.append_array(column.as_primitive());
                }
                Held::Floats(floats) => {
                    self.bytes += 8 * column.len();
                    floats.append_array(column.as_primitive());
                }
                Held::Ids(ids) => {
                    self.bytes += 8 * column.len();
                    ids.append_array(column.as_primitive());
                }
                Held::Arrays(arrays) => self.bytes += arrays.push(column)?,
                Held::Words(words) => {
                    self.bytes += 4 * column.len();
                    words.push(column.as_string());
                }
            }
        }
        Ok(())
    }

    /// All rows, numbered from `first_seq` on in the order they came in, in the lake's order.
    pub(super) fn sorted(self, first_seq: u64) -> Result<Sorted> {
        let rows = self.ts.len();
        let ts = ScalarBuffer::from(self.ts);
        let mut columns: Vec<Option<ArrayRef>> = Vec::with_capacity(self.held.len());
        for held in self.held {
            columns.push(match held {
                Held::Absent => None,
                Held::Ts => Some(Arc::new(TimestampNanosecondArray::new(ts.clone(), None))),
                Held::Said(text) => {
                    let mut words = Words::default();
                    words.number(&text);
                    words.rows = vec![0; rows];
                    Some(words.array()?)
                }
                Held::Times(mut times) => Some(Arc::new(times.finish())),
                Held::Floats(mut floats) => Some(Arc::new(floats.finish())),
                Held::Ids(mut ids) => Some(Arc::new(ids.finish())),
                Held::Arrays(arrays) => Some(arrays.array()?),
                Held::Words(words) => Some(words.array()?),
            });
        }
        let table = self.table;
        let column = |name: &str| columns[table.position(name)?].clone();
        let (symbols, venues) = (column("symbol"), column(VENUE));
        let times = column(table.time());
        let groups = groups(rows, symbols.as_ref(), venues.as_ref());
        let (order, runs) = order(&ts, &groups);
        let seq: ArrayRef = Arc::new((first_seq..first_seq + rows as u64).collect::<UInt64Array>());
        let columns: Vec<ArrayRef> = table
            .columns
            .iter()
            .zip(table.schema.fields())
            .zip(columns)
            .map(
                |((described, field), column)| match described.name.as_str() {
                    "seq" => Arc::clone(&seq),
                    "recv_ts" => column
                        .or_else(|| times.clone())
                        .unwrap_or_else(|| new_null_array(field.data_type(), rows)),
                    _ => column.unwrap_or_else(|| new_null_array(field.data_type(), rows)),
                },
            )
            .collect();
        let fields = table.schema.fields().iter().zip(&columns);
        let fields = fields
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Sorted {
            rows: RecordBatch::try_new(schema, columns)?,
            order,
            runs,
            ts,
        })
    }
}

/// A chunk in the lake's order.
pub(super) struct Sorted {
    /// The rows as they came, all of the table's columns.
    pub(super) rows: RecordBatch,
    /// Their order.
    pub(super) order: Vec<u32>,
    /// Rows of one partition and one symbol, as ranges of the order.
    pub(super) runs: Vec<(Date, Range<usize>)>,
    /// The time of each row as it came.
    pub(super) ts: ScalarBuffer<i64>,
}

impl Sorted {
    /// Rows of a range of the order.
    pub(super) fn take(&self, range: Range<usize>) -> Result<RecordBatch> {
        let places = UInt32Array::from(self.order[range].to_vec());
        let columns = self.rows.columns().iter().map(|c| take(c, &places, None));
        Ok(RecordBatch::try_new(
            self.rows.schema(),
            columns.collect::<Result<_, _>>()?,
        )?)
    }

    /// Leaves out rows, by whether each as it came is kept. Returns how many went.
    pub(super) fn retain(&mut self, keep: &[bool]) -> u64 {
        let before = self.order.len();
        let mut kept = 0;
        let order = std::mem::take(&mut self.order);
        for (_, range) in &mut self.runs {
            let start = kept;
            for &row in &order[range.clone()] {
                if keep[row as usize] {
                    self.order.push(row);
                    kept += 1;
                }
            }
            *range = start..kept;
        }
        self.runs.retain(|(_, range)| !range.is_empty());
        (before - self.order.len()) as u64
    }
}

/// For each row the rank of its symbol and venue among those of the chunk, and how many there are.
fn groups(rows: usize, symbols: Option<&ArrayRef>, venues: Option<&ArrayRef>) -> (Vec<u32>, usize) {
    let words = |array: Option<&ArrayRef>| -> (Vec<i32>, Vec<String>) {
        match array.and_then(|a| a.as_dictionary_opt::<Int32Type>()) {
            Some(array) => (
                array.keys().values().to_vec(),
                array
                    .values()
                    .as_string::<i32>()
                    .iter()
                    .map(|w| w.unwrap_or_default().to_owned())
                    .collect(),
            ),
            None => (vec![0; rows], vec![String::new()]),
        }
    };
    let ((symbols, symbol_words), (venues, venue_words)) = (words(symbols), words(venues));
    let pairs = symbol_words.len() * venue_words.len();
    let pair = |row: usize| symbols[row] as usize * venue_words.len() + venues[row] as usize;
    let mut used = vec![false; pairs];
    (0..rows).for_each(|row| used[pair(row)] = true);
    let mut ranked: Vec<usize> = (0..pairs).filter(|&p| used[p]).collect();
    ranked.sort_by_key(|&p| {
        let (symbol, venue) = (p / venue_words.len(), p % venue_words.len());
        (&symbol_words[symbol], &venue_words[venue])
    });
    let mut rank = vec![0; pairs];
    for (at, &pair) in ranked.iter().enumerate() {
        rank[pair] = at as u32;
    }
    ((0..rows).map(|row| rank[pair(row)]).collect(), ranked.len())
}

/// Times of a day, counted from 1970.
fn range_of(day: i64) -> Range<i64> {
    let start = day.saturating_mul(DAY_NS);
    start..start.saturating_add(DAY_NS)
}

/// The days that there are, counted from 1970, in rising order, and the rows of each.
fn days(ts: &[i64]) -> Vec<(i64, u64)> {
    let mut days: HashMap<i64, u64, RandomState> = HashMap::default();
    // Rows of one day mostly follow one another: to compare is cheaper than to divide.
    let (mut same, mut rows) = (0..0, 0);
    for &ts in ts {
        if !same.contains(&ts) {
            if rows > 0 {
                *days.entry(same.start.div_euclid(DAY_NS)).or_default() += rows;
            }
            (same, rows) = (range_of(ts.div_euclid(DAY_NS)), 0);
        }
        rows += 1;
    }
    if rows > 0 {
        *days.entry(same.start.div_euclid(DAY_NS)).or_default() += rows;
    }
    let mut days: Vec<(i64, u64)> = days.into_iter().collect();
    days.sort_unstable();
    days
}

/// The order by partition, group and time, and the runs of one partition and group in it. Rows of one time stay in their
/// order.
fn order(ts: &[i64], (groups, count): &(Vec<u32>, usize)) -> (Vec<u32>, Vec<(Date, Range<usize>)>) {
    let days = days(ts);
    let held: Vec<partition::Held> = days
        .iter()
        .map(|&(day, rows)| partition::Held::of(date_of(day.saturating_mul(DAY_NS)), rows))
        .collect();
    let dates = partition::partitions(&held);
    let mut parts = dates.clone();
    parts.dedup();
    let part_of: Vec<usize> = dates
        .iter()
        .map(|date| parts.partition_point(|part| part < date))
        .collect();
    // Rows are counted, and then put where their bucket begins: that takes two passes whatever their order.
    let mut last = (0..0, 0);
    let mut bucket_of = |row: usize| -> usize {
        if !last.0.contains(&ts[row]) {
            let day = ts[row].div_euclid(DAY_NS);
            let at = days.partition_point(|&(d, _)| d < day);
            last = (range_of(day), part_of[at] * count);
        }
        last.1 + groups[row] as usize
    };
    let buckets = parts.len() * count;
    let mut ends: HashMap<usize, usize, RandomState> = HashMap::default();
    let sparse = buckets > ts.len().max(1 << 20);
    let mut order: Vec<u32>;
    let mut runs = Vec::new();
    if sparse {
        let keys: Vec<usize> = (0..ts.len()).map(&mut bucket_of).collect();
        order = (0..ts.len() as u32).collect();
        order.sort_by_key(|&row| keys[row as usize]);
        for &row in &order {
            *ends.entry(keys[row as usize]).or_default() += 1;
        }
        let mut sorted: Vec<(usize, usize)> = ends.into_iter().collect();
        sorted.sort_unstable();
        let mut start = 0;
        for (bucket, rows) in sorted {
            runs.push((parts[bucket / count], start..start + rows));
            start += rows;
        }
    } else {
        let mut starts = vec![0_usize; buckets + 1];
        (0..ts.len()).for_each(|row| starts[bucket_of(row) + 1] += 1);
        for bucket in 0..buckets {
            starts[bucket + 1] += starts[bucket];
        }
        for bucket in 0..buckets {
            let range = starts[bucket]..starts[bucket + 1];
            if !range.is_empty() {
                runs.push((parts[bucket / count], range));
            }
        }
        order = vec![0; ts.len()];
        for row in 0..ts.len() {
            let place = &mut starts[bucket_of(row)];
            order[*place] = row as u32;
            *place += 1;
        }
    }
    for (_, range) in &runs {
        let rows = &mut order[range.clone()];
        if !rows.is_sorted_by_key(|&row| ts[row as usize]) {
            rows.sort_by_key(|&row| ts[row as usize]);
        }
    }
    (order, runs)
}
