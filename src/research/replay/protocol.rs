//! What clients say to a venue and what it answers, as `feed.toml` describes both. Pure: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minijinja::value::Serde;
use serde_json::Value;

use super::books::Snapshot;
use super::history;
use super::pattern::Shape;
use crate::config::secrets::Secrets;
use crate::model::BOOK_DELTAS;
use crate::venues::feed::{ChannelObject, ClientFrame, Feed, Replay};
use crate::venues::matching::{Inbound, Matcher, Pointer, text_of};
use crate::venues::template::{self, Error, Names, Template};

/// All instruments.
const ALL: &str = "*";
/// Subscriptions in one frame of a client, and those that are listed of a connection; what goes beyond is not heard.
const MOST_WANTED: usize = 100_000;

/// An instrument of the recording, by its place in the list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Symbol(pub(super) u32);

/// A channel of `feed.toml`, by its place in the list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Channel(pub(super) u16);

/// What can be subscribed: a channel of an instrument, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Topic {
    pub(super) channel: Channel,
    /// `None` is all.
    pub(super) symbol: Option<Symbol>,
}

/// What a client said.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// Its credentials, and whether they are good.
    Login { good: bool },
    /// What it wants.
    Subscribe(Asked),
    /// What it does not want any more.
    Unsubscribe(Asked),
    /// A ping of the venue's own kind.
    Ping {
        /// What it calls itself; null if it does not.
        id: Value,
    },
    /// Nothing that is known here.
    Other,
}

/// A client's list of topics.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    id: Value,
    pub(super) wanted: Vec<Wanted>,
    /// Channels that it names without a symbol.
    whole: Vec<String>,
}

/// What a connection has subscribed, as the client called it: topic (or channel) and symbol.
pub(super) type Held = BTreeSet<(String, String)>;

/// One topic as the client called it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    name: String,
    symbol: String,
    /// What it is; `None` if the recording does not know it.
    pub(super) topic: Option<Topic>,
}

/// A venue's way to speak, for the instruments of a recording.
pub(super) struct Protocol {
    replay: Replay,
    channels: Vec<Known>,
    symbols: Vec<Arc<str>>,
    by_symbol: HashMap<Arc<str>, Symbol>,
    by_name: HashMap<String, Topic>,
    by_table: HashMap<String, Vec<Channel>>,
    subscribe: Option<Heard>,
    unsubscribe: Option<Heard>,
    login: Option<Shape>,
    key: Option<String>,
    ping: Option<Ping>,
    /// The answer to it, where `[replay]` does not say it.
    pong: Option<String>,
    /// The book comes when its channel is subscribed.
    book_on_subscribe: bool,
}

/// A channel and what it calls each instrument's topic.
struct Known {
    table: String,
    topics: Vec<String>,
    /// The topic of all instruments.
    all: String,
}

/// How a client's ping is told.
enum Ping {
    /// It looks like the one that mdb sends.
    Like(Shape),
    /// It matches; and where its id stands.
    Match(Matcher, Option<Pointer>),
}

/// How a client's frame is read.
struct Heard {
    matcher: Matcher,
    frame: ClientFrame,
}

impl Protocol {
    /// `key` is the only good credential; without it all are.
    ///
    /// # Errors
    /// If a template of the folder cannot be filled in.
    pub(super) fn new(
        feed: &Feed,
        symbols: Vec<String>,
        key: Option<String>,
    ) -> Result<Self, Error> {
        let replay = feed.replay.clone().unwrap_or_default();
        let mut protocol = Self {
            channels: Vec::new(),
            by_symbol: HashMap::new(),
            by_name: HashMap::new(),
            by_table: HashMap::new(),
            symbols: symbols.into_iter().map(Arc::from).collect(),
            subscribe: heard(replay.subscribe.as_ref())?,
            unsubscribe: heard(replay.unsubscribe.as_ref())?,
            login: None,
            key,
            ping: None,
            pong: None,
            book_on_subscribe: feed
                .book
                .as_ref()
                .is_some_and(|book| book.snapshot.is_none()),
            replay,
        };
        for (at, symbol) in (0..).zip(&protocol.symbols) {
            protocol.by_symbol.insert(Arc::clone(symbol), Symbol(at));
        }
        for (at, channel) in (0..).zip(feed.channels.values()) {
            protocol.add_channel(Channel(at), &channel.table, &channel.topic)?;
        }
        if let Some(ping) = &protocol.replay.ping {
            let matcher = ping.r#match.compile(&no_secrets())?;
            protocol.ping = Some(Ping::Match(matcher, ping.id.clone()));
        }
        if let Some(websocket) = &feed.websocket {
            if let Some(auth) = &websocket.auth {
                protocol.login = Some(Shape::new(&auth.send, &[])?);
            }
            if let Some(ping) = &websocket.ping {
                protocol.pong.clone_from(&ping.pong);
                if let Some(send) = &ping.send
                    && protocol.ping.is_none()
                {
                    protocol.ping = Some(Ping::Like(Shape::new(send, &["id"])?));
                }
            }
        }
        Ok(protocol)
    }

