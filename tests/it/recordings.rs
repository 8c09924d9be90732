//! Recorded sessions of several venues, turned into captures, and what their messages say, read by hand: what the
//! tests hold the venues' SQL against. Shares nothing with it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{join_lines, read_lines};

/// A message as the recorder received it.
pub(crate) struct Message {
    /// Receive time, ns since 1970 UTC.
    pub(crate) ns: i64,
    pub(crate) text: String,
    /// Of a REST answer: what was asked for.
    pub(crate) symbol: Option<String>,
}

/// A file of `../shared/real/multi`, or `None` (said on stderr) where it is absent.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/real/multi")
        .join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

/// The messages received: `<epoch seconds>: <message>`, REST answers with `<url> -> ` before it. What the client sent
/// (`<url> <- `) and when it connected (`<url> <-> `) is left out.
pub(crate) fn messages(path: &Path) -> Vec<Message> {
    let mut messages = Vec::new();
    for line in read_lines(path) {
        let Some((head, text)) = line.split_once(": ") else {
            continue;
        };
        if head.contains(" <- ") {
            continue;
        }
        let (url, time) = head.split_once(" -> ").unwrap_or(("", head));
        let symbol = url.split_once("symbol=").map(|(_, rest)| {
            let end = rest.find('&').unwrap_or(rest.len());
            rest[..end].to_owned()
        });
        messages.push(Message {
            ns: ns_of_seconds(time),
            text: text.to_owned(),
            symbol,
        });
    }
    messages
}

/// The messages as a capture file's text.
pub(crate) fn capture<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Vec<u8> {
    join_lines(messages.into_iter().map(|m| format!("{} {}", m.ns, m.text)))
}

/// Rows of each table in a form that can be compared; see [`Row`].
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) trades: Vec<Row>,
    pub(crate) quotes: Vec<Row>,
    pub(crate) levels: Vec<Row>,
    pub(crate) bars: Vec<Row>,
}

/// Texts, then numbers as the wire wrote them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) texts: Vec<String>,
    pub(crate) numbers: Vec<String>,
}

impl Row {
    /// In words that are the same for what mdb stored: numbers as doubles.
    pub(crate) fn said(&self) -> String {
        let numbers = self.numbers.iter().map(|number| double(number));
        let cells: Vec<String> = self.texts.iter().cloned().chain(numbers).collect();
        cells.join("|")
    }
}

/// The shortest digits of a number's double.
pub(crate) fn double(number: &str) -> String {
    if number.is_empty() {
        return String::new();
    }
    let value: f64 = number
        .parse()
        .unwrap_or_else(|_| panic!("a number expected, got {number:?}"));
    format!("{value:?}")
}

/// What each message says, by the venue's documentation.
pub(crate) fn expected(venue: &str, messages: &[Message]) -> Expected {
    let read = match venue {
        "binance_spot" => binance_spot,
        "coinbase" => coinbase,
        "kraken" => kraken_v1,
        "okx" => okx,
        "hitbtc" => hitbtc,
        _ => panic!("no reader for {venue}"),
    };
    let mut expected = Expected::default();
    for (n, message) in messages.iter().enumerate() {
        let json: Value = serde_json::from_str(&message.text).unwrap();
        read(n, message, &json, &mut expected);
    }
    expected
}

fn coinbase(n: usize, message: &Message, json: &Value, to: &mut Expected) {
    let symbol = text(&json["product_id"]);
    let ns = json
        .get("time")
        .map_or(message.ns, |time| ns_of(&text(time)));
    match text(&json["type"]).as_str() {
        "match" | "last_match" => {
            let side = if json["side"] == "buy" { "sell" } else { "buy" };
            to.trades.push(row(
                [
                    symbol,
                    text(&json["trade_id"]),
                    ns.to_string(),
                    side.to_owned(),
                    String::new(),
                ],
                [&json["price"], &json["size"]],
            ));
        }
        "ticker" => {
            let prices = ["best_bid", "best_bid_size", "best_ask", "best_ask_size"];
            to.quotes
                .push(row([symbol, ns.to_string()], prices.map(|key| &json[key])));
        }
        "snapshot" => {
            let book = Book::new(n, symbol, ns).snapshot();
            book.levels([("bid", &json["bids"]), ("ask", &json["asks"])], to);
        }
        "l2update" => {
            let book = Book::new(n, symbol, ns);
            for change in array(&json["changes"]) {
                let side = if change[0] == "buy" { "bid" } else { "ask" };
                book.level(side, [&change[1], &change[2]], to);
            }
        }
        other => assert_eq!(other, "subscriptions"),
    }
}

