//! `mdb sql`: answers to a program or a file.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::{FAILED, INTERRUPTED, UNAVAILABLE, history, session};
use crate::config::Settings;
use crate::model::sql::literal;
use crate::output::{Format, Layout, WholeFile, printable_lines};
use crate::query::{Rows, Session, Source, Types};
use crate::shell::{self, Failure, Printer};
use crate::sqltree::SqlTree;
use crate::{store, venues};

/// Bytes gathered for one write.
const BUFFER_BYTES: usize = 1 << 18;

/// Runs SQL and writes its results
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                  mdb sql \"SELECT symbol, count(*) FROM trades GROUP BY ALL\"\n  \
                  mdb sql --param sym=BTCUSDT \"FROM trades WHERE symbol = \\$sym\" -o trades.csv\n  \
                  mdb sql -f report.sql --format markdown\n  \
                  echo \"FROM latest\" | mdb sql --format json\n\
                  Exit codes: 0, 1 error in SQL, 2 usage, 3 database unavailable, 130 interrupted.")]
pub(super) struct Args {
    /// The query, or several with `;` between them; without it and without -f, standard input
    #[arg(conflicts_with = "file")]
    query: Option<String>,

    /// Runs the statements of a file, or of standard input if that is -; may be given again, in order
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// How results are written; by default as the output file's name says, else a table
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Writes to a file, which is complete or not there at all; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Sets a parameter, which the SQL has as $NAME; may be given again. A number, true, false or null is that, anything
    /// else a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,

    /// Allows changes to the database; COPY … TO a file is always allowed
    #[arg(long)]
    write: bool,

    /// Asks the lake as it was: a version's number, or a time (UTC). What was not sealed then is not seen; marts are as they
    /// are now. `mdb history` lists the versions
    #[arg(long, value_name = "VERSION|TIME", conflicts_with = "write")]
    as_of: Option<String>,

    /// Shows the SQL that made a mart's rows last
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["query", "file"])]
    explain_model: Option<String>,
}

/// Runs `mdb sql`. An error in a statement is reported here, with its place; its exit code is 1.
///
/// # Errors
/// If a file cannot be read or written, or the database not opened.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    if let Some(model) = &args.explain_model {
        return explain(model, settings);
    }
    if let Some(path) = &args.output
        && args.format.is_none()
        && Format::is_unclear(path)
    {
        writeln!(
            io::stderr(),
            "error: {} does not say by its name how it is to be written\nhint: {}; or --format FORMAT says it",
            path.display(),
            Format::ENDINGS
        )?;
        return Ok(ExitCode::from(2));
    }
    let Some(scripts) = scripts(args)? else {
        writeln!(
            io::stderr(),
            "error: no query given\nhint: mdb sql 'SELECT …', mdb sql -f FILE, or a script on standard input"
        )?;
        return Ok(ExitCode::from(2));
    };
    let mut session = open(args, settings)?;
    session
        .interrupter()
        .on_ctrl_c()
        .context("cannot listen for Ctrl-C")?;

    let file = args.output.as_deref();
    let file = file.filter(|path| !is_standard_output(path));
    let of_name = file.and_then(Format::of_path);
    let format = args.format.or(of_name).unwrap_or(Format::Table);
    let ask = |session: &mut Session| match file {
        Some(path) => to_file(path, format, session, &scripts),
        None => to_stdout(format, session, &scripts),
    };
    let mut said = ask(&mut session)?;
    if session.is_lost() && !said.any && !args.write {
        // The process has ended, and nobody has seen a part of the answer: the file gives it as well.
        session.move_to(open(args, settings)?);
        said = ask(&mut session)?;
    }
    let lost = session.is_lost();
    if said.result.is_ok() && args.write && session.in_transaction() {
        writeln!(
            io::stderr(),
            "error: the transaction was not committed: nothing that it changed is kept\nhint: COMMIT keeps it; ROLLBACK at the end says that this is meant"
        )?;
        return Ok(ExitCode::from(FAILED));
    }
    if said.result.is_ok() && !store::has_spilled(&settings.db) {
        session.leave();
    }
    exit_code(said.result, lost)
}

