//! Lets other processes ask while a command has the database open.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::config::Settings;
use crate::serve::Socket;
use crate::store::Store;

/// How long the statements of others may still run once the command is done.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `mdb.sock` until it is dropped, which must be before the store is closed.
pub(super) struct Serving {
    runtime: Runtime,
    socket: Option<Socket>,
}

impl Serving {
    /// Starts to serve. A database whose file system has no sockets is used without.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(command: &str, settings: &Settings, store: &Store) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mdb.sock")
            .enable_all()
            .build()
            .context("cannot start a thread")?;
        let status = Arc::new(|| json!({}));
        let readers = store.readers()?;
        let opened = Socket::open(runtime.handle(), &settings.db, command, readers, status);
        let socket = match opened {
            Ok(socket) => Some(socket),
            Err(error) => {
                writeln!(std::io::stderr(), "note: {error}")?;
                None
            }
        };
        Ok(Self { runtime, socket })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.runtime.block_on(socket.close(GRACE));
        }
    }
}
