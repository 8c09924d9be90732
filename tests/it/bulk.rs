//! `mdb load` of vendors' files, whatever they hold: formats and times, what is known already, bad rows and hostile
//! files, tables of one's own, memory, and SIGKILL. What the vendors' own files come to is
//! in `dialects`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, RecordBatch, TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::writer::FileWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::harness::{Db, Live, Rng, Run, gzip, join_lines, poll, recorded, walk};
use crate::synthetic;

const HEADER: &str = "ts,symbol,trade_id,price,size,side";
/// 2024-01-01 00:00:00 UTC.
const START_MS: u64 = 1_704_067_200_000;
const DAY_MS: u64 = 86_400_000;
/// What cannot be loaded is refused within a second or two, on a busy machine within this.
const SOON: Duration = Duration::from_secs(5);
/// So little that some 100,000 rows are several chunks.
const LITTLE_MEMORY: [&str; 4] = ["--venue", "v", "--memory-limit", "64MB"];

/// `mdb load` of one file.
pub(crate) fn load(db: &Db, file: &Path, args: &[&str]) -> Run {
    let mut all = vec!["load", file.to_str().unwrap()];
    all.extend(args);
    db.run(all)
}

/// The same of a text that becomes a file of this name.
fn load_text(db: &Db, name: &str, text: &str, args: &[&str]) -> Run {
    let file = db.write(name, text.as_bytes());
    load(db, &file, args)
}

/// A zip archive with these members.
pub(crate) fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An empty database. One is made and the others are its copies: to make one takes longer than most loads.
pub(crate) fn empty() -> Db {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let db = Db::new();
    let file = db.dir().join("market.duckdb");
    let bytes = MADE.get_or_init(|| {
        db.sql("SELECT 1");
        fs::read(&file).unwrap()
    });
    fs::create_dir_all(db.dir()).unwrap();
    fs::write(&file, bytes).unwrap();
    db
}

/// Trades of four symbols, spread evenly over `days` dates from 2024-01-01 on, in the order of time; a line each, as
/// [`HEADER`] has it.
fn trades(rows: u64, days: u64) -> Vec<String> {
    let step_ms = days * DAY_MS / rows;
    let trade = |n: u64| {
        let ts = START_MS + n * step_ms;
        let symbol = ["AAA", "BBB", "CCC", "DDD"][n as usize % 4];
        let side = ["buy", "sell"][n as usize / 4 % 2];
        let (units, cents) = (100 + n % 977 / 100, n % 977 % 100);
        let traded = 1 + n % 50;
        format!("{ts},{symbol},{n},{units}.{cents:02},{traded},{side}")
    };
    (0..rows).map(trade).collect()
}

/// The lines below a header.
fn csv<S: AsRef<str>>(lines: &[S]) -> Vec<u8> {
    let mut text = join_lines([HEADER]);
    text.extend(join_lines(lines));
    text
}

fn shuffled(mut lines: Vec<String>, rng: &mut Rng) -> Vec<String> {
    for n in (1..lines.len()).rev() {
        lines.swap(n, rng.below(n + 1));
    }
    lines
}

/// Rows, ids and a checksum of a venue's trades.
fn figures(db: &Db, venue: &str) -> Vec<String> {
    db.row(&format!(
        "SELECT count(*), count(DISTINCT trade_id), sum(hash(symbol, ts, recv_ts, trade_id, price, size, side)) \
         FROM trades WHERE venue = '{venue}'"
    ))
}

/// Rows and sums of a venue's trades by date and symbol.
fn by_date_and_symbol(db: &Db, venue: &str) -> Vec<Vec<String>> {
    db.sql(&format!(
        "SELECT ts::DATE, symbol, count(*), sum(size), round(sum(price), 2), sum(hash(ts, trade_id, price, size, side)) \
         FROM trades WHERE venue = '{venue}' GROUP BY ALL ORDER BY ALL"
    ))
}

/// Dead letters by line: source, reason.
fn dead_letters(db: &Db) -> BTreeMap<u64, (String, String)> {
    let rows = db.sql("SELECT line, source, reason FROM dead_letters ORDER BY line");
    let letters = rows.into_iter().map(|row| {
        let [line, source, reason] = <[String; 3]>::try_from(row).unwrap();
        (line.parse().unwrap(), (source, reason))
    });
    letters.collect()
}

/// Files in the database's directory that are no part of it: staged, unpacked, forgotten.
fn strays(db: &Db) -> Vec<String> {
    let mut found = Vec::new();
    walk(db.dir(), &mut |path| {
        let name = path.strip_prefix(db.dir()).unwrap().to_str().unwrap();
        let own = ["market.duckdb", "market.duckdb.wal", "mdb.sock"].contains(&name)
            || name.starts_with("lake/") && !name.contains("/.");
        if !own {
            found.push(name.to_owned());
        }
    });
    found
}

/// Nothing was loaded, and nothing is left of what was tried.
#[track_caller]
fn assert_no_trace(db: &Db) {
    let rows = db.row(
        "SELECT (SELECT count(*) FROM trades), (SELECT count(*) FROM bars), (SELECT count(*) FROM dead_letters)",
    );
    assert_eq!(rows, ["0", "0", "0"], "trades, bars, dead letters");
    let lake: Vec<String> = db.lake().into_keys().collect();
    assert!(lake.is_empty(), "{lake:?}");
    let strays = strays(db);
    assert!(strays.is_empty(), "{strays:?}");
}

/// Writes the answer of a query as a file, in the format that its name tells.
fn export(db: &Db, query: &str, name: &str) -> PathBuf {
    let path = db.beside(name);
    db.run(["export", query, path.to_str().unwrap()]).ok();
    path
}

// What a file may be.

/// Times to the nanosecond, fractions that no binary number is, ids that begin with zeros; three dates.
const ROWS: &str = "SELECT make_timestamp_ns(1704067200000000001 + i * 123428571429) AS ts, \
     ['AAA', 'BBB', 'CCC'][1 + i % 3] AS symbol, lpad(i::VARCHAR, 6, '0') AS trade_id, \
     (10000 + i % 977) / 100 AS price, (1 + i % 50) / 8 AS size, ['buy', 'sell', 'unknown'][1 + i % 3] AS side \
     FROM range(2000) t(i)";

#[test]
fn the_same_rows_come_from_every_format() {
    let db = empty();
    let want = db.row(&format!(
        "SELECT count(*), count(DISTINCT trade_id), sum(hash(symbol, ts, ts, trade_id, price, size, side)) FROM ({ROWS})"
    ));
    assert_eq!(want[0], "2000");
    let mut files: Vec<PathBuf> = ["t.csv", "t.ndjson", "t.json", "t.parquet", "t.arrow"]
        .iter()
        .map(|name| export(&db, ROWS, name))
        .collect();
    let text = fs::read_to_string(&files[0]).unwrap();
    files.push(db.write("t.csv.gz", &gzip(text.as_bytes())));
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    files.push(db.write("t.csv.zst", &zstd));
    files.push(db.write("t.csv.zip", &zipped(&[("t.csv", text.as_bytes())])));
    files.push(db.write("t.tsv", text.replace(',', "\t").as_bytes()));
    files.push(db.write("semicolons.txt", text.replace(',', ";").as_bytes()));
    files.push(db.write("windows.csv", text.replace('\n', "\r\n").as_bytes()));
    for (n, file) in files.iter().enumerate() {
        let venue = format!("v{n}");
        let run = load(&db, file, &["--venue", &venue]).ok();
        assert!(run.stdout.contains("2,000 rows into trades"), "{run}");
        assert_eq!(figures(&db, &venue), want, "{run}");
    }
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    db.assert_sound();
}

/// What pandas and Polars make of a column of few words.
#[test]
fn an_arrow_file_with_categories_is_read_as_any_other() {
    let db = empty();
    let symbols: DictionaryArray<Int32Type> = ["AAA", "BBB", "AAA"].into_iter().collect();
    let times = TimestampNanosecondArray::from(vec![
        1_704_067_200_000_000_001,
        1_704_067_201_000_000_002,
        1_704_067_202_000_000_003,
    ]);
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let symbols: ArrayRef = Arc::new(symbols);
    let prices: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5]));
    let columns = [
        ("ts", times),
        ("symbol", symbols),
        ("price", Arc::clone(&prices)),
        ("size", prices),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = db.beside("categories.arrow");
    let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    load(&db, &path, &["--venue", "v"]).ok();
    let rows = db.sql("SELECT symbol, epoch_ns(ts) % 1000, price FROM trades ORDER BY ts");
    let want = [
        ["AAA", "1", "1.5"],
        ["BBB", "2", "2.5"],
        ["AAA", "3", "3.5"],
    ];
    assert_eq!(rows, want);
}

