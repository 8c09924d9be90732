//! The templates of each venue's feed.toml against each other: a stand-in (`[replay]`) understands what the client
//! sends (`[websocket]`), and its answers are what the client waits for and what the SQL reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, Value as Filled};
use serde_json::Value as Json;
use toml::Value as Toml;

use crate::normalized::{empty, made};

/// With the symbols in the venue's spelling.
const VENUES: [(&str, [&str; 2]); 7] = [
    ("binance_spot", ["BTCUSDT", "ETHUSDT"]),
    ("binance_usdm", ["BTCUSDT", "ETHUSDT"]),
    ("binance_coinm", ["BTCUSD_PERP", "ETHUSD_PERP"]),
    ("coinbase", ["BTC-USD", "ETH-USD"]),
    ("kraken", ["BTC/USD", "ETH/USD"]),
    ("okx", ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]),
    ("hitbtc", ["ETHBTC", "VETBTC"]),
];

/// A feed.toml, read without mdb.
struct Feed {
    venue: &'static str,
    toml: Toml,
}

type Names = BTreeMap<&'static str, Filled>;

impl Feed {
    fn read(venue: &'static str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("sql/venues")
            .join(venue)
            .join("feed.toml");
        let toml = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        Self { venue, toml }
    }

    fn at(&self, keys: &[&str]) -> Option<&Toml> {
        keys.iter()
            .try_fold(&self.toml, |value, key| value.get(key))
    }

    fn text(&self, keys: &[&str]) -> &str {
        self.at(keys)
            .and_then(Toml::as_str)
            .unwrap_or_else(|| panic!("{}: no {keys:?}", self.venue))
    }

    fn number(&self, keys: &[&str], default: usize) -> usize {
        let number = self.at(keys).and_then(Toml::as_integer);
        number.map_or(default, |number| number.try_into().unwrap())
    }

    /// Templates of channels by name.
    fn topics(&self) -> Vec<&str> {
        let channels = self.at(&["channels"]).unwrap().as_table().unwrap();
        let topics = channels
            .values()
            .map(|channel| channel["topic"].as_str().unwrap());
        topics.collect()
    }

    fn json(&self, keys: &[&str], names: &Names) -> Json {
        let text = fill(self.text(keys), names);
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {keys:?}: {error}: {text}", self.venue))
    }

    #[track_caller]
    fn assert_matches(&self, keys: &[&str], names: &Names, frame: &Json) {
        let matched = self
            .at(keys)
            .unwrap_or_else(|| panic!("{}: no {keys:?}", self.venue));
        for (pointer, text) in matched.as_table().unwrap() {
            let found = frame.pointer(pointer).map(text_of);
            let wanted = fill(text.as_str().unwrap(), names);
            assert!(
                found
                    .as_ref()
                    .is_some_and(|found| wanted == "*" || *found == wanted),
                "{}: {keys:?}: {pointer} is {found:?}, not {wanted:?}, in {frame}",
                self.venue
            );
        }
    }

    /// What stands where a pointer of `[replay.subscribe]` leads: the elements of an array, or one value.
    fn pointed(&self, key: &str, frame: &Json) -> Option<Vec<String>> {
        let pointer = self.at(&["replay", "subscribe", key])?.as_str().unwrap();
        let value = frame
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{}: nothing at {pointer} of {frame}", self.venue));
        Some(value.as_array().map_or_else(
            || vec![text_of(value)],
            |elements| elements.iter().map(text_of).collect(),
        ))
    }
}

/// Strings as they are, everything else as JSON writes it.
fn text_of(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A name that is not given is an error, as in mdb.
fn fill(template: &str, names: &Names) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_str(template, names)
        .unwrap_or_else(|error| panic!("{template}: {error}"))
}

fn of_symbol(symbol: &str) -> Names {
    BTreeMap::from([("symbol", Filled::from(symbol))])
}

