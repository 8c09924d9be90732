//! Models: marts that are kept up to date, whatever comes in whichever order, tests of the data, lineage (issue 5).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::crash::setting;
use crate::harness::{Db, Live, Rng, join_lines, parse_csv, read_lines, real};
use crate::synthetic::{self, SYMBOL, VENUE, trade_line};

/// The built-in marts that are kept by windows.
const MARTS: [&str; 7] = [
    "ohlcv_1s",
    "ohlcv_1m",
    "ohlcv_1h",
    "ohlcv_1d",
    "mart_liquidity",
    "exchange_health_1m",
    "ingest_1s",
];

const HOUR_NS: u64 = 3_600_000_000_000;

fn write_sql(db: &Db, path: &str, text: &str) -> PathBuf {
    let path = db.dir().join("sql").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// A mart of five minutes over trades, with more lines for its comment block.
fn mart(tags: &str, select: &str) -> String {
    format!(
        "-- A mart.\n-- @materialize incremental\n-- @key symbol, ts\n-- @time ts\n-- @window 1 minute\n{tags}{select}\n"
    )
}

const COUNTS: &str =
    "SELECT symbol, bucket_start(ts, '1 minute') AS ts, count(*) AS n FROM trades GROUP BY ALL";

fn trades(db: &Db, name: &str, lines: &[String]) {
    let file = db.write(name, &join_lines(lines));
    db.load(VENUE, SYMBOL, [file]).ok();
}

/// Trades of 2024-08-08, `(second of the day, id, price)`.
fn day(trades: &[(u64, u64, &str)]) -> Vec<String> {
    let start_ns = 1_723_075_200_000_000_000_u64;
    let line = |&(second, id, price): &(u64, u64, &str)| {
        let ns = start_ns + second * 1_000_000_000;
        let ms = (ns / 1_000_000).to_string();
        trade_line(&ns.to_string(), &id.to_string(), price, "1", &ms)
    };
    trades.iter().map(line).collect()
}

/// A trade of the fifth second of a day, counted from 2024-08-08.
fn on_day(id: u64, day: u64) -> String {
    let ns = 1_723_075_200_000_000_000_u64 + day * 24 * HOUR_NS + 5_000_000_000;
    let ms = (ns / 1_000_000).to_string();
    trade_line(&ns.to_string(), &id.to_string(), "1", "1", &ms)
}

fn retain(db: &Db, table: &str, keep: &str) {
    db.run(["retain", "--table", table, "--keep", keep]).ok();
}

/// What `mdb models` says of a model: its kind, its state, its rows, …
fn told_of(db: &Db, model: &str) -> Vec<String> {
    let rows = parse_csv(&db.run(["models", "--format", "csv"]).ok().stdout);
    let mut row = rows.into_iter().find(|row| row[0] == model).unwrap();
    row.remove(0);
    row
}

/// All rows of the marts, in one order.
fn contents(db: &Db, marts: &[&str]) -> Vec<(String, Vec<Vec<String>>)> {
    let rows = |mart: &&str| {
        (
            (*mart).to_owned(),
            db.sql(&format!("FROM {mart} ORDER BY ALL")),
        )
    };
    marts.iter().map(rows).collect()
}

/// Equal in everything but the last digits of sums.
#[track_caller]
fn assert_alike(a: &[Vec<String>], b: &[Vec<String>], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: rows");
    for (a, b) in a.iter().zip(b) {
        let alike = |(a, b): (&String, &String)| {
            let number = |text: &String| text.parse::<f64>();
            match (number(a), number(b)) {
                (Ok(x), Ok(y)) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()) + 1e-15,
                _ => a == b,
            }
        };
        assert!(
            a.len() == b.len() && a.iter().zip(b).all(alike),
            "{what}:\n{a:?}\n{b:?}"
        );
    }
}

/// Marts as they are kept are the marts as they are made from the beginning.
#[track_caller]
fn assert_equals_full(db: &Db, marts: &[&str]) {
    let kept = contents(db, marts);
    db.run(["build", "--full"]).ok();
    let made = contents(db, marts);
    for ((name, kept), (_, made)) in kept.iter().zip(&made) {
        assert_alike(kept, made, name);
    }
}

/// Bars of `seconds` as plain Python computes them from the lines of captures; `None` (said on stderr) without Python.
fn in_python(seconds: u64, files: &[&Path]) -> Option<Vec<Vec<String>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ohlcv_oracle.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(seconds.to_string())
        .args(files)
        .output();
    match output {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut rows = parse_csv(&String::from_utf8(output.stdout).unwrap());
            rows.remove(0);
            Some(rows)
        }
        Err(error) => {
            eprintln!("skipped: python3 does not run: {error}");
            None
        }
    }
}

const BARS: &str = "SELECT symbol, epoch_ns(ts), open, high, low, close, volume, quote_volume, trades, buy_volume, sell_volume, \
                    first_trade_id, last_trade_id FROM ohlcv_1m ORDER BY symbol, ts";

#[test]
fn bars_of_the_real_captures_equal_a_plain_computation_whichever_way_they_came() {
    let Some(file) = real("spot_btcusdt_20240808.gz") else {
        return;
    };
    let Some(expected) = in_python(60, &[&file]) else {
        return;
    };
    assert!(expected.len() > 5, "{expected:?}");
    let lines: Vec<String> = read_lines(&file)
        .into_iter()
        .filter(|line| line.contains("@trade\""))
        .collect();

    let at_once = Db::new();
    at_once.load("binance_spot", "BTCUSDT", [&file]).ok();
    at_once.run(["build"]).ok();
    assert_alike(&at_once.sql(BARS), &expected, "one load");
    at_once
        .run(["build"])
        .ok()
        .shows(&["ohlcv_1m                 up to date"]);
    at_once.run(["rebuild"]).ok();
    at_once.run(["build", "ohlcv_1m"]).ok().shows(&["full"]);
    assert_alike(&at_once.sql(BARS), &expected, "after rebuild");
    at_once.run(["seal", "--all"]).ok();
    at_once.run(["build"]).ok();
    assert_alike(&at_once.sql(BARS), &expected, "after seal");
    assert_equals_full(&at_once, &MARTS);

    let in_parts = Db::new();
    for (n, part) in lines.chunks(3_000).enumerate() {
        let file = in_parts.write(&format!("{n}"), &join_lines(part));
        in_parts.load("binance_spot", "BTCUSDT", [file]).ok();
        in_parts.run(["build"]).ok();
    }
    assert_alike(&in_parts.sql(BARS), &expected, "in parts");
    assert_equals_full(&in_parts, &MARTS);

    // Every row is received up to an hour late.
    let mut rng = Rng(5);
    let mut late: Vec<(u64, &str)> = lines
        .iter()
        .map(|line| {
            let (ns, message) = line.split_once(' ').unwrap();
            (ns.parse::<u64>().unwrap() + rng.next() % HOUR_NS, message)
        })
        .collect();
    late.sort_unstable();
    let late: Vec<String> = late
        .iter()
        .map(|(ns, message)| format!("{ns} {message}"))
        .collect();
    let shuffled = Db::new();
    for (n, part) in late.chunks(2_000).enumerate() {
        let file = shuffled.write(&format!("{n}"), &join_lines(part));
        shuffled.load("binance_spot", "BTCUSDT", [file]).ok();
        shuffled.run(["build"]).ok();
        if n == 2 {
            shuffled.run(["seal", "--all"]).ok();
        }
    }
    assert_alike(&shuffled.sql(BARS), &expected, "an hour late");
    assert_equals_full(&shuffled, &MARTS);
}

