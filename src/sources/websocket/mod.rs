//! Live messages over WebSocket. A connection is a task: it opens, lets `venues::session` speak, hands every frame on
//! with the time it was read, and opens again when it is lost. Memory is bounded: where the channel behind it is
//! full, the socket is not read, and TCP holds the venue back.

mod backoff;
mod connect;
mod decode;
mod line;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::model::frame::Message;
use crate::sources::now_ns;
use crate::venues::plan::{self, Link, Topic};
use crate::venues::session::{self, Session};
use crate::venues::template;

pub use backoff::{Backoff, Pacer};
pub use connect::tls;

/// The longest message that is read.
pub const MAX_MESSAGE: usize = 64 << 20;
/// Commands that may wait for a connection.
const COMMANDS: usize = 64;

/// Why a connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {source}")]
    Tls {
        /// Why not.
        source: rustls::Error,
    },
    /// The address or a header cannot be made.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// A template of feed.toml cannot be filled in.
    #[error("{venue}: {source}")]
    Template {
        /// The venue.
        venue: Arc<str>,
        /// Why not.
        source: template::Error,
    },
}

/// What holds for all connections.
#[derive(Clone)]
pub struct Options {
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Of the waits' jitter; two connections must not have the same.
    pub seed: u64,
    /// For the connection and its handshake.
    pub connect_timeout: Duration,
    /// How TLS is spoken.
    pub tls: Arc<rustls::ClientConfig>,
}

impl Options {
    /// The usual lengths of time, and a seed of the moment.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            backoff: Backoff::default(),
            seed: now_ns() as u64,
            connect_timeout: Duration::from_secs(10),
            tls: tls()?,
        })
    }
}

/// What a connection is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// How the venue is reached.
    pub link: Arc<Link>,
    /// The connection's number at the venue.
    pub number: usize,
    /// What it is to carry.
    pub topics: Vec<Topic>,
    /// Whether the venue allows one connection more for a moment.
    pub may_overlap: bool,
}

impl Target {
    /// What frames and events of it have in `channel`.
    pub fn name(&self) -> String {
        format!("ws/{}", self.number)
    }
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Between two attempts.
    Waiting,
    /// Being opened.
    Connecting,
    /// The venue has yet to greet.
    Greeting,
    /// Waiting for the answer to the credentials.
    Authenticating,
    /// Topics are being asked for.
    Subscribing,
    /// Every topic is confirmed or refused.
    Live,
    /// For good, until something else is wanted of it: the venue refused the credentials or every topic.
    Refused,
    /// Ended, as asked.
    Stopped,
}

impl State {
    /// In a word, as users see it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Greeting => "greeting",
            Self::Authenticating => "authenticating",
            Self::Subscribing => "subscribing",
            Self::Live => "live",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }
}

impl From<session::State> for State {
    fn from(state: session::State) -> Self {
        match state {
            session::State::Closed => Self::Connecting,
            session::State::Greeting => Self::Greeting,
            session::State::Authenticating => Self::Authenticating,
            session::State::Subscribing => Self::Subscribing,
            session::State::Live => Self::Live,
        }
    }
}

/// How a connection fares.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where it is …
    pub state: State,
    /// … since when, ns since 1970-01-01 UTC.
    pub since_ns: i64,
    /// What it is to carry, refused topics included.
    pub topics: Arc<[Topic]>,
    /// Topics that the venue has confirmed.
    pub confirmed: usize,
    /// Topics asked for or to be asked for.
    pub pending: usize,
    /// Topics that the venue refused for good, with its words.
    pub refused: Vec<(Topic, String)>,
    /// Since when the venue has been received without a break: when every topic had been confirmed or refused, ns since
    /// 1970-01-01 UTC; `None` while it is not. Topics that are added later do not change it.
    pub settled_ns: Option<i64>,
    /// Times it was opened anew.
    pub reconnects: u64,
    /// Why it was last lost or could not be opened.
    pub last_error: Option<String>,
    /// Messages read.
    pub frames: u64,
    /// When the last message was read, ns since 1970-01-01 UTC; 0 if none was.
    pub last_frame_ns: i64,
    /// When the venue last showed any life, pongs included, ns since 1970-01-01 UTC; 0 if never.
    pub last_alive_ns: i64,
    /// Time for which reading had to stop because the writer had no room.
    pub held_back: Duration,
}

/// Counted by the reading task, read by whoever wants to know.
#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    last_frame_ns: AtomicI64,
    last_alive_ns: AtomicI64,
    held_back_ns: AtomicU64,
}

/// What the supervisor of all feeds is to know at once.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The venue.
    pub venue: Arc<str>,
    /// The connection's number there.
    pub number: usize,
    /// What happened.
    pub news: News,
}

