//! `mdb.sock`: how a second `mdb` asks a database that this process has open. What is said on it:
//! [`query::wire`](crate::query::wire).

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path as UrlPath, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use futures_util::Stream;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Error;
use super::conversation::{CHUNKS, Chunk, Conversation, Halt, Job};
use crate::query::wire::{self, End, Hello, SOCKET, Welcome};
use crate::query::{Session, Types};
use crate::store::Readers;

/// Statements that compute at once; more wait for their turn.
const RUNNING: usize = 8;
/// Sessions at once. A shell has two: its own, and one for completion.
const SESSIONS: usize = 64;
/// Longest statement.
const STATEMENT_BYTES: usize = 16 << 20;
/// How often idle sessions are looked for.
const ROUND: Duration = Duration::from_secs(30);
/// How long an interrupted statement may take to stop at the end of the process.
const STOPPING: Duration = Duration::from_secs(2);

/// Says what the process is doing: an object whose members are values, objects, or lists of objects, e.g. `feeds`.
pub type Status = Arc<dyn Fn() -> Value + Send + Sync>;

/// The socket, as long as it is served.
pub struct Socket {
    path: PathBuf,
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Socket {
    /// Serves the database in `db`, which this process has open for writing, on `runtime`, until it is closed.
    /// `command` is what this process was started as, for those it tells.
    ///
    /// # Errors
    /// If the socket cannot be made, as on a file system that has none.
    pub fn open(
        runtime: &Handle,
        db: &Path,
        command: &str,
        readers: Readers,
        status: Status,
    ) -> Result<Self, Error> {
        let path = db.join(SOCKET);
        let listener = bind(&path).map_err(|source| Error::Bind {
            path: path.clone(),
            source,
        })?;
        let server = Arc::new(Server {
            welcome: Welcome {
                protocol: wire::PROTOCOL,
                session: 0,
                pid: std::process::id(),
                command: command.to_owned(),
                directory: std::env::current_dir().unwrap_or_default(),
            },
            started: SystemTime::now(),
            readers,
            status,
            runtime: runtime.clone(),
            running: Semaphore::new(RUNNING),
            sessions: Mutex::default(),
            next: AtomicU64::new(1),
            ending: AtomicBool::new(false),
        });
        let stop = watch::Sender::new(false);
        let serving = runtime.spawn(serve(listener, Arc::clone(&server), stop.subscribe()));
        Ok(Self {
            path,
            server,
            stop,
            serving,
        })
    }

    /// Takes no more statements, lets those that run go on for `grace`, then stops them, and gives all connections
    /// to DuckDB back. The socket is gone first, so that who comes now waits for the database file.
    pub async fn close(mut self, grace: Duration) {
        self.server.ending.store(true, Ordering::SeqCst);
        let _ = fs::remove_file(&self.path);
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, &mut self.serving)
            .await
            .is_err()
        {
            for conversation in self.server.conversations() {
                let interrupted =
                    tokio::task::spawn_blocking(move || conversation.interrupt(Halt::Ending));
                let _ = tokio::time::timeout(STOPPING, interrupted).await;
            }
            let _ = tokio::time::timeout(STOPPING, &mut self.serving).await;
            self.serving.abort();
        }
        for conversation in self.server.conversations() {
            let ended = tokio::task::spawn_blocking(move || conversation.end());
            let _ = tokio::time::timeout(STOPPING, ended).await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Not closed: the process is failing. At least nobody shall try to reach it.
        if !*self.stop.borrow() {
            let _ = fs::remove_file(&self.path);
            self.stop.send_replace(true);
        }
    }
}

/// Makes the socket. It is never there with more rights than its owner's, and takes the place of one that a process
/// that was killed has left: whoever serves holds the lock on the database.
fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let private = tempfile::Builder::new()
        .prefix(".mdb-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(directory)?;
    let new = private.path().join("sock");
    let listener = wire::listen(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    fs::rename(&new, path)?;
    Ok(listener)
}

async fn serve(
    listener: std::os::unix::net::UnixListener,
    server: Arc<Server>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("mdb.sock is not served: {error}");
            return;
        }
    };
    let rounds = tokio::spawn(end_idle(Arc::downgrade(&server)));
    let router = Router::new()
        .route("/session", post(session))
        .route("/query", post(query))
        .route("/interrupt/{session}", post(interrupt))
        .route("/progress/{session}", get(progress))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(STATEMENT_BYTES))
        .with_state(server)
        .into_make_service_with_connect_info::<Client>();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let ended = axum::serve(listener, router).with_graceful_shutdown(stopped);
    if let Err(error) = ended.await {
        tracing::error!("mdb.sock is not served any more: {error}");
    }
    rounds.abort();
}

