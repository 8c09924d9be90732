//! The first version of a file of one's own: it runs as it is, and says what can be changed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::sqltree::built_in;

/// What can be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A view.
    View,
    /// A mart.
    Mart,
    /// A test.
    Test,
    /// A venue's folder.
    Venue,
}

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of that name would take the place of a built-in one.
    #[error(
        "{name} is built in ({place}), and your own would take its place: give another name, or --replace, which begins \
         with its text"
    )]
    BuiltIn {
        /// The name.
        name: String,
        /// The built-in file or folder.
        place: String,
    },
    /// Queries know something else that is built in by that name.
    #[error("{name} is built in, and something else ({place}): give another name")]
    Taken {
        /// The name.
        name: String,
        /// The built-in file.
        place: String,
    },
    /// A file of the user's own makes something else of that name.
    #[error("{place} makes {name} already, and is of another sort: give another name")]
    Own {
        /// The name.
        name: String,
        /// That file.
        place: PathBuf,
    },
    /// What is to be replaced is not there.
    #[error("{place} is not built in, so there is nothing to replace: leave --replace out")]
    NothingToReplace {
        /// The file or folder.
        place: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Sort {
    /// The file, or a venue's folder, below `sql/`.
    fn place(self, name: &str) -> String {
        match self {
            Self::View => format!("views/{name}.sql"),
            Self::Mart => format!("marts/{name}.sql"),
            Self::Test => format!("tests/{name}.sql"),
            Self::Venue => format!("venues/{name}"),
        }
    }

    /// Where files of another sort stand that queries would know by this name.
    fn others(self, name: &str) -> Vec<String> {
        if matches!(self, Self::Test | Self::Venue) {
            return Vec::new();
        }
        let own = self.place(name);
        let folders = ["tables", "views", "marts"].into_iter();
        folders
            .map(|folder| format!("{folder}/{name}.sql"))
            .filter(|place| *place != own)
            .collect()
    }

    /// Paths below `sql/` and texts of a first version.
    fn first_version(self, name: &str) -> Vec<(String, String)> {
        let place = self.place(name);
        let files = match self {
            Self::View => vec![(place, VIEW)],
            Self::Mart => vec![(place, MART)],
            Self::Test => vec![(place, TEST)],
            Self::Venue => vec![
                (format!("{place}/feed.toml"), FEED),
                (format!("{place}/trades.sql"), VENUE_TRADES),
                (format!("{place}/control.sql"), VENUE_CONTROL),
            ],
        };
        let named = files.into_iter();
        named
            .map(|(path, text)| (path, text.replace("NAME", name)))
            .collect()
    }
}

/// Writes the files of a new object into a database's `sql/`; with `replace` those of a built-in one, as they are.
/// Returns their paths.
///
/// # Errors
/// If the name is a built-in one and it is not to be replaced, or the other way round; if a file is there already, also
/// one that makes something else of that name, or cannot be written: the files before it stay.
pub fn write(db: &Path, sort: Sort, name: &str, replace: bool) -> Result<Vec<PathBuf>, Error> {
    let place = sort.place(name);
    for other in sort.others(name) {
        let name = name.to_owned();
        if !built_in(&other).is_empty() {
            let place = format!("sql/{other}");
            return Err(Error::Taken { name, place });
        }
        let place = db.join("sql").join(other);
        if place.exists() {
            return Err(Error::Own { name, place });
        }
    }
    let known = built_in(&place);
    let place = format!("sql/{place}");
    let files: Vec<(String, String)> = match (known.is_empty(), replace) {
        (true, false) => sort.first_version(name),
        (true, true) => return Err(Error::NothingToReplace { place }),
        (false, false) => {
            let name = name.to_owned();
            return Err(Error::BuiltIn { name, place });
        }
        (false, true) => known
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect(),
    };
    let mut written = Vec::new();
    for (path, text) in files {
        let path = db.join("sql").join(path);
        write_new(&path, &text).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        written.push(path);
    }
    Ok(written)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

const VIEW: &str = "\
-- NAME: what one row is, and from where.
SELECT venue, symbol, ts, price, size, price * size AS value
FROM trades
";

const MART: &str = "\
-- NAME: what one row is, and its units. This first version: trades and turnover of every five minutes.
--
-- mdb keeps the table up to date: of an incremental mart it makes those windows anew in which rows have come, so each row
-- may be made only of rows whose ts is in its own window. `@materialize full` makes all of it anew instead.
-- @materialize incremental
-- @key venue, symbol, ts
-- @time ts
-- @window 5 minutes
-- @lateness 10 minutes
-- @test not_null trades
-- @test range trades > 0
SELECT venue, symbol, bucket_start(ts, '5 minutes') AS ts, count(*) AS trades, fsum(price * size) AS turnover
FROM trades
GROUP BY ALL
";

const TEST: &str = "\
-- NAME: what must never be. Every row that comes out is a failure, so let it say what is wrong.
-- @severity error
SELECT venue, symbol, ts, price, 'a price that is not above zero' AS what
FROM trades
WHERE price <= 0
";

const FEED: &str = "\
# NAME: how it is reached. The reference of this file is sql/venues/README.md of mdb's source.
description = \"NAME\"

# How its order book is numbered: first_last, prev or none. Without an order book leave this out.
# [book]
# rule = \"none\"

# [websocket]
# url = \"wss://…\"
#
# [websocket.subscribe]
# send = '{\"op\": \"subscribe\", \"args\": {{ topics | tojson }}}'
#
# [channels.trades]
# table = \"trades\"
# topic = \"trades:{{ symbol }}\"
";

const VENUE_TRADES: &str = "\
-- Trades of NAME. One SELECT over `raw`: seq, recv_ts, venue, channel, symbol, payload (the message, verbatim).
-- Only messages that hold the text below are shown to this file.
-- @match \"trade\"
SELECT seq, recv_ts, venue, f[1] AS symbol, make_timestamp_ns(f[2]::BIGINT * 1000000) AS ts, f[3] AS trade_id,
       f[4]::DOUBLE AS price, f[5]::DOUBLE AS size, f[6] AS side
FROM (SELECT *, json_extract_string(payload, ['$.symbol', '$.time_ms', '$.id', '$.price', '$.size', '$.side']) AS f
      FROM raw WHERE json_extract_string(payload, '$.type') = 'trade')
";

const VENUE_CONTROL: &str = "\
-- Messages of NAME that are no market data: acknowledgements, heartbeats. What no file accounts for becomes a dead letter.
SELECT seq FROM raw WHERE json_extract_string(payload, '$.type') IN ('subscribed', 'heartbeat')
";