    /// Fills every template in, with an id and without one, so that a faulty one is an error before anybody listens.
    pub(super) fn rehearse(&self) -> Result<(), Error> {
        let replay = &self.replay;
        for id in [Value::Null, Value::from(1)] {
            for known in &self.channels {
                let wanted = Wanted {
                    name: known.all.clone(),
                    symbol: ALL.to_owned(),
                    topic: None,
                };
                let held = Held::from([(wanted.name.clone(), wanted.symbol.clone())]);
                for template in [&replay.subscribed, &replay.unsubscribed, &replay.unknown]
                    .into_iter()
                    .flatten()
                {
                    let held = listed(template, &held);
                    template.rehearse(&about(&id, &wanted, &[&wanted], &held))?;
                }
            }
            if let Some(pong) = &replay.pong {
                pong.rehearse(&about_ping(&id))?;
            }
        }
        for answer in [&replay.authenticated, &replay.refused]
            .into_iter()
            .flatten()
        {
            answer.rehearse(&no_secrets())?;
        }
        if let Some(snapshot) = &replay.snapshot {
            let level = || vec![["1".to_owned(), "2".to_owned()]];
            let book = Snapshot {
                last_id: Some(1),
                bids: level(),
                asks: level(),
                ..Snapshot::default()
            };
            snapshot.rehearse(&about_book(ALL, "", book))?;
        }
        for history in replay.history.values() {
            let nothing = history::Rows::default();
            let next = || Some("1".to_owned());
            for names in [
                history::names(ALL, &nothing, None, None),
                history::names(ALL, &nothing, next(), next()),
            ] {
                history.page.rehearse(&names)?;
            }
        }
        Ok(())
    }

    fn add_channel(
        &mut self,
        channel: Channel,
        table: &str,
        topic: &Template,
    ) -> Result<(), Error> {
        let names = no_secrets();
        let call = |symbol: &str| topic.render(&names.clone().with("symbol", symbol));
        let mut topics = Vec::with_capacity(self.symbols.len());
        for (at, symbol) in (0..).zip(&self.symbols) {
            let called = call(symbol)?;
            let topic = Topic {
                channel,
                symbol: Some(Symbol(at)),
            };
            self.by_name.insert(canonical(&called), topic);
            topics.push(called);
        }
        let all = call(ALL)?;
        let topic = Topic {
            channel,
            symbol: None,
        };
        self.by_name.insert(canonical(&all), topic);
        self.by_table
            .entry(table.to_owned())
            .or_default()
            .push(channel);
        self.channels.push(Known {
            table: table.to_owned(),
            topics,
            all,
        });
        Ok(())
    }

    /// Frame on connecting.
    pub(super) fn greeting(&self) -> Option<&str> {
        self.replay.greeting.as_deref()
    }

    /// Whether nothing is sent before a login.
    pub(super) fn wants_login(&self) -> bool {
        self.login.is_some()
    }

    /// Whether the text holds the key, if there is one.
    pub(super) fn holds_key(&self, text: &str) -> bool {
        self.key.as_ref().is_none_or(|key| text.contains(key))
    }

    pub(super) fn symbol(&self, name: &str) -> Option<Symbol> {
        self.by_symbol.get(name).copied().or_else(|| {
            let mut alike = self.symbols.iter().filter(|s| s.eq_ignore_ascii_case(name));
            self.by_symbol.get(alike.next()?).copied()
        })
    }

