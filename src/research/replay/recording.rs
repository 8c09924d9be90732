//! What a database holds of a venue, in the order it was received, in constant memory: messages, the topics they
//! belong to, and what they do to the books.
//!
//! Rows are read in windows of `seq`. Files that were loaded one after the other may tell of the same time; each
//! such run of rows keeps its own order, and the runs are merged by receive time.

use std::collections::VecDeque;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use axum::extract::ws::Utf8Bytes;

use super::books::BookUpdate;
use super::protocol::{Protocol, Topic};
use super::{Error, Range};
use crate::book::{Level, Side, Update};
use crate::model::sql::literal;
use crate::model::{BOOK_DELTAS, RAW_MESSAGES};
use crate::query::{Session, Types};
use crate::venues::Venue;

/// Rows of raw that are read at a time; fewer where several runs are open.
const WINDOW_SEQS: u64 = 32_768;
const SMALLEST_WINDOW_SEQS: u64 = 1024;
/// A request for a book is answered within this.
const UNANSWERED: &str = "1 minute";
/// Rows whose times are looked at in one query, at the start.
const SCAN_SEQS: u64 = 1_000_000;
/// Receive times that go back this far begin another run; what goes back less is a clock that was set.
const ANOTHER_RUN_NS: i64 = 60_000_000_000;

/// A message of the recording, or an update of a book that no client sees.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) seq: u64,
    /// When it was received, ns; never before the item before it.
    pub(super) at_ns: i64,
    /// Whether it is before the time that was asked for: it only counts for the books.
    pub(super) before: bool,
    /// The message; `None` for what did not come by a WebSocket.
    pub(super) frame: Option<Utf8Bytes>,
    pub(super) topics: Vec<Topic>,
    pub(super) updates: Vec<BookUpdate>,
}

/// A venue's rows.
pub(super) struct Recording {
    session: Session,
    sql: Sql,
    range: Range,
    runs: Vec<Run>,
    /// The runs from here on have not begun.
    unopened: usize,
    frames: u64,
}

/// Rows that keep their order of `seq`.
#[derive(Debug)]
struct Run {
    next_seq: u64,
    last_seq: u64,
    start_ns: i64,
    /// Times do not go back.
    floor_ns: i64,
    items: VecDeque<Item>,
}

impl Recording {
    /// # Errors
    /// If the database refuses.
    pub(super) fn open(mut session: Session, sql: Sql, range: Range) -> Result<Self, Error> {
        let mut scan = Scan::new(sql.load_ends(&mut session)?, range);
        let (first, last) = sql.seqs(&mut session)?;
        let mut from = first;
        while from <= last {
            let to = from.saturating_add(SCAN_SEQS - 1).min(last);
            for batch in session.run(&sql.times(from, to), Types::Plain)? {
                scan.take(&batch?)?;
            }
            from = to.saturating_add(1);
        }
        let (mut runs, frames) = scan.finish();
        if let Some(range_from) = range.from_ns {
            let book_from = sql.last_snapshot_before(&mut session, range_from)?;
            for run in &mut runs {
                run.skip_to(book_from);
            }
        }
        runs.sort_by_key(Found::begins_ns);
        Ok(Self {
            session,
            sql,
            range,
            runs: runs.into_iter().map(|found| found.run).collect(),
            unopened: 0,
            frames,
        })
    }

    /// Messages from a WebSocket in the time asked for. Some may belong to no topic.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The next item, `None` at the end.
    ///
    /// # Errors
    /// If the database refuses.
    pub(super) fn next(&mut self, protocol: &Protocol) -> Result<Option<Item>, Error> {
        loop {
            let next = self.runs[..self.unopened]
                .iter()
                .enumerate()
                .filter_map(|(at, run)| Some((run.items.front()?.at_ns, at)))
                .min();
            let waiting = self.runs.get(self.unopened).map(|run| run.start_ns);
            match (next, waiting) {
                (None, None) => return Ok(None),
                (Some((at_ns, at)), waiting) if waiting.is_none_or(|start| at_ns <= start) => {
                    let item = self.runs[at].items.pop_front();
                    if self.runs[at].items.is_empty() {
                        self.fill(at, protocol)?;
                    }
                    return Ok(item);
                }
                _ => {
                    self.unopened += 1;
                    self.fill(self.unopened - 1, protocol)?;
                }
            }
        }
    }

