//! The command line: one file a subcommand; this one dispatches, and turns errors into a line on stderr and
//! an exit code.

mod build;
mod compact;
mod completions;
mod demo;
mod doctor;
mod export;
mod fetch;
mod help;
mod history;
mod import;
mod job;
mod load;
mod models;
mod new;
mod progress;
mod rebuild;
mod replay;
mod retain;
mod run;
mod seal;
mod serving;
mod session;
mod sql;
mod status;
mod tables;
mod test;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Settings;
use crate::{query, store};

/// A market database in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "mdb", disable_help_subcommand = true,
    version, about, long_about = None, after_help = "Without a command: the shell.\n\nExamples:\n  mdb demo\n  mdb stream VENUE BTCUSDT,ETHUSDT\n  mdb sql \"FROM latest\"\n  mdb --db /data/market\n\nThe log goes to stderr: warnings, or what MDB_LOG says (error, warn, info, debug, trace)."
)]
struct Cli {
    /// The database's directory.
    #[arg(
        long,
        global = true,
        env = "MDB_DB",
        default_value = "data",
        value_name = "DIR"
    )]
    db: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask questions in SQL
    Sql(sql::Args),
    /// Capture all that mdb.toml says, until Ctrl-C
    Run(run::RunArgs),
    /// Capture some symbols of a venue, until Ctrl-C
    Stream(Box<run::StreamArgs>),
    /// Ask a venue by REST for what is not there yet, once
    Fetch(fetch::Args),
    /// Load files
    Load(Box<load::Args>),
    /// Write a table or a query's answer as files for other programs
    Export(export::Args),
    /// Move finished dates from the database file to the Parquet lake
    Seal(seal::Args),
    /// Merge the many small files of a date in the lake into one
    Compact(compact::Args),
    /// Drop what is older than a table is to be kept
    Retain(retain::Args),
    /// Make canonical tables again from the raw messages
    Rebuild(rebuild::Args),
    /// Tell what is being captured, by which process, and what is there
    Status(status::Args),
    /// Bring marts up to date
    Build(build::Args),
    /// Test the data
    Test(test::Args),
    /// Tell what models there are, and how each is kept
    Models(models::Args),
    /// Tell what is made from what
    Lineage(models::LineageArgs),
    /// Begin a view, mart, test or venue of your own
    New(new::Args),
    /// Tell what is in each table: rows, files, bytes, times
    Tables(tables::Args),
    /// Tell what has changed the lake, version by version
    History(history::Args),
    /// Verify the database and its lake
    Doctor(doctor::Args),
    /// Serve recorded messages as their venue does
    Replay(Box<replay::Args>),
    /// Capture the built-in sample live from this machine, load and seal it, and show what is in it
    Demo(demo::Args),
    /// Print what makes a shell of the system complete mdb's commands
    Completions(completions::Args),
    /// Tell of a command, or of the macros for queries
    Help(help::Args),
}

/// Exit code after Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Exit code of what failed.
const FAILED: u8 = 1;

/// Exit code if there is no way into the database.
const UNAVAILABLE: u8 = 3;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it was asked to.
    Done,
    /// It ran, and what it found is bad: it has said so.
    Bad,
    /// The user stopped it.
    Interrupted,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let beside_run = cli.command.as_ref().and_then(beside_run);
    let result = match &cli.command {
        // They need no database, and no settings.
        Some(Command::Completions(args)) => {
            completions::print(args, &mut Cli::command()).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Help(args)) => {
            help::print(args, &cli.db, &mut Cli::command()).map(|()| ExitCode::SUCCESS)
        }
        _ => settings(&cli).and_then(|settings| run(cli.command, &settings)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // First, for what was broken may be the way to the process that has the database.
            let unavailable = is_unavailable(&error);
            if !unavailable && is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            report(&error);
            if let Some(hint) = beside_run.filter(|_| is_taken_by_run(&error, &cli.db)) {
                // Nobody may be left to read it.
                let _ = writeln!(std::io::stderr(), "  hint: {hint}");
            }
            ExitCode::from(if unavailable { UNAVAILABLE } else { FAILED })
        }
    }
}

/// What to do about a command that needs the database alone, beside `mdb run`.
fn beside_run(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Seal(_) => "`mdb run` seals finished dates by itself",
        Command::Compact(_) => "`mdb run` merges small files by itself",
        Command::Retain(_) => {
            "`mdb run` drops by itself what is older than [retain] in mdb.toml says; it follows edits of the file"
        }
        Command::Load(_) => {
            "`mdb run` loads the files that are put into the database's inbox/ by itself"
        }
        Command::Doctor(_) | Command::Rebuild(_) => "run it again once `mdb run` has ended",
        _ => return None,
    })
}

/// Whether `mdb run` is what kept a command out of the database.
fn is_taken_by_run(error: &anyhow::Error, db: &Path) -> bool {
    let in_use = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<store::Error>(),
            Some(store::Error::InUse { .. })
        )
    });
    in_use && matches!(query::status(db), Ok(Some(status)) if status["process"]["command"] == "run")
}

/// A faulty mdb.toml keeps nobody from asking a process that goes on by the last good one: what is wrong stands in its
/// status.
fn settings(cli: &Cli) -> anyhow::Result<Settings> {
    Settings::load(&cli.db).or_else(|error| {
        let asks = matches!(
            cli.command,
            None | Some(
                Command::Sql(_)
                    | Command::Export(_)
                    | Command::Status(_)
                    | Command::Tables(_)
                    | Command::History(_)
                    | Command::Models(_)
                    | Command::Lineage(_)
                    | Command::Test(_)
            )
        );
        if asks && matches!(query::status(&cli.db), Ok(Some(_))) {
            tracing::warn!("{error}");
            return Ok(Settings::new(&cli.db));
        }
        Err(error.into())
    })
}

