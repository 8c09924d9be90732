//! Builds marts: in one transaction with the marks of how far they have read, so that what has come since is read
//! exactly once whatever happens.
//!
//! An incremental mart is made anew in the windows in which rows have come or gone, however late. Its SELECT is run with
//! every relation that it reads shadowed by a CTE of that name which holds those windows only, and what comes out
//! takes the place of all rows that were there. What it changed waits in `ops.model_pending` for the marts that
//! read it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duckdb::params;
use tokio::sync::mpsc;

use super::notes::Notes;
use super::work::{Known, Work};
use super::{Error, Result, doing};
use crate::sources::now_ns;
use crate::sqltree::SqlTree;
use crate::store::{Kind, Model, Modeler, News, Order};

/// What to build.
#[derive(Debug, Default, Clone)]
pub struct Request {
    /// These marts, and those they are made from; all if empty.
    pub names: Vec<String>,
    /// From the beginning, whatever was built before.
    pub full: bool,
    /// Only these canonical tables have got rows, if that is known.
    pub tables: Option<BTreeSet<String>>,
    /// What has come into tables since the request before this one, as far as that was heard of. Of others, and by marts for
    /// which the request before was not done, it is looked for.
    pub heard: BTreeMap<String, News>,
    /// Marts that take long are built after the others, and if all take too long only one of them, so that the others stay
    /// fresh. `tables` must be asked for again until none waits.
    pub in_turn: bool,
}

/// A mart takes long if it takes more than this part of what all take, …
const LONG: f64 = 0.2;
/// … unless all of them take no longer than this.
const QUICK: Duration = Duration::from_millis(100);
/// If all of them take longer than this, of those that take long one is built at a time.
const TURNS: Duration = Duration::from_millis(700);
/// What it took longer ago says nothing of it.
const RECENT: Duration = Duration::from_secs(10);
/// So many deleted rows are many: 27 MB of bars.
const DEAD: u64 = 100_000;
/// They are taken out no sooner again: somebody may be reading the state before, and then they stay.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// What became of a mart.
#[derive(Debug)]
pub struct Built {
    /// Its name.
    pub model: String,
    /// How it was built.
    pub how: How,
    /// Rows that it got.
    pub made: u64,
    /// Rows in it now.
    pub rows: u64,
    /// Rows that came later than its lateness; listed in `late_rows`.
    pub late: u64,
    /// How long it took.
    pub took: Duration,
    /// Tests that failed and are no errors.
    pub warnings: Vec<String>,
    /// Why it was not built, and keeps its version before.
    pub error: Option<Error>,
    /// The SELECT that made the rows, the last one of several, with parameters …
    pub(super) ran: String,
    /// … for the bounds of its windows, ns.
    pub(super) bounds: Vec<i64>,
    /// Rows that it lost for those that it got.
    pub(super) removed: u64,
    /// Rows that were put in their place.
    pub(super) inserted: u64,
    /// The newest time of those, ns.
    pub(super) newest_ns: Option<i64>,
}

impl Built {
    /// Before anything is done.
    fn of(model: &Model) -> Self {
        Self {
            model: model.name.clone(),
            how: How::Nothing,
            made: 0,
            rows: 0,
            late: 0,
            took: Duration::ZERO,
            warnings: Vec::new(),
            error: None,
            ran: String::new(),
            bounds: Vec::new(),
            removed: 0,
            inserted: 0,
            newest_ns: None,
        }
    }

    /// Whether it may hold other rows than before.
    pub fn changed(&self) -> bool {
        self.error.is_none() && matches!(self.how, How::Windows | How::Full)
    }
}

/// How a mart was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Not at all: nothing has changed.
    Nothing,
    /// Not yet: it waits for its turn.
    Waits,
    /// In the windows that were touched.
    Windows,
    /// As a whole.
    Full,
}

impl How {
    /// Its word, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "up to date",
            Self::Waits => "waits",
            Self::Windows => "windows",
            Self::Full => "full",
        }
    }
}