    /// Reads on until the run has an item, or is at its end.
    fn fill(&mut self, at: usize, protocol: &Protocol) -> Result<(), Error> {
        let open = self.runs[..self.unopened]
            .iter()
            .filter(|run| !run.is_done());
        let window = (WINDOW_SEQS / open.count().max(1) as u64).max(SMALLEST_WINDOW_SEQS);
        while self.runs[at].items.is_empty() && !self.runs[at].is_done() {
            let run = &mut self.runs[at];
            let from = run.next_seq;
            let to = from.saturating_add(window - 1).min(run.last_seq);
            run.next_seq = to.saturating_add(1);
            let mut items = self
                .sql
                .window(&mut self.session, protocol, self.range, from, to)?;
            for item in &mut items {
                run.floor_ns = run.floor_ns.max(item.at_ns);
                item.at_ns = run.floor_ns;
            }
            run.items.extend(items);
        }
        Ok(())
    }
}

impl Run {
    fn is_done(&self) -> bool {
        self.next_seq > self.last_seq
    }
}

/// A run, and where the time asked for begins in it.
struct Found {
    run: Run,
    /// The first row in time, if any.
    first_in_range: Option<(u64, i64)>,
    max_ns: i64,
}

impl Found {
    fn begins_ns(&self) -> i64 {
        self.run.start_ns
    }

    /// Leaves out what neither the time asked for nor the books before it need.
    fn skip_to(&mut self, book_from: u64) {
        let in_range = self
            .first_in_range
            .map_or(self.run.last_seq, |(seq, _)| seq);
        self.run.next_seq = self.run.next_seq.max(book_from.min(in_range));
    }
}

/// Finds the runs in the rows' receive times.
struct Scan {
    range: Range,
    /// Last rows of loads, rising.
    load_ends: VecDeque<u64>,
    runs: Vec<Found>,
    frames: u64,
}

impl Scan {
    fn new(load_ends: VecDeque<u64>, range: Range) -> Self {
        Self {
            range,
            load_ends,
            runs: Vec::new(),
            frames: 0,
        }
    }

    /// Takes rows of `seq`, receive time and whether they came by a WebSocket, by rising `seq`.
    fn take(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let seqs = column::<UInt64Array>(batch, 0)?;
        let times = column::<Int64Array>(batch, 1)?;
        let sent = column::<BooleanArray>(batch, 2)?;
        for row in 0..batch.num_rows() {
            let (seq, ns) = (seqs.value(row), times.value(row));
            if self.range.is_after(ns) {
                continue;
            }
            let mut another_load = false;
            while self.load_ends.front().is_some_and(|&end| end < seq) {
                self.load_ends.pop_front();
                another_load = true;
            }
            let begins = self.runs.last().is_none_or(|run| {
                let back_ns = run.max_ns.saturating_sub(ns);
                back_ns > ANOTHER_RUN_NS || (another_load && back_ns > 0)
            });
            if begins {
                self.runs.push(Found {
                    run: Run {
                        next_seq: seq,
                        last_seq: seq,
                        start_ns: ns,
                        floor_ns: i64::MIN,
                        items: VecDeque::new(),
                    },
                    first_in_range: None,
                    max_ns: ns,
                });
            }
            let Some(run) = self.runs.last_mut() else {
                continue;
            };
            run.run.last_seq = seq;
            run.max_ns = run.max_ns.max(ns);
            if self.range.holds(ns) {
                self.frames += u64::from(sent.value(row));
                run.first_in_range = run.first_in_range.or(Some((seq, ns)));
            }
        }
        Ok(())
    }

    fn finish(self) -> (Vec<Found>, u64) {
        (self.runs, self.frames)
    }
}

/// The questions to the database.
pub(super) struct Sql {
    venue: String,
    /// Canonical tables that channels fill.
    tables: Vec<String>,
    /// What gives the rows of books, if they are wanted; see [`Sql::deltas`].
    deltas: Option<Deltas>,
    /// The book's snapshots come by REST, so that no client sees them here.
    hide_snapshots: bool,
}

