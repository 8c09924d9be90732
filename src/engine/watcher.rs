//! What changes in a database's directory while it is captured into: mdb.toml, sql/, inbox/.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Editors write a file in several steps: it is looked at once it was left alone for so long …
const QUIET: Duration = Duration::from_millis(100);
/// … or for so long after the first step.
const PATIENCE: Duration = Duration::from_millis(500);
const EVENTS: usize = 1_024;

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

/// Watches a database's directory.
pub(super) struct Watcher {
    db: PathBuf,
    events: mpsc::Receiver<Event>,
    _watcher: RecommendedWatcher,
}

impl Watcher {
    /// Begins to watch. Makes inbox/, so that there is a place to drop files.
    ///
    /// # Errors
    /// If the system does not watch directories.
    pub(super) fn new(db: &Path) -> notify::Result<Self> {
        let db = db.canonicalize()?;
        std::fs::create_dir_all(db.join("inbox"))?;
        let (to, events) = mpsc::channel(EVENTS);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // A full queue says already that there is something to look at.
            if let Ok(event) = event {
                let _ = to.try_send(event);
            }
        })?;
        // The directory itself, not what is in it: the database and the lake change all the time.
        watcher.watch(&db, RecursiveMode::NonRecursive)?;
        watcher.watch(&db.join("inbox"), RecursiveMode::NonRecursive)?;
        let sql = db.join("sql");
        std::fs::create_dir_all(&sql)?;
        watcher.watch(&sql, RecursiveMode::Recursive)?;
        Ok(Self {
            db,
            events,
            _watcher: watcher,
        })
    }

    fn note(&self, event: &Event, changes: &mut Changes) {
        if event.kind.is_access() {
            return;
        }
        for path in &event.paths {
            let Ok(path) = path.strip_prefix(&self.db) else {
                continue;
            };
            changes.settings |= path == Path::new("mdb.toml") || path == Path::new("secrets.toml");
            changes.sql |= path.starts_with("sql");
            changes.inbox |= path.starts_with("inbox") && path.components().count() > 1;
        }
    }
}

/// Waits for the next changes, all of one edit together; for ever without a watcher.
pub(super) async fn next(watcher: &mut Option<Watcher>) -> Changes {
    let Some(watcher) = watcher else {
        return std::future::pending().await;
    };
    let mut changes = Changes::default();
    while changes == Changes::default() {
        match watcher.events.recv().await {
            Some(event) => watcher.note(&event, &mut changes),
            None => return std::future::pending().await,
        }
    }
    let end = Instant::now() + PATIENCE;
    while let Ok(Some(event)) =
        timeout_at(end.min(Instant::now() + QUIET), watcher.events.recv()).await
    {
        watcher.note(&event, &mut changes);
    }
    changes
}
