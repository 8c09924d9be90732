//! A stand-in of a venue: a WebSocket server and an HTTP server on loopback, in a thread of their own.
//!
//! A test says how it behaves by a [`Script`] of closures, and drives each connection by its [`Peer`], from the closures or
//! from outside:
//!
//! ```ignore
//! let venue = StandIn::start(Script::new(|peer, text| {
//!     if text.contains("subscribe") {
//!         peer.send(r#"{"result":null,"id":1}"#);
//!         peer.stream(Stream::new(frames.clone()).rate(10_000.0).faults(Faults { drop: 0.01, seed, ..Faults::NONE }));
//!     }
//! }));
//! let settings = format!("websocket = \"{}\"\nrest = \"{}\"", venue.ws_url(), venue.rest_url());
//! let peer = venue.connected();                       // waits for a client
//! let (peer, text) = venue.text(|text| text.contains("subscribe")); // waits for what a client says
//! peer.cut();                                         // the cable is pulled
//! venue.closed(&peer);                                // waits for the end
//! ```
//!
//! What can go wrong: in a stream frames are dropped, doubled, swapped, delayed or followed by garbage, by chance with a seed
//! ([`Faults`]); it ends with a disconnect or a stall after so many frames; a peer is cut off ([`Peer::cut`]), says farewell
//! ([`Peer::close`]), goes half-open ([`Peer::stall`]: reads nothing, answers no ping, sends nothing, stays connected), or
//! keeps some of its frames to itself ([`Peer::silence`]: a silent channel). The HTTP server answers by the script's closure
//! ([`Script::rest`]): a status of 429 with `retry-after` is a [`Reply`] like any other.
//!
//! Nothing sleeps for an event: every wait ends with it, or fails the test after 20 seconds.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

const PATIENCE: Duration = Duration::from_secs(20);

type OnOpen = Arc<dyn Fn(&Peer) + Send + Sync>;
type OnText = Arc<dyn Fn(&Peer, &str) + Send + Sync>;
type OnRequest = Arc<dyn Fn(&str) -> Reply + Send + Sync>;
type Silence = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How the stand-in behaves.
#[derive(Clone)]
pub(crate) struct Script {
    on_open: OnOpen,
    on_text: OnText,
    on_request: OnRequest,
    refuse: Arc<AtomicUsize>,
}

impl Script {
    /// Does this at every text from a client.
    pub(crate) fn new(on_text: impl Fn(&Peer, &str) + Send + Sync + 'static) -> Self {
        Self {
            on_open: Arc::new(|_| {}),
            on_text: Arc::new(on_text),
            on_request: Arc::new(|_| Reply::status(404)),
            refuse: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Does this when a client has connected: greet it, or start a stream.
    #[allow(dead_code, reason = "for venues that greet")]
    pub(crate) fn on_open(mut self, on_open: impl Fn(&Peer) + Send + Sync + 'static) -> Self {
        self.on_open = Arc::new(on_open);
        self
    }

    /// Answers HTTP requests; it is given path and query.
    #[allow(dead_code, reason = "for the tests of requests")]
    pub(crate) fn rest(mut self, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        self.on_request = Arc::new(answer);
        self
    }

    /// Answers the first `times` handshakes with HTTP status 429, `retry-after: 0`.
    pub(crate) fn refuse(self, times: usize) -> Self {
        self.refuse.store(times, Ordering::SeqCst);
        self
    }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

#[allow(dead_code, reason = "for the tests of requests")]
impl Reply {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What happens to the frames of a stream, by chance: each is the part of frames it happens to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) seed: u64,
    pub(crate) drop: f64,
    pub(crate) duplicate: f64,
    /// Swapped with the frame after it.
    pub(crate) reorder: f64,
    /// Followed by half a frame as a frame of its own.
    pub(crate) garbage: f64,
    /// Held up, and all behind it, for 20 ms.
    pub(crate) delay: f64,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        seed: 0,
        drop: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        garbage: 0.0,
        delay: 0.0,
    };
}

/// Frames sent to a client one after another.
#[derive(Clone)]
pub(crate) struct Stream {
    frames: Arc<Vec<String>>,
    rate: f64,
    faults: Faults,
    disconnect_after: Option<u64>,
    stall_after: Option<u64>,
    next: Arc<AtomicU64>,
}

#[allow(dead_code, reason = "not every test needs every fault")]
impl Stream {
    /// As fast as the client takes them.
    pub(crate) fn new(frames: Arc<Vec<String>>) -> Self {
        Self {
            frames,
            rate: f64::INFINITY,
            faults: Faults::NONE,
            disconnect_after: None,
            stall_after: None,
            next: Arc::default(),
        }
    }

