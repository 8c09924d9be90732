//! Updates that wait for a snapshot.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Change, Changes, Digits, Update};

/// Beyond this many levels the oldest updates are let go: a snapshot that would need them is refused.
const MAX_CHANGES: usize = 250_000;
/// The same for updates, which may have no level at all.
const MAX_UPDATES: usize = 100_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    updates: VecDeque<(Update, usize)>,
    changes: VecDeque<Change>,
    /// Of each change, in a book whose venue sends checksums; else empty.
    digits: VecDeque<Digits>,
}

impl Pending {
    pub(super) fn push(&mut self, update: Update, changes: Changes<'_>) {
        self.updates.push_back((update, changes.levels.len()));
        if !self.digits.is_empty() || !changes.digits.is_empty() {
            self.digits.resize(self.changes.len(), Digits::UNKNOWN);
            self.digits.extend(changes.digits);
        }
        self.changes.extend(changes.levels);
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
            self.digits.drain(..changes.min(self.digits.len()));
        }
    }

    pub(super) fn clear(&mut self) {
        self.updates.clear();
        self.changes.clear();
        self.digits.clear();
    }

    /// Hands out all updates in order, and is empty then.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Update, Changes<'_>)) {
        let (levels, digits) = (
            self.changes.make_contiguous(),
            self.digits.make_contiguous(),
        );
        let mut at = 0;
        for (update, count) in &self.updates {
            let changes = Changes {
                levels: &levels[at..at + count],
                digits: digits.get(at..at + count).unwrap_or_default(),
            };
            take(update, changes);
            at += count;
        }
        self.clear();
    }
}
