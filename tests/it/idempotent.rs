//! However a message arrives again, it counts once (issue 2, item 3).

use std::path::PathBuf;

use crate::harness::{Db, KEYED, Rng, TABLES, gzip, join_lines, read_lines, real};
use crate::synthetic;
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
