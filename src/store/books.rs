//! Books between the tables: deltas that are new go to the engine, what it says becomes rows of
//! `book_tops` and `feed_events`, and `ops.books` stores their state so that the next process goes on from
//! there.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use duckdb::{Connection, OptionalExt, params};

use super::book_rows::{BookRows, EventRows, TopRows};
use super::catalog::{Catalog, Table};
use super::deltas::Deltas;
use super::error::{Doing, Error, Result};
use super::normalize::{MALFORMED, Normalizers};
use super::raw::{self, DeadLetter, RawBatch};
use crate::book::{Book, Change, Changes, Digits, Output, Rules, Update};
use crate::model::{BOOK_DELTAS, BOOK_TOPS, RAW_MESSAGES, Sequencing};
use crate::venues::Venue;

/// The books of one venue.
pub(super) struct Books {
    venue: String,
    rules: Rules,
    /// Where a stored book is taken up from; `None` starts every book anew.
    past: Option<Past>,
    /// The symbols that there were rows of before; `None` until somebody asks.
    known: Option<HashSet<String>>,
    by_symbol: HashMap<String, Kept>,
    /// By rising seq, as far as no message has come after them.
    breaches: VecDeque<Breach>,
    /// Books that came into sync or lost it since somebody asked, and why they lost it.
    turned: BTreeMap<String, Option<&'static str>>,
    /// Reused from message to message.
    changes: Vec<Change>,
    digits: Vec<Digits>,
    out: Vec<Output>,
}

#[derive(Default)]
struct Kept {
    book: Book,
    /// Last seq applied.
    seq: u64,
    /// Since it was last stored.
    changed: bool,
    /// What `turned` was last told of it.
    told_in_sync: Option<bool>,
}

/// Something that a book cannot be trusted after, and that no later message would show.
struct Breach {
    /// The message that could not be read; 0 if it is not about one.
    seq: u64,
    recv_ns: Option<i64>,
    /// Whose book; every one if it is not known.
    symbol: Option<String>,
    why: &'static str,
}

/// So many breaches without a message after them become one of all books.
const MAX_BREACHES: usize = 1024;

/// What earlier processes left.
pub(super) struct Past {
    pub(super) venue: Venue,
    pub(super) catalog: Arc<Catalog>,
    /// So many messages later than a book was stored, what came since is not replayed: it waits for a snapshot.
    pub(super) most: Option<u64>,
}

/// A book that came into sync, or lost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// The instrument.
    pub(super) symbol: String,
    /// Why the book needs a snapshot; `None` if it is in sync.
    pub(super) needs_snapshot: Option<&'static str>,
}

/// What is meant for another table is none, nor is a message that only nobody knows.
fn may_be_an_update(letter: &DeadLetter) -> bool {
    match letter.target.as_deref() {
        Some(table) => table == BOOK_DELTAS,
        None => letter.reason == MALFORMED,
    }
}

