//! What `mdb run` does to the lake beside a capture: it seals, compacts and drops by itself, and takes vendors' files from
//! its inbox, whatever ends it meanwhile (issue 4, "Upkeep").

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::bulk::zipped;
use crate::crash::setting;
use crate::harness::{Checksums, Db, Live, Rng, gzip, join_lines, walk};
use crate::live_run::{Market, SPOT, await_true, end, hurry, put, sample, status, wait};
use crate::synthetic;
use crate::upkeep::{assert_all_is_well, shatter};

/// Starts `mdb run` with this mdb.toml.
fn run(db: &Db, settings: &str) -> Live {
    put(&db.dir().join("mdb.toml"), settings);
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    wait("mdb.sock", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    live
}

/// Files of a table's folder of the lake, hidden ones as well.
fn files(db: &Db, table: &str) -> usize {
    let mut files = 0;
    walk(&db.dir().join("lake").join(table), &mut |_| files += 1);
    files
}

/// What was there before the capture.
const OLD: &str = "SELECT count(*), sum(hash(t)) FROM trades t WHERE ts < '2025-01-01'";

/// Nine files of two finished dates in each table, and one date too many of the quotes.
fn nine_seals() -> Db {
    let db = Db::new();
    hurry(&db, SPOT);
    let lines = synthetic::capture(95, 18_000).lines;
    for (n, part) in lines.chunks(lines.len().div_ceil(9)).enumerate() {
        let file = db.write(&format!("{n}.txt"), &join_lines(part));
        synthetic::load(&db, &file).ok();
        let late = synthetic::capture(960 + n as u64, 400);
        let late = String::from_utf8(late.bytes()).unwrap();
        let late = late
            .replace("TESTUSDT", &format!("LATE{n}"))
            .replace("testusdt", &format!("late{n}"));
        let file = db.write(&format!("late{n}.txt"), late.as_bytes());
        db.load(SPOT, &format!("LATE{n}"), [file]).ok();
        db.run(["seal", "--all"]).ok();
    }
    assert!(files(&db, "trades") >= 16, "{}", files(&db, "trades"));
    db
}

#[test]
fn upkeep_goes_on_beside_the_capture_and_loses_no_row() {
    let (btc, eth) = (sample("BTCUSDT"), sample("ETHUSDT"));
    let market = Market::open(
        SPOT,
        &[("BTCUSDT", &btc), ("ETHUSDT", &eth)],
        &["--speed", "2000/s"],
    );
    let db = nine_seals();
    let before = db.row(OLD);
    let feed = market.feed(&["BTCUSDT", "ETHUSDT"]);
    let live = run(&db, &format!("[retain]\nquotes = \"1 day\"\n\n{feed}"));
    let first = "'2024-08-09'::TIMESTAMP_NS";
    await_true(
        &db,
        &format!("SELECT count(*) = 0 FROM quotes WHERE ts < {first}"),
    );
    wait("old files to be removed", || {
        (files(&db, "trades") <= 3).then_some(())
    });
    for table in ["trades", "quotes"] {
        let captured =
            format!("SELECT count(*) FROM {table} WHERE symbol IN ('BTCUSDT', 'ETHUSDT')");
        let clean = format!("SELECT count(*) FROM {}", market.clean(table));
        await_true(&db, &format!("({captured}) = ({clean})"));
    }
    assert_eq!(db.row(OLD), before);
    let status = status(&db);
    let slowest = status["capture"]["slowest_commit_ms"].as_f64().unwrap();
    eprintln!(
        "{} commits, the slowest {slowest} ms",
        status["capture"]["commits"]
    );
    // 250 ms are meant; other tests want the same disk and cores.
    assert!(slowest < 2_000.0, "{slowest} ms");
    end(&db, live, Signal::INT);
    market.close();
    assert_eq!(db.row(OLD), before);
    assert_all_is_well(&db);
}

#[test]
fn a_command_that_a_run_keeps_out_is_told_what_to_do() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "8"]);
    let db = Db::new();
    hurry(&db, SPOT);
    let live = run(&db, &market.feed(&["BTCUSDT"]));
    let file = db.write("late.txt", &synthetic::capture(98, 100).bytes());
    let load = [
        "load",
        "--as",
        "capture",
        "--venue",
        SPOT,
        file.to_str().unwrap(),
    ];
    let kept_out = [
        (&load[..], "inbox/ by itself"),
        (&["seal"][..], "seals finished dates by itself"),
        (&["compact"][..], "merges small files by itself"),
        (
            &["retain", "--table", "trades", "--keep", "9 days"][..],
            "drops by itself",
        ),
        (&["rebuild"][..], "once `mdb run` has ended"),
        (&["doctor"][..], "once `mdb run` has ended"),
    ];
    // All at once: each waits a while for the database.
    let kept_out = kept_out.map(|(args, hint)| {
        let mut command = db.command();
        command.args(args);
        (Live::spawn(command), hint)
    });
    for (command, hint) in kept_out {
        command
            .finish()
            .exits(3)
            .says(&["is in use", "hint: ", hint]);
    }
    end(&db, live, Signal::INT);
    market.close();
}

