//! All feeds: their connections, kept as `mdb.toml` says, and watched over. One task; whoever has the handle asks it.
//!
//! Requests by REST are not made here: what is needed goes out as a [`Want`], and books that were lost come in as one.

mod running;
#[cfg(test)]
mod tests;
mod wants;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::secrets::{self, Secrets};
use crate::config::{FeedSettings, Settings};
use crate::engine::watch::Seen;
use crate::model::frame::Message;
use crate::sources::websocket::{self, Options, Status};
use crate::sqltree::SqlTree;
use crate::venues::{self, Venue, plan};

/// How often the watchdog looks, if nobody says otherwise.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long connections may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);
const ORDERS: usize = 16;
const NOTICES: usize = 256;

/// Feeds that cannot be as `mdb.toml` says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `[[feed]]` wishes what cannot be.
    #[error("{place}: {source}")]
    Section {
        /// The file and line that say so.
        place: String,
        /// Why not.
        source: Box<Error>,
    },
    /// The venue's folder is faulty.
    #[error(transparent)]
    Venue(#[from] venues::Error),
    /// A key is missing.
    #[error("venue {venue}: {source}")]
    Secrets {
        /// The venue.
        venue: String,
        /// What to do.
        source: secrets::Error,
    },
    /// More or other than the venue has.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// A connection cannot be set up.
    #[error(transparent)]
    Connection(#[from] websocket::Error),
    /// The task has ended.
    #[error("the feeds have been stopped")]
    Stopped,
}

impl Error {
    /// What is wrong with a feed is told with its place.
    fn of(self, feed: &FeedSettings) -> Self {
        match feed.place.clone() {
            Some(place) => {
                let source = Box::new(self);
                Self::Section { place, source }
            }
            None => self,
        }
    }
}

/// Something to be fetched by request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The venue.
    pub venue: Arc<str>,
    /// The instrument.
    pub symbol: Arc<str>,
    /// What of it.
    pub kind: WantKind,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantKind {
    /// The whole book, to start from.
    Snapshot,
    /// The whole book, for one that fell out of step; needless if it is in step again by then.
    Heal,
    /// Trades whose ids were passed over.
    Trades {
        /// What stands before the numbers of these ids.
        prefix: Box<str>,
        /// Which, and when they were.
        missing: Missing,
    },
    /// What a channel sent while it was not received.
    Backfill {
        /// The channel, by the user's name for it.
        channel: Arc<str>,
        /// Since when, ns since 1970-01-01 UTC; `None` if it was not received by this process before: since what is
        /// stored.
        since_ns: Option<i64>,
    },
}

/// Trades that were not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// First and last number of their ids.
    pub ids: (u64, u64),
    /// Times of trades before and after them, ns since 1970-01-01 UTC.
    pub times_ns: (i64, i64),
}

/// One venue, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its folder.
    pub venue: Venue,
    /// Its `[[feed]]` sections.
    pub settings: Vec<FeedSettings>,
    /// Its secrets.
    pub secrets: Secrets,
}

impl Wish {
    /// What `mdb.toml` wishes: each venue's folder and secrets, read anew.
    ///
    /// # Errors
    /// When a venue is unknown, its folder faulty or a secret missing.
    pub fn read(tree: &SqlTree, settings: &Settings) -> Result<Vec<Self>, Error> {
        let mut wishes: Vec<Self> = Vec::new();
        for feed in &settings.feeds {
            if let Some(wish) = wishes.iter_mut().find(|wish| wish.venue.name == feed.venue) {
                wish.settings.push(feed.clone());
                continue;
            }
            let venue = venues::load(tree, &feed.venue);
            let venue = venue.map_err(|error| Error::from(error).of(feed))?;
            let secrets = Secrets::load(&settings.db, &venue.feed.secrets).map_err(|source| {
                let venue = feed.venue.clone();
                Error::Secrets { venue, source }.of(feed)
            })?;
            wishes.push(Self {
                venue,
                settings: vec![feed.clone()],
                secrets,
            });
        }
        Ok(wishes)
    }
}

/// How one connection fares.
#[derive(Debug, Clone)]
pub struct ConnectionStatus {
    /// The venue.
    pub venue: Arc<str>,
    /// The connection's number there.
    pub number: usize,
    /// Which of the redundant copies it belongs to, from 0.
    pub replica: usize,
    /// How it fares.
    pub status: Status,
}

/// What the feeds are connected with.
pub struct Setup {
    /// For all connections.
    pub options: Options,
    /// Where messages go.
    pub out: mpsc::Sender<Message>,
    /// When rows were last made, as the writer tells it.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Books that were lost, and gaps, as whoever reads the messages finds them.
    pub lost: mpsc::Receiver<Want>,
    /// What is to be fetched by request.
    pub wants: mpsc::Sender<Want>,
    /// How often the watchdog looks.
    pub look_every: Duration,
}

enum Order {
    Check(Vec<Wish>, oneshot::Sender<Result<(), Error>>),
    Apply(Vec<Wish>, oneshot::Sender<Result<(), Error>>),
    Status(oneshot::Sender<Vec<ConnectionStatus>>),
    Look(i64, oneshot::Sender<()>),
    Stop(oneshot::Sender<Vec<String>>),
}

/// The feeds' task.
#[derive(Debug)]
pub struct Feeds {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Feeds {
    /// Starts with nothing to capture. Must be called within a tokio runtime.
    pub fn spawn(setup: Setup) -> Self {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let task = tokio::spawn(running::run(setup, receiver));
        Self { orders, task }
    }

    /// Whether the feeds can be as wished; changes nothing.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub async fn check(&self, wishes: Vec<Wish>) -> Result<(), Error> {
        self.ask(|answer| Order::Check(wishes, answer)).await?
    }

    /// Makes the feeds as wished, with the least changes: other venues and topics are not touched.
    ///
    /// # Errors
    /// When one wish cannot be fulfilled; nothing has changed then.
    pub async fn apply(&self, wishes: Vec<Wish>) -> Result<(), Error> {
        self.ask(|answer| Order::Apply(wishes, answer)).await?
    }

    /// How every connection fares, by venue and number.
    ///
    /// # Errors
    /// When the task has ended.
    pub async fn status(&self) -> Result<Vec<ConnectionStatus>, Error> {
        self.ask(Order::Status).await
    }

    /// Lets the watchdog look at once, as if it were `now_ns`.
    ///
    /// # Errors
    /// When the task has ended.
    pub async fn look(&self, now_ns: i64) -> Result<(), Error> {
        self.ask(|answer| Order::Look(now_ns, answer)).await
    }

    /// Ends all connections: what they have read is handed on. Returns the names of those that did not end in time,
    /// because nobody took what they had read, and were cut off.
    pub async fn stop(self) -> Vec<String> {
        let unfinished = self.ask(Order::Stop).await.unwrap_or_default();
        // It ends with its answer; a panic of it is in its own message.
        let _ = self.task.await;
        unfinished
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.orders
            .send(order(answer))
            .await
            .map_err(|_| Error::Stopped)?;
        answered.await.map_err(|_| Error::Stopped)
    }
}
