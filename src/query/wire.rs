//! What two processes say to each other over `mdb.sock`: HTTP/1.1 with Arrow in it.
//!
//! A connection is a session: its settings, temporary tables and transaction last as long as it does.
//!
//! | request | answer |
//! |---|---|
//! | `POST /session`, a [`Hello`] | a [`Welcome`]; the connection's session is as the hello asks |
//! | `POST /query`, a statement; `types: plain` in the head for [`Types::Plain`](super::Types) | an Arrow IPC stream, then an [`End`] |
//! | `POST /interrupt/<session>`, on another connection | when what that session ran has stopped |
//! | `GET /progress/<session>`, on another connection | a [`Progress`](super::Progress), or null where it is not known |
//! | `GET /status` | JSON about the process |
//!
//! An Arrow stream that is whole ends with Arrow's own mark; behind it stands [`End::Done`]. In place of that
//! mark a stream that broke off has [`BROKEN`], which no Arrow reader takes for an end, and the reason. An
//! answer that is no stream has a status of 400 or more and an [`End`] as its body.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Error, SqlError};

/// The socket in a database's directory.
pub const SOCKET: &str = "mdb.sock";

/// Changes when an older mdb would not understand a newer one.
pub const PROTOCOL: u32 = 1;

/// The header that says how types come, and its value for plain ones.
pub const TYPES: (&str, &str) = ("mdb-types", "plain");

/// What stands where a stream broke off: a message of length -1.
pub const BROKEN: [u8; 8] = [0xff; 8];

/// Longest address of a socket: `sun_path`, less its closing zero, on the systems with the shortest.
const ADDRESS_BYTES: usize = 103;

/// What a client says first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol it speaks.
    pub protocol: u32,
    /// Whether its user may change the database.
    pub write: bool,
}

/// What it is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol the process speaks.
    pub protocol: u32,
    /// The name of this connection's session.
    pub session: u64,
    /// Who has the database open.
    pub pid: u32,
    /// What it is doing: `load`, `run`.
    pub command: String,
    /// Its current directory, to which relative paths in a statement are relative.
    pub directory: PathBuf,
}

/// How a statement ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Well: the rows are complete.
    Done,
    /// Someone asked for it.
    Interrupted,
    /// DuckDB, or a rule of shared databases, refuses it.
    Sql(Box<SqlError>),
    /// The way to DuckDB failed.
    Failed(String),
    /// The session is over, and this statement was not run.
    Over(String),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Interrupted,
            Error::Sql(error) => Self::Sql(error),
            Error::Driver(error) => Self::Failed(error.to_string()),
            Error::Remote(message) => Self::Failed(message),
            Error::Lost(message) => Self::Over(message),
        }
    }
}

impl End {
    /// The bytes that stand behind the stream.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always have their JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `Ok` if it is [`Done`](End::Done).
    pub(super) fn into_result(self) -> Result<(), Error> {
        Err(match self {
            Self::Done => return Ok(()),
            Self::Interrupted => Error::Interrupted,
            Self::Sql(error) => Error::Sql(error),
            Self::Failed(message) => Error::Remote(message),
            Self::Over(message) => Error::Lost(message),
        })
    }
}

/// Connects to a socket, however long its path is.
///
/// # Errors
/// Those of the connection; `InvalidInput` if the path is too long for this system.
pub fn connect(socket: &Path) -> io::Result<UnixStream> {
    within_address(socket, |address| UnixStream::connect(address))
}

/// Listens on a socket that does not exist yet, however long its path is.
///
/// # Errors
/// As [`connect`].
pub fn listen(socket: &Path) -> io::Result<UnixListener> {
    within_address(socket, |address| UnixListener::bind(address))
}

/// Calls `with` with a name of `socket` that fits an address. A directory that is open has a short one.
fn within_address<T>(socket: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if socket.as_os_str().len() <= ADDRESS_BYTES {
        return with(socket);
    }
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if cfg!(not(target_os = "linux")) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the path is longer than the {ADDRESS_BYTES} bytes of a socket's address; move the database up"
            ),
        ));
    }
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    with(&short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_path_too_long_for_an_address_is_no_hindrance() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        for directory in [home.path(), &deep] {
            let socket = directory.join(SOCKET);
            let listener = listen(&socket).unwrap();
            let mut client = connect(&socket).unwrap();
            client.write_all(b"x").unwrap();
            let mut byte = [0];
            listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"x");
        }
        assert!(connect(&home.path().join("none")).is_err());
    }

    #[test]
    fn an_error_comes_out_as_it_went_in() {
        let error = SqlError {
            message: "no \"x\"".into(),
            at: Some(3..5),
            hint: Some("y".into()),
        };
        let bytes = End::Sql(Box::new(error.clone())).to_bytes();
        let end: End = serde_json::from_slice(&bytes).unwrap();
        let Err(Error::Sql(back)) = end.into_result() else {
            panic!("another error")
        };
        assert_eq!(*back, error);
    }
}
