//! The recorded files come out exact: counts, sums, every price and size, and a book that equals the
//! venue's own best bid and ask (issue 2, items 1 and 2).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::harness::{Db, Rng, gzip, join_lines, read_lines, real};
use crate::wire::{Message, Rule, Top, is_diff, parse, replay};

/// One file and what `real/README.md` lists for it.
struct Case {
    file: &'static str,
    venue: &'static str,
    symbol: &'static str,
    rule: Rule,
    lines: u64,
    trades: u64,
    sum_size: f64,
    sum_notional: f64,
    quotes: u64,
    levels: u64,
    book: Option<BookFacts>,
}

struct BookFacts {
    snapshot: u64,
    comparisons: usize,
    last_id: u64,
    best: (f64, f64),
    levels: (u64, u64),
}

const CASES: [Case; 3] = [
    Case {
        file: "spot_btcusdt_20240808.gz",
        venue: "binance_spot",
        symbol: "BTCUSDT",
        rule: Rule::FirstLast,
        lines: 41_249,
        trades: 9_757,
        sum_size: 212.033_15,
        sum_notional: 13_084_074.112_388_6,
        quotes: 28_040,
        levels: 124_090,
        book: Some(BookFacts {
            snapshot: 50_093_239_218,
            comparisons: 564,
            last_id: 50_093_421_584,
            best: (61_685.99, 61_686.00),
            levels: (1_209, 2_196),
        }),
    },
    Case {
        file: "spot_btcusdt_20240809.gz",
        venue: "binance_spot",
        symbol: "BTCUSDT",
        rule: Rule::FirstLast,
        lines: 58_325,
        trades: 10_147,
        sum_size: 225.882_37,
        sum_notional: 13_922_855.478_646_2,
        quotes: 45_134,
        levels: 174_021,
        book: None,
    },
    Case {
        file: "usdm_ethusdt_20240808.gz",
        venue: "binance_usdm",
        symbol: "ETHUSDT",
        rule: Rule::Prev,
        lines: 74_655,
        trades: 14_076,
        sum_size: 9_164.948,
        sum_notional: 24_574_856.514_2,
        quotes: 53_992,
        levels: 428_662,
        book: Some(BookFacts {
            snapshot: 5_123_107_856_276,
            comparisons: 551,
            last_id: 5_123_135_545_737,
            best: (2_681.38, 2_681.39),
            levels: (3_181, 3_013),
        }),
    },
];

/// The cases whose file is there.
fn present() -> impl Iterator<Item = (&'static Case, PathBuf)> {
    static CASES_HERE: [Case; 3] = CASES;
    CASES_HERE
        .iter()
        .filter_map(|case| real(case.file).map(|path| (case, path)))
}

fn loaded(case: &Case, path: &PathBuf) -> Db {
    let db = Db::new();
    db.load(case.venue, case.symbol, [path]).ok();
    db
}

fn close(got: &str, want: f64) -> bool {
    let got: f64 = got.parse().unwrap();
    (got - want).abs() <= 1e-9 * want.abs()
}

#[test]
fn counts_and_sums_equal_the_recorders_table() {
    for (case, path) in present() {
        let db = loaded(case, &path);
        let of = format!("venue = '{}' AND symbol = '{}'", case.venue, case.symbol);
        let trades = db.row(&format!(
            "SELECT count(*), count(DISTINCT trade_id), sum(size), sum(price * size) FROM trades WHERE {of}"
        ));
        assert_eq!(trades[0], case.trades.to_string(), "{}", case.file);
        assert_eq!(trades[1], trades[0], "{}: a trade id twice", case.file);
        assert!(
            close(&trades[2], case.sum_size),
            "{}: sum(size) {}",
            case.file,
            trades[2]
        );
        assert!(
            close(&trades[3], case.sum_notional),
            "{}: sum(price * size) {}",
            case.file,
            trades[3]
        );
        let count = |table: &str, condition: &str| {
            db.count(&format!("SELECT count(*) FROM {table} WHERE {condition}"))
        };
        assert_eq!(count("quotes", &of), case.quotes, "{}", case.file);
        assert_eq!(
            count("book_deltas", &format!("{of} AND NOT is_snapshot")),
            case.levels,
            "{}",
            case.file
        );
        assert_eq!(count("raw_messages", "true"), case.lines, "{}", case.file);
        assert_eq!(count("dead_letters", "true"), 0, "{}", case.file);
        assert_eq!(count("feed_events", "kind = 'gap'"), 0, "{}", case.file);
        for table in ["trades", "quotes", "book_deltas", "book_tops"] {
            assert_eq!(
                count(table, &format!("NOT ({of})")),
                0,
                "{}: {table} of another symbol",
                case.file
            );
        }
    }
}

