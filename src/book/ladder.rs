//! One side of a book: price levels, the best at the end.

use serde::{Deserialize, Serialize};

use super::Digits;

/// A side of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Orders to buy; the highest price is the best.
    Bid,
    /// Orders to sell; the lowest price is the best.
    Ask,
}

/// A price and the total size resting at it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// In the quote currency.
    pub price: f64,
    /// In the venue's unit of size; never zero in a ladder.
    pub size: f64,
}

/// The levels of one side in a sorted vector, worst first: nearly all changes happen near the best
/// price, so little is moved, and nothing is allocated once it has grown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ladder {
    side: Side,
    levels: Vec<Level>,
    /// Of each level, in a book whose venue sends checksums; else empty.
    digits: Vec<Digits>,
    /// Where the last change was.
    #[serde(skip)]
    near: usize,
}

impl Ladder {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            levels: Vec::new(),
            digits: Vec::new(),
            near: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
        self.digits.clear();
    }

    /// Keeps no digits from here on.
    pub(super) fn forget_digits(&mut self) {
        self.digits.clear();
    }

    /// Where a price stands or belongs, and whether it is there.
    ///
    /// Looks near the place of the last change first, in steps that double: venues send the changes of an
    /// update by price.
    fn find(&mut self, price: f64) -> (usize, bool) {
        let worse = |level: &Level| match self.side {
            Side::Bid => level.price < price,
            Side::Ask => level.price > price,
        };
        let levels = &self.levels[..];
        let near = self.near.min(levels.len());
        let (mut low, mut high, mut step) = (near, near, 1);
        if levels.get(near).is_some_and(worse) {
            while levels.get(high).is_some_and(worse) {
                low = high + 1;
                high += step;
                step *= 2;
            }
            high = high.min(levels.len());
        } else {
            while low > 0 && !worse(&levels[low - 1]) {
                high = low - 1;
                low = low.saturating_sub(step);
                step *= 2;
            }
        }
        let at = low + levels[low..high].partition_point(worse);
        self.near = at;
        let here = levels
            .get(at)
            .is_some_and(|level| level.price.total_cmp(&price).is_eq());
        (at, here)
    }

    /// Sets the size at a price; zero removes the level.
    pub(super) fn set(&mut self, price: f64, size: f64) {
        let (at, here) = self.find(price);
        match (here, size == 0.0) {
            (true, true) => {
                self.levels.remove(at);
            }
            (true, false) => self.levels[at].size = size,
            (false, false) => self.levels.insert(at, Level { price, size }),
            (false, true) => {}
        }
    }

    /// The same in a ladder that keeps the digits of all its levels.
    pub(super) fn set_with(&mut self, price: f64, size: f64, digits: Digits) {
        // A level of before the feed had a checksum has none.
        self.digits.resize(self.levels.len(), Digits::UNKNOWN);
        let (at, here) = self.find(price);
        match (here, size == 0.0) {
            (true, true) => {
                self.levels.remove(at);
                self.digits.remove(at);
            }
            (true, false) => {
                self.levels[at].size = size;
                self.digits[at] = digits;
            }
            (false, false) => {
                self.levels.insert(at, Level { price, size });
                self.digits.insert(at, digits);
            }
            (false, true) => {}
        }
    }

    /// Forgets all but the best levels.
    pub(super) fn truncate(&mut self, depth: usize) {
        let beyond = self.levels.len().saturating_sub(depth);
        if beyond > 0 {
            self.levels.drain(..beyond);
            self.digits.drain(..beyond.min(self.digits.len()));
        }
    }

    /// The levels' digits from the best on.
    pub(super) fn digits(&self) -> impl Iterator<Item = &Digits> {
        self.digits.iter().rev()
    }

    /// The best level.
    pub fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    /// Levels from the best on.
    pub fn iter(&self) -> impl Iterator<Item = Level> + '_ {
        self.levels.iter().rev().copied()
    }

    /// Number of levels.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Whether there is no level.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_ladder_is_a_sorted_map(changes in prop::collection::vec((0_u32..40, 0_u32..4), 0..200)) {
            for side in [Side::Bid, Side::Ask] {
                let mut ladder = Ladder::new(side);
                let mut map = BTreeMap::new();
                for &(price, size) in &changes {
                    ladder.set(f64::from(price) / 10.0, f64::from(size));
                    if size == 0 { map.remove(&price); } else { map.insert(price, size); }
                }
                let mut expected: Vec<Level> = map
                    .iter()
                    .map(|(&p, &s)| Level { price: f64::from(p) / 10.0, size: f64::from(s) })
                    .collect();
                if side == Side::Bid { expected.reverse(); }
                prop_assert_eq!(ladder.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
