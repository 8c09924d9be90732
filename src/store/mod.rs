//! The store: the only module that writes a database's files. One database is one directory with a
//! DuckDB file, which holds what is new, and a lake of Parquet files, which holds what is finished.

mod account;
mod book_rows;
mod books;
mod catalog;
mod compact;
mod deltas;
mod doctor;
mod duck;
mod error;
mod events;
mod functions;
pub mod history;
mod import;
mod insert;
mod key;
mod keys;
mod lake;
mod live;
mod load;
mod lost;
mod models;
mod news;
mod normalize;
mod partition;
mod pieces;
mod raw;
mod readers;
mod rebuild;
mod retain;
mod schema;
mod seal;
mod slot;
mod writer;

use std::fmt::Display;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use duckdb::Connection;

use crate::config::{Settings, StoreSettings};
use crate::model::RAW_MESSAGES;
use crate::sqltree::SqlTree;
use catalog::Catalog;
pub use catalog::hot_rows;
pub use compact::{Compacted, Effort, Merged};
pub use doctor::{Finding, doctor};
pub use duck::{FILE, Purpose};
use error::Doing;
pub(crate) use error::in_file;
pub use error::{Error, Result};
pub use functions::PROBLEM;
pub use import::{
    ColumnCase, Drift, IfExists, Import, Imported, Importer, MAX_ERRORS, PARTITION_TYPES, Plan,
    Shape,
};
pub use live::{BookState, Commit, FilePart, IdRun, Order, Seen};
pub use load::{Load, Loaded, known_ends};
pub use models::{Kind, Model, Models, TestFile};
pub use news::{Mark, Modeler, News, Source};
pub use readers::{Lease, Reader, Readers};
pub use rebuild::{Rebuild, Rebuilt};
pub use retain::Expired;
pub use schema::AS_OF;
pub use seal::{SealedFile, Sealer, Which};
pub use writer::{RowCount, Written};

/// A database that is open for writing. Only one process has it at a time.
pub struct Store {
    dir: PathBuf,
    conn: Connection,
    tree: SqlTree,
    fault: Option<String>,
    catalog: Arc<Catalog>,
    /// DuckDB's, when no load sets its own.
    threads: usize,
    one_thread: bool,
    purpose: Purpose,
    settings: StoreSettings,
    /// How long files of past versions stay.
    keep: Duration,
    /// Last, for closing it drops the lock on the database.
    lock: Arc<readers::Lock>,
}