fn kraken_v1(n: usize, message: &Message, json: &Value, to: &mut Expected) {
    let Some(elements) = json.as_array() else {
        assert!(json["event"].is_string(), "{json}");
        return;
    };
    let (parts, names) = elements[1..].split_at(elements.len() - 3);
    assert!(names[0].as_str().unwrap().starts_with("book-"));
    let symbol = text(&names[1]);
    let is_snapshot = parts.iter().any(|part| part.get("as").is_some());
    let keys = [("ask", "as"), ("ask", "a"), ("bid", "bs"), ("bid", "b")];
    let of_part = |part: &'_ Value| keys.map(|(side, key)| (side, part[key].clone()));
    let lists: Vec<(&str, Value)> = parts
        .iter()
        .flat_map(of_part)
        .filter(|(_, list)| list.is_array())
        .collect();
    let newest = lists
        .iter()
        .flat_map(|(_, list)| array(list))
        .map(|level| ns_of_seconds(level[2].as_str().unwrap()))
        .max();
    let ns = newest.filter(|_| !is_snapshot).unwrap_or(message.ns);
    let mut book = Book::new(n, symbol, ns);
    book.is_snapshot = is_snapshot;
    book.checksum = parts
        .iter()
        .find_map(|part| part.get("c"))
        .map(text)
        .unwrap_or_default();
    book.levels(lists.iter().map(|(side, list)| (*side, list)), to);
}

fn okx(n: usize, _: &Message, json: &Value, to: &mut Expected) {
    if json.get("event").is_some() {
        return;
    }
    let symbol = text(&json["arg"]["instId"]);
    for data in array(&json["data"]) {
        let ns = 1_000_000 * text(&data["ts"]).parse::<i64>().unwrap();
        match json["arg"]["channel"].as_str().unwrap() {
            "trades" => to.trades.push(row(
                [
                    symbol.clone(),
                    text(&data["tradeId"]),
                    ns.to_string(),
                    text(&data["side"]),
                    String::new(),
                ],
                [&data["px"], &data["sz"]],
            )),
            "tickers" => {
                let prices = ["bidPx", "bidSz", "askPx", "askSz"].map(|key| &data[key]);
                to.quotes
                    .push(row([symbol.clone(), ns.to_string()], prices));
            }
            channel => {
                assert_eq!(channel, "books");
                let mut book = Book::new(n, symbol.clone(), ns);
                book.is_snapshot = json["action"] == "snapshot";
                book.checksum = text(&data["checksum"]);
                book.levels([("ask", &data["asks"]), ("bid", &data["bids"])], to);
            }
        }
    }
}

fn hitbtc(n: usize, _: &Message, json: &Value, to: &mut Expected) {
    let Some(method) = json["method"].as_str() else {
        assert_eq!(json["result"], true);
        return;
    };
    let params = &json["params"];
    let symbol = text(&params["symbol"]);
    match method {
        "snapshotTrades" | "updateTrades" => {
            for trade in array(&params["data"]) {
                let ns = ns_of(&text(&trade["timestamp"])).to_string();
                to.trades.push(row(
                    [
                        symbol.clone(),
                        text(&trade["id"]),
                        ns,
                        text(&trade["side"]),
                        String::new(),
                    ],
                    [&trade["price"], &trade["quantity"]],
                ));
            }
        }
        "ticker" => {
            let ns = ns_of(&text(&params["timestamp"])).to_string();
            let prices = [&params["bid"], &Value::Null, &params["ask"], &Value::Null];
            to.quotes.push(row([symbol, ns], prices));
        }
        "snapshotCandles" | "updateCandles" => {
            assert_eq!(params["period"], "M1");
            for bar in array(&params["data"]) {
                let ns = ns_of(&text(&bar["timestamp"])).to_string();
                let numbers = ["open", "max", "min", "close", "volume", "volumeQuote"];
                to.bars.push(row(
                    [symbol.clone(), "1m".to_owned(), ns, String::new()],
                    numbers.map(|key| &bar[key]),
                ));
            }
        }
        _ => {
            let mut book = Book::new(n, symbol, ns_of(&text(&params["timestamp"])));
            book.is_snapshot = method == "snapshotOrderbook";
            book.ids[1] = text(&params["sequence"]);
            if !book.is_snapshot {
                assert_eq!(method, "updateOrderbook");
                book.ids[0] = text(&params["sequence"]);
            }
            book.levels([("ask", &params["ask"]), ("bid", &params["bid"])], to);
        }
    }
}