/// Where books' rows come from.
enum Deltas {
    /// The canonical table.
    Table,
    /// The venue's SQL, which knows the wire's own digits; its text.
    Normalizer(String),
}

impl Sql {
    /// For a venue's rows.
    pub(super) fn new(venue: &Venue) -> Self {
        let feed = &venue.feed;
        let mut tables: Vec<String> = feed.channels.values().map(|c| c.table.clone()).collect();
        tables.sort();
        tables.dedup();
        let checksum = feed
            .book
            .as_ref()
            .is_some_and(|book| book.checksum.is_some());
        let wanted = checksum || feed.replay.as_ref().is_some_and(|r| r.snapshot.is_some());
        let file = venue.normalizers.iter().find(|f| f.name == BOOK_DELTAS);
        let deltas = match (wanted, checksum, file) {
            (false, ..) | (_, _, None) => None,
            (true, false, Some(_)) => Some(Deltas::Table),
            (true, true, Some(file)) => Some(Deltas::Normalizer(file.select().to_owned())),
        };
        Self {
            venue: literal(&venue.name),
            tables,
            deltas,
            hide_snapshots: feed
                .book
                .as_ref()
                .is_some_and(|book| book.snapshot.is_some()),
        }
    }

    /// Names of the instruments in the tables that channels fill.
    pub(super) fn symbols(&self, session: &mut Session) -> Result<Vec<String>, Error> {
        if self.tables.is_empty() {
            return Ok(Vec::new());
        }
        let parts: Vec<String> = self
            .tables
            .iter()
            .map(|table| {
                format!(
                    "SELECT DISTINCT symbol FROM \"{table}\" WHERE venue = {}",
                    self.venue
                )
            })
            .collect();
        let sql = format!("{} ORDER BY symbol", parts.join(" UNION "));
        let rows = session.strings(&sql)?;
        Ok(rows.into_iter().filter_map(|mut row| row.pop()?).collect())
    }

    /// First and last seq of the venue; an empty range if it has no row.
    fn seqs(&self, session: &mut Session) -> Result<(u64, u64), Error> {
        let sql = format!(
            "SELECT min(seq)::VARCHAR, max(seq)::VARCHAR FROM {RAW_MESSAGES} WHERE venue = {}",
            self.venue
        );
        let rows = session.strings(&sql)?;
        let number = |at: usize| rows.first()?.get(at)?.as_ref()?.parse().ok();
        Ok(number(0).zip(number(1)).unwrap_or((1, 0)))
    }

