//! What a venue is asked for, spread over connections by its limits. A changed wish changes as little as it can: what
//! is subscribed stays on its connection.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::feed::{Feed, WebSocket};
use super::template::{self, Names, Template};
use crate::config::FeedSettings;
use crate::config::secrets::{Secret, Secrets};

/// Captured where no channels are named, as far as the venue has them.
const USUAL: [&str; 3] = ["trades", "quotes", "book"];
/// Connections to the same channels at once.
const MOST_REDUNDANT: usize = 4;

/// Why a venue cannot be asked for what `mdb.toml` says, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `[[feed]]` asks for what cannot be.
    #[error("{place}: {source}")]
    Section {
        /// The file and line that say so.
        place: String,
        /// Why not.
        source: Box<Error>,
    },
    /// There is nothing to connect to.
    #[error(
        "{venue}: its feed.toml has no [websocket] section, so nothing of it can be captured live; `mdb fetch` makes its requests"
    )]
    NoWebSocket {
        /// The venue.
        venue: Arc<str>,
    },
    /// A channel that feed.toml does not have.
    #[error("{venue}: no channel '{channel}'; it has: {known}")]
    UnknownChannel {
        /// The venue.
        venue: Arc<str>,
        /// What was asked for.
        channel: String,
        /// What there is.
        known: String,
    },
    /// None of the usual channels exists.
    #[error(
        "{venue}: has none of the channels trades, quotes, book: name channels; it has: {known}"
    )]
    NoChannel {
        /// The venue.
        venue: Arc<str>,
        /// What there is.
        known: String,
    },
    /// A feed without instruments, or with a name that cannot be one.
    #[error("{venue}: {message}")]
    Symbols {
        /// The venue.
        venue: Arc<str>,
        /// What is wrong and what to do.
        message: String,
    },
    /// More copies than make sense.
    #[error("{venue}: redundancy = {redundancy}; it may be 1 to {MOST_REDUNDANT}")]
    Redundancy {
        /// The venue.
        venue: Arc<str>,
        /// What was asked for.
        redundancy: usize,
    },
    /// More than the venue allows.
    #[error(
        "{venue}: {topics} subscriptions need {needed} connections of {each}, and it allows {allowed} connections: take fewer symbols or channels, or less redundancy"
    )]
    TooMany {
        /// The venue.
        venue: Arc<str>,
        /// Subscriptions, with redundant copies.
        topics: usize,
        /// Connections they would need.
        needed: usize,
        /// Subscriptions a connection.
        each: usize,
        /// Connections allowed.
        allowed: usize,
    },
    /// Two `[[feed]]` sections of one venue say different addresses.
    #[error("{venue}: its [[feed]] sections differ in `{key}`; one venue has one address")]
    Addresses {
        /// The venue.
        venue: Arc<str>,
        /// `websocket` or `rest`.
        key: &'static str,
    },
    /// An address that is none.
    #[error("{venue}: the WebSocket address must begin with ws:// or wss://")]
    Address {
        /// The venue.
        venue: Arc<str>,
    },
    /// A template cannot be filled in.
    #[error("{venue}: {key}: {source}")]
    Template {
        /// The venue.
        venue: Arc<str>,
        /// The key of feed.toml.
        key: String,
        /// Why not.
        source: template::Error,
    },
}

/// A subscription to one symbol of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// The user's name for the channel.
    pub channel: Arc<str>,
    /// The instrument, in the venue's spelling.
    pub symbol: Arc<str>,
    /// What it is called on the wire; the same for all symbols where the venue names them apart.
    pub text: Arc<str>,
    /// The canonical table it fills.
    pub table: Arc<str>,
    /// Never on two connections at once.
    pub single: bool,
    /// The template of the address, where it is not the venue's usual one. A connection has one address.
    pub address: Option<Arc<str>>,
}

