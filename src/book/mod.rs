//! The order-book engine: a pure state machine over book updates in the order they were received.
//!
//! It proves by the venue's numbering that no update is missing. While that holds it says the best
//! prices after every update; once it does not, it reports the gap and says nothing more until a
//! snapshot that joins the updates heals it. No I/O, no clock, every buffer bounded.

mod ladder;
mod pending;

use serde::{Deserialize, Serialize};

use crate::model::Sequencing;
pub use ladder::{Ladder, Level, Side};
use pending::Pending;

/// A side with more levels than this is not a book; it is reported as a gap.
pub const MAX_LEVELS: usize = 200_000;
/// Lower ids with a time this much later are no late update: the venue began to count anew.
const RESTART_NS: i64 = 60_000_000_000;
/// How many levels of each side `imbalance_5` looks at.
const IMBALANCE_LEVELS: usize = 5;

/// One message about one book, apart from its levels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The raw row it came from.
    pub seq: u64,
    /// The venue's time, ns.
    pub ts: i64,
    /// When it was received, ns.
    pub recv_ts: i64,
    /// First id it covers, where the venue says so.
    pub first_id: Option<u64>,
    /// Last id it covers; of a snapshot, the id it is the state of.
    pub last_id: Option<u64>,
    /// Last id of the update before it, where the venue says so.
    pub prev_id: Option<u64>,
    /// Whether it is the whole book.
    pub is_snapshot: bool,
}

/// A level of an update: size 0 removes it.
pub type Change = (Side, Level);

/// The best prices after an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Top {
    /// The update.
    pub update: Update,
    /// Best bid, if there is any.
    pub bid: Option<Level>,
    /// Best ask, if there is any.
    pub ask: Option<Level>,
    /// (bid − ask) / (bid + ask) of the sizes of the best five levels: 1 only bids, −1 only asks.
    pub imbalance_5: Option<f64>,
    /// Rises by one with every snapshot the book is started from.
    pub epoch: u32,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// An update was applied.
    Top(Top),
    /// Updates are missing, or the book is not to be trusted for another reason.
    Gap {
        /// The update at which it was noticed.
        update: Update,
        /// First id missing (rule `prev`: the last id seen).
        from_id: Option<u64>,
        /// Last id missing (rule `prev`: the predecessor that was not seen).
        to_id: Option<u64>,
        /// Why, where the ids do not say it.
        detail: &'static str,
    },
    /// A snapshot started the book (anew).
    Resync {
        /// The snapshot.
        update: Update,
        /// The epoch it begins.
        epoch: u32,
    },
    /// A snapshot is older than the updates at hand reach back: another one is needed.
    SnapshotTooOld {
        /// The snapshot.
        update: Update,
        /// First id of the updates at hand.
        first_id: Option<u64>,
    },
}

/// The book of one symbol of one venue. Its whole state can be stored and taken up again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    /// The id the levels are the state of; `None` while the book is not in sync.
    last_id: Option<u64>,
    in_sync: bool,
    /// No update has been applied since the snapshot.
    fresh: bool,
    epoch: u32,
    /// Last id of the updates seen, in sync or not.
    seen_id: Option<u64>,
    /// The venue's time of that update, ns.
    seen_ts: i64,
    pending: Pending,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            bids: Ladder::new(Side::Bid),
            asks: Ladder::new(Side::Ask),
            last_id: None,
            in_sync: false,
            fresh: false,
            epoch: 0,
            seen_id: None,
            seen_ts: i64::MIN,
            pending: Pending::default(),
        }
    }
}

impl Book {
    /// Takes the next message and appends what follows from it to `out`.
    pub fn apply(
        &mut self,
        rule: Sequencing,
        update: &Update,
        changes: &[Change],
        out: &mut Vec<Output>,
    ) {
        if update.is_snapshot {
            self.snapshot(rule, update, changes, out);
        } else if rule == Sequencing::None {
            if self.in_sync {
                self.change(update, changes, out);
            }
        } else {
            self.diff(rule, update, changes, out);
        }
    }

    /// Bids from the best on; meaningful while [`Book::in_sync`].
    pub fn bids(&self) -> &Ladder {
        &self.bids
    }

    /// Asks from the best on; meaningful while [`Book::in_sync`].
    pub fn asks(&self) -> &Ladder {
        &self.asks
    }

    /// Whether the levels are proven to be the venue's.
    pub fn in_sync(&self) -> bool {
        self.in_sync
    }

    fn diff(
        &mut self,
        rule: Sequencing,
        update: &Update,
        changes: &[Change],
        out: &mut Vec<Output>,
    ) {
        let Some(ids) = Ids::of(rule, update) else {
            self.lose(update, None, None, "an update without ids", out);
            return;
        };
        let mut reported = false;
        if let Some(seen) = self.seen_id {
            if ids.last <= seen {
                if update.ts.saturating_sub(self.seen_ts) < RESTART_NS {
                    return; // seen before, or overtaken by a later one
                }
                self.lose(
                    update,
                    Some(seen),
                    Some(ids.last),
                    "the venue's ids went back",
                    out,
                );
                reported = true;
            } else if !ids.follows(seen) {
                let (from, to) = ids.missing_after(seen);
                out.push(Output::Gap {
                    update: *update,
                    from_id: Some(from),
                    to_id: Some(to),
                    detail: "",
                });
                self.pending.clear();
                reported = true;
            }
        }
        self.seen_id = Some(ids.last);
        self.seen_ts = update.ts;
        let Some(last) = self.last_id.filter(|_| self.in_sync) else {
            self.pending.push(*update, changes);
            return;
        };
        if ids.before(last) {
            return; // the snapshot holds it already
        }
        if ids.follows(last) || (self.fresh && ids.joins(last)) {
            self.change(update, changes, out);
        } else {
            if !reported {
                let (from, to) = ids.missing_after(last);
                out.push(Output::Gap {
                    update: *update,
                    from_id: Some(from),
                    to_id: Some(to),
                    detail: "",
                });
            }
            self.in_sync = false;
            self.pending.push(*update, changes);
        }
    }

