//! A session in the process that has the database open, reached through its socket.

use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::Types;
use super::error::Error;
use super::paths;
use super::progress::Progress;
use super::tokens::Edited;
use super::wire::{self, End, Hello, Welcome};
use crate::model::sql::literal;

/// How long the process may take to answer what needs no work.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to tell how far a statement is: it will be asked again.
const GLANCE: Duration = Duration::from_millis(100);
/// What stands behind a stream is an error's text at most.
const END_BYTES: u64 = 1 << 20;

/// A session in another process.
pub(super) struct Remote {
    wire: Wire,
    socket: PathBuf,
    welcome: Welcome,
    write: bool,
    /// This process's directory, if it has one.
    directory: Option<PathBuf>,
}

impl Remote {
    /// A session in the process that has the database in `db` open; `None` if no process answers.
    ///
    /// # Errors
    /// If one does, but not with a session.
    pub(super) fn connect(db: &Path, write: bool) -> Result<Option<Self>, Error> {
        let socket = db.join(wire::SOCKET);
        let Some(mut wire) = Wire::open(&socket)? else {
            return Ok(None);
        };
        let hello = Hello {
            protocol: wire::PROTOCOL,
            write,
        };
        let hello = serde_json::to_vec(&hello).unwrap_or_default();
        let Some(body) = wire.ask(Method::POST, "/session", hello)? else {
            return Ok(None);
        };
        let welcome: Welcome =
            serde_json::from_slice(&body).map_err(|error| wire.failed(&error))?;
        Ok(Some(Self {
            directory: std::env::current_dir().ok(),
            wire,
            socket,
            welcome,
            write,
        }))
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// A second session in the same process.
    pub(super) fn try_clone(&self) -> Result<Self, Error> {
        let db = self.socket.parent().unwrap_or(Path::new(""));
        Self::connect(db, self.write)?.ok_or_else(|| Error::Lost(self.lost()))
    }

    /// What stops this session's statements.
    pub(super) fn bell(&self) -> Bell {
        Bell {
            socket: self.socket.clone(),
            session: self.welcome.session,
        }
    }

    /// What the process says of itself; `None` if it is ending.
    pub(super) fn status(&self, patience: Duration) -> Result<Option<Value>, Error> {
        status_of(&self.socket, patience)
    }

    /// Whether the process has closed the connection.
    pub(super) fn is_over(&mut self) -> bool {
        // The connection sees it once it has had its turn.
        let turn = async { tokio::time::sleep(Duration::from_millis(1)).await };
        self.wire.runtime.block_on(turn);
        self.wire.sender.is_closed()
    }

    fn lost(&self) -> String {
        format!(
            "the process that had the database open (mdb {}, PID {}) has ended",
            self.welcome.command, self.welcome.pid
        )
    }

    /// A statement with its relative paths as they are seen from here.
    fn with_paths(&mut self, sql: &str) -> Result<Edited, Error> {
        let Some(here) = self.directory.clone() else {
            return Ok(Edited::new(sql, Vec::new()));
        };
        if here == self.welcome.directory {
            return Ok(paths::absolute_patterns(sql, &here, Path::exists));
        }
        let mut edits = Vec::new();
        for place in paths::computed(sql) {
            let value = self.value(&sql[place.clone()])?;
            edits.extend(value.map(|value| (place, value)));
        }
        let computed = Some(Edited::new(sql, edits));
        let computed = computed.filter(|computed| computed.sql != sql);
        let known = computed.as_ref().map_or(sql, |computed| &computed.sql);
        let edited = paths::absolute(known, &here, Path::exists);
        Ok(edited.after(computed))
    }

    /// The text, or list of texts, that an expression is, as SQL writes it; `None` if it is none, or fails: then so does the
    /// statement that it was taken from.
    fn value(&mut self, expression: &str) -> Result<Option<String>, Error> {
        let sql = format!("SELECT to_json(({expression}))::VARCHAR");
        let mut answer = match self.run(&sql, Types::Plain) {
            Ok(answer) => answer,
            Err(error @ (Error::Interrupted | Error::Lost(_))) => return Err(error),
            Err(_) => return Ok(None),
        };
        let mut value = None;
        loop {
            match answer.step() {
                Ok(Some(batch)) => value = value.or_else(|| first_text(&batch)),
                Ok(None) => return Ok(value.as_deref().and_then(written)),
                Err(error @ (Error::Interrupted | Error::Lost(_))) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Starts a statement.
    pub(super) fn run(&mut self, sql: &str, types: Types) -> Result<Answer<'_>, Error> {
        let lost = self.lost();
        let bell = self.bell();
        let edited = self.with_paths(sql)?;
        let mut request = request(Method::POST, "/query", edited.sql.clone().into_bytes());
        if types == Types::Plain {
            let plain = HeaderValue::from_static(wire::TYPES.1);
            request.headers_mut().insert(wire::TYPES.0, plain);
        }
        let Ok(response) = self.wire.send(request) else {
            return Err(Error::Lost(lost));
        };
        let status = response.status();
        let mut body = Body {
            runtime: &self.wire.runtime,
            incoming: response.into_body(),
            chunk: Bytes::new(),
        };
        if !status.is_success() {
            return Err(match body.end().map(End::into_result) {
                Some(Err(error)) => error.placed(|at| edited.written(at)),
                Some(Ok(())) | None => failed(&self.socket, &status),
            });
        }
        let Ok(stream) = StreamReader::try_new(body, None) else {
            return Err(Error::Lost(lost));
        };
        Ok(Answer {
            stream,
            edited,
            bell,
            lost,
            over: false,
        })
    }
}

/// What the process in which the database in `db` is open says of itself, as JSON; `None` if no process answers.
///
/// # Errors
/// If one does, but not with that.
pub fn status(db: &Path) -> Result<Option<Value>, Error> {
    status_of(&db.join(wire::SOCKET), PATIENCE)
}

fn status_of(socket: &Path, patience: Duration) -> Result<Option<Value>, Error> {
    let Some(mut wire) = Wire::open(socket)? else {
        return Ok(None);
    };
    wire.patience = patience;
    let Some(body) = wire.ask(Method::GET, "/status", Vec::new())? else {
        return Ok(None);
    };
    let status = serde_json::from_slice(&body).map_err(|error| wire.failed(&error))?;
    Ok(Some(status))
}

/// Stops what a session runs, or asks how far it is, over a connection of its own.
#[derive(Clone)]
pub(super) struct Bell {
    socket: PathBuf,
    session: u64,
}

impl Bell {
    pub(super) fn ring(&self) {
        // Whether it helped shows in the statement's own answer.
        if let Ok(Some(mut wire)) = Wire::open(&self.socket) {
            let path = format!("/interrupt/{}", self.session);
            let _ = wire.ask(Method::POST, &path, Vec::new());
        }
    }

    /// How far the session's query is; `None` if that is not known.
    pub(super) fn progress(&self) -> Option<Progress> {
        let mut wire = Wire::open(&self.socket).ok().flatten()?;
        wire.patience = GLANCE;
        let path = format!("/progress/{}", self.session);
        let told = wire.ask(Method::GET, &path, Vec::new()).ok().flatten()?;
        serde_json::from_slice(&told).ok().flatten()
    }
}

/// The rows of one statement.
pub(super) struct Answer<'s> {
    stream: StreamReader<Body<'s>>,
    edited: Edited,
    bell: Bell,
    lost: String,
    over: bool,
}

impl Answer<'_> {
    pub(super) fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next batch; `None` once the process has said that there are no more.
    pub(super) fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        let next = self.stream.next();
        if let Some(Ok(batch)) = next {
            return Ok(Some(batch));
        }
        self.over = true;
        match self.stream.get_mut().end().map(End::into_result) {
            Some(Ok(())) if next.is_none() => Ok(None),
            Some(Err(error)) => Err(error.placed(|at| self.edited.written(at))),
            // The stream ended without a word, or in the middle of a batch.
            Some(Ok(())) | None => Err(Error::Lost(format!(
                "{}; the answer is not whole",
                self.lost
            ))),
        }
    }
}