/// Shows what a mart's last build ran.
fn explain(model: &str, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut session = session::open_existing(settings)?;
    let query = format!(
        "SELECT list_reduce(range(1, len(bounds) + 1)::VARCHAR[],
                    lambda sql, i: replace(sql, format('make_timestamp_ns(${{}})', i), format('make_timestamp_ns({{}})', bounds[i::INTEGER])), ran)
         FROM ops.models LEFT JOIN ops.builds ON model = name WHERE lower(name) = lower({})",
        literal(model)
    );
    match session.strings(&query)?.pop().and_then(|mut row| row.pop()) {
        None => bail!("there is no mart '{model}'; `mdb models` lists them"),
        Some(None) => bail!("{model} was never built; `mdb build {model}` does"),
        Some(Some(ran)) => writeln!(io::stdout(), "{ran}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A session that has the parameters.
fn open(args: &Args, settings: &Settings) -> anyhow::Result<Session> {
    let mut session = session::open(settings, args.write)?;
    for (name, value) in &args.params {
        session
            .run(&shell::set_parameter(name, value), Types::Exact)
            .and_then(Rows::finish)
            .with_context(|| format!("cannot set the parameter {name}"))?;
    }
    if let Some(version) = &args.as_of {
        history::go_back(&mut session, version)?;
    }
    Ok(session)
}

/// Reads `NAME=VALUE`.
fn param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is written NAME=VALUE")?;
    if !shell::is_plain_name(name) {
        return Err(format!(
            "a parameter's name is made of letters, digits and _, unlike \"{name}\""
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Writes the answer to a query to a file. Returns its rows and bytes too, if it has become a regular file.
pub(super) fn write_file(
    session: &mut Session,
    path: &Path,
    format: Format,
    query: String,
) -> anyhow::Result<(ExitCode, Option<(u64, u64)>)> {
    let said = to_file(path, format, session, &[(None, query)])?;
    let wrote = said.bytes.filter(|_| said.result.is_ok());
    let wrote = wrote.map(|bytes| (said.rows, bytes));
    Ok((exit_code(said.result, session.is_lost())?, wrote))
}

/// Writes the answer to a query to standard output.
pub(super) fn print(
    session: &mut Session,
    format: Format,
    query: String,
) -> anyhow::Result<ExitCode> {
    let said = to_stdout(format, session, &[(None, query)])?;
    exit_code(said.result, session.is_lost())
}

/// What came of a script.
struct Said {
    result: Result<(), Failure>,
    /// Whether anything of its answer was written.
    any: bool,
    /// Rows of its answers.
    rows: u64,
    /// Bytes of the regular file that holds them.
    bytes: Option<u64>,
}

/// Knows whether anything was written.
struct Watched<W> {
    inner: W,
    written: bool,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written |= !bytes.is_empty();
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Runs the scripts into what cannot be taken back.
fn to_stream(
    format: Format,
    layout: Layout,
    inner: impl Write + Send,
    session: &mut Session,
    scripts: &[Script],
) -> Said {
    let watched = Watched {
        inner,
        written: false,
    };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, watched);
    let (result, rows) = run_all(Printer::new(format, layout, &mut out), session, scripts);
    let any = out.get_ref().written;
    if session.is_lost() && !any {
        // What waits in the buffer would be said twice.
        let _ = out.into_parts();
    }
    Said {
        result,
        any,
        rows,
        bytes: None,
    }
}

/// Runs the shell on the database.
pub(super) fn shell(settings: &Settings) -> anyhow::Result<ExitCode> {
    let background = shell::Detection::start();
    let reopen = || session::open(settings, false).map_err(|error| format!("{error:#}"));
    let session = session::open(settings, false)?;
    let mut banner = format!(
        "mdb {} · {} · .help, .plot, .watch; Tab completes",
        env!("CARGO_PKG_VERSION"),
        settings.db.display()
    );
    if let Some(process) = session.attached_to() {
        let _ = write!(
            banner,
            "\nattached to mdb {} (PID {}), which has the database open",
            process.command, process.pid
        );
    }
    let name = std::path::absolute(&settings.db).ok();
    let name = name.as_deref().and_then(Path::file_name);
    let db = settings.db.clone();
    let options = shell::Options {
        banner: Some(banner),
        database: name.map(|name| name.to_string_lossy().into_owned()),
        background: Some(background),
        venues: Some(venues(settings)),
        reopen: Some(&reopen),
        wanted: Some(Arc::new(move || store::is_wanted(&db))),
    };
    // A shell goes on with a new session.
    exit_code(shell::run(session, &options), false)
}

/// Finds the venues of a database's SQL tree.
fn venues(settings: &Settings) -> shell::Venues {
    let db = settings.db.clone();
    Rc::new(move || {
        let tree = SqlTree::load(&db).map_err(|error| error.to_string())?;
        let described = venues::names(&tree).into_iter().map(|name| {
            // What is wrong with a venue is said where it is used.
            let what = venues::load(&tree, &name)
                .map_or_else(|error| error.to_string(), |venue| venue.feed.description);
            (name, what)
        });
        Ok(described.collect())
    })
}

/// Says what ended a script, and with which code; `lost` if the way into the database was.
pub(super) fn exit_code(result: Result<(), Failure>, lost: bool) -> anyhow::Result<ExitCode> {
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Failure::Output(error)) if error.is_broken_pipe() => Ok(ExitCode::SUCCESS),
        Err(Failure::Output(error)) => Err(error.into()),
        Err(Failure::Interrupted) => {
            writeln!(io::stderr(), "interrupted")?;
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(Failure::Report(report)) => {
            io::stderr().write_all(printable_lines(&report).as_bytes())?;
            Ok(ExitCode::from(if lost { UNAVAILABLE } else { FAILED }))
        }
    }
}

/// Whether a path stands for standard output. If that is a file, another must not take its place: it may hold what was
/// written before, and what follows goes there too.
fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// A text to run and the name of its file.
type Script = (Option<String>, String);

/// What is to be run; `None` if nothing was given.
fn scripts(args: &Args) -> anyhow::Result<Option<Vec<Script>>> {
    if let Some(query) = &args.query {
        return Ok(Some(vec![(None, query.clone())]));
    }
    if args.file.is_empty() {
        if io::stdin().is_terminal() {
            return Ok(None);
        }
        return standard_input().map(|script| Some(vec![script]));
    }
    let read = |path: &PathBuf| -> anyhow::Result<Script> {
        if path.as_os_str() == "-" {
            return standard_input();
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Ok((Some(name), text))
    };
    args.file
        .iter()
        .map(read)
        .collect::<anyhow::Result<_>>()
        .map(Some)
}

fn standard_input() -> anyhow::Result<Script> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("cannot read standard input")?;
    Ok((Some("<stdin>".to_owned()), text))
}

/// Runs them, and counts the rows that were written.
fn run_all(
    mut printer: Printer<'_>,
    session: &mut Session,
    scripts: &[Script],
) -> (Result<(), Failure>, u64) {
    let result = scripts.iter().try_for_each(|(name, text)| {
        printer.script(
            session,
            Source {
                name: name.as_deref(),
                text,
            },
        )
    });
    (result, printer.rows())
}

fn to_stdout(format: Format, session: &mut Session, scripts: &[Script]) -> anyhow::Result<Said> {
    if format.is_binary() && io::stdout().is_terminal() {
        bail!(
            "{} is not for a terminal; give -o FILE, or pipe it",
            format.name()
        );
    }
    let out = shell::stdout().context("cannot use standard output")?;
    Ok(to_stream(format, shell::layout(), out, session, scripts))
}

/// Writes to a file, so that no reader ever sees a part.
fn to_file(
    path: &Path,
    format: Format,
    session: &mut Session,
    scripts: &[Script],
) -> anyhow::Result<Said> {
    let cannot = || format!("cannot write {}", path.display());
    let file = WholeFile::create(path).with_context(cannot)?;
    let layout = Layout {
        file: true,
        ..Layout::default()
    };
    let watched = Watched {
        inner: file,
        written: false,
    };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, watched);
    let (result, rows) = run_all(
        Printer::new(format, layout, &mut out).of_one_file(),
        session,
        scripts,
    );
    if result.is_ok() {
        out.flush().with_context(cannot)?;
        out.get_mut().inner.keep().with_context(cannot)?;
    }
    let Watched { inner, written } = out.get_ref();
    let (any, bytes) = (*written, inner.bytes());
    // What waits in the buffer of an answer that broke off would be said twice.
    let _ = out.into_parts();
    Ok(Said {
        result,
        any,
        rows,
        bytes,
    })
}
