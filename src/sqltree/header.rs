//! The comment block at the head of a SQL file: prose, then `-- @name value` lines.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use super::Error;
use super::check::{self, Check, Severity};

/// How a mart is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialize {
    /// Made anew when anything it is made from has changed.
    Full,
    /// Only the windows are made anew that hold new rows.
    Incremental,
}

/// A column that a mart promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Its name.
    pub name: String,
    /// Its SQL type.
    pub sql_type: String,
    /// What it is.
    pub comment: String,
    /// Line of the file, from 1.
    pub line: usize,
}

/// What mdb reads from a file's comment block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The prose, joined to one line.
    pub description: String,
    /// `@key a, b, c`: the columns that tell one row from another.
    pub key: Vec<String>,
    /// `@match text`, once or more: only messages that hold one of these texts concern the file, so that mdb
    /// need not show it the others. The SQL must not rely on it.
    pub texts: Vec<String>,
    /// `@latest`: of rows with one key the one received last counts, instead of the first.
    pub latest: bool,
    /// `@latest column`: but none of which the column is not true counts before one of which it is.
    pub final_by: Option<String>,
    /// `@voided_by table`: rows that a row of that table takes back are left out for users; the view
    /// `<name>_reported` has them all.
    pub voided_by: Option<String>,
    /// `@delta a, b`: columns that rise in small steps; sealed as differences.
    pub delta: Vec<String>,
    /// `@plain a, b`: columns of few repetitions; sealed as they are.
    pub plain: Vec<String>,
    /// `@into table`: the table that a file dialect's SQL fills, if that is not the file's stem.
    pub into: Option<String>,
    /// `@columns a, b`: columns that a vendor's file must have; of one without a header line these are their names.
    pub columns: Vec<String>,
    /// `@required a, b`: columns of the table that a dialect's file always has, so that a row without one is bad.
    pub required: Vec<String>,
    /// `@optional a, b`: columns that it may have.
    pub optional: Vec<String>,
    /// `@name *-trades-*`: how a vendor names such files.
    pub file_names: Vec<String>,
    /// `@read document`: the vendor's JSON is one nested document, not a record after the other.
    pub document: bool,
    /// `@from trades, book_deltas`: the tables that an export reads, if not the one of the file's stem. Of the first it makes
    /// files.
    pub from: Vec<String>,
    /// `@date bucket_start(recv_ts, '1 day')::DATE`: SQL for the date that a row of an export belongs to; that of `ts` by
    /// default.
    pub date: Option<String>,
    /// `@file '…' || symbol || '.csv.gz'`: SQL for the name of the file that an export makes of the rows of a venue, symbol
    /// and date; its ending says what it is.
    pub file: Option<String>,
    /// `@member …`: the same of what is in it, if it is a zip archive.
    pub member: Option<String>,
    /// `@metadata name = …`, once or more: the same of what a Parquet file says of itself.
    pub metadata: Vec<(String, String)>,
    /// `@split a, b`: numbers that look random; sealed byte by byte. All other columns get a dictionary.
    pub split: Vec<String>,
    /// `@materialize full` or `incremental`: how a mart is kept up to date.
    pub materialize: Option<Materialize>,
    /// `@time ts`: the column of an incremental mart that says in which window a row is.
    pub time: Option<String>,
    /// `@window 1 minute`: rows of an incremental mart are made of rows of the same window only.
    pub window: Option<Duration>,
    /// `@lateness 10 minutes`: rows that come later than this after newer ones are listed as late.
    pub lateness: Option<Duration>,
    /// `@whole a, b`: relations that an incremental mart reads as a whole, not by window; in lower case.
    pub whole: Vec<String>,
    /// `@column name TYPE what it is`: the columns that a mart promises, in order; none if it promises nothing.
    pub contract: Vec<Contract>,
    /// `@test …`: what must be true of the rows.
    pub checks: Vec<Check>,
    /// `@severity warn`: what it means if a test's file returns a row.
    pub severity: Severity,
}

/// All tags, for whoever has mistaken one.
const KNOWN: &str = "@key, @match, @latest, @voided_by, @delta, @plain, @split, @into, @columns, @required, @optional, \
                     @name, @read document, @from, @date, @file, @member, @metadata, @materialize, @time, @window, @lateness, @whole, @column, @test and @severity";

/// Those that may stand more than once.
const REPEATED: [&str; 4] = ["match", "metadata", "column", "test"];

