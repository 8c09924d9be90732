//! What the capture has done so far, as `mdb status` and the watchdog want to know it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::feeds::{ConnectionStatus, Missing, Want, WantKind};
use super::holes::{Consecutive, Holes, Lost};
use super::watch::{Seen, series};
use crate::sources::now_ns;
use crate::store::{Commit, Written};

/// The watchdog is told what was seen no more often than this.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Rates are of the last so many seconds.
const WINDOW: Duration = Duration::from_secs(10);

/// A book that was asked for is there by then, or is asked for again, the later the oftener, …
const HEALED_WITHIN: Duration = Duration::from_secs(10);
/// … but no later than this.
const HEALED_WITHIN_AT_MOST: Duration = Duration::from_mins(5);

/// Shared between the writer, who fills it in, and all who ask.
pub struct Figures {
    inner: Mutex<Inner>,
    seen: watch::Sender<Arc<Seen>>,
    /// Books that need a snapshot, and trades that were passed over.
    lost: mpsc::Sender<Want>,
}

/// By venue, symbol and table: rows, and when the last one was received, ns since 1970-01-01 UTC.
type Counted = BTreeMap<(Arc<str>, String, Arc<str>), (u64, i64)>;

struct Inner {
    written: Written,
    commits: u64,
    /// The longest commit.
    slowest: Duration,
    seen: Seen,
    told: Instant,
    rows: Counted,
    /// Books that cannot be trusted, and others with nothing.
    books: BTreeMap<(Arc<str>, String), Option<Astray>>,
    connections: Vec<ConnectionStatus>,
    /// Moments and the messages written until then.
    window: std::collections::VecDeque<(Instant, u64)>,
    problem: Option<String>,
    /// A line on each data test that fails.
    failing: Vec<String>,
    holes: Holes,
}

/// A book that needs a snapshot.
struct Astray {
    why: &'static str,
    /// When one was last asked for, and how long that may take.
    asked: Instant,
    patience: Duration,
}

