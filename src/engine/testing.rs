//! Runs data tests: each by itself, and beside a capture those of what has changed, on a thread of its own, at most a
//! twentieth of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use duckdb::Connection;
use jiff::Timestamp;

use super::figures::Figures;
use super::marts::Due;
use crate::model::sql::literal;
use crate::query::{self, Interrupter, Session};
use crate::sources::now_ns;
use crate::sqltree::{Severity, SqlTree};
use crate::store::{self, Readers};
use crate::transform::checks::{self, Test};

/// From the end of one round of tests to the start of the next one at least,
const EVERY: Duration = Duration::from_secs(2);
/// and so many times as long as the round took.
const PACE: u32 = 19;
/// Whether rows are fresh is asked this often whatever has changed.
const BY_CLOCK: Duration = Duration::from_secs(30);

/// What came of a test.
#[derive(Debug)]
pub struct Verdict {
    /// `ok`, `failed`, `broken` if it cannot be run, or `not built` if a mart that it reads never was.
    pub state: &'static str,
    /// How many rows fail.
    pub rows: Option<u64>,
    /// One of them, or why it cannot be run.
    pub example: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Verdict {
    /// Runs a test.
    pub fn of(test: &Test, session: &mut Session) -> Self {
        let start = Instant::now();
        let answer = session.strings(&format!(
            "SELECT count(*)::VARCHAR, any_value(t)::VARCHAR FROM ({}) t",
            test.sql
        ));
        let (state, rows, example) = match answer {
            Err(error) => ("broken", None, Some(error.to_string())),
            Ok(rows) => match rows.into_iter().next().unwrap_or_default().as_slice() {
                [Some(none), _] if none == "0" => ("ok", Some(0), None),
                [Some(rows), example] => ("failed", rows.parse().ok(), example.clone()),
                _ => ("broken", None, Some("no answer".to_owned())),
            },
        };
        Self {
            state,
            rows,
            example,
            took: start.elapsed(),
        }
    }

    /// Of a test that is not run, as what it is of is in [`unbuilt`].
    pub fn not_built() -> Self {
        Self {
            state: "not built",
            rows: None,
            example: None,
            took: Duration::ZERO,
        }
    }

    /// Whether there is something to be mended.
    pub fn is_bad(&self) -> bool {
        !matches!(self.state, "ok" | "not built")
    }
}

/// Marts that were never built, and the relations and tests, in lower case, that read them. They are empty, which is no
/// failure: the first build is a change.
///
/// # Errors
/// If the session cannot tell.
pub fn unbuilt(session: &mut Session) -> Result<BTreeSet<String>, query::Error> {
    let marts = session.strings("SELECT name FROM ops.models WHERE built IS NULL")?;
    let marts: BTreeSet<String> = marts.into_iter().flatten().flatten().collect();
    readers_of(session, &marts)
}

/// What the builder of marts tells the one who tests. Cheap to share between threads.
#[derive(Clone, Default)]
pub(super) struct Tests {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    due: Due,
    tree: Option<Box<SqlTree>>,
    /// Stops the test that is running.
    interrupter: Option<Interrupter>,
    ended: bool,
}

impl Tests {
    /// Goes on by this tree. Its tests are due once its marts are built.
    pub(super) fn set(&self, tree: Option<Box<SqlTree>>) {
        self.state().tree = tree;
    }

    /// These have changed, and are whole.
    pub(super) fn changed(&self, changed: Due) {
        let mut state = self.state();
        match (&mut state.due, changed) {
            (Due::Everything, _) => {}
            (Due::Tables(due), Due::Tables(mut changed)) => due.append(&mut changed),
            (due, Due::Everything) => *due = Due::Everything,
        }
        drop(state);
        self.shared.told.notify_all();
    }

    /// Ends the thread; a test that is running is given up.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let interrupter = state.interrupter.take();
        drop(state);
        self.shared.told.notify_all();
        if let Some(interrupter) = interrupter {
            interrupter.interrupt();
        }
    }

    /// Tests until it is ended. That a test fails is told once, and so that it passes again.
    pub(super) fn run(&self, readers: &Readers, figures: &Figures) {
        let mut failing = BTreeMap::new();
        let mut next = Instant::now();
        while let Some((due, tree)) = self.wait(next) {
            let start = Instant::now();
            match self.round(&due, &tree, readers) {
                Ok(verdicts) => {
                    if matches!(due, Due::Everything) {
                        // Of tests that are gone nothing is left.
                        failing.retain(|place, _| {
                            verdicts.iter().any(|(test, _)| test.place() == *place)
                        });
                    }
                    tell(&verdicts, &mut failing);
                }
                Err(_) if self.state().ended => return,
                Err(error) => tracing::error!("data tests: {error}"),
            }
            figures.set_failing(failing.values().cloned().collect());
            next = Instant::now() + EVERY.max(start.elapsed() * PACE);
        }
    }

