//! The order books of a process: feeds them the deltas of each commit, keeps what they say as rows, and
//! stores their state so that the next process goes on from there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Float64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampNanosecondArray, TimestampNanosecondBuilder, UInt32Builder,
    UInt64Array, UInt64Builder,
};
use arrow::compute::concat_batches;
use duckdb::{Connection, OptionalExt, params};

use super::catalog::Table;
use super::error::{Doing, Error, Result};
use crate::book::{Book, Change, Level, Output, Side, Top, Update};
use crate::model::Sequencing;

/// What `feed_events.channel` says of events that the engine reports.
pub(super) const CHANNEL: &str = "book";

/// The books of one venue.
pub(super) struct Books {
    venue: String,
    rule: Sequencing,
    /// Where deltas are read from to take up a stored book; `None` starts every book anew.
    deltas: Option<String>,
    by_symbol: HashMap<String, Kept>,
    /// Reused from message to message.
    changes: Vec<Change>,
    out: Vec<Output>,
}

#[derive(Default)]
struct Kept {
    book: Book,
    /// Last seq applied.
    seq: u64,
    /// Since it was last stored.
    changed: bool,
}

/// What the engine said, as rows.
pub(super) struct BookRows {
    /// What `book_tops` carries.
    pub(super) tops: Vec<ArrayRef>,
    /// What `feed_events` carries.
    pub(super) events: Vec<ArrayRef>,
    pub(super) gaps: u64,
}

impl Books {
    pub(super) fn new(venue: &str, rule: Sequencing, deltas: Option<String>) -> Self {
        let (changes, out) = (Vec::new(), Vec::new());
        Self {
            venue: venue.to_owned(),
            rule,
            deltas,
            by_symbol: HashMap::new(),
            changes,
            out,
        }
    }

    /// Takes up the stored books of the symbols in `batch` that are not at hand yet.
    pub(super) fn take_up(
        &mut self,
        conn: &Connection,
        table: &Table,
        batch: &RecordBatch,
    ) -> Result<()> {
        let Some(deltas) = Deltas::of(table, batch) else {
            return Ok(());
        };
        let mut last = None;
        for symbol in deltas.symbol.iter().flatten() {
            if last != Some(symbol) {
                last = Some(symbol);
                if !self.by_symbol.contains_key(symbol) {
                    let kept = self.stored(conn, table, symbol)?;
                    self.by_symbol.insert(symbol.to_owned(), kept);
                }
            }
        }
        Ok(())
    }

    /// Applies deltas that are new: rows that `book_deltas` carries, by rising seq.
    pub(super) fn apply(&mut self, table: &Table, batch: &RecordBatch) -> BookRows {
        let mut tops = TopRows::default();
        let mut events = EventRows::default();
        if let Some(deltas) = Deltas::of(table, batch) {
            let mut start = 0;
            while start < batch.num_rows() {
                let end = deltas.end_of_message(start);
                self.message(&deltas, start..end, &mut tops, &mut events);
                start = end;
            }
        }
        BookRows {
            gaps: events.gaps,
            tops: tops.finish(),
            events: events.finish(),
        }
    }

    fn message(
        &mut self,
        deltas: &Deltas<'_>,
        rows: Range<usize>,
        tops: &mut TopRows,
        events: &mut EventRows,
    ) {
        let symbol = deltas.symbol.value(rows.start);
        let update = deltas.update(rows.start);
        self.changes.clear();
        self.changes
            .extend(rows.filter_map(|row| deltas.change(row)));
        if !self.by_symbol.contains_key(symbol) {
            self.by_symbol.insert(symbol.to_owned(), Kept::default());
        }
        let Some(kept) = self.by_symbol.get_mut(symbol) else {
            return;
        };
        kept.book
            .apply(self.rule, &update, &self.changes, &mut self.out);
        kept.seq = update.seq;
        kept.changed = true;
        for output in self.out.drain(..) {
            match &output {
                Output::Top(top) => tops.push(symbol, top),
                _ => events.push(symbol, &output),
            }
        }
    }

