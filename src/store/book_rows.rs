//! What the book engine says, as rows of `book_tops` and `feed_events`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, StringArray, StringBuilder, TimestampNanosecondArray,
    TimestampNanosecondBuilder, UInt32Builder, UInt64Builder,
};

use crate::book::{Output, Top};

/// What `feed_events.channel` says of events that the engine reports.
pub(super) const CHANNEL: &str = "book";

/// What the engine said, as rows.
pub(super) struct BookRows {
    /// What `book_tops` carries.
    pub(super) tops: Vec<ArrayRef>,
    /// What `feed_events` carries.
    pub(super) events: Vec<ArrayRef>,
    pub(super) gaps: u64,
    /// Checksums that were right.
    pub(super) checksums: u64,
}

/// Rows of `book_tops` under construction.
#[derive(Default)]
pub(super) struct TopRows {
    seq: UInt64Builder,
    symbol: StringBuilder,
    ts: TimestampNanosecondBuilder,
    recv_ts: TimestampNanosecondBuilder,
    last_id: UInt64Builder,
    /// Bid price and size, ask price and size, spread, mid, imbalance.
    numbers: [Float64Builder; 7],
    epoch: UInt32Builder,
}

impl TopRows {
    pub(super) fn push(&mut self, symbol: &str, top: &Top) {
        self.seq.append_value(top.update.seq);
        self.symbol.append_value(symbol);
        self.ts.append_value(top.update.ts);
        self.recv_ts.append_value(top.update.recv_ts);
        self.last_id.append_option(top.update.last_id);
        let both = top.bid.zip(top.ask);
        let numbers = [
            top.bid.map(|l| l.price),
            top.bid.map(|l| l.size),
            top.ask.map(|l| l.price),
            top.ask.map(|l| l.size),
            both.map(|(bid, ask)| ask.price - bid.price),
            both.map(|(bid, ask)| f64::midpoint(bid.price, ask.price)),
            top.imbalance_5,
        ];
        for (builder, number) in self.numbers.iter_mut().zip(numbers) {
            builder.append_option(number);
        }
        self.epoch.append_value(top.epoch);
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.symbol.finish()),
            Arc::new(self.ts.finish()),
            Arc::new(self.recv_ts.finish()),
            Arc::new(self.last_id.finish()),
        ];
        columns.extend(
            self.numbers
                .iter_mut()
                .map(|b| Arc::new(b.finish()) as ArrayRef),
        );
        columns.push(Arc::new(self.epoch.finish()));
        columns
    }
}

/// Rows of `feed_events` under construction.
#[derive(Default)]
pub(super) struct EventRows {
    seq: UInt64Builder,
    symbol: StringBuilder,
    ts: TimestampNanosecondBuilder,
    recv_ts: TimestampNanosecondBuilder,
    kind: StringBuilder,
    from_id: UInt64Builder,
    to_id: UInt64Builder,
    detail: StringBuilder,
    gaps: u64,
}

impl EventRows {
    pub(super) fn push(&mut self, symbol: &str, output: &Output) {
        let (update, kind, from_id, to_id, detail) = match output {
            Output::Top(_) => return,
            Output::Gap {
                update,
                from_id,
                to_id,
                detail,
            } => {
                self.gaps += 1;
                (update, "gap", *from_id, *to_id, (*detail).to_owned())
            }
            Output::Resync { update, epoch } => {
                let detail = format!("a snapshot starts epoch {epoch} of the book");
                (update, "resync", update.last_id, update.last_id, detail)
            }
            Output::SnapshotTooOld { update, first_id } => {
                let detail = "the snapshot is older than the updates at hand reach back".to_owned();
                (
                    update,
                    "snapshot_too_old",
                    update.last_id,
                    *first_id,
                    detail,
                )
            }
        };
        self.seq.append_value(update.seq);
        self.symbol.append_value(symbol);
        self.ts.append_value(update.ts);
        self.recv_ts.append_value(update.recv_ts);
        self.kind.append_value(kind);
        self.from_id.append_option(from_id);
        self.to_id.append_option(to_id);
        self.detail.append_value(detail);
    }

    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        let seq = self.seq.finish();
        let rows = seq.len();
        let no_time = Arc::new(TimestampNanosecondArray::new_null(rows));
        vec![
            Arc::new(seq),
            Arc::new(self.symbol.finish()),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                CHANNEL, rows,
            ))),
            Arc::new(self.ts.finish()),
            Arc::new(self.recv_ts.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.from_id.finish()),
            Arc::new(self.to_id.finish()),
            no_time.clone(),
            no_time,
            Arc::new(self.detail.finish()),
        ]
    }
}
