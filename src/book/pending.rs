//! Updates that wait for a snapshot.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Change, Update};

/// Beyond this many levels the oldest updates are let go: a snapshot that would need them is refused.
const MAX_CHANGES: usize = 250_000;
/// The same for updates, which may have no level at all.
const MAX_UPDATES: usize = 100_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    updates: VecDeque<(Update, usize)>,
    changes: VecDeque<Change>,
}

impl Pending {
    pub(super) fn push(&mut self, update: Update, changes: &[Change]) {
        self.updates.push_back((update, changes.len()));
        self.changes.extend(changes);
        while self.changes.len() > MAX_CHANGES || self.updates.len() > MAX_UPDATES {
            self.drop_first();
        }
    }

    pub(super) fn first(&self) -> Option<&Update> {
        self.updates.front().map(|(update, _)| update)
    }

    pub(super) fn drop_first(&mut self) {
        if let Some((_, changes)) = self.updates.pop_front() {
            self.changes.drain(..changes);
        }
    }

    pub(super) fn clear(&mut self) {
        self.updates.clear();
        self.changes.clear();
    }

    /// Hands out all updates in order, and is empty then.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Update, &[Change])) {
        let changes = self.changes.make_contiguous();
        let mut at = 0;
        for (update, count) in &self.updates {
            take(update, &changes[at..at + count]);
            at += count;
        }
        self.clear();
    }
}
