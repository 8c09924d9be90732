//! Data tests as a file's comment block declares them: `-- @test not_null price`, `-- @test warn: row_count > 0`.

use std::time::Duration;

/// What a failed test means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Severity {
    /// The data is wrong: a mart keeps its version before, and the exit code says so.
    #[default]
    Error,
    /// It is told, and no more.
    Warn,
}

impl Severity {
    /// Its word, in comment blocks and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }

    /// Reads the word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Error, Self::Warn]
            .into_iter()
            .find(|severity| severity.name() == word)
    }
}

/// One declared test of the relation that a file makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// As it was written, for people.
    pub text: String,
    /// What a failure means.
    pub severity: Severity,
    /// Line of the file, from 1.
    pub line: usize,
    /// What is tested.
    pub kind: Kind,
}

/// What is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `not_null a, b`: no row lacks one of them.
    NotNull(Vec<String>),
    /// `unique a, b`: no two rows agree in all of them. A row with a NULL among them agrees with none.
    Unique(Vec<String>),
    /// `accepted side buy|sell`: the column is one of these texts, or NULL.
    Accepted(String, Vec<String>),
    /// `relationship symbol -> instruments.symbol`: every value that is not NULL is there.
    Relationship {
        /// The column.
        column: String,
        /// The other relation …
        relation: String,
        /// … and its column.
        other: String,
    },
    /// `range price > 0`: an SQL expression that is false for no row.
    Range(String),
    /// `freshness 30 seconds`: the newest row is no older than this.
    Freshness(Duration),
    /// `row_count > 0`: how the number of rows compares.
    RowCount(String),
}

impl Kind {
    /// Whether a part of the rows can be tested by itself: a build tests only what it has made anew.
    pub fn is_of_rows(&self) -> bool {
        !matches!(self, Self::Freshness(_) | Self::RowCount(_))
    }
}

/// Reads what stands behind `@test`.
///
/// # Errors
/// Says what is expected.
pub(super) fn parse(value: &str, line: usize) -> Result<Check, String> {
    let text = value.trim();
    let (severity, rest) = match text.split_once(':') {
        Some((word, rest)) if Severity::of(word.trim()).is_some() => {
            (Severity::of(word.trim()).unwrap_or_default(), rest.trim())
        }
        _ => (Severity::Error, text),
    };
    let (name, said) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let said = said.trim();
    let kind = kind(name, said).ok_or_else(|| {
        format!(
            "'{rest}' is no test; write not_null COLUMN, … · unique COLUMN, … · accepted COLUMN a|b · \
             relationship COLUMN -> TABLE.COLUMN · range CONDITION · freshness 30 seconds · row_count > 0, \
             with 'warn:' before it where a failure is no error"
        )
    })?;
    Ok(Check {
        text: rest.to_owned(),
        severity,
        line,
        kind,
    })
}

fn kind(name: &str, said: &str) -> Option<Kind> {
    if said.is_empty() {
        return None;
    }
    Some(match name {
        "not_null" => Kind::NotNull(columns(said)?),
        "unique" => Kind::Unique(columns(said)?),
        "accepted" => {
            let (column, values) = said.split_once(char::is_whitespace)?;
            let values = values.split('|').map(|value| value.trim().to_owned());
            Kind::Accepted(column.to_owned(), values.collect())
        }
        "relationship" => {
            let (column, other) = said.split_once("->")?;
            let (relation, other) = other.trim().rsplit_once('.')?;
            let [column] = <[String; 1]>::try_from(columns(column)?).ok()?;
            Kind::Relationship {
                column,
                relation: relation.to_owned(),
                other: other.to_owned(),
            }
        }
        "range" => Kind::Range(said.to_owned()),
        "freshness" => Kind::Freshness(super::header::length(said)?),
        "row_count" => Kind::RowCount(comparison(said)?.to_owned()),
        _ => return None,
    })
}

/// What can stand behind a number to make a condition of it, as far as its signs and its first word tell.
fn comparison(said: &str) -> Option<&str> {
    let compares = |c: char| matches!(c, '=' | '<' | '>');
    let calculates = |c: char| matches!(c, '!' | '+' | '-' | '*' | '/' | '%');
    let (_, with) = said.rsplit_once(compares).unwrap_or_default();
    let by_sign = said.starts_with(|c: char| compares(c) || calculates(c)) && !with.is_empty();
    let word = said.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    let by_word = ["between", "in", "not", "is"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word));
    (by_sign || by_word).then_some(said)
}

fn columns(said: &str) -> Option<Vec<String>> {
    let names: Vec<String> = said.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    names.iter().all(is_name).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read() {
        let kind = |text: &str| parse(text, 1).map(|check| check.kind);
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            kind("not_null price, size"),
            Ok(Kind::NotNull(names(&["price", "size"])))
        );
        assert_eq!(kind("unique symbol"), Ok(Kind::Unique(names(&["symbol"]))));
        assert_eq!(
            kind("accepted side buy|sell"),
            Ok(Kind::Accepted("side".to_owned(), names(&["buy", "sell"])))
        );
        assert_eq!(
            kind("relationship symbol -> instruments.symbol"),
            Ok(Kind::Relationship {
                column: "symbol".to_owned(),
                relation: "instruments".to_owned(),
                other: "symbol".to_owned()
            })
        );
        assert_eq!(
            kind("range price > 0"),
            Ok(Kind::Range("price > 0".to_owned()))
        );
        assert_eq!(
            kind("freshness 30 seconds"),
            Ok(Kind::Freshness(Duration::from_secs(30)))
        );
        for said in ["> 0", ">=5", "<> 1", "% 2 = 0", "BETWEEN 1 AND 5"] {
            let want = Ok(Kind::RowCount(said.to_owned()));
            assert_eq!(kind(&format!("row_count {said}")), want);
        }
    }

    #[test]
    fn severity_stands_before_it_and_a_colon_elsewhere_is_none() {
        let warn = parse("warn: row_count > 0", 3).unwrap();
        assert_eq!((warn.severity, warn.line), (Severity::Warn, 3));
        assert_eq!(warn.text, "row_count > 0");
        let range = parse("range price::INT > 0", 1).unwrap();
        assert_eq!(range.severity, Severity::Error);
    }

    #[test]
    fn what_is_no_test_says_what_is() {
        for wrong in [
            "",
            "not_null",
            "nul price",
            "relationship symbol instruments",
            "relationship venue, symbol -> instruments.symbol",
            "freshness soon",
            "row_count 5",
            "row_count >",
            "row_count about 5",
            "unique a b",
        ] {
            assert!(
                parse(wrong, 1).unwrap_err().contains("is no test"),
                "{wrong}"
            );
        }
    }
}