fn binance_spot(n: usize, message: &Message, json: &Value, to: &mut Expected) {
    if let Some(symbol) = &message.symbol {
        let mut book = Book::new(n, symbol.clone(), message.ns).snapshot();
        book.ids[1] = text(&json["lastUpdateId"]);
        book.levels([("bid", &json["bids"]), ("ask", &json["asks"])], to);
        return;
    }
    let data = &json["data"];
    let symbol = text(&data["s"]);
    let ms = |value: &Value| 1_000_000 * value.as_i64().unwrap();
    match data["e"].as_str() {
        None => {
            let prices = ["b", "B", "a", "A"].map(|key| &data[key]);
            to.quotes
                .push(row([symbol, message.ns.to_string()], prices));
        }
        Some("aggTrade") => {
            let side = if data["m"] == true { "sell" } else { "buy" };
            let id = format!("a{}", data["a"]);
            let ns = ms(&data["T"]).to_string();
            to.trades.push(row(
                [symbol, id, ns, side.to_owned(), "aggregate".to_owned()],
                [&data["p"], &data["q"]],
            ));
        }
        Some("kline") => {
            let bar = &data["k"];
            let ns = ms(&bar["t"]).to_string();
            let numbers = ["o", "h", "l", "c", "v", "q"].map(|key| &bar[key]);
            to.bars
                .push(row([symbol, text(&bar["i"]), ns, text(&bar["x"])], numbers));
        }
        Some(event) => {
            assert_eq!(event, "depthUpdate");
            let mut book = Book::new(n, symbol, ms(&data["E"]));
            book.ids = [text(&data["U"]), text(&data["u"]), String::new()];
            book.levels([("bid", &data["b"]), ("ask", &data["a"])], to);
        }
    }
}

/// What the levels of a message have in common.
struct Book {
    n: usize,
    symbol: String,
    ns: i64,
    /// first, last, previous.
    ids: [String; 3],
    is_snapshot: bool,
    checksum: String,
}

impl Book {
    fn new(n: usize, symbol: String, ns: i64) -> Self {
        Self {
            n,
            symbol,
            ns,
            ids: Default::default(),
            is_snapshot: false,
            checksum: String::new(),
        }
    }

    fn snapshot(mut self) -> Self {
        self.is_snapshot = true;
        self
    }

    /// `[[price, size, …], …]` or `[{"price": …, "size": …}, …]` for each side; none at all is one row.
    fn levels<'v>(&self, lists: impl IntoIterator<Item = (&'v str, &'v Value)>, to: &mut Expected) {
        let before = to.levels.len();
        for (side, levels) in lists {
            for level in array(levels) {
                if level.is_array() {
                    self.level(side, [&level[0], &level[1]], to);
                } else {
                    self.level(side, [&level["price"], &level["size"]], to);
                }
            }
        }
        if to.levels.len() == before {
            self.level("", [&Value::Null, &Value::Null], to);
        }
    }

    fn level(&self, side: &str, numbers: [&Value; 2], to: &mut Expected) {
        let [first, last, prev] = self.ids.clone();
        to.levels.push(row(
            [
                self.n.to_string(),
                self.symbol.clone(),
                self.ns.to_string(),
                first,
                last,
                prev,
                self.is_snapshot.to_string(),
                side.to_owned(),
                self.checksum.clone(),
            ],
            numbers,
        ));
    }
}

fn row<const T: usize, const N: usize>(texts: [String; T], numbers: [&Value; N]) -> Row {
    Row {
        texts: Vec::from(texts),
        numbers: numbers.iter().map(|value| text(value)).collect(),
    }
}

/// A string as it is, nothing for null, everything else as JSON writes it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn array(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("an array expected, got {value}"))
}

fn ns_of(rfc3339: &str) -> i64 {
    let time: jiff::Timestamp = rfc3339.parse().unwrap();
    time.as_nanosecond().try_into().unwrap()
}

fn ns_of_seconds(seconds: &str) -> i64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let whole: i64 = whole.parse().unwrap();
    let fraction: i64 = format!("{fraction:0<9}").parse().unwrap();
    whole * 1_000_000_000 + fraction
}