    /// Last rows of loads after which another file, or one of another symbol, was loaded.
    fn load_ends(&self, session: &mut Session) -> Result<VecDeque<u64>, Error> {
        let sql = format!(
            "SELECT last_seq::VARCHAR FROM (
                 SELECT last_seq, (source, symbol) IS DISTINCT FROM
                        lead((source, symbol)) OVER (ORDER BY last_seq) AS ends
                 FROM ops.loads WHERE venue = {} AND last_seq IS NOT NULL)
             WHERE ends ORDER BY last_seq",
            self.venue
        );
        let rows = session.strings(&sql)?;
        let numbers = rows
            .into_iter()
            .filter_map(|mut row| row.pop()??.parse().ok());
        Ok(numbers.collect())
    }

    fn times(&self, from: u64, to: u64) -> String {
        format!(
            "SELECT seq, epoch_ns(recv_ts), coalesce(channel = 'capture' OR starts_with(channel, 'ws/'), false)
             FROM {RAW_MESSAGES} WHERE venue = {} AND seq >= {from} AND seq <= {to} ORDER BY seq",
            self.venue
        )
    }

    /// From which seq on the books at `ns` can be made: from the oldest of the last snapshots before, and from the
    /// updates before it that it may join. A snapshot that is requested is behind the updates that come meanwhile.
    fn last_snapshot_before(&self, session: &mut Session, ns: i64) -> Result<u64, Error> {
        if self.deltas.is_none() {
            return Ok(u64::MAX);
        }
        let sql = format!(
            "SELECT min(d.seq)::VARCHAR FROM {BOOK_DELTAS} d JOIN (
                 SELECT symbol, max(seq) AS seq, max(recv_ts) AS recv_ts FROM {BOOK_DELTAS}
                 WHERE venue = {venue} AND is_snapshot AND recv_ts < make_timestamp_ns({ns}) GROUP BY symbol) s
             ON d.symbol = s.symbol AND d.seq <= s.seq AND d.recv_ts >= s.recv_ts - INTERVAL '{UNANSWERED}'
             WHERE d.venue = {venue}",
            venue = self.venue
        );
        let mut rows = session.strings(&sql)?;
        let found = rows.pop().and_then(|mut row| row.pop()?);
        Ok(found.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
    }

    /// The items of a window: messages with their topics, and the books' updates.
    fn window(
        &self,
        session: &mut Session,
        protocol: &Protocol,
        range: Range,
        from: u64,
        to: u64,
    ) -> Result<Vec<Item>, Error> {
        let sql = format!(
            "SELECT seq, epoch_ns(recv_ts), coalesce(channel = 'capture' OR starts_with(channel, 'ws/'), false), payload
             FROM {RAW_MESSAGES} WHERE venue = {} AND seq >= {from} AND seq <= {to} ORDER BY seq",
            self.venue
        );
        let mut items: Vec<Item> = Vec::new();
        let (mut min_ns, mut max_ns) = (i64::MAX, i64::MIN);
        for batch in session.run(&sql, Types::Plain)? {
            let batch = batch?;
            let seqs = column::<UInt64Array>(&batch, 0)?;
            let times = column::<Int64Array>(&batch, 1)?;
            let sent = column::<BooleanArray>(&batch, 2)?;
            let payloads = column::<StringArray>(&batch, 3)?;
            for row in 0..batch.num_rows() {
                let ns = times.value(row);
                if range.is_after(ns) {
                    continue;
                }
                let before = !range.holds(ns);
                (min_ns, max_ns) = (min_ns.min(ns), max_ns.max(ns));
                let frame = sent.value(row) && !before;
                items.push(Item {
                    seq: seqs.value(row),
                    at_ns: ns,
                    before,
                    frame: frame.then(|| Utf8Bytes::from(payloads.value(row).to_owned())),
                    topics: Vec::new(),
                    updates: Vec::new(),
                });
            }
        }
        if items.is_empty() {
            return Ok(items);
        }
        // The receive time is in every table, and sealed files are sorted by time: few of their rows are read.
        let within = format!(
            "venue = {} AND seq >= {from} AND seq <= {to}
             AND recv_ts >= make_timestamp_ns({min_ns}) AND recv_ts <= make_timestamp_ns({max_ns})",
            self.venue
        );
        for table in &self.tables {
            self.find_topics(session, protocol, table, &within, &mut items)?;
        }
        if let Some(deltas) = &self.deltas {
            let sql = Self::deltas(deltas, &self.venue, &within);
            read_updates(session, protocol, &sql, &mut items)?;
        }
        for item in &mut items {
            if item.topics.is_empty() {
                item.frame = None;
            }
        }
        items.retain(|item| item.frame.is_some() || !item.updates.is_empty());
        Ok(items)
    }

    fn find_topics(
        &self,
        session: &mut Session,
        protocol: &Protocol,
        table: &str,
        within: &str,
        items: &mut [Item],
    ) -> Result<(), Error> {
        let shown = if table == BOOK_DELTAS && self.hide_snapshots {
            " AND NOT is_snapshot"
        } else {
            ""
        };
        let sql = format!(
            "SELECT DISTINCT seq, symbol FROM \"{table}\" WHERE {within}{shown} ORDER BY seq, symbol"
        );
        let mut at = 0;
        for batch in session.run(&sql, Types::Plain)? {
            let batch = batch?;
            let seqs = column::<UInt64Array>(&batch, 0)?;
            let symbols = column::<StringArray>(&batch, 1)?;
            for row in 0..batch.num_rows() {
                let Some(item) = find(items, &mut at, seqs.value(row)) else {
                    continue;
                };
                if let (Some(symbol), Some(frame)) =
                    (protocol.symbol(symbols.value(row)), &item.frame)
                {
                    protocol.topics(table, symbol, frame, &mut item.topics);
                }
            }
        }
        Ok(())
    }

    /// Rows of books with the columns that [`read_updates`] reads, in the order of seq.
    fn deltas(source: &Deltas, venue: &str, within: &str) -> String {
        const COLUMNS: &str = "seq::UBIGINT AS seq, symbol::VARCHAR AS symbol, epoch_ns(ts::TIMESTAMP_NS) AS ts, \
             epoch_ns(recv_ts::TIMESTAMP_NS) AS recv_ts, first_id::UBIGINT AS first_id, last_id::UBIGINT AS last_id, \
             prev_id::UBIGINT AS prev_id, is_snapshot::BOOLEAN AS is_snapshot, side::VARCHAR AS side, \
             price::DOUBLE AS price, size::DOUBLE AS size";
        match source {
            Deltas::Table => format!(
                "SELECT {COLUMNS}, checksum, NULL::VARCHAR, NULL::VARCHAR FROM {BOOK_DELTAS} WHERE {within} ORDER BY seq"
            ),
            // Only messages that gave rows: a copy of one gave none, and one that the SQL fails on neither.
            Deltas::Normalizer(text) => format!(
                "WITH raw AS (
                     SELECT seq, recv_ts, {venue} AS venue, channel, symbol, payload FROM {RAW_MESSAGES}
                     WHERE {within} AND seq IN (SELECT seq FROM {BOOK_DELTAS} WHERE {within})),
                 -- What the file may leave out.
                 missing AS (
                     SELECT NULL AS first_id, NULL AS last_id, NULL AS prev_id, NULL AS is_snapshot, NULL AS checksum,
                            NULL AS price_text, NULL AS size_text
                     WHERE false)
                 SELECT {COLUMNS}, checksum::BIGINT, price_text::VARCHAR, size_text::VARCHAR
                 FROM (SELECT * FROM (\n{text}\n) UNION ALL BY NAME SELECT * FROM missing) ORDER BY seq"
            ),
        }
    }

    /// The first whole book of a symbol after `seq`, for a client that asks before the recording has one: under a
    /// rule with ids, updates that it holds already are passed over.
    pub(super) fn next_snapshot(
        &self,
        session: &mut Session,
        protocol: &Protocol,
        symbol: &str,
        seq: u64,
    ) -> Result<Option<BookUpdate>, Error> {
        let Some(deltas) = &self.deltas else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT seq::VARCHAR, epoch_ns(recv_ts)::VARCHAR FROM {BOOK_DELTAS}
             WHERE venue = {} AND symbol = {} AND is_snapshot AND seq > {seq} ORDER BY seq LIMIT 1",
            self.venue,
            literal(symbol)
        );
        let row = session.strings(&sql)?.pop().unwrap_or_default();
        let [Some(seq), Some(ns)] = row.as_slice() else {
            return Ok(None);
        };
        let ns: i64 = ns.parse().unwrap_or_default();
        let mut items = vec![Item {
            seq: seq.parse().unwrap_or_default(),
            at_ns: ns,
            before: true,
            frame: None,
            topics: Vec::new(),
            updates: Vec::new(),
        }];
        let within = format!(
            "venue = {} AND seq = {seq} AND recv_ts = make_timestamp_ns({ns})",
            self.venue
        );
        let sql = Self::deltas(deltas, &self.venue, &within);
        read_updates(session, protocol, &sql, &mut items)?;
        let wanted = protocol.symbol(symbol);
        let updates = items.pop().map(|item| item.updates).unwrap_or_default();
        Ok(updates
            .into_iter()
            .find(|update| Some(update.symbol) == wanted && update.update.is_snapshot))
    }
}