#[test]
fn late_rows_correct_the_mart_and_are_listed() {
    let db = Db::new();
    trades(
        &db,
        "a",
        &day(&[(36_000, 1, "10"), (36_001, 2, "11"), (40_000, 3, "12")]),
    );
    db.run(["build"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM late_rows"), 0);
    trades(
        &db,
        "b",
        &day(&[(36_002, 4, "15"), (36_059, 5, "14"), (40_001, 6, "13")]),
    );
    db.run(["build"]).ok().shows(&["2 rows came late"]);
    assert_eq!(
        db.row("SELECT high, close, trades FROM ohlcv_1m ORDER BY ts LIMIT 1"),
        ["15.0", "14.0", "4"]
    );
    assert_eq!(
        db.row("SELECT source, symbol, rows, late_by, corrected FROM late_rows WHERE model = 'ohlcv_1s'"),
        ["trades", SYMBOL, "2", "01:06:38", "true"]
    );
    assert_eq!(
        db.count("SELECT count(*) FROM trades JOIN late_rows l ON seq BETWEEN first_seq AND last_seq AND model = 'ohlcv_1s' WHERE trades.ts < l.ts + INTERVAL 1 minute"),
        2
    );
}

/// Trades of a venue that takes some back, in any order, with seals, kills and rebuilds between. `MDB_MODEL_ROUNDS` sets the
/// number of rounds.
#[test]
fn whatever_happens_every_mart_equals_one_made_from_the_beginning() {
    const STOCKS: &str = "alpaca_stocks";
    let start_ns = 1_680_789_600_000_000_000_u64;
    let rounds = setting("MDB_MODEL_ROUNDS", 1);
    for seed in 0..rounds {
        let mut rng = Rng(0x5eed + seed);
        let db = Db::new();
        let mut frames: Vec<(u64, String)> = Vec::new();
        for id in 1..=1_200_u64 {
            let ns = start_ns + rng.next() % (3 * HOUR_NS);
            let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            let (symbol, price) = (["AAPL", "EEM", "SPY"][rng.below(3)], 100 + rng.below(50));
            let trade = format!(
                r#"[{{"T":"t","S":"{symbol}","i":{id},"x":"M","p":{price},"s":{},"c":["@"],"z":"B","t":"{time}"}}]"#,
                1 + rng.below(9)
            );
            let received = ns + rng.next() % HOUR_NS;
            frames.push((received, trade));
            let taken_back = match rng.below(20) {
                0 => Some(format!(
                    r#"[{{"T":"x","S":"{symbol}","i":{id},"x":"M","p":{price},"s":1,"a":"C","z":"B","t":"{time}"}}]"#
                )),
                1 => Some(format!(
                    r#"[{{"T":"c","S":"{symbol}","x":"M","oi":{id},"op":{price},"os":1,"oc":["@"],"ci":{},"cp":99,"cs":2,"cc":["@"],"z":"B","t":"{time}"}}]"#,
                    100_000 + id
                )),
                _ => None,
            };
            frames.extend(taken_back.map(|frame| (received + rng.next() % HOUR_NS, frame)));
        }
        frames.sort_unstable();
        let lines: Vec<String> = frames
            .iter()
            .map(|(ns, frame)| format!("{ns} {frame}"))
            .collect();
        let mut at = 0;
        let mut steps = Vec::new();
        while at < lines.len() {
            let end = (at + 1 + rng.below(200)).min(lines.len());
            let file = db.write(&format!("{at}"), &join_lines(&lines[at..end]));
            db.load(STOCKS, "", [file]).ok();
            at = end;
            match rng.below(10) {
                0 => drop(db.run(["seal", "--all"]).ok()),
                1 => drop(db.run(["rebuild"]).ok()),
                2..=3 => {
                    let mut command = db.command();
                    command.arg("build");
                    let killed =
                        Live::spawn(command).kill_after(Duration::from_millis(rng.next() % 120));
                    steps.push(if killed { "killed" } else { "built" });
                }
                4..=7 => drop(db.run(["build"]).ok()),
                _ => {}
            }
        }
        db.run(["build"]).ok();
        assert!(
            db.count("SELECT count(*) FROM trade_corrections") > 50,
            "seed {seed}"
        );
        assert!(
            db.count("SELECT count(*) FROM ohlcv_1s") > 900,
            "seed {seed}"
        );
        eprintln!("seed {seed}: {steps:?}");
        assert_equals_full(&db, &MARTS);
        db.assert_sound();
    }
}

#[test]
fn marts_of_many_rows_are_whole_for_those_that_read_them() {
    let db = Db::new();
    let file = db.beside("trades.parquet");
    let trades = format!(
        "COPY (SELECT make_timestamp_ns(1722470400000000000 + i * 250000000) AS ts, 'S' || i % 7 AS symbol, 1.5 AS price, \
         1.0 AS size, 'buy' AS side FROM range(700000) t(i)) TO '{}'",
        file.display()
    );
    db.run(["sql", "--write", &trades]).ok();
    db.run(["load", file.to_str().unwrap(), "--venue", "v"])
        .ok();
    db.run(["build"]).ok();
    for mart in ["ohlcv_1s", "ohlcv_1m", "ohlcv_1h", "ohlcv_1d"] {
        assert_eq!(
            db.value(&format!("SELECT sum(trades) FROM {mart}")),
            "700000",
            "{mart}"
        );
    }
    assert_eq!(
        db.value("SELECT newest FROM ops.builds WHERE model = 'ohlcv_1s'"),
        "2024-08-03 00:36:39"
    );
}

#[test]
fn what_is_not_touched_is_not_written() {
    let db = Db::new();
    let marked = format!("SELECT *, uuid() AS made FROM ({COUNTS})");
    write_sql(&db, "marts/counts.sql", &mart("", &marked));
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "1"), (130, 3, "1")]));
    db.run(["build", "counts"]).ok().shows(&["full"]);
    let place = "SELECT n, made FROM counts ORDER BY ts";
    let before = db.sql(place);
    trades(&db, "b", &day(&[(75, 4, "1")]));
    db.run(["build", "counts"])
        .ok()
        .shows(&["windows", "1 rows made"]);
    let after = db.sql(place);
    assert_eq!([&before[0], &before[2]], [&after[0], &after[2]]);
    assert_eq!((before[1][0].as_str(), after[1][0].as_str()), ("1", "2"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of faults")]
fn a_faulty_file_is_told_with_its_line_and_everything_else_goes_on() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    let check = |path: &str, text: &str, parts: &[&str]| {
        let file = write_sql(&db, path, text);
        let name = format!("sql/{path}");
        let mut all = vec![name.as_str()];
        all.extend(parts);
        // Questions are answered by what was good; a build says that not all is.
        db.run(["sql", "SELECT 1"]).ok().says(&all);
        db.run(["build"]).fails_naming(&all);
        fs::remove_file(file).unwrap();
        let run = db.run(["sql", "SELECT 1"]).ok();
        assert_eq!(run.stderr, "", "{run}");
    };
    let full = "-- A.\n-- @materialize full\n";
    check(
        "marts/a.sql",
        &format!("{full}SELECT\n  nothing FROM trades"),
        &[":4", "nothing"],
    );
    check(
        "marts/a.sql",
        &format!("{full}SELECT * FROM\n  no_such_table"),
        &[":4", "no_such_table"],
    );
    check(
        "marts/a.sql",
        &format!("{full}SELECT 1 FRM x y z"),
        &[":3", "syntax error"],
    );
    check("marts/a.sql", "-- A.\nSELECT 1 AS a", &["@materialize"]);
    check(
        "views/a.sql",
        "-- A.\n-- @test row_count 5\nSELECT 1 AS a",
        &[":2", "'row_count 5' is no test"],
    );
    check(
        "marts/a.sql",
        &format!("{full}CREATE TABLE a AS SELECT 1"),
        &["must be one SELECT"],
    );
    check(
        "views/ohlcv_1m.sql",
        "-- A.\nSELECT 1 AS a",
        &["two models cannot have one name"],
    );
    check(
        "views/trades.sql",
        "-- A.\nSELECT 1 AS a",
        &["canonical table"],
    );
    check(
        "marts/a.sql",
        &mart("-- @window soon\n", COUNTS),
        &[":6", "soon"],
    );
    check(
        "marts/a.sql",
        &mart("-- @column ts DATE when\n", COUNTS),
        &[":6", "ts DATE", "symbol VARCHAR"],
    );
    check(
        "marts/a.sql",
        &mart(
            "-- @column symbol VARCHAR which\n-- @column ts TIMESTAMP_NS when\n",
            COUNTS,
        ),
        &[":7", "a column n that no @column promises"],
    );
    check(
        "marts/a.sql",
        &mart("", "SELECT symbol, ts::DATE AS ts FROM trades"),
        &["must be a TIMESTAMP_NS"],
    );
    check(
        "marts/a.sql",
        &mart("", "SELECT 1 AS n, ts FROM trades"),
        &["@key names 'symbol'"],
    );
    check(
        "marts/a.sql",
        &mart("-- @whole nosuch\n", COUNTS),
        &["@whole names 'nosuch'", "it reads trades"],
    );
    check(
        "marts/a.sql",
        &mart("", &format!("{COUNTS}\n-- @test row_count > 0")),
        &[":7", "@test stands outside"],
    );
    check(
        "marts/a.sql",
        &mart(
            "",
            "SELECT symbol, ts, 1 AS n FROM trades JOIN o USING (symbol)",
        ),
        &["o does not exist"],
    );
    let with = |column: &str| {
        mart(
            "",
            &format!("SELECT symbol, ts,\n{column} AS n FROM trades"),
        )
    };
    check(
        "marts/a.sql",
        &with("price - lag(price) OVER (PARTITION BY symbol ORDER BY ts)"),
        &[
            "marts/a.sql:7",
            "lag looks from row to row",
            "@materialize full",
        ],
    );
    check(
        "marts/a.sql",
        &mart(
            "",
            "SELECT t.symbol, t.ts, bid_price AS n FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts",
        ),
        &["ASOF JOIN looks for rows before", "@whole"],
    );
    write_sql(
        &db,
        "macros/before.sql",
        "-- Before.\nCREATE OR REPLACE MACRO before(p, t) AS\nlag(p) OVER (ORDER BY t)",
    );
    let through = write_sql(&db, "marts/a.sql", &with("before(price, ts)"));
    db.run(["sql", "SELECT 1"]).ok().says(&[
        "macros/before.sql:3",
        "a is made by windows",
        "lag looks",
    ]);
    fs::remove_file(through).unwrap();
    let own = "row_number() OVER (PARTITION BY symbol, date_trunc('minute', ts) ORDER BY seq)";
    write_sql(&db, "marts/own.sql", &with(own));
    db.run(["sql", "FROM own"]).ok();
    fs::remove_file(db.dir().join("sql/marts/own.sql")).unwrap();
    write_sql(
        &db,
        "views/o.sql",
        "-- O.\nSELECT DISTINCT symbol FROM trades",
    );
    check(
        "marts/a.sql",
        &mart(
            "",
            "SELECT symbol, ts, 1 AS n FROM trades JOIN o USING (symbol)",
        ),
        &["@whole o"],
    );
    write_sql(
        &db,
        "views/b.sql",
        "-- B.\nSELECT * FROM trades\nWHERE symbol IN (SELECT symbol FROM a)",
    );
    fs::write(
        db.dir().join("sql/views/a.sql"),
        "-- A.\nSELECT symbol FROM b",
    )
    .unwrap();
    db.run(["sql", "SELECT 1"])
        .ok()
        .says(&["sql/views/b.sql:3", "a reads b reads a"]);
}

#[test]
fn a_mart_by_windows_calls_what_it_reads_by_its_name_alone() {
    let db = Db::new();
    let qualified = COUNTS.replace("trades", "main.trades");
    let file = write_sql(&db, "marts/a.sql", &mart("", &qualified));
    db.run(["sql", "SELECT 1"])
        .ok()
        .says(&["sql/marts/a.sql:6", "write trades, not main.trades"]);
    write_sql(
        &db,
        "macros/all_of.sql",
        "-- All.\nCREATE OR REPLACE MACRO all_of(s) AS TABLE\nSELECT * FROM main.trades WHERE symbol = s",
    );
    let through = COUNTS.replace("trades", &format!("all_of('{SYMBOL}')"));
    fs::write(&file, mart("", &through)).unwrap();
    db.run(["sql", "SELECT 1"])
        .ok()
        .says(&["sql/macros/all_of.sql:3", "write trades, not main.trades"]);

    // Who makes no windows may; a view is given them itself.
    write_sql(
        &db,
        "views/everything.sql",
        "-- V.\nSELECT * FROM main.trades",
    );
    fs::write(&file, mart("", &COUNTS.replace("trades", "everything"))).unwrap();
    write_sql(
        &db,
        "marts/b.sql",
        "-- B.\n-- @materialize full\nSELECT count(*) AS n FROM main.trades",
    );
    for (id, total) in [(1, "1"), (2, "2")] {
        trades(&db, total, &day(&[(70 * id, id, "1")]));
        db.run(["build"]).ok();
        assert_eq!(
            db.row("SELECT sum(a.n), any_value(b.n) FROM a, b"),
            [total, total]
        );
    }
}

#[test]
fn windows_of_any_length_are_buckets_of_that_length() {
    const LENGTHS: [(&str, &str); 5] = [
        ("two_days", "2 days"),
        ("two_weeks", "2 weeks"),
        ("three_weeks", "3 weeks"),
        ("day_and_half", "36 hours"),
        ("seven_minutes", "7 minutes"),
    ];
    let db = Db::new();
    for (name, length) in LENGTHS {
        let text = mart("", COUNTS).replace("1 minute", length);
        write_sql(&db, &format!("marts/{name}.sql"), &text);
    }
    let names = LENGTHS.map(|(name, _)| name);
    for n in 0..2 {
        let lines: Vec<String> = (0..30).map(|d| on_day(100 * n + d, d)).collect();
        trades(&db, &n.to_string(), &lines);
        db.run(["build"]).ok();
    }
    assert_equals_full(&db, &names);
    assert_eq!(
        db.sql("SELECT ts, n FROM two_weeks ORDER BY ts"),
        [
            ["2024-08-05 00:00:00", "22"],
            ["2024-08-19 00:00:00", "28"],
            ["2024-09-02 00:00:00", "10"]
        ]
    );
}

#[test]
fn the_last_nanosecond_of_a_day_is_of_that_day() {
    let db = Db::new();
    // Each date is a file of its own, and the first one holds nothing else.
    let rows = "venue,symbol,ts,trade_id,price,size,side\n\
                v,A,2024-03-01 23:59:59.999999999,1,10,1,buy\n\
                v,A,2024-03-02 00:00:00,2,11,2,sell\n";
    let file = db.write("days.csv", rows.as_bytes());
    db.run(["load", file.to_str().unwrap()]).ok();
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT ts, open, volume FROM ohlcv_1d ORDER BY ts"),
        [
            ["2024-03-01 00:00:00", "10.0", "1.0"],
            ["2024-03-02 00:00:00", "11.0", "2.0"]
        ]
    );
    db.run(["test"]).ok();
}

