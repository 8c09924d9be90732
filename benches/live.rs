//! Live capture: from a frame's receipt to visible in a query, and how much is sustained.
//!
//! `cargo bench --bench live [-- RATE SECONDS]`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot run must stop"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mdb::config::Settings;
use mdb::model::frame::{Frame, Message};
use mdb::sources::capture::Capture;
use mdb::store::{Commit, Purpose, Store};

fn payloads() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = root.join("../shared/real/binance/usdm_ethusdt_20240808.gz");
    let mut capture = Capture::open(&real).unwrap();
    let mut out = Vec::new();
    while let Some(batch) = capture.next_batch().unwrap() {
        out.extend(batch.payloads.iter().map(|p| p.unwrap().to_owned()));
    }
    out
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i64
}

fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let rate = args.first().copied().unwrap_or(10_000);
    let seconds = args.get(1).copied().unwrap_or(6);
    let payloads = payloads();
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::load(dir.path()).unwrap();
    let mut store = Store::open(&settings, Purpose::Ingest).unwrap();
    let (to, from) = tokio::sync::mpsc::channel(1 << 15);
    let (_, orders) = tokio::sync::mpsc::channel(1);
    let sent: Arc<Mutex<Vec<i64>>> = Arc::default();
    let log = Arc::clone(&sent);
    let sender = std::thread::spawn(move || {
        let venue: Arc<str> = "binance_usdm".into();
        let channel: Arc<str> = "ws/1".into();
        let start = Instant::now();
        let total = (rate * seconds) as usize;
        let mut i = 0;
        while i < total {
            let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
            while i < due.min(total) {
                let recv_ns = now_ns();
                log.lock().unwrap().push(recv_ns);
                let frame = Frame {
                    venue: Arc::clone(&venue),
                    channel: Arc::clone(&channel),
                    symbol: None,
                    recv_ns,
                    // The same messages of another symbol: their own keys, their own book.
                    payload: match i / payloads.len() {
                        0 => payloads[i].clone(),
                        pass => payloads[i % payloads.len()]
                            .replace("ETHUSDT", &format!("ETHUSD{pass}")),
                    },
                };
                to.blocking_send(Message::Frame(frame)).unwrap();
                i += 1;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    });
    let mut latencies: Vec<i64> = Vec::new();
    let mut commits: Vec<(u64, Duration)> = Vec::new();
    let mut done = 0;
    store
        .live(from, orders, |commit: Commit| {
            let now = now_ns();
            let n = commit.written.messages as usize;
            let sent = sent.lock().unwrap();
            latencies.extend(sent[done..done + n].iter().map(|s| now - s));
            done += n;
            commits.push((n as u64, commit.took));
        })
        .unwrap();
    sender.join().unwrap();
    let skip = latencies.len() / 6;
    let mut steady = latencies[skip..].to_vec();
    steady.sort_unstable();
    let at = |q: f64| steady[((steady.len() - 1) as f64 * q) as usize] as f64 / 1e6;
    let mut took: Vec<f64> = commits[commits.len() / 6..]
        .iter()
        .map(|c| c.1.as_secs_f64() * 1e3)
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{rate}/s: p50 {:.1} ms, p90 {:.1}, p99 {:.1}, max {:.1}; {} commits of {:.0} messages, write+commit p50 {:.2} ms p99 {:.2} max {:.1}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        commits.len(),
        done as f64 / commits.len() as f64,
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
    );
}
