//! However a message arrives again, it counts once (issue 2, item 3).

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bulk;
use crate::harness::{Db, KEYED, Rng, TABLES, gzip, join_lines, read_lines, real};
use crate::synthetic::{self, SYMBOL, VENUE, trade_line};
use crate::upkeep::assert_all_is_well;
use crate::wire::{Rule, is_diff, replay};

const SPOT: (&str, &str) = ("binance_spot", "BTCUSDT");

/// One real file, or a made-up one where it is absent: file, venue, symbol.
fn some_capture(db: &Db) -> (PathBuf, &'static str, &'static str) {
    if let Some(path) = real("spot_btcusdt_20240808.gz") {
        return (path, SPOT.0, SPOT.1);
    }
    let path = db.write("made_up.gz", &gzip(&synthetic::capture(3, 20_000).bytes()));
    (path, synthetic::VENUE, synthetic::SYMBOL)
}

/// Both spot files, in the order of time.
fn spot_pair() -> Option<[PathBuf; 2]> {
    Some([
        real("spot_btcusdt_20240808.gz")?,
        real("spot_btcusdt_20240809.gz")?,
    ])
}

#[test]
fn loading_a_file_again_adds_nothing_and_says_so() {
    let db = Db::new();
    let (file, venue, symbol) = some_capture(&db);
    let first = db.load(venue, symbol, [&file]).ok();
    assert!(!first.stdout.contains("already loaded"), "{first}");
    let before = db.checksums();
    assert!(before["trades"].0 > 0);

    let again = db.load(venue, symbol, [&file]).ok();
    assert!(again.stdout.contains("already loaded"), "{again}");
    assert!(again.stdout.contains("nothing added"), "{again}");
    assert_eq!(db.checksums(), before);

    // It is the content that is known, not the name.
    let renamed = db.beside("another_name.gz");
    std::fs::copy(&file, &renamed).unwrap();
    let renamed = db.load(venue, symbol, [&renamed]).ok();
    assert!(renamed.stdout.contains("already loaded"), "{renamed}");
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn a_file_named_twice_in_one_command_counts_once() {
    let once = Db::new();
    let (file, venue, symbol) = some_capture(&once);
    once.load(venue, symbol, [&file]).ok();
    let twice = Db::new();
    twice.load(venue, symbol, [&file, &file]).ok();
    assert_eq!(twice.checksums(), once.checksums());
}

#[test]
fn two_files_in_either_order_give_the_same_rows() {
    let Some([early, late]) = spot_pair() else {
        return;
    };
    let forward = Db::new();
    forward.load(SPOT.0, SPOT.1, [&early, &late]).ok();
    let backward = Db::new();
    backward.load(SPOT.0, SPOT.1, [&late, &early]).ok();
    assert_eq!(
        backward.checksums_without_seq(&KEYED),
        forward.checksums_without_seq(&KEYED)
    );
    // The book of the second is known for a part only; where it speaks, it is right.
    let wrong = backward.count(
        "SELECT count(*) FROM book_tops t JOIN quotes q ON q.update_id = t.last_id \
         WHERE (t.bid_price, t.bid_size, t.ask_price, t.ask_size) \
         IS DISTINCT FROM (q.bid_price, q.bid_size, q.ask_price, q.ask_size)",
    );
    assert_eq!(wrong, 0);
    assert_eq!(
        backward.count("SELECT count(*) FROM book_tops WHERE bid_price >= ask_price"),
        0
    );
    backward.assert_sound();
}

#[test]
fn one_command_or_two_make_no_difference() {
    let Some([early, late]) = spot_pair() else {
        return;
    };
    let together = Db::new();
    together.load(SPOT.0, SPOT.1, [&early, &late]).ok();
    let apart = Db::new();
    apart.load(SPOT.0, SPOT.1, [&early]).ok();
    apart.load(SPOT.0, SPOT.1, [&late]).ok();
    assert_eq!(apart.checksums(), together.checksums());
}

#[test]
fn two_files_in_order_are_one_unbroken_book() {
    let Some([early, late]) = spot_pair() else {
        return;
    };
    let db = Db::new();
    db.load(SPOT.0, SPOT.1, [&early]).ok();
    let epochs = "SELECT min(epoch), max(epoch) FROM book_tops";
    let before = (db.count("SELECT count(*) FROM book_tops"), db.row(epochs));
    db.load(SPOT.0, SPOT.1, [&late]).ok();

    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap'"),
        0
    );
    assert_eq!(
        db.row(epochs),
        before.1,
        "the second file began another epoch"
    );
    let late_lines = read_lines(&late);
    let updates = late_lines.iter().filter(|line| is_diff(line)).count() as u64;
    assert_eq!(
        db.count("SELECT count(*) FROM book_tops"),
        before.0 + updates,
        "a top for each update of the second file"
    );
    let shared = "SELECT count(*) FROM book_tops t JOIN quotes q ON q.update_id = t.last_id";
    let equal = "t.bid_price = q.bid_price AND t.bid_size = q.bid_size AND t.ask_price = q.ask_price AND t.ask_size = q.ask_size";
    let comparisons = db.count(shared);
    assert_eq!(db.count(&format!("{shared} WHERE {equal}")), comparisons);

    let mut lines = read_lines(&early);
    lines.extend(late_lines);
    let expected = replay(&lines, Rule::FirstLast);
    let known = expected
        .tops
        .keys()
        .filter(|id| expected.quotes.contains_key(id));
    assert_eq!(comparisons, known.count() as u64);
    let (last_id, top) = expected.tops.last_key_value().unwrap();
    let last = db.row(
        "SELECT last_id, bid_price, bid_size, ask_price, ask_size FROM book_tops ORDER BY last_id DESC LIMIT 1",
    );
    assert_eq!(last[0], last_id.to_string());
    let numbers: Vec<f64> = last[1..].iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers, [top.bid.0, top.bid.1, top.ask.0, top.ask.1]);
}

