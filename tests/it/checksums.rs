//! Book checksums on recorded sessions, read here from the wire without any SQL (issue 3, item 1): the
//! engine finds every one of them right, and whatever is changed or left out, it notices with the next one
//! that covers it.

use std::collections::BTreeMap;

use mdb::book::{Book, Changes, Digits, Level, Output, Rules, Side, Update};
use mdb::model::Sequencing;
use mdb::venues::feed::{Checksum, ChecksumOrder};
use serde_json::Value;

use crate::harness::{Rng, read_lines, recorded};

/// A session's book messages by symbol, in order, and the rules they follow.
struct Session {
    rules: Rules,
    depth: u32,
    books: BTreeMap<String, Vec<Message>>,
}

#[derive(Clone)]
struct Message {
    is_snapshot: bool,
    checksum: Option<u32>,
    levels: Vec<(Side, String, String)>,
}

/// The levels of a book, by price in 10⁻¹² of its currency, as the wire wrote them.
#[derive(Clone, Default)]
struct Replica {
    bids: BTreeMap<u128, (String, String)>,
    asks: BTreeMap<u128, (String, String)>,
}

fn key(price: &str) -> u128 {
    let (whole, part) = price.split_once('.').unwrap_or((price, ""));
    format!("{whole}{part:0<12}").parse().unwrap()
}

impl Replica {
    fn apply(&mut self, message: &Message) {
        if message.is_snapshot {
            *self = Self::default();
        }
        for (side, price, size) in &message.levels {
            let levels = match side {
                Side::Bid => &mut self.bids,
                Side::Ask => &mut self.asks,
            };
            if size.chars().all(|c| c == '0' || c == '.') {
                levels.remove(&key(price));
            } else {
                levels.insert(key(price), (price.clone(), size.clone()));
            }
        }
    }

    /// What the checksum of `rules` covers.
    fn covered(&self, rule: &Checksum) -> String {
        let number = |text: &String| {
            if rule.digits_only {
                text.replace('.', "").trim_start_matches('0').to_owned()
            } else {
                text.clone()
            }
        };
        let texts = |(price, size): &(String, String)| {
            format!("{}{}{}", number(price), rule.separator, number(size))
        };
        let bids: Vec<_> = self
            .bids
            .values()
            .rev()
            .take(rule.levels)
            .map(texts)
            .collect();
        let asks: Vec<_> = self.asks.values().take(rule.levels).map(texts).collect();
        let all = match rule.order {
            ChecksumOrder::AsksBids => [asks, bids].concat(),
            ChecksumOrder::Alternating => (0..rule.levels)
                .flat_map(|i| [bids.get(i), asks.get(i)])
                .flatten()
                .cloned()
                .collect(),
        };
        all.join(&rule.separator)
    }

    /// The whole book as a message.
    fn snapshot(&self) -> Message {
        let side = |side, levels: &BTreeMap<u128, (String, String)>| {
            let levels: Vec<_> = levels.values().cloned().collect();
            levels
                .into_iter()
                .map(move |(price, size)| (side, price, size))
        };
        Message {
            is_snapshot: true,
            checksum: None,
            levels: side(Side::Bid, &self.bids)
                .chain(side(Side::Ask, &self.asks))
                .collect(),
        }
    }
}

/// The messages that the venue sent in a recorded session.
fn received(file: &str) -> Option<impl Iterator<Item = Value>> {
    let lines = read_lines(&recorded(&format!("multi/{file}"))?);
    Some(lines.into_iter().filter_map(|line| {
        let (head, body) = line.split_once(": ")?;
        if head.contains("<-") {
            return None;
        }
        serde_json::from_str(body).ok()
    }))
}

fn levels(side: Side, array: &Value) -> impl Iterator<Item = (Side, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let levels = array.as_array().map_or(&[] as &[_], |levels| levels);
    levels
        .iter()
        .map(move |level| (side, text(&level[0]), text(&level[1])))
}

