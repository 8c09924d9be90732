//! `mdb tables`: what is in each table.

use std::process::ExitCode;

use super::{session, sql};
use crate::config::Settings;
use crate::output::Format;
use crate::shell;

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
    let mut session = session::open_existing(settings)?;
    let tables = shell::tables_query(&mut session, None)?;
    let query = format!(
        "SELECT name AS \"table\", rows, hot_rows, files, bytes, bytes_per_row, \"from\", \"to\",
                rtrim(split_part(comment, '. ', 1), '.') AS what
         FROM ({tables}) ORDER BY rows IS NULL, name"
    );
    sql::print(&mut session, args.format, query)
}
