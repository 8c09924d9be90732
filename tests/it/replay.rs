//! A replay as a client of the venue sees it: WebSocket, REST, faults, and the command.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mdb::book::{Book, Change, Level, Output, Side, Update};
use mdb::config::Settings;
use mdb::config::secrets::{Secret, Secrets};
use mdb::model::Sequencing;
use mdb::model::frame;
use mdb::research::replay::{Faults, Options, Range, Replay, Speed, Start};
use mdb::sources::rest::{Client, Error, Query};
use mdb::venues::feed::Feed;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::{Db, Live, poll, read_lines, real};

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_mins(2);

/// The venue of the recordings, as far as a stand-in needs it.
const FEED: &str = r#"
description = "A spot market"
[secrets]
key = "SOME_VENUE_KEY"
[book]
rule = "first_last"
snapshot = "depth"
[channels.trades]
table = "trades"
topic = "{{ symbol|lower }}@trade"
backfill = "trades"
[channels.quotes]
table = "quotes"
topic = "{{ symbol|lower }}@bookTicker"
[channels.book]
table = "book_deltas"
topic = "{{ symbol|lower }}@depth@100ms"
[websocket]
url = "wss://localhost/stream"
[websocket.subscribe]
send = '{"method":"SUBSCRIBE","params":{{ topics|tojson }},"id":{{ id }}}'
ack = { "/result" = "null", "/id" = "{{ id }}" }
#AUTH
[rest]
url = "https://localhost/api/v3"
timeout = "30 s"
#HEADERS
[rest.requests.depth]
path = "/depth?symbol={{ symbol }}&limit=5000"
table = "book_deltas"
[rest.requests.trades]
path = "/trades?symbol={{ symbol }}&fromId={{ from_id }}&limit=1000&key={{ secret.key }}"
table = "trades"
[rest.requests.trades.page]
id = "/id"
full = 1000
[rest.requests.between]
path = "/v3/{{ symbol }}/trades?from={{ from_ns }}&to={{ to_ms }}&apiKey={{ secret.key }}"
table = "trades"
[rest.requests.between.page]
next_url = "/next"
records = "/results"
[replay]
subscribed = '{"result":null,"id":{{ id | tojson }}}'
unknown = '{"error":"unknown","topic":"{{ topic }}","id":{{ id | tojson }}}'
unsubscribed = '{"result":null,"id":{{ id | tojson }}}'
snapshot = '{"lastUpdateId":{{ last_id }},"bids":{{ bids|tojson }},"asks":{{ asks|tojson }}}'
#ANSWERS
[replay.subscribe]
match = { "/method" = "SUBSCRIBE" }
topics = "/params"
id = "/id"
[replay.unsubscribe]
match = { "/method" = "UNSUBSCRIBE" }
topics = "/params"
id = "/id"
[replay.history.trades]
page = '[{% for r in rows %}{{ "," if not loop.first }}{"id":{{ r.id }},"price":"{{ r.price }}","qty":"{{ r.size }}","time":{{ r.ts_ms }},"isBuyerMaker":{{ (r.side == "sell")|tojson }}}{% endfor %}]'
[replay.history.between]
page = '{"results":[{% for r in rows %}{{ "," if not loop.first }}{"t":{{ r.ts_ns }},"id":"{{ r.trade_id }}"}{% endfor %}]{% if next_url %},"next":"{{ next_url }}"{% endif %}}'
rows = 100
"#;

const KEY: &str = "a-key-of-the-tests";

/// A database with the venue and captures of it: `(symbol, file)`.
fn database(feed: &str, captures: &[(&str, &Path)]) -> Db {
    let db = Db::none();
    let folder = db.dir().join("sql/venues/binance_spot");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("feed.toml"), feed).unwrap();
    for (symbol, file) in captures {
        db.load("binance_spot", symbol, [file]).ok();
    }
    db
}

