//! Which raw messages of a batch something has been made of, and which are refused and why.

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, TimestampNanosecondType, UInt64Type};
use serde::de::IgnoredAny;

use super::catalog::Table;
use super::error::Result;
use super::import::TIMES_NS;
use super::normalize::MALFORMED;
use super::raw::{DeadLetter, RawBatch};
use crate::model::BOOK_DELTAS;

/// The table meant, if known, and the reason. Of several of one message the least is kept, so that it does not
/// depend on which file ran first.
type Refusal = (Option<String>, String);

/// The state of each message of a batch.
pub(super) struct Account<'a> {
    raw: &'a RawBatch,
    settled: Vec<bool>,
    refused: Vec<Option<Refusal>>,
    /// Whether its text says that it is of a book.
    of_book: Vec<bool>,
}

impl<'a> Account<'a> {
    pub(super) fn new(raw: &'a RawBatch) -> Self {
        let rows = raw.seqs().len();
        Self {
            raw,
            settled: vec![false; rows],
            refused: vec![None; rows],
            of_book: vec![false; rows],
        }
    }

    /// Adds what another one knows of the same batch.
    pub(super) fn merge(&mut self, other: Self) {
        for (settled, more) in self.settled.iter_mut().zip(other.settled) {
            *settled |= more;
        }
        for (of_book, more) in self.of_book.iter_mut().zip(other.of_book) {
            *of_book |= more;
        }
        for (refused, more) in self.refused.iter_mut().zip(other.refused) {
            *refused = refused.take().into_iter().chain(more).min();
        }
    }

    /// Row of the batch that has this seq.
    fn row(&self, seq: u64) -> Option<usize> {
        let seqs = self.raw.seqs();
        let guess = usize::try_from(seq.checked_sub(*seqs.first()?)?).ok()?;
        if seqs.get(guess) == Some(&seq) {
            Some(guess)
        } else {
            seqs.binary_search(&seq).ok()
        }
    }

    /// The message goes to the dead letters, whatever else is made of it.
    pub(super) fn refuse(&mut self, seq: u64, target: Option<&str>, reason: String) {
        if let Some(row) = self.row(seq) {
            let refusal = (target.map(str::to_owned), reason);
            let known = self.refused[row].take();
            self.refused[row] = known.into_iter().chain([refusal]).min();
        }
    }

    /// These messages are of a book, by their text: if nobody makes anything of one, an update is missing.
    pub(super) fn concern(&mut self, seqs: &[u64]) {
        for &seq in seqs {
            if let Some(row) = self.row(seq) {
                self.of_book[row] = true;
            }
        }
    }

    fn settle(&mut self, seqs: &[u64]) {
        // Rows of one message stand together: ask once for each message.
        let mut last = None;
        for &seq in seqs {
            if last != Some(seq) {
                last = Some(seq);
                if let Some(row) = self.row(seq) {
                    self.settled[row] = true;
                }
            }
        }
    }

    /// Marks the messages whose seq stands in the first column as read; those that the second has a reason for are
    /// refused.
    pub(super) fn take_control(&mut self, batch: &RecordBatch) -> Result<()> {
        let seqs = cast(batch.column(0), &DataType::UInt64)?;
        let seqs = seqs.as_primitive::<UInt64Type>();
        self.settle(seqs.values());
        let reasons = batch.column(1).as_string::<i32>();
        for row in 0..reasons.len() {
            if reasons.is_valid(row) && seqs.is_valid(row) {
                self.refuse(seqs.value(row), None, reasons.value(row).to_owned());
            }
        }
        Ok(())
    }

    /// Marks the rows' messages as read, and keeps the rows that have all they need; the messages of the
    /// others are refused.
    pub(super) fn take(&mut self, table: &Table, batch: RecordBatch) -> Result<RecordBatch> {
        let mut faults: Vec<(usize, String)> = Vec::new();
        for (column, array) in table.carried().zip(batch.columns()) {
            if column.required && array.null_count() > 0 {
                let missing = (0..array.len()).filter(|&i| array.is_null(i));
                faults.extend(missing.map(|i| (i, format!("'{}' is missing", column.name))));
            }
            if let Some(numbers) = array.as_any().downcast_ref::<Float64Array>()
                && !numbers
                    .values()
                    .iter()
                    .fold(true, |all, n| all & n.is_finite())
            {
                let bad = |&i: &usize| numbers.is_valid(i) && !numbers.value(i).is_finite();
                let bad = (0..array.len()).filter(bad);
                faults.extend(bad.map(|i| (i, format!("'{}' is out of range", column.name))));
            }
            if let Some(times) = array.as_primitive_opt::<TimestampNanosecondType>() {
                let bad = |&i: &usize| times.is_valid(i) && !TIMES_NS.contains(&times.value(i));
                let bad = (0..array.len()).filter(bad);
                faults.extend(bad.map(|i| (i, format!("'{}' is out of range", column.name))));
            }
        }
        let seqs = batch.column(0).as_primitive::<UInt64Type>();
        self.settle(seqs.values());
        if faults.is_empty() {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for (i, reason) in faults {
            keep[i] = false;
            if seqs.is_valid(i) {
                self.refuse(seqs.value(i), Some(&table.name), reason);
            }
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// Leaves out all rows of messages that are refused.
    pub(super) fn drop_refused(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.refused.iter().all(Option::is_none) {
            return Ok(batch);
        }
        let kept = |seq: &u64| self.row(*seq).is_none_or(|row| self.refused[row].is_none());
        let seqs = batch.column(0).as_primitive::<UInt64Type>().values();
        let keep: Vec<bool> = seqs.iter().map(kept).collect();
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// What is refused, and what nothing was made of.
    pub(super) fn dead_letters(self) -> Vec<DeadLetter> {
        let venue = &self.raw.venue;
        let mut dead = Vec::new();
        let of_book = self.of_book;
        for (row, (settled, refused)) in self.settled.iter().zip(self.refused).enumerate() {
            if let Some((target, reason)) = refused {
                dead.push(DeadLetter::of(self.raw, row, target.as_deref(), reason));
            } else if !settled {
                let reason = if is_json(self.raw.payloads().value(row)) {
                    format!("no file of sql/venues/{venue} reads this message")
                } else {
                    MALFORMED.to_owned()
                };
                let target = of_book[row].then_some(BOOK_DELTAS);
                dead.push(DeadLetter::of(self.raw, row, target, reason));
            }
        }
        dead
    }
}

fn is_json(payload: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(payload).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, UInt64Array};

    use super::*;
    use crate::model::frame::Frame;

    #[test]
    fn what_control_has_a_reason_for_is_refused_and_all_else_it_names_is_read() {
        let frame = Frame {
            venue: "v".into(),
            channel: "ws/1".into(),
            symbol: None,
            recv_ns: 1,
            payload: "{}".to_owned(),
        };
        let raw = RawBatch::of_frames(7, "v", &[frame.clone(), frame.clone(), frame]).unwrap();
        let columns: [(&str, ArrayRef); 2] = [
            ("seq", Arc::new(UInt64Array::from(vec![7, 8]))),
            (
                "refused",
                Arc::new(StringArray::from(vec![None, Some("why")])),
            ),
        ];
        let control = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut account = Account::new(&raw);
        account.take_control(&control).unwrap();
        let letters = account.dead_letters();
        let said: Vec<(Option<u64>, &str)> = letters
            .iter()
            .map(|letter| (letter.seq, letter.reason.as_str()))
            .collect();
        let unread = "no file of sql/venues/v reads this message";
        assert_eq!(said, [(Some(8), "why"), (Some(9), unread)]);
    }
}
