//! How long `mdb sql "select 1"` takes on an existing database, beside starting the same binary and opening the
//! same file with DuckDB alone.
//!
//! `cargo bench --bench open`

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]

use std::process::Command;

use divan::Bencher;
use duckdb::{AccessMode, Config, Connection};

const MDB: &str = env!("CARGO_BIN_EXE_mdb");

fn main() {
    divan::main();
}

/// A database with the sample in it, sealed.
fn database() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let demo = Command::new(MDB)
        .arg("--db")
        .arg(dir.path())
        .args(["demo", "--no-shell"])
        .output()
        .unwrap();
    assert!(demo.status.success());
    dir
}

#[divan::bench(sample_count = 30, sample_size = 1)]
fn mdb_sql_select_1(bencher: Bencher) {
    let dir = database();
    let db = dir.path().join("demo");
    bencher.bench_local(|| {
        let run = Command::new(MDB)
            .arg("--db")
            .arg(&db)
            .args(["sql", "select 1"])
            .output()
            .unwrap();
        assert!(run.status.success());
    });
}

/// Starting the binary for nothing.
#[divan::bench(sample_count = 30, sample_size = 1)]
fn mdb_version(bencher: Bencher) {
    bencher.bench_local(|| Command::new(MDB).arg("--version").output().unwrap());
}

/// DuckDB alone: open, ask, close.
#[divan::bench(sample_count = 30, sample_size = 1)]
fn bare_duckdb_open(bencher: Bencher) {
    let dir = database();
    let file = dir.path().join("demo/market.duckdb");
    bencher.bench_local(|| {
        let config = Config::default().access_mode(AccessMode::ReadOnly).unwrap();
        let conn = Connection::open_with_flags(&file, config).unwrap();
        conn.query_row("SELECT 1", [], |row| row.get::<_, i32>(0))
            .unwrap()
    });
}
