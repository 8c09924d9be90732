//! Connections and feeds against a stand-in of a venue on loopback: what comes out of the library's channel, whatever the
//! network does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mdb::config::FeedSettings;
use mdb::config::secrets::{Secret, Secrets};
use mdb::engine::feeds::{Feeds, Setup, Want, WantKind, Wish};
use mdb::engine::watch::Seen;
use mdb::model::frame::{FeedEvent, Frame, Message};
use mdb::sources::websocket::{
    Backoff, Connection, News, Notice, Options, Pacer, State, Target, check, tls,
};
use mdb::venues::feed::Feed;
use mdb::venues::plan::{Link, Plan};
use mdb::venues::{self, Venue};
use tokio::sync::{mpsc, watch};

use crate::standin::{Faults, Peer, Script, StandIn, Stream};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "SECRETSECRET-1234";

/// Subscribed by frames with ids; two channels, of which the book may not be doubled.
const FEED: &str = r#"
description = "made up"
[book]
rule = "first_last"
snapshot = "depth"
[channels.trades]
table = "trades"
topic = "{{ symbol }}@trade"
backfill = "trades"
stale_after = "10 s"
[channels.book]
table = "book_deltas"
topic = "{{ symbol }}@depth"
single = true
[websocket]
url = "wss://unreachable.invalid/ws"
frames_per_second = 100
open_every = "10 ms"
[websocket.subscribe]
send = '{"method":"SUBSCRIBE","params":{{ topics|tojson }},"id":{{ id }}}'
unsubscribe = '{"method":"UNSUBSCRIBE","params":{{ topics|tojson }},"id":{{ id }}}'
ack = { "/result" = "null", "/id" = "{{ id }}" }
[[websocket.error]]
match = { "/error" = "*" }
effect = "stop"
detail = "/error"
[rest]
url = "https://unreachable.invalid"
[rest.requests.depth]
path = "/depth?symbol={{ symbol }}"
table = "book_deltas"
[rest.requests.trades]
path = "/trades?symbol={{ symbol }}&from={{ from_ms }}"
table = "trades"
"#;

