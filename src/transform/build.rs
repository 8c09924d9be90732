//! Builds marts: each in one transaction with the marks of how far it has read, so that what has come since is read
//! exactly once whatever happens.
//!
//! An incremental mart is made anew in the windows in which rows have come or gone, however late. Its SELECT is run with
//! every relation that it reads shadowed by a CTE of that name which holds those windows only; rows that come out
//! different take the place of those that were there. What it changed waits in `ops.model_pending` for the marts that
//! read it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duckdb::params;

use super::work::{Known, Work};
use super::{Error, Result, doing};
use crate::sources::now_ns;
use crate::sqltree::SqlTree;
use crate::store::{Model, Modeler};

/// What to build.
#[derive(Debug, Default, Clone)]
pub struct Request {
    /// These marts, and those they are made from; all if empty.
    pub names: Vec<String>,
    /// From the beginning, whatever was built before.
    pub full: bool,
    /// Only these canonical tables have got rows, if that is known.
    pub tables: Option<BTreeSet<String>>,
}

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
    /// The SELECT that made the rows, the last one of several.
    pub ran: String,
    /// Tests that failed and are no errors.
    pub warnings: Vec<String>,
    /// Why it was not built, and keeps its version before.
    pub error: Option<Error>,
    /// Its newest time is not before this, ns, unless rows were taken back.
    pub(super) newest_from_ns: Option<i64>,
}

/// How a mart was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Not at all: nothing has changed.
    Nothing,
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
            Self::Windows => "windows",
            Self::Full => "full",
        }
    }
}

/// Builds marts.
pub struct Builder {
    modeler: Modeler,
}

impl Builder {
    /// On a connection of its own.
    pub fn new(modeler: Modeler) -> Self {
        Self { modeler }
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
        let wanted = self.wanted(&request.names)?;
        let mut changed = self.waiting()?;
        let known = Known::default();
        for name in wanted {
            let Some(model) = self.modeler.models.get(&name).cloned() else {
                continue;
            };
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if !self.may_be_due(&model, request, &changed) {
                continue;
            }
            let built = self.one(&model, request, &known, stop)?;
            if built.how != How::Nothing {
                changed.insert(model.name.to_lowercase());
            }
            told(built);
        }
        Ok(())
    }

    /// Marts that have been told of a change, and those that were not built as they are defined now.
    fn waiting(&self) -> Result<BTreeSet<String>> {
        let waiting = self.modeler.conn.prepare_cached(
            "SELECT lower(name) FROM ops.models WHERE built IS DISTINCT FROM defined
             UNION SELECT lower(model) FROM ops.model_pending",
        );
        let waiting = waiting.and_then(|mut s| s.query_map([], |row| row.get(0))?.collect());
        doing(waiting, || "reading ops.models".to_owned())
    }

    /// Whether there can be something to build, as far as that is known without asking.
    fn may_be_due(&self, model: &Model, request: &Request, changed: &BTreeSet<String>) -> bool {
        let Some(tables) = &request.tables else {
            return true;
        };
        let name = model.name.to_lowercase();
        changed.contains(&name)
            || self
                .modeler
                .models
                .stored(&model.upstream)
                .iter()
                .any(|stored| {
                    changed.contains(stored)
                        || self.modeler.sources(stored).iter().any(|source| {
                            tables.contains(source.voider.as_ref().unwrap_or(&source.table))
                        })
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

    fn one(
        &self,
        model: &Model,
        request: &Request,
        known: &Known,
        stop: &AtomicBool,
    ) -> Result<Built> {
        let start = Instant::now();
        self.run("BEGIN", || format!("building {}", model.name))?;
        let work = Work {
            modeler: &self.modeler,
            known,
            model,
            request,
            stop,
        };
        let mut built = Built {
            model: model.name.clone(),
            how: How::Nothing,
            made: 0,
            rows: 0,
            late: 0,
            took: Duration::ZERO,
            ran: String::new(),
            warnings: Vec::new(),
            error: None,
            newest_from_ns: None,
        };
        let done = work.run(&mut built).and_then(|()| {
            if built.how != How::Nothing {
                work.note(&mut built, start)?;
            }
            self.run("COMMIT", || format!("building {}", model.name))
        });
        built.took = start.elapsed();
        if let Err(error) = done {
            // A transaction that DuckDB itself ended needs no rollback.
            let _ = self.modeler.conn.execute_batch("ROLLBACK");
            if matches!(error, Error::Stopped) {
                return Err(error);
            }
            let error = work.in_declaration(error);
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

    fn run(&self, sql: &str, what: impl FnOnce() -> String) -> Result<()> {
        doing(self.modeler.conn.execute_batch(sql), what)
    }
}