/// Reads the block. A file without one, with an `@name` that mdb does not know, or with one that it knows elsewhere, is an
/// error.
pub(super) fn parse(origin: &str, text: &str) -> Result<Header, Error> {
    let mut header = Header::default();
    let mut seen = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.strip_prefix("--") else {
            break;
        };
        let comment = comment.trim();
        let Some(tag) = comment.strip_prefix('@') else {
            if !header.description.is_empty() {
                header.description.push(' ');
            }
            header.description.push_str(comment);
            continue;
        };
        let (name, value) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        match name {
            "key" => header.key = list(value),
            "match" => header.texts.push(value.trim().to_owned()),
            "latest" => {
                header.latest = true;
                header.final_by = list(value).pop();
            }
            "voided_by" => header.voided_by = Some(value.trim().to_owned()),
            "delta" => header.delta = list(value),
            "plain" => header.plain = list(value),
            "split" => header.split = list(value),
            "into" => header.into = Some(value.trim().to_owned()),
            "columns" => header.columns = list(value),
            "required" => header.required = list(value),
            "optional" => header.optional = list(value),
            "name" => header.file_names = list(value),
            "read" if value.trim() == "document" => header.document = true,
            "from" => header.from = list(value),
            "date" => header.date = Some(value.trim().to_owned()),
            "file" => header.file = Some(value.trim().to_owned()),
            "member" => header.member = Some(value.trim().to_owned()),
            "time" => header.time = Some(value.trim().to_owned()),
            // As names of relations are compared.
            "whole" => header.whole = list(&value.to_lowercase()),
            _ => {
                let line = index + 1;
                of_model(&mut header, name, value.trim(), line).map_err(|message| {
                    Error::Header {
                        file: origin.to_owned(),
                        line,
                        message,
                    }
                })?;
            }
        }
        // Only the last one would count.
        if !seen.insert(name) && !REPEATED.contains(&name) {
            return Err(Error::Header {
                file: origin.to_owned(),
                line: index + 1,
                message: format!(
                    "@{name} stands here for the second time; say it once, all of it in one line"
                ),
            });
        }
    }
    if header.description.is_empty() {
        return Err(Error::Header {
            file: origin.to_owned(),
            line: 1,
            message: "a SQL file starts with a comment (-- …) that says what it is".to_owned(),
        });
    }
    // It would say nothing, and nobody would notice.
    let mut below = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.starts_with("--"));
    match below.find_map(|(index, line)| Some((index, known_tag(line)?))) {
        Some((index, name)) => Err(Error::Header {
            file: origin.to_owned(),
            line: index + 1,
            message: format!(
                "@{name} stands outside the file's comment block, which ends with the first line that does not begin with \
                 --; move it up there"
            ),
        }),
        None => Ok(header),
    }
}

/// The name of the tag that a line is, if mdb knows it.
fn known_tag(line: &str) -> Option<&str> {
    let tag = line.trim_start().strip_prefix("--")?;
    let name = tag.trim_start().strip_prefix('@')?;
    let name = name.split_whitespace().next()?;
    let mut known = KNOWN.split([',', ' ']);
    known
        .any(|word| word.strip_prefix('@') == Some(name))
        .then_some(name)
}

/// The tags that can be wrong in themselves.
fn of_model(header: &mut Header, name: &str, value: &str, line: usize) -> Result<(), String> {
    let time = || {
        length(value).ok_or(format!(
            "'{value}' is no length of time, as '10 minutes' is"
        ))
    };
    match name {
        "materialize" => {
            header.materialize = Some(match value {
                "full" => Materialize::Full,
                "incremental" => Materialize::Incremental,
                _ => {
                    return Err(format!(
                        "@materialize is full or incremental, not '{value}'"
                    ));
                }
            });
        }
        "metadata" => {
            let (name, sql) = value
                .split_once('=')
                .ok_or_else(|| format!("@metadata is a name, = and SQL, not '{value}'"))?;
            let pair = (name.trim().to_owned(), sql.trim().to_owned());
            header.metadata.push(pair);
        }
        "window" => header.window = Some(time()?),
        "lateness" => header.lateness = Some(time()?),
        "test" => header.checks.push(check::parse(value, line)?),
        "severity" => {
            header.severity = Severity::of(value)
                .ok_or_else(|| format!("@severity is warn or error, not '{value}'"))?;
        }
        "column" => {
            let (name, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            let rest = rest.trim_start();
            let (sql_type, comment) = rest.split_at(type_length(rest));
            if sql_type.is_empty() {
                return Err(format!(
                    "@column is a name, a type, and what it is, not '{value}'"
                ));
            }
            header.contract.push(Contract {
                name: name.to_owned(),
                sql_type: sql_type.to_owned(),
                comment: comment.trim().to_owned(),
                line,
            });
        }
        _ => return Err(format!("unknown @{name}; mdb knows {KNOWN}")),
    }
    Ok(())
}

/// How long the SQL type is that a text begins with: up to a space that is in no brackets, as in `STRUCT(a INTEGER)`.
fn type_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let ends = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_whitespace()
    };
    text.find(ends).unwrap_or(text.len())
}

