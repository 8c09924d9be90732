//! The first version of a file of one's own: it runs as it is, and says what can be changed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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

/// Writes the files of a new object into a database's `sql/`. Returns their paths.
///
/// # Errors
/// If one is there already, or cannot be written; the files before it stay.
pub fn write(db: &Path, sort: Sort, name: &str) -> io::Result<Vec<PathBuf>> {
    let sql = db.join("sql");
    let files: Vec<(PathBuf, &str)> = match sort {
        Sort::View => vec![(sql.join("views").join(format!("{name}.sql")), VIEW)],
        Sort::Mart => vec![(sql.join("marts").join(format!("{name}.sql")), MART)],
        Sort::Test => vec![(sql.join("tests").join(format!("{name}.sql")), TEST)],
        Sort::Venue => {
            let folder = sql.join("venues").join(name);
            vec![
                (folder.join("feed.toml"), FEED),
                (folder.join("trades.sql"), VENUE_TRADES),
                (folder.join("control.sql"), VENUE_CONTROL),
            ]
        }
    };
    let mut written = Vec::new();
    for (path, text) in files {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let in_words =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut file = File::create_new(&path).map_err(in_words)?;
        file.write_all(text.replace("NAME", name).as_bytes())
            .map_err(in_words)?;
        written.push(path);
    }
    Ok(written)
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