impl Drop for Answer<'_> {
    /// The connection is needed for the next statement, so the rest of an answer that nobody wants is read.
    fn drop(&mut self) {
        if !self.over {
            self.bell.ring();
            let _ = io::copy(self.stream.get_mut(), &mut io::sink());
        }
    }
}

/// How SQL writes a text of JSON, or a list of such.
fn written(json: &str) -> Option<String> {
    match serde_json::from_str::<Value>(json).ok()? {
        Value::String(text) => Some(literal(&text)),
        Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().map(literal));
            let texts = texts.collect::<Option<Vec<_>>>()?;
            Some(format!("[{}]", texts.join(", ")))
        }
        _ => None,
    }
}

/// The text in a result's first cell, if one is there.
fn first_text(batch: &RecordBatch) -> Option<String> {
    let texts = batch.columns().first()?.as_string_opt::<i32>()?;
    (!texts.is_empty() && !texts.is_null(0)).then(|| texts.value(0).to_owned())
}

fn request(method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    // Every path is a constant, but for the digits of a session's name.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let host = HeaderValue::from_static("mdb");
    request.headers_mut().insert(HOST, host);
    request
}

/// An HTTP connection, driven by whoever waits for it.
struct Wire {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    socket: PathBuf,
    /// How long an answer that needs no work may take.
    patience: Duration,
}