#[test]
fn a_name_with_other_capitals_or_marks_in_it_is_a_name() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    let file = write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    db.run(["build"]).ok();
    fs::rename(&file, file.with_file_name("Counts.sql")).unwrap();
    db.run(["build", "counts"]).ok().shows(&["up to date"]);
    assert_eq!(told_of(&db, "Counts")[..3], ["incremental", "ok", "2"]);
    trades(&db, "b", &day(&[(71, 3, "2")]));
    db.run(["build", "counts"]).ok().shows(&["windows"]);
    assert_eq!(db.sql("SELECT n FROM counts ORDER BY ts"), [["1"], ["2"]]);
    assert_eq!(
        db.value("SELECT string_agg(name) FROM ops.models WHERE lower(name) = 'counts'"),
        "Counts"
    );

    write_sql(&db, "marts/a\"b.sql", &mart("", COUNTS));
    write_sql(
        &db,
        "views/it's.sql",
        "-- V.\nSELECT sum(n) AS n FROM \"a\"\"b\"",
    );
    db.run(["build"]).ok();
    trades(&db, "c", &day(&[(72, 4, "2")]));
    db.run(["build"]).ok();
    assert_eq!(db.value("SELECT n FROM \"it's\""), "4");
    db.run(["build", "--full"]).ok();
    assert_eq!(db.value("SELECT n FROM \"it's\""), "4");
}

