//! `inbox/`: a file dropped there is loaded, then moved to `inbox/done` or `inbox/failed`, beside a note of what was wrong.
//!
//! A capture's name says whose it is: `<venue>-<symbol>.<anything>`. Any other file is a vendor's, whose dialect its name
//! and columns tell; what its rows do not say, a name like that does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::marts::Marts;
use super::upkeep::{Lake, lock};
use crate::sources::capture::Capture;
use crate::sources::files;
use crate::sqltree::SqlTree;
use crate::store::{self, FilePart, Imported, Order, Readers, Written};

/// A file that was written to within this time is still being written, and has its turn later.
const SETTLED: Duration = Duration::from_secs(1);

/// Why a file was not loaded.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a capture's name must begin with the venue and the symbol: <venue>-<symbol>.gz")]
    Name,
    #[error(transparent)]
    Tree(#[from] crate::sqltree::Error),
    #[error(transparent)]
    Source(#[from] crate::sources::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Members of an archive were not loaded: why, and which were.
    #[error("{why}\nloaded of it: {loaded}")]
    Members { why: String, loaded: String },
    /// The process is ending: the file stays, and what is missing of it is loaded at the next start.
    #[error("stopped")]
    Stopped,
}

/// Loads what lies in the inbox, one file after the other.
pub(super) struct Inbox {
    loader: Loader,
    at_work: Option<JoinHandle<()>>,
    /// Something came while it was at work.
    again: bool,
}

/// How a file is loaded. Cheap to share between threads.
#[derive(Clone)]
struct Loader {
    db: PathBuf,
    orders: mpsc::Sender<Order>,
    readers: Arc<Readers>,
    lake: Arc<Mutex<Lake>>,
    marts: Marts,
    stop: Arc<AtomicBool>,
    /// There are files that are still being written.
    unsettled: Arc<AtomicBool>,
}

impl Inbox {
    pub(super) fn new(
        db: &Path,
        orders: &mpsc::Sender<Order>,
        readers: &Arc<Readers>,
        lake: &Arc<Mutex<Lake>>,
        marts: &Marts,
    ) -> Self {
        Self {
            loader: Loader {
                db: db.to_owned(),
                readers: Arc::clone(readers),
                orders: orders.clone(),
                lake: Arc::clone(lake),
                marts: marts.clone(),
                stop: Arc::default(),
                unsettled: Arc::default(),
            },
            at_work: None,
            again: false,
        }
    }

    /// There may be files.
    pub(super) fn look(&mut self) {
        if self
            .at_work
            .as_ref()
            .is_some_and(|work| !work.is_finished())
        {
            self.again = true;
            return;
        }
        self.again = false;
        let loader = self.loader.clone();
        self.at_work = Some(tokio::task::spawn_blocking(move || loader.load_all()));
    }

    /// Looks again where something came meanwhile, or was still being written.
    pub(super) fn tick(&mut self) {
        if self.again || self.loader.unsettled.swap(false, Ordering::Relaxed) {
            self.look();
        }
    }

    /// Ends it after the part of a capture that is under way; a vendor's file is given up.
    pub(super) async fn stop(self) {
        self.loader.stop.store(true, Ordering::Relaxed);
        if let Some(work) = self.at_work {
            let _ = work.await;
        }
    }
}

impl Loader {
    fn load_all(&self) {
        let inbox = self.db.join("inbox");
        for file in files(&inbox) {
            if !is_settled(&file) {
                self.unsettled.store(true, Ordering::Relaxed);
                continue;
            }
            let result = match self.load(&file) {
                Ok(told) => {
                    tracing::info!("{}: {told}", file.display());
                    put(&inbox, "done", &file, None)
                }
                Err(Error::Stopped) => return,
                Err(error) => {
                    tracing::error!("{}: {error}", file.display());
                    put(&inbox, "failed", &file, Some(&error.to_string()))
                }
            };
            if let Err(error) = result {
                tracing::error!("cannot move {}: {error}", file.display());
            }
        }
    }

    /// Says what was loaded.
    fn load(&self, file: &Path) -> Result<String, Error> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let named = name.split_once('-').and_then(|(venue, rest)| {
            let symbol = rest.split('.').next().filter(|s| !s.is_empty())?;
            Some((venue, symbol))
        });
        if is_capture(file) {
            let (venue, symbol) = named.ok_or(Error::Name)?;
            let written = self.load_capture(file, venue, symbol)?;
            return Ok(format!("{} messages loaded", written.messages));
        }
        let venues = SqlTree::load(&self.db)?.subfolders("venues");
        let named = named.filter(|(venue, _)| venues.iter().any(|known| known == venue));
        self.import(file, named.unzip())
    }

    fn load_capture(&self, file: &Path, venue: &str, symbol: &str) -> Result<Written, Error> {
        let (venue, source): (Arc<str>, _) = (venue.into(), file.display().to_string());
        let mut capture = Capture::open(file)?;
        capture.cut_at(store::known_ends(
            &self.readers.open()?.connection,
            &venue,
            &source,
        )?);
        let mut written = Written::default();
        while let Some(batch) = capture.next_batch()? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let (done, answer) = oneshot::channel();
            let part = FilePart {
                venue: Arc::clone(&venue),
                symbol: Some(symbol.to_owned()),
                source: source.clone(),
                batch,
                done,
            };
            self.orders
                .blocking_send(Order::File(Box::new(part)))
                .map_err(|_| Error::Stopped)?;
            written.add(&answer.blocking_recv().map_err(|_| Error::Stopped)??);
        }
        Ok(written)
    }

    /// Loads a vendor's file, or each member of an archive; one that fails does not keep the others from being loaded.
    fn import(&self, file: &Path, said: (Option<&str>, Option<&str>)) -> Result<String, Error> {
        let (mut new, mut known, mut dead_letters) = (0, 0, 0);
        let (mut loaded, mut failures) = (Vec::new(), Vec::new());
        for source in files::sources(file)? {
            match self.import_one(&source, said) {
                Ok((name, imported)) => {
                    loaded.push(name);
                    new += imported.new;
                    known += imported.known;
                    dead_letters += imported.dead_letters;
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => failures.push(error),
            }
        }
        let told = format!("{new} rows loaded, {known} known, {dead_letters} dead letters");
        if failures.is_empty() {
            return Ok(told);
        }
        let why: Vec<String> = failures.iter().map(ToString::to_string).collect();
        let loaded = if loaded.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{} ({told})", loaded.join(", "))
        };
        Err(Error::Members {
            why: why.join("\n"),
            loaded,
        })
    }

    /// Says its name as well.
    fn import_one(
        &self,
        source: &files::Source,
        said: (Option<&str>, Option<&str>),
    ) -> Result<(String, Imported), Error> {
        let input = source.open(&self.db)?;
        let mut lake = lock(&self.lake);
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let imported = lake.importer.import(&input, said, &self.stop)?;
        drop(lake);
        if imported.stopped {
            return Err(Error::Stopped);
        }
        self.marts.came(&imported.table);
        Ok((input.name.clone(), imported))
    }
}

