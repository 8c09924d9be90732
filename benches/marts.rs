//! What it costs to keep marts up to date, and what they save.
//!
//! `cargo bench --bench marts [-- ROWS…]` (default 1 and 50 million trades that are there already, of 50 symbols that have a
//! million a day, as a liquid one has): bringing `ohlcv_1s` and `ohlcv_1m` up to date after a commit of 10,000 new trades;
//! one symbol's day of one-minute bars from the mart, and the same from trades.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench that cannot run must stop, and says what it found"
)]

mod vendor;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use duckdb::Connection;
use mdb::config::Settings;
use mdb::sources::capture::Capture;
use mdb::store::{Load, Purpose, Store};
use mdb::transform::build::{Builder, Request};

/// As the binary does.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const NEW: u64 = 10_000;
const ROUNDS: u64 = 21;
/// Trades of a day, of all symbols.
const PER_DAY: f64 = 5e7;
/// After the last of the trades that are there, ns.
const AFTER_NS: u64 = 1_725_062_400_000_000_000;

fn main() {
    let mut sizes: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    if sizes.is_empty() {
        sizes = vec![1_000_000, 50_000_000];
    }
    for rows in sizes {
        measure(rows);
    }
}

fn measure(rows: u64) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::load(&dir.path().join("db")).unwrap();
    let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
    fill(&mut store, dir.path(), rows);
    let mut builder = Builder::new(store.modeler().unwrap());
    let start = Instant::now();
    build(&mut builder, true);
    println!(
        "{rows} trades: full build of ohlcv_1s and ohlcv_1m {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            add(&mut store, dir.path(), round);
            let start = Instant::now();
            build(&mut builder, false);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{rows} trades: up to date after {NEW} new ones in {:.1} ms (median of {ROUNDS}, {:.1} to {:.1})",
        took[took.len() / 2],
        took[0],
        took[took.len() - 1]
    );
    let readers = store.readers().unwrap();
    let reader = readers.open().unwrap();
    let day = "'2024-08-01', '2024-08-02'";
    let mart = "FROM ohlcv_1m WHERE symbol = 'SYM07USDT' AND ts >= '2024-08-01' AND ts < '2024-08-02' ORDER BY ts";
    let (mart, plain) = (
        median(&reader.connection, mart),
        median(
            &reader.connection,
            &format!("FROM ohlcv('SYM07USDT', '1 minute', {day}) ORDER BY ts"),
        ),
    );
    println!(
        "{rows} trades: a symbol's day of one-minute bars {mart:.2} ms, from trades {plain:.2} ms; ratio {:.1}",
        plain / mart
    );
}

/// Trades in the lake.
fn fill(store: &mut Store, dir: &Path, rows: u64) {
    let conn = Connection::open_in_memory().unwrap();
    let file = dir.join("trades.parquet");
    let sql = include_str!("make_trades.sql")
        .replace("'trades.parquet'", &format!("'{}'", file.display()));
    let days = rows as f64 / PER_DAY;
    conn.execute_batch(&format!(
        "SET VARIABLE rows = {rows}; SET VARIABLE days = {days}; {sql}"
    ))
    .unwrap();
    vendor::load(store, &file, dir, None);
    std::fs::remove_file(file).unwrap();
}

/// New trades in the database file, one a millisecond.
fn add(store: &mut Store, dir: &Path, round: u64) {
    let mut lines = String::new();
    for i in round * NEW..(round + 1) * NEW {
        let (ns, ms) = (AFTER_NS + i * 1_000_000, (AFTER_NS / 1_000_000) + i);
        writeln!(
            lines,
            r#"{ns} {{"stream":"x@trade","data":{{"e":"trade","E":{ms},"s":"SYM{:02}","t":{i},"p":"{}.5","q":"0.1","T":{ms},"m":true,"M":true}}}}"#,
            i % 50,
            100 + i % 7
        )
        .unwrap();
    }
    let file = dir.join("new");
    std::fs::write(&file, lines).unwrap();
    let load = Load {
        venue: "binance_spot",
        symbol: Some("X"),
        file: &file,
    };
    let capture = Capture::open(&file).unwrap();
    store
        .load(&load, capture, &AtomicBool::new(false), |_| {})
        .unwrap();
}

fn build(builder: &mut Builder, full: bool) {
    let request = Request {
        names: vec!["ohlcv_1m".to_owned()],
        full,
        ..Request::default()
    };
    let told =
        &mut |built: mdb::transform::build::Built| assert!(built.error.is_none(), "{built:?}");
    builder
        .build(&request, &AtomicBool::new(false), told)
        .unwrap();
}

/// Of 15 runs, ms.
fn median(conn: &Connection, sql: &str) -> f64 {
    let mut took: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            let mut statement = conn.prepare(sql).unwrap();
            let rows: usize = statement
                .query_arrow([])
                .unwrap()
                .map(|batch| batch.num_rows())
                .sum();
            assert!(rows > 0, "{sql}");
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