/// Builds marts.
pub struct Builder {
    modeler: Modeler,
    /// Whether one failed in the last build.
    failing: bool,
    /// Marts that failed or waited in the last build.
    behind: BTreeSet<String>,
    /// When marts were last built, and how long it took.
    took: BTreeMap<String, (Instant, Duration)>,
    /// Deleted rows that are in the database file yet, about.
    dead: u64,
    /// When they were last taken out.
    swept: Option<Instant>,
}

impl Builder {
    /// On a connection of its own.
    pub fn new(modeler: Modeler) -> Self {
        Self {
            modeler,
            failing: false,
            behind: BTreeSet::new(),
            took: BTreeMap::new(),
            dead: 0,
            swept: None,
        }
    }

    /// Goes on by another tree, which the database holds already.
    ///
    /// # Errors
    /// If its models cannot be read.
    pub fn reload(&mut self, tree: &SqlTree) -> Result<()> {
        Ok(self.modeler.reload(tree)?)
    }

    /// How many marts there are.
    pub fn marts(&self) -> usize {
        self.modeler
            .models
            .iter()
            .filter(|model| model.is_mart())
            .count()
    }

    /// A mart and those that it is made from, it last, if all of them keep what they have made of rows that are gone.
    ///
    /// # Errors
    /// If one does not, or there is none of this name.
    pub fn keepers(&self, mart: &str) -> Result<Vec<String>> {
        let names = self.wanted(&[mart.to_owned()])?;
        let forgets = names.iter().find(|name| {
            let model = self.modeler.models.get(name);
            model.is_none_or(|model| !matches!(model.kind, Kind::Incremental { .. }))
        });
        match forgets {
            Some(name) => Err(Error::Forgets { name: name.clone() }),
            None if names.is_empty() => Err(Error::Forgets {
                name: mart.to_owned(),
            }),
            None => Ok(names),
        }
    }

    /// Builds what is asked for, each mart after those it reads. `told` hears of each; one that fails keeps its version
    /// before, and the others go on.
    ///
    /// # Errors
    /// If a name is none of a model, or it is to stop: what was built before stays.
    pub fn build(
        &mut self,
        request: &Request,
        stop: &AtomicBool,
        told: &mut dyn FnMut(Built),
    ) -> Result<()> {
        let mut outcomes = Vec::new();
        let built = self.build_all(request, stop, &mut |built| {
            let is_behind = built.error.is_some() || built.how == How::Waits;
            outcomes.push((built.model.clone(), is_behind));
            told(built);
        });
        for (model, is_behind) in outcomes {
            if is_behind {
                self.behind.insert(model);
            } else {
                self.behind.remove(&model);
            }
        }
        built
    }

    fn build_all(
        &mut self,
        request: &Request,
        stop: &AtomicBool,
        told: &mut dyn FnMut(Built),
    ) -> Result<()> {
        // Beside a capture commits are what takes longest: all that is new goes into the marts in one, or a few.
        if request.tables.is_some() && !self.failing {
            match self.by_turns(request, stop, told) {
                // One by one it is seen which it was, and the others go on.
                Err(error) if !matches!(error, Error::Stopped) => {}
                done => return done,
            }
        }
        self.failing = false;
        let mut pass = self.pass(request, self.wanted(&request.names)?)?;
        while let Some(model) = pass.next(self) {
            let built = self.one(&model, &pass, stop)?;
            self.failing |= built.error.is_some();
            pass.done(&built);
            told(built);
        }
        Ok(())
    }

    /// Builds what is due in one transaction, and in others what takes long, or of that the one whose turn it is, and what reads
    /// it.
    fn by_turns(
        &mut self,
        request: &Request,
        stop: &AtomicBool,
        told: &mut dyn FnMut(Built),
    ) -> Result<()> {
        let (quick, long, in_turn) = self.by_length(request)?;
        self.together(request, quick.clone(), false, stop, told)?;
        let mut changed = BTreeSet::new();
        self.together(request, long, in_turn, stop, &mut |built| {
            if built.changed() {
                changed.insert(built.model.to_lowercase());
            }
            told(built);
        })?;
        let models = &self.modeler.models;
        let mut readers = quick;
        readers.retain(|name| {
            let reads = models.get(name).is_some_and(|model| {
                let read = models.stored(&model.upstream);
                !read.is_disjoint(&changed)
            });
            if reads {
                changed.insert(name.to_lowercase());
            }
            reads
        });
        // They have done what was heard of.
        let request = Request {
            heard: BTreeMap::new(),
            ..request.clone()
        };
        self.together(&request, readers, false, stop, told)
    }

