//! Live capture: what arrived while the last commit was under way becomes the next one.
//!
//! One thread takes all that waits, numbers it, normalizes it, inserts it and commits. While idle a message is
//! committed at once; under load batches grow by themselves. A second thread would only make messages wait twice. Of few
//! messages most of a commit's cost is its own: after it the thread rests, so that they leave the machine to its user.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use duckdb::Connection;
use tokio::sync::{mpsc, oneshot};

use super::catalog::Catalog;
use super::error::{At, Doing, Error, Result};
use super::news::News;
use super::normalize::{Derived, Normalizers};
use super::raw::RawBatch;
use super::writer::{Writer, Written};
use super::{Store, check_tables, load, schema};
use crate::config::Settings;
use crate::model::frame::{Frame, Message};
use crate::sources::capture::Batch;
use crate::sqltree::SqlTree;
use crate::venues;

/// Messages that one batch takes at most …
const MAX_MESSAGES: usize = 16_384;
/// … and when the machine is so busy that a commit takes longer than [`COMMIT_TIME`], at least.
const MIN_MESSAGES: usize = 512;
/// Batches are made small enough for their commits to take no longer: so long others wait for what is in them.
const COMMIT_TIME: Duration = Duration::from_millis(200);
/// After a commit the writer rests for so many times as long as it took …
const REST: u32 = 2;
/// … but no longer than this …
const LONGEST_REST: Duration = Duration::from_millis(20);
/// … nor when so many messages wait: they are worth a commit.
const ENOUGH: usize = 64;

/// What the live writer is asked to do besides.
#[derive(Debug)]
pub enum Order {
    /// Work by this SQL tree and these settings from now on, and be ready for these venues. The answer says what is wrong
    /// with them; everything stays as it was then.
    Tree {
        /// The tree.
        tree: Box<SqlTree>,
        /// What mdb.toml says.
        settings: Box<Settings>,
        /// The venues whose messages are to come.
        venues: Vec<String>,
        /// Told once it is taken up.
        done: oneshot::Sender<Result<()>>,
    },
    /// Write a part of a file.
    File(Box<FilePart>),
    /// Stand still between two commits: see [`stand`].
    Stand {
        /// Told the next seq once it does.
        standing: oneshot::Sender<u64>,
        /// Told what has come meanwhile; goes on also if there is nobody to tell.
        until: oneshot::Receiver<Came>,
    },
}

/// Rows that another one has written.
#[derive(Debug)]
pub struct Came {
    table: String,
    /// The latest of their times, ns.
    last_ns: i64,
    /// The first seq that none of them has.
    next_seq: u64,
}

/// The writer of a capture stands still between two commits for as long as this lives: what is written meanwhile comes
/// after all that it has written, and before all that is to come.
pub(super) struct Standing {
    /// The first seq that it has not used.
    pub(super) next_seq: u64,
    until: oneshot::Sender<Came>,
}

/// Waits until the writer stands still; `None` if it has ended.
pub(super) fn stand(orders: &mpsc::Sender<Order>) -> Option<Standing> {
    let (standing, answer) = oneshot::channel();
    let (until, going_on) = oneshot::channel();
    let order = Order::Stand {
        standing,
        until: going_on,
    };
    orders.blocking_send(order).ok()?;
    Some(Standing {
        next_seq: answer.blocking_recv().ok()?,
        until,
    })
}

impl Standing {
    /// Lets it go on, with rows that have come.
    pub(super) fn go_on(self, table: &str, last_ns: i64, next_seq: u64) {
        let came = Came {
            table: table.to_owned(),
            last_ns,
            next_seq,
        };
        // It may have ended meanwhile.
        let _ = self.until.send(came);
    }
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
    /// The newest row of each venue, connection, table and symbol in it.
    pub seen: Vec<Seen>,
    /// Books that fell out of step or came back to it.
    pub books: Vec<BookState>,
    /// What has come into each table, one commit after the other; `None` if that is to be looked for.
    pub news: BTreeMap<String, Option<News>>,
    /// How long the commit took, from its first row to durable.
    pub took: Duration,
}