#[test]
fn raw_messages_hold_the_lines_verbatim() {
    for (case, path) in present() {
        let db = loaded(case, &path);
        let lines = read_lines(&path);
        let rows = db.sql("SELECT epoch_ns(recv_ts), payload FROM raw_messages ORDER BY seq");
        assert_eq!(rows.len(), lines.len(), "{}", case.file);
        for (row, line) in rows.iter().zip(&lines) {
            assert_eq!(format!("{} {}", row[0], row[1]), *line, "{}", case.file);
        }
    }
}

/// The digits after the point.
fn decimals(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, digits)| digits.len())
}

/// `double` in as many decimals as `like` has.
fn in_digits(double: &str, like: &str) -> String {
    let value: f64 = double.parse().unwrap();
    format!("{value:.*}", decimals(like))
}

#[test]
fn every_price_and_size_of_the_wire_comes_back_from_the_double() {
    for (case, path) in present() {
        let db = loaded(case, &path);
        let lines = read_lines(&path);
        let mut trades = BTreeMap::new();
        let mut quotes = BTreeMap::new();
        let mut deltas = BTreeMap::new();
        for line in &lines {
            match parse(line) {
                Message::Trade { id, price, size } => {
                    trades.insert(id.to_owned(), vec![price, size]);
                }
                Message::Quote { id, bid, ask } => {
                    quotes.insert(id.to_string(), vec![bid.0, bid.1, ask.0, ask.1]);
                }
                Message::Depth(depth) => {
                    for (side, levels) in [("bid", &depth.bids), ("ask", &depth.asks)] {
                        for (price, size) in levels {
                            let bits = price.parse::<f64>().unwrap().to_bits();
                            let key = format!("{} {} {side} {bits}", depth.last, depth.snapshot);
                            deltas.insert(key, vec![*price, *size]);
                        }
                    }
                }
            }
        }
        let check = |table: &str,
                     wire: &BTreeMap<String, Vec<&str>>,
                     rows: Vec<Vec<String>>,
                     key: usize| {
            assert_eq!(rows.len(), wire.len(), "{}: {table}", case.file);
            for row in rows {
                let (id, values) = if table == "book_deltas" {
                    let bits = row[3].parse::<f64>().unwrap().to_bits();
                    (
                        format!("{} {} {} {bits}", row[0], row[1], row[2]),
                        &row[3..],
                    )
                } else {
                    (row[0].clone(), &row[key..])
                };
                let Some(texts) = wire.get(&id) else {
                    panic!("{}: {table} holds {id}, which the file does not", case.file);
                };
                for (value, text) in values.iter().zip(texts) {
                    assert_eq!(in_digits(value, text), *text, "{}: {table} {id}", case.file);
                }
            }
        };
        let rows = db.sql("SELECT trade_id, price, size FROM trades");
        check("trades", &trades, rows, 1);
        let rows = db.sql("SELECT update_id, bid_price, bid_size, ask_price, ask_size FROM quotes");
        check("quotes", &quotes, rows, 1);
        let rows = db.sql("SELECT last_id, is_snapshot, side, price, size FROM book_deltas");
        check("book_deltas", &deltas, rows, 3);
    }
}

/// The emitted tops in order: update id, top.
fn tops(db: &Db) -> Vec<(u64, Top)> {
    db.sql("SELECT last_id, bid_price, bid_size, ask_price, ask_size FROM book_tops ORDER BY seq, last_id")
        .into_iter()
        .map(|row| {
            let number = |n: usize| row[n].parse::<f64>().unwrap();
            let top = Top {
                bid: (number(1), number(2)),
                ask: (number(3), number(4)),
            };
            (row[0].parse().unwrap(), top)
        })
        .collect()
}

/// The oracle of these tests meets the recorder's figures by itself, without mdb.
#[test]
fn the_oracle_is_right() {
    for (case, path) in present() {
        let expected = replay(&read_lines(&path), case.rule);
        assert!(expected.gaps.is_empty(), "{}", case.file);
        assert_eq!(expected.quotes.len() as u64, case.quotes, "{}", case.file);
        let Some(facts) = &case.book else {
            assert!(expected.tops.is_empty(), "{}", case.file);
            continue;
        };
        let shared = expected
            .tops
            .iter()
            .filter_map(|(id, top)| Some((top, expected.quotes.get(id)?)));
        let equal = shared.clone().filter(|(top, quote)| top == quote).count();
        assert_eq!(
            (shared.count(), equal),
            (facts.comparisons, facts.comparisons),
            "{}",
            case.file
        );
        let (last_id, last) = expected.tops.last_key_value().unwrap();
        assert_eq!(
            (*last_id, (last.bid.0, last.ask.0)),
            (facts.last_id, facts.best),
            "{}",
            case.file
        );
        let levels = (expected.levels.0 as u64, expected.levels.1 as u64);
        assert_eq!(levels, facts.levels, "{}", case.file);
    }
}