#[test]
fn what_clients_send_is_understood_and_answered() {
    let db = empty();
    for (venue, symbols) in VENUES {
        let feed = Feed::read(venue);
        let mut answers = Vec::new();
        let a_frame = feed.number(&["websocket", "subscribe", "topics_per_frame"], 100);
        for topic in feed.topics() {
            let symbols = &symbols[..symbols.len().min(a_frame)];
            let topics: Vec<String> = symbols
                .iter()
                .map(|symbol| fill(topic, &of_symbol(symbol)))
                .collect();
            let by_channel = BTreeMap::from([(topics[0].clone(), symbols.to_vec())]);
            let names = BTreeMap::from([
                ("id", Filled::from(7)),
                ("topics", Filled::from(topics.clone())),
                ("symbols", Filled::from(symbols.to_vec())),
                ("channel", Filled::from(topics[0].clone())),
                ("by_channel", Filled::from(by_channel)),
            ]);
            feed.json(&["websocket", "subscribe", "unsubscribe"], &names);
            let sent = feed.json(&["websocket", "subscribe", "send"], &names);
            feed.assert_matches(&["replay", "subscribe", "match"], &Names::new(), &sent);
            if let Some(read) = feed.pointed("topics", &sent) {
                assert_eq!(read, topics, "{venue}");
            } else {
                let (read, channel) = (
                    feed.pointed("symbols", &sent),
                    feed.pointed("channels", &sent),
                );
                assert_eq!(read.unwrap(), symbols, "{venue}");
                assert_eq!(channel.unwrap(), topics[..1], "{venue}");
            }
            if let Some(id) = feed.pointed("id", &sent) {
                assert_eq!(id, ["7"], "{venue}");
            }
            for (topic, symbol) in topics.iter().zip(symbols) {
                let held = BTreeMap::from([(topic.clone(), vec![*symbol])]);
                let names = BTreeMap::from([
                    ("id", Filled::from(7)),
                    ("topic", Filled::from(topic.clone())),
                    ("topics", Filled::from(topics.clone())),
                    ("symbol", Filled::from(*symbol)),
                    ("channel", Filled::from(topic.clone())),
                    ("held", Filled::from(held)),
                ]);
                let answer = feed.json(&["replay", "subscribed"], &names);
                feed.assert_matches(&["websocket", "subscribe", "ack"], &names, &answer);
                answers.push(answer.to_string());
                answers.push(feed.json(&["replay", "unsubscribed"], &names).to_string());
            }
        }
        if feed.at(&["websocket", "greeting"]).is_some() {
            let greeting = feed.json(&["replay", "greeting"], &Names::new());
            feed.assert_matches(&["websocket", "greeting"], &Names::new(), &greeting);
            answers.push(greeting.to_string());
        }
        let answers: Vec<_> = answers
            .iter()
            .map(|answer| ("ws/1", "", answer.as_str()))
            .collect();
        let read = made(&db, venue, &answers);
        let control = |n| (n, "control".to_owned(), String::new());
        assert_eq!(
            read,
            (0..answers.len()).map(control).collect(),
            "{venue}: {answers:?}"
        );
    }
}

#[test]
fn a_stand_ins_snapshot_is_a_book() {
    let db = empty();
    for (venue, [symbol, _]) in VENUES {
        let feed = Feed::read(venue);
        let levels = |levels: [[&'static str; 2]; 2]| {
            Filled::from(levels.map(|level| level.to_vec()).to_vec())
        };
        let names = BTreeMap::from([
            ("symbol", Filled::from(symbol)),
            ("last_id", Filled::from(42)),
            ("bids", levels([["9.50", "1.0"], ["9.40", "2.00"]])),
            ("asks", levels([["9.60", "3"], ["9.70", "0.4"]])),
            ("ts_ms", Filled::from(1_700_000_000_000_u64)),
            ("ts", Filled::from("2023-11-14T22:13:20Z")),
        ]);
        let snapshot = fill(feed.text(&["replay", "snapshot"]), &names);
        let channel = match feed.at(&["book", "snapshot"]).and_then(Toml::as_str) {
            Some(request) => format!("rest/{request}"),
            None => "ws/1".to_owned(),
        };
        let read = made(&db, venue, &[(&channel, symbol, &snapshot)]);
        let id = if feed.text(&["book", "rule"]) == "none" {
            ""
        } else {
            "42"
        };
        let start = format!("{symbol}|1700000000000000000||{id}||true");
        let want = [
            "ask||9.6|3.0",
            "ask||9.7|0.4",
            "bid||9.4|2.0",
            "bid||9.5|1.0",
        ];
        let want: Vec<String> = want
            .iter()
            .map(|level| format!("{start}|{level}"))
            .collect();
        let got: Vec<&str> = read.iter().map(|(_, _, row)| row.as_str()).collect();
        assert_eq!(got, want, "{venue}: {snapshot}");
        let with_checksum = names
            .into_iter()
            .chain([("checksum", Filled::from(5))])
            .collect();
        let snapshot = fill(feed.text(&["replay", "snapshot"]), &with_checksum);
        serde_json::from_str::<Json>(&snapshot).unwrap();
    }
}

#[test]
fn requests_can_be_filled_in() {
    for (venue, [symbol, _]) in VENUES {
        let feed = Feed::read(venue);
        let requests = feed.at(&["rest", "requests"]).unwrap().as_table().unwrap();
        for (name, request) in requests {
            let mut names = BTreeMap::from([
                ("symbol", Filled::from(symbol)),
                ("from_id", Filled::from(1000)),
                ("interval", Filled::from("1m")),
                ("from_time", Filled::from("2023-11-14T22:13:20Z")),
                ("to_time", Filled::from("2023-11-14T23:13:20Z")),
            ]);
            for (ms, ns, time) in [
                ("from_ms", "from_ns", 1_700_000_000_000_i64),
                ("to_ms", "to_ns", 1_700_003_600_000),
            ] {
                names.insert(ms, Filled::from(time));
                names.insert(ns, Filled::from(time * 1_000_000));
            }
            let path = fill(request["path"].as_str().unwrap(), &names);
            assert!(
                path.starts_with('/') && !path.contains([' ', '\n', '{']),
                "{venue} {name}: {path}"
            );
            let short = symbol.replace('/', "");
            assert!(path.contains(&short), "{venue} {name}: {path}");
            names.insert("token", Filled::from("T0KEN"));
            let next = fill(request["path"].as_str().unwrap(), &names);
            let by_token = request
                .get("page")
                .is_some_and(|page| page.get("token").is_some());
            assert_eq!(by_token, next.contains("T0KEN"), "{venue} {name}: {next}");
        }
    }
}