/// The newest row of a table for a symbol, of those that came one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The venue.
    pub venue: Arc<str>,
    /// What it came by, as `raw_messages.channel` says it.
    pub channel: Arc<str>,
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
    /// The numbers that its trade ids end with, as runs without a jump, in the order received.
    pub ids: Vec<IdRun>,
}

/// Trade ids that follow each other, each one more than the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRun {
    /// What stands before the number.
    pub prefix: Box<str>,
    /// The first number.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl IdRun {
    /// An id as a run of its own; `None` if it does not end with a number.
    fn of(id: &str) -> Option<(&str, u64)> {
        let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (prefix, number) = id.split_at(id.len() - digits);
        Some((prefix, number.parse().ok()?))
    }
}

/// Whether a book can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookState {
    /// The venue.
    pub venue: Arc<str>,
    /// The instrument.
    pub symbol: String,
    /// Why it needs a snapshot; `None` if it is in sync.
    pub needs_snapshot: Option<&'static str>,
}

/// Any change of the catalog makes all plans worthless, and nobody is told of it: they are made anew so often.
const PLANS_LAST: Duration = Duration::from_secs(5);

/// The log is folded into the file after this much raw: a build of marts may have to wait until that is done.
const CHECKPOINT_BYTES: usize = 12 << 20;
/// If something was in the way, it is tried again so much later.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

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
        told: impl FnMut(Commit),
    ) -> Result<()> {
        // The writer's statements are small, and run on its own thread: the threads that DuckDB wakes for them, and that
        // others' questions and marts are worked on by, leave it a core.
        self.set_threads(self.threads.saturating_sub(1).max(1))?;
        let mut live = Live {
            writer: Writer::live(self.clone_connection()?, Arc::clone(&self.catalog)),
            checkpoints: Checkpoints::new(self.clone_connection()?)?,
            conn: self.clone_connection()?,
            threads: self.threads,
            tree: self.tree.clone(),
            catalog: Arc::clone(&self.catalog),
            venues: HashMap::new(),
            next_seq: self.next_seq()?,
            most: MAX_MESSAGES,
            pace: Pace {
                every: self.settings.commit_every,
                due: Instant::now(),
            },
            planned: Instant::now(),
            delay: delay(),
            told,
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .at("start waiting in", &self.dir)?
            .block_on(live.run(messages, orders))?;
        live.checkpoints.settle()?;
        live.writer.store_books()?;
        drop(live);
        self.set_threads(self.threads)
    }

    /// Unless the settings say how many there are.
    fn set_threads(&self, threads: usize) -> Result<()> {
        if self.settings.threads.is_some() {
            return Ok(());
        }
        self.conn
            .execute_batch(&format!("SET GLOBAL threads = {threads}"))
            .doing("setting threads")
    }
}

/// How many messages the next batch is to take, after one of so many took so long, when it was to take `most`.
fn most(most: usize, count: usize, took: Duration) -> usize {
    let most = if took > COMMIT_TIME {
        (count as f64 * COMMIT_TIME.div_duration_f64(took)) as usize
    } else if count >= most {
        most.saturating_mul(2)
    } else {
        most
    };
    most.clamp(MIN_MESSAGES, MAX_MESSAGES)
}

/// When the next commit begins.
struct Pace {
    /// So long after the one before it began; `None`: after a rest.
    every: Option<Duration>,
    /// Then.
    due: Instant,
}

impl Pace {
    /// Whether so many messages, of `most` that one commit takes, wait no longer.
    fn is_due(&self, now: Instant, waiting: usize, most: usize) -> bool {
        let enough = if self.every.is_some() {
            most
        } else {
            most.min(ENOUGH)
        };
        waiting > 0 && (waiting >= enough || now >= self.due)
    }

    fn committed(&mut self, start: Instant, took: Duration) {
        let rested = || took + (took * REST).min(LONGEST_REST);
        self.due = start + self.every.unwrap_or_else(rested);
    }
}

struct Live<T> {
    writer: Writer,
    checkpoints: Checkpoints,
    conn: Connection,
    threads: usize,
    tree: SqlTree,
    catalog: Arc<Catalog>,
    venues: HashMap<Arc<str>, Normalizers>,
    next_seq: u64,
    /// Messages that the next batch takes at most.
    most: usize,
    pace: Pace,
    /// When the plans of all statements were last forgotten.
    planned: Instant,
    delay: Duration,
    told: T,
}

