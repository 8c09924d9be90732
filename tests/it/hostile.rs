//! Hostile input: a clear error or a dead letter, never a panic, never damage (issue 2, item 7). `Run`
//! itself fails a test at any panic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::harness::{Db, KEYED, gzip, join_lines};
use crate::synthetic::{self, SYMBOL, VENUE, keyed_rows, load, time_ns, trade_line};
use crate::wire::{Rule, is_diff, replay};

/// Dead letters that know their line: line to reason. All must know their file and reason.
fn dead_letters(db: &Db, file_name: &str) -> BTreeMap<u64, String> {
    let rows = db.sql("SELECT line, source, reason FROM dead_letters ORDER BY line");
    rows.into_iter()
        .map(|row| {
            assert!(
                row[1].contains(file_name),
                "a dead letter of the source {:?}: {row:?}",
                row[1]
            );
            assert!(
                !row[2].trim().is_empty(),
                "a dead letter without a reason: {row:?}"
            );
            let line = row[0]
                .parse()
                .unwrap_or_else(|_| panic!("a dead letter without a line: {row:?}"));
            (line, row[2].clone())
        })
        .collect()
}

/// What may become of a line.
enum Fate {
    /// A dead letter, and no row anywhere else.
    Rejected,
    /// Odd but sayable: the trade of this id or a dead letter, one of the two.
    Either(&'static str),
}

struct Bad {
    label: &'static str,
    line: Vec<u8>,
    fate: Fate,
}

impl Bad {
    fn rejected(label: &'static str, line: impl Into<Vec<u8>>) -> Self {
        Self {
            label,
            line: line.into(),
            fate: Fate::Rejected,
        }
    }

    /// A message that no table may take.
    fn message(label: &'static str, json: &str) -> Self {
        Self::rejected(label, format!("{NOW_NS} {json}"))
    }

    /// A trade of which one value is impossible.
    fn trade(label: &'static str, id: &str, price: &str, size: &str, time_ms: &str) -> Self {
        Self::rejected(label, trade_line(NOW_NS, id, price, size, time_ms))
    }