#[test]
fn tests_and_lineage_know_a_relation_in_any_capitals_and_tell_a_name_that_has_no_test() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (11, 2, "2")]));
    write_sql(&db, "marts/Counts.sql", &mart("", COUNTS));
    let again = mart("", "SELECT symbol, ts, n FROM counts");
    write_sql(&db, "marts/again.sql", &again);
    write_sql(
        &db,
        "tests/few.sql",
        "-- Few.\nSELECT * FROM counts WHERE n > 1",
    );
    db.run(["build"]).ok();
    for name in ["Counts", "counts", "COUNTS"] {
        db.run(["test", name]).exits(1).says(&["1 of 1 tests"]);
        db.run(["lineage", name]).ok().shows(&["Counts (incr"]);
    }
    db.run(["lineage", "again"])
        .ok()
        .shows(&["└─ Counts (incremental)\n   └─ trades (table)\n"]);
    db.run(["test", "ohlcv_1m", "ohlvc_1s", "again"])
        .exits(1)
        .says(&["no test is declared of ohlvc_1s, again"]);
}

#[test]
fn a_mart_that_fails_half_way_keeps_its_version_and_others_are_built() {
    let db = Db::new();
    let fragile = "SELECT symbol, bucket_start(ts, '1 minute') AS ts, sum(price) AS n,\n\
                   error(IF(max(price) = 7, 'seven', NULL)) AS e FROM trades GROUP BY ALL";
    write_sql(&db, "marts/fragile.sql", &mart("", fragile));
    write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    db.run(["build"]).ok();
    let before = db.sql("FROM fragile ORDER BY ts");
    trades(&db, "b", &day(&[(15, 3, "3"), (75, 4, "7")]));
    let run = db
        .run(["build"])
        .exits(1)
        .shows(&["fragile                  failed"])
        .says(&["fragile.sql", "seven"]);
    assert!(
        !run.stdout.contains("counts                   failed"),
        "{}",
        run.stdout
    );
    assert_eq!(db.sql("FROM fragile ORDER BY ts"), before);
    assert_eq!(db.value("SELECT sum(n) FROM counts"), "4");
    assert_eq!(
        db.row("SELECT name, error LIKE '%seven%' FROM ops.models WHERE error IS NOT NULL"),
        ["fragile", "true"]
    );
    // Mended, it takes up all that it has missed.
    write_sql(
        &db,
        "marts/fragile.sql",
        &mart("", &fragile.replace("= 7", "= 8")),
    );
    db.run(["build"]).ok();
    assert_eq!(
        db.count("SELECT count(*) FROM ops.models WHERE error IS NOT NULL"),
        0
    );
    assert_ne!(db.sql("FROM fragile ORDER BY ts"), before);
}

#[test]
fn windows_that_are_not_what_the_sql_groups_by_are_refused() {
    let db = Db::new();
    trades(&db, "a", &day(&[(3_700, 1, "1"), (7_300, 2, "2")]));
    let hours = COUNTS.replace("1 minute", "1 hour");
    write_sql(&db, "marts/counts.sql", &mart("", &hours));
    db.run(["build", "counts"]).ok();
    trades(&db, "b", &day(&[(3_900, 3, "1")]));
    db.run(["build", "counts"])
        .exits(1)
        .says(&["counts.sql", "@window", "01:00:00"]);
    let twice = mart(
        "",
        "SELECT symbol, bucket_start(ts, '1 minute') AS ts, price FROM trades",
    );
    write_sql(&db, "marts/twice.sql", &twice);
    trades(&db, "c", &day(&[(3_901, 4, "2")]));
    db.run(["build", "twice"])
        .exits(1)
        .says(&["twice.sql", "two rows of one key"]);
}