#[test]
fn a_time_is_told_in_any_unit_and_spelling() {
    let db = empty();
    let nanoseconds = "2024-01-02 03:04:05.678901234";
    // Each row is read for itself.
    let times = [
        ("1704164645", "2024-01-02 03:04:05"),
        ("1704164645.678901234", nanoseconds),
        ("1704164645678", "2024-01-02 03:04:05.678"),
        ("1704164645678901", "2024-01-02 03:04:05.678901"),
        ("1704164645678901234", nanoseconds),
        ("2024-01-02 03:04:05.678901234", nanoseconds),
        ("2024-01-02T03:04:05.678901234Z", nanoseconds),
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("20240102", "2024-01-02 00:00:00"),
        ("202401020304", "2024-01-02 03:04:00"),
        ("20240102030405", "2024-01-02 03:04:05"),
        ("20240102030405678", "2024-01-02 03:04:05.678"),
    ];
    let lines = times.map(|(time, _)| format!("{time},A,1.5,2"));
    let mut text = b"time,sym,px,qty\n".to_vec();
    text.extend(join_lines(lines));
    let file = db.write("times.csv", &text);
    load(&db, &file, &["--venue", "v"]).ok();
    let rows = db.sql("SELECT ts FROM trades ORDER BY seq");
    let got: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(got, times.map(|(_, want)| want));

    for (format, time, want) in [
        (
            "%d.%m.%Y %H:%M:%S",
            "02.01.2024 03:04:05",
            "2024-01-02 03:04:05",
        ),
        (
            "%d.%m.%Y %H:%M:%S.%n",
            "02.01.2024 03:04:05.678901234",
            nanoseconds,
        ),
        (
            "%d.%m.%Y %H:%M:%S %z",
            "02.01.2024 05:04:05 +0200",
            "2024-01-02 03:04:05",
        ),
        ("%Y%m%d%H%M%S", "20240102030405", "2024-01-02 03:04:05"),
    ] {
        let text = format!("time,sym,px,qty\n{time},A,1.5,2\n");
        let args = ["--venue", format, "--date-format", format];
        load_text(&db, "written.csv", &text, &args).ok();
        let query = format!("SELECT ts FROM trades WHERE venue = '{format}'");
        assert_eq!(db.value(&query), want, "{format}");
    }
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn a_date_in_digits_is_no_second_of_1970() {
    let db = empty();
    let text = "date,symbol,open,high,low,close\n20240102,A,1,2,1,2\n20240103,A,1,2,1,2\n";
    let args = ["--venue", "v", "--set", "interval=1d"];
    load_text(&db, "days.csv", text, &args).ok();
    let query = "SELECT 20240104 AS date, 'A' AS symbol, 1.0 AS open, 2.0 AS high, 1.0 AS low, 2.0 AS close";
    let file = export(&db, query, "days.parquet");
    load(&db, &file, &args).ok();
    let days = db.sql("SELECT ts::DATE FROM bars ORDER BY ts");
    assert_eq!(days, [["2024-01-02"], ["2024-01-03"], ["2024-01-04"]]);
    // What has no day is none.
    let text = "date,symbol,open,high,low,close\n20240231,A,1,2,1,2\n";
    load_text(&db, "no_day.csv", text, &args).fails_naming(&["line 2", "'ts'"]);
}

#[test]
fn a_time_of_day_is_on_the_date_beside_it() {
    let db = empty();
    for (name, date, time, want) in [
        (
            "text",
            "2024-01-02",
            "09:30:00.123456789",
            "2024-01-02 09:30:00.123456789",
        ),
        ("digits", "20240102", "093000", "2024-01-02 09:30:00"),
        ("number", "20240102", "93000", "2024-01-02 09:30:00"),
        (
            "whole",
            "2024-01-02",
            "2024-01-02T09:30:00Z",
            "2024-01-02 09:30:00",
        ),
        ("epoch", "2024-01-02", "1704187800", "2024-01-02 09:30:00"),
    ] {
        let text = format!("Date,Time,symbol,price,size\n{date},{time},A,1.5,2\n");
        let run = load_text(&db, &format!("{name}.csv"), &text, &["--venue", name]).ok();
        assert!(run.stdout.contains("Date → ts, Time → ts"), "{run}");
        let query = format!("SELECT ts FROM trades WHERE venue = '{name}'");
        assert_eq!(db.value(&query), want, "{name}");
    }
    // Seconds since midnight, or 03:42; thousandths of either; hours and minutes, or minutes and seconds.
    for time in ["34200", "34200000", "930"] {
        let text = format!("Date,Time,symbol,price,size\n2024-01-02,{time},A,1.5,2\n");
        load_text(&db, "unclear.csv", &text, &["--venue", "v"]).fails_naming(&["'ts'"]);
    }
}

#[test]
fn an_offset_behind_a_time_counts() {
    let db = empty();
    let text = format!(
        "{HEADER}\n2024-01-02T05:04:05.678901234+02:00,A,1,1.5,2,buy\n\
         2024-01-01 21:34:05.678901234-05:30,A,2,1.5,2,buy\n"
    );
    load_text(&db, "offsets.csv", &text, &["--venue", "v"]).ok();
    let rows = db.sql("SELECT ts FROM trades ORDER BY trade_id");
    let want = "2024-01-02 03:04:05.678901234";
    assert_eq!(rows, [[want], [want]]);
}

#[test]
fn json_keeps_nanoseconds_and_fractions() {
    let db = empty();
    let line = |n: u64, price: &str| {
        format!(
            "{{\"ts\":\"2024-01-02T03:04:05.{n:09}Z\",\"symbol\":\"A\",\"trade_id\":\"{n}\",\"price\":{price},\"size\":1}}"
        )
    };
    // Whole numbers for longer than any reader looks ahead.
    let mut lines: Vec<String> = (0..30_000).map(|n| line(n, "100")).collect();
    lines.push(line(123_456_789, "100.5"));
    let file = db.write("trades.ndjson", &join_lines(lines));
    load(&db, &file, &["--venue", "v"]).ok();
    let last = db.row("SELECT ts, price FROM trades ORDER BY ts DESC LIMIT 1");
    assert_eq!(last, ["2024-01-02 03:04:05.123456789", "100.5"]);
    assert_eq!(db.count("SELECT count(DISTINCT ts) FROM trades"), 30_001);
}

#[test]
fn a_large_array_of_json_is_read_piece_by_piece() {
    let db = empty();
    let pad = "x".repeat(150);
    let rows = (0..40_000).map(|n| {
        let ts = START_MS + n;
        format!(
            "{{\"ts\":{ts},\"symbol\":\"A\",\"trade_id\":\"{n}\",\"price\":1.5,\"size\":2,\"pad\":\"{pad}\"}}"
        )
    });
    let text = format!("[{}]", rows.collect::<Vec<_>>().join(","));
    load_text(&db, "large.json", &text, &LITTLE_MEMORY).ok();
    let ids = "SELECT count(DISTINCT trade_id) FROM trades";
    assert_eq!(db.count(ids), 40_000);
}

#[test]
fn what_only_a_late_row_of_json_has_is_read() {
    let db = empty();
    let ts = "\"ts\":\"2024-01-02T03:04:05Z\",\"symbol\":\"A\"";
    let first = format!("{{{ts},\"price\":100,\"size\":1}}\n").repeat(30_000);
    let text = format!("{first}{{{ts},\"price\":12.75,\"size\":1,\"side\":\"buy\"}}\n");
    load_text(&db, "late.ndjson", &text, &["--venue", "v"]).ok();
    load_text(&db, "late.ndjson", &text, &["--into", "mine"]).ok();
    for table in ["trades", "mine"] {
        let query = format!("SELECT price, side FROM {table} WHERE side = 'buy'");
        assert_eq!(db.row(&query), ["12.75", "buy"], "{table}");
    }

    // Wherever it stands, and where there was nothing before.
    for (name, first, last, expected) in [
        ("whole", "1", "2.75", "2.75"),
        ("list", "[1]", "[2.75]", "[2.75]"),
        ("nothing", "null", "\"000123\"", "000123"),
    ] {
        let first = format!("{{\"n\":1,\"a\":{first}}}\n").repeat(30_000);
        let text = format!("{first}{{\"n\":2,\"a\":{last}}}\n");
        load_text(&db, &format!("{name}.ndjson"), &text, &["--into", name]).ok();
        let query = format!("SELECT a::VARCHAR FROM {name} WHERE n = 2");
        assert_eq!(db.value(&query), expected, "{name}");
    }
}

#[test]
fn columns_are_told_by_their_names_or_by_the_user() {
    let db = empty();
    let text = "Date_Time,Ticker,Last,Qty,Aggressor\n\
                2024-01-01 00:00:00,AAA,1.23456,2,B\n\
                2024-01-01 00:00:01,AAA,1.23456,2,Sell\n\
                2024-01-01 00:00:02,AAA,1.23456,2,-1\n\
                2024-01-01 00:00:03,AAA,1.23456,2,\n";
    let run = load_text(&db, "known.csv", text, &["--venue", "v"]).ok();
    assert!(run.stdout.contains("Date_Time → ts"), "{run}");
    let sides = |venue: &str| {
        db.value(&format!(
            "SELECT string_agg(side, ' ' ORDER BY ts) FROM trades
             WHERE venue = '{venue}' AND symbol = 'AAA' AND size = 2"
        ))
    };
    assert_eq!(sides("v"), "buy sell sell unknown");

    let renamed = "when,what,much,many,way\n2024-01-01 00:00:00,AAA,1.23456,2,B\n";
    let names = [
        "--rename=when=ts",
        "--rename=what=symbol",
        "--rename=much=price",
        "--rename=many=size",
        "--rename=way=side",
    ];
    let mut args = names.to_vec();
    args.extend(["--set", "venue=said", "--decimals", "2"]);
    load_text(&db, "unknown.csv", renamed, &args).ok();
    assert_eq!(sides("said"), "buy");
    let price = "SELECT price FROM trades WHERE venue = 'said'";
    assert_eq!(db.value(price), "1.23");
    // Without a header line, and with another character between the fields.
    let args = [
        "--venue",
        "bare",
        "--columns",
        "ts,symbol,price,size,side",
        "--delimiter",
        "~",
    ];
    load_text(&db, "bare.txt", "2024-01-01~AAA~1.5~2~S\n", &args).ok();
    assert_eq!(sides("bare"), "sell");

    // What is missing is said, with what to do.
    load_text(&db, "unknown.csv", renamed, &["--venue", "w"]).fails_naming(&[
        "unknown.csv",
        "when, what, much",
        "--rename",
        "--into",
    ]);
    load_text(&db, "bare.txt", "2024-01-01~AAA~1.5~2~S\n", &args[..2]).exits(1);
    load(&db, Path::new("-"), &["--venue", "w"]).fails_naming(&["--as capture"]);
}

/// However the length of a bar is written, in the file or by the user, it is stored in the one way that marts know.
#[test]
fn the_length_of_a_bar_is_stored_one_way() {
    let db = empty();
    let bars = "ts,symbol,open,high,low,close\n2024-01-01,A,1,2,0.5,1.5\n";
    let all = || db.value("SELECT string_agg(\"interval\", ' ' ORDER BY venue) FROM bars");
    for (venue, said) in [
        ("a", "daily"),
        ("b", "1D"),
        ("c", "5min"),
        ("d", "60m"),
        ("e", "1M"),
    ] {
        let set = format!("interval={said}");
        let name = format!("{venue}.csv");
        load_text(&db, &name, bars, &["--venue", venue, "--set", &set]).ok();
    }
    assert_eq!(all(), "1d 1d 5m 1h 1M");
    for unclear in ["interval=fortnight", "interval=5", "interval="] {
        load_text(&db, "f.csv", bars, &["--venue", "f", "--set", unclear]).fails_naming(&[
            "f.csv",
            unclear,
            "e.g. 5m, 1d",
        ]);
    }
    assert_eq!(all(), "1d 1d 5m 1h 1M");

    let of_file = "ts,symbol,timeframe,open,high,low,close\n\
                   2024-01-01,A,1Day,1,2,0.5,1.5\n\
                   2024-01-01,A,15 mins,1,2,0.5,1.5\n\
                   2024-01-01,A,soon,1,2,0.5,1.5\n";
    load_text(&db, "g.csv", of_file, &["--venue", "g"]).ok();
    assert_eq!(
        db.sql("SELECT \"interval\" FROM bars WHERE venue = 'g' ORDER BY 1"),
        [["15m"], ["1d"]]
    );
    let dead = db.row("SELECT line, reason FROM dead_letters");
    assert_eq!(dead[0], "4");
    assert!(
        dead[1].contains("'interval' is missing, or no length of a bar"),
        "{dead:?}"
    );

    // A dialect's SQL goes by it: weeks start on Mondays, in New York.
    let weeks = "timestamp,open,high,low,close,volume\n2025-11-05,1,2,0.5,1.5,9\n";
    let args = [
        "--as",
        "alpha_vantage",
        "--symbol",
        "IBM",
        "--set",
        "interval=weekly",
    ];
    load_text(&db, "IBM.csv", weeks, &args).ok();
    assert_eq!(
        db.row("SELECT \"interval\", ts FROM bars WHERE symbol = 'IBM'"),
        ["1w", "2025-11-03 05:00:00"]
    );
}

/// A file that says whether the buyer was the maker says who was the aggressor: the other one.
#[test]
fn who_was_the_maker_tells_the_side() {
    let db = empty();
    let text = "id,price,qty,quote_qty,time,is_buyer_maker\n\
                1,2.5,1,2.5,1717113600031,true\n\
                2,2.5,1,2.5,1717113600032,False\n\
                3,2.5,1,2.5,1717113600033,\n";
    let said = ["--venue", "v", "--symbol", "A"];
    let run = load_text(&db, "maker.csv", text, &said).ok();
    assert!(run.stdout.contains("is_buyer_maker → side"), "{run}");
    let sides = "SELECT trade_id, side FROM trades WHERE venue = 'v' ORDER BY ts";
    assert_eq!(
        db.sql(sides),
        [["1", "sell"], ["2", "buy"], ["3", "unknown"]]
    );
    // What names the side itself comes first.
    let both = "id,price,qty,time,is_buyer_maker,side\n4,2.5,1,1717113600034,true,buy\n";
    load_text(&db, "both.csv", both, &["--venue", "w", "--symbol", "A"]).ok();
    assert_eq!(db.value("SELECT side FROM trades WHERE venue = 'w'"), "buy");
}

/// A side of a quote without price and size is not there; a price of 0 at which something stands is one.
#[test]
fn a_bid_of_nothing_at_0_is_none() {
    let db = empty();
    let text = "ts,symbol,bid,bid_qty,ask,ask_qty\n\
                2024-01-01 00:00:00,A,0,0,1.5,3\n\
                2024-01-01 00:00:01,A,1.5,3,0.00,\n\
                2024-01-01 00:00:02,A,0,5,1.5,0\n";
    load_text(&db, "quotes.csv", text, &["--venue", "v"]).ok();
    let quotes =
        "SELECT bid_price, bid_size, ask_price, ask_size FROM quotes WHERE venue = 'v' ORDER BY ts";
    assert_eq!(
        db.sql(quotes),
        [
            ["", "", "1.5", "3.0"],
            ["1.5", "3.0", "", ""],
            ["0.0", "5.0", "1.5", "0.0"],
        ]
    );
    let bare = "ts,symbol,bid,ask\n2024-01-01 00:00:00,A,0,1.5\n";
    load_text(&db, "bare.csv", bare, &["--venue", "w"]).ok();
    assert_eq!(
        db.row("SELECT bid_price, ask_price FROM quotes WHERE venue = 'w'"),
        ["", "1.5"]
    );
}

/// A venue whose folder says nothing of its instruments: a table of them, and of splits, is loaded like ticks.
#[test]
fn instruments_and_corporate_actions_are_loaded_where_that_is_said() {
    let db = empty();
    let text = "symbol,ts,asset_class,name,tick_size\n\
                ACME,2024-01-01,equity,Acme Inc,0.01\n\
                ACME,2024-06-01,equity,Acme Corp,0.01\n\
                ACME,2024-07-01,equity,Acme Corp,0.005\n";
    let venue = ["--venue", "v", "--into"];
    let into = |table| [&venue[..], &[table]].concat();
    // Unasked, a file is not taken for one of them.
    load_text(&db, "acme.csv", text, &venue[..2]).fails_naming(&["trades lacks 'price'"]);
    load_text(&db, "acme.csv", text, &into("instruments")).ok();
    let splits = "symbol,date,kind,ex_date,ratio\nACME,2024-03-01,split,2024-03-01,4\n";
    load_text(&db, "splits.csv", splits, &into("corporate_actions")).ok();
    assert_eq!(
        db.sql("SELECT ts::DATE, name, tick_size FROM instruments ORDER BY ts"),
        [
            ["2024-01-01", "Acme Inc", "0.01"],
            ["2024-06-01", "Acme Corp", "0.01"],
            ["2024-07-01", "Acme Corp", "0.005"],
        ]
    );
    assert_eq!(
        db.row("SELECT symbol, ex_date, ratio FROM stock_actions"),
        ["ACME", "2024-03-01", "4.0"]
    );
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT name, valid_from::DATE, is_current FROM dim_stock ORDER BY valid_from"),
        [
            ["Acme Inc", "1900-01-01", "false"],
            ["Acme Corp", "2024-06-01", "true"],
        ]
    );
    // What mdb makes of messages is nobody's to load.
    load_text(&db, "acme.csv", text, &into("raw_messages")).fails_naming(&["by mdb itself"]);
}