    fn snapshot(
        &mut self,
        rule: Sequencing,
        update: &Update,
        changes: &[Change],
        out: &mut Vec<Output>,
    ) {
        if rule != Sequencing::None {
            let Some(id) = update.last_id else {
                self.lose(update, None, None, "a snapshot without an id", out);
                return;
            };
            if self.in_sync && self.last_id.is_some_and(|last| id <= last) {
                return; // the book is as new or newer
            }
            while let Some(ids) = self.pending.first().and_then(|first| Ids::of(rule, first)) {
                if ids.before(id) {
                    self.pending.drop_first();
                } else if ids.joins(id) {
                    break;
                } else {
                    out.push(Output::SnapshotTooOld {
                        update: *update,
                        first_id: Some(ids.first),
                    });
                    return;
                }
            }
        }
        self.bids.clear();
        self.asks.clear();
        self.in_sync = true;
        self.fresh = true;
        self.last_id = update.last_id;
        self.epoch += 1;
        out.push(Output::Resync {
            update: *update,
            epoch: self.epoch,
        });
        self.set(changes);
        if rule == Sequencing::None {
            self.say_top(update, out);
        }
        // What came before the snapshot and is newer than it.
        let mut waiting = std::mem::take(&mut self.pending);
        waiting.drain(|later, changes| {
            if self.in_sync {
                self.change(later, changes, out);
            }
        });
        self.pending = waiting;
        if rule != Sequencing::None {
            // Ids beyond the book that nothing is left of prove nothing.
            self.seen_id = self.seen_id.filter(|&seen| Some(seen) <= self.last_id);
        }
    }

    /// Applies an update that is known to be the next.
    fn change(&mut self, update: &Update, changes: &[Change], out: &mut Vec<Output>) {
        self.set(changes);
        self.last_id = update.last_id;
        self.fresh = false;
        self.say_top(update, out);
    }

    fn set(&mut self, changes: &[Change]) {
        for (side, level) in changes {
            match side {
                Side::Bid => self.bids.set(level.price, level.size),
                Side::Ask => self.asks.set(level.price, level.size),
            }
        }
    }

    fn say_top(&mut self, update: &Update, out: &mut Vec<Output>) {
        let (bid, ask) = (self.bids.best(), self.asks.best());
        if let (Some(bid), Some(ask)) = (bid, ask)
            && bid.price >= ask.price
        {
            self.lose(
                update,
                update.last_id,
                update.last_id,
                "the book is crossed",
                out,
            );
            return;
        }
        if self.bids.len().max(self.asks.len()) > MAX_LEVELS {
            self.lose(
                update,
                update.last_id,
                update.last_id,
                "more levels than a book may have",
                out,
            );
            return;
        }
        let near = |side: &Ladder| {
            side.iter()
                .take(IMBALANCE_LEVELS)
                .map(|level| level.size)
                .sum::<f64>()
        };
        let (bid_size, ask_size) = (near(&self.bids), near(&self.asks));
        let imbalance_5 =
            (bid_size + ask_size > 0.0).then(|| (bid_size - ask_size) / (bid_size + ask_size));
        out.push(Output::Top(Top {
            update: *update,
            bid,
            ask,
            imbalance_5,
            epoch: self.epoch,
        }));
    }

    /// The book cannot be trusted from here on.
    fn lose(
        &mut self,
        update: &Update,
        from_id: Option<u64>,
        to_id: Option<u64>,
        detail: &'static str,
        out: &mut Vec<Output>,
    ) {
        self.in_sync = false;
        self.pending.clear();
        out.push(Output::Gap {
            update: *update,
            from_id,
            to_id,
            detail,
        });
    }
}

/// The ids of an update, under a numbering rule.
struct Ids {
    rule: Sequencing,
    first: u64,
    last: u64,
    prev: u64,
}

impl Ids {
    /// `None` if the update lacks an id that the rule needs.
    fn of(rule: Sequencing, update: &Update) -> Option<Self> {
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
    fn follows(&self, id: u64) -> bool {
        match self.rule {
            Sequencing::FirstLast => self.first <= id.saturating_add(1),
            Sequencing::Prev | Sequencing::None => self.prev == id,
        }
    }

    /// Whether this update may be the first after a snapshot of `id`.
    fn joins(&self, id: u64) -> bool {
        self.prev <= id
    }

    /// Whether a snapshot of `id` holds all of this update. Under `prev` the venue lets the update
    /// that ends with the snapshot's own id be the first one applied.
    fn before(&self, id: u64) -> bool {
        match self.rule {
            Sequencing::FirstLast => self.last <= id,
            Sequencing::Prev | Sequencing::None => self.last < id,
        }
    }

    /// The range of ids missing between `id` and this update.
    fn missing_after(&self, id: u64) -> (u64, u64) {
        match self.rule {
            Sequencing::FirstLast => (id.saturating_add(1), self.prev),
            Sequencing::Prev | Sequencing::None => (id, self.prev),
        }
    }
}

#[cfg(test)]
mod tests;