/// One connection and what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionPlan {
    /// Its number at this venue, from 1: raw rows name it as `ws/<number>`.
    pub number: usize,
    /// Which of the redundant copies it belongs to, from 0.
    pub replica: usize,
    /// Its subscriptions, never none.
    pub topics: Vec<Topic>,
}

/// All connections to one venue, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Each connection.
    pub connections: BTreeMap<usize, ConnectionPlan>,
}

/// What has to be done to get from one plan to another. Numbers of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing of it is wanted any more.
    Close(usize),
    /// It stays, with other topics.
    Topics(usize),
    /// It is new.
    Open(usize),
}

/// How a venue is reached: all that its connections have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The venue's folder name.
    pub venue: Arc<str>,
    /// Its `[websocket]`.
    pub websocket: WebSocket,
    /// Its secrets.
    pub secrets: Secrets,
    /// In place of the url's address.
    address: Option<String>,
}

impl Link {
    /// From feed.toml and the `[[feed]]` sections of one venue.
    pub fn new(
        venue: &str,
        feed: &Feed,
        settings: &[FeedSettings],
        secrets: &Secrets,
    ) -> Result<Self, Error> {
        let venue: Arc<str> = venue.into();
        let Some(websocket) = feed.websocket.clone() else {
            return Err(Error::NoWebSocket { venue });
        };
        for (key, differ) in [
            (
                "websocket",
                settings
                    .windows(2)
                    .any(|w| w[0].websocket != w[1].websocket),
            ),
            ("rest", settings.windows(2).any(|w| w[0].rest != w[1].rest)),
        ] {
            if differ {
                return Err(Error::Addresses { venue, key });
            }
        }
        Ok(Self {
            venue,
            websocket,
            secrets: secrets.clone(),
            address: settings.first().and_then(|s| s.websocket.clone()),
        })
    }

    /// The names every template of the connection knows.
    pub fn names(&self) -> Names {
        Names::new(&self.secrets)
    }

    /// Where to connect to; the address may hold secrets.
    pub fn url(&self, topics: &[Topic]) -> Result<Secret, Error> {
        let names = self
            .names()
            .with("topics", distinct(topics.iter().map(|t| &*t.text)));
        let failed = |key: &str, source| Error::Template {
            venue: Arc::clone(&self.venue),
            key: key.to_owned(),
            source,
        };
        let own = || {
            if let Some(address) = topics.first().and_then(|topic| topic.address.as_ref()) {
                Template::parse(address)
                    .and_then(|template| template.render(&names))
                    .map_err(|source| failed("channels url", source))
            } else {
                let url = self.websocket.url.render(&names);
                url.map_err(|source| failed("websocket.url", source))
            }
        };
        let url = match &self.address {
            None => own()?,
            // Only another host: a venue that subscribes by its URL still needs the rest of it.
            Some(address) if is_bare(address) => {
                let url = own()?;
                let (_, path) = split_url(&url);
                format!("{}{path}", address.trim_end_matches('/'))
            }
            Some(address) => Template::parse(address)
                .and_then(|template| template.render(&names))
                .map_err(|source| failed("[[feed]] websocket", source))?,
        };
        if !url.starts_with("ws://") && !url.starts_with("wss://") {
            return Err(Error::Address {
                venue: Arc::clone(&self.venue),
            });
        }
        Ok(Secret::new(url))
    }

    /// Headers of the request that opens the connection.
    pub fn headers(&self) -> Result<Vec<(String, Secret)>, Error> {
        let names = self.names();
        let headers = self.websocket.headers.iter();
        headers
            .map(|(name, template)| {
                let value = template.render(&names).map_err(|source| Error::Template {
                    venue: Arc::clone(&self.venue),
                    key: format!("websocket.headers.{name}"),
                    source,
                })?;
                Ok((name.clone(), Secret::new(value)))
            })
            .collect()
    }
}

/// A scheme and a host, nothing behind them.
fn is_bare(address: &str) -> bool {
    let (_, path) = split_url(address);
    path.trim_start_matches('/').is_empty() && !address.contains("{{")
}

