//! What a mart has yet to read: what is new in the canonical tables that it is made from, and what has changed in the marts
//! that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Result;
use super::notes::Last;
use super::work::Work;
use crate::model::window::{Ranges, Window};
use crate::store::{Kind, Mark, News, Source};

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

impl Work<'_> {
    /// Compares what there is with what was read.
    pub(super) fn due(&self) -> Result<Due> {
        let model = self.model;
        let mut due = Due::default();
        due.last = self.notes.borrow().last(&model.name);
        due.whole = self.request.full || due.last.built.as_ref() != Some(&model.definition);
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
                    self.look(source, by_window, &mut due)?;
                }
            }
        }
        let pending = self.notes.borrow().pending(&model.name);
        due.whole |= pending.whole || (window.is_none() && !pending.parts.is_empty());
        due.touched.extend(pending.parts.iter());
        if let Some(window) = window {
            due.touched = due.touched.whole(window);
        }
        Ok(due)
    }

    /// What is new in a source.
    fn look(&self, source: Source, window: Option<Window>, due: &mut Due) -> Result<()> {
        if due.marks.iter().any(|(known, ..)| *known == source) {
            return Ok(());
        }
        let mark = self.notes.borrow().mark(&self.model.name, &source.name());
        let Some(mark) = mark else {
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
        let news = if let Some(heard) = self.heard(&source) {
            News {
                touched: heard.touched.clone(),
                mark: mark.max(heard.mark),
            }
        } else {
            let day = Window::of(Duration::from_hours(24));
            self.news(&source, mark, window.unwrap_or(day))?
        };
        match window {
            Some(_) => due.touched.extend(news.touched.iter()),
            None => due.whole |= news.mark != mark,
        }
        due.marks.push((source, mark, news.mark));
        Ok(())
    }

    /// What commits have said of a source since the last request, if the mart has done all that was to do until then.
    fn heard(&self, source: &Source) -> Option<&News> {
        let usable = source.voider.is_none() && !self.is_behind;
        self.request.heard.get(&source.table).filter(|_| usable)
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
    pub(super) fn kept_from_ns(&self, due: &Due, window: Window) -> i64 {
        let mut from_ns = i64::MIN;
        let notes = self.notes.borrow();
        for (source, ..) in &due.marks {
            if let Some(&ns) = notes.kept_from_ns.get(&source.table) {
                // A window that is cut has lost a part.
                let (start, end) = window.around(ns);
                from_ns = from_ns.max(if start == ns { ns } else { end });
            }
        }
        from_ns
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

    pub(super) fn note_marks(&self, due: &Due) {
        if !due.whole && due.marks.iter().all(|(_, since, mark)| since == mark) {
            return;
        }
        let marks = due.marks.iter();
        let marks = marks.map(|(source, _, mark)| (source.name(), *mark));
        self.notes
            .borrow_mut()
            .set_marks(&self.model.name, marks.collect());
    }

    /// Lets the marts that read this one know where it has changed; everywhere if `None`.
    pub(super) fn tell_readers(&self, touched: Option<&Ranges>) {
        let (models, name) = (&self.modeler.models, self.model.name.to_lowercase());
        for reader in models.readers(&name) {
            let whole = reader.file.header.whole.iter().cloned().collect();
            let by_window = !models.stored(&whole).contains(&name);
            let parts = touched.filter(|_| by_window);
            self.notes.borrow_mut().tell(&reader.name, parts);
        }
    }
}
