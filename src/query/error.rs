//! What went wrong with a statement: DuckDB's message taken apart into message, place and hint, and shown
//! again with the line it is about.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use duckdb::types::Type;
use serde::{Deserialize, Serialize};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::nearest::meant;
use crate::model::statements::Statement;
use crate::store::{AS_OF, PROBLEM};

/// Why a statement gave no rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Someone asked for it to stop.
    #[error("interrupted")]
    Interrupted,
    /// DuckDB refuses the statement, or failed while running it.
    #[error("{0}")]
    Sql(Box<SqlError>),
    /// The way to DuckDB failed: text that holds a zero byte, a type that cannot be fetched.
    #[error(transparent)]
    Driver(duckdb::Error),
    /// The process that has the database open could not do what it was asked.
    #[error("{0}")]
    Remote(String),
    /// The session is over: the process that has the database open has gone, or has ended it.
    #[error("{0}")]
    Lost(String),
}

/// DuckDB's error about a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What is wrong, without place and hint.
    pub message: String,
    /// Bytes of the statement it is about, where DuckDB knows them.
    pub at: Option<Range<usize>>,
    /// What to try instead.
    pub hint: Option<String>,
}

/// A script and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name, if the script came from one.
    pub name: Option<&'a str>,
    /// The whole text.
    pub text: &'a str,
}

/// Columns of a line shown around the place of an error: at most, and at least, however narrow the terminal is.
const EXCERPT_COLUMNS: RangeInclusive<usize> = 20..=100;

/// What stands before an excerpt.
const INDENT: &str = "  ";

impl Error {
    pub(super) fn from_duckdb(error: duckdb::Error) -> Self {
        match error {
            duckdb::Error::DuckDBFailure(_, Some(message)) => Self::from_message(&message),
            duckdb::Error::FromSqlConversionFailure(column, Type::Variant, _) => {
                Self::Sql(Box::new(SqlError {
                    message: format!(
                        "column {} is a VARIANT, which cannot be shown as it is",
                        column + 1
                    ),
                    at: None,
                    hint: Some("cast it to what it holds, or to text: column::VARCHAR".into()),
                }))
            }
            error => Self::Driver(error),
        }
    }

