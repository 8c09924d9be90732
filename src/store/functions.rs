//! The scalar functions that every database mdb opens knows beside DuckDB's own, for `sql/macros` to build on.
//!
//! DuckDB takes a function's error for a defect of its own, after which the database cannot be used until it is opened
//! again: none here fails. What a user did wrong is a text that a macro cannot cast to a number: [PROBLEM].

use std::error::Error;
use std::sync::Arc;

use arrow::array::TimestampNanosecondArray;
use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, Fields, Float64Type, Int32Type, TimeUnit, TimestampNanosecondType,
};
use duckdb::Connection;
use duckdb::vscalar::{ArrowFunctionSignature, VArrowScalar};

use super::error::{Doing, Result};
use crate::model::interval::bar_interval;
use crate::model::zone::{self, Reader, Zone};

/// Makes the database of a connection, and so all clones of it, know the functions.
pub(super) fn register(conn: &Connection) -> Result<()> {
    conn.register_scalar_function::<ZoneNumber>("zone_number")
        .and_then(|()| conn.register_scalar_function::<ZoneProblem>("zone_problem"))
        .and_then(|()| conn.register_scalar_function::<AtZone>("at_zone_number"))
        .and_then(|()| conn.register_scalar_function::<FromZone>("from_zone_number"))
        .and_then(|()| conn.register_scalar_function::<OffsetNs>("zone_offset_ns"))
        .and_then(|()| conn.register_scalar_function::<SumEnds>("sum_ends"))
        .and_then(|()| conn.register_scalar_function::<BarInterval>("bar_interval"))
        .doing("preparing the database")
}

type Invoked = std::result::Result<ArrayRef, Box<dyn Error>>;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// What the text of a problem begins with: whoever shows DuckDB's error about the cast then shows the text alone.
pub const PROBLEM: &str = "mdb: ";

/// `zone_number(name)`: what the other functions call a zone, which is looked up once where the name is a constant; -1
/// for a name that is none.
struct ZoneNumber;

impl VArrowScalar for ZoneNumber {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let names = input.column(0).as_string::<i32>();
        let mut last: Option<(&str, i32)> = None;
        let numbers: Int32Array = names
            .iter()
            .map(|name| {
                let name = name?;
                let (_, number) = last
                    .filter(|(of, _)| *of == name)
                    .unwrap_or_else(|| (name, zone::number(name).map_or(-1, |n| n as i32)));
                last = Some((name, number));
                Some(number)
            })
            .collect();
        Ok(Arc::new(numbers))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::Utf8],
            DataType::Int32,
        )]
    }
}

/// `zone_problem(name)`: what to tell of a name that is no zone's.
struct ZoneProblem;

impl VArrowScalar for ZoneProblem {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let names = input.column(0).as_string::<i32>().iter();
        let problems: StringArray = names.map(|name| name.map(problem)).collect();
        Ok(Arc::new(problems))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::Utf8],
            DataType::Utf8,
        )]
    }
}

fn problem(name: &str) -> String {
    let hint = match zone::similar(name).as_slice() {
        [] => "You can name any zone of the IANA database, such as 'America/New_York' or 'UTC'"
            .to_owned(),
        names => format!("Did you mean: {}", names.join(" or ")),
    };
    format!("{PROBLEM}there is no time zone '{name}'\n{hint}")
}

/// `at_zone_number(ts, number)`: what the clock of a zone shows at a moment of UTC.
struct AtZone;

impl VArrowScalar for AtZone {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let times = by_zone(&input, Zone::utc, shifted);
        Ok(Arc::new(TimestampNanosecondArray::from_iter(times)))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![TIMESTAMP, DataType::Int32],
            TIMESTAMP,
        )]
    }
}

/// `from_zone_number(ts, number)`: the moment of UTC at which the clock of a zone shows `ts`.
struct FromZone;

impl VArrowScalar for FromZone {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let times = by_zone(&input, Zone::wall, |ns, offset| shifted(ns, -offset));
        Ok(Arc::new(TimestampNanosecondArray::from_iter(times)))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        AtZone::signatures()
    }
}

/// `zone_offset_ns(ts, number)`: how far the clock of a zone is ahead at a moment of UTC, in nanoseconds.
struct OffsetNs;

impl VArrowScalar for OffsetNs {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let offsets = by_zone(&input, Zone::utc, |ns, offset| {
            is_finite(ns).then_some(offset)
        });
        Ok(Arc::new(Int64Array::from_iter(offsets)))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![TIMESTAMP, DataType::Int32],
            DataType::Int64,
        )]
    }
}

