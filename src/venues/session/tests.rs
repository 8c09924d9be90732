//! The documented handshakes, spoken by neutral names.

use super::*;
use crate::config::FeedSettings;
use crate::config::secrets::Secrets;
use crate::venues::feed::Feed;
use crate::venues::plan::Plan;

const KEY: &str = "PKTESTTESTTEST";

/// Channels `trades` and `book`, whose topics are told apart by their symbol.
const BY_SYMBOL: &str = r#"
[channels.trades]
table = "trades"
topic = "{{ symbol|lower }}@trade"
[channels.book]
table = "book_deltas"
topic = "{{ symbol|lower }}@depth"
"#;

/// Acknowledged by the frame's id.
const BY_ID: &str = r#"
[websocket]
url = "wss://h/ws"
frames_per_second = 5
[websocket.subscribe]
send = '{"method":"SUBSCRIBE","params":{{ topics|tojson }},"id":{{ id }}}'
unsubscribe = '{"method":"UNSUBSCRIBE","params":{{ topics|tojson }},"id":{{ id }}}'
ack = { "/result" = "null", "/id" = "{{ id }}" }
topics_per_frame = 2
[[websocket.error]]
match = { "/error/code" = "*" }
effect = "drop_topic"
detail = "/error/msg"
id = "/id"
"#;

/// Frames are arrays; the venue greets, wants a key, and names topics in words.
const WITH_KEY: &str = r#"
[secrets]
key = "VENUE_KEY"
[channels.trades]
table = "trades"
topic = "T.{{ symbol }}"
[websocket]
url = "wss://h/ws"
greeting = { "/ev" = "status", "/status" = "connected" }
[websocket.auth]
send = '{"action":"auth","params":"{{ secret.key }}"}'
ok = { "/ev" = "status", "/status" = "auth_success" }
[websocket.subscribe]
send = '{"action":"subscribe","params":"{{ topics|join(",") }}"}'
ack = { "/ev" = "status", "/message" = "subscribed to: {{ topic }}" }
[[websocket.error]]
match = { "/ev" = "status", "/status" = "auth_failed" }
effect = "stop"
detail = "/message"
[[websocket.error]]
match = { "/ev" = "status", "/status" = "max_connections" }
effect = "reconnect"
detail = "/message"
"#;

/// Topics are names without symbols, acknowledged one by one, or refused.
const BY_NAME: &str = r#"
[channels.trades]
table = "trades"
topic = "trade"
[channels.book]
table = "book_deltas"
topic = "book"
[websocket]
url = "wss://h"
[websocket.subscribe]
send = '{"event":"subscribe","pair":{{ symbols|tojson }},"subscription":{"name":"{{ channel }}"{% if channel == "book" %},"depth":1000{% endif %}}}'
unsubscribe = '{"event":"unsubscribe","pair":{{ symbols|tojson }},"subscription":{"name":"{{ channel }}"}}'
one_channel = true
ack = { "/event" = "subscriptionStatus", "/status" = "subscribed", "/pair" = "{{ symbol }}", "/subscription/name" = "{{ channel }}" }
[websocket.ping]
every = "30 s"
send = '{"event":"ping"}'
[[websocket.error]]
match = { "/event" = "subscriptionStatus", "/status" = "error" }
effect = "drop_topic"
detail = "/errorMessage"
symbol = "/pair"
topic = "/subscription/name"
"#;

/// Topics are JSON; errors name nothing; life is asked for by a bare word.
const BY_JSON: &str = r#"
[channels.trades]
table = "trades"
topic = '{"channel":"trades","instId":"{{ symbol }}"}'
[websocket]
url = "wss://h"
frames_per_second = 100
[websocket.subscribe]
send = '{"op":"subscribe","args":[{{ topics|join(",") }}]}'
topics_per_frame = 2
ack = { "/event" = "subscribe", "/arg" = "{{ topic }}" }
[websocket.ping]
every = "25 s"
send = "ping"
pong = "pong"
timeout = "5 s"
[[websocket.answer]]
match = { "" = "ping" }
send = "pong"
[[websocket.error]]
match = { "/event" = "error" }
effect = "drop_topic"
detail = "/msg"
"#;