    /// So many a second.
    pub(crate) fn rate(mut self, per_second: f64) -> Self {
        self.rate = per_second;
        self
    }

    pub(crate) fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The connection is cut after so many frames of this stream.
    pub(crate) fn disconnect_after(mut self, frames: u64) -> Self {
        self.disconnect_after = Some(frames);
        self
    }

    /// The connection goes half-open after so many frames of this stream.
    pub(crate) fn stall_after(mut self, frames: u64) -> Self {
        self.stall_after = Some(frames);
        self
    }

    /// Streams that share this counter go on where another left off: what a venue does for one who comes back.
    pub(crate) fn from(mut self, next: Arc<AtomicU64>) -> Self {
        self.next = next;
        self
    }
}

enum Order {
    Send(Message),
    Last(Message),
    Stream(Stream),
    Silence(Option<Silence>),
    Close,
    Cut,
    Stall,
}

/// One client's connection.
#[derive(Clone)]
pub(crate) struct Peer {
    /// From 0, in the order they came.
    pub(crate) number: usize,
    /// Path and query of the address it came by.
    pub(crate) path: String,
    /// Headers it came with, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    orders: mpsc::UnboundedSender<Order>,
}

#[allow(dead_code, reason = "not every test needs every fault")]
impl Peer {
    pub(crate) fn send(&self, text: impl Into<String>) {
        self.order(Order::Send(Message::text(text.into())));
    }

    pub(crate) fn send_binary(&self, bytes: Vec<u8>) {
        self.order(Order::Send(Message::Binary(bytes.into())));
    }

    /// Streams frames; several streams of one peer take turns.
    pub(crate) fn stream(&self, stream: Stream) {
        self.order(Order::Stream(stream));
    }

    /// Keeps frames to itself that are such: a silent channel. Later calls replace earlier ones.
    pub(crate) fn silence(&self, such: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.order(Order::Silence(Some(Arc::new(such))));
    }

    pub(crate) fn speak(&self) {
        self.order(Order::Silence(None));
    }

    /// Sends a text and says farewell in one write, so that the other side reads both at once.
    pub(crate) fn send_and_close(&self, text: impl Into<String>) {
        self.order(Order::Last(Message::text(text.into())));
    }

    /// Says farewell.
    pub(crate) fn close(&self) {
        self.order(Order::Close);
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Stays connected, and does nothing any more.
    pub(crate) fn stall(&self) {
        self.order(Order::Stall);
    }

    fn order(&self, order: Order) {
        // A connection that is over takes no orders, as in life.
        let _ = self.orders.send(order);
    }
}

/// What the stand-in saw.
#[derive(Clone)]
#[allow(dead_code, reason = "not every test looks at everything")]
pub(crate) enum Event {
    Connected(Peer),
    Text(Peer, String),
    /// A ping of the protocol; it is answered.
    Ping(Peer),
    Closed(Peer),
    /// A stream has sent its last frame.
    Streamed(Peer),
    Request(String),
}

#[derive(Default)]
struct Log {
    events: Mutex<VecDeque<Event>>,
    more: Condvar,
    peers: AtomicUsize,
}

impl Log {
    fn push(&self, event: Event) {
        self.events.lock().unwrap().push_back(event);
        self.more.notify_all();
    }
}

/// A running stand-in; it ends when it is dropped.
pub(crate) struct StandIn {
    ws: SocketAddr,
    rest: SocketAddr,
    log: Arc<Log>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing is accepted any more when this returns.
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

#[allow(dead_code, reason = "not every test needs every event")]
impl StandIn {
    pub(crate) fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// At an address of one's own, e.g. that of a stand-in that has been dropped.
    pub(crate) fn start_at(at: SocketAddr, script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("stand-in")
            .enable_all()
            .build()
            .unwrap();
        let log = Arc::new(Log::default());
        let (ws, rest) = runtime.block_on(async {
            let sockets = bind(at).await;
            let requests = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addresses = (
                sockets.local_addr().unwrap(),
                requests.local_addr().unwrap(),
            );
            tokio::spawn(serve_requests(requests, script.clone(), Arc::clone(&log)));
            tokio::spawn(accept(sockets, script, Arc::clone(&log)));
            addresses
        });
        Self {
            ws,
            rest,
            log,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ws
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.ws)
    }

