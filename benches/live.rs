//! Live capture: from a frame's receipt to visible in another connection's query, at a given rate.
//!
//! `cargo bench --bench live [-- RATE SECONDS]` (default 10,000 for 7 s, then 50,000 for 20 s): real frames of
//! `mdb replay` over a loopback WebSocket, sender, capture and reader on the same cores; beside it the time of one
//! fsync, and of one commit of the same messages by plain DuckDB. `-- marts` measures what keeping the marts up to date costs: how long after a commit its trades are in the marts
//! at 10,000/s, and how long as many messages as fast as they can be taken take with the marts and without. The recorded
//! messages are sent again under other symbols when they are at an end, each with its own book.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench that cannot run must stop, and says what it found"
)]

mod plain;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mdb::config::{FeedSettings, Settings};
use mdb::engine::figures::Figures;
use mdb::engine::process::{Process, Scope};
use mdb::research::replay::{Options, Replay, Scratch, Speed, Start};
use mdb::sources::capture::Capture;
use mdb::store::{Load, Purpose, Readers, Store};
use plain::Plain;

/// As the binary does.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VENUE: &str = "binance_usdm";
const SYMBOL: &str = "ETHUSDT";
/// The venue's time of the first message, which begins a minute.
const FIRST_MS: u64 = 1_723_161_600_000;
const CHANNELS: [&str; 3] = ["single_trades", "quotes", "book"];

fn main() {
    let args: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/real/binance/usdm_ethusdt_20240808.gz");
    if !file.exists() {
        println!("needs {}", file.display());
        return;
    }
    println!("one fsync of 4 KB: {:.2} ms", fsync_ms());
    measure_plain(&file);
    if std::env::args().any(|arg| arg == "marts") {
        measure_marts(&file);
    } else if let [rate, seconds, ..] = args[..] {
        measure(&file, rate, seconds, false);
        measure(&file, rate, seconds, true);
    } else {
        measure(&file, 10_000, 7, false);
        measure(&file, 10_000, 7, true);
        measure(&file, 50_000, 20, true);
    }
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i64
}

