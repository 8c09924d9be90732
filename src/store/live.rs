//! Live capture: what arrived while the last commit was under way becomes the next one.
//!
//! Two threads and a place for one batch between them: the front numbers and normalizes, the writer inserts and
//! commits. While idle a message is committed at once; under load batches grow by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use duckdb::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Store;
use super::catalog::Catalog;
use super::error::{At, Doing, Error, Result};
use super::normalize::{Derived, Normalizers};
use super::raw::RawBatch;
use super::writer::{Writer, Written};
use crate::model::frame::{FeedEvent, Frame, Message};
use crate::sources::capture::Batch;
use crate::sqltree::SqlTree;
use crate::venues::{self, Venue};

/// Messages that one batch takes at most.
const MAX_FRAMES: usize = 16_384;
/// Raw that one commit takes at most.
const MAX_COMMIT_BYTES: usize = 8 << 20;

/// What the live writer is asked to do besides.
#[derive(Debug)]
pub enum Order {
    /// Work by a changed SQL tree from now on. The answer says what is wrong with it; everything stays as it was then.
    Tree(Box<SqlTree>, oneshot::Sender<Result<()>>),
    /// Write a part of a file.
    File(Box<FilePart>),
}

/// Messages of a file of the inbox.
#[derive(Debug)]
pub struct FilePart {
    /// The venue whose messages they are.
    pub venue: Arc<str>,
    /// The instrument, for messages that do not name it.
    pub symbol: Option<String>,
    /// The file.
    pub source: String,
    /// The messages.
    pub batch: Batch,
    /// Told once they are committed.
    pub done: oneshot::Sender<Result<Written>>,
}

/// What a commit held.
#[derive(Debug, Default)]
pub struct Commit {
    /// Rows.
    pub written: Written,
    /// The newest row of each venue, table and symbol in it.
    pub seen: Vec<Seen>,
    /// Books that fell out of step or came back to it.
    pub books: Vec<BookState>,
    /// How long the commit took, from its first row to durable.
    pub took: Duration,
}

/// The newest row of a table for a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The venue.
    pub venue: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// The instrument.
    pub symbol: String,
    /// The venue's time, ns.
    pub ts: i64,
    /// When it was received, ns.
    pub recv_ns: i64,
    /// Rows in the commit.
    pub rows: u64,
    /// Its `trade_id`, of trades that have one.
    pub trade_id: Option<String>,
}

/// Whether a book can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookState {
    /// The venue.
    pub venue: Arc<str>,
    /// The instrument.
    pub symbol: String,
    /// Whether it is proven to be the venue's.
    pub in_sync: bool,
}

impl Store {
    /// Writes what comes in until the other ends of both queues are closed; all of it is committed then. `told` hears
    /// of every commit, on this thread.
    ///
    /// # Errors
    /// If the database refuses. What was committed stays.
    pub fn live(
        &mut self,
        messages: mpsc::Receiver<Message>,
        orders: mpsc::Receiver<Order>,
        mut told: impl FnMut(Commit),
    ) -> Result<()> {
        let mut writer = Writer::live(
            self.clone_connection()?,
            self.clone_connection()?,
            Arc::clone(&self.catalog),
        )?;
        let mut front = Front {
            store: self.clone_connection()?,
            threads: self.threads,
            tree: self.tree.clone(),
            catalog: Arc::clone(&self.catalog),
            venues: HashMap::new(),
            next_seq: self.next_seq()?,
        };
        let waits = tokio::runtime::Builder::new_current_thread()
            .build()
            .at("start waiting in", &self.dir)?;
        std::thread::scope(|scope| {
            let (to, from) = sync_channel(1);
            let front = scope.spawn(move || waits.block_on(front.run(messages, orders, &to)));
            let written = write(&mut writer, &from, &mut told);
            // Whoever still waits for a place learns that there will be none.
            drop(from);
            written.and(front.join().map_err(|_| Error::Panicked)?)
        })?;
        writer.store_books()
    }
}

