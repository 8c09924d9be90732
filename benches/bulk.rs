//! Vendors' files into the lake, clustered by symbol, beside plain DuckDB's COPY of the same file by date, unclustered.
//!
//! `cargo bench --bench bulk`. `MDB_BENCH_ROWS` says how many trades the file has: 10 million if unset.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]

mod vendor;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use duckdb::Connection;
use mdb::config::Settings;
use mdb::store::{Purpose, Store};
use tempfile::TempDir;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

fn rows() -> u64 {
    std::env::var("MDB_BENCH_ROWS").map_or(10_000_000, |rows| rows.parse().unwrap())
}

/// 244 million trades are one file of 2.5 GB, made once.
fn files() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let conn = Connection::open_in_memory().unwrap();
        let sql = include_str!("make_trades.sql").replace(
            "'trades.parquet'",
            &format!("'{}/trades.parquet'", dir.path().display()),
        );
        conn.execute_batch(&format!("SET VARIABLE rows = {}; {sql}", rows()))
            .unwrap();
        let at = dir.path().display();
        let wide: Vec<String> = (0..21)
            .map(|i| format!("price * {i} AS extra_{i}"))
            .collect();
        conn.execute_batch(&format!(
            "COPY (FROM '{at}/trades.parquet' LIMIT 1000000) TO '{at}/million.csv';
             COPY (SELECT *, {} FROM '{at}/trades.parquet' LIMIT 1000000) TO '{at}/wide.parquet'",
            wide.join(", ")
        ))
        .unwrap();
        dir
    });
    made.path()
}

fn load(bencher: Bencher, file: &str, rows: u64, into: Option<&str>) {
    let path = files().join(file);
    bencher
        .counter(ItemsCount::new(rows))
        .with_inputs(|| {
            let dir = tempfile::tempdir().unwrap();
            let settings = Settings::load(dir.path()).unwrap();
            (Store::open(&settings, Purpose::Ingest).unwrap(), dir)
        })
        .bench_local_values(|(mut store, dir)| {
            vendor::load(&mut store, &path, dir.path(), into);
            (store, dir)
        });
}

/// Plain DuckDB, with the memory that a load of ours may take.
fn plain(bencher: Bencher, rows: u64, sql: impl Fn(&Path, &Path) -> String) {
    let from: PathBuf = files().to_owned();
    bencher
        .counter(ItemsCount::new(rows))
        .with_inputs(|| {
            let dir = tempfile::tempdir().unwrap();
            let conn = Connection::open(dir.path().join("plain.duckdb")).unwrap();
            conn.execute_batch("SET memory_limit = '512MB'").unwrap();
            (conn, dir)
        })
        .bench_local_values(|(conn, dir)| {
            conn.execute_batch(&sql(&from, dir.path())).unwrap();
            (conn, dir)
        });
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn trades_parquet_into_the_lake(bencher: Bencher) {
    load(bencher, "trades.parquet", rows(), None);
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn trades_parquet_plain_copy_by_date(bencher: Bencher) {
    plain(bencher, rows(), |from, to| {
        format!(
            "COPY (SELECT *, ts::DATE AS date FROM '{}/trades.parquet') TO '{}/out' (FORMAT parquet, PARTITION_BY (date))",
            from.display(),
            to.display()
        )
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn million_rows_of_csv_into_the_lake(bencher: Bencher) {
    load(bencher, "million.csv", 1_000_000, None);
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn million_rows_of_csv_plain_copy(bencher: Bencher) {
    plain(bencher, 1_000_000, |from, to| {
        format!(
            "COPY (SELECT *, ts::DATE AS date FROM '{}/million.csv') TO '{}/out' (FORMAT parquet, PARTITION_BY (date))",
            from.display(),
            to.display()
        )
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn million_wide_rows_into_an_own_table(bencher: Bencher) {
    load(bencher, "wide.parquet", 1_000_000, Some("wide"));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn million_wide_rows_plain_create_table(bencher: Bencher) {
    plain(bencher, 1_000_000, |from, _| {
        format!(
            "CREATE TABLE wide AS FROM '{}/wide.parquet'",
            from.display()
        )
    });
}