/// Hundreds of files, so that upkeep takes a while.
fn shattered() -> (Db, Checksums) {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(97, 12_000).bytes());
    synthetic::load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    shatter(
        &db,
        &["raw_messages", "trades", "quotes", "book_deltas"],
        100,
        false,
    );
    let sums = db.checksums();
    (db, sums)
}

/// Waits until upkeep is writing a file.
fn await_staging(db: &Db) {
    wait("a file under construction", || {
        let mut found = false;
        walk(&db.dir().join("lake"), &mut |path: &Path| {
            found |= path.to_string_lossy().ends_with(".staging");
        });
        found.then_some(())
    });
}

#[test]
fn an_interrupt_in_the_midst_of_upkeep_ends_it_cleanly() {
    let (db, sums) = shattered();
    let live = run(&db, "");
    await_staging(&db);
    end(&db, live, Signal::INT);
    assert_eq!(db.checksums(), sums);
    assert_all_is_well(&db);
    // What was merged stays, and the same command goes on.
    db.run(["compact"]).ok();
    assert_eq!(db.checksums(), sums);
    assert!(files(&db, "trades") <= 2);
}

#[test]
fn a_kill_in_the_midst_of_upkeep_leaves_everything_exact() {
    let rounds = setting("MDB_CRASH_ROUNDS", 20) / 4;
    let seed = setting("MDB_CRASH_SEED", 20_240_808);
    let (whole, sums) = shattered();
    let mut rng = Rng(seed);
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        let db = whole.copy();
        let settings = if rng.chance(500) {
            "[retain]\nquotes = \"1 day\"\n"
        } else {
            ""
        };
        let live = run(&db, settings);
        await_staging(&db);
        let moment = live.elapsed() + Duration::from_millis(rng.below(1_000) as u64);
        live.kill_after(moment);
        for (table, sum) in db.checksums() {
            let old = sum == sums[&table];
            let without = db.count("SELECT count(*) FROM quotes WHERE ts < '2024-08-09'") == 0;
            assert!(old || (table == "quotes" && without), "{what}: {table}");
        }
        db.assert_sound();
        db.run(["compact"]).ok();
        let known = db.count("SELECT count(*) FROM ops.manifest");
        assert_eq!(known, db.lake().len() as u64, "{what}: files left over");
        assert_all_is_well(&db);
    }
}

#[test]
fn old_trades_wait_for_their_bars() {
    let whole = Db::new();
    let capture = synthetic::capture(98, 8_000);
    let file = whole.write("capture.txt", &capture.bytes());
    synthetic::load(&whole, &file).ok();
    let retain = "[retain.trades]\nkeep = \"1 day\"\ndownsample = \"ohlcv_1m\"\n";
    for settings in [retain, &format!("{retain}[models]\nlive = false\n")] {
        let db = whole.copy();
        let live = run(&db, settings);
        await_true(
            &db,
            "SELECT count(*) = 0 FROM trades WHERE ts < '2024-08-09'",
        );
        let in_bars = db.count("SELECT sum(trades) FROM ohlcv_1m");
        assert_eq!(in_bars, capture.trades, "{settings}");
        assert!(db.count("SELECT count(*) FROM trades") > 0);
        end(&db, live, Signal::INT);
        assert_all_is_well(&db);
    }
}

/// Drops a file into the inbox, as a whole.
fn put_in(db: &Db, name: &str, bytes: &[u8]) {
    let inbox = db.dir().join("inbox");
    fs::create_dir_all(&inbox).unwrap();
    let aside = db.write(name, bytes);
    fs::rename(aside, inbox.join(name)).unwrap();
}