/// A regular and a special dividend of one day are both paid; what a later file says of the day takes their place.
#[test]
fn dividends_of_one_day_in_one_file_all_count() {
    let db = empty();
    let into = ["--venue", "v", "--into", "corporate_actions"];
    let load = |name: &str, special: &str| {
        let text = format!(
            "symbol,date,kind,ex_date,amount,ratio\n\
             ACME,2024-01-05,dividend,2024-02-01,0.5,\n\
             ACME,2024-01-20,dividend,2024-02-01,{special},\n\
             ACME,2024-01-05,dividend,2024-02-01,0.5,\n\
             ACME,2024-03-01,split,2024-03-01,,4\n"
        );
        load_text(&db, name, &text, &into).ok();
    };
    let actions = || db.sql("SELECT ex_date, ratio, amount FROM stock_actions ORDER BY ex_date");
    load("actions.csv", "2");
    assert_eq!(
        actions(),
        [["2024-02-01", "1.0", "2.5"], ["2024-03-01", "4.0", "0.0"]]
    );
    let bars = "ts,symbol,interval,open,high,low,close\n\
                2024-01-31,ACME,1d,100,100,100,100\n\
                2024-02-01,ACME,1d,97.5,97.5,97.5,97.5\n";
    load_text(&db, "bars.csv", bars, &into[..2]).ok();
    db.run(["build"]).ok();
    assert_eq!(
        db.sql("SELECT dividend, round(adjusted_close, 6) FROM fact_adjusted_prices ORDER BY date"),
        [["0.0", "97.5"], ["2.5", "97.5"]]
    );

    load("corrected.csv", "1.5");
    for step in [&["tables"][..], &["seal", "--all"], &["rebuild"]] {
        db.run(step.iter().copied()).ok();
        assert_eq!(
            actions(),
            [["2024-02-01", "1.0", "2.0"], ["2024-03-01", "4.0", "0.0"]]
        );
    }
}

#[test]
fn bars_and_splits_are_no_quotes_without_a_price() {
    let db = empty();
    let bars = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1,2,1,2,2,9\n";
    let said = ["--venue", "v", "--symbol", "A"];
    load_text(&db, "bars.csv", bars, &said)
        .fails_naming(&["quotes lacks 'bid_price'", "bars lacks 'interval'"]);
    let splits = "symbol,date,kind,ratio\nA,2024-01-02,split,4\n";
    load_text(&db, "splits.csv", splits, &said[..2]).fails_naming(&["quotes lacks 'bid_price'"]);
    assert_eq!(db.count("SELECT count(*) FROM quotes"), 0);

    let args = [&said[..], &["--set", "interval=1d"]].concat();
    load_text(&db, "bars.csv", bars, &args).ok();
    assert_eq!(db.row("SELECT close, volume FROM bars"), ["2.0", "9.0"]);
    // One side is enough.
    let asks = "ts,symbol,ask\n2024-01-02,A,1.5\n";
    load_text(&db, "asks.csv", asks, &said[..2]).ok();
    let sides = db.row("SELECT bid_price, ask_price FROM quotes");
    assert_eq!(sides, ["", "1.5"]);
}

#[test]
fn a_delimiter_that_cannot_be_told_is_asked_for() {
    let db = empty();
    let text = "ts~symbol~price~size\n2024-01-01~A~1.5~2\n";
    load_text(&db, "tildes.csv", text, &["--venue", "v"])
        .fails_naming(&["tildes.csv", "--delimiter"]);
    assert_no_trace(&db);
}

#[test]
fn an_archive_a_directory_and_a_pattern_are_all_their_files() {
    let db = empty();
    let lines = trades(300, 3);
    let parts: Vec<Vec<u8>> = lines.chunks(100).map(csv).collect();
    let two = zipped(&[
        ("first.csv", &parts[0][..]),
        ("deep/second.csv", &parts[1][..]),
    ]);
    let archive = db.write("two.zip", &two);
    let run = load(&db, &archive, &["--venue", "zip"]).ok();
    for member in ["two.zip/first.csv", "two.zip/deep/second.csv"] {
        assert!(run.stdout.contains(member), "{run}");
    }
    assert_eq!(figures(&db, "zip")[..2], ["200", "200"]);
    let left = strays(&db);
    assert!(left.is_empty(), "{left:?}");

    let folder = db.beside("folder");
    fs::create_dir_all(folder.join("below")).unwrap();
    fs::write(folder.join("a.csv"), &parts[0]).unwrap();
    fs::write(folder.join("b.csv"), &parts[1]).unwrap();
    fs::write(folder.join("below/c.csv.gz"), gzip(&parts[2])).unwrap();
    fs::write(folder.join(".hidden"), "no table").unwrap();
    load(&db, &folder, &["--venue", "folder"]).ok();
    let all = figures(&db, "folder");
    assert_eq!(all[..2], ["300", "300"]);
    let again = load(&db, &folder, &["--venue", "folder"]).ok();
    assert_eq!(again.stdout.matches("already loaded").count(), 3, "{again}");

    load(&db, &folder.join("*.csv"), &["--venue", "pattern"]).ok();
    assert_eq!(figures(&db, "pattern"), figures(&db, "zip"));
    load(&db, &folder.join("no*.csv"), &["--venue", "none"]).fails_naming(&["no*.csv"]);
    load(&db, &db.beside("nowhere.csv"), &["--venue", "none"]).fails_naming(&["nowhere.csv"]);
    // One that fails does not keep the others from being loaded, and is told.
    fs::write(folder.join("broken.csv"), "nothing\n").unwrap();
    load(&db, &folder, &["--venue", "most"]).fails_naming(&["broken.csv"]);
    assert_eq!(figures(&db, "most"), all);
}

#[test]
fn a_pattern_means_files_below_where_one_is() {
    let db = empty();
    let lines = trades(200, 2);
    fs::create_dir(db.beside("ticks")).unwrap();
    for (name, lines) in [
        ("ticks/a.csv", &lines[..100]),
        ("ticks/b.csv", &lines[100..]),
    ] {
        db.write(name, &csv(lines));
    }
    // The command runs beside the database, not in it.
    db.run(["load", "ticks/*.csv", "--venue", "v"]).ok();
    assert_eq!(figures(&db, "v")[..2], ["200", "200"]);
}

#[test]
fn a_name_that_could_be_a_pattern_means_that_file() {
    let db = empty();
    for format in ["csv", "ndjson", "json", "parquet"] {
        let name = |stem: &str| format!("{stem}.{format}");
        for (stem, id) in [
            ("a[1]", 1),
            ("a1", 9),
            ("b*1", 2),
            ("bx1", 9),
            ("c?1", 3),
            ("cx1", 9),
        ] {
            let row = format!(
                "SELECT '2024-01-01 12:00:00' AS ts, 'A' AS symbol, '{id}' AS trade_id, 10.5 AS price, 1.5 AS size"
            );
            fs::rename(export(&db, &row, &name("row")), db.beside(&name(stem))).unwrap();
        }
        let files = ["a[1]", "b*1", "c?1"].map(name);
        // The command runs beside the database, not in it.
        let load = |args: &[&str]| {
            let names = files.iter().map(String::as_str);
            let args = args.iter().copied();
            db.run(["load"].into_iter().chain(names).chain(args)).ok();
        };
        load(&["--venue", format]);
        let of_venue = format!("(FROM trades WHERE venue = '{format}')");
        let mine = format!("mine_{format}");
        load(&["--into", &mine]);
        for relation in [&of_venue, &mine] {
            let ids = "string_agg(trade_id::VARCHAR, ' ' ORDER BY trade_id)";
            let ids = db.value(&format!("SELECT {ids} FROM {relation}"));
            assert_eq!(ids, "1 2 3", "{relation}");
        }
    }
}

// What is known already.

#[test]
fn the_same_file_again_adds_nothing_and_says_so() {
    let db = empty();
    let bytes = csv(&trades(2_000, 2));
    let file = db.write("trades.csv", &bytes);
    let first = load(&db, &file, &["--venue", "v"]).ok();
    assert!(!first.stdout.contains("already"), "{first}");
    let (before, lake) = (db.checksums(), db.lake());

    let renamed = db.write("another_name.csv", &bytes);
    let packed = db.write("trades.zip", &zipped(&[("trades.csv", &bytes[..])]));
    for file in [&file, &renamed, &packed] {
        let run = load(&db, file, &["--venue", "v"]).ok();
        assert!(
            run.stdout.contains("already loaded, nothing added"),
            "{run}"
        );
    }
    // Packed otherwise, it is another file with the same rows.
    let gz = db.write("trades.csv.gz", &gzip(&bytes));
    let run = load(&db, &gz, &["--venue", "v"]).ok();
    assert!(
        run.stdout.contains(": 0 rows into trades, 2,000 known"),
        "{run}"
    );
    assert_eq!(db.checksums(), before);
    assert_eq!(db.lake(), lake);
    // As another venue's it is another file.
    load(&db, &file, &["--venue", "w"]).ok();
    assert_eq!(figures(&db, "w"), figures(&db, "v"));
    db.assert_sound();
}

#[test]
fn overlapping_files_add_only_what_is_new_in_whatever_order() {
    let db = empty();
    let mut rng = Rng(401);
    let lines = trades(20_000, 4);
    let all = db.write("all.csv", &csv(&lines));
    load(&db, &all, &["--venue", "all"]).ok();
    let want = figures(&db, "all");
    assert_eq!(want[..2], ["20000", "20000"]);

    let early = db.write("early.csv", &csv(&lines[..12_000]));
    let late = db.write("late.csv", &csv(&lines[8_000..]));
    let mut repeated = Vec::new();
    for line in &lines {
        repeated.push(line.clone());
        while rng.chance(200) {
            repeated.push(line.clone());
        }
    }
    let repeats = repeated.len() - lines.len();
    let in_order = db.write("repeated.csv", &csv(&repeated));
    let in_none = db.write("shuffled.csv", &csv(&shuffled(repeated, &mut rng)));
    for (venue, first, second) in [
        ("forward", &early, &late),
        ("backward", &late, &early),
        ("ordered", &early, &in_order),
        ("disordered", &early, &in_none),
        ("repeated", &in_order, &in_none),
        ("shuffled", &in_none, &late),
    ] {
        for file in [first, second] {
            load(&db, file, &["--venue", venue]).ok();
        }
        assert_eq!(figures(&db, venue), want, "{venue}");
    }
    let known = format!(" {},{:03} known", repeats / 1_000, repeats % 1_000);
    let run = load(&db, &in_order, &["--venue", "last"]).ok();
    assert!(run.stdout.contains(&known), "no{known}\n{run}");
    db.assert_sound();
}

#[test]
fn rows_without_a_key_of_a_file_that_has_grown_are_not_doubled() {
    let db = empty();
    let mut text = "ts,symbol,price,size\n2024-01-01,A,1.5,2\n".to_owned();
    load_text(&db, "trades.csv", &text, &["--venue", "v"]).ok();
    text.push_str("2024-01-02,A,2.5,2\n");
    load_text(&db, "trades.csv", &text, &["--venue", "v"]).fails_naming(&[
        "trades.csv",
        "begins with what was loaded",
        "trade_id",
        "--if-exists append",
    ]);
    assert_eq!(db.count("SELECT count(*) FROM trades"), 1);
    let args = ["--venue", "v", "--if-exists", "append"];
    load_text(&db, "trades.csv", &text, &args).ok();
    assert_eq!(db.count("SELECT count(*) FROM trades"), 3);

    // By their keys rows are known, wherever they come from.
    let mut text = format!("{HEADER}\n2024-01-01,A,1,1.5,2,buy\n");
    load_text(&db, "keyed.csv", &text, &["--venue", "keyed"]).ok();
    text.push_str("2024-01-02,A,2,1.5,2,buy\n");
    let run = load_text(&db, "keyed.csv", &text, &["--venue", "keyed"]).ok();
    assert!(run.stdout.contains("1 rows into trades, 1 known"), "{run}");
}