#[test]
fn other_columns_other_comments_and_files_that_are_gone_are_noticed() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    let file = write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    let view = write_sql(&db, "views/more.sql", "-- More.\nSELECT * FROM counts");
    db.run(["build"]).ok();
    let state = || db.run(["models", "--format", "csv"]).ok().stdout;
    let of = |name: &str| {
        let rows = parse_csv(&state());
        rows.into_iter().find(|row| row[0] == name).unwrap()
    };
    assert_eq!(of("counts")[1..4], ["incremental", "ok", "2"]);
    assert_eq!(of("more")[1..3], ["view", ""]);
    let made_of_marts = "-- D.\n-- @materialize full\nSELECT sum(n) AS n FROM more";
    let days = write_sql(&db, "marts/days.sql", made_of_marts);
    db.run(["build"]).ok();
    let states = || ["counts", "days", "ohlcv_1d", "dim_date"].map(|name| of(name)[2].clone());
    assert_eq!(states(), ["ok", "ok", "ok", "ok"]);
    trades(&db, "b", &day(&[(71, 3, "2")]));
    assert_eq!(states(), ["behind", "behind", "behind", "ok"]);
    db.run(["build"]).ok();
    assert_eq!(states(), ["ok", "ok", "ok", "ok"]);
    db.run(["rebuild", "--table", "trades"]).ok();
    assert_eq!(states(), ["behind", "behind", "behind", "ok"]);
    db.run(["build"]).ok();
    assert_eq!(states(), ["ok", "ok", "ok", "ok"]);
    fs::remove_file(days).unwrap();

    // A comment is part of it.
    write_sql(
        &db,
        "marts/counts.sql",
        &mart("", COUNTS).replace("A mart.", "Another mart."),
    );
    assert_eq!(of("counts")[2], "changed");
    db.run(["build"])
        .ok()
        .shows(&["counts                   full"]);

    // Until it is built its rows stay as they were, and so does what is made of them.
    let columns = COUNTS.replace("count(*) AS n", "count(*) AS n, max(price) AS top");
    write_sql(&db, "marts/counts.sql", &mart("", &columns));
    write_sql(&db, "views/more.sql", "-- More.\nSELECT top FROM counts");
    assert_eq!(db.value("SELECT sum(n) FROM counts"), "3");
    assert_eq!(of("counts")[2], "changed");
    db.run(["build"]).ok();
    assert_eq!(db.value("SELECT max(top) FROM more"), "2.0");

    fs::remove_file(view).unwrap();
    fs::remove_file(file).unwrap();
    db.try_sql("FROM counts").exits(1);
    assert_eq!(
        db.count("SELECT count(*) FROM ops.models WHERE name = 'counts'"),
        0
    );
    db.run(["sql", "--write", "CREATE TABLE mine AS SELECT 1 AS a"])
        .ok();
    write_sql(
        &db,
        "marts/mine.sql",
        "-- M.\n-- @materialize full\nSELECT 2 AS a",
    );
    db.run(["sql", "FROM mine"])
        .ok()
        .says(&["marts/mine.sql", "of your own"]);
}

#[test]
fn a_change_of_what_a_mart_is_made_of_is_a_change_of_the_mart() {
    let db = Db::new();
    let top = |price: &str| {
        write_sql(
            &db,
            "views/dear.sql",
            &format!("-- V.\nSELECT * FROM trades WHERE price > {price}"),
        );
    };
    top("1");
    write_sql(
        &db,
        "marts/m.sql",
        &mart("", &COUNTS.replace("trades", "dear")),
    );
    trades(&db, "a", &day(&[(10, 1, "1"), (11, 2, "2"), (12, 3, "3")]));
    db.run(["build", "m"]).ok();
    assert_eq!(db.value("SELECT n FROM m"), "2");
    top("2");
    db.run(["build", "m"]).ok().shows(&["full"]);
    assert_eq!(db.value("SELECT n FROM m"), "1");

    // What is read as a whole counts in every window.
    let share = "SELECT symbol, c.ts, n / (SELECT sum(trades) FROM ohlcv_1d) AS n FROM counts c";
    write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    write_sql(&db, "marts/share.sql", &mart("-- @whole OHLCV_1d\n", share));
    trades(&db, "b", &day(&[(70, 4, "1")]));
    db.run(["build"]).ok();
    trades(&db, "c", &day(&[(71, 5, "1"), (72, 6, "1")]));
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT n FROM share ORDER BY ts"),
        [["0.5"], ["0.5"]]
    );
}

#[test]
fn macros_and_views_count_for_what_they_read() {
    let db = Db::new();
    write_sql(
        &db,
        "macros/tops.sql",
        "-- The highest price of a symbol.\nCREATE OR REPLACE MACRO tops(rel) AS TABLE SELECT symbol, max(price) AS top FROM query_table(rel) GROUP BY symbol;",
    );
    write_sql(&db, "views/v.sql", "-- V.\nSELECT * FROM tops('trades')");
    write_sql(
        &db,
        "marts/m.sql",
        "-- M.\n-- @materialize full\nSELECT * FROM v",
    );
    trades(&db, "a", &day(&[(10, 1, "1")]));
    db.run(["build", "m"]).ok();
    assert_eq!(db.value("SELECT top FROM m"), "1.0");
    db.run(["build", "m"]).ok().shows(&["up to date"]);
    trades(&db, "b", &day(&[(11, 2, "5")]));
    db.run(["build", "m"]).ok().shows(&["full"]);
    assert_eq!(db.value("SELECT top FROM m"), "5.0");
    let tree = db.run(["lineage", "m"]).ok().stdout;
    assert!(
        tree.starts_with("m (full)\n└─ v (view)\n   └─ trades (table)\n"),
        "{tree}"
    );
    assert!(
        tree.contains("raw_messages (table) by ")
            && tree.contains("sql/venues/binance_spot/trades.sql"),
        "{tree}"
    );
    db.run(["lineage", "m", "--format", "mermaid"])
        .ok()
        .shows(&["graph LR", "trades --> v", "v --> m"]);
    db.run(["lineage", "nothing"])
        .exits(1)
        .says(&["there is no relation 'nothing'"]);
}

#[test]
fn a_mark_before_a_file_and_a_comment_behind_its_semicolon_are_no_part_of_it() {
    let db = Db::new();
    for (path, text) in [
        (
            "marts/a.sql",
            "-- @materialize full\nSELECT count(*) AS n, half(max(price)) AS h FROM trades; -- all",
        ),
        (
            "macros/half.sql",
            "CREATE OR REPLACE MACRO half(x) AS x / (SELECT 2); -- rounded",
        ),
        (
            "tests/none.sql",
            "SELECT 1 AS a FROM trades WHERE price < 0; /* none */\n-- none",
        ),
        ("views/v.sql", "FROM a; -- all\n;\n"),
    ] {
        write_sql(&db, path, &format!("\u{feff}-- A.\n{text}"));
    }
    trades(&db, "a", &day(&[(10, 1, "5")]));
    let run = db.run(["build", "a"]).ok();
    assert_eq!(run.stderr, "", "{run}");
    assert_eq!(db.sql("FROM v"), [["1", "2.5"]]);
    db.run(["test", "none"]).ok().shows(&["none", "ok"]);
}

#[test]
fn a_mart_follows_what_it_reads_by_a_text_or_is_refused_where_the_text_is_computed() {
    let db = Db::new();
    let full = |select: &str| format!("-- M.\n-- @materialize full\n{select}");
    for (name, from) in [
        ("by_query", "query('FROM trades WHERE size > 0')"),
        ("by_list", "query_table(['trades', 'trades'])"),
    ] {
        let select = format!("SELECT max(price) AS top FROM {from}");
        write_sql(&db, &format!("marts/{name}.sql"), &full(&select));
    }
    trades(&db, "a", &day(&[(10, 1, "1")]));
    db.run(["build"]).ok();
    trades(&db, "b", &day(&[(11, 2, "5")]));
    db.run(["build"]).ok();
    for name in ["by_query", "by_list"] {
        let top = db.value(&format!("SELECT top FROM {name}"));
        assert_eq!(top, "5.0", "{name}");
        let tree = db.run(["lineage", name]).ok();
        tree.shows(&["trades (table)"]);
    }
    // By windows it is given the rows of its windows, and no more.
    let by_window = COUNTS.replace("FROM trades", "FROM query('FROM trades')");
    write_sql(&db, "marts/by_window.sql", &mart("", &by_window));
    db.run(["build"]).ok();
    trades(&db, "c", &day(&[(12, 3, "2"), (70, 4, "2")]));
    db.run(["build"]).ok();
    let counts = db.sql("SELECT n FROM by_window ORDER BY ts");
    assert_eq!(counts, [["3"], ["1"]]);

    let computed = "SELECT 1 AS a\nFROM query_table('tr' || 'ades')";
    let file = write_sql(&db, "marts/computed.sql", &full(computed));
    db.run(["build"])
        .fails_naming(&["marts/computed.sql:4", "cannot tell what query_table reads"]);
    fs::remove_file(file).unwrap();
    write_sql(
        &db,
        "macros/any_of.sql",
        "-- Any.\nCREATE OR REPLACE MACRO any_of(sql) AS TABLE\nFROM query('FROM ' || sql);",
    );
    write_sql(&db, "views/few.sql", "-- V.\nFROM any_of('trades')");
    // A view is made at every question.
    db.run(["build"]).ok();
    write_sql(&db, "marts/of_few.sql", &full("FROM few"));
    db.run(["build"]).fails_naming(&[
        "macros/any_of.sql:3",
        "the mart of_few",
        "cannot tell what query reads",
    ]);
}