    fn from_message(message: &str) -> Self {
        let fields = message
            .find("{\"exception_type\"")
            .and_then(|start| json_fields(&message[start..]));
        let field = |name: &str| {
            fields
                .as_ref()?
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let kind = field("exception_type")
            .or_else(|| Some(message.split_once(" Error: ")?.0))
            .unwrap_or_default();
        if kind.eq_ignore_ascii_case("interrupt") {
            return Self::Interrupted;
        }
        let text = field("exception_message")
            .unwrap_or_else(|| message.split_once(" Error: ").map_or(message, |m| m.1));
        let own_words = own_words(text);
        let (text, hint) = zoned(text)
            .or_else(|| of_the_past(text))
            .unwrap_or_else(|| split_hint(own_words.unwrap_or(text)));
        let hint = hint.or_else(|| of_the_lake(&text));
        let message = if kind.eq_ignore_ascii_case("internal") {
            format!("DuckDB internal error: {text}")
        } else {
            text
        };
        // A place in the macro, not in the statement.
        let at = field("location").filter(|_| own_words.is_none());
        let at = at.and_then(parse_location);
        Self::Sql(Box::new(SqlError { message, at, hint }))
    }

    /// Adds what to do about a change that a reading session refuses.
    pub(super) fn with_advice(mut self, write: bool) -> Self {
        if let Self::Sql(error) = &mut self
            && !write
            && error.message.contains("read-only mode")
        {
            // DuckDB speaks of "EXECUTE", which nobody wrote.
            error.message = "the database is open for reading only".into();
            error.hint = Some("mdb sql --write allows changes".into());
        }
        self
    }

    /// The error with its place where `map` puts it.
    pub(crate) fn placed(mut self, map: impl FnOnce(Range<usize>) -> Range<usize>) -> Self {
        if let Self::Sql(error) = &mut self {
            error.at = error.at.take().map(map);
        }
        self
    }

    /// The error for a person: message, place in `source`, the line with a caret under the place, hint.
    /// `statement` is the part of `source` that was run. The line is cut to the `width` of the terminal, in columns, if
    /// it goes to one. Ends with a line break.
    #[must_use]
    pub fn report(
        &self,
        source: Source<'_>,
        statement: Statement<'_>,
        width: Option<usize>,
    ) -> String {
        let mut report = format!("error: {self}\n");
        if matches!(self, Self::Lost(_)) {
            // It is not about the statement.
            return report;
        }
        let sql = if let Self::Sql(sql) = self {
            Some(sql)
        } else {
            None
        };
        let place = sql.and_then(|sql| sql.at.clone());
        let range = place.map_or(statement.offset..statement.offset, |at| {
            statement.offset + at.start..statement.offset + at.end
        });
        let line = Line::around(source.text, range.start);
        match source.name {
            Some(name) if sql.is_some_and(|sql| sql.at.is_some()) => {
                let _ = writeln!(
                    report,
                    "{name}:{}:{}:",
                    line.number,
                    line.column(range.start)
                );
            }
            Some(name) => {
                let _ = writeln!(report, "{name}:{}:", line.number);
            }
            None if source.text.trim_end().contains('\n') => {
                let _ = writeln!(report, "line {}:", line.number);
            }
            None => {}
        }
        if sql.is_some_and(|sql| sql.at.is_some()) {
            let (least, most) = (*EXCERPT_COLUMNS.start(), *EXCERPT_COLUMNS.end());
            let columns = width.map_or(most, |width| {
                width.saturating_sub(INDENT.len()).clamp(least, most)
            });
            report.push_str(&line.excerpt(range, columns));
        }
        if let Some(hint) = sql.and_then(|sql| sql.hint.as_deref()) {
            let _ = writeln!(report, "hint: {hint}");
        }
        report
    }
}

/// One line of a text.
struct Line<'a> {
    text: &'a str,
    start: usize,
    number: usize,
}

impl<'a> Line<'a> {
    fn around(text: &'a str, at: usize) -> Self {
        let at = text.floor_char_boundary(at.min(text.len()));
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
        let number = 1 + text[..start].matches('\n').count();
        Self {
            text: text[start..end].trim_end_matches('\r'),
            start,
            number,
        }
    }

    /// Column of a byte of the whole text, in characters, from 1.
    fn column(&self, at: usize) -> usize {
        self.text[..self.text.floor_char_boundary(at - self.start)]
            .chars()
            .count()
            + 1
    }

    /// The line, cut to `columns` around `range`, and a second line that underlines it.
    fn excerpt(&self, range: Range<usize>, columns: usize) -> String {
        let from = self
            .text
            .floor_char_boundary(range.start.saturating_sub(self.start).min(self.text.len()));
        let to = self.text.floor_char_boundary(
            range
                .end
                .saturating_sub(self.start)
                .clamp(from, self.text.len()),
        );
        let before = flat(&self.text[..from]);
        let marked = flat(&self.text[from..to]);
        let after = flat(&self.text[to..]);

        let marked = head(&marked, columns / 2);
        let before = tail(
            &before,
            (columns * 3 / 5).min(columns.saturating_sub(marked.width())),
        );
        let left = columns.saturating_sub(before.width() + marked.width());
        let after = head(&after, left);
        let indent = " ".repeat(before.width());
        let carets = "^".repeat(marked.width().max(1));
        format!("{INDENT}{before}{marked}{after}\n{INDENT}{indent}{carets}\n")
    }
}

/// Tabs and other control characters would move the caret away from its place.
fn flat(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn head(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= columns
    });
    kept.chain(['…']).collect()
}

