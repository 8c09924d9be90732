//! `mdb status`: what the process that has the database open is doing; without one, what is in the database.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use super::{session, sql};
use crate::config::Settings;
use crate::output::{self, Format};
use crate::query::{self, Session, Source};
use crate::shell::{self, Printer};

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables for people
    Table,
    /// All that is known, for programs
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mdb status\n  mdb status --format json")]
pub(super) struct Args {
    /// How it is told
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

/// Runs `mdb status`.
///
/// # Errors
/// If there is no database, it cannot be asked, or the answer not be written.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut out = shell::stdout().context("cannot use standard output")?;
    let Some(status) = query::status(&settings.db)? else {
        let session = session::open_existing(settings)?;
        return without_process(args.format, session, &mut out);
    };
    match args.format {
        Form::Json => {
            serde_json::to_writer_pretty(&mut out, &status)
                // Its own error would hide that nobody reads any more.
                .map_err(io::Error::from)
                .context("cannot write the status")?;
            writeln!(out)?;
        }
        Form::Table => shell::show_status(&status, shell::layout(), &mut out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn without_process(
    form: Form,
    mut session: Session,
    out: output::Out<'_>,
) -> anyhow::Result<ExitCode> {
    let format = match form {
        Form::Json => Format::Json,
        Form::Table => Format::Table,
    };
    if form == Form::Json {
        out.write_all(b"{\"process\": null, \"venues\": ")?;
    } else {
        out.write_all(b"no process has the database open; this is what is in it\n\n")?;
    }
    let mut printer = Printer::new(format, shell::layout(), out);
    let source = Source {
        name: None,
        text: shell::VENUES,
    };
    let told = printer.script(&mut session, source);
    if told.is_err() {
        return sql::exit_code(told, session.is_lost());
    }
    if form == Form::Json {
        out.write_all(b"}\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