#[test]
fn what_a_macro_reads_if_no_argument_says_otherwise_is_read_and_made_before() {
    // Its own files are there before the database is.
    let db = Db::none();
    write_sql(
        &db,
        "views/at_work.sql",
        "-- V.\nSELECT session(ts, 'XNYS').kind AS kind FROM trades",
    );
    write_sql(
        &db,
        "marts/kinds.sql",
        "-- M.\n-- @materialize full\nSELECT kind, count(*) AS n FROM at_work GROUP BY kind",
    );
    // 10:00 in New York.
    trades(&db, "a", &day(&[(50_400, 1, "1"), (50_401, 2, "2")]));
    db.run(["build"]).ok();
    assert_eq!(db.sql("FROM kinds"), [["regular", "2"]]);
    db.run(["lineage", "kinds"])
        .ok()
        .shows(&["exchange_days (view)"]);
    // It looks at nothing but the calendar from row to row, so that a mart by windows may call it.
    let by_window = COUNTS.replace(
        "count(*) AS n",
        "count(*) AS n, any_value(session(ts, 'XNYS').kind) AS kind",
    );
    write_sql(
        &db,
        "marts/by_window.sql",
        &mart("-- @whole exchange_days\n", &by_window),
    );
    db.run(["build", "by_window"]).ok();
    let kinds = db.sql("SELECT n, kind FROM by_window");
    assert_eq!(kinds, [["2", "regular"]]);
    fs::remove_file(db.dir().join("sql/marts/by_window.sql")).unwrap();
    // Another calendar makes other rows.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/views/exchange_days.sql");
    let calendar = fs::read_to_string(file).unwrap();
    write_sql(
        &db,
        "views/exchange_days.sql",
        &format!("{calendar}\nWHERE true\n"),
    );
    assert_eq!(told_of(&db, "kinds")[1], "changed");
}

#[test]
fn each_kind_of_test_fails_on_data_that_breaks_it_and_passes_on_data_that_does_not() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    let tested = |declared: &str| {
        let text = format!(
            "-- V.\n-- @test {declared}\nSELECT venue, symbol, ts, price, side, trade_id, nullif(price, 2) AS gap FROM trades"
        );
        write_sql(&db, "views/tested.sql", &text);
        db.run(["test", "tested", "--format", "csv"])
    };
    for (passes, fails, rows) in [
        ("not_null price, symbol", "not_null price, gap", "1"),
        ("unique trade_id", "unique symbol, venue", "1"),
        ("accepted side buy|sell", "accepted side buy|unknown", "1"),
        (
            "relationship symbol -> latest.symbol",
            "relationship trade_id -> latest.symbol",
            "2",
        ),
        ("range price > 0", "range price < 2", "1"),
        ("row_count = 2", "row_count > 2", "1"),
        ("freshness 9999 days", "freshness 1 day", "1"),
    ] {
        let run = tested(passes).ok();
        assert_eq!(parse_csv(&run.stdout)[1][2], "ok", "{passes}");
        let run = tested(fails).exits(1).says(&["1 of 1 tests failed"]);
        let row = &parse_csv(&run.stdout)[1];
        assert_eq!([row[1].as_str(), &row[2], &row[4]], [fails, "failed", rows]);
        assert!(row[6].ends_with("sql/views/tested.sql:2"), "{row:?}");
        let run = tested(&format!("warn: {fails}")).ok();
        assert_eq!(parse_csv(&run.stdout)[1][2..4], ["failed", "warn"]);
    }
    for broken in ["range nothing > 0", "warn: range nothing > 0"] {
        tested(broken).exits(1).shows(&["broken"]);
    }
    fs::remove_file(db.dir().join("sql/views/tested.sql")).unwrap();

    write_sql(
        &db,
        "tests/dear.sql",
        "-- No trade above 1.\nSELECT price, 'too dear' AS what FROM trades WHERE price > 1",
    );
    let run = db.run(["test", "trades", "--format", "csv"]).exits(1);
    let rows = parse_csv(&run.stdout);
    let row = rows.iter().find(|row| row[0] == "dear").unwrap();
    assert!(row[7].contains("too dear"), "{row:?}");
    write_sql(
        &db,
        "tests/dear.sql",
        "-- No trade above 1.\n-- @severity warn\nSELECT price FROM trades WHERE price > 1",
    );
    db.run(["test", "trades"]).ok();
}

#[test]
fn tests_of_marts_that_were_never_built_are_no_failure() {
    let db = Db::new();
    let file = db.write("capture", &synthetic::capture(7, 5_000).bytes());
    synthetic::load(&db, &file).ok();
    let run = db.run(["test", "--format", "csv"]).ok();
    let rows = parse_csv(&run.stdout);
    // The last is a file of its own, which reads marts.
    for (of, unbuilt) in [
        ("exchange_days", false),
        ("dim_date", true),
        ("ohlcv_nests", true),
    ] {
        let mut tests = rows.iter().filter(|row| row[0] == of).peekable();
        assert!(tests.peek().is_some(), "{of}");
        assert!(
            tests.all(|row| (row[2] == "not built") == unbuilt),
            "{of}: {rows:?}"
        );
    }
    db.run(["build", "dim_date"]).ok();
    let run = db.run(["test", "dim_date", "--format", "csv"]).ok();
    let rows = parse_csv(&run.stdout);
    assert!(rows[1..].iter().all(|row| row[2] == "ok"), "{rows:?}");
}

#[test]
fn the_built_in_tests_pass_on_what_mdb_makes() {
    let db = Db::new();
    let file = db.write("capture", &synthetic::capture(7, 5_000).bytes());
    synthetic::load(&db, &file).ok();
    db.run(["build"]).ok();
    db.run(["test"]).ok();
    assert!(db.count("SELECT count(*) FROM mart_liquidity") > 1);
    assert_eq!(
        db.value("SELECT sum(rows) FROM mart_exchange_health WHERE channel = 'trades'"),
        db.value("SELECT count(*) FROM trades")
    );
}