/// Whether a file begins as a capture does: with a receive time in ns and a message. What cannot be read at all is none.
fn is_capture(file: &Path) -> bool {
    let first = Capture::open(file).and_then(|mut capture| capture.next_batch());
    first.is_ok_and(|batch| batch.is_some_and(|batch| !batch.recv_ns.is_empty()))
}

/// Whether nobody has written to a file of late. A time ahead of the clock says nothing.
fn is_settled(file: &Path) -> bool {
    let written = file.metadata().and_then(|facts| facts.modified());
    let Ok(written) = written else {
        return true;
    };
    SystemTime::now()
        .duration_since(written)
        .map_or(true, |age| age >= SETTLED)
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

fn put(inbox: &Path, folder: &str, file: &Path, note: Option<&str>) -> io::Result<()> {
    let folder = inbox.join(folder);
    std::fs::create_dir_all(&folder)?;
    let name = file.file_name().unwrap_or_default();
    let mut to = folder.join(name);
    // What came under this name before stays.
    let mut number = 1;
    while to.exists() {
        number += 1;
        to = folder.join(format!("{number}-{}", name.to_string_lossy()));
    }
    if let Some(note) = note {
        let mut path = to.clone().into_os_string();
        path.push(".error");
        std::fs::write(path, format!("{note}\n"))?;
    }
    std::fs::rename(file, to)
}
