//! Sources: where bytes come in. Each hands out batches of received messages, stamped with the time
//! they were received at; none knows a venue.

pub mod capture;
pub mod files;
mod lines;
pub mod rest;
mod tls;
mod unpack;
pub mod websocket;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::model::frame::Message;
pub use lines::MAX_LINE_BYTES;

/// So many bytes of a message take a place in a queue: what bounds its length bounds the bytes that wait in it.
const PLACE_BYTES: usize = 16 << 10;

/// A source that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no table that mdb can read.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// It breaks off: what stood before is good.
    #[error("{path}: cannot read on after line {line}: {source}. The lines before it are loaded")]
    Read {
        /// The file.
        path: PathBuf,
        /// The last line that could be read, from 1; 0 if none.
        line: u64,
        /// Why not.
        source: std::io::Error,
    },
}

/// Hands a message on as soon as there is room for it; false if nobody takes it any more.
async fn hand_on(to: &mpsc::Sender<Message>, message: Message) -> bool {
    let reserved = to.reserve_many(places(to, &message)).await;
    reserved.map(|places| fill(places, message)).is_ok()
}

/// Hands a message on if there is room for it, or gives it back.
#[expect(clippy::result_large_err, reason = "as the queue gives it back")]
fn try_hand_on(to: &mpsc::Sender<Message>, message: Message) -> Result<(), TrySendError<Message>> {
    match to.try_reserve_many(places(to, &message)) {
        Ok(places) => {
            fill(places, message);
            Ok(())
        }
        Err(TrySendError::Full(())) => Err(TrySendError::Full(message)),
        Err(TrySendError::Closed(())) => Err(TrySendError::Closed(message)),
    }
}

fn places(to: &mpsc::Sender<Message>, message: &Message) -> usize {
    let bytes = match message {
        Message::Frame(frame) => frame.payload.len(),
        Message::Event(_) | Message::Place => 0,
    };
    (1 + bytes / PLACE_BYTES).min(to.max_capacity())
}

fn fill(places: mpsc::PermitIterator<'_, Message>, message: Message) {
    let further = std::iter::repeat_with(|| Message::Place);
    for (place, message) in places.zip(std::iter::once(message).chain(further)) {
        place.send(message);
    }
}

/// Now, in ns since 1970-01-01 UTC: the only clock there is to the left of a database's rows.
pub(crate) fn now_ns() -> i64 {
    // A clock outside the years 1677 to 2262 is no clock.
    let signed = |since: Duration, sign: i64| {
        i64::try_from(since.as_nanos()).map_or(sign * i64::MAX, |ns| sign * ns)
    };
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since, 1),
        Err(before) => signed(before.duration(), -1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frame::Frame;

    #[test]
    fn a_long_message_takes_several_places() {
        let (to, mut from) = mpsc::channel(4);
        let frame = |bytes: usize| {
            Message::Frame(Frame {
                venue: "v".into(),
                channel: "ws/1".into(),
                symbol: None,
                recv_ns: 1,
                payload: "x".repeat(bytes),
            })
        };
        let (short, long) = (frame(100), frame(2 * PLACE_BYTES));
        try_hand_on(&to, long.clone()).unwrap();
        try_hand_on(&to, short.clone()).unwrap();
        assert_eq!(to.capacity(), 0);
        assert!(
            matches!(try_hand_on(&to, short.clone()), Err(TrySendError::Full(m)) if m == short)
        );
        let came: Vec<Message> = std::iter::from_fn(|| from.try_recv().ok()).collect();
        assert_eq!(came, [long, Message::Place, Message::Place, short]);
        // What is longer than the queue takes all of it.
        try_hand_on(&to, frame(9 * PLACE_BYTES)).unwrap();
        assert_eq!(to.capacity(), 0);
    }
}
