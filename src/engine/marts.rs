//! Keeps marts up to date beside a capture: a commit says which tables have got rows and in which parts of time, and the marts
//! that read them are built on a thread of their own: at most five sixths of the time, and two fifths while the capture is hard
//! pressed; those that take long after the others. What has changed is tested after that, and what was deleted leaves the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakSender;

use super::figures::Figures;
use super::testing::Tests;
use crate::sqltree::SqlTree;
use crate::store::{Commit, News, Order, Readers};
use crate::transform::build::{Builder, How, Request};
use crate::transform::{Error, Result};

/// Rows are in the marts so soon after their commit at the latest, if builds are fast enough; such builds are not begun
/// sooner than that needs.
const WITHIN: Duration = Duration::from_millis(600);
/// From the start of one build to the start of the next one it is so many times as long as it took at least,
const PACE: f64 = 1.2;
/// or so many times if the writer was behind meanwhile:
const PRESSED: f64 = 2.5;
/// a commit held so many messages.
const BEHIND: u64 = 4_096;
/// So many parts of time are kept of what commits say of a table; if they are more, it is looked for.
const PARTS: usize = 4_096;

/// What the capture tells the builder. Cheap to share between threads.
#[derive(Clone, Default)]
pub(super) struct Marts {
    shared: Arc<Shared>,
    tests: Tests,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Makes a build under way give up.
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    due: Due,
    /// What commits have said of the tables that are due; `None` if that is to be looked for.
    heard: BTreeMap<String, Option<News>>,
    /// The tree to go on with.
    tree: Option<Box<SqlTree>>,
    /// Messages in the largest commit since the last build began.
    largest: u64,
    /// Rows that others have deleted.
    deleted: u64,
    running: bool,
    at_work: AtWork,
    /// Builds begun so far.
    builds: u64,
    ended: bool,
}

/// What the builder is doing.
#[derive(Default, PartialEq, Eq)]
enum AtWork {
    #[default]
    Nothing,
    /// Looking at what is new.
    News,
    /// Looking at everything, which may take long.
    Everything,
}

/// What the next build, or test, is to look at.
pub(super) enum Due {
    /// Everything: nothing is known of what was before.
    Everything,
    /// Relations that have changed since the last one: tables for builds, marts too for tests.
    Tables(BTreeSet<String>),
}

impl Default for Due {
    fn default() -> Self {
        Self::Tables(BTreeSet::new())
    }
}

impl Due {
    pub(super) fn is_something(&self) -> bool {
        !matches!(self, Self::Tables(tables) if tables.is_empty())
    }
}

