//! What changes in a database's directory while it is captured into: mdb.toml, sql/, inbox/.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Editors write a file in several steps: it is looked at once it was left alone for so long …
const QUIET: Duration = Duration::from_millis(100);
/// … or for so long after the first step.
const PATIENCE: Duration = Duration::from_millis(500);

/// What has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// mdb.toml, or the secrets.
    pub(super) settings: bool,
    /// A file of sql/.
    pub(super) sql: bool,
    /// Something lies in inbox/.
    pub(super) inbox: bool,
}

/// What the system has told and nobody has looked at yet.
#[derive(Default)]
struct Told {
    changes: Mutex<Changes>,
    more: Notify,
}

/// Watches a database's directory.
pub(super) struct Watcher {
    told: Arc<Told>,
    /// Of the edit under way: when it is looked at at the latest, and when if nothing more comes.
    edit: Option<(Instant, Instant)>,
    /// Watches as long as it lives.
    _system: RecommendedWatcher,
}

impl Watcher {
    /// Begins to watch. Makes inbox/, so that there is a place to drop files.
    ///
    /// # Errors
    /// If the system does not watch directories.
    pub(super) fn new(db: &Path) -> notify::Result<Self> {
        let db = db.canonicalize()?;
        let (inbox, sql) = (db.join("inbox"), db.join("sql"));
        std::fs::create_dir_all(&inbox)?;
        std::fs::create_dir_all(&sql)?;
        let told = Arc::new(Told::default());
        let (to, below) = (Arc::clone(&told), db.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = event {
                to.note(&below, &event);
            }
        })?;
        // The directory itself, not what is below it: the lake changes all the time.
        watcher.watch(&db, RecursiveMode::NonRecursive)?;
        watcher.watch(&inbox, RecursiveMode::NonRecursive)?;
        watcher.watch(&sql, RecursiveMode::Recursive)?;
        Ok(Self {
            told,
            edit: None,
            _system: watcher,
        })
    }
}

impl Told {
    /// The database's own files lie in the directory, too, and change with every commit: they say nothing.
    fn note(&self, db: &Path, event: &Event) {
        let mut new = Changes::default();
        let paths = event.paths.iter().filter(|_| !event.kind.is_access());
        for path in paths.filter_map(|path| path.strip_prefix(db).ok()) {
            new.settings |= path == Path::new("mdb.toml") || path == Path::new("secrets.toml");
            new.sql |= path.starts_with("sql");
            new.inbox |= path.starts_with("inbox") && path.components().count() > 1;
        }
        if new != Changes::default() {
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            changes.settings |= new.settings;
            changes.sql |= new.sql;
            changes.inbox |= new.inbox;
            self.more.notify_one();
        }
    }

    fn take(&self) -> Changes {
        std::mem::take(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for the next changes, all of one edit together; for ever without a watcher. Nothing is lost if it is dropped
/// half way.
pub(super) async fn next(watcher: &mut Option<Watcher>) -> Changes {
    let Some(watcher) = watcher else {
        return std::future::pending().await;
    };
    loop {
        let more = watcher.told.more.notified();
        let latest = match watcher.edit {
            None => {
                more.await;
                Instant::now() + PATIENCE
            }
            Some((latest, quiet)) => {
                if timeout_at(latest.min(quiet), more).await.is_err() {
                    watcher.edit = None;
                    return watcher.told.take();
                }
                latest
            }
        };
        watcher.edit = Some((latest, Instant::now() + QUIET));
    }
}
