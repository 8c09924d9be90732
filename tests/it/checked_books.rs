//! A venue that mdb has never seen, whose books carry checksums and end at a depth: its SQL hands the
//! engine the wire's own digits, and a book is taken up again whatever was stored of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::harness::{Db, Rng, gzip, join_lines};

const VENUE: &str = "far_away";
const FEED: &str = r#"
description = "A venue of checked books"
[book]
rule = "none"
[book.checksum]
levels = 4
order = "alternating"
separator = "|"
"#;
const DELTAS: &str = r#"-- Book levels.
SELECT seq, recv_ts, venue, payload->>'s' AS symbol, recv_ts AS ts, snapshot AS is_snapshot, side,
       l[1]::DOUBLE AS price, l[2]::DOUBLE AS size, checksum,
       l[1] AS price_text, l[2] AS size_text, 4 AS depth
FROM (
    SELECT *, unnest(levels) AS l
    FROM (
        SELECT *, payload->>'k' = 'whole' AS snapshot, (payload->>'c')::BIGINT AS checksum,
               unnest(['bid', 'ask']) AS side,
               unnest([from_json_strict(payload->'b', '[["VARCHAR"]]'),
                       from_json_strict(payload->'a', '[["VARCHAR"]]')]) AS levels
        FROM raw
    )
)
"#;
const DEPTH: usize = 4;

/// One side at the venue: rank from the best → price and size as it writes them.
type Levels = BTreeMap<u32, (String, String)>;

/// A book of the venue, deeper than what it tells.
#[derive(Default)]
struct Book {
    sides: [Levels; 2],
    told: [Levels; 2],
}

impl Book {
    /// Changes some levels and returns the message.
    fn step(&mut self, symbol: &str, rng: &mut Rng, whole: bool) -> String {
        let mut texts = [String::new(), String::new()];
        for (side, text) in texts.iter_mut().enumerate() {
            let levels = &mut self.sides[side];
            for _ in 0..=rng.below(3) {
                let rank = u32::try_from(rng.below(12)).unwrap();
                let price = if side == 0 { 500 - rank } else { 501 + rank };
                let zeros = "0".repeat(rng.below(3));
                let level = (
                    format!("0.{price}{zeros}"),
                    format!("{}.50", 1 + rng.below(50)),
                );
                if rng.chance(300) && levels.len() > 1 {
                    levels.remove(&rank);
                } else {
                    levels.insert(rank, level);
                }
            }
            let now: Levels = levels.clone().into_iter().take(DEPTH).collect();
            let told = std::mem::take(&mut self.told[side]);
            // Levels that fall beyond the depth are not spoken of, those that come into it are.
            let gone = told.iter().filter(|(rank, _)| !levels.contains_key(rank));
            let gone: Vec<_> = gone
                .map(|(_, (price, _))| (price.clone(), "0.00".to_owned()))
                .collect();
            let new = now
                .iter()
                .filter(|(rank, level)| whole || told.get(rank) != Some(level));
            let new: Vec<_> = new.map(|(_, level)| level.clone()).collect();
            let gone = if whole { Vec::new() } else { gone };
            for (price, size) in gone.into_iter().chain(new) {
                write!(
                    text,
                    "{}[\"{price}\",\"{size}\"]",
                    if text.is_empty() { "" } else { "," }
                )
                .unwrap();
            }
            self.told[side] = now;
        }
        if texts.iter().all(String::is_empty) {
            let (price, size) = self.told[0].values().next().unwrap();
            texts[0] = format!("[\"{price}\",\"{size}\"]");
        }
        let [bids, asks] = self
            .told
            .each_ref()
            .map(|side| side.values().collect::<Vec<_>>());
        let pairs = (0..DEPTH)
            .flat_map(|i| [bids.get(i), asks.get(i)])
            .flatten();
        let numbers: Vec<&str> = pairs
            .flat_map(|(price, size)| [price.as_str(), size])
            .collect();
        let checksum = crc32fast::hash(numbers.join("|").as_bytes());
        // The sign is the venue's own idea.
        let checksum = if whole {
            "null".to_owned()
        } else {
            checksum.cast_signed().to_string()
        };
        let kind = if whole { "whole" } else { "change" };
        let [bids, asks] = texts;
        format!(r#"{{"k":"{kind}","s":"{symbol}","b":[{bids}],"a":[{asks}],"c":{checksum}}}"#)
    }
}

/// Lines of two symbols, each beginning with the whole book.
fn lines(count: usize) -> Vec<String> {
    let mut rng = Rng(7);
    let mut books = [Book::default(), Book::default()];
    (0..count)
        .map(|i| {
            let message = books[i % 2].step(["ONE", "TWO"][i % 2], &mut rng, i < 2);
            format!(
                "{} {message}",
                1_700_000_000_000_000_000_u64 + i as u64 * 1_000_000
            )
        })
        .collect()
}

fn database() -> Db {
    let db = Db::new();
    venue(&db, DELTAS);
    db
}

fn venue(db: &Db, deltas: &str) {
    let folder = db.dir().join("sql/venues").join(VENUE);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("feed.toml"), FEED).unwrap();
    fs::write(folder.join("book_deltas.sql"), deltas).unwrap();
}