/// Acknowledges subscriptions.
fn acknowledge(peer: &Peer, text: &str) {
    let frame: serde_json::Value = serde_json::from_str(text).unwrap();
    if frame["method"] == "SUBSCRIBE" || frame["method"] == "UNSUBSCRIBE" {
        peer.send(format!(r#"{{"result":null,"id":{}}}"#, frame["id"]));
    }
}

fn options() -> Options {
    Options {
        backoff: Backoff {
            base: Duration::from_millis(5),
            most: Duration::from_millis(50),
            healthy: Duration::from_mins(1),
        },
        seed: 7,
        connect_timeout: Duration::from_secs(5),
        tls: tls().unwrap(),
    }
}

fn feed(text: &str) -> Feed {
    toml::from_str(text).unwrap()
}

fn secrets(feed: &Feed) -> Secrets {
    Secrets::new(
        feed.secrets
            .keys()
            .map(|name| (name.clone(), Secret::new(KEY))),
    )
}

fn settings(venue: &StandIn, text: &str) -> FeedSettings {
    let text = format!(
        "venue = \"made_up\"\nwebsocket = \"{}\"\n{text}",
        venue.ws_url()
    );
    toml::from_str(&text).unwrap()
}

/// A runtime, and all that comes out of connections in it.
struct Rig {
    runtime: tokio::runtime::Runtime,
    out: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    notices: mpsc::Sender<Notice>,
    noticed: mpsc::Receiver<Notice>,
    /// Everything taken so far.
    frames: Vec<Frame>,
    events: Vec<FeedEvent>,
}

impl Rig {
    fn new() -> Self {
        Self::with_room(100_000)
    }

    fn with_room(room: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (out, messages) = mpsc::channel(room);
        let (notices, news) = mpsc::channel(1000);
        Self {
            runtime,
            out,
            messages,
            notices,
            noticed: news,
            frames: Vec::new(),
            events: Vec::new(),
        }
    }

    fn target(feed_text: &str, venue: &StandIn, text: &str) -> Target {
        let feed = feed(feed_text);
        let settings = [settings(venue, text)];
        let link = Link::new("made_up", &feed, &settings, &secrets(&feed)).unwrap();
        let (plan, _) = Plan::default().update(&link, &feed, &settings).unwrap();
        let connection = plan.connections.into_values().next().unwrap();
        Target {
            link: Arc::new(link),
            number: connection.number,
            topics: connection.topics,
            may_overlap: true,
        }
    }

    fn connect(&self, target: Target) -> Connection {
        let _entered = self.runtime.enter();
        let pacer = Arc::new(Pacer::new(target.link.websocket.open_every));
        Connection::spawn(
            target,
            &options(),
            pacer,
            self.out.clone(),
            self.notices.clone(),
        )
        .unwrap()
    }

    /// Takes messages until one is such.
    fn until(&mut self, what: &str, mut such: impl FnMut(&Message) -> bool) -> Message {
        loop {
            let next = async { tokio::time::timeout(PATIENCE, self.messages.recv()).await };
            let message = self.runtime.block_on(next);
            let message = message
                .unwrap_or_else(|_| panic!("waited in vain for {what}; events: {:#?}", self.events))
                .expect("the channel is open");
            match &message {
                Message::Frame(frame) => self.frames.push(frame.clone()),
                Message::Event(event) => self.events.push(event.clone()),
                Message::Place => continue,
            }
            if such(&message) {
                return message;
            }
        }
    }

    fn until_event(&mut self, kind: &str) -> FeedEvent {
        let is = |m: &Message| matches!(m, Message::Event(event) if event.kind == kind);
        match self.until(kind, is) {
            Message::Event(event) => event,
            Message::Frame(_) | Message::Place => unreachable!("it is an event"),
        }
    }

    fn until_frame(&mut self, payload: &str) {
        self.until(
            payload,
            |m| matches!(m, Message::Frame(frame) if frame.payload == payload),
        );
    }

    fn wait_for(&self, connection: &Connection, state: State) {
        let wait = connection.wait_for(|status| status.state == state);
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, wait).await });
        assert!(
            waited.unwrap_or_default(),
            "{state:?} never came: {:?}",
            connection.status()
        );
    }

    fn next_notice(&mut self) -> News {
        let next = async { tokio::time::timeout(PATIENCE, self.noticed.recv()).await };
        self.runtime
            .block_on(next)
            .expect("no notice came")
            .unwrap()
            .news
    }

    /// Ends the connection and takes all it has read.
    fn finish(&mut self, connection: Connection) {
        let task = connection.into_task();
        let ended = async { tokio::time::timeout(PATIENCE, task).await };
        self.runtime.block_on(ended).expect("it ends").unwrap();
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Frame(frame) => self.frames.push(frame),
                Message::Event(event) => self.events.push(event),
                Message::Place => {}
            }
        }
    }

    fn payloads(&self, of: impl Fn(&str) -> bool) -> Vec<String> {
        let payloads = self.frames.iter().map(|frame| frame.payload.clone());
        payloads.filter(|payload| of(payload)).collect()
    }

    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.kind).collect()
    }
}