fn fsync_ms() -> f64 {
    let mut file = tempfile::tempfile().unwrap();
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            file.write_all(&[0; 4096]).unwrap();
            let start = Instant::now();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// A payload with another time of the venue's.
fn with_time(payload: &str, ms: u64) -> String {
    let mut out = String::with_capacity(payload.len());
    let mut rest = payload;
    while let Some(at) = rest
        .find("\"E\":")
        .into_iter()
        .chain(rest.find("\"T\":"))
        .min()
    {
        let (before, number) = rest.split_at(at + 4);
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(before);
        out.push_str(&ms.to_string());
        rest = &number[digits..];
    }
    out + rest
}

/// The recording under as many symbols as it takes to have so many messages, in a database; the venue's times are as if they
/// had come at this rate.
fn recorded(file: &Path, messages: usize, per_second: f64) -> (Scratch, Vec<String>) {
    let scratch = Scratch::new(&Settings::load(Path::new("/nonexistent")).unwrap()).unwrap();
    let mut store = Store::open(scratch.settings(), Purpose::Ingest).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (mut symbols, mut have) = (Vec::new(), 0);
    let mut last = 0;
    while have < messages {
        let symbol = match symbols.len() {
            0 => SYMBOL.to_owned(),
            n => format!("ETHUSD{n}"),
        };
        let path = dir.path().join(&symbol);
        let mut out = BufWriter::new(File::create(&path).unwrap());
        let mut capture = Capture::open(file).unwrap();
        let shift = last;
        while let Some(batch) = capture.next_batch().unwrap() {
            for (recv_ns, payload) in batch.recv_ns.iter().zip(batch.payloads.iter()) {
                // One after the other, or all symbols would come at once.
                let recv_ns = if shift == 0 { *recv_ns } else { last + 1 };
                last = last.max(recv_ns);
                let payload = payload.unwrap().replace(SYMBOL, &symbol);
                let payload = payload.replace("ethusdt", &symbol.to_lowercase());
                let payload =
                    with_time(&payload, FIRST_MS + (have as f64 * 1e3 / per_second) as u64);
                writeln!(out, "{recv_ns} {payload}").unwrap();
                have += 1;
            }
        }
        out.flush().unwrap();
        let load = Load {
            venue: VENUE,
            symbol: Some(&symbol),
            file: &path,
        };
        let capture = Capture::open(&path).unwrap();
        store
            .load(&load, capture, &AtomicBool::new(false), |_| {})
            .unwrap();
        symbols.push(symbol);
    }
    store.close().unwrap();
    (scratch, symbols)
}

/// How long after their receipt messages were visible, and after their commit in the marts, ns; and what the capture
/// says of itself.
struct Measured {
    latencies: Vec<i64>,
    freshness: [Vec<i64>; 2],
    took: f64,
    capture: serde_json::Value,
}

impl Measured {
    fn at(sorted: &[i64], q: f64) -> f64 {
        sorted[((sorted.len() - 1) as f64 * q) as usize] as f64 / 1e6
    }
}

/// What a commit of so many messages as come in 10 ms takes plain DuckDB.
fn measure_plain(file: &Path) {
    let plain = Plain::new(VENUE, SYMBOL);
    let (mut capture, mut first_seq) = (Capture::open(file).unwrap(), 1);
    let mut times = Vec::new();
    while let Some(batch) = capture.next_batch().unwrap()
        && times.len() < 300
    {
        for from in (0..batch.recv_ns.len()).step_by(100) {
            let count = (batch.recv_ns.len() - from).min(100);
            let recv_ns = batch.recv_ns[from..from + count].to_vec();
            let start = Instant::now();
            plain.write(first_seq, recv_ns, batch.payloads.slice(from, count));
            times.push(start.elapsed().as_nanos() as i64);
            first_seq += count as u64;
        }
    }
    times.sort_unstable();
    println!(
        "a commit of 100 messages by plain DuckDB, without keys and books: p50 {:.1} ms, p99 {:.1}",
        Measured::at(&times, 0.5),
        Measured::at(&times, 0.99)
    );
}

fn measure(file: &Path, rate: u32, seconds: u32, marts: bool) {
    let measured = capture(
        file,
        (rate * seconds) as usize,
        Speed::PerSecond(f64::from(rate)),
        seconds + 5,
        marts,
        Asks::Rows,
    );
    let mut latencies = measured.latencies;
    // The first second is connecting, snapshots and caches.
    latencies.drain(..(rate as usize).min(latencies.len() / 2));
    latencies.sort_unstable();
    let at = |q| Measured::at(&latencies, q);
    let capture = &measured.capture;
    println!(
        "{rate}/s for {:.1} s, {} marts: visible after p50 {:.1} ms, p90 {:.1}, p99 {:.1}, max {:.1}; {} messages, {} commits, slowest {} ms, {} gaps",
        measured.took,
        if marts { "with" } else { "without" },
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        capture["messages"],
        capture["commits"],
        capture["slowest_commit_ms"],
        capture["gaps"],
    );
}

fn measure_marts(file: &Path) {
    // Long enough to see the end of a minute, whose bars are made of more and more.
    let speed = Speed::PerSecond(10_000.0);
    let fresh = capture(file, 700_000, speed, 90, true, Asks::Marts).freshness;
    for ((mart, _), mut fresh) in MARTS.iter().zip(fresh) {
        fresh.sort_unstable();
        let at = |q| Measured::at(&fresh, q);
        println!(
            "10000/s for 70 s: in {mart} after their commit p50 {:.0} ms, p90 {:.0}, p99 {:.0}, max {:.0}",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
    }
    let messages = 600_000;
    let rates = [false, true].map(|marts| {
        let measured = capture(file, messages, Speed::Max, 120, marts, Asks::Marts);
        let taken = measured.capture["messages"].as_f64().unwrap();
        assert!(taken >= messages as f64, "{taken} messages: some were lost");
        taken / measured.took
    });
    println!(
        "{messages} messages as fast as they are taken: {:.0}/s without marts, {:.0}/s with them; ratio {:.2}",
        rates[0],
        rates[1],
        rates[1] / rates[0]
    );
}

/// What is asked for all the time beside a capture. The other's questions would be a load to it.
#[derive(Clone, Copy)]
enum Asks {
    Rows,
    Marts,
}

/// Captures so many messages at a rate, for so many seconds at most.
fn capture(
    file: &Path,
    messages: usize,
    speed: Speed,
    seconds: u32,
    marts: bool,
    asks: Asks,
) -> Measured {
    let per_second = match speed {
        Speed::PerSecond(rate) => rate,
        // About as fast as they are taken.
        _ => 50_000.0,
    };
    let (recording, symbols) = recorded(file, messages, per_second);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut options = Options::new(VENUE);
    options.speed = speed;
    options.start = Start::Subscriptions(symbols.len() * CHANNELS.len());
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut replay = runtime
        .block_on(Replay::start(recording.settings(), here, options))
        .unwrap();
    let address = replay.address();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::load(dir.path()).unwrap();
    settings.feeds = vec![FeedSettings {
        venue: VENUE.to_owned(),
        symbols,
        channels: CHANNELS.map(str::to_owned).to_vec(),
        redundancy: 1,
        websocket: Some(format!("ws://{address}")),
        rest: Some(format!("http://{address}")),
        place: None,
    }];
    settings.models.live = marts;
    let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
    let readers = store.readers().unwrap();
    let process = Process::new(settings, Scope::Feeds);
    let figures = process.figures();
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (over, figures) = (Arc::clone(&over), Arc::clone(&figures));
        std::thread::spawn(move || match asks {
            Asks::Rows => (poll(&readers, &over), Default::default()),
            Asks::Marts => (Vec::new(), freshness(&readers, &figures, &over)),
        })
    };
    let start = Instant::now();
    process
        .run(&runtime, &mut store, async {
            // Its end, or so long that a backlog would show.
            let _ =
                tokio::time::timeout(Duration::from_secs(u64::from(seconds)), replay.finished())
                    .await;
        })
        .unwrap();
    let took = start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let (latencies, freshness) = reader.join().unwrap();
    drop(runtime);
    store.close().unwrap();
    Measured {
        latencies,
        freshness,
        took,
        capture: figures.status()["capture"].clone(),
    }
}

/// How many trades are in a mart: the last one that bars come to, and the one that takes longest.
const MARTS: [(&str, &str); 2] = [
    ("ohlcv_1d", "SELECT sum(trades)::UBIGINT FROM ohlcv_1d"),
    (
        "exchange_health_1m",
        "SELECT sum(rows)::UBIGINT FROM exchange_health_1m WHERE channel = 'trades'",
    ),
];

/// Asks again and again how many of the trades that were committed the marts have, and notes how long they took: not the
/// first time, when all of them are made, nor of what came meanwhile.
fn freshness(readers: &Readers, figures: &Figures, over: &AtomicBool) -> [Vec<i64>; 2] {
    let reader = readers.open().unwrap();
    // Without it DuckDB keeps the plans: made anew so often they would take a fifth of a core.
    let off = reader.connection.execute_batch("PRAGMA disable_optimizer");
    off.unwrap();
    let mut counts = MARTS.map(|(_, sql)| reader.connection.prepare(sql).unwrap());
    let mut waiting = [VecDeque::new(), VecDeque::new()];
    let (mut took, mut first) = ([Vec::new(), Vec::new()], [None, None]);
    let start = now_ns();
    while !over.load(Ordering::Relaxed) {
        let now = now_ns();
        let written = figures.written();
        let stored = written.tables.get("trades").map_or(0, |rows| rows.new);
        for (mart, count) in counts.iter_mut().enumerate() {
            let waiting = &mut waiting[mart];
            if waiting.back().is_none_or(|&(_, rows)| rows < stored) {
                waiting.push_back((now, stored));
            }
            let made = count.query_row([], |row| row.get::<_, Option<u64>>(0));
            let made = made.unwrap().unwrap_or(0);
            let now = now_ns();
            if first[mart].is_none() && made > 0 {
                waiting.clear();
                first[mart] = Some(now - start);
            }
            while let Some(&(at, rows)) = waiting.front()
                && rows <= made
            {
                took[mart].push(now - at);
                waiting.pop_front();
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if let [Some(first), _] = first {
        println!("trades are in the marts after {:.1} s", first as f64 / 1e9);
    }
    let last = "SELECT string_agg(model || ' ' || round(took_ms)::BIGINT, ', ' ORDER BY model) FROM ops.builds WHERE how = 'windows'";
    let last: Option<String> = reader
        .connection
        .query_row(last, [], |row| row.get(0))
        .unwrap();
    if let Some(last) = last {
        println!("the last builds, ms: {last}");
    }
    took
}

/// Asks again and again for what is new, and notes how long ago it was received.
fn poll(readers: &Readers, over: &AtomicBool) -> Vec<i64> {
    let reader = readers.open().unwrap();
    let mut statement = reader
        .connection
        .prepare("SELECT seq, epoch_ns(recv_ts) FROM (FROM hot.raw_messages UNION ALL FROM hot_b.raw_messages) WHERE seq > ?")
        .unwrap();
    let (mut last, mut latencies) = (0_u64, Vec::new());
    while !over.load(Ordering::Relaxed) {
        let mut rows = statement.query([last]).unwrap();
        let now = now_ns();
        while let Some(row) = rows.next().unwrap() {
            last = last.max(row.get(0).unwrap());
            latencies.push(now - row.get::<_, i64>(1).unwrap());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    latencies
}