#[test]
fn vendors_files_in_the_inbox_are_loaded_beside_the_capture() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "3"]);
    let db = Db::new();
    hurry(&db, SPOT);
    let inbox = db.dir().join("inbox");
    let live = run(&db, &market.feed(&["BTCUSDT"]));
    let captured = "SELECT count(*) FROM trades WHERE symbol = 'BTCUSDT'";
    await_true(&db, &format!("({captured}) > 20"));

    // By dialect, name and columns; an archive; a table whose rows replace each other; by the names of columns, with what
    // they do not say in the file's name.
    let vision = "4359,93000.01,0.00011,10,1735689600010866,False,True\n4360,93000.02,0.5,10,1735689600020866,True,True\n";
    let klines = "1735689600000000,1.0,3.0,0.5,2.0,10,1735689659999999,20,5,4,8,0\n";
    let tardis = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n\
                  binance-futures,ETHUSDT,1722470400123000,1722470400125000,77,buy,3000.5,0.25\n";
    let plain = "ts,trade_id,price,size,side\n2024-08-01 00:00:01,1,1.5,2,buy\n2024-08-01 00:00:02,2,1.75,1,sell\n";
    let archive = zipped(&[("DOTUSDT-trades-2025-01-01.csv", vision.as_bytes())]);
    let good: [(&str, &[u8]); 4] = [
        ("DOTUSDT-trades-2025-01-01.zip", &archive),
        ("DOTUSDT-1m-2025-01-01.csv", klines.as_bytes()),
        (
            "binance-futures_trades_2024-08-01_ETHUSDT.csv.gz",
            &gzip(tardis.as_bytes()),
        ),
        ("binance_spot-PLAINUSDT.csv", plain.as_bytes()),
    ];
    let bad: [(&str, &[u8], &str); 4] = [
        (
            "colours.csv",
            b"red,green\n1,2\n",
            "its columns are: red, green",
        ),
        ("nobody-knows.csv", plain.as_bytes(), "--venue"),
        ("noise.bin", b"\x00\x01\x02", "binary"),
        ("empty.csv", b"", "empty"),
    ];
    for (name, bytes) in good {
        put_in(&db, name, bytes);
    }
    for (name, bytes, _) in bad {
        put_in(&db, name, bytes);
    }
    for (name, _) in good {
        let note = inbox.join(format!("failed/{name}.error"));
        wait(name, || {
            let note = fs::read_to_string(&note).unwrap_or_default();
            assert_eq!(note, "", "{name}");
            inbox.join("done").join(name).exists().then_some(())
        });
    }
    for (name, _, reason) in bad {
        let failed = inbox.join("failed").join(name);
        wait(name, || failed.exists().then_some(()));
        let note = fs::read_to_string(inbox.join(format!("failed/{name}.error"))).unwrap();
        assert!(note.contains(reason), "{name}: {note}");
    }
    assert_eq!(
        db.sql(
            "SELECT venue, symbol, count(*), round(sum(price * size), 3) FROM trades WHERE symbol <> 'BTCUSDT' GROUP BY ALL ORDER BY ALL"
        ),
        [
            ["binance_spot", "DOTUSDT", "2", "46510.24"],
            ["binance_spot", "PLAINUSDT", "2", "4.75"],
            ["binance_usdm", "ETHUSDT", "1", "750.125"],
        ]
    );
    assert_eq!(
        db.row("SELECT venue, symbol, \"interval\", close FROM bars"),
        ["binance_spot", "DOTUSDT", "1m", "2.0"]
    );
    // What came is seen by those who go by what is new: the marts.
    await_true(
        &db,
        "SELECT sum(trades) = 5 FROM ohlcv_1m WHERE symbol <> 'BTCUSDT'",
    );
    // What is captured after it stands after it.
    let later = "SELECT count(*) > 0 FROM trades WHERE symbol = 'BTCUSDT'
                 AND seq > (SELECT max(seq) FROM trades WHERE symbol <> 'BTCUSDT')";
    await_true(&db, later);
    let before = db.count(captured);
    await_true(&db, &format!("({captured}) > {before}"));
    end(&db, live, Signal::TERM);
    market.close();
    assert_all_is_well(&db);
    // The next to write goes on above them all.
    let highest = db.count("SELECT max(seq) FROM trades");
    let file = db.write("later.txt", &synthetic::capture(100, 200).bytes());
    db.load(SPOT, "TESTUSDT", [file]).ok();
    assert!(db.count("SELECT max(seq) FROM raw_messages") > highest);
}

