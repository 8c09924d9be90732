//! Loading a capture, book included, beside a plain INSERT of the same lines, and beside the venue's own SQL run by plain
//! DuckDB; and the book engine alone.
//!
//! `cargo bench --bench load`. Reads the real capture where it is there, else the committed sample.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]

mod plain;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use divan::Bencher;
use divan::counter::ItemsCount;
use duckdb::Connection;
use duckdb::arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use duckdb::vtab::arrow::{ArrowBatchRegistration, ArrowVTab};
use mdb::book::{Book, Change, Level, Rules, Side, Update};
use mdb::config::Settings;
use mdb::model::Sequencing;
use mdb::sources::capture::{Batch, Capture};
use mdb::store::{Load, Purpose, Store};
use plain::Plain;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// File, venue and symbol.
fn capture() -> (PathBuf, &'static str, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = root.join("../shared/real/binance/usdm_ethusdt_20240808.gz");
    if real.exists() {
        return (real, "binance_usdm", "ETHUSDT");
    }
    let sample = root.join("data/sample/binance_spot-BTCUSDT.gz");
    (sample, "binance_spot", "BTCUSDT")
}

fn batches() -> Vec<Batch> {
    let mut capture = Capture::open(&capture().0).unwrap();
    std::iter::from_fn(|| capture.next_batch().unwrap()).collect()
}

fn messages() -> ItemsCount {
    ItemsCount::new(batches().iter().map(|b| b.recv_ns.len()).sum::<usize>())
}

/// mdb: raw, normalized, keyed, booked, committed.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn mdb_load(bencher: Bencher) {
    let (file, venue, symbol) = capture();
    bencher
        .counter(messages())
        .with_inputs(|| {
            let dir = tempfile::tempdir().unwrap();
            let settings = Settings::load(dir.path()).unwrap();
            let store = Store::open(&settings, Purpose::Ingest).unwrap();
            (store, dir)
        })
        .bench_local_values(|(mut store, dir)| {
            let load = Load {
                venue,
                symbol: Some(symbol),
                file: &file,
            };
            let capture = Capture::open(&file).unwrap();
            store
                .load(&load, capture, &AtomicBool::new(false), |_| {})
                .unwrap();
            // Neither closing nor cleaning up is part of the load.
            (store, dir)
        });
}

/// Plain DuckDB: the same lines, as they are, into one table, with a commit for each batch.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn plain_insert(bencher: Bencher) {
    let file = capture().0;
    bencher
        .counter(messages())
        .with_inputs(|| {
            let dir = tempfile::tempdir().unwrap();
            let conn = Connection::open(dir.path().join("plain.duckdb")).unwrap();
            conn.register_table_function::<ArrowVTab>("arrow").unwrap();
            conn.execute_batch("CREATE TABLE raw (payload VARCHAR)")
                .unwrap();
            (conn, dir)
        })
        .bench_local_values(|(conn, dir)| {
            let mut capture = Capture::open(&file).unwrap();
            while let Some(batch) = capture.next_batch().unwrap() {
                let payloads: ArrayRef = Arc::new(batch.payloads);
                let rows = RecordBatch::try_from_iter([("payload", payloads)]).unwrap();
                let registered = ArrowBatchRegistration::new(rows);
                conn.execute("INSERT INTO raw FROM arrow(?)", [&registered])
                    .unwrap();
            }
            (conn, dir)
        });
}

/// Plain DuckDB doing by hand what a load does, but for keys and books, with a commit for each 65,536 messages: it takes so
/// many faster than few.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn plain_normalize(bencher: Bencher) {
    let (file, venue, symbol) = capture();
    bencher
        .counter(messages())
        .with_inputs(|| Plain::new(venue, symbol))
        .bench_local_values(|plain| {
            let (mut capture, mut first_seq) = (Capture::open(&file).unwrap(), 1);
            let mut batches = std::iter::from_fn(|| capture.next_batch().unwrap());
            loop {
                let (mut recv_ns, mut payloads) = (Vec::new(), StringBuilder::new());
                while recv_ns.len() < 65_536
                    && let Some(batch) = batches.next()
                {
                    recv_ns.extend(batch.recv_ns);
                    payloads.append_array(&batch.payloads).unwrap();
                }
                let count = recv_ns.len() as u64;
                if count == 0 {
                    break;
                }
                plain.write(first_seq, recv_ns, payloads.finish());
                first_seq += count;
            }
            plain
        });
}

/// 100,000 updates of five levels near the best price of a book of 3,000 levels a side.
fn updates() -> Vec<(Update, Vec<Change>)> {
    let level = |price: u64, size: u64| Level {
        price: price as f64 / 100.0,
        size: size as f64,
    };
    let update = |id: u64, is_snapshot| Update {
        seq: id,
        ts: 0,
        recv_ts: 0,
        first_id: Some(id),
        last_id: Some(id),
        prev_id: Some(id - 1),
        is_snapshot,
        checksum: None,
        depth: None,
    };
    let book = (1..=3000).flat_map(|i| {
        [
            (Side::Bid, level(100_000 - i, 1)),
            (Side::Ask, level(100_000 + i, 1)),
        ]
    });
    let mut updates = vec![(update(1, true), book.collect())];
    let mut random = 1_u64;
    for id in 2..100_002 {
        let changes = (0..5).map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let away = 1 + (random >> 33) % 40;
            let size = (random >> 50) % 3;
            if random >> 63 == 0 {
                (Side::Bid, level(100_000 - away, size))
            } else {
                (Side::Ask, level(100_000 + away, size))
            }
        });
        updates.push((update(id, false), changes.collect()));
    }
    updates
}

/// The book engine alone.
#[divan::bench(sample_count = 20)]
fn book_engine(bencher: Bencher) {
    let updates = updates();
    bencher
        .counter(ItemsCount::new(updates.len()))
        .bench_local(|| {
            let rules = Rules::from(Sequencing::FirstLast);
            let (mut book, mut out) = (Book::default(), Vec::new());
            let mut tops = 0;
            for (update, changes) in &updates {
                book.apply(&rules, update, changes[..].into(), &mut out);
                tops += out.drain(..).count();
            }
            tops
        });
}

/// The same updates, only copied.
#[divan::bench(sample_count = 20)]
fn plain_copy_of_updates(bencher: Bencher) {
    let updates = updates();
    bencher
        .counter(ItemsCount::new(updates.len()))
        .bench_local(|| updates.clone());
}