impl Books {
    pub(super) fn new(venue: &str, rules: Rules, past: Option<Past>) -> Self {
        Self {
            venue: venue.to_owned(),
            rules,
            past,
            known: None,
            by_symbol: HashMap::new(),
            breaches: VecDeque::new(),
            turned: BTreeMap::new(),
            changes: Vec::new(),
            digits: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Goes on by other rules: what the books said by the old ones may be wrong.
    pub(super) fn change(&mut self, rules: Rules, past: Option<Past>) {
        self.past = past;
        if self.rules != rules {
            self.rules = rules;
            self.breaches.push_front(Breach {
                seq: 0,
                recv_ns: None,
                symbol: None,
                why: "the rules of the venue's books have changed",
            });
        }
    }

    /// Is told of messages that became dead letters, `all` those of a batch or some, before the others of their batch are
    /// applied. Where neither numbers nor checksums would show that an update is missing, the books are lost.
    pub(super) fn refused(&mut self, dead: &[DeadLetter], all: bool) {
        if self.rules.sequencing != Sequencing::None || self.rules.checksum.is_some() {
            return;
        }
        if self.breaches.len() > MAX_BREACHES {
            self.breaches.truncate(1);
            self.breaches[0].symbol = None;
        }
        let breaches = dead
            .iter()
            .filter(|letter| all || may_be_an_update(letter))
            .filter_map(|letter| {
                Some(Breach {
                    seq: letter.seq?,
                    recv_ns: letter.recv_ns,
                    symbol: letter.symbol.clone(),
                    why: "an update could not be read",
                })
            });
        self.breaches.extend(breaches);
    }

    /// Loses the books that what came before `update` was about.
    fn breach(&mut self, update: &Update, events: &mut EventRows) {
        while let Some(breach) = self.breaches.pop_front_if(|breach| breach.seq < update.seq) {
            let books = self.by_symbol.iter_mut();
            for (symbol, kept) in
                books.filter(|(s, _)| breach.symbol.as_ref().is_none_or(|b| b == *s))
            {
                let at = breach.recv_ns;
                let lost = Update {
                    seq: breach.seq.max(kept.seq),
                    ts: at.unwrap_or(update.ts),
                    recv_ts: at.unwrap_or(update.recv_ts),
                    first_id: None,
                    last_id: None,
                    prev_id: None,
                    is_snapshot: false,
                    checksum: None,
                    depth: None,
                };
                kept.book.distrust(&lost, breach.why, &mut self.out);
                for output in self.out.drain(..) {
                    events.push(symbol, &output);
                    kept.changed = true;
                    kept.told_in_sync = Some(false);
                    self.turned.insert(symbol.clone(), Some(breach.why));
                }
            }
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
                    // To look for each that is new takes as long as all there is.
                    let kept = if self.is_known(conn, symbol)? {
                        self.stored(conn, table, symbol, deltas.first_seq())?
                    } else {
                        let kept = Kept::default();
                        if self.past.as_ref().is_some_and(|past| past.most.is_some()) {
                            // So that a crash leaves it known.
                            store(conn, &self.venue, symbol, &kept)?;
                        }
                        kept
                    };
                    self.by_symbol.insert(symbol.to_owned(), kept);
                }
            }
        }
        Ok(())
    }

    /// Applies deltas that are new: rows that `book_deltas` carries, by rising seq, with the columns that
    /// only the engine sees.
    pub(super) fn apply(&mut self, table: &Table, batch: &RecordBatch) -> BookRows {
        let mut tops = TopRows::default();
        let mut events = EventRows::default();
        let mut checksums = 0;
        if let Some(deltas) = Deltas::of(table, batch) {
            let mut start = 0;
            while start < deltas.len() {
                let end = deltas.end_of_message(start);
                checksums += self.message(&deltas, start..end, &mut tops, &mut events);
                start = end;
            }
        }
        BookRows {
            gaps: events.gaps(),
            checksums,
            tops: tops.finish(),
            events: events.finish(),
        }
    }

    /// Returns how many checksums were right.
    fn message(
        &mut self,
        deltas: &Deltas<'_>,
        rows: Range<usize>,
        tops: &mut TopRows,
        events: &mut EventRows,
    ) -> u64 {
        let symbol = deltas.symbol.value(rows.start);
        let update = deltas.update(&rows);
        if !self.breaches.is_empty() {
            self.breach(&update, events);
        }
        self.changes.clear();
        self.digits.clear();
        if let Some(checksum) = &self.rules.checksum {
            for row in rows {
                if let Some(change) = deltas.change(row) {
                    self.changes.push(change);
                    self.digits.push(deltas.digits(checksum, row));
                }
            }
        } else {
            self.changes
                .extend(rows.filter_map(|row| deltas.change(row)));
        }
        if !self.by_symbol.contains_key(symbol) {
            self.by_symbol.insert(symbol.to_owned(), Kept::default());
        }
        let Some(kept) = self.by_symbol.get_mut(symbol) else {
            return 0;
        };
        let before = kept.book.checksums();
        let changes = Changes {
            levels: &self.changes,
            digits: &self.digits,
        };
        kept.book
            .apply(&self.rules, &update, changes, &mut self.out);
        kept.seq = update.seq;
        kept.changed = true;
        let mut why = "no snapshot has come yet";
        for output in self.out.drain(..) {
            match &output {
                Output::Top(top) => tops.push(symbol, top),
                _ => events.push(symbol, &output),
            }
            match output {
                Output::Gap { detail, .. } => why = detail,
                Output::SnapshotTooOld { .. } => {
                    why = "the snapshot is too old";
                    kept.told_in_sync = None;
                }
                Output::Top(_) | Output::Resync { .. } => {}
            }
        }
        let in_sync = kept.book.in_sync();
        if kept.told_in_sync != Some(in_sync) {
            kept.told_in_sync = Some(in_sync);
            self.turned
                .insert(symbol.to_owned(), (!in_sync).then_some(why));
        }
        kept.book.checksums() - before
    }