impl Figures {
    /// Tells the watchdog by `seen` and whoever fetches books by `lost`.
    pub fn new(seen: watch::Sender<Arc<Seen>>, lost: mpsc::Sender<Want>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                written: Written::default(),
                commits: 0,
                slowest: Duration::ZERO,
                seen: HashMap::new(),
                told: Instant::now(),
                rows: BTreeMap::new(),
                books: BTreeMap::new(),
                connections: Vec::new(),
                window: std::collections::VecDeque::new(),
                problem: None,
                failing: Vec::new(),
                holes: Holes::default(),
            }),
            seen,
            lost,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a commit held. On the writer's thread: it never waits.
    pub fn committed(&self, commit: Commit) {
        let inner = &mut *self.inner();
        inner.written.add(&commit.written);
        inner.commits += 1;
        inner.slowest = inner.slowest.max(commit.took);
        inner.holes.committed(&commit.seen, Instant::now());
        for seen in commit.seen {
            let symbol: Arc<str> = seen.symbol.as_str().into();
            let place = (
                Arc::clone(&seen.venue),
                seen.symbol,
                Arc::clone(&seen.table),
            );
            let (rows, newest) = inner.rows.entry(place).or_default();
            *rows += seen.rows;
            *newest = seen.recv_ns.max(*newest);
            for prefix in inner.holes.prefixes(&seen.venue) {
                if seen.ids.iter().any(|run| run.prefix == *prefix) {
                    let source = (
                        Arc::clone(&seen.venue),
                        Arc::clone(&seen.channel),
                        series(&seen.table, prefix),
                        Arc::clone(&symbol),
                    );
                    let last = inner.seen.entry(source).or_default();
                    *last = seen.recv_ns.max(*last);
                }
            }
            let source = (seen.venue, seen.channel, seen.table, symbol);
            let last = inner.seen.entry(source).or_default();
            *last = seen.recv_ns.max(*last);
        }
        for book in commit.books {
            let astray = book.needs_snapshot.map(|why| {
                self.heal(&book.venue, &book.symbol);
                Astray {
                    why,
                    asked: Instant::now(),
                    patience: HEALED_WITHIN,
                }
            });
            inner.books.insert((book.venue, book.symbol), astray);
        }
        let now = Instant::now();
        if now.duration_since(inner.told) >= TELL_EVERY {
            inner.told = now;
            self.seen.send_replace(Arc::new(inner.seen.clone()));
            inner.window.push_back((now, inner.written.messages));
            while inner
                .window
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
            {
                inner.window.pop_front();
            }
        }
    }

    /// Asks for a book.
    fn heal(&self, venue: &Arc<str>, symbol: &str) {
        // What has no room is asked for again when it is not there in time.
        let _ = self.lost.try_send(Want {
            venue: Arc::clone(venue),
            symbol: symbol.into(),
            kind: WantKind::Heal,
        });
    }

    /// Asks again for books that were not there in time: the one that came may have been too old or wrong, the request may
    /// have been given up.
    pub(super) fn heal_again(&self, now: Instant) {
        for ((venue, symbol), astray) in &mut self.inner().books {
            if let Some(astray) = astray
                && now.saturating_duration_since(astray.asked) >= astray.patience
            {
                self.heal(venue, symbol);
                astray.asked = now;
                astray.patience = (astray.patience * 2).min(HEALED_WITHIN_AT_MOST);
            }
        }
    }

    /// Whether the book is known to be in step with its venue.
    pub fn in_step(&self, venue: &Arc<str>, symbol: &str) -> bool {
        let book = (Arc::clone(venue), symbol.to_owned());
        matches!(self.inner().books.get(&book), Some(None))
    }

    /// Which trade ids rise one by one.
    pub(super) fn set_consecutive(&self, consecutive: Consecutive) {
        self.inner().holes.set(consecutive);
    }

    /// Asks for trades that were passed over, and says which are lost.
    pub(super) fn lost_trades(&self) -> Vec<Lost> {
        let holes = &mut self.inner().holes;
        let (wants, lost) = holes.due(Instant::now());
        for want in wants {
            if let Err(refused) = self.lost.try_send(want) {
                holes.put_off(&refused.into_inner(), Instant::now());
            }
        }
        lost
    }

    /// Nothing more will come: which trades are lost.
    pub(super) fn give_up(&self) -> Vec<Lost> {
        self.inner().holes.give_up()
    }

    /// Trades between stored ones are missing, of the series that `want` is about; see [`Holes::found`].
    pub(super) fn found(&self, want: &Want, prefix: &str, missing: &[Missing], last: (u64, i64)) {
        let series = (&want.venue, &*want.symbol, prefix);
        let holes = &mut self.inner().holes;
        holes.found(series, missing, last, Instant::now());
    }

    /// A request has ended.
    pub fn answered(&self, want: &Want) {
        self.inner().holes.answered(want, Instant::now());
    }

    /// A request has found no room.
    pub(super) fn put_off(&self, want: &Want) {
        self.inner().holes.put_off(want, Instant::now());
    }

    /// Takes in how the connections fare.
    pub fn connected(&self, connections: Vec<ConnectionStatus>) {
        self.inner().connections = connections;
    }

    /// What is wrong with the configuration, or that nothing is any more.
    pub fn set_problem(&self, problem: Option<String>) {
        self.inner().problem = problem;
    }

    /// Which data tests fail, a line on each.
    pub(super) fn set_failing(&self, failing: Vec<String>) {
        self.inner().failing = failing;
    }

    /// What was written.
    pub fn written(&self) -> Written {
        self.inner().written.clone()
    }

    /// Messages a second, of late.
    pub fn rate(&self) -> f64 {
        self.inner().rate()
    }

    /// For `mdb status`.
    pub fn status(&self) -> Value {
        let inner = self.inner();
        let now = now_ns();
        let age = |ns: i64| (ns > 0).then(|| ((now - ns) as f64 / 1e6).round() / 1e3);
        let feeds: Vec<Value> = inner.connections.iter().map(|c| {
            let s = &c.status;
            json!({
                "venue": &*c.venue,
                "connection": c.number,
                "copy": c.replica + 1,
                "state": s.state.word(),
                "topics": s.confirmed,
                "pending": s.pending,
                "refused": s.refused.iter().map(|(t, why)| format!("{} {}: {why}", t.channel, t.symbol)).collect::<Vec<_>>().join("; "),
                "messages": s.frames,
                "age": age(s.last_frame_ns),
                "reconnects": s.reconnects,
                "held_back_s": s.held_back.as_secs_f64(),
                "error": s.last_error,
            })
        }).collect();
        let symbols: Vec<Value> = inner
            .rows
            .iter()
            .map(|((venue, symbol, table), (rows, newest))| {
                let book = inner.books.get(&(Arc::clone(venue), symbol.clone()));
                let book = book.filter(|_| **table == *crate::model::BOOK_DELTAS);
                json!({
                    "venue": &**venue,
                    "symbol": symbol,
                    "table": &**table,
                    "rows": rows,
                    "age": age(*newest),
                    "book": book.map(|astray| astray.as_ref().map_or("in sync", |astray| astray.why)),
                })
            })
            .collect();
        json!({
            "capture": {
                "messages": inner.written.messages,
                "messages_per_s": inner.rate().round(),
                "commits": inner.commits,
                "slowest_commit_ms": inner.slowest.as_millis() as u64,
                "gaps": inner.written.gaps,
                "dead_letters": inner.written.dead_letters,
                "configuration": inner.problem.as_deref().unwrap_or("good"),
                "failing_tests": inner.failing,
            },
            "feeds": feeds,
            "symbols": symbols,
        })
    }
}

