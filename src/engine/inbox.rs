//! `inbox/`: a file dropped there is loaded, then moved to `inbox/done` or `inbox/failed`, beside a note of what was wrong.
//!
//! Its name says what it holds: `<venue>-<symbol>.<anything>` is a capture of that venue.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::sources::capture::Capture;
use crate::store::{FilePart, Order, Written};

/// Why a file was not loaded.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("its name must begin with the venue and the symbol: <venue>-<symbol>.gz")]
    Name,
    #[error(transparent)]
    Source(#[from] crate::sources::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The process is ending: the file stays, and what is missing of it is loaded at the next start.
    #[error("stopped")]
    Stopped,
}

/// Loads what lies in the inbox, one file after the other.
#[derive(Default)]
pub(super) struct Inbox {
    stop: Arc<AtomicBool>,
    at_work: Option<JoinHandle<()>>,
    /// Something came while it was at work.
    again: bool,
}

impl Inbox {
    /// There may be files.
    pub(super) fn look(&mut self, db: &Path, orders: &mpsc::Sender<Order>) {
        if self
            .at_work
            .as_ref()
            .is_some_and(|work| !work.is_finished())
        {
            self.again = true;
            return;
        }
        self.again = false;
        let (inbox, orders, stop) = (db.join("inbox"), orders.clone(), Arc::clone(&self.stop));
        let work = move || load_all(&inbox, &orders, &stop);
        self.at_work = Some(tokio::task::spawn_blocking(work));
    }

    /// Looks again where something came meanwhile.
    pub(super) fn tick(&mut self, db: &Path, orders: &mpsc::Sender<Order>) {
        if self.again {
            self.look(db, orders);
        }
    }

    /// Ends it after the part of a file that is under way.
    pub(super) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(work) = self.at_work {
            let _ = work.await;
        }
    }
}

fn load_all(inbox: &Path, orders: &mpsc::Sender<Order>, stop: &AtomicBool) {
    for file in files(inbox) {
        let result = match load(&file, orders, stop) {
            Ok(written) => {
                tracing::info!("{}: {} messages loaded", file.display(), written.messages);
                put(inbox, "done", &file, None)
            }
            Err(Error::Stopped) => return,
            Err(error) => {
                tracing::error!("{}: {error}", file.display());
                put(inbox, "failed", &file, Some(&error.to_string()))
            }
        };
        if let Err(error) = result {
            tracing::error!("cannot move {}: {error}", file.display());
        }
    }
}

/// Files by name; those that begin with a dot are still being written.
fn files(inbox: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(inbox).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

fn load(file: &Path, orders: &mpsc::Sender<Order>, stop: &AtomicBool) -> Result<Written, Error> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (venue, symbol) = name.split_once('-').ok_or(Error::Name)?;
    let symbol = symbol.split('.').next().filter(|s| !s.is_empty());
    let (venue, source): (Arc<str>, _) = (venue.into(), file.display().to_string());
    let mut capture = Capture::open(file)?;
    let mut written = Written::default();
    while let Some(batch) = capture.next_batch()? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let (done, answer) = oneshot::channel();
        let part = FilePart {
            venue: Arc::clone(&venue),
            symbol: symbol.map(str::to_owned),
            source: source.clone(),
            batch,
            done,
        };
        orders
            .blocking_send(Order::File(Box::new(part)))
            .map_err(|_| Error::Stopped)?;
        written.add(&answer.blocking_recv().map_err(|_| Error::Stopped)??);
    }
    Ok(written)
}

fn put(inbox: &Path, folder: &str, file: &Path, note: Option<&str>) -> io::Result<()> {
    let folder = inbox.join(folder);
    std::fs::create_dir_all(&folder)?;
    let to = folder.join(file.file_name().unwrap_or_default());
    if let Some(note) = note {
        let mut path = to.clone().into_os_string();
        path.push(".error");
        std::fs::write(path, format!("{note}\n"))?;
    }
    std::fs::rename(file, to)
}