    pub(crate) fn rest_url(&self) -> String {
        format!("http://{}", self.rest)
    }

    /// Connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.log.peers.load(Ordering::SeqCst)
    }

    /// Waits for an event that `take` makes something of. Others before it are passed over, and stay for later calls.
    pub(crate) fn wait<T>(&self, what: &str, take: impl FnMut(&Event) -> Option<T>) -> T {
        self.wait_for(PATIENCE, what, take)
    }

    /// The same, for what may take longer.
    pub(crate) fn wait_for<T>(
        &self,
        patience: Duration,
        what: &str,
        mut take: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        let mut events = self.log.events.lock().unwrap();
        let mut looked_at = 0;
        loop {
            while looked_at < events.len() {
                if let Some(taken) = take(&events[looked_at]) {
                    events.remove(looked_at);
                    return taken;
                }
                looked_at += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {patience:?} in vain for {what}");
            events = self.log.more.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Waits for a client.
    pub(crate) fn connected(&self) -> Peer {
        self.wait("a connection", |event| match event {
            Event::Connected(peer) => Some(peer.clone()),
            _ => None,
        })
    }

    /// Waits for a text that is such.
    pub(crate) fn text(&self, such: impl Fn(&str) -> bool) -> (Peer, String) {
        self.wait("a text", |event| match event {
            Event::Text(peer, text) if such(text) => Some((peer.clone(), text.clone())),
            _ => None,
        })
    }

    /// Waits until this client's connection is over.
    pub(crate) fn closed(&self, peer: &Peer) {
        self.wait("the end of a connection", |event| match event {
            Event::Closed(closed) if closed.number == peer.number => Some(()),
            _ => None,
        });
    }

    /// Whether such a text has come by now.
    pub(crate) fn has_text(&self, such: impl Fn(&str) -> bool) -> bool {
        let events = self.log.events.lock().unwrap();
        events
            .iter()
            .any(|event| matches!(event, Event::Text(_, text) if such(text)))
    }
}

/// A port that was just left may not be free at once.
async fn bind(at: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "cannot listen on {at}: {error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn serve_requests(listener: TcpListener, script: Script, log: Arc<Log>) {
    let answer = move |uri: axum::http::Uri| {
        let path = uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        log.push(Event::Request(path.clone()));
        let reply = (script.on_request)(&path);
        let mut response = axum::http::Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        let response = response.body(axum::body::Body::from(reply.body)).unwrap();
        async move { response }
    };
    axum::serve(listener, axum::Router::new().fallback(answer))
        .await
        .unwrap();
}

async fn accept(listener: TcpListener, script: Script, log: Arc<Log>) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        tokio::spawn(greet(socket, script.clone(), Arc::clone(&log)));
    }
}

#[allow(clippy::result_large_err, reason = "the type is the library's")]
async fn greet(socket: TcpStream, script: Script, log: Arc<Log>) {
    let mut came = (String::new(), Vec::new());
    let handshake = tokio_tungstenite::accept_hdr_async(
        socket,
        |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            came.0 = request.uri().to_string();
            let headers = request.headers().iter();
            came.1 = headers
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        value.to_str().unwrap_or_default().to_owned(),
                    )
                })
                .collect();
            let refused = script
                .refuse
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if refused.is_ok() {
                let refusal = Response::builder().status(429).header("retry-after", "0");
                let (parts, ()) = refusal.body(()).unwrap().into_parts();
                return Err(ErrorResponse::from_parts(parts, None));
            }
            Ok(response)
        },
    )
    .await;
    let Ok(socket) = handshake else { return };
    let (orders, receiver) = mpsc::unbounded_channel();
    let peer = Peer {
        number: log.peers.fetch_add(1, Ordering::SeqCst),
        path: came.0,
        headers: came.1,
        orders,
    };
    log.push(Event::Connected(peer.clone()));
    (script.on_open)(&peer);
    converse(socket, &peer, receiver, &script, &log).await;
    log.push(Event::Closed(peer));
}

/// A stream under way.
struct Under {
    stream: Stream,
    started: Instant,
    sent: u64,
    random: u64,
    /// Swapped with the next one.
    held: Option<String>,
}

