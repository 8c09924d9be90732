//! A stand-in of a venue: serves what a database holds of it in the venue's own protocol, as `feed.toml` describes
//! it, so that any client of the venue can run against it.
//!
//! ```text
//! raw, canonical ─▶ recording (a thread) ─▶ pump (paces, keeps the books) ─▶ a queue a client ─▶ connection
//!                                                       └ snapshot, history ◀─ http
//! ```
//!
//! The recording runs once, from its beginning to its end, for all clients together: one that comes later, or again,
//! goes on at the present position.

mod books;
mod connection;
mod faults;
mod history;
mod http;
mod pattern;
mod protocol;
mod pump;
mod queue;
mod recording;
mod scratch;
mod stage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::query::{self, Session};
use crate::sqltree::{self, SqlTree};
use crate::venues::{self, template};
use crate::{store, venues::feed::Feed};
pub use faults::{Faults, When};
use protocol::Protocol;
use recording::{Recording, Sql};
pub use scratch::Scratch;
use stage::Stage;

/// Chunks of the recording that are read ahead.
const CHUNKS: usize = 4;
/// Items of a chunk.
const CHUNK_ITEMS: usize = 512;
/// How long connections may take to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a replay cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The SQL tree cannot be read.
    #[error(transparent)]
    Tree(#[from] sqltree::Error),
    /// The venue's folder cannot be used.
    #[error(transparent)]
    Venue(#[from] venues::Error),
    /// The venue's folder does not say how a stand-in speaks.
    #[error(
        "{venue}: its feed.toml does not say how a stand-in speaks: it needs [websocket], [channels] and [replay]"
    )]
    NoReplay {
        /// The venue.
        venue: String,
    },
    /// A template of the folder cannot be filled in.
    #[error("{venue}: {source}")]
    Template {
        /// The venue.
        venue: String,
        /// Which one and why.
        source: template::Error,
    },
    /// There is nothing to replay.
    #[error(
        "{venue}: the database holds no message of it in that time that fills a channel's table"
    )]
    Empty {
        /// The venue.
        venue: String,
    },
    /// A question to the database failed.
    #[error("reading the recording: {0}")]
    Query(#[from] query::Error),
    /// A column of an answer is not of the type that it should be.
    #[error("reading the recording: column {at} of an answer is of type {found}")]
    Column {
        /// From 0.
        at: usize,
        /// The type.
        found: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A file or thread cannot be had.
    #[error("cannot {doing}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread of the replay panicked.
    #[error("a thread of the replay has failed; this is a bug")]
    Panicked,
}

/// Receive times from which to which, in ns since 1970 UTC; the end is not part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// From this one on.
    pub from_ns: Option<i64>,
    /// Before this one.
    pub to_ns: Option<i64>,
}

impl Range {
    fn holds(self, ns: i64) -> bool {
        self.from_ns.is_none_or(|from| ns >= from) && !self.is_after(ns)
    }

    fn is_after(self, ns: i64) -> bool {
        self.to_ns.is_some_and(|to| ns >= to)
    }
}

/// How fast messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As many times as fast as they were received. Silence of more than a minute is shortened to one.
    Times(f64),
    /// This many a second, evenly.
    PerSecond(f64),
    /// As fast as the slowest client takes them.
    Max,
}

/// When the recording begins to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Once somebody has subscribed, and nobody has connected or subscribed for so long.
    Quiet(Duration),
    /// Once there are this many subscriptions to one topic each, of all clients together.
    Subscriptions(usize),
}

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The venue: a folder of sql/venues/.
    pub venue: String,
    /// Which of its messages.
    pub range: Range,
    /// How fast.
    pub speed: Speed,
    /// From when on.
    pub start: Start,
    /// The only good credential; without it all that are not empty are good.
    pub key: Option<String>,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