#[test]
fn a_files_name_in_the_inbox_says_only_what_its_rows_do_not() {
    let db = Db::new();
    let live = run(&db, "");
    let name = "kraken-trades-2024-01-01.csv";
    let text = "venue,symbol,ts,price,size,trade_id\n\
                kraken,BTC/USD,2024-01-01 00:00:00,1.5,2,1\n\
                kraken,ETH/USD,2024-01-01 00:00:00,1.5,2,1\n\
                kraken,SOL/USD,2024-01-01 00:00:00,1.5,2,1\n";
    put_in(&db, name, text.as_bytes());
    let done = db.dir().join("inbox/done").join(name);
    wait(name, || done.exists().then_some(()));
    assert_eq!(
        db.sql("SELECT venue, symbol FROM trades ORDER BY ALL"),
        [
            ["kraken", "BTC/USD"],
            ["kraken", "ETH/USD"],
            ["kraken", "SOL/USD"],
        ]
    );
    // A member that is no table does not keep those after it from being loaded.
    let rows = |id: u32| {
        format!(
            "venue,symbol,ts,price,size,trade_id\nkraken,ZIP/USD,2024-01-02 00:00:00,1.5,2,{id}\n"
        )
    };
    let (first, last) = (rows(1), rows(2));
    let archive = zipped(&[
        ("a.csv", first.as_bytes()),
        ("b_readme.txt", &b"read me\n"[..]),
        ("c.csv", last.as_bytes()),
    ]);
    put_in(&db, "three.zip", &archive);
    let failed = db.dir().join("inbox/failed");
    wait("three.zip", || {
        failed.join("three.zip").exists().then_some(())
    });
    let note = fs::read_to_string(failed.join("three.zip.error")).unwrap();
    assert!(note.contains("b_readme.txt"), "{note}");
    assert!(note.contains("loaded of it: a.csv, c.csv"), "{note}");
    let zip = "SELECT count(*) FROM trades WHERE symbol = 'ZIP/USD'";
    assert_eq!(db.count(zip), 2);
    end(&db, live, Signal::TERM);
    assert_all_is_well(&db);
}

#[test]
fn a_vendors_rows_and_captured_ones_are_known_to_each_other() {
    let db = Db::new();
    let live = run(&db, "");
    let capture = synthetic::capture(99, 4_000);
    let trades: Vec<String> = capture
        .lines
        .iter()
        .filter(|line| line.contains("@trade"))
        .map(|line| {
            let field = |name: &str| {
                let rest = line.split(&format!("\"{name}\":")).nth(1).unwrap();
                rest.split([',', '}']).next().unwrap().trim_matches('"')
            };
            format!(
                "{},{},{},{}",
                field("T"),
                field("t"),
                field("p"),
                field("q")
            )
        })
        .collect();
    let csv = |rows: &[String]| {
        let text = join_lines(rows);
        [b"ts,trade_id,price,size\n", &text[..]].concat()
    };
    let (first, second) = trades.split_at(trades.len() / 2);
    let steps: [(&str, Vec<u8>); 4] = [
        ("binance_spot-TESTUSDT.first.csv", csv(first)),
        ("binance_spot-TESTUSDT.capture.gz", gzip(&capture.bytes())),
        ("binance_spot-TESTUSDT.second.csv", csv(second)),
        ("binance_spot-TESTUSDT.again.csv", csv(first)),
    ];
    for (name, bytes) in &steps {
        put_in(&db, name, bytes);
        let done = db.dir().join("inbox/done").join(name);
        wait(name, || done.exists().then_some(()));
    }
    let of_test = "SELECT count(*) FROM trades WHERE symbol = 'TESTUSDT'";
    assert_eq!(db.count(of_test), capture.trades);
    let seqs = "SELECT count(DISTINCT seq) FROM trades";
    assert_eq!(db.count(seqs), db.count("SELECT count(*) FROM trades"));
    end(&db, live, Signal::TERM);
    assert_all_is_well(&db);
}