fn numbered(count: usize) -> Arc<Vec<String>> {
    Arc::new(
        (0..count)
            .map(|n| format!(r#"{{"e":"trade","s":"A","t":{n},"p":"1.5"}}"#))
            .collect(),
    )
}

fn is_trade(payload: &str) -> bool {
    payload.contains("\"trade\"")
}

#[test]
fn a_connection_subscribes_and_hands_on_every_frame_with_its_time() {
    let frames = numbered(20_000);
    let sent = Arc::clone(&frames);
    let venue = StandIn::start(Script::new(move |peer, text| {
        acknowledge(peer, text);
        peer.stream(Stream::new(Arc::clone(&sent)));
    }));
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\"]"));
    rig.until_frame(frames.last().unwrap());
    rig.wait_for(&connection, State::Live);
    assert_eq!(rig.payloads(is_trade), *frames);
    assert!(rig.frames.windows(2).all(|w| w[0].recv_ns <= w[1].recv_ns));
    assert!(
        rig.frames
            .iter()
            .all(|f| &*f.venue == "made_up" && &*f.channel == "ws/1")
    );
    let status = connection.status();
    assert_eq!(
        (status.confirmed, status.pending, status.frames),
        (2, 0, 20_001)
    );
    assert!(status.last_frame_ns >= rig.frames.last().unwrap().recv_ns);
    rig.finish(connection);
    assert_eq!(rig.kinds(), ["connect", "subscribed", "disconnect"]);
    match rig.next_notice() {
        News::Subscribed {
            topics,
            hole_ns: None,
        } => assert_eq!(topics.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_connection_comes_back_and_the_hole_is_told_exactly() {
    let venue = StandIn::start(Script::new(|peer, text| {
        acknowledge(peer, text);
        peer.send(format!("{{\"from\":{}}}", peer.number));
    }));
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\"]"));
    rig.until_frame("{\"from\":0}");
    assert!(matches!(
        rig.next_notice(),
        News::Subscribed { hole_ns: None, .. }
    ));
    let last_ns = rig.frames.last().unwrap().recv_ns;
    for (at, how) in [Peer::cut, Peer::close].into_iter().enumerate() {
        how(&venue.connected());
        let lost = rig.until_event("disconnect");
        assert!(lost.times_ns.unwrap().0 >= last_ns && lost.times_ns.unwrap().1 <= lost.at_ns);
        let back = rig.until_event("reconnect");
        let (from_ns, to_ns) = back.times_ns.unwrap();
        assert_eq!(from_ns, lost.times_ns.unwrap().0);
        assert!(to_ns >= lost.at_ns);
        match rig.next_notice() {
            News::Subscribed { topics, hole_ns } => {
                assert_eq!((topics.len(), hole_ns), (2, Some((from_ns, to_ns))));
            }
            other => panic!("{other:?}"),
        }
        // Sent with the acknowledgement, so it may have come before the end of the hole was told.
        let sent = format!("{{\"from\":{}}}", at + 1);
        if rig.payloads(|payload| payload == sent).is_empty() {
            rig.until_frame(&sent);
        }
    }
    rig.wait_for(&connection, State::Live);
    assert_eq!(connection.status().reconnects, 2);
    rig.finish(connection);
}

#[test]
fn a_half_open_connection_is_noticed_by_its_silence() {
    let venue = StandIn::start(Script::new(acknowledge));
    let feed = format!("{FEED}[websocket.ping]\nevery = \"50 ms\"\ntimeout = \"200 ms\"\n");
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(&feed, &venue, "symbols = [\"A\"]"));
    rig.wait_for(&connection, State::Live);
    // Pings that are answered keep it alive with no frame at all.
    let peer = venue.connected();
    for _ in 0..10 {
        venue.wait("a ping", |event| {
            matches!(event, crate::standin::Event::Ping(_)).then_some(())
        });
    }
    assert_eq!(venue.connections(), 1);
    peer.stall();
    let lost = rig.until_event("disconnect");
    assert!(lost.detail.contains("no sign of life"), "{}", lost.detail);
    rig.until_event("reconnect");
    rig.finish(connection);
}