impl Store {
    /// Opens the database in the settings' directory, creating it on first use, and makes it hold what
    /// the SQL tree says. What a crash left half-done is cleared away.
    pub fn open(settings: &Settings, purpose: Purpose) -> Result<Self> {
        let dir = settings.db.clone();
        std::fs::create_dir_all(&dir).map_err(|error| Error::Place {
            db: dir.clone(),
            message: format!("it cannot be made: {error}"),
        })?;
        let read = SqlTree::load(&dir);
        let mut conn = duck::open(&dir, purpose, &settings.store)?;
        let (tree, fault) = schema::bring_up(&mut conn, read)?;
        // What is about to be written may mend it.
        let _ = fs::remove_file(dir.join(FAULT));
        if let Some(fault) = &fault {
            warn_of(fault);
        }
        insert::register(&conn)?;
        slot::register(&conn, raw::NAME, raw::schema())?;
        let catalog = Arc::new(Catalog::load(&conn, &tree)?);
        check_tables(&catalog, settings)?;
        schema::set_slas(&conn, &settings.slas)?;
        lake::sweep(&dir, &conn, &catalog, settings.history.keep)?;
        for table in catalog.iter() {
            slot::register(&conn, &table.name, table.carried_schema())?;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lock = Arc::new(readers::Lock::open(&dir)?);
        Ok(Self {
            dir,
            conn,
            tree,
            fault: fault.map(|fault| fault.to_string()),
            catalog,
            threads: settings.store.threads.unwrap_or(cores),
            one_thread: false,
            purpose,
            settings: settings.store.clone(),
            keep: settings.history.keep,
            lock,
        })
    }

    /// What hands out connections for questions while this store is at work. They must be gone when it is closed.
    ///
    /// # Errors
    /// If DuckDB gives no connection.
    pub fn readers(&self) -> Result<Readers> {
        Ok(Readers::new(
            self.clone_connection()?,
            duck::memory_limit(self.purpose, &self.settings),
            duck::memory_limit(Purpose::Read, &self.settings),
            Arc::clone(&self.lock),
        ))
    }

    /// Ends the use of the database: everything is in the file then, and no log is left to replay.
    pub fn close(self) -> Result<()> {
        self.remove_outgoing()?;
        self.conn
            .execute_batch("CHECKPOINT")
            .doing("writing the database file")?;
        self.conn.close().map_err(|(_, error)| Error::Duck {
            doing: "closing the database".to_owned(),
            error,
        })
    }

    /// The same database with a connection of its own, for whoever writes beside this one.
    fn beside(&self) -> Result<Self> {
        Ok(Self {
            dir: self.dir.clone(),
            conn: self.clone_connection()?,
            tree: self.tree.clone(),
            fault: self.fault.clone(),
            catalog: Arc::clone(&self.catalog),
            settings: self.settings.clone(),
            lock: Arc::clone(&self.lock),
            ..*self
        })
    }

    /// What is wrong with `sql/` as it is now, if the store goes by what it was.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The SQL tree that it goes by.
    #[must_use]
    pub fn tree(&self) -> &SqlTree {
        &self.tree
    }

    fn clone_connection(&self) -> Result<Connection> {
        self.conn.try_clone().doing("opening a connection")
    }

    /// A connection for each file of a venue that is run at once.
    fn connections(&self) -> Result<Vec<Connection>> {
        (0..self.threads.clamp(1, 4))
            .map(|_| self.clone_connection())
            .collect()
    }

    /// One more than any seq that was ever committed.
    fn next_seq(&self) -> Result<u64> {
        next_seq(&self.conn)
    }
}

fn next_seq(conn: &Connection) -> Result<u64> {
    conn.query_row(
        &format!(
            "SELECT greatest(
             (SELECT coalesce(max(seq), 0) FROM {}),
             (SELECT coalesce(max(last_seq), 0) FROM ops.manifest),
             (SELECT coalesce(max(last_seq), 0) FROM ops.file_loads),
             (SELECT coalesce(max(seq), 0) FROM ops.progress)) + 1",
            hot_rows(RAW_MESSAGES)
        ),
        [],
        |row| row.get(0),
    )
    .doing("reading the last seq")
}

/// What mdb.toml says of a table that there is not would have no effect.
fn check_tables(catalog: &Catalog, settings: &Settings) -> Result<()> {
    let of_slas = settings.slas.iter().filter_map(|sla| sla.table.as_ref());
    let of_slas = of_slas.map(|name| ("[[sla]] table", name));
    let hot = settings.seal.hot.keys().map(|name| ("[seal] hot", name));
    for (place, name) in of_slas.chain(hot) {
        if catalog.get(name).is_none() {
            let names: Vec<&str> = catalog.iter().map(|table| table.name.as_str()).collect();
            return Err(Error::Model {
                file: settings.db.join("mdb.toml").display().to_string(),
                message: format!(
                    "{place}: there is no table '{name}'; these are: {}",
                    names.join(", ")
                ),
            });
        }
    }
    Ok(())
}

/// Whether what did not fit in memory lies on the disk, which DuckDB removes when it closes the database.
#[must_use]
pub fn has_spilled(db: &Path) -> bool {
    db.join(duck::SPILL).exists()
}

/// By its presence tells those who have the database open without using it that another process waits for it.
const WANTED: &str = ".wanted";
/// How long after it was asked for the last time a database is still wanted: who waits asks again and again.
const WANTED_FOR: Duration = Duration::from_secs(5);

/// Asks for a database that others have open, as long as it lives.
#[derive(Debug)]
pub struct Want(PathBuf);

impl Want {
    /// For the database in `db`.
    #[must_use]
    pub fn new(db: &Path) -> Self {
        Self(db.join(WANTED))
    }

