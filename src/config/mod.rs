//! Settings: the database's directory, then `mdb.toml` in it, then what the command line overrides.
//!
//! An unknown key or a value that does not parse is an error that names the file and the line.

pub mod secrets;

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::model::time::date_of;

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
    /// `[retain]` says something that is no length of time.
    #[error("{path}:{line}: {message}")]
    Retain {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what is expected.
        message: String,
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
    /// How long past versions of the lake can be read.
    pub history: HistorySettings,
    /// How much of which tables `mdb retain` keeps.
    pub retain: Vec<Retention>,
    /// How marts are kept up to date.
    pub models: ModelSettings,
    /// How old the newest row of a channel may be.
    pub slas: Vec<SlaSettings>,
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
    /// The file and line that say so; `None` if it is no file.
    #[serde(skip)]
    pub place: Option<String>,
}

fn one() -> usize {
    1
}

/// `[store]` in `mdb.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// DuckDB's buffer memory, e.g. "2GB"; by default half of the machine's for questions, and 128 MB
    /// for writing.
    #[serde(deserialize_with = "memory")]
    pub memory_limit: Option<String>,
    /// DuckDB's threads; by default one for each core.
    #[serde(deserialize_with = "threads")]
    pub threads: Option<usize>,
    /// A capture's commits begin at least so long after one another; zero: each as soon as the one before it is done and a
    /// message is there. By default few messages wait a little, so that they take a third of a core.
    #[serde(deserialize_with = "commit_interval")]
    pub commit_every: Option<Duration>,
}

/// As DuckDB takes it; of a size below 0 that makes a limit of petabytes.
fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    const UNITS: [&str; 9] = ["%", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"];
    let text = String::deserialize(from)?;
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let is_some = number.parse::<f64>().is_ok_and(|number| number > 0.0);
    if is_some && UNITS.contains(&unit.trim().to_lowercase().as_str()) {
        return Ok(Some(text));
    }
    Err(serde::de::Error::custom(
        "a number and KB, MB, GB or % is expected, e.g. \"2GB\"",
    ))
}

fn threads<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    match usize::deserialize(from)? {
        0 => Err(serde::de::Error::custom("1 is the least")),
        threads => Ok(Some(threads)),
    }
}

fn commit_interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    const MOST: Duration = Duration::from_secs(10);
    let every = duration(from)?;
    if every > MOST {
        return Err(serde::de::Error::custom(
            "10 s at most: what is not committed is lost in a crash",
        ));
    }
    Ok(Some(every))
}

/// `[seal]` in `mdb.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealSettings {
    /// A UTC date is finished, and may be sealed, this long after its midnight.
    #[serde(deserialize_with = "duration")]
    pub lateness: Duration,
    /// Tables whose dates stay in the database file so much longer.
    #[serde(deserialize_with = "days_by_name")]
    pub hot: BTreeMap<String, Span>,
}

impl Default for SealSettings {
    fn default() -> Self {
        Self {
            lateness: Duration::from_hours(1),
            hot: BTreeMap::new(),
        }
    }
}

impl SealSettings {
    /// The first UTC date of a table that is not to be sealed yet, at a moment in ns.
    pub fn first_hot(&self, table: &str, at_ns: i64) -> Date {
        let lateness = i64::try_from(self.lateness.as_nanos()).unwrap_or(i64::MAX);
        let first = date_of(at_ns.saturating_sub(lateness));
        match self.hot.get(table) {
            Some(longer) => first.saturating_sub(*longer),
            None => first,
        }
    }
}

/// `[history]` in `mdb.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySettings {
    /// How long the files of a version of the lake stay after the next one has taken its place: as long it can be asked
    /// for. Not at all by default.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
}

/// `[models]` in `mdb.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Whether a capture keeps marts up to date; else only `mdb build` does.
    pub live: bool,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { live: true }
    }
}

/// `[[sla]]` in `mdb.toml`: how old the newest row may be, in place of what a venue's feed.toml says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaSettings {
    /// The venue; any if it is not given.
    pub venue: Option<String>,
    /// The canonical table; any if it is not given.
    pub table: Option<String>,
    /// How old.
    #[serde(deserialize_with = "duration")]
    pub freshness: Duration,
}

/// A line of `[retain]` in `mdb.toml`.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The table; whether there is one of this name, the store knows.
    pub table: String,
    /// How long before its newest row; whole days, or more.
    pub keep: Span,
    /// The mart that must hold what is dropped.
    pub downsample: Option<String>,
    /// The line, from 1.
    pub line: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    store: StoreSettings,
    seal: SealSettings,
    history: HistorySettings,
    retain: BTreeMap<String, Spanned<Kept>>,
    models: ModelSettings,
    sla: Vec<SlaSettings>,
    feed: Vec<Spanned<FeedSettings>>,
}

