//! One client's WebSocket: what it says is answered, what waits for it is written.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;

use super::protocol::{Said, Topic};
use super::queue::{Inbox, Out, Outbox, Refused};
use super::stage::{Seat, Stage};
use crate::venues::template;

/// Entries of the queue that are written together.
const TOGETHER: usize = 256;
/// How long a connection that went dead on purpose is kept.
const DEAD: Duration = Duration::from_mins(10);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a goodbye.
    Close,
    /// Without a word.
    Cut,
    /// Not at all, as far as the client can see.
    Stall,
}

/// Why a client is not listened to any more.
enum Trouble {
    Gone,
    Template(template::Error),
}

impl From<Refused> for Trouble {
    fn from(_: Refused) -> Self {
        Self::Gone
    }
}

impl From<template::Error> for Trouble {
    fn from(error: template::Error) -> Self {
        Self::Template(error)
    }
}

/// Serves a client until it leaves, or `stop`.
pub(super) async fn serve(
    socket: WebSocket,
    stage: Arc<Stage>,
    by_address: Vec<Topic>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut sink, mut stream) = socket.split();
    let Seat {
        number,
        outbox,
        inbox,
        kick,
    } = stage.join();
    if let Some(greeting) = stage.protocol.greeting() {
        let _ = outbox.try_push(Out::Answers(vec![greeting.to_owned()]));
    }
    if !by_address.is_empty() {
        stage.subscribe_by_address(number, &by_address);
    }
    let client = Listener {
        stage: &stage,
        number,
        outbox,
        logged_in: !stage.protocol.wants_login(),
    };
    let end = tokio::select! {
        end = write(&mut sink, inbox, &stage) => end,
        () = client.listen(&mut stream) => End::Cut,
        () = kick.notified() => End::Cut,
        _ = stop.wait_for(|stop| *stop) => End::Close,
    };
    stage.leave(number);
    match end {
        End::Cut => {}
        End::Close => {
            let _ = tokio::time::timeout(GOODBYE, sink.close()).await;
        }
        End::Stall => {
            let _ = tokio::time::timeout(DEAD, stop.wait_for(|stop| *stop)).await;
        }
    }
}

/// Writes what waits, until the connection is to end.
async fn write(sink: &mut SplitSink<WebSocket, Message>, mut inbox: Inbox, stage: &Stage) -> End {
    let mut waiting = Vec::with_capacity(TOGETHER);
    loop {
        if inbox.recv_many(&mut waiting, TOGETHER).await == 0 {
            return End::Close;
        }
        for (out, permit) in waiting.drain(..) {
            let written = match out {
                Out::Frame(text) => feed(sink, stage, [Message::Text(text)]).await,
                Out::Answers(texts) => {
                    let texts = texts.into_iter().map(|t| Message::Text(Utf8Bytes::from(t)));
                    feed(sink, stage, texts).await
                }
                Out::Bytes(bytes) => {
                    feed(sink, stage, [Message::Binary(Bytes::from_static(bytes))]).await
                }
                Out::Pause(pause) => {
                    let flushed = sink.flush().await;
                    tokio::time::sleep(pause).await;
                    flushed
                }
                Out::Mark(mark) => {
                    let flushed = sink.flush().await;
                    let _ = mark.send(());
                    flushed
                }
                Out::Close | Out::Cut => {
                    let _ = sink.flush().await;
                    return if matches!(out, Out::Close) {
                        End::Close
                    } else {
                        End::Cut
                    };
                }
                Out::Stall => {
                    let _ = sink.flush().await;
                    return End::Stall;
                }
            };
            drop(permit);
            if written.is_err() {
                return End::Cut;
            }
        }
        if sink.flush().await.is_err() {
            return End::Cut;
        }
    }
}

async fn feed(
    sink: &mut SplitSink<WebSocket, Message>,
    stage: &Stage,
    messages: impl IntoIterator<Item = Message>,
) -> Result<(), axum::Error> {
    for message in messages {
        sink.feed(message).await?;
        stage.sent.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Hears what a client says.
struct Listener<'s> {
    stage: &'s Stage,
    number: u64,
    outbox: Outbox,
    logged_in: bool,
}

impl Listener<'_> {
    /// Until the client leaves. Pings of the protocol are answered by the library.
    async fn listen(mut self, stream: &mut SplitStream<WebSocket>) {
        while let Some(Ok(message)) = stream.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            match self.answer(&text).await {
                Ok(()) => {}
                Err(Trouble::Gone) => return,
                Err(Trouble::Template(error)) => {
                    tracing::error!(client = self.number, "{error}");
                    return;
                }
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), Trouble> {
        match self.stage.protocol.read(text) {
            Said::Login { good } => {
                let number = self.stage.next_login();
                let good = good && !self.stage.options.faults.refuse_login(number);
                self.logged_in = good;
                self.answer_login(good).await
            }
            Said::Subscribe(_) | Said::Unsubscribe(_) if !self.logged_in => {
                self.answer_login(false).await
            }
            Said::Subscribe(asked) => {
                let place = self.outbox.place().await?;
                Ok(self.stage.subscribe(self.number, &asked, place)?)
            }
            Said::Unsubscribe(asked) => {
                let place = self.outbox.place().await?;
                Ok(self.stage.unsubscribe(self.number, asked, place)?)
            }
            Said::Ping { id } => {
                if let Some(pong) = self.stage.protocol.pong(&id)? {
                    self.outbox.place().await?.put(Out::Answers(vec![pong]));
                }
                Ok(())
            }
            Said::Other => Ok(()),
        }
    }

    /// Says whether the credentials are good, and goodbye if not.
    async fn answer_login(&self, good: bool) -> Result<(), Trouble> {
        if let Some(answer) = self.stage.protocol.answer_to_login(good)? {
            self.outbox.place().await?.put(Out::Answers(vec![answer]));
        }
        if !good {
            self.outbox.place().await?.put(Out::Close);
        }
        Ok(())
    }
}