/// A test makes the writer slow by `MDB_COMMIT_DELAY_MS`, to see what becomes of a capture that outruns its disk: so long
/// every commit takes besides.
fn delay() -> Duration {
    let set = std::env::var("MDB_COMMIT_DELAY_MS").ok();
    Duration::from_millis(set.and_then(|ms| ms.parse().ok()).unwrap_or(0))
}

impl<T: FnMut(Commit)> Live<T> {
    /// Until both queues are closed.
    async fn run(
        &mut self,
        mut messages: mpsc::Receiver<Message>,
        mut orders: mpsc::Receiver<Order>,
    ) -> Result<()> {
        let (mut flowing, mut ordering) = (true, true);
        let mut received = Vec::new();
        while flowing || ordering {
            let room = self.most.saturating_sub(received.len());
            tokio::select! {
                count = messages.recv_many(&mut received, room), if flowing && room > 0 => flowing = count > 0,
                () = tokio::time::sleep_until(self.pace.due.into()), if !received.is_empty() => {}
                order = orders.recv(), if ordering => match order {
                    None => ordering = false,
                    // Nobody may be waiting for the answers any more.
                    Some(Order::Tree { tree, settings, venues, done }) => {
                        drop(done.send(self.take_up(*tree, &settings, &venues)));
                    }
                    Some(Order::File(part)) => self.file(*part)?,
                    Some(Order::Stand { standing, until }) => {
                        if standing.send(self.next_seq).is_ok()
                            && let Ok(came) = until.await
                        {
                            self.next_seq = self.next_seq.max(came.next_seq);
                            self.writer.came(&came.table, came.last_ns);
                        }
                    }
                },
            }
            let waiting = received.len();
            let last = !flowing && waiting > 0;
            if last || self.pace.is_due(Instant::now(), waiting, self.most) {
                let start = Instant::now();
                self.commit(received.drain(..))?;
                let took = start.elapsed();
                self.pace.committed(start, took);
                self.most = most(self.most, waiting, took);
            }
        }
        Ok(())
    }

    fn commit(&mut self, messages: impl Iterator<Item = Message>) -> Result<()> {
        let start = Instant::now();
        let (mut by_venue, mut events) = (Vec::<(Arc<str>, Vec<Frame>)>::new(), Vec::new());
        for message in messages {
            match message {
                Message::Event(event) => events.push(event),
                Message::Place => {}
                Message::Frame(frame) => match by_venue.iter_mut().find(|(v, _)| *v == frame.venue)
                {
                    Some((_, frames)) => frames.push(frame),
                    None => by_venue.push((Arc::clone(&frame.venue), vec![frame])),
                },
            }
        }
        let mut commit = Commit::default();
        for (venue, frames) in by_venue {
            let raw = RawBatch::of_frames(self.next_seq, &venue, &frames)?;
            let derived = self.derive(&venue, raw)?;
            self.add(&venue, derived, &mut commit)?;
        }
        self.writer.add_events(&events)?;
        commit.written.gaps += events.iter().filter(|e| e.kind == "gap").count() as u64;
        self.end(commit, start)
    }

    fn file(&mut self, part: FilePart) -> Result<()> {
        let FilePart {
            venue,
            symbol,
            source,
            batch,
            done,
        } = part;
        let (start, first_seq) = (Instant::now(), self.next_seq);
        let mut commit = Commit::default();
        let ready = self
            .ready(&venue)
            .and_then(|()| load::is_known(&self.conn, &venue, symbol.as_deref(), &batch.mark));
        match ready {
            Ok(true) => {}
            Ok(false) => {
                let raw = RawBatch::of_file(first_seq, &venue, symbol.as_deref(), &batch)?;
                let mut derived = self.derive(&venue, raw)?;
                derived.of_file(first_seq, &source, symbol.as_deref(), batch);
                self.add(&venue, derived, &mut commit)?;
            }
            Err(error) => {
                // Nobody may be waiting for it any more.
                drop(done.send(Err(error)));
                return Ok(());
            }
        }
        let written = commit.written.clone();
        self.end(commit, start)?;
        drop(done.send(Ok(written)));
        Ok(())
    }