    fn either(label: &'static str, id: &'static str, recv_ns: &str, time_ms: &str) -> Self {
        Self {
            label,
            line: trade_line(recv_ns, id, "1.0", "1.0", time_ms).into(),
            fate: Fate::Either(id),
        }
    }
}

/// 2024-08-08 23:59:30 UTC, within the made-up capture.
const NOW_NS: &str = "1723161570000000000";
const NOW_MS: &str = "1723161570000";

/// Lines that are no `<recv_ns> <json>`.
fn bad_lines() -> Vec<Bad> {
    let trade = |recv_ns| trade_line(recv_ns, "901", "1.0", "1.0", NOW_MS);
    let mut invalid = trade(NOW_NS).into_bytes();
    let middle = invalid.len() / 2;
    invalid[middle..middle + 2].copy_from_slice(&[0xff, 0xfe]);
    vec![
        Bad::rejected("no time", trade("").trim_start()),
        Bad::rejected("only a time", NOW_NS),
        Bad::rejected("a time that is no number", trade("noon")),
        Bad::rejected("a time beyond 64 bits", trade("99999999999999999999")),
        Bad::rejected("invalid UTF-8", invalid),
        Bad::rejected("bytes of a picture", *b"\x89PNG\r\x1a\xff\0"),
        Bad::either("a time before 1970", "904", "-5", NOW_MS),
    ]
}

/// Messages that are none of the venue's.
fn bad_messages() -> Vec<Bad> {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        Bad::message("no JSON", "hello world"),
        Bad::message("an object of nobody", r#"{"hello":"world"}"#),
        Bad::message("an empty object", "{}"),
        Bad::message("a number", "42"),
        Bad::message("null", "null"),
        Bad::message("a list", "[1,2,3]"),
        Bad::message(
            "another venue's book",
            r#"[0,{"as":[["5541.30000","2.50700000","1534614248.123678"]]},"book-10","XBT/USD"]"#,
        ),
        Bad::message(
            "another venue's trade",
            r#"{"type":"match","trade_id":10,"sequence":50,"size":"5.23512","price":"400.23","side":"sell"}"#,
        ),
        Bad::message(
            "JSON cut off in a trade",
            r#"{"stream":"testusdt@trade","data":{"e":"trade","E":1,"s":"#,
        ),
        Bad::message(
            "a text that quotes a trade",
            r#"not JSON but "e":"trade" all the same"#,
        ),
        Bad::message(
            "JSON with a tail",
            r#"{"stream":"x","data":{"e":"trade"}} and more"#,
        ),
        Bad::message("deep nesting", &nested),
        Bad::message("a NUL byte", "{\"a\":\"\0\"}"),
    ]
}

/// Messages of the venue with a value that its column cannot hold.
fn bad_values() -> Vec<Bad> {
    let quote = |id: &str| {
        format!(
            "{{\"stream\":\"testusdt@bookTicker\",\"data\":{{\"u\":{id},\"s\":\"{SYMBOL}\",\
             \"b\":\"1.0\",\"B\":\"1.0\",\"a\":\"2.0\",\"A\":\"1.0\"}}}}"
        )
    };
    let no_price = trade_line(NOW_NS, "919", "", "1.0", NOW_MS).replace("\"p\":\"\",", "");
    vec![
        Bad::trade("a price beyond a DOUBLE", "911", "1e999", "1.0", NOW_MS),
        Bad::trade("a size beyond a DOUBLE", "912", "1.0", "-1e999", NOW_MS),
        Bad::trade("a price that is not a number", "913", "NaN", "1.0", NOW_MS),
        Bad::trade("a price of letters", "914", "abc", "1.0", NOW_MS),
        Bad::trade("an empty price", "915", "", "1.0", NOW_MS),
        Bad::trade(
            "a time that overflows",
            "916",
            "1.0",
            "1.0",
            "99999999999999999",
        ),
        Bad::trade(
            "a time of 30 digits",
            "917",
            "1.0",
            "1.0",
            "999999999999999999999999999999",
        ),
        Bad::trade("a century to come", "920", "1.0", "1.0", "8836000000000"),
        Bad::trade("a century past", "921", "1.0", "1.0", "-9000000000000"),
        Bad::rejected("a trade without a price", no_price),
        Bad::message(
            "an update id beyond 64 bits",
            &quote("99999999999999999999999"),
        ),
        Bad::message("a negative update id", &quote("-1")),
        Bad::either("a negative event time", "918", NOW_NS, "-5"),
        Bad::either(
            "a trade id beyond 64 bits",
            "99999999999999999999999999",
            NOW_NS,
            NOW_MS,
        ),
    ]
}

#[test]
fn a_bad_line_becomes_a_dead_letter_and_takes_no_other_along() {
    let db = Db::new();
    let capture = synthetic::capture(51, 8_000);
    let bad: Vec<Bad> = [bad_lines(), bad_messages(), bad_values()]
        .into_iter()
        .flatten()
        .collect();
    let mut bytes = Vec::new();
    let mut placed: BTreeMap<u64, &Bad> = BTreeMap::new();
    let mut waiting = bad.iter();
    let mut number = 0;
    for (n, line) in capture.lines.iter().enumerate() {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        number += 1;
        if n % 200 == 100
            && let Some(bad) = waiting.next()
        {
            bytes.extend_from_slice(&bad.line);
            bytes.push(b'\n');
            number += 1;
            placed.insert(number, bad);
        }
    }
    assert!(waiting.next().is_none(), "all bad lines stand in the file");
    let file = db.write("hostile.txt", &bytes);
    let run = load(&db, &file).ok();

    let dead = dead_letters(&db, "hostile.txt");
    let mut odd_trades = 0;
    for (line, Bad { label, fate, .. }) in &placed {
        let rejected = dead.contains_key(line);
        match fate {
            Fate::Rejected => assert!(rejected, "line {line} ({label}) is no dead letter"),
            Fate::Either(id) => {
                let taken = db.count(&format!(
                    "SELECT count(*) FROM trades WHERE trade_id = '{id}'"
                ));
                assert_eq!(
                    taken + u64::from(rejected),
                    1,
                    "line {line} ({label}) is lost or doubled"
                );
                odd_trades += taken;
            }
        }
    }
    for (line, reason) in &dead {
        assert!(
            placed.contains_key(line),
            "the good line {line} is a dead letter: {reason}"
        );
    }
    let mut want = capture.rows();
    want[0] += odd_trades;
    assert_eq!(keyed_rows(&db), want);
    for figure in [
        "SELECT count(*) FROM trades WHERE NOT isfinite(price) OR NOT isfinite(size)",
        "SELECT count(*) FROM feed_events WHERE kind = 'gap'",
        "SELECT count(*) FROM dead_letters WHERE payload IS NULL",
    ] {
        assert_eq!(db.count(figure), 0, "{figure}");
    }
    let letters = db.count("SELECT count(*) FROM dead_letters");
    let said = run
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with("dead letters"));
    assert!(
        said.is_some_and(|line| line.contains(&letters.to_string())),
        "the summary does not say {letters} dead letters\n{run}"
    );