fn run(command: Option<Command>, settings: &Settings) -> anyhow::Result<ExitCode> {
    let outcome = match command {
        None => return sql::shell(settings),
        Some(Command::Sql(args)) => return sql::run(&args, settings),
        Some(Command::Export(args)) => return export::run(&args, settings),
        Some(Command::Tables(args)) => return tables::run(&args, settings),
        Some(Command::History(args)) => return history::run(&args, settings),
        Some(Command::Models(args)) => return models::run(&args, settings),
        Some(Command::Lineage(args)) => return models::lineage(&args, settings),
        Some(Command::Test(args)) => return test::run(&args, settings),
        Some(Command::Build(args)) => build::run(&args, settings),
        Some(Command::New(args)) => new::run(&args, settings),
        Some(Command::Run(args)) => run::run(&args, settings),
        Some(Command::Stream(args)) => run::stream(*args, settings),
        Some(Command::Fetch(args)) => fetch::run(&args, settings),
        Some(Command::Load(args)) => load::run(&args, settings),
        Some(Command::Seal(args)) => seal::run(&args, settings),
        Some(Command::Compact(args)) => compact::run(&args, settings),
        Some(Command::Retain(args)) => retain::run(&args, settings),
        Some(Command::Rebuild(args)) => rebuild::run(args, settings),
        Some(Command::Status(args)) => return status::run(&args, settings),
        Some(Command::Doctor(args)) => doctor::run(&args, settings),
        Some(Command::Replay(args)) => replay::run(*args, settings),
        Some(Command::Demo(args)) => return demo::run(&args, settings),
        // Done before there were settings.
        Some(Command::Completions(_) | Command::Help(_)) => Ok(Outcome::Done),
    }?;
    Ok(match outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Bad => ExitCode::FAILURE,
        Outcome::Interrupted => ExitCode::from(INTERRUPTED),
    })
}

/// Sends the log to stderr: warnings, or what `MDB_LOG` says (`error`, `warn`, `info`, `debug`, `trace`).
fn log() {
    let level = std::env::var("MDB_LOG").ok();
    let level = level.and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Nobody is left to read it: a capture goes on without.
        .log_internal_errors(false)
        .init();
}

/// The one place that prints an error.
fn report(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Causes that the message above holds already would only repeat it.
        if !text.contains(cause.trim()) {
            text.push_str(if text.is_empty() {
                "error: "
            } else {
                "\n  caused by: "
            });
            text.push_str(&cause);
        }
    }
    if text.contains("/date=") && text.contains(".parquet") && !text.contains("hint:") {
        text.push_str("\n  hint: a file of the lake is missing or damaged; `mdb doctor` says which and what to do");
    }
    // Nobody may be left to read it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What came of the parts of a command that go on without one another: all failures are reported but the last, which is
/// returned. That nobody reads what was done is none.
fn all_told(mut failures: Vec<anyhow::Error>) -> anyhow::Result<()> {
    failures.retain(|failure| !is_broken_pipe(failure));
    let last = failures.pop();
    failures.iter().for_each(report);
    last.map_or(Ok(()), Err)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Whether a command found no way into the database: neither by its file nor by the process that has it open.
fn is_unavailable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let file = cause.downcast_ref::<store::Error>();
        let process = cause.downcast_ref::<query::Error>();
        file.is_some_and(store::Error::is_unavailable)
            || matches!(
                process,
                Some(query::Error::Remote(_) | query::Error::Lost(_))
            )
    })
}

/// A flag that Ctrl-C and SIGTERM set. The second Ctrl-C ends the process at once.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn outcome(stop: &AtomicBool) -> Outcome {
    if stop.load(Ordering::Relaxed) {
        Outcome::Interrupted
    } else {
        Outcome::Done
    }
}

/// How long a database may be locked: others read the file for a moment, and one that has just opened it, or is just
/// closing it, does not answer on a socket.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for who wants it alone: readers may follow one another.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the database for a command that writes.
fn open_store(settings: &Settings) -> store::Result<store::Store> {
    patiently(&settings.db, WRITER_PATIENCE, || {
        store::Store::open(settings, store::Purpose::Ingest)
    })
}

/// The same for a command that has nothing to do where there is no database: none is made where a path is mistyped.
fn open_existing_store(settings: &Settings) -> store::Result<store::Store> {
    store::must_exist(&settings.db)?;
    open_store(settings)
}

/// Opens the database in `db` as soon as nobody has it locked; who has it without using it is asked to let it go.
fn patiently<T>(
    db: &Path,
    patience: Duration,
    mut open: impl FnMut() -> store::Result<T>,
) -> store::Result<T> {
    let start = Instant::now();
    let mut want = None;
    loop {
        match open() {
            Err(store::Error::InUse { .. }) if start.elapsed() < patience => {
                want.get_or_insert_with(|| store::Want::new(db)).renew();
                thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_every_command_and_option() {
        let readme = include_str!("../../README.md");
        let cli = Cli::command();
        for command in cli.get_subcommands() {
            let name = command.get_name();
            assert!(readme.contains(&format!("`mdb {name}")), "mdb {name}");
            let options = command.get_arguments();
            for option in options.filter(|option| !option.is_positional() && !option.is_hide_set())
            {
                let long = option.get_long().map(|long| format!("--{long}"));
                let short = option.get_short().map(|short| format!("[-{short} "));
                let said = long.iter().chain(&short).any(|text| readme.contains(text));
                assert!(said, "mdb {name} {long:?}");
            }
        }
    }
}
