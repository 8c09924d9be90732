//! Rows out of the shell and into it: files, and the terminal's clipboard.

use std::io::IsTerminal;
use std::path::Path;

use crossterm::clipboard::CopyToClipboard;
use crossterm::execute;

use super::outlet::Target;
use super::script::{Outcome, Printer};
use super::{Failure, Shell, command, no_result, output_error, say, stdout};
use crate::model::sql::literal;
use crate::output::{self, Format, Layout, grouped};
use crate::query::{Source, Statement};

/// Bytes that `.copy` sends: terminals take no more than 74,994 signs of base 64 (xterm and its kin; some take more).
const CLIPBOARD_BYTES: usize = 74_994 / 4 * 3;

impl Shell<'_> {
    /// Makes a temporary table of a file.
    pub(super) fn import(&mut self, file: &Path, name: Option<&str>) -> Result<(), Failure> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => name_of(file),
        };
        if !command::is_plain_name(&name) {
            return Err(Failure::Report(format!(
                "error: {name} is no name for a table\nhint: .import FILE NAME, of letters, digits and _\n"
            )));
        }
        let taken = format!(
            "SELECT name FROM (SELECT table_name AS name, database_name FROM duckdb_tables() \
             UNION ALL SELECT view_name, database_name FROM duckdb_views()) \
             WHERE database_name = current_database() AND lower(name) = lower({})",
            literal(&name)
        );
        if !self.ask(&taken)?.is_empty() {
            return Err(Failure::Report(format!(
                "error: the database has a table {name} already\nhint: .import FILE NAME gives it another name\n"
            )));
        }
        let path = file.display().to_string();
        self.show(&format!(
            "CREATE OR REPLACE TEMP TABLE \"{name}\" AS FROM {}",
            literal(&path)
        ))?;
        self.changed = true;
        self.own.more = true;
        let rows = self.ask(&format!("SELECT count(*)::VARCHAR FROM \"{name}\""))?;
        let rows = rows.into_iter().flatten().flatten().next();
        let rows = rows.and_then(|rows| rows.parse().ok()).unwrap_or(0);
        say(&format!(
            "{} in {name}, which lasts as long as this shell; mdb load keeps a file's rows in the database\n",
            counted(rows)
        ));
        Ok(())
    }

    /// Writes a file, whole or not at all.
    pub(super) fn export(&mut self, file: &Path, source: Option<&str>) -> Result<(), Failure> {
        let Some(format) = Format::of_path(file) else {
            return Err(Failure::Report(format!(
                "error: {} does not say by its name how it is to be written\n\
                 hint: {}\n",
                file.display(),
                Format::ENDINGS
            )));
        };
        if source.is_none()
            && let Some(note) = self.printer.last().and_then(super::last::Last::note)
        {
            return Err(Failure::Report(format!(
                "error: only {note} of the last result were kept\nhint: .export FILE QUERY writes all\n"
            )));
        }
        let relation = self.relation(source)?;
        let query = if command::name_parts(&relation).is_some() {
            format!("FROM {relation}")
        } else {
            relation
        };
        let mut outlet = super::open(Target::File(file.to_owned()))?;
        let layout = Layout {
            file: true,
            ..Layout::default()
        };
        let mut printer = Printer::new(format, layout, outlet.writer()).keeping();
        let outcome = printer.statement(
            &mut self.session,
            Source {
                name: None,
                text: &query,
            },
            Statement {
                text: &query,
                offset: 0,
                line: 1,
            },
        );
        let last = printer.take_last();
        let Outcome::Rows(rows) = outcome? else {
            return Err(Failure::Report(
                "error: that gives no rows; nothing was written\n".to_owned(),
            ));
        };
        outlet.ended(true).map_err(output_error)?;
        let bytes = outlet.bytes();
        outlet.close().map_err(output_error)?;
        if let Some(last) = last.filter(|_| source.is_some()) {
            self.set_last(last, &query);
        }
        let bytes = bytes.map_or_else(String::new, |bytes| {
            format!(
                ", {} bytes",
                grouped(usize::try_from(bytes).unwrap_or(usize::MAX))
            )
        });
        say(&format!("{}{bytes} in {}\n", counted(rows), file.display()));
        Ok(())
    }

    /// Puts the last result into the clipboard of the terminal, wherever that is (OSC 52).
    pub(super) fn copy(&mut self, format: Option<Format>) -> Result<(), Failure> {
        if !std::io::stdout().is_terminal() {
            return self.needs_terminal(".copy");
        }
        let Some(last) = self.printer.last() else {
            return Err(no_result());
        };
        let format = format.unwrap_or(match self.printer.format {
            // Spreadsheets and editors take no frames.
            Format::Table | Format::Box => Format::Tsv,
            format => format,
        });
        let mut text = Vec::new();
        let batches = last.batches.iter().cloned().map(Ok::<_, output::Error>);
        let rows = output::encode(format, Layout::default(), &last.schema, batches, &mut text)?;
        if text.len() > CLIPBOARD_BYTES {
            return Err(Failure::Report(format!(
                "error: the result has {} bytes as {}, and a terminal's clipboard takes {}\n\
                 hint: .export FILE writes it to a file; LIMIT, or fewer columns, make it smaller\n",
                grouped(text.len()),
                format.name(),
                grouped(CLIPBOARD_BYTES)
            )));
        }
        let note = last.note();
        let bytes = text.len();
        let mut out = stdout().map_err(output_error)?;
        execute!(out, CopyToClipboard::to_clipboard_from(text)).map_err(output_error)?;
        let of = note.map_or_else(String::new, |note| format!(" ({note})"));
        say(&format!(
            "{}{of} sent to the clipboard as {}, {} bytes; a terminal may be set not to take them\n",
            counted(rows),
            format.name(),
            grouped(bytes)
        ));
        Ok(())
    }
}

fn counted(rows: u64) -> String {
    let plural = if rows == 1 { "" } else { "s" };
    format!(
        "{} row{plural}",
        grouped(usize::try_from(rows).unwrap_or(usize::MAX))
    )
}

/// The name of the table that a file becomes: its own up to the first dot, with what is no letter or digit as `_`.
fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("_{name}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_table_a_name() {
        for (file, name) in [
            ("a/trades.csv.gz", "trades"),
            ("2024-08 x.parquet", "_2024_08_x"),
            ("µ.json", "_"),
        ] {
            assert_eq!(name_of(Path::new(file)), name, "{file}");
        }
    }
}
