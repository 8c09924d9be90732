//! What `feed.toml` says. `sql/venues/README.md` is its reference; unknown keys are errors.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::matching::{Match, Pointer};
use super::template::Template;
use crate::model::Sequencing;

/// A venue's feed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// What the venue is, in a line.
    pub description: String,
    /// Name in templates → environment variable or name in the secrets file.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// How its order book is sequenced; absent if it has none.
    pub book: Option<BookFeed>,
    /// What can be subscribed, by the user's name for it.
    #[serde(default)]
    pub channels: BTreeMap<String, Channel>,
    /// Live messages.
    pub websocket: Option<WebSocket>,
    /// Snapshots and history.
    pub rest: Option<Rest>,
    /// How a stand-in speaks.
    pub replay: Option<Replay>,
}

/// `[book]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookFeed {
    /// How updates are numbered.
    pub rule: Sequencing,
    /// The request that fetches the whole book.
    pub snapshot: Option<String>,
    /// What the venue sends to check the book with.
    pub checksum: Option<Checksum>,
}

/// `[book.checksum]`: CRC-32 over the best levels as the wire wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// Levels of each side.
    pub levels: usize,
    /// Their order.
    pub order: ChecksumOrder,
    /// Stands between the numbers.
    #[serde(default)]
    pub separator: String,
    /// Without the dot and leading zeros.
    #[serde(default)]
    pub digits_only: bool,
}

/// In which order a checksum takes the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumOrder {
    /// All asks from the best on, then all bids.
    AsksBids,
    /// Best bid, best ask, second bid, …
    Alternating,
}

/// `[channels.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The canonical table it fills.
    pub table: String,
    /// Template: the subscription of one symbol.
    pub topic: Template,
    /// In place of the connection's address, where the venue sends this channel at another one.
    pub url: Option<Template>,
    /// A symbol silent this long is looked after.
    #[serde(default = "minute", deserialize_with = "duration")]
    pub stale_after: Duration,
    /// The request that fetches what was missed.
    pub backfill: Option<String>,
    /// The ids of a symbol's trades are this text and a number that rises by one from trade to trade, so that a jump
    /// tells of trades that were not received.
    pub consecutive_ids: Option<String>,
    /// Never on two connections at once.
    #[serde(default)]
    pub single: bool,
}

/// `[websocket]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocket {
    /// Template.
    pub url: Template,
    /// Templates.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// More topics are split over connections.
    #[serde(default = "thousand")]
    pub topics_per_connection: usize,
    /// Connections the venue allows.
    #[serde(default = "sixty_four")]
    pub connections: usize,
    /// Time between opening two connections.
    #[serde(default = "second", deserialize_with = "duration")]
    pub open_every: Duration,
    /// Planned reconnect.
    #[serde(default, deserialize_with = "some_duration")]
    pub reconnect_after: Option<Duration>,
    /// Waited for before anything is sent.
    pub greeting: Option<Match>,
    /// Limit of what is sent.
    #[serde(default = "five")]
    pub frames_per_second: u32,
    /// The handshake, if there is one.
    pub auth: Option<Auth>,
    /// How topics are asked for; absent if the URL does.
    pub subscribe: Option<Subscribe>,
    /// How the connection is kept alive and proven alive.
    pub ping: Option<Ping>,
    /// What is answered to the venue's frames.
    #[serde(default)]
    pub answer: Vec<Answer>,
    /// Frames that are errors.
    #[serde(default)]
    pub error: Vec<ErrorFrame>,
}

/// `[websocket.auth]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Template.
    pub send: Template,
    /// The answer to good credentials.
    pub ok: Match,
    /// How long to wait for it.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[websocket.subscribe]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Template.
    pub send: Template,
    /// Template.
    pub unsubscribe: Option<Template>,
    /// The acknowledgement.
    pub ack: Option<Match>,
    /// Topics a frame.
    #[serde(default = "hundred")]
    pub topics_per_frame: usize,
    /// Topics of one channel a frame.
    #[serde(default)]
    pub one_channel: bool,
    /// How long to wait for the acknowledgement.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[websocket.ping]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    /// How often.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// Template; a protocol ping if absent.
    pub send: Option<Template>,
    /// The answer, where it is a text.
    pub pong: Option<String>,
    /// How long to wait for any answer.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[[websocket.answer]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The venue's frame.
    pub r#match: Match,
    /// Template: the answer.
    pub send: Template,
}

/// `[[websocket.error]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorFrame {
    /// The frame.
    pub r#match: Match,
    /// What follows from it.
    pub effect: Effect,
    /// Pointer to what it says.
    pub detail: Option<Pointer>,
    /// Pointer to the symbol it concerns.
    pub symbol: Option<Pointer>,
    /// Pointer to the topic it concerns.
    pub topic: Option<Pointer>,
    /// Pointer to the id of the frame it answers.
    pub id: Option<Pointer>,
}

/// What follows from an error frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The topic is refused for good.
    DropTopic,
    /// Nothing on this venue can work.
    Stop,
    /// Another connection may do better.
    Reconnect,
    /// It is only told.
    Report,
}

