//! What mdb's own tables say of marts: read once in a transaction, and written once before it ends. Each statement more would
//! be one for every mart at every build.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::params_from_iter;
use duckdb::types::Value;

use super::{Result, doing};
use crate::model::window::Ranges;
use crate::store::{Mark, Modeler};

/// Parts of time that wait for a mart; more than this become fewer, with the time between them.
const PENDING: usize = 256;

/// A mart's last build.
#[derive(Debug, Default, Clone)]
pub(super) struct Last {
    /// The definition that it was built by; `None` if never.
    pub(super) built: Option<String>,
    /// Whether that is the one that it has now.
    pub(super) as_defined: bool,
    pub(super) ran: Option<String>,
    /// Whether a build after it failed.
    pub(super) failed: bool,
    pub(super) rows: Option<u64>,
    pub(super) newest_ns: Option<i64>,
}

/// What a mart has been told to make anew.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// All of it.
    pub(super) whole: bool,
    pub(super) parts: Ranges,
}

/// What is noted of all marts.
#[derive(Debug, Default)]
pub(super) struct Notes {
    last: BTreeMap<String, Last>,
    marks: BTreeMap<String, BTreeMap<String, Mark>>,
    pending: BTreeMap<String, Pending>,
    /// From when on rows were kept, ns, of each table of which older ones were dropped.
    pub(super) kept_from_ns: BTreeMap<String, i64>,
    /// Marts whose marks, or parts that wait, are others now.
    marked: BTreeSet<String>,
    told: BTreeSet<String>,
    /// Rows of `ops.builds`, by mart.
    builds: BTreeMap<String, [Value; 7]>,
}

impl Notes {
    pub(super) fn read(modeler: &Modeler) -> Result<Self> {
        let mut notes = Self {
            kept_from_ns: modeler.kept_from_ns()?,
            ..Self::default()
        };
        let read = notes.fill(modeler);
        doing(read, || "reading what is noted of the marts".to_owned())?;
        Ok(notes)
    }

    fn fill(&mut self, modeler: &Modeler) -> duckdb::Result<()> {
        let mut models = modeler.small(
            "SELECT m.name, m.built, m.built IS NOT DISTINCT FROM m.defined, m.ran, m.error IS NOT NULL, b.rows,
                    epoch_ns(b.newest)
             FROM ops.models m LEFT JOIN ops.builds b ON b.model = m.name",
        )?;
        let mut rows = models.query([])?;
        while let Some(row) = rows.next()? {
            let last = Last {
                built: row.get(1)?,
                as_defined: row.get(2)?,
                ran: row.get(3)?,
                failed: row.get(4)?,
                rows: row.get(5)?,
                newest_ns: row.get(6)?,
            };
            self.last.insert(row.get(0)?, last);
        }
        let mut marks =
            modeler.small("SELECT model, source, seq, recv_ns, newest_ns FROM ops.model_marks")?;
        let mut rows = marks.query([])?;
        while let Some(row) = rows.next()? {
            let mark = Mark {
                seq: row.get(2)?,
                recv_ns: row.get(3)?,
                newest_ns: row.get(4)?,
            };
            let of = self.marks.entry(row.get(0)?).or_default();
            of.insert(row.get(1)?, mark);
        }
        let mut pending = modeler.small("SELECT model, from_ns, to_ns FROM ops.model_pending")?;
        let mut rows = pending.query([])?;
        while let Some(row) = rows.next()? {
            let of = self.pending.entry(row.get(0)?).or_default();
            match (row.get(1)?, row.get(2)?) {
                (Some(from), Some(to)) => of.parts.extend([(from, to)]),
                _ => of.whole = true,
            }
        }
        Ok(())
    }

    /// Names in lower case of marts that have been told of a change, and of those that were not built as they are defined
    /// now.
    pub(super) fn waiting(&self) -> BTreeSet<String> {
        let defined = self.last.iter().filter(|(_, last)| !last.as_defined);
        let defined = defined.map(|(name, _)| name);
        let waiting = defined.chain(self.pending.keys());
        waiting.map(|name| name.to_lowercase()).collect()
    }