/// Ten levels, asks first, digits only; no numbers.
fn ten_levels() -> Option<Session> {
    let mut books: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in received("KRAKEN.ws.50.0.gz")? {
        let Some([_, parts @ .., _, symbol]) = message.as_array().map(Vec::as_slice) else {
            continue;
        };
        let part = |name: &str| {
            parts
                .iter()
                .find_map(|part| part.get(name))
                .unwrap_or(&Value::Null)
        };
        let is_snapshot = !part("as").is_null();
        let (bids, asks) = if is_snapshot {
            ("bs", "as")
        } else {
            ("b", "a")
        };
        let bids = levels(Side::Bid, part(bids));
        let levels = bids.chain(levels(Side::Ask, part(asks))).collect();
        let checksum = part("c").as_str().map(|sum| sum.parse().unwrap());
        let message = Message {
            is_snapshot,
            checksum,
            levels,
        };
        books.entry(symbol.to_string()).or_default().push(message);
    }
    let checksum = Checksum {
        levels: 10,
        order: ChecksumOrder::AsksBids,
        separator: String::new(),
        digits_only: true,
    };
    Some(Session {
        rules: Rules {
            sequencing: Sequencing::None,
            in_band: true,
            checksum: Some(checksum),
        },
        depth: 1000,
        books,
    })
}

/// Twenty-five levels, alternating, as sent. Each update names the one before it by now; then it did not.
fn alternating() -> Option<Session> {
    let mut books: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for frame in received("OKX.ws.1.0.gz")? {
        let arg = &frame["arg"];
        if arg["channel"] != "books" {
            continue;
        }
        for book in frame["data"].as_array().into_iter().flatten() {
            let bids = levels(Side::Bid, &book["bids"]);
            let checksum = i32::try_from(book["checksum"].as_i64().unwrap()).unwrap();
            let message = Message {
                is_snapshot: frame["action"] == "snapshot",
                checksum: Some(checksum.cast_unsigned()),
                levels: bids.chain(levels(Side::Ask, &book["asks"])).collect(),
            };
            let symbol = arg["instId"].to_string();
            books.entry(symbol).or_default().push(message);
        }
    }
    let checksum = Checksum {
        levels: 25,
        order: ChecksumOrder::Alternating,
        separator: ":".to_owned(),
        digits_only: false,
    };
    Some(Session {
        rules: Rules {
            sequencing: Sequencing::Prev,
            in_band: true,
            checksum: Some(checksum),
        },
        depth: 400,
        books,
    })
}

impl Session {
    fn checksum(&self) -> &Checksum {
        self.rules.checksum.as_ref().unwrap()
    }
}

/// What the engine says of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    tops: usize,
    gaps: usize,
    checksums: u64,
}

/// The engine over one symbol's messages.
struct Engine<'a> {
    session: &'a Session,
    book: Book,
    seq: u64,
}

impl<'a> Engine<'a> {
    fn new(session: &'a Session) -> Self {
        Self {
            session,
            book: Book::default(),
            seq: 0,
        }
    }

    fn apply(&mut self, message: &Message) -> Said {
        self.seq += 1;
        let update = Update {
            seq: self.seq,
            ts: i64::try_from(self.seq).unwrap(),
            recv_ts: 0,
            first_id: None,
            last_id: None,
            prev_id: None,
            is_snapshot: message.is_snapshot,
            checksum: message.checksum,
            depth: Some(self.session.depth),
        };
        let checksum = self.session.checksum();
        let (mut levels, mut digits) = (Vec::new(), Vec::new());
        for (side, price, size) in &message.levels {
            let level = Level {
                price: price.parse().unwrap(),
                size: size.parse().unwrap(),
            };
            levels.push((*side, level));
            digits.push(Digits::of(checksum, price, size));
        }
        let changes = Changes {
            levels: &levels,
            digits: &digits,
        };
        let (mut out, before) = (Vec::new(), self.book.checksums());
        self.book
            .apply(&self.session.rules, &update, changes, &mut out);
        let count = |of: fn(&Output) -> bool| out.iter().filter(|&output| of(output)).count();
        Said {
            tops: count(|output| matches!(output, Output::Top(_))),
            gaps: count(|output| matches!(output, Output::Gap { .. })),
            checksums: self.book.checksums() - before,
        }
    }
}