    /// The only instrument that has this name once its punctuation is left out, as some requests do.
    pub(super) fn symbol_without_punctuation(&self, name: &str) -> Option<Symbol> {
        let bare = |name: &str| -> String {
            name.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_uppercase())
                .collect()
        };
        let wanted = bare(name);
        let mut alike = self.symbols.iter().filter(|s| bare(s) == wanted);
        let found = alike.next()?;
        if alike.next().is_some() {
            return None;
        }
        self.by_symbol.get(found).copied()
    }

    pub(super) fn symbol_name(&self, symbol: Symbol) -> &str {
        self.symbols.get(symbol.0 as usize).map_or("", |s| s)
    }

    /// The topics that a message of `symbol` for `table` belongs to. Where several channels fill the table, it is the
    /// one whose topic the message names, or all of them.
    pub(super) fn topics(&self, table: &str, symbol: Symbol, message: &str, into: &mut Vec<Topic>) {
        let channels = self.by_table.get(table).map_or(&[][..], Vec::as_slice);
        let topic = |channel: &Channel| Topic {
            channel: *channel,
            symbol: Some(symbol),
        };
        if let [channel] = channels {
            into.push(topic(channel));
            return;
        }
        let named = channels.iter().filter_map(|channel| {
            let called = &self.channels[channel.0 as usize].topics[symbol.0 as usize];
            message
                .contains(called.as_str())
                .then_some((called.len(), channel))
        });
        // One topic's name may begin another's.
        match named.max_by_key(|(length, _)| *length) {
            Some((_, channel)) => into.push(topic(channel)),
            None => into.extend(channels.iter().map(topic)),
        }
    }

    /// The topics that an address names, for venues that subscribe by it.
    pub(super) fn topics_of_address(&self, decoded: &str) -> Vec<Topic> {
        decoded
            .split(['/', '?', '&', '=', ','])
            .filter_map(|part| self.by_name.get(part).copied())
            .collect()
    }

    /// Reads a client's frame.
    pub(super) fn read(&self, text: &str) -> Said {
        let value: Option<Value> = serde_json::from_str(text).ok();
        if let Some(shape) = &self.login
            && let Some(filled) = shape.read(text, value.as_ref())
        {
            let good = match &self.key {
                None => filled.values().all(|given| !given.is_empty()),
                Some(key) => filled.values().any(|given| given == key),
            };
            return Said::Login { good };
        }
        let frame = Inbound::new(text);
        if let Some(id) = self.pinged(text, value.as_ref(), &frame) {
            return Said::Ping { id };
        }
        let Some(value) = value else {
            return Said::Other;
        };
        let asked = |heard: Option<&Heard>| {
            let heard = heard.filter(|heard| heard.matcher.matches(&frame))?;
            self.asked(&heard.frame, &value)
        };
        if let Some(asked) = asked(self.unsubscribe.as_ref()) {
            return Said::Unsubscribe(asked);
        }
        asked(self.subscribe.as_ref()).map_or(Said::Other, Said::Subscribe)
    }

    /// The id of a ping, null if it has none; `None` if the frame is no ping.
    fn pinged(&self, text: &str, value: Option<&Value>, frame: &Inbound<'_>) -> Option<Value> {
        match self.ping.as_ref()? {
            Ping::Like(shape) => shape.read(text, value).map(|_| Value::Null),
            Ping::Match(matcher, id) => matcher.matches(frame).then(|| {
                let id = id.as_deref().zip(value);
                id.and_then(|(pointer, value)| value.pointer(pointer).cloned())
                    .unwrap_or_default()
            }),
        }
    }

    /// The answer to a ping, if there is one.
    pub(super) fn pong(&self, id: &Value) -> Result<Option<String>, Error> {
        match &self.replay.pong {
            Some(pong) => pong.render(&about_ping(id)).map(Some),
            None => Ok(self.pong.clone()),
        }
    }

    /// What a frame asks for; `None` if its channels lack what stands before their names.
    fn asked(&self, frame: &ClientFrame, value: &Value) -> Option<Asked> {
        let at = |pointer: &Option<_>| pointer.as_deref().and_then(|p: &str| value.pointer(p));
        let mut wanted = Vec::new();
        let mut whole = Vec::new();
        if frame.topics.is_some() {
            for name in at(&frame.topics).map(list).unwrap_or_default() {
                wanted.push(self.wanted_by_name(name));
            }
        } else if frame.keyed {
            for (key, symbols) in value.as_object().into_iter().flatten() {
                for symbol in symbols.as_array().into_iter().flatten() {
                    wanted.push(self.wanted_in_channel(key, text_of(symbol).into_owned()));
                }
            }
        } else {
            let symbols = at(&frame.symbols).map(list).unwrap_or_default();
            let object = frame.object.as_ref();
            let channels = at(&frame.channels).map(|value| channels_of(value, object));
            for (channel, own) in channels.unwrap_or_default() {
                let channel = channel.strip_prefix(frame.prefix.as_str())?;
                let own = own.iter().filter(|symbol| !symbols.contains(symbol));
                let before = wanted.len();
                for symbol in symbols.iter().chain(own) {
                    wanted.push(self.wanted_in_channel(channel, symbol.clone()));
                }
                if wanted.len() == before {
                    whole.push(channel.to_owned());
                }
            }
        }
        wanted.truncate(MOST_WANTED);
        Some(Asked {
            id: at(&frame.id).cloned().unwrap_or(Value::Null),
            wanted,
            whole,
        })
    }

    fn wanted_by_name(&self, name: String) -> Wanted {
        let topic = self.by_name.get(&canonical(&name)).copied();
        let symbol = topic.map_or("", |topic| {
            topic.symbol.map_or(ALL, |s| self.symbol_name(s))
        });
        Wanted {
            symbol: symbol.to_owned(),
            name,
            topic,
        }
    }

    /// A topic of a channel's name on the wire and an instrument.
    fn wanted_in_channel(&self, channel: &str, symbol: String) -> Wanted {
        let called = self.replay.aliases.get(channel);
        let called = canonical(called.map_or(channel, String::as_str));
        let at = self.by_symbol.get(symbol.as_str()).copied();
        let known = (0..).zip(&self.channels).find(|(_, known)| {
            let topics = &known.topics;
            match at {
                Some(at) => canonical(&topics[at.0 as usize]) == called,
                None => topics.iter().any(|t| canonical(t) == called),
            }
        });
        let topic = known
            .filter(|_| at.is_some() || symbol == ALL)
            .map(|(channel, _)| Topic {
                channel: Channel(channel),
                symbol: at,
            });
        Wanted {
            name: channel.to_owned(),
            symbol,
            topic,
        }
    }

    /// Adds what is acknowledged to what the connection holds.
    pub(super) fn take_up(&self, asked: &Asked, held: &mut Held) {
        for wanted in &asked.wanted {
            if (wanted.topic.is_some() || self.replay.unknown.is_none()) && held.len() < MOST_WANTED
            {
                held.insert((wanted.name.clone(), wanted.symbol.clone()));
            }
        }
    }

    /// Takes it out of what the connection holds. Of a channel without a symbol that is all there is, and it is named in
    /// `asked` then.
    pub(super) fn give_up(&self, asked: &mut Asked, held: &mut Held) {
        for channel in std::mem::take(&mut asked.whole) {
            let of_channel = held.iter().filter(|(name, _)| *name == channel);
            let wanted =
                of_channel.map(|(name, symbol)| self.wanted_in_channel(name, symbol.clone()));
            asked.wanted.extend(wanted);
        }
        for wanted in &asked.wanted {
            held.remove(&(wanted.name.clone(), wanted.symbol.clone()));
        }
    }

    /// What a client hears of a subscription: the acknowledgements of what there is, the refusals of what there is
    /// not. `held` is what it has then.
    pub(super) fn subscribed(&self, asked: &Asked, held: &Held) -> Result<Vec<String>, Error> {
        let subscribed = self.replay.subscribed.as_ref();
        let Some(unknown) = &self.replay.unknown else {
            let all: Vec<&Wanted> = asked.wanted.iter().collect();
            return self.acknowledged(subscribed, &asked.id, &all, held);
        };
        let (known, others): (Vec<&Wanted>, Vec<&Wanted>) = asked
            .wanted
            .iter()
            .partition(|wanted| wanted.topic.is_some());
        let mut frames = Vec::new();
        if !known.is_empty() {
            frames = self.acknowledged(subscribed, &asked.id, &known, held)?;
        }
        let held = listed(unknown, held);
        for wanted in others {
            frames.push(unknown.render(&about(&asked.id, wanted, &[wanted], &held))?);
        }
        Ok(frames)
    }

    /// What a client hears when it ends a subscription. `held` is what it has left.
    pub(super) fn unsubscribed(&self, asked: &Asked, held: &Held) -> Result<Vec<String>, Error> {
        let all: Vec<&Wanted> = asked.wanted.iter().collect();
        self.acknowledged(self.replay.unsubscribed.as_ref(), &asked.id, &all, held)
    }

    fn acknowledged(
        &self,
        template: Option<&Template>,
        id: &Value,
        wanted: &[&Wanted],
        held: &Held,
    ) -> Result<Vec<String>, Error> {
        let Some(template) = template else {
            return Ok(Vec::new());
        };
        let held = listed(template, held);
        if !self.replay.per_topic {
            let nothing = Wanted::default();
            let first = wanted.first().copied().unwrap_or(&nothing);
            return Ok(vec![template.render(&about(id, first, wanted, &held))?]);
        }
        wanted
            .iter()
            .map(|one| template.render(&about(id, one, &[one], &held)))
            .collect()
    }

    /// The answer to credentials.
    pub(super) fn answer_to_login(&self, good: bool) -> Result<Option<String>, Error> {
        let template = if good {
            &self.replay.authenticated
        } else {
            &self.replay.refused
        };
        template
            .as_ref()
            .map(|t| t.render(&no_secrets()))
            .transpose()
    }

    /// Whether a subscription to the topic begins with the whole book.
    pub(super) fn begins_with_book(&self, topic: Topic) -> bool {
        self.book_on_subscribe
            && self.replay.snapshot.is_some()
            && self.channels[topic.channel.0 as usize].table == BOOK_DELTAS
    }

    /// A whole book as the venue writes it; `None` if the folder does not say how.
    pub(super) fn snapshot(
        &self,
        symbol: Symbol,
        topic: Option<Topic>,
        book: Snapshot,
    ) -> Result<Option<String>, Error> {
        let Some(template) = &self.replay.snapshot else {
            return Ok(None);
        };
        let topic = topic.map_or("", |topic| {
            &self.channels[topic.channel.0 as usize].topics[symbol.0 as usize]
        });
        let names = about_book(self.symbol_name(symbol), topic, book);
        template.render(&names).map(Some)
    }
}

