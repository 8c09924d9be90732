//! The task behind the handle.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::wants::Wants;
use super::{ConnectionStatus, Error, NOTICES, Order, STOP_WITHIN, Setup, Want, WantKind, Wish};
use crate::engine::watch::{self, Action, Watch, Watched};
use crate::model::BOOK_DELTAS;
use crate::model::frame::{FeedEvent, Message};
use crate::sources::now_ns;
use crate::sources::websocket::{Connection, News, Notice, Pacer, State, Target, check};
use crate::venues::feed::Feed;
use crate::venues::plan::{Change, Link, Plan, Topic};

/// Events that may wait for room.
const EVENTS: usize = 4096;
/// A book that the venue sends on subscribing is not asked for oftener.
const BOOK_EVERY: Duration = Duration::from_secs(5);

/// A venue that is captured.
struct Running {
    feed: Feed,
    link: Arc<Link>,
    plan: Plan,
    connections: BTreeMap<usize, Connection>,
    pacer: Arc<Pacer>,
    stale_after: Arc<BTreeMap<Arc<str>, Duration>>,
    series: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

/// A venue as it is to be.
struct Next {
    name: Arc<str>,
    feed: Feed,
    link: Arc<Link>,
    plan: Plan,
    changes: Vec<Change>,
    targets: BTreeMap<usize, Target>,
}

struct Task {
    setup: Setup,
    venues: BTreeMap<Arc<str>, Running>,
    notices: mpsc::Sender<Notice>,
    watch: Watch,
    wants: Wants,
    events: VecDeque<FeedEvent>,
    /// Connections that were told to end.
    ending: Vec<(String, JoinHandle<()>)>,
    /// Books asked for by subscribing anew: when last, and whether again.
    books: HashMap<(Arc<str>, Arc<str>), (Instant, bool)>,
    /// When the writer last had a backlog, ns since 1970-01-01 UTC: what seemed silent until then may only have waited.
    backlog_ns: i64,
}

pub(super) async fn run(setup: Setup, mut orders: mpsc::Receiver<Order>) {
    let (notices, mut news) = mpsc::channel(NOTICES);
    let mut look = tokio::time::interval(setup.look_every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut task = Task {
        setup,
        venues: BTreeMap::new(),
        notices,
        watch: Watch::default(),
        wants: Wants::default(),
        events: VecDeque::new(),
        ending: Vec::new(),
        books: HashMap::new(),
        backlog_ns: i64::MIN,
    };
    loop {
        task.tell();
        let sender = task.setup.wants.clone();
        let asks = !task.wants.is_empty() && !sender.is_closed();
        tokio::select! {
            // What connections and readers say comes before questions about it.
            biased;
            notice = news.recv() => {
                if let Some(notice) = notice {
                    task.notice(notice);
                }
            }
            Some(want) = task.setup.lost.recv() => task.lost(want),
            order = orders.recv() => match order {
                Some(Order::Check(wishes, answer)) => {
                    // Who no longer waits for an answer needs none; so below.
                    let _ = answer.send(task.check(wishes));
                }
                Some(Order::Apply(wishes, answer)) => {
                    let _ = answer.send(task.apply(wishes));
                }
                Some(Order::Status(answer)) => {
                    let _ = answer.send(task.status());
                }
                Some(Order::Look(now_ns, answer)) => {
                    task.look(now_ns);
                    let _ = answer.send(());
                }
                Some(Order::Stop(answer)) => {
                    let unfinished = task.stop(news).await;
                    let _ = answer.send(unfinished);
                    return;
                }
                None => {
                    task.stop(news).await;
                    return;
                }
            },
            _ = look.tick() => task.look(now_ns()),
            permit = sender.reserve(), if asks => {
                if let (Ok(permit), Some(want)) = (permit, task.wants.pop()) {
                    permit.send(want);
                }
            }
        }
    }
}

impl Task {
    fn check(&self, wishes: Vec<Wish>) -> Result<(), Error> {
        wishes
            .into_iter()
            .try_for_each(|wish| self.next(wish).map(drop))
    }

    fn apply(&mut self, wishes: Vec<Wish>) -> Result<(), Error> {
        let next = wishes
            .into_iter()
            .map(|wish| self.next(wish))
            .collect::<Result<Vec<Next>, Error>>()?;
        let gone: Vec<Arc<str>> = self
            .venues
            .keys()
            .filter(|name| !next.iter().any(|next| next.name == **name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(venue) = self.venues.remove(&name) {
                self.wants.forget(&name);
                for (number, connection) in venue.connections {
                    self.end(&name, number, connection);
                }
            }
        }
        next.into_iter().try_for_each(|next| self.change(next))
    }

    /// Everything about a venue that can fail, before anything is changed.
    fn next(&self, wish: Wish) -> Result<Next, Error> {
        let feed = wish.venue.feed;
        let link = Arc::new(Link::new(
            &wish.venue.name,
            &feed,
            &wish.settings,
            &wish.secrets,
        )?);
        let old = self.venues.get(wish.venue.name.as_str());
        let none = Plan::default();
        let plan = old.map_or(&none, |old| &old.plan);
        let (plan, changes) = plan.update(&link, &feed, &wish.settings)?;
        let may_overlap = plan.connections.len() < link.websocket.connections;
        let targets: BTreeMap<usize, Target> = plan
            .connections
            .values()
            .map(|connection| {
                let target = Target {
                    link: Arc::clone(&link),
                    number: connection.number,
                    topics: connection.topics.clone(),
                    may_overlap,
                };
                (connection.number, target)
            })
            .collect();
        targets.values().try_for_each(check)?;
        Ok(Next {
            name: Arc::clone(&link.venue),
            feed,
            link,
            plan,
            changes,
            targets,
        })
    }

    fn change(&mut self, next: Next) -> Result<(), Error> {
        let stale_after = next.feed.channels.iter();
        let stale_after =
            stale_after.map(|(name, channel)| (name.as_str().into(), channel.stale_after));
        let stale_after: Arc<BTreeMap<Arc<str>, Duration>> = Arc::new(stale_after.collect());
        let series = next.feed.channels.iter().filter_map(|(name, channel)| {
            let prefix = channel.consecutive_ids.as_deref()?;
            Some((name.as_str().into(), watch::series(&channel.table, prefix)))
        });
        let series: Arc<BTreeMap<Arc<str>, Arc<str>>> = Arc::new(series.collect());
        let mut venue = match self.venues.remove(&next.name) {
            Some(old) => Running {
                plan: next.plan,
                feed: next.feed,
                pacer: if old.link.websocket.open_every == next.link.websocket.open_every {
                    old.pacer
                } else {
                    Arc::new(Pacer::new(next.link.websocket.open_every))
                },
                link: next.link,
                connections: old.connections,
                stale_after,
                series,
            },
            None => Running {
                pacer: Arc::new(Pacer::new(next.link.websocket.open_every)),
                plan: next.plan,
                feed: next.feed,
                link: next.link,
                connections: BTreeMap::new(),
                stale_after,
                series,
            },
        };
        let mut outcome = Ok(());
        for change in &next.changes {
            if let Change::Close(number) = change
                && let Some(connection) = venue.connections.remove(number)
            {
                self.end(&next.name, *number, connection);
            }
        }
        for (number, target) in next.targets {
            let done = match venue.connections.get(&number) {
                // What has not changed is not touched: the connection compares.
                Some(connection) => connection.set(target).map_err(Error::from),
                None => self.open(&mut venue, number, target),
            };
            outcome = outcome.and(done);
        }
        self.venues.insert(next.name, venue);
        outcome
    }

    fn open(&self, venue: &mut Running, number: usize, target: Target) -> Result<(), Error> {
        let mut options = self.setup.options.clone();
        for byte in target.link.venue.bytes() {
            options.seed = options.seed.rotate_left(5) ^ u64::from(byte);
        }
        let connection = Connection::spawn(
            target,
            &options,
            Arc::clone(&venue.pacer),
            self.setup.out.clone(),
            self.notices.clone(),
        )?;
        venue.connections.insert(number, connection);
        Ok(())
    }

    fn end(&mut self, venue: &str, number: usize, connection: Connection) {
        self.ending
            .push((format!("{venue} ws/{number}"), connection.into_task()));
    }

    fn status(&self) -> Vec<ConnectionStatus> {
        let connections = self.venues.values().flat_map(|venue| {
            venue
                .connections
                .iter()
                .map(|(&number, connection)| ConnectionStatus {
                    venue: Arc::clone(&venue.link.venue),
                    number,
                    replica: venue.plan.connections.get(&number).map_or(0, |c| c.replica),
                    status: connection.status(),
                })
        });
        connections.collect()
    }

    fn notice(&mut self, notice: Notice) {
        if let News::Subscribed { topics, hole_ns } = notice.news {
            let Some(venue) = self.venues.get(&notice.venue) else {
                return;
            };
            let missed: Vec<Topic> = topics
                .into_iter()
                .filter(|topic| !venue.has_another(notice.number, topic, hole_ns))
                .collect();
            self.fetch(
                &notice.venue,
                &missed,
                hole_ns.map(|(from_ns, _)| from_ns),
                true,
            );
        }
    }

    /// Asks for what the topics missed since then: books from now on, trades since.
    fn fetch(&mut self, name: &Arc<str>, topics: &[Topic], since_ns: Option<i64>, books: bool) {
        let Some(venue) = self.venues.get(name) else {
            return;
        };
        for topic in topics {
            let want = |kind| Want {
                venue: Arc::clone(name),
                symbol: Arc::clone(&topic.symbol),
                kind,
            };
            let by_request = venue
                .feed
                .book
                .as_ref()
                .is_some_and(|book| book.snapshot.is_some());
            if books && by_request && &*topic.table == BOOK_DELTAS {
                self.wants.add(want(WantKind::Snapshot));
            }
            let channel = venue.feed.channels.get(&*topic.channel);
            if channel.is_some_and(|channel| channel.backfill.is_some()) {
                let channel = Arc::clone(&topic.channel);
                self.wants
                    .add(want(WantKind::Backfill { channel, since_ns }));
            }
        }
    }

    /// Whoever reads the messages has lost something.
    fn lost(&mut self, want: Want) {
        let Some(venue) = self.venues.get(&want.venue) else {
            return;
        };
        let by_request = venue
            .feed
            .book
            .as_ref()
            .is_some_and(|book| book.snapshot.is_some());
        if want.kind != WantKind::Heal {
            return self.wants.add(want);
        }
        if !venue.keeps_book(&want.symbol) {
            return;
        }
        if by_request {
            return self.wants.add(want);
        }
        let book = (Arc::clone(&want.venue), Arc::clone(&want.symbol));
        let asked = self.books.get(&book).map(|(at, _)| *at);
        if let Some(at) = asked.filter(|at| at.elapsed() < BOOK_EVERY) {
            self.books.insert(book, (at, true))
        } else {
            venue.resubscribe_book(&want.symbol);
            self.books.insert(book, (Instant::now(), false))
        };
    }

    fn look(&mut self, now_ns: i64) {
        self.ending.retain(|(_, task)| !task.is_finished());
        self.revive();
        let mut due = Vec::new();
        self.books.retain(|(venue, symbol), (at, again)| {
            let over = at.elapsed() >= BOOK_EVERY;
            if over && *again {
                due.push((Arc::clone(venue), Arc::clone(symbol)));
            }
            !over
        });
        for (venue, symbol) in due {
            let kind = WantKind::Heal;
            self.lost(Want {
                venue,
                symbol,
                kind,
            });
        }
        if self.setup.out.capacity() < self.setup.out.max_capacity() / 2 {
            self.backlog_ns = now_ns;
        }
        let watched = |venue: &Running| venue.watched(self.backlog_ns);
        let watched: Vec<Watched> = self.venues.values().flat_map(watched).collect();
        let seen = Arc::clone(&self.setup.seen.borrow());
        for action in self.watch.look(now_ns, &seen, &watched) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        let connection = |venue: &Arc<str>, number: usize| {
            self.venues
                .get(venue)
                .and_then(|venue| venue.connections.get(&number))
        };
        match action {
            // What has no room for a command now is looked at again.
            Action::Resubscribe {
                venue,
                number,
                topics,
            } => {
                if let Some(connection) = connection(&venue, number) {
                    connection.ping();
                    connection.resubscribe(topics, "silent");
                }
            }
            Action::Reconnect {
                venue,
                number,
                reason,
            } => {
                if let Some(connection) = connection(&venue, number) {
                    connection.reconnect(&reason);
                }
            }
            Action::Backfill {
                venue,
                topics,
                since_ns,
            } => self.fetch(&venue, &topics, Some(since_ns), false),
            Action::Event(event) => self.event(event),
        }
    }

    /// A connection that has ended by itself, by a fault of this program, is started again.
    fn revive(&mut self) {
        let names: Vec<Arc<str>> = self.venues.keys().cloned().collect();
        for name in names {
            let Some(mut venue) = self.venues.remove(&name) else {
                continue;
            };
            let over: Vec<usize> = venue
                .connections
                .iter()
                .filter(|(_, connection)| connection.is_over())
                .map(|(number, _)| *number)
                .collect();
            for number in over {
                venue.connections.remove(&number);
                let Some(plan) = venue.plan.connections.get(&number) else {
                    continue;
                };
                let target = Target {
                    link: Arc::clone(&venue.link),
                    number,
                    topics: plan.topics.clone(),
                    may_overlap: venue.plan.connections.len() < venue.link.websocket.connections,
                };
                // It has been set up before; if it cannot be now, the next look tries again.
                let detail = match self.open(&mut venue, number, target) {
                    Ok(()) => "fault in mdb: the connection's task ended; started again".to_owned(),
                    Err(error) => format!("fault in mdb: the connection's task ended: {error}"),
                };
                self.event(FeedEvent {
                    venue: Arc::clone(&name),
                    symbol: None,
                    channel: Some(format!("ws/{number}").into()),
                    at_ns: now_ns(),
                    kind: "error",
                    ids: None,
                    times_ns: None,
                    detail,
                });
            }
            self.venues.insert(name, venue);
        }
    }

    fn event(&mut self, event: FeedEvent) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }

    /// Hands events on as far as there is room.
    fn tell(&mut self) {
        while let Some(event) = self.events.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(Message::Event(event))) =
                self.setup.out.try_send(Message::Event(event))
            {
                self.events.push_front(event);
                return;
            }
        }
    }