    fn add(&mut self, venue: &Arc<str>, derived: Derived, commit: &mut Commit) -> Result<()> {
        see(venue, &derived, &mut commit.seen);
        commit.written.add(&self.writer.add(derived)?);
        Ok(())
    }

    fn end(&mut self, mut commit: Commit, start: Instant) -> Result<()> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        let bytes = self.writer.flush()?;
        commit.took = start.elapsed();
        commit.news = self.writer.take_news();
        commit
            .books
            .extend(self.writer.take_turns().map(|(venue, turn)| BookState {
                venue: venue.into(),
                symbol: turn.symbol,
                needs_snapshot: turn.needs_snapshot,
            }));
        (self.told)(commit);
        if self.checkpoints.after(bytes)? {
            self.writer.turn();
        }
        if self.planned.elapsed() >= PLANS_LAST {
            self.writer.forget_plans();
            self.venues.values().for_each(Normalizers::forget_plans);
            self.planned = Instant::now();
        }
        Ok(())
    }

    /// Whatever is wrong with the venue's SQL, raw is the truth, and a rebuild makes the rest of it.
    fn derive(&mut self, venue: &Arc<str>, raw: RawBatch) -> Result<Derived> {
        self.next_seq += raw.seqs().len() as u64;
        if !self.venues.contains_key(venue) {
            match self.prepare(&self.tree, venue) {
                Ok(normalizers) => self.open(venue, normalizers)?,
                Err(error) => return Ok(Derived::refused(raw, &error.to_string())),
            }
        }
        let normalizers = self.venues.get_mut(venue).ok_or(Error::Panicked)?;
        let derived = normalizers.run(raw.clone());
        Ok(derived.unwrap_or_else(|error| Derived::refused(raw, &error.to_string())))
    }

    /// Makes ready for a venue's messages.
    fn ready(&mut self, venue: &Arc<str>) -> Result<()> {
        if self.venues.contains_key(venue) {
            return Ok(());
        }
        let normalizers = self.prepare(&self.tree, venue)?;
        self.open(venue, normalizers)
    }

    /// Goes on with a venue as the tree has it.
    fn open(&mut self, venue: &Arc<str>, normalizers: Normalizers) -> Result<()> {
        self.writer.flush()?;
        self.writer
            .open_venue(&venues::load(&self.tree, venue)?, normalizers.tables())?;
        self.venues.insert(Arc::clone(venue), normalizers);
        Ok(())
    }

    fn prepare(&self, tree: &SqlTree, venue: &str) -> Result<Normalizers> {
        let conns = (0..self.threads.clamp(1, 2))
            .map(|_| self.conn.try_clone().doing("opening a connection"))
            .collect::<Result<Vec<_>>>()?;
        Normalizers::new(conns, &venues::load(tree, venue)?, &self.catalog, None)
    }

    fn take_up(&mut self, tree: SqlTree, settings: &Settings, venues: &[String]) -> Result<()> {
        if !tree.same_folder(&self.tree, "tables") {
            return Err(Error::Model {
                file: "sql/tables".to_owned(),
                message: "a change of the tables takes effect at the next start".to_owned(),
            });
        }
        check_tables(&self.catalog, settings)?;
        let new = venues.iter().map(|venue| Arc::from(venue.as_str()));
        let all: BTreeSet<Arc<str>> = self.venues.keys().cloned().chain(new).collect();
        // All that can be wrong with it, before anything is changed.
        let mut ready = Vec::new();
        for venue in all {
            let same = tree.same_folder(&self.tree, &format!("venues/{venue}"));
            if !same || !self.venues.contains_key(&venue) {
                let normalizers = self.prepare(&tree, &venue)?;
                ready.push((venue, normalizers));
            }
        }
        if tree.hash() != self.tree.hash() {
            schema::apply(&mut self.conn, &tree)?;
        }
        schema::set_slas(&self.conn, &settings.slas)?;
        self.tree = tree;
        ready
            .into_iter()
            .try_for_each(|(venue, normalizers)| self.open(&venue, normalizers))
    }
}

