//! `.plot`: a picture of the last result, or of a query's.

use std::path::PathBuf;

use clap::ValueEnum;

use super::last::Last;
use super::{Failure, Shell, no_result, say};
use crate::output::chart::{self, Chart, Kind, Size};
use crate::query::{Error, Source, Statement, Types};

/// Lines of the terminal left to the prompt.
const PROMPT_LINES: usize = 3;

/// The tallest picture on a terminal: beyond it more lines show nothing more.
const TALLEST: usize = 32;

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    kind: Option<Kind>,
    to: Option<PathBuf>,
    query: Option<String>,
}

impl Request {
    /// Reads `[KIND] [--to FILE] [QUERY]`.
    pub(super) fn parse(argument: &str) -> Result<Self, String> {
        let mut request = Self {
            kind: None,
            to: None,
            query: None,
        };
        let mut rest = argument.trim();
        while !rest.is_empty() {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if word == "--to" {
                let (file, after) = file(after.trim_start());
                if file.is_empty() {
                    return Err(".plot --to takes a FILE.svg".to_owned());
                }
                let path = PathBuf::from(file);
                let svg = path
                    .extension()
                    .is_some_and(|end| end.eq_ignore_ascii_case("svg"));
                if !svg {
                    return Err(format!(
                        "a picture is written as SVG, and {file} is not named so\nhint: .plot --to {file}.svg"
                    ));
                }
                request.to = Some(path);
                rest = after.trim_start();
            } else if let (None, Ok(kind)) = (request.kind, Kind::from_str(word, true)) {
                request.kind = Some(kind);
                rest = after.trim_start();
            } else {
                request.query = Some(rest.trim_end_matches(';').to_owned());
                break;
            }
        }
        Ok(request)
    }
}

/// A path, in quotes or up to the next space, and what stands behind it.
fn file(text: &str) -> (&str, &str) {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote)
            && let Some((path, after)) = inner.split_once(quote)
        {
            return (path, after);
        }
    }
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

impl Shell<'_> {
    pub(super) fn plot(&mut self, request: &Request) -> Result<(), Failure> {
        if let Some(query) = &request.query {
            let last = self.fetch(query)?;
            self.set_last(last, query);
        }
        let Some(last) = self.printer.last() else {
            return Err(no_result());
        };
        let chart = Chart::new(request.kind, &last.schema, &last.batches).map_err(|error| {
            Failure::Report(format!(
                "error: {error}\nhint: .plot [line|candles|histogram|depth] draws what its columns say; .help .plot has examples\n"
            ))
        })?;
        let mut notes: Vec<String> = chart.notes().to_vec();
        notes.extend(last.note().map(|note| format!("drawn from {note}")));
        for note in notes {
            say(&format!("note: {note}\n"));
        }
        if let Some(path) = &request.to {
            std::fs::write(path, chart::svg(&chart)).map_err(|error| {
                Failure::Report(format!("error: cannot write {}: {error}\n", path.display()))
            })?;
            say(&format!("written to {}\n", path.display()));
            return Ok(());
        }
        let layout = self.printer.layout;
        let height = crossterm::terminal::size().map_or(24, |(_, height)| usize::from(height));
        let size = Size {
            width: layout.width.unwrap_or(80),
            height: if layout.width.is_some() {
                height.saturating_sub(PROMPT_LINES).min(TALLEST)
            } else {
                24
            },
            color: layout.color,
        };
        self.printer.text(&chart::terminal(&chart, size))
    }

    /// Makes a result the last one.
    pub(super) fn set_last(&mut self, last: Last, sql: &str) {
        self.printer.set_last(last);
        self.offered = false;
        self.last_sql = Some(sql.to_owned());
    }

    /// The rows of a query that are not printed, as many as are kept.
    pub(super) fn fetch(&mut self, query: &str) -> Result<Last, Failure> {
        self.offer_last(query)?;
        let collected = self.session.run(query, Types::Exact).and_then(|rows| {
            let mut last = Last::new(rows.schema());
            for batch in rows {
                last.keep(&batch?);
            }
            Ok(last)
        });
        collected.map_err(|error| match error {
            Error::Interrupted => Failure::Interrupted,
            error => {
                let error = super::hint::improved(error, query, &mut self.session);
                let source = Source {
                    name: None,
                    text: query,
                };
                let statement = Statement {
                    text: query,
                    offset: 0,
                    line: 1,
                };
                Failure::Report(error.report(source, statement))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let read = |text: &str| Request::parse(text).unwrap();
        assert_eq!(read("").query, None);
        let whole = read("candles --to 'a b.svg' FROM ohlcv('A', '1 minute');");
        assert_eq!(whole.kind, Some(Kind::Candles));
        assert_eq!(whole.to.as_deref(), Some(std::path::Path::new("a b.svg")));
        assert_eq!(whole.query.as_deref(), Some("FROM ohlcv('A', '1 minute')"));
        assert_eq!(
            read("SELECT depth FROM t").query.as_deref(),
            Some("SELECT depth FROM t")
        );
        assert!(
            Request::parse("--to a.png")
                .unwrap_err()
                .contains("a.png.svg")
        );
        assert!(Request::parse("--to").is_err());
    }
}