fn heard(frame: Option<&ClientFrame>) -> Result<Option<Heard>, Error> {
    let compiled = |frame: &ClientFrame| {
        Ok(Heard {
            matcher: frame.r#match.compile(&no_secrets())?,
            frame: frame.clone(),
        })
    };
    frame.map(compiled).transpose()
}

pub(super) fn no_secrets() -> Names {
    Names::new(&Secrets::default())
}

/// What a connection holds, for a template that uses it: symbols by topic.
fn listed(template: &Template, held: &Held) -> template::Value {
    let mut by_topic: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if template.names().contains("held") {
        for (name, symbol) in held {
            let symbols = by_topic.entry(name.clone()).or_default();
            symbols.push(symbol.clone());
        }
    }
    template::Value::from(by_topic)
}

/// The names that the answer to a ping may use.
fn about_ping(id: &Value) -> Names {
    no_secrets().with("id", template::Value::from(Serde(id)))
}

/// The names that a whole book may use.
fn about_book(symbol: &str, topic: &str, book: Snapshot) -> Names {
    no_secrets()
        .with("symbol", symbol)
        .with("topic", topic)
        .with("last_id", book.last_id)
        .with("checksum", book.checksum)
        .with("bids", levels(book.bids))
        .with("asks", levels(book.asks))
        .with("ts_ms", book.ts_ns.div_euclid(1_000_000))
        .with("ts", rfc3339(book.ts_ns))
}

