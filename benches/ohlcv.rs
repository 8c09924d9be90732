//! `ohlcv` beside the same bars in hand-written SQL, in turns: one-minute bars of 5 million trades of a symbol, without
//! trade ids and with them.
//!
//! `cargo bench --bench ohlcv`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench that cannot run must stop, and says what it found"
)]

mod timing;
mod vendor;

use duckdb::Connection;
use mdb::config::Settings;
use mdb::store::{Purpose, Store, open_reader};
use timing::{ask_ms, median};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 15;

const MACRO: &str = "FROM ohlcv('BTCUSDT', '1 minute')";

/// Open and close by the trade's time alone: which of several at once they are may change from run to run.
const BY_HAND: &str =
    "SELECT venue, symbol, time_bucket(INTERVAL 1 minute, ts) AS bar,
            arg_min(price, ts) AS open, max(price) AS high, min(price) AS low, arg_max(price, ts) AS close,
            sum(size) AS volume, sum(price * size) AS quote_volume, count(*) AS trades,
            sum(price * size) / sum(size) AS vwap,
            sum(size) FILTER (side = 'buy') AS buy_volume, sum(size) FILTER (side = 'sell') AS sell_volume
     FROM trades WHERE symbol = 'BTCUSDT' GROUP BY ALL";

fn main() {
    for (what, id) in [("without ids", "NULL"), ("with ids", "(4000000000 + i)")] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::load(&dir.path().join("db")).unwrap();
        let file = dir.path().join("trades.parquet");
        write(&file.display().to_string(), id);
        let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
        vendor::load(&mut store, &file, dir.path(), Some("trades"));
        store.close().unwrap();

        let conn = open_reader(&settings, false).unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(ask_ms(&conn, MACRO));
            theirs.push(ask_ms(&conn, BY_HAND));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{what}: {ours:.0} ms, by hand {theirs:.0} ms; ratio {:.2}",
            ours / theirs
        );
    }
}

/// Trades of a day, some of them at the same time.
fn write(path: &str, id: &str) {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(&format!(
        "COPY (SELECT make_timestamp_ns(1723075200000000000 + i // 2 * 34560000) AS ts, 'BTCUSDT' AS symbol,
                      {id}::VARCHAR AS trade_id, round(60000 + 10 * sin(i / 1e4) + hash(i) % 100 / 10, 1) AS price,
                      (1 + hash(i, 'size') % 1000) / 1000 AS size, IF(hash(i, 'side') % 2 = 0, 'buy', 'sell') AS side
               FROM range(5000000) t(i)) TO '{path}' (FORMAT parquet)"
    ))
    .unwrap();
}