    /// Waits for something to test, not before `next`; `None` once it is to end.
    fn wait(&self, next: Instant) -> Option<(Due, Box<SqlTree>)> {
        let by_clock = next + BY_CLOCK;
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            let from = if state.due.is_something() {
                next
            } else {
                by_clock
            };
            let wait = match &state.tree {
                None => BY_CLOCK,
                Some(tree) => {
                    let wait = from.saturating_duration_since(Instant::now());
                    if wait.is_zero() {
                        let tree = tree.clone();
                        return Some((std::mem::take(&mut state.due), tree));
                    }
                    wait
                }
            };
            state = self
                .shared
                .told
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Runs the tests that are due, and notes what came of them.
    fn round(
        &self,
        due: &Due,
        tree: &SqlTree,
        readers: &Readers,
    ) -> Result<Vec<(Test, Verdict)>, query::Error> {
        let opened = |error: store::Error| query::Error::Lost(error.to_string());
        let reader = readers.open().map_err(opened)?;
        let notes = reader.lease.another().map_err(opened)?;
        let mut session = Session::shared(reader, false);
        let now = Timestamp::from_nanosecond(now_ns().into()).unwrap_or_default();
        let mut tests = checks::all(tree, now);
        if let Due::Tables(changed) = due {
            let concerned = readers_of(&mut session, changed)?;
            tests.retain(|test| test.by_clock || concerned.contains(&test.of.to_lowercase()));
        }
        let unbuilt = unbuilt(&mut session)?;
        tests.retain(|test| !unbuilt.contains(&test.of.to_lowercase()));
        self.state().interrupter = Some(session.interrupter());
        let mut verdicts = Vec::new();
        for test in tests {
            // It may have been ended before there was something to interrupt.
            if self.state().ended {
                return Err(query::Error::Interrupted);
            }
            let verdict = Verdict::of(&test, &mut session);
            verdicts.push((test, verdict));
        }
        let mut state = self.state();
        state.interrupter = None;
        if state.ended {
            // The last one may have been given up.
            return Err(query::Error::Interrupted);
        }
        drop(state);
        note(&notes.connection, &verdicts, matches!(due, Due::Everything))
            .map_err(query::Error::Driver)?;
        Ok(verdicts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relations and tests, in lower case, whose rows are others if these relations have changed.
fn readers_of(
    session: &mut Session,
    changed: &BTreeSet<String>,
) -> Result<BTreeSet<String>, query::Error> {
    let edges = session.strings(
        "SELECT DISTINCT lower(name), lower(upstream) FROM ops.lineage
         WHERE kind IN ('view', 'test') OR made_by = '@voided_by'",
    )?;
    let mut found: BTreeSet<String> = changed.iter().map(|name| name.to_lowercase()).collect();
    loop {
        let before = found.len();
        for edge in &edges {
            if let [Some(name), Some(upstream)] = &edge[..]
                && found.contains(upstream)
            {
                found.insert(name.clone());
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Puts verdicts in place of those before; in place of all others if they are of all tests.
fn note(connection: &Connection, verdicts: &[(Test, Verdict)], all: bool) -> duckdb::Result<()> {
    let rows = verdicts.iter().map(|(test, verdict)| {
        let example = verdict.example.as_deref();
        format!(
            "({}, {}, {}, {}, {}, {}::UBIGINT, {}::VARCHAR, make_timestamp_ns({}), {})",
            literal(&test.of),
            literal(&test.text),
            literal(&test.place()),
            literal(test.severity.name()),
            literal(verdict.state),
            verdict
                .rows
                .map_or("NULL".to_owned(), |rows| rows.to_string()),
            example.map_or("NULL".to_owned(), literal),
            now_ns(),
            verdict.took.as_secs_f64() * 1e3,
        )
    });
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let places = verdicts.iter().map(|(test, _)| literal(&test.place()));
    let places: Vec<String> = places.collect();
    // A connection that is dropped in the middle of it leaves nothing.
    connection.execute_batch(&format!(
        "BEGIN; DELETE FROM ops.tests WHERE {all} OR declared_in IN ({}); INSERT INTO ops.tests VALUES {}; COMMIT",
        places.join(", "),
        rows.join(", ")
    ))
}

/// Says which tests fail that did not before, and which no longer do. Keeps a line on each that does.
fn tell(verdicts: &[(Test, Verdict)], failing: &mut BTreeMap<String, String>) {
    for (test, verdict) in verdicts {
        let place = test.place();
        if verdict.state == "ok" {
            if failing.remove(&place).is_some() {
                tracing::info!("{place}: the test `{}` passes again", test.text);
            }
            continue;
        }
        let rows = verdict
            .rows
            .map_or(String::new(), |rows| format!(" for {rows} rows"));
        let example = verdict.example.as_deref().unwrap_or_default();
        let line = format!(
            "{place}: the test `{}` of {} {}{rows}, e.g. {example}",
            test.text, test.of, verdict.state
        );
        if failing.insert(place, line.clone()).is_none() {
            match test.severity {
                Severity::Error => tracing::error!("{line}"),
                Severity::Warn => tracing::warn!("{line}"),
            }
        }
    }
}
