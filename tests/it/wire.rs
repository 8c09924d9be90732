//! The recorded messages, read by hand, and an order book of a few lines: what the tests hold mdb's
//! answers against. Shares nothing with mdb, neither code nor its SQL.

use std::collections::{BTreeMap, BTreeSet};

/// How consecutive depth updates name each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `U` = previous `u` + 1.
    FirstLast,
    /// `pu` = previous `u`.
    Prev,
}

/// A price and a size, in the wire's own digits.
pub(crate) type Level<'a> = (&'a str, &'a str);

pub(crate) enum Message<'a> {
    Trade {
        id: &'a str,
        price: &'a str,
        size: &'a str,
    },
    Quote {
        id: u64,
        bid: Level<'a>,
        ask: Level<'a>,
    },
    Depth(Depth<'a>),
}

/// A depth update, or (`snapshot`) the REST answer that a book starts from.
pub(crate) struct Depth<'a> {
    pub(crate) snapshot: bool,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) prev: Option<u64>,
    pub(crate) bids: Vec<Level<'a>>,
    pub(crate) asks: Vec<Level<'a>>,
}

/// Reads one capture line, `<recv_ns> <json>`.
pub(crate) fn parse(line: &str) -> Message<'_> {
    let (_, json) = line.split_once(' ').expect("a time and a message");
    if json.starts_with("{\"lastUpdateId\":") {
        let id = number(json, "lastUpdateId").expect("lastUpdateId");
        return Message::Depth(Depth {
            snapshot: true,
            first: id,
            last: id,
            prev: None,
            bids: levels(json, "bids"),
            asks: levels(json, "asks"),
        });
    }
    if json.contains("\"e\":\"depthUpdate\"") {
        return Message::Depth(Depth {
            snapshot: false,
            first: number(json, "U").expect("U"),
            last: number(json, "u").expect("u"),
            prev: number(json, "pu"),
            bids: levels(json, "b"),
            asks: levels(json, "a"),
        });
    }
    if json.contains("\"e\":\"trade\"") {
        return Message::Trade {
            id: digits(json, "t").expect("t"),
            price: string(json, "p"),
            size: string(json, "q"),
        };
    }
    Message::Quote {
        id: number(json, "u").expect("u"),
        bid: (string(json, "b"), string(json, "B")),
        ask: (string(json, "a"), string(json, "A")),
    }
}

/// True for a depth update that is no snapshot: the lines whose loss is a gap.
pub(crate) fn is_diff(line: &str) -> bool {
    line.contains("\"e\":\"depthUpdate\"")
}

fn value<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let key = format!("\"{key}\":");
    json.find(&key).map(|at| &json[at + key.len()..])
}

fn digits<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let rest = value(json, key)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some(&rest[..end])
}

fn number(json: &str, key: &str) -> Option<u64> {
    digits(json, key)?.parse().ok()
}

fn string<'a>(json: &'a str, key: &str) -> &'a str {
    value(json, key)
        .and_then(|rest| rest.strip_prefix('"'))
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("no string {key:?} in {json}"))
}

/// `"key":[["price","size"],…]`: the texts between quotes up to the closing brackets, in pairs.
fn levels<'a>(json: &'a str, key: &str) -> Vec<Level<'a>> {
    let list = value(json, key).unwrap_or_else(|| panic!("no list {key:?} in {json}"));
    if list.starts_with("[]") {
        return Vec::new();
    }
    let end = list.find("]]").expect("a closed list");
    let texts: Vec<&str> = list[..end].split('"').skip(1).step_by(2).collect();
    texts
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

/// Best bid and ask with their sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Top {
    pub(crate) bid: (f64, f64),
    pub(crate) ask: (f64, f64),
}

fn float(text: &str) -> f64 {
    text.parse().expect("a number")
}

/// Prices are positive, so their bit patterns sort as they do.
#[derive(Default)]
struct Book {
    bids: BTreeMap<u64, f64>,
    asks: BTreeMap<u64, f64>,
}

impl Book {
    fn apply(&mut self, depth: &Depth<'_>) {
        for (side, levels) in [(&mut self.bids, &depth.bids), (&mut self.asks, &depth.asks)] {
            for (price, size) in levels {
                let size = float(size);
                if size == 0.0 {
                    side.remove(&float(price).to_bits());
                } else {
                    side.insert(float(price).to_bits(), size);
                }
            }
        }
    }

    fn top(&self) -> Top {
        let level = |entry: Option<(&u64, &f64)>| {
            let (price, size) = entry.expect("a level on each side");
            (f64::from_bits(*price), *size)
        };
        Top {
            bid: level(self.bids.last_key_value()),
            ask: level(self.asks.first_key_value()),
        }
    }
}

/// A discontinuity as `feed_events` must report it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Ids the report may start from: one, save where the loss overlaps the snapshot, which covers its
    /// first part already.
    pub(crate) from: BTreeSet<u64>,
    pub(crate) to: u64,
}