    /// Builds what is due of these in one transaction, or only the first that is.
    fn together(
        &mut self,
        request: &Request,
        names: Vec<String>,
        one: bool,
        stop: &AtomicBool,
        told: &mut dyn FnMut(Built),
    ) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let whole = || "building the marts".to_owned();
        self.run("BEGIN", whole)?;
        let mut all = Vec::<Built>::new();
        let done = self.pass(request, names).and_then(|mut pass| {
            while let Some(model) = pass.next(self) {
                let mut built = Built::of(&model);
                if one && all.iter().any(Built::changed) {
                    built.how = How::Waits;
                } else {
                    self.within(&model, &pass, stop, &mut built)?;
                }
                pass.done(&built);
                all.push(built);
            }
            pass.notes.borrow().write(&self.modeler)?;
            self.run("COMMIT", whole)
        });
        if done.is_err() {
            // A transaction that DuckDB itself ended needs no rollback.
            let _ = self.modeler.conn.execute_batch("ROLLBACK");
        }
        done?;
        for built in all {
            if built.changed() {
                let took = (Instant::now(), built.took);
                self.took.insert(built.model.clone(), took);
            }
            self.dead += built.removed;
            told(built);
        }
        Ok(())
    }

    /// Rows were deleted by others.
    pub fn deleted(&mut self, rows: u64) {
        self.dead += rows;
    }

    /// Takes the rows that were deleted out of the database file beside a capture, if they are many.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sweep(&mut self, orders: &mpsc::Sender<Order>) -> Result<()> {
        let rests = self.swept.is_some_and(|at| at.elapsed() < SWEEP_PAUSE);
        if self.dead < DEAD || rests {
            return Ok(());
        }
        let (start, before) = (Instant::now(), self.dead);
        self.modeler.sweep(orders)?;
        let took = start.elapsed();
        self.swept = Some(Instant::now());
        self.dead = self.modeler.dead_rows()?;
        tracing::debug!(before, left = self.dead, ?took, "swept deleted rows");
        Ok(())
    }

    /// The marts to build, in order, and by themselves those that take long; and whether these are built in turn: then the one
    /// that has waited longest is the first.
    fn by_length(&mut self, request: &Request) -> Result<(Vec<String>, Vec<String>, bool)> {
        let names = self.wanted(&request.names)?;
        if !request.in_turn {
            return Ok((names, Vec::new(), false));
        }
        self.took.retain(|_, (at, _)| at.elapsed() < RECENT);
        let all: Duration = self.took.values().map(|(_, took)| took).sum();
        let is_long = |name: &String| {
            let took = self.took.get(name);
            all > QUICK && took.is_some_and(|(_, took)| *took > all.mul_f64(LONG))
        };
        let (mut long, quick): (Vec<_>, Vec<_>) = names.into_iter().partition(is_long);
        let in_turn = all > TURNS;
        if in_turn {
            long.sort_by_key(|name| self.took.get(name).map(|(at, _)| *at));
        }
        Ok((quick, long, in_turn))
    }

    /// A look at these marts, in their order.
    fn pass<'a>(&self, request: &'a Request, mut left: Vec<String>) -> Result<Pass<'a>> {
        left.reverse();
        let notes = Notes::read(&self.modeler)?;
        Ok(Pass {
            request,
            left,
            changed: notes.waiting(),
            known: Known::default(),
            notes: RefCell::new(notes),
        })
    }

    /// The marts to build, in order.
    fn wanted(&self, names: &[String]) -> Result<Vec<String>> {
        let models = &self.modeler.models;
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        let mut waiting: Vec<String> = names.to_vec();
        while let Some(name) = waiting.pop() {
            let Some(model) = models.get(&name) else {
                if names.contains(&name) {
                    let all = models.iter().map(|model| model.name.as_str());
                    return Err(Error::Unknown {
                        name,
                        names: all.collect::<Vec<_>>().join(", "),
                    });
                }
                continue;
            };
            if wanted.insert(model.name.clone()) {
                waiting.extend(model.upstream.iter().cloned());
            }
        }
        let marts = models.iter().filter(|model| model.is_mart());
        Ok(marts
            .map(|model| model.name.clone())
            .filter(|name| names.is_empty() || wanted.contains(name))
            .collect())
    }

    /// Builds a mart in a transaction of its own.
    fn one(&self, model: &Model, pass: &Pass<'_>, stop: &AtomicBool) -> Result<Built> {
        self.run("BEGIN", || format!("building {}", model.name))?;
        let mut built = Built::of(model);
        let done = Notes::read(&self.modeler)
            .and_then(|notes| {
                pass.notes.replace(notes);
                self.within(model, pass, stop, &mut built)
            })
            .and_then(|()| pass.notes.borrow().write(&self.modeler))
            .and_then(|()| self.run("COMMIT", || format!("building {}", model.name)));
        if let Err(error) = done {
            // A transaction that DuckDB itself ended needs no rollback.
            let _ = self.modeler.conn.execute_batch("ROLLBACK");
            if matches!(error, Error::Stopped) {
                return Err(error);
            }
            let error = self.work(model, pass, stop).in_declaration(error);
            doing(
                self.modeler.conn.execute(
                    "UPDATE ops.models SET error = ?, failed_at = make_timestamp_ns(?) WHERE name = ?",
                    params![error.to_string(), now_ns(), model.name],
                ),
                || "writing ops.models".to_owned(),
            )?;
            built.error = Some(error);
        }
        Ok(built)
    }

    /// Builds a mart within a transaction.
    fn within(
        &self,
        model: &Model,
        pass: &Pass<'_>,
        stop: &AtomicBool,
        built: &mut Built,
    ) -> Result<()> {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let start = Instant::now();
        let done = self.work(model, pass, stop).run(built);
        built.took = start.elapsed();
        done
    }

    fn work<'a>(&'a self, model: &'a Model, pass: &'a Pass<'_>, stop: &'a AtomicBool) -> Work<'a> {
        Work {
            modeler: &self.modeler,
            known: &pass.known,
            notes: &pass.notes,
            model,
            request: pass.request,
            is_behind: self.behind.contains(&model.name),
            stop,
        }
    }

    fn run(&self, sql: &str, what: impl FnOnce() -> String) -> Result<()> {
        doing(self.modeler.conn.execute_batch(sql), what)
    }
}

