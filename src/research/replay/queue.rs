//! What waits to be sent to a client: bounded in bytes and in number.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Bytes of frames that wait for one client.
const QUEUE_BYTES: usize = 16 << 20;
/// Entries that wait; more than fit into [`QUEUE_BYTES`] at their least cost, so that there is room for answers.
const QUEUE_ENTRIES: usize = 1 << 17;
/// What an entry costs at least.
const LEAST_BYTES: usize = 256;

/// Something for a client, in order.
#[derive(Debug)]
pub(super) enum Out {
    /// A message.
    Frame(Utf8Bytes),
    /// Answers.
    Answers(Vec<String>),
    /// No text at all.
    Bytes(&'static [u8]),
    /// Nothing for so long.
    Pause(Duration),
    /// Goodbye.
    Close,
    /// The connection ends without a word.
    Cut,
    /// The connection stays, and nothing comes any more.
    Stall,
    /// To be told once everything before it is written.
    Mark(oneshot::Sender<()>),
}

impl Out {
    fn cost(&self) -> u32 {
        let bytes = match self {
            Self::Frame(text) => text.len(),
            _ => 0,
        };
        // A frame that is larger than the queue has it for itself.
        u32::try_from(bytes.clamp(LEAST_BYTES, QUEUE_BYTES)).unwrap_or(u32::MAX)
    }
}

/// Why something is not in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no room.
    Full,
    /// The client has left.
    Gone,
}

/// The end that things go in at.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    to: mpsc::Sender<(Out, Option<OwnedSemaphorePermit>)>,
    room: Arc<Semaphore>,
}

/// The end that things come out at.
pub(super) type Inbox = mpsc::Receiver<(Out, Option<OwnedSemaphorePermit>)>;

/// A place in the queue for an answer.
#[derive(Debug)]
pub(super) struct Place<'q>(mpsc::Permit<'q, (Out, Option<OwnedSemaphorePermit>)>);

pub(super) fn queue() -> (Outbox, Inbox) {
    let (to, from) = mpsc::channel(QUEUE_ENTRIES);
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    (Outbox { to, room }, from)
}

impl Outbox {
    /// Puts it in if there is room.
    pub(super) fn try_push(&self, out: Out) -> Result<(), Refused> {
        let room = Arc::clone(&self.room);
        let permit = room
            .try_acquire_many_owned(out.cost())
            .map_err(|_| Refused::Full)?;
        self.to
            .try_send((out, Some(permit)))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Refused::Full,
                mpsc::error::TrySendError::Closed(_) => Refused::Gone,
            })
    }

    /// Puts it in, and waits for room if there is none, but not longer than `patience` for one entry.
    pub(super) async fn push(&self, out: Out, patience: Duration) -> Result<(), Refused> {
        let waited = async {
            let room = Arc::clone(&self.room);
            // A client that leaves never makes room.
            let permit = tokio::select! {
                permit = room.acquire_many_owned(out.cost()) => permit.map_err(|_| Refused::Gone)?,
                () = self.to.closed() => return Err(Refused::Gone),
            };
            self.to
                .send((out, Some(permit)))
                .await
                .map_err(|_| Refused::Gone)
        };
        let result = tokio::time::timeout(patience, waited).await;
        result.unwrap_or(Err(Refused::Full))
    }

    /// A place for what has to be put in at once later.
    pub(super) async fn place(&self) -> Result<Place<'_>, Refused> {
        self.to
            .reserve()
            .await
            .map(Place)
            .map_err(|_| Refused::Gone)
    }
}

impl Place<'_> {
    pub(super) fn put(self, out: Out) {
        self.0.send((out, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_holds_so_many_bytes_and_answers_beside_them() {
        let (outbox, mut inbox) = queue();
        let quarter = Utf8Bytes::from("x".repeat(QUEUE_BYTES / 4));
        let frame = || Out::Frame(quarter.clone());
        for _ in 0..4 {
            assert_eq!(outbox.try_push(frame()), Ok(()));
        }
        assert_eq!(outbox.try_push(frame()), Err(Refused::Full));
        let patience = Duration::from_millis(5);
        assert_eq!(outbox.push(frame(), patience).await, Err(Refused::Full));
        outbox.place().await.unwrap().put(Out::Close);
        let (pushed, ()) = tokio::join!(outbox.push(frame(), Duration::from_mins(1)), async {
            drop(inbox.recv().await);
        });
        assert_eq!(pushed, Ok(()));
        let larger = Out::Frame(Utf8Bytes::from("x".repeat(QUEUE_BYTES + 1)));
        assert_eq!(larger.cost() as usize, QUEUE_BYTES);
        let (gone, ()) = tokio::join!(outbox.push(larger, Duration::from_mins(1)), async {
            drop(inbox);
        });
        assert_eq!(gone, Err(Refused::Gone));
        assert!(outbox.place().await.is_err());
    }
}