    /// Asks again: another one who waited may have ended both wishes.
    pub fn renew(&self) {
        // Who may not write there waits like that.
        let _ = fs::File::create(&self.0);
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether another process waits for the database in `db`. Who was killed while it waited does not any more.
#[must_use]
pub fn is_wanted(db: &Path) -> bool {
    let asked = fs::metadata(db.join(WANTED)).and_then(|file| file.modified());
    asked.is_ok_and(|asked| asked.elapsed().is_ok_and(|ago| ago < WANTED_FOR))
}

/// Makes sure that there is a database, for who only asks what is in it.
///
/// # Errors
/// If there is none.
pub fn must_exist(db: &Path) -> Result<()> {
    if db.join(FILE).exists() {
        return Ok(());
    }
    Err(Error::Missing { db: db.to_owned() })
}

/// What is wrong with a `sql/` that the database could not be made from, as the last reader has found by trying: which one,
/// and the fault. Every reader would try in vain otherwise, for half a second.
const FAULT: &str = ".fault";
/// So long that is believed: what a file reads may be there meanwhile.
const FAULT_FOR: Duration = Duration::from_mins(1);

/// What was wrong with this `sql/` just now; `None` if that is to be tried.
fn known_fault(dir: &Path, source: &str) -> Option<String> {
    let path = dir.join(FAULT);
    let noted = fs::metadata(&path).and_then(|file| file.modified()).ok()?;
    let note = fs::read(&path).ok()?;
    let (of, fault): (String, String) = serde_json::from_slice(&note).ok()?;
    let is_new = noted.elapsed().is_ok_and(|ago| ago < FAULT_FOR);
    (is_new && of == source).then_some(fault)
}

fn note_fault(dir: &Path, source: &str, fault: &str) {
    if let Ok(note) = serde_json::to_vec(&(source, fault)) {
        // Without a note the next reader tries again.
        let _ = fs::write(dir.join(FAULT), note);
    }
}

fn warn_of(fault: &dyn Display) {
    tracing::warn!("{fault}; until that is mended, mdb goes by sql/ as it was");
}

/// A connection for questions, with the right to change the database if `write`. A database that does not
/// exist yet, or whose SQL tree has changed, is made or brought up to date first.
pub fn open_reader(settings: &Settings, write: bool) -> Result<Connection> {
    if write {
        return Ok(Store::open(settings, Purpose::Write)?.conn);
    }
    let dir = &settings.db;
    let mut tried = None;
    if dir.join(FILE).exists() {
        // A person waits for both.
        let (source, conn) = thread::scope(|scope| {
            let source = scope.spawn(|| SqlTree::load(dir).map(|tree| schema::source(&tree)));
            let conn = duck::open(dir, Purpose::Read, &settings.store);
            let source = source.join().unwrap_or_else(|panic| resume_unwind(panic));
            (source, conn)
        });
        let conn = conn?;
        if let Ok(source) = &source
            && schema::is_made_from(&conn, source)?
        {
            return Ok(conn);
        }
        // One that cannot even be read is known by what is wrong with it.
        let source = source.unwrap_or_else(|error| error.to_string());
        if let Some(fault) = known_fault(dir, &source) {
            warn_of(&fault);
            return Ok(conn);
        }
        tried = Some(source);
    }
    let store = Store::open(settings, Purpose::Write)?;
    let fault = store.fault().map(str::to_owned);
    store.close()?;
    if let (Some(source), Some(fault)) = (tried, fault) {
        note_fault(dir, &source, &fault);
    }
    duck::open(dir, Purpose::Read, &settings.store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_sql_is_tried_once_for_all_readers_and_again_after_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new(dir.path());
        let open = |write| drop(open_reader(&settings, write).unwrap());
        open(false);
        let (views, note) = (dir.path().join("sql/views"), dir.path().join(FAULT));
        fs::create_dir_all(&views).unwrap();
        // One that DuckDB refuses, and one that cannot be read.
        for sql in ["SELECT nonsense FROM trades", "-- @nonsense\nSELECT 1 AS a"] {
            fs::write(views.join("mine.sql"), format!("-- Mine.\n{sql}\n")).unwrap();
            open(false);
            let noted = fs::read(&note).unwrap();
            let (of, fault): (String, String) = serde_json::from_slice(&noted).unwrap();
            assert!(fault.contains("mine.sql"), "{fault}");
            note_fault(dir.path(), &of, "as noted");
            open(false);
            assert_eq!(known_fault(dir.path(), &of).as_deref(), Some("as noted"));
            open(true);
            assert!(!note.exists());
        }
        open(false);
        fs::remove_file(views.join("mine.sql")).unwrap();
        open(false);
        fs::write(views.join("mine.sql"), "-- Mine.\nSELECT 1 AS a\n").unwrap();
        open(false);
        assert!(!note.exists());
    }
}
