//! The life of one socket: opened, read, let speak by its session, ended. A task of its own; it tells the connection's
//! supervisor what comes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};

use super::connect::{self, Socket};
use super::{Command, Counters, Options, Pacer, decode, now_ns};
use crate::model::frame::{FeedEvent, Frame, Message};
use crate::sources::{hand_on, try_hand_on};
use crate::venues::plan::Topic;
use crate::venues::session::{Note, Output, Received, Session, State};

/// Frames read at one go before anything else is looked at.
const BATCH: usize = 512;
/// A frame to the venue must be gone within this, and so must a farewell.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_millis(250);
/// A writer without room is worth an event if reading stood still for this long in all …
const WORTH_TELLING: Duration = Duration::from_millis(100);
/// … counted until there has been room for this long.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// Everything that frames and events of a connection carry.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pub(super) venue: Arc<str>,
    pub(super) channel: Arc<str>,
}

impl Labels {
    pub(super) fn event(&self, kind: &'static str, detail: impl Into<String>) -> FeedEvent {
        FeedEvent {
            venue: Arc::clone(&self.venue),
            symbol: None,
            channel: Some(Arc::clone(&self.channel)),
            at_ns: now_ns(),
            kind,
            ids: None,
            times_ns: None,
            detail: detail.into(),
        }
    }
}

/// What the supervisor asks of a line.
pub(super) enum Order {
    /// What users of the connection ask for.
    Command(Command),
    /// Topics no longer wanted, and new ones.
    Topics(Vec<Topic>, Vec<Topic>),
}

/// What a line tells the supervisor.
pub(super) enum Report {
    /// The socket is open.
    Opened,
    /// Where it is, and topics confirmed and not.
    Progress(State, usize, usize),
    /// All topics are confirmed or refused; these were confirmed.
    Settled(Vec<Topic>),
    /// A topic is refused for good.
    Refused(Topic, String),
    /// Another line should take over, with this session.
    Replace(Box<Session>, String),
    /// It is over.
    Ended(Box<Ended>),
}

/// How a line ended.
pub(super) struct Ended {
    pub(super) session: Session,
    pub(super) why: Why,
    /// When it was opened; `None` if it never was.
    pub(super) opened: Option<Instant>,
    /// When a message last came, ns since 1970-01-01 UTC; when it was opened, if none did.
    pub(super) last_ns: Option<i64>,
}

/// Why a line ended. Words hold no secrets.
pub(super) enum Why {
    /// Lost or given up: open another.
    Lost {
        detail: String,
        retry_after: Option<Duration>,
    },
    /// The venue will not have it.
    Final(String),
    /// Nothing is left to ask for.
    Idle,
    /// As asked.
    Stopped,
}

impl Why {
    fn lost(detail: impl Into<String>) -> Self {
        Self::Lost {
            detail: detail.into(),
            retry_after: None,
        }
    }
}

/// A time of too little room behind the connection.
struct Jam {
    from_ns: i64,
    held: Duration,
    until: Instant,
    until_ns: i64,
}

/// What a line needs.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) session: Session,
    pub(super) labels: Labels,
    pub(super) options: Options,
    pub(super) pacer: Arc<Pacer>,
    pub(super) out: mpsc::Sender<Message>,
    pub(super) reports: mpsc::Sender<(u64, Report)>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) counters: Arc<Counters>,
}

/// Lives until the socket is lost or the line is stopped.
pub(super) async fn run(line: Line) {
    let (number, reports) = (line.number, line.reports.clone());
    let mut running = Running {
        base: Instant::now(),
        opened: None,
        last_ns: None,
        progress: (State::Closed, 0, 0),
        jam: None,
        unreadable: 0,
        line,
    };
    let why = running.live().await;
    running.line.session.closed();
    running.end_jam(true).await;
    let ended = Ended {
        session: running.line.session,
        why,
        opened: running.opened,
        last_ns: running.last_ns,
    };
    // Without a supervisor nobody is left to tell.
    let _ = reports.send((number, Report::Ended(Box::new(ended)))).await;
}