/// Folds the log into the file beside the commits, which go on.
///
/// DuckDB stops all inserts while it checkpoints, unless some transaction still sees the state before the last commit: then
/// it only stops those into the table that it is at. So one is held open, from a commit before until it is done; and the
/// writer turns to the other side of the tables, so that the one that takes long is none that it waits for.
struct Checkpoints {
    /// The one that checkpoints and the one that keeps an old state; away while they work.
    conns: Option<(Connection, Connection)>,
    working: Option<JoinHandle<Checkpointed>>,
    /// Whether the old state is kept.
    held: bool,
    /// Bytes of raw since the last one.
    bytes: usize,
    /// When it could not be done: what the writer has turned from is still to be folded.
    owed: Option<Instant>,
}

type Checkpointed = ((Connection, Connection), duckdb::Result<()>);

impl Checkpoints {
    fn new(conn: Connection) -> Result<Self> {
        let holding = conn.try_clone().doing("opening a connection")?;
        Ok(Self {
            conns: Some((conn, holding)),
            working: None,
            held: false,
            bytes: 0,
            owed: None,
        })
    }

    fn is_due(&self) -> bool {
        match self.owed {
            Some(since) => since.elapsed() >= RETRY_PAUSE,
            None => self.bytes >= CHECKPOINT_BYTES,
        }
    }

    /// After a commit that held so many bytes of raw. Returns whether the writer is to turn to the other side.
    fn after(&mut self, bytes: usize) -> Result<bool> {
        self.bytes += bytes;
        if self.working.as_ref().is_some_and(JoinHandle::is_finished) {
            self.settle()?;
        }
        if !self.held && !self.is_due() {
            return Ok(false);
        }
        let Some((conn, holding)) = self.conns.take() else {
            return Ok(false);
        };
        if !self.held {
            // A transaction begins with its first look at the file; the next commit makes it an old one.
            let begun = holding
                .execute_batch("BEGIN READ ONLY; SELECT 1 FROM ops.manifest LIMIT 1")
                .doing("beginning a transaction");
            self.conns = Some((conn, holding));
            self.held = true;
            return begun.map(|()| self.owed.is_none());
        }
        self.held = false;
        self.bytes = 0;
        let work = move || {
            let result = conn.execute_batch("CHECKPOINT");
            let result = holding.execute_batch("ROLLBACK").and(result);
            ((conn, holding), result)
        };
        self.working = Some(
            Builder::new()
                .name("checkpoint".to_owned())
                .spawn(work)
                .at("start a thread for", "CHECKPOINT")?,
        );
        Ok(false)
    }

    /// Waits for the one at work.
    fn settle(&mut self) -> Result<()> {
        let Some(working) = self.working.take() else {
            return Ok(());
        };
        let (conns, result) = working.join().map_err(|_| Error::Panicked)?;
        self.conns = Some(conns);
        self.owed = None;
        if !done(result)? {
            // It is tried again.
            self.owed = Some(Instant::now());
        }
        Ok(())
    }
}

/// Folds the log into the file; false if another transaction was in the way.
pub(super) fn checkpoint(conn: &Connection) -> Result<bool> {
    done(conn.execute_batch("CHECKPOINT"))
}

fn done(checkpointed: duckdb::Result<()>) -> Result<bool> {
    match checkpointed {
        Err(error) if error.to_string().contains("CHECKPOINT") => {
            tracing::debug!(%error, "no checkpoint");
            Ok(false)
        }
        result => result.doing("writing the database file").map(|()| true),
    }
}