#[test]
fn repeated_lines_count_once() {
    let clean = Db::new();
    let (file, venue, symbol) = some_capture(&clean);
    clean.load(venue, symbol, [&file]).ok();
    let lines = read_lines(&file);

    for seed in [21, 22] {
        let mut rng = Rng(seed);
        let mut repeated: Vec<&str> = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            repeated.push(line);
            while rng.chance(50) {
                repeated.push(line);
            }
            // Late ones: up to a few batches of the loader back, seldom, and never ahead of the original.
            if rng.chance(5) {
                repeated.push(&lines[n - rng.below(n + 1)]);
            }
        }
        // The snapshot once more, when the book is long past it.
        let snapshot = lines
            .iter()
            .find(|line| line.contains("lastUpdateId"))
            .unwrap();
        repeated.insert(repeated.len() / 2, snapshot);
        assert!(repeated.len() > lines.len() + lines.len() / 40);

        let db = Db::new();
        let file = db.write("repeated.gz", &gzip(&join_lines(&repeated)));
        db.load(venue, symbol, [&file]).ok();
        let without_raw = &TABLES[1..];
        let (got, want) = (
            db.checksums_without_seq(without_raw),
            clean.checksums_without_seq(without_raw),
        );
        for table in KEYED.iter().chain(&["book_tops", "dead_letters"]) {
            assert_eq!(got[*table], want[*table], "seed {seed}: {table}");
        }
        assert_eq!(
            db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap'"),
            0,
            "seed {seed}: a repeated update is no gap"
        );
        // Nothing is dropped in silence: the repetitions stand in raw.
        assert_eq!(
            db.count("SELECT count(*) FROM raw_messages"),
            repeated.len() as u64,
            "seed {seed}"
        );
    }
}