struct Running {
    line: Line,
    base: Instant,
    opened: Option<Instant>,
    last_ns: Option<i64>,
    progress: (State, usize, usize),
    jam: Option<Jam>,
    /// Binary frames that are no text.
    unreadable: u64,
}

impl Running {
    async fn live(&mut self) -> Why {
        let mut socket = match self.open().await {
            Ok(socket) => socket,
            Err(why) => return why,
        };
        let why = match self.converse(&mut socket).await {
            Ok(never) => match never {},
            Err(why) => self.last_words(why).await,
        };
        // The venue may be gone: it is told, and not waited for.
        let _ = tokio::time::timeout(FAREWELL, socket.close(None)).await;
        why
    }

    /// Why the conversation ended. A venue may hang up right behind the frame that says why: the session has read that
    /// frame, and what it made of it was not said yet.
    async fn last_words(&mut self, why: Why) -> Why {
        if !matches!(why, Why::Lost { .. }) {
            return why;
        }
        while let Some(output) = self.line.session.poll() {
            match output {
                Output::Event(note) => {
                    if let Err(why) = self.event(note).await {
                        return why;
                    }
                }
                Output::Refused(topic, detail) => self.report(Report::Refused(topic, detail)).await,
                Output::Reconnect(reason) => return Why::lost(reason),
                Output::Stop(reason) => return Why::Final(reason),
                Output::Idle => return Why::Idle,
                // Of a connection that is gone.
                Output::Send(_) | Output::Ping | Output::Settled(_) | Output::Replace(_) => {}
            }
        }
        why
    }

