//! Text tables: which character parts the fields, and whether the first line names them.

use super::WRITE_AS_UTF8;

/// No vendor's table has more columns than this.
const MAX_COLUMNS: usize = 4096;
/// … nor are its first rows longer.
const MAX_LINE_BYTES: usize = 32 << 10;
/// Characters that part fields, the likeliest first.
const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];

/// How a text table is to be read. Fields may be quoted by `"`, which is doubled inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    /// The character between two fields.
    pub delimiter: char,
    /// The fields of the first line; if it holds names, those that are empty have one as DuckDB would name them.
    pub first: Vec<String>,
    /// Whether the first line holds names.
    pub header: bool,
    /// The first two lines, as they are.
    lines: [String; 2],
}

impl Csv {
    /// Told from a file's beginning; `cut` if that is not all of it.
    pub(super) fn of(head: &[u8], cut: bool) -> Result<Self, String> {
        let end = head.iter().position(|&byte| byte == b'\n');
        if end.is_none() && cut {
            return Err(format!(
                "its first line has more than {} KB: it is no table of named columns",
                head.len() >> 10
            ));
        }
        let line = &head[..end.unwrap_or(head.len())];
        let rest = head.get(line.len() + 1..).unwrap_or_default();
        if cut && rest.len() > MAX_LINE_BYTES && !rest.contains(&b'\n') {
            // A few kilobytes may unpack to gigabytes without an end of line.
            return Err(format!(
                "its second line has more than {} KB: it is no table",
                MAX_LINE_BYTES >> 10
            ));
        }
        let line = std::str::from_utf8(line)
            .map_err(|e| {
                format!(
                    "its first line is no UTF-8 from byte {} on; {WRITE_AS_UTF8}",
                    e.valid_up_to()
                )
            })?
            .trim_end_matches('\r');
        let delimiter = DELIMITERS
            .into_iter()
            .rev()
            .max_by_key(|&delimiter| fields(line, delimiter).len())
            .unwrap_or(',');
        Self::told([line.to_owned(), next_line(rest, cut)], delimiter)
    }

    /// The same where the user names the character.
    ///
    /// # Errors
    /// If there are too many fields for a table.
    pub fn with(&self, delimiter: char) -> Result<Self, String> {
        Self::told(self.lines.clone(), delimiter)
    }

    fn told(lines: [String; 2], delimiter: char) -> Result<Self, String> {
        let [mut first, second] = [0, 1].map(|at: usize| fields(&lines[at], delimiter));
        if first.len() > MAX_COLUMNS {
            return Err(format!(
                "its first line has {} fields; a table has at most {MAX_COLUMNS} columns",
                first.len()
            ));
        }
        let header = first.iter().all(|field| is_word(field)) || are_names(&first, &second);
        if header {
            for (at, field) in first.iter_mut().enumerate() {
                if field.is_empty() {
                    *field = format!("column{at}");
                }
            }
        }
        Ok(Self {
            delimiter,
            first,
            header,
            lines,
        })
    }
}

/// The next line that is not empty, if all of it is there.
fn next_line(rest: &[u8], cut: bool) -> String {
    let mut lines = rest.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_whole = lines.peek().is_some() || !cut;
        if is_whole && !line.trim_ascii().is_empty() {
            return String::from_utf8_lossy(line)
                .trim_end_matches('\r')
                .to_owned();
        }
    }
    String::new()
}

/// Neither empty nor a number.
fn is_word(field: &str) -> bool {
    !field.is_empty() && field.parse::<f64>().is_err()
}

fn is_year(field: &str) -> bool {
    field.len() == 4
        && field
            .parse::<u16>()
            .is_ok_and(|year| (1900..=2100).contains(&year))
}

/// Whether a line holds names though some of its fields are empty or years: the line below must say so, for a row that is
/// taken for names is lost.
fn are_names(first: &[String], second: &[String]) -> bool {
    // What stands in place of a number that is not known.
    const NO_NUMBERS: [&str; 5] = ["na", "n/a", "none", "null", "nil"];
    let may_be_name = |field: &String| field.is_empty() || is_word(field) || is_year(field);
    if first.len() != second.len() || !first.iter().all(may_be_name) {
        return false;
    }
    let is_number = |field: &str| field.parse::<f64>().is_ok();
    let is_name = |field: &str| {
        let begins = field.starts_with(|c: char| c.is_alphabetic() || c == '_');
        begins && is_word(field) && !NO_NUMBERS.contains(&field.to_lowercase().as_str())
    };
    let mut pairs = first.iter().zip(second);
    if pairs
        .clone()
        .any(|(name, below)| is_name(name) && is_number(below))
    {
        return true;
    }
    let years = first.iter().filter(|field| is_year(field)).count();
    if years > 0 {
        // `symbol,2023,2024`, over rows of other numbers.
        return years < first.len()
            && pairs.all(|(name, below)| !is_year(name) || (is_number(below) && !is_year(below)));
    }
    // `,symbol,name`: the rows' own numbers or dates have no name.
    let is_index = second[0] == "0" || is_date(&second[0]);
    first[0].is_empty() && is_index && first[1..].iter().all(|field| is_name(field))
}

/// `2024-08-08`, and what may follow.
fn is_date(field: &str) -> bool {
    let date = field.as_bytes().get(..10);
    date.is_some_and(|date| {
        let mut bytes = date.iter().enumerate();
        bytes.all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    })
}

fn fields(line: &str, delimiter: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        if c == '"' && quoted && chars.peek() == Some(&'"') {
            chars.next();
            fields[last].push('"');
        } else if c == '"' {
            quoted = !quoted;
        } else if c == delimiter && !quoted {
            if fields.len() > MAX_COLUMNS {
                // Enough to refuse it.
                break;
            }
            fields.push(String::new());
        } else {
            fields[last].push(c);
        }
    }
    for field in &mut fields {
        *field = field.trim().to_owned();
    }
    fields
}
