//! Raw rows on their way in.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::catalog::Table;
use super::error::Result;
use crate::model::frame::Frame;
use crate::sources::capture::{Batch, Rejected};

/// Raw messages of one venue by rising seq. The rows have the columns of [`schema`].
#[derive(Debug, Clone)]
pub(super) struct RawBatch {
    pub(super) venue: String,
    pub(super) rows: RecordBatch,
}

/// `channel` of messages that come from a file.
pub(super) const FILE_CHANNEL: &str = "capture";

/// What slots of raw rows are called.
pub(super) const NAME: &str = "raw";

/// Columns of `raw_messages` without the venue.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("seq", DataType::UInt64, false),
        Field::new(
            "recv_ts",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            false,
        ),
        text("channel", true),
        text("symbol", true),
        text("payload", false),
    ]))
}

impl RawBatch {
    /// Numbers the messages of a part of a file from `first_seq` on.
    pub(super) fn of_file(
        first_seq: u64,
        venue: &str,
        symbol: Option<&str>,
        batch: &Batch,
    ) -> Result<Self> {
        let rows = batch.recv_ns.len();
        Self::new(
            first_seq,
            venue,
            [
                Arc::new(TimestampNanosecondArray::from(batch.recv_ns.clone())),
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    FILE_CHANNEL,
                    rows,
                ))),
                Arc::new(std::iter::repeat_n(symbol, rows).collect::<StringArray>()),
                Arc::new(batch.payloads.clone()),
            ],
        )
    }

    /// Numbers frames of one venue from `first_seq` on.
    pub(super) fn of_frames(first_seq: u64, venue: &str, frames: &[Frame]) -> Result<Self> {
        let text = |of: fn(&Frame) -> Option<&str>| -> ArrayRef {
            Arc::new(frames.iter().map(of).collect::<StringArray>())
        };
        let recv_ns = frames.iter().map(|f| f.recv_ns);
        Self::new(
            first_seq,
            venue,
            [
                Arc::new(TimestampNanosecondArray::from_iter_values(recv_ns)),
                text(|f| Some(&f.channel)),
                text(|f| f.symbol.as_deref()),
                text(|f| Some(&f.payload)),
            ],
        )
    }

    fn new(first_seq: u64, venue: &str, columns: [ArrayRef; 4]) -> Result<Self> {
        let end = first_seq + columns[0].len() as u64;
        let seqs: ArrayRef = Arc::new((first_seq..end).collect::<UInt64Array>());
        let columns = std::iter::once(seqs).chain(columns).collect();
        Ok(Self {
            venue: venue.to_owned(),
            rows: RecordBatch::try_new(schema(), columns)?,
        })
    }

    fn column<A: 'static>(&self, index: usize) -> Option<&A> {
        self.rows.column(index).as_any().downcast_ref()
    }

    /// The seq of each row, rising.
    pub(super) fn seqs(&self) -> &[u64] {
        self.column::<UInt64Array>(0).map_or(&[], |a| a.values())
    }

    fn recv_ns(&self) -> &[i64] {
        self.column::<TimestampNanosecondArray>(1)
            .map_or(&[], |a| a.values())
    }

    /// What the message with this seq came by.
    pub(super) fn channel(&self, seq: u64) -> Option<&str> {
        let row = self.seqs().binary_search(&seq).ok()?;
        self.column::<StringArray>(2)
            .filter(|a| a.is_valid(row))
            .map(|a| a.value(row))
    }

    fn symbol(&self, row: usize) -> Option<&str> {
        self.column::<StringArray>(3)
            .filter(|a| a.is_valid(row))
            .map(|a| a.value(row))
    }

    pub(super) fn payloads(&self) -> &StringArray {
        self.rows.column(4).as_string()
    }
}

/// Where raw rows came from, for content that is loaded from a file.
pub(super) struct LoadMark {
    pub(super) symbol: Option<String>,
    /// Hash of the content up to the end of the batch.
    pub(super) mark: String,
    /// The file.
    pub(super) source: String,
    /// Its lines up to the end of the batch.
    pub(super) lines: u64,
}

/// A record that no table takes.
pub(super) struct DeadLetter {
    pub(super) seq: Option<u64>,
    pub(super) symbol: Option<String>,
    pub(super) recv_ns: Option<i64>,
    pub(super) target: Option<String>,
    pub(super) reason: String,
    pub(super) payload: String,
    pub(super) source: Option<String>,
    pub(super) line: Option<u64>,
}

impl DeadLetter {
    /// A row of `raw`, meant for the table `target` if that is known.
    pub(super) fn of(raw: &RawBatch, row: usize, target: Option<&str>, reason: String) -> Self {
        Self {
            seq: Some(raw.seqs()[row]),
            symbol: raw.symbol(row).map(str::to_owned),
            recv_ns: Some(raw.recv_ns()[row]),
            target: target.map(str::to_owned),
            reason,
            payload: raw.payloads().value(row).to_owned(),
            source: None,
            line: None,
        }
    }

    /// A line of a file that is no message.
    pub(super) fn line(source: &str, symbol: Option<&str>, line: Rejected) -> Self {
        Self {
            seq: None,
            symbol: symbol.map(str::to_owned),
            recv_ns: None,
            target: None,
            reason: line.reason,
            payload: line.text,
            source: Some(source.to_owned()),
            line: Some(line.line),
        }
    }
}

/// Rows of `dead_letters`, the columns that the table carries.
pub(super) fn dead_letter_rows(table: &Table, dead: &[DeadLetter]) -> Result<RecordBatch> {
    let recv = Arc::new(
        dead.iter()
            .map(|d| d.recv_ns)
            .collect::<TimestampNanosecondArray>(),
    );
    let text = |of: fn(&DeadLetter) -> Option<&str>| -> ArrayRef {
        Arc::new(dead.iter().map(of).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(dead.iter().map(|d| d.seq).collect::<UInt64Array>()),
        text(|d| d.symbol.as_deref()),
        recv.clone(),
        recv,
        text(|d| d.target.as_deref()),
        text(|d| Some(&d.reason)),
        text(|d| Some(&d.payload)),
        text(|d| d.source.as_deref()),
        Arc::new(dead.iter().map(|d| d.line).collect::<UInt64Array>()),
    ];
    Ok(RecordBatch::try_new(table.carried_schema(), columns)?)
}
