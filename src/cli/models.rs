//! `mdb models` and `mdb lineage`: what there is, how it is kept, and what it is made from.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use super::{session, sql};
use crate::config::Settings;
use crate::output::Format;
use crate::shell;
use crate::transform::lineage::{self, EDGES, Graph};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "state is 'ok', 'behind' (its sources have got rows: `mdb build`), 'changed' (so has its file), 'not built' or \
                  'failed' (error says why; the table is as it was before).\nExample: mdb models --format json"
)]
pub(super) struct Args {
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mdb lineage ohlcv_1h --format mermaid")]
pub(super) struct LineageArgs {
    /// Only what it is made from, and what is made from it
    model: Option<String>,
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: GraphFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum GraphFormat {
    Text,
    Mermaid,
    Dot,
    Json,
}

impl From<GraphFormat> for lineage::Format {
    fn from(format: GraphFormat) -> Self {
        match format {
            GraphFormat::Text => Self::Text,
            GraphFormat::Mermaid => Self::Mermaid,
            GraphFormat::Dot => Self::Dot,
            GraphFormat::Json => Self::Json,
        }
    }
}

/// Runs `mdb models`.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut session = session::open_existing(settings)?;
    let query = shell::models_query(&mut session)?;
    sql::print(&mut session, args.format, query)
}

/// Runs `mdb lineage`.
pub(super) fn lineage(args: &LineageArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut session = session::open_existing(settings)?;
    let mut graph = Graph::of(session.strings(EDGES)?);
    let mut root = None;
    if let Some(model) = &args.model {
        let Some(name) = graph.meant(model).map(str::to_owned) else {
            bail!(
                "there is no relation '{model}'; these are: {}",
                graph.names().collect::<Vec<_>>().join(", ")
            );
        };
        graph = graph.around(&name);
        root = Some(name);
    }
    let roots: Vec<&str> = root.as_deref().into_iter().collect();
    let text = graph.write(args.format.into(), &roots);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