    async fn stop(&mut self, news: mpsc::Receiver<Notice>) -> Vec<String> {
        // Nobody listens any more, and no connection waits for it.
        drop(news);
        for (name, venue) in std::mem::take(&mut self.venues) {
            for (number, connection) in venue.connections {
                self.end(&name, number, connection);
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        let mut unfinished = Vec::new();
        for (name, mut task) in self.ending.drain(..) {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                // Ends at once; how does not matter.
                let _ = task.await;
                unfinished.push(name);
            }
        }
        while let Some(event) = self.events.pop_front() {
            let sent = self.setup.out.send(Message::Event(event));
            if tokio::time::timeout_at(deadline, sent).await.is_err() {
                break;
            }
        }
        unfinished
    }
}

impl Running {
    /// Whether another connection has carried the topic all the while; of copies that all came up for the first time, the
    /// first one has nothing before it.
    fn has_another(&self, number: usize, topic: &Topic, hole_ns: Option<(i64, i64)>) -> bool {
        let own = self
            .connections
            .get(&number)
            .and_then(|own| own.status().settled_ns);
        let from = hole_ns.map_or((own.unwrap_or(i64::MAX), number), |(from_ns, _)| {
            (from_ns, usize::MAX)
        });
        self.carriers(topic).any(|(other, status)| {
            other != number
                && status
                    .settled_ns
                    .is_some_and(|settled_ns| (settled_ns, other) < from)
        })
    }