    /// The books that came into sync or lost it since the last call. One that needs yet another snapshot
    /// is among them again.
    pub(super) fn take_turns(&mut self) -> impl Iterator<Item = Turn> + use<> {
        std::mem::take(&mut self.turned)
            .into_iter()
            .map(|(symbol, needs_snapshot)| Turn {
                symbol,
                needs_snapshot,
            })
    }

    fn is_known(&mut self, conn: &Connection, symbol: &str) -> Result<bool> {
        let Some(past) = &self.past else {
            return Ok(false);
        };
        let all = format!("UNION SELECT DISTINCT symbol FROM main.{BOOK_DELTAS} WHERE venue = $1");
        // Of those that are not replayed in any case each is stored when it is first seen.
        let rest = if past.most.is_some() { "" } else { &all };
        let known = match self.known.take() {
            Some(known) => known,
            None => conn
                .prepare(&format!(
                    "SELECT symbol FROM ops.books WHERE venue = $1 {rest}"
                ))
                .and_then(|mut statement| {
                    statement
                        .query_map([&self.venue], |row| row.get(0))?
                        .collect()
                })
                .doing("reading ops.books")?,
        };
        Ok(self.known.insert(known).contains(symbol))
    }

    /// The stored book and what came between then and `now`; a new one if none is stored.
    fn stored(&self, conn: &Connection, table: &Table, symbol: &str, now: u64) -> Result<Kept> {
        let Some(past) = &self.past else {
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
                kept.book = book;
                kept.seq = seq;
            }
        }
        if past
            .most
            .is_some_and(|most| now.saturating_sub(kept.seq) > most)
        {
            kept.book = resumed(conn, &self.venue, symbol, &kept)?;
            return Ok(kept);
        }
        // What the book says here has been written already.
        let mut again = Self::new(&self.venue, self.rules.clone(), None);
        let since = kept.seq;
        again.by_symbol.insert(symbol.to_owned(), kept);
        let whole = if self.rules.checksum.is_some() {
            again.read_raw(conn, past, symbol, since)?
        } else {
            again.read_deltas(conn, table, symbol, since)?;
            true
        };
        let kept = again.by_symbol.remove(symbol).filter(|_| whole);
        let mut kept = kept.unwrap_or_default();
        kept.told_in_sync = None;
        Ok(kept)
    }

    /// Applies what `book_deltas` holds of a symbol after `since`.
    fn read_deltas(
        &mut self,
        conn: &Connection,
        table: &Table,
        symbol: &str,
        since: u64,
    ) -> Result<()> {
        let sql = format!(
            "SELECT {} FROM main.{BOOK_DELTAS} WHERE venue = ? AND symbol = ? AND seq > ?
             ORDER BY seq, ts, last_id NULLS FIRST",
            table.carried_list()
        );
        let mut statement = conn.prepare(&sql).doing("reading book deltas")?;
        let stream = statement
            .stream_arrow(params![self.venue, symbol, since])
            .doing("reading book deltas")?;
        let mut rest: Option<RecordBatch> = None;
        for batch in stream {
            let batch = batch.doing("reading book deltas")?;
            let batch = match rest.take() {
                Some(rest) => concat_batches(&batch.schema(), [&rest, &batch])?,
                None => batch,
            };
            // Messages must not be cut: the last one waits for the next batch.
            let cut = start_of_last_message(&batch);
            self.apply(table, &batch.slice(0, cut));
            rest = Some(batch.slice(cut, batch.num_rows() - cut));
        }
        if let Some(rest) = rest {
            self.apply(table, &rest);
        }
        Ok(())
    }

    /// The same from the raw messages, for books that need what the table does not store: the wire's own
    /// digits. False if not all messages are there any more.
    fn read_raw(
        &mut self,
        conn: &Connection,
        past: &Past,
        symbol: &str,
        since: u64,
    ) -> Result<bool> {
        let doing = "reading the raw messages of a book";
        let seqs = format!(
            "SELECT DISTINCT seq FROM main.{BOOK_DELTAS} WHERE venue = $1 AND symbol = $2 AND seq > $3"
        );
        let wanted: usize = conn
            .query_row(
                &format!("SELECT count(*) FROM ({seqs})"),
                params![self.venue, symbol, since],
                |row| row.get(0),
            )
            .doing(doing)?;
        if wanted == 0 {
            return Ok(true);
        }
        let only = [BOOK_DELTAS.to_owned()];
        let own = vec![conn.try_clone().doing("opening a connection")?];
        let mut normalizers = Normalizers::new(own, &past.venue, &past.catalog, Some(&only))?;
        let mut statement = conn
            .prepare(&format!(
                "SELECT seq, recv_ts, channel, symbol, payload FROM main.{RAW_MESSAGES}
                 WHERE venue = $1 AND seq IN ({seqs}) ORDER BY seq"
            ))
            .doing(doing)?;
        let stream = statement
            .stream_arrow(params![self.venue, symbol, since])
            .doing(doing)?;
        let mut found = 0;
        for batch in stream {
            let columns = batch.doing(doing)?.columns().to_vec();
            let rows = RecordBatch::try_new(raw::schema(), columns)?;
            found += rows.num_rows();
            let venue = self.venue.clone();
            for made in normalizers.run(RawBatch { venue, rows })?.tables {
                self.apply(&made.table, &made.batch);
            }
        }
        Ok(found == wanted)
    }

    /// Stores the books that have changed.
    pub(super) fn store(&mut self, conn: &Connection) -> Result<()> {
        for (symbol, kept) in &mut self.by_symbol {
            if std::mem::take(&mut kept.changed) {
                store(conn, &self.venue, symbol, kept)?;
            }
        }
        Ok(())
    }
}

