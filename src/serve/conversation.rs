//! A session that another process has here: its connection to DuckDB, and how a statement's rows are sent.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};

use crate::query::wire::{BROKEN, End};
use crate::query::{Error, Interrupter, Meter, Progress, Rows, Session, Types};

/// A session that is asked nothing, or whose answer nobody reads, ends after this time …
pub(super) const IDLE: Duration = Duration::from_hours(1);
/// … and one that keeps a transaction open which may write, after this: the log cannot be shortened meanwhile.
const IDLE_IN_TRANSACTION: Duration = Duration::from_mins(5);
/// Batches are gathered to this size.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the client to read.
pub(super) const CHUNKS: usize = 4;

/// What may interrupt a session's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Halt {
    /// Nothing has.
    Go,
    /// Its user; the next statement runs again.
    Stop,
    /// The client has gone.
    Gone,
    /// This process ends.
    Ending,
}

/// A piece of an answer.
pub(super) enum Chunk {
    More(Vec<u8>),
    /// Without one an answer is not whole.
    Last(Vec<u8>),
}

/// One client's session.
pub(super) struct Conversation {
    pub(super) id: u64,
    /// Taken when the session is over.
    open: Mutex<Option<Session>>,
    interrupter: Interrupter,
    meter: Meter,
    halt: watch::Sender<Halt>,
    used: Mutex<Instant>,
}

/// What a statement needs beside its session.
pub(super) struct Job<'a> {
    pub(super) sql: &'a str,
    pub(super) types: Types,
    /// How many statements compute at once.
    pub(super) running: &'a Semaphore,
    pub(super) runtime: &'a Handle,
    /// Told once: whether rows follow, or why not.
    pub(super) head: oneshot::Sender<Result<(), End>>,
    pub(super) rows: mpsc::Sender<Chunk>,
}

impl Conversation {
    pub(super) fn new(id: u64, mut session: Session) -> Self {
        session.track_progress();
        Self {
            id,
            meter: session.meter(),
            interrupter: session.interrupter(),
            open: Mutex::new(Some(session)),
            halt: watch::Sender::new(Halt::Go),
            used: Mutex::new(Instant::now()),
        }
    }

    /// Stops what runs, and waits until it has stopped.
    pub(super) fn interrupt(&self, why: Halt) {
        // The client's end and the process's are for good.
        self.halt.send_if_modified(|halt| {
            let changed = why > *halt;
            *halt = if changed { why } else { *halt };
            changed
        });
        self.interrupter.interrupt();
    }

    /// How far the statement is that runs.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.meter.read()
    }

    /// Ends the session if it has been idle for too long at `now`; true if it did.
    pub(super) fn end_if_idle(&self, now: Instant) -> bool {
        let Ok(mut open) = self.open.try_lock() else {
            return false;
        };
        let limit = match open.as_ref() {
            None => return false,
            Some(session) if session.writes() && session.in_transaction() => IDLE_IN_TRANSACTION,
            Some(_) => IDLE,
        };
        let idle = now.saturating_duration_since(*lock(&self.used)) >= limit;
        if idle {
            open.take();
        }
        idle
    }

    /// Ends the session once nothing runs on it.
    pub(super) fn end(&self) {
        lock(&self.open).take();
    }

    /// Runs a statement and sends its rows: on a thread that may block.
    pub(super) fn run(&self, job: Job<'_>) {
        let mut open = lock(&self.open);
        let Some(session) = open.as_mut() else {
            let why = "the session was ended, for it was not used; its settings and temporary tables are gone";
            let _ = job.head.send(Err(End::Over(why.to_owned())));
            return;
        };
        // In this order, or the news that the client has gone could be forgotten.
        session.forget_interrupt();
        self.halt.send_if_modified(|halt| {
            let stopped = *halt == Halt::Stop;
            *halt = if stopped { Halt::Go } else { *halt };
            stopped
        });
        if *self.halt.borrow() == Halt::Go {
            self.answer(session, job);
        }
        *lock(&self.used) = Instant::now();
    }

    fn answer(&self, session: &mut Session, job: Job<'_>) {
        let started = self
            .permit(job.running, job.runtime)
            .and_then(|_permit| session.run(job.sql, job.types));
        let started = started.and_then(|rows| Ok((Writer::new(&rows)?, rows)));
        let (mut writer, rows) = match started {
            Ok(started) => started,
            Err(error) => {
                let _ = job.head.send(Err(self.end_of(error)));
                return;
            }
        };
        let Job {
            running,
            runtime,
            head,
            rows: to,
            ..
        } = job;
        if head.send(Ok(())).is_err() {
            return;
        }
        let outlet = Outlet {
            conversation: self,
            running,
            runtime,
            to,
        };
        let sent = outlet.send_rows(rows, &mut writer);
        let last = match sent.and_then(|()| writer.finish()) {
            Ok(()) => writer.take(&[], &End::Done),
            Err(error) => writer.take(&BROKEN, &self.end_of(error)),
        };
        outlet.send_last(last);
    }

    /// What the client is told of an error.
    fn end_of(&self, error: Error) -> End {
        if *self.halt.borrow() == Halt::Ending {
            return End::Over("the process that has the database open ends".to_owned());
        }
        error.into()
    }

    /// Waits for a turn to compute.
    fn permit<'s>(
        &self,
        running: &'s Semaphore,
        runtime: &Handle,
    ) -> Result<SemaphorePermit<'s>, Error> {
        if let Ok(permit) = running.try_acquire() {
            return Ok(permit);
        }
        runtime.block_on(async {
            tokio::select! {
                permit = running.acquire() => permit.map_err(|_| Error::Interrupted),
                () = self.halted(Halt::Stop) => Err(Error::Interrupted),
            }
        })
    }

    /// Returns once the session is halted for `why`, or something graver.
    async fn halted(&self, why: Halt) {
        let mut halt = self.halt.subscribe();
        // Fails only if the sender is gone, which `self` holds.
        let _ = halt.wait_for(|halt| *halt >= why).await;
    }
}

