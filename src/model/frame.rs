//! What sources hand to the store: received messages, and what happened to the feeds.

use std::sync::Arc;

/// A message as received, before anything has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The venue's folder name.
    pub venue: Arc<str>,
    /// What it came by: `ws/<connection>` or `rest/<request>`.
    pub channel: Arc<str>,
    /// The instrument, only where the request implied it.
    pub symbol: Option<Arc<str>>,
    /// When it was read off the socket, ns since 1970-01-01 UTC.
    pub recv_ns: i64,
    /// The message, verbatim.
    pub payload: String,
}

/// What happened to a feed: a row of `feed_events` that hangs on no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// The venue's folder name.
    pub venue: Arc<str>,
    /// The instrument concerned, if not all of the connection.
    pub symbol: Option<Arc<str>>,
    /// The connection or channel concerned.
    pub channel: Option<Arc<str>>,
    /// When it was noticed, ns since 1970-01-01 UTC.
    pub at_ns: i64,
    /// Of connections: `connect`, `connect_failed`, `authenticated`, `subscribed`, `resubscribe`, `refused` (a topic),
    /// `unacknowledged`, `error`, `replace`, `disconnect` (times: last message, noticed), `reconnect` (times: the
    /// hole), `backpressure` (times: reading stood still), `final`. Of the watchdog: `stale`, `quiet`, `fresh`. Of
    /// requests: `backfill`, `backfill_failed`, `snapshot_failed`, `fetched`, `fetch_failed`.
    pub kind: &'static str,
    /// First and last id concerned.
    pub ids: Option<(u64, u64)>,
    /// Start and end of the time concerned, ns since 1970-01-01 UTC.
    pub times_ns: Option<(i64, i64)>,
    /// In words; never holds a secret.
    pub detail: String,
}

/// What a source hands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A received message.
    Frame(Frame),
    /// What happened to a feed.
    Event(FeedEvent),
    /// Nothing; takes a further place in a queue for the long frame before it.
    Place,
}
