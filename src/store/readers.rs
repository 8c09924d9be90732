//! Connections for questions on a database that is open for writing.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use duckdb::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};

use super::duck::FILE;
use super::error::{At, Doing, Result};

/// Hands out connections. Cheap to share between threads.
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    /// The connection that is cloned, and the number of clones in use.
    origin: Mutex<(Connection, usize)>,
    /// DuckDB's memory limit while nobody asks, and while someone does. It is one for the whole process.
    memory: (String, String),
    lock: Arc<Lock>,
}

/// A connection for questions, and the right to ask them.
pub struct Reader {
    /// To be gone before the lease.
    pub connection: Connection,
    /// Counts as one who asks.
    pub lease: Lease,
}

/// As long as one lives someone asks questions.
pub struct Lease {
    shared: Arc<Shared>,
}

impl Readers {
    pub(super) fn new(
        origin: Connection,
        memory_writing: String,
        memory_reading: String,
        lock: Arc<Lock>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                origin: Mutex::new((origin, 0)),
                memory: (memory_writing, memory_reading),
                lock,
            }),
        }
    }

    /// A connection for questions.
    ///
    /// # Errors
    /// If DuckDB gives none.
    pub fn open(&self) -> Result<Reader> {
        open(&self.shared)
    }
}

fn open(shared: &Arc<Shared>) -> Result<Reader> {
    let mut origin = shared.origin();
    let connection = origin.0.try_clone().doing("opening a connection")?;
    if origin.1 == 0 {
        shared.limit_memory(&origin.0, &shared.memory.1);
    }
    origin.1 += 1;
    shared.lock.asking.fetch_add(1, Ordering::SeqCst);
    let lease = Lease {
        shared: Arc::clone(shared),
    };
    Ok(Reader { connection, lease })
}

impl Lease {
    /// A further connection.
    ///
    /// # Errors
    /// If DuckDB gives none.
    pub fn another(&self) -> Result<Reader> {
        open(&self.shared)
    }

    /// Takes the lock on the database again, which the system drops when anything in this process opens and closes
    /// its file, such as a query that reads it as bytes.
    pub fn hold_lock(&self) {
        if !self.shared.lock.hold() {
            tracing::error!("another process has locked the database file");
        }
    }
}

impl Shared {
    fn origin(&self) -> std::sync::MutexGuard<'_, (Connection, usize)> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit_memory(&self, connection: &Connection, limit: &str) {
        if self.memory.0 != self.memory.1 {
            // More memory than the limit may be in use just now; then the limit stays until the next change.
            let _ = connection.execute_batch(&format!("SET GLOBAL memory_limit = '{limit}'"));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut origin = self.shared.origin();
        origin.1 = origin.1.saturating_sub(1);
        self.shared.lock.asking.fetch_sub(1, Ordering::SeqCst);
        if origin.1 == 0 {
            self.shared.limit_memory(&origin.0, &self.shared.memory.0);
        }
    }
}

/// The database file, held open beside DuckDB, whose descriptor cannot be had; and how many ask questions of it, whoever
/// handed them their connections.
pub(super) struct Lock {
    file: File,
    asking: AtomicUsize,
}

impl Lock {
    /// DuckDB must have the file locked, and must be done with it before this is dropped.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = File::options().read(true).write(true).open(&path);
        let asking = AtomicUsize::new(0);
        file.map(|file| Self { file, asking }).at("open", path)
    }

    /// Whether somebody has a connection for questions.
    pub(super) fn is_asked(&self) -> bool {
        self.asking.load(Ordering::SeqCst) > 0
    }

    fn hold(&self) -> bool {
        fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}