fn tail(text: &str, columns: usize) -> String {
    let mut rest = text;
    while rest.width() + 1 > columns && rest.width() > 0 {
        rest = rest
            .split_at(rest.chars().next().map_or(0, char::len_utf8))
            .1;
    }
    if rest.len() == text.len() {
        rest.to_owned()
    } else {
        format!("…{rest}")
    }
}

/// What one of mdb's own macros has to say: the text that could not be cast, without DuckDB's words around it.
fn own_words(text: &str) -> Option<&str> {
    let (before, said) = text.split_once(PROBLEM)?;
    let (said, _) = said.rsplit_once("' to ")?;
    (before == "Could not convert string '").then_some(said)
}

/// What to do about a file of the lake that cannot be read.
fn of_the_lake(text: &str) -> Option<String> {
    const HINT: &str =
        "a file of the lake is missing or damaged; `mdb doctor` says which and what to do";
    let is_named = ["lake/", "/date=", ".parquet"]
        .iter()
        .all(|part| text.contains(part));
    is_named.then(|| HINT.to_owned())
}

/// What to say of times with a zone: their arithmetic is in DuckDB's ICU extension, which mdb is built without; `None` if a
/// message is not about them.
fn zoned(text: &str) -> Option<(String, Option<String>)> {
    const LACKS: &str = "needs DuckDB's icu extension, which mdb is built without";
    const TYPE: &str = "TIMESTAMP WITH TIME ZONE";
    let first = text.lines().next().unwrap_or_default();
    let message = if let Some((_, rest)) = text.split_once("with name \"")
        && let Some((name, _)) =
            rest.split_once("\" is not in the catalog, but it exists in the icu")
    {
        format!("{} {LACKS}", name.strip_prefix("get_").unwrap_or(name))
    } else if text.contains("required extension 'icu") {
        format!("arithmetic of times with a zone {LACKS}")
    } else if first.contains(TYPE)
        && [
            "Unimplemented type for cast",
            "No function matches",
            "Cannot compare",
            "Cannot mix",
        ]
        .iter()
        .any(|start| first.starts_with(start))
    {
        // The functions that DuckDB proposes are not what is meant.
        first.to_owned()
    } else {
        return None;
    };
    let hint = "times here are UTC, without a zone: now_utc() for now(), now_utc()::DATE for current_date, x::TIMESTAMP for \
                any other x; at_zone(ts, 'America/New_York') is the time there";
    Some((message, Some(hint.to_owned())))
}

/// What to say where DuckDB speaks of the macro that stands for a past table; `None` if a message is not about that.
fn of_the_past(text: &str) -> Option<(String, Option<String>)> {
    let missing = text.strip_prefix("Table Function with name ")?;
    let table = missing.strip_prefix(AS_OF)?.split_whitespace().next()?;
    let hint = "it takes the tables that `mdb history` names; views and marts have no versions";
    Some((
        format!("as_of knows no table '{table}'"),
        Some(hint.to_owned()),
    ))
}

/// Separates what DuckDB proposes from what it complains of.
fn split_hint(text: &str) -> (String, Option<String>) {
    const OPENERS: [&str; 5] = [
        "Did you mean",
        "Candidate ",
        "Either add it",
        "Possible solutions",
        "You can ",
    ];
    let starts = text.match_indices('\n').map(|(i, _)| i + 1);
    let hint = starts.into_iter().find(|&i| {
        OPENERS
            .iter()
            .any(|opener| text[i..].trim_start().starts_with(opener))
    });
    let Some(start) = hint else {
        return (text.trim_end().to_owned(), None);
    };
    let hint = text[start..].trim();
    let hint = if let Some(names) = hint.strip_prefix("Candidate bindings: ") {
        let names = names.trim_start_matches([':', ' ']);
        match meant_column(&text[..start], names) {
            Some(name) => format!("did you mean {name}?"),
            // They are DuckDB's best guesses, and not all there are.
            None => format!("there are columns such as {names}"),
        }
    } else if let Some(names) = hint.strip_prefix("Candidate tables: ") {
        format!("tables here: {names}")
    } else if let Some(functions) = hint.strip_prefix("Candidate functions:") {
        let functions: Vec<&str> = functions
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        format!("it takes\n  {}", functions.join("\n  "))
    } else if let Some(rest) = hint.strip_prefix("Did you mean:") {
        format!("did you mean{rest}?")
    } else {
        let mut letters = hint.chars();
        letters
            .next()
            .map(|c| c.to_ascii_lowercase())
            .into_iter()
            .chain(letters)
            .collect()
    };
    (text[..start].trim_end().to_owned(), Some(hint))
}