struct Line {
    session: Session,
    now: Duration,
    wanted: Vec<Topic>,
}

fn topics(link: &Link, feed: &Feed, settings: &str) -> Vec<Topic> {
    let settings: FeedSettings = toml::from_str(&format!("venue = \"v\"\n{settings}")).unwrap();
    let (plan, _) = Plan::default().update(link, feed, &[settings]).unwrap();
    plan.connections
        .into_values()
        .flat_map(|c| c.topics)
        .collect()
}

fn feed(text: &str) -> Feed {
    toml::from_str(&format!("description = \"x\"\n{text}")).unwrap()
}

impl Line {
    fn new(feed_text: &str, settings: &str) -> Self {
        let feed = feed(feed_text);
        let secrets = feed
            .secrets
            .keys()
            .map(|name| (name.clone(), Secret::new(KEY)));
        let link = Link::new("v", &feed, &[], &Secrets::new(secrets)).unwrap();
        let wanted = topics(&link, &feed, settings);
        let session = Session::new(Arc::new(link), wanted.clone()).unwrap();
        let now = Duration::from_secs(1000);
        Self {
            session,
            now,
            wanted,
        }
    }

    /// What the session says, a line each; then `-` stands for nothing.
    fn says(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.session.poll() {
            said.push(match output {
                Output::Send(text) => format!("> {}", text.expose()),
                Output::Ping => "ping".to_owned(),
                Output::Event(note) => {
                    let symbol = note.symbol.as_deref().unwrap_or("*");
                    format!("! {} {symbol}: {}", note.kind, note.detail)
                }
                Output::Settled(topics) => format!("settled {}", topics.len()),
                Output::Refused(topic, detail) => format!("refused {}: {detail}", topic.text),
                Output::Replace(why) => format!("replace: {why}"),
                Output::Reconnect(why) => format!("reconnect: {why}"),
                Output::Stop(why) => format!("stop: {why}"),
                Output::Idle => "idle".to_owned(),
            });
        }
        said
    }

    fn open(&mut self) -> Vec<String> {
        self.session.opened(self.now);
        self.says()
    }

    fn hears(&mut self, text: &str) -> Vec<String> {
        assert_eq!(self.session.text(self.now, text), Received::AsItCame);
        self.says()
    }

    /// Lets time pass as a driver would: it wakes when the session asks for it.
    fn wait(&mut self, ms: u64) -> Vec<String> {
        let end = self.now + Duration::from_millis(ms);
        let mut said = Vec::new();
        let mut wakes = 0;
        while let Some(at) = self.session.wake_at().filter(|&at| at <= end) {
            wakes += 1;
            assert!(wakes < 1000, "it wakes over and over");
            self.now = at.max(self.now);
            self.session.tick(self.now);
            said.extend(self.says());
        }
        self.now = end;
        said
    }
}

#[track_caller]
fn check(said: &[String], expected: &[&str]) {
    assert_eq!(said, expected);
}