#[test]
fn a_refused_key_is_final_until_settings_change_and_no_secret_is_told() {
    const AUTH: &str =
        "[websocket.auth]\nsend = '{\"key\":\"{{ secret.key }}\"}'\nok = { \"/ok\" = \"true\" }\n";
    let text = format!("{FEED}{AUTH}[secrets]\nkey = \"MADE_UP_KEY\"\n").replace(
        "/ws\"",
        "/ws?token={{ secret.key }}\"\nheaders = { x-key = \"{{ secret.key }}\" }",
    );
    let good = Arc::new(AtomicU64::new(0));
    let is_good = Arc::clone(&good);
    let venue = StandIn::start(Script::new(move |peer, text| {
        if !text.contains("key") {
            return acknowledge(peer, text);
        }
        if is_good.load(Ordering::SeqCst) > 0 {
            peer.send(format!(r#"{{"ok":true,"for":"{KEY}"}}"#));
        } else {
            peer.send(format!(r#"{{"error":"no such key {KEY}"}}"#));
        }
    }));
    let mut rig = Rig::new();
    let target = Rig::target(&text, &venue, "symbols = [\"A\"]");
    let connection = rig.connect(target.clone());
    let last = rig.until_event("final");
    assert!(last.detail.contains("no such key ***"), "{}", last.detail);
    rig.wait_for(&connection, State::Refused);
    assert!(matches!(rig.next_notice(), News::Final { .. }));
    let peer = venue.connected();
    assert!(peer.path.contains(KEY), "{}", peer.path);
    assert!(peer.headers.contains(&("x-key".to_owned(), KEY.to_owned())));
    assert_eq!(venue.connections(), 1);

    good.store(1, Ordering::SeqCst);
    let mut link = (*target.link).clone();
    link.websocket.frames_per_second = 99;
    connection
        .set(Target {
            link: Arc::new(link),
            ..target
        })
        .unwrap();
    rig.wait_for(&connection, State::Live);
    let told = format!("{:?}", connection.status());
    rig.finish(connection);
    let told = format!("{told}{:?}{:?}", rig.events, rig.frames);
    assert!(!told.contains(KEY), "{told}");
    assert!(rig.payloads(|p| p.contains("***")).len() >= 2);
}

/// What minijinja does not know shows only when a template is filled in.
#[test]
fn a_frame_that_cannot_be_made_is_an_error_before_any_connection() {
    let venue = StandIn::start(Script::new(acknowledge));
    for right in [
        r#""SUBSCRIBE","params":{{ topics|tojson"#,
        r#""UNSUBSCRIBE","params":{{ topics|tojson"#,
        r#""/id" = "{{ id"#,
    ] {
        assert!(FEED.contains(right), "{right}");
        let feed = FEED.replace(right, &format!("{right}|wrong"));
        let target = Rig::target(&feed, &venue, "symbols = [\"A\"]");
        let error = check(&target).unwrap_err().to_string();
        assert!(error.contains("filter wrong is unknown"), "{error}");
    }
    check(&Rig::target(FEED, &venue, "symbols = [\"A\"]")).unwrap();
}

/// Many venues hang up right behind the frame that says why.
#[test]
fn what_a_venue_says_before_it_hangs_up_is_heard() {
    const AUTH: &str = "[websocket.auth]\nsend = 'login'\nok = { \"/ok\" = \"true\" }\n";
    let venue = StandIn::start(Script::new(|peer, _| {
        peer.send_and_close(r#"{"error":"no such key"}"#);
    }));
    let mut rig = Rig::new();
    let feed = format!("{FEED}{AUTH}");
    let connection = rig.connect(Rig::target(&feed, &venue, "symbols = [\"A\"]"));
    let last = rig.until_event("final");
    assert!(last.detail.contains("no such key"), "{}", last.detail);
    rig.wait_for(&connection, State::Refused);
    assert_eq!(venue.connections(), 1);
    rig.finish(connection);
}

#[test]
fn a_planned_reconnect_loses_and_doubles_nothing_that_must_be_single() {
    // Both connections get the same stream of trades, as from a real venue; the book only goes to its subscriber.
    let venue = StandIn::start(Script::new(acknowledge));
    let feed = FEED.replace("[websocket]", "[websocket]\nreconnect_after = \"300 ms\"");
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(&feed, &venue, "symbols = [\"A\"]"));
    let first = venue.connected();
    let (_, all) = venue.text(|text| text.contains("SUBSCRIBE"));
    assert!(all.contains("A@trade") && all.contains("A@depth"), "{all}");
    let second = venue.connected();
    let (peer, trades) = venue.text(|text| text.contains("SUBSCRIBE"));
    assert_eq!(peer.number, second.number);
    assert!(
        trades.contains("A@trade") && !trades.contains("A@depth"),
        "{trades}"
    );
    venue.closed(&first);
    let (peer, book) = venue.text(|text| text.contains("SUBSCRIBE"));
    assert_eq!(peer.number, second.number);
    assert!(
        !book.contains("A@trade") && book.contains("A@depth"),
        "{book}"
    );
    let hole = rig.until_event("reconnect");
    assert!(hole.detail.contains("1 subscriptions"), "{}", hole.detail);
    let connected = rig.events.iter().filter(|e| e.kind == "connect").count();
    assert_eq!(connected, 2);
    assert!(matches!(
        rig.next_notice(),
        News::Subscribed { hole_ns: None, .. }
    ));
    match rig.next_notice() {
        News::Subscribed {
            topics,
            hole_ns: Some(_),
        } => {
            assert_eq!(
                topics.iter().map(|t| &*t.channel).collect::<Vec<_>>(),
                ["book"]
            );
        }
        other => panic!("{other:?}"),
    }
    rig.finish(connection);
}

#[test]
fn a_planned_reconnect_loses_no_trade() {
    let frames = numbered(3000);
    let next = Arc::new(AtomicU64::new(0));
    let venue = StandIn::start(Script::new(move |peer, text| {
        acknowledge(peer, text);
        // Whoever is connected gets what is due; while two are, each trade comes by one of them.
        let stream = Stream::new(Arc::clone(&frames))
            .rate(3000.0)
            .from(Arc::clone(&next));
        peer.stream(stream);
    }));
    let feed = FEED
        .replace("[websocket]", "[websocket]\nreconnect_after = \"200 ms\"")
        .replace("single = true", "");
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(
        &feed,
        &venue,
        "symbols = [\"A\"]\nchannels = [\"trades\"]",
    ));
    for _ in 0..2 {
        rig.until("a takeover", |m| {
            matches!(m, Message::Event(e) if e.kind == "disconnect" && e.detail.contains("taken over"))
        });
    }
    let trades = rig.payloads(is_trade).len();
    assert!(trades > 300, "{trades}");
    assert!(
        !rig.kinds().contains(&"reconnect"),
        "there was no hole: {:?}",
        rig.kinds()
    );
    rig.finish(connection);
}

#[test]
fn a_full_channel_stops_the_reading_and_nothing_is_lost() {
    // More than the system's own buffers hold.
    let long = numbered(60_000)
        .iter()
        .map(|frame| format!("{frame}{}", " ".repeat(600)))
        .collect();
    let frames: Arc<Vec<String>> = Arc::new(long);
    let sent = Arc::clone(&frames);
    let next = Arc::new(AtomicU64::new(0));
    let progress = Arc::clone(&next);
    let venue = StandIn::start(Script::new(move |peer, text| {
        acknowledge(peer, text);
        peer.stream(Stream::new(Arc::clone(&sent)).from(Arc::clone(&next)));
    }));
    let mut rig = Rig::with_room(100);
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\"]"));
    // Nobody takes anything: the venue's sending comes to a standstill long before its end.
    rig.runtime.block_on(async {
        let mut last = 0;
        let mut still = 0;
        while still < 30 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = progress.load(Ordering::SeqCst);
            still = if now == last && now > 0 { still + 1 } else { 0 };
            last = now;
        }
    });
    let stuck = progress.load(Ordering::SeqCst);
    assert!(stuck < 60_000, "all {stuck} frames were taken in");
    rig.until_frame(frames.last().unwrap());
    assert_eq!(rig.payloads(is_trade), *frames);
    let event = rig.until_event("backpressure");
    let (from_ns, to_ns) = event.times_ns.unwrap();
    assert!(to_ns - from_ns >= 300_000_000, "{event:?}");
    assert!(connection.status().held_back >= Duration::from_millis(300));
    rig.finish(connection);
    assert!(!rig.kinds().contains(&"reconnect"));
}