#[test]
fn sequence_numbers_rise_by_line_and_across_commands() {
    let db = Db::new();
    let capture = synthetic::capture(5, 4_000);
    let (first, second) = capture.lines.split_at(1_500);
    for (name, lines) in [("first.txt", first), ("second.txt", second)] {
        let file = db.write(name, &join_lines(lines));
        db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    }
    let stored = db.row(
        "SELECT count(*), count(DISTINCT seq), bool_and(in_order) FROM \
         (SELECT seq, recv_ts > lag(recv_ts, 1, '1970-01-01'::TIMESTAMP_NS) OVER (ORDER BY seq) AS in_order FROM raw_messages)",
    );
    assert_eq!(stored, ["4000", "4000", "true"]);
    assert_eq!(synthetic::keyed_rows(&db), capture.rows());
}

/// 2024-01-01 00:00:00 UTC.
const JANUARY_MS: u64 = 1_704_067_200_000;

/// A vendor's file with a trade an hour on these days of January 2024, counted from 0.
fn hourly(db: &Db, name: &str, days: Range<u64>, with_id: bool) -> PathBuf {
    let mut text = String::from("ts,symbol,trade_id,price,size,side\n");
    for hour in days.start * 24..days.end * 24 {
        let ts = JANUARY_MS + hour * 3_600_000;
        let id = if with_id {
            hour.to_string()
        } else {
            String::new()
        };
        writeln!(text, "{ts},S,{id},1.5,2.0,buy").unwrap();
    }
    db.write(name, text.as_bytes())
}

/// Removes the files of the lake whose path has this in it, and has it repaired. The report, which is returned, names
/// exactly these of the files that were loaded.
#[track_caller]
fn lose(db: &Db, part: &str, named: &[&str], of: &[&Path]) -> String {
    let lost: Vec<String> = db.lake().into_keys().filter(|f| f.contains(part)).collect();
    assert!(!lost.is_empty(), "{part}");
    for file in lost {
        fs::remove_file(db.dir().join(file)).unwrap();
    }
    let run = db.run(["doctor", "--repair"]).exits(1);
    for file in of {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            run.stdout.contains(name),
            named.contains(&name),
            "{name}: {run}"
        );
    }
    assert_all_is_well(db);
    run.stdout
}

#[test]
fn what_was_in_lost_files_is_loaded_again_and_nothing_else_twice() {
    let db = Db::new();
    let a = hourly(&db, "a.csv", 0..3, true);
    let b = hourly(&db, "b.csv", 3..4, true);
    let load_both = || [&a, &b].map(|file| bulk::load(&db, file, &["--venue", "v"]).ok());
    load_both();
    let before = db.checksums_without_seq(&["trades"]);
    assert_eq!(before["trades"].0, 96);
    let last = db.count("SELECT max(seq) FROM trades");
    for (part, named) in [
        ("trades/date=2024-01-02", &["a.csv"][..]),
        // Of the first load, after the second one.
        ("trades/date=2024-01-01", &["a.csv"]),
        ("trades/", &["a.csv", "b.csv"]),
    ] {
        let report = lose(&db, part, named, &[&a, &b]);
        assert!(!report.contains("rebuild"), "{report}");
        let [_, of_b] = load_both();
        let is_known = of_b.stdout.contains("already loaded");
        assert_eq!(is_known, !named.contains(&"b.csv"), "{part}: {of_b}");
        assert_eq!(db.checksums_without_seq(&["trades"]), before, "{part}");
        for run in load_both() {
            assert!(run.stdout.contains("already loaded"), "{run}");
        }
    }
    assert!(db.count("SELECT min(seq) FROM trades") > last, "used again");
    db.assert_sound();
}