/// What a stream of lines must come to.
#[derive(Default)]
pub(crate) struct Expected {
    /// The top after each update that arrived while the book was in sequence, by update id.
    pub(crate) tops: BTreeMap<u64, Top>,
    /// The tops of the snapshot and of updates that waited for it: right if reported, but a book that
    /// reports only its state after the whole catch-up is right too.
    pub(crate) catch_up: BTreeMap<u64, Top>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) quotes: BTreeMap<u64, Top>,
    /// Levels on the bid and the ask side at the end.
    pub(crate) levels: (usize, usize),
}

/// The book's state while lines go by.
enum State {
    /// No snapshot yet.
    Waiting,
    /// The snapshot's id; no update applied on top of it yet.
    Snapshot(u64),
    /// The id of the update applied last.
    Following(u64),
    /// A gap: nothing can be said until another snapshot.
    Broken,
}

struct Replay<'a> {
    rule: Rule,
    book: Book,
    state: State,
    waiting: Vec<Depth<'a>>,
    last_seen: Option<u64>,
    /// The first update after the snapshot named it as its predecessor but does not contain its id: right
    /// by logic, short of the documented procedure, so a book may or may not go on from there.
    disputed: bool,
    out: Expected,
}

/// Applies the venue's documented procedure to `lines`.
pub(crate) fn replay<S: AsRef<str>>(lines: &[S], rule: Rule) -> Expected {
    let mut replay = Replay {
        rule,
        book: Book::default(),
        state: State::Waiting,
        waiting: Vec::new(),
        last_seen: None,
        disputed: false,
        out: Expected::default(),
    };
    for line in lines {
        match parse(line.as_ref()) {
            Message::Trade { .. } => {}
            Message::Quote { id, bid, ask } => {
                let pair = |(price, size)| (float(price), float(size));
                let top = Top {
                    bid: pair(bid),
                    ask: pair(ask),
                };
                replay.out.quotes.insert(id, top);
            }
            Message::Depth(depth) if depth.snapshot => replay.snapshot(&depth),
            Message::Depth(depth) => replay.update(depth),
        }
    }
    replay.out.levels = (replay.book.bids.len(), replay.book.asks.len());
    replay.out
}

impl<'a> Replay<'a> {
    fn snapshot(&mut self, depth: &Depth<'_>) {
        self.book = Book::default();
        self.book.apply(depth);
        self.state = State::Snapshot(depth.last);
        self.out.catch_up.insert(depth.last, self.book.top());
        for update in std::mem::take(&mut self.waiting) {
            if self.step(&update, false) {
                self.out.catch_up.insert(update.last, self.book.top());
            }
        }
    }

    fn update(&mut self, depth: Depth<'a>) {
        let broken = match self.last_seen {
            Some(last) if !self.follows(&depth, last) => Some(last),
            _ => None,
        };
        if let Some(last) = broken {
            self.report(&depth, last);
        }
        self.last_seen = Some(depth.last);
        if matches!(self.state, State::Waiting) {
            self.waiting.push(depth);
        } else if self.step(&depth, broken.is_none()) {
            let tops = if self.disputed {
                &mut self.out.catch_up
            } else {
                &mut self.out.tops
            };
            tops.insert(depth.last, self.book.top());
        }
    }

    /// Applies `depth` if the book can take it; `report` says whether a hole is to be noted here.
    fn step(&mut self, depth: &Depth<'_>, report: bool) -> bool {
        let fits = match self.state {
            State::Waiting | State::Broken => return false,
            State::Snapshot(id) if self.is_stale(depth, id) => return false,
            State::Snapshot(id) => {
                self.disputed = !self.bridges(depth, id) && depth.prev == Some(id);
                self.disputed || self.bridges(depth, id)
            }
            State::Following(id) => self.follows(depth, id),
        };
        if fits {
            self.book.apply(depth);
            self.state = State::Following(depth.last);
        } else {
            if let (true, State::Snapshot(id)) = (report, &self.state) {
                self.report(depth, *id);
            }
            self.state = State::Broken;
        }
        fits
    }

    fn report(&mut self, depth: &Depth<'_>, last: u64) {
        let ids = |last: u64| match self.rule {
            Rule::FirstLast => (last + 1, depth.first - 1),
            Rule::Prev => (last, depth.prev.expect("pu")),
        };
        let (from, to) = ids(last);
        let mut from = BTreeSet::from([from]);
        if let State::Snapshot(id) = self.state {
            from.insert(ids(id).0);
        }
        self.out.gaps.push(Gap { from, to });
    }

    fn follows(&self, depth: &Depth<'_>, last: u64) -> bool {
        match self.rule {
            Rule::FirstLast => depth.first == last + 1,
            Rule::Prev => depth.prev == Some(last),
        }
    }

    fn is_stale(&self, depth: &Depth<'_>, snapshot: u64) -> bool {
        match self.rule {
            Rule::FirstLast => depth.last <= snapshot,
            Rule::Prev => depth.last < snapshot,
        }
    }

    fn bridges(&self, depth: &Depth<'_>, snapshot: u64) -> bool {
        let id = match self.rule {
            Rule::FirstLast => snapshot + 1,
            Rule::Prev => snapshot,
        };
        depth.first <= id && id <= depth.last
    }
}
