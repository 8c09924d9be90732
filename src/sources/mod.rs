//! Sources: where bytes come in. Each hands out batches of received messages, stamped with the time
//! they were received at; none knows a venue.

pub mod capture;
mod lines;
pub mod websocket;

use std::path::PathBuf;

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