#[test]
fn an_id_that_a_venue_uses_again_every_day_is_known_on_each() {
    let db = empty();
    let days = |last: u32| {
        let days = (1..=last).map(|day| format!("A,2024-01-0{day}T12:00:00,1,{},1", 9 + day));
        let days: Vec<String> = days.collect();
        format!("symbol,ts,trade_id,price,size\n{}\n", days.join("\n"))
    };
    for (name, last) in [("a.csv", 2), ("b.csv", 3)] {
        load_text(&db, name, &days(last), &["--venue", "v"]).ok();
    }
    let prices = "SELECT string_agg(price::VARCHAR, ' ' ORDER BY ts) FROM trades";
    assert_eq!(db.value(prices), "10.0 11.0 12.0");
}

#[test]
fn repeats_and_disorder_are_found_across_chunks() {
    let db = empty();
    let mut rng = Rng(402);
    let lines = trades(150_000, 3);
    let once = db.write("once.csv", &csv(&lines));
    load(&db, &once, &["--venue", "once"]).ok();
    let want = by_date_and_symbol(&db, "once");
    assert_eq!(want.len(), 3 * 4);

    let twice: Vec<&String> = lines.iter().flat_map(|line| [line, line]).collect();
    let twice = db.write("twice.csv", &csv(&twice));
    let mut late = lines.clone();
    // The days the wrong way round, and some of the last rows once more at the end.
    late.rotate_left(100_000);
    late.extend_from_slice(&lines[95_000..105_000]);
    let late = db.write("late.csv", &csv(&late));
    let disorder = db.write("disorder.csv", &csv(&shuffled(lines, &mut rng)));
    for (venue, file) in [("twice", &twice), ("late", &late), ("disorder", &disorder)] {
        let args = ["--venue", venue, "--memory-limit", "64MB"];
        let run = load(&db, file, &args).ok();
        assert_eq!(by_date_and_symbol(&db, venue), want, "{run}");
    }
    let left = strays(&db);
    assert!(left.is_empty(), "{left:?}");
    db.assert_sound();
}

#[test]
fn the_lake_has_a_file_by_date_with_each_symbol_in_one_piece() {
    let db = empty();
    let mut rng = Rng(403);
    let file = db.write("trades.csv", &csv(&shuffled(trades(12_000, 3), &mut rng)));
    load(&db, &file, &["--venue", "v"]).ok();
    let lake: Vec<String> = db.lake().into_keys().collect();
    let dates: Vec<&str> = lake.iter().map(|name| &name[..27]).collect();
    assert_eq!(
        dates,
        [
            "lake/trades/date=2024-01-01",
            "lake/trades/date=2024-01-02",
            "lake/trades/date=2024-01-03",
        ]
    );
    for name in &lake {
        let (_, rest) = name.split_once("date=").unwrap();
        let (date, _) = rest.split_once('/').unwrap();
        let read = format!(
            "read_parquet('{}', file_row_number = true)",
            db.dir().join(name).display()
        );
        let found = db.row(&format!(
            "SELECT count(*), count(DISTINCT ts::DATE), min(ts::DATE), count(*) FILTER (WHERE disordered)
             FROM (SELECT ts, (symbol, ts) < lag((symbol, ts)) OVER (ORDER BY file_row_number) AS disordered FROM {read})"
        ));
        assert_eq!(found, ["4000", "1", date, "0"], "{name}");
    }
    // Each symbol has its share of each date, and a query for one finds it.
    for row in by_date_and_symbol(&db, "v") {
        assert_eq!(row[2], "1000", "{row:?}");
    }
    let one = "SELECT count(*), sum(size) FROM trades WHERE symbol = 'BBB' AND ts >= '2024-01-02' AND ts < '2024-01-03'";
    let want = "SELECT count(*), sum(size) FROM trades WHERE trade_id::INTEGER BETWEEN 4000 AND 7999 AND trade_id::INTEGER % 4 = 1";
    assert_eq!(db.row(one), db.row(want));
}

#[test]
fn append_skip_and_fail_do_what_they_say_with_keyed_rows() {
    let db = empty();
    let lines = trades(1_000, 1);
    let all = db.write("all.csv", &csv(&lines));
    let half = db.write("half.csv", &csv(&lines[..500]));
    let exists = |how: &'static str| ["--venue", "v", "--if-exists", how];
    load(&db, &half, &exists("fail")).ok();
    let before = (db.checksums(), db.lake());
    // The file is known; of the other one some rows are.
    load(&db, &half, &exists("fail")).fails_naming(&["half.csv", "--if-exists"]);
    load(&db, &all, &exists("fail")).fails_naming(&["all.csv", "500", "--if-exists"]);
    assert_eq!((db.checksums(), db.lake()), before);
    let left = strays(&db);
    assert!(left.is_empty(), "{left:?}");

    load(&db, &all, &exists("skip")).ok();
    assert_eq!(figures(&db, "v")[..2], ["1000", "1000"]);
    load(&db, &half, &exists("append")).ok();
    assert_eq!(figures(&db, "v")[..2], ["1500", "1000"]);
}

#[test]
fn a_later_bar_takes_an_earlier_ones_place_unless_that_must_fail() {
    let db = empty();
    let bar = |close: &str| {
        format!(
            "ts,symbol,interval,open,high,low,close,volume\n2024-01-01,A,1d,1,2,0.5,{close},10\n"
        )
    };
    let closes = || db.sql("SELECT close FROM bars");
    load_text(&db, "bars.csv", &bar("1.5"), &["--venue", "v"]).ok();
    load_text(&db, "bars.csv", &bar("1.6"), &["--venue", "v"]).ok();
    assert_eq!(closes(), [["1.6"]]);
    let args = ["--venue", "v", "--if-exists", "fail"];
    load_text(&db, "bars.csv", &bar("1.7"), &args).fails_naming(&["bars.csv", "--if-exists"]);
    assert_eq!(closes(), [["1.6"]]);
}

// Bad rows.

/// Lines of [`HEADER`]'s columns that are no trades, and what their reason must name.
const BAD: [(&str, &str); 12] = [
    ("2024-01-01 00:00:01,A,2,abc,1,buy", "'price'"),
    ("2024-01-01 00:00:02,A,3,,1,buy", "'price'"),
    ("2024-01-01 00:00:03,A,4,1e400,1,buy", "'price'"),
    ("2024-01-01 00:00:04,A,5,nan,1,buy", "'price'"),
    ("56000-01-01 00:00:05,A,6,1.5,1,buy", "'ts'"),
    ("1700-01-01 00:00:06,A,7,1.5,1,buy", "'ts'"),
    ("2024-13-45 00:00:07,A,8,1.5,1,buy", "'ts'"),
    (",A,9,1.5,1,buy", "'ts'"),
    ("99999999999999999999999,A,10,1.5,1,buy", "'ts'"),
    ("2024-01-01 00:00:10,,11,1.5,1,buy", "'symbol'"),
    ("2024-01-01 00:00:11,A,12,1.5", "6"),
    ("2024-01-01 00:00:12,A,13,1.5,1,buy,extra", "6"),
];

/// The bad lines, each behind a good one.
fn with_bad_lines() -> Vec<u8> {
    let good = trades(BAD.len() as u64, 1);
    let lines: Vec<&str> = good
        .iter()
        .zip(BAD)
        .flat_map(|(good, (bad, _))| [good.as_str(), bad])
        .collect();
    csv(&lines)
}

#[test]
fn a_bad_row_becomes_a_dead_letter_and_the_others_are_loaded() {
    let db = empty();
    let plain = db.write("bad.csv", &with_bad_lines());
    let packed = db.write("bad.csv.gz", &gzip(&with_bad_lines()));
    for (file, name, venue) in [
        (&plain, "bad.csv", "plain"),
        (&packed, "bad.csv.gz", "packed"),
    ] {
        let run = load(&db, file, &["--venue", venue]).ok();
        assert!(
            run.stdout.contains("12 rows into trades, 12 dead letters"),
            "{run}"
        );
        let letters = dead_letters(&db);
        assert_eq!(letters.len(), BAD.len(), "{letters:?}");
        for (n, (bad, part)) in BAD.iter().enumerate() {
            // The header, and two lines for each before it.
            let (source, reason) = &letters[&(2 * n as u64 + 3)];
            assert!(source.ends_with(name), "{source}");
            assert!(reason.contains(part), "{bad}: {reason}");
        }
        let told =
            db.count("SELECT count(*) FROM dead_letters WHERE target = 'trades' AND payload <> ''");
        assert_eq!(told, BAD.len() as u64);
        assert_eq!(figures(&db, venue)[..2], ["12", "12"]);
        db.run(["sql", "--write", "DELETE FROM hot.dead_letters"])
            .ok();
    }

    // Types say nothing of whether a value can be one of the table's.
    let query = "SELECT CASE i WHEN 0 THEN TIMESTAMP '56000-01-01' ELSE TIMESTAMP '2024-01-01' END AS ts, 'A' AS symbol, \
                 'p' || i AS trade_id, CASE i WHEN 1 THEN NULL ELSE 1.5 END AS price, 2.0 AS size FROM range(3) t(i)";
    let parquet = export(&db, query, "bad.parquet");
    load(&db, &parquet, &["--venue", "parquet"]).ok();
    assert_eq!(figures(&db, "parquet")[0], "1");
    let lines: Vec<u64> = dead_letters(&db).into_keys().collect();
    assert_eq!(lines, [1, 2]);
    db.assert_sound();
}

#[test]
fn an_empty_line_counts_as_a_line() {
    let db = empty();
    let text = format!(
        "{HEADER}\n2024-01-01,A,1,1.5,1,buy\n\n\n2024-01-01,A,2,abc,1,buy\n2024-01-01,A,3,1.5,1,buy\n"
    );
    load_text(&db, "gaps.csv", &text, &["--venue", "v"]).ok();
    let lines: Vec<u64> = dead_letters(&db).into_keys().collect();
    assert_eq!(lines, [5]);
    assert_eq!(figures(&db, "v")[0], "2");
}

#[test]
fn beyond_max_errors_nothing_of_a_file_is_loaded() {
    let db = empty();
    let file = db.write("bad.csv", &with_bad_lines());
    let at_most = |errors: &'static str| ["--venue", "v", "--max-errors", errors];
    for errors in ["0", "1", "11"] {
        load(&db, &file, &at_most(errors)).fails_naming(&["bad.csv", "--max-errors"]);
        assert_no_trace(&db);
    }
    // Nothing keeps it from being loaded now.
    load(&db, &file, &at_most("12")).ok();
    assert_eq!(figures(&db, "v")[0], "12");
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 12);
}

#[test]
fn each_line_with_too_few_fields_counts_and_none_is_forgotten() {
    let db = empty();
    let good = trades(20, 1);
    // Of six fields two.
    let mut lines: Vec<&str> = good.iter().map(String::as_str).collect();
    lines.extend(["1704067200000,AAA"; 10]);
    let file = db.write("short.csv", &csv(&lines));
    for errors in ["0", "5", "9"] {
        let args = ["--venue", "v", "--max-errors", errors];
        load(&db, &file, &args).fails_naming(&["short.csv", "--max-errors"]);
        assert_no_trace(&db);
    }
    load(&db, &file, &["--venue", "v", "--max-errors", "10"]).ok();
    let lines: Vec<u64> = dead_letters(&db).into_keys().collect();
    assert_eq!(lines, (22..32).collect::<Vec<u64>>());
    assert_eq!(figures(&db, "v")[0], "20");

    // The header's fields are parted otherwise than the rows': there is no row at all.
    let mut mixed = vec![HEADER.replace(',', ";")];
    mixed.extend(trades(1_500, 1));
    let file = db.write("mixed.csv", &join_lines(mixed));
    load(&db, &file, &["--venue", "w"]).fails_naming(&["mixed.csv", "--max-errors"]);
    assert_eq!(figures(&db, "w")[0], "0");
}

