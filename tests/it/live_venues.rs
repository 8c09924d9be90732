//! Venues captured live: real `mdb stream` processes against `mdb replay` or a stand-in on loopback. (issue 3, points 1, 2, 8)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::harness::{Db, Live, Rng, Run, join_lines, parse_csv, poll, real, walk};
use crate::recordings::{Message, capture, messages, recording};
use crate::standin::{Peer, Reply, Script, StandIn, Stream};

/// No capture here takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A capture that runs.
struct Captured<'d> {
    db: &'d Db,
    live: Live,
}

impl<'d> Captured<'d> {
    /// Starts the command, and waits until the process answers questions. Before that nobody may open the database.
    fn start(db: &'d Db, mut command: Command) -> Self {
        command.env("MDB_LOG", "info");
        Self::start_logging(db, command)
    }

    fn start_logging(db: &'d Db, command: Command) -> Self {
        let live = Live::spawn(command);
        let socket = db.dir().join("mdb.sock");
        poll("mdb.sock", || socket.exists());
        Self { db, live }
    }

    /// Waits until the query says `want`; false if it does not in time.
    fn says(&self, query: &str, want: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.db.try_sql(query);
            let rows = match run.code {
                Some(0) => parse_csv(&run.stdout),
                _ => Vec::new(),
            };
            let said = rows.get(1).map(|row| row.concat()).unwrap_or_default();
            if said == want {
                return true;
            }
            if Instant::now() > deadline {
                eprintln!("{query}: {said}, not {want}\n{run}");
                return false;
            }
        }
    }

    /// Ctrl-C, and an orderly end.
    fn end(self) -> Run {
        self.live.interrupt();
        self.live.finish().ok()
    }
}

/// A line of the summary that a command ends with.
fn figure(run: &Run, name: &str) -> Option<String> {
    let line = run.stdout.lines().find(|line| line.starts_with(name))?;
    Some(line[name.len()..].trim().to_owned())
}

fn stream(db: &Db, venue: &str, symbols: &[String], channels: &str) -> Command {
    let mut command = db.command();
    command
        .args(["stream", venue, &symbols.join(",")])
        .args(["--channels", channels]);
    command
}

/// The address that `mdb replay` says it listens on.
fn announced(live: &Live) -> String {
    live.await_output();
    poll("a whole line", || live.output().contains('\n'));
    let output = live.output();
    let (_, address) = output
        .lines()
        .next()
        .unwrap()
        .rsplit_once("http://")
        .unwrap();
    address.to_owned()
}

const TABLES: [&str; 4] = ["trades", "quotes", "book_deltas", "bars"];

/// Rows and a checksum of each table. What differs between a recording and its capture is when it was received, and so
/// the time of what has none of its own.
fn content(db: &Db) -> BTreeMap<&'static str, String> {
    let of = |table: &'static str| {
        // Snapshots are as of when the capture asked for them.
        let of = if table == "book_deltas" {
            "book_deltas WHERE NOT is_snapshot"
        } else {
            table
        };
        let row = db.row(&format!(
            "SELECT count(*), coalesce(sum(hash(t)), 0) FROM (
                 SELECT * EXCLUDE (seq, recv_ts, ts), nullif(ts, recv_ts) AS ts FROM {of}) t"
        ));
        (table, row.join(" "))
    };
    TABLES.map(of).into()
}

const COUNTS: &str =
    "SELECT concat_ws(' ', (SELECT count(*) FROM trades), (SELECT count(*) FROM quotes),
                                       (SELECT count(*) FROM book_deltas WHERE NOT is_snapshot),
                                       (SELECT count(*) FROM bars))";

