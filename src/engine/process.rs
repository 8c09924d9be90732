//! The one process: feeds, writer, requests and watchers, from the start to an orderly end.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::feeds::{self, Feeds, LOOK_EVERY, Setup, Wish};
use super::fetch::{self, Fetch};
use super::figures::Figures;
use super::holes::{Consecutive, Lost};
use super::inbox::Inbox;
use super::marts::Marts;
use super::upkeep::{Lake, Upkeep};
use super::watcher::{self, Watcher};
use crate::config::{self, Settings};
use crate::model::TRADES;
use crate::model::frame::{FeedEvent, Message};
use crate::sources::{now_ns, rest, websocket};
use crate::sqltree::{self, SqlTree};
use crate::store::{self, Order, Store};
use crate::transform::build::Builder;

/// Messages that wait for the writer; beyond that the sockets are read no further.
const MESSAGES: usize = 8_192;
const WANTS: usize = 1_024;
const ORDERS: usize = 4;
/// How often finished dates, many small files and what is too old are looked for.
const UPKEEP_EVERY: Duration = Duration::from_mins(10);
/// How often the connections' state is asked for.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// Of trades that the venue does not give.
const LOST: &str = "trades of these ids were not received, and no request brought them";

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The feeds cannot be as wished.
    #[error(transparent)]
    Feeds(#[from] feeds::Error),
    /// A venue's requests cannot be as wished.
    #[error(transparent)]
    Rest(#[from] rest::Error),
    /// Connections cannot be made at all.
    #[error(transparent)]
    WebSocket(#[from] websocket::Error),
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The SQL tree cannot be read.
    #[error(transparent)]
    Tree(#[from] sqltree::Error),
    /// The writer cannot work with it, or has failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The files cannot be watched.
    #[error("cannot watch the database's directory: {0}")]
    Watch(#[from] notify::Error),
    /// A thread or file of the process itself.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The writer has ended before its time.
    #[error("internal: the writer has ended")]
    Ended,
}

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that mdb.toml says: it, sql/ and inbox/ are watched, finished dates are sealed.
    Everything,
    /// Only the feeds given.
    Feeds,
}

/// A database that is being captured into.
pub struct Process {
    settings: Settings,
    scope: Scope,
    figures: Arc<Figures>,
    marts: Marts,
    seen: watch::Receiver<Arc<super::watch::Seen>>,
    lost: mpsc::Receiver<feeds::Want>,
}

impl Process {
    /// Prepares to capture what the settings' feeds say.
    pub fn new(settings: Settings, scope: Scope) -> Self {
        let (seen_to, seen) = watch::channel(Arc::default());
        let (lost_to, lost) = mpsc::channel(WANTS);
        Self {
            settings,
            scope,
            figures: Arc::new(Figures::new(seen_to, lost_to)),
            marts: Marts::default(),
            seen,
            lost,
        }
    }

    /// What it has done, for whoever asks meanwhile.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Captures until `stop` is ready or the database refuses. All that was received is committed then.
    ///
    /// # Errors
    /// If it cannot start as configured, or the writer fails.
    pub fn run(
        self,
        runtime: &Runtime,
        store: &mut Store,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let readers = Arc::new(store.readers()?);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let lake = Lake {
            sealer: store.live_sealer(orders.downgrade())?,
            importer: store.importer(orders.clone())?,
        };
        let builder = if self.settings.models.live {
            Some(Builder::new(store.modeler()?))
        } else {
            None
        };
        let (messages, incoming) = mpsc::channel(MESSAGES);
        let figures = Arc::clone(&self.figures);
        figures.set_problem(store.fault().map(str::to_owned));
        let tree = store.tree().clone();
        let told = self.marts.clone();
        thread::scope(|scope| {
            let ending = EndsMarts(self.marts.clone());
            let threads_failed = |source| Error::Io {
                doing: "start a thread",
                source,
            };
            let building = builder.map(|builder| {
                let (marts, readers, figures) =
                    (self.marts.clone(), Arc::clone(&readers), self.figures());
                // A strong one would keep the writer from its end.
                let orders = orders.downgrade();
                let run = move || marts.run(builder, &orders, &readers, &figures);
                thread::Builder::new()
                    .name("marts".to_owned())
                    .spawn_scoped(scope, run)
            });
            let building = building.transpose().map_err(threads_failed)?;
            let (ended_to, ended) = oneshot::channel::<()>();
            let writer = thread::Builder::new()
                .name("writer".to_owned())
                .spawn_scoped(scope, move || {
                    let written = store.live(incoming, ordered, |commit| {
                        told.committed(&commit);
                        figures.committed(commit);
                    });
                    drop(ended_to);
                    written
                })
                .map_err(threads_failed)?;
            let worked =
                runtime.block_on(self.work(tree, messages, orders, readers, lake, stop, ended));
            // What fails first is the writer, if it fails: the rest only finds its queue closed.
            let written = writer.join().map_err(|_| Error::Ended);
            drop(ending);
            if let Some(building) = building {
                building.join().map_err(|_| Error::Ended)?;
            }
            written??;
            worked
        })
    }

    /// All that is not writing. The queues to the writer are closed when it returns.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the process, each once"
    )]
    async fn work(
        mut self,
        tree: SqlTree,
        messages: mpsc::Sender<Message>,
        orders: mpsc::Sender<Order>,
        readers: Arc<store::Readers>,
        lake: Lake,
        stop: impl Future<Output = ()>,
        mut ended: oneshot::Receiver<()>,
    ) -> Result<(), Error> {
        let (wants_to, wants) = mpsc::channel(WANTS);
        let venues = Arc::new(fetch::Venues::default());
        let feeds = Feeds::spawn(Setup {
            options: websocket::Options::new()?,
            out: messages.clone(),
            seen: self.seen.clone(),
            lost: std::mem::replace(&mut self.lost, mpsc::channel(1).1),
            wants: wants_to,
            look_every: LOOK_EVERY,
        });
        let fetch = Fetch {
            venues: Arc::clone(&venues),
            readers: Arc::clone(&readers),
            figures: Arc::clone(&self.figures),
            out: messages.clone(),
        };
        let fetching = tokio::spawn(fetch::run(fetch, wants));
        let lake = Arc::new(Mutex::new(lake));
        let mut inbox = Inbox::new(&self.settings.db, &orders, &readers, &lake, &self.marts);
        let upkeep = Arc::new(Upkeep::new(lake, self.marts.clone(), orders.clone()));
        let started = self.apply(tree, &feeds, &venues, &orders).await;
        let watcher = match (&started, self.scope) {
            (Ok(()), Scope::Everything) => Some(Watcher::new(&self.settings.db)?),
            _ => None,
        };
        let worked = match started {
            Ok(()) => {
                let loops = self.watch(
                    &feeds, &venues, &messages, &orders, &upkeep, watcher, &mut inbox,
                );
                tokio::select! {
                    worked = loops => worked,
                    () = stop => Ok(()),
                    _ = &mut ended => Err(Error::Ended),
                }
            }
            failed => failed,
        };
        for name in feeds.stop().await {
            tracing::warn!("{name} did not end in time");
        }
        // One may wait for the other's turn at the lake.
        tokio::join!(inbox.stop(), upkeep.stop());
        fetching.abort();
        let _ = fetching.await;
        for lost in self.figures.give_up() {
            let _ = messages
                .send(Message::Event(told(lost, fetch::STOPPED)))
                .await;
        }
        worked
    }

    /// Makes writer, requests and feeds as the settings and the SQL tree say.
    async fn apply(
        &self,
        tree: SqlTree,
        feeds: &Feeds,
        venues: &fetch::Venues,
        orders: &mpsc::Sender<Order>,
    ) -> Result<(), Error> {
        let tree = Box::new(tree);
        let kept = tree.clone();
        let wishes = Wish::read(&tree, &self.settings)?;
        let sides = venues.prepare(&wishes)?;
        feeds.check(wishes.clone()).await?;
        let names = wishes.iter().map(|wish| wish.venue.name.clone()).collect();
        let (done, answer) = oneshot::channel();
        let order = Order::Tree {
            tree,
            settings: Box::new(self.settings.clone()),
            venues: names,
            done,
        };
        // What the writer defines anew must not be in the making.
        let marts = self.marts.clone();
        let paused = tokio::task::spawn_blocking(move || marts.pause());
        paused.await.map_err(|_| Error::Ended)?;
        let taken_up = async {
            orders.send(order).await.map_err(|_| Error::Ended)?;
            answer.await.map_err(|_| Error::Ended)?.map_err(Error::from)
        };
        let taken_up = taken_up.await;
        self.marts.go(taken_up.is_ok().then_some(kept));
        taken_up?;
        venues.set(sides);
        self.figures.set_consecutive(consecutive(&wishes));
        feeds.apply(wishes).await?;
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the process, each once"
    )]
    async fn watch(
        &mut self,
        feeds: &Feeds,
        venues: &fetch::Venues,
        messages: &mpsc::Sender<Message>,
        orders: &mpsc::Sender<Order>,
        upkeep: &Arc<Upkeep>,
        mut watcher: Option<Watcher>,
        inbox: &mut Inbox,
    ) -> Result<(), Error> {
        let mut status = tokio::time::interval(STATUS_EVERY);
        let mut seal = tokio::time::interval(UPKEEP_EVERY);
        let started = self.settings.clone();
        if watcher.is_some() {
            inbox.look();
        }
        loop {
            tokio::select! {
                _ = status.tick() => {
                    self.figures.connected(feeds.status().await?);
                    for lost in self.figures.lost_trades() {
                        // The writer has ended: nobody is left to be told.
                        let _ = messages.send(Message::Event(told(lost, LOST))).await;
                    }
                    self.figures.heal_again(Instant::now());
                    inbox.tick();
                    Upkeep::tick(upkeep);
                }
                _ = seal.tick(), if self.scope == Scope::Everything => Upkeep::begin(upkeep, &self.settings),
                changes = watcher::next(&mut watcher) => {
                    if changes.inbox {
                        inbox.look();
                    }
                    if changes.settings || changes.sql {
                        self.change(&started, feeds, venues, messages, orders).await;
                    }
                }
            }
        }
    }

    /// Takes up an edit of mdb.toml or sql/. What is wrong with it is told, and everything stays as it was; told is also what
    /// goes on as it was when the process `started`.
    async fn change(
        &mut self,
        started: &Settings,
        feeds: &Feeds,
        venues: &fetch::Venues,
        messages: &mpsc::Sender<Message>,
        orders: &mpsc::Sender<Order>,
    ) {
        let before = self.settings.clone();
        let changed = async {
            self.settings = Settings::load(&self.settings.db)?;
            let tree = SqlTree::load(&self.settings.db)?;
            self.apply(tree, feeds, venues, orders).await
        }
        .await;
        let (kind, detail) = match &changed {
            Ok(()) => {
                let mut detail = "mdb.toml and sql/ are taken up".to_owned();
                let later = started.fixed_changes(&self.settings).join(", ");
                if !later.is_empty() {
                    let later = format!("{later} in mdb.toml takes effect at the next start");
                    tracing::warn!("{later}");
                    detail = format!("{detail}; {later}");
                }
                ("configured", detail)
            }
            Err(error) => {
                self.settings = before;
                tracing::error!("{error}; everything stays as it was");
                ("misconfigured", error.to_string())
            }
        };
        self.figures
            .set_problem(changed.err().map(|error| error.to_string()));
        let event = FeedEvent {
            venue: "".into(),
            symbol: None,
            channel: None,
            at_ns: now_ns(),
            kind,
            ids: None,
            times_ns: None,
            detail,
        };
        // The writer has ended: nobody is left to be told.
        let _ = messages.send(Message::Event(event)).await;
    }
}

/// Ends the builder of marts, whatever else fails: nobody would ever stop waiting for it.
struct EndsMarts(Marts);

impl Drop for EndsMarts {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn consecutive(wishes: &[Wish]) -> Consecutive {
    let venues = wishes.iter().map(|wish| {
        let channels = wish.venue.feed.channels.values();
        let prefixes = channels.filter_map(|channel| channel.consecutive_ids.as_deref());
        (
            Arc::from(wish.venue.name.as_str()),
            prefixes.map(Box::from).collect(),
        )
    });
    venues.collect()
}

fn told(lost: Lost, detail: &str) -> FeedEvent {
    FeedEvent {
        venue: lost.venue,
        symbol: Some(lost.symbol.into()),
        channel: Some(TRADES.into()),
        at_ns: now_ns(),
        kind: "gap",
        ids: Some(lost.ids),
        times_ns: None,
        detail: detail.to_owned(),
    }
}
