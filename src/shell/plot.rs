//! `.plot`: a picture of the last result, or of a query's.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::commands::entry;
use super::inspect::failed;
use super::last::Last;
use super::progress::Waiting;
use super::{Failure, Shell, command, no_result, report_width, say};
use crate::model::sql::literal;
use crate::output::WholeFile;
use crate::output::chart::{self, Chart, Kind, Size};
use crate::query::{Error, Source, Statement, first_word, meant};

/// Lines of the terminal left to the prompt.
const PROMPT_LINES: usize = 3;

/// The tallest picture on a terminal: beyond it more lines show nothing more.
const TALLEST: usize = 32;

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Request {
    kind: Option<Kind>,
    to: Option<(PathBuf, File)>,
    /// A query, or the name of a table.
    query: Option<String>,
}

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Svg,
    Png,
    Html,
}

impl Request {
    /// Reads `[[--as] KIND] [--to FILE] [TABLE|QUERY]`.
    ///
    /// # Errors
    /// If there is no such kind, or no such file.
    pub(super) fn parse(argument: &str) -> Result<Self, String> {
        let mut request = Self::default();
        let mut rest = argument.trim();
        while !rest.is_empty() {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let after = after.trim_start();
            if word == "--to" {
                let (file, after) = command::path(after);
                request.to = Some((command::at_home(file), File::of(file)?));
                rest = after;
            } else if word == "--as" {
                let (word, after) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
                let kind = Kind::from_str(word, true);
                request.kind =
                    Some(kind.map_err(|_| format!("--as takes {}, not {word}", kinds_listed()))?);
                rest = after.trim_start();
            } else if let (None, Ok(kind)) = (request.kind, Kind::from_str(word, true)) {
                request.kind = Some(kind);
                rest = after;
            } else {
                request.query = Some(rest.trim_end_matches(';').to_owned());
                break;
            }
        }
        Ok(request)
    }
}

impl File {
    fn of(name: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err(".plot --to takes a FILE.png, FILE.svg or FILE.html".to_owned());
        }
        let end = Path::new(name).extension().unwrap_or_default();
        match end.to_ascii_lowercase().to_str() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("html") => Ok(Self::Html),
            _ => Err(format!(
                "a picture is written as PNG, SVG or HTML, and {name} is not named so\nhint: .plot --to {name}.png"
            )),
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.keep()
}

/// The kinds of pictures.
pub(super) fn kinds() -> impl Iterator<Item = String> {
    let all = Kind::value_variants().iter();
    all.filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned()))
}

fn kinds_listed() -> String {
    kinds().collect::<Vec<_>>().join(", ")
}

/// What the command takes, for hints.
fn takes() -> String {
    let arguments = entry(".plot").map_or("", |entry| entry.arguments);
    format!(
        ".plot takes {arguments}; a KIND is {}, a QUERY begins with SELECT, FROM or WITH",
        kinds_listed()
    )
}

/// Whether a text may be a query: it begins as one, or with a bracket or comment.
fn may_be_query(text: &str) -> bool {
    const FIRST_WORDS: [&str; 12] = [
        "",
        "call",
        "describe",
        "from",
        "pivot",
        "select",
        "show",
        "summarize",
        "table",
        "unpivot",
        "values",
        "with",
    ];
    FIRST_WORDS.contains(&first_word(text).as_str())
}