/// The item of a seq; `at` is where the last one was found. Both rise.
fn find<'i>(items: &'i mut [Item], at: &mut usize, seq: u64) -> Option<&'i mut Item> {
    *at += items[*at..].partition_point(|item| item.seq < seq);
    items.get_mut(*at).filter(|item| item.seq == seq)
}

/// Adds the books' updates to the items they came from.
fn read_updates(
    session: &mut Session,
    protocol: &Protocol,
    sql: &str,
    items: &mut [Item],
) -> Result<(), Error> {
    let mut at = 0;
    for batch in session.run(sql, Types::Plain)? {
        let batch = batch?;
        let rows = DeltaRows::new(&batch)?;
        for row in 0..batch.num_rows() {
            let Some(item) = find(items, &mut at, rows.seq.value(row)) else {
                continue;
            };
            let Some(symbol) = protocol.symbol(rows.symbol.value(row)) else {
                continue;
            };
            let update = rows.update(row);
            // Rows of one message about one book are one update.
            let same = item
                .updates
                .iter_mut()
                .rfind(|known| known.symbol == symbol)
                .filter(|known| known.update == update);
            let known = if let Some(known) = same {
                known
            } else {
                item.updates.push(BookUpdate {
                    symbol,
                    update,
                    changes: Vec::new(),
                    digits: Vec::new(),
                    checksum: value(rows.checksum, row).copied(),
                });
                let Some(new) = item.updates.last_mut() else {
                    continue;
                };
                new
            };
            rows.add_level(row, known);
        }
    }
    Ok(())
}