impl Wire {
    /// Connects; `None` if there is no socket, or nobody behind it.
    fn open(socket: &Path) -> Result<Option<Self>, Error> {
        // Asked first: it costs nothing where there is no socket.
        if std::fs::symlink_metadata(socket).is_err() {
            return Ok(None);
        }
        match Self::connect(socket) {
            Ok(wire) => Ok(Some(wire)),
            // Left by a process that was killed, or gone just now, or another user's: then the file will tell.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(socket, &error)),
        }
    }

    fn connect(socket: &Path) -> io::Result<Self> {
        let stream = wire::connect(socket)?;
        stream.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(stream)?;
            let shaken = handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok::<_, io::Error>(sender)
        })?;
        Ok(Self {
            runtime,
            sender,
            socket: socket.to_owned(),
            patience: PATIENCE,
        })
    }

    fn failed(&self, why: &dyn Display) -> Error {
        failed(&self.socket, why)
    }

    fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        self.runtime.block_on(async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
    }

    /// The answer to what needs no work; `None` if the process is ending.
    fn ask(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let request = request(method, path, body);
        let (sender, patience) = (&mut self.sender, self.patience);
        let answer = self.runtime.block_on(async {
            let answer = async {
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                let status = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>((status, body.to_vec()))
            };
            tokio::time::timeout(patience, answer).await
        });
        let (status, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Ok(None),
            Err(_) => {
                let why = format!("no answer within {patience:?}");
                return Err(self.failed(&why));
            }
        };
        if status.is_success() {
            return Ok(Some(body));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        match serde_json::from_slice::<End>(&body).map(End::into_result) {
            Ok(Err(error)) => Err(self.failed(&error)),
            _ => Err(self.failed(&status)),
        }
    }
}

fn failed(socket: &Path, why: &dyn Display) -> Error {
    Error::Remote(format!(
        "cannot talk to the process that has the database open, through {}: {why}",
        socket.display()
    ))
}

/// The body of an answer, read as it comes.
struct Body<'s> {
    runtime: &'s Runtime,
    incoming: Incoming,
    chunk: Bytes,
}

impl Body<'_> {
    /// What stands behind the stream; `None` if the connection broke before that.
    fn end(&mut self) -> Option<End> {
        let mut text = Vec::new();
        self.take(END_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.incoming.frame()) {
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = self.chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}
