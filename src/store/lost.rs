//! What went with a file that is taken out of the lake, and which sources bring it back once they no longer count as
//! loaded: their notes stay, for they say which rows came from there, but no content has such a mark.

use duckdb::{Connection, params};

use super::catalog::Table;
use super::error::{Doing, Result};
use super::lake::Entry;
use super::raw::FILE_CHANNEL;
use super::schema;
use crate::model::RAW_MESSAGES;

const MARK_CAPTURE: &str = "UPDATE ops.loads SET mark = mark || '-lost' WHERE last_seq = ?";
/// The same content may have been loaded again since, when other rows of it were lost.
const MARK_FILE: &str = "UPDATE ops.file_loads l SET mark = l.mark || '-lost' FROM ops.file_loads o
    WHERE o.last_seq = ? AND l.into_table = o.into_table AND l.mark = replace(o.mark, '-lost', '')";

/// The sources whose rows were in a file.
pub(super) struct Loss {
    /// Those that bring back what was in it once they are loaded again.
    pub(super) again: Vec<String>,
    /// Those that would bring rows twice that are still there, and so count as loaded.
    pub(super) stuck: Vec<String>,
    /// The SQL that marks a note of the first, given its last seq.
    mark: &'static str,
    last_seqs: Vec<u64>,
}

impl Loss {
    /// Finds them. The manifest no longer has the file, nor others that cannot be read.
    pub(super) fn of(conn: &Connection, table: &Table, file: &Entry) -> Result<Self> {
        if table.name == RAW_MESSAGES {
            Self::of_captures(conn, file)
        } else {
            Self::of_vendors_files(conn, table, file)
        }
    }

    /// Once a part of a capture is unknown all that follows is loaded too, so only the last parts are forgotten, those of
    /// which no message is there any more.
    fn of_captures(conn: &Connection, file: &Entry) -> Result<Self> {
        let parts = parts(
            conn,
            &format!(
                "WITH loads AS (
                     SELECT *, coalesce(lag(last_seq) OVER (ORDER BY last_seq), 0) AS after
                     FROM ops.loads WHERE last_seq IS NOT NULL),
                 there AS (
                     SELECT l.venue, l.symbol, l.source, max(l.last_seq) AS last
                     FROM (SELECT seq FROM main.{RAW_MESSAGES} WHERE channel = '{FILE_CHANNEL}'
                           AND seq > coalesce((SELECT max(last_seq) FROM loads WHERE last_seq < $1), 0)) r
                     ASOF JOIN loads l ON r.seq <= l.last_seq GROUP BY ALL),
                 gone AS (
                     SELECT l.source, l.last_seq, min(l.after) OVER (PARTITION BY l.venue, l.symbol, l.source) AS after
                     FROM loads l LEFT JOIN there t ON t.venue = l.venue AND t.symbol IS NOT DISTINCT FROM l.symbol
                          AND t.source = l.source
                     WHERE l.last_seq >= $1 AND l.last_seq > coalesce(t.last, 0))
                 SELECT source, after, last_seq FROM gone WHERE after < $2 ORDER BY last_seq"
            ),
            file,
        )?;
        let mut loss = Self::none(MARK_CAPTURE);
        for part in parts {
            loss.forget_of(part);
        }
        Ok(loss)
    }

    /// A file is loaded as a whole: rows of it that are still there must be known by their keys.
    fn of_vendors_files(conn: &Connection, table: &Table, file: &Entry) -> Result<Self> {
        let parts = parts(
            conn,
            &format!(
                "FROM (SELECT source, last_seq, into_table, coalesce(lag(last_seq) OVER (ORDER BY last_seq), 0) AS after
                       FROM ops.file_loads WHERE last_seq IS NOT NULL)
                 SELECT source, after, last_seq
                 WHERE into_table = '{}' AND last_seq >= $1 AND after < $2 ORDER BY last_seq",
                table.name
            ),
            file,
        )?;
        let no_key = table
            .key
            .iter()
            .map(|column| format!("\"{column}\" IS NULL"));
        let no_key = no_key.collect::<Vec<_>>().join(" OR ");
        let no_key = if no_key.is_empty() { "true" } else { &no_key };
        let left = schema::lake_files(conn, table, Some(true))?;
        let mut loss = Self::none(MARK_FILE);
        for part in parts {
            let doubles = match &left {
                Some(files) => conn
                    .query_row(
                        &format!(
                            "SELECT EXISTS (FROM {files} WHERE seq > ? AND seq <= ? AND ({no_key}))"
                        ),
                        params![part.after, part.last_seq],
                        |row| row.get(0),
                    )
                    .doing(format!("reading {}", table.name))?,
                None => false,
            };
            if doubles {
                loss.stuck.push(part.source);
            } else {
                loss.forget_of(part);
            }
        }
        Ok(loss)
    }

    fn none(mark: &'static str) -> Self {
        Self {
            again: Vec::new(),
            stuck: Vec::new(),
            mark,
            last_seqs: Vec::new(),
        }
    }

    fn forget_of(&mut self, part: Part) {
        if !self.again.contains(&part.source) {
            self.again.push(part.source);
        }
        self.last_seqs.push(part.last_seq);
    }

    /// Lets the sources be loaded again.
    pub(super) fn forget(&self, conn: &Connection) -> Result<()> {
        self.last_seqs.iter().try_for_each(|last_seq| {
            conn.execute(self.mark, [last_seq])
                .doing("noting what is no longer loaded")
                .map(|_| ())
        })
    }
}

/// What was committed of a source at once: it has the numbers after one up to another.
struct Part {
    source: String,
    after: u64,
    last_seq: u64,
}

/// Parts whose numbers meet those of a file's rows, `$1` to `$2`.
fn parts(conn: &Connection, sql: &str, file: &Entry) -> Result<Vec<Part>> {
    conn.prepare(sql)
        .and_then(|mut s| {
            s.query_map(params![file.facts.first_seq, file.facts.last_seq], |row| {
                Ok(Part {
                    source: row.get(0)?,
                    after: row.get(1)?,
                    last_seq: row.get(2)?,
                })
            })?
            .collect()
        })
        .doing("reading what was loaded")
}
