//! Versions of the lake: every change of the manifest makes one, in its own transaction. The files of past versions stay
//! for as long as mdb.toml says, so that what was sealed can be asked for as it was.

use std::time::Duration;

use duckdb::{Connection, params};

use super::error::{Doing, Result};
use crate::model::sql::literal;
use crate::sources::now_ns;

/// Versions that can be read no more are listed up to this number.
const LISTED: u64 = 10_000;

/// A version in the making, within the transaction that changes the manifest.
pub(super) struct Version<'a> {
    conn: &'a Connection,
    table: &'a str,
    pub(super) number: u64,
    pub(super) at_ns: i64,
}

impl<'a> Version<'a> {
    /// Begins the next one. Those who change the lake do so one after the other.
    pub(super) fn begin(conn: &'a Connection, table: &'a str) -> Result<Self> {
        let (last, last_at): (u64, i64) = conn
            .query_row(
                "SELECT coalesce(max(version), 0), coalesce(epoch_ns(max(made_at)), 0) FROM ops.versions",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .doing("reading ops.versions")?;
        Ok(Self {
            conn,
            table,
            number: last + 1,
            // A clock may be set back; the order of versions is that of their times.
            at_ns: now_ns().max(last_at),
        })
    }

    /// Ends it: the manifest is as it will be.
    pub(super) fn end(self, what: &str, detail: Option<&str>) -> Result<()> {
        self.conn
            .execute(
                "INSERT INTO ops.versions
                 SELECT $1, make_timestamp_ns($2), $3, $4, $5,
                        count(*) FILTER (added = $1), (SELECT count(*) FROM ops.outgoing WHERE removed = $1 AND table_name = $3),
                        count(*), coalesce(sum(rows), 0)::UBIGINT, coalesce(sum(bytes), 0)::UBIGINT
                 FROM ops.manifest WHERE table_name = $3",
                params![self.number, self.at_ns, self.table, what, detail],
            )
            .doing("writing ops.versions")
            .map(|_| ())
    }
}

/// Outgoing files that no version has which is kept so long.
pub(super) fn expired(keep: Duration) -> String {
    let keep_ns = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
    format!(
        "(removed_at IS NULL OR epoch_ns(removed_at) <= {})",
        now_ns().saturating_sub(keep_ns)
    )
}

/// Notes that expired files are about to be removed: versions that had them can be read no more.
pub(super) fn forget(conn: &Connection, expired: &str) -> Result<()> {
    conn.execute_batch(&format!(
        "BEGIN;
         CREATE OR REPLACE TEMP TABLE oldest AS
             SELECT greatest((SELECT coalesce(max(removed), 0) FROM ops.outgoing WHERE {expired}),
                             (SELECT coalesce(max(version), 0) FROM ops.oldest_version)) AS version;
         DELETE FROM ops.oldest_version;
         INSERT INTO ops.oldest_version FROM temp.oldest;
         DELETE FROM ops.versions WHERE version + {LISTED} < (SELECT version FROM ops.oldest_version);
         COMMIT"
    ))
    .inspect_err(|_| {
        // The first error is the one to tell.
        let _ = conn.execute_batch("ROLLBACK");
    })
    .doing("writing ops.oldest_version")
}

/// SQL for what is known of all versions: what `as_of` reads, in the variable that it reads it from.
#[must_use]
pub fn known() -> &'static str {
    "SET VARIABLE mdb_lake = (SELECT {
             files: coalesce((SELECT list({table_name: table_name, path: path, added: added, removed: removed} ORDER BY path)
                     FROM (SELECT table_name, path, added, NULL::UBIGINT AS removed FROM ops.manifest UNION ALL
                           SELECT table_name, path, added, removed FROM ops.outgoing WHERE table_name IS NOT NULL)), []),
             versions: coalesce((SELECT list({version: version, made_at: made_at} ORDER BY version) FROM ops.versions), []),
             oldest: coalesce((SELECT max(version) FROM ops.oldest_version), 0)})"
}

/// SQL for the versions, of one table or of all, the newest last.
#[must_use]
pub fn listed(table: Option<&str>) -> String {
    let of_table = table.map_or(String::new(), |table| {
        format!(" WHERE table_name = {}", literal(table))
    });
    format!(
        "SELECT version, made_at AS \"at\", table_name AS \"table\", what, detail, files_added, files_removed, files, rows,
                bytes, version >= coalesce((SELECT max(version) FROM ops.oldest_version), 0) AS readable
         FROM ops.versions{of_table} ORDER BY version"
    )
}

/// Paths of files that left the lake and that kept versions have.
pub(super) fn kept(conn: &Connection, keep: Duration) -> Result<Vec<String>> {
    let expired = expired(keep);
    conn.prepare(&format!(
        "SELECT path FROM ops.outgoing WHERE NOT {expired} ORDER BY path"
    ))
    .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
    .doing("reading ops.outgoing")
}