/// What `result` makes of each time and the offset of its zone; nothing where either is missing.
fn by_zone(
    input: &RecordBatch,
    reader: fn(&'static Zone) -> Reader<'static>,
    result: fn(i64, i64) -> Option<i64>,
) -> Vec<Option<i64>> {
    let times = input.column(0).as_primitive::<TimestampNanosecondType>();
    let numbers = input.column(1).as_primitive::<Int32Type>();
    let mut last: Option<(i32, Reader<'static>)> = None;
    let mut one = |ns: Option<i64>, number: Option<i32>| {
        let (ns, number) = (ns?, number?);
        if last.as_ref().is_none_or(|(of, _)| *of != number) {
            let zone = usize::try_from(number).ok().and_then(zone::zone)?;
            last = Some((number, reader(zone)));
        }
        let (_, reader) = last.as_mut()?;
        result(ns, reader.offset(ns))
    };
    let pairs = times.iter().zip(numbers.iter());
    pairs.map(|(ns, number)| one(ns, number)).collect()
}

/// `sum_ends(amounts, size, carried)`: adds amounts up, from `carried` on, and begins anew from 0 behind each at which the
/// sum is as far from 0 as `size`: the places of these, from 0, and what is carried in the end. SQL that carries a sum from
/// row to row takes 20 µs for each.
///
/// Sums are of whole numbers of [`AMOUNT_UNIT`]s, as those of DECIMAL(38, 8) are; `size` and `carried` are such, as texts.
struct SumEnds;

/// Units in 1.
const AMOUNT_UNIT: f64 = 1e8;

impl VArrowScalar for SumEnds {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let lists = input.column(0).as_list::<i32>();
        let amounts = lists.values().as_primitive::<Float64Type>().values();
        let units = |column: usize, row: usize| -> i128 {
            let texts = input.column(column).as_string::<i32>();
            texts.value(row).parse().unwrap_or(0)
        };
        let (mut ends, mut counts, mut carried) = (Vec::new(), Vec::new(), Vec::new());
        for (row, bounds) in lists.value_offsets().windows(2).enumerate() {
            let (size, mut sum, before) = (units(1, row), units(2, row), ends.len());
            for (place, amount) in amounts[bounds[0] as usize..bounds[1] as usize]
                .iter()
                .enumerate()
            {
                sum = sum.saturating_add((amount * AMOUNT_UNIT).round() as i128);
                if sum.unsigned_abs() >= size.unsigned_abs() {
                    ends.push(place as i64);
                    sum = 0;
                }
            }
            counts.push(ends.len() - before);
            carried.push(sum.to_string());
        }
        let places = OffsetBuffer::from_lengths(counts);
        let ends = ListArray::try_new(place(), places, Arc::new(Int64Array::from(ends)), None)?;
        let carried = StringArray::from(carried);
        let state: [ArrayRef; 2] = [Arc::new(ends), Arc::new(carried)];
        Ok(Arc::new(StructArray::try_new(
            ends_and_carried(),
            state.to_vec(),
            None,
        )?))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        let amounts = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        vec![ArrowFunctionSignature::exact(
            vec![amounts, DataType::Utf8, DataType::Utf8],
            DataType::Struct(ends_and_carried()),
        )]
    }
}

/// `bar_interval(text)`: the length of a bar as `bars.interval` has it; NULL of what is none.
struct BarInterval;

impl VArrowScalar for BarInterval {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let texts = input.column(0).as_string::<i32>().iter();
        let intervals: StringArray = texts.map(|text| bar_interval(text?)).collect();
        Ok(Arc::new(intervals))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        ZoneProblem::signatures()
    }
}

fn place() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Int64, false))
}

fn ends_and_carried() -> Fields {
    Fields::from(vec![
        Field::new("ends", DataType::List(place()), false),
        Field::new("carried", DataType::Utf8, false),
    ])
}

/// DuckDB keeps the ends of the range for its infinities.
fn is_finite(ns: i64) -> bool {
    (-i64::MAX + 1..i64::MAX).contains(&ns)
}