impl Settings {
    /// Reads `mdb.toml` in the database's directory; without that file everything has its default.
    pub fn load(db: &Path) -> Result<Self, Error> {
        let path = db.join("mdb.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // Where there is no directory, opening the database says so.
            Err(source)
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory
                ) =>
            {
                String::new()
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut file = toml::from_str::<File>(&text).map_err(|source| Error::Parse {
            path: path.clone(),
            source: Box::new(source),
        })?;
        let retain = retentions(&path, &text, std::mem::take(&mut file.retain))?;
        let feeds = std::mem::take(&mut file.feed).into_iter().map(|feed| {
            let line = line_at(&text, feed.span().start);
            FeedSettings {
                place: Some(format!("{}:{line}", path.display())),
                ..feed.into_inner()
            }
        });
        let feeds = feeds.collect();
        Ok(Self {
            retain,
            feeds,
            ..Self::of(db, file)
        })
    }

    /// The sections that differ in `now`, of those that hold for a process as they were when it started.
    #[must_use]
    pub fn fixed_changes(&self, now: &Self) -> Vec<&'static str> {
        let sections = [
            ("[store]", self.store != now.store),
            ("[history]", self.history != now.history),
            ("[models]", self.models != now.models),
        ];
        let changed = sections.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(name, _)| name).collect()
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
            history: file.history,
            retain: Vec::new(),
            models: file.models,
            slas: file.sla,
            feeds: Vec::new(),
        }
    }
}

/// How much of a table is kept: `"30 days"`, or `{ keep = "30 days", downsample = "ohlcv_1m" }`.
struct Kept {
    keep: String,
    downsample: Option<String>,
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            keep: String,
            downsample: Option<String>,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Kept;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a time such as \"30 days\", or { keep = \"30 days\", downsample = MART }",
                )
            }

            fn visit_str<E: de::Error>(self, keep: &str) -> Result<Kept, E> {
                Ok(Kept {
                    keep: keep.to_owned(),
                    downsample: None,
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Kept, A::Error> {
                let fields = Fields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Kept {
                    keep: fields.keep,
                    downsample: fields.downsample,
                })
            }
        }
        from.deserialize_any(Visitor)
    }
}

fn retentions(
    path: &Path,
    text: &str,
    lines: BTreeMap<String, Spanned<Kept>>,
) -> Result<Vec<Retention>, Error> {
    let retention = |(table, kept): (String, Spanned<Kept>)| {
        let line = line_at(text, kept.span().start);
        let Kept { keep, downsample } = kept.into_inner();
        match whole_days(&keep) {
            Ok(keep) => Ok(Retention {
                table,
                keep,
                downsample,
                line,
            }),
            Err(message) => Err(Error::Retain {
                path: path.to_owned(),
                line,
                message,
            }),
        }
    };
    lines.into_iter().map(retention).collect()
}

/// The line of a text that a byte is in, from 1.
fn line_at(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.matches('\n').count() + 1
}

/// A length of time in words that is a number of days: "30 days", "4 weeks", "1 year 6 months".
///
/// # Errors
/// Says what is expected.
pub(crate) fn whole_days(text: &str) -> Result<Span, String> {
    let days_of = |span: Span| {
        Span::new()
            .years(span.get_years())
            .months(span.get_months())
            .weeks(span.get_weeks())
            .days(span.get_days())
    };
    match text.parse::<Span>() {
        Ok(span) if span.is_positive() && span.fieldwise() == days_of(span).fieldwise() => Ok(span),
        _ => Err(format!(
            "\"{text}\" is no number of days; give it as in \"30 days\", \"4 weeks\" or \"1 year\""
        )),
    }
}

fn days_by_name<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Span>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(from)?;
    let spans = texts
        .into_iter()
        .map(|(name, text)| match whole_days(&text) {
            Ok(span) => Ok((name, span)),
            Err(message) => Err(de::Error::custom(message)),
        });
    spans.collect()
}