async fn end_idle(server: Weak<Server>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        let conversations = server.conversations();
        let ended = tokio::task::spawn_blocking(move || {
            let now = Instant::now();
            conversations
                .iter()
                .filter(|conversation| conversation.end_if_idle(now))
                .count()
        });
        if let Ok(ended @ 1..) = ended.await {
            tracing::info!("{ended} idle sessions ended");
        }
    }
}

struct Server {
    /// As it is said to everyone, but for the session.
    welcome: Welcome,
    started: SystemTime,
    readers: Readers,
    status: Status,
    runtime: Handle,
    running: Semaphore,
    sessions: Mutex<HashMap<u64, Weak<Conversation>>>,
    next: AtomicU64,
    ending: AtomicBool,
}

impl Server {
    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Weak<Conversation>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conversations(&self) -> Vec<Arc<Conversation>> {
        self.sessions().values().filter_map(Weak::upgrade).collect()
    }

    /// A new session for `client`.
    fn begin(&self, client: &Client, write: bool) -> Result<Arc<Conversation>, Refusal> {
        if self.ending.load(Ordering::SeqCst) {
            let why = "the process that has the database open ends".to_owned();
            return Err((StatusCode::SERVICE_UNAVAILABLE, End::Over(why)));
        }
        let mut held = client.conversation();
        if held.is_some() {
            let why = "this connection has its session already".to_owned();
            return Err((StatusCode::CONFLICT, End::Failed(why)));
        }
        let mut sessions = self.sessions();
        sessions.retain(|_, conversation| conversation.strong_count() > 0);
        if sessions.len() >= SESSIONS {
            let why = format!("{SESSIONS} sessions are open already");
            return Err((StatusCode::TOO_MANY_REQUESTS, End::Failed(why)));
        }
        let reader = self.readers.open().map_err(|error| {
            let why = End::Failed(error.to_string());
            (StatusCode::INTERNAL_SERVER_ERROR, why)
        })?;
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let session = Session::shared(reader, write);
        let conversation = Arc::new(Conversation::new(id, session));
        sessions.insert(id, Arc::downgrade(&conversation));
        *held = Some(Arc::clone(&conversation));
        Ok(conversation)
    }
}

type Refusal = (StatusCode, End);

/// One connection, and the session that lives as long as it does.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Option<Arc<Conversation>>>>);

impl Client {
    fn conversation(&self) -> MutexGuard<'_, Option<Arc<Conversation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Client {
    fn connect_info(_: IncomingStream<'_, UnixListener>) -> Self {
        Self::default()
    }
}

async fn session(
    State(server): State<Arc<Server>>,
    ConnectInfo(client): ConnectInfo<Client>,
    body: Bytes,
) -> Response {
    let hello: Hello = match serde_json::from_slice(&body) {
        Ok(hello) => hello,
        Err(error) => return refuse((StatusCode::BAD_REQUEST, End::Failed(error.to_string()))),
    };
    if hello.protocol != wire::PROTOCOL {
        let why = format!(
            "it is mdb {}, another version than this one; use the same",
            env!("CARGO_PKG_VERSION")
        );
        return refuse((StatusCode::CONFLICT, End::Failed(why)));
    }
    let welcome = server.welcome.clone();
    let begun = tokio::task::spawn_blocking(move || server.begin(&client, hello.write)).await;
    match begun {
        Ok(Ok(conversation)) => {
            let session = conversation.id;
            reply(StatusCode::OK, &Welcome { session, ..welcome })
        }
        Ok(Err(refusal)) => refuse(refusal),
        Err(error) => refuse(broken(&error)),
    }
}

