//! `book_levels(bids, asks)`: the levels of an order-book message as rows, for venues' SQL.
//!
//! Most messages of a book have a few levels and some have thousands, each two numbers in quotation marks: as JSON, texts
//! and casts they are a third of the work of a load. Here they are read in one pass.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, AsArray, Float64Builder, ListArray, RecordBatch, StringBuilder,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use duckdb::Connection;
use duckdb::vscalar::{ArrowFunctionSignature, VArrowScalar};

use super::error::{Doing, Result};

/// Makes a connection's database know the function.
///
/// It takes two JSON arrays of `[price, size, …]`, numbers or texts of numbers, and gives the list of their rows (side
/// 'bid' or 'ask', price, size), bids first, each in its order. Of two empty arrays that is one row of NULLs: an update
/// without levels is one, too. NULL where one of them is NULL; anything else is an error.
pub(super) fn register(conn: &Connection) -> Result<()> {
    conn.register_scalar_function::<BookLevels>("book_levels")
        .doing("preparing the database")
}

struct BookLevels;

impl VArrowScalar for BookLevels {
    type State = ();

    fn invoke((): &(), sides: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        let (bids, asks) = (
            sides.column(0).as_string::<i32>(),
            sides.column(1).as_string::<i32>(),
        );
        let mut levels = Levels::default();
        let (mut lengths, mut valid) = (
            Vec::with_capacity(bids.len()),
            Vec::with_capacity(bids.len()),
        );
        for (bids, asks) in bids.iter().zip(asks) {
            let before = levels.price.len();
            let both = bids.zip(asks);
            if let Some((bids, asks)) = both {
                levels.read("bid", bids)?;
                levels.read("ask", asks)?;
                if levels.price.len() == before {
                    levels.none();
                }
            }
            lengths.push(levels.price.len() - before);
            valid.push(both.is_some());
        }
        let rows = StructArray::try_new(
            fields(),
            vec![
                Arc::new(levels.side.finish()),
                Arc::new(levels.price.finish()),
                Arc::new(levels.size.finish()),
            ],
            None,
        )?;
        Ok(Arc::new(ListArray::try_new(
            item(),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(rows),
            Some(NullBuffer::from(valid)),
        )?))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::Utf8, DataType::Utf8],
            DataType::List(item()),
        )]
    }
}

fn fields() -> Fields {
    vec![
        Field::new("side", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
        Field::new("size", DataType::Float64, true),
    ]
    .into()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(fields()), false))
}

#[derive(Default)]
struct Levels {
    side: StringBuilder,
    price: Float64Builder,
    size: Float64Builder,
}

impl Levels {
    fn none(&mut self) {
        self.side.append_null();
        self.price.append_null();
        self.size.append_null();
    }

    /// Reads one side.
    fn read(&mut self, name: &str, json: &str) -> Result<(), String> {
        let refused = || {
            let shown: String = json.chars().take(80).collect();
            format!("a book level is no [price, size]: {shown}")
        };
        let mut at = Cursor(json.as_bytes());
        at.take(b'[').ok_or_else(refused)?;
        if at.take(b']').is_none() {
            loop {
                let (price, size) = at.level().ok_or_else(refused)?;
                self.side.append_value(name);
                self.price.append_value(price);
                self.size.append_value(size);
                if at.take(b',').is_none() {
                    break;
                }
            }
            at.take(b']').ok_or_else(refused)?;
        }
        at.skip_space();
        if at.0.is_empty() {
            Ok(())
        } else {
            Err(refused())
        }
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Passes over a character, if it is the next one.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// `[price, size, …]`.
    fn level(&mut self) -> Option<(f64, f64)> {
        self.take(b'[')?;
        let price = self.number()?;
        self.take(b',')?;
        let size = self.number()?;
        while self.take(b',').is_some() {
            // What venues add: counts of orders and the like.
            self.number()?;
        }
        self.take(b']')?;
        Some((price, size))
    }

    /// A number, or a text of one.
    fn number(&mut self) -> Option<f64> {
        self.skip_space();
        let quoted = self.take(b'"').is_some();
        let is_part =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
        let length = self.0.iter().take_while(|byte| is_part(byte)).count();
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        if quoted {
            self.0 = self.0.strip_prefix(b"\"")?;
        }
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(bids: &str, asks: &str) -> Result<String, String> {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        conn.query_row("SELECT book_levels(?, ?)::VARCHAR", [bids, asks], |row| {
            row.get(0)
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn bids_then_asks_as_they_stand_there() {
        assert_eq!(
            levels(
                r#"[["0.0024","10"],["0.0023","0"]]"#,
                r#" [ [ 1e-3 , "-2.50", "7" ] ] "#
            )
            .unwrap(),
            "[{'side': bid, 'price': 0.0024, 'size': 10.0}, {'side': bid, 'price': 0.0023, 'size': 0.0}, \
             {'side': ask, 'price': 0.001, 'size': -2.5}]"
        );
        assert_eq!(
            levels("[]", "[]").unwrap(),
            "[{'side': NULL, 'price': NULL, 'size': NULL}]"
        );
    }

    #[test]
    fn numbers_come_back_to_the_last_digit_as_duckdb_reads_them() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let differs: i64 = conn
            .query_row(
                "SELECT count(*) FROM (SELECT printf('%.8f', (hash(i) % 1000000000000) / 1e8) AS p FROM range(20000) t(i))
                 WHERE book_levels(printf('[[\"%s\",\"1\"]]', p), '[]')[1].price IS DISTINCT FROM p::DOUBLE",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(differs, 0);
    }

    #[test]
    fn anything_else_is_an_error_of_the_data_and_null_is_null() {
        for wrong in [
            "",
            "[",
            "[[\"1\"]]",
            "[[1,2]",
            "[[1,2]]]",
            "[[1,null]]",
            "[[\"nan\",1]]",
            "[[\"1,2]]",
            "{}",
            "[1,2]",
            "[[1,2],]",
        ] {
            let error = levels(wrong, "[]").unwrap_err();
            assert!(
                error.starts_with("Invalid Input Error") && error.contains("no [price, size]"),
                "{wrong}: {error}"
            );
        }
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let is_null: bool = conn
            .query_row("SELECT book_levels(NULL, '[]') IS NULL", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert!(is_null);
    }
}
