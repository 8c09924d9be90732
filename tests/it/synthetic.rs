//! A made-up market in the spot venue's wire format, seeded: consistent book, trades at its best prices,
//! two UTC dates. It lets the tests run where no recorded data is, with counts known beforehand.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Db, KEYED, Rng, Run, join_lines};

pub(crate) const VENUE: &str = "binance_spot";
pub(crate) const SYMBOL: &str = "TESTUSDT";

/// 2024-08-08 23:59:00 UTC, in nanoseconds; a capture lasts two minutes, across midnight.
const START_NS: u64 = 1_723_161_540_000_000_000;
const LENGTH_NS: u64 = 120_000_000_000;

pub(crate) struct Capture {
    pub(crate) lines: Vec<String>,
    pub(crate) trades: u64,
    pub(crate) quotes: u64,
    /// Levels of diffs and snapshot together: the rows of `book_deltas`.
    pub(crate) deltas: u64,
}

impl Capture {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        join_lines(&self.lines)
    }

    /// The rows of trades, quotes and book deltas that it must come to.
    pub(crate) fn rows(&self) -> [u64; 3] {
        [self.trades, self.quotes, self.deltas]
    }
}

/// Loads one file of the made-up market.
pub(crate) fn load(db: &Db, file: &Path) -> Run {
    db.load(VENUE, SYMBOL, [file])
}

/// The rows of the three keyed tables, to hold against [`Capture::rows`].
pub(crate) fn keyed_rows(db: &Db) -> [u64; 3] {
    KEYED.map(|table| db.count(&format!("SELECT count(*) FROM {table}")))
}

/// A receive time `n` nanoseconds into the capture, for lines that a test makes itself.
pub(crate) fn time_ns(n: u64) -> u64 {
    START_NS + n
}

/// A trade's line, with price, size and time in whatever digits the test wants.
pub(crate) fn trade_line(
    recv_ns: &str,
    id: &str,
    price: &str,
    size: &str,
    time_ms: &str,
) -> String {
    format!(
        "{recv_ns} {{\"stream\":\"testusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time_ms},\"s\":\"{SYMBOL}\",\
         \"t\":{id},\"p\":\"{price}\",\"q\":\"{size}\",\"T\":{time_ms},\"m\":true,\"M\":true}}}}"
    )
}

/// Ticks of 0.01 and lots of 0.00001, whole numbers so that nothing rounds.
type Side = BTreeMap<u64, u64>;

struct Market {
    rng: Rng,
    bids: Side,
    asks: Side,
    /// Changes since the last depth update: (is bid, tick) to lots.
    pending: BTreeMap<(bool, u64), u64>,
    update_id: u64,
    last_depth_id: u64,
    last_quote_id: u64,
    out: Capture,
}

/// A capture of `messages` lines.
pub(crate) fn capture(seed: u64, messages: usize) -> Capture {
    let mut market = Market::new(seed, messages);
    let step_ns = LENGTH_NS / u64::try_from(messages).unwrap().max(1);
    let mut recv_ns = START_NS;
    let mut depths = 0;
    for n in 0..messages {
        let what = market.rng.below(100);
        let json = match (n, what) {
            (8, _) => market.snapshot(),
            (..8, _) if n % 2 == 0 => market.depth(recv_ns),
            (_, ..20) => market.depth(recv_ns),
            (_, ..45) => market.trade(recv_ns),
            _ => market.quote(),
        };
        depths += usize::from(json.contains("depthUpdate"));
        market.out.lines.push(format!("{recv_ns} {json}"));
        recv_ns += step_ns;
    }
    assert!(messages < 100 || depths > 4, "a capture without a book");
    market.out
}

impl Market {
    fn new(seed: u64, messages: usize) -> Self {
        let mid = 6_000_000;
        Self {
            rng: Rng(seed),
            bids: (1..=40).map(|n| (mid - n, 1000 + n)).collect(),
            asks: (1..=40).map(|n| (mid + n, 1000 + n)).collect(),
            pending: BTreeMap::new(),
            update_id: 9_000_000,
            last_depth_id: 9_000_000,
            last_quote_id: 0,
            out: Capture {
                lines: Vec::with_capacity(messages),
                trades: 0,
                quotes: 0,
                deltas: 0,
            },
        }
    }

    fn best(&self) -> (u64, u64) {
        let bid = self.bids.last_key_value().unwrap();
        let ask = self.asks.first_key_value().unwrap();
        (*bid.0, *ask.0)
    }

    /// Sets one level (0 lots removes it) and counts it as one update of the venue's.
    fn set(&mut self, is_bid: bool, tick: u64, lots: u64) {
        let side = if is_bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        if lots == 0 {
            side.remove(&tick);
        } else {
            side.insert(tick, lots);
        }
        self.pending.insert((is_bid, tick), lots);
        self.update_id += 1;
    }