#[test]
fn every_checksum_of_the_recorded_sessions_is_right() {
    for (session, expected) in [(ten_levels(), 4269), (alternating(), 290)] {
        let Some(session) = session else { continue };
        let mut right = 0;
        for (symbol, messages) in &session.books {
            let (mut engine, mut replica) = (Engine::new(&session), Replica::default());
            for (i, message) in messages.iter().enumerate() {
                let said = engine.apply(message);
                assert_eq!((said.tops, said.gaps), (1, 0), "{symbol} {i}");
                replica.apply(message);
                let best = |side: &mdb::book::Ladder| side.best().map(|level| level.price);
                let price = |level: Option<(&u128, &(String, String))>| {
                    level.map(|(_, (price, _))| price.parse::<f64>().unwrap())
                };
                assert_eq!(
                    best(engine.book.bids()),
                    price(replica.bids.last_key_value())
                );
                assert_eq!(
                    best(engine.book.asks()),
                    price(replica.asks.first_key_value())
                );
                right += said.checksums;
            }
        }
        assert_eq!(right, expected);
    }
}

/// Replaces one digit of a size by another one that is not 0 either.
fn altered(size: &str) -> String {
    let at = size.rfind(|c| ('1'..='9').contains(&c)).unwrap();
    let digit = size.as_bytes()[at] - b'0';
    format!("{}{}{}", &size[..at], digit % 9 + 1, &size[at + 1..])
}

#[test]
fn what_is_altered_or_lost_is_noticed_by_the_next_checksum_that_covers_it() {
    for session in [ten_levels(), alternating()].into_iter().flatten() {
        let mut rng = Rng(4269);
        let (mut at_once, mut noticed) = (0, 0);
        for (symbol, clean) in &session.books {
            for _ in 0..40 {
                let at = 1 + rng.below(clean.len() - 2);
                let mut messages = clean.clone();
                let lost = rng.chance(500);
                if lost {
                    messages[at].levels.clear();
                    messages[at].checksum = None;
                } else {
                    let sizes = messages[at].levels.iter_mut().map(|(_, _, size)| size);
                    let Some(size) = sizes.rev().find(|size| key(size) != 0) else {
                        continue;
                    };
                    *size = altered(size);
                }
                let what = format!("{symbol} at {at}, lost: {lost}");
                let Some(first) = first_difference(&session, clean, &messages) else {
                    continue;
                };
                if first + 1 == clean.len() {
                    continue;
                }
                noticed += 1;
                at_once += usize::from(first - at <= usize::from(lost));
                let healed = (first + 1 + rng.below(20)).min(clean.len() - 1);
                messages[healed] = snapshot_at(clean, healed);
                check_gap(
                    &session,
                    &messages,
                    lost.then_some(at),
                    first,
                    healed,
                    &what,
                );
            }
        }
        // Most of what happens to a book happens near its best prices.
        assert!(
            at_once > noticed / 2 && noticed > 50,
            "{at_once} of {noticed}"
        );
    }
}

/// The first message whose checksum covers something that differs.
fn first_difference(session: &Session, clean: &[Message], messages: &[Message]) -> Option<usize> {
    let (mut right, mut wrong) = (Replica::default(), Replica::default());
    let rule = session.checksum();
    clean.iter().zip(messages).position(|(one, other)| {
        right.apply(one);
        wrong.apply(other);
        other.checksum.is_some() && right.covered(rule) != wrong.covered(rule)
    })
}

/// The whole book after a message, with a checksum where the session's snapshots have one.
fn snapshot_at(clean: &[Message], at: usize) -> Message {
    let mut replica = Replica::default();
    clean[..=at]
        .iter()
        .for_each(|message| replica.apply(message));
    Message {
        checksum: clean[0].checksum.and(clean[at].checksum),
        ..replica.snapshot()
    }
}

fn check_gap(
    session: &Session,
    messages: &[Message],
    lost: Option<usize>,
    first: usize,
    healed: usize,
    what: &str,
) {
    let mut engine = Engine::new(session);
    for (i, message) in messages.iter().enumerate() {
        if lost == Some(i) {
            continue;
        }
        let said = engine.apply(message);
        let silent = i >= first && i < healed;
        let expected = Said {
            tops: usize::from(!silent),
            gaps: usize::from(i == first),
            checksums: u64::from(!silent && message.checksum.is_some()),
        };
        assert_eq!(said, expected, "{what}: message {i}");
        assert_eq!(engine.book.in_sync(), !silent, "{what}: message {i}");
    }
}
