//! Every venue's folder reads its venue: recorded sessions, row by row against what their JSON says.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::Db;
use crate::recordings::{Expected, Message, Row, capture, double, expected, messages, recording};

/// A recording and how much it holds, counted apart from anything here.
struct Case {
    file: &'static str,
    venue: &'static str,
    messages: usize,
    trades: usize,
    quotes: usize,
    levels: usize,
    bars: usize,
}

const CASES: [Case; 5] = [
    Case {
        file: "BINANCE.ws.1.0.gz",
        venue: "binance_spot",
        messages: 265,
        trades: 2,
        quotes: 84,
        levels: 422,
        bars: 2,
    },
    Case {
        file: "COINBASE.ws.28.0.gz",
        venue: "coinbase",
        messages: 9_946,
        trades: 107,
        quotes: 107,
        levels: 18_081,
        bars: 0,
    },
    Case {
        file: "KRAKEN.ws.50.0.gz",
        venue: "kraken",
        messages: 4_321,
        trades: 0,
        quotes: 0,
        levels: 11_745,
        bars: 0,
    },
    Case {
        file: "OKX.ws.1.0.gz",
        venue: "okx",
        messages: 410,
        trades: 74,
        quotes: 28,
        levels: 8_264,
        bars: 0,
    },
    Case {
        file: "HITBTC.ws.1.0.gz",
        venue: "hitbtc",
        messages: 800,
        trades: 1_000,
        quotes: 203,
        levels: 10_515,
        bars: 1_000,
    },
];

/// What is compared of a table: its columns, and how many of them at the end are numbers.
pub(crate) struct Compared {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) numbers: usize,
}

pub(crate) const TRADES: Compared = Compared {
    table: "trades",
    columns: &[
        "symbol",
        "trade_id",
        "epoch_ns(ts)",
        "side",
        "array_to_string(conditions, '+')",
        "price",
        "size",
    ],
    numbers: 2,
};
pub(crate) const QUOTES: Compared = Compared {
    table: "quotes",
    columns: &[
        "symbol",
        "epoch_ns(ts)",
        "bid_price",
        "bid_size",
        "ask_price",
        "ask_size",
    ],
    numbers: 4,
};
pub(crate) const LEVELS: Compared = Compared {
    table: "book_deltas",
    columns: &[
        "symbol",
        "epoch_ns(ts)",
        "first_id",
        "last_id",
        "prev_id",
        "is_snapshot",
        "side",
        "checksum",
        "price",
        "size",
    ],
    numbers: 2,
};
pub(crate) const BARS: Compared = Compared {
    table: "bars",
    columns: &[
        "symbol",
        "\"interval\"",
        "epoch_ns(ts)",
        "is_final",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
    ],
    numbers: 6,
};
/// Which message of a capture a row was made from.
const NUMBER: &str = "seq - (SELECT min(seq) FROM raw_messages)";

/// What is stored, as [`Row::said`] says it; `first` is a column more, in front.
fn stored(db: &Db, first: Option<&str>, of: &Compared) -> Vec<String> {
    let columns: Vec<&str> = first.iter().chain(of.columns).copied().collect();
    let rows = db.sql(&format!("SELECT {} FROM {}", columns.join(", "), of.table));
    let mut rows: Vec<String> = rows.into_iter().map(|cells| in_words(cells, of)).collect();
    rows.sort_unstable();
    rows
}

/// A row's cells as [`Row::said`] says them.
pub(crate) fn in_words(mut cells: Vec<String>, of: &Compared) -> String {
    let first = cells.len() - of.numbers;
    for cell in &mut cells[first..] {
        *cell = double(cell);
    }
    cells.join("|")
}

fn said(rows: &[Row]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Row::said).collect();
    rows.sort_unstable();
    rows
}

#[track_caller]
fn assert_same(what: &str, got: &[String], want: &[String]) {
    if let Some(at) = (0..got.len().max(want.len())).find(|&i| got.get(i) != want.get(i)) {
        panic!(
            "{what}: {} rows stored, {} expected; the first difference is\n  {:?}\n  {:?}",
            got.len(),
            want.len(),
            got.get(at),
            want.get(at)
        );
    }
}