/// Where the rows of one statement go.
struct Outlet<'a> {
    conversation: &'a Conversation,
    running: &'a Semaphore,
    runtime: &'a Handle,
    to: mpsc::Sender<Chunk>,
}

impl Outlet<'_> {
    fn send_rows(&self, mut rows: Rows<'_>, writer: &mut Writer) -> Result<(), Error> {
        loop {
            let batch = {
                let _permit = self.conversation.permit(self.running, self.runtime)?;
                rows.next().transpose()?
            };
            let Some(batch) = batch else {
                return Ok(());
            };
            if let Some(chunk) = writer.write(&batch)? {
                self.send(chunk)?;
            }
        }
    }

    /// Waits for the client to read, as long as it is there.
    fn send(&self, chunk: Vec<u8>) -> Result<(), Error> {
        let chunk = match self.to.try_send(Chunk::More(chunk)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Error::Interrupted),
            Err(TrySendError::Full(chunk)) => chunk,
        };
        self.runtime.block_on(async {
            tokio::select! {
                sent = self.to.send(chunk) => sent.map_err(|_| Error::Interrupted),
                () = self.conversation.halted(Halt::Stop) => Err(Error::Interrupted),
                () = tokio::time::sleep(IDLE) => Err(Error::Lost("nobody read the answer".to_owned())),
            }
        })
    }

    /// An interrupted client still reads to the end; one that is gone does not.
    fn send_last(&self, chunk: Vec<u8>) {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = self.to.send(Chunk::Last(chunk)) => {}
                () = self.conversation.halted(Halt::Gone) => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        });
    }
}

/// Batches as the bytes of an Arrow stream, cut only between messages.
struct Writer(StreamWriter<Vec<u8>>);

impl Writer {
    fn new(rows: &Rows<'_>) -> Result<Self, Error> {
        let writer = StreamWriter::try_new(Vec::new(), &rows.schema());
        writer.map(Self).map_err(|error| cannot(&error))
    }

    /// Takes a batch in; a chunk, once there is one.
    fn write(&mut self, batch: &RecordBatch) -> Result<Option<Vec<u8>>, Error> {
        let before = self.0.get_ref().len();
        if let Err(error) = self.0.write(batch) {
            self.0.get_mut().truncate(before);
            return Err(cannot(&error));
        }
        let bytes = self.0.get_mut();
        Ok((bytes.len() >= CHUNK_BYTES).then(|| std::mem::take(bytes)))
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish().map_err(|error| cannot(&error))
    }

    /// What is left, with a mark and an end behind it.
    fn take(&mut self, mark: &[u8], end: &End) -> Vec<u8> {
        let mut bytes = std::mem::take(self.0.get_mut());
        bytes.extend_from_slice(mark);
        bytes.extend_from_slice(&end.to_bytes());
        bytes
    }
}

fn cannot(error: &ArrowError) -> Error {
    Error::Remote(format!("cannot send the rows to another process: {error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is still a session, or none.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::store::{Purpose, Store};

    fn run(conversation: &Conversation, sql: &str) -> Result<(), End> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (head, mut started) = oneshot::channel();
        let (rows, _chunks) = mpsc::channel(CHUNKS);
        conversation.run(Job {
            sql,
            types: Types::Plain,
            running: &Semaphore::new(1),
            runtime: runtime.handle(),
            head,
            rows,
        });
        started.try_recv().unwrap()
    }

    #[test]
    fn a_session_that_is_not_used_ends_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::load(dir.path()).unwrap();
        let store = Store::open(&settings, Purpose::Ingest).unwrap();
        let readers = store.readers().unwrap();
        let begin = |write| {
            let session = Session::shared(readers.open().unwrap(), write);
            Conversation::new(1, session)
        };
        let after = |minutes| Instant::now() + Duration::from_mins(minutes);

        let reader = begin(false);
        run(&reader, "begin").unwrap();
        assert!(!reader.end_if_idle(after(59)));
        assert!(reader.end_if_idle(after(61)));
        assert!(!reader.end_if_idle(after(61)), "only once");
        assert!(matches!(run(&reader, "select 1"), Err(End::Over(_))));

        let writer = begin(true);
        run(&writer, "create table mine (i int)").unwrap();
        assert!(!writer.end_if_idle(after(6)));
        run(&writer, "begin").unwrap();
        assert!(!writer.end_if_idle(after(4)));
        assert!(writer.end_if_idle(after(6)));
        drop((reader, writer, readers));
        store.close().unwrap();
    }
}