impl Marts {
    /// A commit has written rows. It never waits for a build.
    pub(super) fn committed(&self, commit: &Commit) {
        let mut state = self.state();
        state.largest = state.largest.max(commit.written.messages);
        let State { due, heard, .. } = &mut *state;
        let Due::Tables(tables) = due else {
            return;
        };
        for (table, news) in &commit.news {
            if !tables.contains(table) {
                tables.insert(table.clone());
            }
            let heard = match heard.get_mut(table) {
                Some(heard) => heard,
                None => heard
                    .entry(table.clone())
                    .or_insert_with(|| Some(News::default())),
            };
            match (&mut *heard, news) {
                (Some(all), Some(news)) if all.touched.iter().count() < PARTS => all.add(news),
                _ => *heard = None,
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A table has got rows by another way.
    pub(super) fn came(&self, table: &str) {
        let mut state = self.state();
        if let Due::Tables(tables) = &mut state.due {
            tables.insert(table.to_owned());
            state.heard.insert(table.to_owned(), None);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Rows were deleted: they leave the file after a build, when there is most chance that nobody reads them.
    pub(super) fn deleted(&self, rows: u64) {
        self.state().deleted += rows;
    }

    /// Makes a build under way give up, and waits until it has: the models are about to change.
    pub(super) fn pause(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut state = self.state();
        state.running = false;
        while state.at_work != AtWork::Nothing {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Builds again, by this tree from now on.
    pub(super) fn go(&self, tree: Option<Box<SqlTree>>) {
        self.shared.stop.store(false, Ordering::Relaxed);
        let mut state = self.state();
        if tree.is_some() {
            self.tests.set(tree.clone());
            state.tree = tree;
        }
        state.due = Due::Everything;
        state.running = true;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Which build is under way; none that begins later sees what was there before.
    pub(super) fn under_way(&self) -> Option<u64> {
        let state = self.state();
        (state.at_work != AtWork::Nothing).then_some(state.builds)
    }

    /// Ends the builder, after one last build of what is new; one that looks at everything is given up.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let everything =
            state.at_work == AtWork::Everything || matches!(state.due, Due::Everything);
        if everything || !state.running {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Builds until it is ended, and tests beside that.
    pub(super) fn run(
        &self,
        builder: Builder,
        orders: &WeakSender<Order>,
        readers: &Readers,
        figures: &Figures,
    ) {
        thread::scope(|scope| {
            let tests = thread::Builder::new()
                .name("tests".to_owned())
                .spawn_scoped(scope, || self.tests.run(readers, figures));
            if let Err(error) = tests {
                tracing::error!("nothing is tested: cannot start a thread: {error}");
            }
            self.keep(builder, orders);
            self.tests.end();
        });
    }

    /// Builds until it is ended. What is wrong with a mart is told once.
    fn keep(&self, mut builder: Builder, orders: &WeakSender<Order>) {
        let mut told = BTreeMap::new();
        let mut next = Instant::now();
        while let Some((request, tree)) = self.wait(next) {
            let start = Instant::now();
            let built = tree
                .map_or(Ok(()), |tree| builder.reload(&tree))
                .and_then(|()| self.build(&mut builder, &request, orders, &mut told));
            if let Err(error) = built
                && !matches!(error, Error::Stopped)
            {
                tracing::error!("marts: {error}");
            }
            // A look at everything takes long, and is not repeated: what has come meanwhile need not wait as long again.
            let is_pressed = self.rest() >= BEHIND && request.tables.is_some();
            let pace = if is_pressed { PRESSED } else { PACE };
            let took = start.elapsed();
            next = start + took.mul_f64(pace).max(WITHIN.saturating_sub(took));
        }
    }

    fn build(
        &self,
        builder: &mut Builder,
        request: &Request,
        orders: &WeakSender<Order>,
        told: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        let mut changed = request.tables.clone();
        let mut waits = false;
        let built = builder.build(request, &self.shared.stop, &mut |built| {
            waits |= built.how == How::Waits;
            let is_new = built.changed();
            if is_new && let Some(changed) = &mut changed {
                changed.insert(built.model.to_lowercase());
            }
            let error = built.error.map(|error| error.to_string());
            let problem = error
                .clone()
                .or_else(|| (!built.warnings.is_empty()).then(|| built.warnings.join("; ")));
            if !is_new && error.is_none() || told.get(&built.model) == problem.as_ref() {
                return;
            }
            match (&error, &problem) {
                (Some(error), _) => tracing::error!("{error}; {} stays as it was", built.model),
                (None, Some(warnings)) => tracing::warn!("{warnings}"),
                (None, None) => {}
            }
            match problem {
                Some(problem) => told.insert(built.model, problem),
                None => told.remove(&built.model),
            };
        });
        // What it was to look at is not done, or not by all.
        if built.is_err() {
            self.state().due = Due::Everything;
        } else if waits && let Due::Tables(tables) = &mut self.state().due {
            tables.extend(request.tables.iter().flatten().cloned());
        }
        builder.deleted(std::mem::take(&mut self.state().deleted));
        // Before they are tested: while somebody reads, nothing is swept.
        let swept = orders
            .upgrade()
            .map_or(Ok(()), |orders| builder.sweep(&orders));
        self.tests
            .changed(changed.map_or(Due::Everything, Due::Tables));
        built.and(swept)
    }

    /// Waits for something to build, not before `next`; `None` once it is to end.
    fn wait(&self, next: Instant) -> Option<(Request, Option<Box<SqlTree>>)> {
        let mut state = self.state();
        loop {
            let due = state.running && state.due.is_something();
            let given_up = self.shared.stop.load(Ordering::Relaxed);
            if state.ended && (!due || given_up) {
                return None;
            }
            let now = Instant::now();
            if due && (now >= next || state.ended) {
                break;
            }
            state = if due {
                let wait = self.shared.changed.wait_timeout(state, next - now);
                wait.unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            };
        }
        let heard = std::mem::take(&mut state.heard);
        let (at_work, tables, heard) = match std::mem::take(&mut state.due) {
            // Commits have said nothing since it is due.
            Due::Everything => (AtWork::Everything, None, BTreeMap::new()),
            Due::Tables(tables) => (AtWork::News, Some(tables), heard),
        };
        state.at_work = at_work;
        state.builds += 1;
        let heard = heard
            .into_iter()
            .filter_map(|(table, news)| Some((table, news?)));
        let request = Request {
            tables,
            heard: heard.collect(),
            // At the end nothing may be left for a next one.
            in_turn: !state.ended,
            ..Request::default()
        };
        Some((request, state.tree.take()))
    }

    /// Returns how many messages the largest commit held meanwhile.
    fn rest(&self) -> u64 {
        let mut state = self.state();
        state.at_work = AtWork::Nothing;
        let largest = std::mem::take(&mut state.largest);
        drop(state);
        self.shared.changed.notify_all();
        largest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Settings;
    use crate::model::TRADES;
    use crate::model::time::DAY_NS;
    use crate::store::{Purpose, Store};

    /// A mart that takes longer than all built-in ones together.
    const SLOW: &str = "-- A mart.\n-- @materialize incremental\n-- @key symbol, ts\n-- @time ts\n-- @window 1 day\n\
                        SELECT symbol, bucket_start(ts, '1 day') AS ts, count(*) AS n,\n\
                               (SELECT sum(hash(i) % 7) FROM range(20000000) r(i)) AS slow\n\
                        FROM trades GROUP BY 1, 2\n";

    fn store() -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("sql/marts");
        std::fs::create_dir_all(&files).unwrap();
        for name in ["a", "b"] {
            std::fs::write(files.join(format!("{name}.sql")), SLOW).unwrap();
        }
        let store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
        (dir, store)
    }

    fn settled(marts: &Marts) {
        let mut state = marts.state();
        while state.at_work != AtWork::Nothing || state.due.is_something() {
            state = marts.shared.changed.wait(state).unwrap();
        }
    }

    #[test]
    fn what_waits_for_its_turn_is_built_though_no_more_rows_come() {
        let (_dir, store) = store();
        let marts = Marts::default();
        let builder = Builder::new(store.modeler().unwrap());
        let conn = store.modeler().unwrap().conn;
        let (orders, _ordered) = mpsc::channel(1);
        let mut seen = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| marts.keep(builder, &orders.downgrade()));
            marts.go(None);
            settled(&marts);
            for seq in 1..5_u64 {
                // Each on a day of its own: who waits for its turn must learn of all of them.
                let day_ns = seq as i64 * DAY_NS;
                conn.execute_batch(&format!(
                    "INSERT INTO hot.trades BY NAME SELECT {seq} AS seq, 'v' AS venue, 's' AS symbol, '{seq}' AS trade_id,
                         make_timestamp_ns({day_ns}) AS ts, ts AS recv_ts, 1 AS price, 1 AS size"
                ))
                .unwrap();
                let mut news = News::default();
                news.touched.extend([(day_ns, day_ns + 1)]);
                news.mark.seq = seq;
                news.mark.newest_ns = day_ns;
                let mut commit = Commit::default();
                commit.news.insert(TRADES.to_owned(), Some(news));
                marts.committed(&commit);
                settled(&marts);
                let of_both: (u64, u64) = conn
                    .query_row(
                        "SELECT (SELECT sum(n)::UBIGINT FROM a), (SELECT sum(n)::UBIGINT FROM b)",
                        [],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .unwrap();
                seen.push(of_both);
            }
            marts.end();
        });
        assert_eq!(seen, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    }
}