/// Scheme and host, and what follows them.
fn split_url(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    url.split_at(path)
}

pub(super) fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts
        .filter(|text| seen.insert(*text))
        .map(str::to_owned)
        .collect()
}

impl Plan {
    /// The plan for what `settings` (the `[[feed]]` sections of this venue) ask for, as near to this plan as it can be,
    /// and what has to be done.
    pub fn update(
        &self,
        link: &Link,
        feed: &Feed,
        settings: &[FeedSettings],
    ) -> Result<(Self, Vec<Change>), Error> {
        let wanted = wanted(link, feed, settings)?;
        let each = link.websocket.topics_per_connection;
        let allowed = link.websocket.connections;
        let mut plan = self.refilled(&wanted, each);
        if plan.connections.len() > allowed {
            // Holes that earlier changes left may have made it too wide.
            plan = Self::default().refilled(&wanted, each);
        }
        if plan.connections.len() > allowed {
            return Err(Error::TooMany {
                venue: Arc::clone(&link.venue),
                topics: plan.connections.values().map(|c| c.topics.len()).sum(),
                needed: plan.connections.len(),
                each,
                allowed,
            });
        }
        let changes = self.changes(&plan);
        Ok((plan, changes))
    }

    fn refilled(&self, wanted: &[(Topic, usize)], each: usize) -> Self {
        let mut plan = Self::default();
        let replicas = wanted.iter().map(|(_, copies)| *copies).max().unwrap_or(0);
        let addresses: BTreeSet<_> = wanted.iter().map(|(topic, _)| &topic.address).collect();
        let groups = (0..replicas).flat_map(|r| addresses.iter().map(move |&a| (r, a)));
        for (replica, address) in groups {
            let belongs = |c: &ConnectionPlan| {
                c.replica == replica && c.topics.first().is_some_and(|t| t.address == *address)
            };
            let of_group = wanted
                .iter()
                .filter(|(topic, copies)| *copies > replica && topic.address == *address);
            let topics: Vec<&Topic> = of_group.map(|(topic, _)| topic).collect();
            let known: BTreeSet<&Topic> = topics.iter().copied().collect();
            let mut placed: BTreeSet<Topic> = BTreeSet::new();
            let own: BTreeSet<usize> = self
                .connections
                .values()
                .filter(|c| belongs(c))
                .map(|c| c.number)
                .collect();
            for connection in self.connections.values().filter(|c| belongs(c)) {
                let kept = connection
                    .topics
                    .iter()
                    .filter(|topic| known.contains(topic));
                let kept: Vec<Topic> = kept.take(each).cloned().collect();
                placed.extend(kept.iter().cloned());
                let topics = kept;
                plan.connections.insert(
                    connection.number,
                    ConnectionPlan {
                        topics,
                        ..*connection
                    },
                );
            }
            let mut new = topics
                .into_iter()
                .filter(|topic| !placed.contains(*topic))
                .peekable();
            for connection in plan
                .connections
                .values_mut()
                .filter(|c| own.contains(&c.number))
            {
                let room = each.saturating_sub(connection.topics.len());
                connection.topics.extend(new.by_ref().take(room).cloned());
            }
            while new.peek().is_some() {
                let topics = new.by_ref().take(each).cloned().collect();
                let number = self.free_number(&plan);
                plan.connections.insert(
                    number,
                    ConnectionPlan {
                        number,
                        replica,
                        topics,
                    },
                );
            }
        }
        plan.connections
            .retain(|_, connection| !connection.topics.is_empty());
        plan
    }

    /// The smallest number that neither plan uses: a new connection is never taken for an old one.
    fn free_number(&self, plan: &Self) -> usize {
        let used: BTreeSet<&usize> = self
            .connections
            .keys()
            .chain(plan.connections.keys())
            .collect();
        let free = (1..=used.len()).find(|number| !used.contains(number));
        free.unwrap_or(used.len() + 1)
    }