#[test]
fn other_topics_take_effect_without_a_new_connection() {
    let venue = StandIn::start(Script::new(acknowledge));
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\", \"B\"]"));
    rig.wait_for(&connection, State::Live);
    venue.text(|text| text.contains("SUBSCRIBE"));
    connection
        .set(Rig::target(FEED, &venue, "symbols = [\"A\", \"C\"]"))
        .unwrap();
    let (_, ended) = venue.text(|text| text.contains("UNSUBSCRIBE"));
    assert!(
        ended.contains("B@trade") && ended.contains("B@depth") && !ended.contains("A@"),
        "{ended}"
    );
    let (_, asked) = venue.text(|text| text.contains("\"SUBSCRIBE"));
    assert!(
        asked.contains("C@trade") && asked.contains("C@depth") && !asked.contains("A@"),
        "{asked}"
    );
    rig.until(
        "C subscribed",
        |m| matches!(m, Message::Event(e) if e.symbol.as_deref() == Some("C")),
    );
    assert_eq!(venue.connections(), 1);
    connection.resubscribe(connection.status().topics[..1].to_vec(), "silent");
    venue.text(|text| text.contains("UNSUBSCRIBE") && text.contains("A@trade"));
    venue.text(|text| text.contains("\"SUBSCRIBE") && text.contains("A@trade"));
    rig.finish(connection);
}

#[test]
fn a_venue_that_is_down_is_tried_until_it_is_up() {
    let gone = StandIn::start(Script::new(acknowledge));
    let at = gone.address();
    let target = Rig::target(FEED, &gone, "symbols = [\"A\"]");
    drop(gone);
    let mut rig = Rig::new();
    let connection = rig.connect(target);
    let failed = rig.until_event("connect_failed");
    assert!(
        failed.detail.contains("cannot connect"),
        "{}",
        failed.detail
    );
    let again = rig.until_event("connect_failed");
    assert!(again.detail.contains("attempt 2"), "{}", again.detail);
    let _venue = StandIn::start_at(at, Script::new(acknowledge).refuse(2));
    rig.wait_for(&connection, State::Live);
    rig.finish(connection);
    assert!(
        rig.kinds()
            .ends_with(&["connect", "subscribed", "disconnect"]),
        "{:?}",
        rig.kinds()
    );
}

#[test]
fn compressed_frames_become_texts_and_what_is_none_is_told() {
    let text = r#"{"e":"trade","s":"A","t":1}"#;
    let venue = StandIn::start(Script::new(move |peer, said| {
        acknowledge(peer, said);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        peer.send_binary(gzip.finish().unwrap());
        peer.send_binary(vec![0xff, 0x00, 0xfe, 0x99]);
        peer.send("{\"after\":1}");
    }));
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\"]"));
    rig.until_frame("{\"after\":1}");
    assert_eq!(rig.payloads(is_trade), [text]);
    let error = rig
        .events
        .iter()
        .find(|event| event.kind == "error")
        .unwrap();
    assert!(
        error.detail.contains("4 bytes, ff 00 fe 99"),
        "{}",
        error.detail
    );
    rig.finish(connection);
}