/// The names that an acknowledgement may use.
fn about(id: &Value, first: &Wanted, wanted: &[&Wanted], held: &template::Value) -> Names {
    let texts = |of: fn(&Wanted) -> &String| -> Vec<String> {
        wanted.iter().map(|wanted| of(wanted).clone()).collect()
    };
    let mut by_channel: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for wanted in wanted {
        let symbols = by_channel.entry(wanted.name.clone()).or_default();
        symbols.push(wanted.symbol.clone());
    }
    no_secrets()
        .with("id", template::Value::from(Serde(id)))
        .with("topic", first.name.as_str())
        .with("symbol", first.symbol.as_str())
        .with("channel", first.name.as_str())
        .with("topics", texts(|wanted| &wanted.name))
        .with("symbols", texts(|wanted| &wanted.symbol))
        .with("by_channel", by_channel)
        .with("held", held.clone())
}

fn levels(levels: Vec<[String; 2]>) -> template::Value {
    levels
        .into_iter()
        .map(|level| template::Value::from_iter(level.map(template::Value::from)))
        .collect()
}

/// The texts of an array, or of a text with commas.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(|v| text_of(v).into_owned()).collect(),
        Value::String(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        other => vec![text_of(other).into_owned()],
    }
}

/// The channels of a frame, and the symbols that a channel has for itself where it is an object.
fn channels_of(value: &Value, object: Option<&ChannelObject>) -> Vec<(String, Vec<String>)> {
    let (Some(object), Value::Array(entries)) = (object, value) else {
        return list(value).into_iter().map(|n| (n, Vec::new())).collect();
    };
    let channel = |entry: &Value| match object.channel.text(entry) {
        Some(name) => {
            let own = entry.pointer(&object.symbols).map(list);
            (name, own.unwrap_or_default())
        }
        None => (text_of(entry).into_owned(), Vec::new()),
    };
    entries.iter().map(channel).collect()
}

/// One way to write a topic that is a JSON object; others are as they are.
fn canonical(topic: &str) -> String {
    if topic.starts_with(['{', '[']) {
        let value: Result<Value, _> = serde_json::from_str(topic);
        return value.map_or_else(|_| topic.to_owned(), |value| value.to_string());
    }
    topic.to_owned()
}

pub(super) fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests;