fn sample(symbol: &str) -> PathBuf {
    let name = format!("data/sample/binance_spot-{symbol}.gz");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn options(speed: Speed, subscriptions: usize) -> Options {
    Options {
        speed,
        start: Start::Subscriptions(subscriptions),
        ..Options::new("binance_spot")
    }
}

async fn start(db: &Db, options: Options) -> Replay {
    let settings = Settings::load(db.dir()).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Replay::start(&settings, any, options).await.unwrap()
}

/// The messages of a stream in the file, in its order.
fn recorded(file: &Path, topics: &[&str]) -> Vec<String> {
    let streams: Vec<String> = topics
        .iter()
        .map(|t| format!("{{\"stream\":\"{t}\""))
        .collect();
    read_lines(file)
        .into_iter()
        .filter_map(|line| {
            let payload = line.split_once(' ').unwrap().1;
            let wanted = streams.iter().any(|stream| payload.starts_with(stream));
            wanted.then(|| payload.to_owned())
        })
        .collect()
}

/// A client of the venue.
struct Listener {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Listener {
    async fn connect(address: SocketAddr) -> Self {
        Self::connect_to(&format!("ws://{address}/stream")).await
    }

    async fn connect_to(url: &str) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Self { socket }
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn subscribe(&mut self, topics: &[&str]) {
        let params = serde_json::to_string(topics).unwrap();
        self.say(&format!(
            r#"{{"method":"SUBSCRIBE","params":{params},"id":7}}"#
        ))
        .await;
    }

    /// The next text, or what it is instead; `None` when the connection has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.socket.next()).await;
            match message.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Binary(_))) => return Some("bytes".to_owned()),
                Some(Ok(Message::Close(_))) | None => return None,
                Some(Err(error)) => {
                    use tungstenite::error::{Error, ProtocolError};
                    let cut = matches!(
                        error,
                        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                            | Error::Io(_)
                            | Error::ConnectionClosed
                    );
                    assert!(cut, "{error}");
                    return None;
                }
                Some(Ok(_)) => {}
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<String> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            taken.push(self.next().await.expect("the connection has ended"));
        }
        taken
    }

    /// Everything up to the end of the connection.
    async fn rest(mut self) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some(text) = self.next().await {
            taken.push(text);
        }
        taken
    }
}

