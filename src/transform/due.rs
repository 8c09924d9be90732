//! What a mart has yet to read: what is new in the canonical tables that it is made from, and what has changed in the marts
//! that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use duckdb::types::Value;
use duckdb::{params, params_from_iter};

use super::Result;
use super::work::Work;
use crate::model::window::{Ranges, Window};
use crate::store::{Kind, Mark, News, Source};

/// Parts of time that wait for a mart; more than this become fewer, with the time between them.
const PENDING: usize = 256;

/// What a mart has to read.
#[derive(Default)]
pub(super) struct Due {
    /// All of it.
    pub(super) whole: bool,
    pub(super) touched: Ranges,
    /// What is known of its last build.
    pub(super) last: Last,
    /// How far each source was read, and is now.
    pub(super) marks: Vec<(Source, Mark, Mark)>,
}

/// A mart's last build.
#[derive(Default)]
pub(super) struct Last {
    /// The definition that it was built by; `None` if never.
    pub(super) built: Option<String>,
    pub(super) ran: Option<String>,
    /// Whether a build after it failed.
    pub(super) failed: bool,
    pub(super) rows: Option<u64>,
    pub(super) newest_ns: Option<i64>,
}

impl Work<'_> {
    /// Compares what there is with what was read.
    pub(super) fn due(&self) -> Result<Due> {
        let model = self.model;
        let mut due = Due::default();
        let mut last = self.rows(
            "SELECT m.built, m.ran, m.error IS NOT NULL, b.rows, epoch_ns(b.newest)
             FROM ops.models m LEFT JOIN ops.builds b ON b.model = m.name WHERE m.name = ?",
            [&model.name],
            |row| {
                Ok(Last {
                    built: row.get(0)?,
                    ran: row.get(1)?,
                    failed: row.get(2)?,
                    rows: row.get(3)?,
                    newest_ns: row.get(4)?,
                })
            },
        )?;
        due.last = last.pop().unwrap_or_default();
        due.whole = self.request.full || due.last.built.as_ref() != Some(&model.definition);
        let marks = self.marks()?;
        let window = match &model.kind {
            Kind::Incremental { window, .. } => Some(*window),
            _ => None,
        };
        let header = &model.file.header;
        for relation in &model.upstream {
            let by_window = window.filter(|_| !header.whole.contains(relation));
            for stored in self
                .modeler
                .models
                .stored(&BTreeSet::from([relation.clone()]))
            {
                for source in self.modeler.sources(&stored) {
                    self.look(source, &marks, by_window, &mut due)?;
                }
            }
        }
        let pending: Vec<(Option<i64>, Option<i64>)> = self.rows(
            "SELECT from_ns, to_ns FROM ops.model_pending WHERE model = ?",
            [&model.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        for part in pending {
            match (part, window) {
                ((Some(from), Some(to)), Some(_)) => due.touched.extend([(from, to)]),
                _ => due.whole = true,
            }
        }
        if let Some(window) = window {
            due.touched = due.touched.whole(window);
        }
        Ok(due)
    }

    /// How far its sources were read.
    fn marks(&self) -> Result<BTreeMap<String, Mark>> {
        let marks = self.rows(
            "SELECT source, seq, recv_ns, newest_ns FROM ops.model_marks WHERE model = ?",
            [&self.model.name],
            |row| {
                let mark = Mark {
                    seq: row.get(1)?,
                    recv_ns: row.get(2)?,
                    newest_ns: row.get(3)?,
                };
                Ok((row.get(0)?, mark))
            },
        )?;
        Ok(marks.into_iter().collect())
    }

    /// What is new in a source.
    fn look(
        &self,
        source: Source,
        marks: &BTreeMap<String, Mark>,
        window: Option<Window>,
        due: &mut Due,
    ) -> Result<()> {
        if due.marks.iter().any(|(known, ..)| *known == source) {
            return Ok(());
        }
        let Some(&mark) = marks.get(&source.name()) else {
            due.whole = true;
            due.marks.push((source, Mark::default(), Mark::default()));
            return Ok(());
        };
        let table = source.voider.as_ref().unwrap_or(&source.table);
        let quiet = self
            .request
            .tables
            .as_ref()
            .is_some_and(|tables| !tables.contains(table));
        if quiet || due.whole {
            due.marks.push((source, mark, mark));
            return Ok(());
        }
        let day = Window::of(Duration::from_hours(24));
        let news = self.news(&source, mark, window.unwrap_or(day))?;
        match window {
            Some(_) => due.touched.extend(news.touched.iter()),
            None => due.whole |= news.mark != mark,
        }
        due.marks.push((source, mark, news.mark));
        Ok(())
    }

    /// What has come since a mark. Other marts may have asked already: of what has come since then their answer says
    /// nothing, and it is found by the next build.
    fn news(&self, source: &Source, mark: Mark, window: Window) -> Result<News> {
        let mut known = self.known.borrow_mut();
        let asked =
            |(s, m, w, _): &&(Source, Mark, Window, News)| (s, m, w) == (source, &mark, &window);
        if let Some((.., news)) = known.iter().find(asked) {
            return Ok(news.clone());
        }
        let news = self.modeler.news(source, mark, window)?;
        known.push((source.clone(), mark, window, news.clone()));
        Ok(news)
    }

    /// Rows before this have lost what they were made from: they stay as they are.
    pub(super) fn kept_from_ns(&self, due: &Due, window: Window) -> Result<i64> {
        let mut from_ns = i64::MIN;
        let kept = self.modeler.kept_from_ns()?;
        for (source, ..) in &due.marks {
            if let Some(&ns) = kept.get(&source.table) {
                // A window that is cut has lost a part.
                let (start, end) = window.around(ns);
                from_ns = from_ns.max(if start == ns { ns } else { end });
            }
        }
        Ok(from_ns)
    }

    pub(super) fn list_late(&self, due: &Due, window: Window, kept_ns: i64) -> Result<u64> {
        let Some(lateness) = self.model.file.header.lateness else {
            return Ok(0);
        };
        let Some((first, _)) = due.touched.span() else {
            return Ok(0);
        };
        let mut late = 0;
        for (source, since, mark) in &due.marks {
            if since == mark || since.newest_ns == i64::MIN {
                continue;
            }
            let before = since.newest_ns.saturating_sub(lateness.as_nanos() as i64);
            let before = window.around(before).0;
            if first < before {
                late +=
                    self.modeler
                        .list_late(&self.model.name, source, *since, before, kept_ns)?;
            }
        }
        Ok(late)
    }

    /// All sources, whatever is new in them.
    pub(super) fn all_sources(&self) -> Due {
        let mut due = Due {
            whole: true,
            ..Due::default()
        };
        for stored in self.modeler.models.stored(&self.model.upstream) {
            for source in self.modeler.sources(&stored) {
                due.marks.push((source, Mark::default(), Mark::default()));
            }
        }
        due
    }

    /// Rows of each day in what is read by window.
    pub(super) fn days(&self) -> Result<BTreeMap<i64, u64>> {
        let mut days = BTreeMap::new();
        let whole = &self.model.file.header.whole;
        let read = self
            .model
            .upstream
            .iter()
            .filter(|name| !whole.contains(*name));
        for stored in self.modeler.models.stored(&read.cloned().collect()) {
            for (day, rows) in self.modeler.days(&stored)? {
                *days.entry(day).or_default() += rows;
            }
        }
        Ok(days)
    }

    pub(super) fn write_marks(&self, due: &Due) -> Result<()> {
        if !due.whole && due.marks.iter().all(|(_, since, mark)| since == mark) {
            return Ok(());
        }
        let name = &self.model.name;
        self.execute("DELETE FROM ops.model_marks WHERE model = ?", [name])?;
        if due.marks.is_empty() {
            return Ok(());
        }
        let rows = vec!["(?, ?, ?, ?, ?)"; due.marks.len()].join(", ");
        let values = due.marks.iter().flat_map(|(source, _, mark)| {
            [
                Value::Text(name.clone()),
                Value::Text(source.name()),
                Value::UBigInt(mark.seq),
                Value::BigInt(mark.recv_ns),
                Value::BigInt(mark.newest_ns),
            ]
        });
        self.execute(
            &format!("INSERT INTO ops.model_marks VALUES {rows}"),
            params_from_iter(values),
        )
        .map(|_| ())
    }

    /// Lets the marts that read this one know where it has changed; everywhere if `None`.
    pub(super) fn tell_readers(&self, touched: Option<&Ranges>) -> Result<()> {
        let (models, name) = (&self.modeler.models, self.model.name.to_lowercase());
        for reader in models.readers(&name) {
            let whole = reader.file.header.whole.iter().cloned().collect();
            let by_window = !models.stored(&whole).contains(&name);
            let parts: Vec<(Option<i64>, Option<i64>)> = match touched {
                Some(touched) if by_window => {
                    let parts = touched.clone().at_most(PENDING);
                    parts
                        .iter()
                        .map(|(from, to)| (Some(from), Some(to)))
                        .collect()
                }
                _ => vec![(None, None)],
            };
            for (from, to) in parts {
                self.execute(
                    "INSERT INTO ops.model_pending VALUES (?, ?, ?)",
                    params![reader.name, from, to],
                )?;
            }
            self.join_pending(&reader.name)?;
        }
        Ok(())
    }

    /// Keeps the list of a mart that cannot be built from growing.
    fn join_pending(&self, reader: &str) -> Result<()> {
        let parts: Vec<(i64, i64)> = self.rows(
            "SELECT from_ns, to_ns FROM ops.model_pending WHERE model = ? AND from_ns IS NOT NULL",
            [reader],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if parts.len() <= PENDING {
            return Ok(());
        }
        let mut joined = Ranges::default();
        joined.extend(parts);
        self.execute(
            "DELETE FROM ops.model_pending WHERE model = ? AND from_ns IS NOT NULL",
            [reader],
        )?;
        for (from, to) in joined.at_most(PENDING / 2).iter() {
            self.execute(
                "INSERT INTO ops.model_pending VALUES (?, ?, ?)",
                params![reader, from, to],
            )?;
        }
        Ok(())
    }
}