/// Bars go into a hot table, where a later one takes an earlier one's place.
#[test]
fn beyond_max_errors_no_bar_is_loaded_either() {
    let db = empty();
    let bar = |n: u64, open: &str| {
        let ts = START_MS + n / 10 * 60_000;
        format!("{ts},S{},1m,{open},2,0.5,1.5,{n}", n % 10)
    };
    let mut lines = vec!["ts,symbol,interval,open,high,low,close,volume".to_owned()];
    lines.extend((0..120_000).map(|n| bar(n, "1")));
    lines.extend((120_000..120_020).map(|n| bar(n, "none")));
    let file = db.write("bars.csv", &join_lines(lines));
    let mut args = LITTLE_MEMORY.to_vec();
    args.extend(["--max-errors", "19"]);
    load(&db, &file, &args).fails_naming(&["bars.csv", "--max-errors"]);
    assert_no_trace(&db);
    load(&db, &file, &LITTLE_MEMORY).ok();
    let rows = "SELECT (SELECT count(*) FROM bars), (SELECT count(*) FROM dead_letters)";
    assert_eq!(db.row(rows), ["120000", "20"]);
}

// Hostile files.

/// The first part of something.
fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() * 2 / 3].to_vec()
}

/// Files that are no tables of trades: name, bytes, and what the error must say beside the name.
fn hostile_files(db: &Db) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = csv(&trades(2_000, 1));
    let text = String::from_utf8(good.clone()).unwrap();
    let read = |name: &str| fs::read(export(db, ROWS, name)).unwrap();
    let words: Vec<String> = (0..1_500)
        .map(|n| format!("{},AAA,{n},zero,1,buy", START_MS + n))
        .collect();
    let wide: Vec<String> = (0..100_000).map(|n| format!("column{n:05}")).collect();
    let many: Vec<String> = (0..5_000).map(|n| format!("c{n}")).collect();
    let bomb = vec![b'0'; 100 << 20];
    vec![
        ("tildes.csv", text.replace(',', "~").into_bytes(), "columns"),
        ("types.csv", csv(&words), "--max-errors"),
        (
            "binary.csv",
            (0..=255_u8).cycle().take(100_000).collect(),
            "binary",
        ),
        (
            "picture.csv",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
            "binary",
        ),
        ("nothing.csv", Vec::new(), "empty"),
        ("header.csv", join_lines([HEADER]), "no rows"),
        (
            "page.csv",
            b"<html>404 not found</html>\n".to_vec(),
            "columns",
        ),
        ("wide.csv", wide.join(",").into_bytes(), "first line"),
        ("many.csv", join_lines([many.join(",")]), "4096"),
        (
            "twice.csv",
            b"ts,symbol,price,Price,size\n1,A,1,2,3\n".to_vec(),
            "rename",
        ),
        ("bomb.zip", zipped(&[("bomb.csv", &bomb[..])]), "unpack"),
        (
            "bomb.csv.gz",
            gzip(&[&join_lines([HEADER])[..], &bomb[..]].concat()),
            "second line",
        ),
        (
            "junk.zip",
            [&b"PK\x03\x04"[..], &[7_u8; 1_000][..]].concat(),
            "archive",
        ),
        (
            "cut.zip",
            cut(&zipped(&[("trades.csv", &good[..])])),
            "archive",
        ),
        ("named.zip", b"\x01\x02\x03\0 no archive".to_vec(), "binary"),
        ("early.csv.gz", cut(&gzip(&good)), ""),
        ("late.csv.gz", cut(&gzip(&csv(&trades(100_000, 1)))), ""),
        ("cut.parquet", cut(&read("whole.parquet")), ""),
        ("cut.arrow", cut(&read("whole.arrow")), ""),
        ("cut.ndjson", cut(&read("whole.ndjson")), "line"),
        ("cut.json", cut(&read("whole.json")), ""),
        ("numbers.json", b"[1,2,3]".to_vec(), "columns"),
        ("deep.json", vec![b'['; 100_000], ""),
    ]
}

#[test]
fn a_hostile_file_is_refused_at_once_by_name_and_leaves_no_trace() {
    let db = empty();
    for (name, bytes, part) in hostile_files(&db) {
        let file = db.write(name, &bytes);
        let run = load(&db, &file, &["--venue", "v"]).fails_naming(&[name, part]);
        assert!(run.elapsed < SOON, "{run}");
        assert!(db.lake().is_empty(), "{run}");
        let left = strays(&db);
        assert!(left.is_empty(), "{left:?} left by\n{run}");
    }
    assert_no_trace(&db);
    db.assert_sound();
}

#[test]
fn a_packed_file_that_is_cut_or_changed_is_an_error_and_not_fewer_rows() {
    let db = empty();
    let mut lines = trades(20_000, 1);
    lines[10] = format!("{START_MS},AAA,marked,777.77,1,buy");
    let text = csv(&lines);
    let zstd = zstd::encode_all(&text[..], 3).unwrap();
    // Stored, so that only the checksum tells that a digit is another one.
    let mut stored = GzEncoder::new(Vec::new(), Compression::none());
    stored.write_all(&text).unwrap();
    let mut changed = stored.finish().unwrap();
    let at = changed.windows(6).position(|six| six == b"777.77");
    changed[at.unwrap()] = b'1';
    let gz = gzip(&text);
    for (name, bytes) in [
        ("cut.csv.zst", cut(&zstd)),
        ("shorter.csv.zst", zstd[..zstd.len() - 1].to_vec()),
        ("shorter.csv.gz", gz[..gz.len() - 1].to_vec()),
        ("changed.csv.gz", changed),
    ] {
        let file = db.write(name, &bytes);
        load(&db, &file, &["--venue", "v"]).fails_naming(&[name]);
        assert_no_trace(&db);
    }
    let whole = db.write("whole.csv.zst", &zstd);
    load(&db, &whole, &["--venue", "v"]).ok();
    assert_eq!(figures(&db, "v")[..2], ["20000", "20000"]);
}

#[test]
fn a_json_array_that_is_cut_between_two_values_is_an_error_and_not_fewer_rows() {
    let db = empty();
    let row = |id: u32| {
        format!(r#"{{"ts":{START_MS},"symbol":"A","trade_id":"{id}","price":1.5,"size":2}}"#)
    };
    let whole = format!(" [{},{}]\n", row(1), row(2));
    let comma = whole.find("},").unwrap() + 1;
    // Of what ends with a brace DuckDB itself may say that it is malformed.
    for (name, text, why) in [
        (
            "comma.json",
            &whole[..=comma],
            "in the middle of its JSON array",
        ),
        ("brace.json", &whole[..comma], ""),
        ("last.json", &whole[..whole.len() - 2], ""),
    ] {
        for args in [&["--venue", "v"][..], &["--into", "mine"]] {
            let file = db.write(name, text.as_bytes());
            load(&db, &file, args).fails_naming(&[name, why]);
            let file = db.write(&format!("{name}.gz"), &gzip(text.as_bytes()));
            load(&db, &file, args).fails_naming(&[name, why]);
        }
    }
    assert_no_trace(&db);
    load_text(&db, "whole.json", &whole, &["--venue", "v"]).ok();
    assert_eq!(figures(&db, "v")[..2], ["2", "2"]);
}

#[test]
fn a_dbn_file_that_ends_in_a_record_is_an_error_and_not_fewer_rows() {
    let db = empty();
    let Some(packed) = recorded("databento/test_data.trades.v3.dbn.zst") else {
        return;
    };
    let whole = zstd::decode_all(File::open(packed).unwrap()).unwrap();
    for cut in [1, 20] {
        let file = db.write("cut.dbn", &whole[..whole.len() - cut]);
        load(&db, &file, &["--as", "databento"])
            .fails_naming(&["cut.dbn", "in the middle of a record"]);
        assert_no_trace(&db);
    }
    let file = db.write("whole.dbn", &whole);
    load(&db, &file, &["--as", "databento"]).ok();
}

/// DuckDB takes what follows for one field, up to the end of its buffer, and tells one line of it.
#[test]
fn lines_below_a_quote_that_is_not_closed_are_not_lost() {
    let db = empty();
    let good = trades(20, 1);
    let quoted = format!("{START_MS},AAA,\"x,1.5,1,buy");
    let [opened, closed] = [
        format!("{START_MS},AAA,x,1.5,1,\"buy"),
        "x\",BBB,y,1.5,1,buy".to_owned(),
    ];
    for bad in [
        vec![(5, &quoted)],
        vec![(5, &quoted), (9, &quoted)],
        vec![(5, &opened), (9, &closed)],
    ] {
        let mut lines = good.clone();
        for (at, line) in bad {
            lines[at].clone_from(line);
        }
        let file = db.write("quote.csv", &csv(&lines));
        load(&db, &file, &["--venue", "v"]).fails_naming(&["quote.csv", "line 7", "quote"]);
        assert_no_trace(&db);
    }
}

#[test]
fn a_text_of_other_encoding_or_line_ends_is_told_by_its_line() {
    let db = empty();
    let header = format!("{HEADER},note");
    let row = |n: u64, note: &str| format!("{},AAA,{n},1.5,1,buy,{note}", START_MS + n);
    let mut latin = join_lines([header.clone(), row(1, "a")]);
    latin.extend(row(2, "caf").bytes());
    latin.extend(b"\xe9\n");
    // The note is read of no row but of bad ones: which is which must not depend on it.
    latin.extend(join_lines([row(3, "b").replace("1.5", "abc"), row(4, "c")]));
    let latin_symbol = [
        &join_lines([HEADER])[..],
        format!("{START_MS},AA").as_bytes(),
        &b"\xe9,1,1.5,1,buy\n"[..],
    ]
    .concat();
    let mixed = format!("{header}\n{}\r\n{}\n", row(1, "a"), row(2, "b")).into_bytes();
    for (name, bytes, parts) in [
        ("latin.csv", &latin, ["line 3", "iconv"]),
        ("symbol.csv", &latin_symbol, ["line 2", "iconv"]),
        ("mixed.csv", &mixed, ["line 2", "CR LF"]),
    ] {
        let file = db.write(name, bytes);
        load(&db, &file, &["--venue", "v"]).fails_naming(&[name, parts[0], parts[1]]);
        if name != "symbol.csv" {
            load(&db, &file, &["--into", "mine"]).fails_naming(&[name, parts[0], parts[1]]);
        }
        assert_no_trace(&db);
    }
}

#[test]
fn a_long_line_is_not_told_as_a_whole() {
    let db = empty();
    let rows = "1,2\n".repeat(30_000);
    let text = format!("a,b\n{rows}1,{}\n", "x,".repeat(500_000));
    let run = load_text(&db, "long.csv", &text, &["--into", "mine"]).fails_naming(&["long.csv"]);
    assert!(run.stderr.len() < 2_000, "{} bytes", run.stderr.len());
}

#[test]
fn zstd_frames_that_are_to_be_skipped_are() {
    let db = empty();
    let lines = trades(2_000, 1);
    let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0"[..], b"any"].concat();
    let pack = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let text = csv(&lines);
    let (first, second) = text.split_at(text.len() / 2);
    let (first, second) = (pack(first), pack(second));
    let bytes = [
        &skipped[..],
        &first[..],
        &skipped[..],
        &second[..],
        &skipped[..],
    ]
    .concat();
    let file = db.write("frames.csv.zst", &bytes);
    load(&db, &file, &["--venue", "v"]).ok();
    assert_eq!(figures(&db, "v")[..2], ["2000", "2000"]);
}

#[test]
fn zeros_behind_gzip_data_are_told() {
    let db = empty();
    let bytes = [gzip(&csv(&trades(20, 1))), vec![0; 512]].concat();
    let file = db.write("padded.csv.gz", &bytes);
    load(&db, &file, &["--venue", "v"]).fails_naming(&["padded.csv.gz", "gzip -dc"]);
    assert_no_trace(&db);
}

#[test]
fn whole_numbers_of_json_too_long_for_64_bits_keep_all_digits() {
    let db = empty();
    let longest = "1234567890123456789012345678901234567890";
    let text = format!(
        "{{\"id\":12345678901234567,\"n\":1,\"p\":1}}\n{{\"id\":123456789012345678901,\"n\":{longest},\"p\":1.5}}\n"
    );
    load_text(&db, "ids.ndjson", &text, &["--into", "mine"]).ok();
    assert_eq!(
        db.sql("SELECT id, n, p FROM mine ORDER BY p"),
        [
            ["12345678901234567", "1", "1.0"],
            ["123456789012345678901", longest, "1.5"]
        ]
    );
}

#[test]
fn a_first_line_of_the_names_that_are_said_is_no_row() {
    let db = empty();
    let names = "ts,symbol,trade_id,price,size,nan";
    let text = format!("{names}\n{START_MS},A,1,1.5,2,3\n");
    let args = ["--venue", "v", "--columns", names];
    let run = load_text(&db, "nan.csv", &text, &args).ok();
    assert!(!run.stdout.contains("dead letters"), "{run}");
    assert_eq!(figures(&db, "v")[0], "1");
}

// Columns that change.

const TARDIS: &str = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount";

#[test]
fn a_vendors_other_columns_are_told_and_taken_only_if_asked() {
    let db = empty();
    let row = |id: u32| {
        let us = 1_709_251_200_000_000 + u64::from(id) * 1_000_000;
        format!("kraken,XBT,{us},{us},{id},sell,61130.98,0.00145")
    };
    let ids = || db.value("SELECT string_agg(trade_id, ' ' ORDER BY trade_id) FROM trades");
    let args = ["--as", "tardis", "--evolve"];
    let (strict, evolve) = (&args[..2], &args[..]);
    let before = format!("{TARDIS}\n{}\n", row(1));
    load_text(&db, "trades.csv", &before, strict).ok();
    let lake = db.lake();

    let now = format!("{TARDIS},liquidation\n{},false\n", row(2));
    let run = load_text(&db, "trades_2.csv", &now, strict);
    let run = run.fails_naming(&["trades_2.csv", "liquidation", "--evolve"]);
    let drift = run.stderr.lines().skip_while(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words != ["before", "now"]
    });
    assert!(
        drift
            .take(2)
            .any(|line| line.contains("— ") && line.contains("liquidation")),
        "{run}"
    );
    assert_eq!(ids(), "1");
    assert_eq!(db.lake(), lake);

    let run = load_text(&db, "trades_2.csv", &now, evolve).ok();
    assert!(run.stdout.contains("liquidation"), "{run}");
    // From then on it is what is expected.
    let next = format!("{TARDIS},liquidation\n{},true\n", row(3));
    load_text(&db, "trades_3.csv", &next, strict).ok();
    let gone = format!("{TARDIS}\n{}\n", row(4));
    load_text(&db, "trades_4.csv", &gone, strict).fails_naming(&["liquidation", "--evolve"]);
    assert_eq!(ids(), "1 2 3");
}