#[track_caller]
fn assert_stored(what: &str, db: &Db, want: &Expected) {
    assert_same(
        &format!("{what} trades"),
        &stored(db, None, &TRADES),
        &said(&want.trades),
    );
    assert_same(
        &format!("{what} quotes"),
        &stored(db, None, &QUOTES),
        &said(&want.quotes),
    );
    assert_same(
        &format!("{what} book"),
        &stored(db, Some(NUMBER), &LEVELS),
        &said(&want.levels),
    );
    assert_same(
        &format!("{what} bars"),
        &stored(db, None, &BARS),
        &said(&want.bars),
    );
}

/// A database with one capture in it.
fn loaded<'m>(venue: &str, messages: impl IntoIterator<Item = &'m Message>) -> Db {
    let db = Db::new();
    let file = db.write("capture", &capture(messages));
    load(&db, venue, None, &file);
    db
}

fn load(db: &Db, venue: &str, symbol: Option<&str>, file: &Path) {
    let mut args = vec!["load", "--as", "capture", "--venue", venue];
    args.extend(symbol.iter().flat_map(|symbol| ["--symbol", symbol]));
    args.push(file.to_str().unwrap());
    db.run(args).ok();
}

#[track_caller]
fn assert_clean(what: &str, db: &Db, messages: usize) {
    assert_eq!(
        db.count("SELECT count(*) FROM raw_messages"),
        messages as u64,
        "{what}"
    );
    let dead = db.sql("SELECT reason, payload FROM dead_letters LIMIT 3");
    assert!(dead.is_empty(), "{what}: dead letters: {dead:?}");
}

#[test]
fn recordings_come_out_as_their_messages_say() {
    for case in &CASES {
        let Some(path) = recording(case.file) else {
            continue;
        };
        let messages = messages(&path);
        let want = expected(case.venue, &messages);
        let counts = [&want.trades, &want.quotes, &want.levels, &want.bars].map(Vec::len);
        assert_eq!(messages.len(), case.messages, "{}", case.file);
        assert_eq!(
            counts,
            [case.trades, case.quotes, case.levels, case.bars],
            "{}",
            case.file
        );
        let db = loaded(case.venue, &messages);
        assert_clean(case.file, &db, case.messages);
        let levels = once(want.levels);
        assert_stored(case.file, &db, &Expected { levels, ..want });
    }
}

/// Levels of numbered updates and snapshots that were sent again count once.
fn once(levels: Vec<Row>) -> Vec<Row> {
    let mut seen = BTreeSet::new();
    let mut new = |row: &Row| {
        let last_id = &row.texts[4];
        let mut same = row.clone();
        same.texts[0].clear();
        last_id.is_empty() || seen.insert(same)
    };
    levels.into_iter().filter(|row| new(row)).collect()
}

#[test]
fn the_doubles_give_the_digits_of_the_wire_back() {
    for case in &CASES {
        let Some(path) = recording(case.file) else {
            continue;
        };
        let want = expected(case.venue, &messages(&path));
        for row in [want.trades, want.quotes, want.levels, want.bars]
            .iter()
            .flatten()
        {
            for wire in row.numbers.iter().filter(|number| !number.is_empty()) {
                let value: f64 = wire.parse().unwrap();
                let decimals = wire.split_once('.').map_or(0, |(_, digits)| digits.len());
                assert_eq!(format!("{value:.decimals$}"), *wire, "{}", case.file);
            }
        }
    }
}

#[test]
fn recorded_books_are_whole_and_never_crossed() {
    for (file, venue) in [
        ("COINBASE.ws.28.0.gz", "coinbase"),
        ("KRAKEN.ws.50.0.gz", "kraken"),
        ("HITBTC.ws.1.0.gz", "hitbtc"),
    ] {
        let Some(path) = recording(file) else {
            continue;
        };
        assert_book_is_whole(file, &loaded(venue, &messages(&path)), 10);
    }
}

/// Its updates have no ids; their checksums prove that none is missing.
#[test]
fn a_book_without_ids_is_proven_by_its_checksums() {
    if let Some(path) = recording("OKX.ws.1.0.gz") {
        assert_book_is_whole("okx", &loaded("okx", &messages(&path)), 3);
    }
}

