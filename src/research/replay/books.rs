//! The books at the recording's present position: what a client that asks for one gets.

use std::collections::HashMap;

use super::protocol::Symbol;
use crate::book::{self, Book, Change, Level, Output, Rules, Side};
use crate::model::Sequencing;

/// One message about one book, as the venue's SQL reads it.
#[derive(Debug, Clone)]
pub(super) struct BookUpdate {
    pub(super) symbol: Symbol,
    pub(super) update: book::Update,
    pub(super) changes: Vec<Change>,
    /// Price and size of each change as the wire wrote them; empty where the venue's SQL does not say.
    pub(super) digits: Vec<Digits>,
    pub(super) checksum: Option<i64>,
}

/// Price and size as the wire wrote them.
pub(super) type Digits = (Box<str>, Box<str>);

/// A whole book.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) last_id: Option<u64>,
    /// The venue's time of the last update, ns.
    pub(super) ts_ns: i64,
    /// [price, size], best first.
    pub(super) bids: Vec<[String; 2]>,
    pub(super) asks: Vec<[String; 2]>,
    /// What the venue sent with the last update.
    pub(super) checksum: Option<i64>,
}

pub(super) struct Books {
    rules: Rules,
    by_symbol: HashMap<Symbol, Kept>,
    said: Vec<Output>,
}

#[derive(Default)]
struct Kept {
    book: Book,
    last_id: Option<u64>,
    ts_ns: i64,
    checksum: Option<i64>,
    /// The raw row of the last update, applied or not.
    seq: u64,
    digits: HashMap<(bool, u64), Digits>,
}

impl Books {
    pub(super) fn new(rule: Sequencing) -> Self {
        Self {
            rules: rule.into(),
            by_symbol: HashMap::new(),
            said: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, update: &BookUpdate) {
        let kept = self.by_symbol.entry(update.symbol).or_default();
        kept.seq = update.update.seq;
        if update.update.is_snapshot {
            kept.digits.clear();
        }
        // All levels have their digits, or none.
        let digits = Some(&update.digits).filter(|d| d.len() == update.changes.len());
        for ((side, level), digits) in update.changes.iter().zip(digits.into_iter().flatten()) {
            let key = (*side == Side::Bid, level.price.to_bits());
            if level.size == 0.0 {
                kept.digits.remove(&key);
            } else {
                kept.digits.insert(key, digits.clone());
            }
        }
        self.said.clear();
        kept.book.apply(
            &self.rules,
            &update.update,
            update.changes.as_slice().into(),
            &mut self.said,
        );
        for said in &self.said {
            let applied = match said {
                Output::Top(top) => &top.update,
                Output::Resync { update, .. } => update,
                Output::Gap { .. } | Output::SnapshotTooOld { .. } => continue,
            };
            // Where ids are there at all, an update without one does not move the book's.
            kept.last_id = applied.last_id.or(kept.last_id);
            kept.ts_ns = applied.ts;
            kept.checksum = update.checksum;
        }
    }

    /// The symbols that there has been anything of.
    pub(super) fn symbols(&self) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = self.by_symbol.keys().copied().collect();
        symbols.sort_unstable();
        symbols
    }

    /// The raw row of the symbol's last update; 0 if there was none.
    pub(super) fn seq(&self, symbol: Symbol) -> u64 {
        self.by_symbol.get(&symbol).map_or(0, |kept| kept.seq)
    }

    /// The symbol's whole book, if all of it is known at this position.
    pub(super) fn snapshot(&self, symbol: Symbol) -> Option<Snapshot> {
        let kept = self
            .by_symbol
            .get(&symbol)
            .filter(|kept| kept.book.in_sync())?;
        let side = |bid: bool, levels: &mut dyn Iterator<Item = Level>| {
            levels
                .map(|level| {
                    let digits = kept.digits.get(&(bid, level.price.to_bits()));
                    // Of an update that waits for its turn the digits are there already.
                    let digits = digits.filter(|(_, size)| size.parse() == Ok(level.size));
                    match digits {
                        Some((price, size)) => [price.to_string(), size.to_string()],
                        None => [level.price.to_string(), level.size.to_string()],
                    }
                })
                .collect()
        };
        Some(Snapshot {
            last_id: kept.last_id,
            ts_ns: kept.ts_ns,
            bids: side(true, &mut kept.book.bids().iter()),
            asks: side(false, &mut kept.book.asks().iter()),
            checksum: kept.checksum,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: u64, is_snapshot: bool, levels: &[(Side, &str, &str)]) -> BookUpdate {
        let number = |text: &str| text.parse::<f64>().unwrap();
        BookUpdate {
            symbol: Symbol(0),
            update: book::Update {
                seq: id,
                ts: id as i64,
                recv_ts: 0,
                first_id: Some(id),
                last_id: Some(id),
                prev_id: None,
                is_snapshot,
                checksum: None,
                depth: None,
            },
            changes: levels
                .iter()
                .map(|(side, price, size)| {
                    let (price, size) = (number(price), number(size));
                    (*side, Level { price, size })
                })
                .collect(),
            digits: levels
                .iter()
                .map(|(_, price, size)| ((*price).into(), (*size).into()))
                .collect(),
            checksum: Some(id as i64 * 10),
        }
    }

    #[test]
    fn a_snapshot_has_the_wires_digits_or_the_shortest() {
        let mut books = Books::new(Sequencing::FirstLast);
        let mut plain = update(
            7,
            false,
            &[(Side::Ask, "11.50", "2.0"), (Side::Bid, "9.90", "0.00")],
        );
        plain.digits.clear();
        books.apply(&update(
            6,
            true,
            &[
                (Side::Bid, "10.10", "1.00"),
                (Side::Bid, "9.90", "3.00"),
                (Side::Ask, "11.20", "5.0"),
            ],
        ));
        assert!(books.snapshot(Symbol(1)).is_none());
        books.apply(&plain);
        let text = |levels: &[[&str; 2]]| -> Vec<[String; 2]> {
            levels.iter().map(|l| l.map(str::to_owned)).collect()
        };
        assert_eq!(
            books.snapshot(Symbol(0)),
            Some(Snapshot {
                last_id: Some(7),
                ts_ns: 7,
                bids: text(&[["10.10", "1.00"]]),
                asks: text(&[["11.20", "5.0"], ["11.5", "2"]]),
                checksum: Some(70),
            })
        );
        books.apply(&update(9, false, &[]));
        assert!(books.snapshot(Symbol(0)).is_none(), "an update is missing");
    }
}