const ACK: &str = r#"{"result":null,"id":7}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_exactly_the_messages_of_its_topics_in_order() {
    let (btc, eth) = (sample("BTCUSDT"), sample("ETHUSDT"));
    let db = database(FEED, &[("BTCUSDT", &btc), ("ETHUSDT", &eth)]);
    let mut replay = start(&db, options(Speed::Max, 5)).await;
    let mut one = Listener::connect(replay.address()).await;
    let mut other = Listener::connect(replay.address()).await;
    one.subscribe(&["btcusdt@trade", "btcusdt@depth@100ms"])
        .await;
    other
        .subscribe(&[
            "ethusdt@bookTicker",
            "ethusdt@trade",
            "btcusdt@trade",
            "xrpusdt@trade",
        ])
        .await;
    let one = tokio::spawn(one.rest());
    let other = tokio::spawn(other.rest());
    replay.finished().await.unwrap();
    assert_eq!(
        replay.progress().frames,
        28_231,
        "all but the two REST bodies"
    );
    replay.shutdown().await;

    let mut expected = vec![ACK.to_owned()];
    expected.extend(recorded(&btc, &["btcusdt@trade", "btcusdt@depth@100ms"]));
    assert!(one.await.unwrap() == expected, "not what was recorded");

    let other = other.await.unwrap();
    assert_eq!(
        other[..2],
        [ACK, r#"{"error":"unknown","topic":"xrpusdt@trade","id":7}"#]
    );
    let of = |symbol: &str| -> Vec<&String> {
        other[2..]
            .iter()
            .filter(|text| text.starts_with(&format!("{{\"stream\":\"{symbol}")))
            .collect()
    };
    assert!(
        of("btc")
            .into_iter()
            .eq(&recorded(&btc, &["btcusdt@trade"]))
    );
    assert!(
        of("eth")
            .into_iter()
            .eq(&recorded(&eth, &["ethusdt@bookTicker", "ethusdt@trade"]))
    );
    // The files were loaded one after the other; the market ran at the same time.
    let times: Vec<i64> = other[2..]
        .iter()
        .filter_map(|text| {
            serde_json::from_str::<Value>(text)
                .unwrap()
                .pointer("/data/E")?
                .as_i64()
        })
        .collect();
    assert!(
        times.windows(2).all(|w| w[1] >= w[0] - 1000),
        "the two markets are not merged"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_markets_come_back_verbatim() {
    let (Some(first), Some(second)) = (
        real("spot_btcusdt_20240808.gz"),
        real("spot_btcusdt_20240809.gz"),
    ) else {
        return;
    };
    let db = database(FEED, &[("BTCUSDT", &first), ("BTCUSDT", &second)]);
    db.run(["seal", "--all"]).ok();
    let topics = ["btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms"];
    let mut replay = start(&db, options(Speed::Max, 3)).await;
    let mut client = Listener::connect(replay.address()).await;
    client.subscribe(&topics).await;
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    let mut expected = recorded(&first, &topics);
    expected.extend(recorded(&second, &topics));
    let got = client.await.unwrap();
    assert_eq!(got[0], ACK);
    assert!(got[1..] == expected, "not what was recorded");
}

/// What a depth message or a REST body says, for the book engine.
fn update(text: &str) -> (Update, Vec<Change>) {
    let value: Value = serde_json::from_str(text).unwrap();
    let body = value.get("data").unwrap_or(&value);
    let is_snapshot = body.get("lastUpdateId").is_some();
    let id = |key: &str| body.get(key).and_then(Value::as_u64);
    let mut changes = Vec::new();
    for (side, keys) in [(Side::Bid, ["b", "bids"]), (Side::Ask, ["a", "asks"])] {
        let levels = keys.iter().find_map(|key| body.get(key)).unwrap();
        for level in levels.as_array().unwrap() {
            let number = |at: usize| level[at].as_str().unwrap().parse().unwrap();
            changes.push((
                side,
                Level {
                    price: number(0),
                    size: number(1),
                },
            ));
        }
    }
    let update = Update {
        seq: 0,
        ts: 0,
        recv_ts: 0,
        first_id: id("U"),
        last_id: id("u").or(id("lastUpdateId")),
        prev_id: None,
        is_snapshot,
        checksum: None,
        depth: None,
    };
    (update, changes)
}

fn rest_client(address: SocketAddr, feed: &str) -> Client {
    let feed: Feed = toml::from_str(feed).unwrap();
    let secrets = Secrets::new([("key".to_owned(), Secret::new(KEY))]);
    let url = format!("http://{address}");
    Client::new("binance_spot", &feed.rest.unwrap(), Some(&url), &secrets).unwrap()
}

/// The bodies of a request.
async fn request(client: &Client, name: &str, query: &Query) -> Result<Vec<String>, Error> {
    let (to, mut from) = tokio::sync::mpsc::channel(1000);
    client.fetch(name, query, &to).await?;
    drop(to);
    let mut bodies = Vec::new();
    while let Some(message) = from.recv().await {
        if let frame::Message::Frame(frame) = message {
            bodies.push(frame.payload);
        }
    }
    Ok(bodies)
}

fn of(symbol: &str) -> Query {
    Query {
        symbol: Some(Arc::from(symbol)),
        ..Query::default()
    }
}

/// Listens to the book, fetches a snapshot after `wait_for` messages, and applies both by the venue's rule.
async fn joined_book(db: &Db, topic: &str, symbol: &str, wait_for: usize) -> (Book, Vec<Output>) {
    let mut replay = start(db, options(Speed::PerSecond(20_000.0), 1)).await;
    let rest = rest_client(replay.address(), FEED);
    let mut client = Listener::connect(replay.address()).await;
    let early = match wait_for {
        0 => Some(request(&rest, "depth", &of(symbol)).await.unwrap()),
        _ => None,
    };
    client.subscribe(&[topic]).await;
    let mut messages = client.take(1 + wait_for).await;
    messages.remove(0);
    let bodies = match early {
        Some(bodies) => bodies,
        None => request(&rest, "depth", &of(symbol)).await.unwrap(),
    };
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    messages.push(bodies[0].clone());
    messages.extend(client.await.unwrap());
    let (mut book, mut said) = (Book::default(), Vec::new());
    for message in &messages {
        let (update, changes) = update(message);
        book.apply(
            &Sequencing::FirstLast.into(),
            &update,
            changes.as_slice().into(),
            &mut said,
        );
    }
    (book, said)
}

fn assert_joined(book: &Book, said: &[Output], name: &str) {
    let wrong: Vec<&Output> = said
        .iter()
        .filter(|output| matches!(output, Output::Gap { .. } | Output::SnapshotTooOld { .. }))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
    let resyncs = said
        .iter()
        .filter(|output| matches!(output, Output::Resync { .. }));
    assert_eq!(resyncs.count(), 1, "{name}");
    assert!(book.in_sync(), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_joins_the_messages_at_any_position() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let mut ends = Vec::new();
    for wait_for in [0, 1, 300] {
        let (book, said) = joined_book(&db, "btcusdt@depth@100ms", "BTCUSDT", wait_for).await;
        assert_joined(&book, &said, &format!("after {wait_for}"));
        ends.push((
            book.bids().iter().collect::<Vec<_>>(),
            book.asks().iter().collect::<Vec<_>>(),
        ));
    }
    assert!(
        ends.windows(2).all(|w| w[0] == w[1]),
        "the books are not one"
    );
    assert!(ends[0].0.len() > 10);

    let Some(file) = real("spot_btcusdt_20240808.gz") else {
        return;
    };
    let db = database(FEED, &[("BTCUSDT", &file)]);
    let (book, said) = joined_book(&db, "btcusdt@depth@100ms", "BTCUSDT", 500).await;
    assert_joined(&book, &said, "recorded");
    // The file's oracle: see the README beside it.
    let (bid, ask) = (
        book.bids().best().unwrap().price,
        book.asks().best().unwrap().price,
    );
    assert_eq!((bid, ask), (61_685.99, 61_686.00));
    assert_eq!((book.bids().len(), book.asks().len()), (1209, 2196));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_recording_begins_with_its_book() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let range = Range {
        from_ns: Some(ns("2026-11-17T14:32:00Z")),
        to_ns: Some(ns("2026-11-17T14:33:00Z")),
    };
    let expected: Vec<String> = read_lines(&btc)
        .into_iter()
        .filter_map(|line| {
            let (time, payload) = line.split_once(' ')?;
            let time: i64 = time.parse().ok()?;
            let inside = time >= range.from_ns? && time < range.to_ns?;
            (inside && payload.contains("@depth")).then(|| payload.to_owned())
        })
        .collect();
    assert!(expected.len() > 100);
    let options = Options {
        range,
        ..options(Speed::Max, 1)
    };
    let mut replay = start(&db, options).await;
    let rest = rest_client(replay.address(), FEED);
    let bodies = request(&rest, "depth", &of("BTCUSDT")).await.unwrap();
    let mut client = Listener::connect(replay.address()).await;
    client.subscribe(&["btcusdt@depth@100ms"]).await;
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    let got = client.await.unwrap();
    assert!(got[1..] == expected);
    let (snapshot, levels) = update(&bodies[0]);
    let (first, _) = update(&expected[0]);
    assert_eq!(
        snapshot.last_id.map(|id| id + 1),
        first.first_id,
        "the book is the one of the beginning"
    );
    assert!(levels.len() > 100);
}

fn ns(time: &str) -> i64 {
    let at: jiff::Timestamp = time.parse().unwrap();
    i64::try_from(at.as_nanosecond()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_again_goes_on_at_the_present_position() {
    let btc = sample("BTCUSDT");
    let topics = ["btcusdt@bookTicker"];
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let mut replay = start(&db, options(Speed::PerSecond(10_000.0), 1)).await;
    let mut first = Listener::connect(replay.address()).await;
    first.subscribe(&topics).await;
    let mut first_part = first.take(2000).await;
    drop(first);
    // By its address this time, as the venue allows too.
    let url = format!(
        "ws://{}/stream?streams=btcusdt%40bookTicker",
        replay.address()
    );
    let second = Listener::connect_to(&url).await;
    let second = tokio::spawn(second.rest());
    replay.finished().await.unwrap();
    let connections = replay.progress().connections;
    replay.shutdown().await;
    let second_part = second.await.unwrap();
    let all = recorded(&btc, &topics);
    first_part.remove(0);
    assert!(all.starts_with(&first_part) && all.ends_with(&second_part));
    assert!(!second_part.is_empty() && first_part.len() + second_part.len() <= all.len());
    assert_eq!(connections, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribing_ends_a_topic() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let mut replay = start(&db, options(Speed::PerSecond(20_000.0), 2)).await;
    let mut client = Listener::connect(replay.address()).await;
    client
        .subscribe(&["btcusdt@trade", "btcusdt@bookTicker"])
        .await;
    client.take(100).await;
    client
        .say(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":8}"#)
        .await;
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    let rest = client.await.unwrap();
    let at = rest
        .iter()
        .position(|text| text == r#"{"result":null,"id":8}"#)
        .unwrap();
    assert!(rest[at..].iter().all(|text| !text.contains("bookTicker")));
    assert!(rest[at..].iter().any(|text| text.contains("@trade")));
}

/// A replay of a built-in folder's venue: messages a second apart.
async fn built_in(venue: &str, symbol: &str, messages: &[&str]) -> (Db, Replay) {
    let db = Db::none();
    let lines: Vec<String> = (0..)
        .zip(messages)
        .map(|(at, message)| format!("{} {message}\n", FIRST_NS + at * 1_000_000_000))
        .collect();
    let file = db.write("capture", lines.concat().as_bytes());
    db.load(venue, symbol, [file]).ok();
    let options = Options {
        speed: Speed::Max,
        start: Start::Subscriptions(1),
        ..Options::new(venue)
    };
    let replay = start(&db, options).await;
    (db, replay)
}

/// When the first of them was received.
const FIRST_NS: i64 = 1_700_000_000_000_000_000;

/// What a venue's own folder says.
fn built_in_feed(venue: &str) -> String {
    let file = format!("sql/venues/{venue}/feed.toml");
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_venues_with_an_id_or_without_one() {
    let trade = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":4136.4,"qty":0.23374249,"ord_type":"market","trade_id":4665906,"timestamp":"2023-11-14T22:13:20.123456Z"}]}"#;
    let (_db, mut replay) = built_in("kraken", "BTC/USD", &[trade]).await;
    let mut client = Listener::connect(replay.address()).await;
    assert!(client.next().await.unwrap().contains("status"));
    for (said, answer) in [
        (
            r#"{"method":"ping","req_id":101}"#,
            r#"{"method":"pong","req_id":101}"#,
        ),
        (r#"{"method":"ping"}"#, r#"{"method":"pong"}"#),
        (
            r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#,
            r#"{"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"},"success":true}"#,
        ),
    ] {
        client.say(said).await;
        assert_eq!(client.next().await.as_deref(), Some(answer));
    }
    assert_eq!(client.next().await.as_deref(), Some(trade));
    client
        .say(r#"{"method":"unsubscribe","params":{"channel":"trade","symbol":["BTC/USD"]},"req_id":3}"#)
        .await;
    assert_eq!(
        client.next().await.as_deref(),
        Some(
            r#"{"method":"unsubscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true,"req_id":3}"#
        )
    );

    replay.finished().await.unwrap();
    let rest = rest_client(replay.address(), &built_in_feed("kraken"));
    let since = Query {
        from_ns: Some(FIRST_NS),
        ..of("BTC/USD")
    };
    let pages = request(&rest, "trades", &since).await.unwrap();
    assert_eq!(
        pages[0],
        r#"{"error":[],"result":{"BTCUSD":[["4136.4","0.23374249",1700000000.123456,"s","","",4665906]],"last":"1700000000123456000"}}"#
    );
    replay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_with_products_of_their_own_are_served_and_listed() {
    let message = r#"{"type":"match","trade_id":10,"sequence":50,"time":"2023-11-14T22:13:20.028459Z","product_id":"BTC-USD","size":"5.23","price":"400.23","side":"sell"}"#;
    let (_db, mut replay) = built_in("coinbase", "BTC-USD", &[message]).await;
    let mut client = Listener::connect(replay.address()).await;
    let held = r#"{"type":"subscriptions","channels":[{"name":"heartbeat","product_ids":["BTC-USD"]},{"name":"matches","product_ids":["BTC-USD"]}]}"#;
    client
        .say(r#"{"type":"subscribe","channels":[{"name":"heartbeat","product_ids":["BTC-USD"]},{"name":"matches","product_ids":["BTC-USD"]}]}"#)
        .await;
    assert_eq!(client.take(2).await, [held, message]);
    client
        .say(r#"{"type":"unsubscribe","channels":["heartbeat"]}"#)
        .await;
    client
        .say(r#"{"type":"unsubscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#)
        .await;
    assert_eq!(
        client.take(2).await,
        [
            r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}"#,
            r#"{"type":"subscriptions","channels":[]}"#
        ]
    );

    replay.finished().await.unwrap();
    let rest = rest_client(replay.address(), &built_in_feed("coinbase"));
    let from = Query {
        from_id: Some(10),
        ..of("BTC-USD")
    };
    let pages = request(&rest, "trades", &from).await.unwrap();
    assert_eq!(
        pages[0],
        r#"[{"trade_id":10,"side":"sell","size":"5.23","price":"400.23","time":"2023-11-14T22:13:20.028459Z"}]"#
    );
    replay.shutdown().await;
}

/// The venue with a login, and the book on subscribing.
fn feed_with_login() -> String {
    FEED.replace(
        "#AUTH",
        "[websocket.auth]\nsend = '{\"op\":\"login\",\"key\":\"{{ secret.key }}\"}'\nok = { \"/login\" = \"good\" }",
    )
    .replace(
        "#ANSWERS",
        "greeting = '{\"hello\":1}'\nauthenticated = '{\"login\":\"good\"}'\nrefused = '{\"login\":\"bad\"}'\npong = 'pong'",
    )
    .replace("#HEADERS", "headers = { x-key = \"{{ secret.key }}\" }")
    .replace("snapshot = \"depth\"\n", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_good_credentials_get_anything() {
    let btc = sample("BTCUSDT");
    let feed = feed_with_login();
    let db = database(&feed, &[("BTCUSDT", &btc)]);
    let replay = start(
        &db,
        Options {
            key: Some(KEY.to_owned()),
            ..options(Speed::Max, 1)
        },
    )
    .await;
    let login = |key: &str| format!(r#"{{"key":"{key}","op":"login"}}"#);
    for said in [
        login("another-key"),
        login(""),
        r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}"#.to_owned(),
    ] {
        let mut client = Listener::connect(replay.address()).await;
        client.say(&said).await;
        assert_eq!(
            client.rest().await,
            [r#"{"hello":1}"#, r#"{"login":"bad"}"#]
        );
    }
    let mut client = Listener::connect(replay.address()).await;
    client.say(&login(KEY)).await;
    client.subscribe(&["btcusdt@trade"]).await;
    assert_eq!(
        client.take(3).await[..3],
        [r#"{"hello":1}"#, r#"{"login":"good"}"#, ACK]
    );

    let rest = rest_client(replay.address(), &feed);
    let from = |id: u64| Query {
        from_id: Some(id),
        ..of("BTCUSDT")
    };
    assert!(request(&rest, "trades", &from(0)).await.is_ok());
    let wrong = rest_client(
        replay.address(),
        &feed.replace("{{ secret.key }}", "another-key"),
    );
    let error = request(&wrong, "trades", &from(0)).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error}"
    );
    let error = request(
        &rest,
        "trades",
        &Query {
            from_id: Some(0),
            ..of("NONE")
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 400, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_that_comes_on_subscribing_comes_with_the_wires_digits() {
    // The venue's own SQL with the digits, which it gives where there is a checksum.
    let sql = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/venues/binance_spot/book_deltas.sql"),
    )
    .unwrap();
    let with_digits = sql.replace(
        "l[1]::DOUBLE AS price,",
        "l[1]::DOUBLE AS price, l[1] AS price_text, l[2] AS size_text,",
    );
    assert_ne!(sql, with_digits);
    let feed = FEED.replace(
        "snapshot = \"depth\"\n",
        "[book.checksum]\nlevels = 10\norder = \"asks_bids\"\n",
    );
    let btc = sample("BTCUSDT");
    let db = database(&feed, &[]);
    fs::write(
        db.dir().join("sql/venues/binance_spot/book_deltas.sql"),
        with_digits,
    )
    .unwrap();
    db.load("binance_spot", "BTCUSDT", [&btc]).ok();
    let mut replay = start(&db, options(Speed::PerSecond(20_000.0), 1)).await;
    let mut first = Listener::connect(replay.address()).await;
    first.subscribe(&["btcusdt@bookTicker"]).await;
    first.take(2000).await;
    let mut second = Listener::connect(replay.address()).await;
    second.subscribe(&["btcusdt@depth@100ms"]).await;
    let first = tokio::spawn(first.rest());
    let second = tokio::spawn(second.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    first.await.unwrap();
    let got = second.await.unwrap();
    assert_eq!(got[0], ACK);
    let snapshot: Value = serde_json::from_str(&got[1]).unwrap();
    let price = snapshot["bids"][0][0].as_str().unwrap();
    assert_eq!(price.split_once('.').unwrap().1.len(), 8, "{price}");
    let (mut book, mut said) = (Book::default(), Vec::new());
    for message in &got[1..] {
        let (update, changes) = update(message);
        book.apply(
            &Sequencing::FirstLast.into(),
            &update,
            changes.as_slice().into(),
            &mut said,
        );
    }
    assert_joined(&book, &said, "on subscribing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_what_has_been_up_to_now() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let trades = recorded(&btc, &["btcusdt@trade"]);
    let data = |text: &String| serde_json::from_str::<Value>(text).unwrap()["data"].clone();
    let first_id = data(&trades[0])["t"].as_u64().unwrap();
    let mut replay = start(&db, options(Speed::PerSecond(20_000.0), 1)).await;
    let rest = rest_client(replay.address(), FEED);
    let from = |id: u64| Query {
        from_id: Some(id),
        ..of("BTCUSDT")
    };
    let none = request(&rest, "trades", &from(first_id)).await.unwrap();
    assert_eq!(none, ["[]"], "nothing has happened yet");
    let mut client = Listener::connect(replay.address()).await;
    client.subscribe(&["btcusdt@trade"]).await;
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();

    let pages = request(&rest, "trades", &from(first_id + 10))
        .await
        .unwrap();
    assert_eq!(pages.len(), (trades.len() - 10) / 1000 + 1);
    let mut at = 10;
    for page in &pages {
        for row in serde_json::from_str::<Vec<Value>>(page).unwrap() {
            let trade = data(&trades[at]);
            let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
            assert_eq!(
                (row["id"].as_u64(), &row["time"]),
                (trade["t"].as_u64(), &trade["T"])
            );
            assert!(
                number(&row["price"])
                    .total_cmp(&number(&trade["p"]))
                    .is_eq()
                    && number(&row["qty"]).total_cmp(&number(&trade["q"])).is_eq()
            );
            assert_eq!(row["isBuyerMaker"], trade["m"]);
            at += 1;
        }
    }
    assert_eq!(at, trades.len());

    let (from, to) = (
        data(&trades[50])["T"].as_i64().unwrap(),
        data(&trades[1000])["T"].as_i64().unwrap(),
    );
    let between = Query {
        from_ns: Some(from * 1_000_000),
        to_ns: Some(to * 1_000_000),
        ..of("BTCUSDT")
    };
    let pages = request(&rest, "between", &between).await.unwrap();
    assert!(pages.iter().all(|page| !page.contains(KEY)));
    let mut count = 0;
    for page in &pages {
        for row in serde_json::from_str::<Value>(page).unwrap()["results"]
            .as_array()
            .unwrap()
        {
            let ns = row["t"].as_i64().unwrap();
            assert!((from * 1_000_000..(to + 1) * 1_000_000).contains(&ns));
            count += 1;
        }
    }
    let expected = trades
        .iter()
        .filter(|t| (from..=to).contains(&data(t)["T"].as_i64().unwrap()))
        .count();
    assert_eq!((count, pages.len()), (expected, expected.div_ceil(100)));
    replay.shutdown().await;
    client.await.unwrap();
}

async fn faulty(db: &Db, faults: &str) -> Vec<String> {
    let options = Options {
        faults: Faults::parse(faults).unwrap(),
        ..options(Speed::Max, 1)
    };
    let mut replay = start(db, options).await;
    let mut client = Listener::connect(replay.address()).await;
    client.subscribe(&["btcusdt@trade"]).await;
    let client = tokio::spawn(client.rest());
    replay.finished().await.unwrap();
    replay.shutdown().await;
    let mut got = client.await.unwrap();
    assert_eq!(got.remove(0), ACK);
    got
}

fn counted(texts: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_those_that_were_asked_for_and_the_seeds() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[("BTCUSDT", &btc)]);
    let all = recorded(&btc, &["btcusdt@trade"]);
    assert!(faulty(&db, "seed=1").await == all);

    let dropped = faulty(&db, "seed=1,drop=0.01").await;
    assert!(dropped.len() < all.len() && dropped.len() > all.len() * 97 / 100);
    let left: Vec<&String> = all.iter().filter(|text| dropped.contains(text)).collect();
    assert!(left.into_iter().eq(&dropped), "the others in their order");
    assert!(faulty(&db, "seed=1,drop=0.01").await == dropped);
    assert!(faulty(&db, "seed=2,drop=0.01").await != dropped);

    let twice = faulty(&db, "seed=1,duplicate=0.01").await;
    assert!(counted(&twice).values().all(|&n| n <= 2) && twice.len() > all.len());
    let mut once = twice;
    once.dedup();
    assert!(once == all);

    let reordered = faulty(&db, "seed=1,reorder=0.01").await;
    assert!(reordered != all && counted(&reordered) == counted(&all));

    let garbage = faulty(&db, "seed=1,garbage=0.01").await;
    let extra = garbage.iter().filter(|text| !all.contains(text)).count();
    assert!(extra > 10 && garbage.len() == all.len() + extra);

    let cut = faulty(&db, "disconnect=[1000]").await;
    assert!(all.starts_with(&cut) && !cut.is_empty() && cut.len() < 1000);
    let silent = faulty(&db, "silent_channel=[1000]").await;
    assert_eq!(silent, cut);
    let other = faulty(&db, "disconnect=[1000],only=[2]").await;
    assert!(other == all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_logins_fail_when_asked_to() {
    let btc = sample("BTCUSDT");
    let feed = feed_with_login();
    let db = database(&feed, &[("BTCUSDT", &btc)]);
    let faults = Faults::parse("too_many_requests=[1],auth_failure=[1],stall=[100]").unwrap();
    let mut replay = start(
        &db,
        Options {
            faults,
            ..options(Speed::Max, 1)
        },
    )
    .await;
    let rest = rest_client(replay.address(), &feed);
    let waited = std::time::Instant::now();
    let from = Query {
        from_id: Some(0),
        ..of("BTCUSDT")
    };
    assert_eq!(request(&rest, "trades", &from).await.unwrap(), ["[]"]);
    assert!(
        waited.elapsed() >= Duration::from_secs(1),
        "Retry-After says a second"
    );
    let login = format!(r#"{{"key":"{KEY}","op":"login"}}"#);
    let mut client = Listener::connect(replay.address()).await;
    client.say(&login).await;
    assert_eq!(client.rest().await[1], r#"{"login":"bad"}"#);
    let mut client = Listener::connect(replay.address()).await;
    client.say(&login).await;
    client.subscribe(&["btcusdt@bookTicker"]).await;
    assert_eq!(client.take(3).await[1], r#"{"login":"good"}"#);
    // The connection goes dead, and the replay goes on without it.
    replay.finished().await.unwrap();
    assert_eq!(replay.progress().clients, 0);
    let mut got = 0;
    let quiet = loop {
        match tokio::time::timeout(Duration::from_millis(200), client.next()).await {
            Ok(Some(_)) => got += 1,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(quiet && got < 100, "{got} messages, still open: {quiet}");
}

#[test]
fn the_command_serves_a_capture_and_ends_with_it() {
    let btc = sample("BTCUSDT");
    let db = database(FEED, &[]);
    let mut command = db.command();
    command.args([
        "replay",
        "binance_spot",
        "--symbol",
        "BTCUSDT",
        "--speed",
        "max",
    ]);
    command
        .args(["--subscriptions", "1", "--capture"])
        .arg(&btc);
    let live = Live::spawn(command);
    let address = announced(&live);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let got = runtime.block_on(async {
        let mut client = Listener::connect(address).await;
        client.subscribe(&["btcusdt@trade"]).await;
        client.rest().await
    });
    let run = live.finish().ok();
    assert!(got[1..] == recorded(&btc, &["btcusdt@trade"]));
    let sent = "14,343 of the recording's messages in".to_string();
    assert!(run.stdout.contains(&sent), "{run}");
    assert!(
        run.stdout.contains("3,686 frames sent on 1 connections"),
        "{run}"
    );
    assert!(
        !db.dir().join("market.duckdb").exists(),
        "the database was not touched"
    );
}

#[test]
fn the_command_ends_at_once_on_ctrl_c() {
    let db = database(FEED, &[("BTCUSDT", &sample("BTCUSDT"))]);
    let mut command = db.command();
    command.args(["replay", "binance_spot", "--listen", "127.0.0.1:0"]);
    let live = Live::spawn(command);
    announced(&live);
    live.interrupt();
    live.finish().exits(130);

    let mute = db.dir().join("sql/venues/mute");
    fs::create_dir_all(&mute).unwrap();
    fs::write(mute.join("feed.toml"), "description = \"no stand-in\"\n").unwrap();
    for (args, words) in [
        (vec!["mute"], ["mute", "[replay]"]),
        (vec!["nowhere"], ["unknown venue", "nowhere"]),
        (
            vec!["binance_spot", "--from", "2030-01-01"],
            ["no message", "binance_spot"],
        ),
        (
            vec!["binance_spot", "--listen", "192.0.2.1:1"],
            ["cannot listen", "192.0.2.1:1"],
        ),
    ] {
        let mut all = vec!["replay"];
        all.extend(args);
        db.run(all).fails_naming(&words);
    }
}

/// The address that the command says it listens on.
fn announced(replaying: &Live) -> SocketAddr {
    replaying.await_output();
    poll("a whole line", || replaying.output().contains('\n'));
    let output = replaying.output();
    let said = output.lines().next().unwrap();
    let (_, address) = said.rsplit_once("http://").unwrap();
    assert_eq!(
        said,
        format!("listening on ws://{address}, http://{address}")
    );
    address.parse().unwrap()
}