impl Shell<'_> {
    pub(super) fn plot(&mut self, request: &Request) -> Result<(), Failure> {
        let last = self.printer.last().is_some();
        let prices = || self.focus.symbol.as_ref().map(|_| "trades".to_owned());
        let query = request.query.clone().or_else(|| prices().filter(|_| !last));
        if let Some(query) = query {
            let query = match self.rows_of(&query)? {
                Some(rows) => rows,
                None if may_be_query(&query) => query,
                None => {
                    return Err(Failure::Report(format!(
                        "error: {query} is no table, query or kind of picture\nhint: {}\n",
                        takes()
                    )));
                }
            };
            let last = self.fetch(&query)?;
            self.set_last(last, &query);
        }
        let Some(last) = self.printer.last() else {
            return Err(no_result());
        };
        let chart = Chart::new(request.kind, &last.schema, &last.batches).map_err(|error| {
            Failure::Report(format!(
                "error: {error}\nhint: .plot draws what its columns say, or a kind: {}; .help .plot has examples\n",
                kinds_listed()
            ))
        })?;
        let mut notes: Vec<String> = chart.notes().to_vec();
        notes.extend(last.note().map(|note| format!("drawn from {note}")));
        for note in notes {
            say(&format!("note: {note}\n"));
        }
        if let Some((path, file)) = &request.to {
            let picture = match file {
                File::Svg => chart::svg(&chart).into_bytes(),
                File::Png => chart::png(&chart)
                    .map_err(|error| Failure::Report(format!("error: {error}\n")))?,
                File::Html => chart::html(&chart).into_bytes(),
            };
            write_whole(path, &picture).map_err(|error| {
                Failure::Report(format!("error: cannot write {}: {error}\n", path.display()))
            })?;
            say(&format!("written to {}\n", path.display()));
            return Ok(());
        }
        let picture = chart::terminal(&chart, self.picture_size());
        self.printer.text(&picture)
    }

    /// Room for a picture.
    pub(super) fn picture_size(&self) -> Size {
        let layout = self.layout();
        let height = crossterm::terminal::size().map_or(24, |(_, height)| usize::from(height));
        Size {
            width: layout.width.unwrap_or(80),
            height: if layout.width.is_some() {
                height.saturating_sub(PROMPT_LINES).min(TALLEST)
            } else {
                24
            },
            color: layout.color,
        }
    }

    /// The query of a table's rows in the session's range, of its symbol, if a name is all there is.
    fn rows_of(&mut self, query: &str) -> Result<Option<String>, Failure> {
        if command::name_parts(query).is_none() {
            return Ok(None);
        }
        let described = self.session.strings(&format!(
            "SELECT lower(column_name) FROM (DESCRIBE {query})"
        ));
        let described = described.map_err(|error| self.no_such(query, error))?;
        let columns: Vec<String> = described.into_iter().flatten().flatten().collect();
        let has = |name: &str| columns.iter().any(|column| column == name);
        let mut which = Vec::new();
        if has("ts") {
            let (from, to) = self.between()?;
            which.push(format!("ts >= {from} AND ts < {to}"));
        }
        for (column, value) in [("symbol", &self.focus.symbol), ("venue", &self.focus.venue)] {
            if let (true, Some(value)) = (has(column), value) {
                which.push(format!("{column} = {}", literal(value)));
            }
        }
        let which = if which.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", which.join(" AND "))
        };
        let order = if has("ts") { " ORDER BY ts" } else { "" };
        Ok(Some(format!("FROM {query}{which}{order}")))
    }

    /// Why a name cannot be drawn: it may have been meant for a table, or for a kind of picture.
    fn no_such(&mut self, name: &str, error: Error) -> Failure {
        let error = super::hint::improved(error, &format!("FROM {name}"), &mut self.session);
        let Error::Sql(error) = error else {
            return failed(error);
        };
        if !error.message.contains("does not exist") {
            return failed(Error::Sql(error));
        }
        let kinds: Vec<String> = kinds().collect();
        let kind = meant(name, kinds.iter().map(String::as_str));
        let kind = kind.map(|kind| format!("did you mean {kind}?"));
        let table = error.hint.filter(|hint| hint.starts_with("did you mean"));
        let meant = kind.or(table).unwrap_or_default();
        let hint = format!("{meant} {}", takes());
        Failure::Report(format!(
            "error: there is no table {name}, nor a kind of picture of that name\nhint: {}\n",
            hint.trim_start()
        ))
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
        let _waiting = Waiting::begin(&mut self.session);
        Last::of(&mut self.session, query).map_err(|error| match error {
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
                Failure::Report(error.report(source, statement, report_width()))
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
        assert_eq!(whole.to, Some(("a b.svg".into(), File::Svg)));
        assert_eq!(read("--as HEAT trades").kind, Some(Kind::Heat));
        assert_eq!(read("--to a.html").to, Some(("a.html".into(), File::Html)));
        assert!(Request::parse("--as pie").unwrap_err().contains("heat"));
        assert_eq!(whole.query.as_deref(), Some("FROM ohlcv('A', '1 minute')"));
        assert_eq!(
            read("SELECT depth FROM t").query.as_deref(),
            Some("SELECT depth FROM t")
        );
        assert_eq!(read("--to a.PNG").to, Some(("a.PNG".into(), File::Png)));
        assert!(
            Request::parse("--to a.gif")
                .unwrap_err()
                .contains("a.gif.png")
        );
        assert!(Request::parse("--to").is_err());
    }
}
