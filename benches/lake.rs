//! Questions to the lake beside the same questions to Parquet that plain DuckDB's COPY wrote of the same rows by date, in
//! turns: trades and quotes of 50 symbols in three days.
//!
//! `cargo bench --bench lake`. `MDB_BENCH_ROWS` says how many trades there are, and as many quotes: 24 million if unset.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench that cannot run must stop, and says what it found"
)]

mod timing;
mod vendor;

use std::path::Path;

use duckdb::Connection;
use mdb::config::Settings;
use mdb::store::{Purpose, Store, open_reader};
use timing::{ask_ms, median};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 21;

/// Over the relations `trades` and `quotes`; `DAY` is a condition of one symbol's day.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "vwap of a symbol's day",
        "SELECT sum(price * size) / sum(size) FROM trades WHERE DAY",
    ),
    (
        "one-minute bars of a symbol's day",
        "SELECT date_trunc('minute', ts) AS bar, arg_min(price, ts), max(price), min(price), arg_max(price, ts), sum(size)
         FROM trades WHERE DAY GROUP BY bar ORDER BY bar",
    ),
    (
        "quotes in force at the trades of a symbol's day",
        "SELECT count(*), avg(t.price - (q.bid_price + q.ask_price) / 2)
         FROM (FROM trades WHERE DAY) t ASOF JOIN (FROM quotes WHERE DAY) q ON t.ts >= q.ts",
    ),
    (
        "last price of each symbol",
        "SELECT symbol, arg_max(price, ts) FROM trades GROUP BY symbol",
    ),
    (
        "turnover of all trades",
        "SELECT sum(price * size) FROM trades",
    ),
];

fn main() {
    let rows: u64 =
        std::env::var("MDB_BENCH_ROWS").map_or(24_000_000, |rows| rows.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::load(&dir.path().join("db")).unwrap();
    write(dir.path(), rows);
    let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
    for table in ["trades", "quotes"] {
        let file = dir.path().join(format!("{table}.parquet"));
        vendor::load(&mut store, &file, dir.path(), Some(table));
    }
    store.close().unwrap();

    let lake = open_reader(&settings, false).unwrap();
    let plain = Connection::open_in_memory().unwrap();
    for table in ["trades", "quotes"] {
        plain
            .execute_batch(&format!(
                "CREATE VIEW {table} AS FROM read_parquet('{}/{table}/*/*.parquet')",
                dir.path().display()
            ))
            .unwrap();
    }
    let day = "symbol = 'SYM07USDT' AND ts >= '2024-08-02' AND ts < '2024-08-03'";
    for (what, question) in QUESTIONS {
        let question = question.replace("DAY", day);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(ask_ms(&lake, &question));
            theirs.push(ask_ms(&plain, &question));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{rows} rows, {what}: {ours:.1} ms, of plain files {theirs:.1} ms; ratio {:.2}",
            ours / theirs
        );
    }
}

/// Trades, and quotes around them, as files for both and by date as plain DuckDB writes them.
fn write(dir: &Path, rows: u64) {
    let conn = Connection::open_in_memory().unwrap();
    let at = dir.display();
    let trades = include_str!("make_trades.sql")
        .replace("'trades.parquet'", &format!("'{at}/trades.parquet'"));
    conn.execute_batch(&format!(
        "SET VARIABLE rows = {rows}; SET VARIABLE days = 3; {trades};
         COPY (SELECT ts, symbol, price - 0.01 AS bid_price, size AS bid_size, price + 0.01 AS ask_price, size AS ask_size
               FROM '{at}/trades.parquet') TO '{at}/quotes.parquet' (FORMAT parquet);
         COPY (SELECT *, ts::DATE AS date FROM '{at}/trades.parquet') TO '{at}/trades' (FORMAT parquet, PARTITION_BY (date));
         COPY (SELECT *, ts::DATE AS date FROM '{at}/quotes.parquet') TO '{at}/quotes' (FORMAT parquet, PARTITION_BY (date))"
    ))
    .unwrap();
}