/// Of the candidates that DuckDB names (`"price", "t.size"`), the one that the column its message names was meant to be.
fn meant_column<'n>(message: &str, names: &'n str) -> Option<&'n str> {
    let wrong = message.trim_end().rsplit('"').nth(1)?;
    let wrong = if message.starts_with("Referenced column") {
        message.split('"').nth(1)?
    } else {
        wrong
    };
    let bare = |name: &'n str| {
        let name = name.trim().trim_matches('"');
        name.rsplit('.').next().unwrap_or(name)
    };
    let meant = meant(wrong, names.split(',').map(bare))?;
    names
        .split(',')
        .map(str::trim)
        .find(|name| bare(name) == meant)
}

/// `[start,length]`, in bytes.
fn parse_location(text: &str) -> Option<Range<usize>> {
    let (start, length) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(',')?;
    let start: usize = start.trim().parse().ok()?;
    let length: usize = length.trim().parse().ok()?;
    Some(start..start.checked_add(length)?)
}

/// The members of a JSON object whose values are all strings, as DuckDB writes its errors.
fn json_fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut chars = text.chars().peekable();
    let mut fields = Vec::new();
    loop {
        match chars.next()? {
            '{' | ',' => {}
            '}' => return Some(fields),
            _ => return None,
        }
        let key = json_string(&mut chars)?;
        chars.next_if_eq(&':')?;
        fields.push((key, json_string(&mut chars)?));
    }
}