fn file(db: &Db, name: &str, lines: &[String]) -> PathBuf {
    db.write(name, &gzip(&join_lines(lines)))
}

/// Loads lines; returns how many checksums the summary says were right.
fn load(db: &Db, name: &str, lines: &[String]) -> usize {
    let run = db.load(VENUE, "unused", [file(db, name, lines)]).ok();
    let line = run
        .stdout
        .lines()
        .find(|line| line.starts_with("checksums"));
    let figure = line.map_or("0", |line| line.trim_start_matches("checksums").trim());
    figure.replace(',', "").parse().unwrap()
}

fn gaps(db: &Db) -> Vec<Vec<String>> {
    db.sql("SELECT symbol, detail FROM feed_events WHERE kind = 'gap' ORDER BY seq")
}

#[test]
fn a_load_counts_the_checksums_that_were_right() {
    let db = database();
    let lines = lines(2_000);
    assert_eq!(load(&db, "all.gz", &lines), 1_998);
    assert_eq!(gaps(&db), Vec::<Vec<String>>::new());
    assert_eq!(db.count("SELECT count(*) FROM book_tops"), 2_000);
    // The wire's digits are not stored, the checksum is.
    assert_eq!(
        db.count("SELECT count(DISTINCT seq) FROM book_deltas WHERE checksum IS NOT NULL"),
        1_998
    );
    let before = db.checksums();
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn a_lost_message_is_a_gap_until_the_whole_book_comes_again() {
    let db = database();
    let mut lines = lines(400);
    let lost = lines.remove(100);
    assert!(lost.contains("ONE"));
    let right = load(&db, "holed.gz", &lines);
    let gap = ["ONE", "the book differs from the venue's checksum"].map(str::to_owned);
    assert_eq!(gaps(&db), [gap.to_vec()]);
    assert_eq!(db.count("SELECT count(*) FROM book_tops"), right as u64 + 2);
    assert_eq!(
        db.count("SELECT count(*) FROM book_tops WHERE symbol = 'TWO'"),
        200
    );
    // Noticed by the first checksum after it: what was lost lay within the depth.
    assert_eq!(
        db.count("SELECT count(*) FROM book_tops WHERE symbol = 'ONE'"),
        50
    );
}

#[test]
fn a_checked_book_goes_on_whatever_was_stored_of_it() {
    let lines = lines(900);
    let parts = [&lines[..300], &lines[300..600], &lines[600..]];
    let whole = database();
    for (part, expected) in parts.iter().zip([298, 300, 300]) {
        assert_eq!(load(&whole, "part.gz", part), expected);
    }
    let expected = whole.checksums();
    // As a crash leaves it: nothing stored of the books, or something older than the last commit.
    for forget in [
        "DELETE FROM ops.books",
        "DELETE FROM ops.books; INSERT INTO ops.books FROM kept",
    ] {
        let db = database();
        load(&db, "part.gz", parts[0]);
        db.run(["sql", "--write", "CREATE TABLE kept AS FROM ops.books"])
            .ok();
        load(&db, "part.gz", parts[1]);
        db.run(["sql", "--write", forget]).ok();
        assert_eq!(load(&db, "part.gz", parts[2]), 300, "{forget}");
        assert_eq!(db.checksums(), expected, "{forget}");
    }
    // Without the messages nothing is known of the digits: the books wait for a snapshot.
    let db = database();
    load(&db, "part.gz", parts[0]);
    let tops = db.count("SELECT count(*) FROM book_tops");
    db.run([
        "sql",
        "--write",
        "DELETE FROM ops.books; DELETE FROM hot.raw_messages WHERE seq < 100",
    ])
    .ok();
    assert_eq!(load(&db, "part.gz", parts[1]), 0);
    assert_eq!(db.count("SELECT count(*) FROM book_tops"), tops);
    assert_eq!(gaps(&db), Vec::<Vec<String>>::new());
}

#[test]
fn a_column_that_neither_the_table_nor_the_engine_has_is_an_error() {
    let db = database();
    venue(&db, &DELTAS.replace("price_text", "price_txt"));
    let file = file(&db, "lines.gz", &lines(4));
    db.load(VENUE, "unused", [file])
        .fails_naming(&["book_deltas.sql", "price_txt"]);
}
