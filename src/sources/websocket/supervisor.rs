//! What keeps one connection up: starts a line (a socket's life), another when it is lost, and for a planned change
//! another before the old one goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Waits;
use super::line::{self, Ended, Labels, Line, Order, Report, Why};
use super::{
    Command, Counters, Error, News, Notice, Options, Pacer, State, Status, Target, Wanted, now_ns,
    session,
};
use crate::model::frame::{FeedEvent, Message};
use crate::venues::plan::Topic;
use crate::venues::session::Session;

/// Reports and orders that may wait.
const QUEUE: usize = 64;
/// A line that could not take over is tried again after this at the earliest.
const TAKE_OVER_AGAIN: Duration = Duration::from_secs(5);

/// Everything a supervisor needs.
pub(super) struct Setup {
    pub(super) options: Options,
    pub(super) pacer: Arc<Pacer>,
    pub(super) out: mpsc::Sender<Message>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) wants: watch::Receiver<Wanted>,
    pub(super) orders: mpsc::Receiver<Command>,
    pub(super) status: watch::Sender<Status>,
    pub(super) counters: Arc<Counters>,
}

/// A line that is up or being opened.
struct Up {
    number: u64,
    task: tokio::task::Id,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    /// Topics it was started without, because the line before still has them and they may not be doubled.
    without: Vec<Topic>,
}

impl Up {
    fn end(&self) {
        // A line that is over needs no telling.
        let _ = self.stop.send(true);
    }
}

/// What a line has to say, and which line it is.
type Numbered = (u64, Report);

struct Supervisor {
    setup: Setup,
    target: Target,
    labels: Labels,
    waits: Waits,
    lines: JoinSet<()>,
    reports: (mpsc::Sender<Numbered>, mpsc::Receiver<Numbered>),
    numbers: u64,
    current: Option<Up>,
    next: Option<Up>,
    /// Replaced by the current one, and not gone yet.
    old: Option<Up>,
    /// What the next line starts with, and when; never, if the venue refused.
    held: Option<(Session, Option<Instant>)>,
    /// What a line to take over starts with, and when it is tried again.
    take_over: Option<(Session, Instant)>,
    /// The current line ends only to be opened anew: no wait.
    at_once: bool,
    /// Topics that are being received.
    received: BTreeSet<Topic>,
    /// Topics that were received before the line was lost, and since when they are not.
    lost: Option<(BTreeSet<Topic>, i64)>,
}

/// Runs until it is told to stop.
pub(super) async fn run(target: Target, setup: Setup) {
    let Ok(session) = session(&target) else {
        // `check` has made the very same one.
        return;
    };
    let labels = Labels {
        venue: Arc::clone(&target.link.venue),
        channel: target.name().into(),
    };
    let seed = setup.options.seed ^ (target.number as u64).rotate_left(32);
    let mut supervisor = Supervisor {
        waits: Waits::new(setup.options.backoff, seed),
        setup,
        target,
        labels,
        lines: JoinSet::new(),
        reports: mpsc::channel(QUEUE),
        numbers: 0,
        current: None,
        next: None,
        old: None,
        held: Some((session, Some(Instant::now()))),
        take_over: None,
        at_once: false,
        received: BTreeSet::new(),
        lost: None,
    };
    supervisor.watch().await;
    supervisor.state(State::Stopped);
}