// Tables of one's own.

const PRICES: &str =
    "Date,Close Price,Vol,Name\n2024-01-01,1.23456,10,x\n2024-01-02,2.34567,20,y\n";

/// A table as CSV, with its names.
fn table(db: &Db, name: &str) -> String {
    db.try_sql(&format!("FROM {name}")).ok().stdout
}

#[test]
fn a_table_of_ones_own_is_made_as_the_user_shapes_it() {
    let db = empty();
    load_text(&db, "prices.csv", PRICES, &["--into", "plain"]).ok();
    assert_eq!(table(&db, "plain"), PRICES);
    let types = "SELECT string_agg(column_type, ' ') FROM (DESCRIBE plain)";
    assert_eq!(db.value(types), "DATE DOUBLE BIGINT VARCHAR");

    let mut args = vec!["--into", "shaped", "--column-case", "upper"];
    args.extend(["--rename", "Date=day", "--rename", "Close Price=px"]);
    args.extend(["--cast", "day=VARCHAR", "--cast", "vol=DOUBLE"]);
    args.extend(["--set", "SRC=vendor", "--decimals", "2"]);
    load_text(&db, "prices.csv", PRICES, &args).ok();
    assert_eq!(
        table(&db, "shaped"),
        "DAY,PX,VOL,NAME,SRC\n2024-01-01,1.23,10.0,x,vendor\n2024-01-02,2.35,20.0,y,vendor\n"
    );

    let mut args = vec!["--into", "dated", "--column-case", "lower"];
    args.extend([
        "--cast",
        "when=TIMESTAMP",
        "--date-format",
        "%d.%m.%Y %H:%M:%S",
    ]);
    let text = "When,V\n02.01.2024 03:04:05,1.239\nnever,2.5\n";
    load_text(&db, "dated.csv", text, &args).ok();
    assert_eq!(
        table(&db, "dated"),
        "when,v\n2024-01-02 03:04:05,1.239\n,2.5\n"
    );

    load_text(
        &db,
        "bare.txt",
        "x;1\n",
        &["--into", "bare", "--columns", "a,b"],
    )
    .ok();
    assert_eq!(table(&db, "bare"), "a,b\nx,1\n");
    // The first line is no names, though of texts only.
    let args = ["--into", "words", "--columns", "a,b"];
    load_text(&db, "words.csv", "x,y\nz,w\n", &args).ok();
    assert_eq!(table(&db, "words"), "a,b\nx,y\nz,w\n");
    for name in ["t.parquet", "t.ndjson", "t.json"] {
        let file = export(&db, ROWS, name);
        let into = name.replace('.', "_");
        load(&db, &file, &["--into", &into]).ok();
        let query =
            format!("SELECT count(*), round(sum(price), 2), count(DISTINCT ts) FROM {into}");
        assert_eq!(db.row(&query), ["2000", "209545.87", "2000"], "{name}");
    }
    load_text(&db, "prices.csv", PRICES, &["--into", "no name"]).fails_naming(&["no name"]);
}

#[test]
fn a_table_of_ones_own_keeps_nanoseconds() {
    let db = empty();
    let text = "at,v\n2024-01-02 03:04:05.678901234,1\n";
    load_text(&db, "exact.csv", text, &["--into", "exact"]).ok();
    assert_eq!(table(&db, "exact"), text);
}

#[test]
fn a_table_of_ones_own_keeps_nanoseconds_of_times_with_an_offset_and_of_times_of_day() {
    let db = empty();
    // As --cast and --rename see them, too.
    let cast = ["--rename", "ts=utc", "--cast", "utc=TIMESTAMP_NS"];
    let expected = [
        ["2024-08-08 09:30:00.123456789", "09:30:00.123456789"],
        ["2024-08-08 09:30:00.1", "09:30:00.1"],
    ];
    let csv = "ts,day,v\n2024-08-08T09:30:00.123456789Z,09:30:00.123456789,1\n\
               2024-08-08T11:30:00.1+02:00,09:30:00.1,2\n";
    let json = r#"{"ts":"2024-08-08T09:30:00.123456789Z","day":"09:30:00.123456789","v":1,"s":{"ts":["2024-08-08T11:30:00.123456789+02:00"]}}
{"ts":"2024-08-08T11:30:00.1+02:00","day":"09:30:00.1","v":2,"s":null}
"#;
    for (name, text) in [("t.csv", csv), ("t.ndjson", json)] {
        let into = name.replace('.', "_");
        load_text(&db, name, text, &["--into", &into]).ok();
        let rows = format!("SELECT ts::VARCHAR, day::VARCHAR FROM {into} ORDER BY v");
        assert_eq!(db.sql(&rows), expected, "{name}");
        let types = format!("SELECT typeof(ts), typeof(day) FROM {into} LIMIT 1");
        assert_eq!(db.row(&types), ["TIMESTAMP_NS", "TIME_NS"], "{name}");

        let into = format!("{into}_cast");
        load_text(&db, name, text, &[&["--into", &into][..], &cast].concat()).ok();
        let rows = format!("SELECT utc::VARCHAR, day::VARCHAR FROM {into} ORDER BY v");
        assert_eq!(db.sql(&rows), expected, "{name}");
    }
    assert_eq!(
        db.value("SELECT s.ts[1]::VARCHAR FROM t_ndjson WHERE v = 1"),
        "2024-08-08 09:30:00.123456789"
    );
}

#[test]
fn times_without_nanoseconds_stay_what_they_are_and_fit_a_table_that_has_some() {
    let db = empty();
    let plain = "ts,v\n2024-08-08T11:30:00.5+02:00,1\n";
    let fine = "ts,v\n2024-08-08T11:30:00.000000001+02:00,2\n";
    load_text(&db, "plain.csv", plain, &["--into", "plain"]).ok();
    let typed = |table: &str| db.value(&format!("SELECT typeof(ts) FROM {table} LIMIT 1"));
    assert_eq!(typed("plain"), "TIMESTAMP WITH TIME ZONE");
    // … also if another type is asked for.
    let cast = ["--into", "as_cast", "--cast", "ts=TIMESTAMP"];
    load_text(&db, "plain.csv", plain, &cast).ok();
    assert_eq!(
        db.value("SELECT ts::VARCHAR FROM as_cast"),
        "2024-08-08 09:30:00.5"
    );

    load_text(&db, "fine.csv", fine, &["--into", "fine"]).ok();
    load_text(&db, "plain.csv", plain, &["--into", "fine"]).ok();
    let both = ["2024-08-08 09:30:00.5", "2024-08-08 09:30:00.000000001"];
    let rows = |table: &str| {
        db.sql(&format!("SELECT ts::VARCHAR FROM {table} ORDER BY v"))
            .concat()
    };
    assert_eq!(rows("fine"), both);
    load_text(&db, "fine.csv", fine, &["--into", "plain"]).fails_naming(&["ts", "--evolve"]);
    load_text(&db, "fine.csv", fine, &["--into", "plain", "--evolve"]).ok();
    assert_eq!(rows("plain"), both);
}

#[test]
fn an_offset_counts_in_a_row_behind_those_that_told_the_types() {
    let db = empty();
    let mut text = "ts,v\n".to_owned();
    text.push_str(&"2024-08-08T11:30:00.123456789,1\n".repeat(30_000));
    text.push_str("2024-08-08T11:30:00.123456789+02:00,2\n");
    load_text(&db, "late.csv", &text, &["--into", "late"]).ok();
    assert_eq!(
        db.row("SELECT typeof(ts), ts::VARCHAR FROM late WHERE v = 2"),
        ["TIMESTAMP_NS", "2024-08-08 09:30:00.123456789"]
    );
}

#[test]
fn a_cast_reads_what_the_file_has_and_not_what_was_guessed_of_it() {
    let db = empty();
    let text = "p,code,at,id\n\
                1234567890.1234567891,1.50,2024-01-01T00:00:00Z,12345678901234567891\n\
                1.5,2.00,2024-01-01T00:00:01Z,0.0\n";
    let mut args = vec!["--into", "exact", "--cast", "p=DECIMAL(38,10)"];
    args.extend(["--cast", "code=VARCHAR", "--cast", "at=VARCHAR"]);
    args.extend(["--cast", "id=HUGEINT"]);
    load_text(&db, "exact.csv", text, &args).ok();
    assert_eq!(
        table(&db, "exact"),
        "p,code,at,id\n\
         1234567890.1234567891,1.50,2024-01-01T00:00:00Z,12345678901234567891\n\
         1.5000000000,2.00,2024-01-01T00:00:01Z,0\n"
    );
}

#[test]
fn a_cast_of_json_gets_the_number_that_is_written() {
    let db = empty();
    // By way of its DOUBLE it were 61685.989999999994298368.
    let text = "[{\"p\":61685.99,\"seen\":\"2024-01-01T00:00:00.123456789Z\",\"day\":\"2024-01-01\",\"list\":[1]},\n\
                {\"p\":1.5e-7,\"seen\":null,\"day\":null,\"list\":null}]";
    let mut args = vec!["--into", "exact", "--cast", "p=DECIMAL(38,18)"];
    args.extend(["--cast", "list=VARCHAR"]);
    load_text(&db, "exact.json", text, &args).ok();
    assert_eq!(
        table(&db, "exact"),
        "p,seen,day,list\n\
         61685.990000000000000000,2024-01-01 00:00:00.123456789,2024-01-01,[1]\n\
         0.000000150000000000,,,\n"
    );
    // What is not cast is read as ever.
    let types = "SELECT DISTINCT typeof(seen) || ' ' || typeof(day) FROM exact";
    assert_eq!(db.value(types), "TIMESTAMP_NS DATE");
}

#[test]
fn a_date_that_can_be_read_in_two_ways_is_asked_for() {
    let db = empty();
    let dated = |text: &str, args: &[&str]| {
        let text = format!("d,n\n{text}\n");
        let args = [&["--into", "dated"][..], args].concat();
        load_text(&db, "dated.csv", &text, &args)
    };
    for text in [
        "01/02/2024,1",
        "1-2-2024 09:30:00,1",
        "25/12/24,1",
        "01.02.24,1",
    ] {
        dated(text, &[]).fails_naming(&["dated.csv", "'d'", "two ways", "--date-format"]);
    }
    let said = ["--cast", "d=DATE", "--date-format", "%m/%d/%Y"];
    dated("01/02/2024,1", &said).ok();
    // A row further down tells it, or the way dates are written.
    dated("01/02/2024,2\n01/15/2024,3", &[]).ok();
    dated("01.02.2024,4", &[]).ok();
    dated("03/03/2024,5", &[]).ok();
    assert_eq!(
        table(&db, "dated"),
        "d,n\n2024-01-02,1\n2024-01-02,2\n2024-01-15,3\n2024-02-01,4\n2024-03-03,5\n"
    );
}