/// One look at the marts, in their order.
struct Pass<'a> {
    request: &'a Request,
    /// Names of those that are to be looked at yet, the next one last.
    left: Vec<String>,
    /// Names in lower case of marts that have changed in this pass, or have something to do whatever has come.
    changed: BTreeSet<String>,
    known: Known,
    /// What is noted of marts in the transaction under way.
    notes: RefCell<Notes>,
}

impl Pass<'_> {
    /// The next mart that may have something to do.
    fn next(&mut self, builder: &Builder) -> Option<Model> {
        loop {
            let name = self.left.pop()?;
            let model = builder.modeler.models.get(&name);
            if let Some(model) = model.filter(|model| self.may_be_due(model, &builder.modeler)) {
                return Some(model.clone());
            }
        }
    }

    /// Whether there can be something to build, as far as that is known without asking.
    fn may_be_due(&self, model: &Model, modeler: &Modeler) -> bool {
        let Some(tables) = &self.request.tables else {
            return true;
        };
        self.changed.contains(&model.name.to_lowercase())
            || modeler.models.stored(&model.upstream).iter().any(|stored| {
                self.changed.contains(stored)
                    || modeler.sources(stored).iter().any(|source| {
                        tables.contains(source.voider.as_ref().unwrap_or(&source.table))
                    })
            })
    }

    fn done(&mut self, built: &Built) {
        if built.changed() {
            self.changed.insert(built.model.to_lowercase());
        }
    }
}

#[cfg(test)]
mod tests;