/// `[rest]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// Template: the beginning of every path.
    pub url: Template,
    /// Templates.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// What may be spent.
    #[serde(default)]
    pub budget: Budget,
    /// Of one attempt.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    /// For one page.
    #[serde(default = "five")]
    pub attempts: u32,
    /// Bodies of status 200 that are errors.
    #[serde(default)]
    pub error: Vec<RestError>,
    /// By name.
    #[serde(default)]
    pub requests: BTreeMap<String, Request>,
}

/// Weight that may be spent in a length of time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Weight.
    pub weight: u32,
    /// Time.
    #[serde(deserialize_with = "duration")]
    pub per: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            weight: 60,
            per: minute(),
        }
    }
}

/// `[[rest.error]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestError {
    /// The body.
    pub r#match: Match,
    /// When to try again; never if absent.
    #[serde(default, deserialize_with = "some_duration")]
    pub retry_after: Option<Duration>,
}

/// `[rest.requests.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Template.
    pub path: Template,
    /// The canonical table it fills.
    pub table: String,
    /// What it costs.
    #[serde(default = "one")]
    pub weight: u32,
    /// How the next page is found; absent if there is one only.
    pub page: Option<Page>,
    /// It needs no more than a symbol and brings all there is: asked for where no request is named.
    #[serde(default)]
    pub whole: bool,
}

impl Request {
    /// What its path needs besides a symbol, if anything: a range of time, an id.
    pub fn lacks(&self) -> Option<&str> {
        const GIVEN: [&str; 3] = ["symbol", "secret", "token"];
        let mut names = self.path.names().iter().map(String::as_str);
        names.find(|name| !GIVEN.contains(name))
    }
}

/// `[rest.requests.<name>.page]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Pointer to the next page's address.
    pub next_url: Option<Pointer>,
    /// Pointer to the next token.
    pub token: Option<Pointer>,
    /// Pointer to a record's id.
    pub id: Option<Pointer>,
    /// Pointer to a record's time.
    pub time: Option<Pointer>,
    /// How long a time one page is asked for.
    #[serde(default, deserialize_with = "some_duration")]
    pub window: Option<Duration>,
    /// Pointer to the array of records.
    #[serde(default)]
    pub records: Pointer,
    /// Fewer records end it.
    pub full: Option<usize>,
    /// At most.
    pub pages: Option<u32>,
}

/// `[replay]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Frame sent on connecting.
    pub greeting: Option<String>,
    /// Template: the answer to good credentials.
    pub authenticated: Option<Template>,
    /// Template: the answer to bad ones.
    pub refused: Option<Template>,
    /// Template: the acknowledgement of a subscription.
    pub subscribed: Option<Template>,
    /// One acknowledgement for each topic.
    #[serde(default)]
    pub per_topic: bool,
    /// Template: the answer to a topic that the recording does not have.
    pub unknown: Option<Template>,
    /// Template: the acknowledgement of an end of a subscription.
    pub unsubscribed: Option<Template>,
    /// How a client's ping is read, where it is more than `websocket.ping.send` says.
    pub ping: Option<PingFrame>,
    /// Template: the answer to a client's ping, where `websocket.ping.pong` does not say it.
    pub pong: Option<Template>,
    /// How a client's frame is read.
    pub subscribe: Option<ClientFrame>,
    /// The same, to end a subscription.
    pub unsubscribe: Option<ClientFrame>,
    /// Other names that clients have for channels → the channels' topics.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Template: the whole book.
    pub snapshot: Option<Template>,
    /// How requests for what was are answered, by the request's name.
    #[serde(default)]
    pub history: BTreeMap<String, History>,
}

/// `[replay.history.<request>]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Template: a page of rows.
    pub page: Template,
    /// Rows of a page.
    pub rows: Option<usize>,
    /// Of trades only those that are several fills in one, instead of only the others.
    #[serde(default)]
    pub aggregates: bool,
}

/// `[replay.subscribe]` and `[replay.unsubscribe]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFrame {
    /// The frame.
    pub r#match: Match,
    /// Pointer to the topics.
    pub topics: Option<Pointer>,
    /// Pointer to the symbols.
    pub symbols: Option<Pointer>,
    /// Pointer to the channels.
    pub channels: Option<Pointer>,
    /// How a channel is read that is an object.
    pub object: Option<ChannelObject>,
    /// Stands before the names of channels; a frame whose channels lack it is another one.
    #[serde(default)]
    pub prefix: String,
    /// The frame's keys are channels, their values symbols.
    #[serde(default)]
    pub keyed: bool,
    /// Pointer to the id.
    pub id: Option<Pointer>,
}

/// `object` of `[replay.subscribe]`: a channel with symbols of its own, beside those of the whole frame.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelObject {
    /// Pointer to the channel's name.
    pub channel: Pointer,
    /// Pointer to its symbols.
    pub symbols: Pointer,
}

/// `[replay.ping]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingFrame {
    /// The frame.
    pub r#match: Match,
    /// Pointer to the id.
    pub id: Option<Pointer>,
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    crate::config::duration(from)
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    crate::config::duration(from).map(Some)
}

fn one() -> u32 {
    1
}

fn five() -> u32 {
    5
}

fn hundred() -> usize {
    100
}

fn thousand() -> usize {
    1000
}

fn sixty_four() -> usize {
    64
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn minute() -> Duration {
    Duration::from_mins(1)
}