fn symbols(db: &Db) -> Vec<String> {
    let of = TABLES.map(|table| format!("SELECT symbol FROM {table}"));
    let rows = db.sql(&format!("{} ORDER BY symbol", of.join(" UNION ")));
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

/// Nothing was missed, refused or lost.
#[track_caller]
fn assert_whole(what: &str, db: &Db, run: &Run) {
    assert_eq!(figure(run, "gaps").as_deref(), Some("0"), "{what}\n{run}");
    assert_eq!(
        figure(run, "dead letters").as_deref(),
        Some("0"),
        "{what}\n{run}"
    );
    let events = db.sql(
        "SELECT kind, symbol, detail FROM feed_events
         WHERE kind NOT IN ('connect', 'authenticated', 'subscribed', 'resync', 'disconnect', 'backpressure') LIMIT 5",
    );
    assert!(events.is_empty(), "{what}: {events:?}");
    let ends = db.sql("SELECT DISTINCT detail FROM feed_events WHERE kind = 'disconnect'");
    assert_eq!(ends, [["stopped"]], "{what}");
}

/// Replays a file in the venue's own protocol, captures it, and compares with what loading the file gives. Returns the
/// summary of the capture.
fn round(venue: &str, symbol: &str, channels: &str, file: &Path, keys: &[(&str, &str)]) -> Run {
    let (loaded, live) = (Db::new(), Db::new());
    let run = loaded.load(venue, symbol, [file]).ok();
    let checksums = figure(&run, "checksums");
    let symbols = symbols(&loaded);
    let subscriptions = symbols.len() * channels.split(',').count();

    let mut command = loaded.command();
    command
        .args(["replay", venue, "--symbol", symbol, "--speed", "max"])
        .args(["--stay", "--subscriptions", &subscriptions.to_string()])
        .arg("--capture")
        .arg(file);
    if let Some((_, key)) = keys.first() {
        command.args(["--key", key]);
    }
    let replay = Live::spawn(command);
    let address = announced(&replay);
    let mut command = stream(&live, venue, &symbols, channels);
    command
        .args(["--websocket", &format!("ws://{address}")])
        .args(["--rest", &format!("http://{address}")])
        .envs(keys.iter().copied());
    let capture = Captured::start(&live, command);
    let all = capture.says(COUNTS, &loaded.value(COUNTS));
    let run = capture.end();
    replay.interrupt();
    replay.finish();
    assert_eq!(content(&live), content(&loaded), "{venue}\n{run}");
    assert!(all);
    assert_whole(venue, &live, &run);
    assert_eq!(figure(&run, "checksums"), checksums, "{venue}\n{run}");
    run
}

/// The same of a recorded session of several symbols.
fn recorded(venue: &str, name: &str, channels: &str) -> Option<Run> {
    let beside = Db::new();
    let file = beside.write(name, &capture(&messages(&recording(name)?)));
    Some(round(venue, "", channels, &file, &[]))
}

#[test]
fn binance_usdm_is_captured_as_it_was_recorded() {
    if let Some(file) = real("usdm_ethusdt_20240808.gz") {
        let channels = "single_trades,quotes,book";
        round("binance_usdm", "ETHUSDT", channels, &file, &[]);
    }
}

#[test]
fn binance_spot_is_captured_as_it_was_recorded() {
    if let Some(file) = real("spot_btcusdt_20240808.gz") {
        round("binance_spot", "BTCUSDT", "trades,quotes,book", &file, &[]);
    }
}

/// Without the recordings of `../shared`: the sample that comes with mdb.
#[test]
fn the_sample_is_captured_as_it_was_recorded() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample/binance_spot-ETHUSDT.gz");
    round("binance_spot", "ETHUSDT", "trades,quotes,book", &file, &[]);
}

#[test]
fn kraken_is_captured_with_every_checksum_right() {
    if let Some(run) = recorded("kraken", "KRAKEN.ws.50.0.gz", "book") {
        assert_eq!(figure(&run, "checksums").as_deref(), Some("4,269"), "{run}");
    }
}

#[test]
fn okx_is_captured_with_every_checksum_right() {
    if let Some(run) = recorded("okx", "OKX.ws.1.0.gz", "trades,quotes,book") {
        assert_eq!(figure(&run, "checksums").as_deref(), Some("290"), "{run}");
    }
}

#[test]
fn coinbase_is_captured_as_it_was_recorded() {
    recorded("coinbase", "COINBASE.ws.28.0.gz", "trades,quotes,book");
}

#[test]
fn hitbtc_is_captured_as_it_was_recorded() {
    recorded("hitbtc", "HITBTC.ws.1.0.gz", "trades,quotes,book,bars");
}

/// The documented frames, a second apart.
fn documented(db: &Db, frames: &[&str]) -> PathBuf {
    let lines = (1_700_000_000_u64..).zip(frames);
    let lines = lines.map(|(second, frame)| format!("{second}000000000 {frame}"));
    db.write("frames", &join_lines(lines))
}