fn store(conn: &Connection, venue: &str, symbol: &str, kept: &Kept) -> Result<()> {
    let state = postcard::to_stdvec(&kept.book).map_err(|source| Error::StoredBook {
        symbol: symbol.to_owned(),
        source,
    })?;
    conn.execute(
        "DELETE FROM ops.books WHERE venue = ? AND symbol = ?",
        params![venue, symbol],
    )
    .and_then(|_| {
        conn.execute(
            "INSERT INTO ops.books VALUES (?, ?, ?, ?)",
            params![venue, symbol, kept.seq, state],
        )
    })
    .doing("writing ops.books")
    .map(|_| ())
}

/// A stored book after messages that are not replayed.
fn resumed(conn: &Connection, venue: &str, symbol: &str, kept: &Kept) -> Result<Book> {
    let since = params![venue, symbol, kept.seq];
    let last = format!(
        "SELECT last_id, epoch_ns(ts) FROM main.{BOOK_DELTAS} WHERE venue = ? AND symbol = ? AND seq > ?
         ORDER BY seq DESC, last_id DESC LIMIT 1"
    );
    let epoch = format!(
        "SELECT coalesce(max(epoch), 0) FROM main.{BOOK_TOPS} WHERE venue = ? AND symbol = ? AND seq > ?"
    );
    let doing = "reading the last update of a book";
    let last: Option<(Option<u64>, i64)> = conn
        .query_row(&last, since, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .doing(doing)?;
    let Some((last_id, last_ts)) = last else {
        // The messages since were others': it is as it was stored.
        return Ok(kept.book.clone());
    };
    let epoch = conn
        .query_row(&epoch, since, |row| row.get(0))
        .doing(doing)?;
    Ok(kept.book.resumed(epoch, last_id, last_ts))
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

#[cfg(test)]
mod tests;
