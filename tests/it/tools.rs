//! What other tools read is what they would have got from their own vendor (issue 4, "Export"): the tools themselves say
//! so where they are installed, and mdb reads back what it can.

use std::path::Path;
use std::process::Command;

use crate::harness::{Db, gzip, real};
use crate::synthetic::{self, SYMBOL, VENUE};

/// Trades, quotes and a book over two UTC dates.
fn filled(seed: u64) -> Db {
    let db = Db::new();
    let file = db.write(
        "capture.gz",
        &gzip(&synthetic::capture(seed, 6_000).bytes()),
    );
    synthetic::load(&db, &file).ok();
    db
}

fn export(db: &Db, what: &str, tool: &str, to: &str, more: &[&str]) -> String {
    let path = db.beside(to);
    let args = ["export", what, path.to_str().unwrap(), "--as", tool];
    db.run(args.iter().chain(more)).ok();
    path.to_str().unwrap().to_owned()
}

/// Rows that are in one query's answer and not in the other's.
fn difference(db: &Db, a: &str, other: &Db, b: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    (db.sql(a), other.sql(b))
}

#[track_caller]
fn assert_same(db: &Db, a: &str, other: &Db, b: &str) {
    let (a, b) = difference(db, a, other, b);
    assert!(!a.is_empty());
    assert_eq!(a.len(), b.len());
    if let Some((a, b)) = a.iter().zip(&b).find(|(a, b)| a != b) {
        panic!("{a:?} and {b:?}");
    }
}

#[test]
fn tardis_files_are_read_back_as_what_they_were() {
    let (db, other) = (filled(601), Db::new());
    for what in ["trades", "quotes", "book_deltas"] {
        let path = export(&db, what, "tardis", what, &[]);
        let first = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap();
        let name = first.file_name().into_string().unwrap();
        assert!(
            name.starts_with("binance_") && name.ends_with("_TESTUSDT.csv.gz"),
            "{name}"
        );
        other.run(["load", "--as", "tardis", &path]).ok();
    }
    let us = "epoch_us(ts), epoch_us(recv_ts)";
    let trades = format!(
        "SELECT venue, symbol, {us}, trade_id, price, size, side FROM trades ORDER BY recv_ts, trade_id"
    );
    assert_same(&db, &trades, &other, &trades);
    let quotes = format!(
        "SELECT venue, symbol, {us}, bid_price, bid_size, ask_price, ask_size FROM quotes ORDER BY ALL"
    );
    assert_same(&db, &quotes, &other, &quotes);
    let levels = format!("SELECT venue, symbol, {us}, is_snapshot, side, price, size FROM");
    let levels = |table: &str| format!("{levels} {table} WHERE side IS NOT NULL ORDER BY ALL");
    // Those around a snapshot are written in the order in which they make a book.
    assert_same(
        &db,
        &levels("book_in_order()"),
        &other,
        &levels("book_deltas"),
    );
    assert_eq!(other.count("SELECT count(*) FROM dead_letters"), 0);
}

/// A message of Alpaca's holds several updates: each is written after the one before it, whatever its side and prices.
#[test]
fn several_updates_of_one_message_stay_apart_and_in_order() {
    let frame = r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:50.7Z","b":[{"p":10,"s":1}],"a":[{"p":12,"s":1}],"r":true},{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.5Z","b":[{"p":11,"s":2}],"a":[{"p":12,"s":0}]},{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.6Z","b":[{"p":11,"s":0}],"a":[{"p":12,"s":3}]}]"#;
    let db = Db::new();
    let line = format!("1700000000000000000 {frame}\n");
    db.load("alpaca_crypto", "", [db.write("frame", line.as_bytes())])
        .ok();

    let path = export(&db, "book_deltas", "tardis", "tardis", &[]);
    let lines = format!(
        "SELECT concat_ws(' ', side, price, amount) FROM read_csv('{path}/*.csv.gz', all_varchar = true)"
    );
    assert_eq!(
        db.sql(&lines).concat(),
        [
            "ask 12 1", "bid 10 1", "ask 12 0", "bid 11 2", "ask 12 3", "bid 11 0"
        ]
    );

    let path = export(&db, "book_deltas", "nautilus", "nautilus", &[]);
    let rows = format!(
        "SELECT concat_ws(' ', action, side, flags & 128, ts_event // 100000000 % 100)
         FROM read_parquet('{path}/data/*/*/*.parquet')"
    );
    assert_eq!(
        db.sql(&rows).concat(),
        [
            "4 0 0 7",
            "1 2 0 7",
            "1 1 128 7",
            "3 2 0 15",
            "2 1 128 15",
            "2 2 0 16",
            "3 1 128 16"
        ]
    );

    // An argument must not begin with dashes.
    let events = db.sql(concat!(
        "\n",
        include_str!("../../sql/exports/hftbacktest/book_deltas.sql")
    ));
    // Without what clears the book: time, price and quantity.
    let depth = events
        .iter()
        .filter(|row| row[4] != "0.0" || row[1] != events[0][1]);
    let depth: Vec<String> = depth
        .map(|row| format!("{} {} {}", &row[1][9..11], row[3], row[4]))
        .collect();
    assert_eq!(
        depth,
        [
            "07 10.0 1.0",
            "07 12.0 1.0",
            "15 11.0 2.0",
            "15 12.0 0.0",
            "16 11.0 0.0",
            "16 12.0 3.0"
        ]
    );
}