#[test]
fn massive_is_captured_after_its_login() {
    let db = Db::new();
    let frames = [
        r#"[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]"#,
        r#"[{"ev":"T","sym":"MSFT","x":4,"i":"71675","z":3,"p":114.1,"s":0,"ds":"0.25","t":1771869600000,"q":9,"trfi":201,"trft":1771869599000}]"#,
        r#"[{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":0,"ap":0,"as":0,"t":1771869600001,"q":10,"z":3}]"#,
        r#"[{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}]"#,
        r#"[{"ev":"A","sym":"SPCE","v":200,"dv":"200.5","av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.39,"h":25.39,"l":25.39,"a":25.3714,"z":50,"s":1610144868000,"e":1610144869000}]"#,
    ];
    let key = [("MASSIVE_API_KEY", "massive-key-of-the-tests")];
    let channels = "trades,quotes,bars,bars_1s";
    round(
        "massive_stocks",
        "",
        channels,
        &documented(&db, &frames),
        &key,
    );
}

const ALPACA: [(&str, &str); 2] = [
    ("APCA_API_KEY_ID", "alpaca-key-of-the-tests"),
    ("APCA_API_SECRET_KEY", "alpaca-secret-of-the-tests"),
];

#[test]
fn alpaca_is_captured_after_its_greeting_and_login() {
    let db = Db::new();
    let frames = [
        r#"[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}]"#,
        r#"[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]"#,
        r#"[{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}]"#,
        r#"[{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"},{"T":"t","S":"AAPL","i":628,"x":"Z","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838562809Z"}]"#,
    ];
    let channels = "trades,quotes,bars";
    let file = documented(&db, &frames);
    round("alpaca_stocks", "", channels, &file, &ALPACA);
    let frames = [
        r#"[{"T":"t","S":"BTC/USD","p":71900.5,"s":0.25,"t":"2024-03-12T10:27:48.858228144Z","i":3447222699101865076,"tks":"S"}]"#,
        r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:50.79613221Z","b":[{"p":71859.53,"s":0.27994},{"p":71849.4,"s":0.553986}],"a":[{"p":71939.7,"s":0.83953},{"p":71940.4,"s":1}],"r":true}]"#,
        r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.5Z","b":[],"a":[{"p":71939.7,"s":0}]},{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.6Z","b":[{"p":71860,"s":2}],"a":[]}]"#,
    ];
    let file = documented(&db, &frames);
    round("alpaca_crypto", "", "trades,book", &file, &ALPACA);
}

/// Recorded at the same time by two clients; the stand-in sends each connection one of the recordings.
#[test]
fn two_connections_to_the_same_channels_equal_their_union() {
    let files = ["HITBTC.ws.1.0.gz", "HITBTC.ws.2.0.gz"].map(recording);
    let [Some(one), Some(other)] = files else {
        return;
    };
    let (one, other) = (messages(&one), messages(&other));
    let loaded = Db::new();
    let mut both: Vec<&Message> = one.iter().chain(&other).collect();
    both.sort_by_key(|message| message.ns);
    let file = loaded.write("both", &capture(both));
    loaded.load("hitbtc", "", [file]).ok();
    let symbols = symbols(&loaded);
    let topics = symbols.len() * 4;

    let frames = [one, other].map(|messages| {
        let texts = messages.into_iter().map(|message| message.text);
        Arc::new(
            texts
                .filter(|text| !text.contains("\"result\""))
                .collect::<Vec<_>>(),
        )
    });
    let asked: Mutex<BTreeMap<usize, usize>> = Mutex::default();
    let venue = StandIn::start(Script::new(move |peer, text| {
        let frame: Value = serde_json::from_str(text).unwrap();
        peer.send(format!(
            r#"{{"jsonrpc":"2.0","result":true,"id":{}}}"#,
            frame["id"]
        ));
        let mut asked = asked.lock().unwrap();
        let count = asked.entry(peer.number).or_default();
        *count += 1;
        if *count == topics {
            peer.stream(Stream::new(Arc::clone(&frames[peer.number])));
        }
    }));
    let live = Db::new();
    let mut command = stream(&live, "hitbtc", &symbols, "trades,quotes,book,bars");
    command.args(["--redundancy", "2", "--websocket", &venue.ws_url()]);
    let capture = Captured::start(&live, command);
    for _ in 0..2 {
        venue.wait_for(PATIENCE, "the end of a stream", |event| {
            matches!(event, crate::standin::Event::Streamed(_)).then_some(())
        });
    }
    let all = capture.says(COUNTS, &loaded.value(COUNTS));
    let run = capture.end();
    assert_eq!(content(&live), content(&loaded), "{run}");
    assert!(all);
    assert_whole("two connections", &live, &run);
    assert_eq!(
        live.count("SELECT count(DISTINCT channel) FROM raw_messages"),
        2
    );
    assert_eq!(live.count("SELECT count(*) FROM quotes"), 204);
}

