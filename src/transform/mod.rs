//! Models: marts are kept up to date, and data is tested.

pub mod build;
pub mod checks;
mod due;
pub mod lineage;
mod notes;
pub mod scaffold;
mod windows;
mod work;

use std::fmt::Write as _;

use crate::model::sql::identifier;
use crate::store;

/// Why a model could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database or the model's SQL.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A test failed, and the mart keeps its version before.
    #[error(
        "{file}:{line}: the test `{test}` fails for {rows} of the rows that were made, e.g. {sample}; nothing was changed"
    )]
    Test {
        /// The file that declares it.
        file: String,
        /// Line in it, from 1.
        line: usize,
        /// As it is written.
        test: String,
        /// Rows that fail.
        rows: u64,
        /// One of them.
        sample: String,
    },
    /// The SELECT of an incremental mart is not made of windows as it says.
    #[error(
        "{file}: of rows of one window it makes rows of another ({column} = {sample}); `@window` is shorter than what its \
         SELECT groups by, or `@time` names another column than that"
    )]
    Outside {
        /// The file.
        file: String,
        /// The time column.
        column: String,
        /// A time that is not in the window.
        sample: String,
    },
    /// The SELECT of an incremental mart makes two rows of one key.
    #[error("{file}: it makes two rows of one key ({key}): {sample}")]
    TwoRows {
        /// The file.
        file: String,
        /// The key's columns.
        key: String,
        /// The key that is there twice.
        sample: String,
    },
    /// No model has this name.
    #[error("there is no model '{name}'; these are: {names}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        names: String,
    },
    /// A mart does not keep what it has made of rows that are gone.
    #[error(
        "{name} is made as a whole each time, and would lose what is dropped of the tables that it reads; a mart to \
         downsample into has `@materialize incremental`, and so have those that it is made from"
    )]
    Forgets {
        /// Its name.
        name: String,
    },
    /// It was to stop; nothing was changed.
    #[error("stopped; nothing was changed")]
    Stopped,
}

/// Result of building and testing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was being done when DuckDB failed.
fn doing<T>(result: Result<T, duckdb::Error>, what: impl FnOnce() -> String) -> Result<T> {
    result.map_err(|error| {
        Error::Store(store::Error::Duck {
            doing: what(),
            error,
        })
    })
}

/// Names as SQL has them, each behind a prefix.
fn list(prefix: &str, names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{prefix}{}", identifier(name));
    }
    text
}