fn json_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    chars.next_if_eq(&'"')?;
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    text.push(
                        u32::from_str_radix(&hex, 16)
                            .ok()
                            .and_then(char::from_u32)
                            .unwrap_or('\u{fffd}'),
                    );
                }
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Session, Types, statements};

    /// The report about the first statement of `script` that fails.
    fn report(name: Option<&str>, script: &str) -> String {
        report_within(None, name, script)
    }

    /// The same on a terminal of that width.
    fn report_within(width: Option<usize>, name: Option<&str>, script: &str) -> String {
        let mut session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        for statement in statements(script) {
            if let Err(error) = session
                .run(statement.text, Types::Exact)
                .and_then(super::super::Rows::finish)
            {
                return error.report(Source { name, text: script }, statement, width);
            }
        }
        panic!("nothing failed in {script:?}");
    }

    const TABLE: &str = "create table trades (symbol varchar, price double);\n";

    #[test]
    fn a_wrong_column_is_underlined_in_its_line() {
        let script = format!("{TABLE}\n-- second\nselect symbol,\n\tprise -- here\nfrom trades;");
        insta::assert_snapshot!(report(Some("a/b.sql"), &script), @r#"
        error: Referenced column "prise" not found in FROM clause!
        a/b.sql:5:2:
           prise -- here
           ^^^^^
        hint: did you mean "price"?
        "#);
    }

    #[test]
    fn what_a_macro_says_is_said_without_the_cast_that_failed() {
        let script = "select ('mdb: there is no x ''y''' || chr(10) || 'Did you mean: z')::INTEGER";
        insta::assert_snapshot!(report(None, script), @r"
        error: there is no x 'y'
        hint: did you mean z?
        ");
    }

    #[test]
    fn times_with_a_zone_are_answered_with_what_to_write_instead() {
        for (said, says) in [
            (
                "Catalog Error: Scalar Function with name \"current_date\" is not in the catalog, but it exists in the icu \
                 extension.\n\nPlease try installing and loading the icu extension by running:\nINSTALL icu;\nLOAD icu;",
                "current_date needs DuckDB's icu extension",
            ),
            (
                "Catalog Error: Scalar Function with name \"get_current_time\" is not in the catalog, but it exists in the \
                 icu extension.\n\nPlease try installing",
                "current_time needs DuckDB's icu extension",
            ),
            (
                "Extension Autoloading Error: An error occurred while trying to automatically install the required \
                 extension 'icu:\nExtension \"icu\" is an existing extension.\n\nInstall it first using \"INSTALL icu\".",
                "arithmetic of times with a zone needs",
            ),
            (
                "Binder Error: Unimplemented type for cast (TIMESTAMP WITH TIME ZONE -> DATE)",
                "Unimplemented type for cast",
            ),
            (
                "Binder Error: No function matches the given name and argument types '-(TIMESTAMP WITH TIME ZONE, INTERVAL)'. \
                 You might need to add explicit type casts.\n\tCandidate functions:\n\t-(x TINYINT) -> TINYINT",
                "No function matches",
            ),
            (
                "Binder Error: Cannot compare values of type TIMESTAMP_NS and type TIMESTAMP WITH TIME ZONE - an explicit \
                 cast is required",
                "Cannot compare values",
            ),
            (
                "Binder Error: Cannot mix values of type TIMESTAMP_NS and TIMESTAMP WITH TIME ZONE in BETWEEN clause - an \
                 explicit cast is required",
                "Cannot mix values",
            ),
        ] {
            let Error::Sql(error) = Error::from_message(said) else {
                panic!("not an SQL error")
            };
            assert!(error.message.contains(says), "{error:?}");
            assert!(!error.message.contains("INSTALL"), "{error:?}");
            let hint = error.hint.unwrap_or_default();
            assert!(hint.contains("now_utc()::DATE"), "{said}: {hint}");
        }
        // One of another kind keeps its own hint.
        let other = report(None, &format!("{TABLE}select prise from trades"));
        assert!(!other.contains("now_utc"), "{other}");
    }

    #[test]
    fn what_stands_for_the_lake_is_not_what_is_told_of() {
        for (said, says, hint) in [
            (
                "Catalog Error: Table Function with name as_of_tradez does not exist!\nDid you mean \"as_of_trades\"?",
                "as_of knows no table 'tradez'",
                "mdb history",
            ),
            (
                "IO Error: No files found that match the pattern \"lake/trades/date=2024-08-08/1-2.parquet\"",
                "No files found that match the pattern \"lake/trades/date=2024-08-08/1-2.parquet\"",
                "mdb doctor",
            ),
            (
                "Invalid Input Error: No magic bytes found at end of file 'lake/quotes/date=2024-08-08/1-2.parquet'",
                "No magic bytes found at end of file 'lake/quotes/date=2024-08-08/1-2.parquet'",
                "mdb doctor",
            ),
        ] {
            let Error::Sql(error) = Error::from_message(said) else {
                panic!("{said}");
            };
            assert_eq!(error.message, says);
            assert!(error.hint.unwrap().contains(hint), "{said}");
        }
        let Error::Sql(error) =
            Error::from_message("IO Error: No files found that match the pattern \"x.csv\"")
        else {
            panic!();
        };
        assert_eq!(error.hint, None);
    }

    #[test]
    fn one_line_needs_no_line_number() {
        insta::assert_snapshot!(report(None, "selct 1"), @r#"
        error: syntax error at or near "selct"
          selct 1
          ^^^^^
        "#);
    }

    #[test]
    fn a_table_is_proposed() {
        insta::assert_snapshot!(report(None, &format!("{TABLE}select * from trade")), @r#"
        error: Table with name trade does not exist!
        line 2:
          select * from trade
                        ^^^^^
        hint: did you mean "trades"?
        "#);
    }

    #[test]
    fn wide_characters_and_long_lines_keep_the_caret_in_place() {
        let script = format!(
            "select '日本語é', '{}', nope, '{}'",
            "x".repeat(300),
            "y".repeat(300)
        );
        insta::assert_snapshot!(report(None, &script), @r#"
        error: Referenced column "nope" was not found because the FROM clause is missing
          …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', nope, 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
                                                                      ^^^^
        "#);
    }

    #[test]
    fn an_excerpt_is_no_wider_than_the_terminal_and_its_caret_stays_in_place() {
        let long = "x".repeat(90);
        for (script, marked) in [
            (format!("select '{long}', nope, '{long}'"), "nope"),
            (format!("select nope, '{long}', '{long}'"), "nope"),
            (format!("select '日本語{long}', nope"), "nope"),
            (format!("select '{long}', \"{long}\", '{long}'"), "\"xxx"),
        ] {
            for width in [1, 40, 80, 99, 200] {
                let report = report_within(Some(width), None, &script);
                let lines: Vec<&str> = report.lines().collect();
                let under = lines
                    .iter()
                    .position(|line| line.trim_start().starts_with('^'))
                    .unwrap();
                let (shown, carets) = (lines[under - 1], lines[under]);
                let most = width.clamp(22, 102);
                assert!(
                    shown.width() <= most && carets.width() <= most,
                    "{width}: {report}"
                );
                let (before, _) = shown.split_once(marked).unwrap();
                assert_eq!(Some(before.width()), carets.find('^'), "{width}: {report}");
            }
        }
    }

    #[test]
    fn columns_that_duckdb_guesses_are_not_taken_for_all() {
        let report = report(None, &format!("{TABLE}select nosuch from trades"));
        assert!(
            report.contains("hint: there are columns such as \""),
            "{report}"
        );
    }

    #[test]
    fn an_error_at_run_time_has_no_place() {
        insta::assert_snapshot!(report(Some("x.sql"), "select 1;\nselect error('boom');"), @r"
        error: boom
        x.sql:2:
        ");
    }

    #[test]
    fn functions_are_listed() {
        insta::assert_snapshot!(report(None, "select '日本', bit_count('a', 2)"), @r#"
        error: No function matches the given name and argument types 'bit_count(STRING_LITERAL, INTEGER_LITERAL)'. You might need to add explicit type casts.
          select '日本', bit_count('a', 2)
                         ^^^^^^^^^^^^^^^^^
        hint: it takes
          bit_count(x TINYINT) -> TINYINT
          bit_count(x SMALLINT) -> TINYINT
          bit_count(x INTEGER) -> TINYINT
          bit_count(x BIGINT) -> TINYINT
          bit_count(x HUGEINT) -> TINYINT
          bit_count(x BIT) -> BIGINT
        "#);
    }

    #[test]
    fn an_error_in_plain_text_keeps_its_words() {
        let Error::Sql(error) =
            Error::from_message("Binder Error: what\nDid you mean \"x\"?\n\nLINE 1: x\n        ^")
        else {
            panic!("not an SQL error")
        };
        assert_eq!(error.message, "what");
        assert_eq!(error.at, None);
        assert!(matches!(
            Error::from_message("INTERRUPT Error: Interrupted!"),
            Error::Interrupted
        ));
    }

    #[test]
    fn a_refused_change_says_how_to_allow_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.duckdb");
        drop(duckdb::Connection::open(&path).unwrap());
        let config = duckdb::Config::default()
            .access_mode(duckdb::AccessMode::ReadOnly)
            .unwrap();
        let mut session = Session::new(
            duckdb::Connection::open_with_flags(&path, config).unwrap(),
            false,
        );
        let sql = "create table t (i int)";
        let error = session.run(sql, Types::Exact).err().unwrap();
        let statement = statements(sql).next().unwrap();
        let report = error.report(
            Source {
                name: None,
                text: sql,
            },
            statement,
            None,
        );
        assert_eq!(
            report,
            "error: the database is open for reading only\nhint: mdb sql --write allows changes\n"
        );
    }
}
