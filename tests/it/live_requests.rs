//! What the feeds ask for by request, of a venue whose REST side fails for a while. (issue 3, point 3)

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Db, Live, poll};
use crate::live_run::{await_true, await_value, end};
use crate::standin::{Peer, Reply, Script, StandIn, Stream};

const VENUE: &str = "halting";
const FEED: &str = r#"
description = "A venue of a test"
[book]
rule = "first_last"
snapshot = "depth"
[channels.trades]
table = "trades"
topic = "deals.{{ symbol }}"
backfill = "deals"
consecutive_ids = ""
[channels.book]
table = "book_deltas"
topic = "depth.{{ symbol }}"
[websocket]
url = "wss://unreachable.invalid/"
[websocket.subscribe]
send = '{"want":{{ topics | tojson }},"id":{{ id }}}'
ack = { "/granted" = "*", "/id" = "{{ id }}" }
[rest]
url = "https://unreachable.invalid"
attempts = 1
[rest.requests.depth]
path = "/depth"
table = "book_deltas"
[rest.requests.deals]
path = "/deals?from={{ from_id }}&ns={{ from_ns }}-{{ to_ns }}"
table = "trades"
page = { id = "/deal", full = 100 }
"#;
const TRADES_SQL: &str = r#"-- Deals, of the wire and of a request.
-- @match "deal"
SELECT seq, recv_ts, venue, d->>'s' AS symbol, make_timestamp_ns((d->>'t')::BIGINT) AS ts, d->>'deal' AS trade_id,
       (d->>'p')::DOUBLE AS price, 1.0 AS size, 'buy' AS side
FROM (SELECT seq, recv_ts, venue, unnest(IF(json_type(payload) = 'ARRAY', payload->'$[*]', [payload::JSON])) AS d
      FROM raw WHERE contains(payload, '"deal"'))
"#;
const DELTAS_SQL: &str = r#"-- Levels, of the wire and of a request.
-- @match "bid"
SELECT seq, recv_ts, venue, 'S' AS symbol, recv_ts AS ts, (payload->>'from')::UBIGINT AS first_id,
       (payload->>'to')::UBIGINT AS last_id, (payload->>'from') IS NULL AS is_snapshot,
       unnest(['bid', 'ask']) AS side, unnest([payload->>'bid', payload->>'ask'])::DOUBLE AS price, 1.0 AS size
FROM raw WHERE contains(payload, '"bid"')
"#;
const CONTROL_SQL: &str = r#"-- Acknowledgements.
-- @match "granted"
SELECT seq FROM raw WHERE contains(payload, '"granted"')
"#;
/// Answers that fail, or help nothing, before one that does.
const FAILURES: usize = 3;

fn time_ns(deal: u64) -> u64 {
    1_700_000_000_000_000_000 + deal * 1_000_000_000
}

fn deal(n: u64) -> Value {
    json!({"deal": n.to_string(), "s": "S", "t": time_ns(n), "p": "100.5"})
}

fn on_text(peer: &Peer, text: &str) {
    let frame: Value = serde_json::from_str(text).unwrap();
    peer.send(json!({"granted": frame["want"], "id": frame["id"]}).to_string());
    for topic in frame["want"].as_array().unwrap() {
        let frames: Vec<Value> = match topic.as_str().unwrap() {
            "deals.S" => [1, 2, 3, 8, 9, 10].map(deal).into(),
            _ => (101..=110)
                .map(|n| json!({"from": n, "to": n, "bid": 99, "ask": 101}))
                .collect(),
        };
        let frames = frames.iter().map(Value::to_string).collect();
        peer.stream(Stream::new(Arc::new(frames)));
    }
}

/// A request for trades that fails is made again until it is answered, and a book that came too old is asked for again,
/// also if nothing new is heard of it.
#[test]
fn what_a_failing_venue_owes_is_asked_for_until_it_is_there() {
    let db = Db::new();
    let folder = db.dir().join("sql/venues").join(VENUE);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in [
        ("feed.toml", FEED),
        ("trades.sql", TRADES_SQL),
        ("book_deltas.sql", DELTAS_SQL),
        ("control.sql", CONTROL_SQL),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    let (deals, books) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let venue = StandIn::start(Script::new(on_text).rest(move |path| {
        if path.starts_with("/deals") {
            log.lock().unwrap().push(path.to_owned());
            if deals.fetch_add(1, Ordering::Relaxed) < FAILURES {
                return Reply::status(503);
            }
            return Reply::json(Value::Array((4..=7).map(deal).collect()).to_string());
        }
        let old = books.fetch_add(1, Ordering::Relaxed) < FAILURES;
        let to = if old { 90 } else { 105 };
        Reply::json(json!({"to": to, "bid": 99, "ask": 101}).to_string())
    }));
    let mut command = db.command();
    command
        .args(["stream", VENUE, "S", "--channels", "trades,book"])
        .args(["--websocket", &venue.ws_url(), "--rest", &venue.rest_url()]);
    let live = Live::spawn(command);
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    await_value(&db, "SELECT count(DISTINCT trade_id) FROM trades", "10");
    await_value(&db, "SELECT max(last_id) FROM book_tops", "110");
    await_true(
        &db,
        "SELECT count(*) > 0 FROM feed_events WHERE kind = 'snapshot_too_old'",
    );
    end(&db, live, Signal::INT).ok();
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'backfill_failed'"),
        FAILURES as u64
    );
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap' AND channel = 'trades'"),
        0
    );
    let asked = asked.lock().unwrap();
    let about = |path: &String| path.starts_with("/deals?from=4&ns=");
    assert!(asked.iter().all(about), "{asked:?}");
}