async fn converse(
    mut socket: WebSocketStream<TcpStream>,
    peer: &Peer,
    mut orders: mpsc::UnboundedReceiver<Order>,
    script: &Script,
    log: &Log,
) {
    let mut streams: Vec<Under> = Vec::new();
    let mut silence: Option<Silence> = None;
    loop {
        let busy = !streams.is_empty();
        let pause = if busy {
            Duration::from_millis(1)
        } else {
            PATIENCE
        };
        let full_speed = streams.iter().any(|under| under.stream.rate.is_infinite());
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Send(message)) => {
                    if socket.send(message).await.is_err() { return }
                }
                Some(Order::Stream(stream)) => streams.push(Under {
                    random: stream.faults.seed ^ peer.number as u64,
                    stream,
                    started: Instant::now(),
                    sent: 0,
                    held: None,
                }),
                Some(Order::Silence(such)) => silence = such,
                Some(Order::Last(message)) => {
                    let _ = socket.feed(message).await;
                    let _ = socket.close(None).await;
                    while let Some(Ok(_)) = socket.next().await {}
                    return;
                }
                Some(Order::Close) => {
                    let _ = socket.close(None).await;
                    while let Some(Ok(_)) = socket.next().await {}
                    return;
                }
                Some(Order::Cut) | None => return,
                Some(Order::Stall) => return stall(socket, orders).await,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    log.push(Event::Text(peer.clone(), text.as_str().to_owned()));
                    (script.on_text)(peer, text.as_str());
                }
                Some(Ok(Message::Ping(_))) => log.push(Event::Ping(peer.clone())),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep(pause), if !full_speed => {}
            () = tokio::task::yield_now(), if full_speed => {}
        }
        let mut at = 0;
        while at < streams.len() {
            match streams[at].step(&mut socket, silence.as_ref()).await {
                Step::More => at += 1,
                Step::Done => {
                    streams.remove(at);
                    log.push(Event::Streamed(peer.clone()));
                }
                Step::Cut => return,
                Step::Stall => return stall(socket, orders).await,
            }
        }
    }
}

/// Half-open: the connection is there, and nothing moves. Only the test's own orders end it.
async fn stall(socket: WebSocketStream<TcpStream>, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Cut | Order::Close) {
            break;
        }
    }
    drop(socket);
}

enum Step {
    More,
    Done,
    Cut,
    Stall,
}

impl Under {
    /// Sends what is due by now, a bounded part of it.
    async fn step(
        &mut self,
        socket: &mut WebSocketStream<TcpStream>,
        silence: Option<&Silence>,
    ) -> Step {
        let due = if self.stream.rate.is_infinite() {
            self.sent + 256
        } else {
            ((self.started.elapsed().as_secs_f64() * self.stream.rate) as u64).min(self.sent + 4096)
        };
        while self.sent < due {
            let next = self.stream.next.fetch_add(1, Ordering::SeqCst) as usize;
            let Some(frame) = self.stream.frames.get(next).cloned() else {
                if let Some(held) = self.held.take() {
                    let _ = socket.feed(Message::text(held)).await;
                }
                let _ = socket.flush().await;
                return Step::Done;
            };
            self.sent += 1;
            if silence.is_some_and(|such| such(&frame)) {
                continue;
            }
            for frame in self.disturbed(frame).await {
                if socket.feed(Message::text(frame)).await.is_err() {
                    return Step::Cut;
                }
            }
            if self
                .stream
                .disconnect_after
                .is_some_and(|after| self.sent >= after)
            {
                let _ = socket.flush().await;
                return Step::Cut;
            }
            if self
                .stream
                .stall_after
                .is_some_and(|after| self.sent >= after)
            {
                let _ = socket.flush().await;
                return Step::Stall;
            }
        }
        if socket.flush().await.is_err() {
            Step::Cut
        } else {
            Step::More
        }
    }

    async fn disturbed(&mut self, frame: String) -> Vec<String> {
        let faults = self.stream.faults;
        let mut frames = Vec::new();
        if self.chance(faults.delay) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.chance(faults.drop) {
            return frames;
        }
        if self.held.is_none() && self.chance(faults.reorder) {
            self.held = Some(frame);
            return frames;
        }
        if self.chance(faults.duplicate) {
            frames.push(frame.clone());
        }
        if self.chance(faults.garbage) {
            let half = (0..=frame.len() / 2)
                .rev()
                .find(|&at| frame.is_char_boundary(at));
            frames.push(frame[..half.unwrap_or(0)].to_owned());
        }
        frames.insert(0, frame);
        frames.extend(self.held.take());
        frames
    }

    fn chance(&mut self, part: f64) -> bool {
        if part <= 0.0 {
            return false;
        }
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / ((1_u64 << 53) as f64) < part
    }
}