/// A venue of which nobody has ever heard.
struct Unheard {
    name: String,
    key: String,
}

impl Unheard {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seed = u64::try_from(now.unwrap().as_nanos()).unwrap_or_default();
        eprintln!("seed {seed}");
        let mut rng = Rng(seed);
        let letter = |rng: &mut Rng, from: &[u8]| char::from(from[rng.below(from.len())]);
        let name = (0..12).map(|_| letter(&mut rng, b"abcdefghijklmnopqrstuvwxyz"));
        let name = name.collect();
        // As keys are: with characters that addresses, JSON and headers each write in a way of their own.
        let key = (0..32).map(|n| match n % 8 {
            7 => letter(&mut rng, b"+/=&%\"\\"),
            _ => letter(
                &mut rng,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            ),
        });
        Self {
            name,
            key: key.collect(),
        }
    }

    /// Its folder in a database's own sql/venues/.
    fn write_to(&self, db: &Db) {
        let folder = db.dir().join("sql/venues").join(&self.name);
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in [
            ("feed.toml", FEED),
            ("trades.sql", TRADES_SQL),
            ("book_deltas.sql", DELTAS_SQL),
            ("control.sql", CONTROL_SQL),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
    }

    /// A stand-in that speaks as the folder says; `echo` stands in what it acknowledges, `rest` answers requests.
    fn stand_in(
        &self,
        echo: &str,
        rest: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> StandIn {
        let (key, echo) = (self.key.clone(), echo.to_owned());
        let known: Mutex<BTreeSet<usize>> = Mutex::default();
        let on_text = move |peer: &Peer, text: &str| {
            let frame: Value = serde_json::from_str(text).unwrap();
            let mut known = known.lock().unwrap();
            if frame["login"] == key.as_str() {
                known.insert(peer.number);
                peer.send(serde_json::json!({"login": "ok", "note": echo}).to_string());
            } else if !known.contains(&peer.number) {
                peer.send(serde_json::json!({"fault": "who are you", "final": true}).to_string());
            } else if frame.get("ping").is_some() {
                peer.send(serde_json::json!({"pong": frame["ping"]}).to_string());
            } else if let Some(topics) = frame["want"].as_array() {
                if !echo.is_empty() {
                    peer.send(
                        serde_json::json!({"fault": format!("your key {echo} is old")}).to_string(),
                    );
                }
                peer.send(
                    serde_json::json!({"granted": topics, "id": frame["id"], "note": echo})
                        .to_string(),
                );
                for topic in topics {
                    if let Some(symbol) = topic.as_str().unwrap().strip_prefix("deals.") {
                        peer.stream(Stream::new(Arc::new(deals(symbol))));
                    } else if let Some(symbol) = topic.as_str().unwrap().strip_prefix("depth.") {
                        peer.stream(Stream::new(Arc::new(depth(symbol))));
                    }
                }
            }
        };
        let script = Script::new(on_text).on_open(|peer| peer.send(r#"{"hello":"stranger"}"#));
        StandIn::start(script.rest(rest))
    }
}

const FEED: &str = r#"
description = "A venue of a test"
[secrets]
key = "UNHEARD_OF_KEY"
[book]
rule = "first_last"
snapshot = "depth"
[channels.trades]
table = "trades"
topic = "deals.{{ symbol }}"
[channels.book]
table = "book_deltas"
topic = "depth.{{ symbol }}"
[websocket]
url = "wss://unreachable.invalid/"
headers = { x-key = "{{ secret.key }}" }
greeting = { "/hello" = "*" }
frames_per_second = 50
[websocket.auth]
send = '{"login":{{ secret.key | tojson }}}'
ok = { "/login" = "ok" }
[websocket.subscribe]
send = '{"want":{{ topics | tojson }},"id":{{ id }}}'
unsubscribe = '{"leave":{{ topics | tojson }},"id":{{ id }}}'
ack = { "/granted" = "*", "/id" = "{{ id }}" }
[websocket.ping]
every = "200 ms"
send = '{"ping":{{ id }}}'
[[websocket.error]]
match = { "/fault" = "*", "/final" = "true" }
effect = "stop"
detail = "/fault"
[[websocket.error]]
match = { "/fault" = "*" }
effect = "report"
detail = "/fault"
[rest]
url = "https://unreachable.invalid"
attempts = 2
[rest.requests.depth]
path = "/depth/{{ symbol }}?key={{ secret.key }}"
table = "book_deltas"
"#;
const TRADES_SQL: &str = r#"-- Deals.
-- @match deal"
SELECT seq, recv_ts, venue, payload->>'s' AS symbol, make_timestamp_ns((payload->>'t')::BIGINT) AS ts,
       payload->>'deal' AS trade_id, (payload->>'p')::DOUBLE AS price, (payload->>'q')::DOUBLE AS size, 'buy' AS side
FROM raw WHERE contains(payload, 'deal"')
"#;
const DELTAS_SQL: &str = r#"-- Levels, of the wire and of a request.
-- @match bids
SELECT seq, recv_ts, venue, symbol, ts, first_id, last_id, is_snapshot, side, l[1]::DOUBLE AS price, l[2]::DOUBLE AS size
FROM (
    SELECT seq, recv_ts, venue, coalesce(payload->>'s', symbol) AS symbol,
           make_timestamp_ns((payload->>'t')::BIGINT) AS ts, (payload->>'from')::UBIGINT AS first_id,
           (payload->>'to')::UBIGINT AS last_id, (payload->>'from') IS NULL AS is_snapshot,
           unnest(['bid', 'ask']) AS side,
           unnest([from_json_strict(payload->'bids', '[["VARCHAR"]]'),
                   from_json_strict(payload->'asks', '[["VARCHAR"]]')]) AS levels
    FROM raw WHERE contains(payload, 'bids')
), unnest(levels) AS u(l)
"#;
const CONTROL_SQL: &str = r"-- What is said about the conversation.
-- @match hello
-- @match login
-- @match granted
-- @match pong
-- @match fault
SELECT seq FROM raw
WHERE json_exists(payload, '$.hello') OR json_exists(payload, '$.login') OR json_exists(payload, '$.granted')
   OR json_exists(payload, '$.pong') OR json_exists(payload, '$.fault')
";

const DEALS: u64 = 2_000;
const UPDATES: u64 = 600;
/// The update that the snapshot holds.
const SNAPSHOT: u64 = 100;

fn deals(symbol: &str) -> Vec<String> {
    let deal = |n: u64| {
        let (ns, price) = (1_700_000_000_000_000_000 + n * 1_000_000, 100 + n % 7);
        format!(r#"{{"deal":"{n}","s":"{symbol}","t":{ns},"p":"{price}.5","q":"0.25"}}"#)
    };
    (1..=DEALS).map(deal).collect()
}

fn depth(symbol: &str) -> Vec<String> {
    let update = |n: u64| {
        let (ns, size) = (1_700_000_000_000_000_000 + n * 1_000_000, n);
        format!(
            r#"{{"s":"{symbol}","t":{ns},"from":{n},"to":{n},"bids":[["99","{size}"]],"asks":[["101","{size}"]]}}"#
        )
    };
    (1..=UPDATES).map(update).collect()
}

fn whole_book() -> Reply {
    let ns = 1_700_000_000_000_000_000 + SNAPSHOT * 1_000_000;
    Reply::json(format!(
        r#"{{"t":{ns},"to":{SNAPSHOT},"bids":[["99","{SNAPSHOT}"],["98","7"]],"asks":[["101","{SNAPSHOT}"],["102","8"]]}}"#
    ))
}

/// The key in `secrets.toml` of that mode.
fn write_key(db: &Db, key: &str, mode: u32) {
    let path = db.dir().join("secrets.toml");
    let text = toml::to_string(&BTreeMap::from([("UNHEARD_OF_KEY", key)])).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_venue_never_heard_of_is_captured_by_its_folder_alone() {
    let (unheard, db) = (Unheard::new(), Db::new());
    unheard.write_to(&db);
    let venue = unheard.stand_in("", |_| whole_book());
    let command = || {
        let symbols = ["one".to_owned(), "two".to_owned()];
        let mut command = stream(&db, &unheard.name, &symbols, "trades,book");
        command.args(["--websocket", &venue.ws_url(), "--rest", &venue.rest_url()]);
        command
    };
    // Without a key, and with one that others may read, nothing begins.
    let missing = Live::spawn(command()).finish();
    missing.fails_naming(&["UNHEARD_OF_KEY", "secrets.toml"]);
    write_key(&db, &unheard.key, 0o644);
    let open = Live::spawn(command()).finish();
    let open = open.fails_naming(&["secrets.toml", "0644", "chmod 600"]);
    assert!(!open.stderr.contains(&unheard.key), "{open}");
    assert_eq!(venue.connections(), 0);

    write_key(&db, &unheard.key, 0o600);
    let capture = Captured::start(&db, command());
    let trades = (2 * DEALS).to_string();
    assert!(capture.says("SELECT count(*) FROM trades", &trades));
    let last = "SELECT count(*) FROM (SELECT symbol, max(last_id) AS id FROM book_deltas GROUP BY ALL)
                JOIN book_deltas d USING (symbol) WHERE id = 600 AND NOT d.is_snapshot AND d.last_id = 600";
    assert!(capture.says(last, "4"));
    let snapshots = "SELECT count(*) FROM book_deltas WHERE is_snapshot";
    assert!(capture.says(snapshots, "8"));
    // The venue's ping is JSON and answered.
    venue.text(|text| text.contains("\"ping\""));
    poll("the connection is live", || {
        let status = db.run(["status", "--format", "json"]).ok().stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["feeds"][0]["state"] == "live"
    });
    let run = capture.end();
    assert_whole("a venue never heard of", &db, &run);
    let books = db.sql(
        "SELECT symbol, bid_price, bid_size, ask_price, ask_size FROM book_tops
         QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY ts DESC, seq DESC) = 1 ORDER BY symbol",
    );
    let book = |symbol: &str| {
        [symbol, "99.0", "600.0", "101.0", "600.0"]
            .map(str::to_owned)
            .to_vec()
    };
    assert_eq!(books, [book("one"), book("two")]);
    assert_eq!(venue.connections(), 1);
    db.assert_sound();
}

/// The ways in which a text may hide in bytes.
fn forms(key: &str) -> Vec<Vec<u8>> {
    let bytes = key.as_bytes();
    let (mut hex, mut percent, mut lower) = (String::new(), String::new(), String::new());
    for &byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            percent.push(char::from(byte));
            lower.push(char::from(byte));
        } else {
            write!(percent, "%{byte:02X}").unwrap();
            write!(lower, "%{byte:02x}").unwrap();
        }
    }
    let json = Value::from(key).to_string();
    let json = json.trim_matches('"').to_owned();
    let twice = Value::from(json.as_str()).to_string();
    let mut forms = vec![
        key.to_owned(),
        json,
        twice.trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
        lower,
        // What becomes of it in an address that was not made with care.
        key.replace('"', "%22"),
        percent.replace('%', "%25"),
        percent,
    ];
    // Base64 of a longer text has one of three forms in its middle.
    for skip in 0..3 {
        let whole = &bytes[skip..];
        forms.push(base64(&whole[..whole.len() / 3 * 3]));
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks_exact(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]))
    });
    digits.collect()
}