/// A length of time in words, more than none: "30 seconds", "1 day", "2 weeks". A day has 24 hours.
pub(super) fn length(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let length = Duration::try_from(length).ok()?;
    (!length.is_zero()).then_some(length)
}

fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_and_tags() {
        let header = parse(
            "f.sql",
            "-- Trades,\n-- one a row.\n-- @key venue, trade_id\nSELECT 1",
        )
        .unwrap();
        assert_eq!(header.description, "Trades, one a row.");
        assert_eq!(header.key, ["venue", "trade_id"]);
    }

    #[test]
    fn an_unknown_tag_or_no_comment_names_the_line() {
        let error = parse("f.sql", "-- A.\n-- @kye venue\nSELECT 1").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("f.sql:2: unknown @kye; mdb knows {KNOWN}")
        );
        assert!(
            parse("f.sql", "SELECT 1")
                .unwrap_err()
                .to_string()
                .starts_with("f.sql:1:")
        );
    }

    #[test]
    fn a_tag_that_says_one_thing_stands_once() {
        let twice =
            "-- A.\n-- @key venue\n-- @test unique a\n-- @test unique b\n-- @key symbol\nSELECT 1";
        let error = parse("f.sql", twice).unwrap_err().to_string();
        assert!(
            error.starts_with("f.sql:5: @key stands here for the second time"),
            "{error}"
        );
        let once = twice.replace("-- @key symbol\n", "");
        assert_eq!(parse("f.sql", &once).unwrap().checks.len(), 2);
    }

    #[test]
    fn a_tag_outside_the_block_is_no_tag_and_is_told_with_its_line() {
        for (text, line) in [
            ("-- A.\n\n-- @test row_count > 0\nSELECT 1", 3),
            ("-- A.\nSELECT 1\n-- @test row_count > 0\n", 3),
            ("-- A.\nSELECT 1,\n   --@read document\n  2", 3),
            ("-- A.\n -- @key venue\nSELECT 1", 2),
        ] {
            let error = parse("f.sql", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("f.sql:{line}: @")), "{error}");
        }
        let other = "-- A.\n-- @key a\nSELECT 1 -- @key b\n-- @author me\n-- mail@test\n-- @tests";
        assert_eq!(parse("f.sql", other).unwrap().key, ["a"]);
    }

    #[test]
    fn a_mart_says_how_it_is_kept() {
        let header = parse(
            "f.sql",
            "-- Bars.\n-- @materialize incremental\n-- @time ts\n-- @window 1 week\n-- @lateness 10 minutes\n\
             -- @column ts TIMESTAMP_NS start of the bar\n-- @test not_null ts\nSELECT 1",
        )
        .unwrap();
        assert_eq!(header.materialize, Some(Materialize::Incremental));
        assert_eq!(header.window, Some(Duration::from_hours(7 * 24)));
        assert_eq!(header.lateness, Some(Duration::from_mins(10)));
        let column = &header.contract[0];
        assert_eq!(
            (
                column.name.as_str(),
                column.sql_type.as_str(),
                column.comment.as_str(),
                column.line
            ),
            ("ts", "TIMESTAMP_NS", "start of the bar", 6)
        );
        assert_eq!(header.checks.len(), 1);
        let nested = "-- A.\n-- @column s STRUCT(a INTEGER, b MAP(VARCHAR, INTEGER[])) two things\n-- @column  d  DECIMAL(18,2)";
        let columns = parse("f.sql", nested).unwrap().contract;
        let said: Vec<_> = columns
            .iter()
            .map(|c| (c.name.as_str(), c.sql_type.as_str(), c.comment.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (
                    "s",
                    "STRUCT(a INTEGER, b MAP(VARCHAR, INTEGER[]))",
                    "two things"
                ),
                ("d", "DECIMAL(18,2)", "")
            ]
        );
        for wrong in [
            "@window soon",
            "@window 1 month",
            "@materialize often",
            "@column ts",
            "@severity bad",
        ] {
            let error = parse("f.sql", &format!("-- A.\n-- {wrong}\nSELECT 1")).unwrap_err();
            assert!(error.to_string().starts_with("f.sql:2: "), "{error}");
        }
    }
}