async fn query(
    State(server): State<Arc<Server>>,
    ConnectInfo(client): ConnectInfo<Client>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let plain = headers
        .get(wire::TYPES.0)
        .is_some_and(|types| types == wire::TYPES.1);
    let types = if plain { Types::Plain } else { Types::Exact };
    let Ok(sql) = String::from_utf8(body.to_vec()) else {
        let why = "a statement is UTF-8".to_owned();
        return refuse((StatusCode::BAD_REQUEST, End::Failed(why)));
    };
    let known = client.conversation().clone();
    let begun = match known {
        Some(conversation) => Ok(conversation),
        // A client that did not say what it wants reads.
        None => server.begin(&client, false),
    };
    let conversation = match begun {
        Ok(conversation) => conversation,
        Err(refusal) => return refuse(refusal),
    };
    let presence = Presence {
        conversation: Some(Arc::clone(&conversation)),
        runtime: server.runtime.clone(),
    };
    let (head, started) = oneshot::channel();
    let (rows, chunks) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        conversation.run(Job {
            sql: &sql,
            types,
            running: &server.running,
            runtime: &server.runtime,
            head,
            rows,
        });
    });
    match started.await {
        Ok(Ok(())) => {
            let mut response = Response::new(Body::from_stream(Answer {
                chunks,
                presence,
                over: false,
            }));
            let kind = HeaderValue::from_static("application/vnd.apache.arrow.stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Ok(Err(end)) => {
            presence.goes_on();
            refuse((StatusCode::BAD_REQUEST, end))
        }
        Err(error) => refuse(broken(&error)),
    }
}

async fn interrupt(
    State(server): State<Arc<Server>>,
    UrlPath(session): UrlPath<u64>,
) -> StatusCode {
    let conversation = server.sessions().get(&session).and_then(Weak::upgrade);
    if let Some(conversation) = conversation {
        let interrupted = tokio::task::spawn_blocking(move || conversation.interrupt(Halt::Stop));
        let _ = interrupted.await;
    }
    StatusCode::NO_CONTENT
}

async fn progress(State(server): State<Arc<Server>>, UrlPath(session): UrlPath<u64>) -> Response {
    let conversation = server.sessions().get(&session).and_then(Weak::upgrade);
    let progress = conversation.and_then(|conversation| conversation.progress());
    reply(StatusCode::OK, &progress)
}

async fn status(State(server): State<Arc<Server>>) -> Response {
    let mut status = (server.status)();
    if let Some(members) = status.as_object_mut() {
        let started = jiff::Timestamp::try_from(server.started);
        let process = json!({
            "command": server.welcome.command,
            "pid": server.welcome.pid,
            "version": env!("CARGO_PKG_VERSION"),
            "started": started.map(|time| time.to_string()).unwrap_or_default(),
            "directory": server.welcome.directory,
            "sessions": server.conversations().len(),
        });
        members.entry("process").or_insert(process);
    }
    reply(StatusCode::OK, &status)
}

fn reply(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = match serde_json::to_vec(value) {
        Ok(json) => Response::new(Body::from(json)),
        Err(error) => {
            tracing::error!("an answer has no JSON: {error}");
            return refuse(broken(&error));
        }
    };
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refuse((status, end): Refusal) -> Response {
    let mut response = Response::new(Body::from(end.to_bytes()));
    *response.status_mut() = status;
    response
}

fn broken(error: &dyn std::error::Error) -> Refusal {
    let why = format!("internal: a thread ended without an answer: {error}");
    (StatusCode::INTERNAL_SERVER_ERROR, End::Failed(why))
}

/// Stops a statement when its client goes away before it is answered.
struct Presence {
    conversation: Option<Arc<Conversation>>,
    runtime: Handle,
}

impl Presence {
    fn goes_on(mut self) {
        self.conversation.take();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(conversation) = self.conversation.take() {
            // Waits for the statement to stop, which may take a moment.
            self.runtime
                .spawn_blocking(move || conversation.interrupt(Halt::Gone));
        }
    }
}

/// The body of an answer.
struct Answer {
    chunks: mpsc::Receiver<Chunk>,
    presence: Presence,
    over: bool,
}

impl Stream for Answer {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.chunks.poll_recv(context)) {
            Some(Chunk::More(bytes)) => Ok(bytes.into()),
            Some(Chunk::Last(bytes)) => {
                self.over = true;
                self.presence.conversation.take();
                Ok(bytes.into())
            }
            // The client must not take this for the end.
            None => {
                self.over = true;
                Err(io::Error::other(
                    "the statement's thread ended without an end",
                ))
            }
        }))
    }
}
