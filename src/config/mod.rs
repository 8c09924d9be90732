//! Settings: the database's directory, then `mdb.toml` in it, then what the command line overrides.
//!
//! An unknown key or a value that does not parse is an error that names the file and the line.

pub mod secrets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// What was wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `mdb.toml` is there but cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `mdb.toml` holds something mdb does not understand; the message marks the place.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
}

/// Everything that can be set, for one database.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database's directory.
    pub db: PathBuf,
    /// How DuckDB is run.
    pub store: StoreSettings,
    /// When rows leave the database file for the lake.
    pub seal: SealSettings,
    /// What `mdb run` captures.
    pub feeds: Vec<FeedSettings>,
}

/// `[[feed]]` in `mdb.toml`: symbols of one venue to capture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSettings {
    /// The venue: a folder of sql/venues/.
    pub venue: String,
    /// The instruments, in the venue's own spelling.
    pub symbols: Vec<String>,
    /// What of them, by the venue's channel names; trades, quotes and book, as far as it has them, by default.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Connections to the same channels at once, 1 to 4; their copies become one stream.
    #[serde(default = "one")]
    pub redundancy: usize,
    /// In place of the WebSocket address of the venue's feed.toml, e.g. a local replay.
    pub websocket: Option<String>,
    /// In place of the REST address of the venue's feed.toml.
    pub rest: Option<String>,
}

fn one() -> usize {
    1
}

/// `[store]` in `mdb.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// DuckDB's buffer memory, e.g. "2GB"; by default half of the machine's for questions, and 128 MB
    /// for writing.
    pub memory_limit: Option<String>,
    /// DuckDB's threads; by default one for each core.
    pub threads: Option<usize>,
}

/// `[seal]` in `mdb.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealSettings {
    /// A UTC date is finished, and may be sealed, this long after its midnight.
    #[serde(deserialize_with = "duration")]
    pub lateness: Duration,
}

impl Default for SealSettings {
    fn default() -> Self {
        Self {
            lateness: Duration::from_hours(1),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    store: StoreSettings,
    seal: SealSettings,
    feed: Vec<FeedSettings>,
}

impl Settings {
    /// Reads `mdb.toml` in the database's directory; without that file everything has its default.
    pub fn load(db: &Path) -> Result<Self, Error> {
        let path = db.join("mdb.toml");
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str::<File>(&text).map_err(|source| Error::Parse {
                path,
                source: Box::new(source),
            })?,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(source) => return Err(Error::Read { path, source }),
        };
        Ok(Self::of(db, file))
    }

    /// Defaults throughout, whatever `mdb.toml` says.
    pub fn new(db: &Path) -> Self {
        Self::of(db, File::default())
    }

    fn of(db: &Path, file: File) -> Self {
        Self {
            db: db.to_owned(),
            store: file.store,
            seal: file.seal,
            feeds: file.feed,
        }
    }
}

/// A length of time in words: "90 s", "10 minutes", "1h 30m".
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span: jiff::SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
    Duration::try_from(span).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mdb.toml"), text).unwrap();
        Settings::load(dir.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let error = load("[seal]\nlatness = \"1 h\"\n").unwrap_err();
        assert!(
            error.contains("mdb.toml") && error.contains("line 2") && error.contains("latness"),
            "{error}"
        );
    }

    #[test]
    fn durations_are_words() {
        let settings = load("[seal]\nlateness = \"10 minutes\"\n").unwrap();
        assert_eq!(settings.seal.lateness, Duration::from_mins(10));
        assert!(load("[seal]\nlateness = \"soon\"\n").is_err());
        assert!(load("[seal]\nlateness = \"-1 h\"\n").is_err());
    }
}
