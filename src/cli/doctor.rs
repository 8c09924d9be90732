//! `mdb doctor`: is everything where it should be?

use std::io::Write;

use super::Outcome;
use super::progress::bar;
use crate::config::Settings;
use crate::store;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb doctor\n  mdb doctor --repair")]
pub(super) struct Args {
    /// Mend what can be mended; without this nothing is changed
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let bar = bar(
        Some(0),
        "verifying",
        "{msg} {wide_bar} {pos} of {len} files",
    );
    let findings = store::doctor(settings, args.repair, |at, of| {
        bar.set_length(of as u64);
        bar.set_position(at as u64);
    });
    bar.finish_and_clear();
    let findings = findings?;
    let mut out = std::io::stdout();
    for finding in &findings {
        writeln!(out, "{}\n  {}", finding.what, finding.remedy)?;
    }
    if findings.iter().all(|f| f.harmless) {
        writeln!(out, "all is well")?;
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Bad)
}