    let before = db.checksums();
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn a_rejected_depth_update_is_a_gap_and_not_a_wrong_book() {
    let db = Db::new();
    let mut lines = synthetic::capture(52, 6_000).lines;
    let spoilt = (3_000..lines.len()).find(|n| is_diff(&lines[*n])).unwrap();
    let mut without = lines.clone();
    without.remove(spoilt);
    let expected = replay(&without, Rule::FirstLast);
    assert_eq!(expected.gaps.len(), 1);
    // One level of it has a price of letters.
    let at = lines[spoilt].find("[[\"").unwrap() + 3;
    lines[spoilt].replace_range(at..at + 2, "ab");
    let file = db.write("spoilt.txt", &join_lines(&lines));
    load(&db, &file).ok();

    let dead: Vec<u64> = dead_letters(&db, "spoilt.txt").into_keys().collect();
    assert_eq!(dead, [spoilt as u64 + 1]);
    let gaps = db.sql("SELECT from_id, to_id FROM feed_events WHERE kind = 'gap'");
    let gap = &expected.gaps[0];
    assert_eq!(
        gaps,
        [[gap.from.first().unwrap().to_string(), gap.to.to_string()]]
    );
    let emitted: BTreeSet<u64> = db
        .sql("SELECT last_id FROM book_tops")
        .into_iter()
        .map(|row| row[0].parse().unwrap())
        .collect();
    let allowed = |id: &u64| expected.tops.contains_key(id) || expected.catch_up.contains_key(id);
    assert!(emitted.iter().all(allowed), "a top after the gap");
    assert!(
        expected.tops.keys().all(|id| emitted.contains(id)),
        "a top is missing"
    );
    assert_eq!(
        db.count(&format!(
            "SELECT count(*) FROM book_deltas WHERE last_id = {}",
            gap.to
        )),
        0,
        "half an update is stored"
    );
}

#[test]
fn a_line_of_70_mb_is_passed_over() {
    let db = Db::new();
    let capture = synthetic::capture(53, 2_000);
    let mut bytes = join_lines(&capture.lines[..1_000]);
    bytes.extend_from_slice(format!("{} {{\"pad\":\"", time_ns(0)).as_bytes());
    bytes.resize(bytes.len() + 70_000_000, b'x');
    bytes.extend_from_slice(b"\"}\n");
    bytes.extend_from_slice(&join_lines(&capture.lines[1_000..]));
    let file = db.write("long.txt.gz", &gzip(&bytes));
    load(&db, &file).ok();
    assert_eq!(keyed_rows(&db), capture.rows());
    let lines: Vec<u64> = dead_letters(&db, "long.txt.gz").into_keys().collect();
    assert_eq!(lines, [1_001]);
    db.assert_sound();
}

#[test]
fn a_truncated_gzip_gives_its_whole_lines_and_an_error() {
    let db = Db::new();
    let capture = synthetic::capture(54, 60_000);
    let whole = gzip(&capture.bytes());
    let cut = &whole[..whole.len() * 2 / 3];
    let file = db.write("cut.gz", cut);
    load(&db, &file).fails_naming(&["cut.gz"]);

    let mut readable = Vec::new();
    let error = flate2::read::MultiGzDecoder::new(cut).read_to_end(&mut readable);
    assert!(error.is_err());
    let lines = readable.split(|byte| *byte == b'\n').count() - 1;
    assert!(lines > 30_000, "the test's cut leaves {lines} lines");
    let prefix = &capture.lines[..lines];
    let stored = db.count("SELECT count(*) FROM raw_messages");
    assert_eq!(stored, lines as u64, "whole lines before the cut");
    let trades = prefix
        .iter()
        .filter(|line| line.contains("\"e\":\"trade\""))
        .count();
    assert_eq!(db.count("SELECT count(*) FROM trades"), trades as u64);

    // It fails again, adds nothing, and the whole file completes it.
    let before = db.checksums_without_seq(&KEYED);
    load(&db, &file).fails_naming(&["cut.gz"]);
    assert_eq!(db.checksums_without_seq(&KEYED), before);
    let file = db.write("whole.gz", &whole);
    load(&db, &file).ok();
    assert_eq!(keyed_rows(&db), capture.rows());
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap'"),
        0
    );
    db.assert_sound();
}

#[test]
fn a_gzip_with_a_wrong_byte_is_an_error_that_names_it() {
    let db = Db::new();
    let mut bytes = gzip(&synthetic::capture(55, 20_000).bytes());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes[middle + 1] ^= 0xff;
    let file = db.write("flipped.gz", &bytes);
    load(&db, &file).fails_naming(&["flipped.gz"]);
    db.assert_sound();
}

