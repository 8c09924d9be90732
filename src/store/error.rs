//! What can go wrong in the store, said so that a user knows what to do.

use std::path::PathBuf;

use crate::{config, sources, sqltree, venues};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// DuckDB refused something.
    #[error("{doing}: {error}")]
    Duck {
        /// What mdb was doing.
        doing: String,
        /// DuckDB's error; not a source, for all it could add is a bare number.
        error: duckdb::Error,
    },
    /// There is no database where one is to be.
    #[error("there is no database in {db}; --db DIR, or MDB_DB, says where it is")]
    Missing {
        /// The directory.
        db: PathBuf,
    },
    /// DuckDB does not open the database.
    #[error("cannot open {file}: {error}")]
    Open {
        /// The database's file.
        file: PathBuf,
        /// DuckDB's error; not a source, as above.
        error: duckdb::Error,
    },
    /// Another process has the database open.
    #[error(
        "the database {db} is in use{holder}. Close that process, or wait for it, and try again"
    )]
    InUse {
        /// The database's directory.
        db: PathBuf,
        /// Who has it, as far as DuckDB says.
        holder: String,
    },
    /// The write-ahead log cannot be replayed.
    #[error(
        "the write-ahead log of {db} is damaged: {message}\n  hint: `mdb --db {db} doctor --repair` sets it aside; \
         what was committed after the last checkpoint is lost with it, so keep a copy"
    )]
    CorruptWal {
        /// The database's directory.
        db: PathBuf,
        /// DuckDB's words.
        message: String,
    },
    /// The database cannot be used from here.
    #[error("cannot use {db}: {message}")]
    Place {
        /// The database's directory.
        db: PathBuf,
        /// Why not, and what to do.
        message: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of the SQL tree does not run.
    #[error("{file}:{line}: {message}")]
    Sql {
        /// The file.
        file: String,
        /// Line in it, from 1.
        line: usize,
        /// DuckDB's words and the place, marked.
        message: String,
    },
    /// A file of the SQL tree runs but is not what its place asks for.
    #[error("{file}: {message}")]
    Model {
        /// The file.
        file: String,
        /// What is wrong and what is expected.
        message: String,
    },
    /// Sealed rows and their source differ: nothing was changed.
    #[error("sealing {table} {date}: {message}; nothing was changed")]
    SealMismatch {
        /// The table.
        table: String,
        /// The UTC date.
        date: String,
        /// What differs.
        message: String,
    },
    /// Files that were merged and the file that they became differ: nothing was changed.
    #[error("compacting {table} {date}: {message}; nothing was changed")]
    CompactMismatch {
        /// The table.
        table: String,
        /// The UTC date.
        date: String,
        /// What differs.
        message: String,
    },
    /// A Parquet file cannot be written.
    #[error("cannot write {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: parquet::errors::ParquetError,
    },
    /// Arrow data has not the form it must have.
    #[error("internal: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A stored order book cannot be read.
    #[error("internal: the stored book of {symbol} cannot be read: {source}")]
    StoredBook {
        /// Its symbol.
        symbol: String,
        /// Why not.
        source: postcard::Error,
    },
    /// DuckDB's syntax tree cannot be read.
    #[error("internal: DuckDB's syntax tree cannot be read: {message}")]
    Syntax {
        /// Why not.
        message: String,
    },
    /// Old rows are not in a mart that is to hold them: nothing was dropped.
    #[error(
        "rows of {table} that are to go are not all in {mart}, or it is not made from them; nothing was dropped"
    )]
    NotDownsampled {
        /// The table.
        table: String,
        /// The mart.
        mart: String,
    },
    /// Rows of the same instruments and times were captured while a file was read: which of its rows are new is to be
    /// looked at again.
    #[error(
        "{file}: rows of its instruments and times were captured while it was read, again and again; nothing of it was \
         loaded. Load it once it lies in the past"
    )]
    Overtaken {
        /// The file.
        file: String,
    },
    /// A thread of the pipeline ended without saying why.
    #[error("internal: a worker thread panicked")]
    Panicked,
    /// The SQL tree.
    #[error(transparent)]
    Tree(#[from] sqltree::Error),
    /// A venue.
    #[error(transparent)]
    Venue(#[from] venues::Error),
    /// A source.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
}

impl Error {
    /// Whether there is no way into the database, whatever was to be done in it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Open { .. }
                | Self::InUse { .. }
                | Self::CorruptWal { .. }
                | Self::Place { .. }
        )
    }
}

/// Result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what mdb was doing when DuckDB failed.
pub(super) trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, duckdb::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::Duck {
            doing: what.into(),
            error,
        })
    }
}

/// The same for files.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.into(),
            source,
        })
    }
}

/// DuckDB's error of a text that begins on line `skip + 1` of what was run, as an error of `file`.
pub(crate) fn in_file(file: &str, skip: usize, error: &duckdb::Error) -> Error {
    let text = error.to_string();
    let line = text
        .lines()
        .find_map(|l| {
            l.strip_prefix("LINE ")?
                .split_once(':')?
                .0
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(skip + 1);
    Error::Sql {
        file: file.to_owned(),
        line: line.saturating_sub(skip).max(1),
        message: text,
    }
}
