//! Doors for other processes to a database that this one has open. Today there is one: `mdb.sock`, for a second `mdb`
//! of the same user.

mod conversation;
mod socket;

use std::path::PathBuf;

pub use socket::{Socket, Status};

/// Why a door does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket cannot be made.
    #[error(
        "cannot make {path}, so other processes cannot reach the database while this one has it open: {source}"
    )]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// DuckDB gives no connection.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}