impl Options {
    /// All of a venue's messages as fast as they came, a moment after the first subscription.
    pub fn new(venue: &str) -> Self {
        Self {
            venue: venue.to_owned(),
            range: Range::default(),
            speed: Speed::Times(1.0),
            start: Start::Quiet(Duration::from_millis(500)),
            key: None,
            faults: Faults::default(),
        }
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages of the recording that are behind.
    pub frames: u64,
    /// Frames written to clients, of the recording and of others.
    pub sent: u64,
    /// Clients connected now.
    pub clients: usize,
    /// Clients that ever were.
    pub connections: u64,
    /// Clients that could not keep up and were cut off.
    pub too_slow: u64,
}

/// A replay that runs. Ends when dropped.
pub struct Replay {
    stage: Arc<Stage>,
    address: SocketAddr,
    frames: u64,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    server: JoinHandle<()>,
    /// Until its error has been told.
    pump: Option<JoinHandle<Result<(), Error>>>,
}

impl Replay {
    /// Opens the database in the settings' directory and listens; port 0 is any that is free. The recording begins
    /// to run when the options say.
    ///
    /// # Errors
    /// If the database or the venue's folder cannot be used, or the address not be listened on.
    pub async fn start(
        settings: &Settings,
        listen: SocketAddr,
        options: Options,
    ) -> Result<Self, Error> {
        let settings = settings.clone();
        let opened = tokio::task::spawn_blocking(move || Opened::open(&settings, options));
        let Opened { stage, recording } = opened.await.map_err(|_| Error::Panicked)??;
        let refused = |source| Error::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        // Frames are small, and each counts.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let stage = Arc::new(stage);
        let frames = recording.frames();
        let router = http::router(Arc::clone(&stage), stopped.clone());
        let server = tokio::spawn(async move {
            // It only ends with the task: errors of single connections are theirs.
            let _ = axum::serve(listener, router).await;
        });
        let items = read_ahead(recording, Arc::clone(&stage))?;
        let (is_ready, ready) = oneshot::channel();
        let pump = tokio::spawn(pump::run(Arc::clone(&stage), items, stopped, is_ready, end));
        let mut replay = Self {
            stage,
            address,
            frames,
            stop,
            ended,
            server,
            pump: Some(pump),
        };
        if ready.await.is_err() {
            // It has ended already, for want of anything to play or of a database that can be read.
            replay.finished().await?;
        }
        Ok(replay)
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Messages of the recording.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.stage.progress()
    }

    /// Waits until the recording is at its end and every client has got all of it. The server goes on answering:
    /// requests, logins, subscriptions to what sends nothing any more. May be dropped and called again.
    ///
    /// # Errors
    /// If the recording cannot be read on.
    pub async fn finished(&mut self) -> Result<(), Error> {
        if self.ended.wait_for(|ended| *ended).await.is_ok() {
            return Ok(());
        }
        // The pump has ended without a word: it has the error.
        match self.pump.take() {
            Some(pump) => pump.await.map_err(|_| Error::Panicked)?,
            None => Err(Error::Panicked),
        }
    }

    /// Says goodbye to the clients and stops listening.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(LAST_WORDS, self.stage.until_all_left()).await;
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.server.abort();
        if let Some(pump) = &self.pump {
            pump.abort();
        }
    }
}

/// What is there before anything runs.
struct Opened {
    stage: Stage,
    recording: Recording,
}

impl Opened {
    fn open(settings: &Settings, options: Options) -> Result<Self, Error> {
        let tree = SqlTree::load(&settings.db)?;
        let venue = venues::load(&tree, &options.venue)?;
        check(&venue.name, &venue.feed)?;
        let mut session = Session::new(store::open_reader(settings, false)?, false);
        let sql = Sql::new(&venue);
        let symbols = sql.symbols(&mut session)?;
        let nothing = symbols.is_empty();
        let protocol = Protocol::new(&venue.feed, symbols, options.key.clone())
            .and_then(|protocol| protocol.rehearse().map(|()| protocol))
            .map_err(|source| Error::Template {
                venue: venue.name.clone(),
                source,
            })?;
        let answers = session.try_clone()?;
        let recording = Recording::open(session, sql, options.range)?;
        if nothing || recording.frames() == 0 {
            return Err(Error::Empty { venue: venue.name });
        }
        let answers = history::Answers::new(answers, Sql::new(&venue), &venue)?;
        Ok(Self {
            stage: Stage::new(&venue.feed, protocol, answers, options),
            recording,
        })
    }
}

/// Whether the folder says what a stand-in needs.
fn check(venue: &str, feed: &Feed) -> Result<(), Error> {
    if feed.websocket.is_none() || feed.replay.is_none() || feed.channels.is_empty() {
        return Err(Error::NoReplay {
            venue: venue.to_owned(),
        });
    }
    Ok(())
}

/// A request's parameters.
type Query = Vec<(String, String)>;
/// What the recording's thread hands over.
type Chunk = Result<Vec<recording::Item>, Error>;

/// Reads the recording on a thread, a few chunks ahead.
fn read_ahead(mut recording: Recording, stage: Arc<Stage>) -> Result<mpsc::Receiver<Chunk>, Error> {
    let (to, from) = mpsc::channel(CHUNKS);
    let work = move || {
        let mut chunk = Vec::with_capacity(CHUNK_ITEMS);
        loop {
            match recording.next(&stage.protocol) {
                Ok(Some(item)) => chunk.push(item),
                Ok(None) => break,
                Err(error) => {
                    // What was read before it is good.
                    let _ = to.blocking_send(Ok(std::mem::take(&mut chunk)));
                    let _ = to.blocking_send(Err(error));
                    return;
                }
            }
            if chunk.len() == CHUNK_ITEMS {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ITEMS));
                if to.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        let _ = to.blocking_send(Ok(chunk));
    };
    std::thread::Builder::new()
        .name("recording".into())
        .spawn(work)
        .map_err(|source| Error::Io {
            doing: "start a thread",
            source,
        })?;
    Ok(from)
}
