//! `mdb history`: the versions of the lake, and how a session sees one of them.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{session, sql};
use crate::config::Settings;
use crate::model::sql::{identifier, literal};
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
pub(super) fn go_back(session: &mut Session, version: &str) -> anyhow::Result<()> {
    let version = literal(version);
    session
        .strings(&format!(
            "/* as_of */ SELECT lake_version({version})::VARCHAR"
        ))
        .context("cannot go back")?;
    let relations = session
        .strings(&format!(
            "SELECT DISTINCT function_name[{} + 1:] FROM duckdb_functions()
             WHERE schema_name = 'ops' AND starts_with(function_name, {})",
            store::AS_OF.len(),
            literal(store::AS_OF)
        ))
        .context("cannot go back")?;
    for name in relations.into_iter().flatten().flatten() {
        let relation = literal(&name);
        let view = identifier(&name);
        let define =
            format!("CREATE OR REPLACE TEMP VIEW {view} AS FROM as_of({relation}, {version})");
        session
            .run(&define, Types::Exact)
            .and_then(Rows::finish)
            .with_context(|| format!("cannot go back with {name}"))?;
    }
    Ok(())
}
