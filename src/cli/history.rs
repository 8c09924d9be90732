//! `mdb history`: the versions of the lake, and how a session sees one of them.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{session, sql};
use crate::config::Settings;
use crate::model::sql::literal;
use crate::output::Format;
use crate::query::{Rows, Session, Types};
use crate::sqltree::SqlTree;
use crate::store::{self, history};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Whatever changes the lake's files makes a version: seal, load, compact, retain, rebuild. files, rows and bytes are the\n\
                  table's from then on. A version that is readable can be asked for, as long as mdb.toml says:\n\n    \
                  [history]\n    keep = \"7 days\"\n\n\
                  Examples:\n  mdb history trades\n  mdb sql --as-of 12 \"SELECT count(*) FROM trades\"\n  \
                  mdb sql \"FROM as_of('trades', 12) EXCEPT FROM as_of('trades', 13)\""
)]
pub(super) struct Args {
    /// Only this table's
    table: Option<String>,
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// Runs `mdb history`.
///
/// # Errors
/// If there is no database, no such table, or it cannot be opened.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut session = session::open_existing(settings)?;
    if let Some(table) = &args.table {
        let tree = SqlTree::load(&settings.db)?;
        let names: Vec<&str> = tree.folder("tables").map(|f| f.name.as_str()).collect();
        if !names.contains(&table.as_str()) {
            bail!(
                "there is no table '{table}' in the lake; these are: {}",
                names.join(", ")
            );
        }
    }
    sql::print(
        &mut session,
        args.format,
        history::listed(args.table.as_deref()),
    )
}

/// From now on the session sees of every canonical table the sealed rows that a version of the lake had: views of its own
/// stand before those of the database, also for whatever builds on them.
///
/// # Errors
/// If there is no such version, or it is not kept any more.
pub(super) fn go_back(
    session: &mut Session,
    settings: &Settings,
    version: &str,
) -> anyhow::Result<()> {
    let version = literal(version);
    session
        .strings(&format!(
            "/* as_of */ SELECT lake_version({version})::VARCHAR"
        ))
        .context("cannot go back")?;
    let tables = session
        .strings(&format!(
            "/* as_of */ SELECT table_name, string_agg('\"' || column_name || '\"', ', ' ORDER BY column_index),
                    len(lake_files(table_name, {version}))::VARCHAR
             FROM duckdb_columns() WHERE schema_name = 'hot' AND database_name = current_database() GROUP BY table_name"
        ))
        .context("cannot go back")?;
    let tree = SqlTree::load(&settings.db)?;
    for row in tables {
        let [Some(name), Some(columns), Some(files)] = row.as_slice() else {
            continue;
        };
        let Some(file) = tree.folder("tables").find(|file| file.name == *name) else {
            continue;
        };
        let mut rows = if files == "0" {
            format!("SELECT {columns} FROM hot.\"{name}\" LIMIT 0")
        } else {
            format!("SELECT {columns} FROM as_of('{name}', {version})")
        };
        if file.header.latest {
            rows = store::newest_of_key(&rows, &file.header.key, file.header.final_by.as_deref());
        }
        let view = store::whole_name(name, file.header.voided_by.is_some());
        let define = format!("CREATE OR REPLACE TEMP VIEW \"{view}\" AS {rows}");
        session
            .run(&define, Types::Exact)
            .and_then(Rows::finish)
            .with_context(|| format!("cannot go back with {name}"))?;
    }
    Ok(())
}