impl Supervisor {
    async fn watch(&mut self) {
        loop {
            self.start_due();
            let wake = self.wake_at();
            tokio::select! {
                Some(over) = self.lines.join_next() => {
                    if let Err(error) = over {
                        self.crashed(error.id(), &error.to_string()).await;
                    }
                }
                report = self.reports.1.recv() => {
                    if let Some((number, report)) = report {
                        self.hear(number, report).await;
                    }
                }
                changed = self.setup.wants.changed() => {
                    let wanted = self.setup.wants.borrow_and_update().clone();
                    if changed.is_err() || wanted.stop {
                        return self.stop().await;
                    }
                    self.want(wanted.target);
                }
                command = self.setup.orders.recv() => {
                    if let Some(command) = command {
                        self.obey(command);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            if self.setup.out.is_closed() {
                return self.stop().await;
            }
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        if self.current.is_none()
            && let Some((session, _)) = self.held.take_if(|(_, at)| at.is_some_and(|at| at <= now))
        {
            self.state(State::Connecting);
            self.current = Some(self.start(session, Vec::new()));
        }
        if self.next.is_none()
            && self.old.is_none()
            && let Some((session, _)) = self.take_over.take_if(|(_, at)| *at <= now)
        {
            self.replace(session);
        }
    }

    fn wake_at(&self) -> Instant {
        let held = self
            .held
            .as_ref()
            .and_then(|(_, at)| *at)
            .filter(|_| self.current.is_none());
        let ready = self.next.is_none() && self.old.is_none();
        let take_over = self.take_over.as_ref().map(|(_, at)| *at).filter(|_| ready);
        let far = Instant::now() + Duration::from_hours(1);
        held.into_iter().chain(take_over).min().unwrap_or(far)
    }

    fn start(&mut self, session: Session, without: Vec<Topic>) -> Up {
        self.numbers += 1;
        let (orders, line_orders) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(false);
        let task = self.lines.spawn(line::run(Line {
            number: self.numbers,
            session,
            labels: self.labels.clone(),
            options: self.setup.options.clone(),
            pacer: Arc::clone(&self.setup.pacer),
            out: self.setup.out.clone(),
            reports: self.reports.0.clone(),
            orders: line_orders,
            stop: stopped,
            counters: Arc::clone(&self.setup.counters),
        }));
        Up {
            number: self.numbers,
            task: task.id(),
            orders,
            stop,
            without,
        }
    }

    /// Puts another line in the current one's place: overlapping if the venue and the topics let it.
    fn replace(&mut self, mut session: Session) {
        let Some(current) = &self.current else {
            self.held = Some((session, Some(Instant::now())));
            return;
        };
        // What the current one is still to be given belongs to it.
        session.change_topics(Duration::ZERO, &[], &current.without);
        if self.old.is_some() {
            self.take_over = Some((session, Instant::now()));
            return;
        }
        self.take_over = None;
        let (single, plural): (Vec<Topic>, Vec<Topic>) =
            session.topics().into_iter().partition(|topic| topic.single);
        if !self.target.may_overlap || plural.is_empty() {
            self.at_once = true;
            self.held = Some((session, None));
            current.end();
            return;
        }
        if let Some(next) = self.next.take() {
            next.end();
        }
        session.change_topics(Duration::ZERO, &single, &[]);
        self.next = Some(self.start(session, single));
    }

    async fn hear(&mut self, number: u64, report: Report) {
        let is = |up: &Option<Up>| up.as_ref().is_some_and(|up| up.number == number);
        let (current, next) = (is(&self.current), is(&self.next));
        match report {
            Report::Opened => self.event("connect", String::new(), None).await,
            Report::Progress(state, confirmed, pending) => {
                if current {
                    self.setup.status.send_modify(|status| {
                        (status.confirmed, status.pending) = (confirmed, pending);
                    });
                    self.state(state.into());
                }
            }
            Report::Settled(topics) => {
                if next {
                    self.promote();
                }
                if current || next {
                    self.settled(topics).await;
                }
            }
            Report::Refused(topic, detail) => {
                self.received.remove(&topic);
                let what = format!("{} {} is refused: {detail}", topic.channel, topic.symbol);
                self.warn(&what);
                self.setup.status.send_modify(|status| {
                    if !status.refused.iter().any(|(known, _)| *known == topic) {
                        status.refused.push((topic.clone(), detail.clone()));
                    }
                });
                self.notice(News::Refused { topic, detail }).await;
            }
            Report::Replace(session, reason) => {
                if current {
                    self.event("replace", reason, None).await;
                    self.replace(*session);
                }
            }
            Report::Ended(ended) if current => self.current_ended(*ended).await,
            Report::Ended(ended) if next => self.next_ended(*ended).await,
            Report::Ended(ended) => {
                let replaced = is(&self.old);
                if ended.opened.is_some() {
                    let detail = if replaced {
                        "another connection has taken over"
                    } else {
                        "no longer needed"
                    };
                    self.event("disconnect", detail.to_owned(), None).await;
                }
                if replaced {
                    self.old = None;
                    self.add_singles(ended.last_ns);
                }
            }
        }
    }

    /// The next line has everything it asked for: the current one may go.
    fn promote(&mut self) {
        if let Some(old) = self.current.take() {
            old.end();
            self.old = Some(old);
        }
        self.current = self.next.take();
        self.setup
            .status
            .send_modify(|status| status.reconnects += 1);
    }

    /// What may not be doubled moves to the current line once nothing else has it.
    fn add_singles(&mut self, last_ns: Option<i64>) {
        let Some(current) = &mut self.current else {
            return;
        };
        let without = std::mem::take(&mut current.without);
        if without.is_empty() {
            return;
        }
        let moved: BTreeSet<Topic> = without
            .iter()
            .filter(|t| self.received.remove(*t))
            .cloned()
            .collect();
        let sent = current.orders.try_send(Order::Topics(Vec::new(), without));
        if sent.is_err() {
            self.start_over();
        }
        if let Some(last_ns) = last_ns.filter(|_| !moved.is_empty()) {
            self.lost = Some((moved, last_ns));
        }
    }

    async fn settled(&mut self, topics: Vec<Topic>) {
        let now = now_ns();
        self.setup.status.send_modify(|status| {
            status.settled_ns.get_or_insert(now);
        });
        // A line that took over has more to come.
        let whole = self
            .current
            .as_ref()
            .is_some_and(|up| up.without.is_empty());
        let (lost, from_ns) = match self.lost.take_if(|_| whole) {
            Some((lost, from_ns)) => (lost, Some(from_ns)),
            None => (BTreeSet::new(), None),
        };
        if let Some(from_ns) = from_ns {
            let seconds = (now - from_ns) as f64 / 1e9;
            let detail = format!(
                "nothing was received for {seconds:.3} s ({} subscriptions)",
                lost.len()
            );
            self.event("reconnect", detail, Some((from_ns, now))).await;
        }
        let new = topics
            .into_iter()
            .filter(|topic| self.received.insert(topic.clone()));
        let (again, first): (Vec<Topic>, Vec<Topic>) = new.partition(|topic| lost.contains(topic));
        let hole_ns = from_ns.map(|from_ns| (from_ns, now));
        for (topics, hole_ns) in [(again, hole_ns), (first, None)] {
            if !topics.is_empty() {
                self.notice(News::Subscribed { topics, hole_ns }).await;
            }
        }
    }

    async fn current_ended(&mut self, ended: Ended) {
        self.current = None;
        if let Some(opened) = ended.opened {
            self.waits.lived(opened.elapsed());
        }
        if let Some(last_ns) = ended.last_ns {
            let received = std::mem::take(&mut self.received);
            if !received.is_empty() {
                // A hole that was not closed goes on from where it began.
                let (mut lost, since) = self.lost.take().unwrap_or((BTreeSet::new(), last_ns));
                lost.extend(received);
                self.lost = Some((lost, since.min(last_ns)));
            }
        }
        self.setup.status.send_modify(|status| {
            status.confirmed = 0;
            status.pending = status.topics.len().saturating_sub(status.refused.len());
            status.settled_ns = None;
        });
        let at_once = std::mem::take(&mut self.at_once);
        let (detail, retry) = match &ended.why {
            Why::Lost {
                detail,
                retry_after,
            } => {
                let wait = self.waits.next().max(retry_after.unwrap_or_default());
                (detail.clone(), Some(wait))
            }
            Why::Final(detail) => (detail.clone(), None),
            Why::Idle => ("every subscription was refused".to_owned(), None),
            Why::Stopped => ("to be opened anew".to_owned(), Some(Duration::ZERO)),
        };
        let retry = if at_once { Some(Duration::ZERO) } else { retry };
        self.tell_end(&ended, &detail, retry.is_some()).await;
        if let Some(next) = self.next.take() {
            // It was on its way to take over anyway.
            self.current = Some(next);
            self.state(State::Connecting);
            return self.add_singles(None);
        }
        let at = retry.map(|wait| Instant::now() + wait);
        self.state(if at.is_some() {
            State::Waiting
        } else {
            State::Refused
        });
        match &mut self.held {
            Some(held) => held.1 = at,
            None => self.held = Self::successor(&ended.session).map(|session| (session, at)),
        }
        if matches!(ended.why, Why::Final(_)) {
            self.notice(News::Final { detail }).await;
        }
    }

    async fn tell_end(&mut self, ended: &Ended, detail: &str, again: bool) {
        if !matches!(ended.why, Why::Stopped) {
            let error = Some(detail.to_owned());
            self.setup
                .status
                .send_modify(|status| status.last_error = error);
        }
        if ended.opened.is_some() {
            let times = ended.last_ns.map(|last_ns| (last_ns, now_ns()));
            self.event("disconnect", detail.to_owned(), times).await;
            self.setup
                .status
                .send_modify(|status| status.reconnects += u64::from(again));
        } else if again && self.waits.failures().is_power_of_two() {
            let attempts = self.waits.failures();
            let detail = if attempts > 1 {
                format!("{detail} (attempt {attempts})")
            } else {
                detail.to_owned()
            };
            self.warn(&detail);
            self.event("connect_failed", detail, None).await;
        }
        if matches!(ended.why, Why::Final(_)) {
            let detail = format!("{detail}: not tried again until settings change");
            self.warn(&detail);
            self.event("final", detail, None).await;
        }
    }

    /// Whoever waits for data at a terminal sees why none comes.
    fn warn(&self, detail: &str) {
        let Labels { venue, channel } = &self.labels;
        tracing::warn!("{venue} {channel}: {detail}");
    }

    /// A line that was to take over has not made it. The current one goes on, and another is tried later.
    async fn next_ended(&mut self, ended: Ended) {
        let without = self.next.take().map(|up| up.without).unwrap_or_default();
        let detail = match ended.why {
            Why::Lost { detail, .. } | Why::Final(detail) => detail,
            Why::Idle => "every subscription was refused".to_owned(),
            Why::Stopped => return,
        };
        self.event("connect_failed", format!("to take over: {detail}"), None)
            .await;
        if let Some(mut session) = Self::successor(&ended.session) {
            session.change_topics(Duration::ZERO, &[], &without);
            let wait = self.waits.next().max(TAKE_OVER_AGAIN);
            self.take_over = Some((session, Instant::now() + wait));
        }
    }

    /// A line has ended by a fault of this program: what it can no longer say is done for it.
    async fn crashed(&mut self, task: tokio::task::Id, detail: &str) {
        let is = |up: &Option<Up>| up.as_ref().is_some_and(|up| up.task == task);
        if is(&self.next) {
            self.next = None;
        } else if is(&self.old) {
            self.old = None;
            self.add_singles(Some(now_ns()));
        } else if is(&self.current) {
            let last_ns = self.setup.counters.last_frame_ns.load(Ordering::Relaxed);
            if let Ok(session) = session(&self.target) {
                let why = Why::Lost {
                    detail: format!("fault in mdb: {detail}"),
                    retry_after: None,
                };
                let (opened, last_ns) = (Some(Instant::now()), Some(last_ns));
                self.current_ended(Ended {
                    session,
                    why,
                    opened,
                    last_ns,
                })
                .await;
            }
        }
    }

    fn successor(session: &Session) -> Option<Session> {
        // Fails only where the first one of this connection would have failed.
        session.successor().ok()
    }

    fn want(&mut self, target: Target) {
        let old = std::mem::replace(&mut self.target, target);
        let topics = self.target.topics.clone();
        let gone: Vec<Topic> = old
            .topics
            .iter()
            .filter(|t| !topics.contains(t))
            .cloned()
            .collect();
        let new: Vec<Topic> = topics
            .iter()
            .filter(|t| !old.topics.contains(t))
            .cloned()
            .collect();
        self.received.retain(|topic| !gone.contains(topic));
        self.setup.status.send_modify(|status| {
            status.topics = topics.into();
            status.refused.retain(|(topic, _)| !gone.contains(topic));
        });
        if *old.link != *self.target.link {
            self.setup
                .status
                .send_modify(|status| status.refused.clear());
            match session(&self.target) {
                Ok(session) => self.replace(session),
                Err(error) => self.fault(&error),
            }
            return;
        }
        if gone.is_empty() && new.is_empty() {
            return;
        }
        if let Some((session, at)) = &mut self.held {
            session.change_topics(Duration::ZERO, &gone, &new);
            if at.is_none() && !session.topics().is_empty() {
                *at = Some(Instant::now());
            }
        }
        if let Some((session, _)) = &mut self.take_over {
            session.change_topics(Duration::ZERO, &gone, &new);
        }
        let mut told = true;
        if let Some(current) = &self.current {
            told = current
                .orders
                .try_send(Order::Topics(gone.clone(), new.clone()))
                .is_ok();
        }
        if let Some(next) = &mut self.next {
            let (single, plural): (Vec<Topic>, Vec<Topic>) =
                new.into_iter().partition(|topic| topic.single);
            next.without.retain(|topic| !gone.contains(topic));
            next.without.extend(single);
            told &= next.orders.try_send(Order::Topics(gone, plural)).is_ok();
        }
        if !told {
            self.start_over();
        }
    }

    /// A line that takes no orders is replaced by one that is started with what is wanted now.
    fn start_over(&mut self) {
        if let Some(next) = self.next.take() {
            next.end();
        }
        self.take_over = None;
        match session(&self.target) {
            Ok(session) => self.held = Some((session, Some(Instant::now()))),
            Err(error) => self.fault(&error),
        }
        if let Some(current) = &self.current {
            self.at_once = true;
            current.end();
        }
    }

    fn obey(&mut self, command: Command) {
        let Some(current) = &self.current else {
            if let (Command::Reconnect(_), Some((_, at))) = (&command, &mut self.held) {
                *at = Some(Instant::now());
            }
            return;
        };
        // Where too much is waiting already, whoever asked will ask again.
        let _ = current.orders.try_send(Order::Command(command));
    }

    /// Ends every line, and waits until what they have read is handed on.
    async fn stop(&mut self) {
        let ups = [self.current.take(), self.next.take(), self.old.take()];
        for line in ups.iter().flatten() {
            line.end();
        }
        let lines: Vec<u64> = ups.iter().flatten().map(|line| line.number).collect();
        loop {
            let report = tokio::select! {
                biased;
                report = self.reports.1.recv() => report,
                over = self.lines.join_next() => match over {
                    Some(_) => continue,
                    // What the last one said before its end.
                    None => self.reports.1.try_recv().ok(),
                },
            };
            match report {
                Some((number, Report::Ended(ended))) if lines.contains(&number) => {
                    if ended.opened.is_some() {
                        self.event("disconnect", "stopped".to_owned(), None).await;
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn state(&self, state: State) {
        self.setup.status.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                (status.state, status.since_ns) = (state, now_ns());
            }
            changed
        });
    }

    fn fault(&self, error: &Error) {
        self.setup
            .status
            .send_modify(|status| status.last_error = Some(error.to_string()));
    }

    async fn event(&self, kind: &'static str, detail: String, times_ns: Option<(i64, i64)>) {
        let event = FeedEvent {
            times_ns,
            ..self.labels.event(kind, detail)
        };
        // Without a writer there is nobody to tell.
        let _ = self.setup.out.send(Message::Event(event)).await;
    }

    async fn notice(&self, news: News) {
        let notice = Notice {
            venue: Arc::clone(&self.labels.venue),
            number: self.target.number,
            news,
        };
        // Whoever does not listen does not need to know.
        let _ = self.setup.notices.send(notice).await;
    }
}