/// A length of time in words: "90 s", "10 minutes", "1h 30m", "2 weeks". A day has 24 hours.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span: Span = text.parse().map_err(serde::de::Error::custom)?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(serde::de::Error::custom)?;
    Duration::try_from(length).map_err(serde::de::Error::custom)
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
    fn what_duckdb_cannot_be_given_names_its_line() {
        for (line, says) in [
            ("memory_limit = \"lots\"", "e.g. \"2GB\""),
            ("memory_limit = \"-5GB\"", "e.g. \"2GB\""),
            ("memory_limit = \"0 GB\"", "e.g. \"2GB\""),
            ("memory_limit = \"5\"", "e.g. \"2GB\""),
            ("threads = 0", "1 is the least"),
        ] {
            let error = load(&format!("[store]\n{line}\n")).unwrap_err();
            let names = ["mdb.toml", "line 2", says];
            assert!(names.iter().all(|name| error.contains(name)), "{error}");
        }
        for limit in ["2GB", "1.5 GiB", "80%", "512 mb"] {
            let settings = load(&format!("[store]\nmemory_limit = \"{limit}\"\n")).unwrap();
            assert_eq!(settings.store.memory_limit.as_deref(), Some(limit));
        }
    }

    #[test]
    fn what_takes_effect_at_the_next_start_is_known() {
        let started = load("[store]\nthreads = 2\n").unwrap();
        let edited =
            load("[store]\nthreads = 3\n[seal]\nlateness = \"2 hours\"\n[models]\nlive = false\n");
        assert_eq!(
            started.fixed_changes(&edited.unwrap()),
            ["[store]", "[models]"]
        );
        let live = load("[store]\nthreads = 2\n[[sla]]\nfreshness = \"1 minute\"\n").unwrap();
        assert!(started.fixed_changes(&live).is_empty());
    }

    #[test]
    fn a_feed_knows_its_line() {
        let feed = "[[feed]]\nvenue = \"v\"\nsymbols = [\"A\"]\n";
        let settings = load(&format!("# Mine.\n{feed}\n{feed}")).unwrap();
        let places = settings.feeds.iter().map(|feed| feed.place.as_deref());
        let ends = |place: Option<&str>, end: &str| place.is_some_and(|p| p.ends_with(end));
        let ends: Vec<bool> = places
            .zip(["mdb.toml:2", "mdb.toml:6"])
            .map(|(place, end)| ends(place, end))
            .collect();
        assert_eq!(ends, [true, true], "{:?}", settings.feeds);
        assert!(load(&format!("{feed}place = \"x\"\n")).is_err());
    }

    #[test]
    fn durations_are_words() {
        let settings = load("[seal]\nlateness = \"10 minutes\"\n").unwrap();
        assert_eq!(settings.seal.lateness, Duration::from_mins(10));
        assert!(load("[seal]\nlateness = \"soon\"\n").is_err());
        assert!(load("[seal]\nlateness = \"-1 h\"\n").is_err());
    }

    #[test]
    fn commits_are_at_most_seconds_apart() {
        assert_eq!(load("").unwrap().store.commit_every, None);
        let settings = load("[store]\ncommit_every = \"50 ms\"\n").unwrap();
        assert_eq!(settings.store.commit_every, Some(Duration::from_millis(50)));
        let error = load("[store]\ncommit_every = \"1 min\"\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("10 s at most"),
            "{error}"
        );
    }

    #[test]
    fn tables_stay_hot_for_longer_where_it_is_said() {
        let settings = load("[seal]\nhot = { trades = \"7 days\" }\n").unwrap();
        let noon = 1_723_118_400_000_000_000; // 2024-08-08 12:00
        let half_past_midnight = noon - 41_400_000_000_000;
        let first = |table, at| settings.seal.first_hot(table, at).to_string();
        assert_eq!(first("quotes", noon), "2024-08-08");
        assert_eq!(first("quotes", half_past_midnight), "2024-08-07");
        assert_eq!(first("trades", noon), "2024-08-01");
        assert!(load("[seal]\nhot = { trades = \"1 hour\" }\n").is_err());
    }

    #[test]
    fn past_versions_are_kept_as_long_as_said_and_not_by_default() {
        assert_eq!(load("").unwrap().history.keep, Duration::ZERO);
        let settings = load("[history]\nkeep = \"2 weeks 1 day\"\n").unwrap();
        assert_eq!(settings.history.keep, Duration::from_hours(15 * 24));
        for wrong in ["soon", "-1 day", "1 month"] {
            let error = load(&format!("[history]\nkeep = \"{wrong}\"\n")).unwrap_err();
            assert!(error.contains("line 2"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_kept_is_a_number_of_days_and_knows_its_line() {
        let settings = load("[retain]\n\nquotes = \"2 weeks\"\ntrades = \"30 days\"\n").unwrap();
        let lines: Vec<(&str, i32, usize)> = settings
            .retain
            .iter()
            .map(|r| (r.table.as_str(), r.keep.get_days(), r.line))
            .collect();
        assert_eq!(lines, [("quotes", 0, 3), ("trades", 30, 4)]);
        for wrong in [
            "30",
            "soon",
            "0 days",
            "-1 day",
            "12 hours",
            "1 day 1 s",
            "3 days ago",
            "",
        ] {
            let error = load(&format!("[retain]\ntrades = \"{wrong}\"\n")).unwrap_err();
            assert!(
                error.contains("mdb.toml:2: ") && error.contains("30 days"),
                "{wrong}: {error}"
            );
            assert!(whole_days(wrong).is_err(), "{wrong}");
        }
        let settings =
            load("[retain.trades]\nkeep = \"1 year\"\ndownsample = \"ohlcv_1m\"\n").unwrap();
        let [trades] = settings.retain.as_slice() else {
            panic!("{:?}", settings.retain);
        };
        assert_eq!(trades.downsample.as_deref(), Some("ohlcv_1m"));
        let error = load("[retain]\ntrades = { keep = \"1 day\", into = \"x\" }\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("into"),
            "{error}"
        );
        let error = load("[retain]\ntrades = 30\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }
}