/// Notes the newest row of each connection, table and symbol.
fn see(venue: &Arc<str>, derived: &Derived, seen: &mut Vec<Seen>) {
    for rows in &derived.tables {
        let from = seen.len();
        let (mut at, mut last) = (None, None);
        rows.each(|seq, symbol, ts, recv_ns, trade_id| {
            // Rows of a message follow each other.
            let channel = match last {
                Some((of, channel)) if of == seq => channel,
                _ => derived.raw.channel(seq).unwrap_or_default(),
            };
            last = Some((seq, channel));
            let is = |s: &Seen| s.symbol == symbol && *s.channel == *channel;
            let i = match at.filter(|&i: &usize| is(&seen[i])) {
                Some(i) => i,
                None => {
                    if let Some(i) = seen[from..].iter().position(is) {
                        from + i
                    } else {
                        seen.push(Seen {
                            venue: Arc::clone(venue),
                            channel: channel.into(),
                            table: rows.table.name.as_str().into(),
                            symbol: symbol.to_owned(),
                            ts,
                            recv_ns,
                            rows: 0,
                            ids: Vec::new(),
                        });
                        seen.len() - 1
                    }
                }
            };
            at = Some(i);
            let s = &mut seen[i];
            s.rows += 1;
            s.recv_ns = s.recv_ns.max(recv_ns);
            s.ts = s.ts.max(ts);
            if let Some((prefix, number)) = trade_id.and_then(IdRun::of) {
                note_id(&mut s.ids, prefix, number);
            }
        });
    }
}