    fn changes(&self, to: &Self) -> Vec<Change> {
        let closed = self
            .connections
            .keys()
            .filter(|n| !to.connections.contains_key(n));
        let mut changes: Vec<Change> = closed.map(|&n| Change::Close(n)).collect();
        for (&number, connection) in &to.connections {
            match self.connections.get(&number) {
                None => changes.push(Change::Open(number)),
                Some(old) if old != connection => changes.push(Change::Topics(number)),
                Some(_) => {}
            }
        }
        changes
    }
}

/// Every topic once, with the number of its copies.
fn wanted(
    link: &Link,
    feed: &Feed,
    settings: &[FeedSettings],
) -> Result<Vec<(Topic, usize)>, Error> {
    let mut order: Vec<(Topic, usize)> = Vec::new();
    let mut at: BTreeMap<(Arc<str>, Arc<str>), usize> = BTreeMap::new();
    for section in settings {
        let venue = || Arc::clone(&link.venue);
        let placed = |error: Error| match section.place.clone() {
            Some(place) => {
                let source = Box::new(error);
                Error::Section { place, source }
            }
            None => error,
        };
        let channels = checked(link, feed, section).map_err(placed)?;
        for symbol in &section.symbols {
            let symbol: Arc<str> = symbol.as_str().into();
            let names = link.names().with("symbol", &*symbol);
            for name in &channels {
                let channel = &feed.channels[name];
                let copies = if channel.single {
                    1
                } else {
                    section.redundancy
                };
                let key = (Arc::from(name.as_str()), Arc::clone(&symbol));
                if let Some(&known) = at.get(&key) {
                    order[known].1 = order[known].1.max(copies);
                    continue;
                }
                let text = channel
                    .topic
                    .render(&names)
                    .map_err(|source| Error::Template {
                        venue: venue(),
                        key: format!("channels.{name}.topic"),
                        source,
                    })?;
                let topic = Topic {
                    channel: Arc::clone(&key.0),
                    symbol: Arc::clone(&symbol),
                    text: text.into(),
                    table: channel.table.as_str().into(),
                    single: channel.single,
                    address: channel.url.as_ref().map(|url| url.source().into()),
                };
                at.insert(key, order.len());
                order.push((topic, copies));
            }
        }
    }
    Ok(order)
}

/// The channels that a section asks for, if all of it can be.
fn checked(link: &Link, feed: &Feed, section: &FeedSettings) -> Result<Vec<String>, Error> {
    let venue = || Arc::clone(&link.venue);
    if !(1..=MOST_REDUNDANT).contains(&section.redundancy) {
        let redundancy = section.redundancy;
        return Err(Error::Redundancy {
            venue: venue(),
            redundancy,
        });
    }
    let channels = channels(link, feed, section)?;
    check_symbols(&section.symbols).map_err(|message| Error::Symbols {
        venue: venue(),
        message,
    })?;
    Ok(channels)
}

fn channels(link: &Link, feed: &Feed, section: &FeedSettings) -> Result<Vec<String>, Error> {
    let venue = Arc::clone(&link.venue);
    let known = || feed.channels.keys().cloned().collect::<Vec<_>>().join(", ");
    if section.channels.is_empty() {
        let usual = USUAL
            .iter()
            .filter(|name| feed.channels.contains_key(**name));
        let usual: Vec<String> = usual.map(|&name| name.to_owned()).collect();
        if usual.is_empty() {
            return Err(Error::NoChannel {
                venue,
                known: known(),
            });
        }
        return Ok(usual);
    }
    let unknown = section
        .channels
        .iter()
        .find(|name| !feed.channels.contains_key(*name));
    if let Some(channel) = unknown {
        return Err(Error::UnknownChannel {
            venue,
            channel: channel.clone(),
            known: known(),
        });
    }
    Ok(section.channels.clone())
}