#[test]
fn what_a_venue_sends_wrong_holds_no_bars_up() {
    let db = Db::new();
    let ns = "1723075205000000000";
    let wrong = trade_line(ns, "1", "100", "-1", "1723075205000");
    trades(&db, "wrong", &[wrong, on_day(2, 1)]);
    db.run(["build"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM ohlcv_1m"), 2);
    let tested = db.run(["test", "ohlcv_1m"]).ok();
    assert!(tested.stdout.contains("warn"), "{tested}");
}

#[test]
fn a_test_that_fails_keeps_the_mart_as_it_was() {
    let db = Db::new();
    let tags = "-- @test range n < 3\n-- @test warn: range n < 2\n";
    write_sql(&db, "marts/counts.sql", &mart(tags, COUNTS));
    trades(&db, "a", &day(&[(10, 1, "1"), (11, 2, "2")]));
    db.run(["build", "counts"])
        .ok()
        .says(&["warning: ", "n < 2"]);
    trades(&db, "b", &day(&[(12, 3, "1"), (70, 4, "1")]));
    db.run(["build", "counts"]).exits(1).says(&[
        "counts.sql:6",
        "range n < 3",
        "nothing was changed",
    ]);
    assert_eq!(db.sql("SELECT n FROM counts"), [["2"]]);
    write_sql(
        &db,
        "marts/counts.sql",
        &mart(&tags.replace('3', "9"), COUNTS),
    );
    db.run(["build", "counts"]).ok();
    assert_eq!(db.sql("SELECT n FROM counts ORDER BY ts"), [["3"], ["1"]]);

    // A mart that is made as a whole: a test in a file of its own, which reads it last of all, through a macro.
    write_sql(
        &db,
        "marts/days.sql",
        "-- D.\n-- @materialize full\nSELECT sum(n) AS n FROM counts",
    );
    write_sql(
        &db,
        "macros/busy.sql",
        "-- B.\nCREATE OR REPLACE MACRO busy(least) AS TABLE SELECT n FROM days WHERE n > least",
    );
    let test = |severity: &str, limit: u64| {
        let text = format!(
            "-- Few.\n-- @severity {severity}\nSELECT n FROM busy({limit}) WHERE (SELECT count(*) FROM counts) > 0"
        );
        write_sql(&db, "tests/few.sql", &text);
    };
    test("error", 4);
    db.run(["build", "days"]).ok();
    assert_eq!(db.sql("SELECT n FROM days"), [["4"]]);
    trades(&db, "c", &day(&[(80, 5, "1")]));
    db.run(["build"])
        .exits(1)
        .says(&["few.sql:1", "e.g. {'n': 5}", "nothing was changed"]);
    assert_eq!(db.sql("SELECT n FROM days"), [["4"]]);
    assert_eq!(db.sql("SELECT sum(n) FROM counts"), [["5"]]);
    test("warn", 4);
    db.run(["build"]).ok().says(&["warning: ", "few.sql:1"]);
    assert_eq!(db.sql("SELECT n FROM days"), [["5"]]);
}

#[test]
fn what_retention_drops_stays_in_the_marts() {
    let db = Db::new();
    let two = COUNTS.replace("count(*) AS n", "count(*) AS n, max(price) AS top");
    write_sql(&db, "marts/counts.sql", &mart("", &two));
    trades(&db, "a", &[on_day(1, 0), on_day(2, 1), on_day(3, 2)]);
    db.run(["build"]).ok();
    retain(&db, "trades", "1 day");
    assert_eq!(db.count("SELECT count(*) FROM trades"), 1);
    // One that comes for a day that was dropped is in no bar, and that is told.
    trades(&db, "b", &[on_day(4, 0), on_day(5, 2)]);
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT trades FROM ohlcv_1d ORDER BY ts"),
        [["1"], ["1"], ["2"]]
    );
    assert_eq!(
        db.value("SELECT corrected FROM late_rows WHERE model = 'ohlcv_1s'"),
        "false"
    );
    db.run(["build", "--full"]).ok();
    assert_eq!(
        db.sql("SELECT trades FROM ohlcv_1d ORDER BY ts"),
        [["1"], ["1"], ["2"]]
    );
    // With a column less, too.
    write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT n FROM counts ORDER BY ts"),
        [["1"], ["1"], ["2"]]
    );
}

#[test]
fn what_a_vendors_file_brings_for_a_day_that_was_dropped_is_told() {
    let db = Db::new();
    let load = |name: &str, rows: &str| {
        let text = format!("venue,symbol,ts,trade_id,price,size,side\n{rows}");
        let file = db.write(name, text.as_bytes());
        db.run(["load", file.to_str().unwrap()]).ok();
    };
    load(
        "a.csv",
        "v,A,2024-03-01 10:00:00,1,10,1,buy\nv,A,2024-03-08 10:00:00,2,12,1,buy\n",
    );
    db.run(["build"]).ok();
    retain(&db, "trades", "2 days");
    load(
        "b.csv",
        "v,A,2024-03-01 11:00:00,3,99,5,buy\nv,A,2024-03-08 11:00:00,4,12,1,buy\n",
    );
    db.run(["build"]).ok().shows(&["1 rows came late"]);
    assert_eq!(db.sql(DAYS), [["1"], ["2"]]);
    assert_eq!(
        db.sql("SELECT ts, rows, corrected FROM late_rows WHERE model = 'ohlcv_1s'"),
        [["2024-03-01 11:00:00", "1", "false"]]
    );
}

const DAYS: &str = "SELECT trades FROM ohlcv_1d ORDER BY ts";

#[test]
fn who_keeps_longer_from_now_on_does_not_give_back_what_was_dropped() {
    let db = Db::new();
    trades(&db, "a", &[on_day(1, 4), on_day(2, 5), on_day(3, 6)]);
    db.run(["build"]).ok();
    retain(&db, "trades", "1 day");
    trades(&db, "b", &[on_day(4, 0)]);
    retain(&db, "trades", "5 days");
    assert_eq!(
        db.sql("SELECT table_name, first_kept FROM ops.retained"),
        [["trades", "2024-08-14"]]
    );
    db.run(["build", "--full"]).ok();
    assert_eq!(db.sql(DAYS), [["1"], ["1"], ["1"]]);
}