#[test]
fn lean_archives_of_crypto_are_read_back() {
    let (db, other) = (filled(603), Db::new());
    for what in ["crypto_trades", "crypto_quotes"] {
        let path = export(&db, what, "lean", what, &[]);
        let folder = Path::new(&path).join("crypto/binance_spot/tick/testusdt");
        assert!(
            folder.join("20240808_trade.zip").exists()
                || folder.join("20240808_quote.zip").exists()
        );
        other
            .run(["load", "--as", "lean", "--venue", VENUE, &path])
            .ok();
    }
    let trades = "SELECT symbol, ts, price, size FROM trades ORDER BY ALL";
    assert_same(&db, trades, &other, trades);
    let quotes =
        "SELECT symbol, ts, bid_price, bid_size, ask_price, ask_size FROM quotes ORDER BY ALL";
    assert_same(&db, quotes, &other, quotes);
}

#[test]
fn lean_archives_of_equities_go_by_new_yorks_date_and_cents() {
    let (db, other) = (Db::new(), Db::new());
    // 20:00 and 03:59:59.5 UTC are one date of New York.
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME
         SELECT row_number() OVER () AS seq, 'usa' AS venue, 'SPY' AS symbol, ts, ts AS recv_ts, price, size, 'unknown' AS side,
                conditions
         FROM (VALUES ('2024-07-01 20:00:00.0001'::TIMESTAMP_NS, 545.3401, 100.0, NULL),
                      ('2024-07-02 03:59:59.5'::TIMESTAMP_NS, 545.25, 1.0, ['5', 'suspicious']),
                      ('2024-07-02 14:30:00'::TIMESTAMP_NS, 546.0, 7.0, ['A'])) t(ts, price, size, conditions)",
    ])
    .ok();
    let path = export(&db, "trades", "lean", "out", &["--symbol", "SPY"]);
    let folder = Path::new(&path).join("equity/usa/tick/spy");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["20240701_trade.zip", "20240702_trade.zip"]);
    other.run(["load", "--as", "lean", &path]).ok();
    let rows = "SELECT * EXCLUDE (seq, recv_ts) FROM trades ORDER BY ts";
    assert_same(&db, rows, &other, rows);
}

#[test]
fn the_last_nanosecond_of_a_date_is_in_that_dates_file() {
    let db = Db::new();
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME
         SELECT 1 AS seq, 'binance_spot' AS venue, 'BTCUSDT' AS symbol, '2024-07-01 23:59:59.999999999'::TIMESTAMP_NS AS ts,
                ts AS recv_ts, '1' AS trade_id, 1.5 AS price, 2.0 AS size, 'buy' AS side",
    ])
    .ok();
    for (what, tool, file) in [
        (
            "crypto_trades",
            "lean",
            "crypto/binance_spot/tick/btcusdt/20240701_trade.zip",
        ),
        (
            "trades",
            "tardis",
            "binance_trades_2024-07-01_BTCUSDT.csv.gz",
        ),
    ] {
        let path = export(&db, what, tool, tool, &[]);
        assert!(Path::new(&path).join(file).exists(), "{file}");
    }
}

#[test]
fn what_cannot_be_exported_so_says_what_can_and_leaves_nothing() {
    let db = filled(605);
    let path = db.beside("out");
    let to = path.to_str().unwrap();
    db.run(["export", "trades", to, "--as", "nosuch"])
        .fails_naming(&["nosuch", "tardis", "nautilus"]);
    db.run(["export", "bars", to, "--as", "tardis"])
        .fails_naming(&["bars", "trades", "book_deltas"]);
    db.run([
        "export", "trades", to, "--as", "tardis", "--symbol", "NOSUCH",
    ])
    .fails_naming(&["nothing to export"]);
    db.run(["export", "trades", to, "--as", "tardis", "--sort", "ts"])
        .exits(2);
    db.run(["export", "trades", to, "--as", "tardis", "--from", "soon"])
        .fails_naming(&["soon"]);
    // A symbol is a venue's text.
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME SELECT 1 AS seq, 'v' AS venue, '../../evil' AS symbol, now()::TIMESTAMP_NS AS ts,
                ts AS recv_ts, 1.0 AS price, 1.0 AS size",
    ])
    .ok();
    db.run(["export", "crypto_trades", to, "--as", "lean"])
        .fails_naming(&["evil", "no name for a file"]);
    assert!(!path.exists());
    // A folder of the database's own is a tool as well, and its faults are told by its lines.
    let folder = db.dir().join("sql/exports/mine");
    std::fs::create_dir_all(&folder).unwrap();
    let sql = "-- Mine.\n-- @file symbol || '_' || date || '.csv'\nSELECT ts,\n       nosuch\nFROM trades\n";
    std::fs::write(folder.join("trades.sql"), sql).unwrap();
    db.run(["export", "trades", to, "--as", "mine", "--venue", VENUE])
        .fails_naming(&["nosuch"]);
    assert!(!path.exists());
    let sql = sql.replace("nosuch", "price");
    std::fs::write(folder.join("trades.sql"), sql).unwrap();
    db.run([
        "export",
        "trades",
        to,
        "--as",
        "mine",
        "--venue",
        VENUE,
        "--to",
        "2024-08-09",
    ])
    .ok();
    let lines = std::fs::read_to_string(path.join(format!("{SYMBOL}_2024-08-08.csv"))).unwrap();
    let rows =
        db.count("SELECT count(*) FROM trades WHERE ts < '2024-08-09' AND symbol = 'TESTUSDT'");
    assert_eq!(lines.lines().count() as u64, rows + 1);
}