    pub(super) fn last(&self, mart: &str) -> Last {
        self.last.get(mart).cloned().unwrap_or_default()
    }

    /// How far a mart has read a source.
    pub(super) fn mark(&self, mart: &str, source: &str) -> Option<Mark> {
        self.marks.get(mart)?.get(source).copied()
    }

    pub(super) fn set_marks(&mut self, mart: &str, marks: BTreeMap<String, Mark>) {
        self.marked.insert(mart.to_owned());
        self.marks.insert(mart.to_owned(), marks);
    }

    pub(super) fn pending(&self, mart: &str) -> Pending {
        self.pending.get(mart).cloned().unwrap_or_default()
    }

    /// A mart has made anew what it was told of.
    pub(super) fn done(&mut self, mart: &str) {
        if self.pending.remove(mart).is_some() {
            self.told.insert(mart.to_owned());
        }
    }

    /// A mart is to make these parts anew; everything if `None`.
    pub(super) fn tell(&mut self, mart: &str, parts: Option<&Ranges>) {
        self.told.insert(mart.to_owned());
        let pending = self.pending.entry(mart.to_owned()).or_default();
        match parts {
            Some(parts) => {
                pending.parts.extend(parts.iter());
                pending.parts = std::mem::take(&mut pending.parts).at_most(PENDING);
            }
            None => pending.whole = true,
        }
    }

    /// Notes a build: the mart's name, when it was, how long it took in ms, how, its rows, their newest time in ns, and the
    /// bounds of the last windows in ns.
    pub(super) fn built(&mut self, mart: &str, build: [Value; 7]) {
        self.builds.insert(mart.to_owned(), build);
    }

    pub(super) fn write(&self, modeler: &Modeler) -> Result<()> {
        let marks = self.marked.iter().flat_map(|mart| {
            let marks = self.marks.get(mart).into_iter().flatten();
            marks.map(|(source, mark)| {
                vec![
                    Value::Text(mart.clone()),
                    Value::Text(source.clone()),
                    Value::UBigInt(mark.seq),
                    Value::BigInt(mark.recv_ns),
                    Value::BigInt(mark.newest_ns),
                ]
            })
        });
        let pending = self.told.iter().flat_map(|mart| {
            let pending = self.pending.get(mart);
            let whole = pending
                .filter(|pending| pending.whole)
                .map(|_| (Value::Null, Value::Null));
            let parts = pending.into_iter().flat_map(|pending| pending.parts.iter());
            let parts = parts.map(|(from, to)| (Value::BigInt(from), Value::BigInt(to)));
            whole
                .into_iter()
                .chain(parts)
                .map(|(from, to)| vec![Value::Text(mart.clone()), from, to])
        });
        let builds = self.builds.values().map(|build| build.to_vec());
        let written = replace(
            modeler,
            "model_marks",
            &self.marked,
            "(?, ?, ?, ?, ?)",
            marks,
        )
        .and_then(|()| replace(modeler, "model_pending", &self.told, "(?, ?, ?)", pending))
        .and_then(|()| {
            let row = "(?, make_timestamp_ns(?), ?, ?, ?, make_timestamp_ns(?), ?::BIGINT[])";
            let built = self.builds.keys().cloned().collect();
            replace(modeler, "builds", &built, row, builds)
        });
        doing(written, || "noting what was built".to_owned())
    }
}

/// Puts rows in the place of those of some marts.
fn replace(
    modeler: &Modeler,
    table: &str,
    marts: &BTreeSet<String>,
    row: &str,
    rows: impl Iterator<Item = Vec<Value>>,
) -> duckdb::Result<()> {
    if marts.is_empty() {
        return Ok(());
    }
    let places = vec!["?"; marts.len()].join(", ");
    modeler
        .small(&format!(
            "DELETE FROM ops.{table} WHERE model IN ({places})"
        ))?
        .execute(params_from_iter(marts))?;
    let rows: Vec<Vec<Value>> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let values = vec![row; rows.len()].join(", ");
    modeler
        .small(&format!("INSERT INTO ops.{table} VALUES {values}"))?
        .execute(params_from_iter(rows.into_iter().flatten()))
        .map(|_| ())
}