#[test]
fn a_faulty_stream_comes_through_as_it_is() {
    let frames = numbered(5000);
    let faults = Faults {
        seed: 3,
        drop: 0.05,
        duplicate: 0.05,
        reorder: 0.05,
        garbage: 0.02,
        delay: 0.001,
    };
    let sent = Arc::clone(&frames);
    let venue = StandIn::start(Script::new(move |peer, text| {
        acknowledge(peer, text);
        peer.stream(Stream::new(Arc::clone(&sent)).faults(faults));
    }));
    let mut rig = Rig::new();
    let connection = rig.connect(Rig::target(FEED, &venue, "symbols = [\"A\"]"));
    venue.wait("the stream's end", |e| {
        matches!(e, crate::standin::Event::Streamed(_)).then_some(())
    });
    let peer = venue.connected();
    peer.send("{\"end\":1}");
    rig.until_frame("{\"end\":1}");
    rig.finish(connection);
    let trades = rig.payloads(|p| p.contains("\"t\":"));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for trade in &trades {
        *counts.entry(trade).or_default() += 1;
    }
    let doubled = counts.values().filter(|n| **n == 2).count();
    let whole = frames
        .iter()
        .filter(|frame| counts.contains_key(frame.as_str()))
        .count();
    assert!((4600..4900).contains(&whole), "{whole} came");
    assert!((100..400).contains(&doubled), "{doubled} came twice");
    assert!(
        trades
            .windows(2)
            .any(|w| w[0] > w[1] && w[0].len() == w[1].len()),
        "none swapped"
    );
}

/// The supervisor of feeds, with the venue in `venue`.
struct Fed {
    rig: Rig,
    feeds: Option<Feeds>,
    seen: watch::Sender<Arc<Seen>>,
    lost: mpsc::Sender<Want>,
    wants: mpsc::Receiver<Want>,
}

impl Fed {
    fn new() -> Self {
        let rig = Rig::new();
        let (seen, seen_receiver) = watch::channel(Arc::new(Seen::new()));
        let (lost, lost_receiver) = mpsc::channel(16);
        let (wants_sender, wants) = mpsc::channel(16);
        let entered = rig.runtime.enter();
        let feeds = Feeds::spawn(Setup {
            options: options(),
            out: rig.out.clone(),
            seen: seen_receiver,
            lost: lost_receiver,
            wants: wants_sender,
            look_every: Duration::from_hours(1),
        });
        drop(entered);
        Self {
            rig,
            feeds: Some(feeds),
            seen,
            lost,
            wants,
        }
    }

    fn feeds(&self) -> &Feeds {
        self.feeds.as_ref().unwrap()
    }

    fn apply(&self, feed_text: &str, sections: Vec<FeedSettings>) -> Result<(), String> {
        let feed = feed(feed_text);
        let wishes = if sections.is_empty() {
            vec![]
        } else {
            vec![Wish {
                secrets: secrets(&feed),
                venue: Venue {
                    name: "made_up".to_owned(),
                    feed,
                    normalizers: Vec::new(),
                    control: None,
                },
                settings: sections,
            }]
        };
        let applied = self.rig.runtime.block_on(self.feeds().apply(wishes));
        applied.map_err(|error| error.to_string())
    }

    fn want(&mut self) -> Want {
        let next = async { tokio::time::timeout(PATIENCE, self.wants.recv()).await };
        self.rig
            .runtime
            .block_on(next)
            .expect("nothing was wanted")
            .unwrap()
    }

    fn stop(&mut self) -> Vec<String> {
        let feeds = self.feeds.take().unwrap();
        self.rig.runtime.block_on(feeds.stop())
    }
}