    /// The stored book and the deltas since then; a new one if none is stored.
    fn stored(&self, conn: &Connection, table: &Table, symbol: &str) -> Result<Kept> {
        let Some(relation) = &self.deltas else {
            return Ok(Kept::default());
        };
        let stored: Option<(u64, Vec<u8>)> = conn
            .query_row(
                "SELECT seq, state FROM ops.books WHERE venue = ? AND symbol = ?",
                params![self.venue, symbol],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .doing("reading ops.books")?;
        let mut kept = Kept::default();
        if let Some((seq, state)) = stored {
            // A state that another version of mdb stored is made again from all deltas.
            if let Ok(book) = postcard::from_bytes(&state) {
                kept = Kept {
                    book,
                    seq,
                    changed: false,
                };
            }
        }
        let sql = format!(
            "SELECT {} FROM {relation} WHERE venue = ? AND symbol = ? AND seq > ? ORDER BY seq, last_id",
            table.carried_list()
        );
        let mut statement = conn.prepare(&sql).doing("reading book deltas")?;
        let stream = statement
            .stream_arrow(params![self.venue, symbol, kept.seq])
            .doing("reading book deltas")?;
        // What the book says here has been written already.
        let mut again = Self::new(&self.venue, self.rule, None);
        again.by_symbol.insert(symbol.to_owned(), kept);
        let mut rest: Option<RecordBatch> = None;
        for batch in stream {
            let batch = batch.doing("reading book deltas")?;
            let batch = match rest.take() {
                Some(rest) => concat_batches(&batch.schema(), [&rest, &batch])?,
                None => batch,
            };
            // Messages must not be cut: the last one waits for the next batch.
            let cut = start_of_last_message(&batch);
            again.apply(table, &batch.slice(0, cut));
            rest = Some(batch.slice(cut, batch.num_rows() - cut));
        }
        if let Some(rest) = rest {
            again.apply(table, &rest);
        }
        Ok(again.by_symbol.remove(symbol).unwrap_or_default())
    }

    /// Stores the books that have changed.
    pub(super) fn store(&mut self, conn: &Connection) -> Result<()> {
        for (symbol, kept) in &mut self.by_symbol {
            if !std::mem::take(&mut kept.changed) {
                continue;
            }
            let state = postcard::to_stdvec(&kept.book).map_err(|source| Error::StoredBook {
                symbol: symbol.clone(),
                source,
            })?;
            conn.execute(
                "DELETE FROM ops.books WHERE venue = ? AND symbol = ?",
                params![self.venue, symbol],
            )
            .doing("writing ops.books")?;
            conn.execute(
                "INSERT INTO ops.books VALUES (?, ?, ?, ?)",
                params![self.venue, symbol, kept.seq, state],
            )
            .doing("writing ops.books")?;
        }
        Ok(())
    }
}

fn start_of_last_message(batch: &RecordBatch) -> usize {
    let seqs = batch
        .column(0)
        .as_any()
        .downcast_ref::<UInt64Array>()
        .map_or(&[] as &[u64], |a| a.values());
    seqs.last()
        .map_or(0, |last| seqs.partition_point(|seq| seq < last))
}

/// The columns of `book_deltas` that the engine reads.
struct Deltas<'a> {
    seq: &'a UInt64Array,
    symbol: &'a StringArray,
    ts: &'a TimestampNanosecondArray,
    recv_ts: &'a TimestampNanosecondArray,
    first_id: &'a UInt64Array,
    last_id: &'a UInt64Array,
    prev_id: &'a UInt64Array,
    is_snapshot: &'a BooleanArray,
    side: &'a StringArray,
    price: &'a Float64Array,
    size: &'a Float64Array,
}

impl<'a> Deltas<'a> {
    fn of(table: &Table, batch: &'a RecordBatch) -> Option<Self> {
        fn column<'a, A: 'static>(
            table: &Table,
            batch: &'a RecordBatch,
            name: &str,
        ) -> Option<&'a A> {
            batch.column(table.place(name)?).as_any().downcast_ref()
        }
        Some(Self {
            seq: column(table, batch, "seq")?,
            symbol: column(table, batch, "symbol")?,
            ts: column(table, batch, "ts")?,
            recv_ts: column(table, batch, "recv_ts")?,
            first_id: column(table, batch, "first_id")?,
            last_id: column(table, batch, "last_id")?,
            prev_id: column(table, batch, "prev_id")?,
            is_snapshot: column(table, batch, "is_snapshot")?,
            side: column(table, batch, "side")?,
            price: column(table, batch, "price")?,
            size: column(table, batch, "size")?,
        })
    }

    /// Rows of one message stand together and differ in their level only.
    fn end_of_message(&self, start: usize) -> usize {
        let seqs = self.seq.values();
        let message = |row: usize| {
            let (id, symbol) = (self.last_id.value(row), self.symbol.value(row));
            (seqs[row], id, self.is_snapshot.value(row), symbol)
        };
        let first = message(start);
        let same = |&row: &usize| message(row) == first;
        (start + 1..seqs.len())
            .find(|row| !same(row))
            .unwrap_or(seqs.len())
    }

    fn update(&self, row: usize) -> Update {
        let id = |array: &UInt64Array| array.is_valid(row).then(|| array.value(row));
        Update {
            seq: self.seq.value(row),
            ts: self.ts.value(row),
            recv_ts: self.recv_ts.value(row),
            first_id: id(self.first_id),
            last_id: id(self.last_id),
            prev_id: id(self.prev_id),
            is_snapshot: self.is_snapshot.value(row),
        }
    }

    /// `None` for an update without levels.
    fn change(&self, row: usize) -> Option<Change> {
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
}

/// Rows of `book_tops` under construction.
#[derive(Default)]
struct TopRows {
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
    fn push(&mut self, symbol: &str, top: &Top) {
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

    fn finish(mut self) -> Vec<ArrayRef> {
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
struct EventRows {
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
    fn push(&mut self, symbol: &str, output: &Output) {
        let (update, kind, from_id, to_id, detail) = match output {
            Output::Top(_) => return,
            Output::Gap {
                update,
                from_id,
                to_id,
                detail,
            } => {
                self.gaps += 1;
                let detail = if detail.is_empty() {
                    "updates are missing"
                } else {
                    detail
                };
                (update, "gap", *from_id, *to_id, detail.to_owned())
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

    fn finish(mut self) -> Vec<ArrayRef> {
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