/// The columns of a batch of books' rows.
struct DeltaRows<'b> {
    seq: &'b UInt64Array,
    symbol: &'b StringArray,
    ts: &'b Int64Array,
    recv_ts: &'b Int64Array,
    ids: [&'b UInt64Array; 3],
    is_snapshot: &'b BooleanArray,
    side: &'b StringArray,
    numbers: [&'b arrow::array::Float64Array; 2],
    checksum: &'b Int64Array,
    texts: [&'b StringArray; 2],
}

impl<'b> DeltaRows<'b> {
    fn new(batch: &'b RecordBatch) -> Result<Self, Error> {
        Ok(Self {
            seq: column(batch, 0)?,
            symbol: column(batch, 1)?,
            ts: column(batch, 2)?,
            recv_ts: column(batch, 3)?,
            ids: [column(batch, 4)?, column(batch, 5)?, column(batch, 6)?],
            is_snapshot: column(batch, 7)?,
            side: column(batch, 8)?,
            numbers: [column(batch, 9)?, column(batch, 10)?],
            checksum: column(batch, 11)?,
            texts: [column(batch, 12)?, column(batch, 13)?],
        })
    }

    fn update(&self, row: usize) -> Update {
        let id = |at: usize| self.ids[at].is_valid(row).then(|| self.ids[at].value(row));
        Update {
            seq: self.seq.value(row),
            ts: self.ts.value(row),
            recv_ts: self.recv_ts.value(row),
            first_id: id(0),
            last_id: id(1),
            prev_id: id(2),
            is_snapshot: self.is_snapshot.value(row),
            checksum: None,
            depth: None,
        }
    }

    /// Adds the row's level, if it has one.
    fn add_level(&self, row: usize, to: &mut BookUpdate) {
        if self.side.is_null(row) || self.numbers.iter().any(|n| n.is_null(row)) {
            return;
        }
        let which = match self.side.value(row) {
            "bid" => Side::Bid,
            _ => Side::Ask,
        };
        let [price, size] = self.numbers.map(|n| n.value(row));
        to.changes.push((which, Level { price, size }));
        if self.texts.iter().all(|t| t.is_valid(row)) {
            let [price, size] = self.texts.map(|t| t.value(row).into());
            to.digits.push((price, size));
        }
    }
}

fn value(column: &Int64Array, row: usize) -> Option<&i64> {
    column.is_valid(row).then(|| &column.values()[row])
}

/// A column of a query's result, as the query's text says that it is.
fn column<A: 'static>(batch: &RecordBatch, at: usize) -> Result<&A, Error> {
    let column: &ArrayRef = batch.column(at);
    column.as_any().downcast_ref().ok_or_else(|| Error::Column {
        at,
        found: column.data_type().to_string(),
    })
}
