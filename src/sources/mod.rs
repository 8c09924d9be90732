//! Sources: where bytes come in. Each hands out batches of received messages, stamped with the time
//! they were received at; none knows a venue.

pub mod capture;
pub mod files;
mod lines;
pub mod rest;
mod tls;
mod unpack;
pub mod websocket;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use lines::MAX_LINE_BYTES;

/// A source that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no table that mdb can read.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// It breaks off: what stood before is good.
    #[error("{path}: cannot read on after line {line}: {source}. The lines before it are loaded")]
    Read {
        /// The file.
        path: PathBuf,
        /// The last line that could be read, from 1; 0 if none.
        line: u64,
        /// Why not.
        source: std::io::Error,
    },
}

/// Now, in ns since 1970-01-01 UTC: the only clock there is to the left of a database's rows.
pub(crate) fn now_ns() -> i64 {
    // A clock outside the years 1677 to 2262 is no clock.
    let signed = |since: Duration, sign: i64| {
        i64::try_from(since.as_nanos()).map_or(sign * i64::MAX, |ns| sign * ns)
    };
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since, 1),
        Err(before) => signed(before.duration(), -1),
    }
}
