//! Lets other processes ask while a command has the database open.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::{Outcome, outcome};
use crate::config::Settings;
use crate::serve::Socket;
use crate::store::Store;

/// How long the statements of others may still run once the command is done …
const GRACE: Duration = Duration::from_secs(10);
/// … or was stopped.
const GRACE_WHEN_STOPPED: Duration = Duration::from_secs(1);

/// Serves `mdb.sock` until it is dropped, which must be before the store is closed.
pub(super) struct Serving {
    serving: Option<(Runtime, Socket)>,
    stop: Arc<AtomicBool>,
}

impl Serving {
    /// Starts to serve. A database whose file system has no sockets is used without.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(
        command: &str,
        settings: &Settings,
        store: &Store,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mdb.sock")
            .enable_all()
            .build()
            .context("cannot start a thread")?;
        let status = Arc::new(|| json!({}));
        let readers = store.readers()?;
        let opened = Socket::open(runtime.handle(), &settings.db, command, readers, status);
        let serving = match opened {
            Ok(socket) => Some((runtime, socket)),
            Err(error) => {
                writeln!(std::io::stderr(), "note: {error}")?;
                None
            }
        };
        let stop = Arc::clone(stop);
        Ok(Self { serving, stop })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some((runtime, socket)) = self.serving.take() else {
            return;
        };
        let grace = match outcome(&self.stop) {
            Outcome::Interrupted => GRACE_WHEN_STOPPED,
            _ => GRACE,
        };
        runtime.block_on(socket.close(grace));
        // Nothing is to be waited for any more, least of all a statement that does not stop.
        runtime.shutdown_background();
    }
}