fn note_id(runs: &mut Vec<IdRun>, prefix: &str, number: u64) {
    match runs.last_mut() {
        Some(run) if *run.prefix == *prefix && (run.first..=run.last).contains(&number) => {}
        Some(run) if *run.prefix == *prefix && run.last.checked_add(1) == Some(number) => {
            run.last = number;
        }
        _ => runs.push(IdRun {
            prefix: prefix.into(),
            first: number,
            last: number,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frame::FeedEvent;
    use crate::model::window::Window;
    use crate::model::{FEED_EVENTS, RAW_MESSAGES, TRADES};
    use crate::store::{Mark, Purpose, Source};

    #[test]
    fn batches_shrink_until_their_commits_are_short_and_grow_again() {
        let ms = Duration::from_millis;
        assert_eq!(most(16_384, 16_384, ms(800)), 4_096);
        assert_eq!(most(4_096, 4_096, ms(200)), 8_192);
        assert_eq!(most(4_096, 100, ms(5)), 4_096);
        assert_eq!(most(16_384, 16_384, ms(5)), 16_384);
        // Whatever makes a small one slow, fewer would not mend it.
        assert_eq!(most(16_384, 10, ms(9_000)), 512);
        assert_eq!(most(512, 0, ms(9_000)), 512);
    }

    #[test]
    fn few_messages_wait_until_the_writer_has_rested_and_many_do_not() {
        let (start, took) = (Instant::now(), Duration::from_millis(5));
        let mut pace = Pace {
            every: None,
            due: start,
        };
        assert!(pace.is_due(start, 1, MAX_MESSAGES));
        pace.committed(start, took);
        assert!(!pace.is_due(start + took, 0, MAX_MESSAGES));
        assert!(!pace.is_due(start + took, ENOUGH - 1, MAX_MESSAGES));
        assert!(pace.is_due(start + took, ENOUGH, MAX_MESSAGES));
        assert!(!pace.is_due(start + took * REST, 1, MAX_MESSAGES));
        assert!(pace.is_due(start + took * (REST + 1), 1, MAX_MESSAGES));
        let long = Duration::from_secs(1);
        pace.committed(start, long);
        assert!(pace.is_due(start + long + LONGEST_REST, 1, MAX_MESSAGES));
        // What is asked for counts, and nothing else.
        pace.every = Some(long);
        pace.committed(start, took);
        assert!(!pace.is_due(start + long / 2, ENOUGH, MAX_MESSAGES));
        assert!(pace.is_due(start + took, MAX_MESSAGES, MAX_MESSAGES));
        pace.every = Some(Duration::ZERO);
        pace.committed(start, took);
        assert!(pace.is_due(start + took, 1, MAX_MESSAGES));
    }

    #[test]
    fn commits_wait_for_their_time_but_not_when_no_more_is_to_come() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path());
        settings.store.commit_every = Some(Duration::from_hours(1));
        let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
        let (messages, incoming) = mpsc::channel(1);
        let (committed, commits) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let (_, orders) = mpsc::channel(1);
            let told = |commit: Commit| committed.send(commit.written.messages).unwrap();
            store.live(incoming, orders, told).unwrap();
        });
        let send = |i: i64| {
            let frame = Frame {
                venue: "nowhere".into(),
                channel: "ws/1".into(),
                symbol: None,
                recv_ns: i,
                payload: format!("{i}"),
            };
            messages.blocking_send(Message::Frame(frame)).unwrap();
        };
        send(0);
        assert_eq!(commits.recv(), Ok(1));
        (1..=100).for_each(send);
        drop(messages);
        writer.join().unwrap();
        assert_eq!(commits.iter().collect::<Vec<_>>(), [100]);
    }

    #[test]
    fn trades_that_are_told_to_be_lost_count_as_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
        let (messages, incoming) = mpsc::channel(2);
        for kind in ["connect", "gap"] {
            let event = FeedEvent {
                venue: "nowhere".into(),
                symbol: None,
                channel: None,
                at_ns: 1,
                kind,
                ids: None,
                times_ns: None,
                detail: String::new(),
            };
            messages.blocking_send(Message::Event(event)).unwrap();
        }
        drop(messages);
        let (_, orders) = mpsc::channel(1);
        let mut gaps = 0;
        let told = |commit: Commit| gaps += commit.written.gaps;
        store.live(incoming, orders, told).unwrap();
        assert_eq!(gaps, 1);
    }

    #[test]
    fn commits_say_of_their_rows_what_looking_for_them_finds() {
        let dir = tempfile::tempdir().unwrap();
        let venue = dir.path().join("sql/venues/v");
        std::fs::create_dir_all(&venue).unwrap();
        std::fs::write(
            venue.join("feed.toml"),
            "description = \"A venue of a test\"\n",
        )
        .unwrap();
        let trades = "-- Trades.\n\
                      SELECT seq, recv_ts, venue, 's' AS symbol, make_timestamp_ns((payload->>'ms')::BIGINT * 1000000) AS ts,\n\
                             payload->>'id' AS trade_id, 1.0 AS price, 1.0 AS size, 'buy' AS side FROM raw\n";
        std::fs::write(venue.join("trades.sql"), trades).unwrap();
        let mut settings = Settings::new(dir.path());
        settings.store.commit_every = Some(Duration::ZERO);
        let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
        let modeler = store.modeler().unwrap();
        let (messages, incoming) = mpsc::channel(1);
        let (committed, commits) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let (_, orders) = mpsc::channel(1);
            let told = |commit: Commit| committed.send(commit.news).unwrap();
            store.live(incoming, orders, told).unwrap();
            store
        });
        // A time that is hours late, one before another, one that is told again, and one that is none of a trade.
        for (i, (id, ms)) in [
            (1, 7_260_000),
            (2, 7_260_999),
            (3, 10),
            (2, 7_260_999),
            (4, 7_259_000),
        ]
        .into_iter()
        .enumerate()
        {
            let frame = Frame {
                venue: "v".into(),
                channel: "ws/1".into(),
                symbol: None,
                recv_ns: i as i64,
                payload: format!(r#"{{"id":{id},"ms":{ms}}}"#),
            };
            messages.blocking_send(Message::Frame(frame)).unwrap();
        }
        let event = FeedEvent {
            venue: "v".into(),
            symbol: None,
            channel: None,
            at_ns: 5_000_000_000,
            kind: "connect",
            ids: None,
            times_ns: None,
            detail: String::new(),
        };
        messages.blocking_send(Message::Event(event)).unwrap();
        drop(messages);
        let store = writer.join().unwrap();
        let mut heard = BTreeMap::<String, News>::new();
        for (table, news) in commits.iter().flatten() {
            heard.entry(table).or_default().add(&news.unwrap());
        }
        let tables: Vec<&str> = heard.keys().map(String::as_str).collect();
        assert_eq!(tables, [FEED_EVENTS, RAW_MESSAGES, TRADES]);
        let second = Window::of(Duration::from_secs(1));
        for (table, heard) in &heard {
            let source = Source {
                table: table.clone(),
                voider: None,
            };
            let found = modeler.news(&source, Mark::default(), second).unwrap();
            assert_eq!(*heard, found, "{table}");
        }
        assert_eq!(
            heard[TRADES].touched.iter().collect::<Vec<_>>(),
            [(0, 1_000_000_000), (7_259_000_000_000, 7_261_000_000_000)]
        );
        store.close().unwrap();
    }
}