impl Inner {
    fn rate(&self) -> f64 {
        let (Some((from, before)), Some((to, after))) = (self.window.front(), self.window.back())
        else {
            return 0.0;
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 {
            (after - before) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, BookState, IdRun};

    #[test]
    fn trades_are_seen_by_the_kind_of_their_ids_too() {
        let figures = Figures::new(watch::channel(Arc::default()).0, mpsc::channel(1).0);
        figures.set_consecutive(HashMap::from([("v".into(), vec!["".into(), "a".into()])]));
        let run = |prefix: &str| IdRun {
            prefix: prefix.into(),
            first: 1,
            last: 2,
        };
        figures.committed(Commit {
            seen: vec![store::Seen {
                venue: "v".into(),
                channel: "ws/1".into(),
                table: "trades".into(),
                symbol: "S".to_owned(),
                ts: 1,
                recv_ns: 5,
                rows: 4,
                ids: vec![run("a"), run("other")],
            }],
            ..Commit::default()
        });
        let inner = figures.inner();
        let mut tables: Vec<&str> = inner.seen.keys().map(|(.., table, _)| &**table).collect();
        tables.sort_unstable();
        assert_eq!(tables, ["trades", "trades a"]);
    }

    #[test]
    fn a_book_is_asked_for_until_it_is_in_step() {
        let (lost_to, mut lost) = mpsc::channel(8);
        let figures = Figures::new(watch::channel(Arc::default()).0, lost_to);
        let turn = |needs_snapshot| {
            figures.committed(Commit {
                books: vec![BookState {
                    venue: "v".into(),
                    symbol: "S".to_owned(),
                    needs_snapshot,
                }],
                ..Commit::default()
            });
        };
        let mut asked = |seconds: u64, start: Instant| {
            figures.heal_again(start + Duration::from_secs(seconds));
            lost.try_recv()
                .is_ok_and(|want| want.kind == WantKind::Heal)
        };
        turn(Some("updates are missing"));
        let start = Instant::now();
        let times = [0, 9, 11, 30, 32, 71, 73].map(|seconds| asked(seconds, start));
        // The first one is of the turn itself.
        assert_eq!(times, [true, false, true, false, true, false, true]);
        turn(None);
        assert!(!asked(3600, start));
    }
}
