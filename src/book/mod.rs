//! The order-book engine: a pure state machine over book updates in the order they were received.
//!
//! It proves by the venue's numbering or its checksums that no update is missing. While that holds it says
//! the best prices after every update; once it does not, it reports the gap and says nothing more until a
//! snapshot that joins the updates heals it. No I/O, no clock, every buffer bounded.

mod checksum;
mod ids;
mod ladder;
mod output;
mod pending;
mod rules;
mod update;

use serde::{Deserialize, Serialize};

use crate::model::Sequencing;
pub use checksum::Digits;
use ids::Ids;
pub use ladder::{Ladder, Level, Side};
pub use output::{Output, Top};
use pending::Pending;
pub use rules::Rules;
pub use update::{Change, Changes, Update};

/// A side with more levels than this is not a book; it is reported as a gap.
pub const MAX_LEVELS: usize = 200_000;
const MISSING: &str = "updates are missing";
const DIFFERS: &str = "the book differs from the venue's checksum";
const WENT_BACK: &str = "the venue's ids went back";
/// How many levels of each side `imbalance_5` looks at.
const IMBALANCE_LEVELS: usize = 5;

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
    /// The last depth an update named.
    depth: Option<u32>,
    pending: Pending,
    /// Checksums that were right.
    #[serde(skip)]
    checksums: u64,
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
            depth: None,
            pending: Pending::default(),
            checksums: 0,
        }
    }
}

impl Book {
    /// Takes the next message and appends what follows from it to `out`.
    pub fn apply(
        &mut self,
        rules: &Rules,
        update: &Update,
        changes: Changes<'_>,
        out: &mut Vec<Output>,
    ) {
        if update.is_snapshot {
            self.snapshot(rules, update, changes, out);
        } else if rules.sequencing == Sequencing::None {
            if self.in_sync {
                self.change(rules, update, changes, out);
            }
        } else {
            self.diff(rules, update, changes, out);
        }
    }

    /// The book as it is if all that is known of what came since is how often it began anew, and the last update.
    #[must_use]
    pub fn resumed(&self, epoch: u32, last_id: Option<u64>, last_ts: i64) -> Self {
        Self {
            epoch: epoch.max(self.epoch),
            seen_id: last_id,
            seen_ts: last_ts,
            ..Self::default()
        }
    }