#[test]
fn feeds_follow_settings_and_a_faulty_edit_changes_nothing() {
    let venue = StandIn::start(Script::new(acknowledge));
    let mut fed = Fed::new();
    fed.apply(FEED, vec![settings(&venue, "symbols = [\"A\"]")])
        .unwrap();
    venue.text(|text| text.contains("A@trade"));
    fed.rig.until_event("subscribed");
    fed.apply(FEED, vec![settings(&venue, "symbols = [\"A\", \"B\"]")])
        .unwrap();
    let (_, asked) = venue.text(|text| text.contains("B@trade"));
    assert!(!asked.contains("A@trade"), "{asked}");
    fed.rig.until_event("subscribed");
    let error = fed.apply(
        FEED,
        vec![settings(&venue, "symbols = [\"A\"]\nchannels = [\"bok\"]")],
    );
    assert!(error.unwrap_err().contains("no channel 'bok'"));
    let status = fed.rig.runtime.block_on(fed.feeds().status()).unwrap();
    assert_eq!((status.len(), status[0].status.confirmed), (1, 4));
    assert_eq!(status[0].status.state, State::Live);
    assert_eq!(venue.connections(), 1);
    // Another feed.toml: a new connection takes over.
    let other = FEED.replace("frames_per_second = 100", "frames_per_second = 50");
    fed.apply(&other, vec![settings(&venue, "symbols = [\"A\", \"B\"]")])
        .unwrap();
    fed.rig.until("a takeover", |m| {
        matches!(m, Message::Event(e) if e.kind == "disconnect" && e.detail.contains("taken over"))
    });
    assert_eq!(venue.connections(), 2);
    fed.apply(FEED, vec![]).unwrap();
    fed.rig.until(
        "the end",
        |m| matches!(m, Message::Event(e) if e.kind == "disconnect" && e.detail == "stopped"),
    );
    assert!(
        fed.rig
            .runtime
            .block_on(fed.feeds().status())
            .unwrap()
            .is_empty()
    );
    assert_eq!(fed.stop(), Vec::<String>::new());
}

#[test]
fn books_and_missed_trades_are_wanted_when_they_must_be() {
    let venue = StandIn::start(Script::new(acknowledge));
    let mut fed = Fed::new();
    fed.apply(FEED, vec![settings(&venue, "symbols = [\"A\"]")])
        .unwrap();
    let want = |kind| Want {
        venue: "made_up".into(),
        symbol: "A".into(),
        kind,
    };
    let backfill = |since_ns| WantKind::Backfill {
        channel: "trades".into(),
        since_ns,
    };
    let mut first = [fed.want(), fed.want()];
    first.sort_by_key(|w| w.kind == WantKind::Snapshot);
    assert_eq!(first, [want(backfill(None)), want(WantKind::Snapshot)]);
    venue.connected().cut();
    let back = fed.rig.until_event("reconnect");
    let since_ns = Some(back.times_ns.unwrap().0);
    let mut second = [fed.want(), fed.want()];
    second.sort_by_key(|w| w.kind == WantKind::Snapshot);
    assert_eq!(second, [want(backfill(since_ns)), want(WantKind::Snapshot)]);
    // A book that its reader has lost is fetched by request …
    fed.lost.blocking_send(want(WantKind::Heal)).unwrap();
    assert_eq!(fed.want(), want(WantKind::Heal));
    // … or subscribed anew, where the venue sends it then.
    let by_frames = FEED.replace("snapshot = \"depth\"", "");
    fed.apply(&by_frames, vec![settings(&venue, "symbols = [\"A\"]")])
        .unwrap();
    fed.lost.blocking_send(want(WantKind::Heal)).unwrap();
    venue.text(|text| text.contains("UNSUBSCRIBE") && text.contains("A@depth"));
    assert_eq!(fed.stop(), Vec::<String>::new());
}

#[test]
fn a_copy_that_never_broke_off_makes_a_request_needless() {
    let venue = StandIn::start(Script::new(acknowledge));
    let mut fed = Fed::new();
    let section = "symbols = [\"A\"]\nchannels = [\"trades\"]\nredundancy = 2";
    fed.apply(FEED, vec![settings(&venue, section)]).unwrap();
    fed.rig.until_event("subscribed");
    fed.rig.until_event("subscribed");
    assert!(matches!(
        fed.want().kind,
        WantKind::Backfill { since_ns: None, .. }
    ));
    let status = loop {
        let status = fed.rig.runtime.block_on(fed.feeds().status()).unwrap();
        if status.iter().all(|s| s.status.settled_ns.is_some()) {
            break status;
        }
    };
    assert_eq!(
        status
            .iter()
            .map(|s| (s.number, s.replica))
            .collect::<Vec<_>>(),
        [(1, 0), (2, 1)]
    );
    // What is missed begins after the last frame, when both were up.
    let first = venue.connected();
    first.send("{\"last\":1}");
    fed.rig.until_frame("{\"last\":1}");
    first.cut();
    fed.rig.until_event("reconnect");
    // Once the connection tells of another reconnect, it has given notice of the first.
    let anew = venue.wait("the connection anew", |event| match event {
        crate::standin::Event::Connected(peer) if peer.number == 2 => Some(peer.clone()),
        _ => None,
    });
    anew.send("{\"last\":2}");
    fed.rig.until_frame("{\"last\":2}");
    anew.cut();
    fed.rig.until_event("reconnect");
    fed.rig.runtime.block_on(fed.feeds().look(0)).unwrap();
    assert!(fed.wants.try_recv().is_err());
    assert_eq!(fed.stop(), Vec::<String>::new());
}