    fn carriers<'r>(
        &'r self,
        topic: &'r Topic,
    ) -> impl Iterator<Item = (usize, crate::sources::websocket::Status)> + 'r {
        self.connections
            .iter()
            .filter_map(move |(&number, connection)| {
                let status = connection.status();
                let refused = status.refused.iter().any(|(refused, _)| refused == topic);
                let carries = status.topics.contains(topic) && !refused;
                carries.then_some((number, status))
            })
    }

    /// Whether the book of a symbol is among the topics.
    fn keeps_book(&self, symbol: &str) -> bool {
        let mut topics = self.plan.connections.values().flat_map(|c| &c.topics);
        topics.any(|topic| &*topic.symbol == symbol && &*topic.table == BOOK_DELTAS)
    }

    fn resubscribe_book(&self, symbol: &str) {
        for (number, plan) in &self.plan.connections {
            let book = plan
                .topics
                .iter()
                .filter(|t| &*t.symbol == symbol && &*t.table == BOOK_DELTAS);
            let book: Vec<Topic> = book.cloned().collect();
            if let (false, Some(connection)) = (book.is_empty(), self.connections.get(number)) {
                connection.resubscribe(book, "its book was lost");
            }
        }
    }

    fn watched(&self, not_before_ns: i64) -> Vec<Watched> {
        let all = self.connections.iter().map(|(&number, connection)| {
            let status = connection.status();
            let refused =
                |topic: &Topic| status.refused.iter().any(|(refused, _)| refused == topic);
            Watched {
                venue: Arc::clone(&self.link.venue),
                number,
                live_since_ns: status
                    .settled_ns
                    .filter(|_| status.state == State::Live)
                    .map(|settled_ns| settled_ns.max(not_before_ns)),
                last_frame_ns: status.last_frame_ns,
                topics: status
                    .topics
                    .iter()
                    .filter(|topic| !refused(topic))
                    .cloned()
                    .collect(),
                stale_after: Arc::clone(&self.stale_after),
                series: Arc::clone(&self.series),
            }
        });
        all.collect()
    }
}