#[test]
fn rows_without_a_key_are_not_loaded_twice_for_those_that_were_lost() {
    let db = Db::new();
    let file = hourly(&db, "a.csv", 0..2, false);
    let load = || bulk::load(&db, &file, &["--venue", "v"]).ok();
    load();
    let report = lose(&db, "trades/date=2024-01-02", &["a.csv"], &[&file]);
    assert!(report.contains("24 rows; lost is"), "{report}");
    assert!(load().stdout.contains("already loaded"));
    assert_eq!(db.count("SELECT count(*) FROM trades"), 24);
    // Once none of it is left, all of it is loaded.
    let report = lose(&db, "trades/date=2024-01-01", &["a.csv"], &[&file]);
    assert!(report.contains("load again"), "{report}");
    load();
    assert_eq!(db.count("SELECT count(*) FROM trades"), 48);
}

#[test]
fn lost_messages_of_a_capture_are_loaded_again_and_make_no_row_twice() {
    let db = Db::new();
    let capture = |name: &str, days: Range<u64>| {
        let hours = days.start * 24..days.end * 24;
        let lines = hours.map(|hour| {
            let ms = JANUARY_MS + hour * 3_600_000;
            trade_line(
                &format!("{ms}000000"),
                &hour.to_string(),
                "1.5",
                "2.0",
                &ms.to_string(),
            )
        });
        db.write(name, &join_lines(lines))
    };
    let (first, both) = (capture("first.txt", 0..1), capture("both.txt", 1..3));
    let load_both = || [&first, &both].map(|file| db.load(VENUE, SYMBOL, [file]).ok());
    load_both();
    db.run(["seal", "--all"]).ok();
    let before = db.checksums_without_seq(&TABLES);
    assert_eq!(before["raw_messages"].0, 72);

    lose(
        &db,
        "raw_messages/date=2024-01-01",
        &["first.txt"],
        &[&first, &both],
    );
    let [_, of_both] = load_both();
    assert!(of_both.stdout.contains("already loaded"), "{of_both}");
    assert_eq!(db.checksums_without_seq(&TABLES), before);
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums_without_seq(&TABLES), before);

    // The rest of what was committed with them is still there.
    let report = lose(&db, "raw_messages/date=2024-01-03", &[], &[&first, &both]);
    assert!(report.contains("24 rows; all other messages"), "{report}");
    for run in load_both() {
        assert!(run.stdout.contains("already loaded"), "{run}");
    }
    assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 48);
}

#[test]
fn a_late_copy_of_a_running_bar_is_none_of_its_final_one() {
    let bar = |recv_ms: u64, close: &str, is_final: bool| {
        format!(
            r#"{recv_ms}000000 {{"e":"kline","E":{recv_ms},"s":"BTCUSDT","k":{{"t":1723161240000,"T":1723161299999,"s":"BTCUSDT","i":"1m","o":"1","h":"9","l":"1","c":"{close}","v":"10","q":"20","n":3,"x":{is_final}}}}}"#
        )
    };
    let (running, last) = (
        bar(1_723_161_299_000, "2", false),
        bar(1_723_161_300_100, "5", true),
    );
    let late = bar(1_723_161_300_400, "4", false);
    let corrected = bar(1_723_161_300_900, "6", true);
    let now = "SELECT close, is_final FROM bars";
    for parts in [
        vec![vec![&running, &last, &late]],
        vec![vec![&running], vec![&last], vec![&late]],
        vec![vec![&late], vec![&last]],
    ] {
        let db = Db::new();
        for (i, part) in parts.iter().enumerate() {
            let file = db.write(&format!("{i}.txt"), &join_lines(part));
            db.load("binance_usdm", "BTCUSDT", [file]).ok();
            if i == 0 {
                db.run(["seal", "--all"]).ok();
            }
        }
        assert_eq!(db.row(now), ["5.0", "true"], "{parts:?}");
        let file = db.write("corrected.txt", &join_lines([&corrected]));
        db.load("binance_usdm", "BTCUSDT", [file]).ok();
        assert_eq!(db.row(now), ["6.0", "true"]);
        db.run(["rebuild"]).ok();
        assert_eq!(db.row(now), ["6.0", "true"]);
    }
}
