//! The comment block at the head of a SQL file: prose, then `-- @name value` lines.

use super::Error;

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
    /// `@split a, b`: numbers that look random; sealed byte by byte. All other columns get a dictionary.
    pub split: Vec<String>,
}

/// Reads the block. A file without one, or with an `@name` that mdb does not know, is an error.
pub(super) fn parse(origin: &str, text: &str) -> Result<Header, Error> {
    let mut header = Header::default();
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
            "latest" => header.latest = true,
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
            _ => {
                return Err(Error::Header {
                    file: origin.to_owned(),
                    line: index + 1,
                    message: format!(
                        "unknown @{name}; mdb knows @key, @match, @latest, @voided_by, @delta, @plain, @split, @into, @columns, @required, @optional, @name and @read document"
                    ),
                });
            }
        }
    }
    if header.description.is_empty() {
        return Err(Error::Header {
            file: origin.to_owned(),
            line: 1,
            message: "a SQL file starts with a comment (-- …) that says what it is".to_owned(),
        });
    }
    Ok(header)
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
            "f.sql:2: unknown @kye; mdb knows @key, @match, @latest, @voided_by, @delta, @plain, @split, @into, @columns, @required, @optional, @name and @read document"
        );
        assert!(
            parse("f.sql", "SELECT 1")
                .unwrap_err()
                .to_string()
                .starts_with("f.sql:1:")
        );
    }
}