#[test]
fn the_book_equals_the_venues_quotes_of_the_same_update() {
    for (case, path) in present() {
        let db = loaded(case, &path);
        let Some(facts) = &case.book else {
            assert_eq!(
                db.count("SELECT count(*) FROM book_tops"),
                0,
                "{}: a top without a snapshot",
                case.file
            );
            continue;
        };
        let joined = db.row(
            "SELECT count(*), count(*) FILTER (t.bid_price = q.bid_price AND t.bid_size = q.bid_size \
             AND t.ask_price = q.ask_price AND t.ask_size = q.ask_size) \
             FROM book_tops t JOIN quotes q ON q.venue = t.venue AND q.symbol = t.symbol AND q.update_id = t.last_id",
        );
        assert_eq!(joined[0], facts.comparisons.to_string(), "{}", case.file);
        assert_eq!(
            joined[1], joined[0],
            "{}: a top that differs from its quote",
            case.file
        );
        assert_eq!(
            db.count("SELECT count(*) FROM book_tops WHERE bid_price >= ask_price OR bid_price IS NULL OR ask_price IS NULL"),
            0,
            "{}: crossed or half a book",
            case.file
        );
        let (last_id, last) = *tops(&db).last().unwrap();
        assert_eq!(last_id, facts.last_id, "{}", case.file);
        assert_eq!((last.bid.0, last.ask.0), facts.best, "{}", case.file);
        assert_eq!(
            db.count(
                "SELECT count(*) FROM book_tops WHERE abs(spread - (ask_price - bid_price)) > 1e-9 \
                 OR abs(mid - (ask_price + bid_price) / 2) > 1e-9 OR imbalance_5 NOT BETWEEN -1 AND 1 \
                 OR spread IS NULL OR mid IS NULL OR imbalance_5 IS NULL OR epoch IS NULL"
            ),
            0,
            "{}: a figure that does not follow from the top",
            case.file
        );
        assert_eq!(
            db.count("SELECT count(DISTINCT epoch) FROM book_tops"),
            1,
            "{}: one snapshot and no gap are one epoch",
            case.file
        );
    }
}

#[test]
fn the_book_has_the_right_top_after_every_update_and_the_right_levels_at_the_end() {
    for (case, path) in present() {
        let Some(facts) = &case.book else { continue };
        let db = loaded(case, &path);
        let expected = replay(&read_lines(&path), case.rule);
        assert_tops(case.file, &tops(&db), &expected);
        // The snapshot of id S and the update of id S may both stand there; the update is the later one.
        let newest = match case.rule {
            Rule::FirstLast => "last_id > ",
            Rule::Prev => "last_id >= ",
        };
        let rows = db.sql(&format!(
            "SELECT side, count(*) FROM (SELECT side, price, \
             arg_max(size, last_id * 2 + if(is_snapshot, 0, 1)) AS size FROM book_deltas \
             WHERE is_snapshot OR {newest}{} GROUP BY side, price) WHERE size > 0 GROUP BY side ORDER BY side",
            facts.snapshot
        ));
        let want = [
            ["ask".to_owned(), facts.levels.1.to_string()],
            ["bid".to_owned(), facts.levels.0.to_string()],
        ];
        assert_eq!(rows, want, "{}", case.file);
    }
}

/// Asserts that `emitted` are the expected tops, each once and in the order of their ids.
fn assert_tops(what: &str, emitted: &[(u64, Top)], expected: &crate::wire::Expected) {
    for pair in emitted.windows(2) {
        assert!(
            pair[0].0 < pair[1].0,
            "{what}: tops {} and {} out of order",
            pair[0].0,
            pair[1].0
        );
    }
    let mut missing: BTreeSet<u64> = expected.tops.keys().copied().collect();
    for (id, top) in emitted {
        missing.remove(id);
        let Some(want) = expected.tops.get(id).or_else(|| expected.catch_up.get(id)) else {
            panic!("{what}: a top at {id}, where the book was not known");
        };
        assert_eq!(top, want, "{what}: at {id}");
        assert!(top.bid.0 < top.ask.0, "{what}: crossed at {id}");
        if let Some(quote) = expected.quotes.get(id) {
            assert_eq!(top, quote, "{what}: differs from the quote at {id}");
        }
    }
    assert!(
        missing.is_empty(),
        "{what}: no top for {} updates, first {:?}",
        missing.len(),
        missing.first()
    );
}

