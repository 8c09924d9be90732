//! Text tables: which character parts the fields, and whether the first line names them.

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
    /// The fields of the first line.
    pub first: Vec<String>,
    /// Whether the first line holds names: no field of it is a number or empty.
    pub header: bool,
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
                    "its first line is no UTF-8 from byte {} on",
                    e.valid_up_to()
                )
            })?
            .trim_end_matches('\r');
        let delimiter = DELIMITERS
            .into_iter()
            .rev()
            .max_by_key(|&delimiter| fields(line, delimiter).len())
            .unwrap_or(',');
        Self::with(line, delimiter)
    }

    /// The same where the user names the character.
    ///
    /// # Errors
    /// If there are too many fields for a table.
    pub fn with(line: &str, delimiter: char) -> Result<Self, String> {
        let first = fields(line, delimiter);
        if first.len() > MAX_COLUMNS {
            return Err(format!(
                "its first line has {} fields; a table has at most {MAX_COLUMNS} columns",
                first.len()
            ));
        }
        let named = |field: &String| !field.is_empty() && field.parse::<f64>().is_err();
        Ok(Self {
            delimiter,
            header: first.iter().all(named),
            first,
        })
    }
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