    /// One change that keeps the book uncrossed and deep enough.
    fn change(&mut self) {
        let (bid, ask) = self.best();
        let is_bid = self.rng.chance(500);
        let depth = u64::try_from(self.rng.below(40)).unwrap();
        let (tick, held) = if is_bid {
            (ask - 1 - depth, &self.bids)
        } else {
            (bid + 1 + depth, &self.asks)
        };
        let removes = held.len() > 20 && held.contains_key(&tick) && self.rng.chance(400);
        let lots = if removes {
            0
        } else {
            1 + u64::try_from(self.rng.below(500_000)).unwrap()
        };
        self.set(is_bid, tick, lots);
    }

    fn depth(&mut self, recv_ns: u64) -> String {
        for _ in 0..=self.rng.below(6) {
            self.change();
        }
        let first = self.last_depth_id + 1;
        self.last_depth_id = self.update_id;
        let pending = std::mem::take(&mut self.pending);
        self.out.deltas += u64::try_from(pending.len()).unwrap();
        let side = |is_bid: bool| {
            let levels = pending.iter().filter(|(key, _)| key.0 == is_bid);
            json_levels(levels.map(|(key, lots)| (key.1, *lots)))
        };
        format!(
            "{{\"stream\":\"testusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{SYMBOL}\",\
             \"U\":{first},\"u\":{},\"b\":{},\"a\":{}}}}}",
            recv_ns / 1_000_000,
            self.last_depth_id,
            side(true),
            side(false),
        )
    }

    fn snapshot(&mut self) -> String {
        self.out.deltas += u64::try_from(self.bids.len() + self.asks.len()).unwrap();
        format!(
            "{{\"lastUpdateId\":{},\"bids\":{},\"asks\":{}}}",
            self.update_id,
            json_levels(self.bids.iter().rev().map(|(tick, lots)| (*tick, *lots))),
            json_levels(self.asks.iter().map(|(tick, lots)| (*tick, *lots))),
        )
    }

    fn quote(&mut self) -> String {
        if self.last_quote_id == self.update_id {
            let (bid, _) = self.best();
            let lots = 1 + u64::try_from(self.rng.below(500_000)).unwrap();
            self.set(true, bid, lots);
        }
        self.last_quote_id = self.update_id;
        self.out.quotes += 1;
        let (bid, ask) = self.best();
        format!(
            "{{\"stream\":\"testusdt@bookTicker\",\"data\":{{\"u\":{},\"s\":\"{SYMBOL}\",\"b\":\"{}\",\"B\":\"{}\",\
             \"a\":\"{}\",\"A\":\"{}\"}}}}",
            self.update_id,
            price(bid),
            size(self.bids[&bid]),
            price(ask),
            size(self.asks[&ask]),
        )
    }

    fn trade(&mut self, recv_ns: u64) -> String {
        self.out.trades += 1;
        let (bid, ask) = self.best();
        let sells = self.rng.chance(500);
        let lots = 1 + u64::try_from(self.rng.below(100_000)).unwrap();
        format!(
            "{{\"stream\":\"testusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time},\"s\":\"{SYMBOL}\",\"t\":{},\
             \"p\":\"{}\",\"q\":\"{}\",\"T\":{time},\"m\":{sells},\"M\":true}}}}",
            1_000_000 + self.out.trades,
            price(if sells { bid } else { ask }),
            size(lots),
            time = recv_ns / 1_000_000,
        )
    }
}

fn price(tick: u64) -> String {
    format!("{}.{:02}000000", tick / 100, tick % 100)
}

fn size(lots: u64) -> String {
    format!("{}.{:05}000", lots / 100_000, lots % 100_000)
}

fn json_levels(levels: impl Iterator<Item = (u64, u64)>) -> String {
    let levels: Vec<String> = levels
        .map(|(tick, lots)| format!("[\"{}\",\"{}\"]", price(tick), size(lots)))
        .collect();
    format!("[{}]", levels.join(","))
}

/// The generator itself keeps to the venue's procedure; what fails later is then mdb's doing.
#[test]
fn the_made_up_market_is_consistent() {
    let capture = capture(1, 5_000);
    let expected = crate::wire::replay(&capture.lines, crate::wire::Rule::FirstLast);
    assert!(expected.gaps.is_empty());
    let shared = expected
        .tops
        .iter()
        .filter(|(id, _)| expected.quotes.contains_key(id))
        .count();
    assert!(
        shared > 50,
        "only {shared} tops share their id with a quote"
    );
    for (id, top) in &expected.tops {
        assert!(top.bid.0 < top.ask.0, "crossed at {id}");
        if let Some(quote) = expected.quotes.get(id) {
            assert_eq!(top, quote, "at {id}");
        }
    }
    assert_eq!(
        expected.quotes.len(),
        usize::try_from(capture.quotes).unwrap()
    );
}