#[test]
fn a_silent_channel_is_noticed_asked_for_anew_and_then_reconnected() {
    const S: i64 = 1_000_000_000;
    let venue = StandIn::start(Script::new(acknowledge));
    let mut fed = Fed::new();
    fed.apply(
        FEED,
        vec![settings(
            &venue,
            "symbols = [\"A\", \"B\"]\nchannels = [\"trades\"]",
        )],
    )
    .unwrap();
    fed.rig.until_event("subscribed");
    fed.want();
    let subscribed = "\"SUBSCRIBE";
    venue.text(|text| text.contains(subscribed));
    let settled = |fed: &Fed| {
        loop {
            let status = fed.rig.runtime.block_on(fed.feeds().status()).unwrap();
            if let (Some(settled_ns), State::Live) =
                (status[0].status.settled_ns, status[0].status.state)
            {
                return settled_ns;
            }
        }
    };
    let start = settled(&fed);
    let look = |fed: &Fed, s: i64| {
        fed.rig
            .runtime
            .block_on(fed.feeds().look(start + s * S))
            .unwrap();
    };
    let seen = |fed: &Fed, symbols: &[&str], s: i64| {
        fed.seen.send_modify(|seen| {
            for symbol in symbols {
                let key = (
                    "made_up".into(),
                    "ws/1".into(),
                    "trades".into(),
                    (*symbol).into(),
                );
                Arc::make_mut(seen).insert(key, start + s * S);
            }
        });
    };
    seen(&fed, &["A", "B"], 1);
    look(&fed, 1);
    // B falls silent while A flows.
    seen(&fed, &["A"], 12);
    look(&fed, 12);
    let (_, asked) = venue.text(|text| text.contains(subscribed));
    assert!(
        asked.contains("B@trade") && !asked.contains("A@trade"),
        "{asked}"
    );
    fed.rig.until_event("subscribed");
    settled(&fed);
    seen(&fed, &["A"], 23);
    look(&fed, 23);
    assert_eq!(fed.rig.until_event("quiet").symbol.as_deref(), Some("B"));
    // All fall silent.
    look(&fed, 50);
    fed.rig.until_event("stale");
    let (_, asked) = venue.text(|text| text.contains(subscribed));
    assert!(
        asked.contains("B@trade") && asked.contains("A@trade"),
        "{asked}"
    );
    fed.rig.until_event("subscribed");
    settled(&fed);
    look(&fed, 61);
    let lost = fed.rig.until_event("disconnect");
    assert!(
        lost.detail.contains("trades stays silent"),
        "{}",
        lost.detail
    );
    fed.rig.until_event("reconnect");
    settled(&fed);
    seen(&fed, &["A", "B"], 62);
    look(&fed, 62);
    fed.rig.until_event("fresh");
    assert_eq!(fed.stop(), Vec::<String>::new());
}

#[test]
fn stopping_takes_bounded_time_even_if_nobody_takes_the_frames() {
    let frames = numbered(100_000);
    let venue = StandIn::start(Script::new(move |peer, text| {
        acknowledge(peer, text);
        peer.stream(Stream::new(Arc::clone(&frames)));
    }));
    let rig = Rig::with_room(10);
    let (_seen, seen) = watch::channel(Arc::new(Seen::new()));
    let (_lost, lost) = mpsc::channel(16);
    let (wants, _wants) = mpsc::channel(16);
    let unfinished = rig.runtime.block_on(async {
        let feeds = Feeds::spawn(Setup {
            options: options(),
            out: rig.out.clone(),
            seen,
            lost,
            wants,
            look_every: Duration::from_secs(1),
        });
        let feed = feed(FEED);
        let wish = Wish {
            secrets: secrets(&feed),
            venue: Venue {
                name: "made_up".to_owned(),
                feed,
                normalizers: Vec::new(),
                control: None,
            },
            settings: vec![settings(&venue, "symbols = [\"A\"]")],
        };
        feeds.apply(vec![wish]).await.unwrap();
        while rig.out.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        feeds.stop().await
    });
    assert_eq!(unfinished, ["made_up ws/1"]);
}

#[test]
fn a_venue_that_cannot_be_is_an_error_that_says_what_to_do() {
    let tree = mdb::sqltree::SqlTree::load(std::path::Path::new("nowhere")).unwrap();
    let error = venues::load(&tree, "nosuch").unwrap_err().to_string();
    assert!(error.contains("unknown venue 'nosuch'"), "{error}");
}