#[track_caller]
fn assert_book_is_whole(what: &str, db: &Db, symbols: u64) {
    let events = db.sql("SELECT symbol, kind, detail FROM feed_events WHERE kind <> 'resync'");
    assert!(events.is_empty(), "{what}: {events:?}");
    let tops = "SELECT count(DISTINCT symbol) FROM book_tops";
    assert!(db.count(tops) > 0, "{what}: no book");
    let quiet = "SELECT count(DISTINCT symbol) FROM book_deltas";
    assert_eq!(db.count(quiet), symbols, "{what}");
    let crossed = "SELECT count(*) FROM book_tops WHERE bid_price >= ask_price";
    assert_eq!(db.count(crossed), 0, "{what}");
}

/// REST answers do not name their symbol: each is loaded on its own, then the stream.
#[test]
fn snapshots_of_several_symbols_join_one_stream() {
    let (Some(stream), Some(answers)) = (
        recording("BINANCE.ws.1.0.gz"),
        recording("BINANCE.http.0.0.gz"),
    ) else {
        return;
    };
    let (stream, answers) = (messages(&stream), messages(&answers));
    let db = Db::new();
    for answer in &answers {
        let symbol = answer.symbol.as_deref().unwrap();
        let file = db.write(symbol, &capture([answer]));
        load(&db, "binance_spot", Some(symbol), &file);
    }
    let file = db.write("stream", &capture(&stream));
    load(&db, "binance_spot", None, &file);
    assert_clean("BINANCE", &db, answers.len() + stream.len());
    let all: Vec<Message> = answers.into_iter().chain(stream).collect();
    assert_stored("BINANCE", &db, &expected("binance_spot", &all));
    assert_book_is_whole("BINANCE", &db, 4);
    assert_eq!(db.count("SELECT count(DISTINCT symbol) FROM book_tops"), 4);
}

/// Two connections to the same channels at once, one after the other or mixed: each trade, quote, level and bar of
/// either is stored once.
#[test]
fn two_connections_to_the_same_channels_equal_their_union() {
    let (Some(one), Some(other)) = (recording("HITBTC.ws.1.0.gz"), recording("HITBTC.ws.2.0.gz"))
    else {
        return;
    };
    let (one, other) = (messages(&one), messages(&other));
    let both = one.len() + other.len();
    let mut mixed: Vec<&Message> = one.iter().chain(&other).collect();
    mixed.sort_by_key(|message| message.ns);
    let after_another: Vec<&Message> = one.iter().chain(&other).collect();
    let union = union(&[expected("hitbtc", &one), expected("hitbtc", &other)]);
    assert_eq!(
        union.quotes.len(),
        204,
        "one quote of each is not in the other"
    );
    for messages in [mixed, after_another] {
        let db = loaded("hitbtc", messages);
        assert_clean("HITBTC", &db, both);
        assert_same("trades", &stored(&db, None, &TRADES), &said(&union.trades));
        assert_same("quotes", &stored(&db, None, &QUOTES), &said(&union.quotes));
        assert_same(
            "book",
            &stored(&db, Some("''"), &LEVELS),
            &said(&union.levels),
        );
        assert_same("bars", &stored(&db, None, &BARS), &said(&union.bars));
        assert_book_is_whole("HITBTC", &db, 10);
    }
}

/// Each row once, whatever message it came with.
fn union(of: &[Expected]) -> Expected {
    let rows = |rows: fn(&Expected) -> &Vec<Row>| -> Vec<Row> {
        let all = of.iter().flat_map(rows).cloned();
        all.collect::<BTreeSet<Row>>().into_iter().collect()
    };
    let levels = |mut row: Row| {
        row.texts[0].clear();
        row
    };
    Expected {
        trades: rows(|e| &e.trades),
        quotes: rows(|e| &e.quotes),
        levels: rows(|e| &e.levels)
            .into_iter()
            .map(levels)
            .collect::<BTreeSet<Row>>()
            .into_iter()
            .collect(),
        bars: rows(|e| &e.bars),
    }
}