#[test]
fn what_a_rebuild_makes_again_is_in_the_marts_again() {
    let db = Db::new();
    trades(&db, "a", &[on_day(1, 0), on_day(2, 1), on_day(3, 2)]);
    db.run(["build"]).ok();
    retain(&db, "trades", "1 day");
    trades(&db, "b", &[on_day(4, 0), on_day(5, 2)]);
    db.run(["build"]).ok();
    assert_eq!(db.sql(DAYS), [["1"], ["1"], ["2"]]);
    // Of one venue's rows nobody knows which of the others' were dropped.
    db.run(["rebuild", "--table", "trades", "--venue", VENUE])
        .ok();
    assert_eq!(db.count("SELECT count(*) FROM ops.retained"), 1);
    db.run(["rebuild", "--table", "trades"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM ops.retained"), 0);
    assert_eq!(told_of(&db, "ohlcv_1d")[1], "behind");
    db.run(["build"]).ok();
    assert_eq!(db.sql(DAYS), [["2"], ["1"], ["2"]]);

    // As far back as raw itself goes.
    retain(&db, "trades", "1 day");
    retain(&db, "raw_messages", "2 days");
    db.run(["rebuild", "--table", "trades"]).ok();
    assert_eq!(
        db.sql("SELECT table_name, first_kept FROM ops.retained ORDER BY ALL"),
        [["raw_messages", "2024-08-09"], ["trades", "2024-08-09"]]
    );
    db.run(["build", "--full"]).ok();
    assert_eq!(db.sql(DAYS), [["2"], ["1"], ["2"]]);
}

#[test]
fn a_mart_that_holds_what_nothing_can_make_again_is_dropped_by_nobody_but_its_owner() {
    let db = Db::new();
    let file = write_sql(&db, "marts/counts.sql", &mart("", COUNTS));
    let rows = || db.sql("SELECT n FROM counts ORDER BY ts");
    trades(&db, "a", &[on_day(1, 0), on_day(2, 1), on_day(3, 2)]);
    db.run(["build"]).ok();
    retain(&db, "trades", "1 day");
    fs::remove_file(&file).unwrap();
    db.run(["sql", "SELECT 1"])
        .ok()
        .says(&["counts", "sql/marts/counts.sql", "DROP TABLE"]);
    // And the next time that the tree changes, though nobody knows any more what it was made from.
    write_sql(&db, "views/other.sql", "-- V.\nSELECT 1 AS a");
    db.run(["sql", "SELECT 1"]).ok().says(&["counts"]);
    assert_eq!(rows(), [["1"], ["1"], ["1"]]);

    let view = write_sql(&db, "views/counts.sql", "-- V.\nSELECT 1 AS a");
    db.run(["sql", "SELECT 1"]).ok().says(&[
        "sql/views/counts.sql",
        "the mart 'counts'",
        "DROP TABLE",
    ]);
    fs::remove_file(view).unwrap();

    // Back again it goes on, with what has come meanwhile.
    trades(&db, "b", &[on_day(4, 2)]);
    fs::write(&file, mart("", COUNTS)).unwrap();
    assert_eq!(told_of(&db, "counts")[1], "changed");
    db.run(["build"]).ok();
    assert_eq!(rows(), [["1"], ["1"], ["2"]]);
    assert_eq!(told_of(&db, "counts")[1], "ok");

    // As a whole it would lose them.
    let full = mart("", COUNTS).replace("incremental", "full");
    fs::write(&file, full).unwrap();
    db.run(["build"])
        .exits(1)
        .says(&["counts", "made as a whole", "@materialize incremental"]);
    assert_eq!(rows(), [["1"], ["1"], ["2"]]);
    db.run(["sql", "--write", "DROP TABLE counts"]).ok();
    write_sql(&db, "views/other.sql", "-- V.\nSELECT 2 AS a");
    db.run(["build"]).ok();
    assert_eq!(rows(), [["2"]]);
    fs::remove_file(&file).unwrap();
    db.try_sql("FROM counts").exits(1);
}

#[test]
fn what_mdb_new_begins_runs_as_it_is() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (11, 2, "2")]));
    for sort in ["view", "mart", "test", "venue"] {
        let name = format!("my_{sort}");
        db.run(["new", sort, &name]).ok().shows(&["wrote ", &name]);
        db.run(["new", sort, &name]).exits(1).says(&[&name]);
    }
    db.run(["build"]).ok();
    assert_eq!(db.value("SELECT turnover FROM my_mart"), "3.0");
    assert_eq!(db.count("SELECT count(*) FROM my_view"), 2);
    db.run(["test", "my_mart", "my_test"]).ok();
    // Queries would know both by one name, and nothing of sql/ would count any more.
    for (sort, name) in [("mart", "my_view"), ("view", "my_mart")] {
        let said = format!("{name}.sql makes {name} already");
        db.run(["new", sort, name]).fails_naming(&[said.as_str()]);
    }
    db.run(["new", "test", "my_view"]).ok();
    db.run(["new", "view", "../up"])
        .exits(1)
        .says(&["is no name"]);
}

#[test]
fn a_built_in_is_replaced_only_if_asked() {
    let db = Db::new();
    let built_in = [
        ("view", "latest"),
        ("mart", "ohlcv_1m"),
        ("test", "ohlcv_nests"),
        ("venue", VENUE),
    ];
    for (sort, name) in built_in {
        db.run(["new", sort, name])
            .fails_naming(&[name, "--replace"]);
    }
    // Queries would know both by one name.
    for (sort, name) in [("view", "ohlcv_1m"), ("mart", "latest"), ("mart", "trades")] {
        for more in [&[] as &[&str], &["--replace"]] {
            db.run(["new", sort, name].iter().chain(more))
                .fails_naming(&[name, "give another name"]);
        }
    }
    db.run(["new", "mart", "mine", "--replace"])
        .fails_naming(&["mine", "nothing to replace"]);
    assert!(!db.dir().join("sql").exists());

    for (sort, name) in built_in {
        db.run(["new", sort, name, "--replace"])
            .ok()
            .shows(&["wrote ", name]);
    }
    let read = |path: &str| fs::read_to_string(db.dir().join("sql").join(path)).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    for path in ["marts/ohlcv_1m.sql", "views/latest.sql"] {
        assert_eq!(read(path), fs::read_to_string(root.join(path)).unwrap());
    }
    let venue = format!("venues/{VENUE}");
    let files = |root: &Path| fs::read_dir(root.join(&venue)).unwrap().count();
    assert_eq!(files(&db.dir().join("sql")), files(&root));
    db.run(["new", "mart", "ohlcv_1m", "--replace"])
        .fails_naming(&["ohlcv_1m.sql", "exists"]);
    trades(&db, "a", &day(&[(10, 1, "1"), (11, 2, "2")]));
    db.run(["build"]).ok();
    assert_eq!(db.value("SELECT sum(trades) FROM ohlcv_1m"), "2");
}

#[test]
fn what_comes_into_a_table_of_ones_own_comes_into_the_marts_that_read_it() {
    let db = Db::new();
    trades(&db, "a", &day(&[(10, 1, "1"), (70, 2, "2")]));
    let weigh = |name: &str, rows: &str| {
        let file = db.write(name, format!("symbol,weight\n{rows}").as_bytes());
        db.run(["load", file.to_str().unwrap(), "--into", "Weights"])
            .ok();
    };
    weigh("one.csv", &format!("{SYMBOL},2\n"));
    write_sql(
        &db,
        "views/heavy.sql",
        "-- A view.\nSELECT * FROM weights WHERE weight > 1\n",
    );
    write_sql(
        &db,
        "marts/total.sql",
        "-- A mart.\n-- @materialize full\nSELECT sum(weight) AS total FROM heavy\n",
    );
    let weighted = mart(
        "-- @whole weights\n",
        "SELECT symbol, bucket_start(ts, '1 minute') AS ts, sum(size * weight) AS weighted FROM trades JOIN weights USING (symbol) GROUP BY ALL",
    );
    write_sql(&db, "marts/weighted.sql", &weighted);
    db.run(["build"]).ok();
    let both = "SELECT (SELECT total FROM total), (SELECT sum(weighted) FROM weighted)";
    let of = |row: Vec<String>| -> Vec<f64> { row.iter().map(|n| n.parse().unwrap()).collect() };
    assert_eq!(of(db.row(both)), [2.0, 4.0]);
    weigh("two.csv", &format!("{SYMBOL},5\nOTHER,7\n"));
    db.run(["build"]).ok();
    assert_eq!(of(db.row(both)), [14.0, 14.0]);
    db.run(["build", "total"]).ok().shows(&["up to date"]);
    db.run(["lineage", "total"])
        .ok()
        .shows(&["heavy", "weights"]);
    write_sql(
        &db,
        "marts/lost.sql",
        &mart(
            "",
            "SELECT symbol, now()::TIMESTAMP_NS AS ts, weight FROM weights",
        ),
    );
    db.run(["build"])
        .fails_naming(&["marts/lost.sql", "@materialize full"]);
}
