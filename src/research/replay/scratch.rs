//! A database for a capture file that is to be replayed: made for the purpose, and gone with it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::Error;
use crate::config::Settings;

/// A temporary database with the SQL tree of another. Deleted when dropped.
pub struct Scratch {
    settings: Settings,
    _home: TempDir,
}

impl Scratch {
    /// An empty one. The database that `settings` names need not exist; its own `sql/` counts here, too.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let doing = |doing| move |source| Error::Io { doing, source };
        let home = tempfile::Builder::new()
            .prefix("mdb-replay-")
            .tempdir()
            .map_err(doing("make a temporary database"))?;
        let own = settings.db.join("sql");
        if own.is_dir() {
            copy(&own, &home.path().join("sql")).map_err(doing("copy the database's sql/"))?;
        }
        Ok(Self {
            settings: Settings {
                db: home.path().to_owned(),
                ..settings.clone()
            },
            _home: home,
        })
    }

    /// The settings with which to open it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