#[test]
fn times_too_far_away_for_nanoseconds_are_kept_to_the_microsecond() {
    let db = empty();
    let text = "since,until,n\n1600-01-01 00:00:00.123456,9999-12-31 00:00:00,1\n\
                2024-01-01 00:00:00,2024-06-01 12:00:00,2\n";
    load_text(&db, "far.csv", text, &["--into", "far"]).ok();
    assert_eq!(
        db.row("SELECT typeof(since), since::VARCHAR, until::VARCHAR FROM far WHERE n = 1"),
        [
            "TIMESTAMP",
            "1600-01-01 00:00:00.123456",
            "9999-12-31 00:00:00"
        ]
    );
    // Where that would lose something they stay as they are written.
    for (into, other) in [
        ("finer", "2024-01-01 00:00:00.123456789"),
        ("zoned", "2024-01-01 00:00:00+02:00"),
    ] {
        let text = format!(
            "t,n\n{}{other},2\n",
            "9999-12-31 00:00:00,1\n".repeat(30_000)
        );
        load_text(&db, "far.csv", &text, &["--into", into]).ok();
        let query = format!("SELECT t::VARCHAR FROM {into} WHERE n = 2");
        assert_eq!(db.value(&query), other);
    }
}

#[test]
fn a_row_behind_those_that_told_the_types_is_not_rounded_or_cut_off() {
    let db = empty();
    for (name, first, last, expected) in [
        ("price", "100", "12.75", ["DOUBLE", "12.75"]),
        ("short", "100", "1e3", ["DOUBLE", "1000.0"]),
        ("code", "600000", "000001", ["VARCHAR", "000001"]),
        (
            "day",
            "2024-01-01",
            "2024-02-01 12:34:56",
            ["TIMESTAMP_NS", "2024-02-01 12:34:56"],
        ),
        (
            "id",
            "1",
            "18446744073709551615",
            ["HUGEINT", "18446744073709551615"],
        ),
        ("same", "1", "-2", ["BIGINT", "-2"]),
    ] {
        let text = format!("a,n\n{}{last},2\n", format!("{first},1\n").repeat(30_000));
        load_text(&db, &format!("{name}.csv"), &text, &["--into", name]).ok();
        let query = format!("SELECT typeof(a), a::VARCHAR FROM {name} WHERE n = 2");
        assert_eq!(db.row(&query), expected, "{name}");
    }
}

#[test]
fn names_that_are_empty_or_years_are_names() {
    let db = empty();
    for (into, text, expected) in [
        ("indexed", ",price\n0,1.5\n", "column0,price\n0,1.5\n"),
        ("trailed", "a,b,\n1,2,\n", "a,b,column2\n1,2,\n"),
        (
            "years",
            "name,2023,2024\nA,1,2\n",
            "name,2023,2024\nA,1,2\n",
        ),
    ] {
        load_text(&db, "t.csv", text, &["--into", into]).ok();
        assert_eq!(table(&db, into), expected);
    }
    // Of a canonical table, too.
    let text = ",ts,symbol,price,size\n0,2024-01-01 00:00:00,X,1.5,2\n";
    load_text(&db, "indexed.csv", text, &["--venue", "v"]).ok();
    assert_eq!(db.row("SELECT symbol, price FROM trades"), ["X", "1.5"]);
}

#[test]
fn no_line_is_passed_over_for_its_number_of_fields_or_a_number_sign() {
    let db = empty();
    let into = ["--into", "mine"];
    for (name, text, part) in [
        ("wider.csv", "a,b\n1,2,3\n4,5,6\n", "--delimiter"),
        ("longer.csv", "a,b\n1,2\n3,4,5\n6,7\n", "--delimiter"),
        ("first.csv", "x,1\ny,2,3\nz,4,5\n", "--delimiter"),
    ] {
        let run = load_text(&db, name, text, &into).fails_naming(&[name, "fields", part]);
        assert!(run.stderr.contains("Nothing of it was loaded"), "{run}");
    }
    let late = format!("a,b\n{}3,4,5\n", "1,2\n".repeat(30_000));
    load_text(&db, "late.csv", &late, &into).fails_naming(&["late.csv", "30002", "Mend that line"]);
    let signs = "a,b\n1,x#y\n#2,z\n";
    load_text(&db, "signs.csv", signs, &into).ok();
    // DuckDB puts what has such a sign in quotes.
    assert_eq!(table(&db, "mine"), "a,b\n1,\"x#y\"\n\"#2\",z\n");
    // A title above the names is none of the rows.
    load_text(
        &db,
        "title.csv",
        "Prices\na,b\n1,2\n",
        &["--into", "titled"],
    )
    .ok();
    assert_eq!(table(&db, "titled"), "a,b\n1,2\n");
}