/// What happened to a connection.
#[derive(Debug, Clone)]
pub enum News {
    /// Topics were confirmed.
    Subscribed {
        /// Which.
        topics: Vec<Topic>,
        /// Start and end of the time in which they were not received, ns since 1970-01-01 UTC; `None` if they were
        /// not received before.
        hole_ns: Option<(i64, i64)>,
    },
    /// The venue refuses a topic for good.
    Refused {
        /// Which.
        topic: Topic,
        /// The venue's words.
        detail: String,
    },
    /// No connection to this venue can work as things stand.
    Final {
        /// The venue's words.
        detail: String,
    },
}

#[derive(Debug, Clone)]
enum Command {
    Resubscribe(Vec<Topic>, String),
    Ping,
    Reconnect(String),
}

/// What is wanted of a connection: the latest counts.
#[derive(Debug, Clone)]
struct Wanted {
    target: Target,
    stop: bool,
}

/// A running connection.
#[derive(Debug)]
pub struct Connection {
    wanted: watch::Sender<Wanted>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Connection {
    /// Starts one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When an address, header or template cannot be made from feed.toml.
    pub fn spawn(
        target: Target,
        options: &Options,
        pacer: Arc<Pacer>,
        out: mpsc::Sender<Message>,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Self, Error> {
        check(&target)?;
        let (wanted, wants) = watch::channel(Wanted {
            target: target.clone(),
            stop: false,
        });
        let (commands, orders) = mpsc::channel(COMMANDS);
        let counters = Arc::new(Counters::default());
        let (status_sender, status) = watch::channel(Status {
            state: State::Waiting,
            since_ns: now_ns(),
            topics: target.topics.clone().into(),
            confirmed: 0,
            pending: target.topics.len(),
            refused: Vec::new(),
            settled_ns: None,
            reconnects: 0,
            last_error: None,
            frames: 0,
            last_frame_ns: 0,
            last_alive_ns: 0,
            held_back: Duration::ZERO,
        });
        let setup = supervisor::Setup {
            options: options.clone(),
            pacer,
            out,
            notices,
            wants,
            orders,
            status: status_sender,
            counters: Arc::clone(&counters),
        };
        let task = tokio::spawn(supervisor::run(target, setup));
        Ok(Self {
            wanted,
            commands,
            status,
            counters,
            task,
        })
    }

    /// Other topics, or another way to reach the venue: topics that stay are not touched if only topics change, and a new
    /// connection is up before the old one goes if that may be.
    ///
    /// # Errors
    /// When an address, header or template cannot be made from feed.toml; nothing has changed then.
    pub fn set(&self, target: Target) -> Result<(), Error> {
        check(&target)?;
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.target != target;
            wanted.target = target;
            changed
        });
        Ok(())
    }

    /// Ends these topics and asks for them anew. False if too much else is waiting to be done.
    pub fn resubscribe(&self, topics: Vec<Topic>, reason: &str) -> bool {
        let command = Command::Resubscribe(topics, reason.to_owned());
        self.commands.try_send(command).is_ok()
    }

    /// Asks the venue for a sign of life. False if too much else is waiting to be done.
    pub fn ping(&self) -> bool {
        self.commands.try_send(Command::Ping).is_ok()
    }

    /// Ends the connection and opens another. False if too much else is waiting to be done.
    pub fn reconnect(&self, reason: &str) -> bool {
        self.commands
            .try_send(Command::Reconnect(reason.to_owned()))
            .is_ok()
    }

    /// How it fares.
    pub fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        let load = |of: &AtomicI64| of.load(Ordering::Relaxed);
        status.frames = self.counters.frames.load(Ordering::Relaxed);
        status.last_frame_ns = load(&self.counters.last_frame_ns);
        status.last_alive_ns = load(&self.counters.last_alive_ns);
        status.held_back = Duration::from_nanos(self.counters.held_back_ns.load(Ordering::Relaxed));
        status
    }

    /// Returns once the status is such, now or later. False if the connection ends before.
    pub async fn wait_for(&self, is: impl FnMut(&Status) -> bool) -> bool {
        self.status.clone().wait_for(is).await.is_ok()
    }

    /// Asks it to end; what was read before is handed on.
    pub fn stop(&self) {
        self.wanted.send_modify(|wanted| wanted.stop = true);
    }

    /// Whether its task has ended.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// The task, to wait for or to abort. It ends after `stop`.
    pub fn into_task(self) -> JoinHandle<()> {
        self.stop();
        self.task
    }
}

/// Everything that the supervisor will need is made once, so that a fault shows at once.
///
/// # Errors
/// When an address, header or template cannot be made from feed.toml.
pub fn check(target: &Target) -> Result<(), Error> {
    target.link.url(&target.topics)?;
    target.link.headers()?;
    session(target)?
        .rehearse()
        .map_err(|source| template_error(target, source))
}

fn session(target: &Target) -> Result<Session, Error> {
    Session::new(Arc::clone(&target.link), target.topics.clone())
        .map_err(|source| template_error(target, source))
}

fn template_error(target: &Target, source: template::Error) -> Error {
    Error::Template {
        venue: Arc::clone(&target.link.venue),
        source,
    }
}