    /// Something about the book was lost before it could be applied: without numbers or checksums nothing else would show it.
    pub fn distrust(&mut self, update: &Update, detail: &'static str, out: &mut Vec<Output>) {
        if self.in_sync {
            self.lose(update, None, None, detail, out);
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

    /// How many of the venue's checksums were right since the book was made or taken up.
    pub fn checksums(&self) -> u64 {
        self.checksums
    }

    fn diff(
        &mut self,
        rules: &Rules,
        update: &Update,
        changes: Changes<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(ids) = Ids::of(rules.sequencing, update) else {
            if !rules.prove(update) {
                self.lose(update, None, None, "an update without ids", out);
            } else if self.in_sync {
                self.change(rules, update, changes, out);
            }
            return;
        };
        if self.in_sync && self.last_id.is_none() {
            // So far checksums proved the book; from here on ids do.
            if rules.prove(update) {
                self.saw(&ids, update);
                self.change(rules, update, changes, out);
            } else {
                self.lose(update, None, None, "ids after an update without", out);
            }
            return;
        }
        if ids.stand_still() && self.place() == Some(ids.last) {
            self.seen_ts = update.ts;
            return;
        }
        if ids.start_anew() {
            self.start_anew(rules, &ids, update, changes, out);
            return;
        }
        let mut reported = false;
        if let Some(seen) = self.seen_id {
            if ids.last <= seen {
                if update.ts.saturating_sub(self.seen_ts) < rules.restart_ns(update) {
                    return; // seen before, or overtaken by a later one
                }
                self.lose(update, Some(seen), Some(ids.last), WENT_BACK, out);
                reported = true;
            } else if !ids.follows(seen) {
                let (from, to) = ids.missing_after(seen);
                out.push(Output::Gap {
                    update: *update,
                    from_id: Some(from),
                    to_id: Some(to),
                    detail: MISSING,
                });
                self.pending.clear();
                reported = true;
            }
        }
        self.saw(&ids, update);
        let Some(last) = self.last_id.filter(|_| self.in_sync) else {
            self.pending.push(*update, changes);
            return;
        };
        if ids.before(last) {
            return; // the snapshot holds it already
        }
        if ids.follows(last) || (self.fresh && ids.joins(last)) {
            self.change(rules, update, changes, out);
        } else {
            if !reported {
                let (from, to) = ids.missing_after(last);
                out.push(Output::Gap {
                    update: *update,
                    from_id: Some(from),
                    to_id: Some(to),
                    detail: MISSING,
                });
            }
            self.in_sync = false;
            self.pending.push(*update, changes);
        }
    }

    /// An update that names the id the book stands at, and has a lower one itself.
    fn start_anew(
        &mut self,
        rules: &Rules,
        ids: &Ids,
        update: &Update,
        changes: Changes<'_>,
        out: &mut Vec<Output>,
    ) {
        if let Some(place) = self.place().filter(|&place| place != ids.prev) {
            if update.ts <= self.seen_ts {
                return; // seen before, or overtaken by a later one
            }
            let (from, to) = ids.missing_after(place);
            self.lose(update, Some(from), Some(to), MISSING, out);
        }
        // What waits has the old numbers: no later snapshot can join it.
        self.pending.clear();
        self.saw(ids, update);
        if self.in_sync {
            self.change(rules, update, changes, out);
        }
    }

    /// The id that the next update follows.
    fn place(&self) -> Option<u64> {
        if self.in_sync {
            self.last_id
        } else {
            self.seen_id
        }
    }

    fn saw(&mut self, ids: &Ids, update: &Update) {
        self.seen_id = Some(ids.last);
        self.seen_ts = update.ts;
    }

    fn snapshot(
        &mut self,
        rules: &Rules,
        update: &Update,
        changes: Changes<'_>,
        out: &mut Vec<Output>,
    ) {
        let numbered = rules.sequencing != Sequencing::None;
        if numbered && !self.may_start_from(rules, update, out) {
            return;
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
        self.set(rules, update, changes);
        if !numbered || rules.in_band || update.last_id.is_none() {
            self.say_top(rules, update, out);
        } else {
            self.verify(rules, update, out);
        }
        // What came before the snapshot and is newer than it.
        let mut waiting = std::mem::take(&mut self.pending);
        waiting.drain(|later, changes| {
            if self.in_sync {
                self.change(rules, later, changes, out);
            }
        });
        self.pending = waiting;
        if numbered {
            // Ids beyond the book that nothing is left of prove nothing.
            self.seen_id = self.seen_id.filter(|&seen| Some(seen) <= self.last_id);
        }
        if rules.in_band {
            self.seen_ts = self.seen_ts.max(update.ts);
        }
    }

    /// Whether a snapshot is newer than the book, and joins what waits for one.
    fn may_start_from(&mut self, rules: &Rules, update: &Update, out: &mut Vec<Output>) -> bool {
        let Some(id) = update.last_id else {
            if rules.prove(update) {
                self.pending.clear();
                return true;
            }
            self.lose(update, None, None, "a snapshot without an id", out);
            return false;
        };
        // Among the updates, and by the venue's own time later than any: then it is newer whatever its id.
        let later = rules.in_band && update.ts != update.recv_ts && update.ts > self.seen_ts;
        if let Some(last) = self.last_id.filter(|&last| self.in_sync && id <= last) {
            if id == last || !later {
                return false; // the book is as new or newer
            }
            self.lose(update, Some(last), Some(id), WENT_BACK, out);
        }
        while let Some(ids) = self
            .pending
            .first()
            .and_then(|first| Ids::of(rules.sequencing, first))
        {
            if ids.before(id) {
                self.pending.drop_first();
            } else if ids.joins(id) {
                break;
            } else if later {
                self.pending.clear();
            } else {
                out.push(Output::SnapshotTooOld {
                    update: *update,
                    first_id: Some(ids.first),
                });
                return false;
            }
        }
        true
    }

    /// Applies an update that is known to be the next.
    fn change(
        &mut self,
        rules: &Rules,
        update: &Update,
        changes: Changes<'_>,
        out: &mut Vec<Output>,
    ) {
        self.set(rules, update, changes);
        self.last_id = update.last_id;
        self.fresh = false;
        self.say_top(rules, update, out);
    }

    fn set(&mut self, rules: &Rules, update: &Update, changes: Changes<'_>) {
        if rules.checksum.is_some() {
            let unknown = std::iter::repeat(&Digits::UNKNOWN);
            let digits = changes.digits.iter().chain(unknown);
            for ((side, level), &digits) in changes.levels.iter().zip(digits) {
                match side {
                    Side::Bid => self.bids.set_with(level.price, level.size, digits),
                    Side::Ask => self.asks.set_with(level.price, level.size, digits),
                }
            }
        } else {
            self.bids.forget_digits();
            self.asks.forget_digits();
            for (side, level) in changes.levels {
                match side {
                    Side::Bid => self.bids.set(level.price, level.size),
                    Side::Ask => self.asks.set(level.price, level.size),
                }
            }
        }
        self.depth = update.depth.or(self.depth);
        if let Some(depth) = self.depth {
            self.bids.truncate(depth as usize);
            self.asks.truncate(depth as usize);
        }
    }

    /// Compares the book with the update's checksum, if it has one; says so if they differ.
    fn verify(&mut self, rules: &Rules, update: &Update, out: &mut Vec<Output>) {
        let Some((rule, theirs)) = rules.checksum.as_ref().zip(update.checksum) else {
            return;
        };
        let detail = match checksum::of(rule, &self.bids, &self.asks) {
            Some(ours) if ours == theirs => {
                self.checksums += 1;
                return;
            }
            Some(_) => DIFFERS,
            None => "a checksum, but levels without price_text and size_text",
        };
        self.lose(update, update.last_id, update.last_id, detail, out);
    }

    fn say_top(&mut self, rules: &Rules, update: &Update, out: &mut Vec<Output>) {
        self.verify(rules, update, out);
        if !self.in_sync {
            return;
        }
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
            (self.bids, self.asks) = (Ladder::new(Side::Bid), Ladder::new(Side::Ask));
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

#[cfg(test)]
mod tests;
