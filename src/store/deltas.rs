//! Rows of `book_deltas` as the book engine reads them: one message after the other.

use std::ops::Range;

use arrow::array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};

use super::catalog::Table;
use crate::book::{Change, Digits, Level, Side, Update};
use crate::venues::feed::Checksum;

/// Columns that a normalizer of `book_deltas` may give beside the table's, with their types.
pub(super) const ENGINE_COLUMNS: [(&str, &str); 3] = [
    ("price_text", "VARCHAR"),
    ("size_text", "VARCHAR"),
    ("depth", "UINTEGER"),
];

/// The columns that the engine reads.
pub(super) struct Deltas<'a> {
    pub(super) symbol: &'a StringArray,
    seq: &'a UInt64Array,
    ts: &'a TimestampNanosecondArray,
    recv_ts: &'a TimestampNanosecondArray,
    first_id: &'a UInt64Array,
    last_id: &'a UInt64Array,
    prev_id: &'a UInt64Array,
    is_snapshot: &'a BooleanArray,
    side: &'a StringArray,
    price: &'a Float64Array,
    size: &'a Float64Array,
    /// `None` if no row has one.
    checksum: Option<&'a Int64Array>,
    /// Price and size as the wire wrote them.
    texts: Option<[&'a StringArray; 2]>,
    depth: Option<&'a UInt32Array>,
}

impl<'a> Deltas<'a> {
    pub(super) fn of(table: &Table, batch: &'a RecordBatch) -> Option<Self> {
        fn column<'a, A: 'static>(
            table: &Table,
            batch: &'a RecordBatch,
            name: &str,
        ) -> Option<&'a A> {
            batch.column(table.place(name)?).as_any().downcast_ref()
        }
        fn further<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a A> {
            batch.column_by_name(name)?.as_any().downcast_ref()
        }
        Some(Self {
            symbol: column(table, batch, "symbol")?,
            seq: column(table, batch, "seq")?,
            ts: column(table, batch, "ts")?,
            recv_ts: column(table, batch, "recv_ts")?,
            first_id: column(table, batch, "first_id")?,
            last_id: column(table, batch, "last_id")?,
            prev_id: column(table, batch, "prev_id")?,
            is_snapshot: column(table, batch, "is_snapshot")?,
            side: column(table, batch, "side")?,
            price: column(table, batch, "price")?,
            size: column(table, batch, "size")?,
            checksum: column(table, batch, "checksum")
                .filter(|a: &&Int64Array| a.null_count() < a.len()),
            texts: further(batch, "price_text")
                .zip(further(batch, "size_text"))
                .map(|(price, size)| [price, size]),
            depth: further(batch, "depth"),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.seq.len()
    }

    /// 0 if there are no rows.
    pub(super) fn first_seq(&self) -> u64 {
        self.seq.values().first().copied().unwrap_or_default()
    }

    /// Rows of one message stand together and differ in their level only; a checksum may stand in the last
    /// one alone.
    pub(super) fn end_of_message(&self, start: usize) -> usize {
        let seqs = self.seq.values();
        let message = |row: usize| {
            let (id, symbol) = (given(self.last_id, row), self.symbol.value(row));
            (seqs[row], id, self.is_snapshot.value(row), symbol)
        };
        let first = message(start);
        let ends = |row: usize| {
            message(row) != first
                || self.checksum.is_some_and(|sums| {
                    sums.is_valid(row - 1) && given_i64(sums, row) != given_i64(sums, row - 1)
                })
        };
        (start + 1..seqs.len())
            .find(|&row| ends(row))
            .unwrap_or(seqs.len())
    }

    /// The message of some rows, apart from its levels.
    pub(super) fn update(&self, rows: &Range<usize>) -> Update {
        let row = rows.start;
        Update {
            seq: self.seq.value(row),
            ts: self.ts.value(row),
            recv_ts: self.recv_ts.value(row),
            first_id: given(self.first_id, row),
            last_id: given(self.last_id, row),
            prev_id: given(self.prev_id, row),
            is_snapshot: self.is_snapshot.value(row),
            // Venues write the same 32 bits with or without a sign.
            checksum: self
                .checksum
                .and_then(|sums| given_i64(sums, rows.end - 1))
                .map(|sum| sum as u32),
            depth: self
                .depth
                .filter(|depth| depth.is_valid(row))
                .map(|depth| depth.value(row)),
        }
    }

    /// `None` for an update without levels.
    pub(super) fn change(&self, row: usize) -> Option<Change> {
        if self.side.is_null(row) || self.price.is_null(row) || self.size.is_null(row) {
            return None;
        }
        let side = if self.side.value(row) == "bid" {
            Side::Bid
        } else {
            Side::Ask
        };
        Some((
            side,
            Level {
                price: self.price.value(row),
                size: self.size.value(row),
            },
        ))
    }

    /// The level's digits for a checksum.
    pub(super) fn digits(&self, checksum: &Checksum, row: usize) -> Digits {
        let Some([price, size]) = self.texts else {
            return Digits::UNKNOWN;
        };
        if price.is_null(row) || size.is_null(row) {
            return Digits::UNKNOWN;
        }
        Digits::of(checksum, price.value(row), size.value(row))
    }
}

fn given(array: &UInt64Array, row: usize) -> Option<u64> {
    array.is_valid(row).then(|| array.value(row))
}

fn given_i64(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}
