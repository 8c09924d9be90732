//! The numbers of an update, and what they prove.

use super::Update;
use crate::model::Sequencing;

/// The ids of an update, under a numbering rule.
pub(super) struct Ids {
    rule: Sequencing,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) prev: u64,
}

impl Ids {
    /// `None` if the update lacks an id that the rule needs.
    pub(super) fn of(rule: Sequencing, update: &Update) -> Option<Self> {
        let last = update.last_id?;
        let (first, prev) = match rule {
            Sequencing::FirstLast => (update.first_id?, update.first_id?.saturating_sub(1)),
            Sequencing::Prev => (update.first_id.unwrap_or(last), update.prev_id?),
            Sequencing::None => (last, last),
        };
        Some(Self {
            rule,
            first,
            last,
            prev,
        })
    }

    /// Whether nothing is missing between `id` and this update.
    pub(super) fn follows(&self, id: u64) -> bool {
        match self.rule {
            Sequencing::FirstLast => self.first <= id.saturating_add(1),
            Sequencing::Prev | Sequencing::None => self.prev == id,
        }
    }

    /// Whether this update may be the first after a snapshot of `id`.
    pub(super) fn joins(&self, id: u64) -> bool {
        self.prev <= id
    }

    /// Whether a snapshot of `id` holds all of this update. Under `prev` the venue lets the update
    /// that ends with the snapshot's own id be the first one applied.
    pub(super) fn before(&self, id: u64) -> bool {
        match self.rule {
            Sequencing::FirstLast => self.last <= id,
            Sequencing::Prev | Sequencing::None => self.last < id,
        }
    }

    /// Whether it changes nothing: under `prev` a venue says that it is alive by an update that ends where
    /// it begins.
    pub(super) fn stand_still(&self) -> bool {
        self.rule == Sequencing::Prev && self.last == self.prev
    }

    /// Whether the venue begins to count anew with it: under `prev` it names its predecessor all the same.
    pub(super) fn start_anew(&self) -> bool {
        self.rule == Sequencing::Prev && self.last < self.prev
    }

    /// The range of ids missing between `id` and this update.
    pub(super) fn missing_after(&self, id: u64) -> (u64, u64) {
        match self.rule {
            Sequencing::FirstLast => (id.saturating_add(1), self.prev),
            Sequencing::Prev | Sequencing::None => (id, self.prev),
        }
    }
}