/// What `tests/tool_readers.py` says; `None` (said on stderr) where the tool is not installed.
fn seen_by(tool: &str, directory: &str, more: &[&str]) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tool_readers.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(tool).arg(directory).args(more);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: python3 does not start ({error})");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    if text.starts_with("skipped") {
        eprint!("{text}");
        return None;
    }
    Some(text)
}

/// Venue, symbol, and the best bid and ask that its book ends with, if that is known.
type Instrument = (&'static str, &'static str, Option<&'static str>);

/// What was recorded, with the best bid and ask that each book ends with; a made-up capture where that is absent.
fn recorded() -> (Db, Vec<Instrument>) {
    let files = [
        "usdm_ethusdt_20240808.gz",
        "spot_btcusdt_20240808.gz",
        "spot_btcusdt_20240809.gz",
    ];
    let [Some(futures), Some(first), Some(second)] = files.map(real) else {
        return (filled(607), vec![(VENUE, SYMBOL, None)]);
    };
    let db = Db::new();
    db.load("binance_usdm", "ETHUSDT", [futures]).ok();
    db.load("binance_spot", "BTCUSDT", [first, second]).ok();
    let both = vec![
        ("binance_usdm", "ETHUSDT", Some("2681.38 2681.39")),
        // Some updates were received before the snapshot that they follow.
        ("binance_spot", "BTCUSDT", Some("61602.01 61602.02")),
    ];
    (db, both)
}

#[test]
fn hftbacktest_replays_the_book_and_the_trades() {
    let (db, instruments) = recorded();
    let path = export(&db, "book_deltas", "hftbacktest", "hft", &[]);
    let Some(seen) = seen_by("hftbacktest", &path, &[]) else {
        return;
    };
    for (venue, symbol, last) in instruments {
        let dates = db.sql(&format!(
            "SELECT DISTINCT strftime(recv_ts::DATE, '%Y%m%d') FROM book_deltas WHERE symbol = '{symbol}' ORDER BY 1"
        ));
        let lines: Vec<&str> = seen.lines().filter(|l| l.starts_with(venue)).collect();
        assert_eq!(lines.len(), dates.len(), "{seen}");
        for (line, date) in lines.iter().zip(&dates) {
            assert!(
                line.starts_with(&format!("{venue}_{symbol}_{}.npz ", date[0])),
                "{line}"
            );
        }
        if let Some(last) = last {
            assert!(
                lines[lines.len() - 1].contains(&format!("last {last}")),
                "{seen}"
            );
        }
    }
}

#[test]
fn nautilus_reads_trades_quotes_and_the_book_from_its_catalog() {
    let (db, instruments) = recorded();
    for what in ["trades", "quotes", "book_deltas"] {
        // One catalog: the folders below data/ are put together.
        let path = export(&db, what, "nautilus", what, &[]);
        let to = db.beside("catalog/data");
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(Path::new(&path).join("data")).unwrap() {
            let entry = entry.unwrap();
            std::fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let catalog = db.beside("catalog");
    for (venue, symbol, last) in instruments {
        let instrument = format!("{symbol}.{}", venue.to_uppercase());
        let Some(seen) = seen_by("nautilus", catalog.to_str().unwrap(), &[&instrument]) else {
            return;
        };
        let trades = db.row(&format!(
            "SELECT count(*), format('{{:.6f}}', sum(size)), format('{{:.4f}}', sum(price * size))
             FROM trades WHERE symbol = '{symbol}'"
        ));
        let quotes = db.count(&format!(
            "SELECT count(*) FROM quotes
             WHERE symbol = '{symbol}' AND bid_price + bid_size + ask_price + ask_size IS NOT NULL"
        ));
        let deltas = db.count(&format!(
            "SELECT count(*) + count(DISTINCT seq) FILTER (is_snapshot) FROM book_in_order()
             WHERE symbol = '{symbol}' AND side IS NOT NULL"
        ));
        let mut expected = vec![
            format!("{instrument} TradeTick {}", trades.join(" ")),
            format!("{instrument} QuoteTick {quotes} "),
            format!("{instrument} OrderBookDelta {deltas} "),
        ];
        expected.extend(last.map(|last| format!("OrderBookDelta {deltas} {last}")));
        for part in expected {
            assert!(seen.contains(&part), "{part}: {seen}");
        }
    }
}