/// Loads `lines` without those of index `deleted` and compares gaps and tops with what follows from it:
/// `count` gaps, so much the caller knows without an oracle.
fn assert_gaps(case: &Case, what: &str, lines: &[String], deleted: &BTreeSet<usize>, count: usize) {
    let kept: Vec<&String> = lines
        .iter()
        .enumerate()
        .filter(|(n, _)| !deleted.contains(n))
        .map(|(_, line)| line)
        .collect();
    let expected = replay(&kept, case.rule);
    assert_eq!(expected.gaps.len(), count, "{what}: the oracle");
    let db = Db::new();
    let file = db.write("gaps.gz", &gzip(&join_lines(&kept)));
    db.load(case.venue, case.symbol, [&file]).ok();
    let reported: Vec<(u64, u64)> = db
        .sql("SELECT from_id, to_id FROM feed_events WHERE kind = 'gap' ORDER BY to_id, from_id")
        .into_iter()
        .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap()))
        .collect();
    assert_eq!(
        reported.len(),
        expected.gaps.len(),
        "{what}: reported {reported:?}, expected {:?}",
        expected.gaps
    );
    for ((from, to), gap) in reported.iter().zip(&expected.gaps) {
        assert!(
            gap.from.contains(from) && *to == gap.to,
            "{what}: reported {from}–{to}, expected {gap:?}"
        );
    }
    assert_tops(what, &tops(&db), &expected);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0, "{what}");
}

#[test]
fn deleted_depth_lines_are_reported_as_gaps_and_never_make_a_wrong_top() {
    for (case, path) in present() {
        if case.book.is_none() {
            continue;
        }
        let lines = read_lines(&path);
        let diffs: Vec<usize> = (0..lines.len()).filter(|n| is_diff(&lines[*n])).collect();
        for (seed, k) in [(11, 1), (12, 1), (13, 5), (14, 25), (15, 200)] {
            let mut rng = Rng(seed);
            let mut picked = BTreeSet::new();
            while picked.len() < k {
                picked.insert(rng.below(diffs.len()));
            }
            // The oracle reads the discontinuities off the kept lines; this counts them from the
            // deletions instead: adjacent ones merge, and at either end nothing is left to tell.
            let runs = (1..diffs.len() - 1)
                .filter(|n| picked.contains(n) && !picked.contains(&(n - 1)))
                .filter(|n| (*n..diffs.len()).any(|later| !picked.contains(&later)))
                .count();
            let what = format!("{}, seed {seed}, {k} lines deleted", case.file);
            let deleted = picked.iter().map(|n| diffs[*n]).collect();
            assert_gaps(case, &what, &lines, &deleted, runs);
        }
    }
}

#[test]
fn losses_at_the_ends_side_by_side_and_around_the_snapshot_are_told_apart() {
    for (case, path) in present() {
        if case.book.is_none() {
            continue;
        }
        let lines = read_lines(&path);
        let diffs: Vec<usize> = (0..lines.len()).filter(|n| is_diff(&lines[*n])).collect();
        let snapshot =
            (0..lines.len()).find(|n| !is_diff(&lines[*n]) && lines[*n].contains("lastUpdateId"));
        let snapshot = snapshot.unwrap();
        let before = diffs.iter().filter(|n| **n < snapshot).count();
        let last = diffs.len() - 1;
        let check = |label: &str, which: &[usize], count: usize| {
            let deleted = which.iter().map(|n| diffs[*n]).collect();
            assert_gaps(
                case,
                &format!("{}, {label}", case.file),
                &lines,
                &deleted,
                count,
            );
        };
        check("first line", &[0], 0);
        check("last line", &[last], 0);
        check("three in a row", &[500, 501, 502], 1);
        check("every second of three", &[500, 502, 504], 3);
        check("second line, before the snapshot", &[1], 1);
        check("the last line before the snapshot", &[before - 1], 1);
        check("the first line after the snapshot", &[before], 1);
        // Nothing is left that reaches the snapshot's id: no two lines show it, the snapshot does.
        let all_before: Vec<usize> = (0..before).collect();
        check("all lines before the snapshot", &all_before, 1);
    }
}
