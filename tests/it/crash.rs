//! SIGKILL at any moment, then the same command again: the tables are those of one clean run
//! (issue 2, item 5).
//!
//! `MDB_CRASH_ROUNDS` sets the number of rounds (20 by default), `MDB_CRASH_SEED` the seed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Checksums, Db, Live, Rng, gzip, join_lines, poll, real};
use crate::synthetic;

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// What is loaded in every round. Two files of several batches each, so that a kill can fall between
/// lines, batches and files, and the book has to be taken up again in the middle.
struct Input {
    venue: &'static str,
    symbol: &'static str,
    files: [PathBuf; 2],
}

fn input(db: &Db) -> Input {
    let recorded = real("spot_btcusdt_20240808.gz").zip(real("spot_btcusdt_20240809.gz"));
    if let Some((first, second)) = recorded {
        return Input {
            venue: "binance_spot",
            symbol: "BTCUSDT",
            files: [first, second],
        };
    }
    let lines = synthetic::capture(31, 100_000).lines;
    let (first, second) = lines.split_at(41_000);
    Input {
        venue: synthetic::VENUE,
        symbol: synthetic::SYMBOL,
        files: [
            db.write("first.gz", &gzip(&join_lines(first))),
            db.write("second.gz", &gzip(&join_lines(second))),
        ],
    }
}

/// One clean load and seal: what every round must come to, and how long each takes.
struct Clean {
    input: Input,
    loaded: Db,
    sums: Checksums,
    lake: BTreeMap<String, String>,
    load: Duration,
    seal: Duration,
}

fn clean() -> Clean {
    let loaded = Db::new();
    let input = input(&loaded);
    let load = loaded
        .load(input.venue, input.symbol, &input.files)
        .ok()
        .elapsed;
    let sums = loaded.checksums();
    let sealed = loaded.copy();
    let seal = sealed.run(["seal", "--all"]).ok().elapsed;
    assert_eq!(sealed.checksums(), sums);
    Clean {
        lake: sealed.lake(),
        input,
        loaded,
        sums,
        load,
        seal,
    }
}

/// A moment of a run that takes `length`, a little beyond its end included.
pub(crate) fn moment(rng: &mut Rng, length: Duration) -> Duration {
    length.mul_f64(f64::from(u32::try_from(rng.below(1_050)).unwrap()) / 1_000.0)
}

#[test]
fn a_kill_during_load_or_seal_loses_and_doubles_nothing() {
    let rounds = setting("MDB_CRASH_ROUNDS", 20);
    let seed = setting("MDB_CRASH_SEED", 20_240_808);
    let clean = clean();
    let mut rng = Rng(seed);
    let mut hits = 0;
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        // Now and then the second attempt is killed, too.
        let kills = 1 + u64::from(rng.chance(300));
        hits += if round % 2 == 0 {
            load_round(&clean, &mut rng, kills, &what)
        } else {
            seal_round(&clean, &mut rng, kills, &what)
        };
    }
    eprintln!("{hits} kills hit a running command in {rounds} rounds of seed {seed}");
    assert!(
        hits >= rounds / 2,
        "only {hits} of {rounds} rounds were interrupted: the test proves little"
    );
}

/// Kills a load, completes it, compares; returns how many kills came before the end.
fn load_round(clean: &Clean, rng: &mut Rng, kills: u64, what: &str) -> u64 {
    let Input {
        venue,
        symbol,
        files,
    } = &clean.input;
    let db = Db::new();
    let mut hits = 0;
    for _ in 0..kills {
        let delay = moment(rng, clean.load);
        hits += u64::from(Live::spawn(db.load_command(venue, symbol, files)).kill_after(delay));
    }
    db.load(venue, symbol, files).ok();
    assert_eq!(db.checksums(), clean.sums, "{what}: load");
    db.assert_sound();
    hits
}

/// The same with a seal.
fn seal_round(clean: &Clean, rng: &mut Rng, kills: u64, what: &str) -> u64 {
    let db = clean.loaded.copy();
    let mut hits = 0;
    for _ in 0..kills {
        let mut command = db.command();
        command.args(["seal", "--all"]);
        hits += u64::from(Live::spawn(command).kill_after(moment(rng, clean.seal)));
        // What a reader sees in between is whole as well.
        assert_eq!(db.checksums(), clean.sums, "{what}: after the kill");
    }
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), clean.sums, "{what}: seal");
    let names: Vec<String> = db.lake().into_keys().collect();
    let want: Vec<String> = clean.lake.keys().cloned().collect();
    assert_eq!(names, want, "{what}: files of the lake");
    db.assert_sound();
    hits
}

#[test]
fn a_kill_during_rebuild_loses_nothing() {
    let db = Db::new();
    let capture = synthetic::capture(33, 20_000);
    let file = db.write("capture.gz", &gzip(&capture.bytes()));
    db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    db.run(["seal", "--before", "2024-08-09"]).ok();
    let before = db.checksums();
    let length = db.copy().run(["rebuild"]).ok().elapsed;
    let mut rng = Rng(34);
    for round in 0..4 {
        let db = db.copy();
        let mut command = db.command();
        command.arg("rebuild");
        Live::spawn(command).kill_after(moment(&mut rng, length));
        db.run(["rebuild"]).ok();
        assert_eq!(db.checksums(), before, "round {round}");
        db.assert_sound();
    }
}

#[test]
fn a_damaged_log_is_reported_and_set_aside_only_when_asked() {
    let db = Db::new();
    let capture = synthetic::capture(35, 120_000);
    let bytes = capture.bytes();
    let wal = db.dir().join("market.duckdb.wal");
    let (load, mut stdin) =
        Live::spawn_fed(db.load_command(synthetic::VENUE, synthetic::SYMBOL, ["-"]));
    stdin.write_all(&bytes).unwrap();
    stdin.flush().unwrap();
    // The pipe stays open, so the load goes on waiting, with its log not yet folded into the database.
    poll("a write-ahead log with rows", || {
        fs::metadata(&wal).is_ok_and(|meta| meta.len() > 64 << 10)
    });
    assert!(load.kill_after(Duration::ZERO), "the load ended by itself");
    drop(stdin);

    let mut log = fs::read(&wal).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 0x10;
    fs::write(&wal, &log).unwrap();
    let main_file = fs::read(db.dir().join("market.duckdb")).unwrap();

    db.try_sql("SELECT count(*) FROM trades")
        .exits(3)
        .says(&["doctor"]);
    let report = db.run(["doctor"]).exits(3);
    assert!(
        format!("{}{}", report.stdout, report.stderr).contains("--repair"),
        "{report}"
    );
    assert_eq!(fs::read(&wal).unwrap(), log, "doctor alone changes nothing");
    assert_eq!(fs::read(db.dir().join("market.duckdb")).unwrap(), main_file);

    db.run(["doctor", "--repair"]).ok();
    let mut kept = false;
    crate::harness::walk(db.dir(), &mut |path| {
        kept |= fs::read(path).is_ok_and(|bytes| bytes == log);
    });
    assert!(kept, "the damaged log is set aside, not destroyed");
    db.assert_sound();

    let file = db.write("capture.txt", &bytes);
    db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    assert_eq!(synthetic::keyed_rows(&db), capture.rows());
    db.assert_sound();
}