/// A symbol goes into JSON and into addresses: what would end a text there is none.
fn check_symbols(symbols: &[String]) -> Result<(), String> {
    if symbols.is_empty() {
        return Err("no symbols: name at least one, in the venue's own spelling".to_owned());
    }
    let bad = |c: char| c.is_control() || c.is_whitespace() || c == '"' || c == '\\';
    match symbols
        .iter()
        .find(|s| s.is_empty() || s.len() > 100 || s.contains(bad))
    {
        Some(symbol) => Err(format!("{symbol:?} cannot be a symbol")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = r#"
description = "x"
[channels.trades]
table = "trades"
topic = "{{ symbol|lower }}@trade"
[channels.book]
table = "book_deltas"
topic = "{{ symbol|lower }}@depth"
single = true
[channels.bars]
table = "bars"
topic = "{{ symbol|lower }}@bar"
[websocket]
url = "wss://host.example:9443/stream?streams={{ topics|join('/') }}"
topics_per_connection = 4
connections = 3
"#;

    fn feed() -> Feed {
        toml::from_str(FEED).unwrap()
    }

    fn section(text: &str) -> FeedSettings {
        toml::from_str(&format!("venue = \"v\"\n{text}")).unwrap()
    }

    fn link(settings: &[FeedSettings]) -> Link {
        Link::new("v", &feed(), settings, &Secrets::default()).unwrap()
    }

    fn update(plan: &Plan, sections: &[&str]) -> Result<(Plan, Vec<Change>), String> {
        let settings: Vec<_> = sections.iter().map(|s| section(s)).collect();
        let updated = plan.update(&link(&settings), &feed(), &settings);
        updated.map_err(|e| e.to_string())
    }

    /// `number/replica: topics`, a line a connection.
    fn show(plan: &Plan) -> Vec<String> {
        let lines = plan.connections.values().map(|c| {
            let topics: Vec<&str> = c.topics.iter().map(|t| &*t.text).collect();
            format!("{}/{}: {}", c.number, c.replica, topics.join(" "))
        });
        lines.collect()
    }

    #[test]
    fn the_usual_channels_are_split_by_the_venues_limit() {
        let (plan, changes) =
            update(&Plan::default(), &["symbols = [\"A\", \"B\", \"C\"]"]).unwrap();
        assert_eq!(
            show(&plan),
            [
                "1/0: a@trade a@depth b@trade b@depth",
                "2/0: c@trade c@depth"
            ]
        );
        assert_eq!(changes, [Change::Open(1), Change::Open(2)]);
    }

    #[test]
    fn copies_leave_out_what_must_be_single() {
        let (plan, _) = update(&Plan::default(), &["symbols = [\"A\"]\nredundancy = 2"]).unwrap();
        assert_eq!(show(&plan), ["1/0: a@trade a@depth", "2/1: a@trade"]);
    }

    #[test]
    fn sections_of_one_venue_are_one_wish() {
        let (plan, _) = update(
            &Plan::default(),
            &[
                "symbols = [\"A\", \"A\"]\nchannels = [\"trades\"]",
                "symbols = [\"A\", \"B\"]\nchannels = [\"trades\"]\nredundancy = 2",
            ],
        )
        .unwrap();
        assert_eq!(
            show(&plan),
            ["1/0: a@trade b@trade", "2/1: a@trade b@trade"]
        );
    }

    #[test]
    fn a_changed_wish_leaves_everything_else_where_it_is() {
        let (old, _) = update(&Plan::default(), &["symbols = [\"A\", \"B\", \"C\"]"]).unwrap();
        let (new, changes) = update(&old, &["symbols = [\"D\", \"C\", \"A\"]"]).unwrap();
        assert_eq!(
            show(&new),
            [
                "1/0: a@trade a@depth d@trade d@depth",
                "2/0: c@trade c@depth"
            ]
        );
        assert_eq!(changes, [Change::Topics(1)]);
        let (last, changes) = update(&new, &["symbols = [\"C\"]"]).unwrap();
        assert_eq!(show(&last), ["2/0: c@trade c@depth"]);
        assert_eq!(changes, [Change::Close(1)]);
        let (same, changes) = update(&last, &["symbols = [\"C\"]"]).unwrap();
        assert_eq!((show(&same), changes), (show(&last), vec![]));
        // The number of the connection that is being closed is not given to the new one.
        let (next, changes) = update(&new, &["symbols = [\"E\", \"F\", \"G\"]"]).unwrap();
        assert_eq!(show(&next).len(), 2, "{:?}", show(&next));
        assert_eq!(changes, [Change::Topics(1), Change::Topics(2)]);
    }

    #[test]
    fn holes_are_closed_when_the_limit_needs_it() {
        let all = "symbols = [\"A\",\"B\",\"C\",\"D\",\"E\",\"F\"]";
        let (full, _) = update(&Plan::default(), &[all]).unwrap();
        let some = "symbols = [\"A\",\"C\",\"E\"]";
        let (holes, _) = update(&full, &[some]).unwrap();
        assert_eq!(holes.connections.len(), 3);
        let copies = "symbols = [\"A\",\"C\"]\nredundancy = 2";
        let (plan, _) = update(&holes, &[copies]).unwrap();
        assert_eq!(plan.connections.len(), 3, "{:?}", show(&plan));
        let copies = "symbols = [\"A\",\"C\",\"E\"]\nredundancy = 2";
        let (plan, _) = update(&holes, &[copies]).unwrap();
        assert_eq!(plan.connections.len(), 3, "{:?}", show(&plan));
    }

    #[test]
    fn what_cannot_be_asked_for_is_an_error_that_says_what_can() {
        for (text, expected) in [
            ("symbols = []", "no symbols"),
            ("symbols = [\"\"]", "cannot be a symbol"),
            ("symbols = [\"a\\\"b\"]", "cannot be a symbol"),
            (
                "symbols = [\"A\"]\nchannels = [\"bok\"]",
                "v: no channel 'bok'; it has: bars, book, trades",
            ),
            ("symbols = [\"A\"]\nredundancy = 5", "1 to 4"),
            (
                "symbols = [\"A\",\"B\",\"C\",\"D\",\"E\",\"F\",\"G\"]",
                "14 subscriptions need 4 connections of 4, and it allows 3",
            ),
        ] {
            let error = update(&Plan::default(), &[text]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let two = [
            section("symbols = [\"A\"]\nwebsocket = \"ws://a\""),
            section("symbols = [\"A\"]"),
        ];
        let error = Link::new("v", &feed(), &two, &Secrets::default()).unwrap_err();
        assert!(error.to_string().contains("differ in `websocket`"));
        let none: Feed = toml::from_str("description = \"x\"").unwrap();
        let error = Link::new("v", &none, &two[1..], &Secrets::default()).unwrap_err();
        assert!(error.to_string().contains("no [websocket] section"));
    }

    #[test]
    fn another_address_keeps_the_path_unless_it_has_one() {
        let (plan, _) = update(&Plan::default(), &["symbols = [\"A\"]"]).unwrap();
        let url = |section_text: &str| {
            let settings = [section(section_text)];
            let url = link(&settings).url(&plan.connections[&1].topics);
            url.map(|url| url.expose().to_owned())
                .map_err(|e| e.to_string())
        };
        let path = "/stream?streams=a@trade/a@depth";
        for (address, expected) in [
            ("", format!("wss://host.example:9443{path}")),
            (
                "websocket = \"ws://127.0.0.1:9/\"",
                format!("ws://127.0.0.1:9{path}"),
            ),
            (
                "websocket = \"ws://127.0.0.1:9/x\"",
                "ws://127.0.0.1:9/x".to_owned(),
            ),
        ] {
            assert_eq!(url(&format!("symbols = [\"A\"]\n{address}")), Ok(expected));
        }
        assert!(url("symbols = [\"A\"]\nwebsocket = \"http://h\"").is_err());
    }
}
