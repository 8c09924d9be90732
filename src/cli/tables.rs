//! `mdb tables`: what is in each table. The manifest knows it of the lake, so that no file of it is opened.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{session, sql};
use crate::config::Settings;
use crate::output::Format;
use crate::store;

/// A query for each table of the database file: its name, rows, and first and last time.
const COUNTS: &str = r#"
    SELECT 'SELECT ''' || table_name || ''' AS name, count(*) AS rows, min(' || time || ') AS low, max(' || time || ') AS high
           FROM (FROM hot."' || table_name || '" UNION ALL FROM hot_b."' || table_name || '")'
    FROM (SELECT table_name, IF(table_name = 'raw_messages', 'recv_ts', 'ts') AS time FROM duckdb_tables()
          WHERE database_name = current_database() AND schema_name = 'hot')
    UNION ALL
    SELECT 'SELECT ''' || replace(table_name, '''', '''''') || ''' AS name, count(*) AS rows, NULL AS low, NULL AS high
           FROM main."' || replace(table_name, '"', '""') || '"'
    FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'main'"#;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "rows are stored rows, of trades taken back too; hot_rows of them are in the database file, the others in \
                  files of the lake, whose bytes these are. Views hold no rows of their own.\nExample: mdb tables --format json"
)]
pub(super) struct Args {
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// Runs `mdb tables`.
///
/// # Errors
/// If there is no database, or it cannot be opened.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    if !settings.db.join(store::FILE).exists() {
        bail!("there is no database in {}", settings.db.display());
    }
    let mut session = session::open(settings, false)?;
    session
        .interrupter()
        .on_ctrl_c()
        .context("cannot listen for Ctrl-C")?;
    let counts = session.strings(COUNTS)?;
    let counts: Vec<String> = counts.into_iter().flatten().flatten().collect();
    let query = format!(
        "WITH held AS ({}),
         sealed AS (
             SELECT table_name AS name, sum(rows) AS rows, count(*) AS files, sum(bytes) AS bytes,
                    min(min_ts) AS low, max(max_ts) AS high
             FROM ops.manifest GROUP BY table_name),
         relations AS (
             SELECT view_name AS name, comment FROM duckdb_views()
             WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal
             UNION ALL
             SELECT table_name, comment FROM duckdb_tables()
             WHERE database_name = current_database() AND schema_name = 'main')
         SELECT name AS \"table\",
                (held.rows + coalesce(sealed.rows, 0))::BIGINT AS rows, held.rows AS hot_rows,
                IF(held.rows IS NULL, NULL, coalesce(sealed.files, 0)) AS files,
                IF(held.rows IS NULL, NULL, coalesce(sealed.bytes, 0))::BIGINT AS bytes,
                round(sealed.bytes / sealed.rows, 1) AS bytes_per_row,
                least(held.low, sealed.low) AS \"from\", greatest(held.high, sealed.high) AS \"to\",
                rtrim(split_part(comment, '. ', 1), '.') AS what
         FROM relations LEFT JOIN held USING (name) LEFT JOIN sealed USING (name)
         ORDER BY held.rows IS NULL, name",
        counts.join(" UNION ALL ")
    );
    sql::print(&mut session, args.format, query)
}