#[test]
fn files_with_nothing_in_them_harm_nothing() {
    let db = Db::new();
    let empty = db.write("empty.txt", b"");
    let run = load(&db, &empty).ok();
    assert!(!run.stdout.contains("already loaded"), "{run}");
    let gz = db.write("empty.gz", &gzip(b""));
    load(&db, &gz).ok();
    let blank = db.write("blank.txt", b"\n\n\n");
    load(&db, &blank).ok();
    assert_eq!(keyed_rows(&db), [0, 0, 0]);
    db.assert_sound();
}

#[test]
fn a_file_of_garbage_is_dead_letters_only() {
    let db = Db::new();
    let mut rng = crate::harness::Rng(56);
    // The first byte is no compression's, so it is read as text.
    let mut bytes = vec![b'#'];
    bytes.extend((0..200_000).flat_map(|_| rng.next().to_le_bytes()));
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && *line != b"\r")
        .count();
    let file = db.write("garbage.bin", &bytes);
    let run = load(&db, &file);
    assert!(matches!(run.code, Some(0 | 1)), "{run}");
    assert_eq!(
        db.count("SELECT count(*) FROM raw_messages WHERE payload IS NULL"),
        0
    );
    assert_eq!(keyed_rows(&db), [0, 0, 0]);
    assert_eq!(dead_letters(&db, "garbage.bin").len(), lines);
    db.assert_sound();
}

#[test]
fn an_unknown_venue_is_refused_with_the_known_ones() {
    let db = Db::new();
    let file = db.write("few.txt", &synthetic::capture(57, 100).bytes());
    let run = db.load("binance_sport", SYMBOL, [&file]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    run.says(&[
        "binance_sport",
        "binance_spot",
        "binance_usdm",
        "binance_coinm",
    ]);
}

#[test]
fn what_is_no_file_is_named() {
    let db = Db::new();
    db.load(VENUE, SYMBOL, ["no_such_file.gz"])
        .fails_naming(&["no_such_file.gz"]);
    let directory = db.beside("a_directory");
    fs::create_dir(&directory).unwrap();
    load(&db, &directory).fails_naming(&["a_directory"]);
    // The good file beside a missing one is loaded, or nothing is: never half of it.
    let capture = synthetic::capture(58, 1_000);
    let good = db.write("good.txt", &capture.bytes());
    db.load(VENUE, SYMBOL, [&good, Path::new("no_such_file.gz")])
        .fails_naming(&["no_such_file.gz"]);
    let rows = keyed_rows(&db);
    assert!(rows == capture.rows() || rows == [0, 0, 0], "{rows:?}");
    load(&db, &good).ok();
    assert_eq!(keyed_rows(&db), capture.rows());
}

#[test]
fn an_update_that_cannot_be_read_is_a_gap_where_nothing_is_numbered() {
    let update = |n: u64, changes: &str| {
        format!(
            r#"176400000000000000{n} {{"type":"l2update","product_id":"BTC-USD","changes":{changes},"time":"2019-08-14T20:42:28.{n}65Z"}}"#
        )
    };
    let snapshot = |n: u64| {
        format!(
            r#"176400000000000000{n} {{"type":"snapshot","product_id":"BTC-USD","bids":[["101.1","4"]],"asks":[["102.5","5"]]}}"#
        )
    };
    let good = |n: u64| update(n, r#"[["buy","100.5","1"]]"#);
    for (bad, gaps) in [
        (update(3, "null"), 1),
        ("1764000000000000003 {\"type\":\"l2up".to_owned(), 1),
        // Of no book, by its words.
        ("1764000000000000003 {\"type\":\"news\"}".to_owned(), 0),
    ] {
        let db = Db::new();
        let lines = [
            snapshot(1),
            good(2),
            bad.clone(),
            good(4),
            snapshot(5),
            good(6),
        ];
        let file = db.write("capture.txt", &join_lines(lines));
        db.load("coinbase", "BTC-USD", [file])
            .ok()
            .shows(&["dead letters"]);
        let tops = db.sql("SELECT seq FROM book_tops ORDER BY seq");
        let want: &[&str] = if gaps == 1 {
            &["1", "2", "5", "6"]
        } else {
            &["1", "2", "4", "5", "6"]
        };
        assert_eq!(tops.concat(), want, "{bad}");
        let told = "SELECT count(*) FROM feed_events WHERE kind = 'gap'";
        assert_eq!(db.count(told), gaps, "{bad}");
        let before = db.checksums();
        db.run(["rebuild"]).ok();
        assert_eq!(db.checksums(), before, "{bad}");
    }
}