/// A time put off, if it is in range.
fn shifted(ns: i64, by: i64) -> Option<i64> {
    let put_off = is_finite(ns).then(|| ns.checked_add(by)).flatten();
    put_off.filter(|&ns| is_finite(ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        conn
    }

    fn text(conn: &Connection, expression: &str) -> Option<String> {
        let sql = format!("SELECT ({expression})::VARCHAR");
        conn.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn clones_and_other_threads_know_the_functions() {
        let conn = conn();
        let clone = conn.try_clone().unwrap();
        let known = std::thread::spawn(move || text(&clone, "zone_number('UTC') >= 0"));
        assert_eq!(known.join().unwrap().as_deref(), Some("true"));
    }

    #[test]
    fn a_column_of_zones_has_each_its_own_clock() {
        let rows = "SELECT string_agg(at_zone_number(t, zone_number(z))::VARCHAR, ' ' ORDER BY n) \
             FROM (VALUES (1, TIMESTAMP_NS '2024-07-01 12:00:00.123456789', 'Asia/Tokyo'), \
                 (2, '2024-07-01 12:00', 'America/New_York'), (3, '2024-01-01 12:00', 'America/New_York'), \
                 (4, NULL, 'UTC'), (5, '2024-07-01 12:00', NULL), (6, '2024-07-01 12:00', 'nowhere'), \
                 (7, 'infinity', 'Asia/Tokyo'), (8, '2024-07-01 12:00', 'Asia/Kolkata')) AS v(n, t, z)";
        assert_eq!(
            text(&conn(), &format!("({rows})")).unwrap(),
            "2024-07-01 21:00:00.123456789 2024-07-01 08:00:00 2024-01-01 07:00:00 2024-07-01 17:30:00"
        );
    }

    #[test]
    fn many_rows_and_filtered_ones_are_each_read_by_their_own_time() {
        let conn = conn();
        let wrong = "SELECT count(*) FROM (SELECT make_timestamp_ns(i * 3600000000000000 + i) AS t, i \
             FROM range(-2000, 2500) AS r(i)) WHERE i % 3 = 0 AND \
             from_zone_number(at_zone_number(t, zone_number('Asia/Kolkata')), zone_number('Asia/Kolkata')) <> t";
        assert_eq!(text(&conn, &format!("({wrong})")).as_deref(), Some("0"));
    }

    #[test]
    fn times_out_of_range_are_null_and_infinity_is_out_of_it() {
        let conn = conn();
        let at = |ns: i64, zone: &str| {
            text(
                &conn,
                &format!("at_zone_number(make_timestamp_ns({ns}), zone_number('{zone}'))"),
            )
        };
        assert_eq!(at(i64::MAX - 5, "Asia/Tokyo"), None);
        assert!(at(i64::MAX - 5, "America/New_York").is_some());
        let offset = "zone_offset_ns('infinity'::TIMESTAMP_NS, zone_number('UTC'))";
        assert_eq!(text(&conn, offset), None);
    }

    #[test]
    fn sums_end_where_those_of_decimals_do_and_go_on_with_what_was_carried() {
        let conn = conn();
        let state = |amounts: &str, size: &str, carried: &str| {
            text(
                &conn,
                &format!("sum_ends({amounts}, '{size}', '{carried}')"),
            )
            .unwrap()
        };
        let told =
            |ends: &str, carried: &str| format!("{{'ends': [{ends}], 'carried': {carried}}}");
        let amounts = "[0.5, -0.25, 0.75, 1, -1, -1, 0.1, 0.2]";
        assert_eq!(
            state(amounts, "100000000", "0"),
            told("2, 3, 4, 5", "30000000")
        );
        assert_eq!(
            state(amounts, "100000000", "-75000001"),
            told("3, 4, 5", "30000000")
        );
        assert_eq!(state("[]::DOUBLE[]", "1", "-7"), told("", "-7"));
        let rounded = "SELECT count(*) FROM (SELECT (hash(i) % 1000000007)::DOUBLE / (1 + hash(i, 1) % 100003) AS x \
             FROM range(100000) t(i)) WHERE struct_extract(sum_ends([x], '1000000000000000000000', '0'), 'carried') \
             <> (x::DECIMAL(38, 8) * 100000000)::HUGEINT::VARCHAR";
        assert_eq!(text(&conn, &format!("({rounded})")).as_deref(), Some("0"));
    }

    #[test]
    fn a_problem_names_the_zone_and_what_is_like_it() {
        let told = problem("Europe/Lundon");
        assert_eq!(
            told,
            "mdb: there is no time zone 'Europe/Lundon'\nDid you mean: Europe/London"
        );
        assert!(problem("x").contains("'America/New_York'"));
    }
}