    async fn open(&mut self) -> Result<Socket, Why> {
        let mut stop = self.line.stop.clone();
        let line = &self.line;
        let topics = line.session.topics();
        let tls = Arc::clone(&line.options.tls);
        let opening = async {
            line.pacer.turn().await;
            connect::open(
                line.session.link(),
                &topics,
                tls,
                line.options.connect_timeout,
            )
            .await
        };
        let socket = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Err(Why::Stopped),
            opened = opening => opened,
        };
        let socket = socket.map_err(|failed| Why::Lost {
            detail: self.clean(failed.detail),
            retry_after: failed.retry_after,
        })?;
        self.opened = Some(Instant::now());
        self.last_ns = Some(now_ns());
        self.report(Report::Opened).await;
        let now = self.now();
        self.line.session.opened(now);
        Ok(socket)
    }

    /// Reads, and sends what the session says, until one of them ends it.
    async fn converse(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, Why> {
        let mut stop = self.line.stop.clone();
        loop {
            self.say(socket).await?;
            let wake = self.wake_at();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(Why::Stopped),
                message = socket.next() => self.read(socket, message).await?,
                order = self.line.orders.recv() => match order {
                    Some(order) => self.obey(order)?,
                    None => return Err(Why::Stopped),
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            while let Ok(order) = self.line.orders.try_recv() {
                self.obey(order)?;
            }
            self.end_jam(false).await;
            let now = self.now();
            if self.line.session.wake_at().is_some_and(|at| at <= now) {
                self.line.session.tick(now);
            }
        }
    }

    /// Takes a message, and those that are there already.
    async fn read(
        &mut self,
        socket: &mut Socket,
        first: Option<Result<WsMessage, WsError>>,
    ) -> Result<(), Why> {
        let mut next = first;
        for taken in 1..=BATCH {
            let message = match next {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(Why::lost(self.clean(words(&error)))),
                None => return Err(Why::lost("the venue closed the connection")),
            };
            self.take(message, now_ns()).await?;
            if taken == BATCH {
                break;
            }
            match socket.next().now_or_never() {
                Some(message) => next = message,
                None => break,
            }
        }
        Ok(())
    }

    async fn take(&mut self, message: WsMessage, recv_ns: i64) -> Result<(), Why> {
        self.line
            .counters
            .last_alive_ns
            .store(recv_ns, Ordering::Relaxed);
        let text = match message {
            WsMessage::Text(text) => text.as_str().to_owned(),
            WsMessage::Binary(bytes) => match decode::text_of(&bytes) {
                Some(text) => text,
                None => return self.unreadable(&bytes).await,
            },
            WsMessage::Close(frame) => {
                let reason = frame.map_or_else(String::new, |frame| {
                    format!(": {} {}", u16::from(frame.code), frame.reason.as_str())
                });
                let detail = format!("the venue closed the connection{reason}");
                return Err(Why::lost(self.clean(detail)));
            }
            WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => {
                self.line.session.alive();
                return Ok(());
            }
        };
        let payload = match self.line.session.text(self.now(), &text) {
            Received::AsItCame => text,
            Received::Redacted(clean) => clean,
            Received::Pong => return Ok(()),
        };
        self.last_ns = Some(recv_ns);
        self.line
            .counters
            .last_frame_ns
            .store(recv_ns, Ordering::Relaxed);
        self.line.counters.frames.fetch_add(1, Ordering::Relaxed);
        let labels = &self.line.labels;
        let frame = Frame {
            venue: Arc::clone(&labels.venue),
            channel: Arc::clone(&labels.channel),
            symbol: None,
            recv_ns,
            payload,
        };
        self.hand_on(Message::Frame(frame)).await
    }

    /// A binary frame that is no text: the first few of a connection are told.
    async fn unreadable(&mut self, bytes: &[u8]) -> Result<(), Why> {
        self.line.session.alive();
        self.unreadable += 1;
        if !self.unreadable.is_power_of_two() {
            return Ok(());
        }
        let start: Vec<String> = bytes
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let detail = format!(
            "binary frame {} of this connection is no text, plain or compressed, and is lost: {} bytes, {} …",
            self.unreadable,
            bytes.len(),
            start.join(" ")
        );
        let event = self.line.labels.event("error", detail);
        self.hand_on(Message::Event(event)).await
    }

    /// Hands a message on. While there is no room for it, nothing more is read.
    async fn hand_on(&mut self, message: Message) -> Result<(), Why> {
        let message = match try_hand_on(&self.line.out, message) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Why::Stopped),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let (from, from_ns) = (Instant::now(), now_ns());
        // Not even an order to stop ends this: what was read is handed on, if it can be.
        if !hand_on(&self.line.out, message).await {
            return Err(Why::Stopped);
        }
        let held = from.elapsed();
        self.line.session.stalled(held);
        self.line
            .counters
            .held_back_ns
            .fetch_add(held.as_nanos() as u64, Ordering::Relaxed);
        let jam = self.jam.get_or_insert(Jam {
            from_ns,
            held: Duration::ZERO,
            until: from,
            until_ns: from_ns,
        });
        jam.held += held;
        (jam.until, jam.until_ns) = (Instant::now(), now_ns());
        Ok(())
    }

    /// Tells of a time of too little room once it is over.
    async fn end_jam(&mut self, at_once: bool) {
        let over = |jam: &mut Jam| at_once || jam.until.elapsed() >= ROOM_AGAIN;
        let Some(jam) = self.jam.take_if(over) else {
            return;
        };
        if jam.held <= WORTH_TELLING {
            return;
        }
        let detail = format!(
            "reading stood still for {:.3} s in all, because the writer had no room",
            jam.held.as_secs_f64()
        );
        let event = FeedEvent {
            times_ns: Some((jam.from_ns, jam.until_ns)),
            ..self.line.labels.event("backpressure", detail)
        };
        // Without a writer there is nobody to tell.
        let _ = self.hand_on(Message::Event(event)).await;
    }

    fn obey(&mut self, order: Order) -> Result<(), Why> {
        let now = self.now();
        match order {
            Order::Topics(gone, new) => self.line.session.change_topics(now, &gone, &new),
            Order::Command(Command::Resubscribe(topics, reason)) => {
                self.line.session.resubscribe(now, &topics, &reason);
            }
            Order::Command(Command::Ping) => self.line.session.ping(now),
            Order::Command(Command::Reconnect(reason)) => return Err(Why::lost(reason)),
        }
        Ok(())
    }

    /// Does what the session says.
    async fn say(&mut self, socket: &mut Socket) -> Result<(), Why> {
        let mut flush = false;
        let mut moved = self.line.session.state() != State::Live;
        while let Some(output) = self.line.session.poll() {
            moved = true;
            match output {
                Output::Send(text) => {
                    self.feed(socket, WsMessage::text(text.expose())).await?;
                    flush = true;
                }
                Output::Ping => {
                    self.feed(socket, WsMessage::Ping(Vec::new().into()))
                        .await?;
                    flush = true;
                }
                Output::Event(note) => self.event(note).await?,
                Output::Settled(topics) => {
                    self.progress().await;
                    self.report(Report::Settled(topics)).await;
                }
                Output::Refused(topic, detail) => self.report(Report::Refused(topic, detail)).await,
                Output::Replace(reason) => match self.line.session.successor() {
                    Ok(session) => {
                        self.report(Report::Replace(Box::new(session), reason))
                            .await;
                    }
                    Err(error) => return Err(Why::Final(error.to_string())),
                },
                Output::Reconnect(reason) => return Err(Why::lost(reason)),
                Output::Stop(reason) => return Err(Why::Final(reason)),
                Output::Idle => return Err(Why::Idle),
            }
        }
        if flush {
            let flushed = tokio::time::timeout(WRITE_TIMEOUT, socket.flush()).await;
            self.written(flushed)?;
        }
        if moved {
            self.progress().await;
        }
        Ok(())
    }

    async fn feed(&self, socket: &mut Socket, message: WsMessage) -> Result<(), Why> {
        let fed = tokio::time::timeout(WRITE_TIMEOUT, socket.feed(message)).await;
        self.written(fed)
    }

    fn written(
        &self,
        result: Result<Result<(), WsError>, tokio::time::error::Elapsed>,
    ) -> Result<(), Why> {
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Why::lost(self.clean(words(&error)))),
            Err(_) => Err(Why::lost("the venue takes nothing more in")),
        }
    }

    async fn event(&mut self, note: Note) -> Result<(), Why> {
        let event = FeedEvent {
            symbol: note.symbol,
            ..self.line.labels.event(note.kind, note.detail)
        };
        self.hand_on(Message::Event(event)).await
    }

    async fn progress(&mut self) {
        let (confirmed, pending) = self.line.session.counts();
        let progress = (self.line.session.state(), confirmed, pending);
        if progress != self.progress {
            self.progress = progress;
            self.report(Report::Progress(progress.0, confirmed, pending))
                .await;
        }
    }

    async fn report(&self, report: Report) {
        // Without a supervisor the line is about to be aborted.
        let _ = self.line.reports.send((self.line.number, report)).await;
    }

    fn wake_at(&self) -> Instant {
        let session = self.line.session.wake_at().map(|at| self.base + at);
        let jam = self.jam.as_ref().map(|jam| jam.until + ROOM_AGAIN);
        let far = Instant::now() + Duration::from_hours(1);
        session.into_iter().chain(jam).min().unwrap_or(far)
    }

    fn now(&self) -> Duration {
        self.base.elapsed()
    }

    fn clean(&self, text: String) -> String {
        self.line.session.link().secrets.redact(text)
    }
}

/// Returns once the line is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A supervisor that is gone wants nothing any more.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What broke the connection, in words for people.
fn words(error: &WsError) -> String {
    match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the venue cut the connection off".to_owned()
        }
        WsError::Capacity(_) => format!("a message of more than {} MiB", super::MAX_MESSAGE >> 20),
        other => other.to_string(),
    }
}
