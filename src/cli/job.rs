//! `mdb load job.toml`, or `job.yaml`: what to load, and how, in a file. Its keys are the flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Parser;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, de};

use super::Outcome;
use super::import::{self, Case, Exists};
use super::load;
use crate::config::Settings;
use crate::store::MAX_ERRORS;

/// The file: one `[[load]]` for each job, which knows its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<J> {
    load: Vec<J>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Job {
    /// Relative to the job file's directory.
    files: Vec<PathBuf>,
    #[serde(rename = "as", default = "auto")]
    dialect: String,
    into: Option<String>,
    venue: Option<String>,
    symbol: Option<String>,
    #[serde(default, deserialize_with = "date")]
    date: Option<Date>,
    delimiter: Option<char>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    rename: BTreeMap<String, String>,
    #[serde(default)]
    cast: BTreeMap<String, String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    column_case: Case,
    date_format: Option<String>,
    decimals: Option<u8>,
    #[serde(default)]
    if_exists: Exists,
    max_errors: Option<u64>,
    #[serde(default)]
    evolve: bool,
    #[serde(default, deserialize_with = "size")]
    memory_limit: Option<u64>,
    #[serde(default, deserialize_with = "threads")]
    threads: Option<u16>,
}

fn auto() -> String {
    load::AUTO.to_owned()
}

fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
    let text = String::deserialize(from)?;
    Date::from_str(&text).map(Some).map_err(de::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    import::size(&text).map(Some).map_err(de::Error::custom)
}

fn threads<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    match u16::deserialize(from)? {
        0 => Err(de::Error::custom("1 is the least")),
        threads => Ok(Some(threads)),
    }
}

/// The flags as they are if none is given.
#[derive(Parser)]
struct NoFlags {
    #[command(flatten)]
    import: import::Args,
}

/// Whether a path is that of a job file.
pub(super) fn is_job(path: &Path) -> bool {
    is_yaml(path) || path.extension().is_some_and(|end| end == "toml")
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "yaml" || end == "yml")
}

/// Does the jobs of files, one after the other; one that fails does not keep the others from being done.
pub(super) fn run(args: &load::Args, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut flags = NoFlags::parse_from(["load"]).import;
    flags.explain = args.import.explain;
    let said = args.dialect != load::AUTO || args.venue.is_some() || args.symbol.is_some();
    if said || args.import != flags {
        bail!(
            "a job file says itself how its files are loaded: with it goes no flag but --explain"
        );
    }
    if let Some(other) = args.files.iter().find(|path| !is_job(path)) {
        bail!(
            "{}: it is no job file, and job files are loaded alone",
            other.display()
        );
    }
    // All of them are read before the first is done.
    let mut jobs = Vec::new();
    for path in &args.files {
        jobs.extend(read(path, args.import.explain)?);
    }
    let mut failures = Vec::new();
    let mut done = Outcome::Done;
    for (place, job) in jobs {
        match load::run(&job, settings).with_context(|| place.clone()) {
            Ok(Outcome::Interrupted) => return Ok(Outcome::Interrupted),
            Ok(Outcome::Bad) => done = Outcome::Bad,
            Ok(Outcome::Done) => {}
            Err(failure) => failures.push(failure),
        }
    }
    super::all_told(failures)?;
    Ok(done)
}

/// The jobs of a file, each with its place.
fn read(path: &Path, explain: bool) -> anyhow::Result<Vec<(String, load::Args)>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let jobs = if is_yaml(path) {
        yaml(&text)
    } else {
        toml(&text)
    };
    let jobs = jobs.with_context(|| name.to_string())?;
    if jobs.is_empty() {
        bail!("{name}: it has nothing to load: no [[load]], or in YAML no `load:` with a list");
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    let jobs = jobs.into_iter().map(|(line, job)| {
        if job.files.is_empty() {
            bail!("{name}:{line}: its files are none");
        }
        Ok((format!("{name}:{line}"), job.args(directory, explain)))
    });
    jobs.collect()
}

/// The jobs in TOML, each with its line.
fn toml(text: &str) -> anyhow::Result<Vec<(u64, Job)>> {
    let file: File<toml::Spanned<Job>> = toml::from_str(text)?;
    let jobs = file.load.into_iter().map(|job| {
        let before = text.get(..job.span().start).unwrap_or_default();
        (before.matches('\n').count() as u64 + 1, job.into_inner())
    });
    Ok(jobs.collect())
}

/// The jobs in YAML, each with its line.
fn yaml(text: &str) -> anyhow::Result<Vec<(u64, Job)>> {
    let file: File<serde_saphyr::Spanned<Job>> = serde_saphyr::from_str(text)?;
    let jobs = file.load.into_iter();
    Ok(jobs.map(|job| (job.defined.line(), job.value)).collect())
}

impl Job {
    /// What would be said on the command line.
    fn args(self, directory: &Path, explain: bool) -> load::Args {
        let pairs = |map: BTreeMap<String, String>| map.into_iter().collect();
        load::Args {
            dialect: self.dialect,
            venue: self.venue,
            symbol: self.symbol,
            files: self.files.iter().map(|f| directory.join(f)).collect(),
            import: import::Args {
                into: self.into,
                date: self.date,
                delimiter: self.delimiter,
                columns: self.columns,
                rename: pairs(self.rename),
                cast: pairs(self.cast),
                set: pairs(self.set),
                column_case: self.column_case,
                date_format: self.date_format,
                decimals: self.decimals,
                if_exists: self.if_exists,
                max_errors: self.max_errors.unwrap_or(MAX_ERRORS),
                evolve: self.evolve,
                memory_limit: self.memory_limit,
                threads: self.threads,
                explain,
            },
        }
    }
}