/// What the front hands to the writer.
enum Item {
    Venue(Box<Venue>, Vec<String>),
    Rows(Box<Rows>),
}

/// Messages, what was made of them, and what happened beside them.
#[derive(Default)]
struct Rows {
    derived: Vec<Derived>,
    events: Vec<FeedEvent>,
    seen: Vec<Seen>,
    done: Option<oneshot::Sender<Result<Written>>>,
}

/// Numbers and normalizes what comes in.
struct Front {
    store: Connection,
    threads: usize,
    tree: SqlTree,
    catalog: Arc<Catalog>,
    venues: HashMap<Arc<str>, Normalizers>,
    next_seq: u64,
}

/// Frames by venue, in the order of arrival.
#[derive(Default)]
struct Waiting {
    frames: Vec<(Arc<str>, Vec<Frame>)>,
    events: Vec<FeedEvent>,
}

impl Waiting {
    fn push(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.events.push(event),
            Message::Frame(frame) => {
                match self.frames.iter_mut().find(|(v, _)| *v == frame.venue) {
                    Some((_, frames)) => frames.push(frame),
                    None => self.frames.push((Arc::clone(&frame.venue), vec![frame])),
                }
            }
        }
    }
}

impl Front {
    /// Until both queues are closed.
    async fn run(
        &mut self,
        mut messages: mpsc::Receiver<Message>,
        mut orders: mpsc::Receiver<Order>,
        to: &SyncSender<Item>,
    ) -> Result<()> {
        let (mut flowing, mut ordering) = (true, true);
        let mut received = Vec::new();
        while flowing || ordering {
            tokio::select! {
                count = messages.recv_many(&mut received, MAX_FRAMES), if flowing => flowing = count > 0,
                order = orders.recv(), if ordering => match order {
                    None => ordering = false,
                    // Nobody may be waiting for the answer any more.
                    Some(Order::Tree(tree, answer)) => drop(answer.send(self.reload(*tree))),
                    Some(Order::File(part)) => {
                        let rows = self.file(*part, to)?;
                        if to.send(Item::Rows(Box::new(rows))).is_err() {
                            break;
                        }
                    }
                },
            }
            if received.is_empty() {
                continue;
            }
            let mut waiting = Waiting::default();
            received.drain(..).for_each(|message| waiting.push(message));
            let rows = self.rows(waiting, to)?;
            if to.send(Item::Rows(Box::new(rows))).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn rows(&mut self, waiting: Waiting, to: &SyncSender<Item>) -> Result<Rows> {
        let mut rows = Rows {
            events: waiting.events,
            ..Rows::default()
        };
        for (venue, frames) in waiting.frames {
            let raw = RawBatch::of_frames(self.next_seq, &venue, &frames)?;
            self.next_seq += raw.seqs().len() as u64;
            let derived = self.derive(&venue, raw, to)?;
            see(&venue, &derived, &mut rows.seen);
            rows.derived.push(derived);
        }
        Ok(rows)
    }

    fn derive(
        &mut self,
        venue: &Arc<str>,
        raw: RawBatch,
        to: &SyncSender<Item>,
    ) -> Result<Derived> {
        if !self.venues.contains_key(venue) {
            let (normalizers, opened) = self.open(&self.tree, venue)?;
            self.venues.insert(Arc::clone(venue), normalizers);
            // If the writer has ended, sending the rows says so.
            let _ = to.send(opened);
        }
        let Some(normalizers) = self.venues.get_mut(venue) else {
            return Err(Error::Panicked);
        };
        let kept = raw.clone();
        // Whatever is wrong with the SQL, raw is the truth, and a rebuild makes the rest of it.
        Ok(normalizers
            .run(raw)
            .unwrap_or_else(|error| Derived::refused(kept, &error.to_string())))
    }

    fn open(&self, tree: &SqlTree, venue: &str) -> Result<(Normalizers, Item)> {
        let venue = venues::load(tree, venue)?;
        let conns = (0..self.threads.clamp(1, 2))
            .map(|_| self.store.try_clone().doing("opening a connection"))
            .collect::<Result<Vec<_>>>()?;
        let normalizers = Normalizers::new(conns, &venue, &self.catalog, None)?;
        let tables = normalizers.tables().map(str::to_owned).collect();
        Ok((normalizers, Item::Venue(Box::new(venue), tables)))
    }

    /// Takes up a changed tree, if all venues in use can work with it.
    fn reload(&mut self, tree: SqlTree) -> Result<()> {
        let mut ready = Vec::new();
        for venue in self.venues.keys() {
            let folder = format!("venues/{venue}");
            if !tree.same_folder(&self.tree, &folder) {
                ready.push((Arc::clone(venue), self.open(&tree, venue)?.0));
            }
        }
        self.venues.extend(ready);
        self.tree = tree;
        Ok(())
    }

    fn file(&mut self, part: FilePart, to: &SyncSender<Item>) -> Result<Rows> {
        let first_seq = self.next_seq;
        let symbol = part.symbol.as_deref();
        let raw = RawBatch::of_file(first_seq, &part.venue, symbol, &part.batch)?;
        self.next_seq += raw.seqs().len() as u64;
        let mut derived = self.derive(&part.venue, raw, to)?;
        derived.of_file(first_seq, &part.source, part.symbol.as_deref(), part.batch);
        let mut rows = Rows {
            done: Some(part.done),
            ..Rows::default()
        };
        see(&part.venue, &derived, &mut rows.seen);
        rows.derived.push(derived);
        Ok(rows)
    }
}

/// Notes the newest row of each table and symbol.
fn see(venue: &Arc<str>, derived: &Derived, seen: &mut Vec<Seen>) {
    for rows in &derived.tables {
        let from = seen.len();
        let mut at = None;
        rows.each(|symbol, ts, recv_ns, trade_id| {
            let i = match at.filter(|&i: &usize| seen[i].symbol == symbol) {
                Some(i) => i,
                None => match seen[from..].iter().position(|s| s.symbol == symbol) {
                    Some(i) => from + i,
                    None => {
                        seen.push(Seen {
                            venue: Arc::clone(venue),
                            table: rows.table.name.as_str().into(),
                            symbol: symbol.to_owned(),
                            ts,
                            recv_ns,
                            rows: 0,
                            trade_id: None,
                        });
                        seen.len() - 1
                    }
                },
            };
            at = Some(i);
            let s = &mut seen[i];
            s.rows += 1;
            s.recv_ns = s.recv_ns.max(recv_ns);
            if ts >= s.ts {
                s.ts = ts;
                if let Some(id) = trade_id
                    && s.trade_id.as_deref() != Some(id)
                {
                    s.trade_id = Some(id.to_owned());
                }
            }
        });
    }
}

fn write(writer: &mut Writer, from: &Receiver<Item>, told: &mut impl FnMut(Commit)) -> Result<()> {
    while let Ok(item) = from.recv() {
        let mut commit = Commit::default();
        let mut done = Vec::new();
        let start = Instant::now();
        let mut next = Some(item);
        let mut bytes = 0;
        while let Some(item) = next.take() {
            match item {
                Item::Venue(venue, tables) => {
                    writer.flush()?;
                    writer.open_venue(&venue, tables.iter().map(String::as_str))?;
                }
                Item::Rows(rows) => {
                    for derived in rows.derived {
                        bytes += derived.raw.rows.get_array_memory_size();
                        commit.written.add(&writer.add(derived)?);
                    }
                    writer.add_events(&rows.events)?;
                    commit.seen.extend(rows.seen);
                    done.extend(rows.done);
                }
            }
            if bytes < MAX_COMMIT_BYTES {
                next = from.try_recv().ok();
            }
        }
        writer.flush()?;
        commit.took = start.elapsed();
        commit.books = writer.book_states();
        for done in done {
            // Nobody may be waiting for it any more.
            let _ = done.send(Ok(commit.written.clone()));
        }
        told(commit);
    }
    Ok(())
}
