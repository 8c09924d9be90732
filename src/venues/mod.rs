//! Venues: a folder of the SQL tree becomes what mdb needs to read that venue's messages.
//!
//! `sql/venues/<venue>/feed.toml` says how its feed works, `<table>.sql` fills that canonical table,
//! `control.sql` names the messages that are no market data. Nothing here knows any venue.

mod check;
pub mod feed;
pub mod matching;
pub mod plan;
pub mod session;
pub mod template;

use crate::sqltree::{SqlFile, SqlTree};
pub use feed::Feed;

/// A venue that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder of that name.
    #[error(
        "unknown venue '{name}'; known are: {known}. A venue is a folder in the database's sql/venues/"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// The folder lacks its feed.toml.
    #[error("sql/venues/{venue} has no feed.toml")]
    NoFeed {
        /// The venue.
        venue: String,
    },
    /// feed.toml holds something mdb does not understand; the message marks the place.
    #[error("{file}: {source}")]
    Feed {
        /// The file.
        file: String,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// feed.toml is well formed, but what it says cannot work.
    #[error("{file}: {key} {message}")]
    Check {
        /// The file.
        file: String,
        /// The key in it.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A venue: its feed and its SQL.
#[derive(Debug, Clone)]
pub struct Venue {
    /// The folder's name.
    pub name: String,
    /// feed.toml.
    pub feed: Feed,
    /// The files that fill a canonical table each; the file's name is the table's.
    pub normalizers: Vec<SqlFile>,
    /// Names the raw rows that are no market data.
    pub control: Option<SqlFile>,
}

/// The names of all venues of the tree.
pub fn names(tree: &SqlTree) -> Vec<String> {
    tree.subfolders("venues")
}

/// Reads one venue's folder.
pub fn load(tree: &SqlTree, name: &str) -> Result<Venue, Error> {
    let known = names(tree);
    if !known.iter().any(|n| n == name) {
        return Err(Error::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let folder = format!("venues/{name}");
    let (file, text) = tree
        .toml(&format!("{folder}/feed.toml"))
        .ok_or_else(|| Error::NoFeed {
            venue: name.to_owned(),
        })?;
    let feed: Feed = toml::from_str(text).map_err(|source| Error::Feed {
        file: file.to_owned(),
        source: Box::new(source),
    })?;
    let tables: Vec<&str> = tree.folder("tables").map(|f| f.name.as_str()).collect();
    check::check(&feed, &tables).map_err(|fault| Error::Check {
        file: file.to_owned(),
        key: fault.key,
        message: fault.message,
    })?;
    let (control, normalizers) = tree
        .folder(&folder)
        .cloned()
        .partition(|f| f.name == "control");
    let control: Vec<SqlFile> = control;
    Ok(Venue {
        name: name.to_owned(),
        feed,
        normalizers,
        control: control.into_iter().next(),
    })
}