#[track_caller]
fn assert_silent(what: &str, bytes: &[u8], forms: &[Vec<u8>]) {
    for form in forms {
        let found = bytes.windows(form.len()).position(|window| window == form);
        let near = found.map(|at| {
            let (from, to) = (
                at.saturating_sub(100),
                (at + form.len() + 20).min(bytes.len()),
            );
            String::from_utf8_lossy(&bytes[from..to]).into_owned()
        });
        assert!(near.is_none(), "{what} holds the key: {near:?}");
    }
}

/// Files may be compressed: what is in them is asked for, too.
#[track_caller]
fn assert_silent_everywhere(when: &str, db: &Db, forms: &[Vec<u8>]) {
    let mut files = 0;
    walk(db.dir(), &mut |path| {
        // The socket is no file.
        if let Ok(bytes) = fs::read(path) {
            assert_silent(&format!("{when}: {}", path.display()), &bytes, forms);
            files += 1;
        }
    });
    assert!(files > 1, "{when}");
    for table in crate::harness::TABLES {
        let rows = db.try_sql(&format!("FROM {table}")).ok();
        assert_silent(&format!("{when}: {table}"), rows.stdout.as_bytes(), forms);
    }
}

/// The venue sends the key back wherever it can.
#[test]
fn no_secret_is_ever_written_or_said() {
    let (unheard, db) = (Unheard::new(), Db::new());
    unheard.write_to(&db);
    let key = unheard.key.clone();
    let venue = unheard.stand_in(&unheard.key, move |path| {
        let error = serde_json::json!({"error": format!("no such key {key}"), "path": path});
        if path.starts_with("/depth/redirected") {
            Reply::status(302).header("location", &path.replace("redirected", "elsewhere"))
        } else if path.starts_with("/depth/refused") {
            Reply::json(error.to_string()).with_status(403)
        } else if path.starts_with("/depth/broken") {
            Reply::json(error.to_string()).with_status(500)
        } else {
            // A body that is stored, and is no book.
            Reply::json(error.to_string())
        }
    });
    let symbols = ["redirected", "refused", "broken", "odd"].map(str::to_owned);
    let mut command = stream(&db, &unheard.name, &symbols, "trades,book");
    command
        .args(["--websocket", &venue.ws_url(), "--rest", &venue.rest_url()])
        .env("UNHEARD_OF_KEY", &unheard.key)
        .env("MDB_LOG", "trace");
    let capture = Captured::start_logging(&db, command);
    assert!(capture.says("SELECT count(*) FROM trades", &(4 * DEALS).to_string()));
    let failed =
        "SELECT count(DISTINCT symbol) >= 2 FROM feed_events WHERE kind = 'snapshot_failed'";
    assert!(capture.says(failed, "true"));
    let told = "SELECT count(*) > 0 FROM feed_events WHERE contains(detail, 'your key *** is old')";
    assert!(capture.says(told, "true"));
    let acknowledged =
        "SELECT count(*) > 0 FROM raw_messages WHERE contains(payload, '\"note\":\"***\"')";
    assert!(capture.says(acknowledged, "true"));

    let forms = forms(&unheard.key);
    for format in ["json", "table"] {
        let status = db.run(["status", "--format", format]).ok();
        assert_silent("mdb status", status.stdout.as_bytes(), &forms);
        assert_silent("mdb status", status.stderr.as_bytes(), &forms);
    }
    assert_silent_everywhere("while it runs", &db, &forms);
    let run = capture.end();
    assert!(run.stderr.len() > 1_000, "nothing was traced\n{run}");
    assert_silent("stdout", run.stdout.as_bytes(), &forms);
    assert_silent("stderr", run.stderr.as_bytes(), &forms);
    db.run(["seal", "--all"]).ok();
    assert!(!db.lake().is_empty());
    assert_silent_everywhere("sealed", &db, &forms);
    // The venue did get it: it is the key that was looked for.
    let (_, login) = venue.text(|text| text.contains("\"login\""));
    let login: Value = serde_json::from_str(&login).unwrap();
    assert_eq!(login["login"], unheard.key.as_str());
}

/// A wrong key is final, and said to be: in the events, in `mdb status`, and at the terminal that waits for data.
#[test]
fn a_refused_key_is_final_and_shown() {
    let (unheard, db) = (Unheard::new(), Db::new());
    unheard.write_to(&db);
    let venue = unheard.stand_in("", |_| whole_book());
    let mut command = stream(&db, &unheard.name, &["one".to_owned()], "trades,book");
    command
        .args(["--websocket", &venue.ws_url(), "--rest", &venue.rest_url()])
        .env("UNHEARD_OF_KEY", "not-the-right-key");
    let capture = Captured::start(&db, command);
    assert!(capture.says("SELECT count(*) FROM feed_events WHERE kind = 'final'", "1"));
    poll("the state in mdb status", || {
        let status = db.run(["status", "--format", "json"]).ok().stdout;
        status.contains("\"refused\"") && status.contains("who are you")
    });
    let run = capture.end();
    assert!(run.stderr.contains("who are you"), "{run}");
    assert_eq!(venue.connections(), 1, "{run}");
    assert_eq!(db.count("SELECT count(*) FROM trades"), 0);
}