#[test]
fn subscribing_keeps_to_the_rate_and_ends_when_every_frame_is_acknowledged() {
    let both =
        format!("{BY_SYMBOL}{BY_ID}").replace("frames_per_second = 5", "frames_per_second = 1");
    let mut line = Line::new(&both, "symbols = [\"A\", \"B\"]");
    check(
        &line.open(),
        &[r#"> {"method":"SUBSCRIBE","params":["a@trade","a@depth"],"id":1}"#],
    );
    assert_eq!(line.session.state(), State::Subscribing);
    check(&line.hears(r#"{"result":null,"id":1}"#), &[]);
    check(
        &line.hears(r#"{"stream":"a@trade","data":{"e":"trade","id":2}}"#),
        &[],
    );
    check(
        &line.wait(1100),
        &[r#"> {"method":"SUBSCRIBE","params":["b@trade","b@depth"],"id":2}"#],
    );
    check(
        &line.hears(r#"{"result":null,"id":2}"#),
        &[
            "! subscribed *: trades A, book A, trades B, book B",
            "settled 4",
        ],
    );
    assert_eq!(
        (line.session.state(), line.session.counts()),
        (State::Live, (4, 0))
    );
}

#[test]
fn greeting_key_and_topics_named_in_words() {
    let mut line = Line::new(WITH_KEY, "symbols = [\"A\", \"B\"]");
    check(&line.open(), &[]);
    check(
        &line.hears(r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#),
        &[&format!(r#"> {{"action":"auth","params":"{KEY}"}}"#)],
    );
    check(
        &line.hears(r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#),
        &[
            "! authenticated *: ",
            r#"> {"action":"subscribe","params":"T.A,T.B"}"#,
        ],
    );
    check(
        &line.hears(r#"[{"ev":"status","status":"success","message":"subscribed to: T.B"},{"ev":"T","sym":"B"}]"#),
        &[],
    );
    check(
        &line.hears(r#"[{"ev":"status","status":"success","message":"subscribed to: T.A"}]"#),
        &["! subscribed *: trades B, trades A", "settled 2"],
    );
}

#[test]
fn a_refused_key_is_final_and_too_many_connections_are_not() {
    let greeting = r#"[{"ev":"status","status":"connected"}]"#;
    let mut line = Line::new(WITH_KEY, "symbols = [\"A\"]");
    line.open();
    line.hears(greeting);
    check(
        &line.hears(r#"[{"ev":"status","status":"auth_failed","message":"bad key"}]"#),
        &["stop: bad key"],
    );
    check(&line.wait(100_000), &[]);

    let mut line = Line::new(WITH_KEY, "symbols = [\"A\"]");
    line.open();
    line.hears(greeting);
    check(
        &line.hears(r#"[{"ev":"status","status":"max_connections","message":"one is open"}]"#),
        &["! error *: one is open", "reconnect: one is open"],
    );
}

#[test]
fn a_venue_that_does_not_answer_in_the_handshake_is_tried_anew() {
    let mut line = Line::new(WITH_KEY, "symbols = [\"A\"]");
    line.open();
    check(&line.wait(10_000), &["reconnect: the venue did not greet"]);
    let mut line = Line::new(WITH_KEY, "symbols = [\"A\"]");
    line.open();
    line.hears(r#"[{"ev":"status","status":"connected"}]"#);
    check(
        &line.wait(10_000),
        &["reconnect: no answer to the credentials"],
    );
}

#[test]
fn no_secret_leaves_but_by_the_wire() {
    let mut line = Line::new(WITH_KEY, "symbols = [\"A\"]");
    line.open();
    line.session
        .text(line.now, r#"[{"ev":"status","status":"connected"}]"#);
    let sent = line.session.poll().unwrap();
    assert!(!format!("{sent:?}").contains(KEY), "{sent:?}");
    let echo = format!(r#"[{{"ev":"status","status":"auth_failed","message":"no key {KEY}"}}]"#);
    let received = line.session.text(line.now, &echo);
    assert_eq!(received, Received::Redacted(echo.replace(KEY, "***")));
    check(&line.says(), &["stop: no key ***"]);
}

#[test]
fn topics_of_one_channel_share_a_frame_and_a_refused_symbol_is_left_out() {
    let mut line = Line::new(BY_NAME, "symbols = [\"X/Y\", \"X/Z\"]");
    check(
        &line.open(),
        &[
            r#"> {"event":"subscribe","pair":["X/Y","X/Z"],"subscription":{"name":"trade"}}"#,
            r#"> {"event":"subscribe","pair":["X/Y","X/Z"],"subscription":{"name":"book","depth":1000}}"#,
        ],
    );
    let status = |status: &str, name: &str, pair: &str| {
        format!(
            r#"{{"errorMessage":"not supported","event":"subscriptionStatus","pair":"{pair}","status":"{status}","subscription":{{"name":"{name}","depth":1000}}}}"#
        )
    };
    check(&line.hears(&status("subscribed", "trade", r"X\/Y")), &[]);
    check(&line.hears(&status("subscribed", "book", "X/Y")), &[]);
    check(
        &line.hears(&status("error", "trade", "X/Z")),
        &[
            "! refused X/Z: trade is refused: not supported",
            "refused trade: not supported",
        ],
    );
    check(
        &line.hears(&status("error", "book", "X/Z")),
        &[
            "! refused X/Z: book is refused: not supported",
            "refused book: not supported",
            "! subscribed X/Y: trades X/Y, book X/Y",
            "settled 2",
        ],
    );
    // The next connection does not ask for it again.
    let mut next = Line {
        session: line.session.successor().unwrap(),
        ..line
    };
    assert!(next.open().iter().all(|frame| !frame.contains("X/Z")));
}

#[test]
fn when_nothing_is_left_the_connection_ends() {
    let mut line = Line::new(BY_NAME, "symbols = [\"X/Y\"]\nchannels = [\"trades\"]");
    line.open();
    let refused = r#"{"errorMessage":"no","event":"subscriptionStatus","pair":"X/Y","status":"error","subscription":{"name":"trade"}}"#;
    check(
        &line.hears(refused),
        &[
            "! refused X/Y: trade is refused: no",
            "refused trade: no",
            "idle",
        ],
    );
}

#[test]
fn of_a_refused_frame_the_bad_topic_is_found_by_halving() {
    let text =
        format!("{BY_SYMBOL}{BY_ID}").replace("topics_per_frame = 2", "topics_per_frame = 8");
    let settings = "symbols = [\"A\", \"B\", \"BAD\", \"C\", \"D\"]\nchannels = [\"trades\"]";
    let mut line = Line::new(&text, settings);
    let mut said = line.open();
    let mut refused = Vec::new();
    for _ in 0..20 {
        let asked: Vec<String> = said
            .iter()
            .filter(|s| s.starts_with('>'))
            .cloned()
            .collect();
        refused.extend(said.iter().filter(|s| s.starts_with("refused")).cloned());
        said = Vec::new();
        for frame in asked {
            let frame: Value = serde_json::from_str(&frame[2..]).unwrap();
            let id = &frame["id"];
            said.extend(if frame["params"].to_string().contains("bad@trade") {
                line.hears(&format!(
                    r#"{{"error":{{"code":2,"msg":"Invalid"}},"id":{id}}}"#
                ))
            } else {
                line.hears(&format!(r#"{{"result":null,"id":{id}}}"#))
            });
        }
        said.extend(line.wait(1100));
        if said.iter().any(|s| s.starts_with("settled")) {
            break;
        }
    }
    refused.extend(said.iter().filter(|s| s.starts_with("refused")).cloned());
    check(&refused, &["refused bad@trade: Invalid"]);
    assert_eq!(line.session.counts(), (4, 0));
}

#[test]
fn an_error_that_names_nothing_is_traced_one_frame_at_a_time() {
    let settings = "symbols = [\"A\", \"BAD\", \"C\", \"D\"]\nchannels = [\"trades\"]";
    let mut line = Line::new(BY_JSON, settings);
    let mut asked = line.open();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let mut refused = Vec::new();
    for _ in 0..40 {
        let mut said = Vec::new();
        for frame in asked
            .iter()
            .filter(|s| s.starts_with('>') && s.contains("subscribe"))
        {
            let frame: Value = serde_json::from_str(&frame[2..]).unwrap();
            if frame.to_string().contains("BAD") {
                said.extend(
                    line.hears(r#"{"event":"error","code":"60018","msg":"doesn't exist"}"#),
                );
                continue;
            }
            for arg in frame["args"].as_array().unwrap() {
                said.extend(line.hears(&format!(r#"{{"event":"subscribe","arg":{arg}}}"#)));
            }
        }
        said.extend(line.wait(500));
        refused.extend(said.iter().filter(|s| s.starts_with("refused")).cloned());
        asked = said;
    }
    check(
        &refused,
        &[r#"refused {"channel":"trades","instId":"BAD"}: doesn't exist"#],
    );
    assert_eq!(line.session.counts(), (3, 0));
}

#[test]
fn what_is_not_acknowledged_is_asked_again_once_then_the_connection_goes() {
    let text = format!("{BY_SYMBOL}{BY_ID}");
    let mut line = Line::new(&text, "symbols = [\"A\", \"B\"]\nchannels = [\"trades\"]");
    line.session = Session::new(
        Arc::clone(line.session.link()),
        vec![line.wanted[0].clone(), line.wanted[1].clone()],
    )
    .unwrap();
    line.open();
    check(
        &line.wait(10_000),
        &[r#"> {"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":2}"#],
    );
    check(
        &line.wait(10_000),
        &[
            "! unacknowledged *: asked twice without an answer: trades A, trades B",
            "reconnect: a subscription was not acknowledged",
        ],
    );
}

#[test]
fn a_late_acknowledgement_counts() {
    let text = format!("{BY_SYMBOL}{BY_ID}");
    let mut line = Line::new(&text, "symbols = [\"A\"]\nchannels = [\"trades\"]");
    line.open();
    assert_eq!(line.wait(10_000).len(), 1);
    check(
        &line.hears(r#"{"result":null,"id":1}"#),
        &["! subscribed A: trades A", "settled 1"],
    );
    check(&line.wait(9_000), &[]);
}

#[test]
fn a_topic_that_is_never_answered_costs_one_connection_only() {
    let mut line = Line::new(
        BY_NAME,
        "symbols = [\"X/Y\", \"X/Z\"]\nchannels = [\"trades\"]",
    );
    let good = r#"{"event":"subscriptionStatus","pair":"X/Y","status":"subscribed","subscription":{"name":"trade"}}"#;
    line.open();
    line.hears(good);
    let said = line.wait(20_000);
    assert!(said.last().unwrap().starts_with("reconnect"), "{said:?}");
    line.session = line.session.successor().unwrap();
    line.open();
    line.hears(good);
    let quiet = |said: Vec<String>| {
        said.into_iter()
            .filter(|s| !s.contains("ping"))
            .collect::<Vec<_>>()
    };
    // Each ping is answered.
    let mut said = Vec::new();
    for _ in 0..20 {
        said.extend(quiet(line.wait(1_000)));
        line.hears("{}");
    }
    check(
        &said,
        &[
            r#"> {"event":"subscribe","pair":["X/Z"],"subscription":{"name":"trade"}}"#,
            "! subscribed X/Y: trades X/Y",
            "settled 1",
        ],
    );
    let mut said = Vec::new();
    for _ in 0..300 {
        said.extend(quiet(line.wait(1_000)));
        line.hears("{}");
    }
    check(
        &said,
        &[r#"> {"event":"subscribe","pair":["X/Z"],"subscription":{"name":"trade"}}"#],
    );
}

#[test]
fn pings_are_answered_and_any_frame_is_life() {
    let mut line = Line::new(BY_JSON, "symbols = [\"A\"]");
    line.open();
    line.hears(r#"{"event":"subscribe","arg":{"channel":"trades","instId":"A"}}"#);
    check(&line.hears("ping"), &["> pong"]);
    check(&line.wait(25_000), &["> ping"]);
    assert_eq!(line.session.text(line.now, "pong"), Received::Pong);
    check(&line.wait(25_000), &["> ping"]);
    check(&line.hears(r#"{"arg":{},"data":[]}"#), &[]);
    check(&line.wait(25_000), &["> ping"]);
    // Nothing could be read for 4 s, because the writer had no room.
    line.session.stalled(Duration::from_secs(4));
    check(&line.wait(8_000), &[]);
    check(
        &line.wait(1_000),
        &["reconnect: no sign of life after a ping"],
    );
}

#[test]
fn a_venue_without_a_rule_for_pings_gets_those_of_the_protocol() {
    let text = format!("{BY_SYMBOL}{BY_ID}");
    let mut line = Line::new(&text, "symbols = [\"A\"]\nchannels = [\"trades\"]");
    line.open();
    line.hears(r#"{"result":null,"id":1}"#);
    check(&line.wait(20_000), &["ping"]);
    line.session.alive();
    check(&line.wait(20_000), &["ping"]);
    check(
        &line.wait(10_000),
        &["reconnect: no sign of life after a ping"],
    );
}

#[test]
fn topics_by_url_are_there_at_once_and_other_topics_need_another_connection() {
    let text = format!(
        "{BY_SYMBOL}\n[websocket]\nurl = \"wss://h/{{{{ topics|join('/') }}}}\"\nreconnect_after = \"23 h\"\n"
    );
    let mut line = Line::new(&text, "symbols = [\"A\", \"B\"]\nchannels = [\"trades\"]");
    check(
        &line.open(),
        &["! subscribed *: trades A, trades B", "settled 2"],
    );
    let (gone, now) = (line.wanted[1].clone(), line.now);
    line.session.change_topics(now, &[gone], &[]);
    check(&line.says(), &["replace: other topics are wanted"]);
    assert_eq!(line.session.successor().unwrap().topics().len(), 1);
    let mut said = Vec::new();
    for _ in 0..23 * 360 {
        said.extend(line.wait(10_000));
        line.hears("{}");
    }
    said.retain(|s| s != "ping");
    check(
        &said,
        &["replace: planned, before the venue cuts the connection off"],
    );
}

#[test]
fn other_topics_leave_the_rest_alone() {
    let text = format!("{BY_SYMBOL}{BY_ID}");
    let mut line = Line::new(&text, "symbols = [\"A\", \"B\"]");
    line.open();
    line.hears(r#"{"result":null,"id":1}"#);
    line.hears(r#"{"result":null,"id":2}"#);
    let way = Arc::clone(line.session.link());
    let new = topics(
        &way,
        &feed(&text),
        "symbols = [\"C\"]\nchannels = [\"trades\"]",
    );
    let gone = line.wanted[2..].to_vec();
    line.session.change_topics(line.now, &gone, &new);
    check(
        &line.says(),
        &[
            r#"> {"method":"UNSUBSCRIBE","params":["b@trade","b@depth"],"id":3}"#,
            r#"> {"method":"SUBSCRIBE","params":["c@trade"],"id":4}"#,
        ],
    );
    check(
        &line.hears(r#"{"result":null,"id":4}"#),
        &["! subscribed C: trades C", "settled 1"],
    );
    line.session
        .change_topics(line.now, &line.session.topics(), &[]);
    check(&line.says(), &["idle"]);
}

#[test]
fn a_venue_without_unsubscribe_gets_another_connection_instead() {
    let mut line = Line::new(BY_JSON, "symbols = [\"A\", \"B\"]");
    line.open();
    for symbol in ["A", "B"] {
        line.hears(&format!(
            r#"{{"event":"subscribe","arg":{{"instId":"{symbol}","channel":"trades"}}}}"#
        ));
    }
    let gone = [line.wanted[0].clone()];
    line.session.change_topics(line.now, &gone, &[]);
    check(
        &line.says(),
        &["replace: other topics are wanted", "settled 0"],
    );
    assert_eq!(line.session.topics(), line.wanted[1..]);
}

#[test]
fn a_silent_topic_is_ended_and_asked_for_anew() {
    let text = format!("{BY_SYMBOL}{BY_ID}");
    let mut line = Line::new(&text, "symbols = [\"A\"]");
    line.open();
    line.hears(r#"{"result":null,"id":1}"#);
    let book = [line.wanted[1].clone()];
    line.session.resubscribe(line.now, &book, "silent");
    check(
        &line.says(),
        &[
            "! resubscribe A: silent: book A",
            r#"> {"method":"UNSUBSCRIBE","params":["a@depth"],"id":2}"#,
            r#"> {"method":"SUBSCRIBE","params":["a@depth"],"id":3}"#,
        ],
    );
    // Asked for already: once is enough.
    line.session.resubscribe(line.now, &book, "silent");
    check(&line.says(), &[]);
    check(&line.hears(r#"{"result":null,"id":2}"#), &[]);
    check(
        &line.hears(r#"{"result":null,"id":3}"#),
        &["! subscribed A: book A", "settled 1"],
    );
}

#[test]
fn keyed_frames_and_an_acknowledgement_of_everything() {
    let text = r#"
[channels.trades]
table = "trades"
topic = "trades"
[channels.quotes]
table = "quotes"
topic = "quotes"
[websocket]
url = "wss://h"
[websocket.subscribe]
send = '{"action":"subscribe"{% for channel, symbols in by_channel|items %},"{{ channel }}":{{ symbols|tojson }}{% endfor %}}'
ack = { "/T" = "subscription" }
[[websocket.error]]
match = { "/T" = "error", "/code" = "405" }
effect = "drop_topic"
detail = "/msg"
[[websocket.error]]
match = { "/T" = "error" }
effect = "report"
detail = "/msg"
"#;
    let mut line = Line::new(text, "symbols = [\"A\", \"B\"]");
    check(
        &line.open(),
        &[r#"> {"action":"subscribe","quotes":["A","B"],"trades":["A","B"]}"#],
    );
    check(
        &line.hears(r#"[{"T":"error","code":407,"msg":"slow client"}]"#),
        &["! error *: slow client"],
    );
    check(
        &line.hears(r#"[{"T":"subscription","trades":["A","B"],"quotes":["A","B"]}]"#),
        &[
            "! subscribed *: trades A, quotes A, trades B, quotes B",
            "settled 4",
        ],
    );
    let mut errors = 0;
    for _ in 0..1000 {
        errors += line.hears(r#"[{"T":"error","msg":"slow client"}]"#).len();
    }
    assert_eq!(errors, 19, "reports are limited");
    for _ in 0..6 {
        line.wait(10_000);
        line.hears("[]");
    }
    check(
        &line.hears(r#"[{"T":"error","msg":"slow client"}]"#),
        &["! error *: slow client (and 981 more in the minute before)"],
    );
}

#[test]
fn where_answers_name_nothing_frames_go_one_at_a_time_and_the_first_rule_counts() {
    let text = r#"
[channels.trades]
table = "trades"
topic = "trades"
[websocket]
url = "wss://h"
frames_per_second = 100
[websocket.subscribe]
send = '{"trades":{{ symbols|tojson }}}'
ack = { "/T" = "subscription" }
topics_per_frame = 1
[[websocket.error]]
match = { "/T" = "error", "/code" = "405" }
effect = "drop_topic"
detail = "/msg"
[[websocket.error]]
match = { "/T" = "error" }
effect = "reconnect"
detail = "/msg"
"#;
    let mut line = Line::new(text, "symbols = [\"A\", \"B\", \"C\"]");
    let ack = r#"[{"T":"subscription"}]"#;
    check(&line.open(), &[r#"> {"trades":["A"]}"#]);
    check(&line.hears(ack), &[r#"> {"trades":["B"]}"#]);
    check(
        &line.hears(r#"[{"T":"error","code":405,"msg":"symbol limit"}]"#),
        &[
            "! refused B: trades is refused: symbol limit",
            "refused trades: symbol limit",
            r#"> {"trades":["C"]}"#,
        ],
    );
    check(
        &line.hears(ack),
        &["! subscribed *: trades A, trades C", "settled 2"],
    );
    check(
        &line.hears(r#"[{"T":"error","code":407,"msg":"slow"}]"#),
        &["! error *: slow", "reconnect: slow"],
    );
}