/// Puts a file into folders beside the database.
fn write_below(db: &Db, folders: &str, name: &str, text: &str) {
    let folder = db.beside(folders);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_partitioned_export_is_loaded_back_as_the_table_that_it_was() {
    let db = empty();
    let query = "SELECT CASE i % 3 WHEN 0 THEN '7203' WHEN 1 THEN 'a/b c=d' END AS symbol, \
                 DATE '2024-01-01' + (i % 2)::INTEGER AS day, make_timestamp_ns(i % 2) AS ts, 1.5 AS price \
                 FROM range(12) t(i)";
    let path = db.beside("parts");
    let path = path.to_str().unwrap();
    db.run(["export", query, path, "--partition-by", "symbol,day,ts"])
        .ok();
    db.run(["load", path, "--into", "back"]).ok();
    let lost = format!(
        "SELECT count(*) FROM ({query} EXCEPT ALL SELECT symbol, day, ts, price FROM back)"
    );
    assert_eq!(
        (db.count("SELECT count(*) FROM back"), db.count(&lost)),
        (12, 0)
    );
    assert_eq!(
        db.row("SELECT typeof(symbol), typeof(day), typeof(ts) FROM back LIMIT 1"),
        ["VARCHAR", "DATE", "TIMESTAMP_NS"]
    );
}

#[test]
fn folders_of_others_are_columns_if_all_files_lie_in_such() {
    let db = empty();
    let loaded = |folder: &str| {
        let (folder, into) = (db.beside(folder), folder.to_owned());
        db.run(["load", folder.to_str().unwrap(), "--into", &into])
            .ok();
        table(&db, &format!("(FROM {into} ORDER BY ALL)"))
    };
    // The same content in two folders is no repetition.
    write_below(&db, "csv/k=A/n=1", "t.csv", "x\n1\n");
    write_below(&db, "csv/k=B/n=1", "t.csv", "x\n1\n");
    assert_eq!(loaded("csv"), "x,k,n\n1,A,1\n1,B,1\n");
    write_below(
        &db,
        "json/k=A",
        "t.ndjson",
        "{\"x\":\"2024-01-01T00:00:00.000000001Z\"}\n",
    );
    assert_eq!(loaded("json"), "x,k\n2024-01-01 00:00:00.000000001,A\n");
    // A column of the file's own is the one to go by.
    write_below(&db, "own/k=A", "t.csv", "k,x\nB,1\n");
    assert_eq!(loaded("own"), "k,x\nB,1\n");
    write_below(&db, "mixed/k=A", "t.csv", "x\n1\n");
    write_below(&db, "mixed", "u.csv", "x\n2\n");
    assert_eq!(loaded("mixed"), "x\n1\n2\n");
    // Of a canonical table, too.
    write_below(
        &db,
        "trades/symbol=X",
        "t.csv",
        "ts,price,size\n2024-01-01 00:00:00,1.5,2\n",
    );
    let path = db.beside("trades");
    db.run(["load", path.to_str().unwrap(), "--venue", "v"])
        .ok();
    assert_eq!(db.row("SELECT symbol, price FROM trades"), ["X", "1.5"]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_loaded() {
    let db = empty();
    write_below(&db, "dir", "a.csv", "x\n1\n");
    write_below(&db, "dir/inner", "b.csv", "x\n2\n");
    symlink("nowhere.csv", db.beside("dir/dangling.csv")).unwrap();
    symlink("itself", db.beside("dir/itself")).unwrap();
    symlink("..", db.beside("dir/inner/loop")).unwrap();
    let made = Command::new("mkfifo").arg(db.beside("dir/pipe")).status();
    assert!(made.unwrap().success());
    db.write("c.csv", b"x\n3\n");
    let files = ["missing.csv", "dir", "none*.csv", "c.csv"];
    let args = ["load", "--into", "mine"].into_iter().chain(files);
    db.run(args).fails_naming(&[
        "missing.csv",
        "none*.csv",
        "dangling.csv",
        "itself",
        "loop",
        "pipe",
        "write what comes out of it to a file",
    ]);
    assert_eq!(table(&db, "(FROM mine ORDER BY x)"), "x\n1\n2\n3\n");
    db.run(["load", "missing.csv", "--into", "mine"])
        .fails_naming(&["missing.csv"]);
}

#[test]
fn a_shape_for_a_column_that_is_not_there_is_an_error() {
    let db = empty();
    for args in [["--rename", "Clothes=px"], ["--cast", "Clothes=DOUBLE"]] {
        let args = [&["--into", "mine"][..], &args[..]].concat();
        load_text(&db, "prices.csv", PRICES, &args).fails_naming(&["Clothes", "Close Price"]);
    }
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'";
    assert_eq!(db.count(tables), 0);
}

#[test]
fn append_skip_replace_and_fail_do_what_they_say_with_a_table_of_ones_own() {
    let db = empty();
    let other = "Date,Close Price,Vol,Name\n2024-01-03,3.5,30,z\n";
    let mine = |name: &str, text: &str, how: &str| {
        load_text(&db, name, text, &["--into", "mine", "--if-exists", how])
    };
    let count = || db.count("SELECT count(*) FROM mine");
    mine("prices.csv", PRICES, "fail").ok();
    mine("other.csv", other, "fail").fails_naming(&["mine", "--if-exists"]);
    assert_eq!(count(), 2);
    let run = mine("prices.csv", PRICES, "skip").ok();
    assert!(
        run.stdout.contains("already loaded, nothing added"),
        "{run}"
    );
    assert_eq!(count(), 2);
    mine("other.csv", other, "skip").ok();
    assert_eq!(count(), 3);
    mine("prices.csv", PRICES, "append").ok();
    assert_eq!(count(), 5);
    mine("other.csv", other, "replace").ok();
    assert_eq!(table(&db, "mine"), other);
    // The old one goes only if the new one comes.
    mine("header.csv", "Date,Close Price,Vol,Name\n", "replace").fails_naming(&["header.csv"]);
    assert_eq!(table(&db, "mine"), other);
    // What was replaced may come again.
    mine("prices.csv", PRICES, "skip").ok();
    assert_eq!(count(), 3);
    // A name is the same in any case.
    let run = load_text(&db, "prices.csv", PRICES, &["--into", "MINE"]).ok();
    assert!(run.stdout.contains("already loaded"), "{run}");
    let replace = ["--into", "MINE", "--if-exists", "replace"];
    load_text(&db, "other.csv", other, &replace).ok();
    mine("prices.csv", PRICES, "skip").ok();
    assert_eq!(count(), 3);
    // What was in a table that is gone is not in the next one of its name.
    db.run(["sql", "--write", "DROP TABLE mine"]).ok();
    mine("other.csv", other, "skip").ok();
    mine("prices.csv", PRICES, "skip").ok();
    assert_eq!(count(), 3);
}

#[test]
fn a_file_that_has_grown_brings_its_new_rows_into_a_table_of_ones_own() {
    let db = empty();
    for (name, first, rows) in [
        (
            "days.csv",
            "day,px\n",
            ["2024-01-01,1\n", "2024-01-02,2\n", "2024-01-03,3\n"],
        ),
        (
            "days.ndjson",
            "",
            [
                "{\"day\":\"2024-01-01\",\"px\":1}\n",
                "{\"day\":\"2024-01-02\",\"px\":2}\n",
                "{\"day\":\"2024-01-03\",\"px\":3}\n",
            ],
        ),
    ] {
        let into = name.replace('.', "_");
        let mut text = first.to_owned();
        for (known, row) in rows.into_iter().enumerate() {
            text.push_str(row);
            let run = load_text(&db, name, &text, &["--into", &into]).ok();
            let told = format!("{name}: 1 rows into {into}");
            assert!(run.stdout.contains(&told), "{run}");
            let says_known = run.stdout.contains(&format!("{known} known"));
            assert_eq!(says_known, known > 0, "{run}");
        }
        let run = load_text(&db, name, &text, &["--into", &into]).ok();
        assert!(run.stdout.contains("already loaded"), "{run}");
        let all = db.sql(&format!("SELECT day::DATE, px FROM {into} ORDER BY px"));
        let days = ["2024-01-01", "2024-01-02", "2024-01-03"];
        assert_eq!(all, [[days[0], "1"], [days[1], "2"], [days[2], "3"]]);
    }
    // Another file of that name is another file.
    let other = "day,px\n2024-02-01,1\n";
    load_text(&db, "days.csv", other, &["--into", "days_csv"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM days_csv"), 4);
    // What was in the middle of a row is no row.
    let cut = |text: &str| load_text(&db, "cut.csv", text, &["--into", "cut"]);
    cut("a,b\n1,2").ok();
    cut("a,b\n1,23\n4,5\n").fails_naming(&["cut.csv", "row 1", "--if-exists replace"]);
    cut("a,b\n1,2\n4,5\n").ok();
    assert_eq!(table(&db, "cut"), "a,b\n1,2\n4,5\n");
}

#[test]
fn no_table_takes_the_place_of_what_mdb_makes() {
    let db = empty();
    let relations = "SELECT table_name, table_type FROM information_schema.tables ORDER BY ALL";
    let before = db.sql(relations);
    for (into, made) in [
        ("ohlcv_1m", "a mart"),
        ("OHLCV_1M", "a mart"),
        ("latest", "a view"),
        ("Trades", "a view"),
    ] {
        for how in ["replace", "append", "skip"] {
            let args = ["--into", into, "--if-exists", how];
            load_text(&db, "prices.csv", PRICES, &args).fails_naming(&[into, made, "--into"]);
        }
    }
    assert_eq!(db.sql(relations), before);
    assert_eq!(db.count("SELECT count(*) FROM ohlcv_1m"), 0);
}

#[test]
fn several_files_replace_a_table_together() {
    let db = empty();
    let header = "Date,Close Price,Vol,Name";
    load_text(&db, "prices.csv", PRICES, &["--into", "mine"]).ok();
    for (name, row) in [
        ("a.csv", "2024-01-03,3.5,30,z"),
        ("b.csv", "2024-01-04,4.5,40,w"),
    ] {
        db.write(name, &join_lines([header, row]));
    }
    db.run([
        "load",
        "a.csv",
        "b.csv",
        "--into",
        "mine",
        "--if-exists",
        "replace",
    ])
    .ok();
    assert_eq!(
        table(&db, "mine"),
        format!("{header}\n2024-01-03,3.5,30,z\n2024-01-04,4.5,40,w\n")
    );
}

#[test]
fn a_table_of_ones_own_changes_only_if_asked() {
    let db = empty();
    let mine = |name: &str, text: &str, more: &[&str]| {
        load_text(&db, name, text, &[&["--into", "mine"][..], more].concat())
    };
    mine("prices.csv", PRICES, &[]).ok();
    let wider = "Date,Close Price,Vol,Name,Extra\n2024-01-03,3.5,30.5,z,7\n";
    let parts = [
        "before",
        "now",
        "Vol BIGINT",
        "Vol DOUBLE",
        "Extra BIGINT",
        "--evolve",
    ];
    mine("wider.csv", wider, &[]).fails_naming(&parts);
    assert_eq!(table(&db, "mine"), PRICES);
    mine("wider.csv", wider, &["--evolve"]).ok();
    mine("narrower.csv", "Date,Vol\n2024-01-04,4\n", &["--evolve"]).ok();
    let unlike = "Date,Vol\n2024-01-05,many\n";
    mine("unlike.csv", unlike, &["--evolve"]).fails_naming(&["unlike.csv", "Vol"]);
    assert_eq!(
        table(&db, "mine"),
        "Date,Close Price,Vol,Name,Extra\n2024-01-01,1.23456,10.0,x,\n2024-01-02,2.34567,20.0,y,\n\
         2024-01-03,3.5,30.5,z,7\n2024-01-04,,4.0,,\n"
    );
}

// How a file is run.

#[test]
fn explain_tells_rows_memory_and_chunks_and_loads_nothing() {
    let db = empty();
    let parquet = export(&db, ROWS, "t.parquet");
    let run = load(&db, &parquet, &["--venue", "v", "--explain"]).ok();
    for part in ["t.parquet", " 2000 rows", "memory", "threads", "chunk"] {
        assert!(run.stdout.contains(part), "no {part:?}\n{run}");
    }
    assert!(!run.stdout.contains("about 2000"), "{run}");

    let file = db.write("trades.csv", &csv(&trades(200_000, 2)));
    let mut args = LITTLE_MEMORY.to_vec();
    args.extend(["--explain", "--threads", "1"]);
    let run = load(&db, &file, &args).ok();
    for part in [
        "about ",
        "--memory-limit",
        "1 to read",
        "streaming",
        " chunks",
    ] {
        assert!(run.stdout.contains(part), "no {part:?}\n{run}");
    }
    load(&db, &file, &["--into", "mine", "--explain"]).ok();
    let text = "a,b\n1,2\n";
    load_text(&db, "other.csv", text, &["--explain"]).fails_naming(&["other.csv", "a, b"]);
    assert_no_trace(&db);
    let loads = "SELECT (SELECT count(*) FROM ops.file_loads), \
                 (SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine')";
    assert_eq!(db.row(loads), ["0", "0"]);
}

#[test]
fn a_file_larger_than_the_memory_given_is_loaded_in_it() {
    let db = empty();
    let rows = "SELECT make_timestamp_ns(1704067200000000000 + i * 288000000::BIGINT) AS ts, \
                'SYM' || lpad((hash(i) % 20)::VARCHAR, 2, '0') AS symbol, 'exchange-trade-' || i AS trade_id, \
                100 + (hash(i, 1) % 100000) / 1000 AS price, (1 + hash(i, 2) % 1000) / 100 AS size, \
                if(i % 2 = 0, 'buy', 'sell') AS side FROM range(1500000) t(i)";
    let file = export(&db, rows, "large.csv");
    assert!(fs::metadata(&file).unwrap().len() > 96 << 20);
    let mut command = db.command();
    command.arg("load").arg(&file).args(LITTLE_MEMORY);
    let live = Live::spawn(command);
    let mut peak = 0;
    poll("the load to end", || match live.peak_bytes() {
        Some(bytes) => {
            peak = bytes;
            false
        }
        None => true,
    });
    live.finish().ok();
    if peak == 0 {
        eprintln!("skipped: no /proc to see how much memory a process has");
    }
    // The program itself takes 100 MB of it.
    assert!(peak < 256 << 20, "{} MB at most", peak >> 20);
    let sums = |from: &str| {
        db.row(&format!(
            "SELECT count(*), sum(hash(symbol, ts, trade_id, price, size, side)) FROM {from}"
        ))
    };
    assert_eq!(sums("trades"), sums(&format!("({rows})")));
    let left = strays(&db);
    assert!(left.is_empty(), "{left:?}");
}

// Ends that come too early.

#[test]
fn a_kill_during_a_load_loses_and_doubles_nothing() {
    const ROUNDS: u64 = 10;
    const SEED: u64 = 404;
    let blank = empty();
    let file = blank.write("trades.csv", &csv(&trades(300_000, 5)));
    let clean = blank.copy();
    let mut length = load(&clean, &file, &LITTLE_MEMORY).ok().elapsed;
    let names = |db: &Db| db.lake().into_keys().collect::<Vec<String>>();
    let (sums, lake) = (clean.checksums(), names(&clean));
    assert_eq!(sums["trades"].0, 300_000);
    let mut rng = Rng(SEED);
    let mut hits = 0;
    for round in 0..ROUNDS {
        let what = format!("seed {SEED}, round {round}");
        let db = blank.copy();
        let mut command = db.command();
        command.arg("load").arg(&file).args(LITTLE_MEMORY);
        let moment = length.mul_f64(rng.below(1_000) as f64 / 1_000.0);
        hits += u64::from(Live::spawn(command).kill_after(moment));
        // What a reader sees in between is all or nothing.
        let seen = db.count("SELECT count(*) FROM trades");
        assert!([0, 300_000].contains(&seen), "{what}: {seen} rows");
        let run = load(&db, &file, &LITTLE_MEMORY).ok();
        if seen == 0 {
            // The first one may have been slow for reasons of its own.
            length = length.min(run.elapsed);
        }
        assert_eq!(db.checksums(), sums, "{what}");
        assert_eq!(names(&db), lake, "{what}");
        let left = strays(&db);
        assert!(left.is_empty(), "{what}: {left:?}");
        db.assert_sound();
    }
    eprintln!("{hits} kills hit a running load in {ROUNDS} rounds of seed {SEED}");
    assert!(hits >= ROUNDS / 3, "the test proves little");
}

#[test]
fn what_a_kill_leaves_of_an_archive_is_swept() {
    let db = empty();
    let text = csv(&trades(300_000, 5));
    let file = db.write("trades.zip", &zipped(&[("trades.csv", &text[..])]));
    let mut command = db.command();
    command.arg("load").arg(&file).args(LITTLE_MEMORY);
    let live = Live::spawn(command);
    poll("a member to be unpacked", || {
        strays(&db).iter().any(|name| name.contains("unpacked"))
    });
    live.kill();
    load(&db, &file, &LITTLE_MEMORY).ok();
    assert_eq!(figures(&db, "v")[..2], ["300000", "300000"]);
    let left = strays(&db);
    assert!(left.is_empty(), "{left:?}");
    db.assert_sound();
}

#[test]
fn a_load_that_is_interrupted_leaves_nothing() {
    let db = empty();
    let rows = "SELECT make_timestamp_ns(1704067200000000000 + i * 400000000::BIGINT) AS ts, 'S' || i % 20 AS symbol, \
                i::VARCHAR AS trade_id, hash(i) / 1e9 AS price, hash(i, 1) / 1e9 AS size FROM range(1500000) t(i)";
    let file = export(&db, rows, "large.parquet");
    let mut command = db.command();
    command.arg("load").arg(file).args(LITTLE_MEMORY);
    let live = Live::spawn(command);
    poll("a file of the lake to be begun", || {
        strays(&db).iter().any(|name| name.starts_with("lake/"))
    });
    live.interrupt();
    let run = live.finish().exits(130);
    assert!(run.stdout.contains("nothing of it was kept"), "{run}");
    assert_no_trace(&db);
    db.assert_sound();
}

#[test]
fn a_rebuild_keeps_what_vendors_files_brought() {
    let db = empty();
    let capture = synthetic::capture(405, 3_000);
    let file = db.write("capture.txt", &capture.bytes());
    synthetic::load(&db, &file).ok();
    let file = db.write("bad.csv", &with_bad_lines());
    load(&db, &file, &["--venue", "v"]).ok();
    let bars = "ts,symbol,interval,open,high,low,close\n2024-01-01,A,1d,1,2,0.5,1.5\n";
    load_text(&db, "bars.csv", bars, &["--venue", "v"]).ok();
    let before = db.checksums();
    assert_eq!(before["trades"].0, capture.trades + 12);
    assert_eq!((before["bars"].0, before["dead_letters"].0), (1, 12));

    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before, "rows are hot");
    db.run(["seal", "--all"]).ok();
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before, "rows are sealed");
    let run = load(&db, &file, &["--venue", "v"]).ok();
    assert!(
        run.stdout.contains("already loaded, nothing added"),
        "{run}"
    );
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn years_of_days_are_loaded_with_few_files_open() {
    const YEAR_MS: u64 = 31_557_600_000;
    let db = empty();
    // A week of each year: too few dates to say that there are few rows a date, so that each is a file.
    let days: Vec<String> = (0..50)
        .flat_map(|year| (0..7).map(move |day| (year, day)))
        .map(|(year, day)| {
            let ms = START_MS + year * YEAR_MS + (40 + day) * DAY_MS;
            format!("{ms},A,{year}-{day},1.5,1,buy")
        })
        .collect();
    let file = db.write("years.csv", &csv(&days));
    let limited = format!(
        "ulimit -n 128 && exec '{}' --db '{}' load '{}' --venue v",
        env!("CARGO_BIN_EXE_mdb"),
        db.dir().display(),
        file.display()
    );
    let run = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert_eq!(figures(&db, "v")[0], "350");
    assert_eq!(db.lake().len(), 350);
}
